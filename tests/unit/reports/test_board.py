from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from bot.domain.errors import BadInput, NotFound
from bot.domain.plans import Reversibility
from bot.domain.principals import Actor, Platform, PlatformIdentity, Principal, Standing
from bot.domain.triage import Priority
from bot.domain.views import Stage
from bot.governance.policy import Policy
from bot.reports.board import Board, count_question, held, list_question
from bot.reports.cause_view import CAUSES
from bot.reports.filters import FindingsFilter, parse_filters

LATER = timedelta(hours=1)


async def test_a_cause_says_what_its_most_urgent_open_finding_says(world: Any) -> None:
    world.cause(open_count=2, resource_count=2)
    world.finding(1, priority=3)
    world.finding(2, priority=1)
    world.finding(3, priority=1, severity=5, status="resolved")
    view = await world.board.cause("c-1")
    assert view.stage is Stage.OPEN
    assert view.what == "b2 answers the world"
    assert [e.fact for e in view.reasons] == ["b2 is public"]
    assert view.console_url == "https://console/2"
    assert [r.name for r in view.resources] == ["b2", "b1", "b3"]
    assert view.resources[1].console_url == "https://console/1"
    assert (view.owner, view.playbook_title, view.no_fix) == ("Payments", "Block public access", "")


async def test_only_the_first_five_resources_are_listed(world: Any) -> None:
    world.cause(resource_count=7)
    for number in range(1, 8):
        world.finding(number)
    view = await world.board.cause("c-1")
    assert [r.name for r in view.resources] == ["b1", "b2", "b3", "b4", "b5"]
    assert view.resource_count == 7


async def test_why_nothing_can_fix_it_is_said(world: Any) -> None:
    world.cause("c-1", playbook="")
    world.cause("c-2")
    world.finding(2, cause_id="c-2", resource_uid="b2")
    world.cause("c-3", playbook="gone")
    assert "no playbook for s3_public" in (await world.board.cause("c-1")).no_fix
    assert (await world.board.cause("c-2")).no_fix == "b2 is not an ARN"
    assert "gone is not installed" in (await world.board.cause("c-3")).no_fix


async def test_an_unknown_cause_is_not_found(world: Any) -> None:
    with pytest.raises(NotFound, match="c-9"):
        await world.board.cause("c-9")


async def test_a_waiting_request_shows_votes_and_who_could(world: Any) -> None:
    world.cause()
    world.finding(1)
    world.plan()
    world.request()
    world.vote("bob", choice="reject", reason="not now")
    view = await world.board.cause("c-1")
    assert view.stage is Stage.WAITING
    assert view.request is not None
    assert view.request.requested_by.name == "Alice Adams"
    assert view.request.requested_by.identities[0].user == "UALICE"
    assert view.request.could == ("Bob Brown",)
    assert [(v.who.name, v.reason) for v in view.request.votes] == [("Bob Brown", "not now")]
    assert view.request.plan_title == "Block public access"


@pytest.mark.parametrize(
    ("state", "stage"),
    [
        ("queued", Stage.RUNNING), ("running", Stage.RUNNING), ("verifying", Stage.RUNNING),
        ("unverified", Stage.UNVERIFIED), ("failed", Stage.FAILED), ("rolled_back", Stage.FAILED),
        ("blocked", Stage.BLOCKED),
    ],
)  # fmt: skip
async def test_the_stage_follows_the_latest_execution(world: Any, state: str, stage: Stage) -> None:
    world.cause()
    world.finding(1)
    world.plan()
    world.request(state="approved")
    world.execution("x-1", state)
    view = await world.board.cause("c-1")
    assert view.stage is stage
    assert view.execution is not None
    assert [p.name for p in view.execution.decided_by] == ["Bob Brown"]


async def test_a_verified_fix_is_fixed_and_can_be_undone(world: Any) -> None:
    world.cause(state="resolved", open_count=0)
    world.finding(1, status="resolved")
    world.plan()
    world.execution("x-1", "succeeded")
    view = await world.board.cause("c-1")
    assert view.stage is Stage.FIXED
    assert view.execution is not None
    assert view.execution.can_undo


async def test_what_comes_back_after_the_fix_is_open_again(world: Any) -> None:
    world.cause()
    world.finding(1, status="reopened", changed_at=world.clock.now() + LATER)
    world.plan()
    world.execution("x-1", "succeeded")
    assert (await world.board.cause("c-1")).stage is Stage.OPEN


