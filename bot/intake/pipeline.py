"""One page into the store, inside one transaction: hash look-up, map, triage, route only what changed, bulk upserts.

Life cycle
- first sighting: open, or suppressed when the source says so; one that is already resolved is ignored.
- the source says resolved, archived or deleted: resolved. It says suppressed: suppressed.
- what was resolved and is reported as open: reopened, with its history. What our own verified fix resolved comes back
  only when the source looked later than we fixed.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import blake2b
from typing import Any

import orjson
from pydantic import ValidationError
from sqlalchemy import Connection, Row

from bot.domain.errors import BadInput
from bot.domain.findings import Control, Environment, Finding, Sighting, SourceStatus, Status, finding_id
from bot.domain.ids import IdSource, short_hash
from bot.intake import announce
from bot.intake.causes import cause_id, cause_key, image_of, one_change, spans_accounts, template_of
from bot.intake.cleaning import LIMIT, clean, clean_all, plain, raw_bytes
from bot.intake.identity import check_of, issue_of
from bot.intake.matching import Asked, Facts, environment_of
from bot.intake.noise import Silencer
from bot.intake.ownership import Registers
from bot.intake.retriage import Known, cves_of, effective
from bot.intake.routing import Route, Router
from bot.intake.triage import rules_of
from bot.ports import FindingMapper, Page, PlaybookCatalog
from bot.settings import Settings
from bot.store import causes, findings, intel, issues, ledger, moves, overrides, silences, sources
from bot.store.overrides import Override
from bot.store.upsert import chunks
from bot.triage.rules import Rules

log = logging.getLogger(__name__)

CLOSED = frozenset({SourceStatus.RESOLVED, SourceStatus.ARCHIVED, SourceStatus.DELETED})
_TO_JSON = Finding.__pydantic_serializer__.to_json  # bytes at once, model_dump_json goes over a string
MEMO = 20_000  # entries
_UID = 600  # indexed text has to fit an index row of PostgreSQL
_WORD = 200
# uid, source, title, rule, reason, content, scope, resource uid, name, type, region, provider, account uid, name
_LIMITS = (_UID, _WORD, LIMIT, _WORD, LIMIT, _WORD, _UID, _UID, LIMIT, _WORD, _WORD, _WORD, _WORD, LIMIT)


@dataclass(slots=True)
class Tally:
    """What happened to the findings of a page or run."""

    received: int = 0
    created: int = 0
    changed: int = 0
    unchanged: int = 0
    resolved: int = 0
    reopened: int = 0
    suppressed: int = 0
    ignored: int = 0
    rejected: int = 0
    cards: int = 0
    held: int = 0
    voiceless: int = 0

    def add(self, other: Tally) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class Stored:
    """What a committed page tells the run."""

    tally: Tally = field(default_factory=Tally)
    seen: array[int] = field(default_factory=lambda: array("q"))
    unknown: int = 0  # rejects of which nobody can say which finding they were
    newest: datetime | None = None


@dataclass(slots=True)
class Memo:
    """What a run has worked out already. Bounded: an estate of any size is polled in the same memory."""

    places: dict[Any, tuple[Environment, str, Route]] = field(default_factory=dict)
    causes: dict[tuple[str, ...], causes.Seed] = field(default_factory=dict)
    playbooks: dict[tuple[str, str, str], str] = field(default_factory=dict)
    controls: dict[tuple[Control, ...], str] = field(default_factory=dict)  # -> id of the set, which is stored

    def trim(self) -> None:
        stores: tuple[dict[Any, Any], ...] = (self.places, self.causes, self.playbooks, self.controls)
        for kept in stores:
            if len(kept) > MEMO:
                kept.clear()


@dataclass(frozen=True, slots=True)
class Context:
    """What stays the same over a run."""

    settings: Settings
    catalog: PlaybookCatalog
    ids: IdSource
    source: str
    poll_id: str
    asked: Asked
    memo: Memo = field(default_factory=Memo)
    rules: Rules | None = None  # of triage; those of the settings where none are given
    registers: Registers | None = None  # CMDB, catalog, CODEOWNERS


def store_page(conn: Connection, context: Context, mapper: FindingMapper, page: Page, now: datetime) -> Stored:
    """Store a page and its cursor. Everything or nothing: the caller's transaction commits it."""
    work = _PageWork(conn, context, mapper, now)
    position = 0
    for batch in chunks(page.items):
        work.batch(batch, position)
        position += len(batch)
    for place, why in page.rejected:
        work.reject(place, why, b"")
        work.out.unknown += 1
    work.finish()
    if page.cursor is not None:
        sources.save_cursor(conn, context.source, page.cursor)
    return work.out


