"""The checker finds what is wrong: hand-made histories, a good one and one for each rule that is broken."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from .checker import History, check

BUCKET = "arn:aws:s3:::one"
STEPS = (("SetAccess", "public", False), ("SetLogging", "logged", True))


def call(operation: str, to: bool) -> dict[str, Any]:
    return {"operation": operation, "account": "one", "params": {"bucket": BUCKET, "to": to}}


def hashed(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class Made:
    """A history in the making; ``done`` chains its ledger."""

    def __init__(self) -> None:
        self.ledger: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.clicks: list[dict[str, Any]] = []
        self.journal: dict[str, dict[str, Any]] = {}
        self.requests: dict[str, str] = {}
        self.executions: dict[str, str] = {}
        self.buckets = {BUCKET: {"public": True, "logged": False}}
        self.stuck: list[str] = []

    def record(self, kind: str, subject: str, actor: str = "gatehouse", /, **body: Any) -> int:
        self.ledger.append({"kind": kind, "subject": subject, "actor": actor, "body": body})
        return len(self.ledger)

    def event(self, what: str, **more: Any) -> dict[str, Any]:
        self.events.append({"what": what, "t": len(self.events), "h": len(self.ledger), **more})
        return self.events[-1]

    def click(self, user: str, kind: str, *records: tuple[str, str, dict[str, Any]], request: str = "r1") -> None:
        """One click, what it did, and what its person saw."""
        tag = f"click {len(self.clicks)}"
        click = {"id": tag, "user": user, "kind": kind, "acked": True, "ended": True, "deliveries": 1, "tag": tag,
                 "request": request, "from": len(self.ledger), "began": len(self.events)}  # fmt: skip
        self.clicks.append(click)
        for name, subject, body in records:
            self.record(name, subject, user[1:].lower(), **body, reason=tag)
        self.event("shown", user=user, text="You see.", method="chat.postEphemeral", view="", life="a.1")
        click |= {"until": len(self.events), "to": len(self.ledger)}
        self.journal[tag] = {"state": "done", "outcome": "You see.", "kind": f"submit.{kind}"}

    def vote(self, user: str, choice: str = "approve") -> None:
        body = {"choice": choice, "plan_hash": "hash", "request_id": "r1"}
        self.click(user, choice, ("vote.cast", "r1", body))

    def ask(self) -> None:
        self.click("UOLGA", "ask", ("request.made", "r1", {"plan_hash": "hash", "requested_by": "olga"}))

    def decide(self, outcome: str) -> None:
        self.record("decision.made", "d1", request_id="r1", outcome=outcome, covers="hash")
        self.requests["r1"] = outcome

    def step(self, at: int, life: str = "a.1", fence: int = 1, finish: bool = True) -> None:
        operation, name, to = STEPS[at]
        made = call(operation, to)
        body = {"execution": "x1", "fence": fence, "call": hashed(made), "target": BUCKET}
        self.record("step.intended", f"s{at}", **body)
        changed = self.buckets[BUCKET][name] != to
        self.buckets[BUCKET][name] = to
        self.event("effect", life=life, step=f"s{at}", call=made, decision="d1", sent=len(self.ledger),
                   changed=changed, bucket=BUCKET, state=dict(self.buckets[BUCKET]))  # fmt: skip
        if finish:
            self.record("step.done", f"s{at}", **body)

    def done(self) -> dict[str, Any]:
        rows, prev = [], "0" * 64
        for seq, record in enumerate(self.ledger, 1):
            row = {"seq": seq, "at": "now", **record, "body": json.dumps(record["body"], sort_keys=True), "prev": prev}
            fields = [row[k] for k in ("seq", "at", "kind", "subject", "actor", "body", "prev")]
            text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
            prev = row["hash"] = hashlib.sha256(text.encode()).hexdigest()
            rows.append(row)
        kept = ("events", "clicks", "journal", "requests", "executions", "buckets", "stuck")
        return {"ledger": rows, "verified": "", "counts": {}, **{k: copy.deepcopy(getattr(self, k)) for k in kept}}


def begun() -> Made:
    made = Made()
    made.record("policy.in_force", "p1")
    made.event("ready", life="a.1", policy="p1", quorum=2)
    made.event("ready", life="b.1", policy="p1", quorum=2)
    made.ask()
    made.vote("UANN")
    return made


def claim(made: Made, life: str = "a.1", fence: int = 1) -> None:
    made.record("execution.claimed", "x1", worker=f"{life}/w", fence=fence)


def approved() -> Made:
    made = begun()
    made.vote("UABE")
    made.decide("approved")
    made.record("execution.queued", "x1", decision="d1")
    return made


def end(made: Made, state: str = "succeeded") -> Made:
    made.record("execution.finished", "x1", state=state, kind="fix")
    made.executions["x1"] = state
    return made


def good() -> Made:
    made = approved()
    claim(made)
    made.step(0)
    made.step(1)
    return end(made)


def broken(made: Made) -> list[str]:
    return check(History(made.done()))


def test_a_good_history_passes():
    assert broken(good()) == []


def test_a_takeover_a_withdrawal_and_a_refusal_pass():
    made = approved()
    claim(made)
    made.step(0, finish=False)
    made.record("replica.dead", "a.1")
    claim(made, "b.1", 2)
    made.step(0, "b.1", 2)  # changed nothing: it was there already
    made.step(1, "b.1", 2)
    assert broken(end(made)) == []

    made = approved()
    made.click("UABE", "withdraw", ("vote.withdrawn", "r1", {}))
    made.record("execution.blocked", "x1")
    made.record("request.voided", "r1")
    made.requests["r1"], made.executions["x1"] = "voided", "blocked"
    assert broken(made) == []


# --- one bad history for each rule -----------------------------------------------------------------------------------


def decided_twice() -> Made:
    made = good()
    made.record("request.expired", "r1")
    made.requests["r1"] = "expired"
    return made


def never_decided() -> Made:
    made = begun()
    made.requests["r1"] = "pending"
    return made


def row_differs() -> Made:
    made = good()
    made.requests["r1"] = "cancelled"
    return made


def vote_after_deny() -> Made:
    made = begun()
    made.vote("UAMY", "reject")
    made.decide("rejected")
    made.vote("UABE")
    return made


def execution_after_deny() -> Made:
    made = begun()
    made.vote("UAMY", "reject")
    made.decide("rejected")
    made.record("execution.queued", "x1", decision="d1")
    return end(made, "failed")


def two_executions() -> Made:
    made = good()
    made.record("execution.queued", "x2", decision="d1")
    made.record("execution.finished", "x2", state="failed", kind="fix")
    made.executions["x2"] = "failed"
    return made


def no_end() -> Made:
    made = approved()
    claim(made)
    made.step(0)
    made.executions["x1"] = "running"
    return made


def goes_on_after_its_end() -> Made:
    made = approved()
    claim(made)
    made.step(0)
    end(made, "failed")
    made.step(1)
    return made


def changed_twice() -> Made:
    made = good()
    made.events.append(made.events[-1] | {"changed": True})
    return made


def sent_twice() -> Made:
    made = good()
    made.events.append(made.events[-1] | {"changed": False})
    return made


def before_its_record() -> Made:
    made = good()
    made.events[-1]["sent"] -= 2
    return made


def another_call() -> Made:
    made = good()
    made.events[-1]["call"] = call("SetLogging", False)
    return made


def of_no_step() -> Made:
    made = good()
    made.events.append(made.events[-1] | {"step": "s9"})
    return made


def late_effect() -> Made:
    made = good()
    made.events[-1]["h"] = len(made.ledger)
    return made


def one_vote_short() -> Made:
    made = begun()
    made.decide("approved")
    made.record("execution.queued", "x1", decision="d1")
    claim(made)
    made.step(0)
    made.step(1)
    return end(made)


def quorum_of_three() -> Made:
    made = good()
    made.events[0]["quorum"] = 3
    return made


def own_vote() -> Made:
    made = begun()
    made.vote("UOLGA")
    made.decide("approved")
    made.record("execution.queued", "x1", decision="d1")
    claim(made)
    made.step(0)
    made.step(1)
    return end(made)


def of_another_plan() -> Made:
    made = good()
    vote = next(r for r in made.ledger if r["kind"] == "vote.cast")
    vote["body"]["plan_hash"] = "other"
    return made


def withdrawn_before() -> Made:
    made = approved()
    made.click("UABE", "withdraw", ("vote.withdrawn", "r1", {}))
    claim(made)
    made.step(0)
    made.step(1)
    return end(made)


def voided_before() -> Made:
    made = approved()
    made.record("vote.voided", "r1", principal_id="abe")
    claim(made)
    made.step(0)
    made.step(1)
    return end(made)


def left_the_group() -> Made:
    made = approved()
    made.event("member", user="UABE", inside=False, before=len(made.ledger))
    claim(made)
    made.step(0)
    made.step(1)
    return end(made)


def another_policy() -> Made:
    made = approved()
    made.record("policy.in_force", "p2")
    claim(made)
    made.step(0)
    made.step(1)
    return end(made)


def under_a_freeze() -> Made:
    made = approved()
    claim(made)
    made.step(0)
    made.click("UANN", "freeze", ("freeze.began", "f1", {"scope": "account:one"}))
    made.step(1)
    return end(made)


def dead_and_acts() -> Made:
    made = approved()
    claim(made)
    made.record("replica.dead", "a.1")
    made.step(0)
    made.step(1)
    return end(made)


def old_fence() -> Made:
    made = approved()
    claim(made)
    claim(made, "b.1", 2)
    made.step(0, "b.1", 1)
    made.step(1, "b.1", 2)
    return end(made)


def sent_by_who_lost_it() -> Made:
    made = approved()
    claim(made)
    claim(made, "b.1", 2)
    made.step(0, "a.1", 2)
    made.step(1, "b.1", 2)
    return end(made)


def fences_fall() -> Made:
    made = approved()
    claim(made, "a.1", 2)
    claim(made, "b.1", 1)
    made.step(0, "b.1", 1)
    made.step(1, "b.1", 1)
    return end(made)


def lost_click() -> Made:
    made = good()
    del made.journal["click 1"]
    return made


def acted_twice() -> Made:
    made = begun()
    made.clicks[-1]["deliveries"] = 2
    made.record("vote.cast", "r1", "ann", choice="approve", plan_hash="hash", reason="click 1")
    made.vote("UAMY", "reject")
    made.decide("rejected")
    return made


def acted_and_refused() -> Made:
    made = good()
    made.journal["click 1"]["state"] = "refused"
    return made


def done_and_nothing_done() -> Made:
    made = good()
    made.click("UAMY", "reject")
    return made


def nothing_seen() -> Made:
    made = good()
    made.events = [e for e in made.events if e.get("user") != "UANN"]
    return made


def answered_twice() -> Made:
    made = good()
    shown = next(at for at, e in enumerate(made.events) if e.get("user") == "UANN")
    made.events.insert(shown, made.events[shown])
    return made


def succeeded_without_effect() -> Made:
    made = approved()
    claim(made)
    made.step(0)
    return end(made)


def unknown_change() -> Made:
    made = good()
    made.buckets[BUCKET]["public"] = True
    return made


def left_over() -> Made:
    made = good()
    made.stuck = ["message thread: queued"]
    return made


BAD: list[tuple[Callable[[], Made], str]] = [
    (decided_twice, "ended 2 times: approved, expired"),
    (never_decided, "never came to an end"),
    (row_differs, "is cancelled, the ledger says approved"),
    (vote_after_deny, "was rejected, and then came vote.cast of abe"),
    (execution_after_deny, "has no approved decision"),
    (two_executions, "has 2 executions"),
    (no_end, "ended 0 times"),
    (goes_on_after_its_end, "and goes on at"),
    (changed_twice, "changed the cloud 2 times"),
    (sent_twice, "sent step s1 2 times"),
    (before_its_record, "it had recorded 0 of them before"),
    (another_call, "is not the call that was recorded"),
    (of_no_step, "belongs to no step"),
    (late_effect, "after its execution had ended"),
    (one_vote_short, "began with 1 of 2 approvals"),
    (quorum_of_three, "began with 2 of 3 approvals"),
    (own_vote, "began with 1 of 2 approvals"),
    (of_another_plan, "began with 1 of 2 approvals"),
    (withdrawn_before, "began with 1 of 2 approvals"),
    (voided_before, "began with 1 of 2 approvals"),
    (left_the_group, "began with 1 of 2 approvals"),
    (another_policy, "in force is p2"),
    (under_a_freeze, "under the freeze of account:one"),
    (dead_and_acts, "was declared dead at record"),
    (old_fence, "under fence 1, 2 is held by b.1"),
    (sent_by_who_lost_it, "a.1 sent step s0 1 times, it had recorded 0"),
    (fences_fall, "the fences of x1 do not grow"),
    (lost_click, "was acknowledged and is not in the journal"),
    (acted_twice, "acted 2 times"),
    (acted_and_refused, "and its person was told"),
    (done_and_nothing_done, "is done, and nothing was done"),
    (nothing_seen, "nothing was to be seen of"),
    (answered_twice, "was answered 2 times"),
    (succeeded_without_effect, "succeeded, and the cloud shows"),
    (unknown_change, "by its effects it is"),
    (left_over, "not finished: message thread"),
]


@pytest.mark.parametrize(("make", "said"), BAD, ids=[make.__name__ for make, _ in BAD])
def test_a_bad_history_is_rejected(make, said):
    assert any(said in each for each in broken(make())), broken(make())


@pytest.mark.parametrize("field", ["seq", "at", "kind", "subject", "actor", "body", "prev", "hash"])
def test_a_ledger_that_was_touched_is_rejected(field):
    recorded = good().done()
    row = recorded["ledger"][2]
    row[field] = row[field] + 1 if field == "seq" else json.dumps({}) if field == "body" else "kind.other"
    assert any("does not follow" in each for each in list_of(recorded))


def list_of(recorded: dict[str, Any]) -> list[str]:
    from .checker import _chain

    return list(_chain(History(recorded)))


def test_what_the_products_own_verification_says_counts():
    recorded = good().done() | {"verified": "a witness disagrees"}
    assert "ledger: a witness disagrees" in check(History(recorded))
