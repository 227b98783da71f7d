"""ASFF -> our Finding. Pure and tolerant. Also understood: OCSF of the new Security Hub, and Inspector's own listing.

Identity is the pair (``Id``, ``ProductArn``). The rule is the security control where there is one, else what tells
one kind of problem from another at that product: the CVE, GuardDuty's finding type, the generator.

Three different words: ``RecordState`` (the system), ``Workflow.Status`` (people), ``Compliance.Status`` (the check).
Open is: active, and failed or no check at all, and neither suppressed nor resolved by people.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

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
from bot.ports import Page
from connectors.console import console_url
from connectors.security_hub.shapes import asff
from connectors.text import (
    content_hash,
    environment_of,
    fraction,
    obj,
    owner_pairs,
    seq,
    tags_of,
    text,
    texts,
    when,
)

SOURCE = "security_hub"
_SEVERITIES = {
    "INFORMATIONAL": Severity.INFORMATIONAL,
    "LOW": Severity.LOW,
    "MEDIUM": Severity.MEDIUM,
    "HIGH": Severity.HIGH,
    "CRITICAL": Severity.CRITICAL,
    "FATAL": Severity.FATAL,
    "UNKNOWN": Severity.UNKNOWN,
}
_WORKFLOW = {
    "": SourceStatus.NEW,
    "NEW": SourceStatus.NEW,
    "NOTIFIED": SourceStatus.IN_PROGRESS,
    "SUPPRESSED": SourceStatus.SUPPRESSED,
    "RESOLVED": SourceStatus.RESOLVED,
}
_CVE = re.compile(r"\b(?:CVE-\d{4}-\d{4,}|GHSA(?:-[23456789cfghjmpqrvwx]{4}){3})\b")
# What the mapping uses, apart from times. Resource details and most product fields hold counters and last-seen times.
_CONTENT = (
    "AwsAccountId", "AwsAccountName", "GeneratorId", "Types", "Severity", "Title", "Description", "Remediation",
    "SourceUrl", "Compliance", "Workflow", "RecordState", "Vulnerabilities", "Note", "Criticality", "EpssScore",
    "NetworkPath", "ProductName", "CompanyName", "Region",
)  # fmt: skip
_PRODUCT_FIELDS = ("ControlId", "RuleId", "aws/inspector/inspectorScore", "aws/inspector/FindingStatus")


class SecurityHubMapper:
    source = SOURCE

    def sight(self, raw: Mapping[str, Any]) -> Sighting:
        found = _known(raw)
        fields = obj(found.get("ProductFields"))
        said = (
            [found.get(name) for name in _CONTENT],
            [fields.get(name) for name in _PRODUCT_FIELDS],
            [
                [one.get(name) for name in ("Type", "Id", "Region", "Tags", "Name")]
                for one in seq(found.get("Resources"))
                if isinstance(one, dict)
            ],
        )
        return Sighting(uid=_identity(found), content=content_hash(said))

    def map(self, raw: Mapping[str, Any]) -> Finding:
        found = _known(raw)
        fields, compliance = obj(found.get("ProductFields")), obj(found.get("Compliance"))
        types = texts(found.get("Types"))
        vulnerabilities = _vulnerabilities(found, types)
        resources = [_resource(r, found) for r in seq(found.get("Resources")) if isinstance(r, dict)]
        account_uid = text(found.get("AwsAccountId"), 64)
        resource = resources[0] if resources else Resource(uid=f"AWS::::Account:{account_uid}", type="AwsAccount")
        severity, severity_word, score = _severity(found, fields)
        result, result_word = _result(found)
        rule = _rule(found, types, vulnerabilities)
        remediation = obj(obj(found.get("Remediation")).get("Recommendation"))
        advice = text(remediation.get("Text"))
        region = resource.region or text(found.get("Region"), 64)
        return Finding(
            source=SOURCE,
            uid=_identity(found),
            product=text(found.get("ProductName"), 256) or text(found.get("ProductArn"), 512).rpartition("/")[2],
            class_uid=_class(found, types, vulnerabilities),
            title=text(found.get("Title"), 1000) or rule or "Finding without a title",
            desc=text(found.get("Description")),
            rule_uid=rule,
            types=types,
            severity=severity,
            severity_word=severity_word,
            score=score,
            result=result,
            result_word=result_word,
            status_reason=_reason(found, compliance),
            first_seen=when(found.get("FirstObservedAt")) or when(found.get("CreatedAt")),
            last_seen=when(found.get("LastObservedAt")),
            modified=when(found.get("UpdatedAt")),
            resource=resource,
            other_resources=tuple(resources[1:]),
            account=Account(uid=account_uid, name=text(found.get("AwsAccountName"), 512), provider="aws"),
            environment_hint=environment_of(resource.tags),
            internet_exposed=True if _exposed(found, types) else None,
            business_impact=text(found.get("Criticality"), 64),
            vulnerabilities=vulnerabilities,
            controls=_controls(compliance),
            owner_hints=tuple(OwnerHint(kind=k, value=v) for k, v in dict.fromkeys(owner_pairs(resource.tags, "tag"))),
            remediation="" if advice == "None Provided" else advice,
            remediation_cli=_command(found),
            references=_references(found, remediation),
            url=_url(found),
            console_url=console_url(resource.uid),
            extra={
                # Says which page of the cloud it belongs to. No scan of Security Hub is ever complete: what leaves
                # is ARCHIVED, and a finding that moves while pages are read would seem to be missing.
                "scope": f"aws:{account_uid}:{region}:{rule}",
                "control": text(compliance.get("SecurityControlId"), 64),
                "generator": text(found.get("GeneratorId"), 512),
                "workflow": text(obj(found.get("Workflow")).get("Status"), 32),
                "record_state": text(found.get("RecordState"), 32),
                "region": region,
            },
        )


def looks(raw: Mapping[str, Any]) -> bool:
    return asff(raw) is not None


def undecided(raw: Mapping[str, Any]) -> bool:
    """The check could not tell (WARNING, NOT_AVAILABLE) and nobody has closed it: neither opens nor resolves."""
    found = asff(raw)
    return (
        found is not None and _result(found)[0] is SourceStatus.OTHER and _check(found) in ("WARNING", "NOT_AVAILABLE")
    )


def decided(page: Page) -> Page:
    """The page without what is undecided, which is counted in a note."""
    items = tuple(item for item in page.items if not undecided(item))
    if len(items) == len(page.items):
        return page
    left = len(page.items) - len(items)
    said = f"{left} checks could not tell (WARNING or NOT_AVAILABLE); they were neither opened nor resolved"
    return replace(page, items=items, notes=(*page.notes, said))


def _check(found: Mapping[str, Any]) -> str:
    return text(obj(found.get("Compliance")).get("Status"), 32).upper()


def _known(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    found = asff(raw)
    if found is None or not text(found.get("Id")):
        raise BadInput(
            "not a Security Hub finding: Id or SchemaVersion is missing.",
            mend="Give what aws securityhub get-findings or EventBridge wrote.",
        )
    return found


def _identity(found: Mapping[str, Any]) -> str:
    return f"{text(found.get('Id'), 4000)}|{text(found.get('ProductArn'), 2000)}"


def _rule(found: Mapping[str, Any], types: tuple[str, ...], vulnerabilities: tuple[Vulnerability, ...]) -> str:
    fields = obj(found.get("ProductFields"))
    control = text(obj(found.get("Compliance")).get("SecurityControlId"), 128) or text(fields.get("ControlId"), 128)
    if control:
        return control
    if vulnerabilities:
        return vulnerabilities[0].uid
    generator = text(found.get("GeneratorId"), 512)
    if text(found.get("ProductArn"), 2000).endswith("/guardduty") and types:
        return types[0].rpartition("/")[2]  # the generator is the detector: it would make one problem of all
    return generator or (types[0] if types else "")


def _severity(found: Mapping[str, Any], fields: Mapping[str, Any]) -> tuple[Severity, str, float | None]:
    severity = obj(found.get("Severity"))
    word = text(severity.get("Label"), 64)
    number = fraction(severity.get("Normalized"), 0, 100)
    score = fraction(fields.get("aws/inspector/inspectorScore"), 0, 10)
    score = number if score is None else score
    if word:
        return _SEVERITIES.get(word.upper(), Severity.OTHER), word, score
    if number is None:
        return Severity.UNKNOWN, "", score
    # Before there were labels: AWS's own thresholds.
    steps = ((90, Severity.CRITICAL), (70, Severity.HIGH), (40, Severity.MEDIUM), (1, Severity.LOW))
    return next((s for least, s in steps if number >= least), Severity.INFORMATIONAL), f"{number:g}", score


def _result(found: Mapping[str, Any]) -> tuple[SourceStatus, str]:
    record = text(found.get("RecordState"), 32).upper()
    workflow = text(obj(found.get("Workflow")).get("Status"), 32).upper()
    check = _check(found)
    word = "/".join(part for part in (record, workflow, check) if part)
    if record == "ARCHIVED":
        return SourceStatus.ARCHIVED, word
    if check == "PASSED":
        return SourceStatus.RESOLVED, word
    status = _WORKFLOW.get(workflow, SourceStatus.OTHER)
    if status in (SourceStatus.SUPPRESSED, SourceStatus.RESOLVED):
        return status, word
    if check not in ("", "FAILED") or record not in ("", "ACTIVE"):
        return SourceStatus.OTHER, word  # WARNING and NOT_AVAILABLE: the check could not tell
    return status, word


def _class(
    found: Mapping[str, Any], types: tuple[str, ...], vulnerabilities: tuple[Vulnerability, ...]
) -> FindingClass:
    joined = " ".join(types)
    if vulnerabilities or "Vulnerabilities/CVE" in joined:
        return FindingClass.VULNERABILITY
    if obj(found.get("Compliance")) or "Industry and Regulatory Standards" in joined or "Best Practices" in joined:
        return FindingClass.COMPLIANCE
    return FindingClass.DETECTION


def _resource(raw: Mapping[str, Any], found: Mapping[str, Any]) -> Resource:
    uid = text(raw.get("Id"), 2000)
    tags = tags_of(raw.get("Tags"))
    return Resource(
        uid=uid or "unknown",
        name=text(raw.get("Name"), 512) or tags.get("Name") or re.split(r"[/:]", uid)[-1] or uid,
        type=text(raw.get("Type"), 256),
        region=text(raw.get("Region"), 64) or text(found.get("Region"), 64),
        tags=tags,
    )


def _vulnerabilities(found: Mapping[str, Any], types: tuple[str, ...]) -> tuple[Vulnerability, ...]:
    made: list[Vulnerability] = []
    for one in seq(found.get("Vulnerabilities"))[:50]:
        raw = obj(one)
        uid = text(raw.get("Id"), 128)
        if not uid:
            continue
        scores = [
            (base, text(obj(c).get("BaseVector"), 256))
            for c in seq(raw.get("Cvss"))
            if (base := fraction(obj(c).get("BaseScore"), 0, 10)) is not None
        ]
        cvss, vector = max(scores, default=(None, ""))
        epss = fraction(raw.get("EpssScore"), 0, 1)
        packages: list[Mapping[str, Any]] = [p for p in seq(raw.get("VulnerablePackages")) if isinstance(p, dict)]
        made += [
            Vulnerability(
                uid=uid,
                cvss=cvss,
                cvss_vector=vector,
                epss=fraction(found.get("EpssScore"), 0, 1) if epss is None else epss,
                exploit=_yes(raw.get("ExploitAvailable")),
                fix=_yes(raw.get("FixAvailable")),
                package=text(package.get("Name"), 512),
                version=text(package.get("Version"), 256),
                fixed_version=text(package.get("FixedInVersion"), 256),
            )
            for package in (packages[:100] or [{}])
        ]
    if not made and "Vulnerabilities" in " ".join(types):
        # Some products send a vulnerability without saying which, but for the title.
        made = [Vulnerability(uid=uid) for uid in dict.fromkeys(_CVE.findall(text(found.get("Title"), 1000)))]
    return tuple(made)


def _yes(value: Any) -> bool | None:
    return {"YES": True, "PARTIAL": True, "NO": False}.get(text(value, 16).upper())


def _controls(compliance: Mapping[str, Any]) -> tuple[Control, ...]:
    made = [
        Control(standard=standard, requirement=requirement)
        for said in texts(compliance.get("RelatedRequirements"))
        for standard, _, requirement in (said.partition("/"),)
    ]
    for one in seq(compliance.get("AssociatedStandards")):
        if standard := text(obj(one).get("StandardsId"), 256):
            made.append(Control(standard=standard))
    return tuple(dict.fromkeys(made))


def _exposed(found: Mapping[str, Any], types: tuple[str, ...]) -> bool:
    return bool(found.get("NetworkPath")) or any("Network Reachability" in t for t in types)


def _reason(found: Mapping[str, Any], compliance: Mapping[str, Any]) -> str:
    said = [text(obj(r).get("Description"), 1000) or text(obj(r).get("ReasonCode"), 128)
            for r in seq(compliance.get("StatusReasons"))]  # fmt: skip
    note = text(obj(found.get("Note")).get("Text"), 1000)
    return "; ".join(part for part in (*said, note) if part)[:4000]


def _command(found: Mapping[str, Any]) -> str:
    for one in seq(found.get("Vulnerabilities")):
        for package in seq(obj(one).get("VulnerablePackages")):
            if command := text(obj(package).get("Remediation"), 1000):
                return command if command.lower() != "none provided" else ""
    return ""


def _references(found: Mapping[str, Any], remediation: Mapping[str, Any]) -> tuple[str, ...]:
    links = [text(remediation.get("Url"), 2000), text(found.get("SourceUrl"), 2000)]
    for one in seq(found.get("Vulnerabilities"))[:50]:
        links += [text(obj(obj(one).get("Vendor")).get("Url"), 2000), *texts(obj(one).get("ReferenceUrls"))[:20]]
    return tuple(dict.fromkeys(link for link in links if link.startswith(("https://", "http://"))))


def _url(found: Mapping[str, Any]) -> str:
    """Where to look at it: the product's own page, else Security Hub's."""
    own = text(found.get("SourceUrl"), 2000)
    if own.startswith("https://"):
        return own
    region = text(found.get("Region"), 64) or _part(text(found.get("ProductArn"), 2000), 3)
    if not re.fullmatch(r"[a-z0-9-]{4,32}", region):
        return ""
    host = "console.aws.amazon.com"
    if region.startswith("us-gov-"):
        host = "console.amazonaws-us-gov.com"
    elif region.startswith("cn-"):
        host = "console.amazonaws.cn"
    new = bool(found.get("_ocsf"))
    field = "finding_info.uid" if new else "Id"
    sought = quote(quote(text(found.get("Id"), 4000), safe=""), safe="")
    page = "securityhub/v2/home" if new else "securityhub/home"
    return (
        f"https://{region}.{host}/{page}?region={region}#/findings?search={field}"
        f"%3D%255Coperator%255C%253AEQUALS%255C%253A{sought}"
    )


def _part(arn: str, index: int) -> str:
    parts = arn.split(":")
    return parts[index] if len(parts) > index else ""