class _PageWork:
    def __init__(self, conn: Connection, context: Context, mapper: FindingMapper, now: datetime) -> None:
        self.conn, self.context, self.mapper, self.now = conn, context, mapper, now
        self.out = Stored()
        self.tally = self.out.tally
        self.seeds: dict[str, causes.Seed] = {}
        self.touched: set[str] = set()
        self.written: dict[str, dict[str, Mapping[str, Any]]] = {}  # cause -> finding -> row
        self.rejects: list[tuple[str, str, bytes]] = []
        self.verdicts: list[tuple[str, str, str, int]] = []
        self.moves: dict[str, list[str]] = {"resolved": [], "reopened": [], "suppressed": []}
        self._router: Router | None = None
        self._overrides: dict[str, Override] = {}
        # An export of a whole history: what was resolved before we first looked is kept for figures over time.
        self.history = bool(getattr(mapper, "keeps_history", False))
        self.control_sets: list[dict[str, Any]] = []
        self.split_or_merged = issues.overrides(conn)
        self.regrouped = moves.load(conn)
        self.silencer = Silencer(silences.rules(conn, ("active",)), now)
        self.rules = context.rules or rules_of(context.settings)
        self.known = Known(conn, ())
        self.more_cves: list[tuple[str, str]] = []
        self.memo = context.memo
        self.memo.trim()

    # --- the hot path ------------------------------------------------------------------------------------------------

    def batch(self, items: Sequence[Mapping[str, Any]], position: int) -> None:
        tally, seen, source = self.tally, self.out.seen, self.mapper.source
        pending: dict[str, tuple[int, Mapping[str, Any], Sighting]] = {}
        for number, raw in enumerate(items, position + 1):
            try:
                sighting = self.mapper.sight(raw)
                found = finding_id(source, sighting.uid)
            except Exception as error:
                self.reject_item(number, raw, error)
                self.out.unknown += 1
                continue
            seen.append(hash(found))
            pending[found] = (number, raw, sighting)
        tally.received += len(items)
        if not pending:
            return
        stored = findings.known(self.conn, list(pending))
        work: dict[str, tuple[int, Mapping[str, Any], Sighting]] = {}
        for found, entry in pending.items():
            known = stored.get(found)
            if known is None:
                if entry[2].closed:
                    tally.ignored += 1
                else:
                    work[found] = entry
            elif known[0] != entry[2].content or known[1] == "resolved":
                work[found] = entry
            else:
                tally.unchanged += 1
        if work:
            self._store(work, stored)

    def _store(
        self, work: Mapping[str, tuple[int, Mapping[str, Any], Sighting]], stored: Mapping[str, tuple[str, str]]
    ) -> None:
        old = findings.details(self.conn, [found for found in work if found in stored])
        rows: dict[str, list[dict[str, Any]]] = {"findings": [], "observations": []}
        resources: dict[str, dict[str, Any]] = {}
        accounts: dict[str, dict[str, Any]] = {}
        self.control_sets = []
        mapped: list[tuple[str, Mapping[str, Any], Sighting, Finding, bool]] = []
        for found, (number, raw, sighting) in work.items():
            was = old.get(found)
            same = was is not None and stored[found][0] == sighting.content
            if same and was is not None and SourceStatus(was.result) in CLOSED:
                self.tally.unchanged += 1
                continue
            try:
                finding = self.mapper.map(raw)
                if finding.uid != sighting.uid or finding.source != self.mapper.source:
                    raise BadInput("the mapping gives another identity than the sighting")
            except Exception as error:
                self.reject_item(number, raw, error)
                continue
            newest = finding.modified or finding.last_seen
            if newest is not None and (self.out.newest is None or newest > self.out.newest):
                self.out.newest = newest
            if was is not None and not same and _older(finding.modified, was.source_modified):
                self.tally.unchanged += 1  # a page that was late: what we have is what the source said after it
                continue
            mapped.append((found, raw, sighting, finding, same))
        self.known = Known(self.conn, [each[3] for each in mapped])
        for found, raw, sighting, finding, same in mapped:
            was = old.get(found)
            status, reason = self._life(finding, was, same)
            if status is None:
                continue
            row, verdict = self._row(found, finding, sighting, was, status, reason)
            rows["findings"].append(row)
            self.written.setdefault(row["cause_id"], {})[found] = row
            rows["observations"].append(
                {"finding_id": found, "content": sighting.content, "at": self.now, "poll_id": self.context.poll_id,
                 "raw": raw_bytes(raw), "doc": _TO_JSON(finding, exclude_unset=True),
                 "verdict": verdict}
            )  # fmt: skip
            self._inventory(finding, row, resources, accounts)
        findings.store(
            self.conn,
            findings=rows["findings"],
            observations=rows["observations"],
            resources=list(resources.values()),
            accounts=list(accounts.values()),
            control_sets=self.control_sets,
        )
        intel.link(self.conn, self.more_cves)
        self.more_cves = []

    def _life(self, finding: Finding, was: Row[Any] | None, same: bool) -> tuple[Status | None, str]:
        """Where the finding stands now and why; None when there is nothing to store."""
        tally, word = self.tally, finding.result_word[:60] or finding.result.name.lower()
        if finding.result in CLOSED:
            if was is None:
                if not self.history or finding.resolved is None:
                    tally.ignored += 1
                    return None, ""
                tally.created += 1
                return Status.RESOLVED, f"{finding.source} says {word}"
            tally.changed += 1
            if was.status != Status.RESOLVED:
                tally.resolved += 1
                self.moves["resolved"].append(finding.id)
                return Status.RESOLVED, f"{finding.source} says {word}"
            return Status.RESOLVED, was.status_reason
        if finding.result is SourceStatus.SUPPRESSED and not self._ran_out(finding):
            if was is None:
                tally.created += 1
            else:
                tally.changed += 1
            if was is None or was.status != Status.SUPPRESSED:
                tally.suppressed += 1
                self.moves["suppressed"].append(finding.id)
            return Status.SUPPRESSED, finding.status_reason or f"{finding.source} says {word}"
        if was is None:
            tally.created += 1
            return Status.OPEN, ""
        if was.status == Status.RESOLVED:
            if was.status_reason.startswith(findings.FIXED) and not self._looked_after(finding, was.resolved_at):
                tally.unchanged += same
                tally.changed += not same
                return (None, "") if same else (Status.RESOLVED, was.status_reason)
            tally.reopened += 1
            self.moves["reopened"].append(finding.id)
            return Status.REOPENED, f"came back after it was resolved: {was.status_reason}"
        tally.changed += 1
        if was.status == Status.SUPPRESSED:
            return Status.OPEN, f"no longer suppressed in {finding.source}"
        return Status(was.status), was.status_reason

    def _ran_out(self, finding: Finding) -> bool:
        return finding.suppressed_until is not None and finding.suppressed_until <= self.now

    @staticmethod
    def _looked_after(finding: Finding, moment: datetime | None) -> bool:
        looked = max((at for at in (finding.last_seen, finding.modified) if at is not None), default=None)
        return moment is None or looked is None or looked > moment

    def _row(
        self, found: str, finding: Finding, sighting: Sighting, was: Row[Any] | None, status: Status, reason: str
    ) -> tuple[dict[str, Any], bytes]:
        now, resource, account = self.now, finding.resource, finding.account
        environment, why, route = self._placed(finding)
        issue = issue_of(finding)
        cause, owner = self._cause(finding, environment.value, route, issue.topic)
        said = self.known.of(finding)
        judgement = self.rules.judge(finding, environment, why, said)
        # What was promised stays promised: a changed description is no new deadline.
        kept = was.due if was is not None and was.priority == judgement.priority else None
        due = kept or judgement.due(finding, now)
        self.touched.add(cause)
        if was is not None and was.cause_id != cause:
            self.touched.add(was.cause_id)
        self.verdicts.append((found, sighting.content, judgement.decision.value, int(judgement.priority)))
        scope = finding.extra.get("scope", "")
        (uid, source, title, rule, why_status, content, scope, resource_uid, name, kind, region, provider, account_uid,
         account_name) = clean_all(
            (finding.uid, finding.source, finding.title, finding.rule_uid, reason, sighting.content,
             scope if isinstance(scope, str) else "", resource.uid, resource.name, resource.type, resource.region,
             account.provider, account.uid, account.name), _LIMITS)  # fmt: skip
        vulnerabilities = finding.vulnerabilities
        resolved = status is Status.RESOLVED
        row = {
            "id": found,
            "source": source,
            "uid": uid,
            "class_uid": int(finding.class_uid),
            "title": title,
            "rule_uid": rule,
            "severity": int(finding.severity),
            "result": int(finding.result),
            "status": status.value,
            "status_reason": why_status,
            "content": content,
            "scope": scope,
            "resource_id": resource_id(finding) if resource.uid else "",
            "resource_uid": resource_uid,
            "resource_name": name,
            "resource_type": kind,
            "region": region,
            "provider": provider,
            "account_uid": account_uid,
            "account_name": account_name,
            "environment": environment.value,
            "owner": owner,
            "internet_exposed": finding.internet_exposed,
            "kev": None,
            "epss": None,
            "cvss": None,
            "cve": "",
            "decision": judgement.decision.value,
            "priority": int(judgement.priority),
            "due": due,
            "cause_id": cause,
            "first_seen": was.first_seen if was is not None else finding.first_seen or now,
            "changed_at": now,
            "last_seen": finding.last_seen,
            "resolved_at": ((was and was.resolved_at) or _not_after(finding.resolved, now)) if resolved else None,
            "suppressed_at": ((was and was.suppressed_at) or _not_after(finding.modified, now))
            if status is Status.SUPPRESSED
            else None,
            "suppressed_until": finding.suppressed_until if status is Status.SUPPRESSED else None,
            "reopened": (was.reopened if was is not None else 0) + (status is Status.REOPENED and _returned(was)),
            "issue_id": self.split_or_merged.get(found, issue.id),
            "source_modified": finding.modified,
            "product": clean(finding.product, _WORD),
            "exploit": None,
            "fixable": None,
            "package": "",
            "control_set": self._controls(finding.controls) if finding.controls else "",
        }
        row["team"], row["app"], row["data_class"] = self._words(finding, owner)
        if vulnerabilities:
            row |= {
                "exploit": _any([v.exploit for v in vulnerabilities]),
                "fixable": _any([v.fix for v in vulnerabilities]),
                "package": clean(vulnerabilities[0].package, _WORD),
                "cve": clean(vulnerabilities[0].uid, _WORD),
            }
            if len(vulnerabilities) > 1:
                self.more_cves += [(found, cve) for cve in dict.fromkeys(cves_of(finding)) if cve != row["cve"]]
        if vulnerabilities or said.exposed is not None:
            row |= effective(finding, said)
        if self.silencer.active:
            facts = Facts.of(finding)
            facts.environment = environment.value
            self.silencer.consider(row, facts)
        return row, judgement.json(due)

    def _words(self, finding: Finding, owner: str) -> tuple[str, str, str]:
        """Team, app and data class as people name them: tags of the resource first, then what routing found."""
        team = app = data = ""
        for key, value in finding.resource.tags.items():
            kind = _PEOPLES_TAGS.get(key.lower().replace("_", "-"))
            if kind == "team":
                team = value
            elif kind == "app":
                app = app or value
            elif kind == "data":
                data = data or value
        team = team or owner
        data = data or (finding.data_classes[0] if finding.data_classes else "")
        return clean(team, _WORD), clean(app, _WORD), clean(data, _WORD).lower()

    def _controls(self, controls: tuple[Control, ...]) -> str:
        found = self.memo.controls.get(controls)
        if found is None:
            pairs = sorted({(clean(c.standard, _WORD), clean(c.requirement, _WORD)) for c in controls})
            found = self.memo.controls[controls] = short_hash(*(part for pair in pairs for part in pair), prefix="k-")
            self.control_sets += [{"id": found, "standard": s, "requirement": r} for s, r in pairs]
        return found

    def _placed(self, finding: Finding) -> tuple[Environment, str, Route]:
        """Environment and route by rules, looked up by just what the rules look at."""
        router = self._router
        if router is None:
            self._overrides = overrides.load(self.conn)
            router = self._router = Router(self.context.settings.routing, registers=self.context.registers)
        facts = Facts.of(finding)
        key = (self.context.asked(facts), finding.environment_hint, router.asked(facts))
        found = self.memo.places.get(key)
        if found is None:
            environment, why = environment_of(facts, finding.environment_hint, self.context.settings.environments)
            facts.environment = environment.value
            found = self.memo.places[key] = (environment, why, router.by_rules(facts))
        return found

    def _cause(self, finding: Finding, environment: str, route: Route, topic: str) -> tuple[str, str]:
        """Id of the cause and its owner as it stands: people's word over the rules'."""
        account, tags = finding.account, finding.resource.tags
        chosen = self.context.settings.causes
        image = image_of(finding)
        template = image or (template_of(tags, chosen.template_tags) if tags else "")
        # A key is cut to less than these, so what agrees here agrees there.
        rule = finding.rule_uid[:_WORD] or f"title {finding.title[:_WORD]}"
        known = (
            finding.source,
            rule,
            account.provider,
            account.uid[:_WORD],
            environment,
            route.owner,
            template[:_WORD],
            topic,
        )
        base = self.memo.causes.get(known)
        if base is None:
            playbook = self._playbook(finding, topic)
            key = cause_key(finding, playbook=playbook, environment=environment, owner=route.owner, template=template,
                            topic=topic, organisation=chosen.organisation_rules)  # fmt: skip
            wide = spans_accounts(key)
            title = f"Vulnerable packages in {one_change(key)}" if image else finding.title
            base = self.memo.causes[known] = causes.Seed(
                id=cause_id(key), key=key, title=clean(title), rule_uid="" if image else clean(finding.rule_uid, _WORD),
                source=finding.source, playbook="" if wide else playbook, provider=clean(account.provider, _WORD),
                account_uid="" if wide else clean(account.uid, _WORD),
                account_name="all accounts" if wide else clean(account.name),
                environment=environment, owner=route.owner, owner_reason=clean(route.reason), channels=route.channels,
                owner_rule=route.rule,
            )  # fmt: skip
        if self.regrouped:
            base = self.regrouped.of(finding.id, base)
        seed = self.seeds.get(base.id)
        if seed is None:
            override = self._overrides.get(base.key)
            seed = base
            if override is not None and self._router is not None:
                to = self._router.passed_on(override)
                seed = replace(base, owner=to.owner, owner_reason=clean(to.reason), channels=to.channels,
                               owner_rule=to.rule)  # fmt: skip
            self.seeds[base.id] = seed
        return base.id, seed.owner

    def _playbook(self, finding: Finding, topic: str) -> str:
        """By the source's own rule, else by the topic that all sources share."""
        source, rule = finding.source, finding.rule_uid
        known = self.memo.playbooks.get((source, rule, topic))
        if known is None:
            playbook = self.context.catalog.for_rule(source, rule)
            if playbook is None and topic and (check := check_of(source, rule, finding.title)):
                playbook = self.context.catalog.for_rule("prowler", check)
            known = self.memo.playbooks[source, rule, topic] = playbook.info.id if playbook is not None else ""
        return known

    def _inventory(
        self,
        finding: Finding,
        row: Mapping[str, Any],
        resources: dict[str, dict[str, Any]],
        accounts: dict[str, dict[str, Any]],
    ) -> None:
        resource, account = finding.resource, finding.account
        if resource.uid:
            tags = tags_text(resource.tags)
            resources[row["resource_id"]] = {
                "id": row["resource_id"], "uid": row["resource_uid"], "name": row["resource_name"],
                "type": row["resource_type"], "provider": row["provider"], "account_uid": row["account_uid"],
                "region": row["region"], "environment": row["environment"], "owner": row["owner"], "tags": tags,
                "content": _mark(row["resource_name"], row["resource_type"], row["region"], row["environment"],
                                 row["owner"], tags),
                "changed_at": self.now,
            }  # fmt: skip
        if account.uid:
            key = f"{row['provider']}:{row['account_uid']}"
            if key not in accounts:
                labels = tags_text(account.labels)
                accounts[key] = {
                    "id": key, "uid": row["account_uid"], "name": row["account_name"], "provider": row["provider"],
                    "environment": row["environment"], "labels": labels,
                    "content": _mark(row["account_name"], labels), "changed_at": self.now,
                }  # fmt: skip

    # --- what goes wrong, and the end --------------------------------------------------------------------------------

    def reject_item(self, number: int, raw: Any, error: Exception) -> None:
        if isinstance(error, BadInput):
            why = error.reason
        elif isinstance(error, ValidationError):
            first = error.errors(include_url=False, include_input=False)[0]
            why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        else:
            # A mapping never raises these on purpose: kept aside like any other, and told to the operator.
            log.warning("mapping %s item %d failed: %s", self.context.source, number, type(error).__name__)
            why = f"the mapping failed: {type(error).__name__}: {error}"
        self.reject(f"item {number}", why, raw_bytes(raw))

    def reject(self, place: str, why: str, raw: bytes) -> None:
        self.tally.rejected += 1
        self.rejects.append((clean(place), clean(why, 2000), raw[: sources.EXCERPT_BYTES]))

    def finish(self) -> None:
        conn, context, now, tally = self.conn, self.context, self.now, self.tally
        if self.rejects:
            sources.keep_rejects(conn, source=context.source, poll_id=context.poll_id, now=now, rejects=self.rejects)
        if self.touched:
            self.silencer.finish(conn, [found for rows in self.written.values() for found in rows])
            changed = causes.refresh(conn, context.ids, now, self.touched, self.seeds, self.written)
            said = announce.announce(
                conn, context.ids, now, context.settings.routing, changed, context.settings.attention
            )
            tally.cards, tally.held, tally.voiceless = said.cards, said.held, said.voiceless
        if self.verdicts or self.rejects:
            counts = {name: getattr(tally, name) for name in tally.__slots__}
            body = {"source": context.source, "counts": counts, "verdicts": self.verdicts, **self.moves}
            ledger.append(
                conn, kind="findings.page", subject=context.poll_id, actor="gatehouse", body=body, now=now
            )  # fmt: skip


