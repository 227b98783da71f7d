"""One file that proves what the ledger says of a finding, a cause, a decision or a period, to somebody without ours.

A pack holds the records, each with its proof of inclusion, the checkpoint they are proven against, and proofs that
the ledger of this checkpoint continues those of earlier ones. ``verifier.py`` beside it checks all of it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, select

from bot.domain.errors import BadInput, GatehouseError, NotFound
from bot.store import ledger
from bot.store.controls import BREAK_GLASS
from bot.store.tables import (
    CauseRow,
    DecisionRow,
    ExceptionRow,
    ExecutionRow,
    FindingRow,
    ObservationRow,
    PlanRow,
    RequestRow,
    StepRow,
)
from bot.store.tables_standing import StandingUseRow

from . import checkpoints, verifier
from .checkpoints import Checkpoint

EARLIER = 100  # checkpoints a pack is held against without being asked
_SOME = 500  # values of one IN list
_TABLES: list[Any] = [
    CauseRow, DecisionRow, ExceptionRow, ExecutionRow, FindingRow, ObservationRow, PlanRow, RequestRow, StepRow,
]  # fmt: skip
_CAUSES, _DECISIONS, _EXCEPTIONS, _EXECUTIONS, _FINDINGS, _OBSERVATIONS, _PLANS, _REQUESTS, _STEPS = (
    row.__table__ for row in _TABLES
)
_USES = StandingUseRow.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Question:
    """What a pack is about: one of the ids, or a period (``until`` excluded; either end may be open)."""

    finding: str = ""
    cause: str = ""
    decision: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        period = self.since is not None or self.until is not None
        if sum(map(bool, (self.finding, self.cause, self.decision, period))) != 1:
            raise BadInput(
                "an evidence pack is about one thing",
                mend="Give one of --finding, --cause, --decision, or --since and/or --until.",
            )

    @property
    def is_period(self) -> bool:
        return not (self.finding or self.cause or self.decision)

    def as_dict(self) -> dict[str, str]:
        asked = {"finding": self.finding, "cause": self.cause, "decision": self.decision,
                 "since": _utc(self.since), "until": _utc(self.until)}  # fmt: skip
        return {key: value for key, value in asked.items() if value}


def build(
    conn: Connection,
    question: Question,
    *,
    origin: str,
    now: datetime,
    against: Sequence[tuple[Checkpoint, str]] = (),
    made_by: str = "gatehouse",
) -> dict[str, Any]:
    """The pack. Raises ``GatehouseError`` when the ledger does not verify: a broken log proves nothing."""
    report = checkpoints.verify(conn, against)
    if not report.ok:
        raise GatehouseError(
            f"the ledger is broken at record {report.first_bad}: {report.why}",
            mend="Nothing was exported. Keep this database and the witnesses, and restore it from a backup.",
        )
    size = report.records
    sequence = _sequence(conn, question, size)
    records = [
        {**{name: getattr(row, name) for name in (*verifier.FIELDS, "hash")},
         "proof": ledger.inclusion(conn, row.seq, size)}
        for row in _rows(conn, sequence)
    ]  # fmt: skip
    if not records:
        raise NotFound("the ledger has no record of that", mend="Check the id or the period.")
    known = {
        row.size: Checkpoint(row.origin, row.size, row.root, row.at) for row in ledger.checkpoints(conn)[-EARLIER:]
    }
    known |= {each.size: each for each, _ in against}
    pack: dict[str, Any] = {
        "format": verifier.FORMAT,
        "about": question.as_dict(),
        "made_at": _utc(now),
        "made_by": made_by,
        "checkpoint": Checkpoint(origin, size, report.root, _utc(now)).text,
        "earlier": [
            {"checkpoint": known[old].text, "proof": ledger.consistency(conn, old, size)}
            for old in sorted(known)
            if known[old].origin == origin
        ],
        "whole": question.is_period,
        "records": records,
    }
    return pack | {"seal": verifier.seal(pack)}


def write(pack: dict[str, Any], out: Path) -> Path:
    """Write the pack, and the verifier beside it; the verifier's path."""
    beside = out.with_name("verifier.py")
    try:
        out.write_bytes(verifier.dump(pack))
        shutil.copyfile(Path(verifier.__file__), beside)
    except OSError as error:
        raise BadInput(f"cannot write {error.filename}: {error.strerror}", mend="Name a writable place.") from error
    return beside


# --- which records ---------------------------------------------------------------------------------------------------


def _sequence(conn: Connection, question: Question, size: int) -> list[int]:
    if question.is_period:
        return _period(conn, question, size)
    subjects = _subjects(conn, question)
    mentions = _mentions(question)
    found: set[int] = set()
    for some in _slices(sorted(subjects)):
        found.update(
            conn.execute(
                select(ledger.LEDGER.c.seq).where(ledger.LEDGER.c.subject.in_(some), ledger.LEDGER.c.seq <= size)
            ).scalars()
        )
    if mentions is not None:
        found.update(conn.execute(select(ledger.LEDGER.c.seq).where(mentions, ledger.LEDGER.c.seq <= size)).scalars())
    return sorted(found)


