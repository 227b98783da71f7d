"""Key fields of every recorded payload of Lacework, and its simulator's own rules."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from bot.domain.findings import Finding
from bot.sandbox.vendors.company import START, World
from bot.sandbox.vendors.lacework import LaceworkSimulator
from connectors.registry import connector

SHARED = Path(__file__).resolve().parents[3] / "shared" / "samples" / "lacework"


def mapped(name: str) -> list[Finding]:
    if not SHARED.is_dir():
        why = "the recorded payloads (../shared/samples) are not beside the repository"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    mapper = connector("lacework").mapper()
    with (SHARED / name).open("rb") as stream:
        return [mapper.map(item) for page in connector("lacework").read(stream, name) for item in page.items]


# file -> (uid, class, rule, severity word, result, result word, resource, region, account, provider)
KEY_FIELDS: dict[str, list[tuple[Any, ...]]] = {
    "alert-details.json": [
        ("967272", 2004, "CUSTOM_FIM_276", "Medium", "NEW", "Open", "unknown", "", "", "")],
    "alert-sekoia-aws-account-access.json": [
        ("233783", 2004, "LoginFromSourceUsingCalltype", "Low", "NEW", "Open",
         "Unknown/123456789:john.doe@company.com", "", "123456789", "aws")],
    "alert-sekoia-event-01.json": [
        ("813628", 2004, "CloudActivityLogIngestionFailed", "High", "NEW", "Open", "azure-al-india-dnd", "", "", "")],
    "alert-sekoia-event-02.json": [
        ("205", 2004, "lacework-global-8", "Info", "NEW", "Open", "AWS::::Account:0123456789", "",
         "0123456789", "aws")],
    "alert-sekoia-event-03.json": [
        ("206", 2004, "lacework-global-29", "Medium", "NEW", "Open",
         "AROAUR6F6MOZQBRKBX6RG:3e0ac0bf-fa18-4e70-8aa4-44debb525a10", "", "0123456789", "aws")],
    "alert-sekoia-event-04.json": [
        ("207", 2004, "lacework-global-29", "Low", "NEW", "Open", "AROAUR6F6MOZ7YRJNRFJB:LACEWORK-CFG-external", "",
         "0123456789", "aws")],
    "alert-sekoia-event-08.json": [
        ("202634", 2004, "lacework-global-19", "Info", "NEW", "Open", "JOHNDOE:1234", "", "12345678", "aws")],
    "alert-sekoia-event-10.json": [
        ("202655", 2004, "NewAwsUser", "Low", "NEW", "Open",
         "AssumedRole/12345678:AWSServiceRoleForAmazonGuardDuty", "", "12345678", "aws")],
    "alert-sekoia-new-gcp-service.json": [
        ("233782", 2004, "203101916", "Medium", "NEW", "Open", "john.doe@company.com", "", "project-001", "gcp")],
    "alert-sekoia-new-gcp-source.json": [
        ("233726", 2004, "203059776", "Low", "NEW", "Open", "john.doe@company.com", "", "", "gcp")],
    "alert-sekoia-security-group-change.json": [
        ("233808", 2004, "lacework-global-2", "Info", "NEW", "Open", "sg-012345", "", "1234567890", "aws")],
    "alerts-page-1.json": [
        ("967278", 2004, "CUSTOM_PLATFORM_130", "High", "NEW", "Open", "kiki-intg-2", "", "", "")],
    "alerts-page-2.json": [
        ("967279", 2004, "CUSTOM_PLATFORM_130", "High", "NEW", "Open", "kiki-intg-2", "", "", "")],
    "alerts-page-without-urls.json": [
        ("855628", 2004, "CUSTOM_PLATFORM_130", "Critical", "NEW", "Open", "azure-al-india-dnd", "", "", ""),
        ("855629", 2004, "ChangedFile", "Critical", "NEW", "Open", "ABCD1234:Lacework", "", "1234567890", "aws")],
    "report-aws.json": [
        ("compliance|LW_AWS_ELASTICSEARCH_1|123456789|arn:aws:test:123456789:domain/test123", 2003,
         "LW_AWS_ELASTICSEARCH_1", "2", "NEW", "NonCompliant", "arn:aws:test:123456789:domain/test123",
         "example-region", "123456789", "aws")],
    "report-azure.json": [
        ("compliance|Azure_CIS_1_23|123456-123456|my-invalid-custom-role-12345", 2003, "Azure_CIS_1_23", "3", "NEW",
         "NonCompliant", "my-invalid-custom-role-12345", "", "123456-123456", "azure")],
    "vulnerabilities-hosts.json": [
        ("host|38|ALAS2-2019-1340|amzn:2|curl", 2002, "ALAS2-2019-1340", "Medium", "RESOLVED", "FixedOnDiscovery",
         "arn:aws:ec2:us-east-2:123456789038:instance/i-12345678903bd1a6c", "us-east-2", "123456789038", "aws"),
        ("host|52|ALAS2-2021-1704|amzn:2|kernel-tools", 2002, "ALAS2-2021-1704", "Medium", "NEW", "Reopened",
         "arn:aws:ec2:us-west-2:123456789038:instance/i-1234567890c3aa2ce", "us-west-2", "123456789038", "aws")],
    "webhook-compliance-changed.json": [
        ("120884", 2003, "Azure_CIS_2_1", "4", "NEW", "", "myLacework Pay-As-You-Go", "", "", "azure")],
}  # fmt: skip


@pytest.mark.shared
@pytest.mark.parametrize("name", sorted(KEY_FIELDS))
def test_the_key_fields_of_every_sample(name: str) -> None:
    found = [
        (f.uid, int(f.class_uid), f.rule_uid, f.severity_word, f.result.name, f.result_word, f.resource.uid,
         f.resource.region, f.account.uid, f.account.provider)
        for f in mapped(name)
    ]  # fmt: skip
    assert found == KEY_FIELDS[name]


@pytest.mark.shared
def test_samples_of_images_and_packages() -> None:
    found = mapped("vulnerabilities-containers.json")
    assert [(f.result.name, f.status_reason) for f in found] == [
        ("SUPPRESSED", "Accepted Risk: registry registry.example.com severity Low"), ("NEW", "")]  # fmt: skip
    assert {f.resource.name for f in found} == {"registry.example.com/techallylw/test-cli-dirty:latest"}
    found = mapped("vulnerabilities-containers-evaluations.json")
    assert [(f.vulnerabilities[0].uid, f.vulnerabilities[0].fix) for f in found] == [
        ("CVE-2029-21234", True), ("CVE-2020-12345", False), ("CVE-2020-12345", True)]  # fmt: skip
    found = mapped("software-packages-scan.json")
    assert [(f.vulnerabilities[0].package, f.severity_word, f.result_word) for f in found] == [
        ("python-babel", "Critical", "VULNERABLE"), ("dbus", "High", "VULNERABLE"),
        ("vim-data", "Medium", "VULNERABLE")]  # fmt: skip
    assert [f.vulnerabilities[0].cvss for f in found] == [None, None, None]  # 0 without a vector is "not rated"
    # The file's name says host; its row is an image's.
    assert mapped("vulnerabilities-hosts-one.json")[0].uid.startswith("container|sha256:")


@pytest.mark.shared
def test_times_and_links_of_samples() -> None:
    alert = mapped("alerts-page-1.json")[0]
    assert (alert.first_seen, alert.last_seen) == (
        datetime(2022, 9, 29, 16, tzinfo=UTC), datetime(2022, 9, 29, 17, tzinfo=UTC))  # fmt: skip
    assert alert.modified is None  # lastUserUpdatedTime "0"
    assert alert.url.startswith("https://example.lacework.net/ui/investigation/monitor/AlertInbox/967278/details")
    assert mapped("webhook-compliance-changed.json")[0].first_seen == datetime(2021, 5, 27, 17, tzinfo=UTC)
    assert mapped("alert-sekoia-event-01.json")[0].risk.startswith("Container Escape\nUse of known container")


# --- the simulator keeps the rules it is there for -------------------------------------------------------------------


@pytest.fixture
async def sim() -> AsyncIterator[tuple[LaceworkSimulator, TestClient[Any, Any], dict[str, str]]]:
    now = START + timedelta(days=1)
    made = LaceworkSimulator(World(60, demo=True), key_id="k", secret="s", now=lambda: now, page_rows=3)
    async with TestClient(TestServer(made.app())) as client:
        login = await client.post(
            "/api/v2/access/tokens", json={"keyId": "k", "expiryTime": 60}, headers={"X-LW-UAKS": "s"}
        )
        assert login.status == 201
        yield made, client, {"Authorization": f"Bearer {(await login.json())['token']}"}


def span(hours: float, before: float = 0) -> dict[str, str]:
    end = START + timedelta(days=1) - timedelta(hours=before)
    return {"startTime": (end - timedelta(hours=hours)).isoformat(), "endTime": end.isoformat()}


async def test_simulated_tokens_need_the_secret_and_end(sim: Any) -> None:
    made, client, who = sim
    wrong = await client.post("/api/v2/access/tokens", json={"keyId": "k"}, headers={"Authorization": "s"})
    assert wrong.status == 401
    assert (await client.get("/api/v2/Alerts", params=span(24))).status == 401
    made.now = lambda: START + timedelta(days=1, minutes=2)
    assert (await client.get("/api/v2/Alerts", params=span(24), headers=who)).status == 401


async def test_simulated_pages_end_in_every_way_and_windows_are_bounded(sim: Any) -> None:
    _, client, who = sim
    ends, numbers = [], []
    for _ in range(4):
        answer = await client.get("/api/v2/Alerts", params=span(160), headers=who)
        numbers.append([])
        while True:
            body = await answer.json()
            numbers[-1] += [row["alertId"] for row in body["data"]]
            link = (body["paging"].get("urls") or {}).get("nextPage")
            if not link:
                ends.append(str(body["paging"].get("urls", "absent")))
                break
            answer = await client.get(link.replace(str(client.make_url("")).rstrip("/"), ""), headers=who)
    assert len(set(ends)) == 4
    assert len({frozenset(one) for one in numbers}) == 1
    assert len({tuple(one) for one in numbers}) > 1  # in no order
    assert (await client.get("/api/v2/Alerts", params=span(169), headers=who)).status == 400
    assert (await client.get("/api/v2/Alerts", params=span(24, 93 * 24), headers=who)).status == 400
    assert (await client.get("/api/v2/alerts", params=span(24), headers=who)).status == 404
    none = await client.get("/api/v2/Alerts", params=span(1, 80 * 24), headers=who)
    assert (none.status, await none.read()) == (204, b"")


async def test_simulated_writes_are_not_idempotent_and_searches_need_their_dataset(sim: Any) -> None:
    made, client, who = sim
    number = next(iter(made.alert_numbers().values()))[-1]
    for _ in range(2):
        assert (await client.post(f"/api/v2/Alerts/{number}/comment", json={"comment": "x"}, headers=who)).status == 201
    assert made.comments(number) == ["x", "x"]
    close = f"/api/v2/Alerts/{number}/close"
    assert (await client.post(close, json={"reason": 0}, headers=who)).status == 400
    assert (await client.post(close, json={"reason": 0, "comment": "y"}, headers=who)).status == 204
    assert (await client.post(close, json={"reason": 0, "comment": "y"}, headers=who)).status == 400
    search = "/api/v2/Configs/ComplianceEvaluations/search"
    assert (await client.post(search, json={"timeFilter": span(24)}, headers=who)).status == 400
    made.an_hour = 1
    assert (await client.get("/api/v2/Alerts", params=span(24), headers=who)).status == 429
