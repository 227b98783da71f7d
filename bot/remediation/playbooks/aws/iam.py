"""IAM: access keys and the password policy."""

from __future__ import annotations

import base64
import binascii
import csv
import io
import re
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from pydantic import JsonValue

from bot.domain.errors import BadInput, Gone, RetryLater
from bot.domain.findings import Finding
from bot.domain.plans import Call, Change, Reversibility, Risk, Target
from bot.ports import CloudReader, PlaybookInfo, State, Verification

from .base import AccountPlaybook, AwsPlaybook, SettingPlaybook, call, read_or_none, tag_map

_INDEX = re.compile(r"(?:-access-key-|/AccessKey)([12])$", re.ASCII)
_NO_REPORT = frozenset({"ReportNotPresent", "ReportExpired", "ReportInProgress"})
_SAME_KEY = 60.0  # seconds between a key's creation and the date its slot has in the credential report


class DeactivateAccessKey(AwsPlaybook):
    """Deactivates one key. The finding names the user and the key's slot (1 or 2); the slot is resolved by reading."""

    info = PlaybookInfo(
        id="iam-deactivate-access-key",
        version=1,
        title="Deactivate an old or unused access key",
        provider="aws",
        target_kind="iam_access_key",
        rules=frozenset({"iam_rotate_access_key_90_days", "iam_user_accesskey_unused"}),
        risk=Risk.MEDIUM,
        reversibility=Reversibility.EXACT,
        danger="Whatever signs with the key stops at once. Nothing is deleted: the key can be activated again.",
        undo_note="Activates the same key again.",
        undo_exposes=True,
        checks=("iam_rotate_access_key_90_days",),
    )
    arn_service = "iam"
    resource = re.compile(r"user/(?:[\x21-\x7e]*/)?([\w+=,.@\-]{1,64})", re.ASCII)
    noun = "access key"
    writes = frozenset({"iam.update_access_key"})

    def target(self, finding: Finding) -> Target | None:
        user = super().target(finding)
        slot = _INDEX.search(finding.resource.name) or _INDEX.search(finding.uid)
        if user is None or slot is None:
            return None
        return user.model_copy(update={"uid": f"{user.uid}#access-key-{slot[1]}"})

    async def tags(self, cloud: CloudReader, target: Target) -> dict[str, str] | None:
        """The user's: a key has none (``iam:ListUserTags``)."""
        answer = await cloud.read(call(target, "iam", "list_user_tags", UserName=target.name))
        return tag_map(answer.get("Tags", []))

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        listed = await cloud.read(call(target, "iam", "list_access_keys", UserName=target.name))
        keys = listed["AccessKeyMetadata"]
        if not keys:
            raise Gone(f"User {target.name} has no access key.", mend="Scan again: the finding should vanish.")
        slot = int(target.uid[-1])
        key = keys[0] if len(keys) == 1 else await self._in_slot(cloud, target, keys, slot)
        request = call(target, "iam", "get_access_key_last_used", AccessKeyId=key["AccessKeyId"])
        used = (await cloud.read(request)).get("AccessKeyLastUsed", {})
        return {
            "key": key["AccessKeyId"],
            "status": key["Status"],
            "created": str(key["CreateDate"])[:10],
            # Whether, not when and for what: a key in use must not make every approval stale, a first use should.
            "used": used.get("LastUsedDate") is not None,
        }

    async def _in_slot(
        self, cloud: CloudReader, target: Target, keys: list[dict[str, Any]], slot: int
    ) -> dict[str, Any]:
        """The key that IAM's credential report has in the slot: IAM's list of keys is in no promised order."""
        ages = [_instant(k["CreateDate"]) for k in keys]
        if abs(ages[0] - ages[1]) <= 1.0:
            return sorted(keys, key=lambda k: str(k["AccessKeyId"]))[slot - 1]  # twins: equally old, any order will do
        request = call(target, "iam", "get_credential_report")
        report = await read_or_none(cloud, request, _NO_REPORT)
        if report is None:
            await cloud.read(call(target, "iam", "generate_credential_report"))
            report = await read_or_none(cloud, request, _NO_REPORT)
        if report is None:
            raise RetryLater("IAM is still writing its credential report.", after=15)
        row = next((r for r in _rows(report["Content"]) if r["user"] == target.name), None)
        since = None if row is None else row.get(f"access_key_{slot}_last_rotated")
        if since and since not in {"N/A", "not_supported"}:
            near = [k for k, age in zip(keys, ages, strict=True) if abs(age - _instant(since)) <= _SAME_KEY]
            if len(near) == 1:
                return near[0]
        raise BadInput(
            f"It cannot be told which of the two keys of {target.name} is key {slot}.",
            mend="Generate a fresh credential report in IAM, or deactivate the key in the console.",
        )

    def _set(self, target: Target, state: State, before: str, after: str, words: str) -> list[Change]:
        return [
            Change(
                summary=f"{words} access key {state['key']} of user {target.name}",
                target=target,
                before={"Status": before},
                after={"Status": after},
                call=call(
                    target,
                    "iam",
                    "update_access_key",
                    UserName=target.name,
                    AccessKeyId=state["key"],
                    Status=after,
                ),
            )
        ]

    def changes(self, target: Target, state: State) -> list[Change]:
        if state["status"] != "Active":
            return []
        return self._set(target, state, "Active", "Inactive", "Deactivate")

    def undo(self, target: Target, pre: State, now: State) -> list[Change]:
        # Another key in the slot: the one we deactivated was deleted, there is nothing to activate.
        if pre["status"] != "Active" or now["status"] == "Active" or now["key"] != pre["key"]:
            return []
        return self._set(target, now, now["status"], "Active", "Activate")

    def verify(self, target: Target, state: State) -> Verification:
        if state["status"] == "Active":
            return Verification(False, f"Access key {state['key']} of {target.name} is still active.")
        return Verification(True, f"Access key {state['key']} of {target.name} is inactive.")

    def warnings(self, target: Target, state: State) -> list[str]:
        if not state.get("used"):
            return []
        return [f"Key {state['key']} of {target.name} has been used (created {state['created']}): ask its user first."]


