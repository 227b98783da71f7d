"""Vulnerability rows -> Finding: hosts, images, package scans. One CVE in one package on one machine or image.

Identity leaves out the evaluation (a new one every day). On a machine it leaves out the version too, which an update
changes while the row turns to Fixed; an image never changes, so there the version tells two copies of a package apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bot.domain.findings import Finding, FindingClass, OwnerHint, SourceStatus, Vulnerability
from connectors.console import console_url
from connectors.lacework.alerts import PRODUCT
from connectors.lacework.resources import Place, image, machine
from connectors.lacework.words import context, exposed, flag, moment, pick, plain, severity, vulnerability_state
from connectors.text import environment_of, fraction, obj, owner_pairs, seq, text

_CVE = re.compile(r"\bCVE-\d{4}-\d{4,}\b")
HOST, CONTAINER, PACKAGE = "host", "container", "package"


def kind_of(raw: Mapping[str, Any]) -> str:
    """``host``, ``container`` or ``package``; "" when it is no vulnerability row."""
    if not text(raw.get("vulnId"), 256):
        return ""
    ctx = obj(raw.get("evalCtx"))
    if "imageId" in raw or "image_info" in ctx or "imageInfo" in ctx:
        return CONTAINER
    if "osPkgInfo" in raw:
        return PACKAGE
    if any(name in raw for name in ("mid", "machineTags")) or any(
        name in ctx for name in ("mc_eval_guid", "hostname", "Hostname", "mcEvalGuid")
    ):
        return HOST
    return PACKAGE if "featureKey" in raw or "fixInfo" in raw else ""


def identity_of_vulnerability(raw: Mapping[str, Any]) -> str:
    feature = obj(raw.get("featureKey"))
    kind = kind_of(raw)
    package = text(feature.get("name"), 512)
    parts = [text(raw.get("vulnId"), 256), text(feature.get("namespace"), 256), package]
    if kind == HOST:
        return "|".join((HOST, _machine_key(raw), *parts))
    version = _installed(raw)
    if kind == CONTAINER:
        info = image_info(raw)
        key = text(pick(raw, "imageId"), 512) or text(info.get("id"), 512) or text(info.get("digest"), 512)
        return "|".join((CONTAINER, key or text(info.get("repo"), 512), *parts, version))
    return "|".join((PACKAGE, text(context(raw).get("scanned"), 512), *parts, version))


def _machine_key(raw: Mapping[str, Any]) -> str:
    """Lacework's number of the machine, else the cloud's, else its name."""
    tags, ctx = obj(raw.get("machineTags")), obj(raw.get("evalCtx"))
    return (
        text(raw.get("mid"), 64)
        or text(pick(tags, "InstanceId", "instanceId"), 512)
        or text(pick(ctx, "hostname", "Hostname"), 512)
        or text(pick(tags, "Hostname", "hostname"), 512)
    )


def image_info(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    ctx = obj(raw.get("evalCtx"))
    return obj(pick(ctx, "image_info", "imageInfo"))


def _installed(raw: Mapping[str, Any]) -> str:
    feature, fix = obj(raw.get("featureKey")), obj(raw.get("fixInfo"))
    said = pick(feature, "version_installed", "versionInstalled", "version")
    said = said or pick(fix, "version_installed", "versionInstalled") or obj(raw.get("osPkgInfo")).get("pkgVer")
    return text(said, 256)


def state_of_vulnerability(raw: Mapping[str, Any]) -> Any:
    fix = obj(raw.get("fixInfo"))
    return vulnerability_state(raw.get("status"), pick(fix, "eval_status", "evalStatus"))


def content_of_vulnerability(raw: Mapping[str, Any]) -> Any:
    """What the mapping uses, without evaluation ids, batches and times."""
    cve, ctx, fix, feature = (obj(raw.get(name)) for name in ("cveProps", "evalCtx", "fixInfo", "featureKey"))
    info = image_info(raw)
    return (
        [raw.get(name) for name in ("vulnId", "severity", "status", "mid", "imageId", "machineTags", "riskScore",
                                    "cveRiskScore", "cveRiskInfo", "osPkgInfo", "packageStatus", "internetExposure")],
        [cve.get(name) for name in ("description", "link", "metadata")],
        [ctx.get(name) for name in ("hostname", "Hostname", "exception_props", "exceptionProps", "collector_type")],
        [info.get(name) for name in ("registry", "repo", "repository", "tags", "tag", "digest", "image_digest", "id")],
        dict(feature),
        [fix.get(name) for name in ("eval_status", "evalStatus", "fix_available", "fixAvailable", "fixed_version",
                                    "fixedVersion", "version_installed", "versionInstalled")],
        [obj(raw.get("featureProps")).get(name) for name in ("introduced_in", "src")],
        [obj(raw.get("props")).get(name) for name in ("exception",)],
        raw.get("_lacework"),
    )  # fmt: skip


def map_vulnerability(raw: Mapping[str, Any], source: str) -> Finding:
    kind = kind_of(raw)
    cve, ctx, fix, feature, props = (
        obj(raw.get(name)) for name in ("cveProps", "evalCtx", "fixInfo", "featureKey", "props")
    )
    uid = text(raw.get("vulnId"), 256)
    package, version = text(feature.get("name"), 512), _installed(raw)
    place = _place(raw, kind, ctx)
    grade, word = severity(raw.get("severity"))
    result, result_word = state_of_vulnerability(raw)
    description = plain(cve.get("description"))
    fixed = text(pick(fix, "fixed_version", "fixedVersion"), 256)
    available = flag(pick(fix, "fix_available", "fixAvailable"))
    if available is None and fixed:
        available = True
    score, vector = _cvss(cve)
    exception = obj(next(iter(seq(pick(ctx, "exception_props", "exceptionProps"))), None))
    tags = place.resource.tags
    risk = obj(raw.get("cveRiskInfo"))
    link = text(cve.get("link"), 2000)
    update = ""
    if fixed and package and result is not SourceStatus.RESOLVED:
        update = f"Update {package} from {version or 'the installed version'} to {fixed}."
    layer = text(obj(raw.get("featureProps")).get("introduced_in"), 1000)
    where = text(feature.get("package_path"), 1000) or text(obj(raw.get("featureProps")).get("src"), 1000)
    return Finding(
        source=source,
        uid=identity_of_vulnerability(raw),
        product=PRODUCT,
        class_uid=FindingClass.VULNERABILITY,
        title=f"{uid} in {package}" if package else uid,
        desc=description,
        rule_uid=uid,
        types=("Vulnerability", {HOST: "Host", CONTAINER: "Container"}.get(kind, "Package")),
        severity=grade,
        severity_word=word,
        score=_score(raw),
        result=result,
        result_word=result_word,
        # An exception may stand in a row that it does not cover.
        status_reason="" if result is not SourceStatus.SUPPRESSED else ": ".join(
            part
            for part in (text(pick(exception, "exception_reason", "exceptionReason"), 500),
                         text(pick(exception, "exception_name", "exceptionName"), 500)) if part
        ),
        first_seen=moment(pick(props, "first_time_seen", "firstTimeSeen", "first_seen_time"))
        or moment(raw.get("firstTimeSeen")),
        last_seen=moment(raw.get("endTime")) or moment(raw.get("startTime")) or moment(
            obj(raw.get("summary")).get("evalCreatedTime")
        ),
        modified=moment(pick(props, "last_updated_time", "lastUpdatedTime")) or moment(raw.get("lastUpdatedTime")),
        resource=place.resource,
        account=place.account,
        environment_hint=environment_of(tags),
        internet_exposed=exposed(
            pick(obj(raw.get("machineTags")), "lw_InternetExposure", "lw_internetExposure")
            or pick(raw, "internetExposure")
        ),
        vulnerabilities=(
            Vulnerability(
                uid=uid,
                title=description[:1000],
                cvss=score,
                cvss_vector=vector,
                epss=fraction(pick(cve, "epss", "epss_score", "epssScore"), 0, 1),
                kev=flag(pick(cve, "kev", "cisa_kev", "cisaKev")),
                exploit=_exploit(risk) if risk else flag(pick(cve, "exploit_available", "exploitAvailable")),
                fix=available,
                package=package,
                version=version,
                fixed_version=fixed,
            ),
        ),
        owner_hints=tuple(OwnerHint(kind=k, value=v) for k, v in dict.fromkeys(owner_pairs(tags, "tag"))),
        remediation=update,
        references=(link,) if link.startswith("http") else (),
        url="",
        console_url=console_url(place.resource.uid),
        extra={
            "kind": kind,
            # Hosts are read whole: what is missing from a whole reading has left (see the poller).
            "scope": scope_of_hosts(raw) if kind == HOST else "",
            "namespace": text(feature.get("namespace"), 256),
            "package_path": where,
            "package_active": flag(feature.get("package_active")),
            "introduced_in": layer,
            "cves": sorted(set(_CVE.findall(description)) - {uid})[:100],
            "host_risk_score": fraction(raw.get("hostRiskScore"), 0, 10),
            "collector": text(ctx.get("collector_type"), 64),
        },
    )  # fmt: skip


def scope_of_hosts(raw: Mapping[str, Any]) -> str:
    """One scope a tenant. "" for what came from a file: only a poll reads all."""
    tenant = text(context(raw).get("scope"), 256)
    return f"lacework:hosts:{tenant}" if tenant else ""


def _place(raw: Mapping[str, Any], kind: str, ctx: Mapping[str, Any]) -> Place:
    if kind == CONTAINER:
        return image(image_info(raw), raw.get("imageId"))
    if kind == HOST:
        return machine(raw.get("machineTags"), raw.get("mid"), pick(ctx, "hostname", "Hostname"))
    scanned = text(context(raw).get("scanned"), 512) or "package manifest"
    found = machine({}, None, scanned)
    return Place(found.resource.model_copy(update={"type": "PackageManifest", "name": scanned}))


def _score(raw: Mapping[str, Any]) -> float | None:
    for name in ("riskScore", "cveRiskScore"):
        if (found := fraction(raw.get(name), 0, 1000)) is not None:
            return found
    return None


def _cvss(cve: Mapping[str, Any]) -> tuple[float | None, str]:
    """Of ``metadata.NVD.CVSSv3`` before v2, whatever the case; a 0 without a vector means "not rated"."""
    low = _lowered(cve.get("metadata"))
    nvd = _lowered(low.get("nvd"))
    for name in ("cvssv4", "cvssv3", "cvssv2"):
        rated = _lowered(nvd.get(name) or low.get(name))
        score, vector = fraction(rated.get("score"), 0, 10), text(rated.get("vectors") or rated.get("vector"), 256)
        if score:
            return score, vector
    return (fraction(pick(cve, "cvss_score", "cvssScore"), 0, 10) or None), ""


def _lowered(value: Any) -> dict[str, Any]:
    return {str(k).lower(): v for k, v in list(obj(value).items())[:100]}


def _exploit(risk: Mapping[str, Any]) -> bool | None:
    summary = obj(pick(risk, "exploit_summary", "exploitSummary")) or risk
    said = [flag(value) for name, value in list(summary.items())[:50] if "exploit" in str(name).lower()]
    if any(said):
        return True
    return False if False in said else None
