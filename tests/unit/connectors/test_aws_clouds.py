"""Against botocore itself: answers are put in at the HTTP layer, so that its own parsing and retrying take part."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore import exceptions as boto
from botocore.awsrequest import AWSResponse

from bot.domain.errors import CloudRefused, ConnectorError, OutcomeUnknown, Relogin, RetryLater
from bot.domain.plans import Call
from bot.ports import Attribution
from bot.settings import AwsSettings
from connectors.aws import AwsClouds
from connectors.aws.errors import explain

WHY = Attribution(finding_id="f-1", plan_id="plan-2", decision_id="dec-3", principal_id="alice (ops)")
STS = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""


class Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Any:
        yield self._body


class Wire:
    """What AWS answers, in order; the last answer is repeated. Keeps the requests."""

    def __init__(self, *answers: tuple[int, str] | Exception) -> None:
        self.answers, self.sent = list(answers), list[Any]()

    def __call__(self, request: Any, **_: Any) -> AWSResponse:
        self.sent.append(request)
        if "sts" in request.url:
            return AWSResponse(request.url, 200, {}, Raw(STS.encode()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        return AWSResponse(request.url, status, {}, Raw(body.encode()))

    def clients(self) -> Callable[..., Any]:
        session = boto3.session.Session(aws_access_key_id="AKIAOWN", aws_secret_access_key="x")

        def make(service: str, **options: Any) -> Any:
            client = session.client(service, **options)
            client.meta.events.register("before-send", self)
            return client

        return make


def clouds(wire: Wire, **settings: Any) -> AwsClouds:
    writes = {"kms.enable_key_rotation", ("ec2", "revoke_security_group_ingress")}
    return AwsClouds(AwsSettings(**settings), write_operations=writes, clients=wire.clients())


def call(operation: str, service: str = "kms", **params: Any) -> Call:
    return Call(
        provider="aws", account="111122223333", region="eu-west-1", service=service, operation=operation, params=params
    )


ROTATE = call("enable_key_rotation", KeyId="k")
READ = call("get_key_rotation_status", KeyId="k")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)


async def test_a_read_answers_json_and_drops_metadata() -> None:
    wire = Wire((200, '{"KeyMetadata": {"KeyId": "k", "CreationDate": 1700000000.5}}'))
    answer = await clouds(wire).reader(WHY).read(call("describe_key", KeyId="k"))
    assert answer == {"KeyMetadata": {"KeyId": "k", "CreationDate": "2023-11-14T22:13:20.500000Z"}}
    json.dumps(answer)


async def test_pages_are_merged_unless_a_page_size_is_asked_for() -> None:
    first, second = '{"Keys": [{"KeyId": "a"}], "Truncated": true, "NextMarker": "m"}', '{"Keys": [{"KeyId": "b"}]}'
    answer = await clouds(Wire((200, first), (200, second))).reader(WHY).read(call("list_keys"))
    assert [k["KeyId"] for k in answer["Keys"]] == ["a", "b"]
    wire = Wire((200, first), (200, second))
    answer = await clouds(wire).reader(WHY).read(call("list_keys", Limit=1))
    assert answer["NextMarker"] == "m"
    assert len(wire.sent) == 1


async def test_every_call_says_for_what_it_is_made() -> None:
    wire = Wire((200, "{}"))
    await clouds(wire).writer(WHY).write(ROTATE, idempotency_key="1")
    agent = wire.sent[0].headers["User-Agent"]
    agent = agent.decode() if isinstance(agent, bytes) else agent
    assert "gatehouse/1 finding/f-1 plan/plan-2 decision/dec-3 principal/alice--ops-" in agent


@pytest.mark.parametrize(
    "wanted",
    [
        call("enable_key_rotation", KeyId="k"),
        call("delete_bucket", "s3", Bucket="b"),
        call("get_secret_value", "secretsmanager", SecretId="s"),
        call("get_object", "s3", Bucket="b", Key="k"),
        call("get_paginator", "kms"),
        call("__init__", "kms"),
    ],
)
async def test_a_reader_neither_changes_nor_takes_secrets(wanted: Call) -> None:
    wire = Wire((200, "{}"))
    for cloud in (clouds(wire).reader(WHY), clouds(wire).writer(WHY)):
        with pytest.raises(CloudRefused):
            await cloud.read(wanted)
    assert wire.sent == []


async def test_a_write_no_playbook_declares_is_refused() -> None:
    wire = Wire((200, "{}"))
    with pytest.raises(CloudRefused, match="not a declared change"):
        await clouds(wire).writer(WHY).write(call("schedule_key_deletion", KeyId="k"), idempotency_key="1")
    assert wire.sent == []
    assert not hasattr(clouds(wire).reader(WHY), "write")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((503, "<html>down</html>"), OutcomeUnknown),
        ((500, '{"__type": "KMSInternalException"}'), OutcomeUnknown),
        ((404, "<!doctype html><html>not implemented</html>"), OutcomeUnknown),
        (boto.ReadTimeoutError(endpoint_url="x"), OutcomeUnknown),
        (boto.ConnectionClosedError(endpoint_url="x"), OutcomeUnknown),
        (boto.EndpointConnectionError(endpoint_url="x"), RetryLater),
        ((400, '{"__type": "ThrottlingException"}'), RetryLater),
        ((400, '{"__type": "DisabledException", "message": "is disabled"}'), CloudRefused),
        ((400, '{"__type": "AccessDeniedException"}'), CloudRefused),
    ],
)
async def test_a_write_is_sent_once_whatever_comes_back(answer: Any, expected: type[ConnectorError]) -> None:
    wire = Wire(answer)
    with pytest.raises(expected):
        await clouds(wire).writer(WHY).write(ROTATE, idempotency_key="1")
    assert len(wire.sent) == 1


async def test_a_write_whose_answer_cannot_be_read_may_have_happened() -> None:
    wire = Wire((200, "<html><br>not xml"))
    revoke = call("revoke_security_group_ingress", "ec2", GroupId="sg-1")
    with pytest.raises(OutcomeUnknown):
        await clouds(wire).writer(WHY).write(revoke, idempotency_key="1")
    with pytest.raises(RetryLater):
        await clouds(wire).reader(WHY).read(call("describe_security_groups", "ec2"))


async def test_a_read_is_tried_again_and_survives_four_faults() -> None:
    wire = Wire(*[(503, "{}")] * 4, (200, '{"KeyRotationEnabled": true}'))
    assert await clouds(wire).reader(WHY).read(READ) == {"KeyRotationEnabled": True}
    assert len(wire.sent) == 5


async def test_absence_is_told_by_its_code() -> None:
    wire = Wire((404, "<Error><Code>NoSuchPublicAccessBlockConfiguration</Code><Message>none</Message></Error>"))
    with pytest.raises(CloudRefused) as caught:
        await clouds(wire).reader(WHY).read(call("get_public_access_block", "s3", Bucket="b"))
    assert caught.value.code == "NoSuchPublicAccessBlockConfiguration"


async def test_wrong_parameters_are_refused_before_anything_is_sent() -> None:
    wire = Wire((200, "{}"))
    with pytest.raises(CloudRefused, match="parameters"):
        await clouds(wire).writer(WHY).write(call("enable_key_rotation", Nonsense=1), idempotency_key="1")
    assert wire.sent == []


async def test_a_role_is_assumed_in_the_account_with_name_tags_and_identity() -> None:
    wire = Wire((200, "{}"))
    cloud = clouds(wire, write_role="arn:aws:iam::{account}:role/fixer", external_id="shh").writer(WHY)
    await cloud.write(ROTATE, idempotency_key="1")
    await cloud.write(ROTATE, idempotency_key="2")
    asked = [r for r in wire.sent if "sts" in r.url]
    assert len(asked) == 1
    body = asked[0].body if isinstance(asked[0].body, str) else asked[0].body.decode()
    assert "RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Ffixer" in body
    assert "RoleSessionName=gatehouse-dec-3" in body
    assert "SourceIdentity=alice--ops-" in body
    assert "ExternalId=shh" in body
    assert "gatehouse%3Adecision" in body
    assert b"ASIAROLE" in wire.sent[-1].headers["Authorization"]


async def test_another_cloud_is_refused() -> None:
    with pytest.raises(CloudRefused, match="azure"):
        await clouds(Wire((200, "{}"))).reader(WHY).read(READ.model_copy(update={"provider": "azure"}))


def test_a_quota_is_not_a_rate() -> None:
    error = boto.ClientError(
        {"Error": {"Code": "LimitExceededException", "Message": "keys per user"}}, "CreateAccessKey"
    )
    assert isinstance(explain(error, service="iam", operation="x", write=True), CloudRefused)
    assert isinstance(explain(error, service="securityhub", operation="x", write=False), RetryLater)
    assert not isinstance(explain(error, service="iam", operation="x", write=True), Relogin)


def test_missing_credentials_say_how_to_give_them() -> None:
    told = explain(boto.NoCredentialsError(), service="kms", operation="x", write=True)
    assert isinstance(told, CloudRefused)
    assert "AWS_ACCESS_KEY_ID" in told.mend


def test_only_a_simulated_s3control_goes_by_way_of_a_proxy() -> None:
    made: dict[str, Any] = {}

    def make(service: str, **options: Any) -> None:
        made[service] = options["config"].proxies

    for endpoint in ("", "http://localhost:5577"):
        simulated = AwsClouds(AwsSettings(endpoint_url=endpoint), clients=make)
        for service in ("s3control", "s3"):
            simulated.client(service, "us-east-1", "x", attempts=1)
        assert made == {"s3control": {"http": endpoint} if endpoint else None, "s3": None}
