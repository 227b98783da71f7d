"""Which shape an object has, and the two others brought into ASFF's names (AWS Security Finding Format)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.text import integer, obj, seq, tags_of, text

_LABELS = {1: "INFORMATIONAL", 2: "LOW", 3: "MEDIUM", 4: "HIGH", 5: "CRITICAL", 6: "CRITICAL"}
_WORKFLOWS = {1: "NEW", 2: "NOTIFIED", 3: "SUPPRESSED", 4: "RESOLVED"}
_CHECKS = {"pass": "PASSED", "fail": "FAILED", "warning": "WARNING", "unknown": "NOT_AVAILABLE"}
_INSPECTOR_STATES = {"CLOSED": ("ARCHIVED", ""), "SUPPRESSED": ("ACTIVE", "SUPPRESSED"), "ACTIVE": ("ACTIVE", "NEW")}


def asff(raw: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The object in ASFF's names, or None when it is none of the shapes known."""
    if "Id" in raw and ("SchemaVersion" in raw or "ProductArn" in raw or "Resources" in raw):
        return raw
    if isinstance(raw.get("finding_info"), dict) and "event_code" not in obj(raw.get("metadata")):
        return _from_ocsf(raw)
    if "findingArn" in raw:
        return _from_inspector(raw)
    return None


def _from_ocsf(raw: Mapping[str, Any]) -> dict[str, Any]:
    """An OCSF finding of the new Security Hub ("Findings Imported V2", ``get_findings_v2``)."""
    info, metadata, cloud = obj(raw.get("finding_info")), obj(raw.get("metadata")), obj(raw.get("cloud"))
    compliance, remediation = obj(raw.get("compliance")), obj(raw.get("remediation"))
    product = obj(metadata.get("product"))
    status = integer(raw.get("status_id"))
    archived = status == 5 or integer(raw.get("activity_id")) == 3
    check = text(compliance.get("status"), 32).lower()
    references = [r for r in seq(remediation.get("references")) if isinstance(r, str)]
    return {
        "_ocsf": True,
        "Id": info.get("uid") or metadata.get("uid"),
        "ProductArn": product.get("uid"),
        "ProductName": product.get("name"),
        "GeneratorId": obj(info.get("analytic")).get("uid"),
        "AwsAccountId": obj(cloud.get("account")).get("uid"),
        "AwsAccountName": obj(cloud.get("account")).get("name"),
        "Region": cloud.get("region"),
        "Types": info.get("types"),
        "Title": info.get("title"),
        "Description": info.get("desc"),
        "Severity": {"Label": _LABELS.get(integer(raw.get("severity_id")) or 0) or raw.get("severity")},
        "RecordState": "ARCHIVED" if archived else "ACTIVE",
        "Workflow": {"Status": _WORKFLOWS.get(status or 0, raw.get("status"))},
        "Compliance": {
            "Status": _CHECKS.get(check, check),
            "SecurityControlId": compliance.get("control"),
            "RelatedRequirements": compliance.get("requirements"),
            "AssociatedStandards": [{"StandardsId": s} for s in seq(compliance.get("standards"))],
        }
        if compliance
        else None,
        "FirstObservedAt": info.get("first_seen_time_dt") or info.get("first_seen_time"),
        "LastObservedAt": info.get("last_seen_time_dt") or info.get("last_seen_time"),
        "CreatedAt": info.get("created_time_dt") or info.get("created_time"),
        "UpdatedAt": info.get("modified_time_dt") or info.get("modified_time"),
        "Remediation": {
            "Recommendation": {"Text": remediation.get("desc"), "Url": references[0] if references else ""}
        },
        "SourceUrl": info.get("src_url"),
        "Note": {"Text": raw.get("comment")},
        "Resources": [
            {
                "Id": one.get("uid") or one.get("uid_alt"),
                "Name": one.get("name"),
                "Type": one.get("type"),
                "Region": one.get("region"),
                "Tags": tags_of(one.get("tags")),
            }
            for one in seq(raw.get("resources"))
            if isinstance(one, dict)
        ],
        "Vulnerabilities": [_ocsf_vulnerability(v) for v in seq(raw.get("vulnerabilities")) if isinstance(v, dict)],
    }