def _period(conn: Connection, question: Question, size: int) -> list[int]:
    """From the first to the last record of the period, without a gap, whatever the clocks of replicas said."""
    at = ledger.LEDGER.c.at
    if conn.dialect.name == "postgresql":
        at = at.collate("C")  # by byte: times are text of one form in UTC
    asked = select(ledger.LEDGER.c.seq).where(ledger.LEDGER.c.seq <= size)
    if question.since is not None:
        asked = asked.where(at >= _utc(question.since))
    if question.until is not None:
        asked = asked.where(at < _utc(question.until))
    found = conn.execute(asked).scalars().all()
    return list(range(min(found), max(found) + 1)) if found else []


def _subjects(conn: Connection, question: Question) -> set[str]:
    """The ids under which the ledger tells about it."""
    if question.decision:
        row = conn.execute(select(_DECISIONS).where(_DECISIONS.c.id == question.decision)).first()
        if row is None:
            raise NotFound(f"There is no decision {question.decision[:80]}.", mend="Its id begins with dec-.")
        subjects = {row.id, row.request_id, row.plan_id} | _standing(conn, _USES.c.request_id == row.request_id)
        subjects |= _ids(conn, BREAK_GLASS, BREAK_GLASS.c.request_id == row.request_id)
        executions = _ids(conn, _EXECUTIONS, _EXECUTIONS.c.decision_id == row.id)
        return subjects | executions | _ids(conn, _STEPS, _STEPS.c.execution_id.in_(executions))
    subjects = set()
    cause = question.cause
    if question.finding:
        row = conn.execute(select(_FINDINGS).where(_FINDINGS.c.id == question.finding)).first()
        if row is None:
            raise NotFound(f"There is no finding {question.finding[:80]}.", mend="`gatehouse findings --json` has ids.")
        polls = select(_OBSERVATIONS.c.poll_id).where(_OBSERVATIONS.c.finding_id == row.id).distinct()
        subjects |= {row.id, *conn.execute(polls).scalars()}
        cause = row.cause_id
    if question.cause and not _ids(conn, _CAUSES, _CAUSES.c.id == cause):
        raise NotFound(f"There is no cause {cause[:80]}.", mend="Its id stands on the card.")
    if not cause:
        return subjects
    requests = _ids(conn, _REQUESTS, _REQUESTS.c.cause_id == cause)
    executions = _ids(conn, _EXECUTIONS, _EXECUTIONS.c.cause_id == cause)
    subjects |= {cause} | requests | executions
    subjects |= _ids(conn, _PLANS, _PLANS.c.cause_id == cause)
    subjects |= _ids(conn, _EXCEPTIONS, _EXCEPTIONS.c.cause_id == cause)
    subjects |= _standing(conn, _USES.c.cause_id == cause)
    subjects |= _ids(conn, BREAK_GLASS, BREAK_GLASS.c.cause_id == cause)
    for some in _slices(sorted(requests)):
        subjects |= _ids(conn, _DECISIONS, _DECISIONS.c.request_id.in_(some))
    for some in _slices(sorted(executions)):
        subjects |= _ids(conn, _STEPS, _STEPS.c.execution_id.in_(some))
    return subjects


def _standing(conn: Connection, uses: ColumnElement[bool]) -> set[str]:
    """The standing approvals something was done under: who granted them is part of the proof."""
    return set(conn.execute(select(_USES.c.standing_id).where(uses)).scalars())


def _mentions(question: Question) -> ColumnElement[bool] | None:
    """Records of a poll that name the finding, also where its content did not change (resolved, reopened)."""
    if not question.finding:
        return None
    kinds = ledger.LEDGER.c.kind.in_(["findings.page", "findings.vanished"])
    quoted = json.dumps(question.finding, ensure_ascii=False)
    return and_(kinds, ledger.LEDGER.c.body.contains(quoted, autoescape=True))


def _ids(conn: Connection, table: Any, where: ColumnElement[bool]) -> set[str]:
    return set(conn.execute(select(table.c.id).where(where)).scalars())


def _rows(conn: Connection, sequence: Sequence[int]) -> Iterable[Any]:
    for some in _slices(sequence):
        yield from conn.execute(
            select(ledger.LEDGER).where(ledger.LEDGER.c.seq.in_(some)).order_by(ledger.LEDGER.c.seq)
        ).all()


def _slices(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    for start in range(0, len(items), _SOME):
        yield items[start : start + _SOME]


def _utc(at: datetime | None) -> str:
    """As the ledger writes times; a time without zone is UTC."""
    if at is None:
        return ""
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
