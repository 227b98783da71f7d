"""What AWS says of a resource, on a simulated AWS; and what that changes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.request import Request, urlopen

import pytest
from sqlalchemy import select

from bot.domain.errors import CloudRefused, RetryLater
from bot.domain.plans import Call
from bot.intake.context import AwsContext, open_rules, read_context
from bot.intake.service import Intake
from bot.ports import Attribution, Page
from bot.reports.board import Board
from bot.settings import AwsSettings, Settings
from bot.store import findings
from bot.store.database import Database
from bot.store.migrate import upgrade
from connectors.aws.clouds import AwsClouds
from tests.lab.seed import Aws
from tests.unit.intake.kit import Catalog, CountedIds, Mapper, StillClock, raw, settings

ACCOUNT = "123456789012"
CIDR = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://localhost:{port}"
    server.stop()


@pytest.fixture
def aws(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Aws:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    urlopen(Request(f"{moto_url}/moto-api/reset", method="POST"), timeout=10).close()
    return Aws(moto_url)


@pytest.fixture
def clouds(aws: Aws) -> Iterator[AwsClouds]:
    made = AwsClouds(AwsSettings(endpoint_url=aws.endpoint), write_operations=frozenset())
    yield made
    made.close()


class NoTrail:
    """The simulated AWS has no look-up in CloudTrail."""

    def __init__(self, clouds: AwsClouds) -> None:
        self._reader = clouds.reader(Attribution())

    async def read(self, call: Call) -> dict[str, Any]:
        return {} if call.service == "cloudtrail" else await self._reader.read(call)


async def facts_of(clouds: AwsClouds, uid: str) -> dict[str, tuple[str, str]]:
    found, _ = await read_context(NoTrail(clouds), uid, ACCOUNT, "us-east-1")
    return {one.fact: (one.value, one.why) for one in found}


async def test_a_bucket_is_reachable_by_its_policy_or_acl_unless_blocked(aws: Aws, clouds: AwsClouds) -> None:
    s3 = aws("s3")
    for name in ("plain", "open", "acl", "blocked"):
        s3.create_bucket(Bucket=name)
    world = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
                                                     "Resource": "arn:aws:s3:::open/*"}]}  # fmt: skip
    s3.put_bucket_policy(Bucket="open", Policy=json.dumps(world))
    s3.put_bucket_acl(Bucket="acl", ACL="public-read")
    s3.put_bucket_acl(Bucket="blocked", ACL="public-read")
    every = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
    s3.put_public_access_block(Bucket="blocked", PublicAccessBlockConfiguration=every)
    s3.put_bucket_tagging(Bucket="plain", Tagging={"TagSet": [{"Key": "owner", "Value": "payments"}]})
    plain = await facts_of(clouds, "arn:aws:s3:::plain")
    assert plain["tags"] == ("owner=payments", "")
    assert plain["exposed"][0] == "no"
    assert (await facts_of(clouds, "arn:aws:s3:::acl"))["exposed"] == ("yes", "its ACL lets anyone read")
    assert (await facts_of(clouds, "arn:aws:s3:::blocked"))["exposed"] == ("no", "Block Public Access is on")


async def test_a_group_counts_by_what_it_lets_in_and_what_uses_it(aws: Aws, clouds: AwsClouds) -> None:
    ec2 = aws("ec2")
    group = ec2.create_security_group(GroupName="g", Description="d", VpcId=aws.vpc)["GroupId"]
    arn = f"arn:aws:ec2:us-east-1:{ACCOUNT}:security-group/{group}"
    assert (await facts_of(clouds, arn))["exposed"][0] == "no"
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=CIDR)
    assert (await facts_of(clouds, arn))["exposed"] == (
        "no", f"{group} lets anyone in on port 22, but nothing uses it"
    )  # fmt: skip


async def test_an_instance_is_reachable_with_public_ip_open_group_and_route(aws: Aws, clouds: AwsClouds) -> None:
    ec2 = aws("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="web", Description="d", VpcId=vpc)["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=CIDR)
    started = ec2.run_instances(
        ImageId="ami-12c6146b", MinCount=1, MaxCount=1,
        NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": subnet, "Groups": [group], "AssociatePublicIpAddress": True}],
    )["Instances"][0]["InstanceId"]  # fmt: skip
    arn = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{started}"
    no_way, why = (await facts_of(clouds, arn))["exposed"]
    assert (no_way, "has no route to the internet" in why) == ("no", True)
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    main = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"][0]["RouteTableId"]
    ec2.create_route(RouteTableId=main, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    way, why = (await facts_of(clouds, arn))["exposed"]
    assert way == "yes"
    assert f"{group} lets anyone in on port 22" in why
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=CIDR)
    assert (await facts_of(clouds, arn))["exposed"] == ("no", "no security group lets anyone in")


async def test_a_role_says_when_it_was_last_used(aws: Aws, clouds: AwsClouds) -> None:
    aws("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}", Tags=[{"Key": "team", "Value": "x"}])
    found = await facts_of(clouds, f"arn:aws:iam::{ACCOUNT}:role/r")
    assert found["last_used"] == ("never", "not in the 400 days that AWS keeps")
    assert found["tags"] == ("team=x", "")


async def test_what_is_no_arn_or_not_understood_has_no_facts(clouds: AwsClouds) -> None:
    assert await facts_of(clouds, "vm-1") == {}
    assert await facts_of(clouds, f"arn:aws:sqs:us-east-1:{ACCOUNT}:queue") == {}


class Trail:
    """A cloud that answers what it is told; anything else is refused."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.asked = answers, list[Call]()

    async def read(self, call: Call) -> dict[str, Any]:
        self.asked.append(call)
        found = self.answers.get(call.operation)
        if isinstance(found, Exception):
            raise found
        if found is None:
            raise CloudRefused("access denied", code="AccessDenied")
        return dict(found)


