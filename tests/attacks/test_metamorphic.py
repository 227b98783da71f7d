"""Swap every string an attacker can write for a hostile one, with a model that does its bidding: nothing that is
decided changes, nothing lives on a card, nothing planted leaves."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot.domain.decisions import Choice
from bot.domain.errors import Denied
from bot.domain.plans import Plan
from cards import blockkit, build, lint
from tests.attacks.adversary import adversary
from tests.attacks.corpus import corpus
from tests.attacks.inline import InlineDatabase
from tests.unit.narrative.kit import SLOTS, Scene, StubModel, attacked, texts_of
from tests.unit.remediation.conftest import CountingIds, FakeClock, Lamps

# Planted in every slot beside the attack. Built here, so that no scanner takes this file for a leak.
CANARIES = (
    "AKIA" + "QYLPMN5HFIQR7XYZ",
    "wJalrXUtnFEMI" + "/K7MDENG/bPxRfiCYzzCANARYZZ",
    "ghp_" + "Canary0123456789abcdefABCDEF012345",
    "xoxb-" + "111111111111-canarycanarycanary",
    "canary.person@corp.example",
    "10.77.66.55",
    "Olga Owner",
    "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlY2FuYXJ5",
    "-----BEGIN " + "PRIVATE KEY-----\nTUlJQ2FuYXJ5Q2FuYXJ5\n-----END PRIVATE KEY-----",
    "password=" + "Canary-hunter-2",
)
FRAGMENTS = (
    "QYLPMN5HFIQR7XYZ", "bPxRfiCYzzCANARYZZ", "Canary0123456789", "canarycanarycanary", "canary.person", "10.77.66.55",
    "Olga", "eyJzdWIiOiJjYW5hcnkifQ", "TUlJQ2FuYXJ5Q2FuYXJ5", "Canary-hunter-2",
)  # fmt: skip
COLUMNS = ("priority", "decision", "severity", "environment", "owner", "channels", "playbook", "state", "due",
           "open_count", "total_count", "resource_count")  # fmt: skip
FINDING = ("status", "priority", "decision", "due", "environment", "owner", "severity", "suppressed_at", "result",
           "internet_exposed", "kev", "cvss")  # fmt: skip


class Lab:
    """One scene whose database goes back to where it was before each run."""

    def __init__(self, folder: Path, model: StubModel | None) -> None:
        self.scene = Scene(folder / "s.db", model=model, model_settings={"tokens_per_day": 10**9} if model else None)
        copy = folder / "copy.db"
        self.scene.db.close_sync()
        shutil.copyfile(folder / "s.db", copy)
        self.inline = InlineDatabase(copy)

    async def run(self, text: Callable[[str], str]) -> bytes:
        """What was decided, as bytes."""
        self.inline.reset()
        scene = self.scene
        scene.clock, scene.ids, scene.cloud = FakeClock(), CountingIds(), Lamps()
        scene.directory.clock = scene.clock
        scene.poster.posts.clear()
        scene.poster.updates.clear()
        scene.connect(self.inline)
        await scene.live(*attacked(text))
        return await self.decided(text)

    async def decided(self, text: Callable[[str], str]) -> bytes:
        scene = self.scene
        causes = {row["rule_uid"]: row for row in await scene.rows("causes")}
        cards = {row["rule_uid"]: (await scene.board.cause(row["id"])) for row in causes.values()}
        out: dict[str, Any] = {
            "causes": {rule: {name: row[name] for name in COLUMNS} for rule, row in causes.items()},
            "stages": {rule: (view.stage, [r.input + r.value for r in view.reasons]) for rule, view in cards.items()},
            "findings": {
                row["uid"]: {name: row[name] for name in FINDING} for row in await scene.rows("findings")
            },
            "buttons": {
                rule: [(b.action, b.label) for b in _buttons(build.cause_card(view))] for rule, view in cards.items()
            },
            # where something was said; prose that is there or not is one update more or less
            "outbox": sorted({(r["kind"], r["platform"], r["channel"]) for r in await scene.rows("outbox")}),
        }  # fmt: skip
        cause = causes["lamp-on"]["id"]
        out["may"] = {}
        for user in ("UOLGA", "UANN", "USUE", "UNICK"):
            view = await scene.approvals.look(cause, await scene.actor(user))
            out["may"][user] = [(o.option.value, o.allowed, o.rule) for o in view.options]
            out["could"], out["rule"] = view.could, view.rule.model_dump()
            out["actions"] = _actions(view.plan, text)
        olga, ann, nick = [await scene.actor(user) for user in ("UOLGA", "UANN", "UNICK")]
        view = await scene.approvals.look(cause, olga)
        request = await scene.approvals.ask(view.plan.id, view.plan_hash, olga, text("comment"))
        with pytest.raises(Denied) as no:
            await scene.approvals.vote(
                request.id, request.plan_hash, request.revision, nick, Choice.APPROVE, text("reply")
            )
        decided = await scene.approvals.vote(
            request.id, request.plan_hash, request.revision, ann, Choice.APPROVE, text("reply")
        )
        out["request"] = (no.value.rule, request.state, request.missing, decided.state, decided.rule.quorum)
        await scene.deliver()
        return json.dumps(out, sort_keys=True, default=str).encode()


def _buttons(card: Any) -> list[Any]:
    return [
        button for part in card.body if hasattr(part, "items") for button in part.items if hasattr(button, "action")
    ]


def _actions(plan: Plan, text: Callable[[str], str]) -> list[Any]:
    """The calls of a plan; the resource an attacker named is called so."""
    from bot.intake.cleaning import clean

    names = {text("uid"), clean(text("uid"), 600), clean(text("uid"))}
    return sorted(
        (change.call.service, change.call.operation, json.dumps(change.call.params.get("to")), change.call.account,
         "the named one" if change.target.uid in names else change.target.uid)
        for change in plan.changes
    )  # fmt: skip


def hostile(attack: str, at: int) -> Callable[[str], str]:
    """The attack in every slot, a canary behind it; slots differ, so that none is another's name by chance."""

    def text(slot: str) -> str:
        canary = CANARIES[(at + (SLOTS.index(slot) if slot in SLOTS else 0)) % len(CANARIES)]
        return f"{attack} {canary}" if slot not in {"uid", "version"} else attack[:400] or "x"

    return text


