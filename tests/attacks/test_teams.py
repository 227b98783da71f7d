"""Teams: anybody presses anything with anything, for a while. What was decided was decided by who may.

The buttons are those of cards that somebody was shown, and their ids are mixed, old or made up; the inputs are what the
forms offer, or not. Whatever comes, the answer is a card or a sentence, never a fault.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bot.domain.findings import Severity
from bot.store import ledger
from bot.store.ledger import LEDGER
from cards.lint_adaptive import problems
from handlers.teams import desk
from tests.unit.remediation.standing_kit import IN_DEV
from tests.unit.teams.governed import IDS, OUTSIDER, Governed, actions, governing
from tests.unit.teams.world import TENANT, activity, press

PRESSES = 80
APPROVERS = {"ann", "abe"}
KNOWN = {*IDS}
PEOPLE = {**IDS, "outsider": OUTSIDER}
TYPED = [
    "standing", "standing revoke ID why", "rules", "rules end ID", "rules hidden ID", "why ID", "fix ID", "approvals",
    "finding ID", "rules new noise env:dev rule:lamp-* until:14d why", "freeze env:dev why", "unfreeze env:dev why",
    "unfreeze env:dev why", "delegations", "home",
]  # fmt: skip
# Delegating makes others voters, lawfully; who votes then is tests/unit/teams/test_delegation.py's matter.
VERBS = sorted((set(desk.ACTIONS) | set(desk.SUBMISSIONS)) - {"send_delegate"})
DECIDES = {"review", "send_review", "pre_approve", "send_pre_approve", "standing_revoke", "glass", "send_glass"}
# Who may, by what the ledger says was done; docs/policy.md and the policy of this world say the same.
ONLY: dict[str, set[str]] = {
    "vote.cast": APPROVERS, "decision.made": APPROVERS, "standing.granted": APPROVERS, "standing.revoked": APPROVERS,
    "suppression.active": APPROVERS, "suppression.signed": APPROVERS, "break_glass.used": APPROVERS,
    "break_glass.reviewed": APPROVERS, "request.made": KNOWN, "cause.passed_on": KNOWN, "cause.snoozed": KNOWN,
    "freeze.began": APPROVERS, "freeze.ended": APPROVERS, "cause.split": KNOWN, "cause.merged": KNOWN,
    "suppression.written": KNOWN,
}  # fmt: skip
CHOICES = ["approve", "approve", "approve", "ask", "ask", "reject", "cancel", "withdraw", "", "APPROVE"]
# Of each input what a form would take, and then what it would not.
GIVEN: dict[str, list[str]] = {
    "reason": ["because", "because", "", "<at>x</at>"],
    "confirm": ["1", "2", ""],
    "word": ["BREAK GLASS", "break glass", ""],
    "comment": ["seen", ""],
    "to": ["platform", "-", "nobody"],
    "days": ["7", "30", "0", "x"],
    "environment": ["dev", "-", "prod"],
    "account": ["-", ""],
    "owner": ["platform", "-"],
    "cap": ["1", "2", "99", "²"],
    "name": ["noise", ""],
    "rule": ["lamp-*", ""],
    "p1": ["no", "yes"],
}


class Crowd:
    """Presses at random; keeps the buttons of every card that was shown to anybody."""

    def __init__(self, world: Governed, seed: int) -> None:
        self.world, self.random = world, random.Random(seed)
        self.seen: dict[str, list[dict[str, Any]]] = {}
        self.ids: dict[str, set[Any]] = {"c": set(), "h": {"0" * 64}, "v": {0, 1, 99}, "p": {"plan-0"}, "q": {"req-0"}}
        self.choices: list[str] = ["undo", "x:1", ""]
        self.last: list[tuple[str, dict[str, Any]]] = []  # buttons of the card that was shown last
        self.answers: Counter[str] = Counter()

    def keep(self, body: dict[str, Any]) -> None:
        self.last = []
        for action in actions({"value": body}):
            data = action.get("data") or {}
            verb = str(action.get("verb") or data.get("verb") or "").removeprefix("gh.")
            value = json.loads(data.get("gh") or "{}")
            if verb:
                self.seen.setdefault(verb, []).append(value)
                self.last.append((verb, value))
            for key, each in value.items():
                self.ids.setdefault(key, set()).add(each)
        for element in body.get("body", ()):
            if element.get("id") == "do":
                self.choices += [choice["value"] for choice in element["choices"]]

    def value(self, verb: str) -> dict[str, Any]:
        pick = self.random.choice
        shown = self.seen.get(verb)
        made = dict(pick(shown)) if shown and self.random.random() < 0.8 else {"c": pick(sorted(self.ids["c"]))}
        while self.random.random() < 0.3:  # of another card, another time, or of nothing
            key = pick(sorted(self.ids))
            made[key] = pick(sorted(self.ids[key], key=str))
        return made

    def given(self) -> dict[str, str]:
        chance, pick = self.random.random, self.random.choice
        made = {
            name: values[0] if chance() < 0.8 else pick(values) for name, values in GIVEN.items() if chance() < 0.97
        }
        return made | {"choice": pick(CHOICES), "do": pick(self.choices)}

    async def type(self) -> None:
        """A command in the 1:1 chat, of whomever, about whatever was seen."""
        pick, number = self.random.choice, self.random.randrange(8 * PRESSES)
        name, user = pick(list(PEOPLE.items()))
        words = pick(TYPED).split("ID")
        text = str(pick(sorted(self.ids[pick(sorted(self.ids))], key=str))).join(words)
        personal = {"conversationType": "personal", "id": f"a:{name}"}
        said = activity(text=text, user=user, id=f"t-{number}", conversation=personal,
                        channelData={"tenant": {"id": TENANT}})  # fmt: skip
        await self.world.come(said)
        body = self.world.tenant.asked[-1][2]
        for each in body.get("attachments", ()):
            assert problems(each["content"]) == [], text
            assert "Something went wrong" not in json.dumps(body), text
            self.keep(each["content"])

    async def press(self) -> None:
        user = self.random.choice([*PEOPLE.values(), IDS["ann"], IDS["olga"]])
        shown = sorted(set(self.seen) & set(VERBS))
        decides = [verb for verb in shown if verb in DECIDES]
        verb = self.random.choice(decides * 2 + shown if shown and self.random.random() < 0.8 else VERBS)
        value, onward = self.value(verb), [each for each in self.last if each[0] in VERBS and each[0] != "card"]
        if onward and self.random.random() < 0.6:  # goes on from what was shown last, to whomever
            verb, value = onward[-1] if self.random.random() < 0.5 else self.random.choice(onward)
        number = str(self.random.randrange(8 * PRESSES))  # now and then one that was delivered before
        pressed = press(f"gh.{verb}", value, user, self.given(), id=f"r-{number}")
        if self.random.random() < 0.2:  # the same from a dialog
            data = pressed["value"]["action"]["data"] | {"verb": f"gh.{verb}"}
            pressed |= {"name": "task/submit", "value": {"data": data}}
        answer = await self.world.come(pressed)
        assert "Something went wrong" not in json.dumps(answer), pressed["value"]
        body = answer["task"]["value"] if "task" in answer else answer["value"]
        if isinstance(body, str):
            self.answers["said"] += 1
            return
        body = body["card"]["content"] if "task" in answer else body
        assert answer.get("statusCode", 200) == 200, (verb, answer)
        assert problems(body) == [], verb
        assert body["fallbackText"]
        self.answers["no" if "⛔" in json.dumps(body, ensure_ascii=False) else "shown"] += 1
        self.keep(body)


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_a_crowd_presses_only_who_may_decides(seed: int, tmp_path: Path) -> None:
    async with governing(tmp_path, IN_DEV) as world:
        crowd = Crowd(world, seed)
        for names, env in ((("desk", "hall"), "dev"), (("attic",), "prod"), (("porch",), "dev")):
            crowd.ids["c"].add(await world.ingest(*names, env=env, severity=Severity.HIGH))
        for who in ("ann", "olga"):
            crowd.keep((await world.say(who, "rules"))["value"])
            for cause in sorted(crowd.ids["c"]):
                for verb in ("review", "details"):
                    crowd.keep((await world.press(who, verb, {"c": cause}))["value"])
        for number in range(PRESSES):
            await (crowd.type() if number % 12 == 11 else crowd.press())
            if number % 40 == 39:
                world.clock.pass_(minutes=1)
                while await world.engine.executor.work_once():
                    pass
        await referee(world)
        assert crowd.answers["no"] > 10  # it was a crowd that tries
        assert crowd.answers["shown"] > 30


async def referee(world: Governed) -> None:
    """Only what the ledger and the tables say; nothing of how it came about."""
    rows = await world.db.read(lambda conn: conn.execute(LEDGER.select().order_by(LEDGER.c.seq)).all())
    assert (await world.db.read(ledger.verify)).ok
    asked_by: dict[str, str] = {}
    done: Counter[str] = Counter()
    for row in rows:
        done[row.kind] += 1
        if row.kind in ONLY:
            assert row.actor in ONLY[row.kind] | {"gatehouse"}, (row.kind, row.actor)
        if row.kind == "request.made":
            asked_by[row.subject] = row.actor
    sql = (
        "SELECT v.principal_id, r.requested_by FROM votes v JOIN approval_requests r ON r.id = v.request_id "
        "WHERE v.choice = 'approve'"
    )
    for voter, requester in await world.db.read(lambda conn: conn.exec_driver_sql(sql).all()):
        assert voter in APPROVERS
        assert voter != requester  # four eyes
    queued = await world.db.read(lambda conn: conn.exec_driver_sql("SELECT decision_id FROM executions").all())
    assert len(queued) == len({row[0] for row in queued})  # a decision is carried out once
    outcomes = [json.loads(row.body)["outcome"] for row in rows if row.kind == "decision.made"]
    assert len(queued) == outcomes.count("approved")
    hidden = await world.db.read(
        lambda conn: conn.exec_driver_sql("SELECT count(*) FROM findings WHERE status = 'suppressed'").scalar_one()
    )
    assert not hidden or done["suppression.active"]
