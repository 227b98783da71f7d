"""An alert of the platform -> our Finding: of ``/v2/alert`` and ``/alert``, the webhook's templates, a SOAR's context,
a row of the console's CSV. Every spelling of a member's name counts (``words.fold``).

Times: ``firstSeen`` is the first ever, ``alertTime`` the last opening, ``lastSeen`` the last change of status (not the
last scan), ``lastUpdated`` any change. Prisma does not say when it last saw the problem, so ``last_seen`` stays empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
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
    Sighting,
    SourceStatus,
    Vulnerability,
)
from connectors.console import console_url
from connectors.prisma_cloud.words import (
    Folded,
    cloud_of,
    filled,
    first,
    fold,
    link,
    links,
    listed,
    moment,
    plain,
    provider_id,
    said,
    severity_of,
    tags_in,
    yes,
)
from connectors.text import content_hash, environment_of, fraction, obj, owner_pairs, seq, text

SOURCE = "prisma_cloud"
CONSOLE = "_console"  # set by our poller: the console of the tenant's stack
DEFAULT_CONSOLE = "https://app.prismacloud.io"
_STATUS = {
    "open": SourceStatus.NEW,
    "pendingresolution": SourceStatus.IN_PROGRESS,
    "dismissed": SourceStatus.SUPPRESSED,
    "snoozed": SourceStatus.SUPPRESSED,
    "resolved": SourceStatus.RESOLVED,
}
_GONE = frozenset({"RESOURCE_DELETED", "ACCOUNT_DELETED"})
_COMPLIANCE = frozenset({"config", "iam", "data"})
_CVE = re.compile(r"\bCVE-\d{4}-\d{4,}\b")
_EXPOSED = re.compile(
    r"internet[- ](?:reachable|exposed|facing)|(?:exposed|reachable|open|accessible) (?:to|from) (?:the )?internet"
    r"|publicly (?:accessible|readable|writ[e]?able|exposed|available)|0\.0\.0\.0/0|::/0",
    re.I,
)
# What moves without meaning anything, what is hashed apart, and what only one of two calls has (alertRules: the list of
# alerts never has it, one alert asked for by its id has).
_NOT_HASHED = frozenset(
    {
        "history", "lastupdated", "alertcount", "policy", "resource", "metadata", "sentts", "savesearchid",
        "alertrules", "alertadditionalinfo", "investigateoptions",
    }
)  # fmt: skip
_POLICY_NOT_HASHED = frozenset(
    {"lastmodifiedon", "lastmodifiedby", "createdon", "createdby", "rulelastmodifiedon", "rule"}
)
_RESOURCE_NOT_HASHED = frozenset({"data", "resourcets", "resourceconfigjsonavailable", "resourcedetailsavailable"})
_DATA_HASHED = ("tags", "labels", "selfLink", "tagSet")


def sight(raw: Mapping[str, Any]) -> Sighting:
    """Hashes all members but those that move by themselves; of the raw configuration only tags and own ids."""
    alert = fold(raw)
    policy, resource = fold(alert.get("policy")), fold(alert.get("resource"))
    data = obj(resource.get("data"))
    content = content_hash(
        (
            {k: v for k, v in alert.items() if k not in _NOT_HASHED},
            {k: v for k, v in policy.items() if k not in _POLICY_NOT_HASHED},
            {k: v for k, v in resource.items() if k not in _RESOURCE_NOT_HASHED},
            {k: v for k, v in data.items() if k in _DATA_HASHED or str(k).lower().endswith("arn")},
            [] if policy else alert.get("policy"),
            [] if resource else alert.get("resource"),
        )
    )
    closed = _result(alert)[0] in (SourceStatus.RESOLVED, SourceStatus.DELETED)
    return Sighting(uid=alert_id(alert), content=content, closed=closed)


def alert_id(alert: Folded) -> str:
    found = first(alert, "alertid", "id", "prismacloudalertid", limit=512)
    if not found:
        raise BadInput(
            "not an alert of Prisma Cloud: it has no id.", mend="Give an answer of /v2/alert or /alert/{id}."
        )
    return found


def to_finding(raw: Mapping[str, Any]) -> Finding:
    alert = fold(raw)
    uid = alert_id(alert)
    policy, resource = fold(alert.get("policy")), _level(alert.get("resource"))
    account_part = fold(alert.get("account"))
    if isinstance(alert.get("last"), dict):  # Elastic's names, as below
        last = fold(alert["last"])
        alert |= {"lastseen": last.get("seen"), "lastupdated": last.get("updated"), "alerttime": alert.get("time")}
    kind = (first(policy, "policytype", "type", limit=64) or first(alert, "policytype", limit=64)).lower()
    severity, severity_word = severity_of(
        first(policy, "severity", limit=64) or first(alert, "severity", "policyseverity", limit=64)
    )
    name = first(policy, "name", limit=1000) or first(
        alert, "policyname", "title", "alertname", "name", "summary", "message", limit=1000
    )
    result, word = _result(alert)
    account = _account(alert, resource, account_part)
    where = _resource(alert, resource, account)
    advice = first(policy, "recommendation", limit=64_000) or first(
        alert, "policyrecommendation", "recommendation", limit=64_000
    )
    remediation = fold(policy.get("remediation")) or fold(alert.get("remediation"))
    hints = _owners(alert, resource, where.tags)
    reason = first(alert, "reason", "resolutionreason", limit=128)
    risk = fold(fold(alert.get("riskdetail")).get("riskscore"))
    desc = first(policy, "description", limit=64_000) or first(
        alert, "policydescription", "description", "message", limit=64_000
    )
    changed = moment(alert.get("lastseen"))
    return Finding(
        source=SOURCE,
        uid=uid,
        product="Prisma Cloud",
        class_uid=_class(alert, policy, kind),
        title=plain(name, 1000) or f"Prisma Cloud alert {uid}",
        desc=plain(desc),
        # Without any policy it must not be grouped with other alerts that lack theirs.
        rule_uid=first(alert, "policyid", limit=512)
        or first(policy, "policyid", "id", limit=512)
        or name[:512]
        or f"alert:{uid}",
        types=tuple(t for t in dict.fromkeys((kind, *listed(policy.get("policysubtypes")))) if t),
        severity=severity,
        severity_word=severity_word,
        score=fraction(risk.get("score"), 0, 1_000_000),
        result=result,
        result_word=word,
        status_reason=_reason(alert, reason),
        suppressed_until=moment(alert.get("dismissaluntilts")) if result is SourceStatus.SUPPRESSED else None,
        first_seen=_any_time(alert, "firstseen", "alerttime", "alertts", "time"),
        modified=_any_time(alert, "lastupdated", "lastseen", "alerttime", "alertts", "time"),
        resolved=(moment(alert.get("resolvedon")) or changed)
        if result in (SourceStatus.RESOLVED, SourceStatus.DELETED)
        else None,
        resource=where,
        account=account,
        environment_hint=environment_of(where.tags),
        internet_exposed=True if _exposed(alert, policy, kind, name) else None,
        data_classes=_data_classes(alert, resource),
        business_impact=", ".join(_groups(alert, resource)),
        vulnerabilities=_vulnerabilities(alert, name),
        controls=_controls(policy, alert),
        owner_hints=hints,
        remediation=plain(advice),
        remediation_cli=_command(alert, remediation, where, account),
        references=tuple(u for u in links(advice, desc) if u),
        url=link(alert.get("callbackurl"))
        or link(alert.get("alerturl"))
        or deep_link(uid, text(raw.get(CONSOLE), 500) if isinstance(raw.get(CONSOLE), str) else ""),
        console_url=_console(alert, resource, where),
        extra=_extra(alert, policy, resource, remediation, account, uid, kind, reason),
    )


def _level(value: Any) -> Folded:
    """A resource under our names, also as Elastic nests them (``account.id``, ``region.id``, ``cloud.type``)."""
    found = fold(value)
    account, region, cloud = fold(found.get("account")), fold(found.get("region")), fold(found.get("cloud"))
    if account:
        found |= {"account": account.get("value") or account.get("name"), "accountid": account.get("id")}
    if region:
        found |= {"region": region.get("value"), "regionid": region.get("id")}
    if cloud:
        groups = fold(cloud.get("account"))
        found |= {
            "cloudtype": cloud.get("type"),
            "cloudservicename": cloud.get("servicename"),
            "cloudaccountgroups": groups.get("groups"),
            "cloudaccountowners": groups.get("owners"),
        }
    if "apiname" in found:
        found.setdefault("resourceapiname", found["apiname"])
    return found


def scope_of(raw: Mapping[str, Any]) -> str:
    """What a whole reading of alerts answers for: one account."""
    alert = fold(raw)
    return _scope(_account(alert, _level(alert.get("resource")), fold(alert.get("account"))).uid)


def _scope(account: str) -> str:
    return f"prisma_cloud:alerts:{account}"


def deep_link(uid: str, console: str = "") -> str:
    """The alert in Prisma's console (format seen in two receivers of its webhooks)."""
    filters = json.dumps({"alert.id": [uid]}, separators=(",", ":"))
    return f"{console or DEFAULT_CONSOLE}/alerts/overview?viewId=default&filters={quote(filters, safe='')}"


