"""S3: public access, ACLs, transport, encryption, versioning."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any

from pydantic import JsonValue

from bot.domain.plans import Call, Change, Reversibility, Risk, Target
from bot.ports import CloudReader, PlaybookInfo, State

from . import policies
from .base import AccountPlaybook, AwsPlaybook, SettingPlaybook, call, read_or_none, tag_map

_FLAGS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_NO_BLOCK = frozenset({"NoSuchPublicAccessBlockConfiguration"})
_NO_POLICY = frozenset({"NoSuchBucketPolicy"})
_TLS_SID = "GatehouseDenyInsecureTransport"
_NO_TAGS = frozenset({"NoSuchTagSet"})
_GROUPS = "http://acs.amazonaws.com/groups/"
_PUBLIC_GROUPS = frozenset({_GROUPS + "global/AllUsers", _GROUPS + "global/AuthenticatedUsers"})


def _flags(config: dict[str, Any] | None) -> dict[str, JsonValue] | None:
    return None if config is None else {flag: config.get(flag, False) for flag in _FLAGS}


class _Bucket(AwsPlaybook):
    arn_service = "s3"
    resource = re.compile(r"([a-z0-9][a-z0-9.\-]{1,61}[a-z0-9])", re.ASCII)
    noun = "bucket"

    async def tags(self, cloud: CloudReader, target: Target) -> dict[str, str] | None:
        """A bucket says itself that it has none (``s3:GetBucketTagging``)."""
        answer = await read_or_none(cloud, call(target, "s3", "get_bucket_tagging", Bucket=target.name), _NO_TAGS)
        return {} if answer is None else tag_map(answer.get("TagSet", []))


async def _website(cloud: CloudReader, target: Target) -> bool:
    request = call(target, "s3", "get_bucket_website", Bucket=target.name)
    return await read_or_none(cloud, request, {"NoSuchWebsiteConfiguration"}) is not None


class BlockPublicAccess(SettingPlaybook, _Bucket):
    info = PlaybookInfo(
        id="s3-block-public-access",
        version=1,
        title="Block public access to a bucket",
        provider="aws",
        target_kind="s3_bucket",
        rules=frozenset(
            {
                "s3_bucket_level_public_access_block",
                "s3_bucket_public_access",
                "security_hub:S3.2",
                "security_hub:S3.3",
                "security_hub:S3.8",
            }
        ),
        risk=Risk.MEDIUM,
        reversibility=Reversibility.EXACT,
        danger="Whatever reads the objects publicly (web sites, links without a CDN) gets 403 at once.",
        undo_note="Restores the four flags as they were; public grants work again.",
        undo_exposes=True,
        checks=("s3_bucket_level_public_access_block", "s3_bucket_public_access"),
    )
    writes = frozenset({"s3.put_public_access_block", "s3.delete_public_access_block"})
    wanted = dict.fromkeys(_FLAGS, True)
    fix_words = "Block all public access on bucket {name}"
    undo_words = "Put back the public access settings of bucket {name}"
    fine = "all four public access blocks are on"

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        request = call(target, "s3", "get_public_access_block", Bucket=target.name)
        answer = await read_or_none(cloud, request, _NO_BLOCK)
        config = None if answer is None else answer["PublicAccessBlockConfiguration"]
        return {"settings": _flags(config), "website": await _website(cloud, target)}

    def put(self, target: Target, values: dict[str, JsonValue], state: State) -> Call:
        whole = {**dict.fromkeys(_FLAGS, False), **(state["settings"] or {}), **values}
        return call(target, "s3", "put_public_access_block", Bucket=target.name, PublicAccessBlockConfiguration=whole)

    def drop(self, target: Target) -> Call:
        return call(target, "s3", "delete_public_access_block", Bucket=target.name)

    def warnings(self, target: Target, state: State) -> list[str]:
        return [f"{target.name} serves a static web site: it will stop."] if state.get("website") else []


class AccountPublicAccessBlock(SettingPlaybook, AccountPlaybook):
    info = PlaybookInfo(
        id="s3-account-public-access-block",
        version=1,
        title="Block public access for every bucket of the account",
        provider="aws",
        target_kind="s3_account",
        rules=frozenset({"s3_account_level_public_access_blocks", "security_hub:S3.1"}),
        risk=Risk.HIGH,
        reversibility=Reversibility.EXACT,
        danger="Every public bucket of the account stops being public at once, wanted or not.",
        undo_note="Restores the account's flags; buckets that were public are public again.",
        undo_exposes=True,
        scope="account",
        checks=("s3_account_level_public_access_blocks",),
    )
    writes = frozenset({"s3control.put_public_access_block", "s3control.delete_public_access_block"})
    noun = "account"
    wanted = dict.fromkeys(_FLAGS, True)
    fix_words = "Block public access for every bucket of {name}"
    undo_words = "Put back the public access settings of {name}"
    fine = "all four account-level public access blocks are on"

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        request = call(target, "s3control", "get_public_access_block", AccountId=target.account)
        answer = await read_or_none(cloud, request, _NO_BLOCK)
        return {"settings": _flags(None if answer is None else answer["PublicAccessBlockConfiguration"])}

    def put(self, target: Target, values: dict[str, JsonValue], state: State) -> Call:
        whole = {**dict.fromkeys(_FLAGS, False), **(state["settings"] or {}), **values}
        return call(
            target,
            "s3control",
            "put_public_access_block",
            AccountId=target.account,
            PublicAccessBlockConfiguration=whole,
        )

    def drop(self, target: Target) -> Call:
        return call(target, "s3control", "delete_public_access_block", AccountId=target.account)


def _public(grant: dict[str, Any]) -> bool:
    return grant.get("Grantee", {}).get("URI") in _PUBLIC_GROUPS


def _grant_words(grants: list[dict[str, Any]]) -> list[JsonValue]:
    out: list[JsonValue] = []
    for grant in grants:
        who = grant["Grantee"]
        name = who.get("URI", "").rpartition("/")[2] or who.get("DisplayName") or who.get("ID") or "unknown"
        out.append(f"{name}: {grant['Permission']}")
    return out


class AclPrivate(_Bucket):
    """Removes only what is granted to everyone; log delivery and other accounts keep their grants."""

    info = PlaybookInfo(
        id="s3-acl-private",
        version=1,
        title="Remove public grants from a bucket's ACL",
        provider="aws",
        target_kind="s3_bucket",
        rules=frozenset({"s3_bucket_public_list_acl", "s3_bucket_public_write_acl"}),
        risk=Risk.MEDIUM,
        reversibility=Reversibility.EXACT,
        danger="Anonymous listing and writing stop. Objects with a public ACL of their own stay public.",
        undo_note="Grants the same rights to everyone again.",
        undo_exposes=True,
        checks=("s3_bucket_public_list_acl", "s3_bucket_public_write_acl"),
    )
    writes = frozenset({"s3.put_bucket_acl"})
    fine = "the ACL grants nothing to everyone"

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        answer = await cloud.read(call(target, "s3", "get_bucket_acl", Bucket=target.name))
        return {"owner": answer["Owner"], "grants": answer["Grants"]}

    def _put(self, target: Target, words: str, state: State, grants: list[dict[str, Any]]) -> list[Change]:
        acl = {"Owner": state["owner"], "Grants": grants}
        return [
            Change(
                summary=words,
                target=target,
                before={"grants": _grant_words(state["grants"])},
                after={"grants": _grant_words(grants)},
                call=call(target, "s3", "put_bucket_acl", Bucket=target.name, AccessControlPolicy=acl),
            )
        ]

    def changes(self, target: Target, state: State) -> list[Change]:
        kept = [g for g in state["grants"] if not _public(g)]
        if kept == state["grants"]:
            return []
        return self._put(target, f"Remove the public grants of bucket {target.name}", state, kept)

    def undo(self, target: Target, pre: State, now: State) -> list[Change]:
        missing = [g for g in pre["grants"] if _public(g) and g not in now["grants"]]
        if not missing:
            return []
        kept = [g for g in pre["grants"] if not _public(g)]
        grants = pre["grants"] if now["grants"] == kept else now["grants"] + missing
        return self._put(target, f"Put back the public grants of bucket {target.name}", now, grants)


class DefaultEncryption(SettingPlaybook, _Bucket):
    info = PlaybookInfo(
        id="s3-default-encryption",
        version=1,
        title="Encrypt new objects of a bucket by default",
        provider="aws",
        target_kind="s3_bucket",
        rules=frozenset({"s3_bucket_default_encryption", "security_hub:S3.4"}),
        risk=Risk.LOW,
        reversibility=Reversibility.EXACT,
        danger="None known: keys of S3 itself (SSE-S3); only new objects are concerned.",
        undo_note="Removes the configuration; AWS itself still encrypts new objects with SSE-S3.",
        checks=("s3_bucket_default_encryption",),
    )
    writes = frozenset({"s3.put_bucket_encryption", "s3.delete_bucket_encryption"})
    wanted = MappingProxyType({"SSEAlgorithm": "AES256"})
    fix_words = "Encrypt new objects of bucket {name} by default (SSE-S3)"
    undo_words = "Remove the default encryption of bucket {name}"
    fine = "a default encryption is set"

    def satisfied(self, key: str, value: JsonValue) -> bool:
        return isinstance(value, str) and value != ""  # a KMS configuration is more than we ask for: leave it

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        request = call(target, "s3", "get_bucket_encryption", Bucket=target.name)
        answer = await read_or_none(cloud, request, {"ServerSideEncryptionConfigurationNotFoundError"})
        if answer is None:
            return {"settings": None}
        rule = answer["ServerSideEncryptionConfiguration"]["Rules"][0]
        return {"settings": {"SSEAlgorithm": rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]}}

    def put(self, target: Target, values: dict[str, JsonValue], state: State) -> Call:
        rules = [{"ApplyServerSideEncryptionByDefault": values}]
        return call(
            target,
            "s3",
            "put_bucket_encryption",
            Bucket=target.name,
            ServerSideEncryptionConfiguration={"Rules": rules},
        )

    def drop(self, target: Target) -> Call:
        return call(target, "s3", "delete_bucket_encryption", Bucket=target.name)


class Versioning(SettingPlaybook, _Bucket):
    info = PlaybookInfo(
        id="s3-versioning",
        version=1,
        title="Keep old versions of a bucket's objects",
        provider="aws",
        target_kind="s3_bucket",
        rules=frozenset({"s3_bucket_object_versioning", "security_hub:S3.14"}),
        risk=Risk.LOW,
        reversibility=Reversibility.PARTIAL,
        danger="Storage cost grows unless a lifecycle rule expires old versions.",
        undo_note="A bucket that was never versioned becomes 'Suspended', it can never be unversioned again.",
        checks=("s3_bucket_object_versioning",),
    )
    writes = frozenset({"s3.put_bucket_versioning"})
    wanted = MappingProxyType({"Status": "Enabled"})
    fix_words = "Switch on versioning of bucket {name}"
    undo_words = "Suspend versioning of bucket {name}"
    fine = "versioning is enabled"

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        answer = await cloud.read(call(target, "s3", "get_bucket_versioning", Bucket=target.name))
        return {"settings": {"Status": answer.get("Status")}}

    def put(self, target: Target, values: dict[str, JsonValue], state: State) -> Call:
        return call(
            target,
            "s3",
            "put_bucket_versioning",
            Bucket=target.name,
            VersioningConfiguration={"Status": values["Status"]},
        )

    def undo(self, target: Target, pre: State, now: State) -> list[Change]:
        if now == pre:
            return []
        was = pre["settings"]["Status"] or "Suspended"  # there is no way back to "never versioned"
        return super().undo(target, {"settings": {"Status": was}}, now)


class _BucketPolicy(_Bucket):
    writes = frozenset({"s3.put_bucket_policy", "s3.delete_bucket_policy"})

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        request = call(target, "s3", "get_bucket_policy", Bucket=target.name)
        answer = await read_or_none(cloud, request, _NO_POLICY)
        return {"policy": None if answer is None else policies.parse(answer["Policy"])}

    def _call(self, target: Target, policy: policies.Policy | None, state: State) -> Call:
        if policy is None:
            return call(target, "s3", "delete_bucket_policy", Bucket=target.name)
        return call(target, "s3", "put_bucket_policy", Bucket=target.name, Policy=policies.text(policy))

    def _replace(self, target: Target, words: str, state: State, new: policies.Policy | None) -> list[Change]:
        now = state["policy"]
        if policies.same(now, new):
            return []
        return [
            Change(
                summary=words,
                target=target,
                before=policies.words(now),
                after=policies.words(new),
                call=self._call(target, new, state),
            )
        ]


class DenyInsecureTransport(_BucketPolicy):
    """Adds one Deny statement to the bucket policy; every other statement stays as it is."""

    info = PlaybookInfo(
        id="s3-deny-insecure-transport",
        version=1,
        title="Refuse plain HTTP to a bucket",
        provider="aws",
        target_kind="s3_bucket",
        rules=frozenset({"s3_bucket_secure_transport_policy", "security_hub:S3.5"}),
        risk=Risk.LOW,
        reversibility=Reversibility.EXACT,
        danger="Clients that use plain HTTP get 403.",
        undo_note="Removes the statement that was added.",
        checks=("s3_bucket_secure_transport_policy",),
    )
    fine = "requests without TLS are denied"

    @staticmethod
    def _statement(target: Target) -> policies.Statement:
        arn = target.uid
        return {
            "Sid": _TLS_SID,
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }

    @staticmethod
    def _denies(statement: policies.Statement, arn: str) -> bool:
        condition = statement.get("Condition")
        if statement.get("Effect") != "Deny" or not policies.is_everyone(statement.get("Principal")):
            return False
        if (
            not isinstance(condition, dict)
            or set(condition) != {"Bool"}
            or set(condition["Bool"]) != {"aws:SecureTransport"}
        ):
            return False  # a further condition narrows the Deny
        if [str(v).lower() for v in policies.many(condition["Bool"]["aws:SecureTransport"])] != ["false"]:
            return False
        if not {"*", "s3:*"} & set(policies.many(statement.get("Action"))):
            return False
        resources = set(policies.many(statement.get("Resource")))
        return "*" in resources or resources >= {arn, f"{arn}/*"} or f"{arn}*" in resources

    def changes(self, target: Target, state: State) -> list[Change]:
        now = state["policy"]
        if any(self._denies(s, target.uid) for s in policies.statements(now)):
            return []
        new = policies.with_statement(now, self._statement(target))
        return self._replace(target, f"Deny requests without TLS to bucket {target.name}", state, new)

    def undo(self, target: Target, pre: State, now: State) -> list[Change]:
        before = policies.statements(pre["policy"])
        mine = [
            s
            for s in policies.statements(now["policy"])
            if s not in before and str(s.get("Sid", "")).startswith(_TLS_SID) and self._denies(s, target.uid)
        ]
        if not mine:
            return []
        rest = policies.without(now["policy"], mine, empty_is_none=pre["policy"] is None)
        new = pre["policy"] if policies.same(rest, pre["policy"]) else rest
        return self._replace(target, f"Allow plain HTTP to bucket {target.name} again", now, new)


class RemovePublicStatements(_BucketPolicy, policies.PublicStatements):
    info = PlaybookInfo(
        id="s3-remove-public-policy",
        version=1,
        title="Remove public statements from a bucket policy",
        provider="aws",
        target_kind="s3_bucket",
        rules=frozenset({"s3_bucket_policy_public_write_access"}),
        risk=Risk.MEDIUM,
        reversibility=Reversibility.EXACT,
        danger="Anonymous readers and writers get 403. Statements with a Condition stay.",
        undo_note="Puts the public statements back; AWS refuses that while public policies are blocked.",
        undo_exposes=True,
        checks=("s3_bucket_policy_public_write_access",),
    )
    noun = "bucket"


PLAYBOOKS: tuple[AwsPlaybook, ...] = (
    BlockPublicAccess(),
    AccountPublicAccessBlock(),
    AclPrivate(),
    DenyInsecureTransport(),
    RemovePublicStatements(),
    DefaultEncryption(),
    Versioning(),
)
