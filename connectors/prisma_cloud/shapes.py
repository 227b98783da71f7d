"""Which of Prisma Cloud's many objects one is, and the findings within it.

An answer, a webhook body, a SOAR's or SIEM's wrapping is taken apart until something known is found: what carries no
finding is named, an unknown object beside known ones is named too, and only what holds nothing of Prisma's is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from connectors.prisma_cloud import compute
from connectors.prisma_cloud.events import discovered
from connectors.prisma_cloud.named import ALONE, ERRORS, NAMED
from connectors.prisma_cloud.words import Folded, first, fold, key, moment, said
from connectors.reading import Understood
from connectors.text import obj, seq

_ALERT_ID = re.compile(r"[A-Z]{1,3}-\d+\w*")
_ALERT_MARKS = frozenset(
    {
        "policy", "policyid", "policyname", "policytype", "resource", "resourceid", "resourcename", "alerttime",
        "alertts", "alertrules", "alertrulename", "alertstatus", "firstseen", "severity", "status", "reason", "title",
        "name", "message", "savesearchid", "accountname", "description", "callbackurl",
    }
)  # fmt: skip
_OURS = frozenset({"callbackurl", "alertrulename", "alertstatus", "resourceid", "alertts", "resource"})
_STATES = frozenset({"alerttime", "alertrules", "status", "firstseen", "reason"})
_FORENSIC = (
    "process spawned",
    "listening port",
    "binary created",
    "runtime profile",
    "dns query",
    "file system",
    "container ",
)
_EVENT_MARKS = frozenset(
    {
        "attacktechniques", "verb", "allow", "rulename", "attacktype", "effect", "processpath", "profileid",
        "attackfield", "ruleappid", "audittype",
    }
)  # fmt: skip
_SCAN_MARKS = frozenset(
    {
        "id", "_id", "hostname", "host", "imagename", "repotag", "distro", "osdistro", "distroname", "scantime",
        "instances", "vulnerabilitydistribution", "compliancedistribution", "cloudmetadata", "scanid", "kind",
        "container", "containerid", "runtime", "image",
    }
)  # fmt: skip
_CVE = re.compile(r"(?:CVE|GHSA|PRISMA|ALAS)-?[\w:.-]{3,}", re.I)
_TEST = re.compile(r"test (?:message|notification|alert) from prisma", re.I)
_COLUMN = re.compile(r"(\w{1,200})_[sdgbt]")
_IMPACTED = frozenset({"hosts", "images", "functions", "registryimages", "coderepos"})
_DEPTH = 8
_ORIGINALS = ("eventoriginal", "rawjson", "rawjsonalert", "rawevent")
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_PAGING = frozenset({"totalrows", "nextpagetoken", "sortallowedcolumns", "dynamiccolumns", "items", "infomsg"})


def kind_of(raw: Mapping[str, Any], members: Folded | None = None) -> str:
    """The kind of a finding object; "" for anything else."""
    if isinstance(raw.get("asset"), dict) and (raw.get("vulnerabilities") or isinstance(raw.get("issue"), dict)):
        return "compute"
    if isinstance(raw.get("discovery"), dict) and isinstance(raw.get("entity"), dict):
        return "entity"
    if isinstance(raw.get("rows"), list) and raw["rows"] and isinstance(raw["rows"][0], dict):
        return "rows"
    m = fold(raw) if members is None else members
    if _is_alert(m):
        return "alert"
    if isinstance(m.get("scannedpolicy"), dict) and m["scannedpolicy"]:
        return "asset"
    if first(m, "findingid", "externalfindingid") and (
        "normalizednames" in m or "resourcecloudid" in m or "title" in m
    ):
        return "external"
    if "cveid" in m and said(m["cveid"]) and {"totalimpactedassets", "completeepssscore"} & m.keys():
        return "cve"
    if ("resourceuuid" in m or "violationid" in m or "codecategory" in m) and ("policy" in m or "severity" in m):
        return "code"
    if _is_event(m):
        return "event"
    return ""


def _is_alert(m: Folded) -> bool:
    marks = m.keys() & _ALERT_MARKS
    own = m.get("alertid") if isinstance(m.get("alertid"), str) else m.get("id")
    if not isinstance(own, str) or not own:
        return False
    if _ALERT_ID.fullmatch(own):
        return bool(marks - {"description", "message"} if "alertid" in m else marks) and "cliscript" not in m
    if "alertid" in m:  # other vendors' alerts have an alertId too
        return bool(marks & {"policyname", "policyid"}) and bool(marks & _OURS) and "alerttype" not in m
    return isinstance(m.get("policy"), dict) and len(marks & _STATES) > 1


def _is_event(m: Folded) -> bool:
    if "audits" in m and isinstance(m["audits"], list):
        return "category" in m or "serialnum" in m or "acknowledged" in m
    if "acknowledged" in m and "category" in m:
        return True
    word = said(m.get("kind"), 64).lower()
    if word in ("audit", "incident") and ("message" in m or "type" in m):
        return True
    if ("msg" in m or "message" in m) and ("time" in m or "_id" in m) and (m.keys() & _EVENT_MARKS):
        return True
    if "eventtype" in m and "processname" in m and ("path" in m or "description" in m):  # file integrity
        return True
    if "logfile" in m and "line" in m and "hostname" in m:  # log inspection
        return True
    # The webhook of Compute: a template of which the type, the rule and the message stay.
    return (
        "message" in m and "rule" in m and "type" in m and bool(m.keys() & {"host", "container", "image", "forensics"})
    )


def understand(raw: Mapping[str, Any]) -> Understood | None:
    """What one JSON object holds; None when nothing of it is Prisma Cloud's."""
    found = _Found()
    _look(raw, found, 0)
    if not found.items and not found.none:
        return None
    return Understood(items=tuple(found.items), carries_none=tuple(found.none), kind=found.kind)


