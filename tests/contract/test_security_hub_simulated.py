"""The poller and AwsClouds against the simulated AWS over HTTP. (It ignores filters: those have their own stub.)"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from bot.domain.errors import CloudRefused, OutcomeUnknown
from bot.domain.plans import Call
from bot.ports import Attribution
from bot.settings import AwsSettings, Settings
from connectors.aws import AwsClouds, check_aws
from connectors.registry import connector

REGION = "us-east-1"


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://localhost:{port}"
    server.stop()


def imported(number: int) -> dict[str, Any]:
    return {
        "SchemaVersion": "2018-10-08",
        "Id": f"finding-{number}",
        "ProductArn": f"arn:aws:securityhub:{REGION}:123456789012:product/123456789012/default",
        "GeneratorId": "own/rule",
        "AwsAccountId": "123456789012",
        "Types": ["Software and Configuration Checks"],
        "CreatedAt": "2026-11-20T00:00:00Z",
        "UpdatedAt": "2026-11-20T00:00:00Z",
        "Severity": {"Label": "HIGH"},
        "Title": f"Finding {number}",
        "Description": "said",
        "Resources": [{"Type": "AwsS3Bucket", "Id": f"arn:aws:s3:::b{number}"}],
    }


async def test_what_was_imported_is_polled_and_mapped(endpoint: str) -> None:
    hub = boto3.client("securityhub", region_name=REGION, endpoint_url=endpoint)
    hub.enable_security_hub()
    for start in range(0, 150, 50):
        answer = hub.batch_import_findings(Findings=[imported(n) for n in range(start, start + 50)])
        assert answer["FailedCount"] == 0
    settings = Settings(aws=AwsSettings(endpoint_url=endpoint, region=REGION))
    found = connector("security_hub")
    assert REGION in await found.check(settings, {})
    mapper = found.mapper()
    uids = set()
    async for page in found.poller(settings, {}).poll(None, datetime.now(UTC)):
        uids |= {mapper.map(item).uid for item in page.items}
    assert len(uids) == 150


async def test_an_attributed_write_changes_the_right_account_and_reads_back(endpoint: str) -> None:
    clouds = AwsClouds(
        AwsSettings(
            endpoint_url=endpoint,
            write_role="arn:aws:iam::{account}:role/fixer",
            read_role="arn:aws:iam::{account}:role/audit",
        ),
        write_operations={"s3control.put_public_access_block", "s3control.delete_public_access_block"},
    )
    why = Attribution(finding_id="f-1", plan_id="p-1", decision_id="d-1", principal_id="alice")
    block = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)

    def call(operation: str, account: str, **params: Any) -> Call:
        return Call(provider="aws", account=account, region=REGION, service="s3control", operation=operation,
                    params={"AccountId": account, **params})  # fmt: skip

    await clouds.writer(why).write(
        call("put_public_access_block", "111122223333", PublicAccessBlockConfiguration=block), idempotency_key="k"
    )
    reader = clouds.reader(why)
    answer = await reader.read(call("get_public_access_block", "111122223333"))
    assert answer == {"PublicAccessBlockConfiguration": block}
    with pytest.raises(CloudRefused) as absent:
        await reader.read(call("get_public_access_block", "123456789012"))
    assert absent.value.code == "NoSuchPublicAccessBlockConfiguration"


async def test_what_the_simulator_lacks_is_unknown_on_a_write(endpoint: str) -> None:
    clouds = AwsClouds(AwsSettings(endpoint_url=endpoint), write_operations={"ec2.monitor_instances"})
    call = Call(provider="aws", account="123456789012", region=REGION, service="ec2", operation="monitor_instances",
                params={"InstanceIds": ["i-1"]})  # fmt: skip
    with pytest.raises(OutcomeUnknown):
        await clouds.writer(Attribution()).write(call, idempotency_key="k")


async def test_the_doctor_says_who_we_are(endpoint: str) -> None:
    assert "account 123456789012" in await check_aws(AwsSettings(endpoint_url=endpoint))
