"""Wiz's words and what they are called here. An unknown word maps to OTHER and is kept by the caller."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bot.domain.findings import Account, Control, OwnerHint, Severity, SourceStatus
from connectors.markup import links, plain
from connectors.text import obj, owner_pairs, seq, tags_of, text, texts

SOURCE = "wiz"
ISSUE, CONFIGURATION, VULNERABILITY, DETECTION, OTHER = (
    "issue", "configuration", "vulnerability", "detection", "other",
)  # fmt: skip
ISSUE_TYPES = ("TOXIC_COMBINATION", "THREAT_DETECTION", "CLOUD_CONFIGURATION")
_SEVERITIES = {
    "NONE": Severity.INFORMATIONAL,  # configuration findings know no INFORMATIONAL
    "INFO": Severity.INFORMATIONAL,
    "INFORMATIONAL": Severity.INFORMATIONAL,
    "LOW": Severity.LOW,
    "MEDIUM": Severity.MEDIUM,
    "HIGH": Severity.HIGH,
    "CRITICAL": Severity.CRITICAL,
    "UNKNOWN": Severity.UNKNOWN,
}
_STATUSES = {
    "OPEN": SourceStatus.NEW,
    "NEW": SourceStatus.NEW,
    "CREATED": SourceStatus.NEW,  # types of a webhook's trigger, from here …
    "UPDATED": SourceStatus.NEW,
    "REOPENED": SourceStatus.NEW,  # … to here
    "IN_PROGRESS": SourceStatus.IN_PROGRESS,
    "RESOLVED": SourceStatus.RESOLVED,
    "CLOSED": SourceStatus.RESOLVED,
    "FIXED": SourceStatus.RESOLVED,
    "REJECTED": SourceStatus.SUPPRESSED,
    "IGNORED": SourceStatus.SUPPRESSED,
    "DISMISSED": SourceStatus.SUPPRESSED,
    "SUPPRESSED": SourceStatus.SUPPRESSED,
    "SNOOZED": SourceStatus.SUPPRESSED,
}
_RESULTS = {"FAIL": SourceStatus.NEW, "FAILED": SourceStatus.NEW, "PASS": SourceStatus.RESOLVED,
            "PASSED": SourceStatus.RESOLVED}  # fmt: skip
# A platform is not always a cloud: a cluster run by a cloud belongs to an account of that cloud.
_PROVIDERS = {
    "aws": "aws", "amazon": "aws", "eks": "aws", "ecs": "aws",
    "azure": "azure", "aks": "azure", "azuredevops": "azure",
    "gcp": "gcp", "google": "gcp", "gke": "gcp",
    "oci": "oci", "oke": "oci", "alibaba": "alibaba", "ack": "alibaba",
    "kubernetes": "kubernetes", "openshift": "kubernetes", "lke": "linode",
}  # fmt: skip
_IMPACTS = ("HBI", "MBI", "LBI")
_ARN = re.compile(r"arn:aws[a-z-]*:[a-z0-9-]*:[a-z0-9-]*:(\d{6,12})?:")
_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_UUID_ONLY = re.compile(r"[A-Za-z0-9-]{3,80}")
APP = "https://app.wiz.io"


def word(value: Any) -> str:
    return text(value, 64).upper().replace(" ", "_").replace("-", "_")


def severity(*values: Any) -> tuple[Severity, str]:
    """The first that says anything."""
    said = next((found for value in values if (found := text(value, 64))), "")
    return (_SEVERITIES.get(said.upper(), Severity.OTHER), said) if said else (Severity.UNKNOWN, "")


def status(value: Any, reason: Any = None) -> tuple[SourceStatus, str]:
    """What a status word means; nothing said is open: Wiz lists what it has found."""
    said = text(value, 64)
    found = _STATUSES.get(word(said), SourceStatus.OTHER) if said else SourceStatus.NEW
    if found is SourceStatus.RESOLVED and word(reason) == "OBJECT_DELETED":
        found = SourceStatus.DELETED
    return found, said


def checked(result: Any, state: Any, deleted: Any) -> tuple[SourceStatus, str]:
    """Of a configuration finding: the result says what the scan saw, a rejection of people stands above it."""
    said, people = text(result, 64), text(state, 64)
    spoken = "/".join(part for part in (said, people) if part)
    if deleted is True:
        return SourceStatus.DELETED, spoken
    found = status(people)[0] if people else None
    if found is SourceStatus.SUPPRESSED:
        return SourceStatus.SUPPRESSED, spoken
    if not said:
        return (found or SourceStatus.NEW), spoken
    seen = _RESULTS.get(word(said), SourceStatus.OTHER)
    if seen is SourceStatus.NEW and found is SourceStatus.IN_PROGRESS:
        return SourceStatus.IN_PROGRESS, spoken
    return seen, spoken


def own_id(*candidates: Any, wiz: Any = None) -> str:
    """The first id that is the provider's own (ARN, Azure id, GCP name …), also one inside Wiz's ``a##b##c`` ids;
    such an id itself only where there is no other, Wiz's id of the entity last."""
    said = [found for one in candidates if (found := text(one, 2000))]
    if whole := next((one for one in said if "##" not in one), ""):
        return whole
    for one in said:
        for part in one.split("##"):
            if part.startswith(("arn:", "/subscriptions/", "projects/", "k8s/")):
                return part
    return said[0] if said else text(wiz, 512)


