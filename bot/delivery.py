"""Drains the outbox: one message at a time and in order in each channel, channels side by side.

Rules
- What a card says is read at the moment of sending, so a wish that waited never sends old news.
- The post's row is written before the call and its message id after it: a crash between the two is seen, and the
  platform is asked (``MessageFinder``) before anything is sent again. Where it cannot be asked, nothing is repeated.
- A later message never passes an earlier one of its channel that is being sent or waits for Retry-After.
- A card that somebody deleted is posted anew once; who deletes it again does not want it there.
- What cannot be delivered is kept with its error and told to the operators' channel once a day and channel.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, func, insert, or_, select, tuple_, update

from bot.domain.errors import GatehouseError, Gone, MessageGone, NotFound, OutcomeUnknown, Refused, RetryLater
from bot.domain.ids import Clock, IdSource
from bot.ports import ChatPoster, Message, MessageFinder
from bot.reports.board import Board
from bot.store.outbox import OUTBOX, POSTS, tell

log = logging.getLogger(__name__)

BACKOFF_BASE = 1.0
BACKOFF_CAP = 300.0
MAX_ATTEMPTS = 50  # at the cap that is four hours of a platform that does not answer
DOUBT = "outcome unknown: "  # begins the error of a row that may have been posted already
TROUBLE = "undeliverable:"  # begins the dedupe of what we tell operators; such a row never causes another
PROGRAM_ERRORS = 5  # attempts of a row that makes our own code fail
# ``posts.shown_revision`` of a row without message id: on its way (it may exist), or surely not there.
ON_ITS_WAY, NOT_THERE = -1, -2


@dataclass(frozen=True, slots=True)
class Claimed:
    id: str
    seq: int
    platform: str
    channel: str
    kind: str
    subject: str
    payload: dict[str, Any]
    dedupe: str
    attempts: int  # this one included; with the id it fences the lease
    doubtful: bool  # an earlier attempt may have posted it

    @property
    def address(self) -> str:
        return f"{self.platform}:{self.channel}"


@dataclass(frozen=True, slots=True)
class Slot:
    """The row of a post: ours before the message exists."""

    id: str
    message_id: str
    shown_revision: int
    old: bool  # it was there before this attempt
    anew: int = 0  # how often it was posted after somebody deleted it


class _Undeliverable(Exception):
    def __init__(self, why: str, state: str = "dead") -> None:
        super().__init__(why)
        self.why, self.state = why, state


class Deliverer:
    def __init__(
        self,
        db: Any,
        board: Board,
        posters: Mapping[str, ChatPoster],
        clock: Clock,
        worker: str,
        ids: IdSource,
        lease_seconds: float = 30,
        *,
        pace_seconds: float = 1.0,
        rng: random.Random | None = None,
        fallback: Iterable[str] | None = None,
    ) -> None:
        self._db, self._board, self._posters, self._clock, self._ids = db, board, posters, clock, ids
        self._worker = worker
        self._lease = timedelta(seconds=lease_seconds)
        # The call must end before the lease does, else two workers could send the same message.
        self._call_seconds = lease_seconds * 0.8
        self._pace = timedelta(seconds=pace_seconds)
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._fallback = tuple(board.settings.routing.fallback if fallback is None else fallback)
        self._not_before: dict[tuple[str, str], datetime] = {}  # pace of this process's own posts

    # --- loop --------------------------------------------------------------------------------------------------------

    async def work_once(self) -> int:
        """Take what is due, one message a channel, and deliver it. How many were taken."""
        claimed = await self._claim()
        await asyncio.gather(*(self._deliver(one) for one in claimed))
        return len(claimed)

    async def run(self, stop: asyncio.Event, idle: float = 0.5) -> None:
        """Until ``stop``: a slow channel holds up nobody else. What is being sent is finished before returning."""
        sending: set[asyncio.Task[None]] = set()
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                try:
                    claimed = await self._claim()
                except Exception:
                    log.exception("the outbox could not be read; trying again")
                    claimed = []
                sending |= {asyncio.create_task(self._deliver(one)) for one in claimed}
                done, _ = await asyncio.wait({stopping, *sending}, timeout=idle, return_when=asyncio.FIRST_COMPLETED)
                for task in done & sending:
                    if error := task.exception():
                        log.error("a delivery ended badly; its lease will run out", exc_info=error)
                sending = {task for task in sending if not task.done()}
        finally:
            stopping.cancel()
            if sending:
                await asyncio.wait(sending, timeout=self._call_seconds)
            if all(task.done() for task in sending):
                await self._release()

    async def _release(self) -> None:
        """An orderly stop: what this worker still holds (its calls are over) is free for the others at once. Such a
        message stays in doubt: whoever takes it looks for it before sending."""
        o, now = OUTBOX.c, self._clock.now()
        mine = and_(o.state == "sending", o.leased_by == self._worker, o.leased_until > now)
        try:
            await self._db.write(
                lambda conn: conn.execute(update(OUTBOX).where(mine).values(leased_until=now)) and None
            )
        except Exception:
            log.exception("leases of the outbox could not be given back; they run out")

    async def requeue(self, outbox_id: str) -> bool:
        """Put a dead or unknown message back into its channel's queue. False when there is no such message."""
        return bool(await self._db.write(self._requeue, outbox_id, self._clock.now()))

    # --- claim -------------------------------------------------------------------------------------------------------

    async def _claim(self) -> list[Claimed]:
        now = self._clock.now()
        self._not_before = {key: at for key, at in self._not_before.items() if at > now}
        paced = set(self._not_before)
        if not await self._db.read(self._heads, now, paced):
            return []  # a write transaction only when there is something to take
        claimed: list[Claimed] = await self._db.write(self._take, now, paced)
        return claimed

    def _heads(self, conn: Connection, now: datetime, paced: set[tuple[str, str]]) -> list[Any]:
        """The first unsent row of each channel, where it is due."""
        o = OUTBOX.c
        waiting = and_(o.state.in_(["queued", "sending"]), o.platform.in_(list(self._posters)))
        first = select(o.platform, o.channel, func.min(o.seq)).where(waiting).group_by(o.platform, o.channel)
        rows = conn.execute(
            select(OUTBOX).where(waiting, tuple_(o.platform, o.channel, o.seq).in_(first)).order_by(o.seq, o.id)
        )
        heads: dict[tuple[str, str], Any] = {}
        for row in rows:
            heads.setdefault((row.platform, row.channel), row)
        return [row for key, row in heads.items() if key not in paced and _due(row, now)]

    def _take(self, conn: Connection, now: datetime, paced: set[tuple[str, str]]) -> list[Claimed]:
        taken = []
        for row in self._heads(conn, now, paced):
            o = OUTBOX.c
            free = or_(
                o.state == "queued", and_(o.state == "sending", or_(o.leased_until.is_(None), o.leased_until <= now))
            )
            result = conn.execute(
                update(OUTBOX)
                .where(o.id == row.id, o.attempts == row.attempts, free)
                .values(
                    state="sending", attempts=row.attempts + 1, leased_by=self._worker, leased_until=now + self._lease
                )
            )
            if result.rowcount != 1:
                continue  # another worker was faster
            doubtful = row.state == "sending" or row.error.startswith(DOUBT)
            taken.append(
                Claimed(row.id, row.seq, row.platform, row.channel, row.kind, row.subject, json.loads(row.payload),
                        row.dedupe, row.attempts + 1, doubtful)
            )  # fmt: skip
        return taken

    # --- one message -------------------------------------------------------------------------------------------------

    async def _deliver(self, one: Claimed) -> None:
        poster = self._posters[one.platform]
        try:
            await self._send(one, poster)
        except RetryLater as error:
            await self._again(one, error.reason, after=error.after)
        except OutcomeUnknown as error:
            if _finder(poster) is not None:
                await self._again(one, DOUBT + error.reason)
            else:
                why = f"{DOUBT}{error.reason}; {one.platform} cannot be asked, so it is not sent again"
                await self._give_up(one, why, "unknown")
        except (Refused, Gone, NotFound) as error:
            await self._give_up(one, str(error), "dead")
        except _Undeliverable as error:
            await self._give_up(one, error.why, error.state)
        except GatehouseError as error:
            await self._again(one, str(error))  # a token to renew, a database that is busy …
        except Exception as error:
            log.exception("delivering %s %s to %s failed", one.kind, one.subject, one.address)
            await self._again(one, f"{type(error).__name__}: {error}", limit=PROGRAM_ERRORS)

    async def _send(self, one: Claimed, poster: ChatPoster) -> None:
        if one.kind == "card":
            slot: Slot = await self._db.write(self._slot, one, "cause")
            view = await self._board.cause(one.subject)
            await self._show(one, poster, slot, self._message(one, "cause", view, key=slot.id), view.revision)
        elif one.kind == "digest":
            slot = await self._db.write(self._slot, one, "digest")
            digest = await self._board.digest(one.address, self._since(one))
            if digest.total == 0 and not slot.message_id and not slot.old:
                await self._db.write(self._sent, one, None, "", -1)  # everything got its card meanwhile
                return
            await self._show(one, poster, slot, self._message(one, "digest", digest, key=slot.id), digest.revision)
        elif one.kind == "daily":
            slot = await self._db.write(self._slot, one, "daily")
            until = datetime.fromisoformat(str(one.payload["until"]))
            daily = await self._board.daily(one.address, self._since(one), until)
            if not slot.message_id:  # said once; what happens later is in tomorrow's
                await self._show(one, poster, slot, self._message(one, "daily", daily, key=slot.id), 0)
            else:
                await self._db.write(self._sent, one, slot.id, slot.message_id, 0)
        elif one.kind == "glass":
            slot = await self._db.write(self._slot, one, "glass")
            glass = await self._board.glass(one.subject)
            await self._show(one, poster, slot, self._message(one, "glass", glass, key=slot.id), glass.revision)
        elif one.kind == "thread":
            parent = await self._db.read(self._parent, one)
            if not parent:
                raise _Undeliverable(f"the card of {one.subject} was never posted here, so nothing can stand under it")
            await self._once(one, poster, self._message(one, "thread", None, key=one.id, thread=parent))
        elif one.kind == "direct":
            await self._once(one, poster, self._message(one, "direct", None, key=one.id))
        else:
            raise _Undeliverable(f"there is no message kind {one.kind!r}")

    async def _show(self, one: Claimed, poster: ChatPoster, slot: Slot, message: Message, revision: int) -> None:
        """Post, or bring the post up to date."""
        message_id = slot.message_id
        fresh = False
        if not message_id:
            # A row without message id that an earlier attempt left behind: it may have been posted.
            message_id = await self._look(
                one, poster, message, doubtful=one.doubtful or (slot.old and one.attempts == 1)
            )
            if not message_id:
                message_id = await self._post(one, poster, message)
                fresh = True
        if not fresh and slot.shown_revision != revision:
            try:
                await self._call(poster.update(message, message_id))
            except OutcomeUnknown as error:
                raise RetryLater(error.reason) from error  # an update may be repeated
            except MessageGone as error:
                if one.kind not in {"card", "glass"}:  # a list of what was new: who deleted it has read it
                    await self._record(one, slot.id, message_id, revision, posted=False)
                    return
                if slot.anew:
                    raise _Undeliverable(f"{error.reason} Somebody deleted it there twice; it stays away.") from error
                await self._db.write(self._anew, slot.id)
                message_id, fresh = await self._post(one, poster, message), True
        await self._record(one, slot.id, message_id, revision, posted=fresh)

    async def _once(self, one: Claimed, poster: ChatPoster, message: Message) -> None:
        if not await self._look(one, poster, message, doubtful=one.doubtful):
            await self._post(one, poster, message)
        await self._record(one, None, "", -1, posted=True)

    async def _record(self, one: Claimed, slot: str | None, message_id: str, revision: int, *, posted: bool) -> None:
        """Write down that it was sent. Where that fails, the next attempt has to look before it posts."""
        try:
            await self._db.write(self._sent, one, slot, message_id, revision)
        except Exception as error:
            said = f"sent, but that could not be recorded ({type(error).__name__})"
            raise (_still_in_doubt(said, None) if posted else RetryLater(said)) from error

    async def _look(self, one: Claimed, poster: ChatPoster, message: Message, *, doubtful: bool) -> str:
        """The id of the message when an earlier attempt posted it after all, else "" and it may be posted."""
        if not doubtful:
            return ""
        finder = _finder(poster)
        if finder is None:
            why = f"{DOUBT}an earlier attempt broke off and {one.platform} cannot be asked, so it is not sent again"
            raise _Undeliverable(why, "unknown")
        try:
            return await self._call(finder.find(message)) or ""
        except RetryLater as error:
            raise _still_in_doubt(error.reason, error.after) from error
        except OutcomeUnknown as error:
            raise _still_in_doubt(error.reason, None) from error
        except (Refused, Gone) as error:
            # For example a missing scope: we cannot look, so we still do not know.
            raise _Undeliverable(f"{DOUBT}{one.platform} does not let us look for it: {error}", "unknown") from error

    async def _post(self, one: Claimed, poster: ChatPoster, message: Message) -> str:
        self._not_before[one.platform, one.channel] = self._clock.now() + self._pace
        try:
            return str(await self._call(poster.post(message)))
        except GatehouseError:
            raise
        except Exception as error:
            # It broke somewhere around the call: whether the message went out nobody knows.
            log.exception("posting to %s failed in an unforeseen way", one.address)
            raise OutcomeUnknown(f"{type(error).__name__}: {error}") from error
        finally:
            self._not_before[one.platform, one.channel] = self._clock.now() + self._pace

    async def _call(self, call: Any) -> Any:
        try:
            async with asyncio.timeout(self._call_seconds):
                return await call
        except TimeoutError as error:
            raise OutcomeUnknown(f"no answer within {self._call_seconds:g} s") from error

    @staticmethod
    def _message(one: Claimed, kind: str, view: Any, *, key: str, thread: str = "") -> Message:
        line = str(one.payload.get("line", ""))
        return Message(
            kind=kind, subject=one.subject, channel=one.channel, view=view, text=line, thread=thread, key=key
        )

    def _since(self, one: Claimed) -> datetime:
        """The start of a digest's interval: in the payload, else in the subject, else the running interval."""
        for said in (str(one.payload.get("since", "")), one.subject):
            if found := re.search(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)?", said):
                at = datetime.fromisoformat(found.group().replace("Z", "+00:00"))
                return at if at.tzinfo else at.replace(tzinfo=UTC)
        seconds = self._board.settings.routing.interval_minutes * 60
        return datetime.fromtimestamp(self._clock.now().timestamp() // seconds * seconds, UTC)

    # --- rows --------------------------------------------------------------------------------------------------------

    def _slot(self, conn: Connection, one: Claimed, kind: str) -> Slot:
        p = POSTS.c
        mine = and_(p.kind == kind, p.subject == one.subject, p.platform == one.platform, p.channel == one.channel)
        row = conn.execute(select(POSTS).where(mine)).first()
        if row is not None and not row.message_id and row.shown_revision == NOT_THERE:
            conn.execute(update(POSTS).where(p.id == row.id).values(shown_revision=ON_ITS_WAY))
            return Slot(row.id, "", ON_ITS_WAY, old=False, anew=row.anew)
        if row is not None:
            return Slot(row.id, row.message_id, row.shown_revision, old=True, anew=row.anew)
        new = self._ids.new("post")
        values = {"id": new, "kind": kind, "subject": one.subject, "platform": one.platform, "channel": one.channel}
        conn.execute(insert(POSTS), values | {"message_id": "", "shown_revision": ON_ITS_WAY})
        return Slot(new, "", ON_ITS_WAY, old=False)

    @staticmethod
    def _anew(conn: Connection, post_id: str) -> None:
        """Before it is posted again, as before it is posted at all: a crash in between is seen."""
        p = POSTS.c
        again = {"message_id": "", "shown_revision": ON_ITS_WAY, "anew": p.anew + 1}
        conn.execute(update(POSTS).where(p.id == post_id).values(again))

    def _parent(self, conn: Connection, one: Claimed) -> str:
        p = POSTS.c
        card = and_(p.kind == "cause", p.subject == one.subject, p.platform == one.platform, p.channel == one.channel)
        return conn.execute(select(p.message_id).where(card)).scalar() or ""

    def _sent(self, conn: Connection, one: Claimed, post_id: str | None, message_id: str, revision: int) -> None:
        now = self._clock.now()
        if post_id is not None:
            p = POSTS.c
            # Whoever lost the lease meanwhile still tells the truth about the message it posted.
            conn.execute(
                update(POSTS)
                .where(p.id == post_id)
                .values(
                    message_id=message_id,
                    shown_revision=revision,
                    posted_at=func.coalesce(p.posted_at, now),
                    updated_at=now,
                )
            )
        self._end(conn, one, state="sent", sent_at=now, error="")

    def _end(self, conn: Connection, one: Claimed, **values: Any) -> bool:
        o = OUTBOX.c
        fence = and_(o.id == one.id, o.state == "sending", o.attempts == one.attempts)
        result = conn.execute(update(OUTBOX).where(fence).values(leased_by="", leased_until=None, **values))
        return result.rowcount == 1

    async def _again(self, one: Claimed, why: str, *, after: float | None = None, limit: int = MAX_ATTEMPTS) -> None:
        if one.attempts >= limit:
            await self._give_up(one, f"given up after {one.attempts} attempts: {why}", "dead")
            return
        await self._db.write(self._postpone, one, why, self._clock.now() + timedelta(seconds=self._delay(one, after)))

    def _delay(self, one: Claimed, after: float | None) -> float:
        """Never sooner than the platform asks; jitter on top, so that channels do not come back all at once."""
        backoff = min(BACKOFF_CAP, BACKOFF_BASE * 2 ** min(one.attempts - 1, 20))
        least = max(after or 0.0, backoff if after is None else 0.0)
        return least + self._rng.uniform(0, min(least, 30) * 0.25)

    def _postpone(self, conn: Connection, one: Claimed, why: str, until: datetime) -> None:
        # A wish for the same that came while this one was being sent: this one will tell both, in its earlier place.
        o = OUTBOX.c
        same = and_(o.dedupe == one.dedupe, o.state == "queued", o.id != one.id)
        conn.execute(
            update(OUTBOX).where(same).values(state="sent", error=f"told by {one.id}", sent_at=self._clock.now())
        )
        self._end(conn, one, state="queued", not_before=until, error=why[:2000])

    async def _give_up(self, one: Claimed, why: str, state: str) -> None:
        log.error("%s %s to %s is %s: %s", one.kind, one.subject, one.address, state, why)
        await self._db.write(self._bury, one, why[:2000], state)

    def _bury(self, conn: Connection, one: Claimed, why: str, state: str) -> None:
        if not self._end(conn, one, state=state, error=why):
            return
        if state == "dead" and DOUBT not in why:
            self._not_there(conn, one.kind, one.subject, one.platform, one.channel)
        if one.dedupe.startswith(TROUBLE):
            return
        now = self._clock.now()
        for address in self._fallback:
            if address == one.address:
                continue  # it would have to go the same broken way
            dedupe = f"{TROUBLE}{one.address}:{now:%Y-%m-%d}:{address}"
            if conn.execute(select(OUTBOX.c.id).where(OUTBOX.c.dedupe == dedupe)).first():
                continue  # once a day and channel: a broken channel must not flood the operators'
            said = "may or may not have been posted" if state == "unknown" else "could not be posted"
            line = f"A message ({one.kind}) to {one.address} {said}: {why} See gatehouse check for all of them."
            tell(conn, self._ids, now, address, line, dedupe=dedupe)

    @staticmethod
    def _not_there(conn: Connection, kind: str, subject: str, platform: str, channel: str) -> None:
        """The post of a card or digest is known not to exist: the next wish may post it without asking."""
        p = POSTS.c
        post = and_(p.kind == {"card": "cause"}.get(kind, kind), p.subject == subject, p.message_id == "")
        here = and_(p.platform == platform, p.channel == channel)
        conn.execute(update(POSTS).where(post, here).values(shown_revision=NOT_THERE))

    def _requeue(self, conn: Connection, outbox_id: str, now: datetime) -> bool:
        o = OUTBOX.c
        row = conn.execute(select(OUTBOX).where(o.id == outbox_id, o.state.in_(["dead", "unknown"]))).first()
        if row is None:
            return False
        if conn.execute(select(o.id).where(o.dedupe == row.dedupe, o.state == "queued")).first():
            conn.execute(update(OUTBOX).where(o.id == row.id).values(state="sent", error="told by a later one"))
            return True
        # A person asked for it: what may have been posted is posted again.
        self._not_there(conn, row.kind, row.subject, row.platform, row.channel)
        conn.execute(update(OUTBOX).where(o.id == row.id).values(state="queued", attempts=0, not_before=now, error=""))
        return True


def _due(row: Any, now: datetime) -> bool:
    if row.state == "queued":
        return bool(row.not_before <= now)
    return row.leased_until is None or bool(row.leased_until <= now)  # its worker died


def _finder(poster: ChatPoster) -> MessageFinder | None:
    return poster if callable(getattr(poster, "find", None)) else None  # type: ignore[return-value]


def _still_in_doubt(reason: str, after: float | None) -> RetryLater:
    return RetryLater(reason if reason.startswith(DOUBT) else DOUBT + reason, after=after)
