"""Whom a message mentions: by the id Teams put into it, never by the name that is shown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.domain.errors import BadInput, Gone
from bot.domain.principals import Platform, PlatformIdentity
from bot.store import teams as store

if TYPE_CHECKING:
    from .desk import TeamsDesk
    from .payloads import Origin

_TAG = re.compile(r"<[^>]*>")
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ID_MAX, _MOST = 400, 20


@dataclass(frozen=True, slots=True)
class Mention:
    """``member`` is the id this bot knows the person by (29:…); ``name`` is what stands in the text."""

    member: str
    name: str


def mentions_of(activity: Mapping[str, Any], bot: str) -> tuple[Mention, ...]:
    """Everybody but us."""
    made: list[Mention] = []
    entities = activity.get("entities")
    for entity in entities[:100] if isinstance(entities, list) else ():
        if not isinstance(entity, Mapping) or entity.get("type") != "mention":
            continue
        who, said = entity.get("mentioned"), entity.get("text")
        member = who.get("id") if isinstance(who, Mapping) else None
        if not isinstance(member, str) or not isinstance(said, str) or not 0 < len(member) <= _ID_MAX or member == bot:
            continue
        name = " ".join(_TAG.sub("", said[:_ID_MAX]).replace("\u00a0", " ").split())
        if name:
            made.append(Mention(member, name))
    return tuple(made[:_MOST])


def first_of(text: str, mentions: Sequence[Mention]) -> tuple[Mention | None, str]:
    """Whom ``text`` begins with, and what comes after. Two people of one name cannot be told apart in it."""
    found = [each for each in mentions if text == each.name or text.startswith(f"{each.name} ")]
    if not found:
        return None, text
    longest = max(found, key=lambda each: len(each.name))
    if any(each.member != longest.member for each in found if each.name == longest.name):
        raise BadInput(f"Two people called {longest.name[:80]} are mentioned.", mend="Mention only the one you mean.")
    return longest, text[len(longest.name) :].strip()


async def identity_of(desk: TeamsDesk, origin: Origin, mention: Mention) -> PlatformIdentity:
    """Looked up now where they were mentioned; kept, so that their standing can be read there."""
    try:
        found = await desk.wire.member(origin.service_url, origin.place, mention.member)
    except Gone as error:
        raise BadInput(f"{mention.name[:80]} is not in this conversation.", mend="Mention a person of it.") from error
    user = str(found.get("aadObjectId") or found.get("objectId") or "").lower()
    tenant = str(found.get("tenantId") or origin.tenant).lower()
    if not _GUID.fullmatch(user):
        raise BadInput(f"{mention.name[:80]} is no person of this organisation.", mend="Mention a person.")
    if tenant == origin.tenant:
        known = store.Member(tenant, user, mention.member, origin.place, origin.service_url)
        await desk.engine.db.write(store.keep_member, known, desk.engine.clock.now())
    return PlatformIdentity(platform=Platform.TEAMS, tenant=tenant, user=user)
