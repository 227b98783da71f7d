"""The mapping of detections (Wiz Defend), and of findings of kinds without a mapping of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.domain.findings import Control, Finding, FindingClass
from connectors.console import console_url
from connectors.markup import commands
from connectors.text import environment_of, obj, seq, text, texts, when
from connectors.wiz.kinds import CLOSED, distinct, events_of, resource_of, result_of, scope
from connectors.wiz.words import (
    DETECTION,
    OTHER,
    SOURCE,
    account,
    checked,
    controls,
    exposed,
    impact,
    issue_url,
    link,
    owners,
    projects,
    references,
    said_plainly,
    severity,
)

# --- detections ------------------------------------------------------------------------------------------------------


def detection(uid: str, node: Mapping[str, Any]) -> Finding:
    rule = obj(obj(node.get("ruleMatch")).get("rule"))
    named = obj(node.get("primaryResource"))
    all_of = [one for one in seq(node.get("resources")) if isinstance(one, dict)]
    all_of += [one for one in seq(obj(node.get("triggeringEvent")).get("resources")) if isinstance(one, dict)]
    twin = next((one for one in all_of if one.get("id") and one.get("id") == named.get("id")), {})
    # the primary one is short (often only an id); the list has the provider's id of the same resource
    main = {**{k: v for k, v in twin.items() if v}, **{k: v for k, v in named.items() if v}}
    main = main or (all_of[0] if all_of else {})
    resource = resource_of(main)
    clouds = [one for one in seq(node.get("cloudAccounts")) if isinstance(one, dict)]
    cloud = obj(main.get("cloudAccount")) or (clouds[0] if clouds else {})
    platform = cloud.get("cloudProvider") or cloud.get("cloudPlatform")
    where = account(platform, resource.uid, cloud.get("externalId"), cloud.get("name"))
    level, level_word = severity(node.get("severity"))
    result, result_word = result_of(DETECTION, node)
    parent = obj(node.get("issue"))
    belongs = [*projects(parent.get("projects")), *projects(node.get("projects"))]
    for one in clouds:
        belongs += projects(one.get("linkedProjects"))
    events = [
        said for one in events_of(node.get("triggeringEvents")) if (said := said_plainly(obj(one).get("description")))
    ]
    if said := said_plainly(obj(node.get("triggeringEvent")).get("description")):
        events.append(said)
    title = text(rule.get("name"), 1000) or text(node.get("title"), 1000) or text(node.get("name"), 1000)
    what = said_plainly(node.get("description"))
    techniques = (*texts(node.get("mitreTactics")), *texts(node.get("mitreTechniques")))
    threat = text(parent.get("id"), 128) or text(node.get("threatId"), 128)
    seen = when(node.get("endedAt")) or when(obj(node.get("timeframe")).get("end")) or when(node.get("updatedAt"))
    tags = resource.tags
    return Finding(
        source=SOURCE,
        uid=uid,
        product="Wiz Defend",
        class_uid=FindingClass.DETECTION,
        title=title or (what[:200] if what else f"Wiz detection {uid}"),
        desc=what or "; ".join(dict.fromkeys(events))[:4000],
        rule_uid=text(rule.get("id"), 512) or text(node.get("tdrId"), 512) or title,
        types=tuple(part for part in (text(node.get("type"), 64), *texts(node.get("origins")),
                                      text(node.get("tdrSource"), 64)) if part),
        severity=level,
        severity_word=level_word,
        result=result,
        result_word=result_word,
        status_reason=text(parent.get("resolutionReason"), 200),
        first_seen=when(node.get("startedAt")) or when(obj(node.get("timeframe")).get("start"))
        or when(node.get("createdAt")),
        last_seen=seen or when(node.get("createdAt")),
        modified=when(node.get("updatedAt")) or when(node.get("createdAt")),
        due=when(parent.get("dueAt")),
        resource=resource,
        other_resources=distinct([resource_of(one) for one in all_of], resource.uid),
        account=where,
        environment_hint=environment_of(tags),
        internet_exposed=exposed(main),
        business_impact=impact(belongs),
        controls=(*controls(rule.get("securitySubCategories")),
                  *(Control(standard="MITRE ATT&CK", requirement=one) for one in techniques)),
        owner_hints=owners(tags, belongs),
        risk="; ".join(dict.fromkeys(events))[:4000] if what else "",
        references=references(node.get("description")),
        url=issue_url(threat, node.get("threatURL"), parent.get("url"), node.get("detectionUrl"), node.get("url")),
        console_url=link(main.get("cloudProviderUrl"), main.get("cloudProviderURL")) or console_url(resource.uid),
        extra={
            "scope": scope(DETECTION, level_word),
            "kind": DETECTION,
            "issue": threat,
            "platform": text(platform, 64),
            "entity_type": text(main.get("type"), 128),
            "actors": [said for one in (obj(node.get("primaryActor")), *seq(node.get("actors")))
                       if (said := text(obj(one).get("name"), 256))][:10],
        },
    )  # fmt: skip


# --- anything else with a severity on a resource ---------------------------------------------------------------------


def other(uid: str, node: Mapping[str, Any]) -> Finding:
    """Findings of kinds without a mapping of their own (secrets, excessive access, data, end of life …)."""
    rule = obj(node.get("rule")) or obj(node.get("ruleMatch"))
    place = next((found for name in ("resource", "graphEntity", "asset", "cloudResource", "entity", "target",
                                     "primaryResource") if (found := obj(node.get(name)))), {})  # fmt: skip
    resource = resource_of(place)
    held = obj(place.get("subscription")) or obj(place.get("cloudAccount")) or obj(node.get("cloudAccount"))
    level, level_word = severity(node.get("severity"))
    result, result_word = result_of(OTHER, node)
    if "result" in node and "status" not in node:
        result, result_word = checked(node.get("result"), None, None)
    belongs = projects(node.get("projects")) or projects(place.get("projects"))
    title = text(node.get("name"), 1000) or text(rule.get("name"), 1000) or text(node.get("type"), 200)
    advice = (
        text(node.get("remediation"))
        or text(node.get("remediationInstructions"))
        or text(rule.get("remediationInstructions"))
    )
    seen = when(node.get("lastSeenAt")) or when(node.get("lastDetectedAt")) or when(node.get("analyzedAt"))
    return Finding(
        source=SOURCE,
        uid=uid,
        product="Wiz",
        class_uid=FindingClass.DETECTION,
        title=title or f"Wiz finding {uid}",
        desc=said_plainly(node.get("description")),
        rule_uid=text(rule.get("shortId"), 128) or text(rule.get("id"), 512) or text(node.get("type"), 200) or title,
        types=tuple(part for part in (text(node.get("type"), 64),) if part),
        severity=level,
        severity_word=level_word,
        result=result,
        result_word=result_word,
        status_reason=text(node.get("resolutionReason"), 200),
        first_seen=when(node.get("firstSeenAt")) or when(node.get("firstDetectedAt")) or when(node.get("createdAt")),
        last_seen=seen or when(node.get("updatedAt")),
        modified=when(node.get("updatedAt")) or when(node.get("statusChangedAt")) or seen,
        due=when(node.get("dueAt")),
        resolved=when(node.get("resolvedAt")) if result in CLOSED else None,
        resource=resource,
        account=account(
            held.get("cloudProvider") or place.get("cloudPlatform"),
            resource.uid,
            held.get("externalId") or place.get("subscriptionExternalId"),
            held.get("name") or place.get("subscriptionName"),
        ),
        environment_hint=environment_of(resource.tags),
        internet_exposed=exposed(place),
        business_impact=impact(belongs),
        controls=controls(node.get("securitySubCategories"), rule.get("securitySubCategories")),
        owner_hints=owners(resource.tags, belongs),
        remediation=said_plainly(advice),
        remediation_cli=commands(advice),
        references=references(node.get("description"), advice),
        url=link(node.get("portalUrl"), node.get("url")),
        console_url=link(place.get("cloudProviderURL")) or console_url(resource.uid),
        extra={"scope": scope(OTHER, level_word), "kind": OTHER, "entity_type": text(place.get("type"), 128)},
    )
