"""Reads Lacework by its API: alerts in windows of a day, compliance and vulnerabilities once a day each.

There is no "changed since". Alerts of the last day are read again at every turn; older ones are swept every few hours
for those that somebody closed. Compliance and host vulnerabilities are always read whole, so that absence proves
something: one scope an account, one for the hosts. Images are evaluated only while in use: there absence proves
nothing.

The cursor: ``done`` says until when each kind is read, ``job`` what is being read (frozen bounds, the next page's URL).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from bot.domain.errors import Gone, Refused, RetryLater
from bot.ports import Page
from bot.settings import Settings
from connectors.lacework.alerts import alert_id
from connectors.lacework.client import BudgetSpent, LaceworkApi, iso
from connectors.lacework.compliance import account_scope, identity_of_compliance, is_evaluation
from connectors.lacework.mapping import SOURCE, kind_or_none
from connectors.lacework.options import DATASETS, LaceworkOptions, words
from connectors.lacework.spool import Spool
from connectors.lacework.vulnerabilities import identity_of_vulnerability, state_of_vulnerability
from connectors.lacework.walk import Walk
from connectors.lacework.words import blind, moment, undecided
from connectors.options import parse
from connectors.text import obj, text

WINDOW = timedelta(hours=24)
WIDEST = timedelta(days=7)  # of one request
KEPT = timedelta(days=92) - timedelta(hours=2)  # a little less: their clock is not ours
WHOLE = timedelta(hours=26)  # what is evaluated once a day stands in it at least once
_SKEW = timedelta(hours=2)
_CACHED = 20_000
_GIVE_UP = 3  # failed detail calls in one run, after which it goes on without


def options_of(options: dict[str, Any]) -> LaceworkOptions:
    return parse(SOURCE, LaceworkOptions, options)


def make_poller(settings: Settings, options: dict[str, Any]) -> LaceworkPoller:
    return LaceworkPoller(LaceworkApi(options_of(options)))


class LaceworkPoller:
    source = SOURCE

    def __init__(self, api: LaceworkApi) -> None:
        self._api, self._options = api, api.options
        self._details: dict[str, dict[str, Any] | None] = {}
        self._policies: dict[str, dict[str, Any]] | None = None
        self._policies_at: datetime | None = None
        self._failures = 0

    async def close(self) -> None:
        await self._api.close()

    async def poll(self, cursor: Mapping[str, Any] | None, now: datetime) -> AsyncIterator[Page]:
        state: dict[str, Any] = {"done": dict(obj(obj(cursor).get("done")))}
        job = obj(cursor).get("job")
        self._failures = 0
        kinds = [kind for kind in self._kinds() if self._due(state, kind, now)]
        jobs: list[dict[str, Any]] = []
        if isinstance(job, dict) and job.get("kind") in self._kinds() and (job := _still_good(job, now)):
            jobs.append(job)
            kinds = [kind for kind in kinds if kind != job["kind"]]
        try:
            for one in jobs:
                async for page in self._work(state, one):
                    yield page
            for kind in kinds:
                async for page in self._work(state, self._job(state, kind, now)):
                    yield page
        except BudgetSpent as spent:
            # Not a fault of the source: what is read is stored, the rest comes at the next turns.
            minutes = round((spent.after or 0) / 60)
            said = f"{spent.reason}; the rest is read at the next turns (some requests are free in {minutes} min)"
            yield Page(items=(), cursor=_copy(state), notes=(said,))

    def _kinds(self) -> list[str]:
        kinds = ["alerts", "sweep"]
        kinds += ["compliance"] if self._options.compliance else []
        return [
            *kinds,
            *(["hosts"] if self._options.hosts else []),
            *(["containers"] if self._options.containers else []),
        ]

    def _due(self, state: Mapping[str, Any], kind: str, now: datetime) -> bool:
        last = moment(obj(state.get("done")).get(kind))
        if kind == "alerts":
            return True
        if kind == "sweep":
            return last is not None and now - last >= timedelta(hours=self._options.sweep_hours)
        hours = self._options.compliance_hours if kind == "compliance" else self._options.vulnerability_hours
        return last is None or now - last >= timedelta(hours=hours)

    def _job(self, state: Mapping[str, Any], kind: str, now: datetime) -> dict[str, Any]:
        done = {name: moment(value) for name, value in obj(state.get("done")).items()}
        overlap = timedelta(hours=self._options.overlap_hours)
        first = now - min(timedelta(days=self._options.backfill_days), KEPT)
        end = now
        if kind == "alerts":
            last = done.get("alerts")
            start = first if last is None else max(min(last, now) - overlap, now - KEPT)
        elif kind == "sweep":
            start = max(done.get("from") or first, now - KEPT)
            end = max(start, now - overlap)
        elif kind == "containers":
            last = done.get("containers")
            start = now - WIDEST if last is None else max(min(last, now) - _SKEW, now - KEPT)
        else:
            start = now - WHOLE
        at = start if kind == "containers" else end
        job: dict[str, Any] = {"kind": kind, "start": iso(start), "end": iso(end), "at": iso(at), "next": None}
        if kind == "alerts" and done.get("alerts") is None:
            job["first"] = True
        if kind == "sweep":
            job |= {"since": iso((done.get("sweep") or first) - _SKEW), "asked": iso(now)}
        if kind == "compliance":
            job["datasets"] = [DATASETS[cloud] for cloud in self._options.compliance]
        return job

    async def _work(self, state: dict[str, Any], job: dict[str, Any]) -> AsyncIterator[Page]:
        state["job"] = job
        kind = job["kind"]
        work = (
            self._alerts if kind in ("alerts", "sweep") else self._compliance if kind == "compliance" else self._found
        )
        async for page in work(state, job):
            yield page
        done = state["done"]
        done[kind] = job.get("asked") or job["end"]
        if kind == "alerts":
            done.setdefault("sweep", job["end"])
            if job.get("first"):
                done["from"] = job["start"]  # older alerts were never read: no sweep looks for them
        state.pop("job", None)
        yield Page(items=(), cursor=_copy(state))

    # --- alerts -------------------------------------------------------------------------------------------------------

    async def _alerts(self, state: dict[str, Any], job: dict[str, Any]) -> AsyncIterator[Page]:
        """Newest window first: what burns comes first when years are read."""
        start, size = moment(job["start"]), WINDOW if job["kind"] == "alerts" else WIDEST
        at = moment(job["at"])
        if start is None or at is None:
            return
        while at > start:
            low = max(start, at - size)
            walk = Walk(partial(self._api.alerts, low, at), job.get("next") or None)
            async for page in walk.pages():
                items = await self._with_details(page.rows, job)
                job["next"] = page.next
                if page.next is None:
                    job["at"] = iso(low)
                yield Page(items=items, cursor=_copy(state), notes=walk.notes if page.next is None else ())
            at = low

    async def _with_details(self, rows: Iterable[dict[str, Any]], job: Mapping[str, Any]) -> list[dict[str, Any]]:
        policies = await self._known_policies(job)
        items = []
        since = moment(job.get("since"))
        for row in rows:
            if since is not None and not _changed(row, since):
                continue
            closed = text(row.get("status"), 64).lower() == "closed"
            details = None
            # A closed alert that was never seen open is not stored: no request for it.
            if self.wants_details(row) and not (closed and job.get("first")):
                details = await self._detail(row)
            items.append(self.item(row, details, policies))
        return items

    def wants_details(self, row: Mapping[str, Any]) -> bool:
        return text(row.get("severity"), 32).lower() in self._options.details

    async def _detail(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """None: there are none, or Lacework cannot give them now. An alert is worth more than its details: some
        tenants answer 400 or 500 here, and that must not keep the alerts from being read."""
        number = alert_id(row)
        key = f"{number} {text(row.get('endTime'), 64)}"  # an alert that still grows gets new details
        if key in self._details:
            return self._details[key]
        if self._failures >= _GIVE_UP:
            return None
        if len(self._details) >= _CACHED:
            self._details.clear()
        try:
            self._details[key] = await self._api.details(number)
        except Refused:
            self._details[key] = None
        except RetryLater as error:
            if error.after is not None:  # asked to wait, or our budget is spent
                raise
            self._failures += 1
            return None
        return self._details[key]

    def item(
        self, row: Mapping[str, Any], details: Mapping[str, Any] | None, policies: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Any]:
        """One shape whichever way an alert came: the row, the entity map of its details, where it was read."""
        whole = {**row}
        if details is not None and "entityMap" in details:
            whole["entityMap"] = details["entityMap"]
        added = self._context()
        if policy := policies.get(text(row.get("policyId"), 256)):
            added["policy"] = policy
        whole["_lacework"] = added
        return whole

    def _context(self, **more: Any) -> dict[str, Any]:
        account = self._options.subaccount
        return {"host": self._options.host, **({"account": account} if account else {}), **more}

    async def _known_policies(self, job: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Read once a day. A key without the right to read them is no fault: findings come without remediation."""
        now = moment(job.get("end"))
        old = self._policies_at is None or now is None or now - self._policies_at >= timedelta(hours=24)
        if self._policies is None or old:
            try:
                self._policies = await self._api.policies()
            except (Refused, Gone):
                self._policies = {}
            self._policies_at = now
        return self._policies

    async def fetch(self, numbers: Iterable[str], now: datetime) -> tuple[list[dict[str, Any]], list[str]]:
        """Alerts by number as a poll would have them, and the numbers of those that are gone."""
        items, gone = [], []
        policies = await self._known_policies({"end": iso(now)})
        for number in dict.fromkeys(numbers):
            found = await self._api.details(number)
            if found is None:
                gone.append(number)
                continue
            row = {key: value for key, value in found.items() if key != "entityMap"}
            items.append(self.item(row, found if self.wants_details(row) else None, policies))
        return items, gone

    # --- compliance ---------------------------------------------------------------------------------------------------

    async def _compliance(self, state: dict[str, Any], job: dict[str, Any]) -> AsyncIterator[Page]:
        policies = await self._known_policies(job)
        while job["datasets"]:
            dataset = text(job["datasets"][0], 64)
            body = {"timeFilter": {"startTime": job["start"], "endTime": job["end"]}, "dataset": dataset}
            place = self._context(scope=self._options.tenant, dataset=dataset)
            scopes: dict[str, bool] = {}
            unsure = [0]

            def take(
                row: dict[str, Any], spool: Spool, place: Any = place, scopes: Any = scopes, unsure: Any = unsure
            ) -> None:
                item = {**row, "_lacework": place}
                if not is_evaluation(item):
                    spool.add(row)
                    return
                scope = account_scope(item)
                scopes[scope] = scopes.get(scope, True) and not blind(row.get("status"))
                if undecided(row.get("status")):
                    unsure[0] += 1
                else:
                    spool.add(row, identity_of_compliance(item), row.get("reportTime"))

            def dress(row: dict[str, Any], place: Any = place) -> dict[str, Any]:
                policy = policies.get(text(row.get("id"), 256))
                return {**row, "_lacework": {**place, "policy": policy} if policy else place}

            async for page in self._read_whole(state, job, "Configs/ComplianceEvaluations", body, take, dress):
                if page is not None:
                    yield page
                    continue
                job["datasets"] = job["datasets"][1:]
                said = f"{unsure[0]} evaluations could not tell; they were neither opened nor resolved"
                # Where something could not be assessed, absence proves nothing for that account.
                complete = tuple(s for s, sure in scopes.items() if s and sure) if job.pop("whole", False) else ()
                yield Page(items=(), cursor=_copy(state), notes=(said,) if unsure[0] else (), complete_scopes=complete)

    # --- vulnerabilities ----------------------------------------------------------------------------------------------

    async def _found(self, state: dict[str, Any], job: dict[str, Any]) -> AsyncIterator[Page]:
        """Oldest window first, so that the newest evaluation has the last word whenever a run is cut."""
        hosts = job["kind"] == "hosts"
        path = "Vulnerabilities/Hosts" if hosts else "Vulnerabilities/Containers"
        at, end = moment(job["start"] if hosts else job["at"]), moment(job["end"])
        place = self._context(scope=self._options.tenant)
        rows = [0]

        def take(row: dict[str, Any], spool: Spool) -> None:
            rows[0] += 1
            if kind_or_none(row) != "vulnerability":
                spool.add(row)
                return
            seen = row.get("endTime") or row.get("startTime")
            spool.add(row, identity_of_vulnerability(row), seen, int(state_of_vulnerability(row)[0]))

        def dress(row: dict[str, Any]) -> dict[str, Any]:
            return {**row, "_lacework": place}

        while at is not None and end is not None and at < end:
            high = end if hosts else min(end, at + WINDOW)
            body: dict[str, Any] = {"timeFilter": {"startTime": iso(at), "endTime": iso(high)}}
            if self._options.vulnerability_severities:
                wanted = words(self._options.vulnerability_severities)
                body["filters"] = [{"field": "severity", "expression": "in", "values": wanted}]
            async for page in self._read_whole(state, job, path, body, take, dress):
                if page is not None:
                    yield page
                    continue
                job["at"] = iso(high)
                whole = job.pop("whole", False) and hosts and rows[0] > 0
                complete = (f"lacework:hosts:{self._options.tenant}",) if whole else ()
                yield Page(items=(), cursor=_copy(state), complete_scopes=complete)
            at = high

    async def _read_whole(
        self,
        state: dict[str, Any],
        job: dict[str, Any],
        path: str,
        body: Mapping[str, Any],
        take: Callable[[dict[str, Any], Spool], None],
        dress: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> AsyncIterator[Page | None]:
        """All pages of a search into a file, then what counts of them. None at the end: the search was read.

        Rows come in no order and one may stand in a search several times; the older one stored first would open again
        what the newer one says is fixed. Nothing is lost by storing late: a search that is cut off begins anew.
        """
        begin, spent = job.get("next") or None, None
        walk = Walk(partial(self._api.search, path, body), begin)
        with Spool() as spool:
            job["next"] = None
            try:
                async for page in walk.pages():
                    for row in page.rows:
                        take(row, spool)
            except BudgetSpent as error:
                spent = error
            # Until all is stored, a cut begins where this began; only our own budget lets it go on where it stopped.
            job["next"] = begin
            for rows in spool.batches():
                yield Page(items=[dress(row) for row in rows], cursor=_copy(state))
            job["next"] = walk.link if spent is not None else None
        if walk.notes:
            yield Page(items=(), notes=walk.notes)
        if spent is not None:
            raise spent
        job["whole"] = begin is None and walk.complete
        yield None


def _still_good(job: Mapping[str, Any], now: datetime) -> dict[str, Any] | None:
    """A job that was left lying for long: what Lacework no longer keeps is not asked for, a reading of the whole that
    is a day old is begun anew (None)."""
    start, at, end = moment(job.get("start")), moment(job.get("at")), moment(job.get("end"))
    if start is None or at is None or end is None:
        return None
    if job["kind"] in ("compliance", "hosts"):
        return dict(job) if now - end < WINDOW else None
    oldest = now - KEPT
    if start >= oldest:
        return dict(job)
    return {**job, "start": iso(oldest), "at": iso(max(at, oldest)), "next": None}


def _changed(row: Mapping[str, Any], since: datetime) -> bool:
    """Touched since, still growing, or closed by Lacework itself, which sets no time."""
    touched = moment(row.get("lastUserUpdatedTime")) or moment(row.get("lastUserUpdateTime"))
    if touched is not None:
        return touched >= since
    return row.get("evolvingAlert") is True or text(row.get("status"), 64).lower() == "closed"


def _copy(state: Mapping[str, Any]) -> dict[str, Any]:
    """The cursor as it stands now; later steps must not change what is being stored."""
    copied: dict[str, Any] = {"done": dict(state["done"])}
    if "job" in state:
        job = dict(state["job"])
        job.pop("whole", None)
        if "datasets" in job:
            job["datasets"] = list(job["datasets"])
        copied["job"] = job
    return copied
