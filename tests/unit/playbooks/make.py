"""Findings as a source would tell them."""

from __future__ import annotations

from typing import Any

from bot.domain.findings import Account, Finding, Resource
from bot.domain.plans import Target
from bot.remediation.catalog import builtin_catalog
from tests.lab.seed import ACCOUNT, REGION

CATALOG = builtin_catalog()


def finding(uid: str, name: str = "", *, rule: str = "x", region: str = REGION, **more: Any) -> Finding:
    more.setdefault("account", Account(uid=ACCOUNT, provider="aws"))
    more.setdefault("source", "prowler")
    resource = Resource(uid=uid, name=name, region=region)
    return Finding(uid=f"{rule}-{uid}-{name}", title="t", rule_uid=rule, resource=resource, **more)


def target_of(playbook_id: str, uid: str, name: str = "") -> Target:
    target = CATALOG.get(playbook_id).target(finding(uid, name))
    assert target is not None
    return target
