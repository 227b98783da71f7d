"""The scenarios."""

from __future__ import annotations

from .script import MINE, Home, Meanwhile, Press, Say, Scenario, Send, Type, step

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "approve",
        "A fix is asked for, refused to the one who asked, approved with a reason, carried out, undone.",
        (
            step("olivia", Press("review", "bucket"), Send({"choice": "ask", "reason": "we need it closed"}),
                 says="You asked for approval of this fix"),
            step("olivia", Press("review", "bucket"), says="Take the request back"),
            step("nora", Press("review", "bucket"), says="You cannot decide this and why"),
            step("nora", Press("why"), stay=True, says="You cannot approve this"),
            step("alice", Press("review", "bucket"), Send({"choice": "approve", "reason": "safe"}), twice=True,
                 says="Approved The fix starts now"),
            step("bob", Press("undo", "bucket"), Send({"choice": "ask", "reason": "it broke the site"}),
                 says="You asked for approval of this undo"),
            step("alice", Press("review", "bucket"), Send({"choice": "approve", "reason": "see above"}),
                 says="Approved The undo starts now"),
            step("carol", Press("details", "bucket"), says="History"),
        ),
        {"bucket": "undone"},
    ),
)  # fmt: skip
__all__ = ["MINE", "SCENARIOS", "Home", "Meanwhile", "Say", "Type"]
