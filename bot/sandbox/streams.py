"""What the local workspace lacks of the agent experience, put into what it has: streams become a message that grows,
tables become lines, feedback buttons become buttons. Everything is checked as Slack would before it is simplified.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.sandbox import strict

METHODS = ("chat.startStream", "chat.appendStream", "chat.stopStream")
STATUS = ("assistant.threads.setStatus", "assistant.threads.setSuggestedPrompts", "assistant.threads.setTitle")
MAX_PROMPTS, MAX_MARKDOWN = 4, 12_000
_TASKS = {"pending": "◽", "in_progress": "⏳", "complete": "✅", "error": "❌"}
_CHUNKS: dict[str, set[str]] = {  # keys that are needed
    "markdown_text": {"text"},
    "task_update": {"id", "title", "status"},
    "plan_update": {"title"},
    "blocks": {"blocks"},
}


@dataclass(slots=True)
class Stream:
    """``tasks`` are (title, status) by id."""

    channel: str
    tasks: dict[str, tuple[str, str]] = field(default_factory=dict)
    text: str = ""

    def take(self, args: Mapping[str, Any]) -> None:
        self.text += str(args.get("markdown_text") or "")
        for chunk in args.get("chunks") or ():
            if chunk["type"] == "markdown_text":
                self.text += str(chunk["text"])
            elif chunk["type"] == "task_update":
                self.tasks[str(chunk["id"])] = (str(chunk["title"]), str(chunk["status"]))

    @property
    def shown(self) -> str:
        lines = [f"{_TASKS[status]} {title}" for title, status in self.tasks.values()]
        return "\n".join([*lines, self.text] if self.text else lines) or "…"


class Streams:
    def __init__(self) -> None:
        self._open: dict[tuple[str, str], Stream] = {}

    def problems(self, method: str, args: Mapping[str, Any]) -> list[str]:
        """What Slack refuses: its documented rules of the three methods."""
        found = [f"{key}: missing" for key in ("channel",) if not args.get(key)]
        if method == "chat.startStream":
            if not args.get("thread_ts"):
                found.append("thread_ts: missing; a stream is always in a thread")
            if not str(args.get("channel", "")).startswith("D") and not (
                args.get("recipient_team_id") and args.get("recipient_user_id")
            ):
                found.append("recipient_team_id, recipient_user_id: needed in a channel")
        if args.get("markdown_text") and args.get("chunks"):
            found.append("markdown_text: not together with chunks")
        for position, chunk in enumerate(args.get("chunks") or ()):
            found += _chunk(chunk, f"chunks[{position}]")
        if method == "chat.stopStream" and args.get("blocks") is not None:
            found += strict.message_problems("streamed", args["blocks"])
        return found

    def begin(self, args: Mapping[str, Any]) -> Stream:
        stream = Stream(str(args["channel"]))
        stream.take(args)
        return stream

    def keep(self, stream: Stream, ts: str) -> None:
        self._open[stream.channel, ts] = stream

    def get(self, args: Mapping[str, Any]) -> Stream | None:
        return self._open.get((str(args.get("channel")), str(args.get("ts"))))

    def end(self, args: Mapping[str, Any]) -> None:
        self._open.pop((str(args.get("channel")), str(args.get("ts"))), None)


def _chunk(chunk: Any, place: str) -> list[str]:
    kind = chunk.get("type") if isinstance(chunk, dict) else None
    if kind not in _CHUNKS:
        return [f"{place}.type: unknown chunk {kind!r}"]
    missing = [f"{place}.{key}: missing" for key in sorted(_CHUNKS[kind] - chunk.keys())]
    if not missing and kind == "task_update" and chunk["status"] not in _TASKS:
        missing.append(f"{place}.status: {chunk['status']!r}")
    if not missing and kind == "markdown_text" and not 0 < len(str(chunk["text"])) <= MAX_MARKDOWN:
        missing.append(f"{place}.text: 1 to {MAX_MARKDOWN} characters")
    return missing


def prompt_problems(args: Mapping[str, Any]) -> list[str]:
    prompts = args.get("prompts")
    if not isinstance(prompts, list) or not 0 < len(prompts) <= MAX_PROMPTS:
        return [f"prompts: 1 to {MAX_PROMPTS}"]
    bad = [p for p in prompts if not isinstance(p, dict) or not p.get("title") or not p.get("message")]
    return ["prompts: each has title and message"] if bad else []


def simplified(blocks: Any) -> Any:
    """Blocks in what the local workspace can draw."""
    if not isinstance(blocks, list):
        return blocks
    made: list[Any] = []
    for block in blocks:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "table":
            made.append(_table(block))
        elif kind == "context_actions":
            made.append(_feedback(block))
        else:
            made.append(block)
    return made


def drawable(body: bytes) -> bytes:
    """Blocks that the workspace cannot draw, in others."""
    if b'"table"' not in body and b'"context_actions"' not in body:
        return body
    try:
        said = json.loads(body)
    except ValueError:
        return body
    if not isinstance(said, dict) or "blocks" not in said:
        return body
    blocks = json.loads(said["blocks"]) if isinstance(said["blocks"], str) else said["blocks"]
    return json.dumps({**said, "blocks": simplified(blocks)}).encode()


def section(text: str) -> dict[str, Any]:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"type": "section", "text": {"type": "mrkdwn", "text": escaped}}


def _table(block: Mapping[str, Any]) -> dict[str, Any]:
    rows = ["  |  ".join(str(cell.get("text", "")) for cell in row) for row in block.get("rows") or ()]
    return {**section("\n".join(rows)), "block_id": block.get("block_id", "table")}


def _feedback(block: Mapping[str, Any]) -> dict[str, Any]:
    elements: list[dict[str, Any]] = []
    for item in block.get("elements") or ():
        for number, side in enumerate(("positive_button", "negative_button")):
            button = item[side]
            elements.append(
                {
                    "type": "button", "action_id": f"{item['action_id']}.{number}", "value": button["value"],
                    "text": {"type": "plain_text", "text": "👍" if side.startswith("p") else "👎"},
                }
            )  # fmt: skip
    return {"type": "actions", "elements": elements, "block_id": block.get("block_id", "feedback")}
