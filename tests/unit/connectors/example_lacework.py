"""Objects of Lacework as its API and its channels write them, our own values: one of every kind that is a finding."""

from __future__ import annotations

from typing import Any

CONTEXT = {"host": "acme.lacework.net", "account": "ACME", "scope": "acme"}


def alert(**changes: Any) -> dict[str, Any]:
    """A row of ``GET /api/v2/Alerts``."""
    return {
        "alertId": 4711,
        "alertName": "Security Group Change",
        "alertType": "SecurityGroupChange",
        "severity": "High",
        "status": "Open",
        "startTime": "2026-06-01T08:00:00.000Z",
        "endTime": "2026-06-01T09:00:00.000Z",
        "lastUserUpdatedTime": "0",
        "policyId": "lacework-global-2",
        "alertInfo": {
            "subject": "Security Group Change: sg-0a1b2c3d4e5f6a7b8 was changed",
            "description": "For account: `111122223333` (acme-prod) : SecurityGroup sg-0a1b2c3d4e5f6a7b8 changed "
            "5 times by user AROAEXAMPLE:ann@acme.example",
            "supportingFacts": [
                {"supportingFactText": "Unusual hour", "subElements": [{"supportingFactText": "first time in 60 days"}]}
            ],
        },
        "derivedFields": {"category": "Policy", "sub_category": "Cloud Activity", "source": "AWS"},
        "internetExposure": "InternetExposed",
        "reachability": "UnknownReachability",
        "tagMetadata": [],
        "evolvingAlert": False,
    } | changes


def detailed(**changes: Any) -> dict[str, Any]:
    """``GET /api/v2/Alerts/{id}?scope=Details``: with its entity map."""
    return (
        alert(
            alertId=4712,
            alertName="New Violations",
            alertType="NewViolations",
            derivedFields={"category": "Policy", "sub_category": "Compliance", "source": "AWS"},
            tagMetadata={"team": "payments", "env": "prod"},
            entityMap={
                "NewViolation": [
                    {
                        "KEY": {"rec_id": "lacework-global-96", "resource": "arn:aws:s3:::acme-invoices"},
                        "PROPS": {"region": "eu-central-1"},
                    }
                ],
                "RecId": [
                    {
                        "KEY": {"rec_id": "lacework-global-96", "account_id": "111122223333"},
                        "PROPS": {"account_alias": "acme-prod", "title": "No public ACL", "eval_type": "LW_SA"},
                    }
                ],
                "ViolationReason": [{"KEY": {"reason": "ReadAccessGranted", "rec_id": "lacework-global-96"}}],
            },
            _lacework={
                **CONTEXT,
                "policy": {
                    "description": "Anybody can read it.",
                    "remediation": "Remove the grant.",
                    "tags": ["framework:cis-1-4"],
                },
            },
        )
        | changes
    )  # fmt: skip


def event(**changes: Any) -> dict[str, Any]:
    """The ``detail`` of the EventBridge and CloudWatch channel."""
    return {
        "EVENT_ID": "4713",
        "EVENT_NAME": "Known CVE on a host",
        "EVENT_TYPE": "KnownHostCveDiscovered",
        "EVENT_CATEGORY": "HostVulnerability",
        "SEVERITY": 2,
        "START_TIME": "01 Jun 2026 08:00 GMT",
        "SUMMARY": "A known vulnerability was found on 1 host",
        "ACCOUNT": "ACME",
        "SOURCE": "Agent",
        "LINK": "https://acme.lacework.net/ui/investigation/recents/EventDossier-4713",
        "EVENT_DETAILS": {
            "data": [
                {
                    "START_TIME": "2026-06-01T08:00:00Z",
                    "END_TIME": "2026-06-01T09:00:00Z",
                    "EVENT_TYPE": "KnownHostCveDiscovered",
                    "EVENT_MODEL": "VulnerabilityModel",
                    "EVENT_ACTOR": "Vulnerability",
                    "EVENT_ID": "4713",
                    "ENTITY_MAP": {
                        "Machine": [
                            {"HOSTNAME": "ip-10-0-0-5", "INSTANCE_ID": "i-0123456789abcdef0", "IS_EXTERNAL": 1}
                        ],
                        "Cve": [
                            {"CVE_ID": "CVE-2026-0001", "FEATURE_NAME": "openssl", "INFO": "Overflow", "SEVERITY": 2}
                        ],
                        "ImageFeature": [
                            {"FEATURE_NAME": "openssl", "FIXED_VERSION": "3.0.7", "CVE": ["CVE-2026-0001"]}
                        ],
                        "CT_User": [{"USERNAME": "ann", "ACCOUNT_ID": "111122223333", "REGION_LIST": ["eu-west-1"]}],
                    },
                }
            ]
        },
    } | changes


def webhook(**changes: Any) -> dict[str, Any]:
    """The body of the webhook channel."""
    return {
        "event_title": "Compliance Changed",
        "event_link": "https://acme.lacework.net/ui/investigate/Event/4714?startTime=1&endTime=2",
        "lacework_account": "acme",
        "event_source": "AzureCompliance",
        "event_description": "Azure Account Acme Production: Azure_CIS_2_1 Keep the pricing tier changed from "
        "compliant to non-compliant",
        "event_timestamp": "01 Jun 2026 08:00 GMT",
        "event_type": "Compliance",
        "event_id": "4714",
        "event_severity": "4",
        "rec_id": "Azure_CIS_2_1",
    } | changes


