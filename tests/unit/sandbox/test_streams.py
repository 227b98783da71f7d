"""Streams, statuses, tables and feedback at the gate: refused as Slack does, shown in what the workspace has."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.gate import Gate
from bot.sandbox.streams import simplified

from .test_gate import Workspace
from .test_gate import client as client
from .test_gate import gate as gate
from .test_gate import workspace as workspace

TASK = {"type": "task_update", "id": "1", "title": "Reading", "status": "in_progress"}
TABLE = {"type": "table", "rows": [[{"type": "raw_text", "text": "Team"}], [{"type": "raw_text", "text": "a<b"}]]}
SIDE = {"text": {"type": "plain_text", "text": "Good"}, "value": "v"}
FEEDBACK = {"type": "context_actions", "elements": [
    {"type": "feedback_buttons", "action_id": "gh.f", "positive_button": SIDE, "negative_button": SIDE}]}  # fmt: skip


async def test_a_stream_is_a_message_that_grows(client: AsyncWebClient, workspace: Workspace) -> None:
    started = await client.chat_startStream(channel="D1", thread_ts="1.0", chunks=[TASK])
    ts = started["ts"]
    done = {**TASK, "status": "complete"}
    await client.chat_appendStream(channel="D1", ts=ts, chunks=[done, {"type": "markdown_text", "text": "2 & 3"}])
    await client.chat_stopStream(channel="D1", ts=ts, blocks=[TABLE, FEEDBACK])
    assert workspace.seen == ["chat.postMessage", "chat.update", "chat.update"]
    assert [body["text"] for body in workspace.bodies] == ["⏳ Reading", "✅ Reading\n2 & 3", "✅ Reading\n2 & 3"]
    said, table, feedback = workspace.bodies[-1]["blocks"]
    assert said["text"]["text"] == "✅ Reading\n2 &amp; 3"
    assert table["text"]["text"] == "Team\na&lt;b"
    assert [e["action_id"] for e in feedback["elements"]] == ["gh.f.0", "gh.f.1"]
    with pytest.raises(SlackApiError) as ended:
        await client.chat_appendStream(channel="D1", ts=ts, markdown_text="x")
    assert ended.value.response["error"] == "message_not_in_streaming_state"


@pytest.mark.parametrize(
    ("method", "args", "said"),
    [
        ("chat.startStream", {"channel": "D1"}, "thread_ts"),
        ("chat.startStream", {"channel": "C1", "thread_ts": "1"}, "recipient_team_id"),
        ("chat.startStream", {"channel": "D1", "thread_ts": "1", "chunks": [{"type": "x"}]}, "unknown chunk"),
        ("chat.startStream", {"channel": "D1", "thread_ts": "1", "chunks": [{**TASK, "status": "x"}]}, "status"),
        ("chat.startStream", {"channel": "D1", "thread_ts": "1", "chunks": [TASK], "markdown_text": "x"}, "chunks"),
        ("assistant.threads.setSuggestedPrompts", {"channel_id": "D1", "prompts": []}, "1 to 4"),
    ],
)  # fmt: skip
async def test_what_slack_refuses_is_refused(
    gate: Gate, client: AsyncWebClient, method: str, args: dict[str, Any], said: str
) -> None:
    gate.config = type(gate.config)("xoxb-a", "xapp-a")  # every scope
    with pytest.raises(SlackApiError) as caught:
        await client.api_call(method, json=args)
    assert said in caught.value.response["errors"][0]


async def test_a_status_is_taken_and_recorded(gate: Gate, client: AsyncWebClient, workspace: Workspace) -> None:
    await client.assistant_threads_setStatus(channel_id="D1", thread_ts="1.0", status="is reading…")
    assert gate.calls[-1]["args"]["status"] == "is reading…"
    assert workspace.seen == []


async def test_a_table_in_a_message_is_checked_before_it_is_simplified(
    client: AsyncWebClient, workspace: Workspace
) -> None:
    await client.chat_postMessage(channel="C1", text="x", blocks=[TABLE])
    assert workspace.bodies[-1]["blocks"][0]["type"] == "section"
    for blocks in ([TABLE, TABLE], [{**TABLE, "rows": TABLE["rows"] * 60}]):  # type: ignore[operator]
        with pytest.raises(SlackApiError) as caught:
            await client.chat_postMessage(channel="C2", text="x", blocks=blocks)
        assert caught.value.response["error"] == "invalid_blocks"


def test_other_blocks_stay_as_they_are() -> None:
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "*x*"}}
    assert simplified([section]) == [section]
