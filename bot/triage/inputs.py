"""The inputs of decision tables, each a pure function of the facts of a finding: value, and why, with source and age.

What is not known has no value here: the table says what stands for it, and the evidence says that it was so.
Only a vendor's own words (rule ids, types, severities, flags, vectors) and settings are read, never titles,
descriptions or names, which whoever owns a resource can choose.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from bot.domain.findings import Environment, FindingClass, Severity
from bot.domain.triage import Evidence

VOCABULARY: Mapping[str, tuple[str, ...]] = {
    "exploitation": ("none", "poc", "active"),
    "kev": ("no", "yes"),
    "automatable": ("no", "yes"),
    "technical_impact": ("partial", "total"),
    "exposure": ("small", "controlled", "open"),
    "exposed": ("no", "yes"),
    "severity": ("low", "medium", "high", "very_high"),
    "impact": ("low", "medium", "high", "very_high"),
    "privilege": ("limited", "elevated", "admin"),
    "data": ("none", "sensitive", "regulated"),
    "mission": ("low", "medium", "high"),
}
KINDS = ("vulnerability", "misconfiguration", "identity", "data", "secret", "detection")
EPSS_LIKELY = 0.1


class Facts(NamedTuple):
    """All that verdicts are made of. Findings with the same facts share one judgement: it holds few, coarse values."""

    kind: str
    source: str
    kev: bool | None
    exploit: bool | None
    epss: float | None  # rounded down to a hundredth
    cvss: float | None
    automatable: bool | None
    total: bool | None
    exposed: bool | None
    severity: Severity
    severity_word: str
    data: tuple[str, ...]
    privilege: str  # "" is not known
    environment: Environment
    why_environment: str
    jewel: str  # name of the rule that makes it a crown jewel
    kev_added: str  # what CISA's list, FIRST, NVD and the cloud say, and the date of what was read
    kev_read: str
    epss_read: str
    nvd_read: str
    exposed_why: str
    exposed_read: str
    likely: float  # EPSS from which exploitation counts as likely


@dataclass(frozen=True, slots=True)
class Part:
    """An input of a table: few are different, many judgements are made of them."""

    value: str
    reasons: tuple[Evidence, ...]
    json: bytes  # the reasons, comma between them


def part(value: str, *reasons: Evidence) -> Part:
    return Part(value, reasons, b",".join([reason.model_dump_json().encode() for reason in reasons]))


def _day(word: str) -> datetime | None:
    return datetime.fromisoformat(word).replace(tzinfo=UTC) if word else None


def _evidence(name: str, value: str, fact: str, source: str, read: str = "") -> Part:
    return part(value, Evidence(input=name, value=value, fact=fact, source=source, as_of=_day(read)))


# --- exploitation ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2048)
def _exploitation(
    kind: str, source: str, kev: bool | None, added: str, kev_read: str, exploit: bool | None, epss: float | None,
    epss_read: str, exposed: bool | None, likely: float, unknown: str,
) -> Part:  # fmt: skip
    name, first = "exploitation", "FIRST EPSS" if epss_read else source
    if added:
        return _evidence(name, "active", f"added to KEV on {added}: known to be exploited", "CISA KEV", kev_read)
    if kev:
        return _evidence(name, "active", "on CISA's list of known exploited vulnerabilities", source)
    if kind == "detection":
        return _evidence(name, "active", "something that is happening, not something that could", source)
    if exploit:
        return _evidence(name, "poc", "an exploit is known", source)
    if epss is not None and epss >= likely:
        return _evidence(name, "poc", f"EPSS {epss:.2f}: exploitation within 30 days is likely", first, epss_read)
    if kind != "vulnerability" and exposed:
        return _evidence(name, "poc", "a misconfiguration open to the internet needs no exploit", source)
    if epss is not None:
        return _evidence(name, "none", f"EPSS {epss:.2f}: exploitation within 30 days is unlikely", first, epss_read)
    if kind != "vulnerability" or kev is False or exploit is False or kev_read:
        return _evidence(name, "none", "no sign that it is exploited", "CISA KEV" if kev_read else source, kev_read)
    return _evidence(name, unknown, f"nobody says whether it is exploited, taken as {unknown}", source)


def exploitation(f: Facts, unknown: str) -> Part:
    return _exploitation(f.kind, f.source, f.kev, f.kev_added, f.kev_read, f.exploit, f.epss, f.epss_read, f.exposed,
                         f.likely, unknown)  # fmt: skip


@lru_cache(maxsize=2048)
def _kev(source: str, kev: bool | None, added: str, read: str, unknown: str) -> Part:
    if added:
        return _evidence("kev", "yes", f"added to KEV on {added}", "CISA KEV", read)
    if kev:
        return _evidence("kev", "yes", "on CISA's list of known exploited vulnerabilities", source)
    if read:
        return _evidence("kev", "no", "not on CISA's list of known exploited vulnerabilities", "CISA KEV", read)
    if kev is False:
        return _evidence("kev", "no", "not on CISA's list of known exploited vulnerabilities", source)
    return _evidence("kev", unknown, f"whether it is on CISA's list is not known, taken as {unknown}", source)


def kev(f: Facts, unknown: str) -> Part:
    return _kev(f.source, f.kev, f.kev_added, f.kev_read, unknown)


# --- what CVSS says --------------------------------------------------------------------------------------------------

_METRIC = re.compile(r"(?:^|/)(AV|AC|AT|PR|UI|C|I|A|VC|VI|VA|Au):([A-Z])", re.ASCII)


@lru_cache(maxsize=20_000)
def by_vector(vector: str) -> tuple[bool | None, bool | None]:
    """(automatable, total impact) from a CVSS v2, v3 or v4 vector.

    Automatable: over the network, without effort, rights or a person's help. Total: confidentiality, integrity and
    availability of the component are all lost.
    """
    said = dict(_METRIC.findall(vector))
    automatable: bool | None = None
    if "AV" in said and "AC" in said and ("PR" in said or "Au" in said):
        automatable = (
            said["AV"] == "N" and said["AC"] == "L" and said.get("PR", "N") == "N" and said.get("Au", "N") == "N"
            and said.get("UI", "N") == "N" and said.get("AT", "N") == "N"
        )  # fmt: skip
    impacts = [said.get(name, said.get("V" + name)) for name in ("C", "I", "A")]
    total = None if None in impacts else all(each in {"H", "C"} for each in impacts)
    return automatable, total


@lru_cache(maxsize=256)
def _automatable(source: str, automatable: bool | None, unknown: str, read: str) -> Part:
    if automatable is None:
        return _evidence("automatable", unknown, f"whether an attack can be automated is not known, taken as {unknown}",
                         source)  # fmt: skip
    source = "NVD" if read else source
    if automatable:
        return _evidence("automatable", "yes", "over the network, without rights or a person's help (CVSS vector)",
                         source, read)  # fmt: skip
    return _evidence("automatable", "no", "an attack needs nearness, effort, rights or a person (CVSS vector)", source,
                     read)  # fmt: skip


def automatable(f: Facts, unknown: str) -> Part:
    return _automatable(f.source, f.automatable, unknown, f.nvd_read)


@lru_cache(maxsize=2048)
def _technical_impact(source: str, total: bool | None, cvss: float | None, unknown: str, read: str) -> Part:
    name, source = "technical_impact", "NVD" if read else source
    if total is not None:
        fact = "the attacker gets all of it (CVSS vector)" if total else "the attacker gets part of it (CVSS vector)"
        return _evidence(name, "total" if total else "partial", fact, source, read)
    if cvss is not None and cvss >= 9:
        return _evidence(name, "total", f"CVSS {cvss:g}: hardly reached without total impact", source, read)
    if cvss is not None and cvss < 7:
        return _evidence(name, "partial", f"CVSS {cvss:g}: hardly so low with total impact", source, read)
    said = f"CVSS {cvss:g} without its vector" if cvss is not None else "without CVSS"
    return _evidence(name, unknown, f"what an attacker gets is not known ({said}), taken as {unknown}", source, read)


def technical_impact(f: Facts, unknown: str) -> Part:
    return _technical_impact(f.source, f.total, f.cvss, unknown, f.nvd_read)


# --- exposure --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def _exposure(
    source: str, exposed: bool | None, why: str, read: str, unknown: str, name: str, words: tuple[str, str]
) -> Part:
    fact = f" ({why})" if why else ""
    if exposed is None:
        return _evidence(name, unknown, f"whether it is reachable is not known, taken as {unknown}"
                         if name == "exposed" else "whether it is reachable is not known", source)  # fmt: skip
    source = "AWS" if read else source
    fact = ("reachable from the internet" if exposed else "not reachable from the internet") + fact
    return _evidence(name, words[exposed], fact, source, read)


def exposure(f: Facts, unknown: str) -> Part:
    return _exposure(f.source, f.exposed, f.exposed_why, f.exposed_read, unknown, "exposure", ("small", "open"))


def exposed(f: Facts, unknown: str) -> Part:
    return _exposure(f.source, f.exposed, f.exposed_why, f.exposed_read, unknown, "exposed", ("no", "yes"))


# --- impact, privilege, data -----------------------------------------------------------------------------------------

_SEVERITY_IMPACT = {
    Severity.INFORMATIONAL: 0, Severity.LOW: 0, Severity.MEDIUM: 1, Severity.HIGH: 2, Severity.CRITICAL: 3,
    Severity.FATAL: 3,
}  # fmt: skip


@lru_cache(maxsize=4096)
def _impact(
    source: str, severity: Severity, word: str, cvss: float | None, data: tuple[str, ...], unknown: str
) -> Part:
    values = VOCABULARY["impact"]
    level = _SEVERITY_IMPACT.get(severity, values.index(unknown))
    fact = f"severity {severity.name.lower()}"
    if severity not in _SEVERITY_IMPACT:
        taken = unknown.replace("_", " ")
        fact = f"severity {word!r} is not known, taken as {taken}" if word else f"no severity given, taken as {taken}"
    if cvss is not None:
        fact += f", CVSS {cvss:g}"
        level = max(level, 3 if cvss >= 9 else 2 if cvss >= 7 else 1 if cvss >= 4 else 0)
    reasons = [Evidence(input="severity", value=values[level], fact=fact, source=source)]
    if data:
        level = min(level + 1, len(values) - 1)
        reasons.append(Evidence(input="data", value=values[level], fact=f"holds {', '.join(data)}", source=source))
    return part(values[level], *reasons)


def severity(f: Facts, unknown: str) -> Part:
    return _impact(f.source, f.severity, f.severity_word, f.cvss, (), unknown)


def impact(f: Facts, unknown: str) -> Part:
    return _impact(f.source, f.severity, f.severity_word, f.cvss, f.data, unknown)


@lru_cache(maxsize=256)
def _privilege(source: str, value: str, unknown: str) -> Part:
    facts = {"admin": "the rule is about administrators or all rights", "limited": "the rule is about read rights",
             "elevated": "the rule is about rights beyond the usual"}  # fmt: skip
    if not value:
        return _evidence("privilege", unknown, f"what it may do is not known, taken as {unknown}", source)
    return _evidence("privilege", value, facts[value], source)


def privilege(f: Facts, unknown: str) -> Part:
    return _privilege(f.source, f.privilege, unknown)


_ADMIN = re.compile(
    r"admin|root|full[_-]?access|privilege[_-]?escalation|_star_|wildcard|all[_-]privileges|owner", re.I
)
_ELEVATED = re.compile(r"excessive|privileged|write|assume|pass_?role|lateral|unused|inline_?polic|cross_?account",
                       re.I)  # fmt: skip
_LIMITED = re.compile(r"read[_-]?only|viewer|password[_-]?polic", re.I)


@lru_cache(maxsize=20_000)
def privilege_of(rule: str, types: tuple[str, ...]) -> str:
    """What the vendor's rule is about: admin, elevated, limited, or "" where it does not say."""
    said = " ".join((rule, *types))
    if _ADMIN.search(said):
        return "admin"
    return "elevated" if _ELEVATED.search(said) else "limited" if _LIMITED.search(said) else ""