class _Found:
    def __init__(self) -> None:
        self.items: list[Mapping[str, Any]] = []
        self.none: list[str] = []
        self.kind = ""
        self._alerts: dict[str, int] = {}  # id -> place among the items

    def add(self, kind: str, items: Sequence[Mapping[str, Any]]) -> None:
        if items:
            self.kind = self.kind or kind
            self.items.extend(items)

    def add_alert(self, uid: str, raw: Mapping[str, Any], m: Folded) -> None:
        """Once an alert: of two of one id the one changed later counts, else the one that says more."""
        self.kind = self.kind or "alerts"
        known = self._alerts.get(uid)
        if known is None:
            self._alerts[uid] = len(self.items)
            self.items.append(raw)
        elif _rank(raw, m) > _rank(self.items[known], fold(self.items[known])):
            self.items[known] = raw


def _rank(raw: Mapping[str, Any], m: Folded) -> tuple[datetime, int]:
    return moment(m.get("lastupdated")) or moment(m.get("lastseen")) or _NEVER, len(str(raw))


def _look(raw: Mapping[str, Any], found: _Found, depth: int) -> bool:
    """Whether ``raw`` is something of Prisma's; what it holds goes into ``found``."""
    m = fold(raw)
    if "paths" in m and m.keys() & {"openapi", "swagger"}:
        found.none.append("description of an API (OpenAPI)")
        return True
    if _direct(raw, m, found):
        return True
    for name, wanted in NAMED:
        if wanted <= m.keys():
            found.none.append(name)
            return True
    if first(m, "type").lower().startswith(_FORENSIC):
        found.none.append("forensic data")
        return True
    if "remediation" in m and m.keys() & {"id", "alertid"} and fold(m["remediation"]).keys() & {"cli", "cliscript"}:
        found.none.append(f"remediation commands of alert {first(m, 'id', 'alertid')} (it comes by /v2/alert)")
        return True
    if depth < _DEPTH and _within(raw, m, found, depth):
        return True
    if depth == 0 and len(m) == 1 and (alone := ALONE.get(next(iter(m)))):
        found.none.append(alone)
        return True
    if m.keys() & {"nextpagetoken", "totalrows"}:
        found.none.append("empty page")
        return True
    if depth < 3:
        for wanted in ERRORS:
            if wanted <= m.keys() and len(m) <= 12:
                found.none.append(f"error answer ({_error(m)})")
                return True
    if depth == 0 and (soar := [name for name in m if name.startswith(("prismacloud", "redlock", "twistlock"))]):
        inside = ", ".join(str(name) for one in soar for name in list(obj(m[one]))[:3])
        found.none.append(f"context of a SOAR ({inside[:80] or soar[0][:40]})")
        return True
    if depth == 0 and not m:
        found.none.append("answer without an object")
        return True
    if depth == 0 and "prisma" in str(raw)[:100_000].lower() and (ids := tuple(dict.fromkeys(alert_ids(raw)))):
        found.none.append(f"body of an edited template about alert {', '.join(ids[:3])} (it comes by the API)")
        return True
    return False


def _error(m: Folded) -> str:
    error = m.get("error")
    inner = fold(error) if isinstance(error, dict) else fold(next(iter(seq(m.get("errors"))), None))
    told = first(inner, "code", "message") or first(
        m, "i18nkey", "code", "err", "errorcode", "error", "message", "status"
    )
    return told[:80] or "no reason given"


