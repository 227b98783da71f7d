"""OCSF finding events to findings, by the schema's own meaning (https://schema.ocsf.io, 1.0 to 1.6).

What has happened before we first look counts here: a resolved finding is kept with its times, since an export is
often a tool's whole history.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bot.domain.errors import BadInput
from bot.domain.findings import (
    Account,
    Control,
    Finding,
    FindingClass,
    OwnerHint,
    Resource,
    Severity,
    Sighting,
    SourceStatus,
    Vulnerability,
)
from connectors.console import console_url
from connectors.ocsf.shapes import class_of, first_resource, identity_of
from connectors.text import (
    content_hash,
    environment_of,
    fraction,
    integer,
    obj,
    owner_pairs,
    seq,
    tags_of,
    text,
    texts,
    when,
)

SOURCE = "ocsf"
_CLASS = {2002: FindingClass.VULNERABILITY, 2003: FindingClass.COMPLIANCE, 2004: FindingClass.DETECTION}
_SEVERITY_WORDS = {
    "informational": Severity.INFORMATIONAL, "info": Severity.INFORMATIONAL, "low": Severity.LOW,
    "medium": Severity.MEDIUM, "high": Severity.HIGH, "critical": Severity.CRITICAL, "fatal": Severity.FATAL,
}  # fmt: skip
_STATUS_WORDS = {
    "new": SourceStatus.NEW, "open": SourceStatus.NEW, "in progress": SourceStatus.IN_PROGRESS,
    "in_progress": SourceStatus.IN_PROGRESS, "suppressed": SourceStatus.SUPPRESSED,
    "resolved": SourceStatus.RESOLVED, "archived": SourceStatus.ARCHIVED, "deleted": SourceStatus.DELETED,
}  # fmt: skip
_CLOSED = frozenset({SourceStatus.RESOLVED, SourceStatus.ARCHIVED, SourceStatus.DELETED})
_PROVIDERS = {"amazon": "aws", "amazon web services": "aws", "microsoft azure": "azure", "google": "gcp",
              "google cloud": "gcp", "google cloud platform": "gcp", "oracle": "oci"}  # fmt: skip
_USED = (
    "class_uid", "type_uid", "severity_id", "severity", "status_id", "status", "status_detail", "status_code",
    "message", "comment", "finding_info", "finding", "cloud", "resources", "resource", "remediation", "unmapped",
    "vulnerabilities", "compliance", "metadata", "risk_details", "risk_score", "impact", "time", "time_dt", "end_time",
)  # fmt: skip


class OcsfMapper:
    source = SOURCE
    keeps_history = True

    def sight(self, raw: Mapping[str, Any]) -> Sighting:
        uid = _identity(raw)
        said = {name: raw[name] for name in _USED if name in raw}
        return Sighting(uid=uid, content=content_hash(said))

    def map(self, raw: Mapping[str, Any]) -> Finding:
        uid = _identity(raw)
        info = obj(raw.get("finding_info")) or obj(raw.get("finding"))
        unmapped, metadata = obj(raw.get("unmapped")), obj(raw.get("metadata"))
        product = obj(metadata.get("product"))
        account, resource = _account(raw), _resource(first_resource(raw), raw)
        compliance, remediation = obj(raw.get("compliance")), obj(raw.get("remediation"))
        vulnerabilities = tuple(_vulnerability(v, unmapped) for v in seq(raw.get("vulnerabilities")) if obj(v))
        number = class_of(raw) or 0
        analytic = obj(info.get("analytic"))
        title = text(info.get("title"), 1000) or text(raw.get("message"), 1000) or text(analytic.get("name"), 1000)
        result, word = _status(raw)
        severity, severity_word = _severity(raw)
        changed = _time(info, "modified_time") or _time(raw, "time")
        first = _time(info, "first_seen_time") or _time(info, "created_time") or _time(raw, "time")
        # An exporter that names no rule has one all the same: its CVE, its control, else what the title says.
        rule = (
            text(analytic.get("uid"), 300)
            or (vulnerabilities[0].uid if vulnerabilities else "")
            or text(compliance.get("control"), 300)
            or text(analytic.get("name"), 300)
        )
        tags = resource.tags
        classes = (_tag(tags, "data-class"), *texts(unmapped.get("data_classes")))
        hints = [*owner_pairs(tags, "tag"), *owner_pairs(account.labels, "account"), *_owner(raw)]
        return Finding(
            source=SOURCE,
            uid=uid,
            product=text(product.get("name"), 256) or text(product.get("vendor_name"), 256) or "OCSF",
            class_uid=_CLASS.get(number) or (FindingClass.VULNERABILITY if vulnerabilities else _guess(number, raw)),
            title=title or "Finding without a title",
            desc=text(info.get("desc")) or text(raw.get("status_detail")) or text(raw.get("message")),
            rule_uid=rule,
            types=texts(info.get("types")),
            severity=severity,
            severity_word=severity_word,
            score=fraction(raw.get("risk_score"), 0, 1e6),
            result=result,
            result_word=word,
            status_reason=text(raw.get("comment"), 2000) or text(raw.get("status_detail"), 2000),
            suppressed_until=when(unmapped.get("suppressed_until")),
            first_seen=first,
            last_seen=_time(info, "last_seen_time") or _time(raw, "time"),
            modified=changed,
            resolved=(_time(raw, "end_time") or changed) if result in _CLOSED else None,
            resource=resource,
            other_resources=tuple(
                _resource(one, raw) for one in seq(raw.get("resources"))[1:] if isinstance(one, dict)
            ),
            account=account,
            environment_hint=environment_of(tags) or environment_of(account.labels),
            internet_exposed=_flag(unmapped.get("internet_exposed")),
            data_classes=tuple(dict.fromkeys(c for c in classes if c)),
            vulnerabilities=vulnerabilities,
            controls=_controls(compliance),
            owner_hints=tuple(OwnerHint(kind=k, value=v) for k, v in dict.fromkeys(hints)),
            risk=text(raw.get("risk_details")) or text(raw.get("impact")),
            remediation=text(remediation.get("desc")),
            references=_references(raw, remediation),
            url=text(info.get("src_url"), 2000),
            console_url=console_url(resource.uid),
            extra={"product_uid": text(product.get("uid"), 100), "vendor": text(product.get("vendor_name"), 200)},
        )


def _identity(raw: Mapping[str, Any]) -> str:
    uid = identity_of(raw)
    if not uid:
        raise BadInput("the OCSF event has neither finding_info.uid nor metadata.uid")
    return uid


def _time(held: Mapping[str, Any], name: str) -> datetime | None:
    """``name`` in epoch milliseconds, or its twin ``name_dt`` of the datetime profile."""
    return when(held.get(name)) or when(held.get(f"{name}_dt"))


def _severity(raw: Mapping[str, Any]) -> tuple[Severity, str]:
    word = text(raw.get("severity"), 100)
    number = integer(raw.get("severity_id"))
    if number is not None and number in Severity._value2member_map_:
        return Severity(number), word or Severity(number).name.lower()
    return _SEVERITY_WORDS.get(word.lower(), Severity.OTHER if word or number is not None else Severity.UNKNOWN), word


def _status(raw: Mapping[str, Any]) -> tuple[SourceStatus, str]:
    """Where it stands; a compliance check that passed is resolved whatever its life cycle says."""
    compliance = obj(raw.get("compliance"))
    word = text(raw.get("status"), 100)
    number = integer(raw.get("status_id"))
    if number is not None and number in SourceStatus._value2member_map_ and number not in (0, 99):
        found = SourceStatus(number)
    else:
        found = _STATUS_WORDS.get(word.lower(), SourceStatus.OTHER if word else SourceStatus.NEW)
        if found is SourceStatus.OTHER and word.lower() in {"failure", "success", "fail", "pass"}:
            # Before 1.1, status held the outcome of the check.
            found = SourceStatus.NEW if word.lower() in {"failure", "fail"} else SourceStatus.RESOLVED
    passed = integer(compliance.get("status_id")) == 1 or text(compliance.get("status"), 40).lower() in {
        "pass",
        "passed",
    }
    if passed and found in (SourceStatus.NEW, SourceStatus.OTHER):
        return SourceStatus.RESOLVED, word or "Pass"
    return found, word or found.name.lower()


def _guess(number: int, raw: Mapping[str, Any]) -> FindingClass:
    return FindingClass.COMPLIANCE if raw.get("compliance") or number in (2006, 2008) else FindingClass.DETECTION


def _tag(tags: Mapping[str, str], name: str) -> str:
    return next((value for key, value in tags.items() if key.lower().replace("_", "-") == name), "")


def _resource(held: Mapping[str, Any], raw: Mapping[str, Any]) -> Resource:
    tags = tags_of(held.get("tags")) or tags_of(held.get("labels"))
    name = text(held.get("name"), 1000)
    uid = text(held.get("uid"), 2000) or text(held.get("uid_alt"), 2000) or name or "unknown"
    return Resource(
        uid=uid,
        name=name,
        type=text(held.get("type"), 300),
        region=text(held.get("region"), 100) or text(obj(raw.get("cloud")).get("region"), 100),
        tags=tags,
    )


def _account(raw: Mapping[str, Any]) -> Account:
    cloud = obj(raw.get("cloud"))
    account = obj(cloud.get("account"))
    provider = text(cloud.get("provider"), 60).lower()
    return Account(
        uid=text(account.get("uid"), 300),
        name=text(account.get("name"), 300),
        provider=_PROVIDERS.get(provider, provider),
        labels=tags_of(account.get("tags")) | tags_of(account.get("labels")),
    )


def _owner(raw: Mapping[str, Any]) -> list[tuple[str, str]]:
    owner = obj(first_resource(raw).get("owner"))
    said = text(owner.get("email_addr"), 300) or text(owner.get("name"), 300)
    return [("owner", said)] if said else []


def _vulnerability(raw: Mapping[str, Any], unmapped: Mapping[str, Any]) -> Vulnerability:
    cve = obj(raw.get("cve")) or obj(raw.get("advisory"))
    scores: list[Mapping[str, Any]] = [one for one in seq(cve.get("cvss")) if isinstance(one, dict)]
    best = max(scores or [obj(cve.get("cvss"))], key=lambda one: text(one.get("version"), 10))
    epss = obj(cve.get("epss"))
    packages = raw.get("affected_packages") or raw.get("packages") or raw.get("affected_code")
    package = obj(next((one for one in seq(packages) if isinstance(one, dict)), None))
    kev = _flag(raw.get("is_kev"))
    return Vulnerability(
        uid=text(cve.get("uid"), 200) or text(raw.get("uid"), 200) or text(raw.get("title"), 200) or "unknown",
        title=text(raw.get("title"), 1000) or text(cve.get("title"), 1000),
        cvss=fraction(best.get("base_score"), 0, 10),
        cvss_vector=text(best.get("vector_string"), 300),
        epss=fraction(epss.get("score"), 0, 1),
        epss_percentile=fraction(epss.get("percentile"), 0, 1),
        kev=_flag(unmapped.get("kev")) if kev is None else kev,
        exploit=_flag(raw.get("is_exploit_available")),
        fix=_flag(raw.get("is_fix_available", raw.get("fix_available"))),
        package=text(package.get("name"), 300),
        version=text(package.get("version"), 200),
        fixed_version=text(package.get("fixed_in_version"), 200),
    )


def _flag(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "yes": True, "false": False, "no": False}.get(text(value, 10).lower())


def _controls(compliance: Mapping[str, Any]) -> tuple[Control, ...]:
    """Standards with their requirements: a requirement belongs to the standard whose name it begins with."""
    standards, requirements = texts(compliance.get("standards")), texts(compliance.get("requirements"))
    found: list[Control] = []
    for standard in standards:
        own = [r for r in requirements if r.lower().startswith(f"{standard.lower()} ")]
        found += [Control(standard=standard, requirement=r) for r in own] or [Control(standard=standard)]
    placed = {control.requirement for control in found}
    loose = [r for r in requirements if r not in placed]
    if loose and len(standards) == 1:
        found = [c for c in found if c.requirement] + [Control(standard=standards[0], requirement=r) for r in loose]
    elif loose:
        found += [Control(standard="", requirement=r) for r in loose]
    return tuple(dict.fromkeys(found))


def _references(raw: Mapping[str, Any], remediation: Mapping[str, Any]) -> tuple[str, ...]:
    links = [*texts(remediation.get("references"))]
    for one in seq(raw.get("vulnerabilities")):
        links += texts(obj(one).get("references"))
    return tuple(dict.fromkeys(links))[:50]
