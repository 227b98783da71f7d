"""Reads Lacework by its API: alerts in windows of a day, compliance and vulnerabilities once a day each.

There is no "changed since". Alerts of the last day are read again at every turn; older ones are swept every few hours
for those that somebody closed. Compliance and host vulnerabilities are always read whole, so that absence proves
something: one scope an account, one for the hosts. Images are evaluated only while in use: there absence proves
nothing.

The cursor: ``done`` says until when each kind is read, ``job`` what is being read (frozen bounds, the next page's URL).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from bot.domain.errors import Gone, Refused, RetryLater
from bot.ports import Page
from bot.settings import Settings
from connectors.lacework.alerts import alert_id
from connectors.lacework.client import BudgetSpent, LaceworkApi, Rows, iso
from connectors.lacework.compliance import account_scope, identity_of_compliance, is_evaluation
from connectors.lacework.mapping import SOURCE, kind_or_none
from connectors.lacework.options import DATASETS, LaceworkOptions, words
from connectors.lacework.vulnerabilities import identity_of_vulnerability, state_of_vulnerability
from connectors.lacework.words import blind, moment, undecided
from connectors.options import parse
from connectors.text import obj, text

WINDOW = timedelta(hours=24)
WIDEST = timedelta(days=7)  # of one request
KEPT = timedelta(days=92)
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
        if isinstance(job, dict) and job.get("kind") in self._kinds():
            jobs.append(dict(job))
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
        overlap, first = timedelta(hours=self._options.overlap_hours), now - timedelta(days=self._options.backfill_days)
        end = now
        if kind == "alerts":
            last = done.get("alerts")
            start = first if last is None else max(min(last, now) - overlap, now - KEPT)
        elif kind == "sweep":
            start, end = first, max(first, now - overlap)
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
            async for rows, link, notes in self._pages(job, low, at):
                items = await self._with_details(rows, job)
                job["next"] = link
                if link is None:
                    job["at"] = iso(low)
                yield Page(items=items, cursor=_copy(state), notes=notes)
            at = low

    async def _pages(
        self, job: dict[str, Any], low: datetime, high: datetime
    ) -> AsyncIterator[tuple[list[dict[str, Any]], str | None, tuple[str, ...]]]:
        link: str | None = job.get("next") or None
        used: set[str] = set()
        restarted = False
        while True:
            notes: tuple[str, ...] = ()
            try:
                page = await self._api.alerts(low, high, link)
            except (Gone, Refused):
                if link is None or restarted:
                    raise
                # The page's address is no longer good: the same window from its beginning.
                link, restarted = None, True
                used.clear()
                continue
            link = page.next
            if link and link in used:
                link, notes = None, ("Lacework gave the same next page twice; the window was ended there",)
            if link:
                used.add(link)
            yield page.rows, link, notes
            if link is None:
                return

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
            newest, scopes = _Newest(), dict[str, bool]()
            whole = not job.get("next")
            async for page, notes in self._search(state, job, "Configs/ComplianceEvaluations", body):
                items, unsure = [], 0
                for row in page.rows:
                    added = self._context(scope=self._options.tenant, dataset=dataset)
                    if policy := policies.get(text(row.get("id"), 256)):
                        added["policy"] = policy
                    item = {**row, "_lacework": added}
                    if not is_evaluation(item):
                        items.append(item)
                        continue
                    scope = account_scope(item)
                    scopes[scope] = scopes.get(scope, True) and not blind(item.get("status"))
                    if undecided(item.get("status")):
                        unsure += 1
                    elif newest.counts(identity_of_compliance(item), item.get("reportTime"), 0):
                        items.append(item)
                if unsure:
                    notes = (*notes, f"{unsure} evaluations could not tell; they were neither opened nor resolved")
                last = page.next is None
                if last:
                    job["datasets"] = job["datasets"][1:]
                # Where something could not be assessed, absence proves nothing for that account.
                complete = tuple(s for s, sure in scopes.items() if s and sure) if last and whole else ()
                yield Page(items=items, cursor=_copy(state), notes=notes, complete_scopes=complete)

    # --- vulnerabilities ----------------------------------------------------------------------------------------------

    async def _found(self, state: dict[str, Any], job: dict[str, Any]) -> AsyncIterator[Page]:
        """Oldest window first, so that the newest evaluation has the last word whenever a run is cut."""
        hosts = job["kind"] == "hosts"
        path = "Vulnerabilities/Hosts" if hosts else "Vulnerabilities/Containers"
        at, end = moment(job["start"] if hosts else job["at"]), moment(job["end"])
        newest, any_rows, whole = _Newest(), False, not job.get("next")
        while at is not None and end is not None and at < end:
            high = end if hosts else min(end, at + WINDOW)
            body: dict[str, Any] = {"timeFilter": {"startTime": iso(at), "endTime": iso(high)}}
            if self._options.vulnerability_severities:
                wanted = words(self._options.vulnerability_severities)
                body["filters"] = [{"field": "severity", "expression": "in", "values": wanted}]
            async for page, notes in self._search(state, job, path, body):
                items = []
                for row in page.rows:
                    item = {**row, "_lacework": self._context(scope=self._options.tenant)}
                    any_rows = True
                    if kind_or_none(item) != "vulnerability" or newest.counts(
                        identity_of_vulnerability(item),
                        item.get("endTime") or item.get("startTime"),
                        int(state_of_vulnerability(item)[0]),
                    ):
                        items.append(item)
                last = page.next is None
                if last:
                    job["at"] = iso(high)
                scope = f"lacework:hosts:{self._options.tenant}"
                complete = (scope,) if hosts and last and whole and any_rows else ()
                yield Page(items=items, cursor=_copy(state), notes=notes, complete_scopes=complete)
            at = high

    async def _search(
        self, state: dict[str, Any], job: dict[str, Any], path: str, body: Mapping[str, Any]
    ) -> AsyncIterator[tuple[Rows, tuple[str, ...]]]:
        """The pages of one search. The stored cursor keeps no page: a search that was cut off begins anew, for a row
        may stand in it several times and the newest counts. Only our own budget lets it go on where it stopped."""
        link: str | None = job.get("next") or None
        job["next"] = None
        used: set[str] = set()
        while True:
            try:
                page = await self._api.search(path, body, link)
            except BudgetSpent:
                job["next"] = link
                raise
            except (Gone, Refused):
                if link is None:
                    raise
                link = None
                used.clear()
                continue
            notes: tuple[str, ...] = ()
            if page.next and page.next in used:
                page = Rows(page.rows, None, page.total)
                notes = ("Lacework gave the same next page twice; the search was ended there",)
            if page.next:
                used.add(page.next)
            yield page, notes
            link = page.next
            if link is None:
                return


class _Newest:
    """Which row of an identity counts within a job: the newest; at one time the worse. Sixteen bytes an identity."""

    def __init__(self) -> None:
        self._seen: dict[bytes, tuple[float, int]] = {}

    def counts(self, identity: str, when: Any, state: int) -> bool:
        key = blake2b(identity.encode("utf-8", "replace"), digest_size=8).digest()
        at = moment(when)
        mark = (-at.timestamp() if at else 0.0, state)
        known = self._seen.get(key)
        if known is not None and known < mark:
            return False
        self._seen[key] = mark
        return True


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
        if "datasets" in job:
            job["datasets"] = list(job["datasets"])
        copied["job"] = job
    return copied
