"""Compute (Twistlock): scans of images, hosts, functions and containers taken apart, one finding per CVE (or failed
check) and asset. Also rows of its CSV exports, twistcli's results and deliveries of alert profiles, in one shape:

``{"asset": {…}, "vulnerabilities": [entries of one CVE]}`` or ``{"asset": {…}, "issue": {…}}``

The asset is what the scan says of itself, cut down; its id is Compute's own (image id, host name).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bot.domain.findings import (
    Account,
    Control,
    Finding,
    FindingClass,
    OwnerHint,
    Resource,
    Severity,
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
from connectors.text import content_hash, environment_of, fraction, integer, obj, owner_pairs, seq, text

# Members of a scan that hold its findings, by folded name.
VULNERABILITIES = ("vulnerabilities", "cvevulnerabilities")
ISSUES = ("complianceissues", "compliances", "compliance")
_STANDARD = re.compile(r"^\(\s*(.+?)\s+-\s+([\w.]+)\s*\)\s*")
_FIXED = re.compile(r"fixed in:?\s*(.+)", re.I | re.S)
_CVE = re.compile(r"(?:CVE|GHSA|PRISMA|ALAS\w*|ELSA|RHSA|USN|DSA|GO|PYSEC|TEMP|OSV|RUSTSEC|SNYK|MAL)-[\w:.-]+", re.I)
_CVSS = {Severity.CRITICAL: 5, Severity.HIGH: 4, Severity.MEDIUM: 3, Severity.LOW: 2}
# What the webhook of an alert profile calls its deliveries -> the kind of asset.
_DELIVERED = {
    "containervulnerability": "image",
    "registryvulnerability": "registry",
    "hostvulnerability": "host",
    "vmvulnerability": "vm",
    "serverlessvulnerability": "function",
    "coderepovulnerability": "codeRepo",
    "containercompliance": "container",
    "hostcompliance": "host",
    "vmcompliance": "vm",
}
_RISKS = frozenset({"reachable from the internet", "exposed to internet", "internet reachable"})
_KEPT = (
    "id", "cve", "cvss", "severity", "vecStr", "vector", "status", "title", "description", "text", "link", "fixLink",
    "packageName", "packageVersion", "packagePath", "packages", "sourcePackage", "packageType", "type", "riskFactors",
    "exploit", "exploits", "discovered", "discoveredDate", "published", "publishedDate", "fixDate", "graceDays",
    "gracePeriodDays", "templates", "cause", "purl", "custom", "suppressed", "category",
)  # fmt: skip
_WANTED = {"".join(c for c in name.lower() if c.isalnum()): name for name in _KEPT}


# --- taking a scan apart ---------------------------------------------------------------------------------------------


def asset_of(scan: Folded) -> dict[str, Any]:
    """What a scan, a delivery or a container says of the thing it looked at."""
    info = fold(scan.get("info"))  # of a container
    cloud = fold(scan.get("cloudmetadata")) or fold(info.get("cloudmetadata"))
    tag = fold(scan.get("repotag")) or fold(next(iter(seq(scan.get("tags"))), None))
    at = fold(next(iter(seq(scan.get("instances"))), None))
    kind = first(scan, "type", "resourcetype", "assettype", limit=64)
    name = (
        first(scan, "imagename", "image", "name", limit=1000)
        if not isinstance(scan.get("image"), dict)
        else first(scan, "imagename", "name", limit=1000)
    )
    tagged = image_name(tag) if tag else ""
    host = first(scan, "hostname", "host", "fqdn", limit=512)
    own = first(scan, "id", "imageid", limit=1000) if str(scan.get("id", "")).startswith("sha256:") else ""
    delivery = said(scan.get("kind"), 32).lower() in ("vulnerability", "compliance")  # its own id is another each time
    ids = ("imageid", "containerid", "functionid", "functionarn", "arn")
    own = own or first(scan, *(ids if delivery else ("_id", "id", *ids)), limit=1000)
    kind = _DELIVERED.get(kind.lower(), kind)
    if info:
        kind, name = "container", first(info, "name", "imagename", limit=1000)
    elif not kind:
        pictured = tagged or own.startswith("sha256:") or first(scan, "distro", "distroname", "imagename")
        kind = "host" if host else "image" if pictured else "function" if "runtime" in scan else ""
    if kind == "host":  # whatever it says of images is what runs there
        own, name, tagged, at = host or own, host or name, "", {}
    found = {
        "kind": kind,
        "id": own or name or host or first(scan, "_id", limit=200),
        "name": tagged or first(at, "image", limit=1000) or name or host or own,
        "host": host,
        "digest": said(next(iter(seq(scan.get("repodigests"))), ""), 1000) or first(scan, "digest", limit=200),
        "distro": first(scan, "distro", "distroname", "osdistro", limit=256),
        "resource": first(cloud, "resourceid", "vmid", limit=1000) or first(scan, "resourceid", limit=1000),
        "provider": first(cloud, "provider", limit=64) or first(scan, "provider", limit=64),
        "account": first(cloud, "accountid", limit=512) or first(scan, "accountid", limit=512),
        "region": first(cloud, "region", limit=128) or first(scan, "region", limit=128),
        "url": first(cloud, "resourceurl", limit=2000),
        "cluster": said(scan.get("cluster") or info.get("cluster") or scan.get("clusters"), 256),
        "namespace": said(scan.get("namespace") or info.get("namespace") or scan.get("namespaces"), 256),
        "image": first(info, "imagename", "image", limit=1000),
        "tags": {
            **tags_in(scan.get("labels") or info.get("labels")),
            **tags_in(scan.get("externallabels") or info.get("externallabels")),
            **tags_in(cloud.get("labels")),
        },
        "collections": list(listed(scan.get("collections"))),
        "exposed": bool({r.lower() for r in _risks(scan.get("riskfactors"))} & _RISKS) or None,
        "scanned": first(scan, "scantime", "time", limit=64),
        "first": first(scan, "firstscantime", limit=64),
    }
    return {k: v for k, v in found.items() if v not in ("", None, [], {})}


def image_name(tag: Folded) -> str:
    """``registry/repo:tag``"""
    registry, repo = first(tag, "registry", limit=500), first(tag, "repo", "repository", "name", limit=500)
    version = first(tag, "tag", limit=200)
    whole = f"{registry}/{repo}" if registry and repo else repo
    return f"{whole}:{version}" if whole and version else whole


def apart(scan: Folded, asset: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The findings of one scan. Entries of one CVE (several packages) are one finding."""
    info = fold(scan.get("info"))
    groups: dict[str, list[dict[str, Any]]] = {}
    loose = 0
    for place in (scan, info):
        for name in VULNERABILITIES:
            for one in _all(place.get(name)):
                entry = _cut(fold(one))
                uid = cve_of(entry)
                if not uid:
                    loose += 1
                    uid = f"#{loose}"
                groups.setdefault(uid, []).append(entry)
    for entries in groups.values():
        yield {"asset": dict(asset), "vulnerabilities": entries}
    for place in (scan, info):
        for name in ISSUES:
            for one in _all(place.get(name)):
                yield {"asset": dict(asset), "issue": _cut(fold(one))}