async def test_a_fix_that_left_a_finding_out_does_not_call_the_cause_fixed(world: Any) -> None:
    world.cause(open_count=1, total_count=2)
    world.finding(1, status="resolved")
    world.finding(2)
    world.plan()
    world.execution("x-1", "succeeded")
    assert (await world.board.cause("c-1")).stage is Stage.OPEN


@pytest.mark.parametrize("why", ["none", "undone", "running"])
async def test_no_undo_where_there_is_nothing_to_undo(world: Any, why: str) -> None:
    world.cause(state="resolved", open_count=0)
    world.plan(reversibility=Reversibility.NONE if why == "none" else Reversibility.EXACT)
    world.execution("x-1", "succeeded", undone_by="x-2" if why == "undone" else None)
    if why == "running":
        world.plan("plan-2", "undo", undoes="x-1")
        world.execution("x-2", "running", "plan-2", "undo", created_at=world.clock.now() - LATER)
    view = await world.board.cause("c-1")
    assert view.execution is not None
    assert view.execution.id == "x-1"
    assert not view.execution.can_undo


async def test_an_undo_makes_it_undone_and_a_refused_undo_leaves_the_fix_to_be_undone(world: Any) -> None:
    world.cause(state="resolved", open_count=0)
    world.finding(1, status="resolved")
    world.plan()
    world.execution("x-1", "succeeded")
    world.plan("plan-2", "undo", undoes="x-1")
    world.execution("x-2", "blocked", "plan-2", "undo", created_at=world.clock.now() + LATER, why="frozen")
    refused = await world.board.cause("c-1")
    assert refused.stage is Stage.FIXED
    assert refused.execution is not None
    assert refused.execution.can_undo
    assert "frozen" in refused.execution.why
    world.plan("plan-3", "undo", undoes="x-1")
    world.execution("x-3", "succeeded", "plan-3", "undo", created_at=world.clock.now() + 2 * LATER)
    world.cause("c-2")
    view = await world.board.cause("c-1")
    assert view.execution is not None
    assert view.execution.id == "x-3"
    assert not view.execution.can_undo


async def test_an_undo_that_reading_back_does_not_confirm_is_not_called_undone(world: Any) -> None:
    world.cause()
    world.finding(1)
    world.plan("plan-2", "undo", undoes="x-1")
    world.execution("x-2", "unverified", "plan-2", "undo")
    assert (await world.board.cause("c-1")).stage is Stage.UNVERIFIED


async def test_undone_while_the_finding_is_open_again(world: Any) -> None:
    world.cause()
    world.finding(1, status="reopened")
    world.plan("plan-2", "undo", undoes="x-1")
    world.execution("x-2", "succeeded", "plan-2", "undo")
    assert (await world.board.cause("c-1")).stage is Stage.UNDONE


async def test_a_snoozed_cause_says_by_whom_and_history_is_told_in_order(world: Any) -> None:
    until = world.clock.now() + timedelta(days=7)
    world.cause(state="snoozed", snoozed_until=until)
    world.plan()
    world.request(state="rejected")
    world.say("request.made", "req-1", "alice", reason="please")
    world.say("plan.made", "plan-1", "gatehouse", title="x")
    world.say("vote.cast", "req-1", "bob", choice="reject", reason="no")
    world.say("cause.snoozed", "c-1", "alice", reason="holiday")
    view = await world.board.cause("c-1")
    assert (view.stage, view.snoozed_until, view.snoozed_by) == (Stage.SNOOZED, until, "Alice Adams")
    assert [(h.who, h.what) for h in view.history] == [
        ("Alice Adams", "asked for approval: please"),
        ("Bob Brown", "voted: reject (no)"),
        ("Alice Adams", "snoozed it: holiday"),
    ]


