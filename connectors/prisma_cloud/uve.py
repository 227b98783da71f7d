"""The platform's other lists -> findings: rows of the vulnerability export, CVEs of a vulnerability search, assets with
the policy they were scanned for, findings of other scanners on a resource, issues of code.

A row is one CVE on one asset in one package; rows of the same CVE and asset are gathered (``{"rows": [...]}``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bot.domain.findings import (
    Account,
    Finding,
    FindingClass,
    OwnerHint,
    Resource,
    Sighting,
    SourceStatus,
    Vulnerability,
)
from connectors.console import console_url
from connectors.prisma_cloud.alerts import SOURCE
from connectors.prisma_cloud.words import (
    Folded,
    cloud_of,
    first,
    fold,
    link,
    links,
    listed,
    moment,
    plain,
    provider_id,
    said,
    severity_of,
    tags_in,
    yes,
)
from connectors.text import content_hash, environment_of, fraction, integer, owner_pairs, seq

MAX_HELD = 100_000


# --- rows of the vulnerability export --------------------------------------------------------------------------------


def gathered(items: Iterable[Mapping[str, Any]], held: dict[str, dict[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Items as they come, but rows, which are put together in ``held`` by CVE and asset until nothing more comes."""
    for item in items:
        if "rows" not in item:
            yield item
            continue
        uid = row_identity(item)
        known = held.get(uid)
        if known is None:
            if len(held) >= MAX_HELD:
                yield from held.values()
                held.clear()
            held[uid] = {"rows": list(item["rows"])}
        else:
            known["rows"] += [row for row in item["rows"] if row not in known["rows"]]


def row_identity(item: Mapping[str, Any]) -> str:
    row = _head(item)
    asset = first(row, "assetid", "unifiedassetid", "assetname", limit=1000)
    return f"uve|{asset or 'unknown'}|{first(row, 'cveid', limit=256)}"


def _head(item: Mapping[str, Any]) -> Folded:
    return fold(next(iter(seq(item.get("rows"))), None))


def sight_rows(item: Mapping[str, Any]) -> Sighting:
    rows = [fold(r) for r in seq(item.get("rows"))]
    content = content_hash([{k: v for k, v in row.items() if k != "packageinuse"} for row in rows])
    return Sighting(uid=row_identity(item), content=content)


def rows_finding(item: Mapping[str, Any]) -> Finding:
    rows = [fold(r) for r in seq(item.get("rows"))]
    row = rows[0] if rows else {}
    cve = first(row, "cveid", limit=256)
    severity, word = severity_of(row.get("severity"))
    found = tuple(_row_vulnerability(cve, r) for r in rows)
    package = ", ".join(dict.fromkeys(v.package for v in found if v.package))
    account = first(row, "cloudaccountid", "accountid", limit=512)
    cloud = cloud_of(first(row, "serviceprovider", "cloudtype", "provider", limit=64))
    own = first(row, "resourceid", "cloudresourceid", limit=1000)
    name = first(row, "assetname", "resourcename", "reponame", limit=1000)
    uid = first(row, "assetid", "unifiedassetid", limit=1000)
    where = provider_id(own, name, cloud=cloud, account=account, region=first(row, "region", limit=64)) if own else uid
    exposed = any(yes(r.get("internetexposed")) for r in rows)
    known = any("internetexposed" in r for r in rows)
    fixes = tuple(dict.fromkeys(f"Update {v.package or 'the package'} to {v.fixed_version}."
                                for v in found if v.fixed_version))  # fmt: skip
    return Finding(
        source=SOURCE,
        uid=row_identity(item),
        product="Prisma Cloud",
        class_uid=FindingClass.VULNERABILITY,
        title=f"{cve} in {package}"[:1000] if package else cve or "Vulnerability",
        desc=plain(row.get("description")),
        rule_uid=cve or "vulnerability",
        types=tuple(t for t in ("vulnerability", first(row, "assettype", limit=64)) if t),
        severity=severity,
        severity_word=word,
        result=SourceStatus.NEW,
        first_seen=min((t for r in rows if (t := moment(r.get("discovereddate")))), default=None),
        resource=Resource(
            uid=where or name or "unknown", name=name or own or uid, type=first(row, "assettype", limit=128),
            region=first(row, "region", limit=64), tags=tags_in(row.get("tags")),
        ),
        account=Account(uid=account, provider=cloud),
        internet_exposed=exposed if exposed or known else None,
        vulnerabilities=found if cve else (),
        remediation="\n".join(fixes)[:8000],
        references=links(row.get("cvelink")),
        extra={k: v for k, v in {
            "scope": "prisma_cloud:vulnerabilities",
            "asset": uid,
            "distribution": first(row, "distribution", limit=128),
            "release": first(row, "osrelease", limit=128),
            "registry": first(row, "registry", limit=500),
            "at_risk": yes(row.get("atrisk")),
            "package_in_use": any(yes(r.get("packageinuse")) for r in rows),
            "attack_vector": first(row, "attackvector", limit=64),
        }.items() if v not in ("", None)},
    )  # fmt: skip


