"""Objects of our own making in Prisma Cloud's shapes, one of each kind of finding."""

from __future__ import annotations

from typing import Any

T0 = 1_780_300_800_000  # 2026-06-01T08:00:00Z in milliseconds
POLICY = "0f8a0b0c-1111-4222-8333-944445555666"


def policy(**changes: Any) -> dict[str, Any]:
    return {
        "policyId": POLICY,
        "name": "AWS S3 bucket is readable by anyone",
        "policyType": "config",
        "policySubTypes": ["run"],
        "severity": "high",
        "description": "The bucket can be **read** by anyone.",
        "recommendation": "1. Open the bucket.\n2. Block public access, see https://docs.example.com/s3.",
        "labels": ["Prisma_Cloud"],
        "findingTypes": [],
        "remediable": True,
        "restrictAlertDismissal": False,
        "remediation": {
            "cliScriptTemplate": "aws s3api put-public-access-block --bucket ${resourceName} --region ${region}",
            "description": "Needs s3:PutBucketPublicAccessBlock.",
            "impact": "Nobody outside can read the bucket.",
        },
        "complianceMetadata": [
            {"standardName": "CIS v1.4.0 (AWS)", "requirementId": "Storage", "sectionId": "2.1.5"},
            {"standardName": "PCI DSS v4.0", "requirementId": "1", "sectionId": "1.3.1"},
        ],
    } | changes


def resource(**changes: Any) -> dict[str, Any]:
    return {
        "rrn": "rrn:aws:storageBucket:eu-west-1:123456789012:0011aabb:acme-invoices",
        "id": "acme-invoices",
        "name": "acme-invoices",
        "account": "acme-prod",
        "accountId": "123456789012",
        "cloudType": "aws",
        "regionId": "eu-west-1",
        "region": "AWS Ireland",
        "resourceType": "STORAGE_BUCKET",
        "resourceApiName": "aws-s3api-get-bucket-acl",
        "cloudServiceName": "Amazon S3",
        "resourceTags": {"env": "prod", "owner": "payments"},
        "cloudAccountGroups": ["Production"],
        "cloudAccountOwners": ["cloud@acme.example"],
        "url": "https://s3.console.aws.amazon.com/s3/buckets/acme-invoices",
        "unifiedAssetId": "aabbccdd00112233",
        "data": {"bucketName": "acme-invoices"},
    } | changes


def alert(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"P-{number}",
        "status": "open",
        "reason": "NEW_ALERT",
        "firstSeen": T0,
        "lastSeen": T0 + 1000,
        "alertTime": T0,
        "lastUpdated": T0 + 2000,
        "policyId": POLICY,
        "policy": policy(),
        "resource": resource(),
        "alertRules": [{"name": "All of production"}],
        "alertAttribution": {
            "resourceCreatedBy": "jane@acme.example",
            "attributionEventList": [{"event": "CreateBucket", "event_ts": T0, "username": "jane@acme.example"}],
        },
    } | changes


def webhook(number: int = 2, **changes: Any) -> dict[str, Any]:
    """The default template of a webhook integration."""
    return {
        "alertId": f"N-{number}",
        "alertStatus": "open",
        "alertRuleName": "All of production",
        "alertTs": T0,
        "firstSeen": T0,
        "lastSeen": T0,
        "reason": "NEW_ALERT",
        "callbackUrl": f"https://app4.prismacloud.io/alerts/overview?viewId=default&filters=N-{number}",
        "severity": "critical",
        "policyId": "11111111-2222-4333-8444-555555555555",
        "policyName": "AWS EC2 instance that is internet reachable",
        "policyType": "network",
        "policyDescription": "The instance can be reached by anyone.",
        "policyRecommendation": "Narrow the security group.",
        "policyLabels": ["Attack Path Rule"],
        "accountName": "acme-prod",
        "accountId": "123456789012",
        "cloudType": "aws",
        "resourceId": "i-0123456789abcdef0",
        "resourceName": "web-1",
        "resourceType": "INSTANCE",
        "resourceRegion": "AWS Ireland",
        "resourceRegionId": "eu-west-1",
        "resourceCloudService": "Amazon EC2",
        "tags": [{"key": "team", "value": "web"}],
        "accountOwners": "cloud@acme.example",
        "alertRemediationCli": "aws ec2 revoke-security-group-ingress --group-id sg-1",
        "alertRemediationCliDescription": "Needs ec2:RevokeSecurityGroupIngress.",
        "complianceMetadata": [{"standardName": "SOC 2", "sectionId": "CC6.6"}],
        "source": "Prisma Cloud",
    } | changes


