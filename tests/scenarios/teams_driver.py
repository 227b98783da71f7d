"""People in Teams: presses the actions found in the card they see, as activities to the real desk."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cards.adaptive import VERB
from cards.lint_adaptive import problems
from handlers.teams.payloads import origin_of
from tests.unit.teams.world import APP, TENANT

from . import words
from .people import PEOPLE, Person
from .script import ANSWER, MINE, About, Find, Home, Move, Press, Say, Send, Thumb, Type
from .world import Run

US = {"type": "mention", "text": "<at>Gatehouse</at>", "mentioned": {"id": f"28:{APP}", "name": "Gatehouse"}}
CARD = "application/vnd.microsoft.card.adaptive"


@dataclass(frozen=True, slots=True)
class Shown:
    """A card and the message it stands in (or in whose place one person sees it); ``text`` where there is no card."""

    card: dict[str, Any]
    place: str = ""
    message: str = ""
    root: str = ""
    text: str = ""
    dialog: bool = False
    asks: bool = False  # Teams itself asks what people think of it

    @property
    def words(self) -> list[str]:
        """The text of a message or the heading of a dialog stands above the card."""
        return words.words(iter([self.text])) + words.of_teams(self.card)

    @property
    def said(self) -> str:
        return " ".join(self.words)


class TeamsDriver:
    platform = "teams"

    def __init__(self, run: Run) -> None:
        self._run = run
        self.mine: dict[str, Shown] = {}
        self.pressed: set[str] = set()

    async def act(self, who: str, move: Move, *, twice: bool = False, lent: str = "") -> Shown | None:
        log = self._run.lab.tenant.log
        log.clear()
        person = PEOPLE[who]
        match move:
            case Press():
                shown = await self._press(person, move, twice, lent)
            case Send():
                move = Send({k: v.format(**self._run.lab.names) for k, v in move.answers.items()})
                shown = await self._send(person, move, twice)
            case Type():
                shown = await self._type(person, move.text, twice)
            case Say():
                shown = await self._say(person, move, twice)
            case About():
                shown = await self._about(person, move)
            case Find():
                shown = await self._search(person, move)
            case Thumb():
                shown = await self._thumb(person, move)
            case Home():
                shown = await self._type(person, "home", twice)
        if shown is not None:
            self.mine[who] = shown
        return shown

    # --- what is seen ------------------------------------------------------------------------------------------------

    async def _see(self, person: Person, on: str) -> Shown:
        """What this person sees there: their own card, where Teams is told to ask for it."""
        if on in {MINE, ANSWER}:
            return self.mine[person.key]
        place, message = await self._run.stands(on, "teams")
        shown = _shown(self._run.lab.tenant.messages[place, message])
        refresh = shown.card.get("refresh") or {}
        if person.member not in refresh.get("userIds", ()):
            return shown
        self.pressed.add("refresh")
        return await self._execute(person, shown, refresh["action"], {}, trigger="automatic") or shown

    async def _find(self, person: Person, move: Press, lent: str) -> tuple[Shown, dict[str, Any]]:
        """The card with the button: what is seen, what "Show my actions" shows, or what ``lent`` sees, by a forger."""
        seen = await self._see(person, move.on)
        own = next((a for a in _actions(seen.card) if _verb(a) == "actions"), None)
        if own is not None and not _named(seen.card, move):
            self.pressed.add("action.actions")
            seen = await self._execute(person, seen, own, {}) or seen
        if lent and not _named(seen.card, move):
            return await self._find(PEOPLE[lent], move, "")
        return seen, button(seen.card, move)

    def _heard(self, person: Person) -> Shown | None:
        """The last message: in the chat with this person, else in the thread where it was asked."""
        log = self._run.lab.tenant.log
        mine = [each for each in log if each["place"] == person.chat] or log
        return _shown(mine[-1]) if mine else None

    # --- acting ------------------------------------------------------------------------------------------------------

    def _activity(self, person: Person, kind: str, seen: Shown | None) -> dict[str, Any]:
        """What stands in every activity of this person, from where they are."""
        made: dict[str, Any] = {
            "type": kind, "id": f"{kind}-{next(self._run.numbers)}", "channelId": "msteams",
            "serviceUrl": self._run.lab.service_url,
            "from": {"id": person.member, "name": person.name, "aadObjectId": person.teams},
            "recipient": {"id": f"28:{APP}", "name": "Gatehouse"},
            "conversation": {"conversationType": "personal", "id": person.chat, "tenantId": TENANT},
            "channelData": {"tenant": {"id": TENANT}}, "locale": "en-US", "localTimezone": "Etc/UTC",
        }  # fmt: skip
        if person.client:
            made["entities"] = [{"type": "clientInfo", "platform": person.client, "locale": "en-US"}]
        if seen is not None and seen.place != person.chat:
            root = seen.root or seen.message
            made["conversation"] = {
                "isGroup": True, "conversationType": "channel", "tenantId": TENANT,
                "id": f"{seen.place};messageid={root}",
            }  # fmt: skip
            made["channelData"] |= {"channel": {"id": seen.place}, "team": {"id": "19:team@thread.tacv2"}}
        return made

    async def _press(self, person: Person, move: Press, twice: bool, lent: str) -> Shown | None:
        seen, action = await self._find(person, move, lent)
        self.pressed.add(f"action.{move.verb}")
        given: dict[str, str] = {}
        if action.get("associatedInputs") != "none":
            given = filled(seen.card, Send())  # what stands in the card's inputs goes along, and is checked before
        return await self._execute(person, seen, action, given, twice)

    async def _send(self, person: Person, move: Send, twice: bool) -> Shown | None:
        seen = self.mine[person.key]
        found = [a for a in seen.card.get("actions", ()) if a.get("associatedInputs") != "none"]
        assert found, f"{person.key} has no form that could be sent: {seen.said[:300]}"
        self.pressed.add(f"submit.{_verb(found[0])}")
        return await self._execute(person, seen, found[0], filled(seen.card, move), twice)

    async def _execute(
        self, person: Person, seen: Shown, action: Mapping[str, Any], given: Mapping[str, str], twice: bool = False,
        *, trigger: str = "manual",
    ) -> Shown | None:  # fmt: skip
        data = {**action["data"], **given}
        if action["type"] == "Action.Submit":
            return await self._dialog(person, seen, data, twice)
        executed = {"type": "Action.Execute", "title": action["title"], "verb": action["verb"], "data": data}
        what = self._activity(person, "invoke", seen) | {
            "name": "adaptiveCard/action", "replyToId": seen.message,
            "value": {"action": executed, "trigger": trigger},
        }  # fmt: skip
        body, *_ = [await self._come(copy.deepcopy(what)) for _ in range(1 + twice)]
        assert body["statusCode"] == 200, body
        if body["type"] != CARD:
            await self._run.services.desk.drain()
            return self._heard(person) or Shown({}, seen.place, seen.message, seen.root, str(body["value"]))
        assert problems(body["value"]) == []
        return Shown(body["value"], seen.place, seen.message, seen.root)

    async def _dialog(self, person: Person, seen: Shown, data: dict[str, Any], twice: bool) -> Shown | None:
        """A dialog is asked for, or sent from; it closes, or shows the next card."""
        opens = (data.get("msteams") or {}).get("type") == "task/fetch"
        assert opens or seen.dialog, "an Action.Submit outside of a dialog is a message that nobody reads"
        what = self._activity(person, "invoke", seen) | {
            "name": "task/fetch" if opens else "task/submit", "replyToId": seen.message,
            "value": {"data": data, "context": {"theme": "default"}},
        }  # fmt: skip
        self.pressed.add(what["name"])
        answer, *_ = [await self._come(copy.deepcopy(what)) for _ in range(1 + twice)]
        task = answer.get("task")
        assert task, answer
        if task["type"] == "message":
            return Shown({}, seen.place, seen.message, seen.root, task["value"])
        card = task["value"]["card"]["content"]
        assert problems(card) == []
        title = "" if any(each.get("style") == "heading" for each in card["body"]) else task["value"]["title"]
        return Shown(card, seen.place, seen.message, seen.root, title, dialog=True)

    async def _type(self, person: Person, text: str, twice: bool) -> Shown | None:
        self.pressed.add(f"command.{text.split(' ')[0]}")
        in_channel = await self._see(person, "keys") if "@" in text else None  # people are mentioned where they are
        what = self._activity(person, "message", in_channel)
        entities: list[dict[str, Any]] = []

        def mention(found: re.Match[str]) -> str:
            other = PEOPLE[found[1]]
            said = f"<at>{other.name}</at>"
            entities.append({"type": "mention", "text": said, "mentioned": {"id": other.member, "name": other.name}})
            return said

        said = re.sub(r"@(\w+)", mention, text.format(**self._run.lab.names))
        what["text"] = f"<at>Gatehouse</at> {said}" if in_channel else said
        entities += [US] if in_channel else []
        what["entities"] = [*what.get("entities", ()), *entities]
        for _ in range(1 + twice):
            await self._come(copy.deepcopy(what))
        return self._heard(person)

    async def _say(self, person: Person, move: Say, twice: bool) -> Shown | None:
        seen = await self._see(person, move.under) if move.under else None
        self.pressed.add("command.ask")
        what = self._activity(person, "message", seen)
        what["text"] = f"<at>Gatehouse</at> {move.text}" if move.under else move.text
        what["entities"] = [*what.get("entities", ()), *([US] if move.under else [])]
        for _ in range(1 + twice):
            await self._come(copy.deepcopy(what))
        return self._heard(person)

    async def _about(self, person: Person, move: About) -> Shown | None:
        """The message extension on a message: Teams hands the message on, as it keeps it."""
        seen = await self._see(person, move.on)
        message = {
            "id": seen.message, "replyToId": seen.root or None, "messageType": "message",
            "from": {"application": {"id": APP, "applicationIdentityType": "bot"}}, "body": {"content": ""},
            "attachments": [{"contentType": CARD, "content": json.dumps(seen.card)}],
        }  # fmt: skip
        what = self._activity(person, "invoke", seen) | {"name": "composeExtension/fetchTask"}
        what["value"] = {"commandId": "askAbout", "commandContext": "message", "messagePayload": message}
        self.pressed |= {"composeExtension/fetchTask", "composeExtension/submitAction"}
        form = await self._come(what)
        card = form["task"]["value"]["card"]["content"]
        send = next(a for a in card["actions"] if a.get("associatedInputs") != "none")
        self.pressed.add(f"submit.{_verb(send)}")
        data = {**send["data"], **filled(card, Send({"question": move.question}))}
        what = self._activity(person, "invoke", seen) | {"name": "composeExtension/submitAction"}
        what["value"] = {"commandId": "askAbout", "commandContext": "message", "data": data}
        task = (await self._come(what))["task"]
        shown = task["value"]["card"]["content"]
        assert problems(shown) == []
        return Shown(shown, seen.place, seen.message, seen.root, dialog=True)

    async def _search(self, person: Person, move: Find) -> Shown | None:
        what = self._activity(person, "invoke", None) | {"name": "composeExtension/query"}
        asked = {"commandId": "find", "parameters": [{"name": "words", "value": move.text}]}
        what["value"] = asked | {"queryOptions": {"skip": 0, "count": 25}}
        self.pressed.add("composeExtension/query")
        found = (await self._come(what))["composeExtension"]
        if found["type"] == "message":
            return Shown({}, text=found["text"])
        cards = [each["content"] for each in found["attachments"]]
        assert [problem for card in cards for problem in problems(card)] == []
        return Shown(cards[0])

    async def _thumb(self, person: Person, move: Thumb) -> Shown | None:
        seen = self.mine[person.key]
        if not seen.asks:
            label = "Good answer" if move.good else "Bad answer"
            shown = await self._press(person, Press("ask_feedback", label=label), False, "")
            if move.good or not move.comment or shown is None:
                return shown
            self.mine[person.key] = shown
            return await self._send(person, Send({"comment": move.comment}), False)
        said = {"reaction": "like" if move.good else "dislike", "feedback": json.dumps({"feedbackText": move.comment})}
        what = self._activity(person, "invoke", seen) | {"name": "message/submitAction", "replyToId": seen.message}
        what["value"] = {"actionName": "feedback", "actionValue": said}
        self.pressed.add("message/submitAction")
        assert await self._come(what) == {}
        return Shown({}, seen.place, seen.message, text="Thank you, that is kept.")  # Teams' own word

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
    activity = kept["activity"]
    asks = bool((activity.get("channelData") or {}).get("feedbackLoopEnabled"))
    content = found[0].get("content", {})
    return Shown(content, kept["place"], kept["id"], kept["root"], activity.get("text", ""), asks=asks)


def _parts(elements: Any) -> Iterator[Mapping[str, Any]]:
    for each in elements:
        yield each
        for inner in ("items", "columns"):
            yield from _parts(each.get(inner, ()))


def _actions(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    sets = [part for part in _parts(card.get("body", ())) if part.get("type") == "ActionSet"]
    inside = [action for part in sets for action in part["actions"]]
    return [a for a in [*inside, *card.get("actions", ())] if a["type"] in {"Action.Execute", "Action.Submit"}]


def _verb(action: Mapping[str, Any]) -> str:
    return str(action.get("verb") or action["data"][VERB]).split(".")[1]


def _named(card: Mapping[str, Any], move: Press) -> list[dict[str, Any]]:
    return [
        a for a in _actions(card)
        if _verb(a) == move.verb and move.label in f"{a['title']} {a.get('tooltip', '')}"
    ]  # fmt: skip


def button(card: Mapping[str, Any], move: Press) -> dict[str, Any]:
    found, there = _named(card, move), sorted({_verb(a) for a in _actions(card)})
    seen = words.of_teams(card)[:80]
    assert found, f"there is no button {move.verb} {move.label!r}; there are {there}: {seen}"
    return found[0]


def filled(card: Mapping[str, Any], move: Send) -> dict[str, str]:
    """The inputs as Teams sends them; what its client would not let through is an error here."""
    values: dict[str, str] = {}
    left = dict(move.answers)
    for each in _parts(card.get("body", ())):
        if not each.get("type", "").startswith("Input."):
            continue
        name = each["id"]
        value = left.pop(name, each.get("value", ""))
        assert value or not each.get("isRequired"), f"{name} has to be filled in before anything can be pressed"
        if each["type"] == "Input.ChoiceSet":
            offered = [choice["value"] for choice in each["choices"]]
            if value.startswith("~"):
                value = next((c["value"] for c in each["choices"] if value[1:] in c["title"]), value)
            assert value in offered or not value, f"{name}: {value!r} is not offered, but {offered}"
        else:
            assert len(value) <= each["maxLength"]
        values[name] = value
    assert not left, f"the form does not ask for {sorted(left)}, but for {sorted(values)}"
    return values
