"""What the simulated Prisma Cloud says: its objects, made of neutral problems, and how it reads a query."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from bot.sandbox.vendors.company import RULES, Problem

START_OF_TIME = datetime(2026, 1, 1, tzinfo=UTC)
POLICY_TYPES = {"posture": "config", "threat": "anomaly"}
_APIS = {
    "s3-bucket": ("aws-s3api-get-bucket-acl", "STORAGE_BUCKET", "Amazon S3"),
    "security-group": ("aws-ec2-describe-security-groups", "SECURITY_GROUP", "Amazon VPC"),
    "ec2-instance": ("aws-ec2-describe-instances", "INSTANCE", "Amazon EC2"),
    "ebs-snapshot": ("aws-ec2-describe-snapshots", "DISK_SNAPSHOT", "Amazon EC2"),
    "ami": ("aws-ec2-describe-images", "IMAGE", "Amazon EC2"),
    "rds-instance": ("aws-rds-describe-db-instances", "MANAGED_DATABASE", "Amazon RDS"),
    "rds-snapshot": ("aws-rds-describe-db-snapshots", "MANAGED_DATABASE_SNAPSHOT", "Amazon RDS"),
    "sqs-queue": ("aws-sqs-get-queue-attributes", "QUEUE", "Amazon SQS"),
    "sns-topic": ("aws-sns-get-topic-attributes", "TOPIC", "Amazon SNS"),
    "iam-user": ("aws-iam-list-users", "IAM_USER", "AWS IAM"),
    "kms-key": ("aws-kms-get-key-rotation-status", "KEY", "AWS KMS"),
}
_FILTERS = frozenset(
    {"timeRange.type", "alert.id", "alert.status", "policy.severity", "policy.type", "policy.id", "policy.name",
     "account.group", "cloud.account", "cloud.accountId", "cloud.type", "cloud.region", "resource.id", "resource.name"}
)  # fmt: skip
_CLOCKS = ("ALERT_OPENED", "ALERT_STATUS_UPDATED", "ALERT_UPDATED")
SORTS = frozenset({"alerttime", "firstseen", "lastseen", "id", "status", "resource.id"})
_COLUMNS = (
    "ASSET_ID", "ASSET_TYPE", "CVE_ID", "CVSS_BASE_SCORE", "EPSS_SCORE", "CISA_KEV", "EXPLOITABLE", "SEVERITY",
    "CLOUD_ACCOUNT_ID", "SERVICE_PROVIDER", "PACKAGE_NAME", "INSTALLED_VERSIONS", "FIX_VERSION", "PATCHABLE",
    "DISCOVERED_DATE", "INTERNET_EXPOSED",
)  # fmt: skip


def policy_of(problem: Problem, *, detailed: bool, restricted: bool = False) -> dict[str, Any]:
    rule = next(one for one in RULES if one.name == problem.rule)
    posture = rule.kind == "posture"
    known = {
        "policyId": policy_id(rule.name),
        "policyType": POLICY_TYPES[rule.kind],
        "systemDefault": True,
        "remediable": posture,
    }
    if not detailed:
        return known
    template = {
        "cliScriptTemplate": "aws fix ${resourceName} --region ${region}",
        "description": "Needs rights.",
        "actions": [],
    }
    return known | {
        "name": rule.title,
        "severity": problem.severity,  # may differ from its rule's: in life that would be another policy
        "description": f"{rule.title}.",
        "recommendation": rule.fix,
        "labels": [],
        "findingTypes": ["INTERNET_EXPOSURE"] if rule.exposed else [],
        "deleted": False,
        "restrictAlertDismissal": restricted,
        "rule": {"name": rule.name, "criteria": policy_id(rule.name), "parameters": {}, "type": "Config"},
        "complianceMetadata": [{"standardName": "Acme baseline", "requirementId": "1", "sectionId": rule.name}],
        **({"remediation": template} if posture else {}),
    }


def export(problems: list[Problem]) -> bytes:
    """The rows of the vulnerability export, 10,000 at most."""
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(_COLUMNS)
    for one in problems[:10_000]:
        known = "Y" if one.kev else "N"
        rows.writerow(
            (one.resource_uuid("prisma_cloud"), "host", one.cve, one.cvss, one.epss, known, known, one.severity,
             one.account, "aws", one.package, f"[{one.version}]", f"[{one.fixed_version or 'N/A'}]",
             "Y" if one.fixed_version else "N", f"{one.first_seen:%b %d %Y}", "N")
        )  # fmt: skip
    return out.getvalue().encode()


def cve_of(name: str, problems: list[Problem]) -> dict[str, Any]:
    """An item of a vulnerability search by CVE."""
    one = problems[0]
    return {
        "cveId": name, "cvssScore": one.cvss or 0.0, "completeEpssScore": one.epss or 0.0,
        "totalImpactedAssets": len(problems), "riskFactors": [], "exploitable": one.kev,
        "patchable": bool(one.fixed_version), "severity": one.severity, "run": {"assetsCount": len(problems)},
    }  # fmt: skip


def remediation_of(problem: Problem) -> dict[str, Any]:
    """What can be done about a CVE on an asset."""
    action = {"action": "createTask", "status": "AVAILABLE", "actionResult": "", "message": ""}
    return {
        "prismaId": "1001", "unifiedAssetId": problem.resource_uuid("prisma_cloud"), "assetType": "host",
        "assetLifecycle": "run", "cveId": problem.cve, "source": "COMPUTE", "remediationAction": [action],
        "lastUpdatedTimestamp": ms(problem.changed_at),
    }  # fmt: skip


def delivery_of(alert: Mapping[str, Any]) -> dict[str, Any]:
    """The default body of the webhook."""
    where, policy = alert["resource"], alert["policy"]
    return {
        "alertId": alert["id"], "alertStatus": alert["status"], "alertRuleName": "Default Alert Rule",
        "alertTs": alert["alertTime"], "firstSeen": alert["firstSeen"], "lastSeen": alert["lastSeen"],
        "reason": alert["reason"], "severity": policy["severity"], "policyId": alert["policyId"],
        "policyName": policy["name"], "policyType": policy["policyType"], "policyLabels": [],
        "policyDescription": policy["description"], "policyRecommendation": policy["recommendation"],
        "accountId": where["accountId"], "accountName": where["account"], "cloudType": "aws",
        "resourceId": where["id"], "resourceName": where["name"], "resourceType": where["resourceType"],
        "resourceRegion": where["region"], "resourceRegionId": where["regionId"], "source": "Prisma Cloud",
        "callbackUrl": f"https://app.prismacloud.io/alerts/overview?viewId=default&filters={alert['id']}",
    }  # fmt: skip


def policy_id(rule: str) -> str:
    """The policy of a rule: the same at every run."""
    return Problem(rule, rule, "", "", "", "", "", "", "", "", {}, START_OF_TIME, START_OF_TIME).uuid(
        "prisma_cloud-policy"
    )


def resource_of(problem: Problem) -> dict[str, Any]:
    api, kind, service = _APIS.get(problem.resource_type, ("", problem.resource_type.upper(), ""))
    own = problem.resource_arn.rpartition(":")[2].rpartition("/")[2]
    region = problem.region or "global"
    return {
        "rrn": f"rrn:aws:{kind.lower()}:{region}:{problem.account}:{problem.resource_uuid('prisma_cloud')[:8]}:{own}",
        "id": own,
        "name": own if problem.resource_type in ("s3-bucket", "sqs-queue", "sns-topic", "iam-user", "rds-instance",
                                                 "rds-snapshot") else problem.resource_name,
        "account": problem.account_name,
        "accountId": problem.account,
        "cloudType": "aws",
        "cloudAccountGroups": ["Default Account Group"],
        "region": f"AWS {region}",
        "regionId": region,
        "resourceType": kind,
        "resourceApiName": api,
        "cloudServiceName": service,
        "resourceTags": dict(problem.tags),
        "url": "",
        "unifiedAssetId": problem.resource_uuid("prisma_cloud").replace("-", ""),
        "data": {"counter": problem.times_changed},
    }  # fmt: skip


def host_of(problems: list[Problem]) -> dict[str, Any]:
    """A host's scan."""
    one = problems[0]
    return {
        "_id": one.resource_name,
        "type": "host",
        "hostname": one.resource_name,
        "scanTime": f"{max(p.changed_at for p in problems):%Y-%m-%dT%H:%M:%S.%fZ}",
        "distro": "Debian GNU/Linux 12 (bookworm)",
        "cloudMetadata": {"provider": "aws", "accountID": one.account, "region": one.region,
                          "resourceID": one.resource_arn.rpartition("/")[2],
                          "labels": [{"key": k, "value": v} for k, v in one.tags.items()]},
        "vulnerabilities": [
            {"cve": p.cve, "id": 46, "cvss": p.cvss or 0, "severity": p.severity, "packageName": p.package,
             "packageVersion": p.version, "status": f"fixed in {p.fixed_version}" if p.fixed_version else "open",
             "discovered": f"{p.first_seen:%Y-%m-%dT%H:%M:%SZ}", "exploit": "cisa-kev" if p.kev else "",
             "riskFactors": {"Has fix": {}} if p.fixed_version else {}, "description": "", "title": ""}
            for p in problems
        ],
        "complianceIssues": None,
    }  # fmt: skip


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def detailed_of(request: web.Request, body: Mapping[str, Any]) -> bool:
    said = request.query.get("detailed")
    return body.get("detailed") is True if said is None else said == "true"


