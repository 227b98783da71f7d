"""What others say of CVEs and resources: editions, looked up by the page, compared around an update."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, union, update

from bot.domain.findings import Status
from bot.domain.ids import short_hash
from bot.domain.triage import Intel
from bot.ports import CveRecord, Edition

from . import causes
from .tables import FindingRow
from .tables_intel import EpssRow, FindingCveRow, IntelFeedRow, KevRow, NvdRow, ResourceContextRow
from .upsert import chunks, upsert

FEEDS = IntelFeedRow.__table__  # type: ignore[attr-defined]
KEV = KevRow.__table__  # type: ignore[attr-defined]
EPSS = EpssRow.__table__  # type: ignore[attr-defined]
NVD = NvdRow.__table__  # type: ignore[attr-defined]
MORE = FindingCveRow.__table__  # type: ignore[attr-defined]
CONTEXT = ResourceContextRow.__table__  # type: ignore[attr-defined]
FINDINGS = FindingRow.__table__  # type: ignore[attr-defined]
LIVE = (*causes.OPEN, Status.SUPPRESSED.value, Status.EXCEPTED.value)


def feeds(conn: Connection) -> dict[str, Row[Any]]:
    return {row.name: row for row in conn.execute(select(FEEDS))}


def read_dates(conn: Connection) -> dict[str, str]:
    """Feed -> date of the stored edition, of those that have one."""
    rows = conn.execute(select(FEEDS.c.name, FEEDS.c.as_of).where(FEEDS.c.as_of.is_not(None)))
    return {row.name: f"{row.as_of:%Y-%m-%d}" for row in rows}


def lookup(conn: Connection, cves: Collection[str], read: Mapping[str, str]) -> dict[str, Intel]:
    """CVE -> what is known of it. ``read`` as ``read_dates`` gives it; empty: nothing was ever fetched."""
    if not cves or not read:
        return {}
    found: dict[str, dict[str, Any]] = {
        cve: {"kev_read": read.get("kev", ""), "epss_read": "", "nvd_read": ""} for cve in cves
    }
    for some in chunks(cves):
        if "kev" in read:
            for row in conn.execute(select(KEV.c.cve, KEV.c.added).where(KEV.c.cve.in_(some))):
                found[row.cve]["kev"] = row.added
        if "epss" in read:
            for row in conn.execute(select(EPSS.c.cve, EPSS.c.epss).where(EPSS.c.cve.in_(some))):
                found[row.cve] |= {"epss": row.epss, "epss_read": read["epss"]}
        if "nvd" in read:
            query = select(NVD.c.cve, NVD.c.cvss, NVD.c.vector, NVD.c.fetched_at).where(
                NVD.c.cve.in_(some), NVD.c.found
            )
            for row in conn.execute(query):
                if row.cvss is not None:
                    found[row.cve] |= {"cvss": row.cvss, "vector": row.vector, "nvd_read": f"{row.fetched_at:%Y-%m-%d}"}
    return {cve: Intel(**values) for cve, values in found.items()}


def combined(cves: Iterable[str], known: Mapping[str, Intel]) -> Intel | None:
    """What counts for a finding of several CVEs: the earliest listing, the highest score."""
    found = [known[cve] for cve in cves if cve in known]
    if len(found) <= 1:
        return found[0] if found else None
    scored = max(found, key=lambda each: -1.0 if each.epss is None else each.epss)
    rated = max(found, key=lambda each: -1.0 if each.cvss is None else each.cvss)
    listed = [each.kev for each in found if each.kev]
    return Intel(
        kev=min(listed) if listed else "", kev_read=found[0].kev_read, epss=scored.epss, epss_read=scored.epss_read,
        cvss=rated.cvss, vector=rated.vector, nvd_read=rated.nvd_read,
    )  # fmt: skip


# --- what a CVE's state is, for comparing -----------------------------------------------------------------------------


def our_cves(conn: Connection) -> list[str]:
    """The CVEs of findings that are not resolved."""
    first = select(FINDINGS.c.cve).where(FINDINGS.c.cve != "", FINDINGS.c.status.in_(LIVE))
    more = select(MORE.c.cve).join(FINDINGS, FINDINGS.c.id == MORE.c.finding_id).where(FINDINGS.c.status.in_(LIVE))
    return [str(cve) for cve in conn.execute(union(first, more)).scalars() if str(cve).startswith("CVE-")]


State = tuple[bool, str, int | None, float | None, str]


def states(conn: Connection, cves: Sequence[str]) -> dict[str, State]:
    """What verdicts look at: was the list read, since when on it, EPSS in hundredths, CVSS."""
    known = lookup(conn, cves, read_dates(conn))
    return {
        cve: (bool(i.kev_read), i.kev, None if i.epss is None else int(i.epss * 100 + 1e-9), i.cvss, i.vector)
        for cve, i in known.items()
    }


def of_cves(conn: Connection, cves: Collection[str]) -> list[str]:
    """Ids of the findings that are not resolved and name one of ``cves``."""
    found: dict[str, None] = {}
    for some in chunks(cves):
        first = select(FINDINGS.c.id).where(FINDINGS.c.cve.in_(some), FINDINGS.c.cve != "", FINDINGS.c.status.in_(LIVE))
        more = (
            select(MORE.c.finding_id)
            .join(FINDINGS, FINDINGS.c.id == MORE.c.finding_id)
            .where(MORE.c.cve.in_(some), FINDINGS.c.status.in_(LIVE))
        )
        found |= dict.fromkeys(str(one) for one in conn.execute(union(first, more)).scalars())
    return list(found)


# --- writing ---------------------------------------------------------------------------------------------------------


def store_edition(conn: Connection, name: str, edition: Edition, now: datetime) -> int:
    """Write what differs; of the KEV list also remove what is no longer on it. Returns how many rows were written.

    Of scores give those of our own CVEs; the others are ``store_scores``'s."""
    if name == "kev":
        rows = [
            {**row, "content": short_hash(row["added"], row["due"], str(row["ransomware"]), row["name"], prefix="")}
            for row in edition.rows
        ]
        table = KEV
        old = {row.cve: row.content for row in conn.execute(select(KEV.c.cve, KEV.c.content))}
        gone = old.keys() - {row["cve"] for row in rows}
        for some in chunks(sorted(gone)):
            conn.execute(delete(KEV).where(KEV.c.cve.in_(some)))
    else:
        rows, table, gone = [dict(row) for row in edition.rows], EPSS, set()
        old = {}
        for some in chunks([row["cve"] for row in rows]):
            query = select(EPSS.c.cve, EPSS.c.content).where(EPSS.c.cve.in_(some))
            old |= {row.cve: row.content for row in conn.execute(query)}
    changed = [row for row in rows if old.get(row["cve"]) != row["content"]]
    for batch in chunks(changed, 5000):
        upsert(conn, table, ["cve"], batch, differs="content")
    entries = conn.execute(select(func.count()).select_from(table)).scalar_one()
    row = {"name": name, "version": edition.version, "as_of": edition.as_of, "etag": edition.etag, "entries": entries,
           "fetched_at": now, "checked_at": now, "tried_at": now, "failing_since": None, "error": ""}  # fmt: skip
    _feed(conn, row)
    return len(changed) + len(gone)


