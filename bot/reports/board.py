"""The read side: every question a card, a command or the home tab asks, answered from the store as it stands now."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Row, and_, func, select

from bot.domain.decisions import ApprovalRule, RequestState
from bot.domain.errors import BadInput, NotFound
from bot.domain.findings import Finding, Severity, Status
from bot.domain.ids import Clock
from bot.domain.plans import Plan
from bot.domain.principals import Actor, Principal
from bot.domain.silence import AttentionView, DailyView
from bot.domain.triage import Priority
from bot.domain.views import (
    CauseLine,
    CauseView,
    DigestView,
    FindingLine,
    FindingsView,
    FindingView,
    GlassView,
    HomeView,
    PersonRef,
    RequestView,
    SourceHealth,
    Stage,
    StatusView,
)
from bot.intake.channels import plan_of
from bot.narrative.service import state as model_state
from bot.ports import PlaybookCatalog
from bot.reports import attention
from bot.reports.ages import dated, feeds, route_rates
from bot.reports.cause_view import (
    CAUSES,
    EXECUTIONS,
    FINDINGS,
    LEDGER,
    OBSERVATIONS,
    OPEN,
    PLANS,
    REQUESTS,
    RUNNING,
    URGENCY,
    Reader,
    history_lines,
    read_cause,
    read_requests,
    read_verdict,
)
from bot.reports.filters import FindingsFilter, parse_filters
from bot.reports.glass import glasses, read_glass
from bot.reports.names import members, owner_names, person
from bot.reports.sight import causes_of, owners_of, require_member, seen_by
from bot.settings import Settings
from bot.store import controls
from bot.store.database import Database
from bot.store.tables import OutboxRow, PostRow, SourceRow

__all__ = ["Board", "FindingsFilter", "parse_filters"]

POSTS = PostRow.__table__  # type: ignore[attr-defined]
OUTBOX = OutboxRow.__table__  # type: ignore[attr-defined]
SOURCES = SourceRow.__table__  # type: ignore[attr-defined]

DIGEST_LINES = 10
HOME_LINES = 10
CAUSE_URGENCY = (CAUSES.c.priority, CAUSES.c.due.is_(None), CAUSES.c.due, CAUSES.c.id)


class Verdictish(Protocol):
    @property
    def allowed(self) -> bool: ...


class MayDecide(Protocol):
    """The part of ``bot.governance.policy.Policy`` that reading needs."""

    def may(
        self, actor: Actor, action: str, plan: Plan | None, context: Mapping[str, Any] | None = None
    ) -> Verdictish: ...

    def could(self, plan: Plan | None) -> tuple[str, ...]: ...


class Board:
    def __init__(
        self,
        db: Database,
        settings: Settings,
        catalog: PlaybookCatalog,
        clock: Clock,
        policy: MayDecide | None = None,
        people: object | None = None,  # the composition root hands it in; names come from settings and store
    ) -> None:
        self.db = db
        self.settings = settings
        self.clock = clock
        self._policy = policy
        self._reader = Reader(settings, catalog, clock, policy.could if policy else None)

    parse_filters = staticmethod(parse_filters)

    # --- one thing ---------------------------------------------------------------------------------------------------

    async def cause(self, cause_id: str) -> CauseView:
        return await self.db.read(lambda conn: read_cause(conn, self._reader, cause_id))

    async def finding(self, finding_id: str, seen: ColumnElement[bool] | None = None) -> FindingView:
        """By its id or the unique beginning of it, among the findings that are ``seen`` (None: all)."""
        return await self.db.read(self._finding, finding_id.strip(), seen)

    async def person(self, principal_id: str) -> PersonRef:
        return await self.db.read(lambda conn: person(conn, self.settings, principal_id))

    def _finding(self, conn: Connection, wanted: str, seen: ColumnElement[bool] | None) -> FindingView:
        row = _find(conn, wanted, seen)
        observed = select(OBSERVATIONS.c.doc, OBSERVATIONS.c.verdict, OBSERVATIONS.c.at).where(
            OBSERVATIONS.c.finding_id == row.id, OBSERVATIONS.c.content == row.content
        )
        observation = conn.execute(observed).first()
        if observation is None:
            raise NotFound(f"Finding {row.id} has no observation in the store.", mend="Run gatehouse check.")
        cause = conn.execute(select(CAUSES.c.title).where(CAUSES.c.id == row.cause_id)).scalar()
        finding = Finding.model_validate_json(observation.doc)
        return FindingView(
            id=row.id,
            finding=finding,
            verdict=dated(read_verdict(observation.verdict), finding, observation.at),
            status=Status(row.status),
            status_reason=row.status_reason,
            owner=owner_names(conn, self.settings, [row.owner])[row.owner],
            cause_id=row.cause_id,
            cause_title=cause or "",
            first_seen=row.first_seen,
            changed_at=row.changed_at,
            reopened=row.reopened,
            history=history_lines(conn, self.settings, [row.id]),
        )

    # --- lists -------------------------------------------------------------------------------------------------------

    async def findings(
        self,
        filters: FindingsFilter | None = None,
        limit: int = 20,
        offset: int = 0,
        person: Actor | Principal | None = None,
    ) -> FindingsView:
        """The most urgent first, of what ``person`` may see; None is the operator. ``Denied`` for guests."""
        if isinstance(person, Actor):
            require_member(person)
        wanted = self._for(filters or FindingsFilter(), person)
        return await self.db.read(self._findings, wanted, limit, offset, seen_by(self.settings, person))

    async def all_open(
        self, filters: FindingsFilter | None = None, person: Actor | Principal | None = None
    ) -> list[dict[str, Any]]:
        """Every finding the filter asks for (open ones by default) as plain JSON-able rows, the most urgent first: the
        operator's list. ``person`` is whose "mine" is."""
        return await self.db.read(self._rows, self._for(filters or FindingsFilter(), person))

    def _for(self, filters: FindingsFilter, person: Actor | Principal | None) -> FindingsFilter:
        if not filters.mine or filters.mine_of:
            return filters
        if person is None:
            raise BadInput("“mine” needs to know who asks.", mend="Name the owner instead: owner:payments.")
        return filters.for_owners(self.owners_of(person))

    def owners_of(self, person: Actor | Principal) -> tuple[str, ...]:
        """The owner ids that are this person or the person's team."""
        return owners_of(self.settings, person)

    def _findings(
        self, conn: Connection, filters: FindingsFilter, limit: int, offset: int, seen: ColumnElement[bool] | None
    ) -> FindingsView:
        total = conn.execute(count_question(filters, seen)).scalar_one()
        rows = conn.execute(list_question(filters, limit, offset, seen)).all()
        owners = owner_names(conn, self.settings, {r.owner for r in rows})
        lines = tuple(
            FindingLine(
                id=r.id,
                title=r.title,
                severity=Severity(r.severity),
                priority=Priority(r.priority),
                status=Status(r.status),
                resource=r.resource_name or r.resource_uid,
                where=where(r),
                owner=owners[r.owner],
                cause_id=r.cause_id,
                due=r.due,
            )
            for r in rows
        )
        return FindingsView(lines=lines, total=total, filters=filters.words(), offset=offset, limit=limit)

    def _rows(self, conn: Connection, filters: FindingsFilter) -> list[dict[str, Any]]:
        names = [c for c in FINDINGS.c if c.name not in {"content", "scope", "resource_id"}]
        owners: dict[str, str] = {}
        found = []
        rows = conn.execute(select(*names).where(filters.where()).order_by(*URGENCY))
        for row in rows.mappings():
            values = {k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()}
            owner = values["owner"]
            if owner not in owners:
                owners |= owner_names(conn, self.settings, [owner])
            values |= {
                "severity": Severity(row["severity"]).name.lower(),
                "priority": Priority(row["priority"]).label,
                "owner_name": owners[owner],
            }
            found.append(values)
        return found

    # --- digest ------------------------------------------------------------------------------------------------------

    async def digest(self, address: str, since: datetime) -> DigestView:
        """What ``platform:channel`` was spared: its open causes that have no card there and none on its way."""
        return await self.db.read(self._digest, address, since)

    def _digest(self, conn: Connection, address: str, since: datetime) -> DigestView:
        condition = held(address)
        counted = conn.execute(
            select(CAUSES.c.priority, func.count())
            .where(condition)
            .group_by(CAUSES.c.priority)
            .order_by(CAUSES.c.priority)
        ).all()
        rows = conn.execute(select(CAUSES).where(condition).order_by(*CAUSE_URGENCY).limit(DIGEST_LINES)).all()
        seen = [[tuple(pair) for pair in counted], [(r.id, r.title, r.open_count, r.owner) for r in rows]]
        return DigestView(
            channel=address,
            since=since,
            until=since + timedelta(minutes=self._interval(address)),
            # Not a counter: the same content has the same revision, so an unchanged digest is not sent again.
            revision=zlib.crc32(repr(seen).encode()) & 0x7FFF_FFFF,
            counts=tuple((Priority(p), n) for p, n in counted),
            lines=self._cause_lines(conn, rows, address),
            total=sum(n for _, n in counted),
        )

    def _interval(self, address: str) -> int:
        return plan_of(address, self.settings.routing, self.settings.attention).minutes

    def _cause_lines(self, conn: Connection, rows: Sequence[Row[Any]], address: str = "") -> tuple[CauseLine, ...]:
        owners = owner_names(conn, self.settings, {r.owner for r in rows})
        waiting = _causes_where(conn, REQUESTS, rows, [RequestState.PENDING])
        running = _causes_where(conn, EXECUTIONS, rows, RUNNING)
        return tuple(
            CauseLine(
                id=r.id,
                title=r.title,
                priority=Priority(r.priority),
                owner=owners[r.owner],
                where=where(r),
                open_count=r.open_count,
                due=r.due,
                stage=Stage.RUNNING if r.id in running else Stage.WAITING if r.id in waiting else Stage(r.state),
                channel=address or next(iter(json.loads(r.channels)), ""),
                fixable=bool(r.playbook),
            )
            for r in rows
        )

    # --- home and status ---------------------------------------------------------------------------------------------

    async def home(self, person: Actor | Principal) -> HomeView:
        return await self.db.read(self._home, person)

    def _home(self, conn: Connection, who: Actor | Principal) -> HomeView:
        principal = who.principal if isinstance(who, Actor) else who
        pending = conn.execute(
            select(REQUESTS).where(REQUESTS.c.state == RequestState.PENDING).order_by(REQUESTS.c.expires_at)
        ).all()
        now = self.clock.now()
        views = read_requests(conn, self._reader, [r for r in pending if r.expires_at > now])
        waiting = tuple(v for v in views if self._may_decide(conn, who, v))
        mine_asked = conn.execute(
            select(REQUESTS)
            .where(REQUESTS.c.requested_by == principal.id)
            .order_by(REQUESTS.c.requested_at.desc())
            .limit(HOME_LINES)
        ).all()
        owned = and_(CAUSES.c.state == "open", CAUSES.c.owner.in_(self.owners_of(principal)))
        rows = conn.execute(select(CAUSES).where(owned).order_by(*CAUSE_URGENCY).limit(HOME_LINES)).all()
        return HomeView(
            person=person(conn, self.settings, principal.id),
            waiting=waiting,
            asked=tuple(read_requests(conn, self._reader, mine_asked)),
            mine=self._cause_lines(conn, rows),
            mine_total=conn.execute(select(func.count()).select_from(CAUSES).where(owned)).scalar_one(),
            status=self._status(conn, who),
        )

    def _may_decide(self, conn: Connection, who: Actor | Principal, request: RequestView) -> bool:
        """Only what to show: the vote itself is checked again, freshly, by ``Approvals``."""
        principal = who.principal if isinstance(who, Actor) else who
        if not principal.active or any(v.who.id == principal.id for v in request.votes):
            return False
        if request.rule.four_eyes and request.requested_by.id == principal.id:
            return False
        if isinstance(who, Actor) and who.standing.objection():
            return False
        groups = set(principal.groups) | (set(who.groups) if isinstance(who, Actor) else set())
        if not self._in_groups(principal, groups, request.rule):
            return False
        if self._policy is None or not isinstance(who, Actor):
            return True
        body = conn.execute(select(PLANS.c.body).where(PLANS.c.id == request.plan_id)).scalar()
        plan = Plan.model_validate_json(body) if body else None
        owner = conn.execute(select(CAUSES.c.owner).where(CAUSES.c.id == request.cause_id)).scalar() or ""
        asked = request.requested_by.id == principal.id
        context = {"is_requester": asked, "executing": False, "owner": owner, "rule": request.rule}
        return self._policy.may(who, "approve", plan, context).allowed

    def _in_groups(self, principal: Principal, groups: set[str], rule: ApprovalRule) -> bool:
        return not rule.groups or any(g in groups or principal.id in members(self.settings, g) for g in rule.groups)

    async def glass(self, glass_id: str) -> GlassView:
        """A broken glass and its review."""
        return await self.db.read(read_glass, self.settings, glass_id, self.clock.now())

    async def attention(self) -> AttentionView:
        """What came in, what was silenced, what waits on whom."""
        return await self.db.read(lambda conn: attention.attention(conn, self.settings, self.clock.now()))

    async def daily(self, address: str, since: datetime, until: datetime) -> DailyView:
        """The daily message of ``platform:channel``."""
        return await self.db.read(lambda conn: attention.daily(conn, self.settings, address, since, until))

    async def status(self, person: Actor | Principal | None = None) -> StatusView:
        """How Gatehouse is doing, with the numbers of what ``person`` may see; None is the operator."""
        return await self.db.read(self._status, person)

    def _status(self, conn: Connection, who: Actor | Principal | None = None) -> StatusView:
        f, c, o = FINDINGS.c, CAUSES.c, OUTBOX.c
        seen = seen_by(self.settings, who)
        shown = causes_of(seen, self.settings, who) if seen is not None and who is not None else None
        its = None if shown is None else select(c.id).where(shown)
        severities = conn.execute(
            select(f.severity, func.count())
            .where(*_both(f.status.in_(OPEN), seen))
            .group_by(f.severity)
            .order_by(f.severity.desc())
        ).all()
        priorities = conn.execute(
            select(c.priority, func.count())
            .where(*_both(c.state == "open", shown))
            .group_by(c.priority)
            .order_by(c.priority)
        ).all()
        pending, running = REQUESTS.c.state == RequestState.PENDING, EXECUTIONS.c.state.in_([str(s) for s in RUNNING])
        reviews, now = controls.open_reviews(conn), self.clock.now()
        if its is not None:
            pending, running = (
                and_(pending, REQUESTS.c.cause_id.in_(its)),
                and_(running, EXECUTIONS.c.cause_id.in_(its)),
            )
            broken = its.where(c.id.in_({each.cause_id for each in reviews}))
            ours = set(conn.execute(broken).scalars())
            reviews = [each for each in reviews if each.cause_id in ours]
        unsent = select(o.state, func.count()).where(o.state.in_(["queued", "sending", "dead", "unknown"]))
        states: dict[str, int] = {row[0]: row[1] for row in conn.execute(unsent.group_by(o.state))}
        head = conn.execute(select(LEDGER.c.seq, LEDGER.c.hash).order_by(LEDGER.c.seq.desc()).limit(1)).first()
        return StatusView(
            at=now,
            open_findings=tuple((Severity(s), n) for s, n in severities),
            open_causes=tuple((Priority(p), n) for p, n in priorities),
            waiting_requests=_count(conn, REQUESTS, pending),
            running=_count(conn, EXECUTIONS, running),
            held_in_digests=_count(conn, CAUSES, and_(*_both(held(), shown))),
            outbox_waiting=states.get("queued", 0) + states.get("sending", 0),
            outbox_dead=states.get("dead", 0) + states.get("unknown", 0),
            sources=self._sources(conn),
            ledger_records=head.seq if head else 0,
            ledger_head=head.hash if head else "",
            # Figures of the whole company, by owner and by rule, are for who sees the whole company.
            attention=attention.attention(conn, self.settings, now) if seen is None else None,
            glasses=tuple(glasses(conn, self.settings, reviews, now)),
            feeds=feeds(conn, self.settings, now),
            routes=route_rates(conn, now) if seen is None else (),
            model=model_state(conn, self.settings.model, now)["said"],
        )

    def _sources(self, conn: Connection) -> tuple[SourceHealth, ...]:
        rows = {row.name: row for row in conn.execute(select(SOURCES))}
        now = self.clock.now()
        found = []
        for name in sorted({*rows, *self.settings.sources}):
            row, setting = rows.get(name), self.settings.sources.get(name)
            last = row.last_ok_at if row else None
            if row and row.failing_since:
                ok, said = (
                    False,
                    f"failing since {row.failing_since:%Y-%m-%d %H:%M} UTC: {row.error or 'unknown why'}",
                )
            elif last is None:
                ok, said = False, "has not delivered anything yet"
            elif setting and now - last > 3 * timedelta(minutes=setting.every_minutes):
                ok, said = (
                    False,
                    f"last delivered {last:%Y-%m-%d %H:%M} UTC, expected every {setting.every_minutes:g} minutes",
                )
            else:
                ok, said = True, f"last delivered {last:%Y-%m-%d %H:%M} UTC"
            found.append(SourceHealth(name=name, ok=ok, said=said, last_ok_at=last))
        return tuple(found)


