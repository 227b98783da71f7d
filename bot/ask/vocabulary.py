"""The company's own words, read from the store: teams, accounts, apps, rules and how they are said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rapidfuzz import process
from rapidfuzz.distance import OSA
from sqlalchemy import Connection, func, select

from bot.ask.sql import F, Rights
from bot.domain.findings import FindingClass
from bot.store.findings import CONTROL_SETS, RESOURCES

MAX_VALUES = 20_000  # of one dimension
_PLAIN = {
    "team": F.team, "app": F.app, "product": F.product, "region": F.region, "provider": F.provider,
    "resource_type": F.resource_type, "package": F.package, "cve": F.cve, "data_class": F.data_class,
    "env": F.environment,
}  # fmt: skip
_PASSES = (("provider", "region", "env", "product", "data_class"), ("resource_type", "package", "cve"), ("team", "app"))


@dataclass(frozen=True, slots=True)
class Rule:
    uid: str
    title: str
    types: frozenset[str]  # of the resources it was found on
    stems: tuple[str, ...]  # of its title, in order
    negative: bool  # the title says that something is missing


@dataclass(slots=True)
class Vocabulary:
    """``values[dimension][lower case] = the store's own spelling``."""

    values: dict[str, dict[str, str]] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)  # uid -> name
    rules: tuple[Rule, ...] = ()
    names: dict[str, str] = field(default_factory=dict)  # resource names with blanks in them
    stems: frozenset[str] = frozenset()  # of all rules

    def has(self, dimension: str, word: str) -> str | None:
        return self.values.get(dimension, {}).get(word.lower())


def load(conn: Connection, rights: Rights) -> Vocabulary:
    """Only what the asker may see: a name is information too."""
    may = rights.condition()
    found = Vocabulary()
    # Few passes over the one index that holds all these columns: together what has few combinations, by itself what
    # would multiply them. All at once would give as many rows as there are findings.
    seen: dict[str, set[Any]] = {dimension: set() for dimension in _PLAIN}
    for together in _PASSES:
        for row in conn.execute(select(*(_PLAIN[dimension] for dimension in together)).where(may).distinct()):
            for dimension, value in zip(together, row, strict=True):
                if len(seen[dimension]) < MAX_VALUES:
                    seen[dimension].add(value)
    sets: set[str] = set()
    accounts = select(F.account_uid, F.account_name, F.control_set).where(may).distinct()
    for uid, name, control_set in conn.execute(accounts):
        if uid:
            found.accounts[uid] = max(found.accounts.get(uid, ""), name or "")
        sets.add(control_set)
    for dimension, known in seen.items():
        found.values[dimension] = {str(v).lower(): str(v) for v in known if v and v != "unknown"}
    found.accounts = {uid: name or uid for uid, name in found.accounts.items()}
    found.values["account"] = {name.lower(): name for name in found.accounts.values()} | {
        uid.lower(): name for uid, name in found.accounts.items()
    }
    controls = [
        row
        for row in conn.execute(select(CONTROL_SETS.c.id, CONTROL_SETS.c.standard, CONTROL_SETS.c.requirement))
        if row.id in sets
    ]
    found.values["framework"] = {row.standard.lower(): row.standard for row in controls if row.standard}
    found.values["requirement"] = {row.requirement.lower(): row.requirement for row in controls if row.requirement}
    found.rules = _rules(conn, may)
    found.stems = frozenset(stem for rule in found.rules for stem in rule.stems)
    found.names = _spaced_names(conn, rights)
    return found


def _rules(conn: Connection, may: Any) -> tuple[Rule, ...]:
    """Rules with a title of their own; a CVE is asked for by its number."""
    types: dict[str, set[str]] = {}
    first: dict[str, str] = {}  # one finding of each
    other = F.class_uid != int(FindingClass.VULNERABILITY)
    kinds = select(F.rule_uid, F.resource_type, func.min(F.id)).where(may, other).group_by(F.rule_uid, F.resource_type)
    for rule, resource_type, one in conn.execute(kinds):
        if rule and (rule in types or len(types) < MAX_VALUES):
            types.setdefault(rule, set()).add(resource_type)
            first[rule] = min(first.get(rule, one), one)
    ids, titles = list(first.values()), dict[str, str]()
    for at in range(0, len(ids), 500):
        for row in conn.execute(select(F.rule_uid, F.title).where(F.id.in_(ids[at : at + 500]))):
            titles[row.rule_uid] = row.title
    return tuple(make_rule(uid, titles[uid], some) for uid, some in sorted(types.items()) if uid in titles)