def _any_time(alert: Folded, *names: str) -> Any:
    return next((t for name in names if (t := moment(alert.get(name)))), None)


def _result(alert: Folded) -> tuple[SourceStatus, str]:
    word = first(alert, "status", "alertstatus", "state", limit=64)
    if not word:
        # A row of the CSV export tells it by its dates; a webhook without a status is about an open alert.
        if moment(alert.get("resolvedon")):
            word = "resolved"
        elif moment(alert.get("dismissedon")):
            word = "dismissed"
        else:
            return SourceStatus.NEW, ""
    status = _STATUS.get("".join(c for c in word.lower() if c.isalpha()), SourceStatus.OTHER)
    reason = first(alert, "reason", "resolutionreason", limit=128)
    if status is SourceStatus.RESOLVED and reason.upper().replace(" ", "_") in _GONE:
        return SourceStatus.DELETED, f"{word}/{reason}"
    return status, word


def _class(alert: Folded, policy: Folded, kind: str) -> FindingClass:
    if kind in _COMPLIANCE:
        return FindingClass.COMPLIANCE
    if kind == "workload_vulnerability":
        return FindingClass.VULNERABILITY
    if kind == "network":
        # Two things have this type: a path that is open (a rule of posture), and traffic that was seen.
        seen = alert.get("connectiondetails") or yes(alert.get("networkanomaly")) is True or alert.get("anomaly")
        return FindingClass.DETECTION if seen or "network_event" in listed(policy.get("policysubtypes")) \
            else FindingClass.COMPLIANCE  # fmt: skip
    return FindingClass.COMPLIANCE if not kind else FindingClass.DETECTION


