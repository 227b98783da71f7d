"""What every AWS playbook shares: finding the target, building calls, reading absence, and single-call settings."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from bot.domain.errors import CloudRefused
from bot.domain.findings import Environment, Finding
from bot.domain.plans import BlastRadius, Call, Change, Target
from bot.ports import CloudReader, PlaybookInfo, State, Verification

_ARN = re.compile(r"arn:aws[a-z-]*:([a-z0-9-]+):([a-z0-9-]*):(\d{12})?:(.+)", re.ASCII)
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d", re.ASCII)
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_ENVIRONMENTS = frozenset(e.value for e in Environment)


def call(target: Target, service: str, operation: str, **params: Any) -> Call:
    """A literal call in the account and region of the target."""
    return Call(
        provider="aws",
        account=target.account,
        region=target.region,
        service=service,
        operation=operation,
        params=params,
    )


async def read_or_none(cloud: CloudReader, request: Call, absent: Collection[str]) -> dict[str, Any] | None:
    """The answer, or None when the cloud says "there is none" with one of the codes. Anything else propagates."""
    try:
        return await cloud.read(request)
    except CloudRefused as refusal:
        if refusal.code in absent:
            return None
        raise


def tag_map(tags: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {str(tag["Key"]): str(tag["Value"]) for tag in tags}


def plural(n: int, noun: str) -> str:
    if n == 1:
        return f"1 {noun}"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{n} {noun[:-1]}ies"
    return f"{n} {noun}s"


class AwsPlaybook(ABC):
    """Base: a target by ARN, "fixed" means nothing is left to change."""

    info: PlaybookInfo
    arn_service = ""
    resource = re.compile("")  # over the resource part of the ARN; group 1 is the name the API wants
    noun = "resource"
    writes: frozenset[str] = frozenset()  # every write operation that changes() and undo() can ask for
    fine = "nothing is left to change"

    def target(self, finding: Finding) -> Target | None:
        parts = _ARN.fullmatch(finding.resource.uid)
        if parts is None or parts[1] != self.arn_service:
            return None
        named = self.resource.fullmatch(parts[4])
        if named is None:
            return None
        return self._target(finding, uid=finding.resource.uid, name=named[1], account=parts[3], region=parts[2])

    def _target(self, finding: Finding, *, uid: str, name: str, account: str | None, region: str) -> Target | None:
        """None when account or region is missing, or when the finding and the ARN name different accounts."""
        told = finding.account.uid
        if account and _ACCOUNT.fullmatch(told) and told != account:
            return None
        account = account or told
        region = region or finding.resource.region
        if not _ACCOUNT.fullmatch(account) or not _REGION.fullmatch(region):
            return None
        hint = finding.environment_hint.lower()
        return Target(
            provider="aws",
            account=account,
            region=region,
            kind=self.info.target_kind,
            uid=uid,
            name=name,
            environment=hint if hint in _ENVIRONMENTS else "unknown",
            tags=finding.resource.tags,
        )

    @abstractmethod
    async def inspect(self, cloud: CloudReader, target: Target) -> State: ...

    async def tags(self, cloud: CloudReader, target: Target) -> dict[str, str] | None:
        """The tags as they are now, for the scope of a standing approval; None where AWS names none.

        EC2 says it itself. For the others the Resource Groups Tagging API (``tag:GetResources``) names only resources
        that are or were tagged: an untagged one and one that it does not know look alike and count as unsaid.
        """
        if not target.uid.startswith("arn:"):
            return None
        if self.arn_service == "ec2":
            wanted = [{"Name": "resource-id", "Values": [target.name]}]
            return tag_map((await cloud.read(call(target, "ec2", "describe_tags", Filters=wanted))).get("Tags", []))
        request = call(target, "resourcegroupstaggingapi", "get_resources", ResourceARNList=[target.uid])
        for found in (await cloud.read(request)).get("ResourceTagMappingList", []):
            if found.get("ResourceARN") == target.uid:
                return tag_map(found.get("Tags", []))
        return None

    @abstractmethod
    def changes(self, target: Target, state: State) -> list[Change]: ...

    @abstractmethod
    def undo(self, target: Target, pre: State, now: State) -> list[Change]: ...

    def verify(self, target: Target, state: State) -> Verification:
        left = self.changes(target, state)
        if left:
            return Verification(False, f"Still to do on {target.name}: " + "; ".join(c.summary for c in left))
        return Verification(True, f"Read back from {target.name}: {self.fine}.")

    def blast_radius(self, targets: Sequence[Target], states: Mapping[str, State]) -> BlastRadius:
        accounts = len({t.account for t in targets})
        where = "" if accounts == 1 else f" in {accounts} accounts"
        warnings = [w for t in targets for w in self.warnings(t, states.get(t.uid, {}))]
        return BlastRadius(
            resources=len(targets),
            accounts=accounts,
            summary=f"{plural(len(targets), self.noun)}{where}. {self.info.danger}",
            warnings=tuple(dict.fromkeys(warnings)),
        )

    def warnings(self, target: Target, state: State) -> list[str]:
        """What the state read says about the danger of this very change."""
        return []


class AccountPlaybook(AwsPlaybook):
    """Works on a whole account, or on an account's region: the finding's resource is only a label."""

    service_words: frozenset[str] = frozenset()

    def target(self, finding: Finding) -> Target | None:
        parts = _ARN.fullmatch(finding.resource.uid)
        account, region = (parts[3], parts[2]) if parts else (None, "")
        by_region = self.info.scope == "account-region"
        place = region or finding.resource.region
        base = account or finding.account.uid
        uid = f"aws:{base}:{place}:{self.info.target_kind}" if by_region else f"aws:{base}:{self.info.target_kind}"
        name = f"account {base} in {place}" if by_region else f"account {base}"
        return self._target(finding, uid=uid, name=name, account=account, region=region)


class SettingPlaybook(AwsPlaybook):
    """Settings of one resource that one call writes. State: ``{"settings": {...}}``, plus what warnings need.

    ``settings`` as a whole is None where the cloud answers that there is no configuration at all: that is kept
    apart from a configuration whose values are off, because undoing the two differs.
    """

    wanted: Mapping[str, JsonValue] = {}
    fix_words = ""  # "Block all public access on bucket {name}"
    undo_words = ""

    def satisfied(self, key: str, value: JsonValue) -> bool:
        return value == self.wanted[key]

    @abstractmethod
    def put(self, target: Target, values: dict[str, JsonValue], state: State) -> Call:
        """The call that makes ``values`` so; ``state`` is the present state."""
        ...

    def drop(self, target: Target) -> Call:
        """The call that brings back "there is none"."""
        raise NotImplementedError(f"{self.info.id} has no absent state")

    def _change(self, summary: str, target: Target, before: State | None, after: State | None, request: Call) -> Change:
        return Change(summary=summary, target=target, before=before or {}, after=after or {}, call=request)

    def changes(self, target: Target, state: State) -> list[Change]:
        now = state["settings"]
        short = {k: v for k, v in self.wanted.items() if now is None or not self.satisfied(k, now.get(k))}
        if not short:
            return []
        before = {k: None if now is None else now.get(k) for k in short}
        return [
            self._change(self.fix_words.format(name=target.name), target, before, short, self.put(target, short, state))
        ]

    def undo(self, target: Target, pre: State, now: State) -> list[Change]:
        was, is_ = pre["settings"], now["settings"]
        words = self.undo_words.format(name=target.name)
        if was is None:
            if is_ is None:
                return []
            before = {k: is_.get(k) for k in self.wanted}
            return [self._change(words, target, before, dict.fromkeys(self.wanted), self.drop(target))]
        differs = {k: was.get(k) for k in self.wanted if is_ is None or was.get(k) != is_.get(k)}
        if not differs:
            return []
        before = {k: None if is_ is None else is_.get(k) for k in differs}
        return [self._change(words, target, before, differs, self.put(target, differs, now))]
