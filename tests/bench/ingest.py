"""Microseconds per finding of intake, against the bare core design rebuilt here and run in the same run.

    python tests/bench/ingest.py [-n 100000] [--postgres URL] [--without INDEX,INDEX] [--json]

The core design: orjson, one hash look-up per page of 500, pydantic for changed rows only, SQLAlchemy Core upsert of one
table of 26 columns with 4 indexes, an outbox row for each. Intake does what the product needs on top of it:
observations with the raw payload, resources, accounts, triage with reasons, routing, causes, announcements, ledger,
the cursor. In these data nearly every finding touches another cause: the hardest case for recounting them.

Every figure is taken in a process of its own (peak memory is that process's), reading the same file line by line.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel
from sqlalchemy import Boolean, Column, DateTime, Float, Index, Integer, MetaData, String, Table, select, text
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from bot.domain.findings import Account, Finding, OwnerHint, Resource, Severity, Sighting, Vulnerability
from bot.domain.ids import RandomIds, SystemClock
from bot.intake.service import Intake
from bot.ports import Page
from bot.settings import Settings
from bot.store.database import Database, open_engine
from bot.store.migrate import upgrade

PAGE = 500
REGIONS = [f"{a}-{b}-{c}" for a in ("us", "eu", "ap") for b in ("east", "west") for c in (1, 2)]
SEVERITIES = {"CRITICAL": Severity.CRITICAL, "HIGH": Severity.HIGH, "MEDIUM": Severity.MEDIUM, "LOW": Severity.LOW}
_RANK = {"CRITICAL": 5, "HIGH": 4, "MEDIUM": 3, "LOW": 2}


def generate(path: Path, count: int, seed: int = 20250101) -> None:
    """CNAPP-like issues of 2.4 to 3.0 KB: 400 rules, 200 accounts (Zipf), 60 owners; all open."""
    rng = random.Random(seed)
    weights = [1 / (n + 1) for n in range(200)]
    words = ["public", "access", "allows", "anyone", "role", "policy", "bucket", "network", "encryption", "key"]
    with path.open("wb") as out:
        for number in range(count):
            account = rng.choices(range(200), weights)[0]
            rule = rng.randrange(400)
            severity = rng.choices(["CRITICAL", "HIGH", "MEDIUM", "LOW"], [3, 17, 45, 35])[0]
            name = f"res-{number:07d}"
            item = {
                "id": f"issue-{number:08d}-{rng.getrandbits(64):016x}",
                "sourceRule": {"id": f"rule-{rule:03d}", "name": f"Rule {rule} " + " ".join(rng.choices(words, k=6)),
                               "description": " ".join(rng.choices(words, k=60)),
                               "resolution": " ".join(rng.choices(words, k=50))},
                "severity": severity, "status": "OPEN", "createdAt": "2026-01-05T08:00:00Z",
                "updatedAt": f"2026-02-{rng.randrange(1, 28):02d}T08:00:00Z", "lastScan": "2026-03-01T08:00:00Z",
                "entitySnapshot": {
                    "id": f"arn:aws:s3:::{name}", "name": name, "type": rng.choice(["BUCKET", "VM", "ROLE", "DB"]),
                    "region": rng.choice(REGIONS), "cloudPlatform": "AWS",
                    "subscription": {"id": f"{100000000000 + account}", "name": f"acct-{account}"},
                    "tags": {"owner": f"team-{account % 60}", "env": rng.choice(["prod", "dev"]) if account % 9 == 0
                             else ("prod" if account % 3 else "dev"), "cost": str(rng.randrange(1000))},
                    "exposed": rng.random() < 0.1,
                    "providerData": {"k" + str(k): rng.getrandbits(60) for k in range(18)},
                },
                "vuln": {"id": f"CVE-2025-{rng.randrange(9999)}", "cvss": rng.randrange(40, 100) / 10,
                         "epss": rng.random() ** 6, "kev": rng.random() < 0.01} if rng.random() < 0.3 else None,
                "notes": " ".join(rng.choices(words, k=rng.randrange(60, 120))),
            }  # fmt: skip
            out.write(orjson.dumps(item) + b"\n")


def pages(path: Path) -> Iterator[list[dict[str, Any]]]:
    page: list[dict[str, Any]] = []
    with path.open("rb") as file:
        for line in file:
            page.append(orjson.loads(line))
            if len(page) == PAGE:
                yield page
                page = []
    if page:
        yield page


def content_hash(raw: Mapping[str, Any]) -> str:
    kept = {key: value for key, value in raw.items() if key != "lastScan"}
    return hashlib.blake2b(orjson.dumps(kept, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def moment(word: str) -> datetime:
    return datetime.fromisoformat(word)


# --- the core design -------------------------------------------------------------------------------------------------

META = MetaData()
CORE = Table(
    "core_findings", META, Column("id", String, primary_key=True),
    *(Column(name, String) for name in (
        "source", "uid", "title", "description", "rule_id", "severity", "status", "account_id", "account_name",
        "region", "provider", "resource_id", "resource_name", "resource_type", "owner", "environment", "cve",
        "content_hash", "url")),
    Column("cvss", Float), Column("epss", Float), Column("score", Integer), Column("exposed", Boolean),
    Column("first_seen", DateTime(timezone=True)), Column("updated_at", DateTime(timezone=True)),
    Index("ix_c1", "status", "severity", "account_id"), Index("ix_c2", "status", "severity", "owner"),
    Index("ix_c3", "account_id", "status", "score"), Index("ix_c4", "status", "first_seen"),
)  # fmt: skip
OUTBOX = Table("core_outbox", META, Column("id", Integer, primary_key=True), Column("finding_id", String),
               Column("channel", String), Column("payload", String), Column("state", String),
               Column("at", DateTime(timezone=True)))  # fmt: skip


class CoreFinding(BaseModel):
    id: str
    source: str
    uid: str
    title: str
    description: str
    rule_id: str
    severity: str
    status: str
    account_id: str
    account_name: str
    region: str
    provider: str
    resource_id: str
    resource_name: str
    resource_type: str
    owner: str
    environment: str
    cve: str
    content_hash: str
    url: str
    cvss: float | None
    epss: float | None
    score: int
    exposed: bool
    first_seen: datetime
    updated_at: datetime


def core_id(raw: Mapping[str, Any]) -> str:
    return hashlib.blake2b(f"bench\0{raw['id']}".encode(), digest_size=16).hexdigest()


def core_row(raw: Mapping[str, Any], found: str, content: str) -> dict[str, Any]:
    entity, rule, vuln = raw["entitySnapshot"], raw["sourceRule"], raw["vuln"] or {}
    rank = _RANK[raw["severity"]]
    score = rank * 15 + 20 * entity["exposed"] + (10 if entity["tags"]["env"] == "prod" else 0)
    return CoreFinding.model_validate(
        {"id": found, "source": "bench", "uid": raw["id"], "title": rule["name"], "description": rule["description"],
         "rule_id": rule["id"], "severity": raw["severity"], "status": raw["status"],
         "account_id": entity["subscription"]["id"], "account_name": entity["subscription"]["name"],
         "region": entity["region"], "provider": "aws", "resource_id": entity["id"], "resource_name": entity["name"],
         "resource_type": entity["type"], "owner": entity["tags"]["owner"], "environment": entity["tags"]["env"],
         "cve": vuln.get("id", ""), "content_hash": content, "url": "", "cvss": vuln.get("cvss"),
         "epss": vuln.get("epss"), "score": score, "exposed": entity["exposed"], "first_seen": raw["createdAt"],
         "updated_at": raw["updatedAt"]}
    ).model_dump()  # fmt: skip


def core_run(url: str, path: Path) -> None:
    engine = open_engine(url, pool_size=1)
    made: Any = (sqlite_insert if engine.dialect.name == "sqlite" else postgresql_insert)(CORE)
    statement = made.on_conflict_do_update(
        index_elements=["id"], set_={c.name: made.excluded[c.name] for c in CORE.columns if c.name != "id"}
    )
    with engine.connect().execution_options(gatehouse_write=True) as conn:
        for page in pages(path):
            now = datetime.now(UTC)
            sighted = {core_id(raw): (raw, content_hash(raw)) for raw in page}
            with conn.begin():
                query = select(CORE.c.id, CORE.c.content_hash).where(CORE.c.id.in_(list(sighted)))
                known = dict(conn.execute(query).tuples().all())
                rows = [
                    core_row(raw, found, content)
                    for found, (raw, content) in sighted.items()
                    if known.get(found) != content
                ]
                if rows:
                    conn.execute(statement, rows)
                said = [{"finding_id": row["id"], "channel": "C" + row["owner"], "state": "queued", "at": now,
                         "payload": row["title"]} for row in rows]  # fmt: skip
                if said:
                    conn.execute(OUTBOX.insert(), said)
    engine.dispose()


# --- intake ----------------------------------------------------------------------------------------------------------


class BenchMapper:
    source = "bench"

    def sight(self, raw: Mapping[str, Any]) -> Sighting:
        return Sighting(uid=raw["id"], content=content_hash(raw))

    def map(self, raw: Mapping[str, Any]) -> Finding:
        entity, rule, vuln = raw["entitySnapshot"], raw["sourceRule"], raw["vuln"]
        return Finding(
            source="bench", uid=raw["id"], title=rule["name"], desc=rule["description"], rule_uid=rule["id"],
            severity=SEVERITIES[raw["severity"]], severity_word=raw["severity"], result_word=raw["status"],
            first_seen=moment(raw["createdAt"]), modified=moment(raw["updatedAt"]),
            resource=Resource(uid=entity["id"], name=entity["name"], type=entity["type"], region=entity["region"],
                              tags=entity["tags"]),
            account=Account(uid=entity["subscription"]["id"], name=entity["subscription"]["name"], provider="aws"),
            internet_exposed=entity["exposed"], remediation=rule["resolution"],
            vulnerabilities=(Vulnerability(uid=vuln["id"], cvss=vuln["cvss"], epss=vuln["epss"], kev=vuln["kev"]),)
            if vuln else (),
            owner_hints=(OwnerHint(kind="tag", value=entity["tags"]["owner"]),), extra={"scope": "bench"},
        )  # fmt: skip


class NoPlaybooks:
    def for_rule(self, source: str, rule_uid: str) -> None:
        return None


def intake_run(url: str, path: Path) -> dict[str, Any]:
    settings = Settings.model_validate(
        {"routing": {"owners": {f"team-{n}": {"name": f"Team {n}", "channels": [f"slack:C{n}"]} for n in range(60)},
                     "fallback": ["slack:C0SEC"]}}
    )  # fmt: skip

    async def run() -> dict[str, Any]:
        db = Database(url)
        intake = Intake(db, settings, NoPlaybooks(), SystemClock(), RandomIds())  # type: ignore[arg-type]
        run = await intake.begin("bench")
        mapper = BenchMapper()
        for number, page in enumerate(pages(path)):
            await run.page(mapper, Page(page, cursor={"page": number}))
        report = await run.finish(complete=True)
        await db.close()
        return {"created": report.created, "unchanged": report.unchanged, "cards": report.cards, "held": report.held}

    return asyncio.run(run())


# --- measuring -------------------------------------------------------------------------------------------------------


def prepare(url: str, without: str) -> None:
    upgrade(url)
    engine = open_engine(url, pool_size=1)
    with engine.connect().execution_options(gatehouse_write=True) as conn, conn.begin():
        META.create_all(conn)
        for index in filter(None, without.split(",")):
            conn.execute(text(f"DROP INDEX {index}"))
    engine.dispose()


def watch(url: str, table: str) -> None:
    """From now on count the rows of ``table`` that are written (SQLite: by triggers; PostgreSQL counts itself)."""
    if not url.startswith("sqlite"):
        return
    engine = open_engine(url, pool_size=1)
    with engine.connect().execution_options(gatehouse_write=True) as conn, conn.begin():
        conn.execute(text("CREATE TABLE IF NOT EXISTS bench_writes (tbl TEXT)"))
        for event in ("INSERT", "UPDATE", "DELETE"):
            conn.execute(text(f"CREATE TRIGGER IF NOT EXISTS bw_{table}_{event} AFTER {event} ON {table} "
                              f"BEGIN INSERT INTO bench_writes VALUES ('{table}'); END"))  # fmt: skip
    engine.dispose()


def written(url: str, table: str) -> int:
    engine = open_engine(url, pool_size=1)
    with engine.connect() as conn, conn.begin():
        if url.startswith("sqlite"):
            query = text("SELECT count(*) FROM bench_writes WHERE tbl = :t")
        else:
            query = text("SELECT n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables WHERE relname = :t")
        count = conn.execute(query, {"t": table}).scalar_one()
    engine.dispose()
    return int(count)


def child(url: str, path: Path, design: str) -> dict[str, Any]:
    started, cpu = time.perf_counter(), time.process_time()
    more: dict[str, Any] = {}
    if design == "intake":
        more = intake_run(url, path)
    else:
        core_run(url, path)
    return {"wall": time.perf_counter() - started, "cpu": time.process_time() - cpu,
            "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, **more}  # fmt: skip


def measure(url: str, path: Path, design: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", design, "--file", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, env={**os.environ, "BENCH_URL": url})
    return dict(json.loads(done.stdout.splitlines()[-1]))


def compare(name: str, url: str, path: Path, count: int, without: str) -> list[dict[str, Any]]:
    prepare(url, without)
    results = []
    for design, table in (("core", "core_findings"), ("intake", "findings")):
        first = measure(url, path, design)
        watch(url, table)
        before = written(url, table)
        again = measure(url, path, design)
        results.append({"database": name, "design": design, "n": count,
                        "first_us": first["wall"] / count * 1e6, "first_cpu_us": first["cpu"] / count * 1e6,
                        "unchanged_us": again["wall"] / count * 1e6, "unchanged_cpu_us": again["cpu"] / count * 1e6,
                        "rows_written_unchanged": written(url, table) - before,
                        "peak_mib": max(first["rss"], again["rss"]), "report": first})  # fmt: skip
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=100_000)
    parser.add_argument(
        "--postgres", default=os.environ.get("GATEHOUSE_TEST_POSTGRES", ""), help="URL of an empty database"
    )
    parser.add_argument("--only", choices=["sqlite", "postgres"])
    parser.add_argument("--without", default="", help="indexes to drop first: what they cost is the difference")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", choices=["core", "intake"], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(child(os.environ["BENCH_URL"], args.file, args.child)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "findings.jsonl"
        generate(path, args.n)
        results = []
        if args.only != "postgres":
            results += compare("SQLite", f"sqlite:///{folder}/bench.db", path, args.n, args.without)
        if args.postgres and args.only != "sqlite":
            results += compare("PostgreSQL", args.postgres, path, args.n, args.without)
    if args.json:
        print(json.dumps(results, indent=1))
        return
    print(f"{args.n} findings, {datetime.now(UTC):%Y-%m-%d}, Python {sys.version.split()[0]}\n")
    print("| database | design | first, us (CPU) | unchanged, us (CPU) | rows written unchanged | peak MiB |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for r in results:
        first = f"{r['first_us']:.0f} ({r['first_cpu_us']:.0f})"
        again = f"{r['unchanged_us']:.1f} ({r['unchanged_cpu_us']:.1f})"
        rows = r["rows_written_unchanged"]
        print(f"| {r['database']} | {r['design']} | {first} | {again} | {rows} | {r['peak_mib']:.0f} |")
    for core, ours in zip(results[::2], results[1::2], strict=True):
        wall, cpu = (ours[f"first{kind}"] / core[f"first{kind}"] for kind in ("_us", "_cpu_us"))
        print(f"\n{core['database']}: intake / core = {wall:.2f} first (CPU {cpu:.2f})", end=", ")
        wall, cpu = (ours[f"unchanged{kind}"] / core[f"unchanged{kind}"] for kind in ("_us", "_cpu_us"))
        print(f"{wall:.2f} unchanged (CPU {cpu:.2f})")


if __name__ == "__main__":
    main()