def _row_vulnerability(cve: str, row: Folded) -> Vulnerability:
    fix = listed(row.get("fixversion") or row.get("fixedversion"))
    source = first(row, "3rdpartyexploitsource", "exploitsource", limit=200)
    exploit = yes(row.get("exploitable"))
    return Vulnerability(
        uid=cve or "unknown",
        cvss=fraction(row.get("cvssbasescore") or row.get("cvssscore") or row.get("cvss"), 0, 10),
        epss=fraction(row.get("epssscore"), 0, 1),
        kev=yes(row.get("cisakev")),
        exploit=True if source else exploit,
        fix=True if fix else yes(row.get("patchable")),
        package=first(row, "packagename", limit=512),
        version=", ".join(
            listed(row.get("installedversions") or row.get("installedversion") or row.get("packageversion"))
        )[:256],
        fixed_version=", ".join(fix)[:256],
    )


# --- CVEs of a vulnerability search (no asset is named: the finding stands for all of them) --------------------------


def sight_cve(raw: Mapping[str, Any]) -> Sighting:
    cve = fold(raw)
    return Sighting(uid=f"uve|cve|{first(cve, 'cveid', limit=256)}", content=content_hash(cve))


def cve_finding(raw: Mapping[str, Any]) -> Finding:
    row = fold(raw)
    cve = first(row, "cveid", limit=256)
    severity, word = severity_of(row.get("severity"))
    count = integer(row.get("totalimpactedassets"))
    # epssScore is a rounded percentage, completeEpssScore the fraction (or, in other tenants, the exact percentage).
    exact = fraction(row.get("completeepssscore"), 0, 100)
    epss = exact if exact is not None else fraction(row.get("epssscore"), 0, 100)
    if epss is not None and (epss > 1 or (exact is None and epss == 1)):
        epss /= 100
    risks = tuple(r.lower() for r in listed(row.get("riskfactors")))
    counts = {stage: integer(fold(row.get(stage)).get("assetscount")) for stage in ("code", "build", "deploy", "run")}
    return Finding(
        source=SOURCE,
        uid=f"uve|cve|{cve}",
        product="Prisma Cloud",
        class_uid=FindingClass.VULNERABILITY,
        title=f"{cve} on {count} assets" if count is not None else cve,
        desc=plain(row.get("description")) or plain(row.get("name")),
        rule_uid=cve,
        types=("vulnerability", "cve"),
        severity=severity,
        severity_word=word,
        result=SourceStatus.NEW,
        resource=Resource(uid=f"prisma_cloud:cve:{cve}", name=f"all assets with {cve}", type="assets"),
        internet_exposed=True if any("internet" in r for r in risks) else None,
        vulnerabilities=(
            Vulnerability(
                uid=cve,
                cvss=fraction(row.get("cvssscore"), 0, 10),
                epss=epss,
                kev=True if any("kev" in r for r in risks) else None,
                exploit=yes(row.get("exploitable")),
                fix=yes(row.get("patchable")),
            ),
        ),
        extra={"scope": "prisma_cloud:cves", "risk_factors": list(listed(row.get("riskfactors"))),
               "assets": {k: v for k, v in counts.items() if v is not None},
               "published": said(row.get("published"), 64)},
    )  # fmt: skip


# --- assets with the policy they were scanned for --------------------------------------------------------------------


def asset_identity(asset: Folded) -> str:
    thing = first(asset, "unifiedassetid", "rrn", "id", limit=2000)
    return f"asset|{thing}|{_policy_id(asset)}"


def _policy_id(asset: Folded) -> str:
    policy = fold(asset.get("scannedpolicy"))
    return first(policy, "id", "policyid", "name", limit=512) or "policy"


def sight_asset(raw: Mapping[str, Any]) -> Sighting:
    asset = fold(raw)
    left_out = ("alertstatus", "vulnerabilitystatus", "overallpassed", "resourceconfigjsonavailable",
                "resourcedetailsavailable")  # fmt: skip
    content = content_hash({k: v for k, v in asset.items() if k not in left_out})
    closed = yes(fold(asset.get("scannedpolicy")).get("passed")) is True
    return Sighting(uid=asset_identity(asset), content=content, closed=closed)