_REGULATED = re.compile(r"pii|phi|pci|personal|health|card|ssn|gdpr|hipaa|financ|passport|iban|social.?security", re.I)


@lru_cache(maxsize=4096)
def _data(source: str, data: tuple[str, ...], unknown: str) -> Part:
    if not data:
        return _evidence("data", unknown, f"which data it holds is not known, taken as {unknown}", source)
    value = "regulated" if any(map(_REGULATED.search, data)) else "sensitive"
    if value == "sensitive" and all(each.lower() in {"none", "public"} for each in data):
        value = "none"
    return _evidence("data", value, f"holds {', '.join(data)}", source)


def data(f: Facts, unknown: str) -> Part:
    return _data(f.source, f.data, unknown)


# --- mission ---------------------------------------------------------------------------------------------------------

_MISSION = {
    Environment.PROD: 2,
    Environment.STAGING: 1,
    Environment.DEV: 0,
    Environment.TEST: 0,
    Environment.SANDBOX: 0,
}


@lru_cache(maxsize=4096)
def _mission(environment: Environment, why: str, jewel: str, data: tuple[str, ...], source: str, unknown: str) -> Part:
    values = VOCABULARY["mission"]
    level = _MISSION.get(environment, values.index(unknown))
    known = environment is not Environment.UNKNOWN
    where = f"environment {environment.value}" if known else f"the environment is not known, taken as {unknown}"
    fact = f"{where} ({why})" if why else where
    reasons = [Evidence(input="environment", value=values[level], fact=fact, source="gatehouse")]
    if level < 1 and any(map(_REGULATED.search, data)):
        level = 1
        fact = f"holds {', '.join(data)}: never of low importance"
        reasons.append(Evidence(input="mission", value=values[level], fact=fact, source=source))
    if jewel and level < 2:
        level = 2
    if jewel:
        reasons.append(Evidence(input="mission", value=values[level], fact=f"a crown jewel: {jewel}",
                                source="gatehouse.yml"))  # fmt: skip
    return part(values[level], *reasons)


