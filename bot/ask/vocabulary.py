"""The company's own words, read from the store: teams, accounts, apps, rules and how they are said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rapidfuzz.distance import OSA
from sqlalchemy import Connection, func, select

from bot.ask.sql import F, Rights
from bot.domain.findings import FindingClass
from bot.store.findings import CONTROL_SETS

MAX_VALUES = 20_000  # of one dimension
_PLAIN = {
    "team": F.team, "app": F.app, "product": F.product, "region": F.region, "provider": F.provider,
    "resource_type": F.resource_type, "package": F.package, "cve": F.cve, "data_class": F.data_class,
    "env": F.environment,
}  # fmt: skip


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
    for dimension, column in _PLAIN.items():
        rows = conn.execute(select(column).distinct().where(may, column != "").limit(MAX_VALUES)).scalars()
        found.values[dimension] = {str(value).lower(): str(value) for value in rows if value != "unknown"}
    named = select(F.account_uid, func.max(F.account_name).label("name")).where(may, F.account_uid != "")
    for row in conn.execute(named.group_by(F.account_uid)):
        found.accounts[row.account_uid] = row.name or row.account_uid
    found.values["account"] = {name.lower(): name for name in found.accounts.values()} | {
        uid.lower(): name for uid, name in found.accounts.items()
    }
    controls = conn.execute(
        select(CONTROL_SETS.c.standard, CONTROL_SETS.c.requirement)
        .where(CONTROL_SETS.c.id.in_(select(F.control_set).distinct().where(may)))
        .distinct()
    ).all()
    found.values["framework"] = {row.standard.lower(): row.standard for row in controls if row.standard}
    found.values["requirement"] = {row.requirement.lower(): row.requirement for row in controls if row.requirement}
    found.rules = _rules(conn, may)
    found.stems = frozenset(stem for rule in found.rules for stem in rule.stems)
    spaced = select(F.resource_name).distinct().where(may, F.resource_name.like("% %")).limit(MAX_VALUES)
    found.names = {str(name).lower(): str(name) for name in conn.execute(spaced).scalars()}
    return found


def _rules(conn: Connection, may: Any) -> tuple[Rule, ...]:
    """Rules with a title of their own; a CVE is asked for by its number."""
    query = (
        select(F.rule_uid, func.min(F.title).label("title"), F.resource_type)
        .where(may, F.class_uid != int(FindingClass.VULNERABILITY), F.rule_uid != "")
        .group_by(F.rule_uid, F.resource_type)
        .limit(MAX_VALUES)
    )
    titles: dict[str, str] = {}
    types: dict[str, set[str]] = {}
    for row in conn.execute(query):
        titles.setdefault(row.rule_uid, row.title)
        types.setdefault(row.rule_uid, set()).add(row.resource_type)
    return tuple(make_rule(uid, title, types[uid]) for uid, title in sorted(titles.items()))


def make_rule(uid: str, title: str, types: Iterable[str]) -> Rule:
    words = words_of(title)
    negative = bool(NEGATIVE & set(words)) or any(word.startswith("un") for word in words)
    return Rule(uid, title, frozenset(types), stems_of(words), negative)


def lookup(conn: Connection, rights: Rights, word: str) -> dict[str, set[str]]:
    """A word that no list holds: is it a finding's uid, or the name or uid of a resource? In the store's spelling."""
    lowered = word.lower()
    found: dict[str, set[str]] = {}
    for dimension, column in (
        ("uid", F.uid),
        ("uid", F.id),
        ("resource", F.resource_name),
        ("resource", F.resource_uid),
    ):
        same = (column == word) | (func.lower(column) == lowered)
        rows = conn.execute(select(column).distinct().where(rights.condition(), same).limit(3))
        if hits := {str(value) for value in rows.scalars()}:
            found.setdefault(dimension, set()).update(hits)
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
    for choice in choices:
        if abs(len(choice) - length) > allowed or len(choice) < 3:
            continue
        if min(length, len(choice)) == 3 and (choice[0] != word[0] or length == len(choice)):
            continue
        distance = OSA.distance(word, choice, score_cutoff=allowed)
        if distance < nearest:
            best, nearest = [choice], distance
        elif distance == nearest <= allowed:
            best.append(choice)
    return best
