"""The vocabulary of what went wrong. Callers branch on the class, people read ``reason`` and ``mend``.

Connector errors decide what happens next: ``RetryLater`` (try again, honour ``after``), ``Relogin`` (renew the
credential once, then ask for a new one), ``Refused`` (our request or our rights are wrong: do not repeat),
``Gone`` (the object no longer exists), ``OutcomeUnknown`` (a write may or may not have happened: read first).
"""

from __future__ import annotations


class GatehouseError(Exception):
    """Every error of ours: ``reason`` says what is wrong, ``mend`` what a person can do about it."""

    def __init__(self, reason: str, *, mend: str = "") -> None:
        super().__init__(f"{reason} {mend}".strip())
        self.reason = reason
        self.mend = mend


class BadInput(GatehouseError):
    """Something from outside cannot be understood."""


class SettingsError(GatehouseError):
    """gatehouse.yml or the environment is wrong."""


class NotFound(GatehouseError):
    """No such finding, cause, plan, request …"""


class Denied(GatehouseError):
    """The policy says no. ``rule`` names the rule that refused, ``could`` who would be permitted."""

    def __init__(self, reason: str, *, rule: str, could: tuple[str, ...] = (), mend: str = "") -> None:
        super().__init__(reason, mend=mend)
        self.rule = rule
        self.could = could
        self.about = ""  # id of the request or plan, where "Why can't I approve?" can say more


class Stale(GatehouseError):
    """What was clicked is no longer what is: another revision, an expired plan, a changed resource."""


class Conflict(GatehouseError):
    """Somebody else was faster; the present state is a normal outcome, not a fault."""


class ConnectorError(GatehouseError):
    """Base of everything an outside system answered."""


class RetryLater(ConnectorError):
    def __init__(self, reason: str, *, after: float | None = None, mend: str = "") -> None:
        super().__init__(reason, mend=mend)
        self.after = after


class Relogin(ConnectorError):
    pass


class Refused(ConnectorError):
    pass


class Gone(ConnectorError):
    pass


class MessageGone(Gone):
    """A message that somebody deleted; the place it stood in is there."""


class OutcomeUnknown(ConnectorError):
    pass


class CloudRefused(Refused):
    """A cloud's own no. ``code`` is the cloud's word; absence ("there is none") is told apart by it."""

    def __init__(self, reason: str, *, code: str, mend: str = "") -> None:
        super().__init__(reason, mend=mend)
        self.code = code
