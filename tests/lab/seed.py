"""One misconfigured resource for every playbook, in a simulated AWS. Used by the unit tests and by ``scan.py``."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any
from unittest.mock import patch

import boto3
from botocore.config import Config

ACCOUNT = "123456789012"
REGION = "us-east-1"
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@dataclass(frozen=True)
class Seeded:
    """What a scanner would name: the resource's uid and name."""

    uid: str
    name: str


class Aws:
    """boto3 clients of the simulated AWS, and the few shared things that seeds stand on."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._clients: dict[str, Any] = {}

    def __call__(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                region_name=REGION,
                endpoint_url=self.endpoint,
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
                config=Config(s3={"addressing_style": "path"}) if service == "s3" else None,
            )
        return self._clients[service]

    @cached_property
    def vpc(self) -> str:
        vpc: str = self("ec2").create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        return vpc

    @cached_property
    def subnet(self) -> str:
        made = self("ec2").create_subnet(VpcId=self.vpc, CidrBlock="10.20.1.0/24", AvailabilityZone="us-east-1a")
        subnet: str = made["Subnet"]["SubnetId"]
        return subnet

    @cached_property
    def role(self) -> str:
        made = self("iam").create_role(RoleName="lab-fn", AssumeRolePolicyDocument=json.dumps(_TRUST))
        arn: str = made["Role"]["Arn"]
        return arn

    @cached_property
    def public_db_subnets(self) -> str:
        """A subnet group with a way to the internet: only then the scanner calls a database exposed."""
        ec2 = self("ec2")
        zones = {"us-east-1a": "10.20.21.0/24", "us-east-1b": "10.20.22.0/24"}
        subnets = [
            ec2.create_subnet(VpcId=self.vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
            for zone, cidr in zones.items()
        ]
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=self.vpc)
        routes = ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        ec2.create_route(RouteTableId=routes, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
        for subnet in subnets:
            ec2.associate_route_table(RouteTableId=routes, SubnetId=subnet)
        self("rds").create_db_subnet_group(
            DBSubnetGroupName="lab-public", DBSubnetGroupDescription="lab", SubnetIds=subnets
        )
        return "lab-public"

    def instance(self) -> dict[str, Any]:
        image = self("ec2").describe_images()["Images"]
        ami = image[0]["ImageId"] if image else "ami-12c6146b"
        run = self("ec2").run_instances(ImageId=ami, MinCount=1, MaxCount=1, SubnetId=self.subnet)
        found: dict[str, Any] = run["Instances"][0]
        return found


@contextmanager
def days_ago(days: int) -> Iterator[None]:
    """IAM objects made inside are that old: AWS gives creation dates, the simulator takes them from this clock."""
    from moto.core.utils import utcnow

    with patch("moto.iam.models.utcnow", lambda: utcnow() - timedelta(days=days)):
        yield


def _arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def _bucket(aws: Aws, name: str) -> Seeded:
    aws("s3").create_bucket(Bucket=name, ObjectOwnership="ObjectWriter")
    return Seeded(f"arn:aws:s3:::{name}", name)


def _allow_all(action: str, resource: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": "*", "Action": action, "Resource": resource, **more}


def _policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def public_bucket(aws: Aws) -> Seeded:
    made = _bucket(aws, "lab-public-policy")
    aws("s3").put_bucket_policy(Bucket=made.name, Policy=_policy(_allow_all("s3:GetObject", made.uid + "/*")))
    return made


def account_without_block(aws: Aws) -> Seeded:
    return Seeded(_arn("s3", "account"), ACCOUNT)


def bucket_with_public_acl(aws: Aws) -> Seeded:
    made = _bucket(aws, "lab-public-acl")
    blocks = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    off = dict.fromkeys(blocks, False)  # without any configuration the scanner does not look for public writing
    aws("s3").put_public_access_block(Bucket=made.name, PublicAccessBlockConfiguration=off)
    # One by one: the simulator forgets the write half of the canned "public-read-write".
    owner = aws("s3").get_bucket_acl(Bucket=made.name)["Owner"]
    everyone = {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"}
    grants = [{"Grantee": {"Type": "CanonicalUser", "ID": owner["ID"]}, "Permission": "FULL_CONTROL"}]
    grants += [{"Grantee": everyone, "Permission": right} for right in ("READ", "WRITE")]
    aws("s3").put_bucket_acl(Bucket=made.name, AccessControlPolicy={"Owner": owner, "Grants": grants})
    return made


def bucket_without_tls(aws: Aws) -> Seeded:
    made = _bucket(aws, "lab-plain-http")
    own = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    statement = {"Sid": "Own", "Effect": "Allow", "Principal": own, "Action": "s3:GetObject"}
    aws("s3").put_bucket_policy(Bucket=made.name, Policy=_policy({**statement, "Resource": made.uid + "/*"}))
    return made


def bucket_anyone_can_write(aws: Aws) -> Seeded:
    made = _bucket(aws, "lab-public-write")
    narrow = {"Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.7/32"}}}
    policy = _policy(
        _allow_all("s3:PutObject", made.uid + "/*", Sid="World"),
        _allow_all("s3:GetObject", made.uid + "/*", Sid="Office", **narrow),
    )
    aws("s3").put_bucket_policy(Bucket=made.name, Policy=policy)
    return made


def bucket_unencrypted(aws: Aws) -> Seeded:
    return _bucket(aws, "lab-unencrypted")


def bucket_unversioned(aws: Aws) -> Seeded:
    return _bucket(aws, "lab-unversioned")


def group_open_on(slug: str, port: int | None, to: int | None = None) -> Callable[[Aws], Seeded]:
    """Open to the world on v4 and v6; the office keeps its own range in the same permission."""

    def seed(aws: Aws) -> Seeded:
        ec2 = aws("ec2")
        made = ec2.create_security_group(GroupName=f"lab-{slug}", Description="lab", VpcId=aws.vpc)
        group = made["GroupId"]
        ports = {"FromPort": port, "ToPort": to or port} if port is not None else {}
        permission = {
            "IpProtocol": "tcp" if port is not None else "-1",
            **ports,
            "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "temporary"}, {"CidrIp": "198.51.100.0/24"}],
            "Ipv6Ranges": [{"CidrIpv6": "::/0"}],
        }
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
        return Seeded(_arn("ec2", f"security-group/{group}"), group)

    return seed


def instance_with_imdsv1(aws: Aws) -> Seeded:
    found = aws.instance()["InstanceId"]
    aws("ec2").modify_instance_metadata_options(InstanceId=found, HttpTokens="optional", HttpEndpoint="enabled")
    return Seeded(_arn("ec2", f"instance/{found}"), found)


def region_without_encryption(aws: Aws) -> Seeded:
    return Seeded(_arn("ec2", "volume"), ACCOUNT)


def public_snapshot(aws: Aws) -> Seeded:
    ec2 = aws("ec2")
    volume = ec2.create_volume(Size=1, AvailabilityZone="us-east-1a")["VolumeId"]
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    share = {"Attribute": "createVolumePermission", "OperationType": "add"}
    ec2.modify_snapshot_attribute(SnapshotId=snapshot, GroupNames=["all"], **share)
    ec2.modify_snapshot_attribute(SnapshotId=snapshot, UserIds=["111122223333"], **share)
    return Seeded(_arn("ec2", f"snapshot/{snapshot}"), snapshot)


def public_image(aws: Aws) -> Seeded:
    ec2 = aws("ec2")
    image = ec2.create_image(InstanceId=aws.instance()["InstanceId"], Name="lab-public")["ImageId"]
    ec2.modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"Group": "all"}]})
    return Seeded(_arn("ec2", f"image/{image}"), image)


def public_subnet(aws: Aws) -> Seeded:
    ec2 = aws("ec2")
    made = ec2.create_subnet(VpcId=aws.vpc, CidrBlock="10.20.9.0/24")["Subnet"]["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=made, MapPublicIpOnLaunch={"Value": True})
    return Seeded(_arn("ec2", f"subnet/{made}"), made)


def old_access_key(aws: Aws) -> Seeded:
    iam = aws("iam")
    arn = iam.create_user(UserName="lab-alice")["User"]["Arn"]
    with days_ago(200):
        iam.create_access_key(UserName="lab-alice")
    iam.create_access_key(UserName="lab-alice")
    return Seeded(arn, "lab-alice-access-key-1")


def weak_passwords(aws: Aws) -> Seeded:
    aws("iam").update_account_password_policy(MinimumPasswordLength=8)
    return Seeded(_arn("iam", "password-policy"), ACCOUNT)


def key_without_rotation(aws: Aws) -> Seeded:
    made = aws("kms").create_key(Description="lab")["KeyMetadata"]
    return Seeded(made["Arn"], made["KeyId"])


def database(slug: str) -> Callable[[Aws], Seeded]:
    def seed(aws: Aws) -> Seeded:
        ec2 = aws("ec2")
        group = ec2.create_security_group(GroupName=f"lab-db-{slug}", Description="lab", VpcId=aws.vpc)["GroupId"]
        world = {"IpProtocol": "tcp", "FromPort": 3306, "ToPort": 3306, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[world])
        made = aws("rds").create_db_instance(
            DBInstanceIdentifier=f"lab-{slug}",
            DBInstanceClass="db.t3.micro",
            Engine="mysql",
            AllocatedStorage=20,
            MasterUsername="admin",
            MasterUserPassword="not-a-real-one",
            PubliclyAccessible=True,
            AutoMinorVersionUpgrade=False,
            CopyTagsToSnapshot=False,
            VpcSecurityGroupIds=[group],
            DBSubnetGroupName=aws.public_db_subnets,
        )["DBInstance"]
        return Seeded(made["DBInstanceArn"], made["DBInstanceIdentifier"])

    return seed


def cluster(slug: str) -> Callable[[Aws], Seeded]:
    def seed(aws: Aws) -> Seeded:
        made = aws("rds").create_db_cluster(
            DBClusterIdentifier=f"lab-cluster-{slug}",
            Engine="aurora-mysql",
            MasterUsername="admin",
            MasterUserPassword="not-a-real-one",
        )["DBCluster"]
        return Seeded(made["DBClusterArn"], made["DBClusterIdentifier"])

    return seed


def public_db_snapshot(aws: Aws) -> Seeded:
    rds = aws("rds")
    source = database("snap-source")(aws)
    made = rds.create_db_snapshot(DBSnapshotIdentifier="lab-snap", DBInstanceIdentifier=source.name)["DBSnapshot"]
    rds.modify_db_snapshot_attribute(
        DBSnapshotIdentifier="lab-snap", AttributeName="restore", ValuesToAdd=["all", "111122223333"]
    )
    return Seeded(made["DBSnapshotArn"], "lab-snap")


def public_queue(aws: Aws) -> Seeded:
    sqs, arn = aws("sqs"), _arn("sqs", "lab-queue")
    url = sqs.create_queue(QueueName="lab-queue")["QueueUrl"]
    from_topic = {"Condition": {"ArnLike": {"aws:SourceArn": _arn("sns", "lab-*")}}}
    policy = _policy(
        _allow_all("sqs:*", arn, Sid="World"), _allow_all("sqs:SendMessage", arn, Sid="Topic", **from_topic)
    )
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    return Seeded(arn, url)


def public_topic(aws: Aws) -> Seeded:
    sns = aws("sns")
    arn = sns.create_topic(Name="lab-topic")["TopicArn"]
    policy = _policy(_allow_all("sns:Publish", arn, Sid="World"))
    sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy)
    return Seeded(arn, "lab-topic")


def public_secret(aws: Aws) -> Seeded:
    secrets = aws("secretsmanager")
    arn = secrets.create_secret(Name="lab/public", SecretString="not-a-real-one")["ARN"]
    reader = {"AWS": f"arn:aws:iam::{ACCOUNT}:role/reader"}
    own = {"Sid": "Own", "Effect": "Allow", "Principal": reader, "Action": "secretsmanager:GetSecretValue"}
    policy = _policy(_allow_all("secretsmanager:GetSecretValue", "*", Sid="World"), {**own, "Resource": "*"})
    secrets.put_resource_policy(SecretId=arn, ResourcePolicy=policy)
    return Seeded(arn, "lab/public")


def repository(aws: Aws) -> Seeded:
    made = aws("ecr").create_repository(repositoryName="lab-repo")["repository"]
    return Seeded(made["repositoryArn"], "lab-repo")


def table(slug: str) -> Callable[[Aws], Seeded]:
    def seed(aws: Aws) -> Seeded:
        made = aws("dynamodb").create_table(
            TableName=f"lab-{slug}",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )["TableDescription"]
        return Seeded(made["TableArn"], made["TableName"])

    return seed


def trail(aws: Aws) -> Seeded:
    _bucket(aws, "lab-trail-logs")
    made = aws("cloudtrail").create_trail(Name="lab-trail", S3BucketName="lab-trail-logs")
    aws("cloudtrail").start_logging(Name="lab-trail")
    return Seeded(made["TrailARN"], "lab-trail")


def public_function(aws: Aws) -> Seeded:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "def handler(event, context):\n    return event\n")
    made = aws("lambda").create_function(
        FunctionName="lab-hook",
        Runtime="python3.13",
        Role=aws.role,
        Handler="app.handler",
        Code={"ZipFile": code.getvalue()},
    )
    cors = {"AllowOrigins": ["https://example.com"]}
    aws("lambda").create_function_url_config(FunctionName="lab-hook", AuthType="NONE", Cors=cors)
    return Seeded(made["FunctionArn"].removesuffix(":$LATEST"), "lab-hook")


def public_document(aws: Aws) -> Seeded:
    step = {"action": "aws:runShellScript", "name": "run", "inputs": {"runCommand": ["true"]}}
    content = json.dumps({"schemaVersion": "2.2", "description": "lab", "mainSteps": [step]})
    aws("ssm").create_document(Content=content, Name="lab-doc", DocumentType="Command", DocumentFormat="JSON")
    aws("ssm").modify_document_permission(Name="lab-doc", PermissionType="Share", AccountIdsToAdd=["all"])
    return Seeded(_arn("ssm", "document/lab-doc"), "lab-doc")


# playbook id -> what makes the misconfigured resource. Account-wide ones come first: buckets made later hang on them.
SEEDS: dict[str, Callable[[Aws], Seeded]] = {
    "s3-account-public-access-block": account_without_block,
    "s3-block-public-access": public_bucket,
    "s3-acl-private": bucket_with_public_acl,
    "s3-deny-insecure-transport": bucket_without_tls,
    "s3-remove-public-policy": bucket_anyone_can_write,
    "s3-default-encryption": bucket_unencrypted,
    "s3-versioning": bucket_unversioned,
    "sg-revoke-world-ssh": group_open_on("ssh", 22),
    "sg-revoke-world-rdp": group_open_on("rdp", 3389),
    "sg-revoke-world-mysql": group_open_on("mysql", 3306),
    "sg-revoke-world-postgres": group_open_on("postgres", 5432),
    "sg-revoke-world-sql-server": group_open_on("sql-server", 1433, 1434),
    "sg-revoke-world-oracle": group_open_on("oracle", 1521),
    "sg-revoke-world-mongodb": group_open_on("mongodb", 27017, 27018),
    "sg-revoke-world-redis": group_open_on("redis", 6379),
    "sg-revoke-world-all-ports": group_open_on("everything", None),
    "ec2-imdsv2": instance_with_imdsv1,
    "ebs-default-encryption": region_without_encryption,
    "ebs-snapshot-private": public_snapshot,
    "ami-private": public_image,
    "vpc-subnet-no-public-ip": public_subnet,
    "iam-deactivate-access-key": old_access_key,
    "iam-password-policy": weak_passwords,
    "kms-rotation": key_without_rotation,
    "rds-not-public": database("public"),
    "rds-deletion-protection": database("unprotected"),
    "rds-minor-upgrade": database("pinned"),
    "rds-copy-tags": database("tagless"),
    "rds-cluster-deletion-protection": cluster("unprotected"),
    "rds-cluster-copy-tags": cluster("tagless"),
    "rds-snapshot-private": public_db_snapshot,
    "sqs-remove-public-policy": public_queue,
    "sns-remove-public-policy": public_topic,
    "secret-remove-public-policy": public_secret,
    "ecr-scan-on-push": repository,
    "dynamodb-pitr": table("pitr"),
    "dynamodb-deletion-protection": table("unprotected"),
    "cloudtrail-log-validation": trail,
    "lambda-url-iam": public_function,
    "ssm-document-private": public_document,
}
