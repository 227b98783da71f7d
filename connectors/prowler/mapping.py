"""Prowler's OCSF detection finding -> our Finding. Pure, tolerant; versions 4.0 to 5.x of Prowler.

Identity: check, account, region and the resource's provider id; the resource's name too where the id does not hold it
(two access keys of one user have one ARN). ``finding_info.uid`` is not used: it is neither unique within a scan nor
stable between scans. Where one scan still has several failures of one identity, the file reader marks them
(``DISCRIMINATOR``) with a hash of what each one says; the mark does not depend on the order of the file.

The result is ``status_code``. ``status`` only tells muted ("Suppressed"); before 4.5 ``status_id`` meant something
else and is never looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
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

SOURCE = "prowler"
DISCRIMINATOR = "_gatehouse_discriminator"
_SEVERITIES = {
    "critical": Severity.CRITICAL,
    "high": Severity.HIGH,
    "medium": Severity.MEDIUM,
    "low": Severity.LOW,
    "informational": Severity.INFORMATIONAL,
    "fatal": Severity.FATAL,
    "unknown": Severity.UNKNOWN,
}
_PROVIDERS = {
    "alibabacloud": "alibaba",
    "alibaba_cloud": "alibaba",
    "oraclecloud": "oci",
    "google": "gcp",
    "k8s": "kubernetes",
}
_RESULTS = {
    "FAIL": SourceStatus.NEW,
    "PASS": SourceStatus.RESOLVED,
    "MUTED": SourceStatus.SUPPRESSED,
    "MANUAL": SourceStatus.OTHER,
}
_OLD_WORDS = {"FAILURE": "FAIL", "FAILED": "FAIL", "SUCCESS": "PASS", "PASSED": "PASS", "INFO": "MANUAL"}
_EXPOSED = frozenset({"internet-exposed"})


class ProwlerMapper:
    source = SOURCE

    def sight(self, raw: Mapping[str, Any]) -> Sighting:
        """Hashes what the mapping uses and nothing else, so scan ids, times and scanner versions change nothing.

        ``resources[].data`` (the raw configuration) stays out as well: it holds counters and last-used times.
        """
        info, unmapped = obj(raw.get("finding_info")), obj(raw.get("unmapped"))
        said = (
            raw.get("status_code"),
            raw.get("status"),
            raw.get("severity"),
            raw.get("severity_id"),
            raw.get("status_detail") or raw.get("message"),
            raw.get("remediation"),
            raw.get("risk_details"),
            raw.get("cloud"),
            info.get("title"),
            info.get("types"),
            [
                [r.get(k) for k in ("uid", "name", "type", "region", "namespace", "labels", "group")]
                for r in seq(raw.get("resources"))
                if isinstance(r, dict)
            ],
            [unmapped.get(k) for k in ("compliance", "categories", "related_url", "additional_urls", "muted_reason")],
        )
        return Sighting(uid=identity(raw), content=content_hash(said))

    def map(self, raw: Mapping[str, Any]) -> Finding:
        uid = identity(raw)
        check = check_of(raw)
        info, unmapped, cloud = obj(raw.get("finding_info")), obj(raw.get("unmapped")), obj(raw.get("cloud"))
        found = [_resource(r) for r in seq(raw.get("resources")) if isinstance(r, dict)]
        resource = found[0] if found else Resource(uid=account_of(raw) or "unknown")
        account_tags = tags_of(obj(cloud.get("account")).get("labels"))
        account = Account(
            uid=account_of(raw),
            name=text(obj(cloud.get("account")).get("name"), 512),
            provider=provider_of(raw),
            labels=account_tags,
        )
        word = result_word(raw)
        detail = text(raw.get("status_detail")) or text(raw.get("message")) or text(info.get("desc"))
        categories = texts(unmapped.get("categories"))
        remediation = obj(raw.get("remediation"))
        references, command = _references(remediation, unmapped)
        severity = _severity(raw)
        scanned = when(raw.get("time")) or when(raw.get("event_time")) or when(raw.get("time_dt"))
        group = text(obj(obj(next(iter(seq(raw.get("resources"))), None)).get("group")).get("name"), 256)
        return Finding(
            source=SOURCE,
            uid=uid,
            product=text(obj(obj(raw.get("metadata")).get("product")).get("name"), 256) or "Prowler",
            class_uid=FindingClass.VULNERABILITY if raw.get("vulnerabilities") else FindingClass.COMPLIANCE,
            title=_title(text(info.get("title"), 1000) or check, word),
            desc=detail,
            rule_uid=check,
            types=texts(info.get("types")),
            severity=severity[0],
            severity_word=severity[1],
            result=_RESULTS.get(word, SourceStatus.OTHER),
            result_word=word or "unknown",
            status_reason=text(unmapped.get("muted_reason"), 2000),
            last_seen=scanned,
            modified=scanned,
            resource=resource,
            other_resources=tuple(found[1:]),
            account=account,
            environment_hint=environment_of(resource.tags) or environment_of(account_tags),
            internet_exposed=True if _EXPOSED & set(categories) and word == "FAIL" else None,
            vulnerabilities=_vulnerabilities(raw),
            controls=_controls(unmapped.get("compliance")),
            owner_hints=tuple(
                OwnerHint(kind=k, value=v)
                for k, v in dict.fromkeys(owner_pairs(resource.tags, "tag") + owner_pairs(account_tags, "account"))
            ),
            risk=text(raw.get("risk_details")),
            remediation=text(remediation.get("desc")),
            remediation_cli=command,
            references=references,
            url=next((r for r in references if "hub.prowler.com/" in r), ""),
            console_url=console_url(resource.uid),
            extra={
                "scope": scope_of(raw),
                "check": check,
                "service": group or text(obj(info.get("analytic")).get("category"), 256),
                "categories": list(categories),
                "source_uid": text(info.get("uid"), 1000),
            },
        )


def identity(raw: Mapping[str, Any]) -> str:
    """Stable over scans; ``BadInput`` when the object is no finding of Prowler."""
    check = check_of(raw)
    if not check or ("status_code" not in raw and "finding_info" not in raw):
        raise BadInput(
            "not a Prowler finding: metadata.event_code (the check) or the result is missing.",
            mend="This looks like ASFF: read it as security_hub."
            if "SchemaVersion" in raw
            else "Write the file with: prowler <provider> -M json-ocsf",
        )
    first = obj(next(iter(seq(raw.get("resources"))), None))
    uid, name = text(first.get("uid"), 2000), text(first.get("name"), 1000)
    parts = [check, provider_of(raw), account_of(raw), region_of(raw), uid or name]
    if uid and name and name not in uid:
        parts.append(name)
    mark = raw.get(DISCRIMINATOR)
    return "|".join([*parts, f"#{mark}"] if isinstance(mark, str) else parts)


def check_of(raw: Mapping[str, Any]) -> str:
    said = text(obj(raw.get("metadata")).get("event_code"), 512)
    return said or text(obj(obj(raw.get("finding_info")).get("analytic")).get("uid"), 512)


def provider_of(raw: Mapping[str, Any]) -> str:
    said = text(obj(raw.get("cloud")).get("provider"), 64) or text(obj(raw.get("unmapped")).get("provider"), 64)
    if not said:
        # Kubernetes has no cloud; "prowler-<provider>-<check>-…" tells it where the uid was not made anonymous.
        uid = text(obj(raw.get("finding_info")).get("uid"), 200)
        said = uid.split("-")[1] if uid.startswith("prowler-") and uid.count("-") > 2 else ""
        first = obj(next(iter(seq(raw.get("resources"))), None))
        said = said or ("kubernetes" if "namespace" in first else "")
    return _PROVIDERS.get(said.lower(), said.lower())


def account_of(raw: Mapping[str, Any]) -> str:
    said = text(obj(obj(raw.get("cloud")).get("account")).get("uid"), 512)
    return said or text(obj(raw.get("unmapped")).get("provider_uid"), 512)


def region_of(raw: Mapping[str, Any]) -> str:
    first = obj(next(iter(seq(raw.get("resources"))), None))
    said = text(first.get("region"), 128) or text(first.get("namespace"), 256)
    return said or text(obj(raw.get("cloud")).get("region"), 128)


def scope_of(raw: Mapping[str, Any]) -> str:
    """What a whole scan answers for: one check in one region of one account."""
    return ":".join((provider_of(raw), account_of(raw), region_of(raw), check_of(raw)))


def result_word(raw: Mapping[str, Any]) -> str:
    """FAIL, PASS, MANUAL, MUTED, or the scanner's own word in capitals."""
    word = text(raw.get("status_code"), 64).upper()
    status = text(raw.get("status"), 64)
    if not word:
        word = status.upper()
    word = _OLD_WORDS.get(word, word)
    if status.lower() == "suppressed" and word not in ("PASS", "MANUAL"):
        return "MUTED"
    return word