def asset_finding(raw: Mapping[str, Any]) -> Finding:
    asset = fold(raw)
    policy = fold(asset.get("scannedpolicy"))
    passed = yes(policy.get("passed"))
    severity, word = severity_of(policy.get("severity"))
    account = Account(
        uid=first(asset, "accountid", limit=512), name=first(asset, "accountname", limit=512),
        provider=cloud_of(asset.get("cloudtype")),
    )  # fmt: skip
    region = first(asset, "regionid", limit=128)
    name, own = first(asset, "name", "assetname", limit=1000), first(asset, "id", limit=2000)
    uid = provider_id(own, name, cloud=account.provider, account=account.uid, region=region,
                      api=first(asset, "resourceapiname", limit=256), rrn=first(asset, "rrn", limit=4000))  # fmt: skip
    tags = tags_in(asset.get("tags"), asset.get("resourcetags"))
    title = plain(policy.get("name"), 1000)
    return Finding(
        source=SOURCE,
        uid=asset_identity(asset),
        product="Prisma Cloud",
        class_uid=FindingClass.COMPLIANCE,
        title=title or "Policy of Prisma Cloud",
        desc=plain(policy.get("description")),
        rule_uid=first(policy, "id", "policyid", limit=512) or title or "policy",
        types=("misconfiguration",),
        severity=severity,
        severity_word=word,
        result=SourceStatus.RESOLVED if passed else SourceStatus.NEW if passed is False else SourceStatus.OTHER,
        result_word={True: "passed", False: "failed"}.get(passed, "") if passed is not None else "",
        resource=Resource(
            uid=uid or "unknown", name=name or own, type=first(asset, "assettype", "resourcetype", limit=256),
            region=region or first(asset, "regionname", limit=128), tags=tags,
        ),
        account=account,
        environment_hint=environment_of(tags),
        owner_hints=tuple(OwnerHint(kind=k, value=v) for k, v in dict.fromkeys(owner_pairs(tags, "tag"))),
        console_url=console_url(uid),
        extra={"scope": f"prisma_cloud:assets:{account.uid}", "asset": first(asset, "unifiedassetid", limit=256),
               "rrn": first(asset, "rrn", limit=4000), "policy_labels": list(listed(policy.get("labels"))),
               "apps": list(listed(asset.get("appnames"))), "resource_id": own},
    )  # fmt: skip


# --- findings of other scanners that Prisma shows on a resource ------------------------------------------------------


def sight_external(raw: Mapping[str, Any]) -> Sighting:
    found = fold(raw)
    left_out = ("count", "updatedon", "rlupdatedon", "scanid", "sourcedata", "rawdata")
    content = content_hash(
        ({k: v for k, v in found.items() if k not in left_out}, fold(found.get("sourcedata")).get("arn"))
    )
    return Sighting(uid=external_identity(found), content=content, closed=_external_status(found) in _CLOSED)


_EXTERNAL = {
    "open": SourceStatus.NEW,
    "active": SourceStatus.NEW,
    "resolved": SourceStatus.RESOLVED,
    "closed": SourceStatus.RESOLVED,
    "archived": SourceStatus.ARCHIVED,
    "dismissed": SourceStatus.SUPPRESSED,
    "suppressed": SourceStatus.SUPPRESSED,
}
_CLOSED = (SourceStatus.RESOLVED, SourceStatus.ARCHIVED)


def external_identity(found: Folded) -> str:
    return f"finding|{first(found, 'findingid', 'externalfindingid', limit=512)}"


def _external_status(found: Folded) -> SourceStatus:
    word = first(found, "status", limit=64).lower()
    return _EXTERNAL.get(word, SourceStatus.OTHER) if word else SourceStatus.NEW


