"""Alerts -> Finding: of the API, and of what the alert channels send (webhook, EventBridge, S3, Splunk, API v1 events).

Identity is the alert's number. What a channel sends is brought into the API's members first, so both give one finding.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from bot.domain.findings import Control, Finding, FindingClass, OwnerHint, Severity, SourceStatus, Vulnerability
from connectors.console import console_url
from connectors.lacework.resources import Place, entities, place_of_alert
from connectors.lacework.words import alert_state, context, exposed, flag, moment, pick, plain, severity
from connectors.markup import commands, links
from connectors.text import environment_of, integer, obj, owner_pairs, seq, tags_of, text

PRODUCT = "Lacework FortiCNAPP"
_CVE = re.compile(r"\b(?:CVE-\d{4}-\d{4,}|GHSA(?:-[23456789cfghjmpqrvwx]{4}){3}|ALAS\d*-\d{4}-\d+)\b")
LINKED = re.compile(r"(?:AlertInbox/|/Event/|EventDossier-)(\d+)")
_RECOMMENDATION = re.compile(r"\b((?:AWS_CIS|Azure_CIS|GCP_CIS|GCP_K8S|LW_[A-Z0-9]+|lacework-global)[\w-]*\d)\b")
_POSTURE = re.compile(r"compliance|newviolation|policyviolation|configuration|misconfig", re.IGNORECASE)
_WORDS = {1: "Critical", 2: "High", 3: "Medium", 4: "Low", 5: "Info"}


def alert_id(raw: Mapping[str, Any]) -> str:
    """The alert's number as text, "" when there is none: also from an edited template's own names, or the link."""
    said = pick(raw, "alertId", "alert_id", "ALERT_ID", "AlertId", "event_id", "eventId", "EVENT_ID", "EventId")
    found = text(said, 64) if isinstance(said, (str, int)) and not isinstance(said, bool) else ""
    if found and found != "0":
        return found
    link = text(pick(raw, "event_link", "LINK", "alert_link", "alertLink", "link", "eventLink"), 2000)
    linked = LINKED.search(link)
    return linked[1] if linked else ("0" if found == "0" else "")


def identity_of_alert(alert: Mapping[str, Any]) -> str:
    """The number; each sub-account counts its own, so one that was read as such stands before it."""
    account = text(context(alert).get("account"), 256)
    return f"{account}/{alert_id(alert)}" if account else alert_id(alert)


def is_api(raw: Mapping[str, Any]) -> bool:
    return "alertId" in raw and any(name in raw for name in ("alertName", "alertType", "alertInfo", "derivedFields"))


def as_alert(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """``raw`` in the members of the API's alert."""
    return raw if is_api(raw) else _of_channel(raw)


def _of_channel(raw: Mapping[str, Any]) -> dict[str, Any]:
    """An event of a channel in capitals (EVENT_ID), of the webhook (event_id), or a related alert (eventId)."""
    low = {re.sub(r"[^a-z0-9]", "", str(k).lower()): v for k, v in list(raw.items())[:200]}

    def said(*names: str) -> Any:
        return next((low[n] for n in names if low.get(n) not in (None, "")), None)

    details = opened(said("eventdetails"))
    many = seq(obj(details).get("data")) or seq(details)
    data: list[Mapping[str, Any]] = [one for one in many if isinstance(one, dict)] or (
        [raw] if "entitymap" in low else []
    )
    first = {re.sub(r"[^a-z0-9]", "", str(k).lower()): v for k, v in (data[0].items() if data else ())}
    maps: dict[str, list[Any]] = {}
    for one in data:
        for kind, members in obj(opened(pick(one, "ENTITY_MAP", "entityMap", "entity_map", "entitymap"))).items():
            maps.setdefault(str(kind), []).extend(members if isinstance(members, list) else [members])
    info = obj(said("eventinfo", "alertinfo"))
    title = text(said("eventtitle", "eventname", "alertname", "alerttitle", "title"), 1000)
    kind = text(said("alerttype", "eventtype") or first.get("eventtype"), 256)
    desc = said("eventdescription", "alertdescription", "summary", "description") or info.get("description")
    source = text(said("eventsource", "source"), 256)
    model = text(first.get("eventmodel") or said("eventmodel"), 256)
    facts = said("supportingfacts")
    grade = said("eventseverity", "severity", "alertseverity")
    return {
        "alertId": alert_id(raw),
        "alertName": title or kind,
        "alertType": kind,
        "severity": grade,
        "status": said("status", "alertstatus", "eventstatus"),
        "startTime": said("starttime", "eventtimestamp", "timestamp") or first.get("starttime"),
        "endTime": said("endtime") or first.get("endtime"),
        "policyId": said("recid", "policyid"),
        "alertInfo": {
            "subject": info.get("subject") or "",
            "description": desc,
            **({"supportingFacts": facts} if facts else {}),
        },
        "derivedFields": {
            "category": text(said("eventcategory", "alertcategory", "category"), 128),
            "sub_category": text(said("subcategory", "eventactor") or first.get("eventactor"), 128),
            "source": model or source,
        },
        "entityMap": maps or said("entitymap"),
        "_link": said("eventlink", "alertlink", "link"),
        "_tenant": said("laceworkaccount", "account") if not context(raw) else None,
        "_lacework": raw.get("_lacework"),
    }


