"""Compliance -> Finding: rows of ComplianceEvaluations, and the resources in violation of a report's recommendations.

Identity is ours: policy, account, resource. The two sources give the same one where they name the same policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bot.domain.findings import Account, Control, Finding, FindingClass, OwnerHint, SourceStatus
from connectors.console import console_url
from connectors.lacework.alerts import PRODUCT, controls_of_tags, references_of
from connectors.lacework.resources import (
    account_of_uid,
    provider_of,
    provider_of_resource,
    resource_of_uid,
    whole_arn,
)
from connectors.lacework.words import compliance_state, context, moment, pick, plain, severity, squeezed
from connectors.markup import commands
from connectors.text import environment_of, obj, owner_pairs, seq, tags_of, text

_ACCOUNTS = ("accountid", "subscriptionid", "projectid", "clusterid", "clustername", "compartmentid", "tenancyid",
             "tenantid", "organizationid")  # fmt: skip
_NAMES = ("accountalias", "subscriptionname", "projectname", "clustername", "accountname", "tenantname",
          "organizationname")  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Key:
    policy: str
    account: Account
    resource: str

    @property
    def uid(self) -> str:
        return f"compliance|{self.policy}|{self.account.uid}|{self.resource}"


def is_evaluation(raw: Mapping[str, Any]) -> bool:
    return bool(text(raw.get("id"), 256)) and "status" in raw and (
        "recommendation" in raw or "evalType" in raw or ("section" in raw and "resource" in raw)
    )  # fmt: skip


def is_violation(raw: Mapping[str, Any]) -> bool:
    return "REC_ID" in raw and ("VIOLATION" in raw or "SUPPRESSION" in raw)


def is_recommendation(raw: Mapping[str, Any]) -> bool:
    return "REC_ID" in raw and "STATUS" in raw and ("VIOLATIONS" in raw or "TITLE" in raw)


def violations(rec: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One object for each resource in violation, and for each suppressed one. A recommendation that is not complied
    with but names no resource is about the account."""
    base = {key: value for key, value in rec.items() if key not in ("VIOLATIONS", "SUPPRESSIONS")}
    base["_lacework"] = {**context(report), "report": {
        name: report.get(name) for name in ("reportType", "reportTitle", "reportTime", "accountId", "accountAlias",
                                            "subscriptionId", "subscriptionName", "projectId", "projectName",
                                            "tenantId", "organizationId") if report.get(name) is not None
    }}  # fmt: skip
    named = False
    for one in rec.get("VIOLATIONS") or () if isinstance(rec.get("VIOLATIONS"), list) else ():
        named = True
        yield {**base, "VIOLATION": one if isinstance(one, dict) else {"resource": text(one, 2000)}}
    for one in rec.get("SUPPRESSIONS") or () if isinstance(rec.get("SUPPRESSIONS"), list) else ():
        named = True
        yield {**base, "SUPPRESSION": one if isinstance(one, dict) else {"resource": text(one, 2000)}}
    if not named and compliance_state(rec.get("STATUS"))[0] is SourceStatus.NEW:
        yield {**base, "VIOLATION": {}}


def account_of(*holders: Any, resource: str = "", policy: str = "") -> Account:
    """From whatever spells account, subscription, project or cluster."""
    provider = provider_of_resource(resource)
    for holder in holders:
        if isinstance(holder, str) and text(holder, 256):
            return Account(uid=text(holder, 256), provider=provider or provider_of(policy))
        low = {squeezed(str(k)): v for k, v in list(obj(holder).items())[:100]}
        found = next(((name, said) for name in _ACCOUNTS if (said := text(low.get(name), 256))), None)
        if found:
            name = next((said for n in _NAMES if (said := text(low.get(n), 512))), "")
            own = {"subscriptionid": "azure", "tenantid": "azure", "projectid": "gcp", "organizationid": "gcp",
                   "clusterid": "kubernetes", "clustername": "kubernetes", "compartmentid": "oci",
                   "tenancyid": "oci", "accountid": "aws"}[found[0]]  # fmt: skip
            return Account(uid=found[1], name="" if name.lower() == "n/a" else name, provider=provider or own)
    return Account(uid=account_of_uid(resource), provider=provider or provider_of(policy))


def _evaluated(raw: Mapping[str, Any]) -> _Key:
    resource = whole_arn(text(pick(raw, "resource", "resourceId", "urn"), 2000))
    policy = text(raw.get("id"), 256)
    dataset = text(context(raw).get("dataset"), 64) or policy
    account = account_of(raw.get("account"), raw, resource=resource, policy=dataset)
    return _Key(policy, account, resource)


def _violated(raw: Mapping[str, Any]) -> _Key:
    one = obj(raw.get("VIOLATION")) or obj(raw.get("SUPPRESSION"))
    resource = whole_arn(text(pick(one, "resource", "RESOURCE", "urn"), 2000))
    policy = text(raw.get("REC_ID"), 256)
    # The report's head wins over the line: some lines carry the account that the report was shared from.
    account = account_of(raw, context(raw).get("report"), resource=resource, policy=policy)
    return _Key(policy, account, resource)


def identity_of_compliance(raw: Mapping[str, Any]) -> str:
    return (_violated(raw) if is_violation(raw) else _evaluated(raw)).uid


