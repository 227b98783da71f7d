"""When findings of several sources are one issue: the same problem on the same resource, told by several witnesses.

Two findings join only if both their resource and their problem have a name that all sources share: a canonical
resource id, and a topic of ``taxonomy.yml`` or a CVE. A false merge hides a problem, so whatever is not certain stays
apart; people join by click what rules do not (``issue_overrides``).

Sources of the forms of ids: AWS's ARN reference, Azure Resource Manager's ids, Google's full resource names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import yaml

from bot.domain.findings import Finding, FindingClass
from bot.domain.ids import short_hash

_ARN = re.compile(r"^arn:(aws[a-z-]*):([a-z0-9-]+):([a-z0-9-]*):(\d{12}|):(.+)$", re.IGNORECASE)
# Ids that EC2 gives out are unique in all of AWS, with or without an ARN around them.
_EC2_ID = re.compile(
    r"^(?:i|vol|snap|sg|vpc|subnet|ami|eni|eipalloc|igw|nat|rtb|acl|lt|vpce|pcx|tgw|vgw|dopt|fl)-[0-9a-f]{8,17}$"
)
_BUCKET = re.compile(r"^(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
_S3_TYPES = frozenset(
    {"s3 bucket", "awss3bucket", "aws::s3::bucket", "s3#bucket", "bucket", "aws-s3api-get-bucket-acl"}
)
_GCP_HOST = re.compile(r"^(?:https:)?//(?:www\.)?([a-z0-9-]+)\.googleapis\.com/", re.IGNORECASE)
_GCP_SELF = re.compile(r"^https://www\.googleapis\.com/([a-z]+)/v\d[a-z0-9]*/", re.IGNORECASE)
_CVE = re.compile(r"^CVE-\d{4}-\d{4,7}$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Topic:
    """One problem whatever its name: ``rules`` by source, ``titles`` of sources whose rule ids are random."""

    id: str
    title: str
    check: str  # the check of Prowler that finds it: what playbooks know it by; "" for none
    rules: Mapping[str, frozenset[str]]
    titles: tuple[re.Pattern[str], ...]
    kinds: tuple[str, ...]  # what a canonical resource of it begins with


@dataclass(frozen=True, slots=True)
class Issue:
    """``id`` is "" where the finding cannot be joined with another source's; ``why`` says which rule names it."""

    id: str = ""
    why: str = ""
    topic: str = ""
    resource: str = ""


ALONE = Issue()


def issue_of(finding: Finding) -> Issue:
    """The issue that ``finding`` is a witness of."""
    resource = canonical_resource(
        finding.resource.uid, finding.resource.type, finding.account.provider, finding.account.uid
    )
    if not resource:
        return ALONE
    topic = topic_of(finding)
    if topic is None:
        cve = _cve_of(finding)
        if not cve:
            return ALONE
        return Issue(short_hash(cve, resource, prefix="is-"), f"the same CVE {cve} on {resource}", cve, resource)
    if topic.kinds and not resource.startswith(topic.kinds):
        return ALONE  # a problem of the account told on a bucket, or the other way round
    why = f"the same problem ({topic.title}, rule {topic.id}) on {resource}"
    return Issue(short_hash(topic.id, resource, prefix="is-"), why, topic.id, resource)


def _cve_of(finding: Finding) -> str:
    """The one CVE a finding is about; findings of several are about a package or an image."""
    named = {v.uid.upper() for v in finding.vulnerabilities if _CVE.match(v.uid)}
    if finding.class_uid is FindingClass.VULNERABILITY and len(named) == 1:
        return named.pop()
    return ""


def topic_of(finding: Finding) -> Topic | None:
    """By the source's own rule id, else by a title that says exactly this."""
    if finding.class_uid is not FindingClass.COMPLIANCE and finding.class_uid is not FindingClass.DETECTION:
        return None
    return _topic(finding.source, finding.rule_uid, finding.title)


@lru_cache(maxsize=20_000)
def _topic(source: str, rule: str, title: str) -> Topic | None:
    known = _by_rule().get((source, rule.lower()))
    if known is not None:
        return known
    said = normal(title)
    found = [topic for topic in topics() if any(pattern.fullmatch(said) for pattern in topic.titles)]
    return found[0] if len(found) == 1 else None  # a title that fits two topics proves neither


