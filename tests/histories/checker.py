"""Judges a recorded history, offline and knowing nothing of the engine: only the standard library is used.

``check(History(recorded)) -> list of what is broken``. The ledger's order is the order of commits. Every event outside
carries the head of the ledger it was noted at: a record ``seq <= h`` was committed before it, ``seq > h`` after it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

ENDS = {"request.cancelled", "request.expired", "request.voided", "request.rejected"}
EXECUTION_ENDS = {"execution.finished", "execution.blocked", "execution.failed"}
FINAL = {"succeeded", "unverified", "failed", "blocked", "rolled_back"}
OF_REQUEST = {"vote.cast", "vote.withdrawn", "vote.voided"} | ENDS
ACTS = {"ask": "request.made", "approve": "vote.cast", "reject": "vote.cast", "withdraw": "vote.withdrawn",
        "cancel": "request.cancelled", "freeze": "freeze.began", "unfreeze": "freeze.ended"}  # fmt: skip
SAFE, OPEN = {"public": False, "logged": True}, {"public": True, "logged": False}


@dataclass
class Record:
    seq: int
    kind: str
    subject: str
    actor: str
    body: dict[str, Any]


@dataclass
class Execution:
    id: str
    queued: int
    decision: str
    claims: list[tuple[int, int, str]] = field(default_factory=list)  # seq, fence, life
    ends: list[Record] = field(default_factory=list)
    steps: list[Record] = field(default_factory=list)

    def claim_at(self, seq: int) -> tuple[int, int, str]:
        """The claim in force when record ``seq`` was written."""
        return next((c for c in reversed(self.claims) if c[0] < seq), (0, 0, ""))


class History:
    def __init__(self, recorded: dict[str, Any]) -> None:
        self.raw = recorded
        self.events: list[dict[str, Any]] = recorded["events"]
        self.clicks: list[dict[str, Any]] = recorded["clicks"]
        self.records = [
            Record(r["seq"], r["kind"], r["subject"], r["actor"], json.loads(r["body"])) for r in recorded["ledger"]
        ]
        for at, event in enumerate(self.events):
            event["at"] = at
        self.effects = [e for e in self.events if e["what"] == "effect"]
        self.policy = {e["life"]: e["policy"] for e in self.events if e["what"] == "ready"}
        self.in_force = [(r.seq, r.subject) for r in self.records if r.kind == "policy.in_force"]
        self.quorum = {e["life"]: e["quorum"] for e in self.events if e["what"] == "ready"}
        self.requests = {r.subject: r for r in self.records if r.kind == "request.made"}
        self.decisions = {r.subject: r for r in self.records if r.kind == "decision.made"}
        self.of_request: dict[str, list[Record]] = defaultdict(list)
        self.executions: dict[str, Execution] = {}
        for r in self.records:
            if r.kind == "decision.made":
                self.of_request[r.body["request_id"]].append(r)
            elif r.kind in OF_REQUEST:
                self.of_request[r.subject].append(r)
            elif r.kind == "execution.queued":
                self.executions[r.subject] = Execution(r.subject, r.seq, r.body["decision"])
            elif r.kind == "execution.claimed":
                life = r.body["worker"].rpartition("/")[0]
                self.executions[r.subject].claims.append((r.seq, r.body["fence"], life))
            elif r.kind in EXECUTION_ENDS:
                self.executions[r.subject].ends.append(r)
            elif r.kind.startswith("step."):
                self.executions[r.body["execution"]].steps.append(r)

    def clicks_end(self, click: dict[str, Any], number: int) -> int:
        """Where the same person's next click begins, for one that ended; else where the history does."""
        later = (c["began"] for c in self.clicks[number + 1 :] if c["user"] == click["user"])
        return int(next(later, len(self.events))) if click["ended"] else len(self.events)

    def request_of(self, execution: Execution) -> str:
        return str(self.decisions[execution.decision].body["request_id"])


def check(history: History) -> list[str]:
    """Every rule that does not hold, in words."""
    return [
        *_chain(history), *_requests(history), *_executions(history), *_effects(history), *_permission(history),
        *_frozen(history), *_fencing(history), *_clicks(history), *_world(history),
    ]  # fmt: skip


