"""Objects of our own making in Wiz's shapes, one of every kind."""

from __future__ import annotations

from typing import Any

BUCKET = "arn:aws:s3:::acme-customer-exports"
SERVER = "arn:aws:ec2:us-east-1:123456789012:instance/i-fbb215ae102c37030"
PROJECT = {
    "id": "7a0c53a8-1f5f-5a0c-9a0e-5a7f4be0f001",
    "name": "Payments",
    "slug": "payments",
    "businessUnit": "Retail",
    "riskProfile": {"businessImpact": "HBI"},
    "projectOwners": [{"id": "u1", "name": "Olivia", "email": "olivia@acme.example"}],
    "securityChampions": [{"id": "u2", "name": "Sam", "email": "sam@acme.example"}],
}
CATEGORIES = [
    {
        "id": "wsct-id-1",
        "title": "2.1.4 Ensure that S3 is configured with Block Public Access",
        "category": {"id": "wct-id-1", "name": "2 Storage", "framework": {"id": "wf-id-1", "name": "CIS AWS 3.0.0"}},
    }
]


def issue(**changes: Any) -> dict[str, Any]:
    return {
        "id": "0d3c2f9a-6a52-4b9c-8f1d-2f60f1f0a001",
        "type": "TOXIC_COMBINATION",
        "status": "OPEN",
        "severity": "CRITICAL",
        "createdAt": "2026-11-01T08:00:00.123456Z",
        "updatedAt": "2026-11-20T08:00:00.123456789Z",
        "statusChangedAt": "2026-11-19T08:00:00.5Z",
        "dueAt": "2026-12-01T00:00:00Z",
        "resolvedAt": None,
        "resolutionReason": "",
        "rejectionExpiredAt": None,
        "sourceRule": {
            "__typename": "Control",
            "id": "wc-id-900",
            "name": "Publicly readable bucket with customer data",
            "controlDescription": "The bucket **can be read** by anyone, see [it](https://docs.acme.example/s3).",
            "resolutionRecommendation": "Block it:\n```\naws s3api put-public-access-block --bucket {{name}}\n```",
            "risks": ["EXTERNAL_EXPOSURE", "SENSITIVE_DATA"],
            "securitySubCategories": CATEGORIES,
        },
        "projects": [PROJECT],
        "entitySnapshot": {
            "id": "b7a3a1cc-3a40-5b5f-a3d1-a67b9d8f0001",
            "type": "BUCKET",
            "nativeType": "bucket",
            "name": "acme-customer-exports",
            "status": "Active",
            "cloudPlatform": "AWS",
            "cloudProviderURL": "https://s3.console.aws.amazon.com/s3/buckets/acme-customer-exports",
            "providerId": BUCKET,
            "externalId": BUCKET,
            "region": "us-east-1",
            "resourceGroupExternalId": "",
            "subscriptionExternalId": "123456789012",
            "subscriptionName": "Acme production",
            "subscriptionTags": {"cost": "17"},
            "tags": {"env": "prod", "owner": "payments"},
        },
        "serviceTickets": [{"externalId": "10001", "name": "SEC-1", "url": "https://jira.acme.example/SEC-1"}],
        "notes": [{"id": "n1", "createdAt": "2026-11-20T08:00:00Z", "text": "looked at", "user": {"name": "Alice"}}],
    } | changes


def threat(**changes: Any) -> dict[str, Any]:
    return issue(
        id="0d3c2f9a-6a52-4b9c-8f1d-2f60f1f0a002",
        type="THREAT_DETECTION",
        status="REJECTED",
        severity="HIGH",
        resolutionReason="EXCEPTION",
        resolutionNote="a test of ours",
        rejectionExpiredAt="2026-12-24T00:00:00Z",
        sourceRule={
            "__typename": "CloudEventRule",
            "id": "cer-1",
            "name": "Many failed logins",
            "cloudEventRuleDescription": "Failed logins from one address.",
            "risks": [],
        },
        **changes,
    )


