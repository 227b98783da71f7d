"""Cross-vendor identity: the same problem on the same resource is one issue; what is not certain stays apart."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.errors import Conflict
from bot.domain.findings import Account, Finding, FindingClass, Resource, Vulnerability
from bot.intake.identity import canonical_resource, check_of, issue_of, normal, topics
from bot.intake.service import Intake
from bot.ports import Page
from bot.remediation.catalog import builtin_catalog
from bot.store import issues
from bot.store.database import Database
from bot.store.findings import FINDINGS

from .kit import CountedIds, Mapper, StillClock, settings

I = "i-0123456789abcdef0"  # noqa: E741
RDS = "arn:aws:rds:eu-west-1:111122223333:db:orders"
SUB = "/subscriptions/6B1F0C52/resourceGroups/Prod/providers/Microsoft.Storage/storageAccounts/acme"


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        (f"arn:aws:ec2:eu-west-1:111122223333:instance/{I}", I, "EC2 Instance"),
        ("arn:aws:s3:::acme-data", "acme-data", "S3 Bucket"),
        ("arn:aws:s3:::acme-data", "arn:aws:s3:::acme-data/*", "S3 Bucket"),
        ("arn:aws:lambda:eu-west-1:111122223333:function:f", "arn:aws:lambda:eu-west-1:111122223333:function:f:7", ""),
        (SUB, SUB.lower() + "/", ""),
        ("//storage.googleapis.com/acme", "gs://acme", ""),
        ("//compute.googleapis.com/projects/p/zones/z/instances/n",
         "https://www.googleapis.com/compute/v1/projects/p/zones/z/instances/n", ""),
    ],
)  # fmt: skip
def test_one_resource_has_one_name_in_whatever_form_a_source_tells_it(one: str, other: str, kind: str) -> None:
    provider = "gcp" if "google" in one else "azure" if one.startswith("/sub") else "aws"
    first = canonical_resource(one, kind, provider, "111122223333")
    assert first
    assert first == canonical_resource(other, kind, provider, "111122223333")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("arn:aws:s3:::acme-data", "arn:aws:s3:::acme-data-2"),
        ("arn:aws:s3:::acme-data", "arn:aws:s3:::acme-data/secret.csv"),
        (RDS, RDS.replace("eu-west-1", "eu-west-2")),
        (RDS, RDS.replace(":db:", ":snapshot:")),
        (I, "i-0123456789abcdef1"),
        ("arn:aws:lambda:eu-west-1:111122223333:function:f", "arn:aws:lambda:eu-west-1:111122223333:function:f2"),
    ],
)
def test_different_resources_never_share_a_name(one: str, other: str) -> None:
    assert canonical_resource(one, "", "aws", "1") != canonical_resource(other, "", "aws", "1")


def test_a_name_alone_is_no_identity_and_nothing_is_nothing() -> None:
    assert canonical_resource("orders", "RDS Instance", "aws", "1") != canonical_resource(
        RDS, "RDS Instance", "aws", "1"
    )
    assert canonical_resource("", "", "aws", "1") == ""
    assert canonical_resource("orders", "", "", "") == ""


def found(source: str, rule: str, title: str, uid: str = "arn:aws:s3:::acme", **more: Any) -> Finding:
    base = {"class_uid": FindingClass.COMPLIANCE, "account": Account(uid="111122223333", provider="aws")}
    return Finding(source=source, uid="u", rule_uid=rule, title=title, resource=Resource(uid=uid), **(base | more))


def test_three_products_words_for_a_public_bucket_are_one_issue() -> None:
    told = [
        found("prowler", "s3_bucket_public_access", "Not met: Ensure there are no S3 buckets open to Everyone"),
        found("wiz", "wc-id-42", "S3 bucket is readable by anyone"),
        found("prisma_cloud", "b26a-random", "AWS S3 bucket publicly readable"),
        found("security_hub", "S3.2", "S3 general purpose buckets should block public read access"),
        found("orca", "r1", "Public S3 Bucket"),
    ]
    issue, *others = (issue_of(one) for one in told)
    assert issue.id
    assert {other.id for other in others} == {issue.id}
    assert "rule s3-public-access" in issue.why
    assert "aws:s3:acme" in issue.why


@pytest.mark.parametrize(
    "title",
    ["S3 bucket is not public", "S3 bucket logging is disabled", "S3 bucket policy allows public access to one object",
     "Public S3 bucket contains PII", "S3 buckets should not be public"],
)  # fmt: skip
def test_a_title_that_says_more_or_less_joins_nothing(title: str) -> None:
    assert issue_of(found("wiz", "x", title)).id == ""


def test_the_same_title_on_something_else_joins_nothing() -> None:
    assert issue_of(found("wiz", "x", "S3 bucket is public", uid=RDS)).id == ""


def test_one_cve_on_one_machine_is_one_issue_and_several_are_none() -> None:
    def vulnerable(source: str, *cves: str) -> Finding:
        held = tuple(Vulnerability(uid=cve) for cve in cves)
        return found(source, "x", "t", uid=I, class_uid=FindingClass.VULNERABILITY, vulnerabilities=held)

    told = [vulnerable("wiz", "CVE-2021-44228"), vulnerable("orca", "cve-2021-44228")]
    assert issue_of(told[0]).id == issue_of(told[1]).id != ""
    assert issue_of(vulnerable("wiz", "CVE-2021-44228")).id != issue_of(vulnerable("wiz", "CVE-2021-45046")).id
    assert issue_of(vulnerable("wiz", "CVE-2021-44228", "CVE-2021-45046")).id == ""
    assert issue_of(vulnerable("wiz", "GHSA-aaaa-bbbb-cccc")).id == ""


def test_no_title_fits_two_topics_and_no_rule_has_two() -> None:
    rules = [(source, rule) for topic in topics() for source, some in topic.rules.items() for rule in some]
    assert len(rules) == len(set(rules))
    for topic in topics():
        assert not any(pattern.fullmatch("") for pattern in topic.titles)
        assert [t.id for t in topics() if any(p.fullmatch(normal(topic.title)) for p in t.titles)] in ([], [topic.id])


def test_topics_lead_to_playbooks_that_fix_the_same_problem() -> None:
    catalog = builtin_catalog()
    playbook = catalog.for_rule("prowler", check_of("wiz", "wc-id-42", "S3 bucket is readable by anyone"))
    assert playbook is not None
    assert playbook.info.id == "s3-block-public-access"
    for topic in topics():
        named = catalog.for_rule("prowler", topic.check) if topic.check else None
        for rule in topic.rules.get("security_hub", ()):
            other = catalog.for_rule("security_hub", rule.upper()) or catalog.for_rule("security_hub", rule)
            assert other is None or named is None or other is named, topic.id


# --- in the store


class Other(Mapper):
    source = "other"


async def stored(intake: Intake, *told: tuple[Mapper, dict[str, Any]]) -> None:
    for mapper, raw in told:
        run = await intake.begin(mapper.source)
        await run.page(mapper, Page(items=(raw,)))
        await run.finish()


def issues_of(conn: Any) -> dict[str, str]:
    return {row.source: row.issue_id for row in conn.execute(FINDINGS.select())}


PUBLIC = {"title": "S3 bucket is public", "rule": "x", "resource": "arn:aws:s3:::acme"}


async def test_witnesses_are_split_for_good_and_merged_for_good(
    db: Database, intake: Intake, clock: StillClock
) -> None:
    await stored(intake, (Mapper(), {"uid": "a", **PUBLIC}), (Other(), {"uid": "b", **PUBLIC}))
    first = await db.read(issues_of)
    assert first["toy"] == first["other"] != ""
    ids = {row.source: row.id for row in await db.read(lambda conn: conn.execute(FINDINGS.select()).all())}
    assert [w.source for w in await db.read(issues.witnesses, ids["toy"])] == ["other"]
    await db.write(lambda c: issues.split(c, ids["other"], by="alice", reason="another bucket policy", now=clock.now()))
    assert await db.read(issues.witnesses, ids["toy"]) == []
    await stored(intake, (Other(), {"uid": "b", **PUBLIC, "severity": "LOW"}))
    after = await db.read(issues_of)
    assert after["toy"] != after["other"], "what a person split stays split"
    with pytest.raises(Conflict):
        await db.write(lambda c: issues.split(c, ids["other"], by="alice", reason="", now=clock.now()))
    assert [c.id for c in await db.read(issues.candidates, ids["toy"])] == [ids["other"]]
    await db.write(lambda c: issues.merge(c, ids["other"], ids["toy"], by="bob", reason="same", now=clock.now()))
    await stored(intake, (Other(), {"uid": "b", **PUBLIC, "severity": "HIGH"}))
    again = await db.read(issues_of)
    assert again["toy"] == again["other"]


async def test_what_two_sources_tell_of_one_problem_is_one_cause(
    db: Database, ids: CountedIds, clock: StillClock
) -> None:
    intake = Intake(db, settings(), builtin_catalog(), clock, ids)
    await stored(intake, (Mapper(), {"uid": "a", **PUBLIC}), (Other(), {"uid": "b", **PUBLIC, "rule": "y"}))
    rows = await db.read(lambda conn: conn.execute(FINDINGS.select()).all())
    assert len({row.cause_id for row in rows}) == 1


async def test_an_older_word_of_the_source_does_not_overwrite_a_newer_one(
    db: Database, intake: Intake, clock: StillClock
) -> None:
    class Dated(Mapper):
        def map(self, raw: Any) -> Finding:
            return super().map(raw).model_copy(update={"modified": raw["at"]})

    late, early = clock.now(), clock.now().replace(hour=1)
    newer = {"uid": "a", "severity": "LOW", "at": late, "content": "n"}
    older = {"uid": "a", "severity": "CRITICAL", "at": early, "content": "o"}
    for pages in ([newer, older], [older, newer], [newer, older, newer, older]):
        for raw in pages:
            await stored(intake, (Dated(), raw))
        rows = await db.read(lambda conn: conn.execute(FINDINGS.select()).all())
        assert [row.severity for row in rows] == [2]