def _direct(raw: Mapping[str, Any], m: Folded, found: _Found) -> bool:
    """Objects that are findings, or lists of findings about one thing."""
    if _TEST.search(first(m, "message", limit=500)):
        found.none.append("test delivery")
        return True
    if {"id_s", "status_s"} <= raw.keys():  # a row of Azure's Log Analytics
        return _direct(nested := _columns(raw), fold(nested), found)
    word = said(m.get("kind"), 64).lower() if isinstance(m.get("kind"), str) else ""
    kind = kind_of(raw, m)
    if kind == "alert":
        uid = first(m, "alertid", "id")
        if uid == "P-0":
            found.none.append("test delivery (alert P-0)")
        else:
            found.add_alert(uid, raw, m)
        return True
    if isinstance(m.get("scannedpolicies"), list):
        bare = {name: value for name, value in raw.items() if key(name) != "scannedpolicies"}
        policies = [one for one in m["scannedpolicies"] if isinstance(one, dict)]
        found.add(_WORDS["asset"], [{**bare, "scannedPolicy": one} for one in policies])
        if not policies:
            found.none.append("asset of the inventory")
        return True
    if kind in ("asset", "external", "cve", "code", "compute", "entity", "rows"):
        found.add(_WORDS[kind], [raw])
        return True
    if word == "clouddiscovery" or ("servicetype" in m and m.keys() & {"entities", "protected"}):
        found.add("cloud discovery", list(discovered(raw)))
        return True
    if isinstance(m.get("entityinfo"), dict):  # a scan of a build pipeline
        inner = fold(m["entityinfo"])
        return _scan({**inner, "time": m.get("time")}, found) or _no_findings(inner, found)
    if _CVE.fullmatch(first(m, "_id", "cve")) and (
        isinstance(m.get("risktree"), dict) or (m.keys() & _IMPACTED and "vulnerabilities" not in m)
    ):
        found.add("impacted resources", list(compute.impacted(m)))
        return True
    if _is_row(m):
        return _row(raw, m, found)
    if _is_scan(m) and _scan(m, found):
        return True
    if kind == "event" or word in ("audit", "incident"):
        found.add("events of Compute", [raw])
        return True
    return _is_scan(m) and _no_findings(m, found)


_WORDS = {
    "asset": "assets with a scanned policy",
    "external": "findings of other scanners",
    "cve": "CVEs of a search",
    "code": "issues of code",
    "compute": "findings of Compute",
    "entity": "cloud discovery",
    "rows": "rows of the vulnerability export",
}