def scores(conn: Connection) -> dict[str, str]:
    """CVE -> its score as it was written; hundreds of thousands, so by the driver alone."""
    return {row[0]: row[1] for row in conn.exec_driver_sql("SELECT cve, content FROM intel_epss")}


def store_scores(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    upsert(conn, EPSS, ["cve"], rows, differs="content")


def _feed(conn: Connection, row: Mapping[str, Any]) -> None:
    name = row["name"]
    if conn.execute(select(FEEDS.c.name).where(FEEDS.c.name == name)).first() is None:
        upsert(conn, FEEDS, ["name"], [{"name": name, "version": "", "etag": "", "entries": 0, "error": "",
                                        "spent_day": "", "spent": 0}], change=[])  # fmt: skip
    conn.execute(update(FEEDS).where(FEEDS.c.name == name).values({k: v for k, v in row.items() if k != "name"}))


def unchanged(conn: Connection, name: str, now: datetime) -> None:
    _feed(conn, {"name": name, "checked_at": now, "tried_at": now, "failing_since": None, "error": ""})


def failed(conn: Connection, name: str, why: str, now: datetime) -> bool:
    """Returns whether it went bad just now."""
    known = feeds(conn).get(name)
    since = known.failing_since if known is not None else None
    _feed(conn, {"name": name, "tried_at": now, "failing_since": since or now, "error": why[:1000]})
    return since is None


def spend(conn: Connection, name: str, now: datetime, period: str, most: int, wanted: int) -> int:
    """Take up to ``wanted`` calls from the budget of ``most`` in ``period`` (its name, such as the day)."""
    known = feeds(conn).get(name)
    spent = known.spent if known is not None and known.spent_day == period else 0
    granted = max(0, min(wanted, most - spent))
    _feed(conn, {"name": name, "spent_day": period, "spent": spent + granted, "tried_at": now})
    return granted


def unrated(conn: Connection, limit: int, before: datetime) -> list[str]:
    """CVEs of open findings whose source gave no CVSS and that were not asked for since ``before``; urgent first."""
    asked = select(NVD.c.cve).where(NVD.c.fetched_at >= before)
    query = (
        select(FINDINGS.c.cve, func.min(FINDINGS.c.priority).label("most"))
        .where(FINDINGS.c.cve.like("CVE-%"), FINDINGS.c.cvss.is_(None), FINDINGS.c.status.in_(causes.OPEN),
               FINDINGS.c.cve.not_in(asked))
        .group_by(FINDINGS.c.cve)
        .order_by("most", FINDINGS.c.cve)
        .limit(limit)
    )  # fmt: skip
    return [str(row.cve) for row in conn.execute(query)]


def store_records(conn: Connection, records: Mapping[str, CveRecord | None], now: datetime) -> None:
    rows = [
        {"cve": cve, "found": record is not None, "cvss": record.cvss if record else None,
         "vector": record.vector if record else "", "modified": record.modified if record else "", "fetched_at": now}
        for cve, record in records.items()
    ]  # fmt: skip
    upsert(conn, NVD, ["cve"], rows)
    entries = conn.execute(select(func.count()).select_from(NVD)).scalar_one()
    _feed(conn, {"name": "nvd", "as_of": now, "fetched_at": now, "checked_at": now, "failing_since": None, "error": "",
                 "entries": entries})  # fmt: skip


def looked_at(conn: Connection, now: datetime) -> None:
    """AWS was asked about resources just now."""
    entries = conn.execute(select(func.count(CONTEXT.c.resource_uid.distinct()))).scalar_one()
    _feed(conn, {"name": "aws", "as_of": now, "fetched_at": now, "checked_at": now, "failing_since": None, "error": "",
                 "entries": entries})  # fmt: skip


def link(conn: Connection, pairs: Sequence[tuple[str, str]]) -> None:
    """(finding id, CVE) of the CVEs besides a finding's first."""
    rows = [{"cve": cve, "finding_id": found} for found, cve in pairs]
    upsert(conn, MORE, ["cve", "finding_id"], rows, change=[])


# --- context of resources --------------------------------------------------------------------------------------------


def context(conn: Connection, resource_uids: Collection[str]) -> dict[str, dict[str, Row[Any]]]:
    """Resource -> fact -> row."""
    found: dict[str, dict[str, Row[Any]]] = {}
    for some in chunks(resource_uids):
        for row in conn.execute(select(CONTEXT).where(CONTEXT.c.resource_uid.in_(some))):
            found.setdefault(row.resource_uid, {})[row.fact] = row
    return found
