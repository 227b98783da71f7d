"""Who owns a finding and where that is said, with the rule that said so and how sure it is.

In this order: people's word ("not mine"), owner tags and hints of the source, rules of gatehouse.yml, ServiceNow's
CMDB, Backstage's catalog, CODEOWNERS, the owner of the account, the source's project, the fallback. The first that
names somebody we know counts; what other registers say otherwise stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bot.intake.matching import Facts, matches
from bot.intake.ownership import CATALOG, CMDB, CODEOWNERS, HIGH, LOW, MEDIUM, Registers, Said
from bot.settings import RoutingSettings
from bot.store.overrides import Override

OVERRIDE, TAG, RULE, ACCOUNT, PROJECT, FALLBACK = "override", "tag", "rule", "account", "project", "fallback"
RULES = (OVERRIDE, TAG, RULE, CMDB, CATALOG, CODEOWNERS, ACCOUNT, PROJECT, FALLBACK)
_TITLES = {CMDB: "CMDB", CATALOG: "the catalog", CODEOWNERS: "CODEOWNERS"}


@dataclass(frozen=True, slots=True)
class Route:
    owner: str  # key of owners, "" when nobody is known
    channels: tuple[str, ...]
    reason: str
    rule: str = FALLBACK
    confidence: str = ""  # high | medium | low; "" when nobody is known


class Router:
    """Pure: the same facts always take the same route."""

    def __init__(
        self,
        settings: RoutingSettings,
        overrides: Mapping[str, Override] | None = None,
        registers: Registers | None = None,
    ) -> None:
        self._settings = settings
        self._overrides = overrides or {}
        self._by_word: dict[str, str] = {}
        for owner, each in settings.owners.items():
            self._by_word |= {_word(alias): owner for alias in (each.name, *each.aliases)}
        self._by_word |= {_word(owner): owner for owner in settings.owners}  # its own id wins over others' aliases
        self._tags = tuple(tag.lower() for tag in settings.owner_tags)
        self._projects = frozenset(kind.lower() for kind in settings.project_hints)
        self._registers = registers

    def asked(self, facts: Facts) -> tuple[Said, ...]:
        """What registers say of it: part of what a route depends on."""
        return self._registers.of(facts) if self._registers else ()

    def route(self, facts: Facts) -> Route:
        """The route of ``facts``; an override applies where ``facts.cause_key`` has one."""
        override = self._overrides.get(facts.cause_key) if facts.cause_key else None
        return self.passed_on(override) if override else self.by_rules(facts)

    def passed_on(self, override: Override) -> Route:
        why = f": {override.reason}" if override.reason else ""
        if override.owner in self._settings.owners:
            return self._to(override.owner, f"passed on by {override.by}{why}", OVERRIDE, HIGH)
        lost = f" to {override.owner}, whom gatehouse.yml no longer knows" if override.owner else " as not theirs"
        return Route("", self._settings.fallback, f"passed on by {override.by}{lost}{why}", OVERRIDE)

    def by_rules(self, facts: Facts) -> Route:
        """The route without what people said."""
        unknown: list[str] = []
        said = self.asked(facts)
        owner, reason, rule, confidence = self._first(facts, said, unknown)
        if not rule:
            return Route("", self._settings.fallback, unknown[0] if unknown else self._nobody())
        for other in said if rule not in {CMDB, CATALOG, CODEOWNERS} else [s for s in said if s.register != rule]:
            named = self._known(other.who)
            if named is not None and named[0] != owner:
                reason += f"; {_TITLES[other.register]} says {named[1][:60]}"
        return self._to(owner, reason, rule, confidence)

    def _first(self, facts: Facts, said: tuple[Said, ...], unknown: list[str]) -> tuple[str, str, str, str]:
        """(owner, reason, rule, confidence) of the first that names somebody; "" for the rule when none does."""
        if self._tags and (facts.tags or facts.hints):
            told = {key.lower(): (f"tag {key}", value) for key, value in facts.tags.items()}
            for kind, value in facts.hints:
                told.setdefault(kind.lower(), (f"{kind} of the source", value))
            for tag in self._tags:
                if tag not in told:
                    continue
                name, value = told[tag]
                owner = self._by_word.get(_word(value))
                if owner is not None:
                    return owner, f"{name}={value[:60]}", TAG, HIGH
                unknown.append(f"{name}={value[:60]} names nobody in gatehouse.yml")
        for rule in self._settings.rules:
            if matches(rule.match, facts):
                return rule.owner, f"rule {rule.name!r}", RULE, HIGH
        for one in said:
            known = self._known(one.who)
            if known is not None:
                return (
                    known[0],
                    f"{_TITLES[one.register]} says {known[1][:60]} ({one.found_by[:120]})",
                    one.register,
                    (one.confidence),
                )
            named = ", ".join(one.who)[:120]
            unknown.append(f"{_TITLES[one.register]} says {named}, whom gatehouse.yml does not know")
        for pattern, owner in self._settings.account_owners.items():
            if facts.account and (fnmatchcase(facts.account, pattern) or fnmatchcase(facts.account_name, pattern)):
                return owner, f"owner of account {facts.account_name or facts.account}", ACCOUNT, MEDIUM
        for kind, value in facts.hints:
            owner = self._by_word.get(_word(value)) if kind.lower() in self._projects else None
            if owner is not None:
                return owner, f"{kind} {value[:60]} of {facts.source}", PROJECT, LOW
        return "", "", "", ""

    def _known(self, who: tuple[str, ...]) -> tuple[str, str] | None:
        """(owner, the word that named it) of the first we know."""
        for word in who:
            owner = self._by_word.get(_word(word))
            if owner is not None:
                return owner, word
        return None

    def _nobody(self) -> str:
        return "no owner tag and no rule matches" + (", no register knows it" if self._registers else "")

    def _to(self, owner: str, reason: str, rule: str, confidence: str) -> Route:
        found = self._settings.owners.get(owner)
        if found is None:
            lost = f"{reason} names {owner!r}, whom owners of gatehouse.yml lack"
            return Route("", self._settings.fallback, lost)
        if confidence in {MEDIUM, LOW}:
            reason += f", {confidence} confidence"
        if not found.channels:
            said = f"{reason}; {found.name} has no channel: told to the fallback"
            return Route(owner, self._settings.fallback, said, rule, confidence)
        return Route(owner, found.channels, reason, rule, confidence)


def _word(value: str) -> str:
    """How registers write one team: ``group:default/payments``, ``@acme/payments``, "Payments"."""
    word = value.strip().lower()
    if word.startswith(("group:", "user:", "@")):
        word = word.rpartition("/")[2] or word
    return word.removeprefix("group:").removeprefix("user:").removeprefix("@")
