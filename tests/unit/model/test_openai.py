"""The connector: what is sent in each way of asking, what every kind of answer becomes, and the global switch."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from bot.domain.errors import ConnectorError, Refused, Relogin, RetryLater, SettingsError
from bot.ports import ModelRequest
from bot.settings import MODEL_CALLS_ENV, ModelSettings
from connectors.openai import OpenAIModel

from .model_server import ModelServer, completion

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
ASK = ModelRequest((("system", "Do."), ("user", "data")), "narrative", SCHEMA, 500)
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class At:
    def now(self) -> datetime:
        return NOW


class Sleeps:
    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


def model(url: str, sleep: Any = None, **more: Any) -> OpenAIModel:
    return OpenAIModel(ModelSettings(name="m-1", base_url=url, **more), clock=At(), sleep=sleep or Sleeps())


async def ask(server: ModelServer, **more: Any) -> Any:
    made = model(server.url, **more)
    try:
        return await made.complete(ASK)
    finally:
        await made.close()


async def test_a_schema_is_asked_for_and_the_answer_comes_with_its_tokens() -> None:
    async with ModelServer(completion('{"a": "b"}')) as server:
        reply = await ask(server)
    assert (reply.text, reply.model, reply.input_tokens, reply.output_tokens) == ('{"a": "b"}', "stub-2026", 11, 7)
    sent = server.bodies[0]
    assert sent["model"] == "m-1"
    assert sent["response_format"]["json_schema"]["schema"] == SCHEMA
    assert sent["max_completion_tokens"] == 500
    assert "tools" not in sent
    assert [m["role"] for m in sent["messages"]] == ["system", "user"]
    assert sent["messages"][1]["content"] == "data"


async def test_a_tool_can_be_forced_for_endpoints_that_ignore_schemas() -> None:
    async with ModelServer(completion(None, tool='{"a": "c"}', finish="tool_calls")) as server:
        reply = await ask(server, structure="tool", output_limit="max_tokens")
    assert reply.text == '{"a": "c"}'
    sent = server.bodies[0]
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "narrative"}}
    assert sent["tools"][0]["function"]["parameters"] == SCHEMA
    assert sent["max_tokens"] == 500
    assert "response_format" not in sent


async def test_claudes_endpoint_is_asked_by_tool_by_itself() -> None:
    made = OpenAIModel(ModelSettings(name="m", base_url="https://api.anthropic.com/v1/"))
    assert "tools" in made._body(ASK)


async def test_plain_json_is_asked_for_where_the_server_knows_no_schema() -> None:
    async with ModelServer(completion('{"a": "d"}')) as server:
        await ask(server, structure="json_object")
    assert server.bodies[0]["response_format"] == {"type": "json_object"}
    assert '"properties"' in server.bodies[0]["messages"][0]["content"]


async def test_azure_is_asked_at_its_deployment_with_its_header() -> None:
    async with ModelServer(completion("{}")) as server:
        made = model(server.url.removesuffix("/v1"), api="azure", api_key="k-azure")
        await made.complete(ASK)
        await made.close()
    assert server.paths[0].startswith("/openai/deployments/m-1/chat/completions?api-version=2024-10-21")
    assert server.headers[0]["api-key"] == "k-azure"


async def test_a_server_that_counts_no_tokens_and_names_no_model_is_understood() -> None:
    async with ModelServer(completion("{}", usage=None, model=None)) as server:
        reply = await ask(server)
    assert (reply.input_tokens, reply.model) == (0, "")


def error(status: int, code: str = "", **headers: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    return status, {"error": {"message": "no", "type": code or "x", "code": code or None}}, headers


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error(401), Relogin), (error(403), Relogin), (error(400), Refused), (error(404), Refused),
        (error(422), Refused),
        (error(400, "content_filter"), Refused), (error(429, "insufficient_quota"), Refused),
        (error(302, location="https://elsewhere.example"), Refused),
    ],
)  # fmt: skip
async def test_what_must_not_be_repeated_is_not(reply: Any, kind: type[Exception]) -> None:
    async with ModelServer(reply) as server:
        with pytest.raises(kind) as raised:
            await ask(server)
    assert len(server.bodies) == 1
    assert "127.0.0.1" in str(raised.value)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
async def test_what_may_be_repeated_is_and_then_given_back(status: int) -> None:
    async with ModelServer(error(status)) as server:
        with pytest.raises(RetryLater):
            await ask(server, retries=2)
        assert len(server.bodies) == 3
    async with ModelServer(error(status), completion("{}")) as server:
        assert (await ask(server)).text == "{}"


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "3"}, 3.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": format_datetime(NOW.replace(second=7), usegmt=True)}, 7.0),
    ],
)
async def test_retry_after_is_waited_as_told(headers: dict[str, str], wait: float) -> None:
    sleeps = Sleeps()
    async with ModelServer((429, {}, headers), completion("{}")) as server:
        await ask(server, sleep=sleeps)
    assert sleeps.slept == [wait]


async def test_a_long_retry_after_goes_back_with_its_number_and_nobody_waits() -> None:
    sleeps = Sleeps()
    async with ModelServer((429, {}, {"Retry-After": "120"})) as server:
        with pytest.raises(RetryLater) as raised:
            await ask(server, sleep=sleeps)
    assert (raised.value.after, sleeps.slept, len(server.bodies)) == (120.0, [], 1)


async def test_a_slow_endpoint_times_out() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)
        writer.close()

    server = await asyncio.start_server(slow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made = model(f"http://127.0.0.1:{port}/v1", timeout_seconds=0.2, retries=0)
    with pytest.raises(RetryLater, match="in time"):
        await made.complete(ASK)
    await made.close()
    server.close()


async def test_an_endpoint_that_is_not_there_is_tried_later() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = model(f"http://127.0.0.1:{port}/v1", retries=0)
    with pytest.raises(RetryLater, match="cannot be reached"):
        await made.complete(ASK)
    await made.close()


@pytest.mark.parametrize(
    "reply",
    [
        {"choices": []}, {"choices": None}, {}, completion(None, finish="content_filter"),
        {**completion(""), "choices": [{"index": 0, "finish_reason": "stop", "message": None}]},
        {**completion(""), "choices": [{"index": 0, "finish_reason": "stop",
                                        "message": {"role": "assistant", "content": None, "refusal": "I will not"}}]},
    ],
)  # fmt: skip
async def test_an_answer_without_an_answer_is_an_error_of_ours(reply: Any) -> None:
    async with ModelServer(reply) as server:
        with pytest.raises(ConnectorError):
            await ask(server)


def test_a_key_is_not_sent_without_tls_and_a_url_must_be_one() -> None:
    with pytest.raises(SettingsError, match="TLS"):
        OpenAIModel(ModelSettings(name="m", base_url="http://models.example/v1", api_key="k"))  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="URL"):
        OpenAIModel(ModelSettings(name="m", base_url="models"))


def test_the_key_shows_nowhere() -> None:
    settings = ModelSettings(name="m", api_key="k-very-secret")  # type: ignore[arg-type]
    assert "k-very-secret" not in f"{settings!r} {settings} {settings.model_dump()}"


# --- the global switch


@pytest.mark.parametrize("url", ["https://api.openai.com/v1", "https://api.anthropic.com/v1/", "http://10.0.0.1/v1",
                                 "https://localhost.evil.example/v1"])  # fmt: skip
async def test_no_test_can_call_a_real_model(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every door out is watched: not even a name is looked up, not a socket opened."""
    opened: list[Any] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", lambda *a, **k: opened.append(a))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: opened.append(a))
    monkeypatch.setattr(socket.socket, "connect", lambda *a: opened.append(a))
    made = OpenAIModel(ModelSettings(name="m", base_url=url))
    with pytest.raises(Refused, match=MODEL_CALLS_ENV):
        await made.complete(ASK)
    assert opened == []
    assert made._client is None


