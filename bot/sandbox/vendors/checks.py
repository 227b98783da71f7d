"""Whether a resource of the simulated AWS is still wrong: the looks of the simulated vendors, by boto3 and nothing of
the bot's. Blocking."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from bot.sandbox.aws import Account
from bot.sandbox.vendors.company import Problem

_PORTS = {"sg-ssh-open": 22, "sg-rdp-open": 3389, "sg-postgres-open": 5432}


def still_wrong(account: Account, problem: Problem) -> bool | None:
    """None where no look at AWS can tell (a vulnerability, a threat) or the resource is gone."""
    look = _LOOKS.get(problem.rule)
    if look is None:
        return None
    try:
        return look(account, problem)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in ("NoSuchPublicAccessBlockConfiguration", "NoSuchBucketPolicy"):
            return True
        if "NotFound" in code or code.startswith("NoSuch") or code.endswith("NonExistentQueue"):
            return None
        raise


def _last(problem: Problem) -> str:
    return problem.resource_arn.rpartition(":")[2].rpartition("/")[2]


def _bucket_public(account: Account, problem: Problem) -> bool:
    block = account.client("s3").get_public_access_block(Bucket=_last(problem))["PublicAccessBlockConfiguration"]
    return not all(block.get(name) for name in ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy",
                                                "RestrictPublicBuckets"))  # fmt: skip


def _bucket_without_tls(account: Account, problem: Problem) -> bool:
    return "aws:SecureTransport" not in account.client("s3").get_bucket_policy(Bucket=_last(problem))["Policy"]


def _bucket_without_versions(account: Account, problem: Problem) -> bool:
    return bool(account.client("s3").get_bucket_versioning(Bucket=_last(problem)).get("Status") != "Enabled")


def _group_open(account: Account, problem: Problem) -> bool:
    port = _PORTS[problem.rule]
    groups = _ec2(account, problem).describe_security_groups(GroupIds=[_last(problem)])["SecurityGroups"]
    return any(
        rule.get("FromPort", 0) <= port <= rule.get("ToPort", 65535)
        and (
            any(r.get("CidrIp") == "0.0.0.0/0" for r in rule.get("IpRanges", []))
            or any(r.get("CidrIpv6") == "::/0" for r in rule.get("Ipv6Ranges", []))
        )
        for group in groups
        for rule in group["IpPermissions"]
    )


def _old_metadata(account: Account, problem: Problem) -> bool:
    found = _ec2(account, problem).describe_instances(InstanceIds=[_last(problem)])["Reservations"]
    options = found[0]["Instances"][0].get("MetadataOptions", {})
    return bool(options.get("HttpTokens") != "required")


def _snapshot_public(account: Account, problem: Problem) -> bool:
    answer = _ec2(account, problem).describe_snapshot_attribute(
        SnapshotId=_last(problem), Attribute="createVolumePermission"
    )
    return any(one.get("Group") == "all" for one in answer["CreateVolumePermissions"])


def _image_public(account: Account, problem: Problem) -> bool:
    answer = _ec2(account, problem).describe_image_attribute(ImageId=_last(problem), Attribute="launchPermission")
    return any(one.get("Group") == "all" for one in answer["LaunchPermissions"])


def _database(account: Account, problem: Problem) -> dict[str, Any]:
    rds = account.client("rds", problem.region)
    found: dict[str, Any] = rds.describe_db_instances(DBInstanceIdentifier=_last(problem))["DBInstances"][0]
    return found


def _database_public(account: Account, problem: Problem) -> bool:
    return bool(_database(account, problem).get("PubliclyAccessible"))


def _database_plain(account: Account, problem: Problem) -> bool:
    return not _database(account, problem).get("StorageEncrypted")


def _database_snapshot_public(account: Account, problem: Problem) -> bool:
    rds = account.client("rds", problem.region)
    answer = rds.describe_db_snapshot_attributes(DBSnapshotIdentifier=_last(problem))
    attributes = answer["DBSnapshotAttributesResult"]["DBSnapshotAttributes"]
    return any("all" in a["AttributeValues"] for a in attributes if a["AttributeName"] == "restore")


def _open_to_all(policy: str) -> bool:
    statements = json.loads(policy or "{}").get("Statement", [])
    return any(
        one.get("Effect") == "Allow" and one.get("Principal") in ("*", {"AWS": "*"}) and not one.get("Condition")
        for one in (statements if isinstance(statements, list) else [statements])
    )


def _queue_public(account: Account, problem: Problem) -> bool:
    sqs = account.client("sqs", problem.region)
    url = sqs.get_queue_url(QueueName=_last(problem))["QueueUrl"]
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
    return _open_to_all(answer.get("Attributes", {}).get("Policy", ""))


def _topic_public(account: Account, problem: Problem) -> bool:
    answer = account.client("sns", problem.region).get_topic_attributes(TopicArn=problem.resource_arn)
    return _open_to_all(answer["Attributes"].get("Policy", ""))


def _key_kept(account: Account, problem: Problem) -> bool:
    keys = account.client("iam").list_access_keys(UserName=_last(problem))["AccessKeyMetadata"]
    return any(key["Status"] == "Active" for key in keys)


def _never_rotated(account: Account, problem: Problem) -> bool:
    return not account.client("kms", problem.region).get_key_rotation_status(KeyId=_last(problem))["KeyRotationEnabled"]


def _ec2(account: Account, problem: Problem) -> Any:
    return account.client("ec2", problem.region)


_LOOKS: dict[str, Callable[[Account, Problem], bool]] = {
    "s3-public": _bucket_public,
    "s3-no-tls": _bucket_without_tls,
    "s3-no-versions": _bucket_without_versions,
    "sg-ssh-open": _group_open,
    "sg-rdp-open": _group_open,
    "sg-postgres-open": _group_open,
    "ec2-imds-v1": _old_metadata,
    "snapshot-public": _snapshot_public,
    "ami-public": _image_public,
    "rds-public": _database_public,
    "rds-not-encrypted": _database_plain,
    "rds-snapshot-public": _database_snapshot_public,
    "sqs-public": _queue_public,
    "sns-public": _topic_public,
    "iam-key-old": _key_kept,
    "kms-no-rotation": _never_rotated,
}
