"""What else Prowler writes, brought into the shape of its OCSF findings: one problem has one identity in all of them.

- Prowler App's API (JSON:API): findings with their resources included.
- Prowler 3's own JSON (``-M json``), and CSV (``-M csv``) of versions 3 to 5.
- ASFF that Prowler wrote (``-M json-asff``). ASFF of anything else is Security Hub's: its connector reads it.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from connectors.text import obj, seq, text

APP_ID = "app_finding_id"  # in ``unmapped``: the id of this finding in the App, for mute rules
_TYPES = {
    "scans": "scan",
    "resources": "resource",
    "providers": "provider",
    "mute-rules": "mute rule",
    "tokens": "login answer",
    "tokens-refresh": "login answer",
    "tasks": "task",
    "users": "user",
    "tenants": "tenant",
}


def is_answer(raw: Mapping[str, Any]) -> bool:
    """An answer of the App: a JSON:API document, or one of its resource objects."""
    data = raw.get("data")
    first = next(iter(data), None) if isinstance(data, list) else data
    if isinstance(first, dict) and isinstance(first.get("type"), str) and ("attributes" in first or "id" in first):
        return True
    if data == [] and ("links" in raw or "meta" in raw):
        return True
    if isinstance(raw.get("openapi"), str) and isinstance(raw.get("paths"), dict):
        return True
    if isinstance(raw.get("errors"), list) and raw.keys() <= {"errors", "jsonapi", "meta", "links"}:
        return True
    attributes = obj(raw.get("attributes"))
    return raw.get("type") == "findings" and "check_id" in attributes


def of_answer(raw: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """(findings, names of what is none)."""
    if "openapi" in raw:
        return [], ["OpenAPI document"]
    if isinstance(raw.get("errors"), list):
        first = obj(next(iter(seq(raw["errors"])), None))
        return [], [f"error answer ({text(first.get('detail'), 200) or text(first.get('title'), 200) or 'no reason'})"]
    data = raw.get("data") if "data" in raw else raw
    rows = data if isinstance(data, list) else [data]
    included = {
        (text(one.get("type"), 64), text(one.get("id"), 64)): one
        for one in raw.get("included") or ()
        if isinstance(one, dict)
    }
    found: list[dict[str, Any]] = []
    named: list[str] = [] if rows else ["empty page"]
    for one in rows:
        if isinstance(one, dict) and one.get("type") == "findings" and isinstance(one.get("attributes"), dict):
            found.append(of_app(one, included))
        else:
            kind = text(obj(one).get("type"), 64)
            named.append(_TYPES.get(kind, f"object of type {kind or 'unknown'}"))
    return found, named


def of_app(one: Mapping[str, Any], included: Mapping[tuple[str, str], Mapping[str, Any]]) -> dict[str, Any]:
    """A finding of the App as an OCSF finding."""
    said = obj(one.get("attributes"))
    meta = {str(key).lower().replace("_", ""): value for key, value in obj(said.get("check_metadata")).items()}
    remediation = obj(meta.get("remediation"))
    advice, code = _lowered(remediation.get("recommendation")), _lowered(remediation.get("code"))
    resources = [
        obj(included[key].get("attributes"))
        for link in seq(obj(obj(obj(one.get("relationships")).get("resources"))).get("data"))
        if (key := ("resources", text(obj(link).get("id"), 64))) in included
    ]
    check, uid = text(said.get("check_id"), 200), text(said.get("uid"), 1000)
    first = resources[0] if resources else {}
    provider = text(meta.get("provider"), 64) or (
        uid.split("-")[1] if uid.startswith("prowler-") and "-" in uid[8:] else ""
    )
    region = text(first.get("region"), 128)
    account = _account(uid, provider, check, region, text(first.get("uid"), 2000))
    return _ocsf(
        check=check,
        uid=uid,
        status=text(said.get("status"), 32),
        detail=text(said.get("status_extended")),
        muted=said.get("muted") is True,
        muted_reason=text(said.get("muted_reason"), 1000),
        severity=text(said.get("severity"), 32),
        time=said.get("updated_at") or said.get("inserted_at"),
        title=text(meta.get("checktitle"), 1000),
        types=meta.get("checktype"),
        resources=[
            {"uid": r.get("uid"), "name": r.get("name"), "type": r.get("type"), "region": r.get("region"),
             "group": {"name": r.get("service")}, "labels": _labels(r.get("tags"))}
            for r in resources
        ] or [{"uid": uid, "name": uid.rpartition("-")[2]}],
        provider=provider,
        account=account,
        account_name="",
        region=region,
        advice=text(advice.get("text")),
        links=[advice.get("url"), code.get("cli"), meta.get("relatedurl")],
        risk=text(meta.get("risk")),
        compliance=said.get("compliance") or meta.get("compliance"),
        categories=said.get("categories") or meta.get("categories"),
        more={APP_ID: text(one.get("id"), 64)},
    )  # fmt: skip


def _account(uid: str, provider: str, check: str, region: str, resource: str) -> str:
    """``prowler-<provider>-<check>-<account>-<region>-<resource>``: what stands between check and Region."""
    rest = uid.removeprefix(f"prowler-{provider}-{check}-")
    if rest != uid and region and f"-{region}-" in rest:
        return rest.partition(f"-{region}-")[0]
    if resource.startswith("arn:"):
        return [*resource.split(":"), "", "", "", ""][4]
    return resource.split("/")[2] if resource.startswith("/subscriptions/") and resource.count("/") > 2 else ""


# --- version 3, and CSV


def is_row(raw: Mapping[str, Any]) -> bool:
    """A finding of Prowler 3's JSON or of a CSV."""
    keys = {str(key).replace("_", "").lower() for key in raw}
    return "checkid" in keys and "status" in keys and bool(keys & {"statusextended", "findinguniqueid", "findinguid"})


