"""/gatehouse delegate alone: the dialog, what is wrong with it, and who is meant by it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.governance.controls import Wish
from bot.store import clicks
from cards import lint
from handlers.slack.app import resume

from .fakes import ALICE, CHANNEL, NOW, World, living

ACTOR = "T01ACME/U01ALICE"
PEOPLE = {"bob": {"name": "Bob Brown", "slack": "T01ACME/U02BOB"}, "tess": {"name": "Tess", "teams": "t/u"},
          "gone": {"name": "Gone", "slack": "T01ACME/U09", "active": False}}  # fmt: skip
GIVEN = {"to": "bob", "days": "7", "environment": "dev", "account": "", "playbook": "", "reason": "env:prod is quiet"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with living(tmp_path, people=PEOPLE) as made:
        yield made


async def test_the_dialog_names_who_has_an_account_here_and_delegates(world: World) -> None:
    await world.command("delegate")
    view = world.slack.named("views.update")[0]["view"]
    view = view if isinstance(view, dict) else json.loads(view)
    assert lint.problems(view, "modal") == []
    (to,) = [block for block in view["blocks"] if block.get("block_id") == "to"]
    assert [option["value"] for option in to["element"]["options"]] == ["bob"]
    _, body = await world.submit("gh.delegate", {"ch": CHANNEL}, GIVEN | {"to": "tess", "reason": ""})
    assert set(json.loads(body)["errors"]) == {"to", "reason"}
    await world.submit("gh.delegate", {"ch": CHANNEL}, GIVEN, hash_="h2")
    wish = Wish({"environments": ("dev",), "accounts": (), "playbooks": ()}, 7, "env:prod is quiet")
    assert world.services.did("delegate") == [("delegate", ACTOR, "T01ACME", "U02BOB", wish)]
    assert "Bob may vote in your stead." in world.private


async def test_a_form_that_was_carried_out_before_a_crash_is_not_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"callback": "gh.delegate", "metadata": json.dumps({"ch": CHANNEL}), "answers": GIVEN, "user": ALICE}
    identity = json.dumps({"platform": "slack", "tenant": "T01ACME", "user": ALICE})
    await world.db.write(
        clicks.receive, click_id="slack:view:V1:h1:U", platform="slack", kind="submit.gh.delegate", identity=identity,
        payload=json.dumps(kept), now=NOW.replace(year=NOW.year - 1),
    )  # fmt: skip
    monkeypatch.setattr(clicks, "came_to", lambda *_: "dlg-1")
    assert await resume(world.app.desk) == 1
    assert world.services.did("delegate") == []
    assert world.clicks() == [("submit.gh.delegate", "done")]
