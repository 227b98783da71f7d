"""Security Hub told back through boto3 over HTTP, and EventBridge's calls. moto has no BatchUpdateFindings: a service
of our own keeps its rules."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.domain.errors import Gone, OutcomeUnknown, Refused, RetryLater
from bot.ports import SourceNote, WebhookReader, WriteBack
from bot.settings import AwsSettings, Settings
from connectors.registry import connector

REGION = "eu-west-1"
NOW = datetime(2026, 11, 25, tzinfo=UTC)
PRODUCT = "arn:aws:securityhub:eu-west-1::product/aws/securityhub"
ID = "arn:aws:securityhub:eu-west-1:123456789012:security-control/S3.2/finding/1"
SECRET = "a-secret-of-the-bus"
_SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples" / "security_hub"
EVENTS = {file.name: file.read_bytes() for file in sorted(_SAMPLES.glob("eventbridge-*.json"))}


def finding(uid: str = ID, **more: Any) -> dict[str, Any]:
    return {
        "SchemaVersion": "2018-10-08", "Id": uid, "ProductArn": PRODUCT, "GeneratorId": "g",
        "AwsAccountId": "123456789012",
        "CreatedAt": "2026-11-20T00:00:00Z", "UpdatedAt": "2026-11-20T00:00:00Z", "Severity": {"Label": "HIGH"},
        "Title": "Bucket is public", "Description": "d", "Resources": [{"Type": "AwsS3Bucket", "Id": "arn:aws:s3:::b"}],
        "Compliance": {"Status": "FAILED"}, "Workflow": {"Status": "NEW"}, "RecordState": "ACTIVE",
    } | more  # fmt: skip


class Hub:
    """The four calls with their rules: 200 with UnprocessedFindings, one note of at most 512 characters."""

    def __init__(self) -> None:
        self.findings: dict[str, dict[str, Any]] = {ID: finding()}
        self.new: dict[str, dict[str, Any]] = {
            "m-1": {"metadata": {"uid": "m-1"}, "finding_info": {"uid": "f-1", "title": "t"}, "status_id": 1}
        }
        self.unprocessed: tuple[str, str] | None = None
        self.status = 200

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/findings", self._get)
        app.router.add_patch("/findings/batchupdate", self._update)
        app.router.add_post("/findingsv2", self._get_v2)
        app.router.add_patch("/findingsv2/batchupdatev2", self._update_v2)
        return app

    async def _get(self, request: web.Request) -> web.Response:
        filters = (await request.json())["Filters"]
        ids = [one["Value"] for one in filters["Id"]]
        assert len(ids) <= 20
        return web.json_response({"Findings": [self.findings[one] for one in ids if one in self.findings]})

    async def _update(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.status != 200:
            return web.json_response({"Message": "x"}, status=self.status)
        assert len(body["Note"]["Text"]) <= 512
        done, left = [], []
        for one in body["FindingIdentifiers"]:
            held = self.findings.get(one["Id"])
            code = self.unprocessed or (None if held else ("FindingNotFound", "no such finding"))
            if code or held is None:
                assert code
                left.append({"FindingIdentifier": one, "ErrorCode": code[0], "ErrorMessage": code[1]})
                continue
            assert one["ProductArn"] == PRODUCT
            held["Workflow"] = body["Workflow"]
            held["Note"] = {**body["Note"], "UpdatedAt": "2026-11-25T00:00:00Z"}
            done.append(one)
        return web.json_response({"ProcessedFindings": done, "UnprocessedFindings": left})

    async def _get_v2(self, request: web.Request) -> web.Response:
        (composite,) = (await request.json())["Filters"]["CompositeFilters"]
        (only,) = composite["StringFilters"]
        assert only["FieldName"] == "metadata.uid"
        held = self.new.get(only["Filter"]["Value"])
        return web.json_response({"Findings": [held] if held else []})

    async def _update_v2(self, request: web.Request) -> web.Response:
        body = await request.json()
        for one in body["MetadataUids"]:
            self.new[one] |= {"status_id": body["StatusId"], "comment": body["Comment"]}
        done = [{"MetadataUid": one} for one in body["MetadataUids"]]
        return web.json_response({"ProcessedFindings": done, "UnprocessedFindings": []})


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Hub, Settings]]:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    made = Hub()
    server = TestServer(made.app())
    await server.start_server()
    url = str(server.make_url("")).rstrip("/")
    yield made, Settings(aws=AwsSettings(endpoint_url=url, region=REGION))
    await server.close()


def back_of(settings: Settings) -> WriteBack:
    make = connector("security_hub").write_back
    assert make is not None
    return make(settings, {"region": REGION})


def hook_of(settings: Settings, **more: Any) -> WebhookReader:
    make = connector("security_hub").webhook
    assert make is not None
    return make(settings, {"region": REGION, "webhook_secret": SECRET, **more})


def note(to: str = "fixed", **more: Any) -> SourceNote:
    return SourceNote(**{"key": "decision-7", "uid": f"{ID}|{PRODUCT}", "to": to, "note": "Fixed, decision-7.", **more})


@pytest.mark.parametrize(
    ("to", "status"),
    [("fixed", "RESOLVED"), ("accepted", "SUPPRESSED"), ("dismissed", "SUPPRESSED"), ("reopened", "NEW")],
)
async def test_a_status_and_a_note_are_written(to: str, status: str, hub: tuple[Hub, Settings]) -> None:
    made, settings = hub
    made.findings[ID]["Workflow"] = {"Status": "NOTIFIED"}
    back = back_of(settings)
    assert not await back.told(note(to))
    assert await back.tell(note(to)) == f"workflow status {status}, note written"
    assert await back.told(note(to))
    assert made.findings[ID]["Note"]["Text"] == "Fixed, decision-7."
    assert made.findings[ID]["Note"]["UpdatedBy"] == "gatehouse"
    await back.tell(note(to))  # the same again changes nothing
    assert made.findings[ID]["Note"]["Text"] == "Fixed, decision-7."
    assert await back.rescan(note(to)) == ""
    await back.close()


async def test_a_long_note_keeps_its_key(hub: tuple[Hub, Settings]) -> None:
    made, settings = hub
    back = back_of(settings)
    telling = note(note="x" * 600 + " [decision-7]")
    await back.tell(telling)
    assert made.findings[ID]["Note"]["Text"].endswith("… [decision-7]")
    assert await back.told(telling)
    await back.close()


async def test_a_persons_note_is_kept_behind_ours_within_512_characters(hub: tuple[Hub, Settings]) -> None:
    made, settings = hub
    made.findings[ID]["Note"] = {
        "Text": "Ask Kim. " + "x" * 600,
        "UpdatedBy": "kim",
        "UpdatedAt": "2026-11-25T00:00:00Z",
    }
    back = back_of(settings)
    await back.tell(note())
    said = made.findings[ID]["Note"]["Text"]
    assert said.startswith("Fixed, decision-7. | before: Ask Kim. ")
    assert len(said) == 512
    await back.close()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ConcurrentUpdateError", RetryLater),
        ("FindingNotFound", Gone),
        ("InternalFailure", OutcomeUnknown),
        ("InvalidInput", Refused),
        ("FindingSizeExceeded", Refused),
    ],
)
async def test_what_stands_in_unprocessed_is_no_success(code: str, error: type, hub: tuple[Hub, Settings]) -> None:
    made, settings = hub
    made.unprocessed = (code, "why")
    back = back_of(settings)
    with pytest.raises(error, match=code):
        await back.tell(note())
    assert made.findings[ID]["Workflow"] == {"Status": "NEW"}
    await back.close()


async def test_a_write_that_may_have_happened_is_not_repeated(hub: tuple[Hub, Settings]) -> None:
    made, settings = hub
    made.status = 500
    back = back_of(settings)
    with pytest.raises(OutcomeUnknown):
        await back.tell(note())
    with pytest.raises(Gone):
        await back.told(note(uid=f"{ID}0|{PRODUCT}"))
    with pytest.raises(Refused, match="both needed"):
        await back.tell(note(uid="nothing"))
    await back.close()


async def test_findings_of_the_new_security_hub_are_told_by_status_id_and_comment(hub: tuple[Hub, Settings]) -> None:
    made, settings = hub
    back = back_of(settings)
    telling = note(uid="f-1|p", raw=made.new["m-1"].copy())
    assert not await back.told(telling)
    await back.tell(telling)
    assert (made.new["m-1"]["status_id"], made.new["m-1"]["comment"]) == (4, "Fixed, decision-7.")
    assert await back.told(telling)
    await back.close()


# --- EventBridge


def event(*findings: dict[str, Any], **more: Any) -> bytes:
    said = {"version": "0", "id": "e-1", "detail-type": "Security Hub Findings - Imported", "source": "aws.securityhub"}
    return json.dumps({**said, "detail": {"findings": list(findings)}, **more}).encode()


async def test_an_event_is_accepted_with_its_secret_only(hub: tuple[Hub, Settings]) -> None:
    hook = hook_of(hub[1])
    basic = base64.b64encode(f"user:{SECRET}".encode()).decode()
    for good in (
        {"x-gatehouse-token": SECRET},
        {"Authorization": f"Basic {basic}"},
        {"Authorization": f"Bearer {SECRET}"},
    ):
        hook.verify(good, b"", NOW)
    for bad in ({}, {"X-Gatehouse-Token": "x"}, {"Authorization": "Basic !"}, {"Authorization": SECRET}):
        with pytest.raises(Refused):
            hook.verify(bad, b"", NOW)
    with pytest.raises(Refused, match="webhook_secret"):
        hook_of(hub[1], webhook_secret="").verify({"X-Gatehouse-Token": ""}, b"", NOW)


async def test_the_findings_of_an_event_are_taken_and_a_repeat_has_its_key(hub: tuple[Hub, Settings]) -> None:
    hook = hook_of(hub[1])
    told = hook.understand(event(finding(), finding(ID + "2")))
    assert [item["Id"] for item in told.items] == [ID, ID + "2"]
    assert told.key == "eventbridge:e-1"
    assert hook.understand(event(finding(), time="later")).key == told.key
    warned = hook.understand(event(finding(Compliance={"Status": "WARNING"})))
    assert warned.items == ()
    assert "could not tell" in warned.said


async def test_a_body_with_ids_only_is_read_by_the_api(hub: tuple[Hub, Settings]) -> None:
    made, settings = hub
    made.findings[ID + "2"] = finding(ID + "2")
    hook = hook_of(settings)
    told = hook.understand(json.dumps({"what": {"findingId": ID}, "resources": [ID + "2", ID + "3"]}).encode())
    assert list(told.refs) == [ID, ID + "2", ID + "3"]
    page = await hook.fetch(told.refs)
    assert [item["Id"] for item in page.items] == [ID, ID + "2"]
    assert page.notes == (f"Security Hub has no finding {ID}3",)
    await hook.close()


async def test_bodies_without_findings_are_named(hub: tuple[Hub, Settings]) -> None:
    hook = hook_of(hub[1])
    assert hook.understand(b"{}").said == "an event without findings"
    assert hook.understand(b"<x/>").said == "a body that is no JSON"
    assert "SNS" in hook.understand(b'{"Type": "SubscriptionConfirmation", "SubscribeURL": "https://x"}').said


@pytest.mark.shared
async def test_recorded_events_are_understood(hub: tuple[Hub, Settings]) -> None:
    if not EVENTS:
        pytest.skip("the recorded payloads (../shared/samples) are not beside the repository")
    hook = hook_of(hub[1])
    for name, body in EVENTS.items():
        told = hook.understand(body)
        assert told.items or "could not tell" in told.said, name
