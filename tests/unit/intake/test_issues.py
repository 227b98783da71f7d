"""Split and merge as people click them: asked of the policy, in the ledger, on the card, remembered."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from bot.domain.errors import BadInput, Conflict, Denied
from bot.domain.views import CauseView
from bot.intake.issues import Issues
from bot.intake.service import Intake
from bot.intake.stewardship import Stewardship
from bot.remediation.catalog import builtin_catalog
from bot.reports.cause_view import Reader, read_cause
from bot.store import tellings
from bot.store.database import Database
from bot.store.findings import FINDINGS
from bot.store.ledger import LEDGER
from cards import blockkit, build
from cards.lint import problems
from cards.model import Button, Buttons, Card

from .kit import CountedIds, Mapper, StillClock, settings
from .test_identity import PUBLIC, Other, stored
from .test_stewardship import actor


class Third(Mapper):
    source = "wiz"


Made = dict[str, Any]


@pytest.fixture
async def made(db: Database, clock: StillClock, ids: CountedIds) -> Made:
    """A public bucket of which two sources tell, and a third source's other word about the same bucket."""
    intake = Intake(db, settings(), builtin_catalog(), clock, ids)
    await stored(
        intake,
        (Mapper(), {"uid": "a", **PUBLIC}),
        (Other(), {"uid": "b", **PUBLIC}),
        (Third(), {"uid": "c", **PUBLIC, "title": "Anybody reads this", "rule": "z"}),
    )
    rows = {row.source: row for row in await db.read(lambda conn: conn.execute(select(FINDINGS)).all())}
    issues = Issues(db, Stewardship(db, settings(), clock, ids), clock, ids)
    return {"intake": intake, "rows": rows, "issues": issues, "cause": rows["toy"].cause_id, "db": db, "clock": clock}


def view(made: Made) -> CauseView:
    reader = Reader(settings(), builtin_catalog(), made["clock"])
    found: CauseView = made["db"].read_sync(read_cause, reader, made["cause"])
    return found


def buttons(card: Card) -> list[Button]:
    return [one for part in card.body if isinstance(part, Buttons) for one in part.items]


async def kinds(db: Database) -> list[str]:
    rows = await db.read(lambda conn: conn.execute(select(LEDGER.c.kind).order_by(LEDGER.c.seq)).scalars().all())
    return [kind for kind in rows if kind.startswith(("issue.", "refused"))]


async def test_the_card_names_the_witnesses_and_what_joined_them(made: Made) -> None:
    seen = view(made)
    assert seen.witnessed is not None
    assert seen.witnessed.sources == ("other", "toy")
    (issue,) = seen.witnessed.issues
    assert "rule s3-public-access" in issue.why
    assert [one.source for one in seen.candidates] == ["wiz"]
    card = build.cause_card(seen)
    assert "2 witnesses: *other, toy* — the same problem" in _text(card)
    details = build.details_card(seen)
    assert [one.label for one in buttons(details) if one.action in ("gh.split", "gh.merge")] == [
        "Not the same problem: other", "Not the same problem: toy", "Same problem: Wiz",
    ]  # fmt: skip
    assert lint(card) == lint(details) == []


async def test_a_merge_is_recorded_remembered_and_shown_with_who_said_it(made: Made, db: Database) -> None:
    rows, issues = made["rows"], made["issues"]
    notice = await issues.merge(made["cause"], rows["toy"].id, rows["wiz"].id, actor())
    assert notice.ok
    assert await kinds(db) == ["issue.merged"]
    await stored(made["intake"], (Third(), {"uid": "c", **PUBLIC, "title": "Anybody reads this", "severity": "LOW"}))
    seen = view(made)
    assert seen.witnessed is not None
    assert seen.witnessed.sources == ("other", "toy", "wiz")
    assert "said it is the same problem" in seen.witnessed.issues[0].why
    assert "rule s3-public-access" in seen.witnessed.issues[0].why
    assert seen.candidates == ()
    with pytest.raises(Conflict):
        await issues.merge(made["cause"], rows["toy"].id, rows["wiz"].id, actor())


