"""The mapping of each kind of finding; members by ``cnapp-apis`` facts and the recorded nodes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.domain.findings import Finding, FindingClass, Resource, SourceStatus, Vulnerability
from connectors.console import console_url
from connectors.markup import commands
from connectors.text import environment_of, fraction, obj, seq, tags_of, text, texts, when
from connectors.wiz.shapes import HOOKED, hook_id
from connectors.wiz.words import (
    CONFIGURATION,
    DETECTION,
    ISSUE,
    SOURCE,
    VULNERABILITY,
    account,
    checked,
    controls,
    exposed,
    impact,
    issue_url,
    link,
    own_id,
    owners,
    projects,
    references,
    said_plainly,
    severity,
    status,
    tickets,
    word,
)

SUPPRESSING = (SourceStatus.SUPPRESSED,)
CLOSED = (SourceStatus.RESOLVED, SourceStatus.ARCHIVED, SourceStatus.DELETED)
_COMMAND = re.compile(r"^(?:sudo\s+)?(?:apt|apt-get|yum|dnf|apk|zypper|pip|npm|gem|go|brew|yumupdate)[\w-]*\b")
_DESCRIPTIONS = ("controlDescription", "cloudEventRuleDescription", "cloudConfigurationRuleDescription", "description")


def events_of(value: Any) -> Sequence[Any]:
    return seq(obj(value).get("nodes"))[:20]


def result_of(kind: str, node: Mapping[str, Any]) -> tuple[SourceStatus, str]:
    """Where the finding stands by Wiz."""
    if kind == CONFIGURATION:
        return checked(node.get("result"), node.get("status"), node.get("deleted"))
    if kind == DETECTION:
        said = node.get("status") or obj(node.get("issue")).get("status")
        return status(said, node.get("resolutionReason"))
    return status(node.get("status"), node.get("resolutionReason"))


def undecided(kind: str, node: Mapping[str, Any]) -> bool:
    """The check could not tell: what is open stays open, nothing is opened by it."""
    return kind == CONFIGURATION and word(node.get("result")) in ("ERROR", "NOT_ASSESSED")


def scope(kind: str, severity_word: str, more: str = "") -> str:
    """What a complete read of open findings answers for: ``wiz:issue:HIGH``, ``wiz:vulnerability:HIGH:exploit``."""
    return ":".join(part for part in (SOURCE, kind, word(severity_word), more) if part)


# --- webhook bodies --------------------------------------------------------------------------------------------------


def hook(raw: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """(kind, node) of a body whose object, rule and resource stand side by side, or which is flat."""
    main = next((found for name in HOOKED if (found := obj(raw.get(name)))), {})
    trigger = obj(raw.get("trigger"))
    about = word(trigger.get("source"))
    rule = next((found for name in ("control", "sourceRule", "rule") if (found := obj(raw.get(name)))), {})
    found = next((found for name in ("resource", "entity", "entitySnapshot") if (found := obj(raw.get(name)))), {})
    if "issue" not in raw and main:
        if "CONFIGURATION" in about or "result" in main or "configurationFinding" in raw:
            held = {"externalId": found.get("subscriptionExternalId") or found.get("subscriptionId"),
                    "name": found.get("subscriptionName"), "cloudProvider": found.get("cloudPlatform")}  # fmt: skip
            return CONFIGURATION, {"rule": dict(rule), **main, "resource": {"subscription": held, **found}}
        if "VULNERABILITY" in about or "vulnerability" in raw or "vulnerabilityFinding" in raw:
            place = {
                "subscriptionExternalId": found.get("subscriptionId"),
                "providerUniqueId": found.get("id"),
                **found,
            }
            return VULNERABILITY, {"vulnerableAsset": place, **main}
        if "DETECTION" in about or "detection" in raw:
            return DETECTION, {"ruleMatch": {"rule": dict(rule)}, "primaryResource": dict(found), **main}
    return ISSUE, _hooked_issue(raw, main, rule, found)


def _hooked_issue(
    raw: Mapping[str, Any], issue: Mapping[str, Any], rule: Mapping[str, Any], found: Mapping[str, Any]
) -> dict[str, Any]:
    def first(*names: str) -> Any:
        return next((value for name in names for holder in (issue, raw) if (value := holder.get(name))), None)

    def placed(*names: str, beside: tuple[str, ...] = ()) -> Any:
        inside = (found.get(name) for name in names)
        return next((value for value in (*inside, *(raw.get(name) for name in beside)) if value), None)

    place = {
        **found,
        "providerId": placed(
            "providerId", "providerUniqueId", "externalId", "id", beside=("resourceId", "resourceArn")
        ),
        "subscriptionExternalId": placed(
            "subscriptionExternalId", "subscriptionId", beside=("subscriptionExternalId", "subscriptionId")
        ),
        "subscriptionName": placed("subscriptionName", beside=("subscriptionName",)),
        "name": placed("name", beside=("resourceName", "entityName")),
        "type": placed("type", beside=("resourceType", "entityType")),
        "region": placed("region", beside=("resourceRegion", "region")),
        "cloudPlatform": placed("cloudPlatform", beside=("cloudPlatform", "cloudProvider")),
        "cloudProviderURL": placed("cloudProviderURL", "cloudProviderUrl", beside=("cloudProviderURL",)),
    }
    if isinstance(raw.get("resource"), str) and not place["name"]:
        place["name"] = raw["resource"]
    return {
        **issue,
        "id": issue.get("id") or hook_id(raw) or raw.get("id"),
        "status": first("status", "issueStatus") or obj(raw.get("trigger")).get("type"),
        "severity": first("severity", "issueSeverity") or rule.get("severity"),
        "type": first("type", "issueType"),
        "createdAt": first("createdAt", "created"),
        "updatedAt": first("updatedAt", "updated", "timestamp"),
        "dueAt": first("dueAt", "dueDate"),
        "projects": first("projects", "projectNames"),
        "url": first("url", "issueURL", "issueUrl", "wizUrl", "link"),
        "sourceRule": {
            "id": raw.get("controlId") or raw.get("ruleId"),
            "name": first("title", "controlName", "ruleName", "name"),
            "description": first("description", "controlDescription"),
            "resolutionRecommendation": first("resolutionRecommendation", "remediation"),
            **{key: value for key, value in rule.items() if value},
        },
        "entitySnapshot": place,
    }


# --- issues ----------------------------------------------------------------------------------------------------------


def issue(uid: str, node: Mapping[str, Any]) -> Finding:
    rules = [one for one in seq(node.get("sourceRules")) if isinstance(one, dict)]
    rule = obj(node.get("sourceRule")) or (rules[0] if rules else obj(node.get("control")))
    place = obj(node.get("entitySnapshot")) or obj(node.get("entity"))
    resource_uid = own_id(
        place.get("providerId"), place.get("providerUniqueId"), place.get("externalId"), wiz=place.get("id")
    )
    tags = tags_of(place.get("tags"))
    name = text(place.get("name"), 512)
    resource = Resource(
        uid=resource_uid or name or "unknown",
        name=name or _tail(resource_uid),
        type=text(place.get("nativeType"), 256) or text(place.get("type"), 256),
        region=text(place.get("region"), 64),
        tags=tags,
    )
    clouds = [one for one in seq(node.get("cloudAccounts")) if isinstance(one, dict)]
    cloud, held = clouds[0] if clouds else {}, obj(place.get("subscription"))
    where = account(
        place.get("cloudPlatform") or cloud.get("cloudProvider"),
        resource.uid,
        place.get("subscriptionExternalId") or held.get("externalId") or cloud.get("externalId"),
        place.get("subscriptionName") or held.get("name") or cloud.get("name"),
        place.get("subscriptionTags"),
    )
    level, level_word = severity(node.get("severity"), rule.get("severity"))
    result, result_word = result_of(ISSUE, node)
    belongs = projects(node.get("projects"))
    risks = (*texts(rule.get("risks")), *texts(rule.get("threats")))
    description = next((rule[key] for key in _DESCRIPTIONS if text(rule.get(key))), node.get("description"))
    written = (rule.get("resolutionRecommendation"), rule.get("remediationInstructions"),
               obj(rule.get("control")).get("resolutionRecommendation"))  # fmt: skip
    advice = next((value for value in written if text(value)), "")
    kind = text(node.get("type"), 64)
    made_of = text(rule.get("__typename"), 64)
    notes = [said for one in seq(node.get("notes")) if (said := text(obj(one).get("text"), 1000))]
    reason = [text(node.get(key), 1000) for key in ("resolutionReason", "resolutionNote", "note")]
    title = text(rule.get("name"), 1000) or text(node.get("name"), 1000) or text(node.get("title"), 1000)
    seen = when(node.get("updatedAt"))
    return Finding(
        source=SOURCE,
        uid=uid,
        product="Wiz Issues",
        class_uid=_issue_class(kind, made_of),
        title=title or text(rule.get("id"), 512) or f"Wiz issue {uid}",
        desc=said_plainly(description),
        rule_uid=text(rule.get("id"), 512) or text(rule.get("shortId"), 128) or title,
        types=tuple(part for part in (kind,) if part),
        severity=level,
        severity_word=level_word,
        result=result,
        result_word=result_word,
        status_reason="; ".join(part for part in reason if part)[:4000],
        suppressed_until=when(node.get("rejectionExpiredAt")) if result in SUPPRESSING else None,
        first_seen=when(node.get("createdAt")),
        last_seen=seen,
        modified=when(node.get("statusChangedAt")) or seen or when(node.get("createdAt")),
        due=when(node.get("dueAt")),
        resolved=when(node.get("resolvedAt")) if result in CLOSED else None,
        resource=resource,
        other_resources=_more(node, resource.uid),
        account=where,
        environment_hint=environment_of(tags) or next(iter(texts(node.get("environments"))), "")
        or environment_of(where.labels),
        internet_exposed=exposed(place, risks=risks),
        data_classes=(name,) if text(place.get("type")) == "DATA_FINDING" and name else (),
        business_impact=impact(belongs),
        vulnerabilities=_named_vulnerability(place),
        controls=controls(rule.get("securitySubCategories"), node.get("securitySubCategories")),
        owner_hints=owners(tags, belongs, node.get("assignee")),
        risk=", ".join(risks)[:4000],
        remediation=said_plainly(advice),
        remediation_cli=commands(text(advice)),
        references=references(description, advice),
        url=issue_url(uid, node.get("url"), node.get("portalUrl")),
        console_url=link(place.get("cloudProviderURL"), place.get("cloudProviderUrl")) or console_url(resource.uid),
        tickets=tickets(node.get("serviceTickets"), node.get("serviceTicket")),
        extra={
            "scope": scope(ISSUE, level_word),
            "kind": ISSUE,
            "rule_type": made_of,
            "platform": text(place.get("cloudPlatform"), 64),
            "entity_type": text(place.get("type"), 128),
            "resource_group": text(place.get("resourceGroupExternalId"), 1000),
            "notes": notes[:10],
        },
    )  # fmt: skip


def _issue_class(kind: str, made_of: str) -> FindingClass:
    if word(kind) == "CLOUD_CONFIGURATION" or (not kind and made_of == "CloudConfigurationRule"):
        return FindingClass.COMPLIANCE
    return FindingClass.DETECTION


def _named_vulnerability(place: Mapping[str, Any]) -> tuple[Vulnerability, ...]:
    """An issue on a vulnerability finding: its id ends in ``##<CVE>##<package>##<version>``."""
    parts = text(place.get("providerId"), 2000).split("##")
    at = next((i for i, part in enumerate(parts) if re.fullmatch(r"CVE-\d{4}-\d{4,}", part)), None)
    if at is None:
        return ()
    rest = [*parts[at + 1 :], "", ""]
    return (Vulnerability(uid=parts[at], package=rest[0][:512], version=rest[1][:256]),)


