"""Who is behind a click: bound by immutable ids, read freshly, closed when it cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.errors import RetryLater, SettingsError
from bot.domain.principals import Platform, PlatformIdentity, Principal, Standing
from bot.governance.people import People
from bot.settings import Settings
from bot.store import people as store
from bot.store.database import Database
from bot.store.tables import metadata

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Clock:
    at = NOW

    def now(self) -> datetime:
        return self.at


class Ids:
    def new(self, prefix: str) -> str:
        return f"{prefix}-1"


class Slack:
    def __init__(self) -> None:
        self.reads, self.active, self.held, self.fails = 0, True, frozenset({"S1"}), None

    async def standing(self, who: PlatformIdentity) -> Standing:
        self.reads += 1
        if self.fails:
            raise self.fails
        return Standing(active=self.active, guest=False, external=False, bot=False, checked_at=NOW)

    async def groups(self, who: PlatformIdentity) -> frozenset[str]:
        return self.held


def slack(user: str, tenant: str = "T1") -> PlatformIdentity:
    return PlatformIdentity(platform=Platform.SLACK, tenant=tenant, user=user)


def settings(**more: object) -> Settings:
    return Settings(
        people={
            "ann": {"name": "Ann", "slack": "T1/U1", "teams": "TT/O1", "groups": ["named"]},
            "off": {"name": "Off", "slack": "T1/U2", "active": False},
        },
        groups={"approvers": {"slack": "S1"}, "staff": {"members": ["ann"]}, "other": {"slack": "S9"}},
        **more,
    )  # type: ignore[arg-type]


@pytest.fixture
async def kit(tmp_path):
    db = Database(f"sqlite:///{tmp_path / 'p.db'}")
    metadata.create_all(db.engine)
    directory, clock = Slack(), Clock()
    yield People(db, settings(), {Platform.SLACK: directory}, clock, Ids()), directory, clock, db
    await db.close()


async def test_a_person_is_bound_by_tenant_and_user_id(kit):
    people, *_ = kit
    actor = await people.actor(slack("U1"))
    assert actor.principal.id == "ann"
    assert actor.groups == {"named", "staff", "approvers"}
    assert (await people.actor(slack("U1", "T2"))).principal.id.startswith("p-")
    teams = await people.actor(PlatformIdentity(platform=Platform.TEAMS, tenant="tt", user="o1"))
    assert teams.principal.id == "ann"
    assert not teams.standing.active  # bound, but nothing here can vouch for a Teams account
    assert teams.groups == frozenset()


async def test_a_stranger_has_a_stable_principal_and_no_groups(kit):
    people, *_ = kit
    first, again, other = [await people.actor(slack(user)) for user in ("U7", "U7", "U8")]
    assert first.principal.id == again.principal.id != other.principal.id
    assert first.groups == frozenset()
    assert people.person(first.principal.id).identities == (slack("U7"),)


async def test_standing_is_believed_for_a_minute_and_read_again_at_execution(kit):
    people, directory, clock, _ = kit
    for _ in range(3):
        await people.actor(slack("U1"))
    assert directory.reads == 1
    directory.active = False
    assert (await people.actor(slack("U1"))).standing.active
    fresh = await people.fresh("ann", slack("U1"))
    assert not fresh.standing.active
    assert fresh.groups == frozenset()
    directory.active = True
    clock.at = NOW + timedelta(seconds=61)
    assert (await people.actor(slack("U1"))).standing.active


@pytest.mark.parametrize("error", [RetryLater("Slack is down"), OSError("reset"), TimeoutError()])
async def test_a_directory_that_fails_closes(kit, error):
    people, directory, *_ = kit
    directory.fails = error
    actor = await people.actor(slack("U1"))
    assert not actor.standing.active
    assert "could not be checked" in (actor.standing.objection() or "")
    assert actor.groups == frozenset()
    directory.fails = None
    assert (await people.actor(slack("U1"))).standing.active  # a failure is not remembered


async def test_inactive_in_the_settings_is_inactive(kit):
    people, *_ = kit
    actor = await people.actor(slack("U2"))
    assert "marked inactive" in (actor.standing.objection() or "")


async def test_fresh_refuses_an_account_that_is_somebody_elses(kit):
    people, *_ = kit
    actor = await people.fresh("off", slack("U1"))
    assert not actor.standing.active
    assert "no longer bound to off" in (actor.standing.objection() or "")


async def test_an_administrator_binds_an_account_in_the_database(kit):
    people, _, _, db = kit
    await db.write(store.save, Principal(id="dora", name="Dora", groups=("sre",)), NOW)
    await db.write(store.bind, "dora", slack("U5"), proof="admin", now=NOW)
    actor = await people.actor(slack("U5"))
    assert (actor.principal.id, actor.groups) == ("dora", {"sre", "approvers"})
    assert (await db.read(people.person_in, "dora")).name == "Dora"
    with pytest.raises(Exception, match="bound to dora"):
        await db.write(store.bind, "eve", slack("U5"), proof="admin", now=NOW)
    assert await db.write(store.unbind, slack("U5"))
    assert (await people.actor(slack("U5"))).principal.id.startswith("p-")


@pytest.mark.parametrize(
    ("people", "said"),
    [
        ({"p-x": {"name": "X"}}, "reserved"),
        ({"gatehouse": {"name": "X"}}, "reserved"),
        ({"x": {"name": "X", "slack": "U1"}}, "not TENANT/USER"),
        ({"x": {"name": "X", "slack": "T1/U1"}, "y": {"name": "Y", "slack": "T1/U1"}}, "already x's"),
    ],
)
async def test_settings_that_bind_badly_are_refused(kit, people, said):
    with pytest.raises(SettingsError, match=said):
        People(kit[3], Settings(people=people), {}, Clock(), Ids())


async def test_what_the_platform_says_changed_is_read_anew_at_once(kit):
    people, directory, _, _ = kit
    assert "approvers" in (await people.actor(slack("U1"))).groups
    await people.actor(slack("U2"))
    directory.active = False
    people.forget(Platform.SLACK, user="U9")  # somebody else
    assert (await people.actor(slack("U1"))).standing.active
    people.forget(Platform.SLACK, user="U1")
    assert not (await people.actor(slack("U1"))).standing.active
    before = directory.reads
    await people.actor(slack("U2"))
    assert directory.reads == before  # still believed
    people.forget(Platform.SLACK, group="S1")
    await people.actor(slack("U2"))
    assert directory.reads == before + 1


async def test_a_group_that_changed_is_forgotten_by_the_directory_too(kit):
    people, directory, _, _ = kit
    dropped = []
    directory.forget = lambda group="": dropped.append(group)
    people.forget(Platform.SLACK, group="S1")
    people.forget(Platform.SLACK, user="U1")  # an account's standing is not held there
    people.forget(Platform.TEAMS, group="S1")
    assert dropped == ["S1"]