# --- questions, named so that a test can look at their query plans ----------------------------------------------------


def count_question(filters: FindingsFilter, seen: ColumnElement[bool] | None = None) -> Any:
    return select(func.count()).select_from(FINDINGS).where(*_both(filters.where(), seen))


def list_question(filters: FindingsFilter, limit: int, offset: int, seen: ColumnElement[bool] | None = None) -> Any:
    found = select(FINDINGS).where(*_both(filters.where(), seen))
    return found.order_by(*URGENCY).limit(limit).offset(offset)


def _both(where: ColumnElement[bool], seen: ColumnElement[bool] | None) -> tuple[ColumnElement[bool], ...]:
    return (where,) if seen is None else (where, seen)


def held(address: str = "") -> ColumnElement[bool]:
    """Open causes without a card, posted or on its way, in ``address`` ("" is anywhere)."""
    platform, _, channel = address.partition(":")
    posted = [POSTS.c.kind == "cause", POSTS.c.message_id != ""]
    going = [OUTBOX.c.kind == "card", OUTBOX.c.state.in_(["queued", "sending"])]
    parts: list[ColumnElement[bool]] = [CAUSES.c.state == "open", CAUSES.c.open_count > 0]
    if address:
        posted += [POSTS.c.platform == platform, POSTS.c.channel == channel]
        going += [OUTBOX.c.platform == platform, OUTBOX.c.channel == channel]
        # The list is canonical JSON: an address stands in it between quotes.
        parts.append(CAUSES.c.channels.contains(json.dumps(address), autoescape=True))
    else:
        parts.append(CAUSES.c.channels != "[]")
    # Each list is made once; a correlated EXISTS would go through the outbox for every cause.
    shown = select(POSTS.c.subject).where(*posted).union_all(select(OUTBOX.c.subject).where(*going))
    return and_(*parts, CAUSES.c.id.not_in(shown))


