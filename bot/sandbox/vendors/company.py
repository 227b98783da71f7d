"""The neutral problems all simulated vendors tell of, each in its own words.

The first problems stand on resources of the demo company (``bot/sandbox/company.py``): their ARNs, names and tags are
read from the recorded scan. The others are made up: ``size`` of them, the same for the same ``seed``, about 20 µs each.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from bot.sandbox.aws import ACCOUNTS, DEV, PROD

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
SEVERITIES = ("low", "medium", "high", "critical")
_RECORDED = Path(__file__).parent.parent / "recorded"
_MORE_ACCOUNTS = {f"2000000000{i:02}": f"Acme unit {i}" for i in range(20)}
ACCOUNT_NAMES: Mapping[str, str] = ACCOUNTS | _MORE_ACCOUNTS
_REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1")


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of problem. ``recorded`` is the check of the recorded scan that finds the same."""

    name: str
    title: str
    kind: str  # posture | vulnerability | threat
    severity: str
    resource_type: str
    fix: str
    exposed: bool = False
    recorded: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One rule on one resource. ``status`` open | resolved; ``changed_at`` moves whenever anything else does."""

    key: str
    rule: str
    title: str
    severity: str  # low | medium | high | critical
    kind: str  # posture | vulnerability | threat
    resource_arn: str
    resource_name: str
    resource_type: str  # s3-bucket, ec2-instance, …
    account: str
    region: str
    tags: Mapping[str, str]
    first_seen: datetime
    changed_at: datetime
    status: str = "open"
    fix: str = ""
    exposed: bool = False
    cve: str = ""
    package: str = ""
    version: str = ""
    fixed_version: str = ""
    cvss: float | None = None
    epss: float | None = None  # fraction
    kev: bool = False
    times_changed: int = 0
    status_changed_at: datetime = START  # of some vendors only this moves a cursor

    @property
    def account_name(self) -> str:
        return ACCOUNT_NAMES.get(self.account, self.account)

    def uuid(self, vendor: str) -> str:
        """The id under which a vendor knows this problem: the same at every run, another for every vendor."""
        return _uuid(f"{vendor}/{self.key}")

    def resource_uuid(self, vendor: str) -> str:
        """The vendor's own id of the resource."""
        return _uuid(f"{vendor}/{self.resource_arn}")