def _more(node: Mapping[str, Any], main: str) -> tuple[Resource, ...]:
    """The other resources of a threat; a toxic combination names only its primary one."""
    details = obj(node.get("threatDetectionDetails"))
    found = [resource_of(one) for one in seq(details.get("resources")) if isinstance(one, dict)]
    return distinct(found, main)


def distinct(found: list[Resource], main: str) -> tuple[Resource, ...]:
    kept: dict[str, Resource] = {one.uid: one for one in found if one.uid not in ("", main, "unknown")}
    return tuple(kept.values())[:50]


def resource_of(raw: Mapping[str, Any]) -> Resource:
    uid = own_id(raw.get("providerUniqueId"), raw.get("providerId"), raw.get("externalId"), wiz=raw.get("id"))
    name = text(raw.get("name"), 512)
    return Resource(
        uid=uid or name or "unknown",
        name=name or _tail(uid),
        type=text(raw.get("nativeType"), 256) or text(raw.get("type"), 256),
        region=text(raw.get("region"), 64),
        tags=tags_of(raw.get("tags")),
    )


def _tail(uid: str) -> str:
    return re.split(r"[/:#]", uid.rstrip("/"))[-1] or uid


# --- configuration findings ------------------------------------------------------------------------------------------


def configuration(uid: str, node: Mapping[str, Any]) -> Finding:
    rule, place = obj(node.get("rule")), obj(node.get("resource"))
    held = obj(place.get("subscription")) or obj(place.get("cloudAccount"))
    target = node.get("targetExternalId")
    resource_uid = own_id(
        place.get("providerId"), place.get("providerUniqueId"), target, place.get("externalId"), wiz=place.get("id")
    )
    tags = tags_of(place.get("tags"))
    name = text(place.get("name"), 512)
    resource = Resource(
        uid=resource_uid or name or text(node.get("targetObjectProviderUniqueId"), 2000) or "unknown",
        name=name or _tail(resource_uid),
        type=text(place.get("nativeType"), 256) or text(place.get("type"), 256),
        region=text(place.get("region"), 64),
        tags=tags,
    )
    where = account(
        held.get("cloudProvider") or place.get("cloudPlatform"),
        resource.uid,
        held.get("externalId") or place.get("subscriptionExternalId"),
        held.get("name") or place.get("subscriptionName"),
    )
    level, level_word = severity(node.get("severity"), rule.get("severity"))
    result, result_word = result_of(CONFIGURATION, node)
    belongs = projects(place.get("projects")) or projects(node.get("projects"))
    evidence = obj(node.get("evidence"))
    advice = text(node.get("remediation")) or text(rule.get("remediationInstructions"))
    ignored = _ignores(node.get("ignoreRules"))
    title = text(rule.get("name"), 1000) or text(node.get("name"), 1000)
    seen, moved = when(node.get("analyzedAt")), when(node.get("updatedAt"))
    return Finding(
        source=SOURCE,
        uid=uid,
        product="Wiz Configuration",
        class_uid=FindingClass.COMPLIANCE,
        title=title or text(rule.get("shortId"), 128) or "Configuration finding",
        desc=said_plainly(rule.get("description")) or said_plainly(node.get("description")),
        rule_uid=text(rule.get("shortId"), 128) or text(rule.get("id"), 512) or title,
        types=("CLOUD_CONFIGURATION",),
        severity=level,
        severity_word=level_word,
        result=result,
        result_word=result_word,
        status_reason="; ".join(part for part in (text(node.get("resolutionReason"), 200), *ignored[1]) if part)[:4000],
        suppressed_until=ignored[0] if result in SUPPRESSING else None,
        first_seen=when(node.get("firstSeenAt")) or when(node.get("firstSeen")),
        last_seen=seen,
        modified=moved or seen,
        due=when(node.get("dueAt")),
        resolved=when(node.get("resolvedAt")) if result in CLOSED else None,
        resource=resource,
        account=where,
        environment_hint=environment_of(tags),
        internet_exposed=exposed(place),
        business_impact=impact(belongs),
        controls=controls(node.get("securitySubCategories"), rule.get("securitySubCategories")),
        owner_hints=owners(tags, belongs),
        risk=", ".join(texts(rule.get("risks")))[:4000],
        remediation=said_plainly(advice),
        remediation_cli=commands(advice),
        references=references(rule.get("description"), advice),
        url=link(node.get("portalUrl"), node.get("url")),
        console_url=link(evidence.get("cloudConfigurationLink"), place.get("cloudProviderURL"))
        or console_url(resource.uid),
        extra={
            "scope": scope(CONFIGURATION, level_word),
            "kind": CONFIGURATION,
            "rule": text(rule.get("id"), 512),
            "platform": text(place.get("cloudPlatform"), 64),
            "entity_type": text(place.get("type"), 128),
            "target": text(target, 1000),
        },
    )


