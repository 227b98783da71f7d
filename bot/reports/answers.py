"""Questions on their surfaces: who may ask, with whose rights it is answered where, and what is kept of it.

Rules
- Guests, accounts of other organisations, bots and deactivated accounts are refused.
- What is said to a conversation is computed with rights that everybody in it has; else it is for a direct message.
- Nothing here changes anything but conversations, answers and feedback.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection

from bot.ask import phrase
from bot.ask.service import Answer, Ask, Asker
from bot.domain import posture as p
from bot.domain.answers import AnswerView, CheckView
from bot.domain.errors import BadInput, NotFound
from bot.domain.habits import PLAIN, Habits
from bot.domain.ids import Clock, IdSource, canonical
from bot.domain.principals import Actor
from bot.reports import suggest, tables
from bot.reports.about import About, Intent, Told, intent_of, named_in
from bot.reports.sight import Sight, require_member, unseen
from bot.reports.turns import KEEP, StoredTurns, rights_key
from bot.settings import Settings
from bot.store import answers, posts
from bot.store.database import Database

log = logging.getLogger(__name__)
LONGEST = 500  # characters of a question
ANSWERS_KEPT = timedelta(days=30)  # how long the Check button of an answer works
CARRIED = timedelta(hours=1)  # how long a direct conversation goes on outside of its thread
_GOES_ON = re.compile(
    r"(?:and|or|but|also|only|just|now|same|those|these|them|which of (?:them|those|these)|of (?:them|those|these)|"
    r"what about|how about|in|for|by|per|without|not|except)\b",
    re.IGNORECASE,
)
ABOUT_IT = ("Explain this", "Why this priority?", "How do I fix this?", "What would approving do?")
BEHIND = 25  # finding ids shown by Check


@dataclass(frozen=True, slots=True)
class Place:
    """``thread`` is the message the conversation hangs on. ``private``: only the asker sees the answer."""

    platform: str
    channel: str = ""
    thread: str = ""
    private: bool = True
    outside: bool = False  # people of another organisation are there
    direct: bool = False  # the whole channel is a conversation of this person and the bot
    cause_id: str = ""

    @property
    def address(self) -> str:
        return f"{self.platform}:{self.channel}"

    @property
    def key(self) -> str:
        return f"{self.address}:{self.thread}" if self.thread else self.address


@dataclass(frozen=True, slots=True)
class Audience:
    """With whose rights to answer. ``here`` is False where the place may not see it and the asker may."""

    who: Asker
    here: bool = True
    note: str = ""


class Answers:
    def __init__(
        self, db: Database, settings: Settings, ask: Ask, about: About, turns: StoredTurns, clock: Clock, ids: IdSource,
        sight: Sight,
    ) -> None:  # fmt: skip
        self._db, self._settings, self._ask, self._about = db, settings, ask, about
        self._turns, self._clock, self._ids, self._sight = turns, clock, ids, sight

    # --- who and where -----------------------------------------------------------------------------------------------

    def require(self, actor: Actor) -> None:
        """Raises ``Denied`` for whoever is no member of this company in good standing."""
        require_member(actor)

    def audience(self, actor: Actor, place: Place) -> Audience:
        """The asker's own rights where only the asker listens, or everybody may see everything; else the rights of
        the team whose channel it is."""
        person = actor.principal
        own = Asker(person.id, person.team, person.role)
        if place.outside and not place.private:
            return Audience(own, here=False, note="People of another organisation are in this channel.")
        if place.private or self._settings.ask.visibility == "company":
            rights = self._ask.rights(own)
            blind = not (rights.everything or rights.teams or rights.accounts)
            return Audience(own, note="You belong to no team, so there is nothing you may see." if blind else "")
        team = self._team_of(place.address)
        if not team or not (self._ask.rights(own).everything or person.team == team):
            return Audience(own, here=False, note="Not everybody in this channel may see the answer.")
        name = self._settings.routing.owners[team].name if team in self._settings.routing.owners else team
        return Audience(Asker(person.id, team, ""), note=f"Answered for what this channel may see: team {name}.")

    def _team_of(self, address: str) -> str:
        """The team to which a channel belongs by the owners' routing; "" where it belongs to none or to several."""
        owners = self._settings.routing.owners
        teams = {owner.team or name for name, owner in owners.items() if address in owner.channels}
        return teams.pop() if len(teams) == 1 and address not in self._settings.routing.fallback else ""

    async def subject_of(self, platform: str, channel: str, message: str) -> str:
        """The cause whose card a message is, or ""."""
        return await self._db.read(_subject_of, platform, channel, message) if message else ""

    async def looking_at(self, cause_id: str, actor: Actor, place: Place) -> tuple[str, ...]:
        """Somebody has a cause before the eyes: for a while "it" is that one in the direct conversation ``place``.
        Returns questions to offer about it. ``Denied`` for guests, ``NotFound`` for what the person may not see."""
        self.require(actor)
        who = self.audience(actor, place).who
        await self._require_sight(cause_id, who, actor, place)
        key = rights_key(self._ask.rights(who))
        until = self._clock.now() + CARRIED
        await self._db.write(_hold, place.address, key, until, cause_id)
        return ABOUT_IT

    async def sees(self, cause_id: str, actor: Actor) -> bool:
        """Whether this person may be told of a cause at all, be it only its title."""
        return await self._sight.sees(cause_id, actor)

    # --- asking ------------------------------------------------------------------------------------------------------

    async def answer(
        self, question: str, actor: Actor, place: Place, audience: Audience | None = None, habits: Habits = PLAIN
    ) -> AnswerView:
        """Answer and keep it. ``Denied`` for guests; a question about one thing needs that thing to be in sight.
        ``habits``: the days meant are those of who asks; written so it is where only the asker reads it."""
        self.require(actor)
        question = " ".join(question.split())
        if len(question) > LONGEST:
            raise BadInput(f"A question has at most {LONGEST} characters.", mend="Ask shorter, or ask twice.")
        to, words = audience or self.audience(actor, place), habits if place.private else PLAIN
        if not question:
            return self._view("", "clarify", question, "What would you like to know?", to)
        cause_id = await self._cause(question, actor, place, to.who)
        intent = intent_of(question)
        if intent and cause_id:
            return await self._about_it(intent, question, cause_id, actor, place, to, words)
        await self._carry(question, place, to.who)
        found = await self._ask.ask(question, to.who, thread=place.key, habits=habits, words=words)
        if intent and found.status != "answered":
            said = "Which one? Ask in the thread under its card, or name it by its id (c-… or f-…)."
            return await self._keep(self._view("", "clarify", question, said, to), None, place, to.who)
        return await self._keep(self._answered(question, found, to, habits=words), found, place, to.who)

    async def recomputed(self, answer_id: str, actor: Actor, offset: int = 0, habits: Habits = PLAIN) -> AnswerView:
        """A page of an answer's table, computed now with the rights of who looks."""
        self.require(actor)
        row, query = await self._stored(answer_id)
        own = self.audience(actor, Place("", private=True))
        found = await self._ask.recompute(query, own.who, words=habits)
        view = self._answered(row.question, found, own, offset, habits)
        return view.model_copy(update={"id": answer_id, "chart": None})

    async def check(self, answer_id: str, actor: Actor, habits: Habits = PLAIN) -> CheckView:
        """The same query again, now, with the rights of who presses; and the findings behind it."""
        self.require(actor)
        row, query = await self._stored(answer_id)
        own = self.audience(actor, Place("", private=True))
        now = await self._ask.recompute(query, own.who, words=habits)
        behind = await self._ask.recompute(tables.behind(query), own.who)
        comparable = row.rights == rights_key(self._ask.rights(own.who))
        same = row.result == figures(now) if comparable else None
        return CheckView(
            question=row.question,
            query_words=phrase.how_read(query, self._clock.now(), habits),
            query_json=query.model_dump_json(indent=1, exclude_defaults=True),
            ids=tuple(str(each["id"]) for each in behind.rows[:BEHIND]),
            total=behind.total,
            before_text=row.text if comparable else "",
            before_at=row.at,
            now_text=now.text,
            now_at=now.as_of,
            same=same,
            why="" if comparable else "The answer was computed with other rights than yours, so the two may differ.",
        )

    async def judge(self, answer_id: str, actor: Actor, verdict: str, comment: str | None = None) -> None:
        """Keep a person's word (up, down) on an answer."""
        self.require(actor)
        if verdict not in {"up", "down"}:
            raise BadInput("Feedback is up or down.")
        row = await self._db.read(answers.get, answer_id)
        if row is None:
            raise _gone()
        comment = comment[:1000] if comment is not None else None
        await self._db.write(answers.judge, row, actor.principal.id, verdict, self._clock.now(), comment)

    async def posted(self, answer_id: str, place: Place, message: str) -> None:
        """Which message an answer is, where the platform itself asks people what they think of a message."""
        await self._db.write(
            posts.save, self._ids, self._clock.now(), kind="answer", subject=answer_id, address=place.address,
            message_id=message, revision=0,
        )  # fmt: skip

    async def of_message(self, platform: str, channel: str, message: str) -> str:
        """The answer that a message is, or ""."""
        return await self._db.read(_subject_of, platform, channel, message, "answer") if message else ""

    async def tidy(self) -> None:
        now = self._clock.now()
        await self._db.write(answers.tidy, now, now - ANSWERS_KEPT)
        await self._db.write(posts.tidy, "answer", now - ANSWERS_KEPT)

    # --- parts -------------------------------------------------------------------------------------------------------

    async def _stored(self, answer_id: str) -> tuple[Any, p.PostureQuery]:
        row = await self._db.read(answers.get, answer_id)
        if row is None:
            raise _gone()
        try:
            return row, p.PostureQuery.model_validate_json(row.query)
        except ValidationError as error:
            raise BadInput("This answer has no query that could be run again.", mend="Ask anew.") from error

    async def _cause(self, question: str, actor: Actor, place: Place, who: Asker) -> str:
        """What "it" is: what the question names, else the card it was asked under, else what was talked about."""
        named = named_in(question)
        if named:
            rights = self._ask.rights(who)
            try:
                return await self._about.cause_of(named, None if rights.everything else rights.condition())
            except NotFound:
                if not place.private:
                    raise
            return await self._about.cause_of(await self._sight.named(named, actor))
        if place.cause_id:
            return place.cause_id
        key = rights_key(self._ask.rights(who))
        now = self._clock.now()
        _, held = await self._db.read(answers.conversation, place.key, key, now)
        if not held and place.direct:
            _, held = await self._db.read(answers.conversation, place.address, key, now)
        if held and place.private and not await self._sight.sees(held, actor):
            return ""  # what somebody else was told there, who may see more
        return held

    async def _about_it(
        self, intent: Intent, question: str, cause_id: str, actor: Actor, place: Place, to: Audience, words: Habits
    ) -> AnswerView:
        await self._require_sight(cause_id, to.who, actor, place)
        told = await self._about.tell(intent, cause_id, actor, words)
        view = self._told(question, told, to)
        return await self._keep(view, None, place, to.who)

    async def _require_sight(self, cause_id: str, who: Asker, actor: Actor, place: Place) -> None:
        """Whoever may see none of its findings is told of it as of one that does not exist. Privately it is told to
        whoever is shown it elsewhere: who decides on it, was asked or took part; a conversation has the rights of
        ``who``, whatever those of the asker."""
        if self._ask.rights(who).everything:
            return
        if place.private:
            await self._sight.require(cause_id, actor)
            return
        seen = p.PostureQuery(kind=p.Kind.COUNT, where=(p.In(field="cause", values=(cause_id,)),))
        if not (await self._ask.recompute(seen, who)).value:
            raise unseen(cause_id)

    async def _carry(self, question: str, place: Place, who: Asker) -> None:
        """In a direct conversation a new thread goes on from the last one for a while, where it plainly is half a
        question; a whole one stands alone."""
        if not place.direct or not place.thread or not _GOES_ON.match(question):
            return
        rights = self._ask.rights(who)
        if await self._turns.get(place.key, rights) is None:
            before = await self._turns.get(place.address, rights)
            if before is not None:
                await self._turns.put(place.key, rights, before)

    async def _keep(self, view: AnswerView, found: Answer | None, place: Place, who: Asker) -> AnswerView:
        """Store the answer, and what "it" is from now on."""
        made, rights, now = self._ids.new("ans"), self._ask.rights(who), self._clock.now()
        row = {
            "id": made, "thread": place.key, "principal_id": who.principal, "rights": rights_key(rights),
            "question": view.question, "status": view.status, "text": view.text, "at": view.as_of,
            "query": found.query.model_dump_json() if found and found.query else "",
            "result": figures(found) if found else "",
        }  # fmt: skip
        aside = place.address if place.direct and place.thread else ""
        await self._db.write(_store, row, view.cause_id, now, aside)
        if place.direct and place.thread and found is not None and found.status == "answered":
            turn = await self._turns.get(place.key, rights)
            if turn is not None:
                await self._turns.put(place.address, rights, turn, keep=CARRIED)
        return view.model_copy(update={"id": made})

    def _answered(
        self, question: str, found: Answer, to: Audience, offset: int = 0, habits: Habits = PLAIN
    ) -> AnswerView:
        if found.status != "answered" or found.query is None:
            return self._view("", found.status, question, found.text, to)
        view = self._view("", "answered", question, found.text, to).model_copy(
            update={
                "as_of": found.as_of,
                "how_read": found.how_read,
                "table": tables.table(found, offset, habits),
                "chart": tables.chart(found),
                "facts": tables.facts(found, habits),
                "checkable": True,
            }
        )
        if found.kind in (p.Kind.DETAIL, p.Kind.LIST) and len(found.rows) == 1 and found.rows[0].get("cause"):
            only: Mapping[str, Any] = found.rows[0]
            view = view.model_copy(update={"cause_id": only["cause"], "cause_title": str(only["title"])})
        return view

    def _told(self, question: str, told: Told, to: Audience) -> AnswerView:
        view = self._view("", "answered", question, told.text, to)
        return view.model_copy(
            update={
                "facts": told.facts,
                "points": told.points,
                "cause_id": told.cause.id,
                "cause_title": told.cause.title,
                "fixable": told.fixable,
                "model": told.model,
                "how_read": f"about “{phrase.plain(told.cause.title, 120)}”",
            }
        )

    def _view(self, answer_id: str, status: Any, question: str, text: str, to: Audience) -> AnswerView:
        helpful = status != "answered"
        return AnswerView(
            id=answer_id, status=status, question=question, text=text, as_of=self._clock.now(), note=to.note,
            nearest=suggest.nearest(question) if helpful and question else "",
            prompts=suggest.offered(question) if helpful else (),
        )  # fmt: skip