RULES: tuple[Rule, ...] = (
    Rule("s3-public", "S3 bucket is readable by anyone", "posture", "critical", "s3-bucket",
         "Turn on Block Public Access of the bucket.", True, "s3_bucket_public_access"),
    Rule("s3-no-tls", "S3 bucket accepts requests without TLS", "posture", "medium", "s3-bucket",
         "Deny requests without aws:SecureTransport in the bucket policy.", False, "s3_bucket_secure_transport_policy"),
    Rule("s3-no-versions", "S3 bucket keeps no versions", "posture", "low", "s3-bucket",
         "Enable versioning.", False, "s3_bucket_object_versioning"),
    Rule("sg-ssh-open", "Security group lets the whole internet reach SSH", "posture", "high", "security-group",
         "Remove the rule for 0.0.0.0/0 on port 22.", True,
         "ec2_securitygroup_allow_ingress_from_internet_to_tcp_port_22"),
    Rule("sg-rdp-open", "Security group lets the whole internet reach RDP", "posture", "high", "security-group",
         "Remove the rule for 0.0.0.0/0 on port 3389.", True,
         "ec2_securitygroup_allow_ingress_from_internet_to_tcp_port_3389"),
    Rule("sg-postgres-open", "Security group lets the whole internet reach PostgreSQL", "posture", "high",
         "security-group", "Remove the rule for 0.0.0.0/0 on port 5432.", True,
         "ec2_securitygroup_allow_ingress_from_internet_to_tcp_port_postgres_5432"),
    Rule("ec2-imds-v1", "EC2 instance answers the old metadata service", "posture", "high", "ec2-instance",
         "Require IMDSv2 tokens.", False, "ec2_instance_imdsv2_enabled"),
    Rule("snapshot-public", "EBS snapshot is public", "posture", "critical", "ebs-snapshot",
         "Remove the group all from the snapshot's permissions.", True, "ec2_ebs_public_snapshot"),
    Rule("rds-public", "RDS instance is publicly accessible", "posture", "critical", "rds-instance",
         "Turn off public accessibility.", True, "rds_instance_no_public_access"),
    Rule("rds-not-encrypted", "RDS instance is not encrypted", "posture", "medium", "rds-instance",
         "Restore an encrypted copy of its snapshot.", False, "rds_instance_storage_encrypted"),
    Rule("rds-snapshot-public", "RDS snapshot is public", "posture", "critical", "rds-snapshot",
         "Remove all from the snapshot's restore attribute.", True, "rds_snapshots_public_access"),
    Rule("sqs-public", "SQS queue takes messages from anyone", "posture", "high", "sqs-queue",
         "Narrow the principal of the queue's policy.", True, "sqs_queues_not_publicly_accessible"),
    Rule("sns-public", "SNS topic can be published to by anyone", "posture", "high", "sns-topic",
         "Narrow the principal of the topic's policy.", True, "sns_topics_not_publicly_accessible"),
    Rule("iam-key-old", "Access key is older than 90 days", "posture", "medium", "iam-user",
         "Rotate the key.", False, "iam_rotate_access_key_90_days"),
    Rule("kms-no-rotation", "KMS key is never rotated", "posture", "low", "kms-key",
         "Enable rotation.", False, "kms_cmk_rotation_enabled"),
    Rule("ami-public", "Machine image is public", "posture", "high", "ami",
         "Make the image private.", True, "ec2_ami_public"),
    Rule("cve", "Package with a known vulnerability", "vulnerability", "high", "ec2-instance",
         "Update the package."),
    Rule("ssh-brute-force", "Many failed logins over SSH from one address", "threat", "high", "ec2-instance",
         "Close the port and look at the logins that succeeded.", True),
    Rule("crypto-mining", "Instance talks to a mining pool", "threat", "critical", "ec2-instance",
         "Isolate the instance."),
)  # fmt: skip
_BY_NAME = {rule.name: rule for rule in RULES}
_BY_RECORDED = {rule.recorded: rule for rule in RULES if rule.recorded}
_CVES = (
    # cve, package, version, fixed in, cvss, epss, exploited in the wild
    ("CVE-2021-44228", "log4j-core", "2.14.1", "2.17.1", 10.0, 0.94, True),
    ("CVE-2022-3602", "openssl", "3.0.5", "3.0.7", 7.5, 0.83, False),
    ("CVE-2023-38545", "curl", "7.88.1", "8.4.0", 9.8, 0.26, False),
    ("CVE-2024-3094", "xz-utils", "5.6.0", "5.6.1+really5.4.5-1", 10.0, 0.85, False),
    ("CVE-2024-6387", "openssh-server", "9.6p1", "9.8p1", 8.1, 0.52, False),
    ("CVE-2020-15999", "libfreetype6", "2.10.1", "2.10.4", 9.6, 0.93, True),
    ("CVE-2019-1010022", "libc6", "2.31", "", 9.8, 0.01, False),
)
_TEAMS = ("payments", "web", "platform", "data", "")
_ARNS = {
    "s3-bucket": "arn:aws:s3:::{name}",
    "security-group": "arn:aws:ec2:{region}:{account}:security-group/sg-{hex}",
    "ec2-instance": "arn:aws:ec2:{region}:{account}:instance/i-{hex}",
    "ebs-snapshot": "arn:aws:ec2:{region}:{account}:snapshot/snap-{hex}",
    "ami": "arn:aws:ec2:{region}:{account}:image/ami-{hex}",
    "rds-instance": "arn:aws:rds:{region}:{account}:db:{name}",
    "rds-snapshot": "arn:aws:rds:{region}:{account}:snapshot:{name}",
    "sqs-queue": "arn:aws:sqs:{region}:{account}:{name}",
    "sns-topic": "arn:aws:sns:{region}:{account}:{name}",
    "iam-user": "arn:aws:iam::{account}:user/{name}",
    "kms-key": "arn:aws:kms:{region}:{account}:key/{uuid}",
}


