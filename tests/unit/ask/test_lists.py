"""Lists: the rows somebody looks at, the number of all of them, the order asked for; and what SQLite knows of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, delete, func, select, update

from bot.ask import lists, run, sql
from bot.ask.service import Ask, Asker
from bot.domain import posture as p
from bot.settings import Settings, SlaSettings
from bot.store import findings, ledger
from bot.store.database import Database
from bot.store.findings import FINDINGS
from bot.store.migrate import upgrade

from . import company, naive
from .company import NOW

MANY = company.facts(2300, seed=31)
_OPEN = (p.Is(field="open"),)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path_factory.mktemp('lists')}/ask.db"
    upgrade(url)
    db = Database(url)
    db.write_sync(company.store, MANY)
    yield db
    db.close_sync()


def _frame() -> sql.Frame:
    return sql.frame(NOW, SlaSettings(), sql.EVERYTHING)


def test_every_row_comes_once_and_in_order_however_many_are_fetched_at_once(many: Database) -> None:
    query = p.PostureQuery(kind=p.Kind.LIST, where=(p.In(field="status", values=("open", "resolved", "suppressed")),))
    result = many.read_sync(run.run, query, _frame())
    wanted = sorted(MANY, key=lambda f: (-f.row["severity"], f.row["first_seen"], f.row["id"]))
    assert [row["uid"] for row in result.rows] == [fact.row["uid"] for fact in wanted]
    assert len(wanted) > 2 * lists._AT_ONCE


@pytest.mark.parametrize("order", [None, "oldest", "newest", "overdue"])
def test_a_page_is_the_beginning_of_the_whole_list_and_the_total_is_of_all(many: Database, order: str | None) -> None:
    query = p.PostureQuery(kind=p.Kind.LIST, where=_OPEN, order=order)
    whole = many.read_sync(run.run, query, _frame())
    page = many.read_sync(run.run, query, _frame(), 40)
    assert page.rows == whole.rows[:40]
    assert page.total == whole.total == len(naive.matching(_OPEN, MANY, NOW))


def test_what_is_beyond_the_longest_list_is_counted(many: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MAX_ROWS", 100)
    result = many.read_sync(run.run, p.PostureQuery(kind=p.Kind.LIST, where=_OPEN), _frame(), 100)
    assert len(result.rows) == 100
    assert result.total == len(naive.matching(_OPEN, MANY, NOW))


def test_a_page_on_postgresql_is_the_same(postgres_url: str, many: Database) -> None:
    upgrade(postgres_url)
    db = Database(postgres_url)
    db.write_sync(company.store, MANY)
    try:
        for of in ("resource", "problem", "cve", "env"):
            count = p.PostureQuery(kind=p.Kind.COUNT, of=of, where=_OPEN)
            assert db.read_sync(run.run, count, _frame()).value == naive.number(
                of, naive.matching(_OPEN, MANY, NOW)
            )  # fmt: skip
        query = p.PostureQuery(kind=p.Kind.LIST, where=_OPEN, order="oldest")
        assert db.read_sync(run.run, query, _frame(), 1500) == many.read_sync(run.run, query, _frame(), 1500)
    finally:
        db.close_sync()


def test_an_answer_is_of_what_is_committed_when_it_is_asked(many: Database) -> None:
    """Nothing is kept between two questions that a change could make stale."""
    query = p.PostureQuery(kind=p.Kind.COUNT, where=_OPEN)
    before = many.read_sync(run.run, query, _frame()).value
    gone = next(fact for fact in MANY if fact.row["status"] == "open")
    many.write_sync(lambda c: c.execute(delete(FINDINGS).where(FINDINGS.c.id == gone.row["id"])))
    try:
        assert before is not None
        assert many.read_sync(run.run, query, _frame()).value == before - 1
    finally:
        many.write_sync(lambda c: c.execute(FINDINGS.insert(), [gone.row]))


def _plan(conn: Connection, query: p.PostureQuery) -> str:
    found = select(func.count()).select_from(FINDINGS).where(sql.where(query.where, _frame()))
    text = found.compile(dialect=conn.dialect, compile_kwargs={"render_postcompile": True})
    steps = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", tuple(text.params[k] for k in text.positiontup or ()))
    return "; ".join(str(row[3]) for row in steps)


def test_statistics_are_taken_when_the_findings_have_doubled(
    many: Database, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    assert not many.write_sync(findings.settle), "few findings need none"
    monkeypatch.setattr(findings, "_SMALL", 1000)
    assert many.write_sync(findings.settle)
    assert not many.write_sync(findings.settle), "they are new"
    one = p.PostureQuery(kind=p.Kind.COUNT, where=(*_OPEN, p.In(field="resource", values=("res-7",))))
    assert "ix_findings_resource" in many.read_sync(_plan, one)
    assert "COVERING INDEX ix_findings_ask" in many.read_sync(_plan, p.PostureQuery(
        kind=p.Kind.COUNT, where=(*_OPEN, p.In(field="app", values=("pear-shop",))))
    )  # fmt: skip


class _Clock:
    def now(self) -> datetime:
        return NOW + timedelta(hours=2)


async def test_what_happens_after_an_instant_is_known_at_the_next_question_about_it(many: Database) -> None:
    """Before, what is stored is what stood then; afterwards it is not, and nothing may be remembered of it."""
    service, who = Ask(many, Settings(), _Clock()), Asker()
    before = await service.ask("how many findings are open?", who, as_of=NOW)
    one = next(fact for fact in MANY if fact.row["status"] == "open" and fact.row["first_seen"] < NOW)

    def fix(conn: Connection) -> None:
        findings.resolve(conn, [one.row["id"]], NOW + timedelta(hours=1), "fixed")
        ledger.append(conn, kind="test", subject=one.row["id"], actor="t", body={}, now=NOW + timedelta(hours=1))

    many.write_sync(fix)
    try:
        assert (await service.ask("how many findings are open?", who, as_of=NOW)).value == before.value
        later = await service.ask("how many findings are open?", who)
        assert before.value is not None
        assert later.value == before.value - 1
    finally:
        back = update(FINDINGS).where(FINDINGS.c.id == one.row["id"]).values(status="open", resolved_at=None)
        many.write_sync(lambda conn: conn.execute(back))