def external_finding(raw: Mapping[str, Any]) -> Finding:
    found = fold(raw)
    kind = first(found, "type", limit=128)
    names = listed(found.get("normalizednames"))
    severity, word = severity_of(found.get("severity"))
    account = Account(uid=first(found, "accountid", limit=512), provider=cloud_of(found.get("cloudtype")))
    region = first(found, "regionid", limit=128)
    own = first(found, "resourcecloudid", "resourceid", limit=2000)
    source = first(found, "source", limit=64)
    cloud = account.provider or ("aws" if source.lower() in ("guardduty", "inspector") or "guard_duty" in kind else "")
    uid = provider_id(own, "", cloud=cloud, account=account.uid, region=region)
    is_cve = "vulnerab" in kind or "cve" in kind
    cves = tuple(n for n in names if n.upper().startswith("CVE-"))
    return Finding(
        source=SOURCE,
        uid=external_identity(found),
        product=f"Prisma Cloud ({source})" if source else "Prisma Cloud",
        class_uid=FindingClass.VULNERABILITY if is_cve else FindingClass.COMPLIANCE
        if "compliance" in kind or "inspector_sbp" in kind else FindingClass.DETECTION,
        title=plain(found.get("title"), 1000) or (names[0] if names else kind) or "Finding on a resource",
        desc=plain(found.get("description")),
        rule_uid=names[0] if names else kind or "finding",
        types=tuple(t for t in (kind, *names) if t),
        severity=severity,
        severity_word=word,
        score=fraction(found.get("score"), 0, 1000),
        result=_external_status(found),
        result_word=first(found, "status", limit=64),
        first_seen=moment(found.get("createdon")),
        modified=moment(found.get("updatedon")),
        resource=Resource(uid=uid or "unknown", name=own, region=region),
        account=account.model_copy(update={"provider": cloud}),
        vulnerabilities=tuple(Vulnerability(uid=c) for c in cves),
        url=link(found.get("resourceurl")),
        console_url=console_url(uid),
        extra={"scope": f"prisma_cloud:external:{account.uid}", "source": source,
               "arn": first(fold(found.get("sourcedata")), "arn", limit=2000)},
    )  # fmt: skip


# --- issues of code --------------------------------------------------------------------------------------------------


def code_identity(issue: Folded) -> str:
    thing = first(issue, "resourceuuid", "resourceid", limit=1000) or "|".join(
        first(issue, name, limit=500) for name in ("repository", "filepath", "resourcename")
    )
    return f"code|{thing}|{first(issue, 'violationid', 'policy', 'cveid', 'checkid', limit=500)}"


def sight_code(raw: Mapping[str, Any]) -> Sighting:
    issue = fold(raw)
    return Sighting(uid=code_identity(issue), content=content_hash(issue), closed=_code_status(issue)[0] in _CLOSED)


def _code_status(issue: Folded) -> tuple[SourceStatus, str]:
    word = first(issue, "status", "issuestatus", limit=64)
    found = {"": SourceStatus.NEW, "open": SourceStatus.NEW, "error": SourceStatus.NEW, "errors": SourceStatus.NEW,
             "suppressed": SourceStatus.SUPPRESSED, "passed": SourceStatus.RESOLVED,
             "fixed": SourceStatus.RESOLVED}  # fmt: skip
    return found.get(word.lower(), SourceStatus.OTHER), word


def code_finding(raw: Mapping[str, Any]) -> Finding:
    issue = fold(raw)
    severity, word = severity_of(issue.get("severity"))
    cve = first(issue, "cveid", limit=128)
    result, result_word = _code_status(issue)
    repository = first(issue, "repository", "repositoryname", limit=500)
    path, name = first(issue, "filepath", "codepath", limit=1000), first(issue, "resourcename", limit=500)
    policy = plain(issue.get("policy") or issue.get("title") or issue.get("violationid"), 1000)
    uid = "/".join(p.strip("/") for p in (repository, path, name) if p)
    return Finding(
        source=SOURCE,
        uid=code_identity(issue),
        product="Prisma Cloud Code Security",
        class_uid=FindingClass.VULNERABILITY if cve else FindingClass.COMPLIANCE,
        title=policy or cve or "Issue of code",
        desc=plain(issue.get("description")),
        rule_uid=first(issue, "violationid", "checkid", limit=500) or cve or policy or "code",
        types=tuple(t for t in ("code", first(issue, "codecategory", "category", limit=64)) if t),
        severity=severity,
        severity_word=word,
        result=result,
        result_word=result_word,
        first_seen=moment(issue.get("firstdetected")),
        resource=Resource(
            uid=uid or "unknown", name=name or path, type=first(issue, "resourcescantype", "frameworks", limit=64),
            tags=tags_in(issue.get("tags"), issue.get("resourcetags")),
        ),
        account=Account(uid=repository, provider=cloud_of(first(issue, "repositorysource", "sourcetype", limit=64))),
        vulnerabilities=(Vulnerability(uid=cve, package=first(issue, "packagename", "causepackagename", limit=500),
                                       fixed_version=first(issue, "fixversion", limit=256)),) if cve else (),
        owner_hints=tuple(
            OwnerHint(kind="author", value=v) for v in listed(issue.get("author") or issue.get("gituser"))
        ),
        url=link(issue.get("resourceurl")) or link(issue.get("codeurl")),
        extra={"scope": f"prisma_cloud:code:{repository}", "repository": repository, "file": path},
    )  # fmt: skip
