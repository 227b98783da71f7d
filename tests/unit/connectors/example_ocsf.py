"""An OCSF finding of each kind, of our own making."""

from typing import Any

_BASE: dict[str, Any] = {
    "severity_id": 4, "severity": "High", "status_id": 1, "status": "New", "time": 1764000000000,
    "metadata": {"version": "1.5.0", "product": {"name": "Scanner", "vendor_name": "Acme", "uid": "scanner"}},
    "finding_info": {
        "uid": "s-1", "title": "Bucket is public", "desc": "Anyone can list it.", "types": ["Posture"],
        "analytic": {"uid": "rule-1", "name": "Public bucket"}, "first_seen_time": 1763000000000,
        "last_seen_time": 1763900000000, "modified_time": 1763950000000, "src_url": "https://a.example/s-1",
    },
    "cloud": {"provider": "aws", "region": "eu-west-1",
              "account": {"uid": "111122223333", "name": "acme", "labels": ["env:prod"]}},
    "resources": [{"uid": "arn:aws:s3:::acme", "name": "acme", "type": "S3 Bucket", "region": "eu-west-1",
                   "owner": {"email_addr": "a@b.example"},
                   "tags": [{"name": "team", "value": "web"}, {"name": "data-class", "value": "pii"}]}],
    "remediation": {"desc": "Block it.", "references": ["https://b.example"]},
    "unmapped": {"internet_exposed": True, "kev": True},
    "risk_details": "Data may leak.", "risk_score": 70, "comment": "seen",
}  # fmt: skip
EXAMPLES: list[dict[str, Any]] = [
    {**_BASE, "class_uid": 2003, "compliance": {"standards": ["SOC 2"], "requirements": ["SOC 2 CC6.1"]}},
    {**_BASE, "class_uid": 2002, "status_id": 4, "status": "Resolved",
     "vulnerabilities": [{"title": "CVE-2026-0001 in n", "cve": {"uid": "CVE-2026-0001", "epss": {"score": "0.4",
                          "percentile": "0.9"}, "cvss": [{"version": "3.1", "base_score": 7.5,
                          "vector_string": "CVSS:3.1/x"}]}, "is_exploit_available": True, "is_fix_available": True,
                          "affected_packages": [{"name": "n", "version": "1", "fixed_in_version": "2"}]}]},
]  # fmt: skip