MARKUP = re.compile(r"<[^>\n]*>?")
OURS = re.compile(r"<!date\^\d+\^[^|>]+\|[^|<>]+>|<@(?:UOLGA|UANN|UABE|USUE|UNICK)>")


def alive(payloads: list[Any]) -> list[str]:
    """Markup in what was sent that is not ours. Every ``<`` of others is escaped."""
    return [
        found.group()[:80]
        for kind, text in texts_of(payloads)
        for found in MARKUP.finditer(text)
        if kind != "plain_text" and not OURS.fullmatch(found.group())
    ] + [
        text[:80] for kind, text in texts_of(payloads) if kind == "plain_text" and re.search(r"<[@!#]|<https?:", text)
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_no_hostile_string_changes_what_is_decided(tmp_path: Path) -> None:
    """Every string of the corpus in every slot at once, with the adversary as the model, against inert words without
    any model: 0 differences."""
    strings = corpus()
    assert len(strings) >= 300
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    inert = await Lab(tmp_path / "a", None).run(lambda slot: f"{slot} of the hall")
    model = StubModel(by=adversary)
    lab = Lab(tmp_path / "b", model)
    different, living, unsound, leaked, prose = [], [], [], [], 0
    for at, attack in enumerate(strings):
        before = len(model.requests)
        if await lab.run(hostile(attack, at)) != inert:
            different.append(attack[:60])
        payloads = list(lab.scene.poster.all)
        for row in await lab.scene.rows("causes"):
            view = await lab.scene.board.cause(row["id"])
            payloads.append(blockkit.modal(build.details_card(view), callback_id="gh.show", title="Details"))
            if view.narrative is not None and view.narrative.model:
                prose += 1
                call = await lab.scene.narratives.why(row["id"])
                payloads.append(blockkit.modal(build.call_card(call), callback_id="gh.show", title="Why"))
        living += [(attack[:40], found) for found in alive(payloads)]
        for payload in payloads:
            surface: Any = "modal" if payload.get("type") == "modal" else "message"
            unsound += [(attack[:40], problem) for problem in lint.problems(payload, surface)]
        told = "\n".join(text for request in model.requests[before:] for _, text in request.messages)
        told += "\n".join(row["input"] for row in await lab.scene.rows("model_calls"))
        leaked += [(attack[:40], fragment) for fragment in FRAGMENTS if fragment in told]
    lab.inline.close()
    assert different == []
    assert living == []
    assert unsound == []
    assert leaked == []
    assert len(model.requests) >= len(strings)  # the adversary was asked every time …
    assert prose > 0  # … and some of what it said is shown, as prose that decides nothing


async def test_the_measure_can_fail(tmp_path: Path) -> None:
    """A tag that routes is seen by it, a fragment that leaves, markup that lives."""
    (tmp_path / "a").mkdir()
    lab = Lab(tmp_path / "a", None)
    inert = await lab.run(lambda slot: f"{slot} of the hall")
    assert await lab.run(lambda slot: "platform" if slot == "owner_tag" else f"{slot} of the hall") != inert
    assert alive([{"type": "mrkdwn", "text": "<!channel> &lt;!here&gt;"}]) == ["<!channel>"]
    lab.inline.close()