def configuration(**changes: Any) -> dict[str, Any]:
    return {
        "id": "5b1f6a5e-31a1-5d6f-8e0b-6f8b0a0c0001",
        "name": "Bucket acme-customer-exports is public",
        "targetExternalId": f"CloudPlatform/Bucket##{BUCKET}",
        "targetObjectProviderUniqueId": BUCKET,
        "deleted": False,
        "firstSeenAt": "2026-10-01T08:00:00Z",
        "analyzedAt": "2026-11-20T03:00:00Z",
        "updatedAt": "2026-11-02T03:00:00Z",
        "severity": "HIGH",
        "result": "FAIL",
        "status": "OPEN",
        "remediation": "Turn on `Block Public Access` of {{bucketName}}.",
        "resource": {
            "id": "b7a3a1cc-3a40-5b5f-a3d1-a67b9d8f0001",
            "providerId": BUCKET,
            "name": "acme-customer-exports",
            "nativeType": "bucket",
            "type": "BUCKET",
            "region": "us-east-1",
            "cloudPlatform": "AWS",
            "subscription": {
                "id": "d5a0", "name": "Acme production", "externalId": "123456789012", "cloudProvider": "AWS",
            },
            "projects": [PROJECT],
            "tags": [{"key": "env", "value": "prod"}, {"key": "owner", "value": "payments"}],
        },
        "rule": {
            "id": "0f4e6d12-52d6-4a0d-a1ce-0d2e2d8e0001",
            "shortId": "S3-001",
            "graphId": "8f2b1a3c-0000-5000-8000-000000000001",
            "name": "S3 bucket should not be public",
            "description": "This rule checks whether the bucket is public.",
            "remediationInstructions": "```\naws s3api put-public-access-block\n```",
            "functionAsControl": False,
        },
        "securitySubCategories": CATEGORIES,
        "ignoreRules": None,
        "evidence": {"currentValue": "true", "expectedValue": "false"},
    } | changes  # fmt: skip


def vulnerability(**changes: Any) -> dict[str, Any]:
    return {
        "id": "9c8a0b7e-52a1-5b0e-9b4a-1f1f4f2a0001",
        "portalUrl": "https://app.wiz.io/explorer/vulnerability-findings#~(entity~(~'9c8a0b7e*2cSECURITY_TOOL_FINDING))",
        "name": "CVE-2021-44228",
        "CVEDescription": "Lookups of names in log messages run code.",
        "description": "The package `log4j-core` version `2.14.1` is vulnerable.",
        "CVSSSeverity": "CRITICAL",
        "score": 9.9,
        "severity": "CRITICAL",
        "vendorSeverity": "HIGH",
        "hasExploit": True,
        "hasCisaKevExploit": True,
        "epssProbability": 0.94,
        "epssPercentile": 99.9,
        "status": "OPEN",
        "firstDetectedAt": "2026-10-01T08:00:00Z",
        "lastDetectedAt": "2026-11-20T03:00:00Z",
        "resolvedAt": None,
        "remediation": "yum update log4j-core",
        "detailedName": "log4j-core",
        "version": "2.14.1",
        "fixedVersion": "2.17.1",
        "detectionMethod": "LIBRARY",
        "locationPath": "/srv/app/lib",
        "link": "https://nvd.nist.gov/vuln/detail/CVE-2021-44228",
        "projects": [PROJECT],
        "ignoreRules": [{"id": "i1", "name": "release", "enabled": True, "expiredAt": "2026-12-24T00:00:00Z"}],
        "relatedIssueAnalytics": {"issueCount": 2},
        "vulnerableAsset": {
            "id": "c3b0f0d4-8a9a-5d1c-8b77-7f5f8e6d0001",
            "type": "VIRTUAL_MACHINE",
            "name": "payments-bastion-1",
            "region": "us-east-1",
            "providerUniqueId": SERVER,
            "cloudProviderURL": "https://us-east-1.console.aws.amazon.com/ec2/home#InstanceDetails:instanceId=i-fbb2",
            "cloudPlatform": "AWS",
            "status": "Active",
            "subscriptionName": "Acme production",
            "subscriptionExternalId": "123456789012",
            "tags": {"env": "prod", "owner": "payments"},
            "hasLimitedInternetExposure": False,
            "hasWideInternetExposure": True,
            "operatingSystem": "Linux",
            "computeInstanceGroup": {
                "id": "g1",
                "externalId": "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:x:group/bastion",
                "name": "bastion",
                "tags": {"team": "payments"},
            },
        },
    } | changes


