"""An invented company, Bergland, as rows of the findings table: made here, seeded, nothing of anybody's."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert

from bot.domain.findings import SourceStatus, Status
from bot.store.findings import CONTROL_SETS, FINDINGS, RESOURCES

NOW = datetime(2025, 3, 14, 15, 30, tzinfo=UTC)  # a Friday
TEAMS = ("orchard", "quarry", "harbour", "data", "")
APPS = ("pear-shop", "stone-api", "tide-table", "")
ACCOUNTS = {
    "700000000001": ("berg-prod", "aws", "prod"),
    "700000000002": ("berg-prod-edge", "aws", "prod"),
    "700000000003": ("berg-dev", "aws", "dev"),
    "sub-9001": ("fjord-staging", "azure", "staging"),
    "fell-4711": ("fell-lab", "gcp", "unknown"),
}
REGIONS = ("eu-west-1", "eu-central-1", "us-east-1", "westeurope")
PRODUCTS = ("Wiz", "Orca", "Prowler")
TYPES = ("EC2 Instance", "Virtual Machine", "S3 Bucket", "RDS Instance", "Container Image", "IAM User")
RULES = {
    "b-bucket-open": ("Storage bucket can be read by anyone", 2003, ("S3 Bucket",)),
    "b-ssh": ("Network group lets SSH in from the internet", 2003, ("EC2 Instance",)),
    "b-disk": ("Database storage is not encrypted", 2003, ("RDS Instance",)),
    "b-idle-login": ("Login without a second factor", 2003, ("IAM User",)),
    "d-miner": ("Coin miner seen on a workload", 2004, ("Container Image", "EC2 Instance")),
}
CVES = {"CVE-2021-44228": "log4j-core", "CVE-2099-1001": "openssl", "CVE-2099-1002": "openssl", "CVE-2099-1003": "curl"}
CONTROLS = {
    "k-one": (("SOC 2", "SOC 2 CC6.1"), ("PCI DSS", "PCI DSS 1.3.1")),
    "k-two": (("PCI DSS", "PCI DSS 8.4.2"),),
    "k-three": (("HIPAA", "HIPAA 164.312(b)"), ("SOC 2", "SOC 2 CC7.2")),
}
SLA = {5: 7, 4: 30, 3: 90, 2: 180}


@dataclass(slots=True)
class Fact:
    """One finding for the naive side: plain values, times aware, "" and None where there is none."""

    row: dict[str, Any]
    controls: tuple[tuple[str, str], ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


def facts(count: int, seed: int = 7, *, teams: tuple[str, ...] = TEAMS) -> list[Fact]:
    rng = random.Random(seed)
    found = []
    for number in range(count):
        uid, (name, provider, env) = rng.choice(list(ACCOUNTS.items()))
        if rng.random() < 0.45:
            cve = rng.choice(list(CVES))
            rule, title, class_uid, rtype, package = cve, f"{cve} in {CVES[cve]} 1.{number % 7}", 2002, "", CVES[cve]
            rtype = rng.choice(TYPES[:2] + TYPES[4:5])
        else:
            cve = package = ""
            rule = rng.choice(list(RULES))
            title, class_uid, types = RULES[rule]
            rtype = rng.choice(types)
        controls = rng.choice([*CONTROLS, ""]) if class_uid == 2003 else ""
        vulnerable = class_uid == 2002
        # Whole hours and days, so that bounds are met exactly now and then.
        first = NOW - timedelta(
            days=rng.choice([0, 1, 2, 6, 7, 8, 29, 30, 31, 60, 90, 91, 180, 200]), hours=rng.randrange(24)
        )
        status = rng.choice([Status.OPEN, Status.OPEN, Status.RESOLVED, Status.SUPPRESSED]).value
        left = min(first + timedelta(days=rng.choice([0, 1, 6, 7, 8, 30, 45]), hours=rng.randrange(30)), NOW)
        resource = f"res-{rng.randrange(max(3, count // 3))}"
        row = {
            "id": f"f-{seed}-{number}", "source": "test", "uid": f"u-{seed}-{number}", "class_uid": class_uid,
            "title": title, "rule_uid": rule, "severity": rng.choice([5, 4, 4, 3, 2, 1]),
            "result": int(rng.choice([SourceStatus.NEW, SourceStatus.IN_PROGRESS])), "status": status,
            "status_reason": "", "content": "c", "scope": "", "resource_id": f"r-{resource}",
            "resource_uid": resource,
            "resource_name": resource,
            "resource_type": rtype, "region": rng.choice(REGIONS), "provider": provider, "account_uid": uid,
            "account_name": name, "environment": env, "owner": "", "internet_exposed": rng.random() < 0.4,
            "kev": (rng.random() < 0.3) if vulnerable else None, "epss": round(rng.random(), 3) if vulnerable else None,
            "cvss": rng.choice([4.0, 7.5, 9.0, 9.8]) if vulnerable else None, "cve": cve, "decision": "", "priority": 3,
            "due": None, "cause_id": "", "first_seen": first, "changed_at": NOW, "last_seen": first,
            "resolved_at": left if status == "resolved" else None,
            "suppressed_at": left if status == "suppressed" else None, "suppressed_until": None, "reopened": 0,
            "product": rng.choice(PRODUCTS), "team": rng.choice(teams), "app": rng.choice(APPS),
            "data_class": rng.choice(["pii", "pci", "internal", ""]),
            "exploit": (rng.random() < 0.5) if vulnerable else None,
            "fixable": (rng.random() < 0.6) if vulnerable else None, "package": package, "control_set": controls,
            "issue_id": "", "source_modified": None,
        }  # fmt: skip
        found.append(Fact(row, CONTROLS.get(controls, ())))
    return found


def store(conn: Connection, found: list[Fact]) -> None:
    names = {c.name for c in FINDINGS.c}
    conn.execute(insert(FINDINGS), [{k: v for k, v in f.row.items() if k in names} for f in found])
    resources = {f.row["resource_id"]: f.row for f in found}
    conn.execute(
        insert(RESOURCES),
        [
            {"id": one, "uid": row["resource_uid"], "name": row["resource_name"], "changed_at": NOW}
            for one, row in resources.items()
        ],
    )
    there = {(k, s, r) for k, pairs in CONTROLS.items() for s, r in pairs}
    conn.execute(insert(CONTROL_SETS), [{"id": k, "standard": s, "requirement": r} for k, s, r in sorted(there)])