def _account(alert: Folded, resource: Folded, nested: Folded) -> Account:
    name = first(resource, "account", "accountname", limit=512) or first(
        alert, "accountname", "cloudaccountname", limit=512
    )
    groups = _groups(alert, resource)
    ancestors = listed(resource.get("cloudaccountancestors") or alert.get("accountancestors"))
    return Account(
        uid=first(resource, "accountid", limit=512)
        or first(alert, "accountid", "cloudaccountid", limit=512)
        or first(nested, "id", "accountid", limit=512),
        name=name or first(nested, "name", limit=512) or said(alert.get("account"), 512),
        provider=cloud_of(
            first(resource, "cloudtype", limit=64)
            or first(alert, "cloudtype", "cloud", "provider", limit=64)
            or first(nested, "cloudtype", limit=64)
        ),
        labels={k: v for k, v in (("groups", ", ".join(groups)), ("ancestors", ", ".join(ancestors))) if v},
    )


def _groups(alert: Folded, resource: Folded) -> tuple[str, ...]:
    return listed(resource.get("cloudaccountgroups") or alert.get("accountgroups") or alert.get("cloudaccountgroups"))


def _resource(alert: Folded, resource: Folded, account: Account) -> Resource:
    own = first(resource, "id", "resourceid", limit=2000) or first(alert, "resourceid", limit=2000)
    name = first(resource, "name", "resourcename", limit=1000) or first(alert, "resourcename", limit=1000)
    region = first(resource, "regionid", limit=128) or first(alert, "resourceregionid", "regionid", limit=128)
    api = first(resource, "resourceapiname", limit=256) or first(alert, "resourceapiname", limit=256)
    rrn = first(resource, "rrn", limit=4000) or first(alert, "rrn", "resourcerrn", limit=4000)
    data = resource.get("data") if isinstance(resource.get("data"), dict) else alert.get("resourceconfig")
    members = obj(data)
    uid = provider_id(
        own, name, cloud=account.provider, account=account.uid, region=region, api=api, rrn=rrn, data=members
    )
    own_tags = (
        () if account.provider == "gcp" or "items" in obj(members.get("tags")) else members.get("tags")
    )  # Google's are network tags, its labels are tags
    return Resource(
        uid=uid or account.uid or "unknown",
        name=name or own,
        type=api or first(resource, "resourcetype", "type", limit=256) or first(alert, "resourcetype", limit=256),
        region=region
        or first(resource, "region", limit=128)
        or first(alert, "resourceregion", "region", "cloudregion", limit=128),
        tags=tags_in(
            resource.get("resourcetags"), resource.get("tags"), alert.get("tags"), alert.get("resourcetags"),
            own_tags, members.get("labels"), members.get("tagSet"),
        ),
    )  # fmt: skip


