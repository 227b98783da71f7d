"""Requests of every way of asking against OpenAI's own OpenAPI document, sent by the real SDK."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bot.domain.ids import SystemClock
from bot.domain.narratives import Narrative
from bot.domain.posture import PostureQuery
from bot.ports import ModelRequest
from bot.settings import ModelSettings
from connectors.openai import OpenAIModel
from tests.unit.model.model_server import ModelServer, completion

DOCUMENT = Path(__file__).parents[3] / "shared" / "openapi" / "openai.json"
pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not DOCUMENT.exists(), reason="needs ../shared/openapi/openai.json"),
]


def validator(name: str) -> Draft202012Validator:
    document = json.loads(DOCUMENT.read_text("utf-8"))
    return Draft202012Validator({**document, "$ref": f"#/components/schemas/{name}"})


@pytest.mark.parametrize("structure", ["json_schema", "json_object", "tool"])
@pytest.mark.parametrize("shape", [Narrative, PostureQuery])
@pytest.mark.parametrize("limit", ["max_completion_tokens", "max_tokens"])
async def test_requests_are_what_the_document_says(structure: Any, shape: Any, limit: Any) -> None:
    requests, answers = validator("CreateChatCompletionRequest"), validator("CreateChatCompletionResponse")
    answer = completion("{}")
    answers.validate(answer)  # the server of ours speaks as the document has it
    settings: dict[str, Any] = {"structure": structure, "output_limit": limit}
    async with ModelServer(answer, validate=requests.validate) as server:
        model = OpenAIModel(ModelSettings(name="gpt-x", base_url=server.url, **settings), clock=SystemClock())
        messages = (("system", "a"), ("user", "b"), ("assistant", "{}"), ("user", "again"))
        await model.complete(ModelRequest(messages, "narrative", shape.model_json_schema(), 300))
        await model.close()
    assert [message["role"] for message in server.bodies[0]["messages"]] == ["system", "user", "assistant", "user"]
    assert server.paths == ["/v1/chat/completions"]


def test_the_document_refuses_what_is_wrong() -> None:
    """The measure can fail."""
    wrong = {"model": "m", "messages": [{"role": "robot", "content": "x"}]}
    assert not validator("CreateChatCompletionRequest").is_valid(wrong)
    assert not validator("CreateChatCompletionRequest").is_valid({"model": "m"})