def _spaced_names(conn: Connection, rights: Rights) -> dict[str, str]:
    """Names of resources with blanks in them, which tokens alone would not give."""
    named = select(RESOURCES.c.name, RESOURCES.c.uid).where(RESOURCES.c.name.like("% %")).limit(MAX_VALUES)
    rows = conn.execute(named).all()
    if rights.everything:
        return {str(row.name).lower(): str(row.name) for row in rows}
    return {str(row.name).lower(): str(row.name) for row in rows if _seen(conn, rights, row.uid)}


def _seen(conn: Connection, rights: Rights, resource_uid: str) -> bool:
    """Whether the asker sees a finding on the resource."""
    found = select(F.id).where(rights.condition(), F.resource_uid == resource_uid).limit(1)
    return conn.execute(found).first() is not None


def make_rule(uid: str, title: str, types: Iterable[str]) -> Rule:
    words = words_of(title)
    negative = bool(NEGATIVE & set(words)) or any(word.startswith("un") for word in words)
    return Rule(uid, title, frozenset(types), stems_of(words), negative)


def lookup(conn: Connection, rights: Rights, word: str) -> dict[str, set[str]]:
    """A word that no list holds: is it a finding's uid, or the name or uid of a resource? In the store's spelling."""
    ways = sorted({word, word.lower(), word.upper()})  # each an exact look into an index
    may, found = rights.condition(), dict[str, set[str]]()
    for dimension, column in (("uid", F.uid), ("uid", F.id), ("resource", F.resource_uid)):
        rows = conn.execute(select(column).distinct().where(may, column.in_(ways)).limit(3))
        if hits := {str(value) for value in rows.scalars()}:
            found.setdefault(dimension, set()).update(hits)
    named = select(RESOURCES.c.name, RESOURCES.c.uid).where(RESOURCES.c.name.in_(ways)).limit(50)
    for row in conn.execute(named):
        if rights.everything or _seen(conn, rights, row.uid):
            found.setdefault("resource", set()).add(str(row.name))
    return found


# --- words of rules --------------------------------------------------------------------------------------------------

