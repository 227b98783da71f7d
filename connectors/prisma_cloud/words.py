"""How Prisma Cloud says things: member names, times, severities, clouds, resource ids. Pure and tolerant.

One alert comes in many spellings (API ``accountId``, SOAR ``AccountID``, SIEM ``account_id``, CSV ``Account Id``), so
members are looked up with case and punctuation left out.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from bot.domain.findings import Severity
from connectors.text import obj, seq, tags_of, text, when

Folded = dict[str, Any]

_NUMBER = re.compile(r"-?[0-9]{1,19}")
_NONE = frozenset({"", "n/a", "na", "null", "none", "blank", "-", "undefined", "nan"})
_SEVERITIES = {
    "critical": Severity.CRITICAL,
    "important": Severity.HIGH,
    "high": Severity.HIGH,
    "moderate": Severity.MEDIUM,
    "medium": Severity.MEDIUM,
    "low": Severity.LOW,
    "negligible": Severity.LOW,
    "unimportant": Severity.LOW,
    "informational": Severity.INFORMATIONAL,
    "info": Severity.INFORMATIONAL,
    "unknown": Severity.UNKNOWN,
    "unassigned": Severity.UNKNOWN,
}
_CLOUDS = {
    "amazon": "aws",
    "amazonwebservices": "aws",
    "microsoftazure": "azure",
    "google": "gcp",
    "googlecloud": "gcp",
    "googlecloudplatform": "gcp",
    "alibabacloud": "alibaba",
    "oraclecloud": "oci",
    "oracle": "oci",
    "all": "",
}
_TIMES = (
    "%b %d %Y",  # the vulnerability export
    "%b %d, %Y",
    "%B %d, %Y",
    "%B %d, %Y %H:%M:%S %p",  # Compute's fixDate: a 24-hour clock with AM and PM
    "%b %d, %Y %I:%M:%S %p",
    "%m/%d/%Y %H:%M:%S",  # SOAR contexts
    "%Y-%m-%d %H:%M:%S %Z",
)
_TAG = re.compile(r"<(?:/?[a-zA-Z][^<>]{0,500}|!--.{0,2000}?--)>", re.S)
_BREAK = re.compile(r"<(?:br|/p|/li|/div|/h[1-6]|/tr)\b[^<>]{0,100}>", re.I)
_LINK = re.compile(r"\[([^\[\]\n]{1,300})\]\((https?://[^()\s]{1,1000})\)")
_MARKS = re.compile(r"(\*\*|__)(?=\S)(.{1,500}?)(?<=\S)\1")
_HEADS = re.compile(r"^\s{0,3}#{1,6}\s+", re.M)
_CODE = re.compile(r"`{1,3}([^`\n]{1,500})`{1,3}")
_URL = re.compile(r"https?://[^\s<>\"')\]]+")
_FILL = re.compile(r"\$\{(\w+)\}")
_SAFE = re.compile(r"[\w.:/@=+-]{1,300}")  # a value that may stand in a command as it is


def fold(raw: Any) -> Folded:
    """The members of an object under names without case and punctuation; the first of two spellings counts."""
    found: Folded = {}
    if not isinstance(raw, dict):
        return found
    for name, value in raw.items():
        if isinstance(name, str) and (short := key(name)) not in found:
            found[short] = value
    return found


@lru_cache(maxsize=4096)
def _key(name: str) -> str:
    lowered = name.lower()
    return lowered if lowered == "_id" else "".join(c for c in lowered if c.isalnum())  # Compute has _id and id


def key(name: str) -> str:
    return _key(name) if len(name) <= 100 else name  # no member of Prisma's has a name like that


def said(value: Any, limit: int = 2000) -> str:
    """A word; "" for what only means "not there". The first of a list."""
    if isinstance(value, list):
        value = value[0] if value else ""
    if isinstance(value, bool):
        return str(value).lower()
    found = text(value, limit)
    return "" if found.lower() in _NONE else found


def first(folded: Mapping[str, Any], *names: str, limit: int = 2000) -> str:
    """The first member among ``names`` (folded) that says something."""
    for name in names:
        if name in folded and (found := said(folded[name], limit)):
            return found
    return ""


def listed(value: Any, limit: int = 200) -> tuple[str, ...]:
    """Words of a list, of a string in brackets (``[3.9.0]``), or of one with commas."""
    if not value:
        return ()
    if isinstance(value, str):
        value = value.strip().removeprefix("[").removesuffix("]").split(",")
    return tuple(dict.fromkeys(w for one in seq(value)[:limit] if (w := said(one).strip("\"' "))))


def moment(value: Any) -> datetime | None:
    """Epoch milliseconds or seconds (also as a string), ISO, and the notations of the exports. None for "never"."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, str):
        value = value.strip()
        if _NUMBER.fullmatch(value):
            value = int(value)
    if isinstance(value, bool) or value is None or value == "":
        return None
    if isinstance(value, (int, float)):
        return when(value) if value > 1_000_000 else None  # -1 is "for ever", 0 "not there"
    if not isinstance(value, str):
        return None
    found = when(value) or _written(value)
    return found if found and found.year > 1970 else None  # Go's zero time is the year 1