def of_row(raw: Mapping[str, Any]) -> dict[str, Any]:
    said = {str(key).replace("_", "").lower(): value for key, value in raw.items()}

    def one(*names: str) -> str:
        return next((value for name in names if (value := text(said.get(name)))), "")

    remediation = _lowered(said.get("remediation"))
    advice, code = _lowered(remediation.get("recommendation")), _lowered(remediation.get("code"))
    uid = one("resourcearn", "resourceuid", "resourceid")
    name = one("resourcename", "resourceid") or uid
    return _ocsf(
        check=one("checkid"),
        uid=one("findinguid", "findinguniqueid"),
        status=one("status").upper(),
        detail=one("statusextended"),
        muted=one("muted").lower() == "true" or one("status").upper() == "MUTED",
        muted_reason="",
        severity=one("severity"),
        time=one("timestamp", "assessmentstarttime"),
        title=one("checktitle"),
        types=said.get("checktype") if isinstance(said.get("checktype"), list) else _parts(one("checktype")),
        resources=[
            {"uid": uid, "name": name.rpartition("/")[2] if name.startswith("arn:") else name,
             "type": one("resourcetype"), "region": one("region", "location"), "group": {"name": one("servicename")},
             "labels": _labels(said.get("resourcetags"))}
        ],
        provider=one("provider"),
        account=one("accountuid", "accountid", "subscriptionid", "subscription", "projectid"),
        account_name=one("accountname"),
        region=one("region", "location"),
        advice=text(advice.get("text")) or one("remediationrecommendationtext"),
        links=[text(advice.get("url")) or one("remediationrecommendationurl"), text(code.get("cli")) or
               one("remediationcodecli", "remediationrecommendationcodecli"), one("relatedurl")],
        risk=one("risk"),
        compliance=found if isinstance(found := said.get("compliance"), dict) else _compliance(one("compliance")),
        categories=said.get("categories") if isinstance(said.get("categories"), list) else _parts(one("categories")),
        more={},
    )  # fmt: skip


def is_asff(raw: Mapping[str, Any]) -> bool:
    """ASFF of Prowler's own making."""
    if "SchemaVersion" not in raw or "Resources" not in raw:
        return False
    named = text(obj(raw.get("ProductFields")).get("ProviderName"), 64).lower()
    return named == "prowler" or text(raw.get("GeneratorId"), 300).startswith("prowler-")


_ASFF_RESULTS = {"FAILED": "FAIL", "PASSED": "PASS", "WARNING": "MUTED", "NOT_AVAILABLE": "MANUAL"}


