"""Prowler App's API: poller and mute rules against a simulated App that keeps the rules of its OpenAPI document."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.domain.errors import BadInput, Refused, Relogin, SettingsError
from bot.domain.findings import SourceStatus
from bot.ports import Page, SourceNote
from bot.settings import Settings
from connectors.http import HttpClient, Pace
from connectors.options import parse
from connectors.prowler import MANIFEST
from connectors.prowler.app import JSON_API, AppOptions, ProwlerAppPoller, ProwlerWriteBack, http_of, look
from connectors.prowler.mapping import ProwlerMapper

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
KEY = "pk_key-of-the-app"
SPEC = Path(__file__).resolve().parents[3] / "shared" / "samples" / "prowler" / "openapi-app-api-findings.json"


def row(number: int, check: str, status: str = "FAIL", **more: Any) -> dict[str, Any]:
    name = more.pop("name", f"bucket-{number}")
    return {
        "type": "findings",
        "id": f"00000000-0000-4000-8000-{number:012}",
        "attributes": {
            "uid": f"prowler-aws-{check}-123456789012-eu-west-1-{name}",
            "delta": "new",
            "status": status,
            "status_extended": more.pop("detail", f"{name} is {status}."),
            "severity": "high",
            "check_id": check,
            "check_metadata": {
                "provider": "aws", "checkid": check, "checktitle": "Bucket has public access blocked", "risk": "Leaks.",
                "checktype": ["Posture"], "categories": ["internet-exposed"],
                "remediation": {"recommendation": {"text": "Block it.", "url": "https://hub.prowler.com/check/x"},
                                "code": {"cli": "aws s3api put-public-access-block"}},
            },
            "inserted_at": "2026-11-25T10:00:00Z",
            "updated_at": f"2026-11-25T10:00:{number % 60:02}Z",
            "first_seen_at": "2026-11-01T10:00:00Z",
            "muted": False,
            **more,
        },
        "relationships": {
            "scan": {"data": {"type": "scans", "id": "s"}},
            "resources": {"data": [{"type": "resources", "id": f"r-{name}"}]},
        },
    }  # fmt: skip


def resource(name: str) -> dict[str, Any]:
    return {"type": "resources", "id": f"r-{name}", "attributes": {
        "uid": f"arn:aws:s3:::{name}", "name": name, "region": "eu-west-1", "service": "s3", "type": "AwsS3Bucket",
        "tags": {"env": "prod", "owner": "payments"}}}  # fmt: skip


class App:
    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self.rules: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.logins = 0
        self.jwt = "jwt-0"
        self.fail: list[int] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/api/v1/tokens", self._login)
        app.router.add_get("/api/v1/findings/latest", self._latest)
        app.router.add_get("/api/v1/mute-rules", self._rules)
        app.router.add_post("/api/v1/mute-rules", self._mute)
        app.router.add_patch("/api/v1/mute-rules/{id}", self._change)
        return app

    def _gate(self, request: web.Request) -> web.Response | None:
        self.calls.append(request.path_qs)
        if self.fail:
            return _json({"errors": [{"status": "x", "detail": "later"}]}, self.fail.pop(0))
        if request.headers.get("Authorization") not in (f"Api-Key {KEY}", f"Bearer {self.jwt}"):
            return _json({"errors": [{"status": "401", "detail": "Given token not valid"}]}, 401)
        if request.can_read_body and request.content_type != JSON_API:
            return _json({"errors": [{"status": "415", "detail": "Unsupported media type"}]}, 415)
        return None

    async def _login(self, request: web.Request) -> web.Response:
        assert request.content_type == JSON_API
        said = json.loads(await request.text())["data"]
        if said["type"] != "tokens" or said["attributes"] != {"email": "a@acme.example", "password": "pass-word"}:
            return _json({"errors": [{"status": "400", "detail": "Invalid credentials"}]}, 400)
        self.logins += 1
        self.jwt = f"jwt-{self.logins}"
        return _json({"data": {"type": "tokens", "attributes": {"access": self.jwt, "refresh": "r"}}})

    async def _latest(self, request: web.Request) -> web.Response:
        if no := self._gate(request):
            return no
        size, number = int(request.query.get("page[size]", "10")), int(request.query.get("page[number]", "1"))
        assert 1 <= size <= 100
        rows = [r for r in self.rows if request.query.get("filter[uid]") in (None, r["attributes"]["uid"])]
        field = request.query.get("sort", "check_id")
        rows = sorted(rows, key=lambda r: r["attributes"][field.lstrip("-")], reverse=field.startswith("-"))
        pages = max(1, -(-len(rows) // size))
        if number > pages:
            return _json({"errors": [{"status": "404", "detail": "Invalid page."}]}, 404)
        page = rows[(number - 1) * size : number * size]
        names = {r["attributes"]["uid"].partition("eu-west-1-")[2] for r in page}
        meta = {"pagination": {"page": number, "pages": pages, "count": len(rows)}, "version": "v1"}
        links = {"first": "x", "last": "x", "next": None, "prev": None}
        included = [resource(name) for name in sorted(names)] if "include" in request.query else []
        return _json({"links": links, "data": page, "included": included, "meta": meta})

    async def _rules(self, request: web.Request) -> web.Response:
        return self._gate(request) or _json({"data": self.rules, "meta": {"pagination": {"page": 1, "pages": 1}}})

    async def _mute(self, request: web.Request) -> web.Response:
        if no := self._gate(request):
            return no
        said = json.loads(await request.text())["data"]["attributes"]
        assert 3 <= len(said["name"]) <= 100
        assert 3 <= len(said["reason"]) <= 500
        uids = [r["attributes"]["uid"] for r in self.rows if r["id"] in said["finding_ids"]]
        assert uids
        attributes = {"name": said["name"], "reason": said["reason"], "enabled": True, "finding_uids": uids}
        self.rules.append({"type": "mute-rules", "id": f"m-{len(self.rules)}", "attributes": attributes})
        return _json({"data": self.rules[-1]}, 201)

    async def _change(self, request: web.Request) -> web.Response:
        if no := self._gate(request):
            return no
        said = json.loads(await request.text())["data"]
        rule = next(r for r in self.rules if r["id"] == said["id"])
        rule["attributes"] |= said["attributes"]
        return _json({"data": rule})


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(body), status=status, content_type=JSON_API)


ROWS = [
    *(row(n, "s3_public") for n in range(5)),
    *(row(n, "s3_tls", "PASS") for n in range(10, 14)),
    row(20, "s3_manual", "MANUAL"),
    row(21, "s3_muted", muted=True, muted_reason="accepted by Kim"),
    row(30, "s3_zz_keys", name="user", detail="Key 1 is old."),
    row(31, "s3_zz_keys", name="user", detail="Key 2 is old."),
]


class Site:
    def __init__(self) -> None:
        self.app = App(copy.deepcopy(ROWS))
        self.server = TestServer(self.app.app())
        self.opened: list[HttpClient] = []

    def http(self, **more: Any) -> HttpClient:
        async def no_sleep(_: float) -> None:
            return None

        url = str(self.server.make_url("")).rstrip("/")
        options = parse("prowler", AppOptions, {"url": url, **(more or {"api_key": KEY})})
        self.opened.append(http_of(options, sleep=no_sleep, jitter=lambda: 0.0, pace=Pace(1e6, burst=1000)))
        return self.opened[-1]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    await made.server.start_server()
    yield made
    for http in made.opened:
        await http.close()
    await made.server.close()


async def read(poller: ProwlerAppPoller, cursor: Any = None) -> list[Page]:
    return [page async for page in poller.poll(cursor, NOW)]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_the_last_scan_is_read_whole_whatever_the_pages(size: int, site: Site) -> None:
    pages = await read(ProwlerAppPoller(site.http(), size))
    found = [ProwlerMapper().map(item) for page in pages for item in page.items]
    assert len({one.uid for one in found}) == len(found) == 12  # all but the manual one
    assert sum(one.result is SourceStatus.NEW for one in found) == 7
    assert sum(one.result is SourceStatus.RESOLVED for one in found) == 4
    assert {one.desc for one in found if one.rule_uid == "s3_zz_keys"} == {"Key 1 is old.", "Key 2 is old."}
    assert pages[-1].complete_scopes == tuple(
        f"aws:123456789012:eu-west-1:{check}" for check in ("s3_muted", "s3_public", "s3_tls", "s3_zz_keys")
    )
    assert not any(page.complete_scopes for page in pages[:-1])
    assert any("1 manual checks" in note for note in pages[-1].notes)


async def test_a_finding_of_the_app_is_the_same_as_of_the_file(site: Site) -> None:
    (page,) = await read(ProwlerAppPoller(site.http()))
    one = next(f for item in page.items if (f := ProwlerMapper().map(item)).rule_uid == "s3_public")
    assert one.uid == f"s3_public|aws|123456789012|eu-west-1|{one.resource.uid}"
    assert one.resource.uid.startswith("arn:aws:s3:::bucket-")
    assert (one.account.uid, one.account.provider, one.resource.region) == ("123456789012", "aws", "eu-west-1")
    assert one.title == "Not met: Bucket has public access blocked"
    assert (one.risk, one.remediation, one.remediation_cli) == (
        "Leaks.",
        "Block it.",
        "aws s3api put-public-access-block",
    )
    assert one.resource.tags == {"env": "prod", "owner": "payments"}
    assert one.internet_exposed is True
    muted = next(f for item in page.items if (f := ProwlerMapper().map(item)).rule_uid == "s3_muted")
    assert (muted.result, muted.status_reason) == (SourceStatus.SUPPRESSED, "accepted by Kim")


async def test_nothing_is_read_again_until_something_has_changed(site: Site) -> None:
    poller = ProwlerAppPoller(site.http(), 3)
    cursor = (await read(poller))[-1].cursor
    site.app.calls.clear()
    (page,) = await read(poller, cursor)
    assert len(site.app.calls) == 1
    assert "no new scan" in page.notes[0]
    site.app.rows[0]["attributes"] |= {"status": "PASS", "updated_at": "2026-11-25T11:00:00Z"}
    assert len(await read(poller, page.cursor)) > 1


async def test_a_run_that_was_killed_goes_on_and_concludes_nothing(site: Site) -> None:
    poller = ProwlerAppPoller(site.http(), 3)
    whole = {ProwlerMapper().map(item).uid for page in await read(poller) for item in page.items}
    pages = await read(poller)
    for kill in range(1, len(pages)):
        before = pages[:kill]
        rest = await read(poller, before[-1].cursor)
        assert {ProwlerMapper().map(i).uid for p in [*before, *rest] for i in p.items} == whole
        assert not any(page.complete_scopes for page in rest)
    site.app.rows.append(row(50, "s3_new"))  # another scan meanwhile: from the start, and whole again
    assert (await read(poller, pages[0].cursor))[-1].complete_scopes


async def test_a_scan_that_ends_while_pages_are_read_completes_nothing(site: Site) -> None:
    pages = []
    async for page in ProwlerAppPoller(site.http(), 3).poll(None, NOW):
        pages.append(page)
        if len(pages) == 2:
            site.app.rows.append(row(51, "s3_new"))
    assert not any(page.complete_scopes for page in pages)


async def test_a_token_that_ends_is_renewed_and_a_bad_password_is_said(site: Site) -> None:
    http = site.http(email="a@acme.example", password="pass-word")
    poller = ProwlerAppPoller(http)
    await read(poller)
    site.app.jwt = "another"
    site.app.rows.append(row(52, "s3_new"))
    await read(poller)
    assert site.app.logins == 2
    with pytest.raises(Relogin) as told:
        await read(ProwlerAppPoller(site.http(email="a@acme.example", password="wrong-word")))
    assert "wrong-word" not in str(told.value)
    with pytest.raises(Relogin):
        await read(ProwlerAppPoller(site.http(api_key="pk_other-key")))
    with pytest.raises(SettingsError, match="api_key, or email"):
        site.http(email="a@acme.example")


async def test_busy_answers_are_asked_again(site: Site) -> None:
    site.app.fail = [429, 503, 500]
    assert len(await read(ProwlerAppPoller(site.http()))) == 1


async def test_the_check_says_what_the_doctor_needs(site: Site) -> None:
    said = await look(site.http())
    assert "newest change 2026-11-25T10:00:31Z" in said
    assert "13 results" in said


async def test_the_option_url_makes_the_app_the_source_and_without_it_a_folder(site: Site, tmp_path: Path) -> None:
    poller = MANIFEST.poller(Settings(), {"url": "https://app.example", "api_key": "pk_x-y"})
    assert isinstance(poller, ProwlerAppPoller)
    await poller.close()
    assert "0 files" in await MANIFEST.check(Settings(), {"folder": str(tmp_path)})


# --- mute rules


async def note_of(site: Site, to: str, key: str = "decision-7") -> SourceNote:
    (page,) = await read(ProwlerAppPoller(site.http()))
    raw = next(item for item in page.items if ProwlerMapper().map(item).rule_uid == "s3_public")
    return SourceNote(key=key, uid=ProwlerMapper().map(raw).uid, to=to, note=f"Accepted, {key}.", raw=raw)


async def test_an_accepted_risk_is_muted_once_and_a_reopened_one_is_not(site: Site) -> None:
    back = ProwlerWriteBack(site.http())
    accepted = await note_of(site, "accepted")
    assert not await back.told(accepted)
    assert await back.tell(accepted) == "muted by a rule"
    assert await back.told(accepted)
    assert await back.tell(accepted) == "nothing to do: the mute rule is there"
    (rule,) = site.app.rules
    assert rule["attributes"]["name"] == "gatehouse decision-7"
    assert rule["attributes"]["finding_uids"] == [accepted.raw["finding_info"]["uid"]]
    reopened = await note_of(site, "reopened", "decision-8")
    assert not await back.told(reopened)
    assert await back.tell(reopened) == "mute rule switched off"
    assert await back.told(reopened)
    assert rule["attributes"]["enabled"] is False
    assert await back.tell(accepted) == "mute rule switched on again"


async def test_a_fix_needs_no_telling_and_a_finding_of_a_file_cannot_be_muted(site: Site) -> None:
    back = ProwlerWriteBack(site.http())
    fixed = await note_of(site, "fixed")
    assert await back.told(fixed)
    assert "next scan" in await back.tell(fixed)
    assert await back.rescan(fixed) == ""
    with pytest.raises(Refused, match="not read from Prowler App"):
        await back.tell(SourceNote(key="k", uid="u", to="accepted", note="note", raw={}))
    site.app.rows.clear()
    with pytest.raises(Refused, match="last scan has no finding"):
        await back.tell(SourceNote(key="k", uid="u", to="accepted", note="note", raw=fixed.raw))


# --- its answers, version 3 and CSV as files


def ingest(body: bytes) -> tuple[list[Any], list[str], list[Any], list[str]]:
    pages = list(MANIFEST.read(io.BytesIO(body), "x"))
    found = [ProwlerMapper().map(item) for page in pages for item in page.items]
    return (found, [n for p in pages for n in p.notes], [r for p in pages for r in p.rejected],
            [s for p in pages for s in p.complete_scopes])  # fmt: skip


def test_answers_of_the_app_are_understood_as_files_and_complete_no_scope() -> None:
    page = {"links": {}, "data": ROWS[:3], "included": [resource(f"bucket-{n}") for n in range(3)], "meta": {}}
    for body in (json.dumps(page), json.dumps([page])):
        found, _, rejected, complete = ingest(body.encode())
        assert [one.resource.uid for one in found] == [f"arn:aws:s3:::bucket-{n}" for n in range(3)]
        assert (rejected, complete) == ([], [])
    (one,), _, rejected, _ = ingest(json.dumps({"data": ROWS[0]}).encode())
    assert one.account.uid == ""  # without its resource the Region is not told, and so the account is not
    assert rejected == []


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"data": {"type": "tokens", "attributes": {"access": "a"}}}, "login answer"),
        ({"errors": [{"status": "401", "detail": "Given token not valid"}]}, "error answer (Given token not valid)"),
        ({"links": {}, "data": [], "meta": {}}, "empty page"),
        ({"data": [{"type": "mute-rules", "id": "1", "attributes": {}}]}, "mute rule"),
        ({"data": [{"type": "scans", "id": "1", "attributes": {}}, {"type": "scans", "id": "2"}]}, "2 × scan"),
    ],
)
def test_answers_without_findings_are_named(body: dict[str, Any], name: str) -> None:
    found, notes, rejected, _ = ingest(json.dumps(body).encode())
    assert (found, rejected) == ([], [])
    assert notes == [f"{name}: carries no finding"]


V3 = {
    "AssessmentStartTime": "2024-01-01T00:00:00",
    "FindingUniqueId": "prowler-aws-s3_public-123456789012-eu-west-1-acme",
    "Provider": "aws", "AccountId": "123456789012", "Region": "eu-west-1", "CheckID": "s3_public",
    "CheckTitle": "Bucket has public access blocked", "CheckType": ["Data Protection"], "ServiceName": "s3",
    "Status": "FAIL", "StatusExtended": "acme is public.", "Severity": "critical", "ResourceId": "acme",
    "ResourceArn": "arn:aws:s3:::acme", "ResourceTags": {"env": "prod"}, "ResourceType": "AwsS3Bucket",
    "Risk": "Leaks.",
    "Remediation": {"Code": {"CLI": "aws s3api x"}, "Recommendation": {"Text": "Block it.", "Url": "https://d.example"}},
    "Categories": ["internet-exposed"], "Compliance": {"CIS-1.4": ["2.1.5"]},
}  # fmt: skip
CSV = (
    "AUTH_METHOD;TIMESTAMP;ACCOUNT_UID;ACCOUNT_NAME;FINDING_UID;PROVIDER;CHECK_ID;CHECK_TITLE;STATUS;STATUS_EXTENDED;MUTED;"
    "SEVERITY;RESOURCE_TYPE;RESOURCE_UID;RESOURCE_NAME;RESOURCE_TAGS;REGION;RISK;REMEDIATION_RECOMMENDATION_TEXT;"
    "COMPLIANCE;CATEGORIES\n"
    "p;2024-01-01 00:00:00;123456789012;acme-prod;u;aws;s3_public;Bucket has public access blocked;FAIL;"
    "acme is public.;False;"
    "critical;AwsS3Bucket;arn:aws:s3:::acme;acme;env=prod;eu-west-1;Leaks.;Block it.;CIS-1.4: 2.1.5;internet-exposed\n"
    "p;2024-01-01 00:00:00;123456789012;acme-prod;v;aws;s3_public;x;PASS;\"acme2; all\nwell\";False;critical;"
    "AwsS3Bucket;"
    "arn:aws:s3:::acme2;acme2;;eu-west-1;;;;\n"
)  # fmt: skip


@pytest.mark.parametrize("body", [json.dumps([V3]).encode(), CSV.encode(), b"\xef\xbb\xbf" + CSV.encode()])
def test_version_3_and_csv_tell_the_same_problem_under_the_same_identity(body: bytes) -> None:
    found, _, rejected, complete = ingest(body)
    one = found[0]
    assert rejected == []
    assert one.uid == "s3_public|aws|123456789012|eu-west-1|arn:aws:s3:::acme"
    assert (one.severity.name, one.result, one.desc) == ("CRITICAL", SourceStatus.NEW, "acme is public.")
    assert (one.resource.tags, one.risk, one.remediation) == ({"env": "prod"}, "Leaks.", "Block it.")
    assert [(c.standard, c.requirement) for c in one.controls] == [("CIS-1.4", "2.1.5")]
    assert one.last_seen == datetime(2024, 1, 1, tzinfo=UTC)
    assert complete == ["aws:123456789012:eu-west-1:s3_public"]
    assert [f.result for f in found[1:]] == ([SourceStatus.RESOLVED] if b";" in body[:200] else [])


def test_asff_of_prowlers_own_making_tells_the_same_and_others_are_security_hubs() -> None:
    told = {
        "SchemaVersion": "2018-10-08",
        "Id": "prowler-s3_public-123456789012-eu-west-1-abc",
        "ProductArn": "arn:aws:securityhub:eu-west-1::product/prowler/prowler",
        "ProductFields": {"ProviderName": "Prowler", "ProwlerResourceName": "acme"},
        "GeneratorId": "prowler-s3_public",
        "AwsAccountId": "123456789012",
        "Types": ["Posture"],
        "UpdatedAt": "2024-01-01T00:00:00Z",
        "Severity": {"Label": "CRITICAL"},
        "Title": "Bucket has public access blocked",
        "Description": "acme is public.",
        "Resources": [
            {"Type": "AwsS3Bucket", "Id": "arn:aws:s3:::acme", "Region": "eu-west-1", "Tags": {"env": "prod"}}
        ],
        "Compliance": {"Status": "FAILED", "RelatedRequirements": ["CIS-1.4 2.1.5"]},
        "Remediation": {"Recommendation": {"Text": "Block it.", "Url": "https://d.example"}},
    }
    (one,), _, rejected, _ = ingest(json.dumps([told]).encode())
    (old,), _, _, _ = ingest(json.dumps([V3]).encode())
    assert rejected == []
    for name in ("uid", "title", "desc", "severity", "result", "resource", "controls", "remediation", "last_seen"):
        assert getattr(one, name) == getattr(old, name), name
    pages = list(
        MANIFEST.read(io.BytesIO(json.dumps([told | {"ProductFields": {}, "GeneratorId": "x"}]).encode()), "x")
    )
    with pytest.raises(BadInput, match="read it as security_hub"):
        ProwlerMapper().map(pages[0].items[0])


@pytest.mark.shared
def test_what_is_asked_for_stands_in_the_apps_own_document() -> None:
    if not SPEC.is_file():
        pytest.skip("the OpenAPI document (../shared/samples) is not beside the repository")
    spec = json.loads(SPEC.read_bytes())
    asked = {p["name"]: p for p in spec["paths"]["/api/v1/findings/latest"]["get"]["parameters"]}
    assert {"filter[uid]", "include", "sort"} <= asked.keys()
    assert {"check_id", "-updated_at"} <= set(asked["sort"]["schema"]["items"]["enum"])
    assert {"resources", "scan"} <= set(asked["include"]["schema"]["items"]["enum"])
    schemas = spec["components"]["schemas"]
    said = schemas["Finding"]["properties"]["attributes"]["properties"]
    assert ROWS[0]["attributes"].keys() <= said.keys()
    rule = schemas["MuteRuleCreateRequest"]["properties"]["data"]["properties"]["attributes"]
    assert {"name", "reason", "finding_ids"} == set(rule["required"])
    assert "/api/v1/mute-rules/{id}" in spec["paths"]
