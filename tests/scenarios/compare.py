"""What came of a run, in a form that can be laid beside another's: every table, the ledger, every card and post.

Left out is only what says through which account or message something came; each has its reason in ``LEFT_OUT``.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from bot.store.outbox import POSTS
from cards.build import cause_card
from tests.unit.teams.world import TENANT

from . import words
from .people import PEOPLE, channel_of
from .rows import LEFT_OUT, rows_of
from .slack_driver import NAMES
from .world import Run

_NEXT = re.compile(r"What next ")  # a dialog of Teams closes with sentences, where a notice has headings
_STRANGER = re.compile(r"\bp [0-9a-hj-km-np-tv-z]{16}\b")  # an account that is nobody's is called by its own id
_HEAD = re.compile(r"(?<=head )[0-9a-f]{16}")  # of the ledger, see ledger.hash
_MADE = re.compile(r"\b([a-z]{1,8})-([0-9a-hj-km-np-tv-z]{10,26})\b")  # ids that are made from a click


@dataclass
class Names:
    """What a run's own ids are called in every run: by the order in which they first appear."""

    known: dict[str, str] = field(default_factory=dict)

    def __call__(self, said: str) -> str:
        for person in PEOPLE.values():
            for account in (person.slack, person.teams, person.member):
                said = said.replace(account, f"@{person.key}")
        said = said.replace("T01ACME", "@company").replace(TENANT, "@company")
        return _MADE.sub(self._made, said)

    def _made(self, found: re.Match[str]) -> str:
        if found[1] not in {"req", "p"}:
            return found[0]
        return self.known.setdefault(found[0], f"{found[1]}#{len(self.known) + 1}")


def _plain(value: Any, names: Names) -> Any:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return value
    if value[:1] in {"{", "["}:
        try:
            return _inside(json.loads(value), names)
        except ValueError:
            pass
    return names(value)


def _inside(value: Any, names: Names) -> Any:
    if isinstance(value, dict):
        # "click" is the platform's id of a delivery, "platform" the account's
        return {k: _inside(v, names) if k not in {"click", "platform"} else "@" for k, v in value.items()}
    if isinstance(value, list):
        return [_inside(each, names) for each in value]
    return _plain(value, names)


def tables(conn: Connection, begun: Mapping[str, set[Any]], names: Names) -> dict[str, list[dict[str, Any]]]:
    """The rows that are new or other than at the beginning of the run."""
    found: dict[str, list[dict[str, Any]]] = {}
    for table, all_rows in rows_of(conn).items():
        before = begun[table]
        rows = [dict(row._mapping) for row in all_rows if tuple(row) not in before]
        if table == "outbox":  # a private word goes to the account through which the person acts
            rows = [row | ({"platform": "@"} if row["kind"] == "direct" else {}) for row in rows]
        if table == "posts":  # which message an answer is, is kept where Teams asks what people think of it
            rows = [row for row in rows if row["kind"] != "answer"]
        found[table] = [{k: _plain(v, names) for k, v in row.items() if f"{table}.{k}" not in LEFT_OUT} for row in rows]
    return found


@dataclass
class Outcome:
    """``heard``: for each step what the person was told, as words. ``posts``: words of every post on each platform."""

    tables: dict[str, list[dict[str, Any]]]
    cards: dict[str, str]  # cause -> its neutral card
    posts: dict[str, dict[str, list[str]]]
    stages: dict[str, str]
    cloud: Mapping[Any, Any]
    heard: list[tuple[str, list[str]]] = field(default_factory=list)


async def outcome(run: Run) -> Outcome:
    names = Names()
    rows = await run.engine.db.read(tables, run.lab.begun, names)
    cards, stages = {}, {}
    for name, cause in run.lab.causes.items():
        view = await run.engine.board.cause(cause)
        cards[name], stages[name] = names(repr(cause_card(view))), view.stage.value
    return Outcome(rows, cards, posts(run, names), stages, await asyncio.to_thread(run.lab.clouds.now))


_CHANNELS = {"C01SECURITY": "security", "C02PAYMENTS": "payments", "C03WEB": "web", "C04PLATFORM": "platform"}


def posts(run: Run, names: Names) -> dict[str, dict[str, list[str]]]:
    """Platform -> channel and number of the post there -> its words. Private chats are each person's own."""
    found: dict[str, dict[str, list[str]]] = {"slack": {}, "teams": {}}
    places = {channel_of(name): name for name in _CHANNELS.values()}
    for (channel, _), message in run.lab.slack.messages.items():
        if channel in _CHANNELS and not message["answer"]:
            _add(found["slack"], _CHANNELS[channel], words.of_slack(message, NAMES, buttons=False), names)
    for (place, _), kept in run.lab.tenant.messages.items():
        if place in places and not kept["answer"]:
            content = kept["activity"]["attachments"][0]["content"]
            _add(found["teams"], places[place], words.of_teams(content, buttons=False), names)
    return found


async def one_state(run: Run) -> None:
    """Between two steps, too, every post of a cause says the same on both platforms."""
    p = POSTS.c
    query = select(p.subject, p.platform, p.channel, p.message_id).where(p.kind == "cause").order_by(p.posted_at, p.id)
    rows = await run.engine.db.read(lambda conn: list(conn.execute(query)))
    held: dict[tuple[str, str], dict[str, Any]] = {}
    stores = {"slack": run.lab.slack.messages, "teams": run.lab.tenant.messages}
    for row in rows:
        channel = {channel_of(name): name for name in _CHANNELS.values()} | _CHANNELS
        message = stores[row.platform][row.channel, row.message_id]
        held.setdefault((row.subject, channel[row.channel]), {})[row.platform] = message
    for (cause, place), both in held.items():
        seen, before = tuple(both.values()), run.agreed.get((cause, place), ())
        if len(seen) == len(before) and all(a is b for a, b in zip(seen, before, strict=True)):
            continue  # neither was changed since
        run.agreed[cause, place] = seen
        assert len(both) == 2, (cause, place, list(both))
        teams = words.of_teams(both["teams"]["activity"]["attachments"][0]["content"], buttons=False)
        assert words.of_slack(both["slack"], NAMES, buttons=False) == teams, (cause, place)


def spoken(said: list[str], names: Names) -> list[str]:
    text = _STRANGER.sub("p @", _HEAD.sub("@", names(" ".join(said))))
    return _NEXT.sub("", text).split(" ")


def _add(found: dict[str, list[str]], place: str, said: list[str], names: Names) -> None:
    number = sum(key.startswith(f"{place} ") for key in found)
    found[f"{place} {number}"] = spoken(said, names)