def image(**changes: Any) -> dict[str, Any]:
    """A scan as Compute's ``/images`` has it."""
    return {
        "_id": "sha256:" + "ab" * 32,
        "type": "image",
        "id": "sha256:" + "ab" * 32,
        "repoTag": {"registry": "registry.acme.example", "repo": "shop/web", "tag": "1.4"},
        "distro": "Debian GNU/Linux 12 (bookworm)",
        "scanTime": "2026-06-01T08:00:00.5Z",
        "firstScanTime": "2026-05-01T08:00:00Z",
        "cloudMetadata": {"provider": "aws", "accountID": "123456789012", "region": "eu-west-1", "resourceID": "i-1"},
        "labels": ["team:web", "env:prod"],
        "collections": ["All"],
        "riskFactors": {"Reachable from the internet": {}},
        "vulnerabilities": [
            {
                "cve": "CVE-2026-0001", "id": 46, "cvss": 9.8, "severity": "critical", "vecStr": "CVSS:3.1/AV:N",
                "status": "fixed in 3.0.7", "packageName": "openssl", "packageVersion": "3.0.5",
                "description": "<p>A buffer is too small.</p>", "link": "https://nvd.example/CVE-2026-0001",
                "discovered": "2026-05-02T00:00:00Z", "published": 1777600000,
                "riskFactors": {"Has fix": {}, "Exploit exists - in the wild": {}}, "exploit": "cisa-kev",
            },
            {
                "cve": "CVE-2026-0001", "id": 46, "cvss": 9.8, "severity": "critical", "status": "fixed in 3.0.7",
                "packageName": "libssl3", "packageVersion": "3.0.5",
            },
            {"cve": "CVE-2026-0002", "id": 46, "cvss": 4, "severity": "medium", "status": "will not fix",
             "packageName": "curl (used in libcurl4)", "packageVersion": "7.88.1"},
        ],
        "complianceIssues": [
            {"id": 41, "severity": "high", "title": "(CIS_Docker_v1.2.0 - 4.1) Image should not run as root",
             "description": "Run it as another user.", "cause": "User is root", "templates": ["PCI"], "type": "image"},
        ],
    } | changes  # fmt: skip


def host(**changes: Any) -> dict[str, Any]:
    return {
        "_id": "web-1.acme.example",
        "type": "host",
        "hostname": "web-1.acme.example",
        "scanTime": "2026-06-01T08:00:00Z",
        "cloudMetadata": {"provider": "aws", "accountID": "123456789012", "region": "eu-west-1",
                          "resourceID": "i-0123456789abcdef0", "labels": [{"key": "owner", "value": "web"}]},
        "vulnerabilities": [{"cve": "CVE-2026-0003", "cvss": 7.5, "severity": "important", "packageName": "sudo"}],
        "complianceIssues": None,
    } | changes  # fmt: skip


def row(**changes: Any) -> dict[str, Any]:
    """A row of the vulnerability export: strings only."""
    return {
        "ASSET_ID": "bb298aa950d0",
        "ASSET_TYPE": "host",
        "CVE_ID": "CVE-2026-0004",
        "CVE_LINK": "https://nvd.example/CVE-2026-0004",
        "CVSS_BASE_SCORE": "8.1",
        "EPSS_SCORE": "1.7E-4",
        "CISA_KEV": "Y",
        "EXPLOITABLE": "Y",
        "3RD_PARTY_EXPLOIT_SOURCE": "N/A",
        "SEVERITY": "high",
        "CLOUD_ACCOUNT_ID": "123456789012",
        "SERVICE_PROVIDER": "aws",
        "PACKAGE_NAME": "aiohttp",
        "INSTALLED_VERSIONS": "[3.5.3]",
        "FIX_VERSION": "[3.9.0]",
        "PATCHABLE": "Y",
        "DISCOVERED_DATE": "Oct 31 2025",
        "PUBLISHED_DATE": "Jul 25 2025",
        "INTERNET_EXPOSED": "Y",
        "REGISTRY": "N/A",
    } | changes


def cve(**changes: Any) -> dict[str, Any]:
    """An item of a vulnerability search by CVE."""
    return {
        "cveId": "CVE-2026-0005",
        "cvssScore": 9.1,
        "completeEpssScore": 0.42,
        "severity": "critical",
        "totalImpactedAssets": 12,
        "riskFactors": ["Reachable from the internet", "CISA KEV"],
        "exploitable": True,
        "patchable": False,
        "run": {"assetsCount": 7},
    } | changes