def where(row: Row[Any]) -> str:
    """Account and environment in words."""
    account = row.account_name or row.account_uid
    said = [part for part in (account, "" if row.environment == "unknown" else row.environment) if part]
    return ", ".join(said) or "unknown account"


def _count(conn: Connection, table: Any, condition: ColumnElement[bool]) -> int:
    return int(conn.execute(select(func.count()).select_from(table).where(condition)).scalar_one())


def _causes_where(conn: Connection, table: Any, rows: Sequence[Row[Any]], states: Sequence[str]) -> set[str]:
    question = select(table.c.cause_id).where(
        table.c.cause_id.in_([r.id for r in rows]), table.c.state.in_([str(s) for s in states])
    )
    return set(conn.execute(question).scalars())


def _find(conn: Connection, wanted: str, seen: ColumnElement[bool] | None) -> Row[Any]:
    """The finding with this id, or the only one whose id begins so; nothing is said of what is not ``seen``."""
    c = FINDINGS.c
    start = wanted if wanted.startswith("f-") else f"f-{wanted}"
    exact = conn.execute(select(FINDINGS).where(*_both(c.id.in_([wanted, start]), seen))).first()
    if exact is not None:
        return exact
    if len(start) > 3:
        begins = _both(c.id.startswith(start, autoescape=True), seen)
        near = conn.execute(select(FINDINGS).where(*begins).order_by(c.id).limit(4)).all()
        if len(near) == 1:
            return near[0]
        if near:
            some = ", ".join(row.id for row in near[:3])
            raise NotFound(f"More than one finding begins with {wanted[:40]}: {some}.", mend="Give more of the id.")
    like = select(c.id).where(*_both(c.id.startswith(start[:4], autoescape=True), seen)).order_by(c.id).limit(50)
    close = get_close_matches(start, list(conn.execute(like).scalars()), 1) if len(start) >= 4 else []
    mend = f"Did you mean {close[0]}?" if close else "Ask for findings to see the ids of what is open."
    raise NotFound(f"There is no finding {wanted[:40]}.", mend=mend)
