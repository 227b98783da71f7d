"""What a model is told of a cause: few facts, redacted, without the company's names, ratings and counts.

Causes that differ only in account, names and counts have the same facts, and so one call. "How many" is one of three
words; the numbers stand on the card, computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.domain.findings import Finding, FindingClass
from bot.domain.ids import canonical
from bot.domain.triage import Verdict

from .checks import numbers
from .redact import WORDS, Redactor

_KINDS = {
    FindingClass.VULNERABILITY: "vulnerability",
    FindingClass.COMPLIANCE: "misconfiguration",
    FindingClass.DETECTION: "detection: something that is happening",
}
RESOURCE, ACCOUNT, OWNER = "[resource]", "[account]", "[owner]"
VULNERABILITIES = 3
_COMMON = frozenset(WORDS["common_tags"].split())


@dataclass(frozen=True, slots=True)
class Facts:
    """``document`` is what leaves; ``numbers`` may be repeated; ``refs`` maps the references of other problems to
    their cause ids; ``names`` puts names back where a placeholder stands for exactly one."""

    document: Mapping[str, Any]
    numbers: frozenset[str]
    refs: Mapping[str, str]
    names: Mapping[str, str]

    @property
    def text(self) -> str:
        return canonical(self.document).decode()


@dataclass(frozen=True, slots=True)
class Material:
    """What the store has of a cause."""

    cause: Mapping[str, Any]  # row of causes
    finding: Finding
    verdict: Verdict | None
    resources: Sequence[tuple[str, str, str]]  # uid, name, type
    owner_name: str
    fix: str  # title of the playbook that is offered, ""
    others: Sequence[tuple[str, str]] = ()  # cause id and title of open problems on the same resources
    people: Sequence[str] = ()


def facts_of(material: Material) -> Facts:
    cause, finding = material.cause, material.finding
    clean = Redactor(material.people, _known(material))
    vulnerabilities = [
        {
            "id": clean(v.uid, 60), "package": clean(v.package, 80), "version": clean(v.version, 60),
            "fixed_in": clean(v.fixed_version, 60), "cvss": v.cvss, "known_exploited": bool(v.kev),
            "exploit_known": bool(v.exploit), "exploitation_likely": v.epss is not None and v.epss >= 0.1,
        }
        for v in finding.vulnerabilities[:VULNERABILITIES]
    ]  # fmt: skip
    refs = {f"other-{chr(97 + at)}": other for at, (other, _) in enumerate(material.others[:5])}
    rule = clean(cause["rule_uid"], 120)
    title, risk, advice = clean(cause["title"], 300), clean(finding.risk, 800), clean(finding.remediation, 1200)
    document: dict[str, Any] = {
        "problem": {
            "title": title,
            "kind": _KINDS[finding.class_uid],
            "rule": rule,
            "found": clean(finding.desc, 600),
            "risk_in_the_sources_words": risk,
            "advice_of_the_source": advice,
        },
        "circumstances": {
            "provider": clean(cause["provider"], 20),
            "environment": cause["environment"],
            "reachable_from_the_internet": {True: "yes", False: "no", None: "not known"}[finding.internet_exposed],
            "data": [clean(one, 60) for one in finding.data_classes[:5]],
            "resource_types": sorted({clean(kind, 60) for _, _, kind in material.resources[:20] if kind})[:3],
            "how_many": _many(cause["open_count"]),
        },
        "vulnerabilities": vulnerabilities,
        "owner": {"known": bool(cause["owner"]), "a_fix_can_be_reviewed_here": material.fix},
        "other_open_problems_on_the_same_resources": [
            {"ref": ref, "title": clean(other[1], 200)} for ref, other in zip(refs, material.others, strict=False)
        ],
    }
    # What is found on one resource is written by whoever named it: its numbers may not be repeated.
    trusted = [title, risk, advice, material.fix, rule]
    for each in vulnerabilities:
        trusted += [str(each[key]) for key in ("id", "package", "version", "fixed_in", "cvss")]
    single = len(material.resources) == 1
    return Facts(
        document,
        frozenset(n for text in trusted for n in numbers(text)),
        refs,
        {
            RESOURCE: (material.resources[0][1] or material.resources[0][0]) if single else "the resource",
            ACCOUNT: cause["account_name"] or cause["account_uid"] or "the account",
            OWNER: material.owner_name or "the owner",
        },
    )


def _known(material: Material) -> dict[str, str]:
    """The identifiers this cause's own texts may hold."""
    cause, finding = material.cause, material.finding
    known: dict[str, str] = {}
    for uid, name, _ in material.resources:
        known |= {uid: RESOURCE, name: RESOURCE, uid.rpartition("/")[2]: RESOURCE, uid.rpartition(":")[2]: RESOURCE}
    for resource in (finding.resource, *finding.other_resources):
        known |= {resource.uid: RESOURCE, resource.name: RESOURCE}
        for value in resource.tags.values():
            if not _common(value):
                known.setdefault(value, "[tag]")
    for value in finding.account.labels.values():
        if not _common(value):
            known.setdefault(value, "[tag]")
    for hint in finding.owner_hints:
        known.setdefault(hint.value, OWNER)
    known |= {cause["account_uid"]: ACCOUNT, cause["account_name"]: ACCOUNT, finding.account.uid: ACCOUNT,
              finding.account.name: ACCOUNT, cause["owner"]: OWNER, material.owner_name: OWNER}  # fmt: skip
    return known


def _common(value: str) -> bool:
    """A tag's value that is a word of everybody's, which a text may hold without meaning the tag."""
    return value.casefold() in _COMMON


def _many(count: int) -> str:
    return "one" if count <= 1 else "several" if count <= 20 else "many"


def put_back(text: str, names: Mapping[str, str]) -> str:
    """Placeholders of a model's text to the names they stand for, for the eyes of people."""
    for placeholder, name in names.items():
        text = text.replace(placeholder, name)
    return text
