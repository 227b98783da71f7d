"""The buttons under a narrative, over signed HTTP: what is kept, what is shown to whom, what a forged id gets."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from bot.store import model_calls, narratives

from .conftest import Edge

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SAID = "Facts <!channel> <https://evil.example|fix> and *stars*"


@pytest.fixture
async def told(edge: Edge) -> Edge:
    """A narrative stands on the cause, and another call exists."""

    def write(conn: object) -> None:
        for call in ("call-ours", "call-others"):
            row = {
                "id": call, "at": AT, "purpose": "narrative", "subject": edge.cause, "key": call,
                "endpoint": "localhost",
                "model": "stub", "input": json.dumps([["system", "rules"], ["user", SAID + call]]), "output": SAID,
                "why": "", "cost_micros": None, "milliseconds": 5, "repairs": "",
            }  # fmt: skip
            assert model_calls.begin(conn, row, reserve=10, limit=1000)  # type: ignore[arg-type]
            model_calls.end(conn, call, AT, reserved=10, state="ok", input_tokens=5, output_tokens=2)  # type: ignore[arg-type]
        narratives.claim(conn, "w", AT, 5)  # type: ignore[arg-type]
        body = {"risk": SAID, "root_cause": "b", "exploitability": "c", "steps": ["d"], "duplicates": []}
        assert narratives.record(
            conn, edge.cause, "w", state="done", body=json.dumps(body), call_id="call-ours", model="stub", made_at=AT  # type: ignore[arg-type]
        )  # fmt: skip

    await edge.db.write(write)
    return edge


async def press(edge: Edge, user: str, verb: str, call: str = "call-ours") -> str:
    """What the person was told."""
    before = len(edge.told)
    assert await edge.send(edge.click_body(user, f"gh.{verb}", {"c": edge.cause, "n": call})) == 200
    await edge.app.desk.drain()
    return edge.told[before:]


async def test_a_word_on_a_narrative_is_kept_once_a_person_and_changes_nothing_else(told: Edge) -> None:
    assert "helpful" in await press(told, "UANN", "prose_good")
    await press(told, "UOLGA", "prose_good")
    await press(told, "UOLGA", "prose_bad")
    found = await told.db.read(narratives.evaluation_set)
    assert [(one["call"], one["good"], one["bad"]) for one in found] == [("call-ours", 1, 1)]
    await told.nothing_happened()


async def test_a_forged_call_is_neither_judged_nor_shown(told: Edge) -> None:
    for verb in ("prose_good", "prose_bad", "prose_why"):
        said = await press(told, "UANN", verb, "call-others")
        assert "call-others" not in said
    assert await told.db.read(narratives.evaluation_set) == []


async def test_why_do_you_say_so_shows_the_call_privately_and_nothing_in_it_lives(told: Edge) -> None:
    await press(told, "UANN", "prose_why")
    shown = told.slack.named("chat.postEphemeral")[-1]
    text = json.dumps(shown, ensure_ascii=False)
    assert shown["user"] == "UANN"
    assert "call-ours" in text
    assert "What it answered" in text
    assert "<!channel>" not in text
    assert "<https://evil" not in text
    assert "&lt;!channel&gt;" in text
