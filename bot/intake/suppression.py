"""Suppression rules from the first word to the last: written, watched (monitor), activated by people, ended, run out.

Rules
- Nothing is hidden before a person activates the rule, and the policy says who may (``silence``).
- P1 is hidden only where the rule says so (``include_p1``), the policy permits ``silence_p1``, and two different people
  put their names under the very same terms.
- What is hidden is kept and counted; it comes back when the rule ends, its hours are over, or it becomes P1.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select, true

from bot.domain.errors import BadInput, Conflict, Denied, Stale
from bot.domain.findings import Environment
from bot.domain.ids import Clock, IdSource, short_hash
from bot.domain.principals import Actor
from bot.domain.silence import HiddenLine, NameLine, Preview, RuleState, RuleView, SilencedLine
from bot.governance.policy import Policy, PolicyVerdict, mend
from bot.intake import noise
from bot.intake.announce import announce
from bot.intake.cleaning import clean
from bot.settings import Settings, SuppressionRule
from bot.store import causes, ledger, outbox, silences
from bot.store.database import Database
from bot.store.silences import FINDINGS, RULES, SILENCES, Rule

LIVE = ("monitor", "active")
SHOWN = 20


class Suppression:
    def __init__(self, db: Database, settings: Settings, clock: Clock, ids: IdSource, policy: Policy) -> None:
        self._db, self._settings, self._clock, self._ids, self._policy = db, settings, clock, ids, policy

    # --- what people do ----------------------------------------------------------------------------------------------

    async def draft(self, actor: Actor, terms: SuppressionRule, seen: ColumnElement[bool] | None = None) -> RuleView:
        """Write a rule down: it watches and hides nothing. ``Denied``, or ``BadInput`` where it lives too long."""
        return await self._do(self._draft, actor, terms, seen)

    def _draft(
        self, conn: Connection, actor: Actor, terms: SuppressionRule, seen: ColumnElement[bool] | None
    ) -> RuleView | Denied:
        now = self._clock.now()
        self._check_life(terms, now)
        rule_id = short_hash("person", silences.terms_hash(terms), prefix="sr-")
        refused = self._refusal(conn, actor, "suggest_silence", rule_id, terms)
        if refused:
            return refused
        known = conn.execute(select(RULES.c.state).where(RULES.c.id == rule_id)).scalar()
        if known in LIVE:
            raise Conflict("This very rule is there already.", mend="/gatehouse rules shows it.")
        self._add(conn, rule_id, "person", terms, actor.principal.id, now)
        return self._view(conn, silences.get(conn, rule_id), actor, look=True, seen=seen)

    def _add(
        self, conn: Connection, rule_id: str, origin: str, terms: SuppressionRule, author: str, now: datetime
    ) -> None:
        until = noise.ends(terms, now)
        silences.add(conn, rule_id=rule_id, origin=origin, terms=terms, author=author, until=until, now=now)
        body = {"terms": terms.model_dump(mode="json"), "hash": silences.terms_hash(terms), "origin": origin}
        ledger.append(conn, kind="suppression.written", subject=rule_id, actor=author, body=body, now=now)

    async def activate(self, rule_id: str, rule_hash: str, actor: Actor) -> RuleView:
        """Put one's name under exactly these terms; with as many names as it takes the rule hides from now on."""
        return await self._do(self._activate, actor, rule_id, rule_hash)

    def _activate(self, conn: Connection, actor: Actor, rule_id: str, rule_hash: str) -> RuleView | Denied:
        now, who = self._clock.now(), actor.principal
        rule = silences.get(conn, rule_id)
        refused = self._refusal(conn, actor, _action(rule.terms), rule_id, rule.terms)
        if refused:
            return refused
        if rule.hash != rule_hash or not rule.intact:
            raise Stale("The rule has changed since you saw it.", mend="Look at /gatehouse rules again.")
        if rule.state not in LIVE:
            raise Conflict(f"The rule is {rule.state}.", mend="Write a new one.")
        if rule.state == "active":
            raise Conflict("The rule is active already.")
        if any(name.principal_id == who.id and name.hash == rule.hash for name in rule.names):
            raise Conflict(
                "Your name stands under it already.", mend="It needs another person's, because it may hide P1."
            )
        self._check_life(rule.terms, now)
        silences.sign(conn, rule_id, principal_id=who.id, name=who.name, hash=rule.hash, now=now,
                      identity=actor.identity.model_dump_json())  # fmt: skip
        found = noise.preview(conn, rule.terms, now)
        body = {"hash": rule.hash, "would_hide": found.hides, "p1": found.p1, "include_p1": rule.terms.include_p1,
                "identity": actor.identity.model_dump(mode="json")}  # fmt: skip
        ledger.append(conn, kind="suppression.signed", subject=rule_id, actor=who.id, body=body, now=now)
        rule = silences.get(conn, rule_id)
        if rule.signed:
            silences.set_state(conn, rule_id, "active", by=who.id, why="", now=now)
            ledger.append(conn, kind="suppression.active", subject=rule_id, actor=who.id, now=now,
                          body={"hash": rule.hash, "names": [n.principal_id for n in rule.names]})  # fmt: skip
            self._settle(conn, self._hide(conn, silences.get(conn, rule_id), now), now)
        return self._view(conn, silences.get(conn, rule_id), actor, look=True)

    async def end(self, rule_id: str, actor: Actor, reason: str = "") -> RuleView:
        """End it; what it hides is open again at once."""
        return await self._do(self._end, actor, rule_id, clean(reason))

    def _end(self, conn: Connection, actor: Actor, rule_id: str, reason: str) -> RuleView | Denied:
        now, who = self._clock.now(), actor.principal
        rule = silences.get(conn, rule_id)
        refused = self._refusal(conn, actor, "suggest_silence", rule_id, rule.terms)
        if refused:
            return refused
        if rule.state not in LIVE:
            raise Conflict(f"The rule is {rule.state} already.")
        why = f"ended by {who.name}{': ' + reason if reason else ''}"
        self._close(conn, rule, "ended", who.id, why, now)
        return self._view(conn, silences.get(conn, rule_id), actor)

    def _close(self, conn: Connection, rule: Rule, state: str, by: str, why: str, now: datetime) -> int:
        silences.set_state(conn, rule.id, state, by=by, why=why, now=now)
        hidden, p1 = silences.hidden_by(conn, rule.id)
        ledger.append(conn, kind=f"suppression.{state}", subject=rule.id, actor=by, now=now,
                      body={"why": why, "hidden": hidden, "p1": p1})  # fmt: skip
        touched = silences.release(conn, SILENCES.c.rule_id == rule.id, f"the rule “{rule.terms.name}” {why}", now)
        self._settle(conn, touched, now)
        return len(touched)

    # --- what people see ---------------------------------------------------------------------------------------------

    async def list(
        self, actor: Actor | None = None, *, over: bool = False, seen: ColumnElement[bool] | None = None
    ) -> tuple[RuleView, ...]:
        """Every rule with what it hides, or would; ``over``: also those that ended. Findings are named where they are
        ``seen``."""
        await self._db.write(self._sync)
        states = [state.value for state in RuleState if over or not state.over]
        return await self._db.read(
            lambda conn: tuple(
                self._view(conn, rule, actor, look=True, seen=seen) for rule in silences.rules(conn, states)
            )
        )

    async def preview(self, terms: SuppressionRule) -> Preview:
        """What these terms would hide now; nothing is stored."""
        return await self._db.read(noise.preview, terms, self._clock.now())

    async def hidden(
        self, rule_id: str = "", limit: int = SHOWN, seen: ColumnElement[bool] | None = None
    ) -> tuple[tuple[HiddenLine, ...], int]:
        """Findings that are hidden by one rule, or by any, the most urgent first; and how many there are. Only of those
        that are ``seen`` (a condition over findings; None is all)."""
        return await self._db.read(_hidden, rule_id, limit, seen)

    def _view(
        self, conn: Connection, rule: Rule, actor: Actor | None, *, look: bool = False,
        seen: ColumnElement[bool] | None = None,
    ) -> RuleView:  # fmt: skip
        terms, hidden = rule.terms, silences.hidden_by(conn, rule.id)
        action = _action(terms)
        signed = actor is not None and any(n.principal_id == actor.principal.id for n in rule.names)
        live = rule.state in LIVE
        return RuleView(
            id=rule.id, name=terms.name, hash=rule.hash, origin=rule.origin, state=RuleState(rule.state),
            state_why=rule.state_why, about=noise.about(terms.match), when=noise.when(terms), reason=terms.reason,
            author=terms.author, until=rule.until, include_p1=terms.include_p1, quorum=rule.quorum,
            names=tuple(NameLine(id=n.principal_id, name=n.name, at=n.at) for n in rule.names if n.hash == rule.hash),
            hidden=hidden[0], hidden_p1=hidden[1],
            preview=noise.preview(conn, terms, self._clock.now(), seen) if look and rule.state == "monitor"
            else Preview(),
            may_activate=rule.state == "monitor" and not signed and self._may(actor, action, terms),
            may_end=live and self._may(actor, "suggest_silence", terms),
        )  # fmt: skip

    # --- what happens by itself --------------------------------------------------------------------------------------

    async def tick(self) -> int:
        """Run out, come back, hide what came to fit. Returns how many causes changed."""
        return await self._db.write(self._tick)

    def _tick(self, conn: Connection) -> int:
        now = self._clock.now()
        self._sync(conn)
        over = 0
        for rule in silences.rules(conn):
            if rule.until <= now:
                over += self._close(conn, rule, "expired", "gatehouse", "ran out", now)
        holds = [rule for rule in silences.rules(conn, ("active",)) if rule.in_force(now)]
        touched = silences.release(
            conn, SILENCES.c.rule_id.not_in([r.id for r in holds]), "its rule is not in force", now
        )
        touched |= silences.release(conn, SILENCES.c.until <= now, "the hours of its rule are over", now)
        touched |= silences.release(conn, FINDINGS.c.status != "suppressed", "it was decided otherwise", now)
        urgent = [rule.id for rule in holds if rule.terms.include_p1]
        touched |= silences.release(
            conn, and_(FINDINGS.c.priority == 1, SILENCES.c.rule_id.not_in(urgent)), "it is P1 now", now
        )
        for rule in holds:
            touched |= self._hide(conn, rule, now)
        self._settle(conn, touched, now)
        return over + len(touched)

    def _hide(self, conn: Connection, rule: Rule, now: datetime) -> set[str]:
        until = noise.window(rule.terms, now)
        if until is None or not rule.in_force(now):
            return set()
        fit = [row.id for row in noise.fitting(conn, rule.terms.match)]
        return silences.hide(conn, rule, fit, min(until, rule.until), now)

    def _settle(self, conn: Connection, touched: set[str], now: datetime) -> None:
        """Recount, bring the cards up to date, and tell of what is open again."""
        if not touched:
            return
        changed = causes.refresh(conn, self._ids, now, touched)
        for cause in changed:
            if cause.state == "silenced" and cause.posted:
                why = conn.execute(
                    select(FINDINGS.c.status_reason)
                    .where(FINDINGS.c.cause_id == cause.id, FINDINGS.c.status == "suppressed")
                    .limit(1)
                ).scalar()
                outbox.refresh_cause(conn, self._ids, now, cause.id, note=(why or "")[:300].capitalize())
        announce(conn, self._ids, now, self._settings.routing, changed, self._settings.attention)

    def _sync(self, conn: Connection) -> None:
        """The rules of gatehouse.yml: a new or changed one watches, whatever it was before; one that left is over."""
        now = self._clock.now()
        wanted = {short_hash("settings", terms.name, prefix="sr-"): terms for terms in self._settings.suppression.rules}
        known = {
            row.id: row
            for row in conn.execute(select(RULES.c.id, RULES.c.hash, RULES.c.state).where(RULES.c.origin == "settings"))
        }
        for rule_id, terms in wanted.items():
            stored = known.get(rule_id)
            if stored is not None and stored.hash == silences.terms_hash(terms):
                continue
            if stored is not None and stored.state in LIVE:
                self._close(
                    conn, silences.get(conn, rule_id), "ended", "gatehouse", "was changed in gatehouse.yml", now
                )
            self._add(conn, rule_id, "settings", terms, terms.author, now)
        for rule_id, stored in known.items():
            if rule_id not in wanted and stored.state in LIVE:
                self._close(conn, silences.get(conn, rule_id), "ended", "gatehouse", "left gatehouse.yml", now)

    # --- who may -----------------------------------------------------------------------------------------------------

    async def _do(self, work: Callable[..., RuleView | Denied], actor: Actor, *given: object) -> RuleView:
        outcome = await self._db.write(work, actor, *given)
        if isinstance(outcome, Denied):
            raise outcome  # after its record is committed
        return outcome

    def _may(self, actor: Actor | None, action: str, terms: SuppressionRule) -> bool:
        return actor is not None and self._verdict(actor, action, terms).allowed

    def _verdict(self, actor: Actor, action: str, terms: SuppressionRule) -> PolicyVerdict:
        """Permitted in every environment the rule may reach, or refused by the first that does not permit it."""
        wanted = terms.match.environment
        reached = [e.value for e in Environment if not wanted or any(fnmatchcase(e.value, w) for w in wanted)]
        verdicts = [self._policy.may(actor, action, None, {"environment": e}) for e in reached or ["unknown"]]
        return next((verdict for verdict in verdicts if not verdict.allowed), verdicts[0])

    def _refusal(
        self, conn: Connection, actor: Actor, action: str, rule_id: str, terms: SuppressionRule
    ) -> Denied | None:
        verdict = self._verdict(actor, action, terms)
        if verdict.allowed:
            return None
        body = {"wanted": action, "rule": verdict.rule, "reason": verdict.reason,
                "identity": actor.identity.model_dump(mode="json")}  # fmt: skip
        ledger.append(conn, kind="refused", subject=rule_id, actor=actor.principal.id, body=body, now=self._clock.now())
        return Denied(verdict.reason, rule=verdict.rule, could=verdict.could, mend=mend(verdict.could))

    def _check_life(self, terms: SuppressionRule, now: datetime) -> None:
        limits = self._settings.suppression
        days = min(limits.max_days, limits.max_days_p1) if terms.include_p1 else limits.max_days
        until = noise.ends(terms, now)
        if until <= now:
            raise BadInput(f"{terms.until} is over.", mend="Choose a day to come.")
        if until > now + timedelta(days=days + 1):
            what = "A rule that may hide P1" if terms.include_p1 else "A rule"
            last = (now + timedelta(days=days)).date()
            raise BadInput(f"{what} lives at most {days} days.", mend=f"Choose {last} or an earlier day.")


