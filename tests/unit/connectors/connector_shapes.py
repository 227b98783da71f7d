"""Small findings of our own making in the sources' shapes."""

from __future__ import annotations

from typing import Any


def prowler(
    check: str = "s3_bucket_public_access",
    name: str = "acme-invoices",
    status: str = "FAIL",
    *,
    uid: str = "",
    region: str = "eu-west-1",
    account: str = "123456789012",
    detail: str = "",
    scan: str = "scan-1",
    **changes: Any,
) -> dict[str, Any]:
    return {
        "message": detail or f"Bucket {name} said {status}.",
        "metadata": {
            "event_code": check,
            "product": {"name": "Prowler", "uid": "prowler", "vendor_name": "Prowler", "version": "5.46.0"},
            "version": "1.5.0",
        },
        "severity_id": 4,
        "severity": "High",
        "status": "New",
        "status_code": status,
        "status_detail": detail or f"Bucket {name} said {status}.",
        "status_id": 1,
        "unmapped": {
            "related_url": "",
            "categories": ["internet-exposed"],
            "additional_urls": ["https://docs.example.com/s3"],
            "compliance": {"CIS-3.0": ["2.1.4", "2.1.5"], "PCI-4.0": []},
            "scan_id": scan,
            "provider_uid": account,
            "provider": "aws",
        },
        "finding_info": {
            "created_time": 1795381621,
            "desc": "Whether the bucket is public.",
            "title": "S3 bucket has public access blocked",
            "types": ["Software and Configuration Checks"],
            "uid": f"prowler-aws-{check}-{account}-{region}-{name}",
        },
        "resources": [
            {
                "cloud_partition": "aws",
                "region": region,
                "data": {"details": "", "metadata": {"last_used": scan}},
                "group": {"name": "s3"},
                "labels": ["env:prod", "owner:payments", "link:https://x.example/y"],
                "name": name,
                "type": "AwsS3Bucket",
                "uid": uid or f"arn:aws:s3:::{name}",
            }
        ],
        "class_uid": 2004,
        "cloud": {"account": {"uid": account, "name": "acme-prod", "labels": []}, "provider": "aws", "region": region},
        "remediation": {
            "desc": "Block it.",
            "references": ["aws s3api put-public-access-block", "https://hub.prowler.com/check/x"],
        },
        "risk_details": "Anyone can read it.",
        "time": 1795381621,
        "time_dt": "2026-11-22T21:07:01.005259",
        "type_uid": 200401,
    } | changes


def asff(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "SchemaVersion": "2018-10-08",
        "Id": f"arn:aws:securityhub:eu-west-1:123456789012:security-control/S3.2/finding/{number}",
        "ProductArn": "arn:aws:securityhub:eu-west-1::product/aws/securityhub",
        "ProductName": "Security Hub",
        "Region": "eu-west-1",
        "GeneratorId": "security-control/S3.2",
        "AwsAccountId": "123456789012",
        "Types": ["Software and Configuration Checks/Industry and Regulatory Standards"],
        "FirstObservedAt": "2026-11-01T00:00:00.000Z",
        "LastObservedAt": "2026-11-20T00:00:00.000Z",
        "CreatedAt": "2026-11-01T00:00:00.000Z",
        "UpdatedAt": "2026-11-20T00:00:00.000Z",
        "Severity": {"Label": "HIGH", "Normalized": 70},
        "Title": "S3 general purpose buckets should block public read access",
        "Description": "This control checks whether the bucket is public.",
        "Remediation": {"Recommendation": {"Text": "Read the docs.", "Url": "https://docs.example.com/S3.2"}},
        "Resources": [
            {
                "Type": "AwsS3Bucket",
                "Id": "arn:aws:s3:::acme-invoices",
                "Region": "eu-west-1",
                "Tags": {"team": "payments"},
            },
            {"Type": "AwsAccount", "Id": "AWS::::Account:123456789012", "Region": "eu-west-1"},
        ],
        "Compliance": {
            "Status": "FAILED",
            "SecurityControlId": "S3.2",
            "RelatedRequirements": ["PCI DSS v3.2.1/1.2.1"],
            "AssociatedStandards": [{"StandardsId": "standards/aws-foundational-security-best-practices/v/1.0.0"}],
        },
        "Workflow": {"Status": "NEW"},
        "RecordState": "ACTIVE",
    } | changes
