"""The corpus in names and in questions: no number of Ask changes, also with an adversary as the second reader."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest

from bot.ask.service import Answer, Ask, Asker
from bot.domain.posture import In, Is, Kind, PostureQuery
from bot.intake.cleaning import clean
from bot.ports import QuestionReading
from bot.settings import Settings
from bot.store.database import Database
from bot.store.migrate import upgrade
from tests.attacks.corpus import corpus
from tests.unit.ask import company
from tests.unit.ask.company import NOW
from tests.unit.ask.test_hostile_questions import LIVE

QUESTIONS = (
    "how many findings are open?", "how many criticals are open in prod?", "how many highs are overdue?",
    "open findings by severity", "how many findings in total, any status?",
    "what percentage of the open findings is overdue?", "open criticals in aws vs azure",
)  # fmt: skip
NAMES = ("resource_name", "app", "account_name", "package", "product", "region", "data_class")


class Clock:
    def now(self) -> datetime:
        return NOW


class Adversary:
    """Reads every question as another one."""

    def __init__(self) -> None:
        self.turn = 0

    async def read(
        self, question: str, names: Mapping[str, Sequence[str]], now: datetime, before: PostureQuery | None = None
    ) -> QuestionReading:
        self.turn += 1
        ways = (
            PostureQuery(kind=Kind.COUNT),
            PostureQuery(kind=Kind.COUNT, where=(In(field="severity", values=("low",)),)),
            PostureQuery(kind=Kind.COUNT, where=(Is(field="open", value=False),)),
            PostureQuery(kind=Kind.LIST, limit=1),
            PostureQuery(kind=Kind.COUNT, where=(In(field="team", values=("<!channel>",)),)),
        )
        return QuestionReading(ways[self.turn % len(ways)])


def store(folder: Any, facts: list[Any]) -> Database:
    url = f"sqlite:///{folder}/ask.db"
    upgrade(url)
    db = Database(url)
    db.write_sync(company.store, facts)
    return db


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    db = store(tmp_path_factory.mktemp("plain"), company.facts(120, seed=3))
    yield db
    db.close_sync()


async def ask(db: Database, question: str, reader: Any = None) -> Answer:
    return await Ask(db, Settings(), Clock(), second_reader=reader).ask(question, Asker("ida", "quarry"))


def numbers(answer: Answer) -> Any:
    return answer.status, answer.value, [(r.get("label", r.get("date")), r.get("value")) for r in answer.rows]


@pytest.mark.slow
async def test_the_corpus_in_names_changes_no_number(plain: Database, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every string stands as a name of every kind once."""
    strings = [clean(text, 200) for text in corpus()]
    wanted = {question: numbers(await ask(plain, question)) for question in QUESTIONS}
    assert all(status == "answered" for status, _, _ in wanted.values())
    different = []
    for start in range(0, len(strings), 120):
        facts = company.facts(120, seed=3)
        for number, fact in enumerate(facts):
            name = strings[(start + number) % len(strings)]
            for column in NAMES:
                if fact.row.get(column):
                    fact.row[column] = name
            fact.row["title"] = f"{name} {fact.row['title']}"
        db = store(tmp_path_factory.mktemp("planted"), facts)
        for question in QUESTIONS:
            answer = await ask(db, question)
            assert not LIVE.search(answer.text)
            if numbers(answer) != wanted[question]:
                different.append((start, question, numbers(answer)))
        db.close_sync()
    assert different == []


@pytest.mark.slow
@pytest.mark.parametrize("adversary", [False, True])
async def test_the_corpus_in_questions_changes_no_number(plain: Database, adversary: bool) -> None:
    """The true number, or none. What the adversary alone read is marked, with its reading; it never replaces ours."""
    reader = Adversary() if adversary else None
    service = Ask(plain, Settings(), Clock(), second_reader=reader)
    who = Asker("ida", "quarry")
    true = {question: await ask(plain, question) for question in QUESTIONS}
    wrong, answered = [], 0
    for at, attack in enumerate(corpus()):
        for number, before in itertools.product((at, at + 3), (True, False)):
            question = QUESTIONS[number % len(QUESTIONS)]
            text = f"{attack} {question}" if before else f"{question} {attack}"
            answer = await service.ask(text[:2000], who)
            assert not LIVE.search(answer.text)
            if answer.status != "answered":
                assert answer.value is None
                continue
            if answer.read_by == "model":
                assert f"Read by the model, as: {answer.how_read}" in answer.text
                continue
            answered += 1
            if numbers(answer) != numbers(true[question]):
                wrong.append((attack, text[:80], answer.text))
    assert wrong == []
    assert answered or adversary