async def test_findings_come_most_urgent_first_and_in_pages(world: Any) -> None:
    world.finding(1, priority=2, severity=4)
    world.finding(2, priority=1, severity=3)
    world.finding(3, priority=1, severity=99)
    world.finding(4, priority=1, severity=5)
    world.finding(5, priority=1, severity=5, due=world.clock.now())
    world.finding(6, status="resolved")
    view = await world.board.findings(FindingsFilter(), limit=3)
    assert [line.id[-1] for line in view.lines] == ["5", "4", "2"]
    assert (view.total, view.lines[0].where, view.lines[0].owner) == (5, "acme-prod, prod", "Payments")
    assert [line.id[-1] for line in (await world.board.findings(limit=3, offset=3)).lines] == ["3", "1"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("critical", "2"), ("dev", "3"), ("account:222", "4"), ("account:ACME-dev", "4"), ("owner:none", "3"),
        ("owner:payments", "124"), ("owner:Payments", "124"), ("rule:other", "2"), ("source:wiz", "4"),
        ("text:B2", "2"),
        ("text:%", ""), ("resolved", "5"), ("all", "12345"),
    ],
)  # fmt: skip
async def test_filters_narrow_and_widen(world: Any, words: str, expected: str) -> None:
    from bot.store.tables import OwnerRow

    world.put(OwnerRow(id="payments", name="Payments", changed_at=world.clock.now()))
    world.finding(1)
    world.finding(2, severity=5, rule_uid="other")
    world.finding(3, environment="dev", owner="")
    world.finding(4, account_uid="222", account_name="acme-dev", source="wiz")
    world.finding(5, status="resolved", owner="x")
    rows = await world.board.all_open(parse_filters(words))
    assert "".join(sorted(row["id"][-1] for row in rows)) == expected
    assert (await world.board.findings(parse_filters(words))).total == len(expected)


async def test_mine_is_my_teams_and_needs_to_know_me(world: Any) -> None:
    world.finding(1)
    world.finding(2, owner="x")
    alice = Principal(id="alice", name="Alice")
    view = await world.board.findings(parse_filters("mine"), person=alice)
    assert [line.id[-1] for line in view.lines] == ["1"]
    with pytest.raises(BadInput, match="mine"):
        await world.board.findings(parse_filters("mine"))


async def test_rows_for_json_carry_words_not_numbers(world: Any) -> None:
    world.finding(1)
    (row,) = await world.board.all_open()
    assert (row["severity"], row["priority"], row["owner_name"]) == ("high", "P2", "Payments")
    assert row["first_seen"].endswith("+00:00")
    assert "content" not in row


async def test_a_finding_by_the_beginning_of_its_id(world: Any) -> None:
    world.cause()
    found = world.finding(1)
    world.finding(1234567890123456)
    view = await world.board.finding("f-0000")
    assert (view.id, view.cause_title) == (found, "Buckets are public (c-1)")
    assert view.verdict is not None
    assert (await world.board.finding("1234567")).finding.uid == "1234567890123456"


async def test_an_ambiguous_or_wrong_id_says_what_could_be_meant(world: Any) -> None:
    world.finding(1)
    world.finding(2)
    with pytest.raises(NotFound, match="More than one"):
        await world.board.finding("f-00000000")
    with pytest.raises(NotFound, match="Did you mean f-0000000000000001"):
        await world.board.finding("f-0000000000000011")
    with pytest.raises(NotFound, match="Ask for findings"):
        await world.board.finding("")


async def test_a_digest_tells_what_the_channel_was_spared(world: Any) -> None:
    for number, values in enumerate(
        [
            {},
            {},
            {},
            {"channels": '["slack:C10"]'},
            {"state": "snoozed"},
            {"priority": 3},
            {"channels": '["slack:C1","x:y"]'},
        ]
    ):
        world.cause(f"c-{number}", **values)
    world.post("c-0")
    world.post("c-2", message_id="")
    world.outbox("c-1")
    world.outbox("c-2", "dead")
    world.post("c-5", "C2")
    since = world.clock.now()
    view = await world.board.digest("slack:C1", since)
    assert [line.id for line in view.lines] == ["c-2", "c-6", "c-5"]
    assert view.counts == ((Priority.P1, 2), (Priority.P3, 1))
    assert (view.total, view.until) == (3, since + timedelta(minutes=60))
    assert (await world.board.digest("slack:C1", since)).revision == view.revision
    world.post("c-6")
    assert (await world.board.digest("slack:C1", since)).revision != view.revision


async def test_home_shows_what_waits_for_me_and_not_what_i_asked_for(world: Any) -> None:
    world.cause()
    world.plan()
    world.request()
    bob = await world.board.home(Principal(id="bob", name="Bob"))
    alice = await world.board.home(Principal(id="alice", name="Alice", groups=("cloud-approvers",)))
    carol = await world.board.home(Principal(id="carol", name="Carol"))
    assert [r.id for r in bob.waiting] == ["req-1"]
    assert (alice.waiting, carol.waiting) == ((), ())
    assert [r.id for r in alice.asked] == ["req-1"]
    assert ([line.id for line in alice.mine], alice.mine_total, carol.mine_total) == (["c-1"], 1, 0)
    world.vote("bob")
    assert (await world.board.home(Principal(id="bob", name="Bob"))).waiting == ()


