"""Who would read an answer in a channel or chat: read freshly, since people come and go."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from bot.domain.errors import ConnectorError

from .payloads import Origin
from .wire import TeamsWire

log = logging.getLogger(__name__)


def is_guest(member: Mapping[str, Any]) -> bool:
    """A guest has a role or a name that says so; where Teams says neither, nobody knows."""
    role, name = str(member.get("userRole", "")).lower(), str(member.get("userPrincipalName", "")).lower()
    return role not in {"", "user", "owner"} or "#ext#" in name or not (role or name)


async def strangers(wire: TeamsWire, origin: Origin) -> str:
    """Why an answer may not be said there; "" where everybody is a full member of the asker's organisation."""
    try:
        people, everybody = await wire.members(origin.service_url, origin.place)
    except ConnectorError as error:
        log.info("who is in a conversation of Teams could not be read (%s)", error.reason)
        return "Teams does not say who reads this channel."
    if not everybody:
        return "More people are in this channel than Gatehouse looks at."
    if not people:
        return "Teams does not say who reads this channel."
    for each in people:
        if str(each.get("id", "")).startswith("28:"):
            continue
        if str(each.get("tenantId") or origin.tenant).lower() != origin.tenant:
            return "People of another organisation are in this channel."
        if is_guest(each):
            return "Guests are in this channel."
    return ""