class World:
    """The problems of one company. ``size`` problems besides those of the demo company (``demo=False`` leaves these
    out); ``kinds`` keeps only such rules. Not safe for several threads."""

    def __init__(
        self,
        size: int = 0,
        *,
        seed: int = 1,
        start: datetime = START,
        demo: bool = True,
        kinds: Collection[str] = ("posture", "vulnerability", "threat"),
    ) -> None:
        self._seed, self._start = seed, start
        self._rules = tuple(rule for rule in RULES if rule.kind in kinds)
        self._made = 0
        self.version = 0  # moves with every change
        self._problems: dict[str, Problem] = {}
        if demo:
            self._problems.update((one.key, one) for one in _demo(start) if one.kind in kinds)
        for _ in range(size):
            self._make(start)

    def __len__(self) -> int:
        return len(self._problems)

    def problems(self) -> list[Problem]:
        """All of them, open and resolved, oldest first."""
        return list(self._problems.values())

    def get(self, key: str) -> Problem | None:
        return self._problems.get(key)

    def forget(self, key: str) -> None:
        """As if it had never been found."""
        del self._problems[key]
        self.version += 1

    def edit(self, key: str, now: datetime, **changes: Any) -> Problem:
        """Change one (``status="resolved"``, ``severity="low"`` …) at ``now``."""
        old = self._problems[key]
        if changes.get("status", old.status) != old.status:
            changes = {"status_changed_at": now, **changes}
        new = replace(old, **{"changed_at": now, "times_changed": old.times_changed + 1, **changes})
        self._problems[key] = new
        self.version += 1
        return new

    def change(self, now: datetime, fraction: float, random: Random) -> list[Problem]:
        """Let a ``fraction`` of all problems change at ``now``, at least one: a fifth are new, a fifth resolved, a
        fifth reopened (as far as any are resolved), the others changed in severity or tags. What was touched."""
        keys = list(self._problems)
        count = max(1, round(len(keys) * fraction))
        touched: list[Problem] = []
        for number, key in enumerate(random.sample(keys, min(count, len(keys)))):
            # a few microseconds apart, as in life; never after ``now``
            moment = now - timedelta(microseconds=random.randrange(1_000_000))
            old, what = self._problems[key], number % 5
            if what == 0:
                touched.append(self._make(moment))
            elif old.status == "resolved":
                touched.append(self.edit(key, moment, status="open"))
            elif what == 1 or what == 2:
                touched.append(self.edit(key, moment, status="resolved"))
            elif what == 3:
                others = [word for word in SEVERITIES if word != old.severity]
                touched.append(self.edit(key, moment, severity=random.choice(others)))
            else:
                touched.append(self.edit(key, moment, tags={**old.tags, "touched": str(old.times_changed + 1)}))
        return touched

    def _make(self, moment: datetime) -> Problem:
        number = self._made
        self._made += 1
        digest = hashlib.blake2b(f"{self._seed}/{number}".encode(), digest_size=16).digest()
        rule = self._rules[digest[0] % len(self._rules)]
        accounts = tuple(ACCOUNT_NAMES)
        account, region = accounts[digest[1] % len(accounts)], _REGIONS[digest[2] % len(_REGIONS)]
        team, word = _TEAMS[digest[3] % len(_TEAMS)], digest.hex()
        name = f"{team or 'misc'}-{rule.resource_type}-{number}"
        env = "dev" if account == DEV or digest[4] % 3 == 0 else "prod"
        tags = {"env": env, "app": f"app-{digest[5] % 40}", **({"team": team, "owner": team} if team else {})}
        arn = _ARNS[rule.resource_type].format(
            region=region, account=account, name=name, hex=word[:17], uuid=_uuid(f"{self._seed}/{number}/key")
        )
        # some are old, so that windows of time hold different numbers of them
        first = moment if moment > self._start else moment - timedelta(minutes=digest[6] * 97 + digest[7])
        made = _problem(
            f"p{self._seed}-{number:07}", rule, arn, name, account, region, tags, first, digest[8], severity=digest[9]
        )
        self._problems[made.key] = made
        self.version += 1
        return made


