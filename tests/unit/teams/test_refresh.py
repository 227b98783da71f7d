"""Cards of one's own: for whom Teams asks, what stands on them, and what many askings cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.domain.decisions import Choice
from bot.store import teams as store
from handlers.teams import refresh as refresh_module
from handlers.teams.deciders import LAST, PAUSE
from handlers.teams.payloads import origin_of
from tests.unit.remediation.conftest import who

from .lamps import SECOND, World, channel_of, member_of, new_file, text, user_of, verbs
from .world import CHANNEL, TENANT, activity

DECIDING = {"gh.review", "gh.not_mine", "gh.snooze", "gh.undo"}


@pytest.fixture
def world(lamps_folder: Path) -> World:
    return World(new_file(lamps_folder))


def named(card: dict[str, Any]) -> list[str]:
    return [member.removeprefix("29:1") for member in card["refresh"]["userIds"]]


async def test_all_see_a_card_without_buttons_that_decide_and_those_who_may_act_are_named(world: World) -> None:
    async with channel_of(world, "nick", "olga", "ann", "abe") as channel:
        await channel.show()
        card = channel.card()
        assert verbs(card) == ["gh.actions", "gh.details", "gh.why"]
        assert named(card)[2:] == ["olga"]  # the owner after those who may approve; who may only look is not named
        assert set(named(card)[:2]) == {"ann", "abe"}
        assert json.loads(card["refresh"]["action"]["data"]["gh"]) == {"c": "c-1", "v": 0}


async def test_a_refresh_shows_what_this_person_may_do_and_why_not_the_rest(world: World) -> None:
    async with channel_of(world, "nick", "olga", "ann") as channel:
        request = await world.asked("olga")
        await channel.show()
        card = channel.card()
        ann = (await channel.refresh(card, "ann"))["value"]
        assert {"gh.review", "gh.details"} <= set(verbs(ann))
        assert "approve, reject or take the request back" in text(ann)
        assert "You cannot" not in text(ann)
        olga = (await channel.refresh(card, "olga"))["value"]
        assert "You cannot approve it: " in text(olga)
        assert "take the request back" in text(olga)
        nick = (await channel.refresh(card, "nick"))["value"]
        for words in ("You cannot approve it: ", "Who could: ", "See the plan"):
            assert words in text(nick)
        assert "gh.why" in verbs(nick)
        assert nick["refresh"]["userIds"] == [member_of("nick")]
        # Only looked: no journal, no vote, nobody "seen", no standing asked of Teams.
        assert await world.db.read(lambda conn: conn.exec_driver_sql("SELECT count(*) FROM teams_people").scalar()) == 0
        assert await world.db.read(lambda conn: conn.exec_driver_sql("SELECT count(*) FROM clicks").scalar()) == 0
        assert (await world.engine.board.cause("c-1")).request.id == request.id  # type: ignore[union-attr]


async def test_after_a_vote_somewhere_all_posts_name_others_and_a_stale_refresh_gets_the_present_card(
    world: World,
) -> None:
    world.govern(rules=[{"match": {}, "name": "two", "quorum": 2}])
    async with channel_of(world, "olga", "ann", "abe") as channel:
        request = await world.asked("olga")
        await channel.show(CHANNEL, SECOND)
        before = channel.card()
        assert named(before) == named(channel.card(SECOND))
        in_slack = await world.people.actor(who("UANN"))  # Ann votes in Slack
        await world.approvals.vote(request.id, request.plan_hash, request.revision, in_slack, Choice.APPROVE)
        stale = (await channel.refresh(before, "ann"))["value"]  # Teams still shows the old card
        assert "You have approved it." in text(stale)
        assert "withdraw your vote" in text(stale)
        await channel.deliver()
        for place in (CHANNEL, SECOND):
            card = channel.card(place)
            assert "Approved by" in text(card)
            assert named(card) == ["abe", "ann", "olga"]  # who has voted comes after who has not
            assert card["refresh"]["action"] != before["refresh"]["action"]


async def test_sixty_are_named_at_most_and_the_others_press(lamps_folder: Path) -> None:
    world = World(new_file(lamps_folder), crowd=90)
    async with channel_of(world, "olga", "nick", *world.approvers, page=40) as channel:
        await world.asked("olga")
        await channel.show()
        card = channel.card()
        assert len(named(card)) == len(set(named(card))) == 60
        left = next(person for person in world.approvers if person not in named(card))
        shown = (await channel.press(left, "gh.actions", {"c": "c-1"}))["value"]
        assert "gh.review" in verbs(shown)
        assert "approve, reject" in text(shown)


async def test_only_members_are_named_and_only_people_of_the_file_are_kept(world: World) -> None:
    async with channel_of(world, "olga", "ann", "somebody-else") as channel:
        await channel.show()
        assert named(channel.card()) == ["ann", "olga"]
        kept = await world.db.read(store.roster, TENANT, CHANNEL)
        assert kept is not None
        assert kept.members == {user_of(person): member_of(person) for person in ("olga", "ann")}


async def test_who_is_there_is_read_once_and_anew_when_teams_says_that_it_changed(world: World) -> None:
    async with channel_of(world, "olga", "ann") as channel:
        reads = lambda: sum(path.endswith("pagedmembers") for _, path in channel.teams.asked)  # noqa: E731
        await channel.show()
        channel.teams.places[CHANNEL].members[member_of("abe")] = user_of("abe")
        request = await world.asked("olga")
        await channel.deliver()
        assert (reads(), named(channel.card())) == (1, ["ann", "olga"])
        came = activity("conversationUpdate", user_of("abe"), serviceUrl=channel.url,
                        membersAdded=[{"id": member_of("abe")}])  # fmt: skip
        await channel.desk.seen(origin_of(came), came)
        await world.approvals.cancel(request.id, await world.people.actor(world.who("olga")))
        await channel.deliver()
        assert (reads(), set(named(channel.card()))) == (2, {"ann", "abe", "olga"})
        world.clock.pass_(seconds=LAST.total_seconds())
        await world.asked("olga")
        await channel.deliver()
        assert reads() == 3


async def test_where_the_members_cannot_be_read_the_card_comes_without_names(world: World) -> None:
    async with channel_of(world, "olga", "ann") as channel:
        channel.teams.broken = [(502, {})]
        await channel.show()
        assert "refresh" not in channel.card()
        assert verbs(channel.card())[0] == "gh.actions"
        await world.asked("olga")
        await channel.deliver()
        assert "refresh" not in channel.card()  # not asked again at once
        world.clock.pass_(seconds=PAUSE.total_seconds())
        request = (await world.engine.board.cause("c-1")).request
        assert request is not None
        await world.approvals.cancel(request.id, await world.people.actor(world.who("olga")))
        await channel.deliver()
        assert named(channel.card()) == ["ann", "olga"]


async def test_what_is_decided_has_no_button_that_leads_on(world: World) -> None:
    async with channel_of(world, "olga", "ann") as channel:
        request = await world.asked("olga")
        ann = await world.people.actor(world.who("ann"))
        await world.approvals.vote(request.id, request.plan_hash, request.revision, ann, Choice.APPROVE)
        await channel.show()
        assert "refresh" not in channel.card()
        assert verbs(channel.card()) == ["gh.details"]


async def test_nobody_gets_the_card_of_another(world: World) -> None:
    async with channel_of(world, "olga", "ann", "nick") as channel:
        await world.asked("olga")
        await channel.show()
        card = channel.card()
        seen = {}
        for _ in range(2):  # the second time from what was kept
            for person in ("ann", "nick", "olga", "abe"):
                made = (await channel.refresh(card, person))["value"]
                assert made["refresh"]["userIds"] == [member_of(person)]
                assert seen.setdefault(person, text(made)) == text(made)
        bare = {person: made.replace(member_of(person), "") for person, made in seen.items()}
        assert bare["ann"] == bare["abe"]  # may do the same: one card
        assert "You cannot approve it" not in bare["ann"]
        assert "Nick Newcomer" not in bare["ann"] + bare["olga"]


async def test_a_stranger_gets_none_of_their_own(world: World) -> None:
    async with channel_of(world, "olga", "ann") as channel:
        await channel.show()
        card = channel.card()
        answer = await channel.refresh(card, "stranger")
        assert (answer["statusCode"], answer["type"]) == (403, "application/vnd.microsoft.error")
        pressed = (await channel.press("stranger", "gh.actions", {"c": "c-1"}))["value"]
        assert "gh.snooze" not in verbs(pressed)
        assert "You cannot approve it" in text(pressed)


async def test_whom_teams_called_a_guest_is_shown_no_way_to_decide(world: World) -> None:
    async with channel_of(world, "olga", "ann") as channel:
        await world.asked("olga")
        await channel.show()
        card = channel.card()
        world.directory.odd[user_of("ann")] = {"guest": True}
        assert "approve, reject" not in text((await channel.press("ann", "gh.actions", {"c": "c-1"}))["value"])
        assert "guests may look and nothing else" in text((await channel.refresh(card, "ann"))["value"])


async def test_a_cause_that_is_no_more_leaves_what_is_shown(world: World) -> None:
    async with channel_of(world, "ann") as channel:
        await channel.show()
        card = channel.card()
        card["refresh"]["action"]["data"]["gh"] = '{"c":"c-none"}'
        answer = await channel.refresh(card, "ann")
        assert (answer["statusCode"], answer["value"]["code"]) == (503, "NotNow")


async def test_a_storm_of_refreshes_is_answered_from_memory(
    lamps_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(new_file(lamps_folder), crowd=58)
    async with channel_of(world, "olga", *world.approvers) as channel:
        await world.asked("olga")
        await channel.show()
        card = channel.card()
        made = []
        content = refresh_module.adaptive.content
        monkeypatch.setattr(
            refresh_module.adaptive, "content", lambda *a, **k: made.append(1) or content(*a, **k)  # type: ignore[func-returns-value]
        )  # fmt: skip
        views = []
        cause = world.engine.board.cause

        async def counted(cause_id: str) -> Any:
            views.append(cause_id)
            return await cause(cause_id)

        monkeypatch.setattr(world.engine.board, "cause", counted)
        standing = world.directory.reads
        for person in world.approvers:
            assert (await channel.refresh(card, person))["statusCode"] == 200
        assert (len(made), len(views), world.directory.reads - standing) == (1, 1, 0)


async def test_what_is_kept_goes_with_the_revision_and_is_not_older_than_a_minute(world: World) -> None:
    async with channel_of(world, "olga", "ann") as channel:
        await channel.show()
        card = channel.card()
        await channel.refresh(card, "ann")
        await world.db.write(lambda conn: conn.exec_driver_sql("UPDATE causes SET title = 'Another title'"))
        assert "Lamps are on" in text((await channel.refresh(card, "ann"))["value"])  # no revision: not yet
        world.clock.pass_(seconds=refresh_module.FRESH.total_seconds())
        assert "Another title" in text((await channel.refresh(card, "ann"))["value"])
        await world.db.write(
            lambda conn: conn.exec_driver_sql("UPDATE causes SET title = 'A third', revision = revision + 1")
        )
        assert "A third" in text((await channel.refresh(card, "ann"))["value"])  # at once
