"""What the client asks, and what the simulation answers, held to the vendor's own OpenAPI documents."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from jsonschema import Draft4Validator

from bot.domain.errors import ConnectorError
from bot.ports import SourceNote
from bot.sandbox.vendors.company import START, World
from bot.sandbox.vendors.prisma_cloud import KEY, SECRET, PrismaCloud
from connectors.http import Pace
from connectors.options import parse
from connectors.prisma_cloud.client import PrismaApi, http_of
from connectors.prisma_cloud.options import PrismaOptions
from connectors.prisma_cloud.poller import PrismaPoller, look
from connectors.prisma_cloud.webhook import PrismaWebhook
from connectors.prisma_cloud.write_back import PrismaWriteBack

pytestmark = pytest.mark.shared
SHARED = Path(__file__).resolve().parents[3] / "shared" / "samples" / "prisma_cloud"
# Where the document is narrower than the service; each with the reason. Held to the recorded answers below.
LOOSER: dict[tuple[str, str], dict[str, Any]] = {
    ("PolicyModel", "severity"): {"type": "string"},  # three words there, five in the list of filters
    ("PolicyViewModel", "severity"): {"type": "string"},
    ("CloudResourceModel", "cloudType"): {"type": "string"},  # capitals there, lower case in every recorded alert
    ("PolicyModel", "cloudType"): {"type": "string"},
    ("PolicyViewModel", "cloudType"): {"type": "string"},
    ("PolicyViewModel", "policyType"): {"type": "string"},  # an empty class there, a word in all that was recorded
    ("HistoryModel", "status"): {"type": "string"},  # capitals there, both in recorded alerts
}
TIME_RANGES = {"absolute": "AbsoluteTimeRangeConfigModel", "relative": "RelativeTimeRangeConfigModel",
               "to_now": "ToNowTimeRangeConfigModel"}  # fmt: skip


@cache
def documents() -> dict[str, dict[str, Any]]:
    if not SHARED.is_dir():
        why = "the recorded payloads (../shared/samples) are not beside the repository"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    return {file.name: json.loads(file.read_text("utf-8")) for file in sorted(SHARED.glob("openapi-*.json"))}


def operation(method: str, path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(document, operation) of a call; a path of exactly these words before one with a variable."""
    fits: list[tuple[int, dict[str, Any], dict[str, Any]]] = []
    for document in documents().values():
        for template, methods in document["paths"].items():
            pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
            if re.fullmatch(pattern, path) and method.lower() in methods:
                fits.append((template.count("{"), document, methods[method.lower()]))
    assert fits, f"no document has {method} {path}"
    _, document, found = min(fits, key=lambda one: one[0])
    return document, found


def schema(document: dict[str, Any], part: Any, name: str = "") -> Any:
    """A part of a document as JSON Schema: references opened, ``nullable`` said in JSON Schema's way, and the range of
    time, which the document describes by a discriminator that refers to itself, taken apart below."""
    if isinstance(part, list):
        return [schema(document, one) for one in part]
    if not isinstance(part, dict):
        return part
    if reference := part.get("$ref"):
        name = reference.rpartition("/")[2]
        if name == "TimeRangeConfigModel":
            return {"type": "object", "required": ["type"], "properties": {"type": {"enum": list(TIME_RANGES)}}}
        if name == "JsonNode":  # any JSON, described as the class that holds it
            return {}
        return schema(document, document["components"]["schemas"][name], name)
    made: dict[str, Any] = {}
    for key, value in part.items():
        if key == "properties":
            made[key] = {
                member: LOOSER[(name, member)] if (name, member) in LOOSER else schema(document, one)
                for member, one in value.items()
            }
        elif key not in ("example", "examples", "description", "discriminator", "readOnly", "format", "xml"):
            made[key] = schema(document, value)
    if isinstance(made.get("type"), str) and made["type"] != "object":
        made["type"] = [made["type"], "null"]  # what is not known is null, here as in the recorded answers
        if "enum" in made:
            made["enum"] = [*made["enum"], None]
    return made


def check(document: dict[str, Any], wanted: Any, value: Any, where: str, *, answers: bool = False) -> None:
    found = schema(document, wanted)
    if answers:
        strip_required(found)
    errors = [f"{'/'.join(map(str, e.path))}: {e.message[:300]}" for e in
              Draft4Validator(found).iter_errors(value)]  # fmt: skip
    assert not errors, f"{where}: {errors[:3]}"
    for said in ranges(value):
        name = TIME_RANGES[said["type"]]
        parts = document["components"]["schemas"].get(name)
        if parts is not None:
            Draft4Validator(schema(document, {"$ref": f"#/components/schemas/{name}"})).validate(said)


