"""What a card says a person may do is what the engine then lets them do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.decisions import Choice
from bot.domain.errors import NotFound
from bot.domain.views import CauseRights, CauseView, Option, Stage
from bot.remediation import rights as module
from bot.remediation.rights import Rights
from bot.reports.board import Board
from bot.store import controls
from cards import build

from .conftest import World, who

PEOPLE = ("UOLGA", "UANN", "UABE", "USUE", "UNICK", "USTRANGER")


class Desk:
    def __init__(self, world: World) -> None:
        self.world = world
        catalog: Any = world.catalog
        self.board = Board(world.db, world.settings, catalog, world.clock, policy=world.policy, people=world.people)
        given = (world.db, world.planner, world.policy, world.people, world.clock, world.ids)
        self.rights = Rights(*given)

    async def view(self) -> CauseView:
        return await self.board.cause(self.world.cause)

    async def of(self, user: str) -> CauseRights:
        return await self.rights.of(await self.view(), await self.world.actor(user))

    async def offered(self, user: str) -> set[Option]:
        """What the plan offers this person."""
        plan = await self.world.approvals.look(self.world.cause, await self.world.actor(user))
        return set(build.choices(plan))


GOVERNANCE: list[dict[str, Any]] = [
    {},
    {"rules": [{"match": {}, "name": "two", "quorum": 2}]},
    {"rules": [{"match": {}, "name": "alone", "four_eyes": False}]},
    {"rules": [{"match": {}, "name": "apart", "owner_apart": True}]},
    {"rules": [{"match": {"environment": ["dev"]}, "name": "narrow", "groups": ["nobody"]}]},
    {"rules": [{"match": {"playbook": ["lamps-off"], "account": ["1111*"], "risk": ["low"]}, "name": "few",
                "groups": ["cloud-approvers"]}]},
    {"freeze": True},
]  # fmt: skip
NAMES = ["built-in", "two", "alone", "apart", "narrow", "few", "frozen"]


@pytest.mark.parametrize("governance", GOVERNANCE, ids=NAMES)
async def test_a_card_offers_what_the_plan_offers_whether_or_not_anybody_looked_before(
    make_world: Callable[..., World], governance: dict[str, Any]
) -> None:
    world = make_world(**governance)
    desk = Desk(world)
    before = {user: set((await desk.of(user)).may) for user in PEOPLE}  # no plan is made yet
    for user in PEOPLE:
        offered = await desk.offered(user)
        assert before[user] == offered, user
        world.clock.pass_(seconds=60)
        assert set((await desk.of(user)).may) == offered, user
    request = await world.ask("UOLGA")
    for user in PEOPLE:
        found = await desk.of(user)
        assert set(found.may) == await desk.offered(user), user
        assert bool(found.why_not) == (Option.APPROVE not in found.may)
        assert bool(found.rule) == bool(found.why_not)
    if Option.APPROVE in (await desk.of("UANN")).may and request.rule.quorum > 1:
        await world.vote(request, "UANN")
        ann = await desk.of("UANN")
        assert ann.voted is Choice.APPROVE
        assert Option.APPROVE not in ann.may
        assert {Option.WITHDRAW, Option.REJECT} <= set(ann.may)
        assert ann.why_not == ""  # they did; nothing stands in the way


async def test_a_freeze_and_a_delegation_show_within_some_seconds(make_world: Callable[..., World]) -> None:
    world = make_world()
    desk, now = Desk(world), world.clock.now()
    await world.ask("UOLGA")
    assert Option.APPROVE in (await desk.of("UANN")).may
    assert Option.APPROVE not in (await desk.of("UNICK")).may
    lent = controls.Delegation(
        id="del-1", from_id="ann", from_identity=who("UANN"), to_id="nick", playbooks=(), environments=("dev",),
        accounts=(), reason="away", at=now, until=now + timedelta(days=1),
    )  # fmt: skip
    await world.db.write(controls.add_delegation, lent)
    world.clock.pass_(seconds=module.LAST.total_seconds())
    assert Option.APPROVE in (await desk.of("UNICK")).may
    await world.db.write(
        controls.add_freeze,
        controls.Freeze(id="frz-1", kind="env", value="dev", by="ann", reason="release", at=now),
    )
    world.clock.pass_(seconds=module.LAST.total_seconds())
    ann = await desk.of("UANN")
    assert Option.APPROVE not in ann.may
    assert "release" in ann.why_not


async def test_who_is_shown_a_card_of_their_own_first(make_world: Callable[..., World]) -> None:
    world = make_world(rules=[{"match": {}, "name": "two", "quorum": 2}])
    desk = Desk(world)
    everybody = [await world.actor(user) for user in PEOPLE]

    async def facing() -> list[str]:
        return [actor.principal.id for actor in await desk.rights.facing(await desk.view(), everybody)]

    # Sue is an approver and of the owning team; Olga owns it; Nick and the stranger may nothing that all may not.
    assert await facing() == ["ann", "abe", "sue", "olga"]
    request = await world.ask("UOLGA")
    await world.vote(request, "UANN")
    assert await facing() == ["abe", "sue", "ann", "olga"]
    request = await world.vote(request, "UABE")
    assert (await desk.view()).stage is Stage.RUNNING
    assert await facing() == []


async def test_the_same_question_is_asked_once_in_some_seconds(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()
    desk, asked = Desk(world), []
    weigh = Rights._of
    monkeypatch.setattr(Rights, "_of", lambda self, *given: asked.append(1) or weigh(self, *given))
    for _ in range(5):
        await desk.of("UANN")
    assert len(asked) == 1
    await desk.of("UABE")
    await world.ask("UOLGA")  # another revision
    await desk.of("UANN")
    assert len(asked) == 3


async def test_a_plan_that_was_altered_or_a_playbook_that_is_no_more_holds_no_card_back(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()
    desk = Desk(world)
    await world.ask("UOLGA")
    view = await desk.view()
    await world.db.write(lambda conn: conn.exec_driver_sql("UPDATE plans SET hash = 'x'"))

    def none(playbook_id: str) -> Any:
        raise NotFound("no such playbook")

    everybody = [await world.actor(user) for user in PEOPLE]
    assert [each.principal.id for each in await desk.rights.facing(view, everybody)] == ["ann", "abe", "sue", "olga"]
    assert (await desk.rights.of(view, everybody[4])).why_not
    world.clock.pass_(seconds=60)
    monkeypatch.setattr(world.catalog, "get", none)
    assert [each.principal.id for each in await desk.rights.facing(view, everybody)] == ["ann", "abe", "sue", "olga"]