def of_asff(raw: Mapping[str, Any]) -> dict[str, Any]:
    compliance = obj(raw.get("Compliance"))
    fields = obj(raw.get("ProductFields"))
    resources = [one for one in seq(raw.get("Resources")) if isinstance(one, dict)]
    first = resources[0] if resources else {}
    status = text(compliance.get("Status"), 32).upper()
    standards: dict[str, list[str]] = {}
    for said in seq(compliance.get("RelatedRequirements")):
        name, _, requirement = text(said, 300).partition(" ")
        standards.setdefault(name, []).append(requirement)
    advice = obj(obj(raw.get("Remediation")).get("Recommendation"))
    region = text(first.get("Region"), 64) or text(raw.get("Region"), 64)
    return _ocsf(
        check=text(raw.get("GeneratorId"), 300).removeprefix("prowler-"),
        uid=text(raw.get("Id"), 1000),
        status=_ASFF_RESULTS.get(status, status),
        detail=text(raw.get("Description")),
        muted=status == "WARNING",
        muted_reason="",
        severity=text(obj(raw.get("Severity")).get("Label"), 32),
        time=raw.get("UpdatedAt"),
        title=text(raw.get("Title"), 1000),
        types=raw.get("Types"),
        resources=[
            {
                "uid": one.get("Id"),
                "name": text(fields.get("ProwlerResourceName"), 1000) if one is first else "",
                "type": one.get("Type"),
                "region": one.get("Region") or region,
                "labels": _labels(one.get("Tags")),
            }
            for one in resources
        ],
        provider="aws",
        account=text(raw.get("AwsAccountId"), 64),
        account_name=text(raw.get("AwsAccountName"), 512),
        region=region,
        advice=text(advice.get("Text")),
        links=[advice.get("Url")],
        risk="",
        compliance=standards,
        categories=[],
        more={},
    )


def csv_rows(stream: BinaryIO) -> Iterator[dict[str, Any]] | None:
    """The rows of a CSV of Prowler; None when the stream is none. The stream stands where it did when None."""
    start = stream.tell()
    head = stream.read(4096)
    stream.seek(start)
    header = head.decode("utf-8-sig", "replace").partition("\n")[0].upper()
    if ";" not in header or "STATUS" not in header or not ("CHECK_ID" in header or "CHECKID" in header):
        return None
    lines = io.TextIOWrapper(_Unclosed(stream), "utf-8-sig", "replace", newline="")  # type: ignore[type-var]
    csv.field_size_limit(8 << 20)
    return ({k: v for k, v in row.items() if k} for row in csv.DictReader(lines, delimiter=";"))


class _Unclosed(io.RawIOBase):
    """Reads on from a stream without closing it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


# --- shared


def _ocsf(
    *, check: str, uid: str, status: str, detail: str, muted: bool, muted_reason: str, severity: str, time: Any,
    title: str, types: Any, resources: list[dict[str, Any]], provider: str, account: str, account_name: str,
    region: str, advice: str, links: list[Any], risk: str, compliance: Any, categories: Any, more: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    return {
        "metadata": {"event_code": check, "product": {"name": "Prowler"}},
        "status_code": status,
        "status": "Suppressed" if muted else "New",
        "status_detail": detail,
        "severity": severity.capitalize(),
        "time": time,
        "finding_info": {"uid": uid, "title": title, "types": types},
        "resources": resources,
        "cloud": {"provider": provider, "account": {"uid": account, "name": account_name}, "region": region},
        "remediation": {"desc": advice, "references": [link for link in links if isinstance(link, str) and link]},
        "risk_details": risk,
        "unmapped": {
            "compliance": compliance or {},
            "categories": categories or [],
            "muted_reason": muted_reason,
            **more,
        },
    }


def _lowered(value: Any) -> Mapping[str, Any]:
    return {str(key).lower(): inner for key, inner in obj(value).items()}


def _labels(tags: Any) -> list[str]:
    if isinstance(tags, dict):
        return [f"{key}:{value}" for key, value in itertools.islice(tags.items(), 500)]
    if isinstance(tags, list):
        return [one if isinstance(one, str) else f"{obj(one).get('Key')}:{obj(one).get('Value')}" for one in tags[:500]]
    # CSV: "env=prod | team=web"
    return [part.replace("=", ":", 1) for part in _parts(text(tags)) if "=" in part]


def _parts(said: str) -> list[str]:
    return [part.strip() for part in said.replace("|", ",").split(",") if part.strip()]


def _compliance(said: str) -> dict[str, list[str]]:
    """``CIS-1.4: 2.1.5, 2.1.6 | PCI-4.0: 1``."""
    found: dict[str, list[str]] = {}
    for part in said.split("|"):
        name, _, rest = part.partition(":")
        if name.strip():
            found[name.strip()] = [one.strip() for one in rest.split(",") if one.strip()]
    return found
