"""Who is behind a click: bound by the platform's immutable ids only, standing and groups read from the platform.

Rules
- Names and e-mail never bind an account to a person.
- What cannot be read counts against the person: a directory that fails makes them inactive for this interaction.
- A stranger gets a principal of its own ("p-…"), with no groups: it may look, and nothing else (``guards.cedar``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bot.domain.errors import GatehouseError, SettingsError
from bot.domain.ids import Clock, IdSource, short_hash
from bot.domain.principals import Actor, Platform, PlatformIdentity, Principal, Standing
from bot.domain.views import PersonRef
from bot.ports import Directory
from bot.settings import Settings
from bot.store import people as store
from bot.store.database import Database

from .policy import STRANGER

UNCHECKED = "the account could not be checked"  # in ``Standing.note``: asking again may help
GATEHOUSE = PersonRef(id="gatehouse", name="Gatehouse")
_CACHE = 2_000  # people whose standing is remembered


@dataclass(frozen=True, slots=True)
class _Read:
    standing: Standing
    groups: frozenset[str]  # the platform's own group ids
    at: datetime


class People:
    """``directories`` says for each platform where standing and groups are read; a platform without one is refused."""

    def __init__(
        self, db: Database, settings: Settings, directories: Mapping[Platform, Directory], clock: Clock, ids: IdSource
    ) -> None:
        self._db, self._settings, self._clock, self._ids = db, settings, clock, ids
        self._directories = directories
        self._bound = _bind(settings)
        self._cache: OrderedDict[PlatformIdentity, _Read] = OrderedDict()
        self._seen: OrderedDict[str, PersonRef] = OrderedDict()

    @property
    def settings(self) -> Settings:
        return self._settings

    @property
    def ids(self) -> IdSource:
        return self._ids

    def forget(self, platform: Platform, *, user: str = "", group: str = "") -> None:
        """Read anew at the next question: one account (in whatever tenant), or everybody where a group changed.

        The platform said that something changed, so nothing that was believed until now is believed any longer.
        """
        directory = self._directories.get(platform)
        dropped = getattr(directory, "forget", None)
        if callable(dropped) and not user:
            dropped(group)
        for held in [each for each in self._cache if each.platform is platform and user in {"", each.user}]:
            del self._cache[held]

    async def actor(self, identity: PlatformIdentity) -> Actor:
        """The person of this interaction; standing and groups at most ``membership_seconds`` old."""
        return await self._actor(identity, fresh=False)

    async def fresh(self, principal_id: str, identity: PlatformIdentity) -> Actor:
        """As ``actor``, read now. An account that is no longer this principal's comes back inactive."""
        actor = await self._actor(identity, fresh=True)
        if actor.principal.id == principal_id:
            return actor
        gone = actor.standing.model_copy(
            update={"active": False, "note": f"the account is no longer bound to {principal_id}"}
        )
        return actor.model_copy(update={"standing": gone, "groups": frozenset()})

    def person(self, principal_id: str) -> PersonRef:
        """Name and accounts for a card; an id that nobody knows is its own name."""
        known = self._settings.people.get(principal_id)
        if known is not None:
            return PersonRef(id=principal_id, name=known.name, identities=self._identities(principal_id))
        if principal_id == GATEHOUSE.id:
            return GATEHOUSE
        return self._seen.get(principal_id) or PersonRef(id=principal_id, name=principal_id)

    def person_in(self, conn: Connection, principal_id: str) -> PersonRef:
        """As ``person``, also from the database."""
        person = self.person(principal_id)
        if person.name != principal_id:
            return person
        held = store.get(conn, principal_id)
        return PersonRef(id=held.id, name=held.name, identities=held.identities) if held else person

    def candidates(self, groups: Collection[str]) -> Iterable[Actor]:
        """People of gatehouse.yml in any of these groups, as if in good standing: to say who could, never who may."""
        for principal_id in self._settings.people:
            identities = self._identities(principal_id)
            found = self.assumed(identities[0]) if identities else None
            if found is not None and not found.groups.isdisjoint(groups):
                yield found

    def bound(self, platform: Platform) -> dict[PlatformIdentity, str]:
        """The accounts of a platform that gatehouse.yml names, and whose they are."""
        return {identity: whose for identity, whose in self._bound.items() if identity.platform is platform}

    def assumed(self, identity: PlatformIdentity) -> Actor | None:
        """Somebody of gatehouse.yml as if in good standing, by the groups named there; the platform is not asked. For
        what is shown, never for what is decided. None for everybody else."""
        principal_id = self._bound.get(identity)
        if principal_id is None or not self._settings.people[principal_id].active:
            return None
        principal = self._principal(principal_id)
        standing = Standing(active=True, guest=False, external=False, bot=False, checked_at=self._clock.now())
        return Actor(principal=principal, identity=identity, standing=standing, groups=self._named_groups(principal))

    def remembered(self, identity: PlatformIdentity) -> Actor | None:
        """As ``assumed``, but by what the platform said of the account last, where that is still known."""
        actor, held = self.assumed(identity), self._cache.get(identity)
        if actor is None or held is None:
            return actor
        groups = actor.groups | self._by_platform(identity, held) if held.standing.active else frozenset[str]()
        return actor.model_copy(update={"standing": held.standing, "groups": groups})

    def owns(self, owner: str, actor: Actor) -> bool:
        """Whether the actor is the owner, or of the owning team."""
        if not owner:
            return False
        person, settings = actor.principal, self._settings.routing.owners.get(owner)
        teams = {owner, settings.team if settings else ""} - {""}
        return person.id == owner or (person.team or "") in teams

    async def _actor(self, identity: PlatformIdentity, *, fresh: bool) -> Actor:
        principal_id = self._bound.get(identity)
        if principal_id is not None:
            principal = self._principal(principal_id)
        else:
            found = await self._db.read(store.find_by_identity, identity)
            principal = found or _stranger(identity)
        read = await self._read(identity, fresh=fresh)
        standing = read.standing
        if standing.active and not principal.active:
            standing = standing.model_copy(update={"active": False, "note": f"{principal.name} is marked inactive"})
        self._remember(principal)
        groups = frozenset[str]()
        if not principal.id.startswith(STRANGER) and standing.active:
            groups = self._named_groups(principal) | self._by_platform(identity, read)
        return Actor(principal=principal, identity=identity, standing=standing, groups=groups, groups_read_at=read.at)

    def _by_platform(self, identity: PlatformIdentity, read: _Read) -> frozenset[str]:
        groups = self._settings.groups.items()
        return frozenset(name for name, group in groups if self._holds(group.slack, identity, read))

    def _holds(self, group: str | None, identity: PlatformIdentity, read: _Read) -> bool:
        return group is not None and identity.platform is Platform.SLACK and group in read.groups

    async def _read(self, identity: PlatformIdentity, *, fresh: bool) -> _Read:
        now = self._clock.now()
        held = self._cache.get(identity)
        if not fresh and held and now - held.at < timedelta(seconds=self._settings.governance.membership_seconds):
            return held
        directory = self._directories.get(identity.platform)
        if directory is None:
            return _unknown(now, f"nothing can say who is who on {identity.platform.value}")
        if fresh:
            # A directory may hold member lists for a while; at execution they are read anew.
            forget = getattr(directory, "forget", None)
            if callable(forget):
                forget()
        try:
            read = _Read(await directory.standing(identity), await directory.groups(identity), now)
        except GatehouseError as error:
            return _unknown(now, f"{UNCHECKED}: {error.reason}")
        except (OSError, TimeoutError, ValueError, KeyError, TypeError) as error:
            return _unknown(now, f"{UNCHECKED}: {type(error).__name__}")
        self._cache[identity] = read
        self._cache.move_to_end(identity)
        while len(self._cache) > _CACHE:
            self._cache.popitem(last=False)
        return read

    def _remember(self, principal: Principal) -> None:
        self._seen[principal.id] = PersonRef(id=principal.id, name=principal.name, identities=principal.identities)
        self._seen.move_to_end(principal.id)
        while len(self._seen) > _CACHE:
            self._seen.popitem(last=False)

    def _identities(self, principal_id: str) -> tuple[PlatformIdentity, ...]:
        return tuple(identity for identity, bound in self._bound.items() if bound == principal_id)

    def _named_groups(self, principal: Principal) -> frozenset[str]:
        named = {name for name, group in self._settings.groups.items() if principal.id in group.members}
        return frozenset(named | set(principal.groups))

    def _principal(self, principal_id: str) -> Principal:
        person = self._settings.people[principal_id]
        return Principal(
            id=principal_id, name=person.name, email=person.email, team=person.team, role=person.role,
            groups=person.groups, identities=self._identities(principal_id), active=person.active,
        )  # fmt: skip