# --- evidence --------------------------------------------------------------------------------------------------------


def _chain(history: History) -> Iterator[str]:
    prev = "0" * 64
    for at, row in enumerate(history.raw["ledger"], 1):
        fields = [row[k] for k in ("seq", "at", "kind", "subject", "actor", "body", "prev")]
        text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
        if row["seq"] != at or row["prev"] != prev or hashlib.sha256(text.encode()).hexdigest() != row["hash"]:
            yield f"ledger: record {row['seq']} does not follow from the one before"
            return
        prev = row["hash"]
    if history.raw["verified"]:
        yield f"ledger: {history.raw['verified']}"


# --- requests --------------------------------------------------------------------------------------------------------


def _end(record: Record) -> str:
    if record.kind == "decision.made":
        return str(record.body["outcome"])
    return record.kind.removeprefix("request.") if record.kind in ENDS else ""


def _requests(history: History) -> Iterator[str]:
    """One terminal state each, the one its row shows; nothing after a winning deny."""
    for request in history.of_request.keys() | history.requests.keys() | history.raw["requests"].keys():
        records = history.of_request[request]
        ends = [end for end in map(_end, records) if end]
        if request not in history.requests:
            yield f"request {request} was never made, and has records"
        if ends and ends != ends[:1] and ends != ["approved", "voided"]:
            yield f"request {request} ended {len(ends)} times: {', '.join(ends)}"
        row = history.raw["requests"].get(request)
        shown = ends[-1] if ends else "pending"
        # A refusal at the moment of execution voids the request with the execution's own record.
        refused = row == "voided" and shown == "approved" and _was_refused(history, request)
        if row != shown and not refused:
            yield f"request {request} is {row}, the ledger says {shown}"
        if not ends:
            yield f"request {request} never came to an end"
        first = next((r for r in records if _end(r)), None)
        if first is None:
            continue
        for later in records:
            if later.seq > first.seq and (_end(first) != "approved" or later.kind == "vote.cast"):
                yield f"request {request} was {_end(first)}, and then came {later.kind} of {later.actor}"
    for execution in history.executions.values():
        decision = history.decisions.get(execution.decision)
        if decision is None or decision.body["outcome"] != "approved":
            yield f"execution {execution.id} has no approved decision"


def _was_refused(history: History, request: str) -> bool:
    return any(
        history.request_of(x) == request and any(e.kind in {"execution.blocked", "execution.failed"} for e in x.ends)
        for x in history.executions.values()
    )


def _executions(history: History) -> Iterator[str]:
    """One for each approved decision, one end, nothing after it."""
    times = Counter(x.decision for x in history.executions.values())
    for decision in history.decisions.values():
        wanted = int(decision.body["outcome"] == "approved")
        if times[decision.subject] != wanted:
            yield f"decision {decision.subject} ({decision.body['outcome']}) has {times[decision.subject]} executions"
    for x in history.executions.values():
        if len(x.ends) != 1:
            yield f"execution {x.id} ended {len(x.ends)} times"
            continue
        end, state = x.ends[0], history.raw["executions"].get(x.id)
        said = end.body.get("state") or end.kind.removeprefix("execution.")
        if state != said or state not in FINAL:
            yield f"execution {x.id} is {state}, the ledger says {said}"
        if end.kind == "execution.blocked" and x.steps:
            yield f"execution {x.id} was refused as if nothing had begun, and has steps"
        for later in [*(s.seq for s in x.steps), *(c[0] for c in x.claims)]:
            if later > end.seq:
                yield f"execution {x.id} had ended at record {end.seq}, and goes on at {later}"


# --- effects ---------------------------------------------------------------------------------------------------------