async def test_who_made_it_is_the_oldest_creation_in_cloudtrail() -> None:
    events = [
        {"EventName": "GetBucketAcl", "Username": "scanner", "EventTime": "2026-03-01T09:00:00Z", "ReadOnly": "true"},
        {"EventName": "PutBucketPolicy", "Username": "bob", "EventTime": "2026-02-02T09:00:00Z", "ReadOnly": "false"},
        {"EventName": "CreateBucket", "Username": "alice", "EventTime": "2026-01-01T09:00:00Z", "ReadOnly": "false"},
    ]
    trail = Trail(lookup_events={"Events": events})
    found, trouble = await read_context(trail, "arn:aws:s3:::b")
    assert [(f.fact, f.value, f.why) for f in found if f.source == "AWS CloudTrail"] == [
        ("created_by", "alice", "CreateBucket at 2026-01-01T09:00:00Z")
    ]
    assert trail.asked[-1].params["LookupAttributes"][0]["AttributeValue"] == "b"  # type: ignore[index, call-overload]
    assert any("access denied" in one for one in trouble)
    assert not [f for f in found if f.fact == "exposed"]  # what could not be read proves nothing
    later, _ = await read_context(Trail(lookup_events={"Events": events[:2]}), "arn:aws:s3:::b")
    assert [(f.fact, f.value) for f in later] == [("changed_by", "bob")]


def test_rules_are_open_by_either_family() -> None:
    groups = [{"GroupId": "sg-1", "IpPermissions": [
        {"FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]},
        {"FromPort": 80, "ToPort": 90, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
        {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
    ]}]  # fmt: skip
    assert open_rules(groups) == ["sg-1 lets anyone in on ports 80 to 90", "sg-1 lets anyone in on all ports"]


# --- what it changes -------------------------------------------------------------------------------------------------


class Clouds:
    def __init__(self, reader: Trail) -> None:
        self._reader = reader

    def reader(self, why: Attribution) -> Trail:
        return self._reader


BUCKET = "arn:aws:s3:::invoices"


def company(**more: Any) -> Settings:
    chosen = Settings(enrichment={"aws_context": True, **more}).enrichment
    return settings().model_copy(update={"enrichment": chosen})


@pytest.fixture
def db(sqlite_url: str) -> Iterator[Database]:
    upgrade(sqlite_url)
    database = Database(sqlite_url)
    yield database
    database.close_sync()


async def test_what_aws_says_counts_where_no_source_does_and_stands_on_the_card(db: Database) -> None:
    clock, ids = StillClock(), CountedIds()
    intake = Intake(db, company(), Catalog(), clock, ids)
    run = await intake.begin("toy")
    item = {"tags": {"env": "prod"}, "exposed": None, "rule": "x", "severity": "HIGH"}
    await run.page(Mapper(), Page([raw("a", resource=BUCKET, **item), raw("b", resource="vm", **item)]))
    await run.finish()
    open_to_all = {"Grants": [{"Grantee": {"URI": "http://acs.amazonaws.com/groups/global/AllUsers"},
                               "Permission": "READ"}]}  # fmt: skip
    trail = Trail(
        get_bucket_acl=open_to_all, get_bucket_policy_status={"PolicyStatus": {"IsPublic": True}},
        lookup_events={"Events": []}, get_public_access_block={}, get_bucket_tagging={"TagSet": []},
    )  # fmt: skip
    context = AwsContext(db, company(), Clouds(trail), clock, ids)  # type: ignore[arg-type]
    assert await context.tick() == 1
    rows = await db.read(lambda conn: {r.uid: r for r in conn.execute(select(findings.FINDINGS))})
    assert (rows["a"].internet_exposed, rows["a"].priority) == (True, 1)
    assert (rows["b"].internet_exposed, rows["b"].priority) == (None, 2)
    view = await Board(db, company(), Catalog(), clock).cause(rows["a"].cause_id)
    lines = {line.fact: line for line in view.context}
    assert (lines["exposed"].value, lines["exposed"].as_of) == ("yes", clock.now())
    assert "P2 became P1" in view.note
    reasons = {reason.input: reason for reason in view.reasons}
    assert reasons["exposure"].fact == "reachable from the internet (its policy lets anyone in)"
    assert reasons["exposure"].source == "AWS"
    asked = len(trail.asked)
    assert await context.tick() == 0  # fresh enough
    clock.move(days=8)
    assert await context.tick() == 1
    assert len(trail.asked) == 2 * asked


async def test_the_budget_of_the_hour_is_kept_and_a_wait_is_noted(db: Database) -> None:
    clock, ids = StillClock(), CountedIds()
    run = await Intake(db, company(), Catalog(), clock, ids).begin("toy")
    await run.page(Mapper(), Page([raw(f"{n}", resource=f"arn:aws:s3:::b{n}", tags={"env": "prod"}) for n in range(5)]))
    await run.finish()
    trail = Trail(lookup_events=RetryLater("throttled"))
    context = AwsContext(db, company(aws_per_hour=3), Clouds(trail), clock, ids)  # type: ignore[arg-type]
    assert await context.tick() == 3
    assert await context.tick() == 0
    clock.at += timedelta(hours=1)
    assert await context.tick() == 2
    off = AwsContext(db, settings(), Clouds(trail), clock, ids)  # type: ignore[arg-type]
    assert await off.tick() == 0
    clock.move(days=30)
    trail.answers["get_bucket_tagging"] = RetryLater("throttled")
    assert await context.tick() == 0
    status = {feed.name: feed.said for feed in (await Board(db, company(), Catalog(), clock).status()).feeds}
    assert "throttled" in status["aws"]
