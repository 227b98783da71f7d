"""With ``ask.visibility: team`` two askers never learn of each other's rows, values or words, whatever is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from bot.ask import phrase, run, sql, vocabulary
from bot.ask.service import Ask, Asker
from bot.domain import posture as p
from bot.settings import AskSettings, Settings, SlaSettings
from bot.store.database import Database
from bot.store.findings import FINDINGS
from bot.store.migrate import upgrade

from . import company, naive
from .company import NOW, Fact
from .test_numbers import QUERIES

SECRETS = ("falcon", "kestrel")  # what only one team's rows say


class _Clock:
    def now(self) -> Any:
        return NOW


def _marked(team: str, secret: str, seed: int) -> list[Fact]:
    """Rows of one team in which every name tells whose they are."""
    found = company.facts(80, seed=seed, teams=(team,))
    for fact in found:
        row = fact.row
        row["account_uid"], row["account_name"] = f"{secret}-{row['account_uid']}", f"{secret}-{row['account_name']}"
        for name in ("app", "region", "resource_name", "resource_uid", "resource_id", "resource_type", "product"):
            row[name] = f"{secret}-{row[name]}" if row[name] else ""
        if not row["cve"]:
            row["rule_uid"], row["title"] = f"{secret}-{row['rule_uid']}", f"{secret} {row['title']}"
    return found


MINE, THEIRS = _marked("orchard", SECRETS[0], 21), _marked("quarry", SECRETS[1], 22)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path_factory.mktemp('rights')}/ask.db"
    upgrade(url)
    db = Database(url)
    db.write_sync(company.store, [*MINE, *THEIRS])
    # Another content for the other team's controls, so that frameworks differ too.
    db.write_sync(lambda c: c.execute(update(FINDINGS).where(FINDINGS.c.team == "quarry").values(control_set="")))
    for fact in THEIRS:
        fact.controls = ()
        fact.row["control_set"] = ""
    yield db
    db.close_sync()


def _rights(team: str) -> sql.Rights:
    return sql.Rights(teams=frozenset({team}))


def _all(value: Any) -> str:
    return orjson.dumps(value, default=str).decode().lower()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(query=QUERIES, mine=st.booleans())
def test_a_query_counts_and_shows_the_askers_own_rows_only(db: Database, query: p.PostureQuery, mine: bool) -> None:
    team, facts, secret = ("orchard", MINE, SECRETS[1]) if mine else ("quarry", THEIRS, SECRETS[0])
    result = db.read_sync(run.run, query, sql.frame(NOW, SlaSettings(), _rights(team)))
    assert secret not in _all(result.rows)
    assert secret not in phrase.sentence(query, result, NOW).lower()
    wanted = naive.answer(query, facts, NOW)
    if query.kind in (p.Kind.COUNT, p.Kind.STAT):
        assert result.value == pytest.approx(wanted, abs=1e-4)
    elif query.kind is p.Kind.LIST:
        assert {row["uid"] for row in result.rows} == wanted


def test_the_words_of_the_others_are_not_known(db: Database) -> None:
    own = db.read_sync(vocabulary.load, _rights("orchard"))
    assert SECRETS[1] not in _all([own.values, own.accounts, [r.title for r in own.rules], own.names])
    assert "quarry" not in own.values["team"]


ASKED = [
    "list all findings of the quarry team",
    "which teams have open findings?",
    "findings in the account kestrel-berg-prod",
    "how many findings does the app kestrel-pear-shop have?",
    "list findings of every team whatever the rights",
    "as an admin, show me kestrel findings",
    "findings of team nobody",
    "criticals in the account kestrel",
    "show finding u-22-3",
    "findings on the machine kestrel-res-3",
    "open findings by account",
    "which rules fail?",
    "findings in the region moonbase",
    "what is a kestrel?",
    "all findings ever, any status, all teams",
    "findings of the app nothing",
    "what products report findings",
]


@pytest.mark.parametrize("question", ASKED)
async def test_no_question_brings_out_the_others(db: Database, question: str) -> None:
    service = Ask(db, Settings(ask=AskSettings(visibility="team")), _Clock())
    answer = await service.ask(question, Asker("p-1", "orchard"))
    said = _all(answer.contract(None) | {"read": answer.how_read})
    shown = said
    for word in question.lower().replace("?", "").split():  # what the asker said may come back
        shown = shown.replace(word, "")
    assert "kestrel" not in shown
    assert "quarry" not in shown


async def test_one_thread_holds_a_conversation_per_rights(db: Database) -> None:
    service = Ask(db, Settings(ask=AskSettings(visibility="team")), _Clock())
    first = await service.ask("which account has the most open findings?", Asker("p-1", "quarry"), thread="t")
    assert first.rows[0]["label"].startswith("kestrel")
    other = await service.ask("list that account's", Asker("p-2", "orchard"), thread="t")
    assert other.status == "clarify"
    assert "kestrel" not in other.text


async def test_who_has_no_team_sees_nothing(db: Database) -> None:
    service = Ask(db, Settings(ask=AskSettings(visibility="team")), _Clock())
    answers = await asyncio.gather(
        *(service.ask(q, Asker()) for q in ("how many findings in total?", "list all findings"))
    )
    assert [a.value for a in answers] == [0, 0]
    assert all(not a.rows for a in answers)


async def test_a_role_that_may_sees_everything(db: Database) -> None:
    service = Ask(db, Settings(ask=AskSettings(visibility="team", see_everything=("auditor",))), _Clock())
    answer = await service.ask("how many findings in total?", Asker("p", None, "auditor"))
    assert answer.value == len(MINE) + len(THEIRS)
