"""How soon a question in Slack or Teams shows its first sign and its answer, in the local workspace.

    python -m tests.bench.ask_in_chat [--teams] [--questions 30] [--json]

The whole sandbox runs: local Slack, gate, Socket Mode, the bot with the recorded findings. Counted from the instant
before the message is handed to the workspace to the instant the gate has passed on ``assistant.threads.setStatus`` (the
first sign) and ``chat.stopStream`` (the end of the answer). A question is asked every three seconds, as Slack allows
20 streams a minute.

``--teams``: the local Teams (Playground, gate, signed activities) in the same way, counted to the instant the gate has
passed on the informative line of the stream (the first sign) and the message that ends it. Teams takes one request of
a stream a second, so the second figure is never under a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import time
from collections.abc import Sequence
from typing import Any

import aiohttp

from bot.sandbox import slack, teams
from bot.sandbox.world import World

QUESTION = "How many criticals are open in prod?"
PAUSE = 3.2
QUIET = 20.0  # until the cards of the start are posted
SIGNS = {"first sign": "assistant.threads.setStatus", "answered": "chat.stopStream"}


async def measure(questions: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in SIGNS}
    async with World() as world, aiohttp.ClientSession() as http:
        opened = await http.post(
            f"{world.slack_url}/api/conversations.open",
            json={"users": slack.ALICE.id},
            headers={"Authorization": f"Bearer {slack.BOT_TOKEN}"},
        )
        channel = (await opened.json())["channel"]["id"]
        await asyncio.sleep(QUIET)
        for _ in range(questions):
            began = time.time()
            said = {"channel": channel, "user": slack.ALICE.id, "text": QUESTION}
            async with http.post(f"{world.slack_url}/_control/message", json=said) as answer:
                answer.raise_for_status()
            await asyncio.sleep(PAUSE)
            for name, method in SIGNS.items():
                at = [c["at"] for c in world.gate.calls if c["method"] == method and c["ok"] and c["at"] >= began]
                if len(at) != 1:
                    raise SystemExit(f"{method} was called {len(at)} times for one question")
                found[name].append(at[0] - began)
    return found


async def measure_teams(questions: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"first sign": [], "answered": []}
    async with World(with_teams=True) as world:
        gate = world.teams
        assert gate is not None
        await asyncio.sleep(QUIET)
        for number in range(questions):
            began = time.time()
            status, _ = await gate.send(asked_in_teams(gate.app_id, number))
            if status != 200:
                raise SystemExit(f"the bot answered {status}")
            await asyncio.sleep(PAUSE)
            for name, kind in (("first sign", "informative"), ("answered", "final")):
                at = [c["at"] for c in gate.calls if c["ok"] and c["at"] >= began and stream_type(c["body"]) == kind]
                if len(at) != 1:
                    raise SystemExit(f"{kind} came {len(at)} times for one question")
                found[name].append(at[0] - began)
    return found


def asked_in_teams(app_id: str, number: int) -> dict[str, Any]:
    """Alice types the question into her chat with the bot."""
    who = teams.ALICE
    return {
        "type": "message", "id": f"bench-{number}", "channelId": "msteams", "text": QUESTION, "locale": "en-GB",
        "localTimezone": "Europe/Berlin",
        "from": {"id": who.id, "name": who.real_name, "aadObjectId": who.object_id},
        "recipient": {"id": f"28:{app_id}", "name": "Gatehouse"},
        "conversation": {"conversationType": "personal", "id": teams.PERSONAL, "tenantId": teams.TENANT},
        "channelData": {"tenant": {"id": teams.TENANT}},
    }  # fmt: skip


def stream_type(body: Any) -> str:
    """informative, final, or "" of what is no part of a stream."""
    entities = body.get("entities", ()) if isinstance(body, dict) else ()
    return next((each["streamType"] for each in entities if each.get("type") == "streaminfo"), "")


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[math.ceil(share * len(values)) - 1]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--questions", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--teams", action="store_true")
    given = parser.parse_args()
    found = asyncio.run((measure_teams if given.teams else measure)(given.questions))
    made = {
        name: {"median_ms": round(percentile(v, 0.5) * 1000), "p95_ms": round(percentile(v, 0.95) * 1000),
               "max_ms": round(max(v) * 1000)}
        for name, v in found.items()
    }  # fmt: skip
    if given.json:
        sys.stdout.write(json.dumps(made) + "\n")
        return
    for name, each in made.items():
        print(f"{name}: median {each['median_ms']} ms, p95 {each['p95_ms']} ms, longest {each['max_ms']} ms")


if __name__ == "__main__":
    main()