def detection(**changes: Any) -> dict[str, Any]:
    return {
        "id": "6f0d4f0e-0c9a-5b21-8d0a-1a2b3c4d0001",
        "type": "GENERATED_THREAT",
        "severity": "HIGH",
        "origins": ["WIZ_SENSOR"],
        "createdAt": "2026-11-20T02:00:00.123456789Z",
        "updatedAt": "2026-11-20T03:00:00Z",
        "description": "The program :runtime-program[/usr/sbin/sshd]{runtimeProgramId=\"x\"} took a connection.",
        "primaryResource": {
            "id": "c3b0f0d4-8a9a-5d1c-8b77-7f5f8e6d0001",
            "type": "VIRTUAL_MACHINE",
            "name": "payments-bastion-1",
            "externalId": "i-fbb215ae102c37030",
            "region": "us-east-1",
        },
        "resources": [
            {
                "id": "c3b0f0d4-8a9a-5d1c-8b77-7f5f8e6d0001",
                "type": "VIRTUAL_MACHINE",
                "name": "payments-bastion-1",
                "externalId": "i-fbb215ae102c37030",
                "providerUniqueId": SERVER,
            },
            {"id": "s1", "type": "SUBNET", "name": "prod", "providerUniqueId": "arn:aws:ec2:us-east-1:1:subnet/s-1"},
        ],
        "primaryActor": {"id": "a1", "name": "root", "type": "USER"},
        "actors": [],
        "cloudAccounts": [
            {"id": "d5a0", "name": "Acme production", "externalId": "123456789012", "cloudProvider": "AWS"}
        ],
        "issue": {"id": "0d3c2f9a-6a52-4b9c-8f1d-2f60f1f0a002"},
        "triggeringEvents": {
            "totalCountV2": 1,
            "nodes": [{"id": "e1", "description": "a login on :cloud-resource[bastion\\-1]{resourceId=\"x\"}"}],
        },
        "ruleMatch": {
            "rule": {
                "id": "3c1d5a9e-0d8b-4f1d-9d6b-9a5f4b3c0001",
                "name": "Login from an unknown network",
                "builtin": True,
                "securitySubCategories": CATEGORIES,
            }
        },
    } | changes  # fmt: skip


def webhook(**changes: Any) -> dict[str, Any]:
    """The default template of an automation rule on issues."""
    return {
        "trigger": {"source": "ISSUES", "type": "Created", "ruleId": "r1", "ruleName": "to Gatehouse"},
        "issue": {
            "id": "0d3c2f9a-6a52-4b9c-8f1d-2f60f1f0a001",
            "status": "OPEN",
            "severity": "CRITICAL",
            "created": "2026-11-01 08:00:00.123456000",
            "projects": "Payments, Web",
        },
        "resource": {
            "id": BUCKET,
            "name": "acme-customer-exports",
            "type": "bucket",
            "cloudPlatform": "AWS",
            "subscriptionId": "123456789012",
            "subscriptionName": "Acme production",
            "region": "us-east-1",
            "status": "Active",
            "cloudProviderURL": "https://s3.console.aws.amazon.com/s3/buckets/acme-customer-exports",
        },
        "control": {
            "id": "wc-id-900",
            "name": "Publicly readable bucket with customer data",
            "description": "The bucket can be read by anyone.",
            "severity": "CRITICAL",
            "risks": ["EXTERNAL_EXPOSURE"],
        },
    } | changes


EXAMPLES = [issue(), threat(), configuration(), vulnerability(), detection(), webhook()]
