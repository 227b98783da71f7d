"""What people do with a cause: pass it on, put it off, accept its risk; each is on the card and in the ledger."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bot.domain.errors import Denied, NotFound
from bot.domain.findings import finding_id
from bot.domain.principals import Actor, Platform, PlatformIdentity, Principal, Standing
from bot.governance.policy import Policy
from bot.intake.service import Intake
from bot.intake.stewardship import EXCEPTIONS, Stewardship
from bot.settings import GovernanceSettings
from bot.store import causes, findings, ledger, overrides, posts, routes
from bot.store.database import Database
from bot.store.ledger import LEDGER

from .kit import START, CountedIds, Mapper, StillClock, raw, settings
from .test_announce import outbox_rows, sent
from .test_lifecycle import poll, row


def actor(*groups: str, known: bool = True, **standing: bool) -> Actor:
    ok = {"active": True, "guest": False, "external": False, "bot": False} | standing
    return Actor(
        principal=Principal(id="bob" if known else "p-000", name="Bob Brown"),
        identity=PlatformIdentity(platform=Platform.SLACK, tenant="T1", user="U1"),
        standing=Standing(checked_at=START, **ok),
        groups=frozenset(groups),
    )


APPROVER = "cloud-approvers"


@pytest.fixture
def stewards(db: Database, clock: StillClock, ids: CountedIds) -> Stewardship:
    return Stewardship(db, settings(), clock, ids)


@pytest.fixture
async def cause(intake: Intake, mapper: Mapper, db: Database, ids: CountedIds, clock: StillClock) -> str:
    """Two findings of one cause, its card posted in the channel of payments."""
    await poll(intake, mapper, [raw("a", tags={"owner": "payments"}), raw("b", tags={"owner": "payments"})])
    found = str(row(db, "a").cause_id)
    db.write_sync(
        posts.save, ids, clock.at, kind="cause", subject=found, address="slack:C0PAY", message_id="1.1", revision=0
    )
    db.write_sync(sent)
    return found


def kinds(db: Database, subject: str) -> list[str]:
    query = select(LEDGER.c.kind).where(LEDGER.c.subject == subject).order_by(LEDGER.c.seq)
    assert db.read_sync(ledger.verify).ok
    return list(db.read_sync(lambda conn: conn.execute(query).scalars().all()))


def queued(db: Database) -> list[tuple[str, str]]:
    return [(message.kind, message.channel) for message in outbox_rows(db, state="queued")]


async def test_not_mine_moves_the_cause_to_the_other_owner_and_keeps_its_card(
    stewards: Stewardship, cause: str, db: Database, intake: Intake, mapper: Mapper
) -> None:
    before = db.read_sync(causes.get, cause)
    notice = await stewards.not_mine(cause, actor(), "platform", "moved in May")
    assert (notice.ok, notice.said) == (True, "Passed on to Platform.")
    now = db.read_sync(causes.get, cause)
    assert (now.owner, now.channels) == ("platform", '["slack:C0PLAT"]')
    assert now.owner_reason == "passed on by Bob Brown: moved in May"
    assert now.revision > before.revision
    assert {row(db, "a").owner, row(db, "b").owner} == {"platform"}
    assert queued(db) == [("card", "C0PAY"), ("thread", "C0PAY"), ("card", "C0PLAT")]
    assert kinds(db, cause) == ["cause.passed_on"]
    # What a person said holds for later polls and for new findings of the cause.
    tags = {"owner": "payments"}
    await poll(intake, mapper, [raw("a", tags=tags, title="reworded"), raw("c", tags=tags)])
    assert {row(db, "a").cause_id, row(db, "c").cause_id} == {cause}
    assert row(db, "c").owner == "platform"
    assert db.read_sync(causes.get, cause).owner == "platform"


async def test_not_mine_to_nobody_goes_to_the_fallback(stewards: Stewardship, cause: str, db: Database) -> None:
    assert (await stewards.not_mine(cause, actor(), "", "")).ok
    assert db.read_sync(causes.get, cause).channels == '["slack:C0SEC"]'


async def test_not_mine_to_an_unknown_or_the_same_owner_changes_nothing(
    stewards: Stewardship, cause: str, db: Database
) -> None:
    notice = await stewards.not_mine(cause, actor(), "platfrom", "")
    assert not notice.ok
    assert notice.mend == "Did you mean platform? Known: payments, platform."
    assert not (await stewards.not_mine(cause, actor(), "payments", "")).ok
    assert db.read_sync(overrides.load) == {}
    assert queued(db) == []
    with pytest.raises(NotFound):
        await stewards.not_mine("c-none", actor(), "platform", "")


async def test_snooze_wakes_by_itself(
    stewards: Stewardship, cause: str, db: Database, clock: StillClock, intake: Intake, mapper: Mapper
) -> None:
    notice = await stewards.snooze(cause, actor(), 7, "release week")
    assert notice.ok
    assert notice.mend == ""
    assert db.read_sync(causes.get, cause).state == "snoozed"
    assert queued(db) == [("card", "C0PAY"), ("thread", "C0PAY")]
    await poll(intake, mapper, [raw("c", tags={"owner": "payments"})])
    assert db.read_sync(causes.get, cause).state == "snoozed"
    clock.move(days=6, hours=23)
    assert await stewards.wake_due() == 0
    clock.move(hours=1)
    assert await stewards.wake_due() == 1
    awake = db.read_sync(causes.get, cause)
    assert (awake.state, awake.snoozed_until, awake.open_count) == ("open", None, 3)
    assert kinds(db, cause) == ["cause.snoozed", "cause.woken"]
    assert await stewards.wake_due() == 0


async def test_snooze_beyond_the_due_date_is_said(stewards: Stewardship, cause: str) -> None:
    notice = await stewards.snooze(cause, actor(), 15, "")
    assert (notice.ok, notice.mend) == (True, "It is due on 2026-03-16, before it wakes.")


@pytest.mark.parametrize("days", [0, -3, 91])
async def test_snooze_has_bounds(stewards: Stewardship, cause: str, days: int) -> None:
    assert not (await stewards.snooze(cause, actor(), days, "")).ok


async def test_an_accepted_risk_is_written_down_expires_and_returns(
    stewards: Stewardship, cause: str, db: Database, clock: StillClock, intake: Intake, mapper: Mapper
) -> None:
    until = clock.at + timedelta(days=30)
    notice = await stewards.accept_risk(cause, actor(APPROVER), until, " public on purpose ")
    assert notice.ok
    assert db.read_sync(causes.get, cause).state == "excepted"
    assert row(db, "a").status == "excepted"
    assert "public on purpose" in row(db, "a").status_reason
    assert not (await stewards.snooze(cause, actor(), 3, "")).ok
    # Polls leave it as it is; a new finding of the cause is no part of what was accepted.
    await poll(intake, mapper, [raw("a", tags={"owner": "payments"}, title="reworded")])
    assert row(db, "a").status == "excepted"
    clock.move(days=30)
    assert await stewards.wake_due() == 1
    assert {row(db, "a").status, row(db, "b").status} == {"open"}
    assert db.read_sync(causes.get, cause).state == "open"
    assert kinds(db, cause) == ["risk.accepted", "risk.expired"]
    ended = db.read_sync(lambda conn: conn.execute(select(EXCEPTIONS.c.ended_at)).scalars().all())
    assert ended == [clock.at]


async def test_a_new_finding_of_an_excepted_cause_is_open(
    stewards: Stewardship, cause: str, db: Database, clock: StillClock, intake: Intake, mapper: Mapper
) -> None:
    await stewards.accept_risk(cause, actor(APPROVER), clock.at + timedelta(days=30), "fine")
    await poll(intake, mapper, [raw("new", tags={"owner": "payments"})])
    assert (row(db, "new").status, row(db, "a").status) == ("open", "excepted")
    assert db.read_sync(causes.get, cause).state == "open"


@pytest.mark.parametrize(
    ("days", "reason", "said"),
    [(30, "  ", "needs a reason"), (0, "fine", "next twelve months"), (400, "fine", "next twelve months")],
)
async def test_a_risk_is_not_accepted_lightly(
    stewards: Stewardship, cause: str, db: Database, clock: StillClock, days: int, reason: str, said: str
) -> None:
    notice = await stewards.accept_risk(cause, actor(APPROVER), clock.at + timedelta(days=days), reason)
    assert not notice.ok
    assert said in notice.said
    assert row(db, "a").status == "open"
    assert kinds(db, cause) == []


# --- who may ---------------------------------------------------------------------------------------------------------


def doing(verb: str, stewards: Stewardship, cause: str, who: Actor) -> Awaitable[object]:
    if verb == "not_mine":
        return stewards.not_mine(cause, who, "platform", "theirs")
    if verb == "snooze":
        return stewards.snooze(cause, who, 7, "later")
    return stewards.accept_risk(cause, who, START + timedelta(days=30), "fine")


ACTION = {"not_mine": "pass_on", "snooze": "snooze", "accept_risk": "accept_risk"}


@pytest.mark.parametrize("verb", ACTION)
@pytest.mark.parametrize(
    ("odd", "rule"),
    [
        ({"known": False}, "guard-stranger"),
        ({"guest": True}, "guard-guest"),
        ({"external": True}, "guard-external"),
        ({"bot": True}, "guard-bot"),
        ({"active": False}, "guard-deactivated"),
    ],
)
async def test_whom_the_policy_refuses_changes_nothing_and_reads_rule_reason_and_who_could(
    stewards: Stewardship, cause: str, db: Database, verb: str, odd: dict[str, bool], rule: str
) -> None:
    who = actor(APPROVER, **odd)
    before = db.read_sync(causes.get, cause)
    for wanted in (doing(verb, stewards, cause, who), stewards.require(cause, who, ACTION[verb])):
        with pytest.raises(Denied) as refused:
            await wanted
        assert refused.value.rule == rule
        assert refused.value.reason
        assert refused.value.could
        assert refused.value.mend.startswith("Ask ")
    assert db.read_sync(causes.get, cause) == before
    assert row(db, "a").status == "open"
    assert queued(db) == []
    assert kinds(db, cause) == ["refused", "refused"]


async def test_a_risk_is_accepted_by_approvers_only(stewards: Stewardship, cause: str, db: Database) -> None:
    with pytest.raises(Denied) as refused:
        await stewards.accept_risk(cause, actor(), START + timedelta(days=30), "fine")
    assert (refused.value.rule, refused.value.could) == ("default deny", (f"members of {APPROVER}",))
    assert row(db, "a").status == "open"


@pytest.mark.parametrize("verb", ACTION)
async def test_nothing_is_permitted_that_no_policy_permits(
    cause: str, db: Database, clock: StillClock, ids: CountedIds, tmp_path: Path, verb: str
) -> None:
    own = tmp_path / "own.cedar"
    own.write_text('@id("look") permit (principal, action == Action::"review", resource);', "utf-8")
    stewards = Stewardship(db, settings(), clock, ids, Policy.load(GovernanceSettings(policies=own)))
    with pytest.raises(Denied) as refused:
        await doing(verb, stewards, cause, actor(APPROVER))
    assert refused.value.rule == "default deny"


async def test_a_policy_may_look_at_the_owner_and_the_environment_of_the_cause(
    cause: str, db: Database, clock: StillClock, ids: CountedIds, tmp_path: Path
) -> None:
    own = tmp_path / "own.cedar"
    own.write_text(
        '@id("payments") permit (principal, action == Action::"snooze", resource) when '
        '{ resource.owner == "payments" && resource.environment == "unknown" };',
        "utf-8",
    )
    stewards = Stewardship(db, settings(), clock, ids, Policy.load(GovernanceSettings(policies=own)))
    assert (await stewards.snooze(cause, actor(), 7, "later")).ok
    await Stewardship(db, settings(), clock, ids).not_mine(cause, actor(), "platform", "theirs")
    with pytest.raises(Denied):
        await stewards.snooze(cause, actor(), 7, "later")


async def test_a_suppression_of_the_source_that_ran_out_wakes_and_is_announced(
    stewards: Stewardship, db: Database, clock: StillClock, intake: Intake, mapper: Mapper
) -> None:
    class Suppressing(Mapper):
        def map(self, raw: Any) -> Any:
            until = START + timedelta(days=1)
            return super().map(raw).model_copy(update={"suppressed_until": until})

    await poll(intake, Suppressing(), [raw("s", result="SUPPRESSED")])
    assert await stewards.wake_due() == 0
    clock.move(days=1)
    assert await stewards.wake_due() == 1
    assert db.read_sync(findings.get, finding_id("toy", "s")).status == "open"
    assert queued(db) == [("card", "C0SEC")]


async def test_not_mine_counts_against_the_rule_that_brought_it_there(
    stewards: Stewardship, db: Database, cause: str
) -> None:
    await stewards.not_mine(cause, actor(), "platform", "theirs")
    assert await db.read(routes.rates, START - timedelta(days=1)) == [("tag", 1, 1)]
    assert (await db.read(causes.get, cause)).owner_rule == "override"
    await stewards.not_mine(cause, actor(), "payments", "no, ours")
    assert set(await db.read(routes.rates, START - timedelta(days=1))) == {("tag", 1, 1), ("override", 1, 1)}