async def test_home_leaves_out_what_has_expired(world: Any) -> None:
    world.cause()
    world.plan()
    world.request(expires_at=world.clock.now())
    assert (await world.board.home(Principal(id="bob", name="Bob"))).waiting == ()


async def test_status_counts_and_names_what_is_undeliverable(world: Any) -> None:
    world.cause()
    world.cause("c-2", priority=3)
    world.finding(1)
    world.finding(2, severity=5)
    world.finding(3, status="resolved")
    world.plan()
    world.request()
    world.outbox("c-1")
    world.outbox("c-1", "dead")
    world.say("x", "y", "alice")
    status = await world.board.status()
    assert [(s.name, n) for s, n in status.open_findings] == [("CRITICAL", 1), ("HIGH", 1)]
    assert status.open_causes == ((Priority.P1, 1), (Priority.P3, 1))
    assert (status.waiting_requests, status.running, status.held_in_digests) == (1, 0, 1)
    assert (status.outbox_waiting, status.outbox_dead, status.ledger_records) == (1, 1, 1)


on_sqlite = pytest.mark.parametrize("world", ["sqlite"], indirect=True)  # the words of its query planner


@on_sqlite
@pytest.mark.parametrize(
    "words", ["", "critical", "critical account:111", "prod p1", "high owner:payments", "resolved", "all"]
)
def test_lists_and_counts_are_answered_from_an_index(world: Any, words: str) -> None:
    filters = parse_filters(words)

    def explain(conn: Any, question: Any) -> str:
        compiled = question.compile(conn, compile_kwargs={"literal_binds": True})
        return " / ".join(row.detail for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}"))

    for question in (count_question(filters), list_question(filters, 20, 0)):
        plan = world.db.read_sync(explain, question)
        assert "SEARCH findings USING" in plan, plan
        assert "SCAN findings" not in plan, plan


@on_sqlite
@pytest.mark.parametrize("words", ["", "critical", "prod p1", "high owner:none"])
def test_the_commonest_counts_never_touch_the_table(world: Any, words: str) -> None:
    def explain(conn: Any) -> str:
        compiled = count_question(parse_filters(words)).compile(conn, compile_kwargs={"literal_binds": True})
        return " / ".join(row.detail for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}"))

    plan = world.db.read_sync(explain)
    assert "SEARCH findings USING COVERING INDEX" in plan, plan


@on_sqlite
def test_what_is_held_is_found_without_going_through_the_outbox_for_every_cause(world: Any) -> None:
    def explain(conn: Any) -> list[str]:
        compiled = select(CAUSES.c.id).where(held("slack:C1")).compile(conn, compile_kwargs={"literal_binds": True})
        return [row.detail for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {str(compiled).replace('%%', '%')}")]

    plan = world.db.read_sync(explain)
    assert any(line.startswith("SEARCH outbox") for line in plan), plan
    assert not any(line.startswith("SCAN outbox") or "CORRELATED" in line for line in plan), plan


@pytest.mark.parametrize(
    ("who", "groups", "guest", "waits"),
    [
        ("bob", {"cloud-approvers"}, False, True),
        ("bob", set(), False, False),
        ("bob", {"cloud-approvers"}, True, False),
        ("alice", {"cloud-approvers"}, False, False),
    ],
)
async def test_home_asks_the_policy_who_may_decide(
    world: Any, who: str, groups: set[str], guest: bool, waits: bool
) -> None:
    policy = Policy.load(world.settings.governance)
    board = Board(world.db, world.settings, world.board._reader.catalog, world.clock, policy=policy)
    world.cause()
    world.plan()
    world.request(rule='{"name": "built-in"}')
    now = world.clock.now()
    actor = Actor(
        principal=Principal(id=who, name=who),
        identity=PlatformIdentity(platform=Platform.SLACK, tenant="T01", user="U"),
        standing=Standing(active=True, guest=guest, external=False, bot=False, checked_at=now),
        groups=frozenset(groups),
        groups_read_at=now,
    )
    view = await board.home(actor)
    assert [r.id for r in view.waiting] == (["req-1"] if waits else [])
    request = (await board.cause("c-1")).request
    assert request is not None
    assert request.could == ("members of cloud-approvers",)
