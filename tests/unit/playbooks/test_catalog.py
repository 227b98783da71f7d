"""Which playbook fixes which finding."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bot.remediation.catalog as catalog_module
from bot.domain.errors import NotFound, SettingsError
from bot.domain.findings import Account
from bot.domain.plans import Risk
from bot.remediation.catalog import Catalog, builtin_catalog, write_operations
from tests.lab.scan import catalog_table
from tests.unit.playbooks.make import CATALOG, finding

BUCKET = "arn:aws:s3:::acme-invoices"
GROUP = "arn:aws:ec2:us-east-1:123456789012:security-group/sg-0123456789abcdef0"


def test_a_scanner_check_names_its_playbook() -> None:
    found = CATALOG.for_rule("prowler", "s3_bucket_level_public_access_block")
    assert found is not None
    assert found.info.id == "s3-block-public-access"


@pytest.mark.parametrize("rule", ["S3.8", "aws-foundational-security-best-practices/v/1.0.0/S3.8"])
def test_a_security_hub_control_counts_only_for_security_hub(rule: str) -> None:
    found = CATALOG.for_rule("security_hub", rule)
    assert found is not None
    assert found.info.id == "s3-block-public-access"
    assert CATALOG.for_rule("another_source", rule) is None


def test_a_check_of_the_scanner_that_comes_by_security_hub_is_known() -> None:
    found = CATALOG.for_rule("security_hub", "prowler-s3_bucket_level_public_access_block")
    assert found is not None
    assert found.info.id == "s3-block-public-access"


def test_an_unknown_rule_has_no_playbook() -> None:
    assert CATALOG.for_rule("prowler", "no_such_check") is None
    with pytest.raises(NotFound, match="no-such-playbook"):
        CATALOG.get("no-such-playbook")


def test_a_finding_whose_resource_cannot_be_told_has_no_playbook() -> None:
    rule = "s3_bucket_public_access"
    assert CATALOG.for_finding(finding(BUCKET, rule=rule)) is CATALOG.get("s3-block-public-access")
    assert CATALOG.for_finding(finding("some-bucket", rule=rule)) is None


@pytest.mark.parametrize(
    "uid",
    [
        "arn:aws:s3:::UPPER_case",
        "arn:aws:s3:::b",
        "arn:aws:s3:::acme/../other",
        "arn:aws:s3:::acme-invoices\n",
        "arn:aws:s3:::<!channel>",
        "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0",
        "",
    ],
)
def test_only_a_well_formed_bucket_name_is_a_target(uid: str) -> None:
    assert CATALOG.get("s3-block-public-access").target(finding(uid)) is None


def test_the_account_of_the_arn_must_be_the_account_of_the_finding() -> None:
    playbook = CATALOG.get("sg-revoke-world-ssh")
    other = Account(uid="999999999999", provider="aws")
    assert playbook.target(finding(GROUP, account=other)) is None
    told = playbook.target(finding(GROUP, account=Account()))
    assert told is not None
    assert told.account == "123456789012"


def test_a_bucket_needs_account_and_region_from_the_finding() -> None:
    playbook = CATALOG.get("s3-block-public-access")
    assert playbook.target(finding(BUCKET, account=Account())) is None
    assert playbook.target(finding(BUCKET, region="")) is None
    assert playbook.target(finding(BUCKET, region="global")) is None


def test_the_region_of_the_arn_wins() -> None:
    told = CATALOG.get("sg-revoke-world-ssh").target(finding(GROUP, region="eu-west-1"))
    assert told is not None
    assert told.region == "us-east-1"


def test_all_findings_about_an_account_setting_have_one_target() -> None:
    playbook = CATALOG.get("iam-password-policy")
    one = playbook.target(finding("arn:aws:iam:us-east-1:123456789012:password-policy"))
    two = playbook.target(finding("AWS::::Account:123456789012"))
    assert one is not None
    assert two is not None
    assert one.uid == two.uid


def test_a_region_setting_has_one_target_a_region() -> None:
    playbook = CATALOG.get("ebs-default-encryption")
    targets = [playbook.target(finding("AWS::::Account:123456789012", region=r)) for r in ("us-east-1", "eu-west-1")]
    assert len({t.uid for t in targets if t}) == 2


@pytest.mark.parametrize(
    ("name", "slot"),
    [("alice-access-key-1", "1"), ("alice-access-key-2", "2"), ("alice/AccessKey2", "2")],
)
def test_the_key_slot_is_part_of_the_target(name: str, slot: str) -> None:
    playbook = CATALOG.get("iam-deactivate-access-key")
    told = playbook.target(finding("arn:aws:iam::123456789012:user/team/alice", name))
    assert told is not None
    assert told.name == "alice"
    assert told.uid.endswith(f"#access-key-{slot}")


def test_a_key_finding_without_a_slot_has_no_target() -> None:
    assert CATALOG.get("iam-deactivate-access-key").target(finding("arn:aws:iam::123456789012:user/bob", "bob")) is None


def test_two_playbooks_cannot_claim_one_id_or_one_rule() -> None:
    first, second = CATALOG.get("s3-versioning"), CATALOG.get("s3-default-encryption")
    with pytest.raises(SettingsError, match="s3-versioning"):
        Catalog([first, first])

    class Claims:
        info = replace(second.info, rules=first.info.rules)

    with pytest.raises(SettingsError, match="both claim"):
        Catalog([first, Claims()])  # type: ignore[list-item]


class Installed:
    """An entry point of another package."""

    value = "acme_playbooks:PLAYBOOKS"

    def __init__(self, load: Callable[[], Iterable[object]]) -> None:
        self.load = load


def test_playbooks_of_installed_packages_join_with_their_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs:
        info = replace(CATALOG.get("s3-versioning").info, id="acme-own", rules=frozenset({"acme:R1"}))
        writes = frozenset({"backup.start_backup_job"})

    mine: Any = Theirs()
    monkeypatch.setattr(catalog_module, "entry_points", lambda group: [Installed(lambda: [mine])])
    assert builtin_catalog().for_rule("acme", "R1") is mine
    assert "backup.start_backup_job" in write_operations()


def test_a_package_that_does_not_load_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Iterable[object]:
        raise ImportError("no module named acme")

    monkeypatch.setattr(catalog_module, "entry_points", lambda group: [Installed(broken)])
    with pytest.raises(SettingsError, match="acme_playbooks:PLAYBOOKS"):
        builtin_catalog()


def test_no_declared_write_is_a_read_and_none_deletes_data() -> None:
    reads = ("get_", "list_", "describe_")
    declared = write_operations()
    assert not [o for o in declared if o.split(".")[1].startswith(reads)]
    deletes = {o for o in declared if ".delete_" in o}
    assert deletes == {
        "s3.delete_public_access_block",
        "s3control.delete_public_access_block",
        "s3.delete_bucket_encryption",
        "s3.delete_bucket_policy",
        "iam.delete_account_password_policy",
        "secretsmanager.delete_resource_policy",
    }, "settings that had been absent; never a resource"


@pytest.mark.parametrize("playbook", builtin_catalog().all(), ids=lambda p: p.info.id)
def test_what_people_see_of_a_playbook_is_complete(playbook: object) -> None:
    info = playbook.info  # type: ignore[attr-defined]
    assert info.danger.endswith(".")
    assert info.undo_note.endswith(".")
    assert info.title[0].isupper()
    assert set(info.checks) <= info.rules


def test_what_changes_a_whole_account_or_every_port_is_high_risk() -> None:
    high = {p.info.id for p in CATALOG.all() if p.info.risk is Risk.HIGH}
    assert high == {"s3-account-public-access-block", "sg-revoke-world-all-ports", "lambda-url-iam"}


def test_the_docs_tell_of_every_playbook_as_it_is() -> None:
    page = (Path(__file__).parents[3] / "docs" / "playbooks.md").read_text(encoding="utf-8")
    table = page.partition("<!-- catalog: begin -->")[2].partition("<!-- catalog: end -->")[0].strip()
    assert table == catalog_table(), "python -m tests.lab.scan --catalog writes it"