def wrong_query(body: Mapping[str, Any]) -> web.Response | None:
    filters = body.get("filters") or []
    if not isinstance(filters, list) or not body.get("timeRange"):
        return error(400, "missing_required_parameter", subject="timeRange")
    for one in filters:
        if not isinstance(one, dict) or one.get("operator") != "=" or one.get("name") not in _FILTERS:
            return error(400, "invalid_parameter_value", subject="filters")
        if one["name"] == "timeRange.type" and one.get("value") not in _CLOCKS:
            return error(400, "invalid_parameter_value", subject="timeRange.type")
    limit = body.get("limit", 1)
    if not isinstance(limit, int) or not 0 < limit <= 10_000:
        return error(400, "invalid_parameter_value", subject="limit")
    sorts = body.get("sortBy") or []
    if len(sorts) > 1 or any(str(one).partition(":")[0].lower() not in SORTS for one in sorts):
        return error(400, "invalid_parameter_value", subject="sortBy")
    return None if bounds(body.get("timeRange"), datetime.now(UTC)) else error(400, "invalid_parameter_value")


def bounds(said: Any, now: datetime) -> tuple[int, int]:
    """(start, end) in milliseconds; (1, 0), which holds nothing, for what is no range."""
    kind, value = (said or {}).get("type"), (said or {}).get("value")
    if kind == "absolute" and isinstance(value, dict):
        return int(value.get("startTime") or 0), int(value.get("endTime") or ms(now))
    if kind == "relative" and isinstance(value, dict):
        return ms(now - timedelta(hours=int(value["amount"]) * _HOURS[value["unit"]])), ms(now)
    if kind == "to_now":
        hours = {"epoch": 24 * 36_500}.get(str(value).lower()) or _HOURS.get(str(value).lower(), 1)
        return max(0, ms(now) - int(hours * 3_600_000)), ms(now)
    return 1, 0


_HOURS = {"minute": 1 / 60, "hour": 1, "day": 24, "week": 168, "month": 720, "year": 8760, "login": 1}


def forward(span: Mapping[str, Any], now: datetime) -> datetime | None:
    value = span.get("value")
    if span.get("type") == "relative" and span.get("relativeTimeType") == "FORWARD" and isinstance(value, dict):
        return now + timedelta(hours=float(value["amount"]) * _HOURS[value["unit"]])
    if span.get("type") == "absolute" and isinstance(value, dict):
        return datetime.fromtimestamp(int(value["endTime"]) / 1000, UTC)
    return None


async def json_of(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def error(status: int, key: str, headers: Mapping[str, str] | None = None, *, subject: str = "") -> web.Response:
    """An error with an empty body: what is wrong stands in a header only."""
    told = json.dumps([{"i18nKey": key, "severity": "error", "subject": subject or None}])
    return web.Response(status=status, headers={"x-redlock-status": told, **(headers or {})})
