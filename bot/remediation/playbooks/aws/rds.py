"""RDS: one flag of an instance or cluster each, and public snapshots.

Changes are asked for with ``ApplyImmediately``: what was approved happens now, not in some maintenance window.
On AWS they are asynchronous: until the change is through, the old value is read and nothing counts as verified.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any

from pydantic import JsonValue

from bot.domain.errors import Gone
from bot.domain.plans import Call, Reversibility, Risk, Target
from bot.ports import CloudReader, PlaybookInfo, State, Verification

from .base import AwsPlaybook, SettingPlaybook, call
from .ec2 import PublicShare

_NAME = r"[a-zA-Z][a-zA-Z0-9\-]{0,254}"


class _Flag(SettingPlaybook):
    """One flag of a DB instance."""

    arn_service = "rds"
    resource = re.compile(rf"db:({_NAME})", re.ASCII)
    noun = "database"
    writes = frozenset({"rds.modify_db_instance"})

    def __init__(
        self,
        id_: str,
        title: str,
        flag: str,
        wanted: bool,
        *,
        rules: tuple[str, ...],
        words: tuple[str, str],
        danger: str,
        undo_note: str,
        fine: str,
        risk: Risk = Risk.LOW,
        undo_exposes: bool = False,
    ) -> None:
        self.flag = flag
        self.wanted = MappingProxyType({flag: wanted})
        self.fix_words, self.undo_words = (f"{w} {self.noun} {{name}}" for w in words)
        self.fine = fine
        self.info = PlaybookInfo(
            id=id_,
            version=1,
            title=title,
            provider="aws",
            target_kind=f"rds_{self.noun}",
            rules=frozenset(rules),
            risk=risk,
            reversibility=Reversibility.EXACT,
            danger=danger,
            undo_note=undo_note,
            undo_exposes=undo_exposes,
            checks=rules[:1],
        )

    async def _describe(self, cloud: CloudReader, target: Target) -> list[dict[str, Any]]:
        request = call(target, "rds", "describe_db_instances", DBInstanceIdentifier=target.name)
        found: list[dict[str, Any]] = (await cloud.read(request))["DBInstances"]
        return found

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        found = await self._describe(cloud, target)
        if not found:
            raise Gone(f"{self.noun} {target.name} no longer exists.", mend="Scan again: the finding should vanish.")
        return {"settings": {self.flag: found[0].get(self.flag)}}

    def _modify(self, target: Target, flags: dict[str, JsonValue]) -> Call:
        return call(
            target,
            "rds",
            "modify_db_instance",
            DBInstanceIdentifier=target.name,
            ApplyImmediately=True,
            **flags,
        )

    def put(self, target: Target, values: dict[str, JsonValue], state: State) -> Call:
        return self._modify(target, {flag: bool(value) for flag, value in values.items()})

    def verify(self, target: Target, state: State) -> Verification:
        said = super().verify(target, state)
        if said.ok:
            return said
        return Verification(False, f"{said.why} (RDS changes take some minutes on AWS).")


class _ClusterFlag(_Flag):
    resource = re.compile(rf"cluster:({_NAME})", re.ASCII)
    noun = "cluster"
    writes = frozenset({"rds.modify_db_cluster"})

    async def _describe(self, cloud: CloudReader, target: Target) -> list[dict[str, Any]]:
        request = call(target, "rds", "describe_db_clusters", DBClusterIdentifier=target.name)
        found: list[dict[str, Any]] = (await cloud.read(request))["DBClusters"]
        return found

    def _modify(self, target: Target, flags: dict[str, JsonValue]) -> Call:
        return call(
            target,
            "rds",
            "modify_db_cluster",
            DBClusterIdentifier=target.name,
            ApplyImmediately=True,
            **flags,
        )


class SnapshotPrivate(PublicShare):
    info = PlaybookInfo(
        id="rds-snapshot-private",
        version=1,
        title="Stop sharing a database snapshot with everyone",
        provider="aws",
        target_kind="rds_snapshot",
        rules=frozenset({"rds_snapshots_public_access", "security_hub:RDS.1"}),
        risk=Risk.LOW,
        reversibility=Reversibility.EXACT,
        danger="Accounts that are not named lose the snapshot. What was public may have been copied already.",
        undo_note="Makes the data public again.",
        undo_exposes=True,
        checks=("rds_snapshots_public_access",),
    )
    arn_service = "rds"
    resource = re.compile(r"snapshot:([a-zA-Z][a-zA-Z0-9\-:]{0,254})", re.ASCII)
    noun = "snapshot"
    thing = "database snapshot"
    writes = frozenset({"rds.modify_db_snapshot_attribute"})
    fine = "it is not shared with everyone"

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        request = call(target, "rds", "describe_db_snapshot_attributes", DBSnapshotIdentifier=target.name)
        result = (await cloud.read(request))["DBSnapshotAttributesResult"]
        attributes = {a["AttributeName"]: a.get("AttributeValues", []) for a in result["DBSnapshotAttributes"]}
        shared = attributes.get("restore", [])
        return {"public": "all" in shared, "accounts": sorted(a for a in shared if a != "all")}

    def _share(self, target: Target, public: bool) -> Call:
        verb = "ValuesToAdd" if public else "ValuesToRemove"
        return call(
            target,
            "rds",
            "modify_db_snapshot_attribute",
            DBSnapshotIdentifier=target.name,
            AttributeName="restore",
            **{verb: ["all"]},
        )


PLAYBOOKS: tuple[AwsPlaybook, ...] = (
    _Flag(
        "rds-not-public",
        "Take a database off the internet",
        "PubliclyAccessible",
        False,
        rules=("rds_instance_no_public_access", "security_hub:RDS.2"),
        words=("Take off the internet:", "Put on the internet again:"),
        danger="Clients outside the VPC lose the database: its name then resolves to the private address.",
        undo_note="Gives the database a public address again.",
        fine="the database has no public address",
        risk=Risk.MEDIUM,
        undo_exposes=True,
    ),
    _Flag(
        "rds-deletion-protection",
        "Protect a database from deletion",
        "DeletionProtection",
        True,
        rules=("rds_instance_deletion_protection", "security_hub:RDS.8"),
        words=("Protect from deletion:", "No longer protect from deletion:"),
        danger="None for users; pipelines that tear the database down will fail.",
        undo_note="The database can be deleted again.",
        fine="deletion protection is on",
    ),
    _Flag(
        "rds-minor-upgrade",
        "Let a database take minor upgrades by itself",
        "AutoMinorVersionUpgrade",
        True,
        rules=("rds_instance_minor_version_upgrade_enabled", "security_hub:RDS.13"),
        words=("Take minor upgrades automatically:", "No longer take minor upgrades automatically:"),
        danger="The database restarts in its maintenance window when a minor version comes out.",
        undo_note="No more automatic upgrades; those done stay.",
        fine="minor upgrades are automatic",
    ),
    _Flag(
        "rds-copy-tags",
        "Copy a database's tags to its snapshots",
        "CopyTagsToSnapshot",
        True,
        rules=("rds_instance_copy_tags_to_snapshots", "security_hub:RDS.17"),
        words=("Copy tags to snapshots:", "No longer copy tags to snapshots:"),
        danger="None known.",
        undo_note="New snapshots carry no tags again.",
        fine="snapshots get the tags",
    ),
    _ClusterFlag(
        "rds-cluster-deletion-protection",
        "Protect a database cluster from deletion",
        "DeletionProtection",
        True,
        rules=("rds_cluster_deletion_protection", "security_hub:RDS.7"),
        words=("Protect from deletion:", "No longer protect from deletion:"),
        danger="None for users; pipelines that tear the cluster down will fail.",
        undo_note="The cluster can be deleted again.",
        fine="deletion protection is on",
    ),
    _ClusterFlag(
        "rds-cluster-copy-tags",
        "Copy a cluster's tags to its snapshots",
        "CopyTagsToSnapshot",
        True,
        rules=("rds_cluster_copy_tags_to_snapshots", "security_hub:RDS.16"),
        words=("Copy tags to snapshots:", "No longer copy tags to snapshots:"),
        danger="None known.",
        undo_note="New snapshots carry no tags again.",
        fine="snapshots get the tags",
    ),
    SnapshotPrivate(),
)