def _severity(raw: Mapping[str, Any]) -> tuple[Severity, str]:
    word = text(raw.get("severity"), 64)
    if word:
        return _SEVERITIES.get(word.lower(), Severity.OTHER), word
    number = integer(raw.get("severity_id"))
    if number is None:
        return Severity.UNKNOWN, ""
    return (Severity(number) if number in list(Severity) else Severity.OTHER), str(number)


def _title(title: str, word: str) -> str:
    """Prowler's titles state the good condition: on a failure that would read as if all were well."""
    return f"Not met: {title}" if word in ("FAIL", "MUTED") else title


def _resource(raw: Mapping[str, Any]) -> Resource:
    uid, name = text(raw.get("uid"), 2000), text(raw.get("name"), 1000)
    return Resource(
        uid=uid or name or "unknown",
        name=name,
        type=text(raw.get("type"), 256),
        region=text(raw.get("region"), 128) or text(raw.get("namespace"), 256),
        tags=tags_of(raw.get("labels")),
    )


def _references(remediation: Mapping[str, Any], unmapped: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """Links; and the first command, which older files put among the links."""
    links: list[str] = []
    command = ""
    for said in (*_strings(remediation.get("references")), *_strings(unmapped.get("related_url")),
                 *_strings(unmapped.get("additional_urls"))):  # fmt: skip
        if said.startswith(("https://", "http://")):
            links.append(said)
        elif not command and " " in said:
            command = said
    return tuple(dict.fromkeys(links)), command


def _strings(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value.strip(),) if value.strip() else ()
    return tuple(said for one in seq(value) if (said := text(one, 4000)))


def _controls(value: Any) -> tuple[Control, ...]:
    found: list[Control] = []
    for standard, requirements in list(obj(value).items())[:200]:
        wanted = requirements if isinstance(requirements, list) else [requirements]
        found += _controls_of(text(standard, 256), tuple(r for r in wanted[:200] if isinstance(r, str)))
    return tuple(found[:1000])


@lru_cache(maxsize=4096)
def _controls_of(standard: str, requirements: tuple[str, ...]) -> tuple[Control, ...]:
    """Kept, because every finding of a check has the same ones, up to a hundred."""
    wanted = [said for r in dict.fromkeys(requirements) if (said := text(r, 512))]
    return tuple(Control(standard=standard, requirement=said) for said in wanted or [""])


def _vulnerabilities(raw: Mapping[str, Any]) -> tuple[Vulnerability, ...]:
    found = []
    for one in seq(raw.get("vulnerabilities")):
        cve = obj(obj(one).get("cve"))
        if uid := text(cve.get("uid"), 128):
            scores = [fraction(obj(c).get("base_score"), 0, 10) for c in seq(cve.get("cvss"))]
            found.append(
                Vulnerability(
                    uid=uid,
                    title=text(obj(one).get("title"), 1000),
                    cvss=max((s for s in scores if s is not None), default=None),
                    epss=fraction(obj(cve.get("epss")).get("score"), 0, 1),
                )
            )
    return tuple(found)
