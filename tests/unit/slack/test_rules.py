"""Suppression rules, split and merge, and the daily message in Slack: dialogs, buttons and what Slack would take."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bot.domain.ids import RandomIds
from bot.governance.policy import Policy
from bot.intake.regroup import Regroup
from bot.intake.service import Intake
from bot.intake.suppression import Suppression
from bot.ports import Message
from bot.reports import attention as reports
from bot.store import causes
from cards import attention as cards
from cards import blockkit, lint
from handlers.slack.poster import SlackPoster
from tests.unit.intake.kit import Catalog, Mapper, raw
from tests.unit.intake.test_lifecycle import poll, row
from tests.unit.intake.test_stewardship import APPROVER, actor

from .fakes import CHANNEL, World, living

QUIET = {"severity": "LOW", "exposed": False, "tags": {"env": "dev"}}


class People:
    def __init__(self) -> None:
        self.groups: tuple[str, ...] = (APPROVER,)

    async def actor(self, _identity: Any) -> Any:
        return actor(*self.groups)


@pytest.fixture
async def noisy(tmp_path: Path) -> AsyncIterator[World]:
    """The real services of attention over three findings of two causes."""
    async with living(tmp_path) as made:
        engine: Any = made.app.desk.engine
        settings = made.app.desk.settings
        policy, ids = Policy.load(settings.governance), RandomIds()
        engine.people = People()
        engine.suppression = Suppression(made.db, settings, engine.clock, ids, policy)
        engine.regroup = Regroup(made.db, settings, engine.clock, ids, policy)
        intake = Intake(made.db, settings, Catalog(), engine.clock, ids)
        await poll(
            intake, Mapper(), [raw("a", rule="r1", **QUIET), raw("b", rule="r1", **QUIET), raw("c", rule="r2", **QUIET)]
        )
        yield made


def button(world: World, verb: str) -> dict[str, Any]:
    """The value of the last button of this verb that somebody was shown privately."""
    found = [
        element
        for call in world.slack.named("chat.postEphemeral")
        for block in (call["blocks"] if isinstance(call["blocks"], list) else json.loads(call["blocks"]))
        for element in block.get("elements", [])
        if element.get("action_id", "").startswith(f"gh.{verb}")
    ]
    return dict(json.loads(found[-1]["value"]))


async def test_a_rule_is_written_watches_is_activated_and_ended(noisy: World) -> None:
    await noisy.command('rules new "dev noise" env:dev rule:r1 until:14d rebuilt daily')
    assert "It would hide 2 findings of 3 open, and 1 card with them" in noisy.private
    assert row(noisy.db, "a").status == "open"
    await noisy.click("gh.rule_show", button(noisy, "rule_show"), trigger="t.2")
    assert "dev noise would hide" in noisy.private
    await noisy.click("gh.rule_activate", button(noisy, "rule_activate"), trigger="t.3")
    assert "is active and hides 2 findings" in noisy.private
    assert row(noisy.db, "a").status == "suppressed"
    await noisy.command("rules", trigger="t.4")
    assert "1 suppression rule is active and hides 2 findings" in noisy.private
    await noisy.click("gh.rule_show", button(noisy, "rule_show"), trigger="t.5")
    assert "dev noise hides" in noisy.private
    await noisy.click("gh.rule_end", button(noisy, "rule_end"), trigger="t.6")
    assert row(noisy.db, "a").status == "open"
    await noisy.command("rules all", trigger="t.7")
    assert "ended by Bob Brown" in noisy.private


async def test_who_may_not_activate_sees_no_button_and_a_forged_click_changes_nothing(noisy: World) -> None:
    people: Any = noisy.app.desk.engine.people
    people.groups = ()
    await noisy.command("rules new noise env:dev until:14d because")
    with pytest.raises(IndexError):
        button(noisy, "rule_activate")
    await noisy.click("gh.rule_activate", button(noisy, "rule_end"), trigger="t.2")
    assert "members of cloud-approvers" in noisy.private
    assert row(noisy.db, "a").status == "open"


async def test_a_rule_from_the_dialog(noisy: World) -> None:
    await noisy.click("gh.rule_new", {"x": "1"})
    view = noisy.slack.named("views.update")[0]["view"]
    assert lint.problems(view if isinstance(view, dict) else json.loads(view), "modal") == []
    given = {"name": "dev noise", "environment": "dev", "rule": "r1", "account": "", "source": "", "tag": "",
             "hours": "", "days": "14", "p1": "no", "reason": "rebuilt daily"}  # fmt: skip
    wide = given | {"environment": "-", "rule": ""}
    _, body = await noisy.submit("gh.rule_new", {"ch": CHANNEL}, wide)
    assert "narrow it" in body
    _, body = await noisy.submit("gh.rule_new", {"ch": CHANNEL}, given | {"hours": "late"})
    assert "hours" in json.loads(body)["errors"]
    await noisy.submit("gh.rule_new", {"ch": CHANNEL}, given)
    assert "“dev noise” watches. It would hide 2 findings" in noisy.private


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules frobnicate", "I do not know"),
        ("rules new x env:dev y", "Until when"),
        ("rules end sr-0", "there is no suppression rule"),
    ],
)
async def test_a_wrong_command_says_what_to_write(noisy: World, text: str, said: str) -> None:
    await noisy.command(text)
    assert said in noisy.private


async def test_split_and_merge_from_the_details(noisy: World) -> None:
    whole, other = str(row(noisy.db, "a").cause_id), str(row(noisy.db, "c").cause_id)
    await noisy.click("gh.regroup", {"c": whole})
    view = noisy.slack.named("views.update")[0]["view"]
    view = view if isinstance(view, dict) else json.loads(view)
    assert lint.problems(view, "modal") == []
    text = json.dumps(view)
    assert f"m:{other}" in text
    part = next(o["value"] for b in view["blocks"] if b.get("block_id") == "do" for o in b["element"]["options"]
                if o["value"].startswith("s:"))  # fmt: skip
    _, body = await noisy.submit("gh.regroup", {"c": whole, "ch": CHANNEL}, {"do": part, "reason": ""})
    assert "reason" in json.loads(body)["errors"]
    await noisy.submit("gh.regroup", {"c": whole, "ch": CHANNEL}, {"do": part, "reason": "another team's"})
    assert "Split off" in noisy.private
    assert len({row(noisy.db, uid).cause_id for uid in "abc"}) == 3
    await noisy.submit(
        "gh.regroup", {"c": other, "ch": CHANNEL}, {"do": f"m:{whole}", "reason": "one script"}, hash_="h2"
    )
    assert row(noisy.db, "c").cause_id == whole
    assert noisy.db.read_sync(causes.get, whole).open_count == 2


async def test_the_daily_message_says_all_in_text_where_no_picture_can_be_posted(noisy: World) -> None:
    settings, clock = noisy.app.desk.settings, noisy.app.desk.engine.clock
    now = clock.now() + timedelta(minutes=1)
    view = await noisy.db.read(reports.daily, settings, "slack:C0NONE", now - timedelta(days=1), now)
    sent = await SlackPoster(noisy.slack.client()).post(
        Message(kind="daily", subject=view.day, channel=CHANNEL, view=view, key="k1")
    )
    assert sent
    (message,) = noisy.slack.named("chat.postMessage")
    assert f"Daily message of {view.day}" in message["text"]
    payload = blockkit.message(cards.daily_card(view))
    assert lint.problems(payload, "message") == []
    assert "▁" in json.dumps(payload, ensure_ascii=False)


def test_a_sparkline_is_a_picture_of_text() -> None:
    assert cards.sparkline(()) == ""
    assert cards.sparkline((0, 0)) == "▁▁"
    assert cards.sparkline((0, 1, 4, 8)) == "▁▂▅█"


class Uploads:
    """A client that takes a message and a file."""

    def __init__(self) -> None:
        self.files: list[dict[str, Any]] = []

    async def chat_postMessage(self, **_given: Any) -> Any:
        return SimpleNamespace(data={"ok": True, "ts": "7.7"})

    async def files_upload_v2(self, **given: Any) -> Any:
        self.files.append(given)
        return SimpleNamespace(data={"ok": True})


@pytest.mark.parametrize("pictures", [True, False])
async def test_the_course_is_a_picture_in_the_thread_where_it_may_be(noisy: World, pictures: bool) -> None:
    pytest.importorskip("matplotlib")
    settings, now = noisy.app.desk.settings, noisy.app.desk.engine.clock.now() + timedelta(minutes=1)
    chosen = settings.attention.model_copy(update={"pictures": pictures})
    settings = settings.model_copy(update={"attention": chosen})
    view = await noisy.db.read(reports.daily, settings, "slack:C0NONE", now - timedelta(days=1), now)
    client: Any = Uploads()
    assert await SlackPoster(client).post(Message(kind="daily", subject=view.day, channel=CHANNEL, view=view)) == "7.7"
    assert len(client.files) == pictures
    for file in client.files:
        assert file["content"].startswith(b"\x89PNG")
        assert (file["channel"], file["thread_ts"]) == (CHANNEL, "7.7")
        assert file["alt_txt"].startswith("Line chart: New findings a day")
