"""People in Slack: presses what stands on the message, dialog or home page they see, over signed HTTP."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from slack_sdk.signature import SignatureVerifier

from bot.sandbox import slack as company_slack
from handlers.common.ids import verb_of
from handlers.slack.payloads import click_id
from tests.unit.slack.fakes import SECRET

from . import words
from .people import PEOPLE, Person
from .script import ANSWER, MINE, About, Find, Home, Move, Press, Say, Send, Thumb, Type
from .world import BOT_IN_SLACK, Run

NAMES = {person.slack: person.name for person in PEOPLE.values() if person.known}
TEAM = company_slack.TEAM
CHANNEL = company_slack.SECURITY.id  # where commands are typed


@dataclass(frozen=True, slots=True)
class Shown:
    """``payload`` has blocks; ``kind``: message, ephemeral, view, home, response, errors."""

    kind: str
    payload: dict[str, Any]
    submits: str = ""  # the dialog's sending button

    @property
    def words(self) -> list[str]:
        if self.kind == "errors":
            return words.words(iter(self.payload["errors"].values()))
        return words.of_slack(self.payload, NAMES)

    @property
    def said(self) -> str:
        return " ".join(self.words)


class SlackDriver:
    platform = "slack"

    def __init__(self, run: Run) -> None:
        self._run = run
        self.mine: dict[str, Shown] = {}
        self.pressed: set[str] = set()  # what was exercised: action.review, submit.review, command.freeze …

    async def act(self, who: str, move: Move, *, twice: bool = False, lent: str = "") -> Shown | None:
        """What the person is shown in the end; None for nothing. ``lent``: in Slack everybody has the same buttons."""
        log = self._run.lab.slack.log
        log.clear()
        person = PEOPLE[who]
        match move:
            case Press():
                answer = await self._press(person, await self._see(person, move.on), move, twice)
            case Send():
                move = Send({k: v.format(**self._run.lab.names) for k, v in move.answers.items()})
                answer = await self._send(person, move, twice)
            case Type():
                answer = await self._type(person, move.text, twice)
            case Say():
                answer = await self._say(person, move, twice)
            case About():
                answer = await self._about(person, move)
            case Find():
                raise AssertionError("Slack has no such search")
            case Thumb():
                answer = await self._thumb(person, move)
            case Home():
                self.pressed.add("event.app_home_opened")
                answer = await self._event(
                    {"type": "app_home_opened", "user": person.slack, "channel": f"D{person.slack}", "tab": "home",
                     "event_ts": self._ts()}, person, False,
                )  # fmt: skip
        shown = answer or self._heard(person, log)
        if shown is not None:
            self.mine[who] = shown
        return shown

    # --- what is seen ------------------------------------------------------------------------------------------------

    async def _see(self, person: Person, on: str) -> Shown:
        if on in {MINE, ANSWER}:
            return self.mine[person.key]
        channel, ts = await self._run.stands(on, "slack")
        return Shown("message", self._run.lab.slack.messages[channel, ts])

    def _heard(self, person: Person, log: list[dict[str, Any]]) -> Shown | None:
        """The last thing this person was shown: directly, else wherever it was; in a thread everybody sees it."""
        direct = [each for each in log if each["kind"] == "message" and each["channel"] == f"D{person.slack}"]
        for each in reversed(direct or log):
            kind = each["kind"]
            if kind == "ephemeral":
                assert each["user"] == person.slack
            if kind == "view":
                return Shown("view", each, (each.get("submit") or {}).get("text", ""))
            if kind != "home" or not any(other["kind"] != "home" for other in log):
                return Shown(kind, each)
        return None

    # --- acting ------------------------------------------------------------------------------------------------------

    def _ts(self) -> str:
        return f"1797.{next(self._run.numbers):06}"

    def _user(self, person: Person) -> dict[str, Any]:
        return {"id": person.slack, "team_id": TEAM, "username": person.key, "name": person.key}

    async def _press(self, person: Person, seen: Shown, move: Press, twice: bool) -> Shown | None:
        element = button(seen.payload["blocks"], move)
        self.pressed.add(f"action.{move.verb}")
        body: dict[str, Any] = {
            "type": "block_actions", "team": {"id": TEAM}, "user": self._user(person), "api_app_id": "A1",
            "trigger_id": f"t.{self._ts()}", "actions": [{**element, "action_ts": self._ts()}],
        }  # fmt: skip
        if seen.kind in {"view", "home"}:
            view = {**seen.payload, "type": "modal" if seen.kind == "view" else "home"}
            body |= {"container": {"type": "view", "view_id": view.get("id", "V0")}, "view": view}
        else:
            body |= self._message(seen)
        return await self._interact(body, twice)

    def _message(self, seen: Shown) -> dict[str, Any]:
        payload = seen.payload
        channel, ts = payload.get("channel", CHANNEL), payload.get("ts", "1.1")
        thread = payload.get("thread_ts") or ""
        quiet = seen.kind in {"ephemeral", "response"}
        container = {"type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": quiet}
        message = {"ts": ts, "blocks": payload["blocks"], "bot_id": "B0BOT"}
        if thread:
            container["thread_ts"] = message["thread_ts"] = thread
        made = {"container": container, "channel": {"id": channel},
                "response_url": str(self._run.lab.slack.server.make_url("/respond"))}  # fmt: skip
        return made if quiet else {**made, "message": message}

    async def _send(self, person: Person, move: Send, twice: bool) -> Shown | None:
        seen = self.mine[person.key]
        assert seen.kind == "view", f"{person.key} has no form: {seen.said[:300]}"
        assert seen.submits, f"{person.key} has no form that could be sent: {seen.said[:300]}"
        view, values = seen.payload, filled(seen.payload["blocks"], move)
        callback = view["callback_id"]
        self.pressed.add(f"submit.{callback}")
        body = {
            "type": "view_submission", "team": {"id": TEAM}, "user": self._user(person), "api_app_id": "A1",
            "view": {**view, "type": "modal", "hash": self._ts(), "state": {"values": values}},
        }  # fmt: skip
        return await self._interact(body, twice)

    async def _type(self, person: Person, text: str, twice: bool) -> Shown | None:
        self.pressed.add(f"command.{text.split(' ')[0]}")
        text = re.sub(r"@(\w+)", lambda m: f"<@{PEOPLE[m[1]].slack}|{m[1]}>", text.format(**self._run.lab.names))
        fields = {
            "command": "/gatehouse", "text": text, "team_id": TEAM, "team_domain": "acme", "channel_id": CHANNEL,
            "user_id": person.slack, "user_name": person.key, "trigger_id": f"t.{self._ts()}", "api_app_id": "A1",
            "response_url": str(self._run.lab.slack.server.make_url("/respond")),
        }  # fmt: skip
        for _ in range(1 + twice):
            await self._post(urlencode(fields), "application/x-www-form-urlencoded")
        return None

    async def _say(self, person: Person, move: Say, twice: bool) -> Shown | None:
        event: dict[str, Any] = {"user": person.slack, "ts": self._ts(), "team": TEAM}
        if move.under:
            channel, root = await self._run.posted("cause", self._run.lab.causes[move.under], "slack")
            event |= {"type": "app_mention", "text": f"<@{BOT_IN_SLACK}> {move.text}", "channel": channel,
                      "thread_ts": root}  # fmt: skip
        else:
            event |= {"type": "message", "text": move.text, "channel": f"D{person.slack}", "channel_type": "im"}
        self.pressed.add(f"event.{event['type']}")
        return await self._event(event, person, twice)

    async def _about(self, person: Person, move: About) -> Shown | None:
        seen = await self._see(person, move.on)
        self.pressed.add("shortcut.gh.ask_about")
        body = {"type": "message_action", "callback_id": "gh.ask_about", "team": {"id": TEAM},
                "user": self._user(person), "trigger_id": f"t.{self._ts()}", **self._message(seen)}  # fmt: skip
        await self._interact(body, False)
        form = self._heard(person, self._run.lab.slack.log)
        assert form is not None
        self.mine[person.key] = form
        return await self._send(person, Send({"question": move.question}), False)

    async def _thumb(self, person: Person, move: Thumb) -> Shown | None:
        press = Press("ask_feedback", label="Good answer" if move.good else "Bad answer")
        answer = await self._press(person, self.mine[person.key], press, False)
        if move.good or not move.comment:
            return answer
        form = self._heard(person, self._run.lab.slack.log)
        assert form is not None
        self.mine[person.key] = form
        return await self._send(person, Send({"comment": move.comment}), False)

    # --- the wire ----------------------------------------------------------------------------------------------------

    async def _interact(self, body: dict[str, Any], twice: bool) -> Shown | None:
        said = b""
        for _ in range(1 + twice):
            said = await self._post(urlencode({"payload": json.dumps(body)}), "application/x-www-form-urlencoded")
        assert click_id(body)
        found = json.loads(said) if said.strip() else {}
        if found.get("response_action") == "errors":
            return Shown("errors", found)
        return None

    async def _event(self, event: dict[str, Any], person: Person, twice: bool) -> Shown | None:
        body = {"type": "event_callback", "team_id": TEAM, "event_id": f"Ev{self._ts()}", "event": event,
                "authorizations": [{"is_bot": True, "user_id": BOT_IN_SLACK}]}  # fmt: skip
        for _ in range(1 + twice):
            await self._post(json.dumps(body), "application/json")
        return None

    async def _post(self, body: str, kind: str) -> bytes:
        stamp = str(int(time.time()))
        headers = {
            "content-type": kind, "x-slack-request-timestamp": stamp,
            "x-slack-signature": SignatureVerifier(SECRET).generate_signature(timestamp=stamp, body=body) or "",
        }  # fmt: skip
        async with self._run.http.post("/slack/events", data=body, headers=headers) as response:
            said = await response.read()
            assert response.status == 200, said
        await self._run.services.app.desk.drain()
        return said


def _buttons(blocks: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """(what it is called, the part of it that comes back when it is pressed)."""
    for block in blocks:
        for each in block.get("elements", ()):
            kept = {"type": each.get("type"), "action_id": each.get("action_id"), "block_id": block.get("block_id")}
            if each.get("type") == "button" and "url" not in each:
                label = f"{each['text']['text']} {each.get('accessibility_label', '')}"
                yield label, kept | {"value": each.get("value", ""), "text": each["text"]}
            elif each.get("type") == "feedback_buttons":
                for side in ("positive_button", "negative_button"):
                    yield each[side]["accessibility_label"], kept | {"value": each[side]["value"]}


def button(blocks: Any, move: Press) -> dict[str, Any]:
    found = [
        each for label, each in _buttons(blocks) if verb_of(each["action_id"]) == move.verb and move.label in label
    ]
    there = sorted({verb_of(each["action_id"]) for _, each in _buttons(blocks)})
    seen = words.of_slack({"blocks": blocks}, NAMES)[:80]
    assert found, f"there is no button {move.verb} {move.label!r}; there are {there}: {seen}"
    return found[0]


def filled(blocks: Any, move: Send) -> dict[str, Any]:
    """The state of the form as Slack sends it; what Slack would not let through is an error here."""
    values: dict[str, Any] = {}
    left = dict(move.answers)
    for block in blocks:
        if block["type"] != "input":
            continue
        element, name = block["element"], block["block_id"]
        if element["type"] == "plain_text_input":
            value = left.pop(name, element.get("initial_value"))
            assert value or block["optional"], f"{name} has to be filled in"
            assert len(value or "") <= element["max_length"]
            state: dict[str, Any] = {"value": value}
        else:
            wanted = left.pop(name, (element.get("initial_option") or {}).get("value")) or ""
            named = wanted[1:] if wanted.startswith("~") else None
            chosen = next(
                (o for o in element["options"] if o["value"] == wanted or (named and named in o["text"]["text"])), None
            )  # fmt: skip
            assert chosen, f"{name}: {wanted!r} is not offered, but {[o['value'] for o in element['options']]}"
            state = {"selected_option": {"text": chosen["text"], "value": chosen["value"]}}
        values[name] = {element["action_id"]: {"type": element["type"], **state}}
    assert not left, f"the form does not ask for {sorted(left)}, but for {sorted(values)}"
    return values
