"""CVEs in Orca's objects: lists inside an alert (three shapes), and records of their own (two generations)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bot.domain.findings import Vulnerability
from connectors.orca.shapes import CVE_MARK, View, listed, plain, squash
from connectors.text import fraction, obj, seq, text

_EXPLOITED = frozenset({"exploit_in_the_wild", "exploited_in_the_wild", "exploitable", "easy_exploitation", "exploit"})
_VERSIONED = re.compile(r"(.+)-(v?\d[\w.+~:-]*)")
_MOST = 200


def of_alert(view: View) -> tuple[Vulnerability, ...]:
    """Details where an alert has them, then the CVEs of which it only gives the id."""
    found: dict[tuple[str, str], Vulnerability] = {}
    for one in _detailed(view):
        found.setdefault((one.uid, one.package), one)
    known = {uid for uid, _ in found}
    ids = [said for one in listed(view.get("cveids", "cvelist")) if (said := text(one, 128))]
    package, version = package_of(view)
    score = fraction(view.get("maxcvssscore"), 0, 10)
    for uid in dict.fromkeys(ids):
        if uid not in known:
            found[uid, package] = Vulnerability(
                uid=uid,
                cvss=score if len(ids) == 1 else None,  # the highest of several says nothing about one
                fix=_yes(view.get("cvefixavailable")),
                package=package,
                version=version,
            )
    return tuple(found.values())[:_MOST]


def package_of(view: View) -> tuple[str, str]:
    """(package, version) that an alert about one piece of software names."""
    risk = obj(view.get("riskfindings"))
    package = obj(risk.get("package"))
    if name := text(package.get("package_name") or package.get("package_id"), 512):
        return name, text(package.get("installed_version"), 256)
    kind = text(view.get("ruletype") or view.raw.get("type"), 64)
    source = text(view.get("source"), 512)
    if kind == "vulnerability" and (found := _VERSIONED.fullmatch(source)):
        return found[1], found[2]
    return "", ""


def _detailed(view: View) -> Iterator[Vulnerability]:
    labels = [text(one, 64).lower() for one in listed(view.get("alertlabels", "labels"))]
    package, version = package_of(view)
    risk = obj(view.get("riskfindings"))
    single = obj(risk.get("cve"))
    for one in [*seq(obj(risk.get("cves")).get("top_cves")), *([single] if single else [])]:
        yield from _records(obj(one), package, version, labels)
    findings = view.get("findings")
    for one in seq(obj(findings).get("cve")) or seq(obj(findings).get("vulnerability")):
        yield from _records(obj(one), package, version, labels)
    for one in seq(findings):
        if isinstance(one, dict) and text(one.get("CVE ID") or one.get("CVE") or one.get("cve_id"), 64):
            yield from _records({squash(key): value for key, value in one.items()}, package, version, labels)


def _records(raw: Mapping[str, Any], package: str, version: str, labels: list[str]) -> Iterator[Vulnerability]:
    """One for every package that a record names."""
    fields = {squash(key): plain(value) for key, value in raw.items() if isinstance(key, str)}
    uid = text(fields.get("cveid") or fields.get("cve") or fields.get("id"), 128)
    if not uid:
        return
    nvd = obj(fields.get("nvd"))
    own = [text(one, 64).lower() for one in listed(fields.get("labels"))]
    scores = (fields.get("cvssscore"), fields.get("cvss3score"), nvd.get("cvss3_score"), fields.get("cvss"),
              fields.get("cvss2score"), nvd.get("cvss2_score"))  # fmt: skip
    vectors = (fields.get("cvssvector"), fields.get("cvss3vector"), nvd.get("cvss3_vector"), fields.get("cvss2vector"))
    fixes = (fields.get("fixable"), fields.get("fixavailable"), fields.get("fixavailablestate"),
             fields.get("patchavailable"), True if "fix_available" in own else None)  # fmt: skip
    exploits = (fields.get("exploitable"), fields.get("hasexploit"), fields.get("exploitavailable"),
                True if _EXPLOITED & {*own, *labels} else None)  # fmt: skip
    fixed = text(fields.get("patchedversion") or fields.get("fixedversion"), 256)
    named = [one for one in seq(fields.get("packages")) if isinstance(one, dict)]
    inner = obj(fields.get("installedpackage"))
    inner = {squash(k): plain(v) for k, v in (obj(inner.get("data")) or inner).items() if isinstance(k, str)}
    if inner:
        named = [{"package_name": inner.get("name"), "installed_version": inner.get("version")}]
    if not named:
        others = [text(one, 512) for one in listed(fields.get("affectedpackages")) if text(one, 512)]
        named = [{"package_name": one} for one in others] or [{"package_name": package, "installed_version": version}]
    for one in named[:50]:
        yield Vulnerability(
            uid=uid,
            title=text(fields.get("summary") or fields.get("title") or fields.get("description"), 2000),
            cvss=next((score for value in scores if (score := fraction(value, 0, 10)) is not None), None),
            cvss_vector=next((said for value in vectors if (said := text(value, 256))), ""),
            epss=fraction(fields.get("epssprobability") or fields.get("epss"), 0, 1),
            epss_percentile=_percentile(fields.get("epsspercentile")),
            kev=_yes(fields.get("cisakev")),
            exploit=next((yes for value in exploits if (yes := _yes(value)) is not None), None),
            fix=next((yes for value in fixes if (yes := _yes(value)) is not None), True if fixed else None),
            package=text(one.get("package_name"), 512),
            version=text(one.get("installed_version"), 256),
            fixed_version=text(one.get("patched_version"), 256) or fixed,
        )


def of_record(view: View) -> tuple[Vulnerability, ...]:
    """A record of ``/api/query/cves`` or of the model VulnerabilityV2: one CVE on one asset."""
    merged = dict(view.fields)
    if not merged.get("cveid"):
        merged["cveid"] = view.raw.get(CVE_MARK)
    return tuple(_records(merged, "", "", []))[:_MOST]


def _percentile(value: Any) -> float | None:
    number = fraction(value, 0, 100)
    return number if number is None or number <= 1 else number / 100


def _yes(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    word = text(value, 16).lower()
    if word.isdigit():
        return word != "0"
    return {"yes": True, "true": True, "no": False, "false": False, "available": True}.get(word)
