"""Proves with the real scanner that every playbook makes its check fail before, pass after, and fail again after undo.

    GATEHOUSE_PROWLER=/path/to/prowler python -m tests.lab.scan

Prowler lives in an environment of its own (it pins other versions of boto3 and pydantic than ours):
``python3 -m venv venv-prowler && venv-prowler/bin/pip install prowler==5.46.0``. The simulated AWS runs here.
The findings go the way they go in production: scanner's file, mapper, catalog, playbook, connector.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bot.domain.findings import Finding
from bot.domain.plans import Target
from bot.ports import Attribution, Playbook, State
from bot.remediation.catalog import builtin_catalog, write_operations
from bot.settings import AwsSettings
from connectors.aws.clouds import AwsCloud, AwsClouds
from connectors.prowler.mapping import ProwlerMapper
from tests.lab.seed import ACCOUNT, REGION, SEEDS, Aws, Seeded

DOCS = Path(__file__).parents[2] / "docs" / "playbooks.md"
ACCOUNT_WIDE = "s3-account-public-access-block"  # its fix hides every bucket finding, so it has an "after" of its own


@dataclass
class Row:
    """One (check, resource) pair and what the scanner said of it at the three times."""

    check: str
    playbook: Playbook
    seeded: Seeded
    letters: str = ""
    target: Target | None = None
    notes: list[str] = field(default_factory=list)


class Scanner:
    def __init__(self, prowler: str, port: int, folder: Path) -> None:
        self.prowler, self.port, self.folder = prowler, port, folder

    def run(self, name: str, checks: list[str]) -> list[dict[str, Any]]:
        """A scan of the simulated AWS. Errors in the scanner's log are counted and told: a service may be blind."""
        proxy = f"http://127.0.0.1:{self.port}"  # s3control puts the account in front of the host: no such name
        drop = {"NO_PROXY", "no_proxy", "AWS_PROFILE", "AWS_SESSION_TOKEN", "PYTHONPATH", "VIRTUAL_ENV"}
        environment = {k: v for k, v in os.environ.items() if k not in drop} | {
            "AWS_ENDPOINT_URL": f"http://localhost:{self.port}",
            "HTTP_PROXY": proxy,
            "http_proxy": proxy,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        out = self.folder / f"{name}.ocsf.json"
        log = self.folder / f"{name}.log"
        for old in (out, log):
            old.unlink(missing_ok=True)  # the scanner appends
        command = [self.prowler, "aws", "-f", REGION, "-M", "json-ocsf", "-F", name, "-o", str(self.folder)]
        command += ["--no-banner", "--no-color", "--ignore-exit-code-3", "--aws-retries-max-attempts", "1"]
        command += ["--scan-unused-services", "--log-level", "ERROR", "--log-file", str(log), "-c", *checks]
        began = time.monotonic()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode or not out.exists():
            raise SystemExit(f"The scanner ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        found: list[dict[str, Any]] = json.loads(out.read_text())
        errors = log.read_text().count('"level": "ERROR"') if log.exists() else 0
        print(f"  scan '{name}': {len(found)} results, {errors} errors logged, {time.monotonic() - began:.0f} s")
        return found


def letter(results: list[dict[str, Any]], row: Row) -> str:
    """F, P or - (not reported). A fixed finding may come back under its parent's name, so the uid is second best."""
    of_check = [r for r in results if r["metadata"]["event_code"] == row.check]
    same = [r for r in of_check if r["resources"][0]["uid"] == row.seeded.uid]
    exact = [r for r in same if r["resources"][0]["name"] == row.seeded.name]
    words = {r["status_code"] for r in exact or same}
    return "F" if "FAIL" in words else "P" if "PASS" in words else "-"


def finding_of(results: list[dict[str, Any]], row: Row) -> Finding | None:
    mapper = ProwlerMapper()
    for raw in results:
        if raw["metadata"]["event_code"] != row.check or raw["status_code"] != "FAIL":
            continue
        found = mapper.map(raw)
        if (found.resource.uid, found.resource.name) == (row.seeded.uid, row.seeded.name):
            return found
    return None


async def fix(cloud: AwsCloud, row: Row, target: Target) -> State:
    """Inspect, change, read back. Returns the pre-image."""
    pre = await row.playbook.inspect(cloud, target)
    for number, change in enumerate(row.playbook.changes(target, pre)):
        await cloud.write(change.call, idempotency_key=f"lab-{row.playbook.info.id}-{number}")
    said = row.playbook.verify(target, await row.playbook.inspect(cloud, target))
    if not said.ok:
        row.notes.append(f"not verified: {said.why}")
    return pre


async def undo(cloud: AwsCloud, row: Row, target: Target, pre: State) -> None:
    now = await row.playbook.inspect(cloud, target)
    for number, change in enumerate(row.playbook.undo(target, pre, now)):
        await cloud.write(change.call, idempotency_key=f"lab-undo-{row.playbook.info.id}-{number}")


async def prove(rows: list[Row], scanner: Scanner, cloud: AwsCloud) -> None:
    catalog = builtin_catalog()
    checks = sorted({r.check for r in rows})
    before = scanner.run("before", checks)
    first: dict[str, Row] = {}
    for row in rows:
        row.letters = letter(before, row)
        found = finding_of(before, row)
        if found is None:
            row.notes.append("the scanner reported no failure to begin with")
            continue
        chosen = catalog.for_finding(found)
        if chosen is None or chosen.info.id != row.playbook.info.id:
            row.notes.append(f"the catalog chose {chosen.info.id if chosen else 'nothing'}")
        row.target = row.playbook.target(found)
        first.setdefault(row.playbook.info.id, row)
    done: list[tuple[Row, Target, State]] = []
    wide = first.pop(ACCOUNT_WIDE, None)
    for row in first.values():
        assert row.target is not None
        done.append((row, row.target, await fix(cloud, row, row.target)))
    after = scanner.run("after", checks)
    for row in rows:
        if row is not wide:
            row.letters += letter(after, row)
    if wide is not None and wide.target is not None:
        done.append((wide, wide.target, await fix(cloud, wide, wide.target)))
        wide.letters += letter(scanner.run("after-account-wide", [wide.check]), wide)
    for row, target, pre in reversed(done):
        await undo(cloud, row, target, pre)
    undone = scanner.run("undone", checks)
    for row in rows:
        row.letters += letter(undone, row)


def table(rows: list[Row], prowler_version: str) -> str:
    flips = sum(r.letters == "FPF" for r in rows)
    lines = [
        f"{flips} of {len(rows)} (check, resource) pairs go F, P, F. Made by `python -m tests.lab.scan` with Prowler "
        f"{prowler_version}, moto {version('moto')} and boto3 {version('boto3')}; all fixes are applied one plan after "
        "the other, then all are undone. F fails, P passes, - not reported.",
        "",
        "| playbook | check | before | after | undone | note |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        b, a, u = list(row.letters.ljust(3, "?"))
        note = "; ".join(row.notes).replace("|", "/")
        lines.append(f"| `{row.playbook.info.id}` | `{row.check}` | {b} | {a} | {u} | {note} |")
    return "\n".join(lines)


def catalog_table() -> str:
    lines = [
        "| playbook | what it does | rules of sources | risk | undo | danger |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for playbook in builtin_catalog().all():
        info = playbook.info
        rules = ", ".join(f"`{r}`" for r in sorted(info.rules))
        undo = info.reversibility.value + (", exposes again" if info.undo_exposes else "")
        lines.append(f"| `{info.id}` | {info.title} | {rules} | {info.risk.value} | {undo} | {info.danger} |")
    return "\n".join(lines)


def put_between(page: str, name: str, text: str) -> str:
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    head, found, rest = page.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{DOCS} has lost the marks of the {name}: {begin} and {end}")
    return f"{head}{begin}\n{text}\n{end}{tail}"


def write_docs(**tables: str) -> None:
    page = DOCS.read_text(encoding="utf-8")
    for name, text in tables.items():
        page = put_between(page, name, text)
    DOCS.write_text(page, encoding="utf-8")


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--prowler", default=os.environ.get("GATEHOUSE_PROWLER", ""), help="the scanner's command")
    arguments.add_argument("--only", nargs="*", default=[], help="playbook ids; the docs are written only without it")
    arguments.add_argument("--catalog", action="store_true", help="only write the catalog's table into the docs")
    arguments.add_argument("--no-docs", action="store_true", help="print only")
    arguments.add_argument("--keep", type=Path, help="folder for the scanner's files")
    given = arguments.parse_args()
    if given.catalog:
        write_docs(catalog=catalog_table())
        return 0
    prowler = shutil.which(given.prowler or "prowler")
    if prowler is None:
        print("No scanner: set GATEHOUSE_PROWLER or --prowler to the prowler command of its own environment.")
        return 2
    said = subprocess.run([prowler, "--version"], capture_output=True, text=True, check=False).stdout
    release = next((w for w in said.split() if w[:1].isdigit()), "of unknown version")

    os.environ.update(MOTO_EC2_LOAD_DEFAULT_AMIS="false", MOTO_IAM_LOAD_MANAGED_POLICIES="true")
    os.environ.update(AWS_ACCESS_KEY_ID="testing", AWS_SECRET_ACCESS_KEY="testing")
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)  # moto answers 500 to what it does not implement
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    folder = given.keep or Path(tempfile.mkdtemp(prefix="gatehouse-lab-"))
    clouds = AwsClouds(AwsSettings(endpoint_url=f"http://localhost:{port}"), write_operations=write_operations())
    try:
        aws, catalog = Aws(f"http://localhost:{port}"), builtin_catalog()
        rows: list[Row] = []
        for playbook_id, seed in SEEDS.items():
            if given.only and playbook_id not in given.only:
                continue
            made, playbook = seed(aws), catalog.get(playbook_id)
            rows += [Row(check, playbook, made) for check in playbook.info.checks]
        print(f"{len({r.playbook.info.id for r in rows})} playbooks, {len(rows)} checks, account {ACCOUNT}")
        cloud = clouds.writer(Attribution(decision_id="lab"))
        asyncio.run(prove(rows, Scanner(prowler, port, folder), cloud))
    finally:
        clouds.close()
        server.stop()
        if given.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    text = table(rows, release)
    print(text)
    if not given.only and not given.no_docs:
        write_docs(catalog=catalog_table(), lab=text)
        print(f"\nwritten to {DOCS}")
    return 0 if all(r.letters == "FPF" and not r.notes for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
