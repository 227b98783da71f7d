"""Poster and directory against the fake Web API; health routes."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from bot.domain.errors import Gone, OutcomeUnknown, Refused, Relogin, RetryLater
from bot.domain.principals import Platform, PlatformIdentity
from bot.ports import Message
from bot.settings import Settings
from handlers.health.routes import routes
from handlers.slack.directory import SlackDirectory
from handlers.slack.poster import SlackPoster
from handlers.slack.web import client_for

from .fakes import ALICE, CHANNEL, TEAM, Clock, FakeSlack, cause_view

CARD = Message(kind="cause", subject="c-1", channel=CHANNEL, view=cause_view(), key="post-1")
WHO = PlatformIdentity(platform=Platform.SLACK, tenant=TEAM, user=ALICE)


# --- poster ----------------------------------------------------------------------------------------------------------


async def test_a_card_is_posted_with_its_key_and_updated_in_place(slack: FakeSlack) -> None:
    poster = SlackPoster(slack.client())
    ts = await poster.post(CARD)
    await poster.update(CARD, ts)
    posted, updated = slack.named("chat.postMessage")[0], slack.named("chat.update")[0]
    assert posted["metadata"] == {
        "event_type": "gatehouse_post",
        "event_payload": {"kind": "cause", "subject": "c-1", "key": "post-1"},
    }
    assert posted["blocks"][0]["block_id"] == "post-1"
    assert (updated["ts"], updated["channel"]) == (ts, CHANNEL)
    assert slack.wrong == []


async def test_a_line_goes_under_its_card_and_a_direct_one_to_the_persons_conversation(slack: FakeSlack) -> None:
    poster = SlackPoster(slack.client())
    await poster.post(
        Message(kind="thread", subject="c-1", channel=CHANNEL, view=None, text="<!here> hi", thread="1.1")
    )
    await poster.post(Message(kind="direct", subject="", channel=ALICE, view=None, text="for you"))
    first, second = slack.named("chat.postMessage")
    assert first["thread_ts"] == "1.1"
    assert first["text"] == "&lt;!here&gt; hi."
    assert second["channel"] == f"D{ALICE}"


def said(error: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    return (200, {"ok": False, "error": error}, {})


@pytest.mark.parametrize(
    ("answer", "on_post", "on_update"),
    [
        ((429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "12"}), RetryLater, RetryLater),
        (said("ratelimited"), RetryLater, RetryLater),
        (said("channel_not_found"), Refused, Refused),
        (said("invalid_blocks"), Refused, Refused),
        (said("not_in_channel"), Refused, Refused),
        (said("is_archived"), Refused, Refused),
        (said("message_not_found"), Gone, Gone),
        (said("invalid_auth"), Relogin, Relogin),
        (said("internal_error"), OutcomeUnknown, RetryLater),
        ((502, "<html>bad gateway</html>", {}), OutcomeUnknown, RetryLater),
        ((500, {"ok": False}, {}), OutcomeUnknown, RetryLater),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_failures_by_their_name(slack: FakeSlack, answer: Any, on_post: type, on_update: type) -> None:
    poster = SlackPoster(slack.client())
    slack.fail["chat.postMessage"].append(answer)
    slack.fail["chat.update"].append(answer)
    with pytest.raises(on_post) as posting:
        await poster.post(CARD)
    with pytest.raises(on_update):
        await poster.update(CARD, "1.1")
    if answer[2]:
        assert getattr(posting.value, "after", None) == 12


async def test_a_server_that_is_not_there_may_be_tried_again() -> None:
    settings = Settings(slack={"base_url": "http://127.0.0.1:9/api"})
    with pytest.raises(RetryLater):
        await SlackPoster(client_for(settings, "xoxb-x")).post(CARD)


async def test_a_lost_post_is_found_by_metadata_or_block_and_a_foreign_one_is_not(slack: FakeSlack) -> None:
    poster = SlackPoster(slack.client())
    ours = {"event_type": "gatehouse_post", "event_payload": {"key": "post-1"}}
    pages = [
        {"ok": True, "messages": [{"ts": "9", "blocks": [{"block_id": "post-1"}]}, {"ts": "8"}],
         "response_metadata": {"next_cursor": "n"}},
        {"ok": True, "messages": [{"ts": "7", "bot_id": "B", "metadata": {**ours, "event_payload": {"key": "post-2"}}},
                                  {"ts": "6", "bot_id": "B", "metadata": ours}]},
    ]  # fmt: skip
    slack.fail["conversations.history"] += [(200, page, {}) for page in pages]
    assert await poster.find(CARD) == "6"
    slack.fail["conversations.history"].append(
        (200, {"ok": True, "messages": [{"ts": "5", "bot_id": "B", "blocks": [{"block_id": "post-1"}]}]}, {})
    )
    assert await poster.find(CARD) == "5"
    slack.fail["conversations.history"].append((200, {"ok": True, "messages": []}, {}))
    assert await poster.find(CARD) is None


# --- directory -------------------------------------------------------------------------------------------------------


def directory(slack: FakeSlack, clock: Clock) -> SlackDirectory:
    settings = Settings(
        slack={"team": TEAM},
        groups={"approvers": {"slack": "S1"}, "named": {"members": ["alice"]}},
        governance={"membership_seconds": 60},
    )
    return SlackDirectory(slack.client(), settings, clock)


@pytest.mark.parametrize(
    ("user", "objection"),
    [
        ({}, None),
        ({"deleted": True}, "deactivated"),
        ({"is_restricted": True}, "guests"),
        ({"is_ultra_restricted": True}, "guests"),
        ({"is_bot": True}, "bot"),
        ({"is_stranger": True}, "another organisation"),
        ({"team_id": "T99"}, "another organisation"),
        ({"team_id": "T99", "enterprise_user": {"teams": [TEAM]}}, None),
    ],
)
async def test_standing_is_what_slack_says_of_the_user(
    slack: FakeSlack, user: dict[str, Any], objection: str | None
) -> None:
    slack.users[ALICE] = {"id": ALICE, "team_id": TEAM, **user}
    standing = await directory(slack, Clock()).standing(WHO)
    said = standing.objection()
    assert (said is None) if objection is None else (objection in (said or ""))


async def test_an_identity_of_another_workspace_is_external_whatever_slack_says(slack: FakeSlack) -> None:
    slack.users[ALICE] = {"id": ALICE, "team_id": TEAM}
    assert (await directory(slack, Clock()).standing(WHO.model_copy(update={"tenant": "T99"}))).external


async def test_an_unknown_user_is_inactive_and_an_unclear_answer_raises(slack: FakeSlack) -> None:
    slack.users.clear()
    assert not (await directory(slack, Clock()).standing(WHO)).active
    slack.users[ALICE] = {"id": "U_SOMEBODY_ELSE"}
    with pytest.raises(Refused):
        await directory(slack, Clock()).standing(WHO)
    slack.fail["users.info"].append((500, "oops", {}))
    with pytest.raises(RetryLater):
        await directory(slack, Clock()).standing(WHO)


async def test_groups_are_believed_for_their_time_only(slack: FakeSlack) -> None:
    clock = Clock()
    reader = directory(slack, clock)
    slack.groups["S1"] = [ALICE]
    assert await reader.groups(WHO) == {"S1"}
    slack.groups["S1"] = []
    clock.forward(59)
    assert await reader.groups(WHO) == {"S1"}
    clock.forward(2)
    assert await reader.groups(WHO) == frozenset()
    assert len(slack.named("usergroups.users.list")) == 2


async def test_a_group_that_cannot_be_read_has_no_members_and_an_outage_raises(slack: FakeSlack) -> None:
    reader = directory(slack, Clock())
    assert await reader.groups(WHO) == frozenset()  # no_such_subteam
    slack.fail["usergroups.users.list"].append((503, "busy", {}))
    with pytest.raises(RetryLater):
        await reader.groups(WHO)


# --- health ----------------------------------------------------------------------------------------------------------


async def test_ready_names_what_is_not_well_and_tells_no_secret() -> None:
    async def fine() -> None:
        return

    async def broken() -> None:
        raise RuntimeError("password=hunter2")

    for checks, status in (({"database": fine}, 200), ({"database": fine, "slack": broken}, 503)):
        site = web.Application()
        site.add_routes(routes(checks))
        async with TestClient(TestServer(site)) as client:
            assert (await client.get("/healthz")).status == 200
            answer = await client.get("/readyz")
            text = await answer.text()
            assert answer.status == status
            assert "hunter2" not in text
            assert ("failed" in text) is (status == 503)
