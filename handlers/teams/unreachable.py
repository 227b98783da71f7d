"""Who pressed or typed in a channel and cannot be written to: the thread says that, and nothing of the answer."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from bot.domain.errors import GatehouseError
from cards.foreign import clean

if TYPE_CHECKING:
    from .desk import TeamsDesk
    from .payloads import Origin

SAID = (
    "I have an answer for you, but I cannot write to you. Add the Gatehouse app for yourself, then ask again; "
    "what was decided is on the card."
)


async def say(desk: TeamsDesk, origin: Origin) -> None:
    """Where it was asked; the mention rings for this person alone. Raises as the wire does."""
    try:
        found = await desk.wire.member(origin.service_url, origin.place, origin.member)
    except GatehouseError:
        found = {}
    await desk.wire.send(origin.service_url, origin.conversation, _activity(origin.member, str(found.get("name", ""))))


def _activity(member: str, name: str) -> dict[str, Any]:
    """Text and no card: only in text a mention rings."""
    name = clean(name, lines=False)[:80].strip() or "Hello"
    at = f"<at>{escape(name)}</at>"
    return {
        "type": "message",
        "summary": SAID,
        "textFormat": "xml",
        "text": f"{at} {SAID}",
        "entities": [{"type": "mention", "text": at, "mentioned": {"id": member, "name": name}}],
    }
