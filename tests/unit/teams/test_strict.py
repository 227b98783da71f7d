"""The strict connector itself: it refuses what Teams refuses, so that a test over it means something."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from cards import adaptive
from cards.model import Card

from .strict import SIZE, FakeTeams, Place
from .world import APP, CHANNEL, TENANT

CARD = adaptive.message(Card("Title", "A sentence."))


class Calls:
    def __init__(self, teams: FakeTeams, url: str, session: aiohttp.ClientSession) -> None:
        self.teams, self._url, self._session = teams, url, session

    async def __call__(self, method: str, path: str, body: Any = None, login: str = "t") -> tuple[int, Any, Any]:
        url = f"{self._url}v3/conversations{path}"
        async with self._session.request(method, url, json=body, headers={"Authorization": f"Bearer {login}"}) as a:
            return a.status, await a.json(), a.headers.get("Retry-After")

    async def root(self, activity: dict[str, Any] = CARD, **more: Any) -> tuple[int, Any, Any]:
        data = {"channel": {"id": CHANNEL}, "tenant": {"id": TENANT}}
        base = {"isGroup": True, "bot": {"id": f"28:{APP}"}, "channelData": data, "activity": activity}
        return await self("POST", "", base | more)


@asynccontextmanager
async def calls(now: list[float] | None = None, **place: Any) -> AsyncIterator[Calls]:
    members = {f"29:{n}": f"user-{n}" for n in range(5)}
    clock = (lambda: now[0]) if now else (lambda: 0.0)
    teams = FakeTeams(Place(CHANNEL, members=members, **place), page=2, clock=clock)
    async with teams.serving() as url, aiohttp.ClientSession() as session:
        yield Calls(teams, url, session)


def code(answer: tuple[int, Any, Any]) -> tuple[int, str]:
    return answer[0], answer[1].get("error", {}).get("code", "")


async def test_a_post_a_reply_an_update_and_what_is_seen() -> None:
    async with calls() as call:
        status, made, _ = await call.root()
        thread = f"{CHANNEL};messageid={made['activityId']}"
        assert (status, made["id"]) == (200, thread)
        assert (await call("POST", f"/{thread}/activities", {"type": "message", "text": "line"}))[0] == 200
        changed = CARD | {"id": made["activityId"], "summary": "Changed"}
        assert (await call("PUT", f"/{thread}/activities/{made['activityId']}", changed))[0] == 200
        assert call.teams.posts[made["activityId"]].activity["summary"] == "Changed"
        assert len(call.teams.cards()) == 1


async def test_what_is_not_there_is_not_found() -> None:
    async with calls() as call:
        made = (await call.root())[1]["activityId"]
        thread = f"/{CHANNEL};messageid={made}/activities"
        body = CARD | {"id": made}
        assert code(await call("POST", "/19:none@thread.tacv2/activities", CARD)) == (404, "ConversationNotFound")
        assert code(await call("PUT", f"{thread}/17", CARD | {"id": "17"})) == (404, "ActivityNotFoundInConversation")
        wrong = f"/{CHANNEL}/activities/{made}"
        assert code(await call("PUT", wrong, body)) == (404, "ActivityNotFoundInConversation")  # without its thread
        call.teams.delete(made)
        assert code(await call("PUT", f"{thread}/{made}", body)) == (404, "ActivityNotFoundInConversation")
        assert code(await call("POST", thread, CARD)) == (404, "ActivityNotFoundInConversation")
        assert code(await call("GET", f"/{CHANNEL}/members/29:9")) == (404, "MemberNotFoundInConversation")


@pytest.mark.parametrize(
    ("place", "wanted"),
    [({"installed": False}, "BotNotInConversationRoster"), ({"blocked": True}, "ConversationBlockedByUser")],
)
async def test_who_is_not_there_or_blocked_is_forbidden(place: dict[str, Any], wanted: str) -> None:
    async with calls(**place) as call:
        assert code(await call.root()) == (403, wanted)


async def test_logins_and_shapes_are_checked() -> None:
    async with calls() as call:
        assert code(await call("POST", "", {}, login="other")) == (401, "BotNotRegistered")
        for wrong in ({"bot": {"id": "28:x"}}, {"channelData": {}}):
            assert (await call.root(**wrong))[0] == 400
        assert (await call.root({"type": "message"}))[0] == 400
        assert (await call.root({"type": "card"}))[0] == 400
        person = {"isGroup": False, "bot": {"id": f"28:{APP}"}, "members": [{"id": "29:0"}],
                  "channelData": {"tenant": {"id": TENANT}}}  # fmt: skip
        assert code(await call("POST", "", person)) == (403, "ForbiddenOperationException")


@pytest.mark.parametrize("users", [[f"29:{n}" for n in range(61)], ["29:1", "29:1"], ["alice"], None])
async def test_of_a_refresh_at_most_sixty_different_members(users: Any) -> None:
    async with calls() as call:
        card = adaptive.content(Card("T", "S."), refresh=adaptive.Refresh("gh.card", "{}", ("29:1",)))
        assert (await call.root(CARD | {"attachments": [adaptive.attachment(card)]}))[0] == 200
        card["refresh"]["userIds"] = users
        assert (await call.root(CARD | {"attachments": [adaptive.attachment(card)]}))[0] == 400


async def test_the_size_is_counted_in_utf_16() -> None:
    async with calls() as call:
        room = SIZE // 2 - 300
        assert (await call.root({"type": "message", "text": "x" * (room - 200)}))[0] == 200
        assert code(await call.root({"type": "message", "text": "x" * (room + 300)})) == (413, "MessageSizeTooBig")


async def test_seven_in_a_second_and_how_long_to_wait() -> None:
    now = [1000.0]
    async with calls(now) as call:
        assert [(await call.root())[0] for _ in range(8)] == [200] * 7 + [429]
        status, _, after = await call.root()
        assert (status, after) == (429, "1")
        now[0] += 1.0
        assert [(await call.root())[0] for _ in range(2)] == [200, 429]  # eight in two seconds
        now[0] += 1.0
        assert (await call.root())[0] == 200


async def test_members_come_in_pages() -> None:
    async with calls() as call:
        seen, after = [], ""
        for _ in range(3):
            token = f"&continuationToken={after}" if after else ""
            page = (await call("GET", f"/{CHANNEL}/pagedmembers?pageSize=500{token}"))[1]
            seen += [each["id"] for each in page["members"]]
            after = page.get("continuationToken", "")
        assert (seen, after) == ([f"29:{n}" for n in range(5)], "")
