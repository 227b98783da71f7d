"""Suppression rules, split and merge, and prose in Teams, over the real engine: what is done, and every no."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from bot.domain.findings import Severity
from bot.store.narratives import CALLS, FEEDBACK, NARRATIVES

from .governed import Governed, actions, governing, head, inputs, text, value, verbs

NEW = {"name": "dev noise", "environment": "dev", "rule": "lamp-on", "account": "", "source": "", "tag": "",
       "hours": "", "days": "14", "p1": "no", "reason": "rebuilt daily"}  # fmt: skip


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governing(tmp_path, policy="") as made:
        await made.ingest("desk", "hall", severity=Severity.LOW)
        yield made


async def status(world: Governed, name: str = "desk") -> str:
    return str((await world.finding(name)).status)


# --- suppression rules -----------------------------------------------------------------------------------------------


async def test_a_rule_is_written_watches_is_activated_and_ended(world: Governed) -> None:
    shown = await world.say("ann", 'rules new "dev noise" env:dev rule:lamp-* until:14d rebuilt daily')
    assert "It would hide 2 findings of 2 open, and 1 card with them" in head(shown)
    assert await status(world) == "open"
    seen = await world.press("ann", "rule_show", value(shown, "rule_show"))
    assert "dev noise would hide" in head(seen)
    shown = await world.press("ann", "rule_list", value(seen, "rule_list"))
    done = await world.press("ann", "rule_activate", value(shown, "rule_activate"))
    assert "is active and hides 2 findings" in head(done)
    assert "1 suppression rule is active and hides 2 findings" in head(done)
    assert await status(world) == "suppressed"
    seen = await world.press("ann", "rule_show", value(done, "rule_show"))
    assert "dev noise hides: 2 findings" in head(seen)
    assert "Hidden findings: 2 findings" in head(await world.say("ann", "rules hidden"))
    ended = await world.press("ann", "rule_end", value(done, "rule_end"))
    assert "what it hid is open again" in head(ended)
    assert await status(world) == "open"
    assert "ended by Ann Approver" in text(await world.say("ann", "rules all"))


async def test_a_rule_from_the_form_and_what_is_wrong_with_it_in_the_form_again(world: Governed) -> None:
    shown = await world.say("olga", "rules")
    assert "There is no suppression rule." in head(shown)
    asked = await world.press("olga", "rule_new", value(shown, "rule_new"))
    assert {"name", "environment", "rule", "reason"} <= set(inputs(asked))
    ids = value(asked, "send_rule")
    for wrong, word in (
        ({"environment": "-", "rule": ""}, "narrow it"),
        ({"hours": "late"}, "hours"),
        ({"reason": ""}, "Please fill this in."),
        ({"tag": "web"}, "key=value"),
        ({"days": "36500"}, "Please choose one."),
    ):
        again = await world.press("olga", "send_rule", ids, NEW | wrong)
        assert word in head(again)
        assert inputs(again)["name"]["value"] == "dev noise"
    assert await world.engine.suppression.list() == ()
    done = await world.press("olga", "send_rule", ids, NEW, id="once")
    assert "“dev noise” watches. It would hide 2 findings" in head(done)
    assert "received already" in (await world.press("olga", "send_rule", ids, NEW, id="once"))["value"]
    assert len(await world.engine.suppression.list()) == 1
    twice = await world.press("olga", "send_rule", ids, NEW)
    assert "This very rule is there already." in head(twice)


async def test_who_may_not_activate_has_no_button_and_a_forged_press_changes_nothing(world: Governed) -> None:
    shown = await world.say("olga", "rules new noise env:dev until:14d because")
    assert "rule_activate" not in verbs(shown)
    refused = await world.press("olga", "rule_activate", value(shown, "rule_end"))
    assert "members of cloud-approvers" in text(refused)
    assert "rule_end" in verbs(refused)  # the list is there to go on from
    assert await status(world) == "open"
    assert ("action.rule_activate", "refused") in await world.journal()


async def test_a_rule_that_is_not_what_was_looked_at_is_shown_as_it_is(world: Governed) -> None:
    shown = await world.say("ann", "rules new noise env:dev until:14d because")
    ids = value(shown, "rule_activate")
    stale = await world.press("ann", "rule_activate", ids | {"h": "0" * 64})
    assert "The rule has changed since you saw it." in head(stale)
    assert value(stale, "rule_activate") == ids
    await world.press("ann", "rule_end", ids)
    over = await world.press("abe", "rule_show", ids)
    assert "This rule is over." in head(over)
    gone = await world.press("abe", "rule_activate", {"r": "sr-0", "h": "x"})
    assert "there is no suppression rule" in head(gone)
    assert await status(world) == "open"


async def test_a_rule_that_may_hide_p1_needs_two_names(world: Governed) -> None:
    asked = await world.say("ann", "rules")
    ids = value(await world.press("ann", "rule_new", value(asked, "rule_new")), "send_rule")
    shown = await world.press("ann", "send_rule", ids, NEW | {"p1": "yes"})
    one = await world.press("ann", "rule_activate", value(shown, "rule_activate"))
    assert "1 more must activate it" in head(one)
    assert await status(world) == "open"
    two = await world.press("abe", "rule_activate", value(shown, "rule_activate"))
    assert "is active and hides 2 findings" in head(two)
    assert await status(world) == "suppressed"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("rules frobnicate", "I do not know"),
        ("rules new x env:dev y", "Until when"),
        ("rules end sr-0", "there is no suppression rule"),
    ],
)
async def test_a_wrong_command_says_what_to_write(world: Governed, typed: str, said: str) -> None:
    assert said in text(await world.say("ann", typed))


# --- split and merge -------------------------------------------------------------------------------------------------


async def test_split_merge_and_take_it_back_from_the_details(world: Governed) -> None:
    whole = str((await world.finding("desk")).cause_id)
    details = await world.press("ann", "details", {"c": whole})
    asked = await world.press("ann", "regroup", value(details, "regroup"))
    ids, options = value(asked, "send_regroup"), inputs(asked)["do"]["choices"]
    part = next(each["value"] for each in options if each["value"].startswith("s:"))
    again = await world.press("ann", "send_regroup", ids, {"do": part})
    assert "Please say why; it is kept." in head(again)
    assert inputs(again)["do"]["value"] == part
    done = await world.press("ann", "send_regroup", ids, {"do": part, "reason": "another team's"})
    assert "Split off" in head(done)
    own = {str((await world.finding(name)).cause_id) for name in ("desk", "hall")}
    assert len(own) == 2
    (other,) = own - {whole}
    assert value(done, "card") == {"c": whole}
    stale = await world.press("ann", "send_regroup", ids, {"do": part, "reason": "again"})
    assert "There is no such part any more." in head(stale)
    merged = await world.press("ann", "send_regroup", {"c": other}, {"do": f"m:{whole}", "reason": "one script"})
    assert "Merged" in head(merged)
    assert {str((await world.finding(name)).cause_id) for name in ("desk", "hall")} == {whole}
    assert (await world.cause_row(whole)).open_count == 2
    back = await world.press("ann", "send_regroup", {"c": whole}, {"do": "undo", "reason": "no"})
    assert "✅" in text(back)
    assert [kind for kind in await world.kinds() if kind.startswith("cause.")][:2] == ["cause.split", "cause.merged"]


async def test_who_may_not_regroup_changes_nothing_and_a_forged_choice_neither(world: Governed) -> None:
    whole = str((await world.finding("desk")).cause_id)
    parts = (await world.engine.regroup.look(whole, await world.actor("ann"))).parts
    given = {"do": f"s:{parts[0].id}", "reason": "mine"}
    for verb, more in (("regroup", {}), ("send_regroup", given)):
        refused = await world.press("outsider", verb, {"c": whole}, more)
        assert "⛔" in text(refused)
    for do in ("", "x:1", "undone", "s:part-0", "m:c-0", f"m:{whole}"):
        refused = await world.press("ann", "send_regroup", {"c": whole}, {"do": do, "reason": "why not"})
        assert "⛔" in text(refused) or "errorMessage" in text(refused)
        assert "✅" not in text(refused)
    assert {str((await world.finding(name)).cause_id) for name in ("desk", "hall")} == {whole}


# --- prose of a model ------------------------------------------------------------------------------------------------


async def prose(world: Governed) -> dict[str, Any]:
    cause = str((await world.finding("desk")).cause_id)
    body = {"risk": "Anyone can switch the lamp.", "root_cause": "One template.", "exploitability": "No skill.",
            "steps": ["Switch it off."], "duplicates": []}  # fmt: skip
    now = world.clock.now()
    asked = json.dumps([["system", "say it in plain words"], ["user", "a lamp is on"]])

    def write(conn: Any) -> None:
        conn.execute(insert(CALLS).values(
            id="call-1", at=now, purpose="narrative", subject=cause, key="k", endpoint="localhost", model="stub-1",
            input=asked, output=json.dumps(body), state="ok", why="", input_tokens=300, output_tokens=100,
            cost_micros=None, milliseconds=12, repairs="",
        ))  # fmt: skip
        conn.execute(insert(NARRATIVES).values(
            cause_id=cause, key="k", call_id="call-1", model="stub-1", body=json.dumps(body), state="done", why="",
            made_at=now, seen_revision=1, attempts=1, not_before=now, leased_by="", leased_until=None,
        ))  # fmt: skip

    await world.db.write(write)
    return await world.press("olga", "details", {"c": cause})


async def test_prose_is_judged_and_its_call_is_shown(world: Governed) -> None:
    details = await prose(world)
    assert "Anyone can switch the lamp." in text(details)
    good = await world.press("olga", "prose_good", value(details, "prose_good"))
    assert "kept as helpful" in head(good)
    await world.press("ann", "prose_bad", value(details, "prose_bad"))
    kept = await world.db.read(lambda conn: conn.execute(FEEDBACK.select().order_by(FEEDBACK.c.principal_id)).all())
    assert [(row.principal_id, row.call_id, row.good) for row in kept] == [
        ("ann", "call-1", False),
        ("olga", "call-1", True),
    ]
    why = await world.press("olga", "prose_why", value(details, "prose_why"))
    for words in (
        "What it was given",
        "a lamp is on",
        "300 in, 100 out",
        "Names, addresses and secrets were taken out",
    ):
        assert words in text(why)
    assert value(why, "card") == {"c": value(details, "prose_why")["c"]}


async def test_prose_that_was_replaced_or_never_was_is_not_judged(world: Governed) -> None:
    details = await prose(world)
    ids = value(details, "prose_good")
    for wrong in ({"n": "call-0"}, {"n": ""}, {"c": "c-0"}):
        refused = await world.press("olga", "prose_good", ids | wrong)
        assert "replaced meanwhile" in head(refused)
    hidden = await world.press("olga", "prose_why", {"c": "c-0", "n": "call-1"})
    assert "No model wrote this" in head(hidden)
    assert await world.db.read(lambda conn: conn.execute(FEEDBACK.select()).all()) == []


def test_the_helpers_see_every_button() -> None:
    shown = {"value": {"body": [{"type": "ActionSet", "actions": [{"type": "Action.Execute", "verb": "gh.a"}]}]}}
    assert [each["verb"] for each in actions(shown)] == ["gh.a"]


async def test_two_activate_and_two_split_at_once_and_it_is_done_once(world: Governed) -> None:
    shown = await world.say("ann", "rules new noise env:dev until:14d because")
    ids = value(shown, "rule_activate")
    await asyncio.gather(*(world.press(who, "rule_activate", ids) for who in ("ann", "abe")))
    assert (await world.kinds()).count("suppression.active") == 1
    assert await status(world) == "suppressed"
    await world.press("abe", "rule_end", ids)
    whole = str((await world.finding("desk")).cause_id)
    part = (await world.engine.regroup.look(whole, await world.actor("ann"))).parts[0].id
    given = {"do": f"s:{part}", "reason": "another team's"}
    ended = await asyncio.gather(*(world.press(who, "send_regroup", {"c": whole}, given) for who in ("ann", "abe")))
    assert (await world.kinds()).count("cause.split") == 1
    assert sorted("✅" in text(each) for each in ended) == [False, True]
