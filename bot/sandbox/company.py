"""The company the sandbox simulates: Acme, two AWS accounts, about fifty resources, some healthy and some not.

Everything is made in a fixed order against a seeded moto, so every id is the same on every machine: the recorded
findings (``recorded/``) name resources that really exist. Change anything here and record again (``docs/demo.md``).
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bot.sandbox.aws import DEV, PROD, Account

Tags = dict[str, str]
WORLD4 = [{"CidrIp": "0.0.0.0/0", "Description": "open to the world"}]
WORLD6 = [{"CidrIpv6": "::/0", "Description": "open to the world"}]


@dataclass
class Company:
    """What was made: a speaking name to the cloud's own id, and all of them as a scanner may name them."""

    ids: dict[str, str] = field(default_factory=dict)
    accounts: tuple[str, ...] = (PROD, DEV)

    def note(self, name: str, uid: str) -> str:
        self.ids[name] = uid
        return uid

    @property
    def resources(self) -> frozenset[str]:
        return frozenset(self.ids.values())


def tagged(team: str, env: str, app: str, **more: str) -> Tags:
    tags = {"env": env, "app": app, **more}
    return {"team": team, "owner": team, **tags} if team else tags


def key_value(tags: Tags) -> list[dict[str, str]]:
    return [{"Key": k, "Value": v} for k, v in sorted(tags.items())]


def build(endpoint: str, progress: Callable[[str], None] = lambda _: None) -> Company:
    """Fill the simulated AWS. Blocking: run it in a thread."""
    company = Company()
    prod, dev = Account(endpoint, PROD), Account(endpoint, DEV)
    steps: list[tuple[str, Callable[[], None]]] = [
        ("production: networks and servers", lambda: _prod_network(prod, company)),
        ("production: buckets", lambda: _prod_buckets(prod, company)),
        ("production: databases", lambda: _prod_data(prod, company)),
        ("production: keys and people", lambda: _prod_identity(prod, company, endpoint)),
        ("production: messages and images", lambda: _prod_messages(prod, company)),
        ("development: everything", lambda: _dev(dev, company, endpoint)),
    ]
    for name, step in steps:
        progress(name)
        step()
    return company


# --- building blocks ----------------------------------------------------------------------------------------------


def _network(account: Account, company: Company, prefix: str, env: str) -> tuple[str, str]:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"][0]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.1.0/24")["Subnet"]["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    tags = tagged("platform", env, "network")
    ec2.create_tags(
        Resources=[vpc, subnet, gateway], Tags=[*key_value(tags), {"Key": "Name", "Value": f"{prefix}-main"}]
    )
    company.note(f"{prefix}/vpc", vpc)
    company.note(f"{prefix}/subnet", subnet)
    return vpc, subnet


def _group(
    account: Account, company: Company, vpc: str, name: str, tags: Tags, *rules: tuple[int, int, bool], inside: int = 0
) -> str:
    """A security group; rules are (from, to, also over IPv6) open to the world, ``inside`` a port for the VPC only."""
    ec2 = account.client("ec2")
    group: str = ec2.create_security_group(GroupName=name, Description=f"{name} of Acme", VpcId=vpc)["GroupId"]
    permissions: list[dict[str, Any]] = []
    for first, last, six in rules:
        permission: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": first, "ToPort": last, "IpRanges": WORLD4}
        if six:
            permission["Ipv6Ranges"] = WORLD6
        permissions.append(permission)
    if inside:
        ranges = [{"CidrIp": "10.20.0.0/16", "Description": "inside the network"}]
        permissions.append({"IpProtocol": "tcp", "FromPort": inside, "ToPort": inside, "IpRanges": ranges})
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permissions)
    ec2.create_tags(Resources=[group], Tags=[*key_value(tags), {"Key": "Name", "Value": name}])
    return company.note(f"sg/{name}", group)


def _instance(
    account: Account, company: Company, image: str, subnet: str, group: str, name: str, tags: Tags, *, tokens: str
) -> str:
    ec2 = account.client("ec2")
    # SubnetId and SecurityGroupIds, never NetworkInterfaces: moto would leave the instance without groups
    instance: str = ec2.run_instances(
        ImageId=image,
        MinCount=1,
        MaxCount=1,
        InstanceType="t3.small",
        SubnetId=subnet,
        SecurityGroupIds=[group],
        MetadataOptions={"HttpTokens": tokens, "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 2},
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [*key_value(tags), {"Key": "Name", "Value": name}]},
        ],
    )["Instances"][0]["InstanceId"]
    return company.note(f"instance/{name}", instance)


