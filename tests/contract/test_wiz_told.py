"""Decisions told to a simulated Wiz: once, whatever happens on the way; and what its webhook sends."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from wiz_world import Stage, stage

from bot.domain.errors import GatehouseError, Gone, OutcomeUnknown, Refused, Relogin
from bot.ports import SourceNote
from bot.sandbox.vendors.company import Problem
from bot.sandbox.vendors.wiz_objects import CONFIGURATION, DETECTIONS, ISSUES
from bot.sandbox.vendors.wiz_objects import configuration as configuration_node
from bot.sandbox.vendors.wiz_objects import detection as detection_node
from bot.sandbox.vendors.wiz_objects import issue as issue_node
from connectors.wiz import WizMapper
from connectors.wiz.webhook import WizWebhook
from connectors.wiz.write_back import WizWriteBack

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
UNKNOWN_UUID = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
async def on() -> AsyncIterator[Stage]:
    async with stage(40) as made:
        yield made


def one(on: Stage, kind: str) -> Problem:
    return next(p for p in on.wiz.world.problems() if p.kind == kind and (kind == "threat" or p.exposed))


def note_of(on: Stage, kind: str = "posture", to: str = "accepted", **changes: Any) -> SourceNote:
    problem = one(on, kind)
    raw = issue_node(problem, None)
    said = {"key": "told-7f3a", "uid": raw["id"], "to": to, "note": "Decision d-1: a reason [told-7f3a]", "raw": raw}
    return SourceNote(**{**said, **changes})


def notes_in(on: Stage, uid: str) -> list[str]:
    said = on.wiz.said.get(uid)
    return [note["text"] for note in said.notes] if said else []


# --- write-back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "kind", "status", "reason"),
    [
        ("fixed", "posture", "IN_PROGRESS", None),
        ("fixed", "threat", "IN_PROGRESS", None),
        ("accepted", "posture", "REJECTED", "EXCEPTION"),
        ("dismissed", "threat", "REJECTED", "FALSE_POSITIVE"),
    ],
)
async def test_status_and_note_arrive(on: Stage, to: str, kind: str, status: str, reason: str | None) -> None:
    note, writer = note_of(on, kind, to), WizWriteBack(on.client())
    assert not await writer.told(note)
    assert await writer.tell(note) == f"status {status}, note added"
    assert on.wiz.truth(ISSUES)[note.uid] == status
    assert on.wiz.said[note.uid].reason == reason
    assert notes_in(on, note.uid) == [note.note]
    assert await writer.told(note)
    assert await writer.tell(note) == "Wiz knew already"
    assert len(notes_in(on, note.uid)) == 1
    assert await writer.rescan(note) == ""


async def test_a_reopening_undoes_an_acceptance(on: Stage) -> None:
    writer = WizWriteBack(on.client())
    await writer.tell(note_of(on))
    note = note_of(on, to="reopened", key="told-2", note="It ran out [told-2]")
    assert await writer.tell(note) == "status OPEN, note added"
    assert on.wiz.truth(ISSUES)[note.uid] == "OPEN"
    assert WizMapper().map((await on.client().page("issues", {"id": [note.uid]}, None)).nodes[0]).result.name == "NEW"


async def test_a_fixed_threat_is_resolved_where_the_settings_say_with_what_reason(on: Stage) -> None:
    writer = WizWriteBack(on.client(threat_resolution="MALICIOUS_THREAT"))
    note = note_of(on, "threat", "fixed")
    assert await writer.tell(note) == "status RESOLVED, note added"
    posture = note_of(on, "posture", "fixed", key="k", note="n [k]")
    assert await writer.tell(posture) == "status IN_PROGRESS, note added"


async def test_a_fix_does_not_overrule_what_people_said_meanwhile(on: Stage) -> None:
    await WizWriteBack(on.client()).tell(note_of(on))
    later = note_of(on, to="fixed", key="k-2", note="fixed [k-2]")
    assert await WizWriteBack(on.client()).tell(later) == "note added"
    assert on.wiz.truth(ISSUES)[later.uid] == "REJECTED"


async def test_the_end_of_an_acceptance_stands_in_the_note(on: Stage) -> None:
    note = note_of(on, until=datetime(2027, 1, 31, tzinfo=UTC), note="ok")
    await WizWriteBack(on.client()).tell(note)
    assert notes_in(on, note.uid) == ["ok [told-7f3a] Until 2027-01-31."]


async def test_a_lost_answer_is_unknown_and_reading_first_keeps_it_to_one_note(on: Stage) -> None:
    note, writer = note_of(on), WizWriteBack(on.client())
    on.wiz.faults.append("lost")  # of the status
    with pytest.raises(OutcomeUnknown):
        await writer.tell(note)
    assert not await writer.told(note)  # the note is what counts: it comes last
    on.wiz.faults.append("lost")  # of the note
    with pytest.raises(OutcomeUnknown):
        await writer.tell(note)
    assert await writer.told(note)
    assert len(notes_in(on, note.uid)) == 1
    assert on.wiz.calls.count("updateIssue") == 1


@pytest.mark.parametrize("fault", ["500", "truncated", "partial", "internal", "502"])
async def test_a_write_is_never_repeated_by_itself(on: Stage, fault: str) -> None:
    note, writer = note_of(on), WizWriteBack(on.client())
    found = await on.client().page("issues", {"id": [note.uid]}, None)
    assert found.nodes
    writer._read = lambda issue: _state(found.nodes[0])  # type: ignore[method-assign]
    on.wiz.faults.append(fault)
    with pytest.raises(OutcomeUnknown):
        await writer.tell(note)
    assert on.wiz.calls.count("updateIssue") <= 1


async def _state(node: Any) -> Any:
    return node


async def test_throttling_and_an_old_token_are_no_unknown_outcomes(on: Stage) -> None:
    note, writer = note_of(on), WizWriteBack(on.client())
    await writer.told(note)
    on.wiz.faults.extend(["429", "expired"])
    assert await writer.tell(note) == "status REJECTED, note added"
    assert len(notes_in(on, note.uid)) == 1


async def test_kinds_without_a_call_say_so(on: Stage) -> None:
    problem = one(on, "posture")
    raw = configuration_node(problem, None, NOW)
    writer = WizWriteBack(on.client())
    fixed = SourceNote("k", raw["id"], "fixed", "n [k]", raw=raw)
    assert "own scan" in await writer.tell(fixed)
    assert not await writer.told(fixed)
    with pytest.raises(Refused, match="cannot be told of a configuration finding"):
        await writer.tell(SourceNote("k", raw["id"], "accepted", "n [k]", raw=raw))
    assert on.wiz.calls == []


async def test_a_detection_is_told_through_its_issue(on: Stage) -> None:
    problem = one(on, "threat")
    raw = detection_node(problem)
    note = SourceNote("k", raw["id"], "dismissed", "n [k]", raw=raw)
    assert await WizWriteBack(on.client()).tell(note) == "status REJECTED, note added"
    assert notes_in(on, problem.uuid(f"wiz/{ISSUES}")) == ["n [k]"]


async def test_unknown_issues_missing_rights_and_words(on: Stage) -> None:
    writer = WizWriteBack(on.client())
    with pytest.raises(Gone):
        await writer.tell(note_of(on, uid=UNKNOWN_UUID))
    with pytest.raises(Refused, match="no word for"):
        await writer.tell(note_of(on, to="praised"))
    on.wiz.scopes -= {"write"}
    with pytest.raises(Refused, match="access denied"):
        await writer.tell(note_of(on))


# --- the webhook -----------------------------------------------------------------------------------------------------


TOKEN = {"webhook_token": "hook-secret-123"}


@pytest.mark.parametrize(
    ("options", "headers", "fits"),
    [
        (TOKEN, {"Authorization": "Bearer hook-secret-123"}, True),
        (TOKEN, {"authorization": "Bearer hook-secret-123"}, True),
        (TOKEN, {"Authorization": "Bearer hook-secret-124"}, False),
        (TOKEN, {"Authorization": "hook-secret-123"}, False),
        (TOKEN, {"Authorization": "Bearer hook-secret-123 "}, False),
        (TOKEN, {"Authorization": ""}, False),
        (TOKEN, {}, False),
        (TOKEN, {"Authorization": "Bearer ü"}, False),
        ({**TOKEN, "webhook_header": "X-Wiz"}, {"x-wiz": "hook-secret-123"}, True),
        ({**TOKEN, "webhook_header": "X-Wiz"}, {"Authorization": "Bearer hook-secret-123"}, False),
        ({"webhook_user": "wiz", "webhook_password": "pw"}, {"Authorization": "Basic d2l6OnB3"}, True),
        ({"webhook_user": "wiz", "webhook_password": "pw"}, {"Authorization": "Basic d2l6OnB4"}, False),
        ({}, {"Authorization": "Bearer "}, False),
    ],
)
async def test_only_who_has_the_secret_is_believed(
    on: Stage, options: dict[str, Any], headers: dict[str, str], fits: bool
) -> None:
    hook = WizWebhook(on.client(**options))
    if fits:
        hook.verify(headers, b"{}", NOW)
        return
    with pytest.raises(Refused) as caught:
        hook.verify(headers, b"{}", NOW)
    assert "hook-secret" not in str(caught.value)


async def test_the_default_body_is_fetched_by_its_id(on: Stage) -> None:
    hook, problem = WizWebhook(on.client(**TOKEN)), one(on, "posture")
    got: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        hook.verify(request.headers, body, NOW)
        got.append(body)
        return web.Response()

    app = web.Application()
    app.router.add_post("/webhooks/wiz", take)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    url = f"http://127.0.0.1:{server.port}/webhooks/wiz"
    bearer = {"Authorization": "Bearer hook-secret-123"}
    for _ in range(2):
        assert await on.wiz.send_webhook(url, problem, "Created", bearer) == 200
    assert await on.wiz.send_webhook(url, problem, "Created", {}) == 500
    await server.close()
    assert len(got) == 2
    told = hook.understand(got[0])
    assert told.key == hook.understand(got[1]).key  # a repeated delivery
    uid = problem.uuid(f"wiz/{ISSUES}")
    assert told.refs == (f"issues:{uid}",)
    page = await hook.fetch(told.refs)
    found = WizMapper().map(page.items[0])
    assert (found.uid, found.resource.uid) == (uid, problem.resource_arn)
    assert on.wiz.calls == ["issuesV2"]


def body_of(**members: Any) -> bytes:
    return json.dumps(members).encode()


UID = "0d3c2f9a-6a52-4b9c-8f1d-2f60f1f0a001"
OTHER = "b7a3a1cc-3a40-5b5f-a3d1-a67b9d8f0001"


@pytest.mark.parametrize(
    "body",
    [
        body_of(issueId=UID, title="x", severity="HIGH"),
        body_of(text=f"*New* <https://app.wiz.io/issues#~(issue~'{UID})|open>", blocks=[]),
        body_of(attachments=[{"fields": [{"title": "Issue", "value": UID}]}]),
        body_of(wiz={"issue": {"uuid": UID}, "resource": {"id": OTHER}}, rule={"id": OTHER}),
        body_of(event={"finding_id": UID, "project_id": OTHER}),
        f"Wiz found something: https://app.wiz.io/issues#~(issue~'{UID})".encode(),
        f'{{"issue": "{UID}", "note": "a template with a "quote" in it"}}'.encode(),
        body_of(trigger={"source": "ISSUES"}, data={"issueUrl": f"https://app.wiz.io/issues#~(issue~'{UID})"}),
    ],
)
async def test_edited_templates_are_about_the_issue_they_name(on: Stage, body: bytes) -> None:
    assert WizWebhook(on.client()).understand(body).refs == (f"issues:{UID}",)


async def test_bodies_of_other_triggers(on: Stage) -> None:
    hook = WizWebhook(on.client())
    flat = body_of(trigger={"source": "DETECTIONS"}, id=OTHER, threatId=UID, title="x", severity="HIGH")
    assert hook.understand(flat).refs == (f"detections:{OTHER}", f"issues:{UID}")
    finding = {"id": OTHER, "severity": "HIGH", "result": "FAIL"}
    kept = body_of(trigger={"source": "CONFIGURATION_FINDING"}, finding=finding, rule={"id": "r"}, resource={"id": "x"})
    assert hook.understand(kept).refs == (f"configuration:{OTHER}",)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (body_of(message="This is a test from Wiz"), "test message"),
        (body_of(test=True), "test message"),
        (b"", "without an id"),
        (b"[]", "without an id"),
        (b"hello", "without an id"),
        (body_of(issue={"id": "{{issue.id}}"}, trigger={"type": "x"}, resource={}), "without an id"),
        (b"\xff\xfe\x00", "without an id"),
        (b'{"trigger": {"source": "ISSUES"}, "a": ' + b'{"a": ' * 600 + b"1" + b"}" * 601, "without an id"),
        (b"[" * 5000, "without an id"),
        (b'{"message": ' + json.dumps('{"a": ' * 900).encode() + b"}", "without an id"),
    ],
)
async def test_a_body_without_an_id_is_named(on: Stage, body: bytes, says: str) -> None:
    told = WizWebhook(on.client()).understand(body)
    assert told.refs == ()
    assert says in told.said


async def test_refs_of_every_kind_are_fetched_and_what_is_gone_is_said(on: Stage) -> None:
    hook, posture, threat = WizWebhook(on.client()), one(on, "posture"), one(on, "threat")
    refs = [
        f"issues:{posture.uuid(f'wiz/{ISSUES}')}", f"configuration:{posture.uuid(f'wiz/{CONFIGURATION}')}",
        f"detections:{threat.uuid(f'wiz/{DETECTIONS}')}", f"issues:{UNKNOWN_UUID}", "nonsense", "moon:1",
    ]  # fmt: skip
    page = await hook.fetch(refs)
    assert [WizMapper().map(item).extra["kind"] for item in page.items] == ["issue", "configuration", "detection"]
    assert page.notes == (f"Wiz has no issues object {UNKNOWN_UUID}",)


async def test_a_dead_credential_is_said_while_fetching(on: Stage) -> None:
    hook = WizWebhook(on.client(client_secret="another-one"))
    with pytest.raises(Relogin):
        await hook.fetch([f"issues:{UID}"])


# --- the simulator itself --------------------------------------------------------------------------------------------


async def test_the_simulator_refuses_what_wiz_refuses(on: Stage) -> None:
    client = on.client()
    unaliased = """query { issuesV2(first: 1) { nodes { sourceRule {
      ... on Control { description } ... on CloudEventRule { description } } } } }"""
    for words, variables, match in (
        (unaliased, {}, "conflict"),
        ("query { cloudConfigurationFindings { nodes { id } } }", {}, "Cannot query field"),
        ("query Q($f: IssueFilters) { issuesV2(filterBy: $f) { totalCount } }", {"f": {"updatedAt": {}}}, "updatedAt"),
        ("query { issue(id: \"x\") { id } }", {}, "valid service issue id"),
        ("query {", {}, "Syntax Error"),
    ):  # fmt: skip
        with pytest.raises(GatehouseError, match=match):
            await client.query(words, variables)
    problem = one(on, "posture")
    update = (
        """mutation M($i: ID!, $p: UpdateIssuePatch) { updateIssue(input: {id: $i, patch: $p}) { issue { id } } }"""
    )
    uid = problem.uuid(f"wiz/{ISSUES}")
    with pytest.raises(Refused, match="only threat detection"):
        await client.mutate(update, {"i": uid, "p": {"status": "RESOLVED"}})
    with pytest.raises(Refused, match="resolutionReason is required"):
        await client.mutate(update, {"i": uid, "p": {"status": "REJECTED"}})


async def test_the_simulators_cursors_are_by_value_and_survive_inserts(on: Stage) -> None:
    client = on.client()
    first = await client.page("configuration", {}, None, 10)
    assert first.cursor is not None
    fields = json.loads(base64.b64decode(first.cursor))["fields"]
    assert fields[0]["Field"] == "Timestamp"
    second = await client.page("configuration", {}, first.cursor, 10)
    oldest = on.wiz.world.problems()[0]
    on.wiz.world._problems["new"] = Problem(**{
        **{name: getattr(oldest, name) for name in oldest.__slots__}, "key": "new", "kind": "posture",
    })  # fmt: skip
    on.wiz.world.version += 1
    again = await client.page("configuration", {}, first.cursor, 10)
    assert [node["id"] for node in again.nodes][:9] == [node["id"] for node in second.nodes][:9]
