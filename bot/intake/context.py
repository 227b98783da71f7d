"""What AWS knows of the resources of urgent causes: who made them, their tags, whether they can be reached, last use.

Read-only calls of the bot's own reader, within a budget an hour; kept for a week. Where no source says whether a
resource can be reached, what is read here counts, and its findings are judged again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, select

from bot.domain.errors import CloudRefused, GatehouseError
from bot.domain.ids import Clock, IdSource
from bot.domain.plans import Call
from bot.intake.cleaning import clean
from bot.intake.retriage import retriage
from bot.intake.triage import rules_of
from bot.ports import Attribution, CloudFactory, CloudReader, ContextFact
from bot.settings import Settings
from bot.store import causes, intel
from bot.store.database import Database
from bot.store.upsert import upsert

log = logging.getLogger(__name__)
KEPT = timedelta(days=7)
AT_ONCE = 10
ANYWHERE = frozenset({"0.0.0.0/0", "::/0"})
_MADE = ("Create", "Run", "Allocate", "Import", "Copy", "Restore")
FINDINGS = intel.FINDINGS


class Resource:
    """One resource by its ARN, and the calls about it."""

    def __init__(self, reader: CloudReader, uid: str, account: str, region: str) -> None:
        parts = uid.split(":", 5)
        self.ok = len(parts) == 6 and parts[0] == "arn" and parts[1].startswith("aws")
        self.service, self.region, tail = (parts[2], parts[3] or region, parts[5]) if self.ok else ("", region, "")
        self.account = (parts[4] if self.ok else "") or account
        self.kind, _, self.name = tail.partition("/") if "/" in tail else tail.partition(":")
        if self.service == "s3":
            self.kind, self.name = "bucket", tail.split("/", 1)[0]
        self._reader = reader
        self.trouble: list[str] = []

    async def ask(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        """The answer; {} where it is absent or may not be read (which is noted)."""
        call = Call(provider="aws", account=self.account, region=self.region, service=service, operation=operation,
                    params=params)  # fmt: skip
        try:
            return await self._reader.read(call)
        except CloudRefused as error:
            if "NoSuch" not in error.code and "NotFound" not in error.code:
                self.trouble.append(f"{service}.{operation}: {error.reason}")
            return {}


async def read_context(reader: CloudReader, uid: str, account: str = "", region: str = "") -> tuple[
    list[ContextFact], list[str]
]:  # fmt: skip
    """(facts, what could not be read). No facts for what is no ARN or of a kind that is not understood."""
    it = Resource(reader, uid, account, region)
    if not it.ok:
        return [], []
    found: list[ContextFact] = []
    look = _LOOKS.get((it.service, it.kind))
    if look is not None:
        found += await look(it)
    made = await _made_by(it)
    return ([made] if made else []) + found, it.trouble


async def _made_by(it: Resource) -> ContextFact | None:
    """The oldest event of creation that CloudTrail still has (90 days), else who changed it last."""
    name = it.name.rpartition("/")[2]
    if not name:
        return None
    asked = [{"AttributeKey": "ResourceName", "AttributeValue": name}]
    try:
        said = await it.ask("cloudtrail", "lookup_events", MaxResults=50, LookupAttributes=asked)
    except GatehouseError as error:  # two calls a second are all it takes: the other facts do not wait for it
        it.trouble.append(f"cloudtrail.lookup_events: {error.reason}")
        return None
    events = [e for e in said.get("Events") or () if e.get("Username") and str(e.get("ReadOnly")).lower() != "true"]
    if not events:
        return None
    made = [e for e in events if str(e.get("EventName", "")).startswith(_MADE)]
    event = min(made, key=_when) if made else max(events, key=_when)
    fact = "created_by" if made else "changed_by"
    return ContextFact(fact, str(event["Username"]), f"{event.get('EventName')} at {_when(event)}", "AWS CloudTrail")


def _when(event: Mapping[str, Any]) -> str:
    return str(event.get("EventTime", ""))


def _tags(tags: Any) -> list[ContextFact]:
    pairs = {str(t.get("Key")): str(t.get("Value")) for t in tags or () if isinstance(t, dict)}
    return [ContextFact("tags", ", ".join(f"{k}={v}" for k, v in sorted(pairs.items())), "", "AWS")] if pairs else []


def _exposed(yes: bool, why: str) -> ContextFact:
    return ContextFact("exposed", "yes" if yes else "no", why, "AWS")


# --- what can be reached ---------------------------------------------------------------------------------------------


def open_rules(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rules of security groups that let anyone in, in words."""
    found = []
    for group in groups:
        for rule in group.get("IpPermissions") or ():
            ranges = {r.get("CidrIp") for r in rule.get("IpRanges") or ()}
            ranges |= {r.get("CidrIpv6") for r in rule.get("Ipv6Ranges") or ()}
            if ranges & ANYWHERE:
                low, high = rule.get("FromPort"), rule.get("ToPort")
                ports = "all ports" if low is None else f"port {low}" if low == high else f"ports {low} to {high}"
                found.append(f"{group.get('GroupId')} lets anyone in on {ports}")
    return found