def _columns(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The alert of a row whose columns are called ``policy_name_s``, ``resource_accountId_s``, ``firstSeen_d``."""
    made: dict[str, Any] = {}
    for name, value in raw.items():
        column = _COLUMN.fullmatch(name) if isinstance(name, str) else None
        if column is None or value in ("", None):
            continue
        part, _, rest = column[1].partition("_")
        held = _opened(value)
        if part in ("policy", "resource") and rest:
            inner, _, last = rest.partition("_")
            if inner in ("remediation", "data") and last:
                made.setdefault(part, {}).setdefault(inner, {})[last] = held
            else:
                made.setdefault(part, {})[rest] = held
        else:
            made[column[1]] = held
    return made


def _is_scan(m: Folded) -> bool:
    lists = [m[n] for n in (*compute.VULNERABILITIES, *compute.ISSUES) if n in m]
    info = fold(m.get("info"))
    lists += [info[n] for n in compute.ISSUES if n in info]
    if not any(value is None or isinstance(value, list) for value in lists):
        counted = m.keys() & {"vulnerabilitydistribution", "vulnerabilitiescount", "compliancedistribution"}
        return bool(counted) and bool(m.keys() & {"id", "_id", "hostname", "distro"})
    return bool(m.keys() & _SCAN_MARKS)


def _scan(m: Folded, found: _Found) -> bool:
    items = list(compute.apart(m, compute.asset_of(m)))
    found.add("scans of Compute", items)
    return bool(items)


def _no_findings(m: Folded, found: _Found) -> bool:
    kind = compute.asset_of(m).get("kind") or "asset"
    found.none.append(f"scan of one {kind} without findings in it")
    return True


def _is_row(m: Folded) -> bool:
    """A row of a CSV export: the platform's (ASSET_ID), or Compute's (Repository, Hostname)."""
    return "cveid" in m and bool(
        m.keys() & {"assetid", "packagename", "packages", "repository", "hostname", "complianceid"}
    )


def _row(raw: Mapping[str, Any], m: Folded, found: _Found) -> bool:
    if "assetid" in m or "unifiedassetid" in m:
        if said(m.get("cveid")):
            found.add(_WORDS["rows"], [{"rows": [dict(raw)]}])
        else:
            found.none.append("row without a CVE")
        return True
    items = list(row_items(m))
    found.add("rows of Compute's export", items)
    if not items:
        found.none.append("row without a CVE or failed check")
    return True


def row_items(m: Folded) -> Iterator[dict[str, Any]]:
    """A row of Compute's CSV as the scan would have it."""
    tag = {"registry": m.get("registry"), "repo": m.get("repository"), "tag": m.get("tag")}
    whole = compute.image_name({k: v for k, v in tag.items() if v})
    host = first(m, "hostname", "hosts", limit=500) if not whole else ""
    asset = {
        "kind": "image" if whole else "host" if host else first(m, "resourcetype", limit=64),
        "id": first(m, "id", "imageid", limit=1000) or whole or host,
        "name": whole or host or first(m, "id", "function", limit=1000),
        "distro": first(m, "distro", limit=200),
        "account": first(m, "accountid", limit=200),
        "provider": first(m, "provider", limit=64),
        "region": first(m, "region", limit=64),
        "cluster": first(m, "clusters", limit=200),
        "namespace": first(m, "namespaces", limit=200),
        "tags": {},
        "scanned": first(m, "scantime", limit=64) if moment(m.get("scantime")) else "",
    }
    asset = {k: v for k, v in asset.items() if v}
    entry = {
        "severity": m.get("severity"),
        "cvss": m.get("cvss"),
        "status": m.get("fixstatus"),
        "description": m.get("description"),
        "cause": m.get("cause"),
        "link": m.get("vulnerabilitylink") or m.get("link"),
        "riskFactors": m.get("riskfactors"),
        "discovered": m.get("discovered"),
        "published": m.get("published"),
        "packageName": m.get("packages") or m.get("packagename") or m.get("sourcepackage"),
        "packageVersion": m.get("packageversion"),
        "type": m.get("type"),
    }
    entry = {k: v for k, v in entry.items() if v not in ("", None)}
    number = first(m, "complianceid", limit=64)
    if cve := first(m, "cveid", limit=256):
        yield {"asset": asset, "vulnerabilities": [{"cve": cve, **entry}]}
    elif number:
        yield {"asset": asset, "issue": {"id": number, **entry}}


def _within(raw: Mapping[str, Any], m: Folded, found: _Found, depth: int) -> bool:
    """Looks into every member that may hold objects. True when something of Prisma's was in there."""
    known, strange, empty = False, 0, False
    before = (len(found.items), len(found.none))
    for name in ("event", *_ORIGINALS):  # a SIEM's copy in its own names stands beside the original
        held = m.get(name)
        original = _opened(obj(held).get("original") if name == "event" else held)
        if isinstance(original, dict) and original and _look(original, found, depth + 1):
            return True
    for name, value in raw.items():
        inner = _opened(value)
        if isinstance(inner, dict) and inner:
            known |= _look(inner, found, depth + 1)
        elif isinstance(inner, list):
            objects = [one for one in (_opened(v) for v in inner) if isinstance(one, dict)]
            if not inner and fold({name: 0}).keys() & {
                "items",
                "data",
                "results",
                "values",
                "value",
                "alerts",
                "resources",
            }:
                empty = True
            seen = [_look(one, found, depth + 1) for one in objects]
            known |= any(seen)
            strange += seen.count(False) if any(seen) else 0
    if known and found.items[before[0] :] and len(found.none) > before[1]:
        # Members of an envelope that only look like something (a paging part) beside true findings are no news.
        found.none[before[1] :] = [n for n in found.none[before[1] :] if not n.startswith(("error", "empty page"))]
    if strange:
        found.none.extend(["object of a kind not known"] * strange)
    if not known and empty and (m.keys() & _PAGING or len(m) <= 3):
        found.none.append("empty page")
        return True
    return known


def _opened(value: Any) -> Any:
    """A string that is JSON (``message``, ``event.original``, ``rawJSON``, ``Body``) as what it holds."""
    if isinstance(value, str) and len(value) > 1 and value.lstrip()[:1] in ("{", "["):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def alert_ids(value: Any, depth: int = 0) -> Iterator[str]:
    """Every alert id in a body of any template (the value of a member, or within a text)."""
    if isinstance(value, str):
        yield from _IN_TEXT.findall(value[:100_000])
    elif isinstance(value, dict) and depth < _DEPTH:
        for inner in value.values():
            yield from alert_ids(inner, depth + 1)
    elif isinstance(value, list) and depth < _DEPTH:
        for inner in value[:1000]:
            yield from alert_ids(inner, depth + 1)


_IN_TEXT = re.compile(r"(?<![\w-])[PNAI]-\d{1,12}(?![\w-])")