def provider(platform: Any, uid: str, account: str) -> str:
    """The cloud: as the platform says, else as the ids look."""
    said = text(platform, 64).lower().replace(" ", "").replace("_", "")
    found = _PROVIDERS.get(said, said)
    if found not in ("", "kubernetes"):
        return found
    if uid.startswith("arn:") or re.fullmatch(r"\d{12}", account):
        return "aws"
    if uid.lower().startswith("/subscriptions/") or (not uid.startswith("arn:") and _GUID.fullmatch(account)):
        return "azure"
    if uid.startswith(("//", "projects/", "https://www.googleapis.com/")):
        return "gcp"
    return found


def account(platform: Any, uid: str, number: Any, name: Any, labels: Any = None) -> Account:
    said = text(number, 128)
    if not said and (found := _ARN.match(uid)) and found[1]:
        said = found[1]
    return Account(uid=said, name=text(name, 512), provider=provider(platform, uid, said), labels=tags_of(labels))


def impact(projects: Iterable[Mapping[str, Any]]) -> str:
    """The highest business impact of the projects: HBI, MBI, LBI; another word is kept."""
    said = [found for one in projects if (found := text(obj(one.get("riskProfile")).get("businessImpact"), 64))]
    return next((one for one in _IMPACTS if one in said), said[0] if said else "")


def projects(value: Any) -> list[Mapping[str, Any]]:
    """Projects of a node; a webhook gives their names as one string."""
    if isinstance(value, str):
        return [{"name": name.strip()} for name in value.split(",") if name.strip()]
    return [one if isinstance(one, dict) else {"name": one} for one in seq(value) if isinstance(one, (dict, str))]


def owners(tags: Mapping[str, str], found: Iterable[Mapping[str, Any]], *more: Any) -> tuple[OwnerHint, ...]:
    pairs = owner_pairs(tags, "tag")
    pairs += [("tag:created_by", v) for k, v in tags.items()
              if v and k.lower().replace("_", "").replace("-", "") in ("createdby", "creator")]  # fmt: skip
    for one in found:
        for kind, people in (("project_owner", one.get("projectOwners")), ("security_champion",
                              one.get("securityChampions"))):  # fmt: skip
            pairs += [
                (kind, said) for who in seq(people)
                if (said := text(obj(who).get("email"), 256) or text(obj(who).get("name"), 256))
            ]  # fmt: skip
        pairs += [(kind, said) for kind, key in (("project", "name"), ("business_unit", "businessUnit"))
                  if (said := text(one.get(key), 256))]  # fmt: skip
    for who in more:
        if said := text(obj(who).get("email"), 256) or text(obj(who).get("name"), 256):
            pairs.append(("assignee", said))
    return tuple(OwnerHint(kind=kind, value=said) for kind, said in dict.fromkeys(pairs))


def controls(*values: Any) -> tuple[Control, ...]:
    """``securitySubCategories``: the framework's name, else its id, else the category's name."""
    made: list[Control] = []
    for value in values:
        for one in seq(value):
            category = obj(obj(one).get("category"))
            framework = obj(category.get("framework"))
            standard = next((s for v in (framework.get("name"), framework.get("id"), category.get("name"))
                             if (s := text(v, 512))), "")  # fmt: skip
            requirement = text(obj(one).get("title"), 1000)
            if standard or requirement:
                made.append(Control(standard=standard or requirement, requirement=requirement if standard else ""))
    return tuple(dict.fromkeys(made))


def exposed(*holders: Mapping[str, Any], risks: Iterable[str] = ()) -> bool | None:
    """True when anything says so, False when all that could say it deny it, None when nothing is said."""
    said = [holder[name] for holder in holders
            for name in ("hasWideInternetExposure", "hasLimitedInternetExposure", "openToAllInternet",
                         "isAccessibleFromInternet") if isinstance(holder.get(name), bool)]  # fmt: skip
    if any(said) or any("EXTERNAL_EXPOSURE" in risk.upper() or "INTERNET" in risk.upper() for risk in risks):
        return True
    return False if said else None


def said_plainly(value: Any) -> str:
    return plain(text(value))


def references(*values: Any) -> tuple[str, ...]:
    """https links: given as such, or standing in Markdown."""
    found: dict[str, None] = {}
    for value in values:
        for one in texts(value) if isinstance(value, list) else (text(value),):
            if one.startswith("https://") and " " not in one:
                found[one] = None
            else:
                found |= dict.fromkeys(links(one))
    return tuple(found)[:20]


def link(*values: Any) -> str:
    return next((said for value in values if (said := text(value, 2000)).startswith("https://")), "")


def issue_url(uid: str, *given: Any) -> str:
    """The issue in Wiz's console; its own encoding, apostrophe and tilde stay (seen in several collectors)."""
    if found := link(*given):
        return found
    return f"{APP}/issues#~(issue~'{uid})" if _UUID_ONLY.fullmatch(uid) else ""


def tickets(*values: Any) -> tuple[str, ...]:
    found = [link(obj(one).get("url")) or text(obj(one).get("name"), 512) or text(obj(one).get("externalId"), 512)
             for value in values for one in (seq(value) or ([value] if isinstance(value, dict) else []))]  # fmt: skip
    return tuple(dict.fromkeys(one for one in found if one))
