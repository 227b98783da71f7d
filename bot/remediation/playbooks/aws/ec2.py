"""EC2: instance metadata, EBS, images, subnets."""

from __future__ import annotations

import re
from abc import abstractmethod
from types import MappingProxyType
from typing import Any

from pydantic import JsonValue

from bot.domain.errors import Gone
from bot.domain.plans import Call, Change, Reversibility, Risk, Target
from bot.ports import CloudReader, PlaybookInfo, State

from .base import AccountPlaybook, AwsPlaybook, SettingPlaybook, call


class ImdsV2(SettingPlaybook):
    info = PlaybookInfo(
        id="ec2-imdsv2",
        version=1,
        title="Require session tokens for instance metadata (IMDSv2)",
        provider="aws",
        target_kind="ec2_instance",
        rules=frozenset({"ec2_instance_imdsv2_enabled", "security_hub:EC2.8"}),
        risk=Risk.MEDIUM,
        reversibility=Reversibility.EXACT,
        danger="Old SDKs and agents that use IMDSv1 lose their credentials at once: look at MetadataNoToken first.",
        undo_note="Makes the token optional again.",
        undo_exposes=True,
        checks=("ec2_instance_imdsv2_enabled",),
    )
    arn_service = "ec2"
    resource = re.compile(r"instance/(i-[0-9a-f]{8,17})", re.ASCII)
    noun = "instance"
    writes = frozenset({"ec2.modify_instance_metadata_options"})
    wanted = MappingProxyType({"HttpTokens": "required"})
    fix_words = "Require IMDSv2 on instance {name}"
    undo_words = "Make IMDSv2 optional again on instance {name}"
    fine = "the metadata service answers only with a token"

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        answer = await cloud.read(call(target, "ec2", "describe_instances", InstanceIds=[target.name]))
        found = [i for r in answer["Reservations"] for i in r["Instances"]]
        if not found or found[0].get("State", {}).get("Name") == "terminated":
            raise Gone(f"Instance {target.name} no longer exists.", mend="Scan again: the finding should vanish.")
        options = found[0].get("MetadataOptions") or {}
        return {
            "settings": {"HttpTokens": options.get("HttpTokens")},
            "hop_limit": options.get("HttpPutResponseHopLimit"),
            "endpoint": options.get("HttpEndpoint"),
        }

    def put(self, target: Target, values: dict[str, JsonValue], state: State) -> Call:
        params: dict[str, JsonValue] = {"HttpTokens": values["HttpTokens"] or "optional"}  # EC2's own default
        if state.get("endpoint"):
            params["HttpEndpoint"] = state["endpoint"]  # said again, so that the call means the same everywhere
        return call(target, "ec2", "modify_instance_metadata_options", InstanceId=target.name, **params)

    def warnings(self, target: Target, state: State) -> list[str]:
        if state.get("hop_limit") == 1:
            return [f"{target.name}: hop limit 1, so containers on it will not reach the metadata service."]
        return []


class EbsDefaultEncryption(SettingPlaybook, AccountPlaybook):
    info = PlaybookInfo(
        id="ebs-default-encryption",
        version=1,
        title="Encrypt new EBS volumes by default",
        provider="aws",
        target_kind="ebs_defaults",
        rules=frozenset({"ec2_ebs_default_encryption", "security_hub:EC2.7"}),
        risk=Risk.LOW,
        reversibility=Reversibility.EXACT,
        danger="New volumes only. Launches from images shared by other accounts need rights on their keys.",
        undo_note="New volumes are no longer encrypted by default; those made meanwhile stay encrypted.",
        scope="account-region",
        checks=("ec2_ebs_default_encryption",),
    )
    noun = "region"
    writes = frozenset({"ec2.enable_ebs_encryption_by_default", "ec2.disable_ebs_encryption_by_default"})
    wanted = MappingProxyType({"EbsEncryptionByDefault": True})
    fix_words = "Encrypt new EBS volumes by default for {name}"
    undo_words = "No longer encrypt new EBS volumes by default for {name}"
    fine = "new volumes are encrypted by default"

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        answer = await cloud.read(call(target, "ec2", "get_ebs_encryption_by_default"))
        return {"settings": {"EbsEncryptionByDefault": answer["EbsEncryptionByDefault"]}}

    def put(self, target: Target, values: dict[str, JsonValue], state: State) -> Call:
        verb = "enable" if values["EbsEncryptionByDefault"] else "disable"
        return call(target, "ec2", f"{verb}_ebs_encryption_by_default")


class PublicShare(AwsPlaybook):
    """Something shared with everyone. State: ``{"public": bool, "accounts": […]}``; shares by account stay."""

    thing = ""

    @abstractmethod
    def _share(self, target: Target, public: bool) -> Call: ...

    def _change(self, target: Target, words: str, before: bool, after: bool) -> list[Change]:
        return [
            Change(
                summary=words,
                target=target,
                before={"shared with everyone": before},
                after={"shared with everyone": after},
                call=self._share(target, after),
            )
        ]

    def changes(self, target: Target, state: State) -> list[Change]:
        if not state["public"]:
            return []
        return self._change(target, f"Stop sharing {self.thing} {target.name} with everyone", True, False)

    def undo(self, target: Target, pre: State, now: State) -> list[Change]:
        if not pre["public"] or now["public"]:
            return []
        return self._change(target, f"Share {self.thing} {target.name} with everyone again", False, True)

    def warnings(self, target: Target, state: State) -> list[str]:
        n = len(state.get("accounts") or [])
        return [f"{target.name} stays shared with {n} named account(s)."] if n else []


