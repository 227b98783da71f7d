"""What becomes of each kind of object of Lacework, and that no damage to one is more than "not a finding"."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from example_lacework import EXAMPLES, alert, container, detailed, evaluation, event, host, violation, webhook
from sources_table import members

from bot.domain.errors import BadInput
from bot.domain.findings import Finding, FindingClass, Severity, SourceStatus
from connectors.lacework.mapping import LaceworkMapper
from connectors.lacework.words import exposed, moment

MAPPER = LaceworkMapper()


def mapped(raw: dict[str, Any]) -> Finding:
    found = MAPPER.map(raw)
    assert MAPPER.sight(raw).uid == found.uid
    return found


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def test_an_alert_of_the_list_has_its_resource_from_the_text() -> None:
    found = mapped(alert())
    assert (found.uid, found.rule_uid, found.class_uid) == ("4711", "lacework-global-2", FindingClass.DETECTION)
    assert (found.severity, found.severity_word) == (Severity.HIGH, "High")
    assert (found.result, found.result_word) == (SourceStatus.NEW, "Open")
    assert (found.account.uid, found.account.name, found.account.provider) == ("111122223333", "acme-prod", "aws")
    assert (found.resource.uid, found.resource.type) == ("sg-0a1b2c3d4e5f6a7b8", "ec2:security-group")
    assert [one.uid for one in found.other_resources] == ["AROAEXAMPLE:ann@acme.example"]
    assert "`" not in found.desc
    assert found.risk == "Unusual hour\nfirst time in 60 days"
    assert (found.first_seen, found.last_seen, found.modified) == (at(2026, 6, 1, 8), at(2026, 6, 1, 9), None)
    assert found.internet_exposed is True
    assert found.types == ("Policy", "Cloud Activity")


def test_the_entity_map_of_the_details_names_resource_account_and_control() -> None:
    found = mapped(detailed())
    assert found.class_uid is FindingClass.COMPLIANCE
    assert (found.resource.uid, found.resource.type) == ("arn:aws:s3:::acme-invoices", "s3:bucket")
    assert found.resource.region == "eu-central-1"
    assert (found.account.uid, found.account.name) == ("111122223333", "acme-prod")
    assert [(c.standard, c.requirement) for c in found.controls] == [("LW_SA", "lacework-global-96"), ("cis-1-4", "")]
    assert "ReadAccessGranted" in found.desc
    assert found.remediation == "Remove the grant."
    assert found.environment_hint == "prod"
    assert [(o.kind, o.value) for o in found.owner_hints] == [("tag:team", "payments")]
    assert found.url == "https://acme.lacework.net/ui/investigation/monitor/AlertInbox/4712/details?accountName=ACME"
    assert found.console_url.startswith("https://console.aws.amazon.com/go/view?arn=")


@pytest.mark.parametrize(
    ("entity_map", "uid", "account"),
    [
        ({"Machine": [{"KEY": {"mid": 7}, "PROPS": {"hostname": "db-1"}}]}, "lacework:machine:7", "111122223333"),
        ({"CT_User": [{"KEY": {"username": "ann", "account": "999988887777"}}]}, "ann", "999988887777"),
        ({"Container": [{"IMAGE_REPO": "shop/api", "IMAGE_TAG": "1"}]}, "shop/api:1", "111122223333"),
        ({"K8Pod": [{"NAMESPACE": ["shop"], "POD": "api-1"}]}, "shop/api-1", "111122223333"),
        ({"K8Cluster": [{"CLUSTER NAME": "eks-1"}]}, "eks-1", "111122223333"),
        (
            {
                "AzureIdentity": [
                    {"KEY": {"principal_id": "p-1"}, "PROPS": {"subscription_list": [{"subscription_id": "s-1"}]}}
                ]
            },
            "p-1",
            "s-1",
        ),
        ({"ImageId": [{"IMAGE_ID": "sha256:a", "IMAGE_REPO": "r", "IMAGE_TAG": ["1"]}]}, "r@sha256:a", "111122223333"),
        ({"API": "{object}", "Resource": "{object}"}, "sg-0a1b2c3d4e5f6a7b8", "111122223333"),
        (
            {"Resource": [{"NAME": "iam:user", "VALUE": "arn:iam::999988887777:user/x"}]},
            "arn:aws:iam::999988887777:user/x",
            "111122223333",
        ),
    ],
)  # fmt: skip
def test_the_resource_comes_from_whatever_entity_there_is(entity_map: dict[str, Any], uid: str, account: str) -> None:
    found = mapped(alert(entityMap=entity_map))
    assert found.resource.uid == uid
    assert found.account.uid == account


@pytest.mark.parametrize(
    ("said", "uid", "account", "name", "provider"),
    [
        ("For account: 0123456789  : Root account was used 96 times  by user  0123456789 ",
         "AWS::::Account:0123456789", "0123456789", "", "aws"),
        ("For project: shop-1   (Shop) : A new service x.apis.com was used (by user ann@acme.example)",
         "ann@acme.example", "shop-1", "Shop", "gcp"),
        (" A user (ann@acme.example) logged in from a new source", "ann@acme.example", "", "", ""),
        ("bob@acme.example logged in from a new source Rennes", "bob@acme.example", "", "", ""),
        ("New integration failure detected for azure-al (and 3 more)", "azure-al", "", "", ""),
        ("Azure Account Acme Pay-As-You-Go: Azure_CIS_2_1 x", "Acme Pay-As-You-Go", "", "Acme Pay-As-You-Go", "azure"),
        ("nothing of use", "unknown", "", "", ""),
    ],
)  # fmt: skip
def test_accounts_projects_and_users_are_read_from_the_text(
    said: str, uid: str, account: str, name: str, provider: str
) -> None:
    found = mapped(alert(alertInfo={"description": said, "subject": ""}, derivedFields={"category": "Anomaly"}))
    assert found.resource.uid == uid
    assert (found.account.uid, found.account.name, found.account.provider) == (account, name, provider)


def test_sub_accounts_count_their_own_alerts() -> None:
    assert mapped(alert()).uid == "4711"
    assert mapped(alert(_lacework={"host": "acme.lacework.net"})).uid == "4711"
    assert mapped(alert(_lacework={"account": "ACME-EU"})).uid == "ACME-EU/4711"


def test_an_event_of_a_channel_is_the_alert_of_the_same_number() -> None:
    found = mapped(event())
    assert (found.uid, found.title) == ("4713", "Known CVE on a host")
    assert (found.severity, found.severity_word) == (Severity.HIGH, "2")
    assert found.class_uid is FindingClass.VULNERABILITY
    assert found.resource.uid == "arn:aws:ec2:eu-west-1:111122223333:instance/i-0123456789abcdef0"
    one = found.vulnerabilities[0]
    assert (one.uid, one.package, one.fixed_version, one.fix) == ("CVE-2026-0001", "openssl", "3.0.7", True)
    assert found.internet_exposed is True
    assert found.first_seen == at(2026, 6, 1, 8)
    assert found.url.endswith("EventDossier-4713")
    assert mapped(event(EVENT_ID=4713, SEVERITY="2")).model_dump() == found.model_dump()


def test_the_webhooks_strings_are_understood() -> None:
    found = mapped(webhook())
    assert (found.uid, found.rule_uid, found.class_uid) == ("4714", "Azure_CIS_2_1", FindingClass.COMPLIANCE)
    assert (found.severity, found.severity_word) == (Severity.LOW, "4")
    assert (found.account.name, found.account.provider) == ("Acme Production", "azure")
    assert found.first_seen == at(2026, 6, 1, 8)
    better = webhook(event_description="AWS Account a: x changed from non-compliant to compliant")
    assert mapped(better).result is SourceStatus.RESOLVED


def test_a_host_vulnerability_is_about_the_clouds_own_machine() -> None:
    found = mapped(host())
    assert found.uid == "host|77|CVE-2026-0002|ubuntu:22.04|openssl"
    assert found.resource.uid == "arn:aws:ec2:us-east-1:111122223333:instance/i-0123456789abcdef0"
    assert (found.resource.name, found.resource.region) == ("web-1", "us-east-1")
    assert found.resource.tags == {"Name": "web-1", "Env": "prod", "team": "web"}
    assert (found.account.uid, found.environment_hint, found.internet_exposed) == ("111122223333", "prod", True)
    one = found.vulnerabilities[0]
    assert (one.cvss, one.cvss_vector, one.exploit, one.fix) == (7.5, "AV:N/AC:L", True, True)
    assert (one.package, one.version, one.fixed_version) == ("openssl", "3.0.5", "3.0.7")
    assert (found.score, found.first_seen, found.last_seen) == (8.5, at(2026, 5, 1), at(2026, 6, 1, 8))
    assert found.remediation == "Update openssl from 3.0.5 to 3.0.7."


@pytest.mark.parametrize(
    ("status", "result"),
    [
        ("Active", SourceStatus.NEW),
        ("Reopened", SourceStatus.NEW),
        ("VULNERABLE", SourceStatus.NEW),
        ("Fixed", SourceStatus.RESOLVED),
        ("FixedOnDiscovery", SourceStatus.RESOLVED),
        ("GOOD", SourceStatus.RESOLVED),
        ("EXCEPTION", SourceStatus.SUPPRESSED),
        ("Sleeping", SourceStatus.OTHER),
        (None, SourceStatus.NEW),
    ],
)
def test_the_words_of_vulnerabilities(status: Any, result: SourceStatus) -> None:
    found = mapped(host(status=status))
    assert found.result is result
    assert found.result_word == (status or "VULNERABLE")
    assert MAPPER.sight(host(status=status)).closed == (result is SourceStatus.RESOLVED)


def test_a_new_version_or_evaluation_on_a_machine_is_the_same_finding_and_on_an_image_another() -> None:
    other = host()
    other["featureKey"] = {**other["featureKey"], "version_installed": "3.0.7"}
    other["evalCtx"] = {**other["evalCtx"], "mc_eval_guid": "e2"}
    assert mapped(other).uid == mapped(host()).uid
    newer = container(featureKey={"name": "curl", "namespace": "debian:12", "version": "8.4.0"})
    assert mapped(newer).uid != mapped(container()).uid
    assert MAPPER.sight(container(evalGuid="g2", startTime="2026-06-02T00:00:00Z")) == MAPPER.sight(container())


def test_an_image_is_registry_repository_and_digest() -> None:
    found = mapped(container())
    assert found.resource.uid == "111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop/api@sha256:bb22"
    assert found.resource.name.endswith("shop/api:1.4")
    assert (found.account.uid, found.account.provider, found.resource.region) == ("111122223333", "aws", "eu-west-1")
    assert (found.result, found.status_reason) == (SourceStatus.SUPPRESSED, "Accepted Risk: all low")


@pytest.mark.parametrize(
    ("tags", "uid", "account", "provider"),
    [
        ({"VmProvider": "GCE", "ProjectId": "p", "Zone": "us-central1-a", "InstanceName": "vm"},
         "//compute.googleapis.com/projects/p/zones/us-central1-a/instances/vm", "p", "gcp"),
        ({"VmProvider": "Azure", "SubscriptionId": "s", "ResourceGroup": "g", "InstanceName": "vm"},
         "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm", "s", "azure"),
        ({"InstanceId": "i-0123456789abcdef0", "Account": "1", "Zone": "us-gov-west-1a", "VmProvider": "AWS"},
         "arn:aws-us-gov:ec2:us-gov-west-1:1:instance/i-0123456789abcdef0", "1", "aws"),
        ({"InstanceId": "i-0123456789abcdef0"}, "i-0123456789abcdef0", "", "aws"),
        ({}, "lacework:machine:77", "", ""),
    ],
)  # fmt: skip
def test_machines_of_every_cloud_get_their_own_id(tags: dict[str, str], uid: str, account: str, provider: str) -> None:
    found = mapped(host(machineTags=tags))
    assert (found.resource.uid, found.account.uid, found.account.provider) == (uid, account, provider)


def test_an_evaluation_is_policy_account_and_resource() -> None:
    found = mapped(evaluation())
    assert found.uid == "compliance|lacework-global-39|111122223333|arn:aws:s3:::acme-invoices"
    assert found.title == "Ensure the S3 bucket has access logging enabled"
    assert (found.desc, found.risk, found.remediation) == (
        "LoggingNotEnabled",
        "No trace of who read it.",
        "Turn logging on.",
    )
    assert [(c.standard, c.requirement) for c in found.controls] == [("LW_SA", "2 Logging")]
    assert (found.account.name, found.resource.region) == ("acme-prod", "eu-central-1")
    assert found.extra["scope"] == "lacework:compliance:acme:aws:111122223333"
    assert mapped(evaluation(status="Compliant")).result is SourceStatus.RESOLVED
    assert mapped(evaluation(status="Suppressed")).result is SourceStatus.SUPPRESSED
    assert MAPPER.sight(evaluation(reportTime="2026-06-02T06:00:00.000Z")) == MAPPER.sight(evaluation())


def test_a_policys_markdown_becomes_plain_text_with_its_commands_and_links() -> None:
    said = (
        "### Steps\n1. Open [the guide](https://docs.example/s3)\n```\naws s3api put-bucket-logging --bucket {{b}}\n```"
    )
    found = mapped(evaluation(_lacework={"policy": {"remediation": said, "references": ["https://cis.example"]}}))
    assert found.remediation.startswith("Steps\n1. Open the guide")
    assert "`" not in found.remediation
    assert found.remediation_cli == "aws s3api put-bucket-logging --bucket <b>"
    assert found.references == ("https://cis.example", "https://docs.example/s3")


def test_azure_and_google_accounts_of_evaluations() -> None:
    azure = mapped(
        evaluation(account={"subscriptionId": "s", "subscriptionName": "Prod"}, resource="/subscriptions/s/x")
    )
    assert (azure.account.uid, azure.account.name, azure.account.provider) == ("s", "Prod", "azure")
    google = mapped(
        evaluation(account={"projectId": "p", "organizationId": "1", "organizationName": "n/a"}, resource="x")
    )
    assert (google.account.uid, google.account.provider) == ("p", "gcp")


def test_a_violation_of_a_report_and_the_evaluation_of_the_same_policy_are_one_finding() -> None:
    found = mapped(violation())
    assert (found.severity, found.severity_word) == (Severity.MEDIUM, "3")
    assert [(c.standard, c.requirement) for c in found.controls] == [("AWS CIS Benchmark", "Logging")]
    assert (found.desc, found.last_seen) == ("NotEnabled", at(2026, 6, 1, 6))
    assert found.references == ("https://docs.example/aws-cis#2",)
    same = violation(REC_ID="lacework-global-39", VIOLATION={"resource": "arn:aws:s3:::acme-invoices"})
    assert mapped(same).uid == mapped(evaluation()).uid


@pytest.mark.parametrize(
    ("status", "reason", "result"),
    [
        ("Open", None, SourceStatus.NEW),
        ("In Progress", None, SourceStatus.IN_PROGRESS),
        ("Closed", None, SourceStatus.RESOLVED),
        ("Closed", 3, SourceStatus.RESOLVED),
        ("Closed", 1, SourceStatus.SUPPRESSED),
        ("Closed", "Expected because of routine testing", SourceStatus.SUPPRESSED),
        ("Paused", None, SourceStatus.OTHER),
    ],
)
def test_the_words_of_alerts(status: str, reason: Any, result: SourceStatus) -> None:
    found = mapped(alert(status=status, closeReason=reason))
    assert (found.result, found.result_word) == (result, status)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2022-11-14 00:07:45.736000000", at(2022, 11, 14, 0, 7, 45, 736000)),
        ("Thu, 20 Apr 2023 06:33:25 -0700", at(2023, 4, 20, 13, 33, 25)),
        ("27 May 2021 17:00 GMT", at(2021, 5, 27, 17)),
        ("1664561511626", at(2022, 9, 30, 18, 11, 51, 626000)),
        (1636768866, at(2021, 11, 13, 2, 1, 6)),
        ("0", None),
        ("", None),
        (0, None),
        ("soon", None),
        ("99 May 2021 17:00 GMT", None),
        ("1" * 40, None),
    ],
)
def test_times_in_all_their_spellings(said: Any, expected: datetime | None) -> None:
    assert moment(said) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [("Yes", True), ("Public", True), ("InternetExposed", True), ("No", False), ("Private", False),
     ("NotInternetExposed", False), ("Unknown", None), ("UnknownInternetExposure", None), ("", None), (None, None)],
)  # fmt: skip
def test_words_of_exposure(said: Any, expected: bool | None) -> None:
    assert exposed(said) is expected


JUNK: tuple[Any, ...] = (None, True, -1, 1e400, "", "x", "\x00\ud800", [], [None, 1], {}, {"a": [1]}, "9" * 50)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_any_member_missing_or_of_any_type_is_no_exception_but_bad_input(number: int) -> None:
    for path in members(EXAMPLES[number]):
        for depth in range(1, len(path) + 1):
            for junk in (*JUNK, ...):
                raw = copy.deepcopy(EXAMPLES[number])
                holder: Any = raw
                for step in path[: depth - 1]:
                    holder = holder[step]
                if junk is ...:
                    del holder[path[depth - 1]]
                else:
                    holder[path[depth - 1]] = junk
                try:
                    seen, found = MAPPER.sight(raw), MAPPER.map(raw)
                except BadInput:
                    continue
                assert seen.uid == found.uid
                assert "\x00" not in found.model_dump_json()


@pytest.mark.parametrize(
    "foreign",
    [{}, {"Id": "x", "SchemaVersion": "2018-10-08"}, {"alertId": 0, "alertName": "x"}, {"id": "1", "severity": "HIGH"},
     {"event_id": "0", "event_title": "Test Event", "event_type": "TestEvent"}],
)  # fmt: skip
def test_what_is_no_finding_of_lacework_is_refused(foreign: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="not a finding of Lacework"):
        MAPPER.map(foreign)
