"""The read side of attention: what came in, what was silenced and why, what waits on whom, how late P1 were told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, exists, func, select

from bot.domain.silence import AttentionView, DailyView, PromiseView
from bot.domain.triage import Priority
from bot.intake.channels import plan_of
from bot.intake.suppression import silenced
from bot.intake.windows import local_day
from bot.reports.names import owner_names
from bot.settings import Settings
from bot.store import attention as store
from bot.store.outbox import OUTBOX, POSTS
from bot.store.silences import FINDINGS, RULES
from bot.store.tables import CauseRow, ObservationRow, PollRow, RequestRow

CAUSES = CauseRow.__table__  # type: ignore[attr-defined]
OBSERVATIONS = ObservationRow.__table__  # type: ignore[attr-defined]
POLLS = PollRow.__table__  # type: ignore[attr-defined]
REQUESTS = RequestRow.__table__  # type: ignore[attr-defined]
DAY = timedelta(days=1)
PROMISE_DAYS = 30
CHART_DAYS = 14
OWNERS = 5
URGENT = 5
_OPEN = ("new", "open", "reopened")
# Upper bounds in seconds.
_BUCKETS = ((5, "up to 5 s"), (30, "up to 30 s"), (60, "up to 1 min"), (120, "up to 2 min"), (300, "up to 5 min"),
            (900, "up to 15 min"), (float("inf"), "later"))  # fmt: skip


def promise(conn: Connection, settings: Settings, now: datetime) -> PromiseView:
    """How late each P1 of the last thirty days was posted where it had to be."""
    minutes = settings.attention.promise_minutes
    limit = timedelta(minutes=minutes)
    told = store.told(conn, 1, now - timedelta(days=PROMISE_DAYS))
    waits = [
        max(0.0, (one.posted_at - one.at).total_seconds()) for one in told if one.address and one.posted_at is not None
    ]
    missing = [one for one in told if one.address and one.posted_at is None and one.open]
    waits.sort()
    counts = [0] * len(_BUCKETS)
    for seconds in waits:
        counts[next(n for n, (bound, _) in enumerate(_BUCKETS) if seconds <= bound)] += 1
    return PromiseView(
        minutes=minutes,
        days=PROMISE_DAYS,
        posted=len(waits),
        late=sum(seconds > limit.total_seconds() for seconds in waits),
        waiting=len(missing),
        overdue=sum(now - one.at > limit for one in missing),
        voiceless=len({one.cause_id for one in told if not one.address and one.open}),
        p50=_quantile(waits, 0.5),
        p95=_quantile(waits, 0.95),
        worst=waits[-1] if waits else None,
        histogram=tuple((name, number) for (_, name), number in zip(_BUCKETS, counts, strict=True)),
    )


def _quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that ``share`` of all do not exceed."""
    return values[max(0, -(-len(values) * int(share * 100) // 100) - 1)] if values else None


def attention(conn: Connection, settings: Settings, now: datetime) -> AttentionView:
    since, soon = now - DAY, now + timedelta(seconds=1)  # what was stored at this very instant counts
    cards = select(func.count()).where(POSTS.c.kind == "cause", POSTS.c.posted_at >= since)
    held = select(func.count()).select_from(store.FIRST).where(store.FIRST.c.held, store.FIRST.c.at >= since)
    watching = select(func.count()).select_from(RULES).where(RULES.c.state == "monitor")
    return AttentionView(
        at=now,
        came=_polled(conn, since),
        fixed=_fixed(conn, since, soon),
        overdue=_count(conn, FINDINGS.c.status.in_(_OPEN), FINDINGS.c.due < now),
        cards=int(conn.execute(cards).scalar_one()),
        held=int(conn.execute(held).scalar_one()),
        silenced=silenced(conn),
        rules_watching=int(conn.execute(watching).scalar_one()),
        waits=waits_on(conn, settings, now),
        owners=_overdue_owners(conn, settings, now),
        promise=promise(conn, settings, now),
    )


def _came(conn: Connection, since: datetime, until: datetime, *where: Any) -> int:
    """Findings whose first content we stored in this time."""
    earlier = OBSERVATIONS.alias()
    first = exists().where(
        OBSERVATIONS.c.finding_id == FINDINGS.c.id, OBSERVATIONS.c.at >= since, OBSERVATIONS.c.at < until
    )
    before = exists().where(earlier.c.finding_id == FINDINGS.c.id, earlier.c.at < since)
    # A finding that was not written since cannot have come since.
    return _count(conn, FINDINGS.c.changed_at >= since, first, ~before, *where)


def _polled(conn: Connection, since: datetime) -> int:
    """New findings that the polls of this time counted: the company's figure without a look at every finding."""
    query = select(func.coalesce(func.sum(POLLS.c.created), 0)).where(POLLS.c.started_at >= since)
    return int(conn.execute(query).scalar_one())


def _fixed(conn: Connection, since: datetime, until: datetime, *more: Any) -> int:
    return _count(conn, FINDINGS.c.status == "resolved", FINDINGS.c.resolved_at >= since,
                  FINDINGS.c.resolved_at < until, *more)  # fmt: skip


def _count(conn: Connection, *where: Any) -> int:
    return int(conn.execute(select(func.count()).select_from(FINDINGS).where(*where)).scalar_one())


def waits_on(conn: Connection, settings: Settings, now: datetime, *more: Any) -> tuple[tuple[str, int], ...]:
    """Requests that wait for votes, by who may vote."""
    found: dict[str, int] = {}
    query = (
        select(REQUESTS.c.rule)
        .select_from(REQUESTS.join(CAUSES, CAUSES.c.id == REQUESTS.c.cause_id))
        .where(REQUESTS.c.state == "pending", REQUESTS.c.expires_at > now, *more)
    )
    for (rule,) in conn.execute(query):
        groups = json.loads(rule).get("groups") or []
        who = " or ".join(groups) if groups else "whom the policy permits"
        found[who] = found.get(who, 0) + 1
    return tuple(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _overdue_owners(conn: Connection, settings: Settings, now: datetime) -> tuple[tuple[str, int], ...]:
    rows = conn.execute(
        select(FINDINGS.c.owner, func.count())
        .where(FINDINGS.c.status.in_(_OPEN), FINDINGS.c.due < now)
        .group_by(FINDINGS.c.owner)
        .order_by(func.count().desc(), FINDINGS.c.owner)
        .limit(OWNERS)
    ).all()
    names = owner_names(conn, settings, [owner for owner, _ in rows])
    return tuple((names[owner] or "nobody known", number) for owner, number in rows)


# --- the daily message -----------------------------------------------------------------------------------------------


def daily(conn: Connection, settings: Settings, address: str, since: datetime, until: datetime) -> DailyView:
    """What happened to the causes that ``address`` hears of, between two of its mornings."""
    plan = plan_of(address, settings.routing, settings.attention)
    # The list is canonical JSON: an address stands in it between quotes.
    here = CAUSES.c.channels.contains(json.dumps(address), autoescape=True)
    mine = FINDINGS.c.cause_id.in_(select(CAUSES.c.id).where(here))
    is_open = FINDINGS.c.status.in_(_OPEN)
    new = tuple(
        (priority, number)
        for priority in Priority
        if (number := _came(conn, since, until, mine, FINDINGS.c.priority == int(priority)))
    )
    urgent = conn.execute(
        select(CAUSES.c.id, CAUSES.c.title, CAUSES.c.priority)
        .where(here, CAUSES.c.state == "open", CAUSES.c.priority <= 2)
        .order_by(CAUSES.c.priority, CAUSES.c.due.is_(None), CAUSES.c.due, CAUSES.c.id)
        .limit(URGENT)
    ).all()
    return DailyView(
        channel=address,
        day=f"{local_day(until, plan.tz)}",
        since=since,
        until=until,
        new=new,
        fixed=_fixed(conn, since, until, mine),
        open=_count(conn, mine, is_open),
        overdue=_count(conn, mine, is_open, FINDINGS.c.due < until),
        held=_held(conn, address, here),
        waits=waits_on(conn, settings, until, here),
        silenced=silenced(conn, mine),
        urgent=tuple((row.id, f"P{row.priority} {row.title}") for row in urgent),
        days=_days(conn, mine, plan.tz, until),
        picture=plan.pictures,
    )


def _held(conn: Connection, address: str, here: Any) -> int:
    platform, _, channel = address.partition(":")
    shown = select(POSTS.c.subject).where(
        POSTS.c.kind == "cause", POSTS.c.message_id != "", POSTS.c.platform == platform, POSTS.c.channel == channel
    )
    going = select(OUTBOX.c.subject).where(
        OUTBOX.c.kind == "card", OUTBOX.c.state.in_(["queued", "sending"]), OUTBOX.c.platform == platform,
        OUTBOX.c.channel == channel,
    )  # fmt: skip
    query = (
        select(func.count())
        .select_from(CAUSES)
        .where(here, CAUSES.c.state == "open", CAUSES.c.id.not_in(shown.union_all(going)))
    )
    return int(conn.execute(query).scalar_one())


def _days(conn: Connection, mine: Any, tz: str, until: datetime) -> tuple[tuple[str, int, int], ...]:
    """Local day, findings new and fixed: the last two weeks, days without anything too."""
    since = until - (CHART_DAYS - 1) * DAY
    days = [f"{local_day(since + n * DAY, tz)}" for n in range(CHART_DAYS)]
    new, fixed = dict.fromkeys(days, 0), dict.fromkeys(days, 0)
    firsts = (
        select(func.min(OBSERVATIONS.c.at))
        .select_from(OBSERVATIONS.join(FINDINGS, FINDINGS.c.id == OBSERVATIONS.c.finding_id))
        .where(mine)
        .group_by(OBSERVATIONS.c.finding_id)
        .having(func.min(OBSERVATIONS.c.at) >= since - DAY)
    )
    for (at,) in conn.execute(firsts):
        _add(new, at, tz)
    ends = select(FINDINGS.c.resolved_at).where(
        mine, FINDINGS.c.status == "resolved", FINDINGS.c.resolved_at >= since - DAY
    )
    for (at,) in conn.execute(ends):
        _add(fixed, at, tz)
    return tuple((day, new[day], fixed[day]) for day in days)


def _add(counts: dict[str, int], at: datetime | None, tz: str) -> None:
    if at is None:
        return
    day = f"{local_day(at if at.tzinfo else at.replace(tzinfo=UTC), tz)}"
    if day in counts:
        counts[day] += 1