class EbsSnapshotPrivate(PublicShare):
    info = PlaybookInfo(
        id="ebs-snapshot-private",
        version=1,
        title="Stop sharing an EBS snapshot with everyone",
        provider="aws",
        target_kind="ebs_snapshot",
        rules=frozenset({"ec2_ebs_public_snapshot", "security_hub:EC2.1"}),
        risk=Risk.LOW,
        reversibility=Reversibility.EXACT,
        danger="Accounts that are not named lose the snapshot. What was public may have been copied already.",
        undo_note="Makes the data public again.",
        undo_exposes=True,
        checks=("ec2_ebs_public_snapshot",),
    )
    arn_service = "ec2"
    resource = re.compile(r"snapshot/(snap-[0-9a-f]{8,17})", re.ASCII)
    noun = "snapshot"
    thing = "snapshot"
    writes = frozenset({"ec2.modify_snapshot_attribute"})
    fine = "it is not shared with everyone"

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        request = call(
            target,
            "ec2",
            "describe_snapshot_attribute",
            SnapshotId=target.name,
            Attribute="createVolumePermission",
        )
        shares = (await cloud.read(request)).get("CreateVolumePermissions", [])
        return _shares(shares)

    def _share(self, target: Target, public: bool) -> Call:
        return call(
            target,
            "ec2",
            "modify_snapshot_attribute",
            SnapshotId=target.name,
            Attribute="createVolumePermission",
            OperationType="add" if public else "remove",
            GroupNames=["all"],
        )


class AmiPrivate(PublicShare):
    info = PlaybookInfo(
        id="ami-private",
        version=1,
        title="Stop sharing a machine image with everyone",
        provider="aws",
        target_kind="ami",
        rules=frozenset({"ec2_ami_public"}),
        risk=Risk.LOW,
        reversibility=Reversibility.EXACT,
        danger="Accounts that are not named can no longer launch from the image.",
        undo_note="Makes the image public again.",
        undo_exposes=True,
        checks=("ec2_ami_public",),
    )
    arn_service = "ec2"
    resource = re.compile(r"image/(ami-[0-9a-f]{8,17})", re.ASCII)
    noun = "image"
    thing = "image"
    writes = frozenset({"ec2.modify_image_attribute"})
    fine = "it is not shared with everyone"

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        request = call(target, "ec2", "describe_image_attribute", ImageId=target.name, Attribute="launchPermission")
        return _shares((await cloud.read(request)).get("LaunchPermissions", []))

    def _share(self, target: Target, public: bool) -> Call:
        verb = "Add" if public else "Remove"
        return call(
            target,
            "ec2",
            "modify_image_attribute",
            ImageId=target.name,
            LaunchPermission={verb: [{"Group": "all"}]},
        )


def _shares(permissions: list[dict[str, Any]]) -> State:
    return {
        "public": any(p.get("Group") == "all" for p in permissions),
        "accounts": sorted(p["UserId"] for p in permissions if "UserId" in p),
    }


class SubnetNoPublicIp(SettingPlaybook):
    info = PlaybookInfo(
        id="vpc-subnet-no-public-ip",
        version=1,
        title="Stop giving public addresses to new instances of a subnet",
        provider="aws",
        target_kind="subnet",
        rules=frozenset({"vpc_subnet_no_public_ip_by_default", "security_hub:EC2.15"}),
        risk=Risk.MEDIUM,
        reversibility=Reversibility.EXACT,
        danger="New instances only. Scaling groups that count on public addresses lose the internet.",
        undo_note="New instances get public addresses again.",
        undo_exposes=True,
        checks=("vpc_subnet_no_public_ip_by_default",),
    )
    arn_service = "ec2"
    resource = re.compile(r"subnet/(subnet-[0-9a-f]{8,17})", re.ASCII)
    noun = "subnet"
    writes = frozenset({"ec2.modify_subnet_attribute"})
    wanted = MappingProxyType({"MapPublicIpOnLaunch": False})
    fix_words = "Give no public addresses by default in subnet {name}"
    undo_words = "Give public addresses by default again in subnet {name}"
    fine = "new instances get no public address"

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        answer = await cloud.read(call(target, "ec2", "describe_subnets", SubnetIds=[target.name]))
        if not answer["Subnets"]:
            raise Gone(f"Subnet {target.name} no longer exists.", mend="Scan again: the finding should vanish.")
        return {"settings": {"MapPublicIpOnLaunch": answer["Subnets"][0]["MapPublicIpOnLaunch"]}}

    def put(self, target: Target, values: dict[str, JsonValue], state: State) -> Call:
        value = {"Value": values["MapPublicIpOnLaunch"]}
        return call(target, "ec2", "modify_subnet_attribute", SubnetId=target.name, MapPublicIpOnLaunch=value)


PLAYBOOKS: tuple[AwsPlaybook, ...] = (
    ImdsV2(),
    EbsDefaultEncryption(),
    EbsSnapshotPrivate(),
    AmiPrivate(),
    SubnetNoPublicIp(),
)