def _snapshot(account: Account, company: Company, name: str, tags: Tags, *, public: bool) -> str:
    ec2 = account.client("ec2")
    # a named key: without one moto would make up a customer key of its own
    encrypted = {} if public else {"Encrypted": True, "KmsKeyId": company.ids["kms/ledger-data"]}
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=20, **encrypted)["VolumeId"]
    ec2.create_tags(Resources=[volume], Tags=[*key_value(tags), {"Key": "Name", "Value": name}])
    company.note(f"volume/{name}", volume)
    snapshot: str = ec2.create_snapshot(VolumeId=volume, Description=f"{name} of Acme")["SnapshotId"]
    ec2.create_tags(Resources=[snapshot], Tags=[*key_value(tags), {"Key": "Name", "Value": name}])
    if public:
        ec2.modify_snapshot_attribute(
            SnapshotId=snapshot, Attribute="createVolumePermission", OperationType="add", GroupNames=["all"]
        )
    return company.note(f"snapshot/{name}", snapshot)


def _bucket(
    account: Account,
    company: Company,
    name: str,
    tags: Tags,
    *,
    block: bool = True,
    tls: bool = True,
    versions: bool = True,
    public: str = "",
) -> None:
    """A bucket; ``public`` is "policy" or "acl" for the two ways in which buckets become public."""
    s3 = account.client("s3")
    s3.create_bucket(Bucket=name)
    if tags:
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": key_value(tags)})
    statements: list[dict[str, Any]] = []
    arn = f"arn:aws:s3:::{name}"
    if public == "policy":
        statements.append(
            {"Sid": "PublicRead", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"{arn}/*"}
        )
    if tls:
        statements.append(
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [arn, f"{arn}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        )
    if statements:
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    if public == "acl":
        s3.put_bucket_acl(Bucket=name, ACL="public-read")
    if versions:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})
    if block:
        s3.put_public_access_block(
            Bucket=name,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
    company.note(f"bucket/{name}", arn)


def _old_clock(endpoint: str, days: int) -> None:
    # through the sandbox's own server, because AWS has no call that makes an old key
    request = urllib.request.Request(f"{endpoint}/_sandbox/clock?days={-days}", method="POST")  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        answer.read()


def _user(
    account: Account, company: Company, name: str, tags: Tags, *, endpoint: str, key_ages: tuple[int, ...] = ()
) -> None:
    iam = account.client("iam")
    user = iam.create_user(UserName=name, Tags=key_value(tags))["User"]
    for age in key_ages:
        _old_clock(endpoint, age)
        key = iam.create_access_key(UserName=name)["AccessKey"]["AccessKeyId"]
        company.note(f"key/{name}/{age}", key)
        _old_clock(endpoint, 0)
    company.note(f"user/{name}", user["Arn"])


def _kms(account: Account, company: Company, name: str, tags: Tags, *, rotate: bool) -> str:
    kms = account.client("kms")
    key = kms.create_key(
        Description=f"{name} of Acme", Tags=[{"TagKey": k, "TagValue": v} for k, v in sorted(tags.items())]
    )["KeyMetadata"]
    kms.create_alias(AliasName=f"alias/{name}", TargetKeyId=key["KeyId"])
    if rotate:
        kms.enable_key_rotation(KeyId=key["KeyId"])
    company.note(f"kms/{name}", key["Arn"])
    key_id: str = key["KeyId"]
    return key_id


def _database(account: Account, company: Company, name: str, tags: Tags, *, public: bool, key: str, group: str) -> None:
    rds = account.client("rds")
    database = rds.create_db_instance(
        DBInstanceIdentifier=name,
        DBInstanceClass="db.t3.small",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="acme",
        MasterUserPassword="only-in-the-sandbox",
        PubliclyAccessible=public,
        StorageEncrypted=not public,
        BackupRetentionPeriod=0 if public else 14,
        MultiAZ=not public,
        DeletionProtection=not public,
        AutoMinorVersionUpgrade=not public,
        CopyTagsToSnapshot=True,
        EnableIAMDatabaseAuthentication=not public,
        VpcSecurityGroupIds=[group],
        DBSubnetGroupName="prod-main",
        Tags=key_value(tags),
        **({} if public else {"KmsKeyId": key}),
    )["DBInstance"]
    company.note(f"database/{name}", database["DBInstanceArn"])


def _db_snapshot(account: Account, company: Company, database: str, name: str, tags: Tags, *, public: bool) -> None:
    rds = account.client("rds")
    snapshot = rds.create_db_snapshot(DBSnapshotIdentifier=name, DBInstanceIdentifier=database, Tags=key_value(tags))
    if public:
        rds.modify_db_snapshot_attribute(DBSnapshotIdentifier=name, AttributeName="restore", ValuesToAdd=["all"])
    company.note(f"db-snapshot/{name}", snapshot["DBSnapshot"]["DBSnapshotArn"])


def _public_policy(arn: str, action: str) -> str:
    statement = {"Sid": "Anyone", "Effect": "Allow", "Principal": "*", "Action": action, "Resource": arn}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _queue(account: Account, company: Company, name: str, tags: Tags, *, public: bool) -> None:
    sqs = account.client("sqs")
    url = sqs.create_queue(QueueName=name, tags=tags)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    attributes = {"Policy": _public_policy(arn, "sqs:SendMessage")} if public else {"KmsMasterKeyId": "alias/aws/sqs"}
    sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    company.note(f"queue/{name}", arn)


def _topic(account: Account, company: Company, name: str, tags: Tags, *, public: bool) -> None:
    sns = account.client("sns")
    arn: str = sns.create_topic(Name=name, Tags=key_value(tags))["TopicArn"]
    if public:
        sns.set_topic_attributes(
            TopicArn=arn, AttributeName="Policy", AttributeValue=_public_policy(arn, "sns:Publish")
        )
    else:
        sns.set_topic_attributes(TopicArn=arn, AttributeName="KmsMasterKeyId", AttributeValue="alias/aws/sns")
    company.note(f"topic/{name}", arn)


def _repository(account: Account, company: Company, name: str, tags: Tags, *, healthy: bool) -> None:
    repository = account.client("ecr").create_repository(
        repositoryName=name,
        tags=key_value(tags),
        imageTagMutability="IMMUTABLE" if healthy else "MUTABLE",
        imageScanningConfiguration={"scanOnPush": healthy},
    )["repository"]
    company.note(f"repository/{name}", repository["repositoryArn"])


def _table(account: Account, company: Company, name: str, tags: Tags, *, healthy: bool) -> None:
    dynamo = account.client("dynamodb")
    table = dynamo.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        DeletionProtectionEnabled=healthy,
        Tags=key_value(tags),
    )["TableDescription"]
    if healthy:
        dynamo.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
    company.note(f"table/{name}", table["TableArn"])


