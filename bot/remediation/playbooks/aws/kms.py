"""KMS: key rotation."""

from __future__ import annotations

import re
from types import MappingProxyType

from pydantic import JsonValue

from bot.domain.plans import Call, Reversibility, Risk, Target
from bot.ports import CloudReader, PlaybookInfo, State

from .base import AwsPlaybook, SettingPlaybook, call


class Rotation(SettingPlaybook):
    info = PlaybookInfo(
        id="kms-rotation",
        version=1,
        title="Rotate a KMS key every year",
        provider="aws",
        target_kind="kms_key",
        rules=frozenset({"kms_cmk_rotation_enabled", "security_hub:KMS.4"}),
        risk=Risk.LOW,
        reversibility=Reversibility.EXACT,
        danger="None known: old key material stays for decryption. A rotated key costs a little more.",
        undo_note="Switches automatic rotation off again; material rotated meanwhile stays.",
        checks=("kms_cmk_rotation_enabled",),
    )
    arn_service = "kms"
    resource = re.compile(r"key/((?:mrk-)?[0-9a-f\-]{32,36})", re.ASCII)
    noun = "key"
    writes = frozenset({"kms.enable_key_rotation", "kms.disable_key_rotation"})
    wanted = MappingProxyType({"KeyRotationEnabled": True})
    fix_words = "Switch on yearly rotation of key {name}"
    undo_words = "Switch off yearly rotation of key {name}"
    fine = "automatic rotation is on"

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        answer = await cloud.read(call(target, "kms", "get_key_rotation_status", KeyId=target.name))
        return {"settings": {"KeyRotationEnabled": answer["KeyRotationEnabled"]}}

    def put(self, target: Target, values: dict[str, JsonValue], state: State) -> Call:
        verb = "enable" if values["KeyRotationEnabled"] else "disable"
        return call(target, "kms", f"{verb}_key_rotation", KeyId=target.name)


PLAYBOOKS: tuple[AwsPlaybook, ...] = (Rotation(),)
