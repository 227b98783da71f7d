"""The simulated company: the same on every machine, and what the real scanner said is about it."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from bot.sandbox.aws import ACCOUNTS, DEV, PROD, Account, SimulatedAws
from bot.sandbox.company import Company, build
from bot.sandbox.moto_server import describe_call
from bot.sandbox.scan import find_prowler, recorded_findings, unpack_recorded

World = tuple[SimulatedAws, Company]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    async with SimulatedAws() as aws:
        yield aws, await asyncio.to_thread(build, aws.endpoint)


pytestmark = pytest.mark.asyncio(loop_scope="module")


def existing(account: Account) -> set[str]:
    """Everything a scanner may name in this account, asked from the cloud itself."""
    ec2, uid = account.client("ec2"), account.uid
    prefix = f"arn:aws:ec2:us-east-1:{uid}:"
    found = {f"{prefix}volume", f"arn:aws:iam:us-east-1:{uid}:password-policy"}
    found |= {f"arn:aws:guardduty:us-east-1:{uid}:detector/unknown", f"arn:aws:s3:us-east-1:{uid}:account"}
    for reservation in ec2.describe_instances()["Reservations"]:
        found |= {f"{prefix}instance/{i['InstanceId']}" for i in reservation["Instances"]}
    found |= {f"{prefix}security-group/{g['GroupId']}" for g in ec2.describe_security_groups()["SecurityGroups"]}
    found |= {f"{prefix}snapshot/{s['SnapshotId']}" for s in ec2.describe_snapshots(OwnerIds=[uid])["Snapshots"]}
    found |= {f"{prefix}vpc/{v['VpcId']}" for v in ec2.describe_vpcs()["Vpcs"]}
    found |= {f"{prefix}subnet/{s['SubnetId']}" for s in ec2.describe_subnets()["Subnets"]}
    found |= {f"arn:aws:ec2:us-east-1:{uid}:image/{i['ImageId']}" for i in ec2.describe_images(Owners=[uid])["Images"]}
    found |= {f"arn:aws:s3:::{b['Name']}" for b in account.client("s3").list_buckets()["Buckets"]}
    found |= {k["KeyArn"] for k in account.client("kms").list_keys()["Keys"]}
    found |= {u["Arn"] for u in account.client("iam").list_users()["Users"]}
    rds = account.client("rds")
    found |= {d["DBInstanceArn"] for d in rds.describe_db_instances()["DBInstances"]}
    found |= {s["DBSnapshotArn"] for s in rds.describe_db_snapshots()["DBSnapshots"]}
    tables = account.client("dynamodb").list_tables()["TableNames"]
    found |= {f"arn:aws:dynamodb:us-east-1:{uid}:table/{t}" for t in tables}
    found |= {r["repositoryArn"] for r in account.client("ecr").describe_repositories()["repositories"]}
    found |= {t["TopicArn"] for t in account.client("sns").list_topics()["Topics"]}
    queues = account.client("sqs").list_queues().get("QueueUrls", [])
    found |= {f"arn:aws:sqs:us-east-1:{uid}:{q.rsplit('/', 1)[-1]}" for q in queues}
    return found


@pytest.mark.parametrize("uid", [PROD, DEV])
async def test_every_recorded_failure_is_about_something_that_exists(world: World, uid: str) -> None:
    findings = recorded_findings(uid)
    failed = [f for f in findings if f["status_code"] == "FAIL"]
    assert len(failed) >= 25
    assert any(f["status_code"] == "PASS" for f in findings), "a company where nothing is healthy proves nothing"
    there = await asyncio.to_thread(existing, world[0].account(uid))
    assert {f["resources"][0]["uid"] for f in failed} - there == set()


async def test_the_recorded_scan_found_what_the_company_got_wrong(world: World) -> None:
    failed = {
        (f["metadata"]["event_code"], f["resources"][0]["uid"].rsplit("/", 1)[-1].rsplit(":", 1)[-1])
        for uid in ACCOUNTS
        for f in recorded_findings(uid)
        if f["status_code"] == "FAIL"
    }
    ids = world[1].ids
    for check, resource in (
        ("s3_bucket_public_access", "acme-customer-exports"),
        ("s3_bucket_public_list_acl", "acme-shop-assets"),
        ("s3_bucket_secure_transport_policy", "acme-orders-archive"),
        ("ec2_securitygroup_allow_ingress_from_internet_to_tcp_port_22", ids["sg/payments-bastion"]),
        ("ec2_securitygroup_allow_ingress_from_internet_to_tcp_port_3389", ids["sg/backoffice-rdp"]),
        ("ec2_securitygroup_allow_ingress_from_internet_to_tcp_port_postgres_5432", ids["sg/payments-db"]),
        ("ec2_ebs_public_snapshot", ids["snapshot/ledger-2026-06"]),
        ("ec2_instance_imdsv2_enabled", ids["instance/payments-bastion-1"]),
        ("ec2_ami_public", ids["dev/image/acme-base-2026"]),
        ("rds_instance_no_public_access", "reporting"),
        ("rds_snapshots_public_access", "reporting-before-upgrade"),
        ("kms_cmk_rotation_enabled", ids["kms/payments-tokens"].rsplit("/", 1)[-1]),
        ("iam_rotate_access_key_90_days", "ci-deployer"),
        ("sqs_queues_not_publicly_accessible", "orders-intake"),
        ("sns_topics_not_publicly_accessible", "order-events"),
        ("ec2_securitygroup_allow_ingress_from_internet_to_tcp_port_22", ids["sg/temp-test"]),
    ):
        assert (check, resource) in failed
    healthy = {"acme-invoices", "ledger", "orders-dead-letter", ids["sg/web-front"], ids["instance/shop-1"]}
    assert {resource for _, resource in failed} & (healthy - {"acme-invoices"}) == set()


async def test_the_company_has_the_size_and_the_mix_it_claims(world: World) -> None:
    assert 40 <= len(world[1].ids) <= 80
    assert len(world[1].resources) == len(world[1].ids)


async def test_the_same_seed_makes_the_same_ids_and_another_seed_does_not(world: World) -> None:
    async def ids(seed: int) -> dict[str, str]:
        async with SimulatedAws(seed=seed) as aws:
            return (await asyncio.to_thread(build, aws.endpoint)).ids

    again, other = await asyncio.gather(ids(world[0].seed), ids(99))
    assert again == world[1].ids
    assert other["sg/payments-bastion"] != again["sg/payments-bastion"]


async def test_accounts_are_apart_and_old_keys_are_old(world: World) -> None:
    prod, dev = world[0].account(PROD), world[0].account(DEV)
    assert (await asyncio.to_thread(dev.client("sts").get_caller_identity))["Account"] == DEV
    keys = await asyncio.to_thread(prod.client("iam").list_access_keys, UserName="ci-deployer")
    age = datetime.now(UTC) - keys["AccessKeyMetadata"][0]["CreateDate"]
    assert timedelta(days=411) < age < timedelta(days=413)
    assert (await asyncio.to_thread(dev.client("iam").list_users))["Users"][0]["UserName"] == "old-intern"


async def test_the_call_log_tells_reads_from_writes_and_keeps_the_user_agent(world: World) -> None:
    aws = world[0]
    await aws.forget_calls()
    ec2, s3 = aws.account().client("ec2"), aws.account().client("s3")
    await asyncio.to_thread(ec2.describe_vpcs)
    await asyncio.to_thread(s3.get_bucket_versioning, Bucket="acme-invoices")
    await asyncio.to_thread(
        s3.put_bucket_versioning, Bucket="acme-invoices", VersioningConfiguration={"Status": "Enabled"}
    )
    calls, writes = await aws.calls(), await aws.calls(writes=True)
    assert [c["service"] for c in calls] == ["ec2", "s3", "s3"]
    assert [(c["service"], c["status"]) for c in writes] == [("s3", 200)]
    assert "gatehouse-sandbox" in writes[0]["user_agent"]


@pytest.mark.parametrize(
    ("environ", "body", "action", "write"),
    [
        ({"HTTP_X_AMZ_TARGET": "TrentService.EnableKeyRotation"}, b"", "EnableKeyRotation", True),
        ({"HTTP_X_AMZ_TARGET": "TrentService.ListKeys"}, b"", "ListKeys", False),
        (
            {"CONTENT_TYPE": "application/x-www-form-urlencoded"},
            b"Action=DescribeVpcs&Version=1",
            "DescribeVpcs",
            False,
        ),
        ({"REQUEST_METHOD": "PUT", "PATH_INFO": "/b", "QUERY_STRING": "policy"}, b"", "PUT /b?policy", True),
    ],
)
async def test_every_protocol_of_aws_is_understood(
    environ: dict[str, Any], body: bytes, action: str, write: bool
) -> None:
    call = describe_call({"REQUEST_METHOD": "POST", **environ}, body)
    assert (call["action"], call["write"]) == (action, write)


async def test_recorded_findings_unpack_to_one_file_an_account(tmp_path: Any) -> None:
    paths = unpack_recorded(tmp_path / "findings")
    assert [p.name for p in paths] == [f"prowler-{uid}.ocsf.json" for uid in ACCOUNTS]


async def test_a_missing_scanner_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from bot.domain.errors import SettingsError

    monkeypatch.setenv("GATEHOUSE_PROWLER", "/nowhere/prowler")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SettingsError) as caught:
        find_prowler()
    assert "/nowhere/prowler" in str(caught.value)
    assert "without --scan" in caught.value.mend