# --- production -----------------------------------------------------------------------------------------------------


def _prod_network(prod: Account, company: Company) -> None:
    ec2 = prod.client("ec2")
    _kms(prod, company, "ledger-data", tagged("payments", "prod", "ledger"), rotate=True)
    vpc, subnet = _network(prod, company, "prod", "prod")
    image = ec2.register_image(
        Name="acme-base-2026", Architecture="x86_64", RootDeviceName="/dev/xvda", VirtualizationType="hvm"
    )["ImageId"]
    company.note("image/acme-base-2026", image)
    bastion_tags = tagged("payments", "prod", "bastion")
    bastion = _group(prod, company, vpc, "payments-bastion", bastion_tags, (22, 22, True))
    database_tags = tagged("payments", "prod", "ledger")
    _group(prod, company, vpc, "payments-db", database_tags, (5432, 5432, False))
    windows = _group(prod, company, vpc, "backoffice-rdp", tagged("web", "prod", "backoffice"), (3389, 3389, True))
    web = _group(prod, company, vpc, "web-front", tagged("web", "prod", "shop"), (443, 443, True))
    app = _group(prod, company, vpc, "orders-app", tagged("payments", "prod", "orders"), inside=8443)
    _instance(prod, company, image, subnet, bastion, "payments-bastion-1", bastion_tags, tokens="optional")
    _instance(
        prod, company, image, subnet, windows, "backoffice-1", tagged("web", "prod", "backoffice"), tokens="optional"
    )
    _instance(prod, company, image, subnet, web, "shop-1", tagged("web", "prod", "shop"), tokens="required")
    _instance(prod, company, image, subnet, app, "orders-1", tagged("payments", "prod", "orders"), tokens="required")
    _snapshot(prod, company, "ledger-2026-06", tagged("payments", "prod", "ledger"), public=True)
    _snapshot(prod, company, "orders-nightly", tagged("payments", "prod", "orders"), public=False)


def _prod_buckets(prod: Account, company: Company) -> None:
    exports = tagged("payments", "prod", "exports", data="customer")
    _bucket(prod, company, "acme-customer-exports", exports, block=False, public="policy")
    _bucket(prod, company, "acme-shop-assets", tagged("web", "prod", "shop"), block=False, public="acl")
    _bucket(prod, company, "acme-invoices", tagged("payments", "prod", "invoices"))
    _bucket(prod, company, "acme-audit-logs", tagged("platform", "prod", "audit"))
    _bucket(prod, company, "acme-orders-archive", tagged("payments", "prod", "orders"), tls=False)
    _bucket(prod, company, "acme-build-cache", tagged("platform", "prod", "ci"), tls=False, versions=False)


