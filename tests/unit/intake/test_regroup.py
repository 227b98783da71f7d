"""Causes: what one change fixes, and what people split or merge, which is remembered."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.errors import Conflict, Denied, NotFound
from bot.domain.findings import Account, Finding, FindingClass, Resource
from bot.governance.policy import Policy
from bot.intake.causes import cause_key, image_of, one_change, spans_accounts, template_of
from bot.intake.regroup import Regroup
from bot.intake.service import Intake
from bot.store import causes
from bot.store.database import Database

from .kit import CountedIds, Mapper, StillClock, raw, settings
from .test_announce import outbox_rows
from .test_lifecycle import poll, row
from .test_stewardship import actor
from .test_suppression import kinds

TWO = {"rule": "rule-a", "exposed": False, "severity": "LOW", "tags": {"owner": "payments", "env": "dev"}}
OTHER = TWO | {"rule": "rule-b"}


@pytest.fixture
def regroup(db: Database, clock: StillClock, ids: CountedIds) -> Regroup:
    chosen = settings()
    return Regroup(db, chosen, clock, ids, Policy.load(chosen.governance))


def cause(db: Database, uid: str) -> str:
    return str(row(db, uid).cause_id)


async def test_a_merge_is_remembered_and_taken_back(
    regroup: Regroup, intake: Intake, mapper: Mapper, db: Database
) -> None:
    await poll(intake, mapper, [raw("a", **TWO), raw("b", **OTHER)])
    a, b = cause(db, "a"), cause(db, "b")
    assert a != b
    view = await regroup.look(a, actor())
    assert b in [other.id for other in view.others]
    assert (await regroup.merge(a, b, actor(), "one script makes both")).ok
    assert cause(db, "a") == b
    assert db.read_sync(causes.get, a).state == "resolved"
    assert db.read_sync(causes.get, b).open_count == 2
    await poll(intake, mapper, [raw("a", desc="told anew", **TWO), raw("c", **TWO)])
    assert {cause(db, uid) for uid in "abc"} == {b}
    assert kinds(db, a) == ["cause.merged"]
    assert (await regroup.undo(b, actor())).ok
    assert (cause(db, "a"), cause(db, "b")) == (a, b)
    assert db.read_sync(causes.get, a).state == "open"


async def test_a_split_is_remembered_and_taken_back(
    regroup: Regroup, intake: Intake, mapper: Mapper, db: Database
) -> None:
    await poll(intake, mapper, [raw("a", **TWO), raw("b", **TWO)])
    whole = cause(db, "a")
    view = await regroup.look(whole, actor())
    part = next(p for p in view.parts if p.what == "resource b")
    before = len(outbox_rows(db, kind="card"))
    assert (await regroup.split(whole, part.id, actor(), "another team's")).ok
    own = cause(db, "b")
    assert own != whole
    assert (db.read_sync(causes.get, whole).open_count, db.read_sync(causes.get, own).open_count) == (1, 1)
    assert len(outbox_rows(db, kind="card")) > before  # a person made it: its channel hears of it
    await poll(intake, mapper, [raw("b", desc="told anew", **TWO)])
    assert cause(db, "b") == own
    await regroup.undo(own, actor())
    assert cause(db, "b") == whole
    with pytest.raises(NotFound):
        await regroup.undo(whole, actor())


async def test_what_is_fixed_in_another_way_or_place_is_not_merged(
    regroup: Regroup, intake: Intake, mapper: Mapper, db: Database
) -> None:
    prod = OTHER | {"tags": {"owner": "payments", "env": "prod"}}
    playbook = TWO | {"rule": "public-bucket"}
    await poll(intake, mapper, [raw("a", **TWO), raw("p", **prod), raw("f", **playbook)])
    for uid, said in (("p", "environment"), ("f", "playbook")):
        with pytest.raises(Conflict, match=said):
            await regroup.merge(cause(db, "a"), cause(db, uid), actor(), "why not")
    with pytest.raises(Denied):
        await regroup.merge(cause(db, "a"), cause(db, "p"), actor(known=False), "I like it")
    with pytest.raises(Conflict):
        await regroup.merge(cause(db, "a"), cause(db, "a"), actor(), "itself")


def vulnerable(uid: str, kind: str = "container_image", **tags: str) -> Finding:
    return Finding(
        source="toy", uid="1", title="CVE-2024-1", rule_uid="CVE-2024-1", account=Account(uid="1", provider="aws"),
        class_uid=FindingClass.VULNERABILITY, resource=Resource(uid=uid, type=kind, tags=tags),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("uid", "image"),
    [
        ("registry.acme.example/web/api:1.2@sha256:" + "a" * 64, "image=registry.acme.example/web/api"),
        ("registry.acme.example:5000/web/api:1.2", "image=registry.acme.example:5000/web/api"),
        ("nginx:1.25", "image=nginx"),
        ("arn:aws:ecr:eu-west-1:123456789012:repository/web/api/sha256:" + "b" * 64,
         "image=123456789012.dkr.ecr.eu-west-1.amazonaws.com/web/api"),
        ("sha256:" + "c" * 64, ""),
        ("ami-0123456789abcdef0", ""),
        ("two words", ""),
    ],
)  # fmt: skip
def test_the_image_to_build_anew(uid: str, image: str) -> None:
    assert image_of(vulnerable(uid)) == image


def test_the_base_image_comes_first_and_hosts_have_none() -> None:
    base = {"org.opencontainers.image.base.name": "registry.acme.example/base/python:3@sha256:" + "d" * 64}
    assert image_of(vulnerable("acme/web:1", **base)) == "image=registry.acme.example/base/python:3"
    assert image_of(vulnerable("i-0123456789abcdef0", "ec2 instance")) == ""


def test_keys_say_what_one_change_is() -> None:
    def key(finding: Finding, **more: Any) -> str:
        return cause_key(finding, playbook="", environment="prod", owner="web", **more)

    elsewhere = vulnerable("acme/web:2").model_copy(update={"account": Account(uid="2", provider="aws")})
    one, two = (key(f, template=image_of(f)) for f in (vulnerable("acme/web:1"), elsewhere))
    assert one == two  # whatever the tag, wherever it runs
    assert (one_change(one), spans_accounts(one)) == ("image acme/web", True)
    host = vulnerable("i-1", "instance")
    plain = key(host)
    assert (one_change(plain), spans_accounts(plain)) == ("", False)
    assert one_change(key(host, template=template_of({"terraform:module": "vpc"}))) == "module vpc"
    assert one_change(key(host, organisation=("CVE-*",))) == "an organisation policy"
    assert key(host, organisation=("CVE-*",)) == key(
        host.model_copy(update={"account": Account(uid="9", provider="aws")}), organisation=("CVE-*",)
    )
    assert template_of({"x": "1", "terraform:module": "vpc"}, ("x",)) == "x=1"