def test_processes_that_tests_start_inherit_the_switch() -> None:
    code = f"import os; print(os.environ['{MODEL_CALLS_ENV}'])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "local"


@pytest.mark.parametrize("word", ["off", "nonsense", "OFF "])
async def test_off_and_words_nobody_knows_stop_calls_to_this_machine_too(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODEL_CALLS_ENV, word)
    async with ModelServer(completion("{}")) as server:
        with pytest.raises(Refused):
            await ask(server)
    assert server.bodies == []


async def test_the_switch_is_asked_at_every_call_not_only_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ModelServer(completion("{}")) as server:
        made = model(server.url)
        await made.complete(ASK)
        monkeypatch.setenv(MODEL_CALLS_ENV, "off")
        with pytest.raises(Refused):
            await made.complete(ASK)
        await made.close()
    assert len(server.bodies) == 1


def test_without_the_switch_models_may_be_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tells the switch apart from a connector that never works."""
    from connectors.openai.guard import permit

    monkeypatch.delenv(MODEL_CALLS_ENV)
    permit("https://api.openai.com/v1")
    assert MODEL_CALLS_ENV not in os.environ


def test_the_sdk_is_imported_at_the_first_call_only() -> None:
    code = "import sys, connectors.openai, bot.narrative.narrator; print('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