def _written(value: str) -> datetime | None:
    for form in _TIMES:
        try:
            return datetime.strptime(value, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    try:
        return parsedate_to_datetime(value).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def severity_of(value: Any) -> tuple[Severity, str]:
    word = said(value, 64)
    return (_SEVERITIES.get(word.lower(), Severity.OTHER) if word else Severity.UNKNOWN), word


def yes(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"y": True, "yes": True, "true": True, "n": False, "no": False, "false": False}.get(said(value, 8).lower())


def cloud_of(value: Any) -> str:
    word = said(value, 64).lower()
    return _CLOUDS.get(_key(word), word)


def plain(value: Any, limit: int = 64_000) -> str:
    """Markdown and markup as plain text; line breaks stay."""
    found = said(value, limit)
    if "<" in found:
        found = _TAG.sub("", _BREAK.sub("\n", found.replace('\\"', '"')))
    if "&" in found:
        found = html.unescape(found)
    if "](" in found:
        found = _LINK.sub(lambda m: m[2] if m[1] == m[2] else f"{m[1]} ({m[2]})", found)
    if "**" in found or "__" in found:
        found = _MARKS.sub(r"\2", found)
    if "`" in found:
        found = _CODE.sub(r"\1", found)
    if "#" in found:
        found = _HEADS.sub("", found)
    return text(found, limit)


def links(*values: Any) -> tuple[str, ...]:
    """The addresses in texts, in order, each once."""
    found: dict[str, None] = {}
    for value in values:
        for one in _URL.findall(said(value, 20_000)):
            found.setdefault(one.rstrip(".,;:"))
    return tuple(found)[:50]


def link(value: Any) -> str:
    """An address to open, "" for what is none: it stands on cards."""
    found = said(value, 4000)
    return found if found.startswith("https://") and not any(c.isspace() for c in found) else ""


def filled(template: str, values: Mapping[str, str]) -> str:
    """A command template with ``${resourceName}`` and its like filled in, where the value is harmless in a shell."""

    def one(match: re.Match[str]) -> str:
        value = values.get(key(match[1]), "")
        return value if value and _SAFE.fullmatch(value) else match[0]

    return _FILL.sub(one, template)


# --- resources -------------------------------------------------------------------------------------------------------

_ACCOUNT = re.compile(r"\d{12}")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d")
_BY_PREFIX = {
    "i": "instance",
    "sg": "security-group",
    "vol": "volume",
    "snap": "snapshot",
    "vpc": "vpc",
    "subnet": "subnet",
    "ami": "image",
    "eni": "network-interface",
    "rtb": "route-table",
    "igw": "internet-gateway",
    "nat": "natgateway",
    "acl": "network-acl",
    "eipalloc": "elastic-ip",
}
_EC2_ID = re.compile(r"(i|sg|vol|snap|vpc|subnet|ami|eni|rtb|igw|nat|acl|eipalloc)-[0-9a-f]{8,17}")
# Prisma's name of the cloud's call -> ARN. {n} is the id, or the name where the cloud's ARN has that.
_BY_API = (
    ("aws-s3", "arn:{p}:s3:::{n}"),
    ("aws-rds-describe-db-snapshots", "arn:{p}:rds:{r}:{a}:snapshot:{n}"),
    ("aws-rds-db-snapshots", "arn:{p}:rds:{r}:{a}:snapshot:{n}"),
    ("aws-rds-describe-db-instances", "arn:{p}:rds:{r}:{a}:db:{n}"),
    ("aws-rds-describe-db-clusters", "arn:{p}:rds:{r}:{a}:cluster:{n}"),
    ("aws-iam-list-users", "arn:{p}:iam::{a}:user/{n}"),
    ("aws-iam-list-access-keys", "arn:{p}:iam::{a}:user/{n}"),
    ("aws-iam-get-credential-report", "arn:{p}:iam::{a}:user/{n}"),
    ("aws-iam-list-roles", "arn:{p}:iam::{a}:role/{n}"),
    ("aws-lambda-list-functions", "arn:{p}:lambda:{r}:{a}:function:{n}"),
    ("aws-sqs-get-queue-attributes", "arn:{p}:sqs:{r}:{a}:{n}"),
    ("aws-sns-get-topic-attributes", "arn:{p}:sns:{r}:{a}:{n}"),
    ("aws-kms-get-key-rotation-status", "arn:{p}:kms:{r}:{a}:key/{n}"),
    ("aws-cloudtrail-describe-trails", "arn:{p}:cloudtrail:{r}:{a}:trail/{n}"),
    ("aws-dynamodb-describe-table", "arn:{p}:dynamodb:{r}:{a}:table/{n}"),
    ("aws-eks-describe-cluster", "arn:{p}:eks:{r}:{a}:cluster/{n}"),
    ("aws-ecr-get-repository-policy", "arn:{p}:ecr:{r}:{a}:repository/{n}"),
)
_SELF_LINK = re.compile(r"https://(?:www\.googleapis\.com/(\w+)/\w+|(\w+)\.googleapis\.com/\w+)/(projects/\S{1,900})")


def provider_id(
    uid: str, name: str, *, cloud: str, account: str, region: str, api: str = "", rrn: str = "", data: Any = None
) -> str:
    """The cloud's own full id where it can be told: an ARN, an Azure id, Google's full resource name; else ``uid``."""
    tail = unquote(rrn.rpartition(":")[2]) if rrn.startswith("rrn:") else ""
    for known in (uid, tail):
        if known.startswith(("arn:", "/subscriptions/", "//")):
            return known
    known = uid or name
    members = obj(data)
    if cloud == "aws":
        for member, value in list(members.items())[:200]:
            if isinstance(value, str) and value.startswith("arn:") and key(member).endswith("arn"):
                end = re.split(r"[:/]", value)[-1]
                if end and end in (uid, name):
                    return text(value, 2000)
        return _arn(known, name, account, region, api) or known or tail or rrn
    if cloud == "gcp" and (link := _SELF_LINK.fullmatch(text(members.get("selfLink"), 1000))):
        return f"//{link[1] or link[2]}.googleapis.com/{link[3]}"
    return known or tail or rrn


def _arn(uid: str, name: str, account: str, region: str, api: str) -> str:
    partition = {"us-g": "aws-us-gov", "cn-": "aws-cn"}.get(region[:4] if region.startswith("us-g") else region[:3])
    partition = partition or "aws"
    whole = bool(_ACCOUNT.fullmatch(account) and _REGION.fullmatch(region))
    if whole and (match := _EC2_ID.fullmatch(uid)):
        return f"arn:{partition}:ec2:{region}:{account}:{_BY_PREFIX[match[1]]}/{uid}"
    for prefix, form in _BY_API:
        if api.startswith(prefix):
            wanted = uid if "kms" in prefix or not name or " " in name else name
            if not wanted or not _SAFE.fullmatch(wanted) or wanted == account:
                return ""
            if ("{r}" in form and not whole) or ("{a}" in form and not _ACCOUNT.fullmatch(account)):
                return ""
            return form.format(p=partition, r=region, a=account, n=wanted)
    return ""


def tags_in(*places: Any) -> dict[str, str]:
    """The first place that holds tags: a map, a list of pairs, ``name: [values]``, a JSON-less "k:v" list."""
    for place in places:
        if isinstance(place, list) and place and isinstance(place[0], dict) and "values" in place[0]:
            place = [{"key": obj(p).get("name") or obj(p).get("key"), "value": said(obj(p).get("values"))}
                     for p in place]  # fmt: skip
        if found := {k: v for k, v in tags_of(place).items() if k}:
            return found
    return {}