def _effects(history: History) -> Iterator[str]:
    """Each belongs to a recorded step of an execution, was recorded before it was sent, and changed things once."""
    of_step: dict[str, list[Record]] = defaultdict(list)
    owner: dict[str, Execution] = {}
    for x in history.executions.values():
        for step in x.steps:
            owner[step.subject] = x
            if step.kind == "step.intended":
                of_step[step.subject].append(step)
    changed = Counter(e["step"] for e in history.effects if e["changed"])
    for step, count in changed.items():
        if count > 1:
            yield f"step {step} changed the cloud {count} times"
    sent: Counter[tuple[str, str]] = Counter()
    for effect in history.effects:
        step, life = effect["step"], effect["life"]
        execution = owner.get(step)
        if execution is None:
            yield f"an effect of {life} belongs to no step"
            continue
        intended = [
            r for r in of_step[step] if r.seq <= effect["sent"] and execution.claim_at(r.seq)[2] == life
        ]  # fmt: skip
        sent[step, life] += 1
        if len(intended) < sent[step, life]:
            yield f"{life} sent step {step} {sent[step, life]} times, it had recorded {len(intended)} of them before"
        if any(r.body["call"] != _digest(effect["call"]) for r in intended):
            yield f"step {step} is not the call that was recorded"
        if effect["decision"] != execution.decision:
            yield f"step {step} was sent for decision {effect['decision']}"
        end = execution.ends[0].seq if execution.ends else None
        if end is not None and effect["h"] >= end and effect["changed"]:
            yield f"step {step} changed the cloud after its execution had ended"