def _reason(alert: Folded, reason: str) -> str:
    by = first(alert, "dismissedby", limit=256)
    note = first(alert, "dismissalnote", "alertdismissalnote", "dismissalreason", limit=2000)
    parts = [reason, f"by {by}" if by else ""]
    return ": ".join(part for part in (" ".join(p for p in parts if p), note) if part)


def _exposed(alert: Folded, policy: Folded, kind: str, name: str) -> bool:
    marks = {w.lower() for w in (*listed(policy.get("findingtypes")), *listed(policy.get("policysubtypes")))}
    return (
        bool(marks & {"internet_exposure", "internet_exposed", "reachable_from_the_internet"})
        or (kind == "network" and "anomal" not in name.lower() and not alert.get("anomaly"))
        or _EXPOSED.search(name) is not None
    )


def _data_classes(alert: Folded, resource: Folded) -> tuple[str, ...]:
    info = {**fold(resource.get("additionalinfo")), **fold(alert.get("additionalinfo"))}
    found: dict[str, None] = {}
    for place in (alert, info):
        for name in ("dataprofiles", "datapatterns", "objectclassification", "classification", "dataclassification"):
            found.update(dict.fromkeys(listed(place.get(name))))
    return tuple(found)


def _vulnerabilities(alert: Folded, name: str) -> tuple[Vulnerability, ...]:
    uids: dict[str, None] = dict.fromkeys(_CVE.findall(name))
    for one in ("cve", "cveid", "cves"):
        uids.update(dict.fromkeys(u for u in listed(alert.get(one)) if _CVE.fullmatch(u)))
    return tuple(Vulnerability(uid=uid) for uid in list(uids)[:50])


def _controls(policy: Folded, alert: Folded) -> tuple[Control, ...]:
    rows = seq(policy.get("compliancemetadata")) or seq(alert.get("compliancemetadata"))
    pairs: list[tuple[str, str]] = []
    for row in rows:
        if isinstance(row, dict) and isinstance(name := row.get("standardName"), str):  # nearly always: up to a hundred
            pairs.append((said(name, 256), said(row.get("sectionId") or row.get("requirementId"), 256)))
            continue
        one = fold(row)
        nested = [fold(one.get(name)) for name in ("standard", "section", "requirement")]
        standard = first(one, "standardname", "standard", limit=256) or first(nested[0], "name", limit=256)
        section = first(one, "sectionid", "requirementid", "requirementname", limit=256)
        if standard:
            pairs.append((standard, section or first(nested[1], "id", limit=256) or first(nested[2], "id", limit=256)))
    return _made(tuple(dict.fromkeys(pair for pair in pairs if pair[0])))


