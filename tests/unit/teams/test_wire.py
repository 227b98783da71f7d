"""Posts, updates and look-ups over a local connector: what is sent, and what each failure becomes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.domain.errors import Gone, OutcomeUnknown, Refused, Relogin, RetryLater
from bot.domain.principals import Platform, PlatformIdentity
from bot.domain.silence import DailyView
from bot.domain.triage import Priority
from bot.domain.views import Notice
from bot.ports import Message
from bot.settings import Settings
from bot.store import teams as store
from bot.store.database import Database
from bot.store.migrate import upgrade
from cards.lint_adaptive import activity_problems
from handlers.teams.directory import TeamsDirectory
from handlers.teams.poster import TeamsPoster
from handlers.teams.wire import Closed, TeamsWire
from tests.unit.cards.test_cards import cause

from .world import ALICE, APP, CHANNEL, TENANT, served, settings

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


class Clock:
    def now(self) -> datetime:
        return NOW


class Tokens:
    def __init__(self) -> None:
        self.dropped = 0

    async def token(self) -> str:
        return "secret"

    def drop_token(self) -> None:
        self.dropped += 1


class Connector:
    """Answers from a list, and remembers what was asked."""

    def __init__(self, *answers: tuple[int, Any, dict[str, str]]) -> None:
        self.answers, self.asked = list(answers), []  # type: ignore[var-annotated]
        self.tokens = Tokens()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.path, body, request.headers.get("Authorization")))
        status, answer, headers = (
            self.answers.pop(0) if self.answers else (200, {"id": "1795", "activityId": "1795"}, {})
        )
        return web.json_response(answer, status=status, headers=headers)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[tuple[TeamsWire, str]]:
        async with served([web.route("*", "/{path:.*}", self._take)]) as url:
            wire = TeamsWire(self.tokens, Clock(), timeout=2)
            try:
                yield wire, f"{url}/emea/"
            finally:
                await wire.close()


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path}/t.db"
    upgrade(url)
    made = Database(url)
    yield made
    await made.close()


def conversation(url: str, **more: Any) -> store.Conversation:
    base = {"tenant": TENANT, "id": CHANNEL, "kind": "channel", "service_url": url, "bot": f"28:{APP}"}
    return store.Conversation(**(base | more))


def message(**more: Any) -> Message:
    base: dict[str, Any] = {"kind": "cause", "subject": "c-1", "channel": CHANNEL, "view": cause("Bucket is public")}
    return Message(**(base | more))


def made_settings() -> Settings:
    return settings("http://127.0.0.1:9/oidc")


async def test_a_card_becomes_a_thread_of_its_own_and_is_updated_in_place(db: Database) -> None:
    connector = Connector()
    async with connector.serving() as (wire, url):
        await db.write(store.keep_conversation, conversation(url), NOW)
        poster = TeamsPoster(wire, db, made_settings(), Clock())
        assert await poster.post(message()) == "1795"
        await poster.update(message(), "1795")
        await poster.post(message(kind="thread", thread="1795", text="Approved."))
    (_, path, body, login), (put, update_path, updated, _), (_, reply_path, reply, _) = connector.asked
    assert (path, login) == ("/emea/v3/conversations", "Bearer secret")
    assert body["channelData"] == {"channel": {"id": CHANNEL}, "tenant": {"id": TENANT}}
    assert (body["isGroup"], body["bot"], activity_problems(body["activity"])) == (True, {"id": f"28:{APP}"}, [])
    thread = f"{CHANNEL};messageid=1795"
    assert (put, update_path) == ("PUT", f"/emea/v3/conversations/{thread}/activities/1795")
    assert updated["id"] == "1795"
    assert reply_path == f"/emea/v3/conversations/{thread}/activities"
    assert reply["summary"] == "Approved."


async def test_a_person_is_written_to_where_the_app_is_installed_for_them(db: Database) -> None:
    connector = Connector()
    async with connector.serving() as (wire, url):
        poster = TeamsPoster(wire, db, made_settings(), Clock())
        said = message(kind="direct", channel=ALICE, view=Notice(ok=True, said="Done."))
        with pytest.raises(Refused, match="Install the app for the person"):
            await poster.post(said)
        await db.write(store.keep_conversation, conversation(url, id="a:1", kind="personal", user=ALICE), NOW)
        await poster.post(said)
    assert [path for _, path, _, _ in connector.asked] == ["/emea/v3/conversations/a:1/activities"]


async def test_the_daily_message_says_its_numbers(db: Database) -> None:
    connector = Connector()
    daily = DailyView(channel=CHANNEL, day="2026-11-25", since=NOW, until=NOW, new=((Priority.P1, 3),), fixed=2, open=9,
                      days=(("2026-11-24", 1, 0), ("2026-11-25", 3, 2)))  # fmt: skip
    async with connector.serving() as (wire, url):
        await db.write(store.keep_conversation, conversation(url), NOW)
        await TeamsPoster(wire, db, made_settings(), Clock()).post(message(kind="daily", view=daily))
    sent = connector.asked[0][2]["activity"]
    assert "3 new findings, 2 fixed, 0 overdue, 9 open" in sent["summary"]
    assert activity_problems(sent) == []


async def test_where_it_was_removed_nothing_is_posted(db: Database) -> None:
    connector = Connector()
    async with connector.serving() as (wire, url):
        await db.write(store.keep_conversation, conversation(url, team="19:team"), NOW)
        await db.write(store.removed, TENANT, "19:general", "19:team")
        with pytest.raises(Refused, match="was removed"):
            await TeamsPoster(wire, db, made_settings(), Clock()).post(message())
    assert connector.asked == []


FAILURES = [
    (429, {}, {"Retry-After": "7"}, RetryLater, 7.0),
    (429, {}, {"Retry-After": "Wed, 25 Nov 2026 12:00:30 GMT"}, RetryLater, 30.0),
    (412, {}, {}, RetryLater, None),
    (502, {}, {}, RetryLater, None),
    (503, {}, {}, RetryLater, None),
    (504, {}, {}, RetryLater, None),
    (500, {}, {}, OutcomeUnknown, None),
    (401, {}, {}, Relogin, None),
    (403, {"error": {"code": "Forbidden", "innerHttpError": {"subCode": "MessageWritesBlocked"}}}, {}, Closed, None),
    (404, {}, {}, Gone, None),
    (404, {"error": {"code": "ConversationNotFound"}}, {}, Closed, None),
    (403, {"error": {"code": "NotEnoughPermissions"}}, {}, Refused, None),
    (400, {"error": {"code": "BadSyntax"}}, {}, Refused, None),
]


@pytest.mark.parametrize(("status", "body", "headers", "kind", "after"), FAILURES)
async def test_every_failure_of_a_post_has_its_name(
    db: Database, status: int, body: Any, headers: dict[str, str], kind: type[Exception], after: float | None
) -> None:
    connector = Connector((status, body, headers))
    async with connector.serving() as (wire, url):
        await db.write(store.keep_conversation, conversation(url), NOW)
        with pytest.raises(kind) as found:
            await TeamsPoster(wire, db, made_settings(), Clock()).post(message())
    assert type(found.value) is kind
    assert getattr(found.value, "after", None) == after
    assert connector.tokens.dropped == (1 if status == 401 else 0)
    if kind is Closed:
        assert body["error"]["code"] in str(found.value) or "MessageWritesBlocked" in str(found.value)
        assert "Install the Gatehouse app there again" in str(found.value)
    assert "secret" not in str(found.value)


async def test_an_update_may_be_done_twice_so_its_unclear_end_is_tried_again(db: Database) -> None:
    connector = Connector((500, {}, {}))
    async with connector.serving() as (wire, url):
        await db.write(store.keep_conversation, conversation(url), NOW)
        with pytest.raises(RetryLater):
            await TeamsPoster(wire, db, made_settings(), Clock()).update(message(), "1795")


async def test_a_connector_that_cannot_be_reached_was_not_told_anything(db: Database) -> None:
    wire = TeamsWire(Tokens(), Clock(), timeout=2)
    with pytest.raises(RetryLater, match="cannot be reached"):
        await wire.send("http://127.0.0.1:9/", "a:1", {})
    await wire.close()


async def test_a_redirect_does_not_get_our_token(db: Database) -> None:
    connector = Connector((302, {}, {"Location": "http://127.0.0.1:9/"}))
    async with connector.serving() as (wire, url):
        with pytest.raises(Refused, match="HTTP 302"):
            await wire.send(url, "a:1", {})


WHO = PlatformIdentity(platform=Platform.TEAMS, tenant=TENANT, user=ALICE)
USER = {"id": "29:alice", "aadObjectId": ALICE, "userPrincipalName": "alice@acme.example", "userRole": "user",
        "tenantId": TENANT}  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "objection"),
    [
        (USER, None),
        (USER | {"userRole": ""}, None),
        (USER | {"userRole": "guest"}, "guests cannot decide"),
        (USER | {"userRole": "anonymous"}, "guests cannot decide"),
        (USER | {"userPrincipalName": "x_evil#EXT#@acme.example"}, "guests cannot decide"),
        ({"id": "29:alice", "aadObjectId": ALICE}, "guests cannot decide"),
        (USER | {"tenantId": "another"}, "the account belongs to another organisation"),
    ],
)
async def test_what_teams_says_of_a_person(db: Database, answer: dict[str, Any], objection: str | None) -> None:
    connector = Connector((200, answer, {}))
    async with connector.serving() as (wire, url):
        await db.write(store.keep_member, store.Member(TENANT, ALICE, "29:alice", CHANNEL, url), NOW)
        standing = await TeamsDirectory(wire, db, made_settings(), Clock()).standing(WHO)
    assert standing.objection() == objection
    assert connector.asked[0][1] == f"/emea/v3/conversations/{CHANNEL}/members/29:alice"


async def test_nobody_is_believed_to_be_somebody_else_or_known_unseen(db: Database) -> None:
    connector = Connector((200, USER | {"aadObjectId": "other"}, {}), (404, {}, {}))
    async with connector.serving() as (wire, url):
        directory = TeamsDirectory(wire, db, made_settings(), Clock())
        with pytest.raises(Refused, match="not shown us"):
            await directory.standing(WHO)
        await db.write(store.keep_member, store.Member(TENANT, ALICE, "29:alice", CHANNEL, url), NOW)
        with pytest.raises(Refused, match="somebody else"):
            await directory.standing(WHO)
        gone = await directory.standing(WHO)
    assert "no longer in the conversation" in str(gone.objection())
    assert await directory.groups(WHO) == frozenset()