async def _groups(it: Resource, ids: Sequence[str]) -> list[str]:
    if not ids:
        return []
    return open_rules((await it.ask("ec2", "describe_security_groups", GroupIds=list(ids))).get("SecurityGroups") or [])


async def _to_internet(it: Resource, subnet: str, vpc: str) -> bool | None:
    """Whether the subnet has a route to an internet gateway; None where that cannot be read."""
    for name, value in (("association.subnet-id", [subnet]), ("vpc-id", [vpc])):
        filters = [{"Name": name, "Values": value}]
        if name == "vpc-id":
            filters.append({"Name": "association.main", "Values": ["true"]})
        tables = (await it.ask("ec2", "describe_route_tables", Filters=filters)).get("RouteTables")
        if tables:
            return any(str(route.get("GatewayId", "")).startswith("igw-") for t in tables for route in t["Routes"])
    return None


async def _instance(it: Resource) -> list[ContextFact]:
    said = await it.ask("ec2", "describe_instances", InstanceIds=[it.name])
    found = next((i for r in said.get("Reservations") or () for i in r.get("Instances") or ()), None)
    if found is None:
        return []
    facts = _tags(found.get("Tags"))
    ip = found.get("PublicIpAddress")
    # Those of every interface: the instance itself lists the first one's only.
    listed = [found.get("SecurityGroups"), *(i.get("Groups") for i in found.get("NetworkInterfaces") or ())]
    rules = await _groups(it, sorted({g["GroupId"] for groups in listed for g in groups or ()}))
    if ip and rules:
        route = await _to_internet(it, found.get("SubnetId", ""), found.get("VpcId", ""))
        if route is not None:
            way = "its subnet has a route to the internet" if route else "its subnet has no route to the internet"
            facts.append(_exposed(route, f"public IP {ip}, {rules[0]}, {way}"))
    elif not rules:
        facts.append(_exposed(False, "no security group lets anyone in"))
    # Without a public IP a load balancer may still stand before it: nothing is said.
    return facts


async def _group(it: Resource) -> list[ContextFact]:
    said = (await it.ask("ec2", "describe_security_groups", GroupIds=[it.name])).get("SecurityGroups") or []
    if not said:
        return []
    facts, rules = _tags(said[0].get("Tags")), open_rules(said)
    if not rules:
        return [*facts, _exposed(False, "it lets nobody in from anywhere")]
    answer = await it.ask("ec2", "describe_network_interfaces", Filters=[{"Name": "group-id", "Values": [it.name]}])
    there = answer.get("NetworkInterfaces")
    if there is None:
        return facts
    public = [i["Association"]["PublicIp"] for i in there if (i.get("Association") or {}).get("PublicIp")]
    if public:
        facts.append(_exposed(True, f"{rules[0]}, in use at public IP {public[0]}"))
    elif not there:
        facts.append(_exposed(False, f"{rules[0]}, but nothing uses it"))
    return facts


async def _database(it: Resource) -> list[ContextFact]:
    found = (await it.ask("rds", "describe_db_instances", DBInstanceIdentifier=it.name)).get("DBInstances") or []
    if not found:
        return []
    facts = _tags(found[0].get("TagList"))
    if not found[0].get("PubliclyAccessible"):
        return [*facts, _exposed(False, "it has no public address")]
    rules = await _groups(it, [g["VpcSecurityGroupId"] for g in found[0].get("VpcSecurityGroups") or ()])
    return [*facts, _exposed(bool(rules), f"publicly accessible, {rules[0] if rules else 'no group lets anyone in'}")]


async def _bucket(it: Resource) -> list[ContextFact]:
    facts = _tags((await it.ask("s3", "get_bucket_tagging", Bucket=it.name)).get("TagSet"))
    before = len(it.trouble)
    block = (await it.ask("s3", "get_public_access_block", Bucket=it.name)).get("PublicAccessBlockConfiguration") or {}
    if block.get("RestrictPublicBuckets") and block.get("IgnorePublicAcls"):
        return [*facts, _exposed(False, "Block Public Access is on")]
    status = (await it.ask("s3", "get_bucket_policy_status", Bucket=it.name)).get("PolicyStatus") or {}
    grants = (await it.ask("s3", "get_bucket_acl", Bucket=it.name)).get("Grants") or []
    world = [g for g in grants if str((g.get("Grantee") or {}).get("URI", "")).endswith("/global/AllUsers")]
    if status.get("IsPublic") and not block.get("RestrictPublicBuckets"):
        facts.append(_exposed(True, "its policy lets anyone in"))
    elif world and not block.get("IgnorePublicAcls"):
        facts.append(_exposed(True, f"its ACL lets anyone {str(world[0].get('Permission', 'in')).lower()}"))
    elif len(it.trouble) == before:  # what could not be read proves nothing
        facts.append(_exposed(False, "neither its policy nor its ACL lets anyone in"))
    return facts