def state_of_compliance(raw: Mapping[str, Any]) -> tuple[SourceStatus, str]:
    if is_violation(raw):
        if "SUPPRESSION" in raw:
            return SourceStatus.SUPPRESSED, "Suppressed"
        return SourceStatus.NEW, text(raw.get("STATUS"), 64) or "NonCompliant"
    return compliance_state(raw.get("status"))


def content_of_compliance(raw: Mapping[str, Any]) -> Any:
    left_out = {"reportTime", "START_TIME", "ASSESSED_RESOURCE_COUNT", "RESOURCE_COUNT", "evalGuid", "startTime",
                "endTime", "_lacework"}  # fmt: skip
    own = {key: value for key, value in raw.items() if key not in left_out}
    added = {**context(raw)}
    added["report"] = {k: v for k, v in obj(added.get("report")).items() if k != "reportTime"}
    return own, added


def map_compliance(raw: Mapping[str, Any], source: str) -> Finding:
    return _map_violation(raw, source) if is_violation(raw) else _map_evaluation(raw, source)


def _map_evaluation(raw: Mapping[str, Any], source: str) -> Finding:
    key = _evaluated(raw)
    policy = obj(context(raw).get("policy"))
    grade, word = severity(raw.get("severity"))
    result, result_word = state_of_compliance(raw)
    section = text(raw.get("section"), 512)
    standard = text(raw.get("evalType"), 256)
    title = plain(raw.get("recommendation"), 1000) or plain(policy.get("title"), 1000) or key.policy
    return _finding(
        source,
        key,
        title=title,
        desc=plain(raw.get("reason"), 8000),
        grade=grade,
        word=word,
        result=result,
        result_word=result_word,
        region=text(pick(raw, "region", "resourceRegion"), 128),
        kind=text(pick(raw, "resourceType"), 256),
        tags=tags_of(pick(raw, "resourceTags", "tags")),
        seen=raw.get("reportTime"),
        controls=[Control(standard=standard, requirement=section)] if standard or section else [],
        policy=policy,
        extra={
            "kind": "evaluation",
            "dataset": text(context(raw).get("dataset"), 64),
            "scope": scope_of_account(raw, key.account),
        },
        info="",
    )


def scope_of_account(raw: Mapping[str, Any], account: Account) -> str:
    """One scope an account of a tenant: the poller reads every evaluation of one. "" for what came from a file."""
    tenant = text(context(raw).get("scope"), 256)
    return f"lacework:compliance:{tenant}:{account.provider}:{account.uid}" if tenant else ""


def account_scope(raw: Mapping[str, Any]) -> str:
    return scope_of_account(raw, _evaluated(raw).account)


def _map_violation(raw: Mapping[str, Any], source: str) -> Finding:
    key = _violated(raw)
    one = obj(raw.get("VIOLATION")) or obj(raw.get("SUPPRESSION"))
    report = obj(context(raw).get("report"))
    grade, word = severity(raw.get("SEVERITY"))
    result, result_word = state_of_compliance(raw)
    reasons = [plain(r, 1000) for r in seq(one.get("reasons"))] or [plain(one.get("reason"), 1000)]
    standard = text(pick(report, "reportTitle", "reportType"), 256)
    category = text(raw.get("CATEGORY"), 512)
    return _finding(
        source,
        key,
        title=plain(raw.get("TITLE"), 1000) or key.policy,
        desc="; ".join(part for part in reasons if part),
        grade=grade,
        word=word,
        result=result,
        result_word=result_word,
        region=text(one.get("region"), 128),
        kind="",
        tags=tags_of(one.get("tags")),
        seen=report.get("reportTime") or raw.get("START_TIME"),
        controls=[Control(standard=standard, requirement=category)] if standard or category else [],
        policy={},
        extra={"kind": "violation", "service": text(raw.get("SERVICE"), 256), "report": standard},
        info=text(raw.get("INFO_LINK"), 2000),
    )


def _finding(
    source: str,
    key: _Key,
    *,
    title: str,
    desc: str,
    grade: Any,
    word: str,
    result: SourceStatus,
    result_word: str,
    region: str,
    kind: str,
    tags: dict[str, str],
    seen: Any,
    controls: list[Control],
    policy: Mapping[str, Any],
    extra: dict[str, Any],
    info: str,
) -> Finding:
    account = key.account
    uid = key.resource or (f"AWS::::Account:{account.uid}" if account.provider == "aws" else account.uid) or "unknown"
    resource = resource_of_uid(uid, kind, region, name="" if key.resource else account.name or account.uid)
    if tags:
        resource = resource.model_copy(update={"tags": tags})
    when_seen = moment(seen)
    return Finding(
        source=source,
        uid=key.uid,
        product=PRODUCT,
        class_uid=FindingClass.COMPLIANCE,
        title=title,
        desc=desc,
        rule_uid=key.policy,
        types=("Compliance",),
        severity=grade,
        severity_word=word,
        result=result,
        result_word=result_word,
        last_seen=when_seen,
        modified=when_seen,
        resource=resource,
        account=account,
        environment_hint=environment_of(tags),
        controls=tuple(dict.fromkeys([*controls, *controls_of_tags(policy.get("tags"))])),
        owner_hints=tuple(OwnerHint(kind=k, value=v) for k, v in dict.fromkeys(owner_pairs(tags, "tag"))),
        risk=plain(policy.get("description"), 8000),
        remediation=plain(policy.get("remediation")),
        remediation_cli=commands(text(policy.get("remediation"))),
        references=references_of(policy, info),
        console_url=console_url(resource.uid),
        extra=extra,
    )
