"""Activities of Teams, read: who, where, which thing. All of it is untrusted; only ids and choices are taken."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.domain.habits import Habits
from bot.domain.ids import short_hash
from bot.domain.principals import Platform, PlatformIdentity
from bot.store.teams import Conversation, Member
from cards.adaptive import KEY, VERB

from .mentions import Mention, mentions_of

_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_AT = re.compile(r"<at[^>]*>.*?</at>", re.S | re.I)
TASKS = frozenset({"task/fetch", "task/submit"})
_OURS = frozenset({KEY, VERB, "msteams"})
_ID_MAX, _ANSWER_MAX, _WORDS_MAX = 400, 3_000, 1_000


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an activity came from. ``user`` is the Entra object id, ``member`` the id this bot knows the person by."""

    tenant: str
    user: str
    member: str
    conversation: str  # with ;messageid= in a thread
    kind: str  # channel | groupChat | personal
    service_url: str
    bot: str
    team: str = ""
    channel: str = ""
    activity: str = ""
    reply_to: str = ""  # the message whose button was pressed
    click: str = ""
    mentions: tuple[Mention, ...] = ()  # of other people
    client: str = ""  # "web", "ios" …; "" where it does not say: not one of Teams' own, as far as we know
    zone: str = ""  # of the sender's clock and language, as the client says it
    locale: str = ""

    @property
    def identity(self) -> PlatformIdentity:
        return PlatformIdentity(platform=Platform.TEAMS, tenant=self.tenant, user=self.user)

    @property
    def place(self) -> str:
        """The conversation a new message goes to."""
        return self.channel or self.conversation.partition(";messageid=")[0]

    @property
    def reference(self) -> Conversation:
        """What has to be kept to post there later."""
        return Conversation(
            tenant=self.tenant, id=self.place, kind=self.kind, service_url=self.service_url, bot=self.bot,
            user=self.user if self.kind == "personal" else "", team=self.team,
        )  # fmt: skip

    @property
    def habits(self) -> Habits:
        return Habits.of(self.zone, self.locale)

    @property
    def person(self) -> Member:
        return Member(self.tenant, self.user, self.member, self.place, self.service_url)


def origin_of(activity: Mapping[str, Any]) -> Origin:
    """The tenant stands in the channel data: the SDK's model loses the conversation's."""
    data, sender = _fields(activity.get("channelData")), _fields(activity.get("from"))
    conversation = _fields(activity.get("conversation"))
    kind = _text(conversation.get("conversationType")) or ("channel" if data.get("channel") else "personal")
    user = _text(sender.get("aadObjectId")).lower()
    bot = _text(_fields(activity.get("recipient")).get("id"))
    return Origin(
        tenant=_text(_fields(data.get("tenant")).get("id")).lower(),
        user=user if _GUID.fullmatch(user) else "",
        member=_text(sender.get("id")),
        conversation=_text(conversation.get("id")),
        kind=kind,
        service_url=_text(activity.get("serviceUrl")),
        bot=bot,
        team=_text(_fields(data.get("team")).get("id")),
        channel=_text(_fields(data.get("channel")).get("id")) if kind == "channel" else "",
        activity=_text(activity.get("id")),
        reply_to=_text(activity.get("replyToId")),
        mentions=mentions_of(activity, bot),
        client=_client(activity, "platform").lower(),
        zone=_text(activity.get("localTimezone")) or _client(activity, "timezone"),
        locale=_text(activity.get("locale")) or _client(activity, "locale"),
    )


def _client(activity: Mapping[str, Any], key: str) -> str:
    entities = activity.get("entities")
    for entity in entities if isinstance(entities, list) else ():
        if _fields(entity).get("type") == "clientInfo":
            return _text(_fields(entity).get(key))
    return ""


@dataclass(frozen=True, slots=True)
class Pressed:
    """A button: its verb ("review"), its ids as JSON text, what stood in the inputs; ``automatic`` is a refresh."""

    verb: str
    value: str
    given: Mapping[str, str]
    automatic: bool = False


def pressed_of(activity: Mapping[str, Any]) -> Pressed:
    """Of ``adaptiveCard/action``: read from the activity itself, the SDK's model drops the trigger. Of ``task/fetch``
    and ``task/submit``: the same, with the verb in the data."""
    value = _fields(activity.get("value"))
    task = activity.get("name") in TASKS
    action = {} if task else _fields(value.get("action"))
    data = _fields(value.get("data")) if task else _fields(action.get("data"))
    given = {
        str(key)[:100]: said.strip()[:_ANSWER_MAX]
        for key, said in list(data.items())[:50]
        if key not in _OURS and isinstance(said, str)
    }
    verb = _text(data.get(VERB) if task else action.get("verb"))
    parts = verb.split(".")
    known = parts[1] if len(parts) > 1 and parts[0] == "gh" else ""
    own = data.get(KEY)
    return Pressed(known, own if isinstance(own, str) else "", given, not task and value.get("trigger") == "automatic")


def command_of(activity: Mapping[str, Any], bot: str) -> str:
    """What was typed, without the mention of us; other people's mentions stay as their names."""
    text = activity.get("text")
    text = text[: 4 * _WORDS_MAX] if isinstance(text, str) else ""
    for entity in activity.get("entities") or ():
        entity = _fields(entity)
        said = entity.get("text")
        if entity.get("type") == "mention" and isinstance(said, str) and said:
            mine = _text(_fields(entity.get("mentioned")).get("id")) == bot
            text = text.replace(said, " " if mine else _AT.sub(lambda m: re.sub(r"<[^>]*>", "", m[0]), said))
    text = _AT.sub(" ", text).replace("\u00a0", " ")
    return " ".join(text.split())[:_WORDS_MAX]


def click_of(activity: Mapping[str, Any], origin: Origin) -> str:
    """The platform's own identity of this interaction: the same when it is delivered again."""
    if origin.activity:
        return f"teams:{origin.place[:200]}:{origin.activity[:200]}:{origin.user}"
    body = json.dumps([activity.get("type"), activity.get("value"), activity.get("timestamp")], sort_keys=True)
    return f"teams:{origin.place[:200]}:{short_hash(body)}:{origin.user}"


def journal_of(activity: Mapping[str, Any], origin: Origin) -> str:
    """What is kept of an interaction: no token, no names."""
    pressed = pressed_of(activity)
    kept = {
        "type": activity.get("type"), "name": activity.get("name"), "tenant": origin.tenant, "user": origin.user,
        "conversation": origin.conversation, "kind": origin.kind, "message": origin.reply_to,
        "verb": pressed.verb, "value": pressed.value[:_ANSWER_MAX], "answers": dict(pressed.given),
        "text": command_of(activity, origin.bot), "zone": origin.zone, "locale": origin.locale,
    }  # fmt: skip
    return json.dumps({k: v for k, v in kept.items() if v}, ensure_ascii=True)


def _fields(thing: Any) -> Mapping[str, Any]:
    return thing if isinstance(thing, Mapping) else {}


def _text(thing: Any) -> str:
    return thing if isinstance(thing, str) and len(thing) <= _ID_MAX else ""
