"""The model as a reader of questions: ``ports.QuestionReader`` over ``ports.Model``. It gives a typed query or says
that it cannot; it sees no row and no number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from bot.domain.ids import canonical
from bot.domain.posture import PostureQuery
from bot.ports import QuestionReading
from bot.settings import Settings
from bot.store.database import Database

from .asking import Asking
from .narrator import directory
from .redact import Redactor

INSTRUCTIONS = """\
You translate one question about cloud-security findings into a query of the typed language whose JSON schema is given.
You answer nothing yourself. Fill "query", or leave it null and say in "cannot" what the language cannot express:
reasons, advice, forecasts, orders, anything but counts, lists, breakdowns, trends, comparisons and statistics.
Rules of the language: "where" is a conjunction. Nothing says "open" by itself: unless the question speaks of resolved,
suppressed or all findings, add {"op": "is", "field": "open"}. Windows are half open, instants are UTC; "now" is given.
Use names only as they stand under "names", with that very spelling (of "rule" the part before the colon). If a word of
the question that matters is neither of the language nor a name given, say that you cannot. Severities are critical,
high, medium, low, informational. "previous" is the query of the question before, where this one follows up on it.
"""


class QuestionAnswer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    query: PostureQuery | None = None
    cannot: str = Field("", max_length=400, description="Why it cannot be put, where query is null")


def _instant(now: datetime) -> str:
    """In UTC; where the asker's days are others, on the asker's clock and with its distance to UTC."""
    if now.utcoffset():
        return f"{now:%A %Y-%m-%dT%H:%M%z}, days in words are those of this clock"
    return f"{now.astimezone(UTC):%A %Y-%m-%dT%H:%MZ}"


class ModelQuestions:
    def __init__(self, asking: Asking, db: Database, settings: Settings) -> None:
        self._asking, self._db, self._settings = asking, db, settings

    async def read(
        self, question: str, names: Mapping[str, Sequence[str]], now: datetime, before: PostureQuery | None = None
    ) -> QuestionReading:
        """Raises what ``Asking`` raises."""
        clean = Redactor(await self._db.read(directory, self._settings))
        data = {
            "question": clean(question, 1000),
            "now": _instant(now),
            "names": {dimension: [clean(name, 200) for name in some] for dimension, some in names.items()},
            "previous": before.model_dump(mode="json", exclude_defaults=True) if before is not None else None,
        }
        asked = await self._asking.ask(
            QuestionAnswer, purpose="question", subject="", instructions=INSTRUCTIONS, data=canonical(data).decode()
        )
        if asked.value is None:
            return QuestionReading(None, asked.why, asked.call_id)
        return QuestionReading(asked.value.query, asked.value.cannot[:400], asked.call_id)
