"""Slack's payloads, read: who, where, which thing. Everything in them is untrusted; only ids and choices are taken."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bot.domain.principals import Platform, PlatformIdentity
from handlers.common.ids import WORDS, ids_of, number, text_id, verb_of

__all__ = ["WORDS", "ids_of", "number", "text_id", "verb_of"]  # shared with the other platforms

_MENTION = re.compile(r"<@([UW][A-Z0-9]{1,40})(?:\|[^>]*)?>\s*(.*)", re.S)
_TOKEN = re.compile(r"<([@#!]?)([^<>|]*)(?:\|([^<>]*))?>")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an interaction came from and where its private answer goes."""

    team: str
    user: str
    user_team: str
    channel: str = ""
    thread: str = ""
    trigger: str = ""
    view: str = ""  # a modal of ours that is open: the answer goes into it
    above: str = ""  # a modal of ours in which a button was pressed: the answer is laid on top of it
    respond_url: str = ""
    click: str = ""  # the platform's identity of a submission: done again, it makes nothing twice

    @property
    def identity(self) -> PlatformIdentity:
        return PlatformIdentity(platform=Platform.SLACK, tenant=self.user_team or self.team, user=self.user)

    def inside(self, view: str) -> Origin:
        return replace(self, view=view)


def team_of(body: Mapping[str, Any]) -> str:
    """The workspace the payload speaks for."""
    team = body.get("team")
    return str((team.get("id") if isinstance(team, dict) else None) or body.get("team_id") or "")


def origin_of(body: Mapping[str, Any]) -> Origin:
    """For commands (flat fields), actions and submissions."""
    if "command" in body:
        return Origin(
            team=team_of(body),
            user=str(body.get("user_id", "")),
            user_team="",
            channel=str(body.get("channel_id", "")),
            trigger=str(body.get("trigger_id", "")),
            respond_url=str(body.get("response_url", "")),
        )
    user, message = body.get("user") or {}, body.get("message") or {}
    view = _fields(body.get("view"))
    pressed_in = body.get("type") == "block_actions" and view.get("type") == "modal"
    return Origin(
        team=team_of(body),
        user=str(user.get("id", "")),
        user_team=str(user.get("team_id") or ""),
        channel=str((body.get("channel") or {}).get("id", "")),
        thread=str(message.get("thread_ts") or ""),
        trigger=str(body.get("trigger_id", "")),
        above=str(view.get("id", "")) if pressed_in else "",
        respond_url=str(body.get("response_url") or ""),
    )


def shown_in(body: Mapping[str, Any]) -> str:
    """The channel a button stood in: for one in a dialog of ours, where the dialog was opened from."""
    channel = str(_fields(body.get("channel")).get("id") or "")
    return channel or text_id(ids_of(_fields(body.get("view")).get("private_metadata")), "ch")


def mention_of(text: str, team: str) -> tuple[PlatformIdentity | None, str]:
    """``<@U123|name> rest``, as Slack writes a mention into an escaped command: the immutable id, never the name."""
    found = _MENTION.fullmatch(text.strip())
    if found is None:
        return None, unescaped(text.strip())
    return PlatformIdentity(platform=Platform.SLACK, tenant=team, user=found[1]), unescaped(found[2].strip())


def unescaped(text: str) -> str:
    """What a person typed into a command that Slack escapes: ``<#C1|ops>`` is "#ops", ``&lt;`` is "<".

    It is data from here on: cards escape it anew, so that no mention in it lives.
    """

    def plain(found: re.Match[str]) -> str:
        sign, target, label = found[1], found[2], found[3]
        if sign == "!":
            words = label or target.partition("^")[0]
            return words if words.startswith("@") else f"@{words}"
        if sign:
            return f"{sign}{label or target}"
        return label or target.removeprefix("mailto:")

    text = _TOKEN.sub(plain, text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def action_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    actions = body.get("actions") or [{}]
    return actions[0] if isinstance(actions[0], dict) else {}


def answers(view: Mapping[str, Any]) -> dict[str, str]:
    """What was typed and chosen, by input id."""
    made: dict[str, str] = {}
    for block, fields in _fields(_fields(view.get("state")).get("values")).items():
        field = _fields(_fields(fields).get("v"))
        option = field.get("selected_option")
        value = option.get("value") if isinstance(option, dict) else field.get("value")
        made[str(block)] = str(value or "").strip()
    return made


def _fields(thing: Any) -> Mapping[str, Any]:
    return thing if isinstance(thing, Mapping) else {}


def click_id(body: Mapping[str, Any]) -> str:
    """The platform's own identity of this interaction: the same when it is delivered again."""
    if body.get("type") == "view_submission":
        view = body.get("view") or {}
        user = (body.get("user") or {}).get("id", "")
        return f"slack:view:{view.get('id', '')}:{view.get('hash') or ''}:{user}"
    trigger = str(body.get("trigger_id") or "")
    if trigger:
        return f"slack:trigger:{trigger}"
    container, action = body.get("container") or {}, action_of(body)
    place = container.get("message_ts") or container.get("view_id") or ""
    return f"slack:action:{place}:{action.get('action_ts', '')}:{(body.get('user') or {}).get('id', '')}"


def journal_of(body: Mapping[str, Any]) -> str:
    """What is kept of an interaction: no token, no trigger, no response URL."""
    view = body.get("view") or {}
    kept = {
        "type": body.get("type") or "command",
        "team": team_of(body),
        "user": (body.get("user") or {}).get("id") or body.get("user_id"),
        "channel": (body.get("channel") or {}).get("id") or body.get("channel_id"),
        "message": (body.get("message") or {}).get("ts"),
        "command": body.get("command"),
        "text": body.get("text"),
        "action": action_of(body).get("action_id"),
        "value": action_of(body).get("value"),
        "callback": view.get("callback_id"),
        "metadata": view.get("private_metadata"),
        "answers": answers(view) if body.get("type") == "view_submission" else None,
    }
    return json.dumps({k: v for k, v in kept.items() if v}, ensure_ascii=True)