def asset(**changes: Any) -> dict[str, Any]:
    """An asset with the policy it was scanned for."""
    return {
        "unifiedAssetId": "4b000a6af8c0",
        "id": "vol-0123456789abcdef0",
        "name": "data",
        "accountId": "123456789012",
        "accountName": "acme-prod",
        "cloudType": "aws",
        "regionId": "eu-west-1",
        "assetType": "EBS Volume",
        "overallPassed": False,
        "tags": {"owner": "data"},
        "scannedPolicy": {"id": POLICY, "name": "Volume is not encrypted", "severity": "low", "passed": False},
    } | changes


def external(**changes: Any) -> dict[str, Any]:
    """A finding of another scanner that Prisma shows on a resource."""
    return {
        "findingId": "66666666",
        "type": "guard_duty_host",
        "source": "guardduty",
        "severity": "medium",
        "status": "open",
        "title": "SSH brute force against web-1",
        "description": "Many failed logins.",
        "normalizedNames": ["UnauthorizedAccess:EC2/SSHBruteForce"],
        "accountId": "123456789012",
        "regionId": "eu-west-1",
        "resourceCloudId": "i-0123456789abcdef0",
        "createdOn": T0,
        "updatedOn": T0,
        "score": "N/A",
        "resourceUrl": "https://console.example/finding",
        "sourceData": {"arn": "arn:aws:guardduty:eu-west-1:123456789012:detector/1/finding/2"},
    } | changes


def event(**changes: Any) -> dict[str, Any]:
    """A runtime audit of Compute."""
    return {
        "_id": "64ee985138b8ac44a6f3d468",
        "type": "filesystem",
        "attackType": "malwareFileFeed",
        "severity": "high",
        "msg": "/usr/bin/git wrote a file that is known as malware",
        "effect": "block",
        "ruleName": "default",
        "time": "2026-06-01T08:00:00Z",
        "hostname": "web-1.acme.example",
        "containerName": "shop",
        "containerId": "c0ffee",
        "imageName": "registry.acme.example/shop/web:1.4",
        "provider": "aws",
        "accountID": "123456789012",
        "region": "eu-west-1",
        "namespace": "shop",
        "cluster": "prod",
        "labels": {"team": "web"},
        "user": "root",
        "command": "git clone",
    } | changes


def incident(**changes: Any) -> dict[str, Any]:
    return {
        "_id": "64ee985138b8ac44a6f3d469",
        "type": "host",
        "category": "cryptoMiner",
        "hostname": "web-1.acme.example",
        "resourceID": "i-0123456789abcdef0",
        "provider": "aws",
        "accountID": "123456789012",
        "region": "eu-west-1",
        "time": "2026-06-01T08:00:00Z",
        "acknowledged": False,
        "audits": [{"msg": "xmrig was started", "severity": "high", "time": "2026-06-01T08:00:00Z"}],
    } | changes


def discovery(**changes: Any) -> dict[str, Any]:
    """A delivery of an alert profile about what Compute does not protect."""
    return {
        "_id": "5e170560776710d48a081321",
        "kind": "cloudDiscovery",
        "provider": "aws",
        "accountID": "123456789012",
        "region": "eu-west-1",
        "serviceType": "aws-ecr",
        "registry": "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        "time": "2026-06-01T08:00:00Z",
        "total": 2,
        "protected": 1,
        "entities": [
            {"arn": "arn:aws:ecr:eu-west-1:123456789012:repository/shop", "name": "shop", "protected": False},
            {"arn": "arn:aws:ecr:eu-west-1:123456789012:repository/web", "name": "web", "protected": True},
        ],
    } | changes


def code(**changes: Any) -> dict[str, Any]:
    return {
        "resourceUuid": "aaaa-bbbb",
        "violationId": "BC_AWS_S3_1",
        "policy": "Bucket in code is public",
        "severity": "HIGH",
        "repository": "acme/infra",
        "repositorySource": "Github",
        "filePath": "/s3.tf",
        "resourceName": "aws_s3_bucket.invoices",
        "codeCategory": "IacMisconfiguration",
        "firstDetected": "2026-05-01T08:00:00Z",
        "author": "jane",
    } | changes


def items(*objects: dict[str, Any]) -> list[dict[str, Any]]:
    """The finding objects within, as a file with them would give them to the mapper."""
    from connectors.prisma_cloud.shapes import understand

    found = (understand(one) for one in objects)
    return [dict(item) for one in found if one is not None for item in one.items]


EXAMPLES: list[dict[str, Any]] = [
    alert(),
    webhook(),
    *items(image(), host()),
    *items(row()),
    cve(),
    asset(),
    external(),
    event(),
    incident(),
    *items(discovery())[:1],
    code(),
]
