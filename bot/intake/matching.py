"""The facts of a finding that rules ask for, the conditions of a rule, and which environment something is in.

An environment is never read from a name unless a rule of gatehouse.yml says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from bot.domain.findings import Environment, Finding, Severity
from bot.settings import EnvironmentSettings, Match, Settings

_WORDS = {
    "prod": Environment.PROD, "production": Environment.PROD, "prd": Environment.PROD, "live": Environment.PROD,
    "staging": Environment.STAGING, "stage": Environment.STAGING, "stg": Environment.STAGING,
    "preprod": Environment.STAGING, "pre-prod": Environment.STAGING, "uat": Environment.STAGING,
    "dev": Environment.DEV, "development": Environment.DEV, "develop": Environment.DEV,
    "test": Environment.TEST, "testing": Environment.TEST, "tst": Environment.TEST, "qa": Environment.TEST,
    "sandbox": Environment.SANDBOX, "sbx": Environment.SANDBOX, "lab": Environment.SANDBOX,
    "playground": Environment.SANDBOX,
}  # fmt: skip


@dataclass(slots=True)
class Facts:
    """What routing and environment rules look at; ``environment`` is filled in once it is known."""

    source: str
    rule: str = ""
    severity: str = ""
    account: str = ""
    account_name: str = ""
    provider: str = ""
    environment: str = "unknown"
    resource_type: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    hints: tuple[tuple[str, str], ...] = ()
    cause_key: str = ""
    resource_uid: str = ""
    resource_name: str = ""

    @classmethod
    def of(cls, finding: Finding) -> Facts:
        account = finding.account
        return cls(
            source=finding.source,
            rule=finding.rule_uid,
            severity=_SEVERITY_WORDS[finding.severity],
            account=account.uid,
            account_name=account.name,
            provider=account.provider,
            resource_type=finding.resource.type,
            resource_uid=finding.resource.uid,
            resource_name=finding.resource.name,
            # The resource's own tag says more than its account's label.
            tags={**account.labels, **finding.resource.tags} if account.labels else finding.resource.tags,
            hints=tuple([(hint.kind, hint.value) for hint in finding.owner_hints]),
        )


_SEVERITY_WORDS = {severity: severity.name.lower() for severity in Severity}


class Asked:
    """Which facts the rules of gatehouse.yml look at at all: facts that agree in these take the same way."""

    def __init__(self, settings: Settings) -> None:
        rules = [rule.match for rule in settings.routing.rules] + [rule.match for rule in settings.environments.rules]
        fields = {"account": ("account", "account_name"), "provider": ("provider",), "rule": ("rule",),
                  "resource_type": ("resource_type",), "severity": ("severity",)}  # fmt: skip
        self._fields = tuple(
            name for asked, names in fields.items() if any(getattr(match, asked) for match in rules) for name in names
        )
        self._exact = frozenset(key for match in rules for key in match.tags)
        self._folded = frozenset(key.lower() for key in (*settings.routing.owner_tags, *settings.environments.tags))
        self._keys: dict[str, bool] = {}  # tag keys seen, bounded; nearly all findings have the same few

    def _asks(self, key: str) -> bool:
        if len(self._keys) > 1000:
            self._keys.clear()
        asked = self._keys[key] = key in self._exact or key.lower() in self._folded
        return asked

    def __call__(self, facts: Facts) -> tuple[Any, ...]:
        known, tags = self._keys.get, []
        for item in facts.tags.items():
            asked = known(item[0])
            if self._asks(item[0]) if asked is None else asked:
                tags.append(item)
        return (facts.source, *tags, facts.hints, *[getattr(facts, name) for name in self._fields])


def matches(match: Match, facts: Facts) -> bool:
    """All conditions of ``match`` hold; patterns are shell-style and case counts."""
    return (
        (not match.account or _any(match.account, facts.account) or _any(match.account, facts.account_name))
        and (not match.provider or _any(match.provider, facts.provider))
        and (not match.environment or _any(match.environment, facts.environment))
        and (not match.resource_type or _any(match.resource_type, facts.resource_type))
        and (not match.source or _any(match.source, facts.source))
        and (not match.severity or _any(match.severity, facts.severity))
        and (not match.rule or _any(match.rule, facts.rule))
        and all(key in facts.tags and fnmatchcase(facts.tags[key], pattern) for key, pattern in match.tags.items())
    )


def _any(patterns: tuple[str, ...], value: str) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in patterns)


def environment_word(word: str) -> Environment | None:
    """The environment a tag's or a source's word stands for, or None when the word is not known."""
    return _WORDS.get(word.strip().lower())


def environment_of(facts: Facts, hint: str, settings: EnvironmentSettings) -> tuple[Environment, str]:
    """Tags, then rules, then what the source says; with the reason in words."""
    unknown = ""
    if facts.tags and settings.tags:
        by_key = {key.lower(): (key, value) for key, value in facts.tags.items()}
        for wanted in settings.tags:
            found = by_key.get(wanted.lower())
            if found is None:
                continue
            named = environment_word(found[1])
            if named is not None:
                return named, f"tag {found[0]}={found[1][:60]}"
            unknown = f"tag {found[0]}={found[1][:60]} is no environment we know"
    for rule in settings.rules:
        if matches(rule.match, facts):
            return Environment(rule.environment), "a rule of gatehouse.yml"
    hinted = environment_word(hint) if hint else None
    if hinted is not None:
        return hinted, f"{facts.source} says so"
    return Environment.UNKNOWN, unknown or "no tag, rule or source says it"
