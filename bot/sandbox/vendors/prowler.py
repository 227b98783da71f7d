"""A simulated Prowler: scans of one company, a file of OCSF detection findings for each account, as its command line
writes them. Posture only. What is solved is PASS."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.sandbox.vendors.company import RULES, Problem, World

CHECKS = {rule.name: rule.recorded for rule in RULES if rule.recorded}
_SEVERITY = {"low": ("Low", 2), "medium": ("Medium", 3), "high": ("High", 4), "critical": ("Critical", 5)}


class Prowler:
    def __init__(self, world: World, folder: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.world, self.folder, self.now = world, folder, now
        self.torn: set[str] = set()  # accounts whose next file ends in the middle

    def problems(self) -> list[Problem]:
        return [one for one in self.world.problems() if one.rule in CHECKS]

    def scan(self) -> int:
        """Write every account's file anew; how many findings they hold."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for problem in self.problems():
            found[problem.account].append(self.finding(problem))
        self.folder.mkdir(parents=True, exist_ok=True)
        moment = self.now().timestamp()
        for account, rows in found.items():
            raw = json.dumps(rows).encode()
            if account in self.torn:
                self.torn.discard(account)
                raw = raw[: len(raw) // 2]
            path, fresh = self.folder / f"prowler-{account}.ocsf.json", self.folder / f".{account}.new"
            fresh.write_bytes(raw)
            os.utime(fresh, (moment, moment))
            fresh.replace(path)
        return sum(map(len, found.values()))

    def finding(self, problem: Problem) -> dict[str, Any]:
        word, number = _SEVERITY[problem.severity]
        passed = problem.status == "resolved"
        check, now = CHECKS[problem.rule], self.now()
        region = problem.region or "us-east-1"
        return {
            "message": f"{problem.resource_name}: {'fine' if passed else problem.title}.",
            "metadata": {
                "event_code": check,
                "product": {"name": "Prowler", "uid": "prowler", "vendor_name": "Prowler", "version": "5.13.0"},
                "profiles": ["cloud", "datetime"],
                "tenant_uid": "",
                "version": "1.5.0",
            },
            "severity_id": number,
            "severity": word,
            "status": "New",
            "status_code": "PASS" if passed else "FAIL",
            "status_detail": f"{problem.resource_name}: {'fine' if passed else problem.title}.",
            "status_id": 1,
            "unmapped": {"related_url": "", "categories": [], "depends_on": [], "compliance": {}},
            "activity_name": "Create",
            "activity_id": 1,
            "finding_info": {
                "created_time": int(now.timestamp()),
                "desc": problem.title,
                "title": problem.title,
                "types": [],
                "uid": f"prowler-aws-{check}-{problem.account}-{region}-{problem.resource_name}",
            },
            "resources": [
                {
                    "cloud_partition": "aws",
                    "region": region,
                    "group": {"name": problem.resource_type},
                    "labels": [f"{key}:{value}" for key, value in problem.tags.items()],
                    "name": problem.resource_name,
                    "type": problem.resource_type,
                    "uid": problem.resource_arn,
                }
            ],
            "category_name": "Findings",
            "category_uid": 2,
            "class_name": "Detection Finding",
            "class_uid": 2004,
            "cloud": {
                "account": {"name": problem.account_name, "type": "AWS Account", "type_id": 10, "uid": problem.account},
                "org": {"name": "", "uid": ""},
                "provider": "aws",
                "region": region,
            },
            "remediation": {"desc": problem.fix, "references": []},
            "risk_details": "",
            "time": int(now.timestamp()),
            "time_dt": now.isoformat(),
            "type_uid": 200401,
            "type_name": "Detection Finding: Create",
        }
