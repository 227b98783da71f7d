"""What intake tests share: a clock that stands still, counted ids, a trivial source and its mapper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from bot.domain.errors import BadInput
from bot.domain.findings import Account, Finding, OwnerHint, Resource, Severity, Sighting, SourceStatus, Vulnerability
from bot.domain.ids import digest
from bot.settings import Settings

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class StillClock:
    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def move(self, **delta: float) -> None:
        self.at += timedelta(**delta)


class CountedIds:
    def __init__(self) -> None:
        self.count = 0

    def new(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}-{self.count:06d}"


class Catalog:
    """Knows one playbook, for the rule ``public-bucket``."""

    playbook = SimpleNamespace(info=SimpleNamespace(id="s3-block-public-access"))

    def all(self) -> Iterable[Any]:
        return [self.playbook]

    def get(self, playbook_id: str) -> Any:
        return self.playbook

    def for_finding(self, finding: Finding) -> Any:
        return self.for_rule(finding.source, finding.rule_uid)

    def for_rule(self, source: str, rule_uid: str) -> Any:
        return self.playbook if rule_uid == "public-bucket" else None


class Mapper:
    """Reads objects made by ``raw``."""

    source = "toy"

    def __init__(self) -> None:
        self.mapped = 0

    def sight(self, raw: Mapping[str, Any]) -> Sighting:
        if not isinstance(raw.get("uid"), str):
            raise BadInput("no uid")
        content = (
            digest({k: v for k, v in raw.items() if k != "scanned"})[:32] if "content" not in raw else raw["content"]
        )
        return Sighting(uid=raw["uid"], content=content)

    def map(self, raw: Mapping[str, Any]) -> Finding:
        self.mapped += 1
        if raw.get("broken"):
            raise BadInput("broken on purpose")
        tags = raw.get("tags", {})
        return Finding(
            source=self.source,
            uid=raw["uid"],
            title=raw.get("title", "Bucket is public"),
            desc=raw.get("desc", ""),
            rule_uid=raw.get("rule", "public-bucket"),
            severity=Severity[raw.get("severity", "HIGH")],
            result=SourceStatus[raw.get("result", "NEW")],
            result_word=raw.get("result", "NEW"),
            last_seen=raw.get("scanned"),
            resource=Resource(
                uid=raw.get("resource", f"arn:{raw['uid']}"), name=raw["uid"][:40], type="bucket", tags=tags
            ),
            account=Account(uid=raw.get("account", "111111111111"), name="acme", provider="aws"),
            internet_exposed=raw.get("exposed", True),
            vulnerabilities=tuple(Vulnerability(**v) for v in raw.get("vulnerabilities", ())),
            owner_hints=tuple(OwnerHint(**h) for h in raw.get("hints", ())),
            extra={"scope": raw["scope"]} if "scope" in raw else {},
        )


def raw(uid: str, **more: Any) -> dict[str, Any]:
    return {"uid": uid} | more


def settings(**routing: Any) -> Settings:
    chosen = {
        "owners": {
            "payments": {"name": "Payments", "channels": ["slack:C0PAY"]},
            "platform": {"name": "Platform", "channels": ["slack:C0PLAT"]},
        },
        "fallback": ["slack:C0SEC"],
    } | routing
    return Settings(routing=chosen)
