"""Lists about CVEs, kept current: fetched when due, stored where they differ, and what they change judged again.

Each list has its own pace and its own trouble: one that cannot be had is said once, its last edition stays in force and
its age is shown. NVD is asked for single CVEs within a budget a day.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from bot.domain.errors import BadInput, GatehouseError, RetryLater
from bot.domain.ids import Clock, IdSource
from bot.domain.views import FeedView
from bot.intake.retriage import Retriaged, retriage
from bot.intake.triage import rules_of
from bot.ports import CveRecord, CveRecords, Edition, ThreatList
from bot.settings import Settings
from bot.store import intel, ledger, outbox
from bot.store.database import Database
from bot.store.upsert import chunks

log = logging.getLogger(__name__)
TITLES = {"kev": "CISA KEV", "epss": "FIRST EPSS", "nvd": "NVD", "aws": "AWS context"}
RETRY = timedelta(minutes=30)  # after a failure
NVD_AT_ONCE = 25
SCORES_AT_ONCE = 10_000
NVD_AGAIN = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Updated:
    """What one look at a list did. ``said`` in words; ``ok`` false where it could not be had."""

    name: str
    ok: bool
    said: str
    written: int = 0
    retriaged: int = 0
    raised: int = 0


class Enrichment:
    def __init__(
        self,
        db: Database,
        settings: Settings,
        clock: Clock,
        ids: IdSource,
        lists: Sequence[ThreatList] = (),
        records: CveRecords | None = None,
    ) -> None:
        self._db, self._settings, self._clock, self._ids = db, settings, clock, ids
        self._lists, self._records = {each.name: each for each in lists}, records
        self._rules = rules_of(settings)

    @property
    def names(self) -> tuple[str, ...]:
        """The lists that can be fetched."""
        return tuple(self._lists)

    async def close(self) -> None:
        for each in self._lists.values():
            await each.close()
        if self._records is not None:
            await self._records.close()

    async def tick(self) -> int:
        """Fetch what is due. Returns how many lists were looked at; never raises for a list that cannot be had."""
        now = self._clock.now()
        known = await self._db.read(intel.feeds)
        done = [await self.update(name) for name in self._lists if self._is_due(name, known.get(name), now)]
        if self._records is not None and (asked := await self.look_up()) is not None:
            done.append(asked)
        for each in done:
            (log.info if each.ok else log.warning)("enrichment %s: %s", each.name, each.said)
        return len(done)

    def _is_due(self, name: str, row: Any, now: datetime) -> bool:
        if row is None or row.tried_at is None:
            return True
        if row.failing_since is not None:
            return bool(now - row.tried_at >= RETRY)
        hours = {"kev": self._settings.enrichment.kev_hours, "epss": self._settings.enrichment.epss_hours}[name]
        return row.checked_at is None or now - row.checked_at >= timedelta(hours=hours)

    async def update(self, name: str, source: ThreatList | None = None) -> Updated:
        """Look at one list now; ``source`` in place of the configured one (a file)."""
        there = source or self._lists.get(name)
        if there is None:
            raise BadInput(f"there is no list {name!r} to fetch", mend="Set enrichment.enabled, or give a file.")
        known = (await self._db.read(intel.feeds)).get(name)
        try:
            edition = await there.edition(known.etag if known is not None and source is None else "")
        except GatehouseError as error:
            await self._db.write(self._failed, name, error.reason)
            return Updated(name, False, error.reason)
        ahead = 0
        if name == "epss" and edition is not None and not self._is_older(edition, known, source is not None):
            edition, ahead = await self._store_others(edition)
        return await self._db.write(self._store, name, edition, source is not None, ahead)

    @staticmethod
    def _is_older(edition: Edition, known: Any, by_hand: bool) -> bool:
        have = known.as_of if known is not None else None
        return have is not None and edition.as_of < have and not by_hand

    async def _store_others(self, edition: Edition) -> tuple[Edition, int]:
        """Scores of CVEs that none of our findings names, in small transactions: nothing waits for 300,000 rows.
        The edition of the others, and how many were written."""
        ours = frozenset(await self._db.read(intel.our_cves))
        rest = await self._db.read(_other_scores, edition, ours)
        for some in chunks(rest, SCORES_AT_ONCE):
            await self._db.write(intel.store_scores, some)
        return replace(edition, rows=[row for row in edition.rows if row["cve"] in ours]), len(rest)

    def _failed(self, conn: Connection, name: str, why: str) -> None:
        now = self._clock.now()
        if intel.failed(conn, name, why, now):
            ledger.append(conn, kind="intel.failed", subject=name, actor="gatehouse", now=now, body={"why": why[:2000]})
            for address in self._settings.routing.fallback:
                outbox.tell(conn, self._ids, now, address, f"{TITLES[name]} cannot be had: {why[:300]} "
                            "Its last edition stays in force.", dedupe=f"intel:{name}:{now:%Y-%m-%d}")  # fmt: skip

    def _store(self, conn: Connection, name: str, edition: Edition | None, by_hand: bool, ahead: int) -> Updated:
        now = self._clock.now()
        if edition is None:
            intel.unchanged(conn, name, now)
            return Updated(name, True, "not modified since the last look")
        known = intel.feeds(conn).get(name)
        if self._is_older(edition, known, by_hand):
            intel.unchanged(conn, name, now)
            return Updated(name, True, f"the edition of {edition.as_of:%Y-%m-%d} is older than ours, left alone")
        ours = intel.our_cves(conn)
        before = intel.states(conn, ours)
        written = ahead + intel.store_edition(conn, name, edition, now)
        again = self._judge_again(conn, ours, before, name, f"{name} {edition.version}", now)
        if written:
            ledger.append(
                conn, kind="intel.updated", subject=name, actor="gatehouse", now=now,
                body={"version": edition.version, "as_of": edition.as_of, "written": written, "etag": edition.etag,
                      "retriaged": again.changed},
            )  # fmt: skip
        said = (f"edition {edition.version} of {edition.as_of:%Y-%m-%d}: {written} entries written, {again.changed} "
                f"findings judged anew, {len(again.raised)} causes more urgent")  # fmt: skip
        return Updated(name, True, said, written, again.changed, len(again.raised))

    def _judge_again(
        self,
        conn: Connection,
        ours: Sequence[str],
        before: Mapping[str, intel.State],
        name: str,
        why: str,
        now: datetime,
    ) -> Retriaged:
        after = intel.states(conn, ours)
        changed = [cve for cve in ours if before.get(cve) != after.get(cve)]
        news = {cve: _news(cve, before.get(cve), after.get(cve)) for cve in changed}
        touched = intel.of_cves(conn, changed)
        return retriage(conn, self._settings, self._rules, self._ids, now, touched, news=news, why=why)

    # --- single CVEs -------------------------------------------------------------------------------------------------

    async def look_up(self, most: int = NVD_AT_ONCE) -> Updated | None:
        """Ask NVD for CVEs of open findings without a score, within the day's budget. None: there was none to ask."""
        if self._records is None:
            return None
        cves = await self._db.write(self._grant, most)
        if not cves:
            return None
        found: dict[str, CveRecord | None] = {}
        why = ""
        for cve in cves:
            try:
                found[cve] = await self._records.record(cve)
            except RetryLater as error:
                why = error.reason
                break
            except GatehouseError as error:
                why = error.reason
                found[cve] = None  # asked again after a month
        return await self._db.write(self._keep, found, why)

    def _grant(self, conn: Connection, most: int) -> list[str]:
        now = self._clock.now()
        cves = intel.unrated(conn, most, now - NVD_AGAIN)
        if not cves:
            return []
        budget = self._settings.enrichment.nvd_per_day
        return cves[: intel.spend(conn, "nvd", now, f"{now:%Y-%m-%d}", budget, len(cves))]

    def _keep(self, conn: Connection, found: Mapping[str, CveRecord | None], why: str) -> Updated:
        now = self._clock.now()
        before = intel.states(conn, list(found))
        if found:
            intel.store_records(conn, found, now)
        if why:
            intel.failed(conn, "nvd", why, now)
        again = self._judge_again(conn, list(found), before, "nvd", "nvd", now)
        said = f"{len(found)} CVEs looked up, {again.changed} findings judged anew{'; then: ' + why if why else ''}"
        return Updated("nvd", not why, said, len(found), again.changed, len(again.raised))

    # --- where they stand --------------------------------------------------------------------------------------------

    async def status(self) -> tuple[FeedView, ...]:
        now = self._clock.now()
        known = await self._db.read(intel.feeds)
        return tuple(feed_view(name, known.get(name), self._settings, now) for name in ("kev", "epss", "nvd", "aws"))


