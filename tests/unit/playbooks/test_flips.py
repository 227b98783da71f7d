"""Every playbook against a simulated AWS: read, change, read back, take back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.domain.errors import CloudRefused, Gone
from bot.domain.plans import Change, Reversibility, Target
from bot.ports import Playbook
from connectors.aws.clouds import AwsCloud
from tests.lab.seed import SEEDS, Aws
from tests.unit.playbooks.make import CATALOG, finding, target_of


async def apply(cloud: AwsCloud, changes: list[Change]) -> None:
    for number, change in enumerate(changes):
        await cloud.write(change.call, idempotency_key=f"test-{number}")


def seeded(aws: Aws, playbook_id: str) -> tuple[Playbook, Target]:
    made = SEEDS[playbook_id](aws)
    playbook = CATALOG.get(playbook_id)
    rule = playbook.info.checks[0]
    target = playbook.target(finding(made.uid, made.name, rule=rule))
    assert target is not None
    return playbook, target


def unordered(state: Any) -> str:
    """AWS keeps no order in policies, grants and rules."""
    if isinstance(state, dict):
        return json.dumps({k: unordered(v) for k, v in sorted(state.items())})
    if isinstance(state, list):
        return json.dumps(sorted(unordered(v) for v in state))
    return json.dumps(state)


def test_every_playbook_has_a_misconfigured_resource() -> None:
    assert {p.info.id for p in CATALOG.all()} == set(SEEDS)


@pytest.mark.parametrize("playbook_id", SEEDS)
async def test_fix_verify_again_undo(playbook_id: str, aws: Aws, cloud: AwsCloud) -> None:
    playbook, target = seeded(aws, playbook_id)
    pre = await playbook.inspect(cloud, target)
    assert json.loads(json.dumps(pre)) == pre, "a state is JSON"
    assert pre == await playbook.inspect(cloud, target), "reading twice gives the same fingerprint"
    assert not playbook.verify(target, pre).ok

    fix = playbook.changes(target, pre)
    assert fix
    assert all(c.before != c.after and c.summary and c.target == target for c in fix)
    radius = playbook.blast_radius([target], {target.uid: pre})
    assert (radius.resources, radius.accounts) == (1, 1)
    await apply(cloud, fix)

    post = await playbook.inspect(cloud, target)
    assert playbook.verify(target, post).ok, playbook.verify(target, post).why
    assert playbook.changes(target, post) == [], "a second run finds nothing to do"
    assert playbook.undo(target, pre, pre) == [], "nothing to take back where nothing was changed"

    back = playbook.undo(target, pre, post)
    assert back
    await apply(cloud, back)
    now = await playbook.inspect(cloud, target)
    if playbook.info.reversibility is Reversibility.EXACT:
        assert unordered(now) == unordered(pre)
    else:
        assert now == {"settings": {"Status": "Suspended"}}, "what undo_note says"
    assert playbook.undo(target, pre, now) == []
    assert not playbook.verify(target, now).ok


@pytest.mark.parametrize("playbook_id", SEEDS)
async def test_only_declared_writes_are_asked_for(playbook_id: str, aws: Aws, cloud: AwsCloud) -> None:
    playbook, target = seeded(aws, playbook_id)
    pre = await playbook.inspect(cloud, target)
    fix = playbook.changes(target, pre)
    await apply(cloud, fix)
    calls = [*fix, *playbook.undo(target, pre, await playbook.inspect(cloud, target))]
    asked = {f"{c.call.service}.{c.call.operation}" for c in calls}
    assert asked <= playbook.writes  # type: ignore[attr-defined]


async def test_the_office_keeps_its_way_in(aws: Aws, cloud: AwsCloud) -> None:
    playbook, target = seeded(aws, "sg-revoke-world-ssh")
    await apply(cloud, playbook.changes(target, await playbook.inspect(cloud, target)))
    (group,) = aws("ec2").describe_security_groups(GroupIds=[target.name])["SecurityGroups"]
    (permission,) = group["IpPermissions"]
    assert [r["CidrIp"] for r in permission["IpRanges"]] == ["198.51.100.0/24"]
    assert permission["Ipv6Ranges"] == []


async def test_undo_restores_the_description_of_a_range(aws: Aws, cloud: AwsCloud) -> None:
    playbook, target = seeded(aws, "sg-revoke-world-ssh")
    pre = await playbook.inspect(cloud, target)
    await apply(cloud, playbook.changes(target, pre))
    await apply(cloud, playbook.undo(target, pre, await playbook.inspect(cloud, target)))
    (group,) = aws("ec2").describe_security_groups(GroupIds=[target.name])["SecurityGroups"]
    ranges = [r for p in group["IpPermissions"] for r in p["IpRanges"]]
    assert {"CidrIp": "0.0.0.0/0", "Description": "temporary"} in ranges


async def test_the_old_key_is_deactivated_and_the_new_one_goes_on(aws: Aws, cloud: AwsCloud) -> None:
    playbook, target = seeded(aws, "iam-deactivate-access-key")
    before = aws("iam").list_access_keys(UserName="lab-alice")["AccessKeyMetadata"]
    old, new = sorted(before, key=lambda k: k["CreateDate"])
    await apply(cloud, playbook.changes(target, await playbook.inspect(cloud, target)))
    after = aws("iam").list_access_keys(UserName="lab-alice")["AccessKeyMetadata"]
    assert {k["AccessKeyId"]: k["Status"] for k in after} == {
        old["AccessKeyId"]: "Inactive",
        new["AccessKeyId"]: "Active",
    }


async def test_named_accounts_keep_a_snapshot(aws: Aws, cloud: AwsCloud) -> None:
    playbook, target = seeded(aws, "ebs-snapshot-private")
    await apply(cloud, playbook.changes(target, await playbook.inspect(cloud, target)))
    assert await playbook.inspect(cloud, target) == {"public": False, "accounts": ["111122223333"]}


async def test_cors_of_a_function_url_survives(aws: Aws, cloud: AwsCloud) -> None:
    playbook, target = seeded(aws, "lambda-url-iam")
    await apply(cloud, playbook.changes(target, await playbook.inspect(cloud, target)))
    url = aws("lambda").get_function_url_config(FunctionName="lab-hook")
    assert url["AuthType"] == "AWS_IAM"
    assert url["Cors"]["AllowOrigins"] == ["https://example.com"]


async def test_no_configuration_and_all_off_are_undone_differently(aws: Aws, cloud: AwsCloud) -> None:
    playbook, target = seeded(aws, "s3-block-public-access")
    off = {"BlockPublicAcls": False, "IgnorePublicAcls": False, "BlockPublicPolicy": False}
    for pre_config in (None, {**off, "RestrictPublicBuckets": False}):
        if pre_config is not None:
            aws("s3").put_public_access_block(Bucket=target.name, PublicAccessBlockConfiguration=pre_config)
        pre = await playbook.inspect(cloud, target)
        assert pre["settings"] == pre_config
        await apply(cloud, playbook.changes(target, pre))
        await apply(cloud, playbook.undo(target, pre, await playbook.inspect(cloud, target)))
        assert (await playbook.inspect(cloud, target))["settings"] == pre_config


async def test_a_missing_bucket_is_not_a_bucket_without_settings(cloud: AwsCloud) -> None:
    target = target_of("s3-block-public-access", "arn:aws:s3:::nobody-has-this")
    with pytest.raises(CloudRefused) as refusal:
        await CATALOG.get("s3-block-public-access").inspect(cloud, target)
    assert refusal.value.code == "NoSuchBucket"


async def test_a_user_without_keys_has_nothing_to_deactivate(aws: Aws, cloud: AwsCloud) -> None:
    arn = aws("iam").create_user(UserName="lab-bob")["User"]["Arn"]
    target = target_of("iam-deactivate-access-key", arn, "lab-bob-access-key-1")
    with pytest.raises(Gone):
        await CATALOG.get("iam-deactivate-access-key").inspect(cloud, target)
