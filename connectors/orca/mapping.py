"""Orca's alerts and CVE records -> our Finding. Pure, tolerant; both generations of the API.

Identity: an alert's own id (``orca-123``: the same in every generation); a CVE record has none, so it is the CVE, the
asset's id in Orca and the package: a package twice on one asset in two versions is one problem.

``_told`` collects everything the mapping uses; ``sight`` hashes it without the times that move at every scan.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.domain.errors import BadInput
from bot.domain.findings import (
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
from connectors.orca.content import content, plain_value
from connectors.orca.resources import owners, resource_of
from connectors.orca.shapes import (
    ALERT_REF,
    APP_MARK,
    CVE_MARK,
    View,
    alert_ref,
    alert_uid,
    kind_of,
    listed,
)
from connectors.orca.vulnerabilities import of_alert, of_record
from connectors.orca.words import lines, links, plain_text, severity_of, state_of
from connectors.text import content_hash, environment_of, fraction, integer, obj, owner_pairs, seq, text, when

SOURCE = "orca"
APP = "https://app.orcasecurity.io"
_POSTURE = frozenset(
    {
        "best practices",
        "data protection",
        "iam misconfigurations",
        "network misconfigurations",
        "workload misconfigurations",
        "vendor services misconfigurations",
        "logging and monitoring",
        "authentication",
        "neglected assets",
        "system integrity",
        "compliance",
    }
)
_EXPOSED = frozenset({"internet_facing", "public_facing", "internet-facing", "internet_exposed"})
_DATA = frozenset({"pii", "phi", "pci", "sensitive_data", "secrets", "sensitive_keys", "financial", "credit_card"})
_SNOOZE = ("snoozeuntil", "snoozeduntil", "snoozeend", "snoozeendtime", "snoozeexpiration", "snoozetime")
_CLOSED = (SourceStatus.RESOLVED, SourceStatus.DELETED)
_MOVES = ("first_seen", "last_seen", "modified")  # with every scan, or with nothing that is said


class OrcaMapper:
    source = SOURCE

    def sight(self, raw: Mapping[str, Any]) -> Sighting:
        view = View(raw)
        if kind_of(raw, view) == "alert":
            reason = text(view.get("closedreason", "dismissreason", "statusreason"), 2000)
            closed = state_of(view.get("status"), reason)[0] in _CLOSED
            return Sighting(uid=alert_uid(view), content=content_hash(content(view)), closed=closed)
        told = _told(raw)
        said = {name: plain_value(value) for name, value in told.items() if name not in _MOVES}
        return Sighting(uid=told["uid"], content=content_hash(said))

    def map(self, raw: Mapping[str, Any]) -> Finding:
        return Finding(source=SOURCE, **_told(raw))


def scope_of(account: str, level: str) -> str:
    """What a complete read of open alerts answers for: one risk level in one account."""
    return f"orca:alerts:{account or '-'}:{level}"


def _told(raw: Mapping[str, Any]) -> dict[str, Any]:
    view = View(raw)
    kind = kind_of(raw, view)
    if kind == "alert":
        return _alert(view)
    if kind == "vulnerability" or raw.get(CVE_MARK):
        return _record(view)
    raise BadInput(
        "not a finding of Orca: it has neither an alert id nor a CVE on an asset.",
        mend="Give what the alerts, CVE or serving-layer API, or a webhook of Orca, sent.",
    )


def _alert(view: View) -> dict[str, Any]:
    uid, ref = alert_uid(view), alert_ref(view)
    resource, account = resource_of(view, f"orca-alert:{uid}")
    category = text(view.get("category"), 256)
    kind = _rule_type(view)
    rule = text(view.get("ruleid"), 256) or kind
    name = resource.name
    reason = text(view.get("closedreason", "dismissreason", "statusreason"), 2000)
    result, word = state_of(view.get("status"), reason)
    severity, severity_word = severity_of(
        view.get("risklevel"), view.get("orcascore"), view.get("score"), view.get("severity")
    )
    labels = tuple(dict.fromkeys(said for one in listed(view.get("alertlabels", "labels")) if (said := text(one, 256))))
    vulnerabilities = of_alert(view)
    title = plain_text(view.get("typestring", "title", "alerttype", "description", "name"), name)[:1000]
    advice = view.get("recommendation")
    desc = plain_text(view.get("details", "description"), name)
    description = plain_text(view.get("description"), name)
    steps = lines(view.get("remediationconsole"), name)
    configuration = obj(view.get("configuration"))
    closed = result in _CLOSED
    return {
        "uid": uid,
        "product": "Orca",
        "class_uid": _class(view, category, labels, vulnerabilities),
        "title": title or kind or f"Orca alert {uid}",
        "desc": desc,
        "rule_uid": rule or category or "orca-alert",
        "types": (category,) if category else (),
        "severity": severity,
        "severity_word": severity_word,
        "score": fraction(view.get("orcascore"), 0, 10),
        "result": result,
        "result_word": word,
        # an open alert still carries the reason of its last closing
        "status_reason": "" if result in (SourceStatus.NEW, SourceStatus.IN_PROGRESS) else reason,
        "suppressed_until": when(view.get(*_SNOOZE)) if result is SourceStatus.SUPPRESSED else None,
        "first_seen": when(view.get("createdat")),
        "last_seen": when(view.get("lastseen")),
        "modified": when(view.get("lastupdated", "statustime")),
        "resolved": when(view.get("closedtime", "statustime")) if closed else None,
        "resource": resource,
        "account": account,
        "environment_hint": environment_of(resource.tags),
        "internet_exposed": _exposed(view),
        "data_classes": _data_classes(view),
        "business_impact": _impact(view),
        "vulnerabilities": vulnerabilities,
        "controls": _controls(view),
        "owner_hints": _hints(view, resource),
        "risk": description if description not in (title, desc) else "",
        "remediation": "\n".join(part for part in (plain_text(advice, name), steps) if part),
        "remediation_cli": lines(view.get("remediationcli"), name),
        "references": links(_texts(view, advice)),
        "url": _url(view, ref),
        "console_url": _console(view, resource),
        "tickets": _tickets(configuration, view),
        "extra": _kept(
            scope=scope_of(account.uid, severity.name.lower()),
            alert=ref,
            rule_type=kind,
            labels=list(labels),
            score=integer(view.get("score")),
            old_severity=text(view.get("severity"), 64),
            verification=text(view.get("verificationstatus"), 64),
            mitre=text(view.get("mitrecategory"), 256),
            mitre_techniques=[text(one, 256) for one in listed(view.get("mitretechniques", "mitretechnique"))],
            origin=text(view.get("alertsource"), 256),
            place=text(view.get("source"), 1000),
            code_url=text(obj(obj(view.get("riskfindings")).get("package")).get("origin_url"), 1000),
            asset=text(view.get("assetuniqueid") or view.asset("assetuniqueid"), 500),
            organization=text(view.get("organizationname"), 256),
        ),
    }


def _record(view: View) -> dict[str, Any]:
    vulnerabilities = of_record(view)
    cve = vulnerabilities[0].uid if vulnerabilities else ""
    unique = text(view.get("assetuniqueid") or view.asset("assetuniqueid"), 1000)
    resource, account = resource_of(view, unique)
    if not cve or not resource.uid:
        raise BadInput("a CVE record of Orca without its CVE or its asset.", mend="Ask for Inventory with the query.")
    packages = tuple(dict.fromkeys(v.package for v in vulnerabilities if v.package))
    worst = text(view.get("cvssseverity"), 64)
    own = severity_of(worst, view.get("orcascore"), view.get("score"), view.get("severity"))
    if own == (Severity.UNKNOWN, ""):
        own = (_by_cvss(vulnerabilities), "")
    fixes = tuple(dict.fromkeys(f"{v.package} {v.fixed_version}".strip() for v in vulnerabilities if v.fixed_version))
    patch = "Update to " + ", ".join(fixes) if fixes else ""
    summary = plain_text(view.get("summary", "description"), resource.name)
    name = f"{cve} in {', '.join(packages[:3])}" if packages else cve
    sources = (view.get("sourcelink"), view.get("vendorsourcelink"), view.get("cvsssourcelink"))
    labels = [said for one in listed(view.get("labels")) if (said := text(one, 128))]
    return {
        "uid": "|".join([cve, unique or resource.uid, *packages[:1]]),
        "product": "Orca",
        "class_uid": FindingClass.VULNERABILITY,
        "title": name,
        "desc": summary,
        "rule_uid": cve,
        "types": ("Vulnerabilities",),
        "severity": own[0],
        "severity_word": own[1],
        "score": fraction(view.get("orcascore"), 0, 10),
        "result": SourceStatus.NEW,
        "result_word": "",
        "first_seen": when(view.get("firstseen")),
        "last_seen": when(view.get("lastseen")),
        "modified": when(view.get("lastupdated")),
        "resource": resource,
        "account": account,
        "environment_hint": environment_of(resource.tags),
        "internet_exposed": _exposed(view),
        "data_classes": _data_classes(view),
        "business_impact": _impact(view),
        "vulnerabilities": vulnerabilities,
        "controls": (),  # those of the record are the asset's, not the CVE's
        "owner_hints": _hints(view, resource),
        "remediation": patch,
        "references": links(one for one in sources if isinstance(one, str)),
        "url": "",
        "console_url": _console(view, resource),
        "extra": _kept(
            scope=f"orca:cve:{(worst or '-').upper()}",
            labels=labels,
            score=integer(view.get("score")),
            old_severity=text(view.get("severity"), 64),
            asset=unique,
            disposition=text(view.get("upstreamdisposition"), 128),
        ),
    }


def _by_cvss(vulnerabilities: tuple[Vulnerability, ...]) -> Severity:
    """The bands of CVSS 3, where nothing else is said."""
    score = max((v.cvss for v in vulnerabilities if v.cvss is not None), default=0.0)
    steps = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM), (0.1, Severity.LOW))
    return next((level for least, level in steps if score >= least), Severity.UNKNOWN)


def _kept(**said: Any) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value not in ("", None, [])}


def _rule_type(view: View) -> str:
    said = text(view.get("ruletype"), 256)
    if not said and text(view.raw.get("type"), 256) != "Alert":
        said = text(view.raw.get("type"), 256)
    return said or text(view.get("alerttype"), 256)


def _class(
    view: View, category: str, labels: tuple[str, ...], vulnerabilities: tuple[Vulnerability, ...]
) -> FindingClass:
    lowered = {one.lower() for one in labels}
    if vulnerabilities or category.lower() == "vulnerabilities" or _rule_type(view) in ("vulnerability", "cve"):
        return FindingClass.VULNERABILITY
    if any(one.startswith(("shiftleft:sast", "shiftleft:secret")) for one in lowered):
        return FindingClass.DETECTION  # a flaw in code, not a setting
    context = text(view.get("context"), 32).lower()
    if context == "control" or "cspm" in lowered or view.get("iscompliance") is True:
        return FindingClass.COMPLIANCE
    if "misconfiguration" in category.lower() or category.lower() in _POSTURE:
        return FindingClass.COMPLIANCE
    return FindingClass.DETECTION


def _labels_of_asset(view: View) -> list[str]:
    said = [*listed(view.get("assetlabels")), *listed(view.asset("observations")), *listed(view.get("observations"))]
    return [text(one, 128).lower().replace(" ", "_") for one in said]


def _exposed(view: View) -> bool | None:
    if _EXPOSED & set(_labels_of_asset(view)):
        return True
    facing = view.get("internetfacing", "isinternetfacing")
    if facing is None:
        facing = view.asset("isinternetfacing", "internetfacing")
    if isinstance(facing, bool):
        return facing
    exposure = text(view.get("exposure") or view.asset("exposure"), 64).lower()
    if exposure in ("none", "private", "internal"):
        return False
    return True if "public" in exposure or "internet" in exposure else None


def _data_classes(view: View) -> tuple[str, ...]:
    found = [one for one in _labels_of_asset(view) if one in _DATA]
    reason = text(view.asset("detectedcrownjewelreason"), 500)
    if reason.lower().startswith("data:"):
        found.append(reason[5:].strip())
    return tuple(dict.fromkeys(found))


def _impact(view: View) -> str:
    score = integer(view.asset("detectedcrownjewelscore") or view.get("crownjewelscore"))
    if not score:
        return "crown jewel" if view.get("iscrownjewel", "crownjewel") is True else ""
    return f"crown jewel score {score}"


def _controls(view: View) -> tuple[Control, ...]:
    found: list[Control] = []
    for one in listed(view.get("relatedcompliances")):
        if standard := text(one, 512):
            found.append(Control(standard=standard))
            continue
        inner = obj(one)
        standard = text(inner.get("framework") or inner.get("framework_name") or inner.get("name"), 512)
        if standard:
            requirement = text(inner.get("section") or inner.get("control") or inner.get("test_name"), 512)
            found.append(Control(standard=standard, requirement=requirement))
    return tuple(dict.fromkeys(found))


def _hints(view: View, resource: Resource) -> tuple[OwnerHint, ...]:
    said = [*owner_pairs(resource.tags, "tag"), *owners(view)]
    return tuple(OwnerHint(kind=kind, value=value) for kind, value in dict.fromkeys(said))


def _texts(view: View, advice: Any) -> list[Any]:
    risk = obj(view.get("riskfindings"))
    cves = [obj(one).get("cvss_source_link") for one in seq(obj(risk.get("cves")).get("top_cves"))]
    old = [obj(one).get("source_link") for one in seq(obj(view.get("findings")).get("cve"))]
    return [advice, *cves, *old, obj(risk.get("package")).get("origin_url")]


def _url(view: View, ref: str) -> str:
    own = text(view.get("uiurl", "alerturl"), 2000)
    if own.startswith("https://"):
        return own
    app = text(view.raw.get(APP_MARK), 200)
    return f"{app if app.startswith('https://') else APP}/alerts/{ref}" if ALERT_REF.fullmatch(ref) else ""


def _console(view: View, resource: Resource) -> str:
    own = text(view.asset("consoleurllink") or view.get("consoleurllink"), 2000)
    return own if own.startswith("https://") else console_url(resource.uid)


def _tickets(configuration: Mapping[str, Any], view: View) -> tuple[str, ...]:
    said = (
        text(configuration.get("jira_issue_link"), 1000) or text(configuration.get("jira_issue"), 200),
        text(configuration.get("snow_incident_link") or configuration.get("snow_incident"), 1000),
        text(view.get("jiraissuelink"), 1000) or text(view.get("jiraissue"), 200),
    )
    return tuple(dict.fromkeys(one for one in said if one))
