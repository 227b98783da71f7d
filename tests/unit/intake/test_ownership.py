"""Who owns a resource by which register, how sure that is, and how often each rule was wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from bot.domain.errors import SettingsError
from bot.intake.matching import Facts
from bot.intake.ownership import Registers, load
from bot.intake.routing import Router
from bot.intake.service import Intake
from bot.ports import Page
from bot.reports.board import Board
from bot.settings import RoutingSettings
from bot.store import routes
from bot.store.database import Database

from .kit import START, Catalog, CountedIds, Mapper, StillClock, raw, settings

OWNERS = {
    "payments": {"name": "Payments", "channels": ["slack:C0PAY"],
                 "aliases": ["Payments Engineering", "pay@acme.example"]},
    "platform": {"name": "Platform", "channels": ["slack:C0PLAT"], "aliases": ["infra-team"]},
}  # fmt: skip
BUCKET = "arn:aws:s3:::invoices"


def routed(facts: Facts, registers: Registers | None = None, **more: Any) -> Any:
    chosen = RoutingSettings.model_validate({"owners": OWNERS, "fallback": ["slack:C0SEC"]} | more)
    return Router(chosen, registers=registers).by_rules(facts)


def cmdb(*rows: dict[str, Any]) -> Registers:
    found = Registers()
    found.add_cis(rows)
    return found


def test_the_cmdb_names_the_owner_by_the_resources_id() -> None:
    registers = cmdb({"name": "invoices", "object_id": BUCKET.upper(), "support_group": "payments engineering"})
    route = routed(Facts("toy", resource_uid=BUCKET), registers)
    assert (route.owner, route.rule, route.confidence) == ("payments", "cmdb", "high")
    assert route.reason == f"CMDB says payments engineering (object_id {BUCKET.upper()})"


def test_a_ci_of_the_same_name_is_less_sure_and_two_prove_nothing() -> None:
    row = {"name": "invoices", "owned_by": {"display_value": "pay@acme.example", "value": "123"}}
    route = routed(Facts("toy", resource_name="Invoices"), cmdb(row))
    assert (route.owner, route.confidence) == ("payments", "medium")
    assert route.reason.endswith("medium confidence")
    assert routed(Facts("toy", resource_name="invoices"), cmdb(row, row)).owner == ""


def test_who_answers_for_a_ci_is_asked_in_order_and_the_first_we_know_counts() -> None:
    row = {"object_id": BUCKET, "assigned_to": "Somebody Else", "managed_by": "infra-team", "support_group": "Payments"}
    assert routed(Facts("toy", resource_uid=BUCKET), cmdb(row)).owner == "platform"
    lost = routed(Facts("toy", resource_uid=BUCKET), cmdb({"object_id": BUCKET, "owned_by": "Ghosts"}))
    assert (lost.owner, lost.rule) == ("", "fallback")
    assert lost.reason == "CMDB says Ghosts, whom gatehouse.yml does not know"


def catalog(**more: Any) -> dict[str, Any]:
    meta = {"name": "ledger", "annotations": {"amazonaws.com/arn": BUCKET, "amazonaws.com/account-id": "111"}}
    return {"apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": meta,
            "spec": {"owner": "group:default/infra-team"}} | more  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "confidence"),
    [
        (Facts("toy", resource_uid=BUCKET), "high"),
        (Facts("toy", tags={"App": "Ledger"}), "medium"),
        (Facts("toy", account="111"), "medium"),
    ],
)
def test_the_catalog_names_it_by_arn_application_or_account(facts: Facts, confidence: str) -> None:
    registers = Registers()
    assert registers.add_entities([catalog(), {"kind": "Group"}, None]) == 1
    route = routed(facts, registers)
    assert (route.owner, route.rule, route.confidence) == ("platform", "catalog", confidence)


def test_in_codeowners_the_last_pattern_that_matches_wins() -> None:
    registers = Registers()
    registers.add_codeowners(
        "acme/infra", "* @acme/infra-team\n# money\n/stacks/pay/ @acme/payments\n/stacks/pay/docs/\n"
    )

    def tags(path: str) -> Facts:
        return Facts("toy", tags={"git_org": "acme", "git_repo": "infra", "git_file": path})

    assert routed(tags("stacks/pay/main.tf"), registers).owner == "payments"
    assert routed(tags("stacks/other/main.tf"), registers).owner == "platform"
    assert routed(tags("stacks/pay/docs/a.md"), registers).owner == ""  # a pattern without owners unsets
    assert routed(tags("stacks/pay/main.tf"), registers).rule == "codeowners"
    assert routed(Facts("toy", tags={"git_repo": "elsewhere", "git_file": "a"}), registers).owner == ""


def test_then_the_account_then_the_sources_project_then_nobody() -> None:
    more = {"account_owners": {"2*": "payments", "acme-shared": "platform"}}
    by_account = routed(Facts("toy", account="1", account_name="acme-shared"), **more)
    assert (by_account.owner, by_account.rule, by_account.confidence) == ("platform", "account", "medium")
    by_project = routed(Facts("wiz", hints=(("project", "Payments"),)))
    assert (by_project.owner, by_project.rule, by_project.confidence) == ("payments", "project", "low")
    assert by_project.reason == "project Payments of wiz, low confidence"
    nobody = routed(Facts("toy"), cmdb({"object_id": "x", "owned_by": "payments"}))
    assert (nobody.owner, nobody.rule) == ("", "fallback")
    assert nobody.reason == "no owner tag and no rule matches, no register knows it"


def test_a_tag_and_a_rule_win_over_registers_and_what_they_say_otherwise_is_told() -> None:
    registers = cmdb({"object_id": BUCKET, "owned_by": "infra-team"})
    route = routed(Facts("toy", resource_uid=BUCKET, tags={"owner": "payments"}), registers)
    assert (route.owner, route.rule) == ("payments", "tag")
    assert route.reason == "tag owner=payments; CMDB says infra-team"
    rules = [{"name": "all", "owner": "platform"}]
    same = routed(Facts("toy", resource_uid=BUCKET), registers, rules=rules)
    assert (same.rule, same.reason) == ("rule", "rule 'all'")


def test_registers_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "ci.csv").write_text(
        f"\ufeffname,object_id,support_group\ninvoices,{BUCKET},Payments\nother,,\n", "utf-8"
    )
    (tmp_path / "catalog.yml").write_text("kind: Component\nmetadata: {name: ledger}\nspec: {owner: infra-team}\n---\n")
    (tmp_path / "CODEOWNERS").write_text("* @acme/payments\n")
    found = load([tmp_path / "ci.csv"], [tmp_path / "catalog.yml"], {"acme/infra": tmp_path / "CODEOWNERS"})
    facts = Facts("toy", resource_uid=BUCKET, tags={"app": "ledger", "git_repo": "acme/infra", "git_file": "a.tf"})
    assert [said.register for said in found.of(facts)] == ["cmdb", "catalog", "codeowners"]
    assert not load([], [], {})


@pytest.mark.parametrize(("text", "said"), [(None, "cannot be read"), ("name,colour\na,red\n", "names no owner")])
def test_a_register_that_says_nothing_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "ci.csv").write_text(text)
    with pytest.raises(SettingsError, match=said):
        load([tmp_path / "ci.csv"], [], {})


async def test_a_cmdb_routes_what_comes_in_resource_by_resource(
    db: Database, clock: StillClock, ids: CountedIds, tmp_path: Path
) -> None:
    (tmp_path / "ci.csv").write_text("object_id,support_group\narn:a,Payments\narn:b,Platform\n")
    run = await Intake(db, settings(cmdb=[tmp_path / "ci.csv"]), Catalog(), clock, ids).begin("toy")
    await run.page(Mapper(), Page([raw("a"), raw("b"), raw("c")]))
    await run.finish()
    board = Board(db, settings(), Catalog(), clock)
    found = {line.resource: line.owner for line in (await board.findings()).lines}
    assert found == {"a": "Payments", "b": "Platform", "c": ""}


async def test_how_often_a_rule_was_wrong_is_measured_over_thirty_days(
    db: Database, clock: StillClock, ids: CountedIds
) -> None:
    run = await Intake(db, settings(), Catalog(), clock, ids).begin("toy")
    items = [raw(f"p{n}", account=f"{n}", tags={"owner": "payments"}) for n in range(4)] + [raw("nobody", account="9")]
    await run.page(Mapper(), Page(items))
    await run.finish()
    board = Board(db, settings(), Catalog(), clock)
    assert [(line.rule, line.routed, line.passed_on) for line in (await board.status()).routes] == [
        ("tag", 4, 0), ("fallback", 1, 0)
    ]  # fmt: skip
    wrong = (await board.findings()).lines[0].cause_id

    def twice(conn: Any) -> None:
        for _ in range(2):  # passed on twice is still one cause that came to the wrong place
            routes.passed_on(conn, ids, clock.now(), cause_id=wrong, rule="tag", owner="payments", to="", by="bob")
        old = {"id": "old", "cause_id": "c-old", "rule": "rule", "owner_from": "", "owner_to": "", "by": "b"}
        conn.execute(insert(routes.MISROUTES), {**old, "at": START - timedelta(days=31)})

    await db.write(twice)
    lines = {line.rule: line for line in (await board.status()).routes}
    assert (lines["tag"].routed, lines["tag"].passed_on, lines["tag"].rate) == (4, 1, 0.25)
    assert "rule" not in lines
    clock.move(days=31)
    assert (await board.status()).routes == ()