def _instant(value: Any) -> float:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _rows(content: Any) -> list[dict[str, str]]:
    """The credential report's rows; connectors hand its bytes on as text, plain or base64."""
    text = content.decode() if isinstance(content, bytes) else str(content)
    if not text.startswith("user,"):
        try:
            text = base64.b64decode(text, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return []
    return list(csv.DictReader(io.StringIO(text)))


# What the scanner's checks and the CIS benchmark ask for; a stricter policy is left as it is.
_STRICT: dict[str, JsonValue] = {
    "MinimumPasswordLength": 14,
    "RequireSymbols": True,
    "RequireNumbers": True,
    "RequireUppercaseCharacters": True,
    "RequireLowercaseCharacters": True,
    "MaxPasswordAge": 90,
    "PasswordReusePrevention": 24,
}
_POLICY_FIELDS = (*_STRICT, "AllowUsersToChangePassword", "HardExpiry")
_CHECK = "iam_password_policy_"


class PasswordPolicy(SettingPlaybook, AccountPlaybook):
    info = PlaybookInfo(
        id="iam-password-policy",
        version=1,
        title="Ask for strong passwords in the account",
        provider="aws",
        target_kind="iam_password_policy",
        rules=frozenset(
            {
                _CHECK + "minimum_length_14",
                _CHECK + "symbol",
                _CHECK + "number",
                _CHECK + "uppercase",
                _CHECK + "lowercase",
                _CHECK + "reuse_24",
                _CHECK + "expires_passwords_within_90_days_or_less",
                "security_hub:IAM.7",
                *(f"security_hub:IAM.{n}" for n in range(11, 18)),
            }
        ),
        risk=Risk.MEDIUM,
        reversibility=Reversibility.EXACT,
        danger="Passwords older than 90 days expire: their owners must set a new one at the next sign-in.",
        undo_note="Restores the former policy, or that there was none.",
        undo_exposes=True,
        scope="account",
        checks=(
            _CHECK + "minimum_length_14",
            _CHECK + "reuse_24",
            _CHECK + "symbol",
            _CHECK + "number",
            _CHECK + "uppercase",
            _CHECK + "lowercase",
            _CHECK + "expires_passwords_within_90_days_or_less",
        ),
    )
    noun = "account"
    writes = frozenset({"iam.update_account_password_policy", "iam.delete_account_password_policy"})
    wanted = MappingProxyType(_STRICT)
    fix_words = "Ask for strong passwords in {name}"
    undo_words = "Put back the password policy of {name}"
    fine = "the password policy asks for all of it"

    def satisfied(self, key: str, value: JsonValue) -> bool:
        least = self.wanted[key]
        if isinstance(least, bool) or not isinstance(value, int) or not isinstance(least, int):
            return value == least
        return 0 < value <= least if key == "MaxPasswordAge" else value >= least

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        answer = await read_or_none(cloud, call(target, "iam", "get_account_password_policy"), {"NoSuchEntity"})
        if answer is None:
            return {"settings": None}
        policy = answer["PasswordPolicy"]
        return {"settings": {field: policy.get(field) for field in _POLICY_FIELDS}}

    def put(self, target: Target, values: dict[str, JsonValue], state: State) -> Call:
        # The call replaces the whole policy and takes no null: what has no value is left out.
        whole = {**(state["settings"] or {"AllowUsersToChangePassword": True}), **values}
        fields = {k: v for k, v in whole.items() if (v is not None and v != 0) or v is False}
        return call(target, "iam", "update_account_password_policy", **fields)

    def drop(self, target: Target) -> Call:
        return call(target, "iam", "delete_account_password_policy")


PLAYBOOKS: tuple[AwsPlaybook, ...] = (DeactivateAccessKey(), PasswordPolicy())