def _ocsf_vulnerability(raw: Mapping[str, Any]) -> dict[str, Any]:
    cve = obj(raw.get("cve"))
    return {
        "Id": cve.get("uid") or obj(raw.get("advisory")).get("uid"),
        "Cvss": [
            {"BaseScore": obj(c).get("base_score"), "BaseVector": obj(c).get("vector_string")}
            for c in seq(cve.get("cvss"))
        ],
        "EpssScore": obj(cve.get("epss")).get("score"),
        "ExploitAvailable": _word(raw.get("is_exploit_available")),
        "FixAvailable": _word(raw.get("is_fix_available")),
        "ReferenceUrls": raw.get("references"),
        "VulnerablePackages": [
            {
                "Name": p.get("name"),
                "Version": p.get("version"),
                "FixedInVersion": p.get("fixed_in_version"),
                "Remediation": obj(p.get("remediation")).get("desc"),
            }
            for p in seq(raw.get("affected_packages"))
            if isinstance(p, dict)
        ],
    }


def _word(value: Any) -> str:
    return {True: "YES", False: "NO"}.get(value, "") if isinstance(value, bool) else ""


def _from_inspector(raw: Mapping[str, Any]) -> dict[str, Any]:
    """``aws inspector2 list-findings``: the same findings under the same identity as Security Hub gives them."""
    details = obj(raw.get("packageVulnerabilityDetails"))
    arn = text(raw.get("findingArn"), 2000)
    parts = arn.split(":")
    region = parts[3] if len(parts) > 5 else ""
    state, workflow = _INSPECTOR_STATES.get(
        text(raw.get("status"), 32).upper(), ("ACTIVE", text(raw.get("status"), 32))
    )
    severity = text(raw.get("severity"), 32).upper()
    packaged = text(raw.get("type"), 64) == "PACKAGE_VULNERABILITY"
    return {
        "Id": arn,
        "ProductArn": f"arn:{parts[1] if len(parts) > 1 else 'aws'}:securityhub:{region}::product/aws/inspector",
        "ProductName": "Inspector",
        "GeneratorId": "AWSInspector",
        "AwsAccountId": raw.get("awsAccountId"),
        "Region": region,
        "Types": ["Software and Configuration Checks/Vulnerabilities/CVE"] if packaged else [raw.get("type")],
        "Title": raw.get("title"),
        "Description": raw.get("description"),
        "Severity": {"Label": "INFORMATIONAL" if severity == "UNTRIAGED" else severity},
        "ProductFields": {"aws/inspector/inspectorScore": raw.get("inspectorScore")},
        "RecordState": state,
        "Workflow": {"Status": workflow},
        "FirstObservedAt": raw.get("firstObservedAt"),
        "LastObservedAt": raw.get("lastObservedAt"),
        "UpdatedAt": raw.get("updatedAt"),
        "NetworkPath": raw.get("networkReachabilityDetails"),
        "Remediation": {
            "Recommendation": {
                "Text": obj(obj(raw.get("remediation")).get("recommendation")).get("text"),
                "Url": obj(obj(raw.get("remediation")).get("recommendation")).get("Url"),
            }
        },
        "Resources": [
            {"Id": one.get("id"), "Type": one.get("type"), "Region": one.get("region"), "Tags": one.get("tags")}
            for one in seq(raw.get("resources"))
            if isinstance(one, dict)
        ],
        "Vulnerabilities": [
            {
                "Id": details.get("vulnerabilityId"),
                "Cvss": [
                    {"BaseScore": obj(c).get("baseScore"), "BaseVector": obj(c).get("scoringVector")}
                    for c in seq(details.get("cvss"))
                ],
                "EpssScore": obj(raw.get("epss")).get("score"),
                "ExploitAvailable": raw.get("exploitAvailable"),
                "FixAvailable": raw.get("fixAvailable"),
                "Vendor": {"Url": details.get("sourceUrl")},
                "ReferenceUrls": details.get("referenceUrls"),
                "VulnerablePackages": [
                    {
                        "Name": p.get("name"),
                        "Version": p.get("version"),
                        "FixedInVersion": p.get("fixedInVersion"),
                        "Remediation": p.get("remediation"),
                    }
                    for p in seq(details.get("vulnerablePackages"))
                    if isinstance(p, dict)
                ],
            }
        ]
        if details
        else [],
    }