def opened(value: Any) -> Any:
    """Some channels and exports write inner objects as JSON in a string."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def content_of_alert(alert: Mapping[str, Any]) -> Any:
    """What the mapping uses but times."""
    left_out = {"startTime", "endTime", "lastUserUpdatedTime", "lastUserUpdateTime", "evolvingAlert", "report",
                "start_time", "end_time"}  # fmt: skip
    return {key: value for key, value in alert.items() if key not in left_out}


def state_of_alert(alert: Mapping[str, Any]) -> tuple[SourceStatus, str]:
    found, word = alert_state(alert.get("status"), _close_reason(alert))
    said = text(obj(alert.get("alertInfo")).get("description"), 4000).lower()
    if not word and "changed from non-compliant to compliant" in said:
        return SourceStatus.RESOLVED, "changed from non-compliant to compliant"
    return found, word


def _close_reason(alert: Mapping[str, Any]) -> Any:
    return pick(alert, "closeReason", "close_reason", "reason", "alertCloseReason", "statusReason", "closedReason")


def map_alert(alert: Mapping[str, Any], source: str) -> Finding:
    number = alert_id(alert)
    info, derived = obj(alert.get("alertInfo")), obj(alert.get("derivedFields"))
    subject, desc = plain(info.get("subject"), 8000), plain(info.get("description"))
    kind = text(alert.get("alertType"), 256)
    title = plain(alert.get("alertName"), 1000) or subject[:200] or kind
    said = f"{info.get('description') or ''}\n{info.get('subject') or ''}"
    origin = text(derived.get("source"), 128)
    events = alert.get("events")
    place = place_of_alert(alert.get("entityMap"), said, (origin, kind, text(derived.get("sub_category"), 128)), events)
    known = entities(alert.get("entityMap"))
    grade, word = severity(alert.get("severity"))
    if grade is Severity.OTHER and integer(word) in _WORDS:
        word = text(word)
    result, result_word = state_of_alert(alert)
    category, sub = text(derived.get("category"), 128), text(derived.get("sub_category"), 128)
    vulnerabilities = _vulnerabilities(known, said, kind)
    policy = obj(context(alert).get("policy"))
    rule = text(alert.get("policyId"), 256)
    rules = known.get("rulestriggered", [])
    if not rule:
        rule = next((r for one in rules if (r := text(pick(one, "rule_id", "ruleid"), 256))), "")
    if not rule:
        rule = next((r for one in (*known.get("recid", ()), *known.get("newviolation", ()))
                     if (r := text(one.get("rec_id"), 256))), "")  # fmt: skip
    if not rule and _POSTURE.search(f"{category} {kind}"):
        found = _RECOMMENDATION.search(said)
        rule = found[1] if found else ""
    tags = tags_of(alert.get("tagMetadata")) or tags_of(alert.get("tags"))
    resource = place.resource
    if tags:
        resource = resource.model_copy(update={"tags": {**resource.tags, **tags}})
    reasons = [text(one.get("reason"), 1000) for one in known.get("violationreason", ())]
    risk = _facts(info.get("supportingFacts")) or plain(policy.get("description"), 8000)
    return Finding(
        source=source,
        uid=identity_of_alert(alert),
        product=PRODUCT,
        class_uid=_class(category, sub, kind, vulnerabilities),
        title=title or f"Alert {number}",
        desc="\n".join(dict.fromkeys(part for part in (desc or subject, *reasons) if part)),
        rule_uid=rule or kind or "alert",
        types=tuple(part for part in (category, sub) if part),
        severity=grade,
        severity_word=word,
        result=result,
        result_word=result_word,
        status_reason=plain(_close_reason(alert), 2000),
        first_seen=moment(alert.get("startTime")),
        last_seen=moment(alert.get("endTime")),
        modified=moment(pick(alert, "lastUserUpdatedTime", "lastUserUpdateTime")),
        resource=resource,
        other_resources=place.others,
        account=place.account,
        environment_hint=environment_of(resource.tags),
        internet_exposed=_exposed(alert, known),
        vulnerabilities=vulnerabilities,
        controls=_controls(known, policy),
        owner_hints=_owners(place, resource.tags),
        risk=risk,
        remediation=plain(policy.get("remediation")),
        remediation_cli=commands(text(policy.get("remediation"))),
        references=references_of(policy),
        url=url_of_alert(alert, number),
        console_url=console_url(resource.uid),
        extra={
            "kind": "alert",
            "alert_type": kind,
            "source": origin,
            "policy": text(alert.get("policyId"), 256),
            "reachability": text(alert.get("reachability"), 64),
            "tenant": text(context(alert).get("account") or alert.get("_tenant"), 256),
            "recommendation": next((text(one.get("title"), 1000) for one in known.get("recid", ())), ""),
        },
    )


def url_of_alert(alert: Mapping[str, Any], uid: str) -> str:
    """The console's page of an alert, as Lacework's own CLI builds it; else the link that was sent along."""
    host, account = text(context(alert).get("host"), 256), text(context(alert).get("account"), 256)
    if host and uid.isdigit():
        name = account or host.partition(".")[0]
        return f"https://{host}/ui/investigation/monitor/AlertInbox/{uid}/details?accountName={name}"
    link = text(alert.get("_link"), 2000)
    return link if link.startswith("https://") else ""


def _class(category: str, sub: str, kind: str, vulnerabilities: tuple[Vulnerability, ...]) -> FindingClass:
    low = f"{sub} {kind}".lower()
    if vulnerabilities and ("vuln" in low or "cve" in low or "image" in low):
        return FindingClass.VULNERABILITY
    if _POSTURE.search(f"{category} {sub} {kind}") and "service change" not in low:
        return FindingClass.COMPLIANCE
    return FindingClass.DETECTION


def _vulnerabilities(known: Mapping[str, list[dict[str, Any]]], said: str, kind: str) -> tuple[Vulnerability, ...]:
    found: dict[str, Vulnerability] = {}
    features = known.get("imagefeature", [])
    for one in known.get("cve", ()):
        if uid := text(pick(one, "cve_id", "vuln_id", "cve"), 128):
            name = text(one.get("feature_name"), 512)
            feature = next((f for f in features if text(f.get("feature_name"), 512) == name), {})
            fixed = text(feature.get("fixed_version"), 256)
            found[uid] = Vulnerability(uid=uid, title=plain(one.get("info"), 1000), package=name,
                                       fixed_version=fixed, fix=bool(fixed) or None)  # fmt: skip
    if not found and re.search(r"cve|vuln", kind, re.IGNORECASE):
        found = {uid: Vulnerability(uid=uid) for uid in _CVE.findall(said)[:100]}
    return tuple(found.values())


def _exposed(alert: Mapping[str, Any], known: Mapping[str, list[dict[str, Any]]]) -> bool | None:
    said = exposed(alert.get("internetExposure"))
    if said is None and any(flag(one.get("is_external")) for one in known.get("machine", ())):
        return True
    return said


@lru_cache(maxsize=2048)
def _control(standard: str, requirement: str) -> Control:
    return Control(standard=standard, requirement=requirement)


def _controls(known: Mapping[str, list[dict[str, Any]]], policy: Mapping[str, Any]) -> tuple[Control, ...]:
    found = [
        _control(text(one.get("eval_type"), 128), rec)
        for one in (*known.get("recid", ()), *known.get("recidazure", ()), *known.get("recidgcp", ()))
        if (rec := text(one.get("rec_id"), 256))
    ]
    return tuple(dict.fromkeys([*found, *controls_of_tags(policy.get("tags"))]))


def references_of(policy: Mapping[str, Any], *more: str) -> tuple[str, ...]:
    """Links of a policy: its own, and those in the text of its remediation."""
    said = [*more, *(text(one, 2000) for one in seq(policy.get("references"))), text(policy.get("infoLink"), 2000)]
    inside = links(text(policy.get("remediation")))
    return tuple(dict.fromkeys([*(one for one in said if one.startswith("http")), *inside]))


def controls_of_tags(value: Any) -> list[Control]:
    """A policy's tags name frameworks: ``framework:cis-aws-1-4-0``."""
    said = [text(one, 256) for one in seq(value)]
    return [
        _control(one.partition(":")[2], "") for one in said if one.lower().startswith(("framework:", "frameworks:"))
    ]


def _owners(place: Place, tags: Mapping[str, str]) -> tuple[OwnerHint, ...]:
    pairs = owner_pairs(tags, "tag") + owner_pairs(place.account.labels, "account")
    return tuple(OwnerHint(kind=kind, value=value) for kind, value in dict.fromkeys(pairs))


def _facts(value: Any, depth: int = 0) -> str:
    lines: list[str] = []
    for one in seq(value)[:50]:
        if said := plain(obj(one).get("supportingFactText") if isinstance(one, dict) else one, 2000):
            lines.append(said)
        if depth < 3 and isinstance(one, dict) and (inner := _facts(one.get("subElements"), depth + 1)):
            lines.append(inner)
    return "\n".join(lines)
