"""The company's problems as Wiz would tell of them: nodes of its API in full, and webhook bodies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bot.sandbox.vendors.company import Problem

ISSUES, CONFIGURATION, VULNERABILITIES, DETECTIONS = (
    "issuesV2", "configurationFindings", "vulnerabilityFindings", "detections",
)  # fmt: skip
_TYPES = {
    "s3-bucket": ("BUCKET", "bucket"), "ec2-instance": ("VIRTUAL_MACHINE", "virtualMachine"),
    "security-group": ("FIREWALL", "securityGroup"), "ebs-snapshot": ("SNAPSHOT", "snapshot"),
    "rds-instance": ("DB_SERVER", "rds"), "rds-snapshot": ("SNAPSHOT", "rdsSnapshot"), "sqs-queue": ("QUEUE", "sqs"),
    "sns-topic": ("MESSAGING_SERVICE", "sns"), "iam-user": ("USER_ACCOUNT", "user"), "ami": ("VM_IMAGE", "ami"),
    "kms-key": ("ENCRYPTION_KEY", "kmsKey"),
}  # fmt: skip


@dataclass
class Said:
    """What people and robots did to an issue in Wiz."""

    status: str = ""
    reason: str | None = None
    at: datetime | None = None
    notes: list[dict[str, Any]] = field(default_factory=list)


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def roots(problem: Problem) -> tuple[str, ...]:
    """In which listings a problem stands."""
    if problem.kind == "vulnerability":
        return (VULNERABILITIES,)
    if problem.kind == "threat":
        return (ISSUES, DETECTIONS)
    return (ISSUES, CONFIGURATION) if problem.exposed else (CONFIGURATION,)


def identity(root: str, problem: Problem) -> str:
    return problem.uuid(f"wiz/{root}")


def state(problem: Problem, said: Said | None) -> tuple[str, str | None, datetime]:
    """(status, resolution reason, when it became so); the graph's own change is stronger than people's older word."""
    since = problem.status_changed_at
    if said is not None and said.status and said.at is not None and said.at >= since:
        return said.status, said.reason, said.at
    if problem.status == "resolved":
        return "RESOLVED", "ISSUE_FIXED", since
    return "OPEN", said.reason if said else None, since  # the reason stays after a reopen


def _project(problem: Problem) -> list[dict[str, Any]]:
    team = problem.tags.get("team")
    if not team:
        return []
    impact = "HBI" if problem.tags.get("env") == "prod" else "LBI"
    return [{"id": f"project-{team}", "name": team.title(), "slug": team, "businessUnit": "Acme",
             "riskProfile": {"businessImpact": impact}, "securityChampions": [],
             "projectOwners": [{"id": team, "name": team.title(), "email": f"{team}@acme.example"}]}]  # fmt: skip


def _categories(problem: Problem) -> list[dict[str, Any]]:
    framework = {"id": "wf-id-1", "name": "Wiz"}
    category = {"id": "wct-id-1", "name": problem.resource_type, "framework": framework}
    return [{"id": "wsct-id-1", "title": problem.rule, "category": category}]


def issue(problem: Problem, said: Said | None) -> dict[str, Any]:
    status, reason, since = state(problem, said)
    kind, native = _TYPES[problem.resource_type]
    threat = problem.kind == "threat"
    rule = {
        "__typename": "CloudEventRule" if threat else "Control",
        "id": f"{'cer' if threat else 'wc'}-{problem.rule}",
        "name": problem.title,
        "description": f"**{problem.title}** on `{problem.resource_name}`.",
        "resolutionRecommendation": problem.fix,
        "risks": ["EXTERNAL_EXPOSURE"] if problem.exposed else [],
        "securitySubCategories": _categories(problem),
        "sourceType": "CLOUD_EVENTS",
        "type": "BUILT_IN",
    }
    return {
        "__typename": "Issue",
        "id": identity(ISSUES, problem),
        "type": "THREAT_DETECTION" if threat else "TOXIC_COMBINATION",
        "status": status,
        "severity": problem.severity.upper(),
        "createdAt": iso(problem.first_seen),
        "updatedAt": iso(max(problem.changed_at, since)),
        "statusChangedAt": iso(since),
        "dueAt": None,
        "resolvedAt": iso(since) if status == "RESOLVED" else None,
        "resolutionReason": reason,
        "rejectionExpiredAt": None,
        "sourceRule": rule,
        "sourceRules": [rule],
        "projects": _project(problem),
        "entitySnapshot": {
            "id": problem.resource_uuid("wiz"),
            "type": kind,
            "nativeType": native,
            "name": problem.resource_name,
            "status": "Active",
            "cloudPlatform": "AWS",
            "cloudProviderURL": "",
            "providerId": problem.resource_arn,
            "externalId": problem.resource_arn,
            "region": problem.region or None,
            "resourceGroupExternalId": "",
            "subscriptionExternalId": problem.account,
            "subscriptionName": problem.account_name,
            "subscriptionTags": {},
            "tags": dict(problem.tags),
        },
        "serviceTickets": [],
        "notes": list(said.notes) if said else [],
        "note": "",
    }


def configuration(problem: Problem, said: Said | None, scanned: datetime) -> dict[str, Any]:
    kind, native = _TYPES[problem.resource_type]
    fixed = problem.status == "resolved"
    return {
        "__typename": "ConfigurationFinding",
        "id": identity(CONFIGURATION, problem),
        "name": problem.title,
        "targetExternalId": problem.resource_arn,
        "targetObjectProviderUniqueId": problem.resource_uuid("wiz"),
        "deleted": False,
        "firstSeenAt": iso(problem.first_seen),
        "analyzedAt": iso(scanned),
        "updatedAt": iso(problem.changed_at),
        "severity": problem.severity.upper(),
        "result": "PASS" if fixed else "FAIL",
        "status": "RESOLVED" if fixed else "OPEN",
        "remediation": None,
        "resource": {
            "id": problem.resource_uuid("wiz"),
            "providerId": problem.resource_arn,
            "name": problem.resource_name,
            "nativeType": native,
            "type": kind,
            "region": problem.region or None,
            "cloudPlatform": "AWS",
            "subscription": {
                "id": f"subscription-{problem.account}",
                "name": problem.account_name,
                "externalId": problem.account,
                "cloudProvider": "AWS",
            },
            "projects": _project(problem),
            "tags": [{"key": key, "value": value} for key, value in problem.tags.items()],
        },
        "rule": {
            "id": f"rule-{problem.rule}",
            "shortId": problem.rule.upper(),
            "graphId": f"graph-{problem.rule}",
            "name": problem.title,
            "description": f"This rule checks whether: {problem.title}.",
            "remediationInstructions": problem.fix,
            "functionAsControl": False,
        },
        "securitySubCategories": _categories(problem),
        "ignoreRules": None,
    }


def vulnerability(problem: Problem, said: Said | None, scanned: datetime) -> dict[str, Any]:
    fixed = problem.status == "resolved"
    score = problem.cvss or 0.0
    return {
        "__typename": "VulnerabilityFinding",
        "id": identity(VULNERABILITIES, problem),
        "portalUrl": f"https://app.wiz.io/explorer/vulnerability-findings#{identity(VULNERABILITIES, problem)}",
        "name": problem.cve,
        "CVEDescription": f"A weakness in {problem.package}.",
        "description": f"The package `{problem.package}` version `{problem.version}` is vulnerable to `{problem.cve}`.",
        "detailedName": problem.package,
        "version": problem.version,
        "fixedVersion": problem.fixed_version or None,
        "detectionMethod": "PACKAGE",
        "locationPath": None,
        "link": f"https://nvd.nist.gov/vuln/detail/{problem.cve}",
        "remediation": f"yum update {problem.package}" if problem.fixed_version else None,
        "severity": problem.severity.upper(),
        "vendorSeverity": problem.severity.upper(),
        "CVSSSeverity": "CRITICAL" if score >= 9 else "HIGH",
        "score": score,
        "cnaScore": None,
        "hasExploit": exploitable(problem),
        "hasCisaKevExploit": problem.kev,
        "epssPercentile": round(100 * (problem.epss or 0.0), 1),
        "epssProbability": problem.epss,
        "validatedInRuntime": None,
        "status": "RESOLVED" if fixed else "OPEN",
        "resolutionReason": "ISSUE_FIXED" if fixed else None,
        "firstDetectedAt": iso(problem.first_seen),
        "lastDetectedAt": iso(scanned),
        "resolvedAt": iso(problem.changed_at) if fixed else None,
        "projects": _project(problem),
        "ignoreRules": None,
        "vulnerableAsset": {
            "__typename": "VulnerableAssetVirtualMachine",
            "id": problem.resource_uuid("wiz"),
            "type": "VIRTUAL_MACHINE",
            "name": problem.resource_name,
            "region": problem.region,
            "providerUniqueId": problem.resource_arn,
            "cloudProviderURL": "",
            "cloudPlatform": "AWS",
            "status": "Active",
            "subscriptionName": problem.account_name,
            "subscriptionExternalId": problem.account,
            "subscriptionId": f"subscription-{problem.account}",
            "tags": dict(problem.tags),
            "hasLimitedInternetExposure": problem.exposed,
            "hasWideInternetExposure": problem.exposed,
            "operatingSystem": "Linux",
            "ipAddresses": [],
            "nativeType": "virtualMachine",
            "computeInstanceGroup": None,
        },
    }


def exploitable(problem: Problem) -> bool:
    return problem.kev or (problem.epss or 0.0) > 0.5


def detection(problem: Problem) -> dict[str, Any]:
    uid = problem.resource_uuid("wiz")
    short = problem.resource_arn.rpartition("/")[2]
    place = {"id": uid, "type": "VIRTUAL_MACHINE", "name": problem.resource_name, "externalId": short}
    return {
        "__typename": "Detection",
        "id": identity(DETECTIONS, problem),
        "type": "GENERATED_THREAT",
        "severity": problem.severity.upper(),
        "origins": ["WIZ_SENSOR"],
        "createdAt": iso(problem.first_seen),
        "updatedAt": iso(problem.first_seen + timedelta(minutes=5)),
        "description": f'{problem.title} on :cloud-resource[{problem.resource_name}]{{resourceId="{uid}"}}',
        "primaryResource": {**place, "region": problem.region},
        "primaryActor": {"id": "", "name": None, "type": "UNKNOWN"},
        "actors": None,
        "resources": [{**place, "providerUniqueId": problem.resource_arn, "region": problem.region}],
        "cloudAccounts": [{"id": f"subscription-{problem.account}", "name": problem.account_name,
                           "externalId": problem.account, "cloudProvider": "AWS"}],
        "issue": {"id": identity(ISSUES, problem)},
        "triggeringEvents": {"totalCountV2": 1, "nodes": [
            {"__typename": "CloudEvent", "id": problem.uuid("wiz/event"), "description": problem.title}]},
        "ruleMatch": {"rule": {"id": f"tdr-{problem.rule}", "name": problem.title, "builtin": True,
                               "securitySubCategories": _categories(problem)}},
    }  # fmt: skip


def webhook_body(problem: Problem, said: Said | None, trigger: str) -> dict[str, Any]:
    """The default template of an automation rule on issues."""
    node = issue(problem, said)
    place: Mapping[str, Any] = node["entitySnapshot"]
    return {
        "trigger": {"source": "ISSUES", "type": trigger, "ruleId": "automation-1", "ruleName": "to chat"},
        "issue": {
            "id": node["id"],
            "status": node["status"],
            "severity": node["severity"],
            "created": node["createdAt"].replace("T", " ").replace("Z", "000"),
            "projects": ", ".join(one["name"] for one in node["projects"]),
        },
        "resource": {
            "id": "",
            "name": place["name"],
            "type": place["nativeType"],
            "cloudPlatform": place["cloudPlatform"],
            "subscriptionId": place["subscriptionExternalId"],
            "subscriptionName": place["subscriptionName"],
            "region": place["region"] or "",
            "status": "",
            "cloudProviderURL": "",
        },
        "control": {
            "id": node["sourceRule"]["id"],
            "name": node["sourceRule"]["name"],
            "description": node["sourceRule"]["description"],
            "severity": node["severity"],
            "risks": node["sourceRule"]["risks"],
        },
    }