def _stranger(identity: PlatformIdentity) -> Principal:
    made = short_hash(identity.platform.value, identity.tenant, identity.user, prefix=STRANGER)
    return Principal(id=made, name=identity.user, identities=(identity,))


def _unknown(now: datetime, why: str) -> _Read:
    standing = Standing(active=False, guest=False, external=False, bot=False, checked_at=now, note=why)
    return _Read(standing, frozenset(), now)


def _bind(settings: Settings) -> dict[PlatformIdentity, str]:
    bound: dict[PlatformIdentity, str] = {}
    for principal_id, person in settings.people.items():
        if principal_id.startswith(STRANGER) or principal_id == GATEHOUSE.id:
            raise SettingsError(f"people.{principal_id}: this id is reserved", mend="Name the person otherwise.")
        for platform, text in ((Platform.SLACK, person.slack), (Platform.TEAMS, person.teams)):
            if text is None:
                continue
            tenant, slash, user = text.partition("/")
            if not (tenant and slash and user) or "/" in user:
                raise SettingsError(
                    f"people.{principal_id}.{platform.value}: {text!r} is not TENANT/USER",
                    mend="Give the immutable ids, for example T01ACME/U01ALICE.",
                )
            identity = PlatformIdentity(platform=platform, tenant=tenant, user=user)
            if identity in bound:
                raise SettingsError(
                    f"people.{principal_id}.{platform.value}: {text} is already {bound[identity]}'s",
                    mend="One account is one person's.",
                )
            bound[identity] = principal_id
    return bound
