"""Prose in the background: after the card, once a cause, within the budget, and never in the way."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bot.domain.errors import NotFound, Refused, RetryLater
from bot.domain.findings import Resource
from bot.domain.narratives import Narrative
from bot.narrative.asking import Asking, BudgetSpent
from bot.ports import ModelReply, ModelRequest
from tests.unit.narrative.kit import GOOD, Scene, StubModel, lamp, texts_of


def shown(payload: Any) -> str:
    return "\n".join(text for _, text in texts_of([payload]))


async def cause_id(scene: Scene) -> str:
    return str((await scene.rows("causes"))[0]["id"])


async def test_the_card_stands_first_and_is_updated_when_the_prose_is_there(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a.db", model=StubModel())
    await scene.ingest(lamp())
    await scene.narrate()
    assert scene.model
    assert not scene.model.requests  # no card stands yet
    await scene.deliver()
    assert "In plain words" not in shown(scene.poster.posts[0])
    await scene.narrate()
    await scene.deliver()
    assert "Anyone can switch the lamp." in shown(scene.poster.updates[-1])
    assert "stub-1-2026" in shown(scene.poster.updates[-1])
    assert len(scene.poster.posts) == 1


async def test_one_call_a_cause_however_many_findings(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a.db", model=StubModel())
    await scene.live(*(lamp(f"lamp-{n}") for n in range(15)))
    assert scene.model
    assert len(scene.model.requests) == 1
    await scene.live(*(lamp(f"lamp-{n}") for n in range(18)))  # more of the same: the facts say "several" still
    assert len(scene.model.requests) == 1


async def test_causes_with_the_same_facts_share_a_call(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a.db", model=StubModel())
    other = {"uid": "999988887777", "name": "Acme other", "provider": "fake"}
    await scene.live(lamp("lamp-1"), lamp("lamp-2", account=other))
    assert len(await scene.rows("causes")) == 2
    assert [row["state"] for row in await scene.rows("narratives")] == ["done", "done"]
    assert scene.model
    assert len(scene.model.requests) == 1
    steps = {json.loads(row["body"])["steps"][1] for row in await scene.rows("narratives")}
    assert steps == {"Switch lamp-1 off.", "Switch lamp-2 off."}  # each with its own name put back


async def test_new_facts_are_told_anew(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a.db", model=StubModel())
    await scene.live(lamp())
    await scene.live(lamp(internet_exposed=True))
    assert scene.model
    assert len(scene.model.requests) == 2


async def test_without_a_model_templates_stand_in_and_say_so(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a.db")
    await scene.live(lamp())
    view = (await scene.board.cause(await cause_id(scene))).narrative
    assert view is not None
    assert (view.model, view.why) == ("", "no model is set up")
    assert view.risk == "It costs money."
    assert view.steps[0] == "Press Review fix: Switch lamps off."
    assert "none is set up" in (await scene.board.status()).model
    assert await scene.rows("model_calls") == []


async def test_the_call_is_kept_whole_and_shown_on_request(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a.db", model=StubModel(), model_settings={"price_input": 2.0, "price_output": 8.0})
    await scene.live(lamp())
    call = await scene.narratives.why(await cause_id(scene))
    assert call.messages == tuple(scene.model.requests[0].messages)  # type: ignore[union-attr]
    assert json.loads(call.output) == GOOD
    assert (call.input_tokens, call.output_tokens, call.cost) == (300, 100, "0.001400 USD")
    assert (call.model, call.endpoint, call.state) == ("stub-1-2026", "localhost", "ok")


async def test_a_call_of_another_cause_is_not_shown(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a.db", model=StubModel())
    await scene.live(lamp("lamp-1"), lamp("x", rule_uid="other", title="Other"))
    ours, other = await scene.rows("narratives")
    assert ours["call_id"] != other["call_id"]
    with pytest.raises(NotFound):
        await scene.narratives.why(ours["cause_id"], other["call_id"])


async def test_feedback_is_kept_for_the_evaluation_set_and_the_latest_word_counts(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a.db", model=StubModel())
    await scene.live(lamp())
    row = (await scene.rows("narratives"))[0]
    ann, abe = await scene.actor("UANN"), await scene.actor("UABE")
    for actor, good in ((ann, True), (abe, True), (abe, False)):
        said = await scene.narratives.feedback(row["cause_id"], row["call_id"], actor, good=good)
        assert said.ok
    found = await scene.narratives.evaluation_set()
    assert [(each["good"], each["bad"]) for each in found] == [(1, 1)]
    assert json.loads(found[0]["output"]) == GOOD
    with pytest.raises(NotFound):
        await scene.narratives.feedback(row["cause_id"], "call-of-before", ann, good=True)


async def test_when_the_budget_is_used_up_it_says_so_and_goes_on_the_next_day(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a.db", model=StubModel(tokens=(2_500, 500)), model_settings={"tokens_per_day": 5_000})
    await scene.live(lamp())
    await scene.live(lamp("x", rule_uid="other", title="Other thing"), lamp("y", rule_uid="third", title="Third thing"))
    status = await scene.narratives.status()
    spent = [row for row in await scene.rows("narratives") if row["state"] != "done"]
    assert spent, "the budget was never used up"
    assert "used up" in spent[0]["why"]
    assert status["tokens_today"] <= 5_000
    view = (await scene.board.cause(spent[0]["cause_id"])).narrative
    assert view is not None
    assert not view.model
    assert "used up" in view.why
    calls = len(await scene.rows("model_calls"))
    scene.clock.pass_(days=1)
    await scene.narrate()
    assert len(await scene.rows("model_calls")) > calls


async def test_the_status_says_when_the_budget_is_used_up(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a.db", model=StubModel(), model_settings={"tokens_per_day": 100})
    await scene.live(lamp())
    assert (await scene.narratives.status())["state"] == "budget used up"
    assert "until 00:00 UTC" in (await scene.board.status()).model
    assert scene.model
    assert scene.model.requests == []


@pytest.mark.parametrize(
    ("answers", "calls", "state"),
    [
        ([json.dumps(GOOD)], 1, "done"),
        (["Sure!\n```json\n" + json.dumps(GOOD) + "\n```"], 1, "done"),
        (["no idea", json.dumps(GOOD)], 2, "done"),
        (["no idea", "still none"], 2, "template"),
        ([{**GOOD, "action": "close"}, {**GOOD, "priority": 4}], 2, "template"),
        ([{k: v for k, v in GOOD.items() if k != "risk"}, GOOD], 2, "done"),
        ([{**GOOD, "steps": ["x"] * 9}, {**GOOD, "steps": []}], 2, "template"),
    ],
)
async def test_what_does_not_fit_is_asked_for_once_more(
    tmp_path: Path, answers: list[Any], calls: int, state: str
) -> None:
    scene = Scene(tmp_path / "a.db", model=StubModel(*answers))
    await scene.live(lamp())
    assert scene.model
    assert len(scene.model.requests) == calls
    assert (await scene.rows("narratives"))[0]["state"] == state
    kept = await scene.rows("model_calls")
    assert len(kept) == calls
    if calls == 2:
        assert kept[0]["state"] == "invalid"
        assert kept[1]["repairs"] == kept[0]["id"]


async def test_an_answer_that_was_not_usable_is_not_asked_for_again_the_same_day(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a.db", model=StubModel("no"))
    await scene.live(lamp())
    await scene.db.write(lambda conn: conn.exec_driver_sql("UPDATE narratives SET key='', seen_revision=-1") and None)
    await scene.narrate()
    assert scene.model
    assert len(scene.model.requests) == 2


@pytest.mark.parametrize(
    ("error", "wait"), [(RetryLater("busy", after=90), 90), (RetryLater("busy"), 60), (Refused("no"), 86_400)]
)
async def test_a_failing_endpoint_leaves_the_card_alone_and_is_asked_again_in_time(
    tmp_path: Path, error: Exception, wait: int
) -> None:
    answers: list[Any] = [error, GOOD]
    scene = Scene(tmp_path / "a.db", model=StubModel(*answers))
    await scene.live(lamp())
    assert len(scene.poster.posts) == 1
    assert scene.poster.updates == []
    assert (await scene.rows("model_calls"))[0]["state"] == "failed"
    assert (await scene.narratives.status())["tokens_today"] == 0  # nothing was answered, nothing is counted
    scene.clock.pass_(seconds=wait - 5)
    await scene.narrate()
    assert scene.model
    assert len(scene.model.requests) == 1
    scene.clock.pass_(seconds=10)
    await scene.narrate()
    assert (await scene.rows("narratives"))[0]["state"] == "done"


async def test_prose_about_facts_that_changed_does_not_stay_while_the_model_is_away(tmp_path: Path) -> None:
    answers: list[Any] = [GOOD, RetryLater("busy"), {**GOOD, "risk": "Anyone can burn it."}]
    scene = Scene(tmp_path / "a.db", model=StubModel(*answers))
    await scene.live(lamp())
    await scene.live(lamp(internet_exposed=True))
    view = (await scene.board.cause(await cause_id(scene))).narrative
    assert view is not None
    assert (view.model, view.why) == ("", "busy")
    assert "In plain words" not in shown(scene.poster.updates[-1])
    scene.clock.pass_(minutes=2)
    await scene.narrate()
    await scene.deliver()
    assert "Anyone can burn it." in shown(scene.poster.updates[-1])


@pytest.mark.postgres
async def test_on_postgresql_it_is_the_same(postgres_url: str) -> None:
    scene = Scene(postgres_url, model=StubModel(tokens=(2_500, 500)), model_settings={"tokens_per_day": 5_000})
    await scene.live(lamp(), lamp("lamp-2"), lamp("x", rule_uid="other", title="Other thing"))
    states = sorted(row["state"] for row in await scene.rows("narratives"))
    assert states == ["done", "queued"]
    assert (await scene.narratives.status())["tokens_today"] == 3_000
    row = next(row for row in await scene.rows("narratives") if row["state"] == "done")
    ann = await scene.actor("UANN")
    for good in (True, False):
        await scene.narratives.feedback(row["cause_id"], row["call_id"], ann, good=good)
    assert [(one["good"], one["bad"]) for one in await scene.narratives.evaluation_set()] == [(0, 1)]
    await scene.db.close()


async def test_two_replicas_do_not_spend_the_same_tokens(tmp_path: Path) -> None:
    """Reserved before the call: of many at once, only as many are made as fit."""

    class Slow(StubModel):
        async def complete(self, request: ModelRequest) -> ModelReply:
            await asyncio.sleep(0.5)
            return await super().complete(request)

    scene = Scene(tmp_path / "a.db", model=Slow(), model_settings={"tokens_per_day": 5_000})
    asking = [Asking(scene.db, scene.model, scene.settings.model, scene.clock, scene.ids) for _ in range(8)]  # type: ignore[arg-type]
    done = await asyncio.gather(
        *(
            one.ask(Narrative, purpose="narrative", subject="c", instructions="x", data=f"d{n}")
            for n, one in enumerate(asking)
        ),
        return_exceptions=True,
    )
    made = [one for one in done if not isinstance(one, BaseException)]
    assert 0 < len(made) < 8
    assert all(isinstance(one, BudgetSpent) for one in done if isinstance(one, BaseException))
    assert (await scene.narratives.status())["tokens_today"] == 400 * len(made)


async def test_a_worker_that_died_is_followed_by_another(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a.db", model=StubModel())
    await scene.ingest(lamp())
    await scene.deliver()

    class Died(BaseException):
        pass

    def die(*_: Any) -> Any:
        raise Died

    assert scene.model
    scene.model._by = die
    with pytest.raises(Died):
        await scene.narrator.work_once()
    scene.model._by = None
    assert await scene.narrator.work_once() == 0  # the lease holds
    scene.clock.pass_(minutes=6)
    await scene.narrate()
    assert (await scene.rows("narratives"))[0]["state"] == "done"
    assert [row["state"] for row in await scene.rows("model_calls")] == ["asked", "ok"]


async def test_other_problems_of_the_same_resource_may_be_named_as_duplicates(tmp_path: Path) -> None:
    def answer(request: Any, _: int) -> Any:
        facts = request.messages[1][1]
        return {**GOOD, "duplicates": ["other-a"] if "other-a" in facts else []}

    scene = Scene(tmp_path / "a.db", model=StubModel(by=answer))
    await scene.live(lamp("lamp-1"), lamp("lamp-1", uid="b", rule_uid="again", title="Lamp burns"))
    rows = await scene.rows("causes")
    views = [(await scene.board.cause(row["id"])).narrative for row in rows]
    named = [view.duplicates for view in views if view is not None]
    assert named == [((rows[1]["id"], rows[1]["title"]),), ((rows[0]["id"], rows[0]["title"]),)]


async def test_nothing_that_decides_is_asked_of_the_model(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a.db", model=StubModel())
    await scene.live(lamp())
    properties = set(scene.model.requests[0].schema["properties"])  # type: ignore[union-attr]
    assert properties == {"risk", "root_cause", "exploitability", "steps", "duplicates"}


async def test_the_companys_names_stay_here(tmp_path: Path) -> None:
    finding = lamp(
        "arn:aws:lamp:::acme-hall", title="Lamp acme-hall of Olga Owner is on",
        desc="acme-hall in 111122223333 (Acme prod), tag cost centre is apollo-7, told by Olga",
        resource=Resource(uid="arn:aws:lamp:::acme-hall", name="acme-hall", type="lamp",
                          tags={"owner": "platform", "env": "prod", "cc": "apollo-7"}),
    )  # fmt: skip
    scene = Scene(tmp_path / "a.db", model=StubModel())
    await scene.live(finding)
    told = scene.model.told  # type: ignore[union-attr]
    for name in ("acme-hall", "111122223333", "Acme prod", "apollo-7", "Olga", "Platform team"):
        assert name not in told
    assert "[resource]" in told
