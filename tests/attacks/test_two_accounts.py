"""People with an account on both platforms, in whatever order they press: each is one voter, and names bind nobody."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.domain.decisions import Choice
from bot.domain.errors import GatehouseError
from bot.domain.principals import Actor, Platform, PlatformIdentity
from bot.governance.people import People
from bot.remediation.approval import Approvals
from bot.settings import Settings
from tests.unit.remediation.conftest import GROUPS, PEOPLE, World

TENANT = "99999999-0000-4000-8000-000000000001"
TWO = {"name": "two", "quorum": 2, "groups": ["cloud-approvers"]}
NUMBERS = itertools.count()
QUICK = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PLATFORMS = st.sampled_from([Platform.SLACK, Platform.TEAMS])


def account(key: str, platform: Platform) -> PlatformIdentity:
    tenant, _, user = str(PEOPLE[key]["slack"]).partition("/")
    if platform is Platform.TEAMS:
        tenant, user = TENANT, f"{list(PEOPLE).index(key):08d}-0000-4000-8000-000000000000"
    return PlatformIdentity(platform=platform, tenant=tenant, user=user)


class Both(World):
    """Everybody has an account of Teams, too."""

    def govern(self, **governance: Any) -> None:
        super().govern(**governance)
        people = {
            key: {**person, "teams": f"{TENANT}/{account(key, Platform.TEAMS).user}"} for key, person in PEOPLE.items()
        }
        groups = {"cloud-approvers": {**GROUPS["cloud-approvers"], "members": ["ann", "abe", "sue"]}}
        shape: dict[str, Any] = {"people": people, "groups": groups, "governance": governance}
        self.settings = Settings(**shape)
        here = {Platform.SLACK: self.directory, Platform.TEAMS: self.directory}
        self.people = People(self.db, self.settings, here, self.clock, self.ids)
        self.approvals = Approvals(self.db, self.planner, self.policy, self.people, self.clock, self.ids, self.in_force)

    async def on(self, key: str, platform: Platform) -> Actor:
        return await self.people.actor(account(key, platform))


VOTE = st.tuples(st.sampled_from(["olga", "ann", "abe", "nick"]), st.sampled_from([Choice.APPROVE, Choice.REJECT]))


@QUICK
@given(votes=st.lists(VOTE, max_size=6), places=st.lists(PLATFORMS, min_size=7, max_size=7))
def test_where_somebody_votes_changes_nothing_of_what_is_decided(
    tmp_path: Path, votes: list[tuple[str, Choice]], places: list[Platform]
) -> None:
    async def play(where: list[Platform]) -> tuple[Any, ...]:
        world = Both(
            tmp_path / f"{next(NUMBERS)}.db", rules=[{"name": "two", "quorum": 2, "groups": ["cloud-approvers"]}]
        )
        try:
            asks = await world.on("olga", where[0])
            view = await world.approvals.look(world.cause, asks)
            request = await world.approvals.ask(view.plan.id, view.plan_hash, asks, "please")
            said: list[Any] = []
            for (key, choice), platform in zip(votes, where[1:], strict=False):
                try:
                    actor = await world.on(key, platform)
                    request = await world.approvals.vote(
                        request.id, request.plan_hash, request.revision, actor, choice, "because"
                    )
                    said.append((request.state, [(vote.who.id, vote.choice) for vote in request.votes]))
                except GatehouseError as error:
                    said.append((type(error).__name__, error.reason))
            counted = [vote.who.id for vote in request.votes]
            assert len(counted) == len(set(counted))
            assert "olga" not in [vote.who.id for vote in request.votes if vote.choice is Choice.APPROVE]
            return (*said, await world.kinds())
        finally:
            await world.db.close()

    in_slack = asyncio.run(play([Platform.SLACK] * 7))
    assert asyncio.run(play(places)) == in_slack


BOUND = {
    PlatformIdentity(platform=Platform.TEAMS, tenant=TENANT, user="aaaaaaaa-0000-4000-8000-000000000001"): "alice",
    PlatformIdentity(platform=Platform.SLACK, tenant="T1", user="UALICE"): "alice",
}
LOOKS = st.sampled_from(["T1", "t1", TENANT, TENANT.upper(), "UALICE", "ualice", "Alice", "alice@acme.example", "alice",
                         "aaaaaaaa-0000-4000-8000-000000000001", "АAAAAAAA-0000-4000-8000-000000000001"])  # fmt: skip
WORDS = st.one_of(LOOKS, st.text(max_size=40))


@pytest.fixture(scope="module")
def open_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("who") / "w.db")
    yield world
    world.db.close_sync()


@settings(max_examples=100, deadline=None)
@given(platform=PLATFORMS, tenant=WORDS, user=WORDS, name=WORDS, email=WORDS)
def test_only_the_exact_ids_are_somebody_whatever_names_and_mails_say(
    open_world: World, platform: Platform, tenant: str, user: str, name: str, email: str
) -> None:
    shape: dict[str, Any] = {
        "people": {
            "alice": {"name": name or "Alice", "email": email, "slack": "T1/UALICE",
                      "teams": f"{TENANT}/AAAAAAAA-0000-4000-8000-000000000001"},
        }
    }  # fmt: skip

    people = People(open_world.db, Settings(**shape), {}, open_world.clock, open_world.ids)
    identity = PlatformIdentity(platform=platform, tenant=tenant, user=user)
    found = asyncio.run(people.actor(identity)).principal.id
    if identity in BOUND:
        assert found == BOUND[identity]
    else:
        assert found.startswith("p-")


@pytest.mark.parametrize("first", [Platform.SLACK, Platform.TEAMS])
async def test_one_person_is_not_two_of_a_quorum_by_two_accounts(tmp_path: Path, first: Platform) -> None:
    world = Both(tmp_path / "q.db", rules=[TWO])
    second = Platform.TEAMS if first is Platform.SLACK else Platform.SLACK
    request = await world.ask("UOLGA")
    for platform in (first, second):
        actor = await world.on("ann", platform)
        request = await world.approvals.vote(
            request.id, request.plan_hash, request.revision, actor, Choice.APPROVE, f"in {platform.value}"
        )
    assert ([vote.who.id for vote in request.votes], request.missing) == (["ann"], 1)
    kinds = await world.kinds()
    assert kinds.count("vote.cast") == 1
    await world.db.close()