def _ignores(value: Any) -> tuple[datetime | None, list[str]]:
    """(until when the longest of the enabled ignore rules holds, their names); one rule may come as an object."""
    found = [value] if isinstance(value, dict) else [one for one in seq(value) if isinstance(one, dict)]
    live = [one for one in found if one.get("enabled") is not False]
    ends = [when(one.get("expiredAt")) for one in live]
    names = [f"ignore rule {said}" for one in live if (said := text(one.get("name"), 200))]
    known = [end for end in ends if end is not None]
    return (max(known) if known and len(known) == len(ends) else None), names


# --- vulnerabilities -------------------------------------------------------------------------------------------------


def vulnerability(uid: str, node: Mapping[str, Any]) -> Finding:
    place = obj(node.get("vulnerableAsset"))
    if not place:
        place = next((found for name in ("asset", "resource", "entity") if (found := obj(node.get(name)))), {})
    resource = resource_of(place)
    name = text(node.get("name"), 128) or text(node.get("externalId"), 128)
    package = text(node.get("detailedName"), 512)
    level, level_word = severity(
        node.get("severity"), node.get("vendorSeverity"), node.get("CVSSSeverity"), node.get("nvdSeverity")
    )
    result, result_word = result_of(VULNERABILITY, node)
    until, ignored = _ignores(node.get("ignoreRules"))
    belongs = projects(node.get("projects"))
    advice = text(node.get("remediation"))
    group = obj(place.get("computeInstanceGroup"))
    exploit = node.get("hasExploit")
    where = account(
        place.get("cloudPlatform"),
        resource.uid,
        place.get("subscriptionExternalId") or obj(place.get("subscription")).get("externalId"),
        place.get("subscriptionName") or obj(place.get("subscription")).get("name"),
    )
    what = Vulnerability(
        uid=name or "unknown",
        title=text(node.get("title"), 500),
        cvss=_cvss(node),
        cvss_vector=text(node.get("cvssVector"), 256),
        epss=_share(node.get("epssProbability"), percent=False),
        epss_percentile=_share(node.get("epssPercentile"), percent=True),
        kev=_yes(node.get("hasCisaKevExploit")),
        exploit=_yes(exploit),
        fix=bool(text(node.get("fixedVersion"))) if "fixedVersion" in node else None,
        package=package,
        version=text(node.get("version"), 256),
        fixed_version=text(node.get("fixedVersion"), 256),
    )
    return Finding(
        source=SOURCE,
        uid=uid,
        product="Wiz Vulnerabilities",
        class_uid=FindingClass.VULNERABILITY,
        title=f"{what.uid} in {package}" if package else what.uid,
        desc=said_plainly(node.get("description")) or said_plainly(node.get("CVEDescription")),
        rule_uid=what.uid,
        types=tuple(part for part in (text(node.get("detectionMethod"), 64),) if part),
        severity=level,
        severity_word=level_word,
        result=result,
        result_word=result_word,
        status_reason="; ".join(part for part in (text(node.get("resolutionReason"), 200), *ignored) if part)[:4000],
        suppressed_until=until if result in SUPPRESSING else None,
        first_seen=when(node.get("firstDetectedAt")) or when(node.get("firstSeenAt")),
        last_seen=when(node.get("lastDetectedAt")) or when(node.get("lastSeenAt")),
        modified=when(node.get("updatedAt")) or when(node.get("lastDetectedAt")),
        due=when(node.get("dueAt")),
        resolved=when(node.get("resolvedAt")) if result in CLOSED else None,
        resource=resource,
        other_resources=distinct([resource_of(group)], resource.uid) if group else (),
        account=where,
        environment_hint=environment_of(resource.tags),
        internet_exposed=exposed(place),
        business_impact=impact(belongs),
        vulnerabilities=(what,),
        owner_hints=owners({**tags_of(group.get("tags")), **resource.tags}, belongs),
        risk=said_plainly(node.get("CVEDescription")) if text(node.get("description")) else "",
        remediation=said_plainly(advice)
        or (f"Update {package} to {what.fixed_version}." if what.fixed_version and package else ""),
        remediation_cli=advice if _COMMAND.match(advice) and "\n" not in advice else commands(advice),
        references=references(node.get("link"), node.get("description")),
        url=link(node.get("portalUrl"), node.get("url")),
        console_url=link(place.get("cloudProviderURL"), place.get("cloudProviderUrl")) or console_url(resource.uid),
        extra={
            "scope": scope(VULNERABILITY, level_word, "exploit" if exploit is True else ""),
            "kind": VULNERABILITY,
            "platform": text(place.get("cloudPlatform"), 64),
            "entity_type": text(place.get("type"), 128),
            "location": text(node.get("locationPath"), 1000),
            "validated_in_runtime": _yes(node.get("validatedInRuntime")),
        },
    )


def _cvss(node: Mapping[str, Any]) -> float | None:
    """0 means "not rated yet" (a recorded finding of severity MEDIUM has it); then the numbering authority's score."""
    for name in ("score", "cvssScore", "cnaScore"):
        if found := fraction(node.get(name), 0, 10):
            return found
    return None


def _share(value: Any, *, percent: bool) -> float | None:
    """A fraction. ``epssPercentile`` is 0 to 100, ``epssProbability`` already a fraction (both in one recording)."""
    found = fraction(value, 0, 100)
    if found is None:
        return None
    return found / 100 if percent or found > 1 else found


def _yes(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
