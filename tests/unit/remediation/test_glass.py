"""Breaking the glass: who may, what it skips and what it does not, how long it lasts, who hears of it, its review."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import select, update

from bot.domain.decisions import Choice, ExecutionState, RequestState
from bot.domain.errors import BadInput, Conflict, Denied, NotFound, Stale
from bot.domain.plans import Risk
from bot.domain.views import RequestView
from bot.governance.controls import Controls
from bot.reports.board import Board
from bot.store import controls, ledger, plans
from bot.store.outbox import OUTBOX

from .conftest import GROUPS, PEOPLE, World

RULE: dict[str, Any] = {
    "name": "emergency", "quorum": 2,
    "break_glass": True, "break_glass_groups": ["breakers"], "break_glass_minutes": 15,
}  # fmt: skip
BREAKERS = {"breakers": {"members": ["olga", "ann"]}}


def _govern(world: World, **rule: Any) -> None:
    from bot.settings import Settings

    world.govern(rules=[RULE | rule])
    world.settings = Settings(
        people=PEOPLE,  # type: ignore[arg-type]
        groups=GROUPS | BREAKERS,  # type: ignore[arg-type]
        governance={"rules": [RULE | rule]},  # type: ignore[arg-type]
        routing={"fallback": ["slack:COPS"]},  # type: ignore[arg-type]
    )
    world.people._settings = world.settings


@pytest.fixture
def glass(world: World) -> World:
    _govern(world)
    return world


async def _break(world: World, user: str = "UOLGA", **given: Any) -> RequestView:
    actor = await world.actor(user)
    view = await world.approvals.look(world.cause, actor)
    revision = view.request.revision if view.request else 0
    return await world.approvals.break_glass(
        view.plan.id,
        given.get("plan_hash", view.plan_hash),
        given.get("revision", revision),
        actor,
        given.get("reason", "data is leaking now"),
        given.get("typed", "BREAK GLASS"),
        click=given.get("click", ""),
    )


async def _run(world: World, request: RequestView) -> ExecutionState:
    execution_id = await world.db.read(plans.execution_of_request, request.id)
    assert execution_id
    return await world.executor.run(execution_id)


async def _records(world: World, kind: str) -> list[Mapping[str, Any]]:
    table = ledger.LEDGER
    rows = await world.db.read(
        lambda conn: list(
            conn.execute(select(table.c.body).where(table.c.kind == kind).order_by(table.c.seq)).scalars()
        )
    )
    return [json.loads(row) for row in rows]


async def _out(world: World, kind: str) -> list[tuple[str, str]]:
    rows = await world.db.read(
        lambda conn: conn.execute(
            select(OUTBOX.c.channel, OUTBOX.c.payload).where(OUTBOX.c.kind == kind).order_by(OUTBOX.c.seq)
        ).all()
    )
    return [(row.channel, json.loads(row.payload).get("line", "")) for row in rows]


async def _only(world: World) -> controls.BrokenGlass:
    [held] = await world.db.read(controls.open_reviews)
    return held


# --- who, and what it skips -------------------------------------------------------------------------------------------


async def test_one_permitted_person_has_it_carried_out_without_quorum_and_four_eyes(glass):
    request = await _break(glass)
    assert request.state is RequestState.APPROVED
    assert request.glass is not None
    assert await _run(glass, request) is ExecutionState.SUCCEEDED
    assert len(glass.cloud.effects) == 4
    [used] = await _records(glass, "break_glass.used")
    assert (used["by"], used["reason"], used["skipped"]) == ("olga", "data is leaking now", ["quorum 2", "four eyes"])
    for kind in ("request.made", "vote.cast", "decision.made", "execution.queued"):
        assert [record["break_glass"] for record in await _records(glass, kind)] == [request.glass.id]
    assert await glass.ledger_ok()


async def test_it_is_off_unless_the_rule_says_so(world):
    world.govern(rules=[RULE | {"break_glass": False}])
    for user in ("UOLGA", "UANN"):
        view = await world.approvals.look(world.cause, await world.actor(user))
        assert view.glass is None
        with pytest.raises(Denied, match="permits no breaking of the glass"):
            await _break(world, user)
    assert (await world.kinds()).count("refused") == 2
    assert await world.executor.work_once() == 0


async def test_it_is_offered_and_possible_only_in_its_groups(glass):
    for user, may in (("UOLGA", True), ("UANN", True), ("UABE", False), ("UNICK", False), ("UZOE", False)):
        view = await glass.approvals.look(glass.cause, await glass.actor(user))
        assert (view.glass is not None) is may
        if not may:
            with pytest.raises(Denied) as refused:
                await _break(glass, user)
            assert refused.value.reason
    assert await glass.executor.work_once() == 0


@pytest.mark.parametrize("odd", [{"active": False}, {"guest": True}, {"external": True}, {"bot": True}])
async def test_an_account_that_may_not_decide_may_not_break_it_either(glass, odd):
    olga = await glass.actor("UOLGA")
    view = await glass.approvals.look(glass.cause, olga)
    glass.directory.odd["UOLGA"] = odd
    glass.clock.pass_(minutes=5)
    with pytest.raises(Denied):
        await glass.approvals.break_glass(
            view.plan.id, view.plan_hash, 0, await glass.actor("UOLGA"), "now", "BREAK GLASS"
        )


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"typed": "break glass"}, BadInput),
        ({"typed": ""}, BadInput),
        ({"reason": "  "}, BadInput),
        ({"plan_hash": "0" * 64}, Stale),
    ],
)
async def test_it_wants_the_words_a_reason_and_the_exact_plan(glass, given, error):
    with pytest.raises(error):
        await _break(glass, **given)
    assert await glass.db.read(controls.open_reviews) == []
    assert await glass.executor.work_once() == 0


async def test_a_request_that_waits_is_void_and_an_old_card_does_not_count(glass):
    waiting = await glass.vote(await glass.ask(), "UANN")
    with pytest.raises(Stale):
        await _break(glass, revision=waiting.revision + 1)
    request = await _break(glass)
    held = await glass.db.read(plans.request, waiting.id)
    assert held.facts.state is RequestState.VOIDED
    assert await _run(glass, request) is ExecutionState.SUCCEEDED


async def test_nothing_starts_beside_what_is_being_carried_out(glass):
    actor = await glass.actor("UOLGA")
    view = await glass.approvals.look(glass.cause, actor)
    await _break(glass)
    with pytest.raises(Conflict, match="carried out right now"):
        await glass.approvals.break_glass(view.plan.id, view.plan_hash, 0, actor, "again", "BREAK GLASS")
    assert len(await glass.db.read(controls.open_reviews)) == 1


async def test_the_same_click_breaks_it_once(glass):
    actor = await glass.actor("UOLGA")
    view = await glass.approvals.look(glass.cause, actor)
    made = [
        await glass.approvals.break_glass(view.plan.id, view.plan_hash, 0, actor, "now", "BREAK GLASS", click="c:1")
        for _ in range(2)
    ]
    assert made[0].id == made[1].id
    assert len(await _records(glass, "break_glass.used")) == 1


# --- what it does not skip --------------------------------------------------------------------------------------------


async def test_drift_still_stops_it_and_it_is_asked_for_normally(glass):
    request = await _break(glass)
    glass.cloud.lamps["hall"]["colour"] = "blue"
    assert await _run(glass, request) is ExecutionState.BLOCKED
    assert glass.cloud.effects == []
    await glass.approvals.expire_due()
    held = await glass.db.read(plans.pending_request, glass.cause)
    assert held is not None
    assert held.facts.requested_by == "olga"


async def test_after_its_minutes_it_is_blocked(glass):
    request = await _break(glass)
    glass.clock.pass_(minutes=16)
    assert await _run(glass, request) is ExecutionState.BLOCKED
    assert glass.cloud.effects == []


async def test_its_minutes_run_out_between_the_last_check_and_the_first_step(glass):
    request = await _break(glass)
    objection = glass.executor._objection

    async def checked(*args: object, **more: object) -> str:
        why = await objection(*args, **more)
        glass.clock.pass_(minutes=16)
        return why

    glass.executor._objection = checked
    assert await _run(glass, request) is ExecutionState.BLOCKED
    assert glass.cloud.effects == []


async def test_its_minutes_run_out_in_the_middle(glass):
    request = await _break(glass)

    async def late(_call: object) -> None:
        glass.clock.pass_(minutes=16)

    glass.cloud.after_write = late
    assert await _run(glass, request) is ExecutionState.FAILED
    assert len(glass.cloud.effects) == 1


async def test_whoever_lost_the_right_meanwhile_is_stopped(glass):
    request = await _break(glass, "UANN")
    glass.directory.odd["UANN"] = {"active": False}
    assert await _run(glass, request) is ExecutionState.BLOCKED
    assert glass.cloud.effects == []


async def test_a_policy_that_no_longer_permits_it_stops_it(glass):
    request = await _break(glass)
    _govern(glass, break_glass=False)
    assert await _run(glass, request) is ExecutionState.BLOCKED
    assert glass.cloud.effects == []


@pytest.mark.parametrize("through", [False, True])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_freeze_stops_it_unless_the_rule_lets_it_through(world, through, when):
    _govern(world, break_glass_through_freeze=through)
    freezer = Controls(world.db, world.policy, world.people, world.clock, world.ids)
    ann = await world.actor("UANN")
    if when == "before":
        await freezer.freeze(ann, "incident 9")
        if not through:
            with pytest.raises(Denied, match="incident 9"):
                await _break(world)
            return
        request = await _break(world)
    else:
        request = await _break(world)
        await freezer.freeze(ann, "incident 9")
    assert await _run(world, request) is (ExecutionState.SUCCEEDED if through else ExecutionState.BLOCKED)
    assert bool(world.cloud.effects) is through


@pytest.mark.parametrize("values", [{"until": "later"}, {"by": "ann"}, {"request_id": "other"}])
async def test_a_glass_altered_in_the_database_carries_nothing_out(glass, values):
    from datetime import timedelta

    request = await _break(glass)
    if "until" in values:
        values = {"until": glass.clock.now() + timedelta(days=9)}
    await glass.db.write(lambda conn: conn.execute(update(controls.BREAK_GLASS).values(values)) and None)
    assert await _run(glass, request) is ExecutionState.BLOCKED
    assert glass.cloud.effects == []


async def test_a_glass_put_into_the_database_lets_nothing_through(glass):
    request = await glass.vote(await glass.vote(await glass.ask(), "UANN"), "UABE")
    execution_id = await glass.db.read(plans.execution_of_request, request.id)
    glass.directory.members["SAPPROVERS"].clear()
    now = glass.clock.now()
    forged = controls.BrokenGlass(
        "glass-x", request.id, glass.cause, "ann", (await glass.actor("UANN")).identity, "x", now,
        now.replace(year=now.year + 1), now, "", None,
    )  # fmt: skip
    await glass.db.write(controls.add_glass, forged)
    assert await glass.executor.run(execution_id) is ExecutionState.BLOCKED
    assert glass.cloud.effects == []


# --- loud -------------------------------------------------------------------------------------------------------------


async def test_operators_owners_and_the_thread_hear_of_it_at_once(glass):
    await _break(glass)
    told = await _out(glass, "direct")
    assert {channel for channel, _ in told} == {"COPS", "C1"}
    assert all("BROKE THE GLASS" in line and "data is leaking now" in line for _, line in told)
    assert {channel for channel, _ in await _out(glass, "glass")} == {"COPS", "C1"}
    assert "BROKE THE GLASS" in (await glass.lines())[-1]


async def test_the_card_of_the_cause_and_the_status_show_it(glass):
    request = await _break(glass)
    board = Board(glass.db, glass.settings, glass.catalog, glass.clock, policy=glass.policy)
    cause = await board.cause(glass.cause)
    assert cause.request is not None
    assert cause.request.glass is not None
    assert cause.request.glass.by.id == "olga"
    assert [view.id for view in (await board.status()).glasses] == [request.glass.id]
    assert "broke the glass" in " ".join(line.what for line in cause.history)


# --- the review -------------------------------------------------------------------------------------------------------


async def test_another_permitted_person_closes_it_with_a_verdict_and_a_comment(glass):
    await _break(glass, "UANN")
    held = await _only(glass)
    abe = await glass.actor("UABE")
    view = await glass.approvals.glass.review(held.id, abe, justified=False, comment="it could have waited")
    assert (view.justified, view.comment, view.reviewed_by.id) == (False, "it could have waited", "abe")
    assert await glass.db.read(controls.open_reviews) == []
    [reviewed] = await _records(glass, "break_glass.reviewed")
    assert (reviewed["verdict"], reviewed["by"], reviewed["late"]) == ("not justified", "ann", False)
    assert "not justified" in (await _out(glass, "direct"))[-1][1]
    # A double click is no second review, another verdict is refused.
    await glass.approvals.glass.review(held.id, abe, justified=False, comment="again")
    with pytest.raises(Conflict):
        await glass.approvals.glass.review(held.id, abe, justified=True, comment="no, it was fine")
    assert len(await _records(glass, "break_glass.reviewed")) == 1


@pytest.mark.parametrize(("user", "why"), [("UANN", "who broke the glass cannot review it"), ("UNICK", "")])
async def test_who_broke_it_or_is_not_permitted_cannot_close_it(glass, user, why):
    await _break(glass, "UANN")
    held = await _only(glass)
    actor = await glass.actor(user)
    with pytest.raises(Denied, match=why) as refused:
        await glass.approvals.glass.review(held.id, actor, justified=True, comment="fine")
    assert refused.value.could
    with pytest.raises(Denied) as form:
        await glass.approvals.glass.require(held.id, actor)
    shown = await glass.approvals.glass.require(held.id, await glass.actor("UABE"))
    for error in (refused.value, form.value):  # it may be a cause that this person may not see
        said = f"{error.reason} {error.rule} {error.mend}"
        assert not any(word in said for word in (shown.cause_title, shown.plan_title, shown.cause_id, shown.reason))
    assert await _only(glass) == held
    assert (await glass.kinds())[-1] == "refused"


async def test_a_review_wants_a_comment_and_a_glass(glass):
    await _break(glass)
    abe = await glass.actor("UABE")
    with pytest.raises(BadInput):
        await glass.approvals.glass.review((await _only(glass)).id, abe, justified=True, comment=" ")
    with pytest.raises(NotFound):
        await glass.approvals.glass.review("glass-none", abe, justified=True, comment="fine")


async def test_a_late_review_is_asked_for_once_a_day_and_then_of_its_reviewers(glass):
    await _run(glass, await _break(glass, "UANN"))
    already = len(await _out(glass, "direct"))
    told = []
    for hours in (23, 2, 2, 21, 2, 24):  # 23 h, 25 h, 27 h, 48 h, 50 h, 74 h after it
        glass.clock.pass_(hours=hours)
        await glass.approvals.expire_due()
        out = await _out(glass, "direct")
        told.append(sorted(channel for channel, _ in out[already:]))
        already = len(out)
    public = ["C1", "COPS"]
    assert told[0] == []
    assert told[1] == public
    assert told[2] == []
    assert told[3] == []
    # Reviewers that gatehouse.yml names hear it themselves from the second time on.
    assert told[4] == public
    assert told[5] == public
    assert len(await _records(glass, "break_glass.overdue")) == 3
    view = await glass.db.read(_view, glass)
    assert view.overdue
    await glass.approvals.glass.review(view.id, await glass.actor("UABE"), justified=True, comment="leak was real")
    [reviewed] = await _records(glass, "break_glass.reviewed")
    assert reviewed["late"] is True
    glass.clock.pass_(hours=48)
    await glass.approvals.expire_due()
    assert len(await _records(glass, "break_glass.overdue")) == 3


async def test_reviewers_named_in_the_settings_hear_of_it_the_second_time(glass):
    _named(glass)
    await _break(glass, "UANN")
    for _ in range(2):
        glass.clock.pass_(hours=25)
        await glass.approvals.expire_due()
    direct = [channel for channel, _ in await _out(glass, "direct")]
    assert direct.count("UABE") == 1
    assert direct.count("UANN") == 0  # who broke it cannot review it


def _named(world: World) -> None:
    groups = world.settings.groups | {
        "cloud-approvers": world.settings.groups["cloud-approvers"].model_copy(update={"members": ("ann", "abe")})
    }
    world.people._settings = world.settings.model_copy(update={"groups": groups})


def _view(conn: Any, world: World) -> Any:
    from bot.reports.glass import glasses

    return glasses(conn, world.settings, controls.open_reviews(conn), world.clock.now())[0]


# --- races ------------------------------------------------------------------------------------------------------------


async def _race(world: World) -> None:
    """Two break it at once, two review it at once, all replicas ask for the review at once."""
    actors = [await world.actor(user) for user in ("UOLGA", "UANN")]
    view = await world.approvals.look(world.cause, actors[0])
    broken = await asyncio.gather(
        *(
            world.approvals.break_glass(view.plan.id, view.plan_hash, 0, actor, "now", "BREAK GLASS")
            for actor in actors
            for _ in range(2)
        ),
        return_exceptions=True,
    )
    made = [each for each in broken if isinstance(each, RequestView)]
    assert len(made) == 1
    assert all(isinstance(each, (RequestView, Conflict)) for each in broken)
    assert await _run(world, made[0]) is ExecutionState.SUCCEEDED
    assert len(world.cloud.effects) == 4
    world.clock.pass_(hours=25)
    await asyncio.gather(*(world.approvals.expire_due() for _ in range(4)))
    assert len(await _records(world, "break_glass.overdue")) == 1
    held = await _only(world)
    abe, sue = await world.actor("UABE"), await world.actor("USUE")
    reviews = await asyncio.gather(
        world.approvals.glass.review(held.id, abe, justified=True, comment="right"),
        world.approvals.glass.review(held.id, sue, justified=False, comment="wrong"),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in reviews) == ["Conflict", "GlassView"]
    assert len(await _records(world, "break_glass.reviewed")) == 1
    assert await world.ledger_ok()


async def test_at_once_it_is_broken_and_reviewed_once(glass):
    await _race(glass)


@pytest.mark.postgres
async def test_at_once_it_is_broken_and_reviewed_once_on_postgresql(postgres_url):
    world = World(postgres_url, risk=Risk.LOW)
    _govern(world)
    try:
        await _race(world)
    finally:
        await world.db.close()


async def test_a_vote_after_the_glass_was_broken_finds_the_request_ended(glass):
    waiting = await glass.ask()
    await _break(glass, "UANN")
    with pytest.raises(Stale, match="already voided"):
        await glass.vote(waiting, "UABE", Choice.APPROVE)


# --- its message ------------------------------------------------------------------------------------------------------


class _Chat:
    """Keeps what was posted and how it was changed."""

    platform = "slack"

    def __init__(self) -> None:
        self.posted: list[Any] = []
        self.updated: list[tuple[Any, str]] = []

    async def post(self, message: Any) -> str:
        self.posted.append(message)
        return f"{len(self.posted)}.0"

    async def update(self, message: Any, message_id: str) -> None:
        self.updated.append((message, message_id))


async def test_its_message_is_posted_once_and_shows_the_outcome_and_the_review_in_place(glass):
    from bot.delivery import Deliverer

    board = Board(glass.db, glass.settings, glass.catalog, glass.clock, policy=glass.policy)
    chat = _Chat()
    deliverer = Deliverer(glass.db, board, {"slack": chat}, glass.clock, "w", glass.ids, fallback=())

    async def send() -> None:
        for _ in range(40):
            glass.clock.pass_(seconds=2)
            await deliverer.work_once()

    request = await _break(glass, "UANN")
    await send()
    loud = [m for m in chat.posted if m.kind == "glass"]
    assert sorted(m.channel for m in loud) == ["C1", "COPS"]
    await _run(glass, request)
    held = await _only(glass)
    await send()
    abe = await glass.actor("UABE")
    await glass.approvals.glass.review(held.id, abe, justified=True, comment="the leak was real")
    await send()
    assert len([m for m in chat.posted if m.kind == "glass"]) == 2
    shown = [m.view for m, _ in chat.updated if m.kind == "glass" and m.channel == "COPS"]
    assert [(v.outcome, v.justified) for v in shown] == [
        (ExecutionState.SUCCEEDED, None),
        (ExecutionState.SUCCEEDED, True),
    ]