def host(**changes: Any) -> dict[str, Any]:
    """A row of ``POST /api/v2/Vulnerabilities/Hosts/search``."""
    return {
        "vulnId": "CVE-2026-0002",
        "severity": "Critical",
        "status": "Active",
        "mid": 77,
        "riskScore": 8.5,
        "cveRiskInfo": {"exploit_summary": {"exploit_public": "Yes"}},
        "startTime": "2026-06-01T07:00:00.000Z",
        "endTime": "2026-06-01T08:00:00.000Z",
        "machineTags": {
            "Account": "111122223333",
            "InstanceId": "i-0123456789abcdef0",
            "Hostname": "ip-10-0-0-5.ec2.internal",
            "Zone": "us-east-1a",
            "VmProvider": "AWS",
            "lw_InternetExposure": "Yes",
            "Name": "web-1",
            "Env": "prod",
            "team": "web",
        },
        "featureKey": {
            "name": "openssl",
            "namespace": "ubuntu:22.04",
            "version_installed": "3.0.5",
            "package_active": 1,
            "package_path": "/usr/bin/openssl",
        },
        "fixInfo": {"fix_available": "1", "fixed_version": "3.0.7", "eval_status": "VULNERABLE"},
        "cveProps": {
            "description": "X.509 overflow",
            "link": "https://cve.example/CVE-2026-0002",
            "metadata": {"NVD": {"CVSSv3": {"Score": 7.5, "Vectors": "AV:N/AC:L"}}},
        },
        "evalCtx": {"hostname": "ip-10-0-0-5.ec2.internal", "mc_eval_guid": "e1", "exception_props": []},
        "props": {"first_time_seen": "2026-05-01T00:00:00Z", "last_updated_time": "2026-05-30T00:00:00Z"},
        "_lacework": CONTEXT,
    } | changes


def container(**changes: Any) -> dict[str, Any]:
    """A row of ``POST /api/v2/Vulnerabilities/Containers/search``."""
    return {
        "vulnId": "CVE-2026-0003",
        "severity": "High",
        "status": "EXCEPTION",
        "imageId": "sha256:aa11",
        "startTime": "2026-06-01T07:00:00.000Z",
        "evalGuid": "g1",
        "evalCtx": {
            "image_info": {
                "registry": "111122223333.dkr.ecr.eu-west-1.amazonaws.com",
                "repo": "shop/api",
                "tags": ["1.4"],
                "digest": "sha256:bb22",
                "id": "sha256:aa11",
            },
            "exception_props": [{"exception_name": "all low", "exception_reason": "Accepted Risk"}],
        },
        "featureKey": {"name": "curl", "namespace": "debian:12", "version": "7.88.1"},
        "featureProps": {"introduced_in": "RUN apt-get install curl", "src": "var/lib/dpkg/status"},
        "fixInfo": {"fix_available": 1, "fixed_version": "8.4.0"},
    } | changes


def evaluation(**changes: Any) -> dict[str, Any]:
    """A row of ``POST /api/v2/Configs/ComplianceEvaluations/search``."""
    return {
        "account": {"AccountId": "111122223333", "Account_Alias": "acme-prod"},
        "evalType": "LW_SA",
        "id": "lacework-global-39",
        "reason": "LoggingNotEnabled",
        "recommendation": "Ensure the S3 bucket has access logging enabled",
        "reportTime": "2026-06-01T06:00:00.000Z",
        "resource": "arn:aws:s3:::acme-invoices",
        "region": "eu-central-1",
        "section": "2 Logging",
        "severity": "Medium",
        "status": "NonCompliant",
        "_lacework": {
            **CONTEXT,
            "dataset": "AwsCompliance",
            "policy": {"title": "t", "description": "No trace of who read it.", "remediation": "Turn logging on."},
        },
    } | changes


def violation(**changes: Any) -> dict[str, Any]:
    """A resource in violation, as the reader takes it out of a report."""
    return {
        "ACCOUNT_ID": "111122223333",
        "ACCOUNT_ALIAS": "acme-prod",
        "START_TIME": 1780293600000,
        "INFO_LINK": "https://docs.example/aws-cis#2",
        "STATUS": "NonCompliant",
        "REC_ID": "AWS_CIS_2_6",
        "CATEGORY": "Logging",
        "SERVICE": "aws:s3",
        "TITLE": "Ensure S3 bucket access logging is enabled on the CloudTrail S3 bucket",
        "SEVERITY": 3,
        "VIOLATION": {"region": "eu-central-1", "reasons": ["NotEnabled"], "resource": "arn:aws:s3:::acme-trail"},
        "_lacework": {"report": {"reportTitle": "AWS CIS Benchmark", "reportTime": "2026-06-01T06:00:00.000Z"}},
    } | changes


EXAMPLES = [alert(), detailed(), event(), webhook(), host(), container(), evaluation(), violation()]