def silenced(conn: Connection, where: Any = None) -> tuple[SilencedLine, ...]:
    """What is hidden now (of the findings that ``where`` is about) and by whom: our rules, and the sources."""
    part = true() if where is None else where
    p1 = func.count().filter(FINDINGS.c.priority == 1)
    ours = conn.execute(
        select(SILENCES.c.rule_id, func.count(), p1)
        .select_from(SILENCES.join(FINDINGS, FINDINGS.c.id == SILENCES.c.finding_id))
        .where(part)
        .group_by(SILENCES.c.rule_id)
        .order_by(func.count().desc(), SILENCES.c.rule_id)
    ).all()
    lines = []
    for rule_id, number, urgent in ours:
        rule = silences.get(conn, rule_id)
        by = " and ".join(name.name for name in rule.names)
        lines.append(SilencedLine(by=f"rule “{rule.terms.name}” of {by}", reason=rule.terms.reason, count=number,
                                  p1=urgent, rule_id=rule_id))  # fmt: skip
    theirs = conn.execute(
        select(FINDINGS.c.source, func.count(), p1)
        .where(FINDINGS.c.status == "suppressed", FINDINGS.c.id.not_in(select(SILENCES.c.finding_id)), part)
        .group_by(FINDINGS.c.source)
        .order_by(func.count().desc(), FINDINGS.c.source)
    ).all()
    lines += [
        SilencedLine(by=source, reason="suppressed at the source", count=number, p1=urgent)
        for source, number, urgent in theirs
    ]
    return tuple(lines)


def _hidden(
    conn: Connection, rule_id: str, limit: int, seen: ColumnElement[bool] | None
) -> tuple[tuple[HiddenLine, ...], int]:
    if rule_id:
        silences.get(conn, rule_id)  # says so where there is none
    rows = conn.execute(
        select(FINDINGS)
        .join(SILENCES, SILENCES.c.finding_id == FINDINGS.c.id)
        .where(SILENCES.c.rule_id == rule_id if rule_id else true(), true() if seen is None else seen)
        .order_by(FINDINGS.c.priority, FINDINGS.c.id)
        .limit(limit)
    )
    return tuple(noise.line_of(row) for row in rows), silences.hidden_by(conn, rule_id, seen)[0]


def _action(terms: SuppressionRule) -> str:
    return "silence_p1" if terms.include_p1 else "silence"