def mission(f: Facts, unknown: str) -> Part:
    return _mission(f.environment, f.why_environment, f.jewel, f.data, f.source, unknown)


INPUTS: Mapping[str, Callable[[Facts, str], Part]] = {
    "exploitation": exploitation, "kev": kev, "automatable": automatable, "technical_impact": technical_impact,
    "exposure": exposure, "exposed": exposed, "severity": severity, "impact": impact, "privilege": privilege,
    "data": data, "mission": mission,
}  # fmt: skip


# --- which kind ------------------------------------------------------------------------------------------------------

_SECRET_RULE = re.compile(
    r"no_secrets|secrets_in|secrets_user_data|secrets_environment|hard-?_?coded|"
    r"(exposed|leaked|plaintext)[_-]?(secret|credential|key|password|token)", re.I
)  # fmt: skip
_SECRET_TYPE = re.compile(r"\bsecrets?(_instance|_finding)?\b|credential|exposed keys?", re.I)
_IDENTITY_TYPE = re.compile(r"\biam\b|identity|excessive|entitlement|permission|ciem|lateral movement", re.I)
_IDENTITY_RULE = re.compile(r"^(iam|entra|ciem)[._-]", re.I)
_IDENTITY_RESOURCE = re.compile(
    r"(^|[^a-z])(aws)?(iam)?(role|user|group|policy|serviceaccount|service_account|user_account|access_key|principal)$"
    r"|iam", re.I
)  # fmt: skip
_DATA_TYPE = re.compile(r"data_finding|sensitive data|data at risk|dspm|^data$|data security", re.I)


@lru_cache(maxsize=50_000)
def kind_of(class_uid: FindingClass, rule: str, types: tuple[str, ...], resource_type: str) -> str:
    """Which table fits: by the vendor's class, types and rule and by the type of resource."""
    if class_uid is FindingClass.VULNERABILITY:
        return "vulnerability"
    if class_uid is FindingClass.DETECTION:
        return "detection"
    said = " | ".join(types)
    if _SECRET_RULE.search(rule) or any(map(_SECRET_TYPE.search, types)):
        return "secret"
    if any(map(_DATA_TYPE.search, types)):
        return "data"
    if _IDENTITY_TYPE.search(said) or _IDENTITY_RULE.match(rule) or _IDENTITY_RESOURCE.search(resource_type):
        return "identity"
    return "misconfiguration"