def _digest(call: dict[str, Any]) -> str:
    text = json.dumps(call, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


# --- permission ------------------------------------------------------------------------------------------------------


def _permission(history: History) -> Iterator[str]:
    """At each step: enough live votes for this very plan, of people in the group, under the acting replica's rule."""
    changes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in history.events:
        if event["what"] == "member":
            changes[event["user"]].append(event)
    for x in history.executions.values():
        decision = history.decisions.get(x.decision)
        if decision is None:
            continue
        request = history.requests.get(str(decision.body["request_id"]))
        if request is None:
            continue
        for step in x.steps:
            if step.kind != "step.intended":
                continue
            claimed, _, life = x.claim_at(step.seq)
            votes = _live_votes(history, request.subject, step.seq)
            good = {
                who
                for who, vote in votes.items()
                if vote.body["choice"] == "approve"
                and vote.body["plan_hash"] == request.body["plan_hash"] == decision.body["covers"]
                and vote.seq <= decision.seq
                and who != request.body["requested_by"]
                and not _was_outside(changes[_user(who)], claimed, step.seq)
            }
            in_force = next((version for seq, version in reversed(history.in_force) if seq < claimed), "")
            if history.policy.get(life) != in_force:
                yield f"step {step.subject}: {life} has policy {history.policy.get(life)}, in force is {in_force}"
            wanted = history.quorum.get(life, 0)
            if life not in history.quorum or len(good) < wanted:
                yield f"step {step.subject} began with {len(good)} of {wanted} approvals ({life})"


def _live_votes(history: History, request: str, before: int) -> dict[str, Record]:
    votes: dict[str, Record] = {}
    for r in history.of_request[request]:
        if r.seq >= before:
            break
        if r.kind == "vote.cast":
            votes[r.actor] = r
        elif r.kind == "vote.withdrawn":
            votes.pop(r.actor, None)
        elif r.kind == "vote.voided":
            votes.pop(r.body["principal_id"], None)
    return votes


def _was_outside(changes: list[dict[str, Any]], claimed: int, step: int) -> bool:
    """Whether this person was surely out of the group from the claim on until the step."""
    outside = False
    for change in changes:
        if not change["inside"] and change["h"] < claimed:
            outside = True
        elif change["inside"] and change["before"] < step:
            outside = False
    return outside


def _user(principal: str) -> str:
    return f"U{principal.upper()}"


def _frozen(history: History) -> Iterator[str]:
    """No step begins under a freeze that was committed before it."""
    frozen: dict[str, str] = {}  # freeze id -> scope
    targets = {e["step"]: e["call"]["account"] for e in history.effects}
    for r in history.records:
        if r.kind == "freeze.began":
            frozen[r.subject] = r.body["scope"]
        elif r.kind == "freeze.ended":
            frozen = {k: scope for k, scope in frozen.items() if scope != r.subject}
        elif r.kind == "step.intended":
            scopes = {"everything", "env:dev", f"account:{targets.get(r.subject, '?')}"}
            if scopes & set(frozen.values()):
                yield f"step {r.subject} began at record {r.seq} under the freeze of {', '.join(frozen.values())}"


def _fencing(history: History) -> Iterator[str]:
    """Who was declared dead, or lost its claim, writes and does nothing more."""
    dead = {r.subject: r.seq for r in history.records if r.kind == "replica.dead"}
    for effect in history.effects:
        at = dead.get(effect["life"])
        if at is not None and at <= effect["sent"]:
            yield f"{effect['life']} was declared dead at record {at} and sent {effect['step']} at {effect['sent']}"
    for x in history.executions.values():
        fences = [fence for _, fence, _ in x.claims]
        if fences != sorted(set(fences)):
            yield f"the fences of {x.id} do not grow: {fences}"
        for record in [*x.steps, *(e for e in x.ends if "fence" in e.body)]:
            _, fence, life = x.claim_at(record.seq)
            if record.body["fence"] != fence:
                yield f"{record.kind} at {record.seq} under fence {record.body['fence']}, {fence} is held by {life}"
            if life in dead and dead[life] < record.seq:
                yield f"{record.kind} at {record.seq} is of {life}, declared dead at {dead[life]}"


# --- clicks ----------------------------------------------------------------------------------------------------------


def _clicks(history: History) -> Iterator[str]:
    for number, click in enumerate(history.clicks):
        row = history.raw["journal"].get(click["id"])
        name = f"{click['kind']} of {click['user']} ({click.get('tag', click['id'])})"
        acts = _acts(history, click, number)
        if row is None:
            if click["acked"]:
                yield f"{name} was acknowledged and is not in the journal"
            if acts:
                yield f"{name} is not in the journal and came to {len(acts)} acts"
            continue
        if row["state"] not in {"done", "refused", "failed"}:
            yield f"{name} never ended: {row['state']}"
        if len(acts) > 1:
            yield f"{name} was delivered {click['deliveries']} times and acted {len(acts)} times: {_places(acts)}"
        if acts and row["state"] != "done":
            yield f"{name} acted (record {_places(acts)}) and its person was told: {row['outcome']}"
        if not acts and row["state"] == "done" and click["kind"] in ACTS and not _nothing_to_do(history, click, row):
            yield f"{name} is done, and nothing was done: {row['outcome']}"
        yield from _visible(history, click, number, name, row)


def _acts(history: History, click: dict[str, Any], number: int) -> list[Record]:
    """What the ledger holds of this click: by the words typed with it, else by person, request and time."""
    kind = ACTS.get(click["kind"])
    found = [r for r in history.records if r.kind == kind and r.actor == click["user"][1:].lower()]
    if click["kind"] in {"withdraw", "cancel"}:
        until = _next(history, click, number, "from") if click["ended"] else 1 << 60
        return [r for r in found if r.subject == click["request"] and click["from"] < r.seq <= until]
    return [r for r in found if r.body.get("reason") == click.get("tag")]


def _next(history: History, click: dict[str, Any], number: int, mark: str) -> int:
    """Where the same person's next click begins: they make one at a time."""
    later = (c[mark] for c in history.clicks[number + 1 :] if c["user"] == click["user"])
    return int(next(later, 1 << 60))


def _places(acts: list[Record]) -> str:
    return ", ".join(str(r.seq) for r in acts)


def _nothing_to_do(history: History, click: dict[str, Any], row: dict[str, Any]) -> bool:
    """A click may come to nothing where the same was there already."""
    who = click["user"][1:].lower()
    match click["kind"]:
        case "ask":  # another person's request for the same is the answer
            return any(r.body.get("reason") != click["tag"] for r in history.requests.values())
        case "approve" | "reject":
            same = (r for r in history.of_request[click["request"]] if r.kind == "vote.cast" and r.actor == who)
            return any(r.body["choice"] == click["kind"] for r in same)
        case "cancel":
            return any(r.kind == "request.cancelled" for r in history.of_request[click["request"]])
        case "freeze":
            return "already" in row["outcome"]
        case "unfreeze":
            return "no freeze" in row["outcome"]
    return False


def _visible(
    history: History, click: dict[str, Any], number: int, name: str, row: dict[str, Any]
) -> Iterator[str]:  # fmt: skip
    """An outcome its person sees: one, and more only where a replica broke off while it was at it."""
    later = [e for e in history.events[click["began"] :] if e["what"] in {"shown", "opened"}]
    mine = [e for e in later if e["what"] == "shown" and e["user"] == click["user"]]
    if click["kind"] == "open":
        views = {e["view"] for e in later if e["what"] == "opened" and f"slack:trigger:{e['trigger']}" == click["id"]}
        outcomes = [e for e in mine if e["view"] in views]
    else:
        end = history.clicks_end(click, number)
        outcomes = [e for e in mine if e["at"] < end and "is tried again by itself" not in e["text"]]
    if not outcomes and (click["kind"] in {"open", "freeze", "unfreeze"} or row["state"] == "failed"):
        # What a crash left unanswered is told through the outbox, in its own time.
        outcomes = [e for e in mine if "was interrupted" in e["text"]][:1]
    if not outcomes:
        yield f"nothing was to be seen of {name}: {row['state']}, {row['outcome']}"
    if click["kind"] == "open" or len(outcomes) < 2:
        return
    # An earlier click of theirs that had not ended may be answered now.
    late = any(c["user"] == click["user"] and not c["ended"] for c in history.clicks[: number + 1])
    while_open = history.events[max(0, click["began"] - 200) : click.get("until")]
    disturbed = late or any(e["what"] in {"nemesis", "ended", "time"} for e in while_open)
    if not disturbed:
        yield f"{name} was answered {len(outcomes)} times: {' / '.join(e['text'][:60] for e in outcomes)}"


# --- the world -------------------------------------------------------------------------------------------------------


def _world(history: History) -> Iterator[str]:
    yield from (f"not finished: {each}" for each in history.raw["stuck"])
    state: dict[str, dict[str, Any]] = {}
    ends = sorted(
        (x.ends[0].seq, x) for x in history.executions.values() if len(x.ends) == 1 and x.steps
    )  # fmt: skip
    effects = list(history.effects)
    for seq, x in ends:
        while effects and effects[0]["h"] < seq:
            effect = effects.pop(0)
            state[effect["bucket"]] = effect["state"]
        end = x.ends[0]
        if end.body.get("state") != "succeeded":
            continue
        target = x.steps[0].body["target"]
        wanted = SAFE if end.body["kind"] == "fix" else None
        if wanted is not None and state.get(target) != wanted:
            yield f"execution {x.id} succeeded, and the cloud shows {state.get(target)}"
    for effect in history.effects:
        state[effect["bucket"]] = effect["state"]
    for bucket, shown in history.raw["buckets"].items():
        if shown != state.get(bucket, OPEN):
            yield f"{bucket} is {shown}, by its effects it is {state.get(bucket, OPEN)}"


# --- figures ---------------------------------------------------------------------------------------------------------


def figures(history: History) -> Counter[str]:
    """What a history held, so that one that did nothing is seen."""
    made: Counter[str] = Counter()
    made["clicks"] = len(history.clicks)
    made["deliveries"] = sum(c["deliveries"] for c in history.clicks)
    made["acts"] = sum(1 for r in history.records if r.kind in set(ACTS.values()))
    made["decisions"] = len(history.decisions)
    made["executions"] = len(history.executions)
    made["takeovers"] = sum(max(0, len(x.claims) - 1) for x in history.executions.values())
    made["effects"] = len(history.effects)
    made["effects that changed something"] = sum(1 for e in history.effects if e["changed"])
    for r in history.records:
        if r.kind in {"replica.dead", "vote.withdrawn", "execution.blocked", *ENDS}:
            made[r.kind] += 1
        if r.kind == "decision.made":
            made[f"decision {r.body['outcome']}"] += 1
    for name, count in sorted(history.raw["counts"].items()):
        made[f"nemesis: {name}"] += count
    return made