NEGATIVE = frozenset({"no", "not", "disabled", "without", "missing", "below", "lacks", "off", "never"})
_SMALL = frozenset(
    [
        "a",
        "an",
        "the",
        "is",
        "are",
        "has",
        "have",
        "with",
        "from",
        "does",
        "do",
        "to",
        "of",
        "on",
        "in",
        "at",
        "for",
        "by",
        "and",
        "or",
        "than",
        "through",
        "against",
        "all",
        "any",
        "its",
        "it",
        "that",
        "this",
        "be",
        "uses",
        "use",
        "allow",
        "allows",
        "known",
        "found",
        "via",
    ]
)
# Ways to say the same thing; the second is the stem that titles get as well.
_SAME: Mapping[str, tuple[str, ...]] = {
    "encrypted": ("encrypt",), "encryption": ("encrypt",), "unencrypted": ("encrypt",), "encrypt": ("encrypt",),
    "plaintext": ("encrypt",), "publicly": ("public",), "world-readable": ("public", "read"),
    "accessible": ("access",), "2fa": ("mfa",), "multi-factor": ("mfa",), "multifactor": ("mfa",),
    "administrative": ("admin",), "administrator": ("admin",), "admins": ("admin",), "administrators": ("admin",),
    "cryptomining": ("crypto", "mining"), "cryptominer": ("crypto", "mining"), "cryptominers": ("crypto", "mining"),
    "crypto-miner": ("crypto", "mining"), "miner": ("mining",), "miners": ("mining",), "mine": ("mining",),
    "exfiltration": ("transfer",), "exfiltrated": ("transfer",), "exfil": ("transfer",),
    "transfers": ("transfer",), "c2": ("command", "control"), "outdated": ("deprecated",), "obsolete": ("deprecated",),
    "eol": ("deprecated",), "end-of-life": ("deprecated",), "unsupported": ("deprecated",), "older": ("old",),
    "stale": ("old",), "rotated": ("rotation",), "rotate": ("rotation",), "rotating": ("rotation",),
    "auditing": ("audit",), "audited": ("audit",), "logging": ("log",), "logged": ("log",), "limited": ("limit",),
    "scanning": ("scan",), "scanned": ("scan",), "bruteforce": ("brute", "force"), "brute-forced": ("brute", "force"),
    "brute-force": ("brute", "force"), "ssl": ("tls",), "virus": ("malware",), "mounts": ("mount",),
    "mounting": ("mount",), "mounted": ("mount",), "granting": ("grant",), "grants": ("grant",), "k8s": ("kubernetes",),
    "beaconing": ("command", "control"), "beacons": ("command", "control"), "escalations": ("escalation",),
    "privileges": ("privilege",), "countries": ("country",), "travelled": ("travel",), "traveling": ("travel",),
    "logins": ("sign",), "readable": ("read",),
    "connect": ("connection",), "connecting": ("connection",), "connected": ("connection",),
    "accept": ("accept",), "accepting": ("accept",), "accepted": ("accept",), "accepts": ("accept",), "keys": ("key",),
    "runtimes": ("runtime",), "requiring": ("require",), "requires": ("require",), "required": ("require",),
    "rotations": ("rotation",), "outgoing": ("outbound",), "login": ("sign",), "backups": ("backup",),
}  # fmt: skip
# Words of titles that say what kind of thing it is about: one of them alone names no rule.
GENERIC = frozenset(
    [
        "server",
        "instance",
        "user",
        "group",
        "workload",
        "container",
        "role",
        "account",
        "key",
        "policy",
        "function",
        "image",
        "bucket",
        "pod",
        "cluster",
        "disk",
        "volume",
        "snapshot",
        "connection",
        "call",
        "activity",
        "mode",
        "port",
        "address",
        "path",
        "project",
        "subscription",
        "region",
        "country",
        "customer",
        "storage",
        "default",
        "internet",
        "day",
        "days",
        "data",
        "access",
        "host",
        "root",
        "cloud",
        "service",
        "managed",
        "identity",
        "network",
        "security",
        "rule",
        "firewall",
        "database",
        "sql",
        "vault",
        "repository",
        "full",
        "with",
        "s3",
        "rds",
        "ebs",
        "ec2",
        "iam",
        "ecr",
        "kms",
        "vpc",
        "lambda",
        "kubernetes",
        "api",
        "0",
        "22",
        "90",
        "1",
        "2",
        "enabled",
        "external",
        "sensitive",
        "resource",
        "unusual",
        "console",
        "password",
        "old",
        "owner",
        "exposed",
        "open",
        "outbound",
    ]
)


def words_of(text: str) -> list[str]:
    text = text.lower().replace("-", " ").replace("all ports", "allports")
    return re.findall(r"[a-z0-9][a-z0-9.]*[a-z0-9]|[a-z0-9]", text)


def stems_of(words: Iterable[str]) -> tuple[str, ...]:
    found: list[str] = []
    for word in words:
        if word not in _SMALL and word not in NEGATIVE:
            found += stem(word)
    return tuple(found)


def stem(word: str) -> tuple[str, ...]:
    word = word.lower()
    if word in _SAME:
        return _SAME[word]
    if len(word) > 3 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    return _SAME.get(word, (word,))


def near(word: str, choices: Iterable[str]) -> list[str]:
    """The choices one typing slip away (two for long words), the nearest only. Words of three letters
    must begin alike."""
    length = len(word)
    if length < 3 or word.isdigit():
        return []
    allowed = 1 if length < 8 else 2
    best: list[str] = []
    nearest = allowed + 1
    pool = choices if isinstance(choices, Sequence) else list(choices)
    for choice, distance, _ in process.extract(word, pool, scorer=OSA.distance, score_cutoff=allowed, limit=None):
        shortest = min(length, len(choice))
        if shortest < 3 or (shortest == 3 and (choice[0] != word[0] or length == len(choice))):
            continue
        if distance < nearest:
            best, nearest = [choice], int(distance)
        elif distance == nearest <= allowed and choice not in best:
            best.append(choice)
    return best
