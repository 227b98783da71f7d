"""People in Teams: presses the actions found in the card they see, as activities to the real desk."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cards.adaptive import KEY
from cards.lint_adaptive import problems
from handlers.teams.payloads import origin_of
from tests.unit.teams.world import APP, TENANT

from . import words
from .script import ANSWER, DIGEST, GLASS, MINE, About, Home, Move, Press, Say, Send, Type
from .world import PEOPLE, Person, Run

CARD = "application/vnd.microsoft.card.adaptive"


@dataclass(frozen=True, slots=True)
class Shown:
    """A card and the message it stands in (or in whose place one person sees it); ``text`` where there is no card."""

    card: dict[str, Any]
    place: str = ""
    message: str = ""
    root: str = ""
    text: str = ""

    @property
    def words(self) -> list[str]:
        return words.of_teams(self.card) if self.card else words.words(iter([self.text]))

    @property
    def said(self) -> str:
        return " ".join(self.words)


class TeamsDriver:
    platform = "teams"

    def __init__(self, run: Run) -> None:
        self._run, self._n = run, 0
        self.mine: dict[str, Shown] = {}
        self.pressed: set[str] = set()

    async def act(self, who: str, move: Move, *, twice: bool = False) -> Shown | None:
        log = self._run.lab.tenant.log
        log.clear()
        person = PEOPLE[who]
        match move:
            case Press():
                shown = await self._press(person, move, twice)
            case Send():
                shown = await self._send(person, move, twice)
            case Type():
                shown = await self._type(person, move.text, twice)
            case Say():
                shown = await self._say(person, move, twice)
            case About():
                raise AssertionError("Teams has no such way yet")
            case Home():
                shown = await self._type(person, "home", twice)
        if shown is not None:
            self.mine[who] = shown
        return shown

    # --- what is seen ------------------------------------------------------------------------------------------------

    async def _see(self, person: Person, on: str) -> Shown:
        if on in {MINE, ANSWER}:
            return self.mine[person.key]
        kind = {GLASS: "glass", DIGEST: "digest"}.get(on, "cause")
        subject = self._run.lab.causes[on] if kind == "cause" else ""
        place, message = await self._run.posted(kind, subject, "teams")
        return _shown(self._run.lab.tenant.messages[place, message])

    def _heard(self, person: Person) -> Shown | None:
        """The last message in the chat with this person: nothing else is answered to what is typed."""
        mine = [each for each in self._run.lab.tenant.log if each["place"] == person.chat]
        return _shown(mine[-1]) if mine else None

    # --- acting ------------------------------------------------------------------------------------------------------

    def _activity(self, person: Person, kind: str, seen: Shown | None) -> dict[str, Any]:
        """What stands in every activity of this person, from where they are."""
        self._n += 1
        made: dict[str, Any] = {
            "type": kind, "id": f"{kind}-{self._n}", "channelId": "msteams", "serviceUrl": self._run.lab.service_url,
            "from": {"id": person.member, "name": person.name, "aadObjectId": person.teams},
            "recipient": {"id": f"28:{APP}", "name": "Gatehouse"},
            "conversation": {"conversationType": "personal", "id": person.chat, "tenantId": TENANT},
            "channelData": {"tenant": {"id": TENANT}}, "locale": "en-US",
        }  # fmt: skip
        if seen is not None and seen.place != person.chat:
            root = seen.root or seen.message
            made["conversation"] = {
                "isGroup": True, "conversationType": "channel", "tenantId": TENANT,
                "id": f"{seen.place};messageid={root}",
            }  # fmt: skip
            made["channelData"] |= {"channel": {"id": seen.place}, "team": {"id": "19:team@thread.tacv2"}}
        return made

    async def _press(self, person: Person, move: Press, twice: bool) -> Shown | None:
        seen = await self._see(person, move.on)
        action = button(seen.card, move)
        self.pressed.add(f"action.{move.verb}")
        given: dict[str, str] = {}
        if action.get("associatedInputs") != "none":
            given = filled(seen.card, Send())  # what stands in the card's inputs goes along, and is checked before
        return await self._execute(person, seen, action, given, twice)

    async def _send(self, person: Person, move: Send, twice: bool) -> Shown | None:
        seen = self.mine[person.key]
        found = [a for a in seen.card.get("actions", ()) if a.get("associatedInputs") != "none"]
        assert found, f"{person.key} has no form that could be sent: {seen.said[:300]}"
        self.pressed.add(f"submit.{found[0]['verb'].removeprefix('gh.')}")
        return await self._execute(person, seen, found[0], filled(seen.card, move), twice)

    async def _execute(
        self, person: Person, seen: Shown, action: Mapping[str, Any], given: Mapping[str, str], twice: bool
    ) -> Shown | None:
        data = {**action["data"], **given}
        executed = {"type": "Action.Execute", "title": action["title"], "verb": action["verb"], "data": data}
        what = self._activity(person, "invoke", seen) | {
            "name": "adaptiveCard/action", "replyToId": seen.message,
            "value": {"action": executed, "trigger": "manual"},
        }  # fmt: skip
        answers = [await self._come(copy.deepcopy(what)) for _ in range(1 + twice)]
        body = answers[0]
        assert body["statusCode"] == 200, body
        if body["type"] != CARD:
            return Shown({}, seen.place, seen.message, seen.root, str(body["value"]))
        assert problems(body["value"]) == []
        return Shown(body["value"], seen.place, seen.message, seen.root)

    async def _type(self, person: Person, text: str, twice: bool) -> Shown | None:
        self.pressed.add(f"command.{text.split(' ')[0]}")
        what = self._activity(person, "message", None)
        entities: list[dict[str, Any]] = []

        def mention(found: re.Match[str]) -> str:
            other = PEOPLE[found[1]]
            said = f"<at>{other.name}</at>"
            entities.append({"type": "mention", "text": said, "mentioned": {"id": other.member, "name": other.name}})
            return said

        what["text"] = re.sub(r"@(\w+)", mention, text.format(**self._run.lab.causes))
        what["entities"] = entities
        for _ in range(1 + twice):
            await self._come(copy.deepcopy(what))
        return self._heard(person)

    async def _say(self, person: Person, move: Say, twice: bool) -> Shown | None:
        seen = await self._see(person, move.under) if move.under else None
        self.pressed.add("command.ask")
        what = self._activity(person, "message", seen)
        us = {"type": "mention", "text": "<at>Gatehouse</at>", "mentioned": {"id": f"28:{APP}", "name": "Gatehouse"}}
        what |= {"text": f"<at>Gatehouse</at> {move.text}", "entities": [us]} if move.under else {"text": move.text}
        for _ in range(1 + twice):
            await self._come(copy.deepcopy(what))
        return self._heard(person)

    async def _come(self, what: dict[str, Any]) -> dict[str, Any]:
        """As the door hands it on."""
        desk, origin = self._run.services.desk, origin_of(what)
        await desk.seen(origin, what)
        if what["type"] == "invoke":
            answer: dict[str, Any] = await desk.invoked(origin, what)
            return json.loads(json.dumps(answer))  # type: ignore[no-any-return]
        await desk.said(origin, what)
        await desk.drain()
        return {}


def _shown(kept: Mapping[str, Any]) -> Shown:
    found = kept["activity"].get("attachments") or [{}]
    return Shown(found[0].get("content", {}), kept["place"], kept["id"], kept["root"], kept["activity"].get("text", ""))


def _parts(elements: Any) -> Iterator[Mapping[str, Any]]:
    for each in elements:
        yield each
        for inner in ("items", "columns"):
            yield from _parts(each.get(inner, ()))


def _actions(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    inside = [a for part in _parts(card.get("body", ())) if part["type"] == "ActionSet" for a in part["actions"]]
    return [a for a in [*inside, *card.get("actions", ())] if a["type"] == "Action.Execute"]


def button(card: Mapping[str, Any], move: Press) -> dict[str, Any]:
    def called(action: Mapping[str, Any]) -> str:
        return f"{action['title']} {action.get('tooltip', '')}"

    found = [a for a in _actions(card) if a["verb"].split(".")[1] == move.verb and move.label in called(a)]
    there = sorted({a["verb"] for a in _actions(card)})
    assert found, f"there is no button {move.verb} {move.label!r}; there are {there}: {words.of_teams(card)[:80]}"
    return found[0]


def filled(card: Mapping[str, Any], move: Send) -> dict[str, str]:
    """The inputs as Teams sends them; what its client would not let through is an error here."""
    values: dict[str, str] = {}
    left = dict(move.answers)
    for each in _parts(card.get("body", ())):
        if not each["type"].startswith("Input."):
            continue
        name = each["id"]
        value = left.pop(name, each.get("value", ""))
        assert value or not each.get("isRequired"), f"{name} has to be filled in before anything can be pressed"
        if each["type"] == "Input.ChoiceSet":
            offered = [choice["value"] for choice in each["choices"]]
            assert value in offered or not value, f"{name}: {value!r} is not offered, but {offered}"
        else:
            assert len(value) <= each["maxLength"]
        values[name] = value
    assert not left, f"the form does not ask for {sorted(left)}, but for {sorted(values)}"
    return values


__all__ = ["KEY", "Shown", "TeamsDriver", "button", "filled"]