def check_of(source: str, rule: str, title: str) -> str:
    """Prowler's check for the same problem, by which playbooks are found; "" when no topic has the rule."""
    topic = _topic(source, rule, title)
    return topic.check if topic is not None else ""


def normal(title: str) -> str:
    """Words only, lower case, without "Not met:" and numbers of versions."""
    title = re.sub(r"^not met:\s*", "", title.lower())
    return " ".join(re.findall(r"[a-z0-9]+", title))


@cache
def topics() -> tuple[Topic, ...]:
    data: list[dict[str, Any]] = yaml.safe_load(files("bot.intake").joinpath("taxonomy.yml").read_text("utf-8"))
    return tuple(
        Topic(
            id=one["id"],
            title=one["title"],
            check=one.get("check", ""),
            rules={source: frozenset(map(str.lower, rules)) for source, rules in one.get("rules", {}).items()},
            titles=tuple(re.compile(pattern) for pattern in one.get("titles", ())),
            kinds=tuple(one.get("kinds", ())),
        )
        for one in data
    )


@cache
def _by_rule() -> dict[tuple[str, str], Topic]:
    found: dict[tuple[str, str], Topic] = {}
    for topic in topics():
        for source, rules in topic.rules.items():
            for rule in rules:
                found[source, rule] = topic
    return found


@lru_cache(maxsize=50_000)
def canonical_resource(uid: str, kind: str, provider: str, account: str) -> str:
    """One spelling of a resource's id over all sources; "" where nothing certain can be said.

    >>> canonical_resource("arn:aws:ec2:eu-west-1:111122223333:instance/i-0123456789abcdef0", "", "aws", "")
    'aws:i-0123456789abcdef0'
    """
    uid, kind, provider = uid.strip(), kind.lower().strip(), provider.lower()
    if found := _ARN.match(uid):
        return _arn(found)
    if _EC2_ID.match(uid.lower()) and provider in ("aws", ""):
        return f"aws:{uid.lower()}"
    if uid.lower().startswith("/subscriptions/"):
        return f"azure:{uid.lower().rstrip('/')}"
    if gcp := _gcp(uid):
        return gcp
    if provider == "aws" and kind in _S3_TYPES and _BUCKET.match(uid):
        return f"aws:s3:{uid}"
    if provider == "aws" and uid.lower().startswith("s3://") and _BUCKET.match(uid[5:].rstrip("/")):
        return f"aws:s3:{uid[5:].rstrip('/')}"
    if provider and account and len(uid) > 3 and uid.lower() not in ("unknown", "none"):
        return f"{provider}:{account}:{kind}:{uid}"  # the same words of two sources, no more
    return ""


def _arn(found: re.Match[str]) -> str:
    service, region, account, rest = found[2].lower(), found[3].lower(), found[4], found[5]
    last = re.split(r"[:/]", rest)[-1].lower()
    if service == "ec2" and _EC2_ID.match(last):
        return f"aws:{last}"
    if service == "s3" and not account:
        bucket = rest.split("/", 1)[0]
        return f"aws:s3:{bucket}" if "/" not in rest or rest.endswith("/*") else f"aws:s3:{rest}"
    if service == "lambda" and rest.startswith("function:"):
        rest = ":".join(rest.split(":")[:2])  # versions and aliases are the same function
    if service == "iam" and rest == "root":
        return f"aws:{account}"
    if service in ("iam", "s3", "cloudfront", "route53"):
        region = ""
    return f"aws:{service}:{region}:{account}:{rest}"


def _gcp(uid: str) -> str:
    if found := _GCP_SELF.match(uid):
        return f"gcp:{found[1].lower()}/{uid[found.end() :].rstrip('/')}"
    if found := _GCP_HOST.match(uid):
        rest = re.sub(r"^(?:v\d[a-z0-9]*|[a-z]+/v\d[a-z0-9]*)/", "", uid[found.end() :])
        if found[1].lower() == "storage":
            rest = re.sub(r"^(?:b/|projects/_/buckets/)", "", rest)
        return f"gcp:{found[1].lower()}/{rest.rstrip('/')}"
    if uid.startswith("gs://"):
        return f"gcp:storage/{uid[5:].rstrip('/')}"
    return ""
