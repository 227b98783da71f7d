"""A scene: findings come in, cards go out, a model writes, cards are updated. Real services, a stub as the model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bot.delivery import Deliverer
from bot.domain.findings import (
    Account,
    Control,
    Finding,
    FindingClass,
    OwnerHint,
    Resource,
    Severity,
    Sighting,
    SourceStatus,
    Vulnerability,
)
from bot.domain.ids import digest
from bot.domain.principals import Platform
from bot.governance.people import People
from bot.governance.policy import Policy
from bot.intake.service import Intake
from bot.narrative.asking import Asking
from bot.narrative.narrator import Narrator
from bot.narrative.service import Narratives
from bot.ports import Message, ModelReply, ModelRequest, Page
from bot.remediation.approval import Approvals
from bot.remediation.planning import Planner
from bot.reports.board import Board
from bot.settings import Settings
from handlers.slack.poster import payload_of
from tests.unit.remediation.conftest import ACCOUNT, GROUPS, PEOPLE, START, World

GOOD = {
    "risk": "Anyone can switch the lamp.",
    "root_cause": "The lamps were made from one template that leaves them on.",
    "exploitability": "It takes no skill; whether it is reachable is not known.",
    "steps": ["Review the fix here.", "Switch [resource] off."],
    "duplicates": [],
}
Answer = Mapping[str, Any] | str | Exception


class StubModel:
    """Answers from a list (the last one again and again) or by a function; keeps what it was asked."""

    name, endpoint = "stub-1", "localhost"

    def __init__(
        self, *answers: Answer, by: Callable[[ModelRequest, int], Answer] | None = None,
        tokens: tuple[int, int] = (300, 100),
    ) -> None:  # fmt: skip
        self._answers, self._by, self._tokens = list(answers) or [GOOD], by, tokens
        self.requests: list[ModelRequest] = []

    async def complete(self, request: ModelRequest) -> ModelReply:
        self.requests.append(request)
        at = len(self.requests) - 1
        said = self._by(request, at) if self._by else self._answers[min(at, len(self._answers) - 1)]
        if isinstance(said, Exception):
            raise said
        text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
        return ModelReply(
            text, "stub-1-2026", input_tokens=self._tokens[0], output_tokens=self._tokens[1], finish="stop"
        )

    @property
    def told(self) -> str:
        """Everything that left."""
        return "\n".join(text for request in self.requests for _, text in request.messages)

    async def close(self) -> None:
        return None


class Poster:
    """Keeps what Slack would get."""

    platform = "slack"

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.updates: list[dict[str, Any]] = []

    async def post(self, message: Message) -> str:
        self.posts.append(payload_of(message))
        return f"{len(self.posts)}.0"

    async def update(self, message: Message, message_id: str) -> None:
        self.updates.append(payload_of(message))

    @property
    def all(self) -> list[dict[str, Any]]:
        return self.posts + self.updates


class Mapper:
    """The raw object is the finding."""

    source = "test"

    def sight(self, raw: Mapping[str, Any]) -> Sighting:
        return Sighting(uid=raw["uid"], content=digest(raw))

    def map(self, raw: Mapping[str, Any]) -> Finding:
        return Finding.model_validate(raw)


class Scene(World):
    """``settings_more`` are sections of the settings; the model is on unless ``model=None``."""

    def __init__(
        self, path: Path | str, *, model: StubModel | None = None, model_settings: Mapping[str, Any] | None = None,
        **settings_more: Any,
    ) -> None:  # fmt: skip
        self.model = model
        given = {"name": "stub-1"} | dict(model_settings or {}) if model is not None else dict(model_settings or {})
        self.more = {
            "routing": {"owners": {"platform": {"name": "Platform team", "channels": ["slack:C1"]}},
                        "fallback": ["slack:C0"]},
            "model": given,
        } | settings_more  # fmt: skip
        super().__init__(path, lamps=())

    def _seed(self, conn: Any) -> None:
        return None

    def govern(self, **governance: Any) -> None:
        self.settings = Settings(people=PEOPLE, groups=GROUPS, governance=governance, **self.more)  # type: ignore[arg-type]
        self.policy = Policy.load(self.settings.governance)
        self.poster = Poster()
        self.connect(self.db)

    def connect(self, db: Any) -> None:
        """The services over this database."""
        self.db, catalog, cloud = db, self.catalog, self.cloud
        args: tuple[Any, ...] = (self.clock, self.ids)
        self.people = People(db, self.settings, {Platform.SLACK: self.directory}, *args)
        self.planner = Planner(db, catalog, cloud, *args, self.settings.governance)  # type: ignore[arg-type]
        self.approvals = Approvals(db, self.planner, self.policy, self.people, *args)
        self.intake = Intake(db, self.settings, catalog, *args)  # type: ignore[arg-type]
        self.board = Board(db, self.settings, catalog, self.clock, self.policy, self.people)  # type: ignore[arg-type]
        self.deliverer = Deliverer(
            db, self.board, {"slack": self.poster}, self.clock, "w1", self.ids, pace_seconds=0
        )  # fmt: skip
        asking = Asking(db, self.model, self.settings.model, *args) if self.model is not None else None
        self.narrator = Narrator(db, self.settings, asking, catalog, *args, "w1")  # type: ignore[arg-type]
        self.narratives = Narratives(db, self.settings, self.clock)

    async def ingest(self, *findings: Finding) -> None:
        for finding in findings:
            if finding.resource.type == "lamp":
                self.cloud.lamps.setdefault(finding.resource.uid, {"on": True, "colour": "red"})
        run = await self.intake.begin("test")
        await run.page(Mapper(), Page([json.loads(f.model_dump_json()) for f in findings]))
        await run.finish(complete=True)

    async def deliver(self) -> None:
        while await self.deliverer.work_once():
            self.clock.pass_(seconds=1)

    async def narrate(self) -> None:
        while await self.narrator.work_once():
            pass

    async def live(self, *findings: Finding) -> None:
        """The whole way: in, out, written, updated."""
        await self.ingest(*findings)
        await self.deliver()
        await self.narrate()
        await self.deliver()

    async def rows(self, table: str) -> list[dict[str, Any]]:
        query = f"SELECT * FROM {table}"  # a name of ours
        return await self.db.read(lambda conn: [dict(r._mapping) for r in conn.exec_driver_sql(query)])


def lamp(named: str = "lamp-1", **more: Any) -> Finding:
    """One that the playbook can fix."""
    given: dict[str, Any] = {
        "source": "test", "uid": f"on-{named}", "title": "Lamp is on", "rule_uid": "lamp-on", "severity": Severity.HIGH,
        "desc": "A lamp is on in the hall.", "risk": "It costs money.", "remediation": "Switch it off.",
        "resource": Resource(uid=named, name=named, type="lamp", tags={"owner": "platform", "env": "prod"}),
        "account": Account(uid=ACCOUNT, name="Acme prod", provider="fake"), "last_seen": START,
        "result": SourceStatus.NEW,
    }  # fmt: skip
    return Finding(**(given | more))


SLOTS = (
    "title", "desc", "risk", "remediation", "name", "uid", "tag", "tag_key", "account", "label", "hint",
    "severity_word", "result_word", "reason", "impact", "data", "package", "version", "cve_title", "standard",
    "product", "app", "reference", "ticket", "extra", "owner_tag",
)  # fmt: skip


def attacked(text: Callable[[str], str]) -> list[Finding]:
    """Three findings whose every free text is ``text(slot)``: a fixable one, a vulnerability, a suppressed one."""
    tags = {text("tag_key"): text("tag"), "app": text("app"), "env": "prod", "owner": "platform"}
    common: dict[str, Any] = {
        "desc": text("desc"), "risk": text("risk"), "remediation": text("remediation"), "product": text("product"),
        "severity_word": text("severity_word"), "result_word": text("result_word"), "business_impact": text("impact"),
        "account": Account(uid=ACCOUNT, name=text("account"), provider="fake", labels={"note": text("label")}),
        "owner_hints": (OwnerHint(kind="created_by", value=text("hint")),), "references": (text("reference"),),
        "controls": (Control(standard=text("standard"), requirement="1"),), "tickets": (text("ticket"),),
        "extra": {"free": text("extra")},
    }  # fmt: skip
    named = {"name": text("name"), "type": "lamp"}
    return [
        lamp("l1", title=text("title"), resource=Resource(uid=text("uid"), tags=tags, **named), **common),
        lamp("l2", title=text("title"), resource=Resource(uid="lamp-2", tags=tags, **named), **common),
        lamp(
            "v1", rule_uid="cve", title=text("title"), class_uid=FindingClass.VULNERABILITY, internet_exposed=True,
            severity=Severity.CRITICAL, data_classes=(text("data"),),
            resource=Resource(uid="server-1", type="server", name=text("name"),
                              tags=tags | {"owner": text("owner_tag")}),
            vulnerabilities=(Vulnerability(uid="CVE-2021-44228", title=text("cve_title"), cvss=9.8, kev=True,
                                           package=text("package"), version=text("version")),),
            **common,
        ),
        lamp(
            "s1", rule_uid="quiet", title=text("title"), result=SourceStatus.SUPPRESSED, status_reason=text("reason"),
            resource=Resource(uid="server-2", type="server", name=text("name"), tags=tags), **common,
        ),
    ]  # fmt: skip


def texts_of(payloads: Sequence[Any]) -> list[tuple[str, str]]:
    """(type, text) of every text object, and ("text", …) of every message's own text."""
    found: list[tuple[str, str]] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("text"), str):
                found.append((str(value.get("type", "text")), value["text"]))
            for each in value.values():
                walk(each)
        elif isinstance(value, list | tuple):
            for each in value:
                walk(each)

    walk(list(payloads))
    return found