def _problem(
    key: str,
    rule: Rule,
    arn: str,
    name: str,
    account: str,
    region: str,
    tags: Mapping[str, str],
    first: datetime,
    pick: int,
    severity: int = 0,
) -> Problem:
    cve = _CVES[pick % len(_CVES)] if rule.kind == "vulnerability" else None
    return Problem(
        key=key,
        rule=rule.name,
        title=f"{cve[0]} in {cve[1]}" if cve else rule.title,
        # one in eight is rated otherwise than its rule
        severity=SEVERITIES[severity % 4] if severity % 8 == 7 else rule.severity,
        kind=rule.kind,
        resource_arn=arn,
        resource_name=name,
        resource_type=rule.resource_type,
        account=account,
        region="" if rule.resource_type == "iam-user" else region,
        tags=tags,
        first_seen=first,
        changed_at=first,
        fix=rule.fix,
        exposed=rule.exposed,
        cve=cve[0] if cve else "",
        package=cve[1] if cve else "",
        version=cve[2] if cve else "",
        fixed_version=cve[3] if cve else "",
        cvss=cve[4] if cve else None,
        epss=cve[5] if cve else None,
        kev=cve[6] if cve else False,
        status_changed_at=first,
    )


def _demo(start: datetime) -> Iterator[Problem]:
    """What is wrong with the demo company by the recorded scan, and one vulnerability and one threat each on two of
    its servers."""
    seen: set[str] = set()
    for account in (PROD, DEV):
        for place, (check, resource) in enumerate(_recorded(account)):
            rule = _BY_RECORDED.get(check)
            wanted = [rule] if rule else []
            if check == "ec2_instance_imdsv2_enabled":
                wanted += [_BY_NAME["cve"], _BY_NAME["ssh-brute-force"]][: 2 if account == PROD else 1]
            for one in wanted:
                arn = str(resource["uid"])
                key = f"demo-{one.name}-{arn.rpartition(':')[2].replace('/', '-')}"
                if key in seen:
                    continue
                seen.add(key)
                tags = _tags(resource)
                name = tags.get("Name") or arn.rpartition(":")[2].rpartition("/")[2]
                first = start - timedelta(hours=place)
                yield _problem(key, one, arn, name, account, str(resource.get("region") or ""), tags, first, place)


def _tags(resource: Mapping[str, Any]) -> dict[str, str]:
    pairs = (str(label).partition(":") for label in resource.get("labels") or ())
    return {key: value for key, _, value in pairs if key not in ("TagKey", "TagValue")}  # Prowler's word for KMS


@cache
def _recorded(account: str) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """(check, resource) of everything the recorded scan found wrong in an account."""
    found = recorded(account)
    return tuple((f["metadata"]["event_code"], f["resources"][0]) for f in found if f["status_code"] == "FAIL")


def recorded(account: str) -> list[dict[str, Any]]:
    """The recorded scan of an account of the demo company."""
    with gzip.open(_RECORDED / f"prowler-{account}.ocsf.json.gz") as file:
        found: list[dict[str, Any]] = json.load(file)
    return found


def _uuid(of: str) -> str:
    return str(uuid.UUID(bytes=hashlib.blake2b(of.encode(), digest_size=16).digest(), version=4))
