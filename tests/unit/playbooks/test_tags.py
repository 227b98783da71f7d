"""Tags as AWS has them now, for the scope of standing approvals; what AWS does not name is not made up."""

from __future__ import annotations

import pytest

from bot.domain.errors import CloudRefused
from bot.remediation.standing_guard import never
from connectors.aws.clouds import AwsCloud
from tests.lab.seed import SEEDS, Aws
from tests.unit.playbooks.make import CATALOG, finding

WANTED = {"env": "dev", "auto-remediate": "true"}


def seeded(aws: Aws, playbook_id: str):
    made = SEEDS[playbook_id](aws)
    playbook = CATALOG.get(playbook_id)
    target = playbook.target(finding(made.uid, made.name, rule=playbook.info.checks[0]))
    assert target is not None
    return playbook, target


def _kms(pairs):
    return [{"TagKey": pair["Key"], "TagValue": pair["Value"]} for pair in pairs]


TAG = {
    "s3-block-public-access": lambda aws, name, pairs: aws("s3").put_bucket_tagging(
        Bucket=name, Tagging={"TagSet": pairs}
    ),
    "ebs-snapshot-private": lambda aws, name, pairs: aws("ec2").create_tags(Resources=[name], Tags=pairs),
    "sg-revoke-world-ssh": lambda aws, name, pairs: aws("ec2").create_tags(Resources=[name], Tags=pairs),
    "iam-deactivate-access-key": lambda aws, name, pairs: aws("iam").tag_user(UserName=name, Tags=pairs),
    "kms-rotation": lambda aws, name, pairs: aws("kms").tag_resource(KeyId=name, Tags=_kms(pairs)),
}


@pytest.mark.parametrize("playbook_id", TAG)
async def test_tags_are_read_from_the_resource(playbook_id, aws: Aws, cloud: AwsCloud):
    playbook, target = seeded(aws, playbook_id)
    before = await playbook.tags(cloud, target)
    # KMS is asked through the tagging API, which does not tell an untagged key from one it does not know.
    assert before is None if playbook_id == "kms-rotation" else not WANTED.keys() & (before or {}).keys()
    TAG[playbook_id](aws, target.name, [{"Key": key, "Value": value} for key, value in WANTED.items()])
    found = await playbook.tags(cloud, target)
    assert found is not None
    assert {key: found[key] for key in WANTED} == WANTED


async def test_a_bucket_that_is_gone_has_no_tags_to_tell(aws: Aws, cloud: AwsCloud):
    playbook, target = seeded(aws, "s3-block-public-access")
    aws("s3").delete_bucket(Bucket=target.name)
    with pytest.raises(CloudRefused):
        await playbook.tags(cloud, target)


async def test_what_is_no_resource_of_its_own_has_no_tags(cloud: AwsCloud):
    playbook = CATALOG.get("s3-account-public-access-block")
    target = playbook.target(finding("arn:aws:iam::111122223333:root"))
    assert target is None or await playbook.tags(cloud, target) is None


def test_what_can_be_pre_approved_is_reversible_bounded_and_not_of_high_risk():
    excluded = {playbook.info.id for playbook in CATALOG.all() if never(playbook.info)}
    assert "s3-account-public-access-block" in excluded
    assert "s3-block-public-access" not in excluded
    for playbook in CATALOG.all():
        info = playbook.info
        if info.id not in excluded:
            assert (info.scope, info.reversibility.value) == ("resource", "exact")
            assert info.risk.value != "high"