def _all(value: Any) -> Iterator[Mapping[str, Any]]:
    """No limit: an image has thousands."""
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict) and one:
            yield one


def _cut(entry: Folded) -> dict[str, Any]:
    return {_WANTED[name]: value for name, value in entry.items() if name in _WANTED and value not in ("", None)}


def cve_of(entry: Mapping[str, Any]) -> str:
    """The CVE or advisory. Compute's own ``id`` is a number of its check; twistcli's is the CVE."""
    if found := said(entry.get("cve"), 256):
        return found
    number = said(entry.get("id"), 256)
    if number and not number.isdigit():
        return number
    match = _CVE.search(said(entry.get("title"), 1000))
    return match[0] if match else ""


def impacted(raw: Folded) -> Iterator[dict[str, Any]]:
    """What ``/stats/vulnerabilities/impacted-resources`` says: one CVE, the images and hosts that have it."""
    cve = first(raw, "_id", "cve", limit=256)
    seen: set[str] = set()

    def one(asset: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if asset.get("id") and asset["id"] not in seen:
            seen.add(asset["id"])
            yield {"asset": {k: v for k, v in asset.items() if v}, "vulnerabilities": [{"cve": cve}]}

    for uid, places in list(obj(raw.get("risktree")).items())[:5000]:
        at = fold(next(iter(seq(places)), None))
        yield from one(
            {
                "kind": "image" if first(at, "image") or uid.startswith("sha256:") else "",
                "id": said(uid, 1000),
                "name": first(at, "image", "host", "function", limit=1000) or said(uid, 1000),
                "host": first(at, "host", limit=512),
                "namespace": first(at, "namespace", limit=256),
                "cluster": first(at, "cluster", limit=256),
            }
        )
    for member, kind in (
        ("hosts", "host"), ("functions", "function"), ("images", "image"), ("registryimages", "registry"),
        ("vms", "vm"), ("coderepos", "codeRepo"),
    ):  # fmt: skip
        for value in _listed_things(raw.get(member)):
            yield from one({"kind": kind, "id": value, "name": value})


def _listed_things(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else ():
        thing = fold(one)
        if word := first(thing, "resourceid", "id", "_id", "name", limit=1000) if thing else said(one, 1000):
            yield word


# --- one finding -----------------------------------------------------------------------------------------------------


def sight(item: Mapping[str, Any]) -> Sighting:
    asset = obj(item.get("asset"))
    steady = {k: v for k, v in asset.items() if k not in ("scanned", "first", "exposed")}
    rest = [v for k, v in item.items() if k != "asset"]
    entries = [fold(e) for e in seq(item.get("vulnerabilities"))]
    suppressed = bool(entries) and all(yes(e.get("suppressed")) for e in entries)
    return Sighting(
        uid=identity(item), content=content_hash((steady, bool(asset.get("exposed")), rest, suppressed)), closed=False
    )


def identity(item: Mapping[str, Any]) -> str:
    asset = obj(item.get("asset"))
    thing = said(asset.get("id"), 1000) or said(asset.get("name"), 1000) or "unknown"
    issue = obj(item.get("issue"))
    if issue:
        return f"compute|{thing}|{_check(issue)}"
    entry = obj(next(iter(seq(item.get("vulnerabilities"))), None))
    what = (
        cve_of(entry)
        or f"{said(entry.get('packageName'), 500)}|{said(entry.get('title') or entry.get('description'), 200)}"
    )
    return f"compute|{thing}|{what}"


def _check(issue: Mapping[str, Any]) -> str:
    return said(issue.get("id"), 128) or said(issue.get("title") or issue.get("description"), 300) or "issue"


def to_finding(item: Mapping[str, Any]) -> Finding:
    asset = obj(item.get("asset"))
    issue = obj(item.get("issue"))
    return _compliance(item, asset, issue) if issue else _vulnerability(item, asset)


def _common(item: Mapping[str, Any], asset: Mapping[str, Any]) -> dict[str, Any]:
    account = account_of(asset)
    resource = resource_of(asset, account)
    kind = said(asset.get("kind"), 64)
    extra = {
        name: said(asset.get(name), 1000) for name in ("host", "digest", "distro", "cluster", "namespace", "image")
    }
    return {
        "source": SOURCE,
        "uid": identity(item),
        "product": "Prisma Cloud Compute",
        "resource": resource,
        "account": account,
        "environment_hint": environment_of(resource.tags),
        "internet_exposed": True if asset.get("exposed") is True else None,
        "owner_hints": tuple(OwnerHint(kind=k, value=v) for k, v in dict.fromkeys(owner_pairs(resource.tags, "tag"))),
        "console_url": link(asset.get("url")) or console_url(resource.uid),
        "last_seen": moment(asset.get("scanned")),
        "extra": {k: v for k, v in extra.items() if v}
        | {
            "scope": f"prisma_cloud:compute:{said(asset.get('list'), 32) or listing(kind)}",
            "collections": list(listed(asset.get("collections"))),
        },
    }


def listing(kind: str) -> str:
    """Which list of the API an asset of this kind stands in."""
    return {"host": "hosts", "image": "images", "registry": "registry", "function": "serverless",
            "container": "containers"}.get(kind, kind or "other")  # fmt: skip


def account_of(asset: Mapping[str, Any]) -> Account:
    uid = said(asset.get("account"), 512)
    return Account(uid="" if uid.lower().startswith("non-onboarded") else uid, provider=cloud_of(asset.get("provider")))


def resource_of(asset: Mapping[str, Any], account: Account) -> Resource:
    own, name = said(asset.get("id"), 1000), said(asset.get("name"), 1000)
    kind, region = said(asset.get("kind"), 64), said(asset.get("region"), 128)
    cloud_id = said(asset.get("resource"), 1000)
    if kind in ("host", "vm", "") and cloud_id:  # of an image it would be the host it was seen on
        own = provider_id(cloud_id, name, cloud=account.provider, account=account.uid, region=region)
    elif kind == "function":
        own = provider_id(
            own, name, cloud=account.provider, account=account.uid, region=region, api="aws-lambda-list-functions"
        )
    return Resource(
        uid=own or name or "unknown", name=name or own, type=kind, region=region, tags=tags_in(asset.get("tags"))
    )


def _vulnerability(item: Mapping[str, Any], asset: Mapping[str, Any]) -> Finding:
    entries = [fold(e) for e in seq(item.get("vulnerabilities"))] or [{}]
    head = max(entries, key=lambda e: _CVSS.get(severity_of(e.get("severity"))[0], 0))
    uid = cve_of(obj(next(iter(seq(item.get("vulnerabilities"))), None)))
    severity, word = severity_of(head.get("severity"))
    found = tuple(_entry(uid, e) for e in entries)
    package = ", ".join(dict.fromkeys(v.package for v in found if v.package))
    fixes = tuple(dict.fromkeys(f"Update {v.package or 'the package'} to {v.fixed_version}."
                                for v in found if v.fixed_version))  # fmt: skip
    desc = plain(head.get("description")) or plain(head.get("text"))
    suppressed = bool(entries) and all(yes(e.get("suppressed")) for e in entries)
    common = _common(item, asset)
    common["extra"] |= {
        "risk_factors": sorted({r for e in entries for r in _risks(e.get("riskfactors"))})[:50],
        "paths": [p for e in entries if (p := first(e, "packagepath", limit=500))][:20],
        "grace_days": integer(head.get("gracedays") or head.get("graceperioddays")),
    }
    common["extra"] = {k: v for k, v in common["extra"].items() if v not in (None, [], "")}
    times = [t for e in entries if (t := moment(e.get("discovered")) or moment(e.get("discovereddate")))]
    name = uid or plain(head.get("title"), 500) or "Vulnerability"
    return Finding(
        **common,
        class_uid=FindingClass.VULNERABILITY,
        title=f"{name} in {package}"[:1000] if package else name,
        desc=desc,
        rule_uid=uid or name[:500],
        types=tuple(t for t in ("vulnerability", said(asset.get("kind"), 64)) if t),
        severity=severity,
        severity_word=word,
        result=SourceStatus.SUPPRESSED if suppressed else SourceStatus.NEW,
        result_word=first(head, "status", limit=200),
        first_seen=min(times, default=None) or moment(asset.get("first")),
        vulnerabilities=found if uid else (),
        remediation="\n".join(fixes)[:8000],
        references=tuple(dict.fromkeys(u for e in entries for u in links(e.get("link"), e.get("fixlink"))))[:50],
    )


def _entry(uid: str, entry: Folded) -> Vulnerability:
    fixed = _FIXED.match(first(entry, "status", limit=500))
    risks = {r.lower() for r in _risks(entry.get("riskfactors"))}
    status = first(entry, "status", limit=64).lower()
    known = [first(fold(e), "source", limit=64) for e in seq(entry.get("exploits"))]
    known += [said(w, 64) for w in (listed(entry.get("exploit")))]
    kinds = {w.lower() for e in seq(entry.get("exploits")) for w in listed(fold(e).get("kind"))}
    exploited = any("exploit" in r for r in risks) or any(known) or bool(kinds)
    kev = any(w.lower() == "cisa-kev" for w in known) or "cisa kev" in " ".join(risks)
    fix = True if fixed or "has fix" in risks else False if status else None
    return Vulnerability(
        uid=uid or "unknown",
        title=plain(entry.get("title"), 1000),
        cvss=(fraction(entry.get("cvss"), 0, 10) or None),
        cvss_vector=first(entry, "vecstr", "vector", limit=256),
        kev=True if kev else None,
        exploit=True if exploited else None,
        fix=fix,
        package=first(entry, "packagename", "packages", "sourcepackage", limit=512).partition(" (used in ")[0],
        version=first(entry, "packageversion", limit=256),
        fixed_version=text(fixed[1], 256) if fixed else "",
    )


def _risks(value: Any) -> tuple[str, ...]:
    """A map with empty values, a list, or words between semicolons."""
    if isinstance(value, dict):
        return tuple(w for k in list(value)[:100] if (w := said(k, 200)))
    if isinstance(value, str):
        return tuple(w for one in value.split(";") if (w := said(one, 200)))
    return tuple(w for one in seq(value) if (w := said(one, 200)))


def _compliance(item: Mapping[str, Any], asset: Mapping[str, Any], raw: Mapping[str, Any]) -> Finding:
    issue = fold(raw)
    severity, word = severity_of(issue.get("severity"))
    whole = plain(issue.get("title"), 1000) or plain(issue.get("description"), 1000)
    standard = _STANDARD.match(whole)
    title = whole[standard.end() :] if standard else whole
    number = first(issue, "id", limit=128)
    controls = [Control(standard=standard[1], requirement=standard[2])] if standard else []
    controls += [Control(standard=t) for t in _flat(issue.get("templates"))]
    parts = (plain(issue.get("description")), plain(issue.get("cause")), plain(issue.get("text")))
    desc = "\n".join(dict.fromkeys(p for p in parts if p and p != whole))
    return Finding(
        **_common(item, asset),
        class_uid=FindingClass.COMPLIANCE,
        title=f"Not met: {title}" if title else f"Compliance check {number} failed",
        desc=desc,
        rule_uid=number or whole[:500],
        types=tuple(t for t in ("compliance", said(issue.get("type"), 64) or said(asset.get("kind"), 64)) if t),
        severity=severity,
        severity_word=word,
        result=SourceStatus.NEW,
        result_word=first(issue, "status", limit=64),
        first_seen=moment(issue.get("discovered")) or moment(asset.get("first")),
        controls=tuple(dict.fromkeys(controls)),
        references=links(issue.get("link")),
    )


def _flat(value: Any) -> Iterator[str]:
    for one in seq(value):
        yield from _flat(one) if isinstance(one, list) else ([w] if (w := said(one, 128)) else [])