def _prod_data(prod: Account, company: Company) -> None:
    key = company.ids["kms/ledger-data"]
    other = prod.client("ec2").create_subnet(
        VpcId=company.ids["prod/vpc"], CidrBlock="10.20.2.0/24", AvailabilityZone="us-east-1b"
    )["Subnet"]["SubnetId"]
    platform = tagged("platform", "prod", "network")
    prod.client("ec2").create_tags(Resources=[other], Tags=[*key_value(platform), {"Key": "Name", "Value": "prod-b"}])
    company.note("prod/subnet-b", other)
    prod.client("rds").create_db_subnet_group(
        DBSubnetGroupName="prod-main",
        DBSubnetGroupDescription="main network of Acme",
        SubnetIds=[company.ids["prod/subnet"], other],
        Tags=key_value(platform),
    )
    _kms(prod, company, "payments-tokens", tagged("payments", "prod", "tokens"), rotate=False)
    _kms(prod, company, "shop-sessions", tagged("web", "prod", "shop"), rotate=False)
    group = company.ids["sg/payments-db"]
    _database(prod, company, "reporting", tagged("payments", "prod", "reporting"), public=True, key=key, group=group)
    inside = company.ids["sg/orders-app"]
    _database(prod, company, "ledger", tagged("payments", "prod", "ledger"), public=False, key=key, group=inside)
    reporting = tagged("payments", "prod", "reporting")
    _db_snapshot(prod, company, "reporting", "reporting-before-upgrade", reporting, public=True)
    _db_snapshot(prod, company, "ledger", "ledger-weekly", tagged("payments", "prod", "ledger"), public=False)
    _table(prod, company, "orders", tagged("payments", "prod", "orders"), healthy=True)
    _table(prod, company, "carts", tagged("web", "prod", "shop"), healthy=False)


def _prod_identity(prod: Account, company: Company, endpoint: str) -> None:
    _user(prod, company, "ci-deployer", tagged("platform", "prod", "ci"), endpoint=endpoint, key_ages=(412,))
    backup = tagged("payments", "prod", "backup")
    _user(prod, company, "backup-agent", backup, endpoint=endpoint, key_ages=(230, 3))
    _user(prod, company, "metrics-reader", tagged("platform", "prod", "metrics"), endpoint=endpoint, key_ages=(12,))
    prod.client("iam").update_account_password_policy(
        MinimumPasswordLength=8, RequireSymbols=False, RequireNumbers=False, AllowUsersToChangePassword=True
    )


def _prod_messages(prod: Account, company: Company) -> None:
    _queue(prod, company, "orders-intake", tagged("payments", "prod", "orders"), public=True)
    _queue(prod, company, "orders-dead-letter", tagged("payments", "prod", "orders"), public=False)
    _topic(prod, company, "order-events", tagged("payments", "prod", "orders"), public=True)
    _topic(prod, company, "platform-alarms", tagged("platform", "prod", "alarms"), public=False)
    _repository(prod, company, "shop/api", tagged("web", "prod", "shop"), healthy=False)
    _repository(prod, company, "payments/api", tagged("payments", "prod", "api"), healthy=True)


# --- development ----------------------------------------------------------------------------------------------------


def _dev(dev: Account, company: Company, endpoint: str) -> None:
    ec2 = dev.client("ec2")
    vpc, subnet = _network(dev, company, "dev", "dev")
    image = ec2.register_image(
        Name="acme-base-2026", Architecture="x86_64", RootDeviceName="/dev/xvda", VirtualizationType="hvm"
    )["ImageId"]
    company.note("dev/image/acme-base-2026", image)
    ec2.create_tags(
        Resources=[image], Tags=[*key_value(tagged("web", "dev", "lab")), {"Key": "Name", "Value": "acme-base"}]
    )
    ec2.modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"Group": "all"}]})
    # made by hand, belongs to nobody: what reaches the fallback channel
    jump = _group(dev, company, vpc, "temp-test", {"env": "dev"}, (22, 22, False))
    lab = _group(dev, company, vpc, "web-lab", tagged("web", "dev", "lab"), inside=8080)
    _instance(dev, company, image, subnet, jump, "temp-test-1", {"env": "dev"}, tokens="optional")
    _instance(dev, company, image, subnet, lab, "web-lab-1", tagged("web", "dev", "lab"), tokens="required")
    _snapshot(dev, company, "test-data", tagged("payments", "dev", "test-data"), public=True)
    _bucket(dev, company, "acme-dev-scratch", {"env": "dev"}, block=False, public="policy", tls=False, versions=False)
    _bucket(dev, company, "acme-dev-fixtures", tagged("payments", "dev", "fixtures"))
    _kms(dev, company, "dev-web", tagged("web", "dev", "lab"), rotate=False)
    _queue(dev, company, "lab-jobs", tagged("web", "dev", "lab"), public=False)
    _table(dev, company, "lab", tagged("web", "dev", "lab"), healthy=False)
    _user(dev, company, "old-intern", {"env": "dev"}, endpoint=endpoint, key_ages=(560,))
    dev.client("ec2").enable_ebs_encryption_by_default()
