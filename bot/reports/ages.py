"""As of when a line of evidence holds: what a source said is as old as its word; what others said carries its date."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bot.domain.findings import Finding
from bot.domain.triage import Verdict
from bot.domain.views import ContextLine, FeedView, RouteRuleLine
from bot.intake.enrichment import feed_view
from bot.settings import Settings
from bot.store import intel, routes

ROUTES_OVER = timedelta(days=30)


def dated(verdict: Verdict | None, finding: Finding | None, seen: datetime | None) -> Verdict | None:
    """``verdict`` with a date on each line that its source said: when it changed it, saw it, or when we got it."""
    if verdict is None or finding is None:
        return verdict
    moment = finding.modified or finding.last_seen or seen
    lines = tuple(
        line.model_copy(update={"as_of": moment}) if line.as_of is None and line.source == finding.source else line
        for line in verdict.reasons
    )
    return verdict.model_copy(update={"reasons": lines})


def feeds(conn: Connection, settings: Settings, now: datetime) -> tuple[FeedView, ...]:
    """The lists that were ever fetched or are to be."""
    known = intel.feeds(conn)
    wanted = {"kev", "epss", "nvd"} if settings.enrichment.enabled else set()
    wanted |= {"aws"} if settings.enrichment.aws_context else set()
    return tuple(
        feed_view(name, known.get(name), settings, now)
        for name in ("kev", "epss", "nvd", "aws")
        if name in known or name in wanted
    )


_ORDER = ("exposed", "created_by", "changed_by", "last_used", "tags")


def context_lines(conn: Connection, resources: Sequence[str]) -> tuple[ContextLine, ...]:
    """What their cloud says of ``resources``, in their order."""
    known = intel.context(conn, [uid for uid in resources if uid])
    return tuple(
        ContextLine(resource=uid, fact=fact, value=row.value, why=row.why, source=row.source, as_of=row.as_of)
        for uid in resources
        for fact in _ORDER
        if (row := known.get(uid, {}).get(fact)) is not None
    )


def route_rates(conn: Connection, now: datetime) -> tuple[RouteRuleLine, ...]:
    return tuple(
        RouteRuleLine(rule=rule, routed=routed, passed_on=bad)
        for rule, routed, bad in routes.rates(conn, now - ROUTES_OVER)
    )