_PEOPLES_TAGS = {
    "team": "team",
    "app": "app", "application": "app", "app-name": "app", "app.kubernetes.io/name": "app", "service": "app",
    "data-class": "data", "dataclass": "data", "data-classification": "data", "classification": "data",
}  # fmt: skip


def _older(told: datetime | None, known: datetime | None) -> bool:
    return told is not None and known is not None and told < known


def _not_after(moment: datetime | None, now: datetime) -> datetime:
    """When the source says it was, never in the future."""
    return min(moment, now) if moment is not None else now


def scope_text(scope: Any) -> str:
    return clean(scope, _UID) if isinstance(scope, str) else ""


def resource_id(finding: Finding) -> str:
    return short_hash(finding.account.provider, finding.account.uid, finding.resource.uid, prefix="r-")


def _mark(*parts: str) -> str:
    """Changes when any of ``parts`` does."""
    return blake2b("\x00".join(parts).encode(), digest_size=12).hexdigest()


def tags_text(tags: Mapping[str, str]) -> str:
    if not tags:
        return "{}"
    if len(tags) <= 100 and plain([*tags, *tags.values()]):
        return orjson.dumps(tags, option=orjson.OPT_SORT_KEYS).decode()
    return raw_bytes({clean(k, _WORD): clean(v) for k, v in sorted(tags.items())[:100]}).decode()


def _returned(was: Row[Any] | None) -> bool:
    return was is not None and was.status == Status.RESOLVED


def _any(values: Sequence[bool | None]) -> bool | None:
    if any(values):
        return True
    return False if any(value is False for value in values) else None