async def _role(it: Resource) -> list[ContextFact]:
    role = (await it.ask("iam", "get_role", RoleName=it.name.rpartition("/")[2])).get("Role")
    if role is None:
        return []
    used = (role.get("RoleLastUsed") or {}).get("LastUsedDate")
    why = "" if used else "not in the 400 days that AWS keeps"
    return [*_tags(role.get("Tags")), ContextFact("last_used", str(used or "never"), why, "AWS IAM")]


async def _user(it: Resource) -> list[ContextFact]:
    name = it.name.rpartition("/")[2]
    user = (await it.ask("iam", "get_user", UserName=name)).get("User")
    if user is None:
        return []
    moments = [str(user["PasswordLastUsed"])] if user.get("PasswordLastUsed") else []
    keys = (await it.ask("iam", "list_access_keys", UserName=name)).get("AccessKeyMetadata") or []
    for key in keys:
        used = await it.ask("iam", "get_access_key_last_used", AccessKeyId=key["AccessKeyId"])
        if (used.get("AccessKeyLastUsed") or {}).get("LastUsedDate"):
            moments.append(str(used["AccessKeyLastUsed"]["LastUsedDate"]))
    why = f"password and {len(keys)} access keys"
    return [*_tags(user.get("Tags")), ContextFact("last_used", max(moments, default="never"), why, "AWS IAM")]


_LOOKS = {
    ("ec2", "instance"): _instance, ("ec2", "security-group"): _group, ("rds", "db"): _database,
    ("s3", "bucket"): _bucket, ("iam", "role"): _role, ("iam", "user"): _user,
}  # fmt: skip


# --- the work --------------------------------------------------------------------------------------------------------


class AwsContext:
    """Looks at the resources of open P1 and P2 findings, most urgent first."""

    def __init__(self, db: Database, settings: Settings, clouds: CloudFactory, clock: Clock, ids: IdSource) -> None:
        self._db, self._settings, self._clouds, self._clock, self._ids = db, settings, clouds, clock, ids
        self._rules = rules_of(settings)

    async def tick(self) -> int:
        """Returns how many resources were looked at; 0 while ``enrichment.aws_context`` is off."""
        if not self._settings.enrichment.aws_context:
            return 0
        wanted = await self._db.write(self._grant)
        if not wanted:
            return 0
        reader = self._clouds.reader(Attribution())
        found: dict[str, list[ContextFact]] = {}
        trouble: list[str] = []
        for uid, account, region in wanted:
            try:
                found[uid], wrong = await read_context(reader, uid, account, region)
            except GatehouseError as error:
                trouble.append(error.reason)
                break  # throttled, or no answer: the rest comes with the next tick
            trouble += wrong
        return await self._db.write(self._keep, found, trouble)

    def _grant(self, conn: Connection) -> list[tuple[str, str, str]]:
        now = self._clock.now()
        fresh = select(intel.CONTEXT.c.resource_uid).where(intel.CONTEXT.c.as_of > now - KEPT)
        f = FINDINGS.c
        query = (
            select(f.resource_uid, func.max(f.account_uid), func.max(f.region))
            .where(f.status.in_(causes.OPEN), f.priority <= 2, f.provider == "aws", f.resource_uid.like("arn:aws%"),
                   f.resource_uid.not_in(fresh))
            .group_by(f.resource_uid)
            .order_by(func.min(f.priority), f.resource_uid)
            .limit(AT_ONCE)
        )  # fmt: skip
        wanted = [(str(uid), str(account), str(region)) for uid, account, region in conn.execute(query)]
        if not wanted:
            return []
        most = self._settings.enrichment.aws_per_hour
        return wanted[: intel.spend(conn, "aws", now, f"{now:%Y-%m-%dT%H}", most, len(wanted))]

    def _keep(self, conn: Connection, found: Mapping[str, Sequence[ContextFact]], trouble: Sequence[str]) -> int:
        now = self._clock.now()
        rows: list[dict[str, Any]] = []
        for uid, facts in found.items():
            conn.execute(delete(intel.CONTEXT).where(intel.CONTEXT.c.resource_uid == uid))
            marked = [*facts, ContextFact("looked_at", "", "", "AWS")]  # so that it is not asked again at once
            rows += [{"resource_uid": uid, "fact": one.fact, "value": clean(one.value, 1000),
                      "why": clean(one.why, 500), "source": one.source, "as_of": now} for one in marked]  # fmt: skip
        upsert(conn, intel.CONTEXT, ["resource_uid", "fact"], rows)
        if found:
            intel.looked_at(conn, now)
        if trouble:
            intel.failed(conn, "aws", trouble[0], now)
        news = {
            uid: f"AWS: {'reachable' if one.value == 'yes' else 'not reachable'} from the internet ({one.why})"
            for uid, facts in found.items() for one in facts if one.fact == "exposed"
        }  # fmt: skip
        touched = [
            str(one)
            for one in conn.execute(
                select(FINDINGS.c.id).where(FINDINGS.c.resource_uid.in_(list(news)), FINDINGS.c.status.in_(intel.LIVE))
            ).scalars()
        ]
        retriage(conn, self._settings, self._rules, self._ids, now, touched, news=news, why="aws context")
        return len(found)
