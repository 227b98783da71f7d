"""Triage as intake uses it: the rules of gatehouse.yml over the tables of ``bot.triage``."""

from __future__ import annotations

from datetime import datetime

from bot.domain.findings import Environment, Finding
from bot.domain.triage import Intel, Priority, Verdict
from bot.intake.matching import Facts, matches
from bot.settings import Settings
from bot.triage.rules import NOTHING, Judgement, Rules, default


def rules_of(settings: Settings) -> Rules:
    """The rules in force; ``SettingsError`` where a table of the owner's is not complete."""
    triage = settings.triage
    jewels = triage.crown_jewels

    def jewel(finding: Finding, environment: Environment) -> str:
        facts = Facts.of(finding)
        facts.environment = environment.value
        return next((rule.name for rule in jewels if matches(rule.match, facts)), "")

    days = {priority: getattr(triage.days, priority.label.lower()) for priority in Priority}
    return Rules(triage.tables, days=days, likely=triage.epss_likely, jewel=jewel if jewels else None)


def judge(finding: Finding, environment: Environment, why: str = "", intel: Intel = NOTHING) -> Judgement:
    """The verdict by the built-in tables, without its date."""
    return default().judge(finding, environment, why, intel)


def triage(finding: Finding, environment: Environment, now: datetime, why_environment: str = "") -> Verdict:
    """The verdict by the built-in tables; due counts from ``now``, or earlier where the source says so."""
    judgement = judge(finding, environment, why_environment)
    return judgement.verdict(judgement.due(finding, now))