def _other_scores(conn: Connection, edition: Edition, ours: frozenset[str]) -> list[Mapping[str, Any]]:
    old = intel.scores(conn)
    return [row for row in edition.rows if row["cve"] not in ours and old.get(row["cve"]) != row["content"]]


def _news(cve: str, was: intel.State | None, now: intel.State | None) -> str:
    """What is new of a CVE, in words."""
    if now is None:
        return f"{cve} is no longer known"
    if now[1] and (was is None or was[1] != now[1]):
        return f"{cve} added to KEV on {now[1]}"
    if was is not None and was[1] and not now[1]:
        return f"{cve} was taken off KEV"
    if now[2] is not None and (was is None or was[2] != now[2]):
        return f"EPSS of {cve} is now {now[2] / 100:.2f}"
    if now[3] is not None and (was is None or was[3] != now[3]):
        return f"NVD rates {cve} {now[3]:g}"
    return f"{cve} was looked up"


def feed_view(name: str, row: Any, settings: Settings, now: datetime) -> FeedView:
    """How fresh a list is, in words."""
    chosen = settings.enrichment
    if row is None or row.as_of is None:
        why = f"never fetched: {row.error}" if row is not None and row.error else "never fetched"
        off = "" if chosen.enabled or name == "aws" else " (enrichment.enabled is off)"
        return FeedView(name=name, title=TITLES[name], ok=False, stale=True, said=f"{why}{off}")
    age = now - row.as_of
    limit = {"kev": chosen.kev_stale_days, "epss": chosen.epss_stale_days}.get(name)
    stale = limit is not None and age > timedelta(days=limit)
    parts = [f"edition {row.version} of {row.as_of:%Y-%m-%d}" if row.version else f"last asked {row.as_of:%Y-%m-%d}",
             f"{row.entries} entries"]  # fmt: skip
    if stale:
        parts.append(f"stale: {age.days} days old, more than {limit}")
    if row.failing_since is not None:
        parts.append(f"cannot be had since {row.failing_since:%Y-%m-%d %H:%M} UTC: {row.error}")
    if name == "nvd":
        left = chosen.nvd_per_day - (row.spent if row.spent_day == f"{now:%Y-%m-%d}" else 0)
        parts.append(f"{max(0, left)} of {chosen.nvd_per_day} calls left today")
    return FeedView(
        name=name, title=TITLES[name], ok=not stale and row.failing_since is None, stale=stale, said=", ".join(parts),
        as_of=row.as_of, checked_at=row.checked_at, entries=row.entries,
    )  # fmt: skip