async def test_a_split_is_recorded_and_stays_when_the_source_reports_again(made: Made, db: Database) -> None:
    rows, issues = made["rows"], made["issues"]
    assert (await issues.split(made["cause"], rows["other"].id, actor())).ok
    assert await kinds(db) == ["issue.split"]
    await stored(made["intake"], (Other(), {"uid": "b", **PUBLIC, "severity": "LOW"}))
    assert view(made).witnessed is None
    with pytest.raises(Conflict, match="nothing to split"):
        await issues.split(made["cause"], rows["toy"].id, actor())


async def test_who_may_not_changes_nothing_and_the_refusal_is_recorded(made: Made, db: Database) -> None:
    rows, issues = made["rows"], made["issues"]
    for stranger in (actor(known=False), actor(guest=True)):
        with pytest.raises(Denied):
            await issues.split(made["cause"], rows["other"].id, stranger)
        with pytest.raises(Denied):
            await issues.merge(made["cause"], rows["toy"].id, rows["wiz"].id, stranger)
    assert await kinds(db) == ["refused"] * 4
    assert view(made).witnessed is not None


async def test_a_forged_button_cannot_reach_findings_of_other_causes(made: Made, db: Database) -> None:
    rows, issues = made["rows"], made["issues"]
    await stored(made["intake"], (Mapper(), {"uid": "d", "resource": "arn:aws:s3:::elsewhere", "title": "Other"}))
    found = await db.read(lambda conn: conn.execute(select(FINDINGS.c.id).where(FINDINGS.c.uid == "d")).scalar_one())
    with pytest.raises(BadInput, match="no witness"):
        await issues.split(made["cause"], found, actor())
    with pytest.raises(BadInput, match="no witness"):
        await issues.merge(made["cause"], found, rows["toy"].id, actor())
    assert await kinds(db) == []


async def test_the_card_waits_for_the_next_scan_and_says_loudly_when_it_disagrees(made: Made, db: Database) -> None:
    def fixed(conn: Any) -> None:
        row = made["rows"]["other"]
        conn.execute(FINDINGS.update().where(FINDINGS.c.id == row.id).values(status="resolved"))
        tellings.tell(conn, [row.id], to="fixed", note="fixed", reason_id="x-1", now=made["clock"].now())

    await db.write(fixed)
    seen = view(made)
    assert seen.agreement is not None
    assert seen.agreement.waiting_for == ("other",)
    card = build.cause_card(seen)
    assert "*Fixed, waiting for the next scan of other*" in _text(card)
    assert "Waiting for the next scan of other." in card.summary
    assert lint(card) == []

    def contradicted(conn: Any) -> None:
        conn.execute(FINDINGS.update().where(FINDINGS.c.source == "other").values(status="reopened"))
        conn.execute(tellings.TELLINGS.update().values(state="contradicted"))

    await db.write(contradicted)
    card = build.cause_card(view(made))
    assert "🚨 *other does not agree*" in _text(card)
    assert "still reported it after a new scan" in card.summary

    def agreed(conn: Any) -> None:
        conn.execute(FINDINGS.update().where(FINDINGS.c.source == "other").values(status="resolved"))
        conn.execute(tellings.TELLINGS.update().values(state="agreed"))

    await db.write(agreed)
    assert view(made).agreement is None


def lint(card: Card) -> list[str]:
    return list(problems(blockkit.message(card), "message"))


def _text(card: Card) -> str:
    return "".join(_leaves(blockkit.message(card)["blocks"]))


def _leaves(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [leaf for key, value in node.items() if key != "value" for leaf in _leaves(value)]
    if isinstance(node, list):
        return [leaf for one in node for leaf in _leaves(one)]
    return [node] if isinstance(node, str) else []
