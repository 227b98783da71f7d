"""Suppression rules: monitor first, people activate, P1 stays visible, what is hidden is kept and comes back."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from bot.domain.errors import BadInput, Conflict, Denied, Stale
from bot.domain.findings import finding_id
from bot.domain.principals import Actor
from bot.domain.silence import RuleState
from bot.governance.policy import Policy
from bot.intake import noise
from bot.intake.service import Intake
from bot.intake.suppression import Suppression, silenced
from bot.settings import Settings, SuppressionRule
from bot.store import causes, ledger, silences
from bot.store.database import Database
from bot.store.ledger import LEDGER

from .kit import START, CountedIds, Mapper, StillClock, raw, settings
from .test_announce import outbox_rows
from .test_lifecycle import poll, row
from .test_stewardship import APPROVER, actor

QUIET = {"severity": "LOW", "exposed": False}
URGENT: dict[str, Any] = {
    "severity": "CRITICAL", "exposed": True, "rule": "urgent", "tags": {"env": "prod", "data-class": "pii"},
    "vulnerabilities": [{"uid": "CVE-2021-44228", "kev": True, "cvss": 10.0, "epss": 0.97}],
}  # fmt: skip


def rule(**more: Any) -> SuppressionRule:
    given = {"name": "dev noise", "match": {"environment": ["dev"]}, "reason": "rebuilt daily", "author": "bob",
             "until": (START + timedelta(days=20)).date()}  # fmt: skip
    return SuppressionRule.model_validate(given | more)


def other(name: str = "carol") -> Actor:
    found = actor(APPROVER)
    return Actor(principal=found.principal.model_copy(update={"id": name, "name": name.title()}),
                 identity=found.identity, standing=found.standing, groups=found.groups)  # fmt: skip


def service(db: Database, clock: StillClock, ids: CountedIds, chosen: Settings | None = None) -> Suppression:
    chosen = chosen or settings()
    return Suppression(db, chosen, clock, ids, Policy.load(chosen.governance))


@pytest.fixture
def rules(db: Database, clock: StillClock, ids: CountedIds) -> Suppression:
    return service(db, clock, ids)


def status(db: Database, uid: str) -> tuple[str, str]:
    found = row(db, uid)
    return found.status, found.status_reason


def state(db: Database, uid: str) -> str:
    return str(db.read_sync(causes.get, row(db, uid).cause_id).state)


def kinds(db: Database, subject: str) -> list[str]:
    query = select(LEDGER.c.kind).where(LEDGER.c.subject == subject).order_by(LEDGER.c.seq)
    return list(db.read_sync(lambda conn: conn.execute(query).scalars().all()))


async def make_urgent(db: Database, uid: str, ids: CountedIds, clock: StillClock) -> None:
    """As if new evidence came: the finding is judged P1."""

    def change(conn: Any) -> None:
        table = causes.FINDINGS
        conn.execute(update(table).where(table.c.id == finding_id("toy", uid)).values(priority=1))
        causes.refresh(conn, ids, clock.at, {row(db, uid).cause_id})

    await db.write(change)


async def test_a_rule_watches_first_and_hides_nothing(
    rules: Suppression, intake: Intake, mapper: Mapper, db: Database
) -> None:
    await poll(intake, mapper, [raw("d", tags={"env": "dev"}, **QUIET), raw("p", tags={"env": "prod"}, **QUIET)])
    view = await rules.draft(actor(), rule())
    assert (view.state, view.preview.hides, view.preview.of_open, view.hidden) == (RuleState.MONITOR, 1, 2, 0)
    assert [line.id for line in view.preview.sample] == [finding_id("toy", "d")]
    assert status(db, "d")[0] == "open"
    assert not view.may_activate  # who wrote it is in no approving group


async def test_activation_hides_and_is_told(rules: Suppression, intake: Intake, mapper: Mapper, db: Database) -> None:
    await poll(intake, mapper, [raw("d", tags={"env": "dev"}, **QUIET)])
    view = await rules.draft(actor(), rule())
    with pytest.raises(Denied) as denied:
        await rules.activate(view.id, view.hash, actor())
    assert denied.value.could == ("members of cloud-approvers",)
    active = await rules.activate(view.id, view.hash, actor(APPROVER))
    assert (active.state, active.hidden) == (RuleState.ACTIVE, 1)
    hidden, why = status(db, "d")
    assert hidden == "suppressed"
    assert all(said in why for said in ("dev noise", "Bob Brown", "rebuilt daily"))
    assert state(db, "d") == "silenced"
    assert kinds(db, view.id) == [
        "suppression.written", "refused", "suppression.signed", "suppression.active", "finding.hidden"
    ]  # fmt: skip
    lines, total = await rules.hidden(view.id)
    assert ([line.id for line in lines], total) == ([finding_id("toy", "d")], 1)
    line = (await db.read(silenced))[0]
    assert (line.count, line.rule_id, line.reason) == (1, view.id, "rebuilt daily")
    # What comes later and fits is stored hidden: no card.
    before = len(outbox_rows(db, kind="card"))
    await poll(intake, mapper, [raw("e", rule="second", tags={"env": "dev"}, **QUIET)])
    assert (status(db, "e")[0], state(db, "e")) == ("suppressed", "silenced")
    assert len(outbox_rows(db, kind="card")) == before
    assert db.read_sync(ledger.verify).ok


async def test_other_terms_are_not_activated(rules: Suppression) -> None:
    view = await rules.draft(actor(), rule())
    with pytest.raises(Stale):
        await rules.activate(view.id, "another hash", actor(APPROVER))


async def test_ending_brings_everything_back_and_announces_it(
    rules: Suppression, intake: Intake, mapper: Mapper, db: Database
) -> None:
    view = await rules.draft(actor(), rule())
    await rules.activate(view.id, view.hash, actor(APPROVER))
    await poll(intake, mapper, [raw("d", tags={"env": "dev"}, **QUIET)])
    assert not outbox_rows(db, kind="card")
    ended = await rules.end(view.id, actor(), "not noise")
    assert (ended.state, ended.hidden) == (RuleState.ENDED, 0)
    assert status(db, "d") == ("open", "no longer hidden: the rule “dev noise” ended by Bob Brown: not noise")
    assert len(outbox_rows(db, kind="card")) == 1
    with pytest.raises(Conflict):
        await rules.activate(view.id, view.hash, actor(APPROVER))


async def test_a_rule_runs_out(
    rules: Suppression, intake: Intake, mapper: Mapper, db: Database, clock: StillClock
) -> None:
    view = await rules.draft(actor(), rule(until=(START + timedelta(days=2)).date()))
    await rules.activate(view.id, view.hash, actor(APPROVER))
    await poll(intake, mapper, [raw("d", tags={"env": "dev"}, **QUIET)])
    clock.move(days=2)
    await rules.tick()
    assert status(db, "d")[0] == "suppressed"  # the day named is its last
    clock.move(days=1)
    assert await rules.tick() == 1
    assert status(db, "d")[0] == "open"
    assert (await rules.list(over=True))[0].state is RuleState.EXPIRED


async def test_p1_stays_open_without_two_names(
    rules: Suppression, intake: Intake, mapper: Mapper, db: Database
) -> None:
    await poll(intake, mapper, [raw("u", **URGENT)])
    assert row(db, "u").priority == 1
    plain = await rules.draft(actor(), rule(name="plain", match={"rule": ["urgent"]}))
    assert (plain.preview.p1, plain.preview.hides, len(plain.preview.urgent)) == (1, 0, 1)
    assert (await rules.activate(plain.id, plain.hash, actor(APPROVER))).hidden == 0
    view = await rules.draft(actor(), rule(match={"rule": ["urgent"]}, include_p1=True))
    half = await rules.activate(view.id, view.hash, actor(APPROVER))
    assert (half.state, half.missing, status(db, "u")[0]) == (RuleState.MONITOR, 1, "open")
    with pytest.raises(Conflict):
        await rules.activate(view.id, view.hash, actor(APPROVER))  # the same person again is no second one
    whole = await rules.activate(view.id, view.hash, other())
    assert (whole.state, whole.hidden, whole.hidden_p1) == (RuleState.ACTIVE, 1, 1)
    assert "Bob Brown and Carol" in status(db, "u")[1]


async def test_what_becomes_p1_is_open_in_the_same_transaction(
    rules: Suppression, intake: Intake, mapper: Mapper, db: Database, ids: CountedIds, clock: StillClock
) -> None:
    view = await rules.draft(actor(), rule())
    await rules.activate(view.id, view.hash, actor(APPROVER))
    await poll(intake, mapper, [raw("d", tags={"env": "dev"}, **QUIET)])
    assert status(db, "d")[0] == "suppressed"
    await make_urgent(db, "d", ids, clock)
    assert status(db, "d") == ("open", "no longer hidden: it is P1 now")
    assert kinds(db, view.id)[-1] == "finding.shown_again"


async def test_terms_changed_behind_our_back_hide_nothing(
    rules: Suppression, intake: Intake, mapper: Mapper, db: Database, clock: StillClock
) -> None:
    view = await rules.draft(actor(), rule())
    await rules.activate(view.id, view.hash, actor(APPROVER))
    await poll(intake, mapper, [raw("d", tags={"env": "dev"}, **QUIET)])
    forged = silences.terms_text(rule(match={"environment": ["*"]}, include_p1=True))
    await db.write(lambda conn: conn.execute(update(silences.RULES).values(terms=forged)) and None)
    await rules.tick()
    assert status(db, "d")[0] == "open"


async def test_hours_close_and_open(
    rules: Suppression, intake: Intake, mapper: Mapper, db: Database, clock: StillClock
) -> None:
    view = await rules.draft(actor(), rule(hours="08:00-10:00"))
    assert view.when == "08:00-10:00 UTC"
    await poll(intake, mapper, [raw("d", tags={"env": "dev"}, **QUIET)])
    assert (await rules.activate(view.id, view.hash, actor(APPROVER))).hidden == 1  # it is 09:00
    clock.move(hours=2)
    await rules.tick()
    assert status(db, "d")[0] == "open"
    clock.move(hours=22)
    await rules.tick()
    assert status(db, "d")[0] == "suppressed"


async def test_a_report_that_no_longer_fits_is_open(
    rules: Suppression, intake: Intake, mapper: Mapper, db: Database
) -> None:
    view = await rules.draft(actor(), rule())
    await rules.activate(view.id, view.hash, actor(APPROVER))
    await poll(intake, mapper, [raw("d", tags={"env": "dev"}, **QUIET)])
    await poll(intake, mapper, [raw("d", tags={"env": "dev"}, desc="changed", **QUIET)])
    assert status(db, "d")[0] == "suppressed"
    await poll(intake, mapper, [raw("d", tags={"env": "prod"}, **QUIET)])
    assert status(db, "d")[0] == "open"
    assert (await rules.list())[0].hidden == 0


async def test_rules_of_the_file_watch_first_and_again_when_changed(
    db: Database, clock: StillClock, ids: CountedIds, intake: Intake, mapper: Mapper
) -> None:
    def with_rules(*found: SuppressionRule) -> Suppression:
        chosen = settings()
        return service(db, clock, ids, chosen.model_copy(
            update={"suppression": chosen.suppression.model_copy(update={"rules": found})}))  # fmt: skip

    await poll(intake, mapper, [raw("d", tags={"env": "dev"}, **QUIET)])
    first = with_rules(rule())
    (view,) = await first.list()
    assert (view.state, view.origin, view.preview.hides) == (RuleState.MONITOR, "settings", 1)
    await first.activate(view.id, view.hash, actor(APPROVER))
    assert status(db, "d")[0] == "suppressed"
    changed = with_rules(rule(reason="another reason"))
    (view,) = await changed.list()
    assert (view.state, view.names, status(db, "d")[0]) == (RuleState.MONITOR, (), "open")
    assert await with_rules().list() == ()


def test_a_rule_as_typed() -> None:
    text = "“dev noise” env:dev,test rule:s3-* tag:team=web until:14d hours:22:00-06:00 days:sat,sun p1 it is: rebuilt"
    found = noise.read_rule(text, author="bob", today=date(2026, 3, 2))
    assert found.match.model_dump(exclude_defaults=True) == {
        "environment": ("dev", "test"), "rule": ("s3-*",), "tags": {"team": "web"}
    }  # fmt: skip
    assert (found.name, found.until, found.hours, found.days) == (
        "dev noise", date(2026, 3, 16), "22:00-06:00", ("sat", "sun")
    )  # fmt: skip
    assert (found.reason, found.include_p1) == ("it is: rebuilt", True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("noise env:dev because", "Until when"),
        ("noise until:14d because", "needs a condition"),
        ("noise env:dev until:soon because", "is no date"),
        ('"noise env:dev', "not closed"),
        ("noise env:dev until:14d", "reason"),
        ("noise env:dev until:14d hours:9-10 because", "hours"),
        ("noise env:dev until:14d tz:Mars because", "time zone"),
    ],
)
def test_what_is_wrong_with_a_typed_rule_is_said(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        noise.read_rule(text, author="bob", today=date(2026, 3, 2))
    assert caught.value.mend


async def test_a_rule_does_not_live_for_ever(rules: Suppression) -> None:
    with pytest.raises(BadInput, match="at most 180 days"):
        await rules.draft(actor(), rule(until=(START + timedelta(days=300)).date()))
    with pytest.raises(BadInput, match="at most 30 days"):
        await rules.draft(actor(), rule(until=(START + timedelta(days=90)).date(), include_p1=True))
    with pytest.raises(Denied):
        await rules.draft(actor(known=False), rule())
