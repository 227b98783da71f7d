"""What Teams says of a person, read freshly. What cannot be read raises; the engine counts that against the person."""

from __future__ import annotations

from bot.domain.errors import Gone, Refused
from bot.domain.ids import Clock
from bot.domain.principals import PlatformIdentity, Standing
from bot.settings import Settings
from bot.store import teams as store
from bot.store.database import Database

from .roster import is_guest
from .wire import TeamsWire


class TeamsDirectory:
    """Implements ``ports.Directory``.

    One member, looked up where the person was seen last. Groups of Entra are not read (that needs Graph): who is in a
    group of approvers on Teams stands in gatehouse.yml.
    """

    def __init__(self, wire: TeamsWire, db: Database | None, settings: Settings, clock: Clock) -> None:
        """``db`` may be attached later: the engine that opens it wants this directory first."""
        self._wire, self.db, self._settings, self._clock = wire, db, settings, clock

    async def standing(self, who: PlatformIdentity) -> Standing:
        now, ours = self._clock.now(), self._settings.teams.tenant.lower()
        if self.db is None:
            raise Refused("Teams is not started yet.")
        known = await self.db.read(store.member, who.tenant, who.user)
        if known is None:
            raise Refused("Teams has not shown us this person yet.", mend="They say anything to the bot once.")
        try:
            found = await self._wire.member(known.service_url, known.conversation, known.member)
        except Gone:
            note = "the account is no longer in the conversation it was seen in last"
            return Standing(active=False, guest=False, external=False, bot=False, checked_at=now, note=note)
        if str(found.get("aadObjectId") or found.get("objectId") or "").lower() != who.user:
            raise Refused("Teams' answer about this person is about somebody else.")
        tenant = str(found.get("tenantId") or who.tenant).lower()
        return Standing(
            active=True,
            guest=is_guest(found),
            external=who.tenant != ours or tenant != ours,
            bot=known.member.startswith("28:"),
            checked_at=now,
        )

    async def groups(self, who: PlatformIdentity) -> frozenset[str]:
        return frozenset()