def ranges(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if value.get("type") in TIME_RANGES and "value" in value:
            yield value
        for one in value.values():
            yield from ranges(one)
    elif isinstance(value, list):
        for one in value:
            yield from ranges(one)


def content(part: dict[str, Any], document: dict[str, Any]) -> Any:
    """The schema of a body; None where the document has none."""
    if reference := part.get("$ref"):
        part = document["components"]["requestBodies"][reference.rpartition("/")[2]]
    bodies = part.get("content") or {}
    return next(iter(bodies.values())).get("schema") if bodies else None


class Held:
    """Every call to the simulation is held to the documents, there and back."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.wrong: list[str] = []

    @web.middleware
    async def middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        body = await request.read()
        answer: web.StreamResponse = await handler(request)
        try:
            self._call(request, body, answer)
        except AssertionError as error:
            self.wrong.append(str(error))
        return answer

    def _call(self, request: web.Request, body: bytes, answer: web.StreamResponse) -> None:
        document, known = operation(request.method, request.path)
        where = f"{request.method} {request.path}"
        self.seen.add(re.sub(r"/P-\d+", "/{id}", where))
        allowed = {one["name"]: one for one in known.get("parameters", []) if one["in"] == "query"}
        for name, value in request.query.items():
            assert name in allowed, f"{where} has no parameter {name}"
            kind = allowed[name]["schema"]
            read = {"true": True, "false": False}.get(value, value) if kind.get("type") == "boolean" else value
            check(document, kind, read, f"{where}?{name}")
        missing = [name for name, one in allowed.items() if one.get("required") and name not in request.query]
        assert not missing, f"{where} needs {missing}"
        wanted = content(known.get("requestBody") or {}, document)
        assert bool(body) <= (wanted is not None), f"{where} takes no body"
        if wanted is not None and body:
            check(document, wanted, json.loads(body), where)
        status = str(answer.status)
        answers = known["responses"]
        # Every call may meet a token that has ended; the documents say so only of the login.
        assert status in answers or f"{status[0]}XX" in answers or status == "401", f"{where} never answers {status}"
        assert isinstance(answer, web.Response)
        told = content(answers.get(status) or {}, document)
        if told is not None and answer.content_type == "application/json" and answer.body:
            assert isinstance(answer.body, bytes)
            check(document, told, json.loads(answer.body), f"{where} -> {status}", answers=True)


class Site:
    def __init__(self) -> None:
        self.held = Held()
        self.at = START + timedelta(days=1)
        self.world = World(40, seed=3, demo=False)
        self.prisma = PrismaCloud(self.world, now=lambda: self.at)
        app = self.prisma.app()
        app.middlewares.insert(0, self.held.middleware)
        self.server = TestServer(app)

    def options(self, **more: Any) -> PrismaOptions:
        base = str(self.server.make_url("")).rstrip("/")
        known = {"url": base, "access_key": KEY, "secret_key": SECRET, "page_size": 9}
        return parse("prisma_cloud", PrismaOptions, known | more)

    def api(self, options: PrismaOptions) -> PrismaApi:
        return PrismaApi(http_of(options, pace=Pace(1e6, burst=1000)))


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    documents()
    made = Site()
    await made.server.start_server()
    yield made
    await made.server.close()


async def test_every_call_and_answer_is_as_the_vendor_describes_it(site: Site) -> None:
    options = site.options(
        vulnerability_query="vulnerability where severity IN ('critical', 'high')",
        severities=["critical", "high", "medium", "low"],
        account_groups=["Default Account Group"],
        detailed=False,
    )
    api = site.api(options)
    poller, now = PrismaPoller(api, options), site.at
    cursor = None
    async for page in poller.poll(None, now):
        cursor = page.cursor or cursor
    site.at += timedelta(minutes=30)
    assert [page async for page in poller.poll(cursor, site.at)]
    assert await look(api, options, None, site.at)
    one = next(p for p in site.world.problems() if p.kind == "posture" and p.status == "open")
    uid = site.prisma.alert_id(one.key)
    back = PrismaWriteBack(api, now=lambda: site.at)
    for number, to in enumerate(("accepted", "reopened", "dismissed", "reopened")):
        until = site.at + timedelta(days=2) if to == "accepted" else None
        assert await back.tell(SourceNote(f"d-{number}", uid, to, "why", until))
    assert (await PrismaWebhook(api, options).fetch([uid])).items
    shown = await api.commands(uid, site.at)
    await api.remediate(uid, shown["cli"], site.at)
    token = ""
    while True:
        found = await api.vulnerabilities("vulnerability where severity = 'high'", token)
        token = found["data"].get("nextPageToken", "")
        if not token:
            break
    flaw = next(p for p in site.world.problems() if p.kind == "vulnerability" and p.status == "open")
    asset = flaw.resource_uuid("prisma_cloud")
    told = await api.vulnerability_remediation(flaw.cve, "1001", "host", [asset])
    assert [(one["cveId"], one["unifiedAssetId"]) for one in told["values"]] == [(flaw.cve, asset)]
    assert len((await api.vulnerability_remediation(flaw.cve, "1001", "host"))["values"]) >= 1
    for wrong in (
        api.alert("P-999999"),
        api.alert("X-1"),
        api.commands(uid, site.at),
        api.alerts({"timeRange": {"type": "to_now", "value": "EPOCH"}, "limit": 99_999}),
        api.policy("not-there"),
    ):
        with pytest.raises(ConnectorError):
            await wrong
    await api.close()
    assert site.held.wrong == []
    assert {
        "POST /login", "POST /v2/alert", "GET /alert/{id}", "POST /alert/dismiss", "POST /alert/reopen",
        "POST /alert/remediation", "PATCH /alert/remediation/{id}", "GET /v2/policy",
        "GET /alert/dismiss/require_dismissal_note", "POST /uve/api/v1/vulnerabilities/search",
        "POST /uve/api/v1/vulnerabilities/search/download", "POST /uve/api/v1/remediation/vuln-remediation-status",
    } <= site.held.seen  # fmt: skip


async def test_the_extended_token_is_described_too(site: Site) -> None:
    ticks = {"now": 0.0}
    api = site.api(site.options())
    api.http.auth._now = lambda: ticks["now"]  # type: ignore[attr-defined]
    for ticks["now"] in (0.0, 500.0):
        await api.policies()
    await api.close()
    assert site.held.wrong == []
    assert "GET /auth_token/extend" in site.held.seen


def test_the_check_itself_finds_what_is_wrong() -> None:
    """A contract test that cannot fail would prove nothing."""
    document, listing = operation("POST", "/v2/alert")
    body = content(listing["requestBody"], document)
    good = {"filters": [{"name": "alert.status", "operator": "=", "value": "open"}], "limit": 5,
            "timeRange": {"type": "absolute", "value": {"startTime": 1, "endTime": 2}}}  # fmt: skip
    check(document, body, good, "good")
    for change in (
        {"filters": [{"name": "alert.status", "operator": "!=", "value": "open"}]},
        {"filters": {"alert.status": "open"}},
        {"sortBy": "alertTime"},
        {"timeRange": {"type": "sometimes", "value": {}}},
    ):
        with pytest.raises(AssertionError):
            check(document, body, good | change, "bad")
    document, dismiss = operation("POST", "/alert/dismiss")
    with pytest.raises(AssertionError, match="filter"):
        check(document, content(dismiss["requestBody"], document), {"alerts": ["P-1"]}, "no filter")
    with pytest.raises(AssertionError, match="no document"):
        operation("POST", "/v2/remediation")


def test_the_recorded_answers_are_as_described() -> None:
    """What is loosened above is loosened because of these."""
    documents()
    for name, method, path in (
        ("v2-alert-page.json", "POST", "/v2/alert"),
        ("login-response.json", "POST", "/login"),
        ("alert-config-detailed.json", "GET", "/alert/P-1"),
    ):
        document, known = operation(method, path)
        told = content(known["responses"]["200"], document)
        value = json.loads((SHARED / name).read_text("utf-8"))
        check(document, told, value, name, answers=True)


def strip_required(part: Any) -> None:
    """Answers leave out members that the documents require of requests (a policy's rule, an alert rule's target)."""
    if isinstance(part, dict):
        if isinstance(part.get("required"), list):
            del part["required"]
        for one in part.values():
            strip_required(one)
    elif isinstance(part, list):
        for one in part:
            strip_required(one)
