"""Who owns a finding and where that is said: overrides by people, then owner tags, then rules, then the fallback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.intake.matching import Facts, matches
from bot.settings import RoutingSettings
from bot.store.overrides import Override


@dataclass(frozen=True, slots=True)
class Route:
    owner: str  # key of owners, "" when nobody is known
    channels: tuple[str, ...]
    reason: str


class Router:
    """Pure: the same facts always take the same route."""

    def __init__(self, settings: RoutingSettings, overrides: Mapping[str, Override] | None = None) -> None:
        self._settings = settings
        self._overrides = overrides or {}
        self._by_word = {owner.lower(): owner for owner in settings.owners}
        self._tags = tuple(tag.lower() for tag in settings.owner_tags)

    def route(self, facts: Facts) -> Route:
        """The route of ``facts``; an override applies where ``facts.cause_key`` has one."""
        override = self._overrides.get(facts.cause_key) if facts.cause_key else None
        return self.passed_on(override) if override else self.by_rules(facts)

    def passed_on(self, override: Override) -> Route:
        why = f": {override.reason}" if override.reason else ""
        if override.owner in self._settings.owners:
            return self._to(override.owner, f"passed on by {override.by}{why}")
        lost = f" to {override.owner}, whom gatehouse.yml no longer knows" if override.owner else " as not theirs"
        return Route("", self._settings.fallback, f"passed on by {override.by}{lost}{why}")

    def by_rules(self, facts: Facts) -> Route:
        """The route without what people said: owner tags, rules, fallback."""
        unknown = ""
        if self._tags and (facts.tags or facts.hints):
            said = {key.lower(): (f"tag {key}", value) for key, value in facts.tags.items()}
            for kind, value in facts.hints:
                said.setdefault(kind.lower(), (f"{kind} of the source", value))
            for tag in self._tags:
                if tag not in said:
                    continue
                name, value = said[tag]
                owner = self._by_word.get(value.strip().lower())
                if owner is not None:
                    return self._to(owner, f"{name}={value[:60]}")
                unknown = unknown or f"{name}={value[:60]} names nobody in gatehouse.yml"
        for rule in self._settings.rules:
            if matches(rule.match, facts):
                return self._to(rule.owner, f"rule {rule.name!r}")
        return Route("", self._settings.fallback, unknown or "no owner tag and no rule matches")

    def _to(self, owner: str, reason: str) -> Route:
        found = self._settings.owners.get(owner)
        if found is None:
            return Route("", self._settings.fallback, f"{reason} names {owner!r}, whom owners of gatehouse.yml lack")
        if not found.channels:
            return Route(owner, self._settings.fallback, f"{reason}; {found.name} has no channel: told to the fallback")
        return Route(owner, found.channels, reason)