def _gone() -> NotFound:
    return NotFound(
        "This answer is no longer kept.", mend=f"Answers are kept {ANSWERS_KEPT.days} days; ask the question again."
    )


def figures(found: Answer) -> str:
    """What is compared: every figure of an answer, or which findings it lists."""
    listed = found.kind in (p.Kind.LIST, p.Kind.DETAIL)
    rows: Any = (
        [[row.get("id"), row.get("status"), row.get("severity")] for row in found.rows] if listed else found.rows
    )
    return canonical({"value": found.value, "total": found.total, "rows": rows}).decode()


def _subject_of(conn: Connection, platform: str, channel: str, message: str, kind: str = "cause") -> str:
    row = posts.by_message(conn, platform, channel, message)
    return str(row.subject) if row is not None and row.kind == kind else ""


def _hold(conn: Connection, thread: str, rights: str, until: datetime, cause_id: str) -> None:
    answers.remember(conn, thread, rights, until, cause=cause_id)


def _store(conn: Connection, row: Mapping[str, Any], cause_id: str, now: datetime, aside: str) -> None:
    answers.save(conn, **row)
    if cause_id:
        answers.remember(conn, row["thread"], row["rights"], now + KEEP, cause=cause_id)
        if aside:
            answers.remember(conn, aside, row["rights"], now + CARRIED, cause=cause_id)