@lru_cache(maxsize=2048)
def _made(pairs: tuple[tuple[str, str], ...]) -> tuple[Control, ...]:
    """Kept: every alert of a policy has the same ones, up to some hundred."""
    return tuple(Control(standard=standard, requirement=requirement) for standard, requirement in pairs)


def _owners(alert: Folded, resource: Folded, tags: Mapping[str, str]) -> tuple[OwnerHint, ...]:
    pairs = owner_pairs(tags, "tag")
    pairs += [("account", w) for w in listed(resource.get("cloudaccountowners") or alert.get("accountowners"))]
    attribution = fold(alert.get("alertattribution"))
    if who := first(attribution, "resourcecreatedby", limit=512):
        pairs.append(("created_by", who))
    for event in seq(attribution.get("attributioneventlist"))[:20]:
        if who := first(fold(event), "username", limit=512):
            pairs.append(("changed_by", who))
    return tuple(OwnerHint(kind=k, value=v) for k, v in dict.fromkeys(pairs))


def _command(alert: Folded, remediation: Folded, resource: Resource, account: Account) -> str:
    done = first(alert, "alertremediationcli", "cliscript", limit=20_000) or first(
        remediation, "cli", "cliscript", limit=20_000
    )
    template = done or first(remediation, "cliscripttemplate", limit=20_000)
    if "${" not in template:
        return template
    region = resource.region if " " not in resource.region else ""
    last = resource.uid.rpartition("/")[2] or resource.uid
    values = {"resourcename": resource.name, "resourceid": last, "account": account.uid, "accountid": account.uid,
              "region": region, "regionid": region}  # fmt: skip
    return filled(template, values)


def _console(alert: Folded, resource: Folded, where: Resource) -> str:
    return link(resource.get("url")) or link(alert.get("resourceurl")) or console_url(where.uid)


def _extra(
    alert: Folded,
    policy: Folded,
    resource: Folded,
    remediation: Folded,
    account: Account,
    uid: str,
    kind: str,
    reason: str,
) -> dict[str, Any]:
    rules = [w for rule in seq(alert.get("alertrules"))[:50]
             if (w := first(fold(rule), "name", limit=256) if isinstance(rule, dict) else said(rule, 256))]  # fmt: skip
    if rule := first(alert, "alertrulename", limit=256):
        rules.append(rule)
    found = {
        "alert_id": uid,
        "policy_type": kind,
        "policy_labels": list(listed(policy.get("labels") or alert.get("policylabels"))),
        "alert_rules": list(dict.fromkeys(rules)),
        "reason": reason,
        "resource_id": first(resource, "id", "resourceid", limit=2000) or first(alert, "resourceid", limit=2000),
        "resource_type": first(resource, "resourcetype", limit=256) or first(alert, "resourcetype", limit=256),
        "service": first(resource, "cloudservicename", limit=256) or first(alert, "resourcecloudservice", limit=256),
        "rrn": first(resource, "rrn", limit=4000),
        "asset": first(resource, "unifiedassetid", limit=256),
        "cli_description": plain(
            first(remediation, "description") or first(alert, "alertremediationclidescription"), 2000
        ),
        "cli_impact": plain(first(remediation, "impact") or first(alert, "alertremediationimpact"), 2000),
        "remediable": yes(policy.get("remediable")),
        "dismissal_restricted": yes(policy.get("restrictalertdismissal")),
        "finding_types": list(listed(policy.get("findingtypes"))),
    }
    kept = {k: v for k, v in found.items() if v not in ("", None, [])}
    return kept | {"scope": _scope(account.uid)}
