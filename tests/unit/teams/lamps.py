"""The real engine over lamps (tests/unit/remediation), with people in Teams, a strict connector and the outbox."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from bot.delivery import Deliverer
from bot.domain.principals import Platform, PlatformIdentity
from bot.engine import Engine
from bot.governance.in_force import InForce
from bot.governance.people import People
from bot.governance.policy import Policy
from bot.intake.service import Intake
from bot.intake.stewardship import Stewardship
from bot.remediation.approval import Approvals
from bot.remediation.planning import Planner
from bot.reports.board import Board
from bot.settings import Settings
from bot.store import outbox
from bot.store import teams as store
from bot.store.tables import PostRow
from cards.lint_adaptive import problems
from handlers.teams.deciders import Deciders
from handlers.teams.desk import TeamsDesk
from handlers.teams.payloads import origin_of
from handlers.teams.poster import TeamsPoster
from handlers.teams.refresh import Personal
from handlers.teams.wire import TeamsWire
from tests.unit.remediation import conftest as remediation

from .strict import FakeTeams, Place
from .world import APP, CHANNEL, TENANT, press

_NUMBERS = count()
SECOND = "19:second@thread.tacv2"


def user_of(person: str) -> str:
    """The Entra object id."""
    digits = hashlib.sha256(person.encode()).hexdigest()
    return f"{digits[:8]}-0000-4000-8000-{digits[8:20]}"


def new_file(folder: Path) -> Path:
    """A database of its own; the empty one beside it is made once."""
    return folder / f"{next(_NUMBERS)}.db"


def member_of(person: str) -> str:
    return f"29:1{person}"


@dataclass
class Tokens:
    token_: str = "t"
    dropped: int = 0

    async def token(self) -> str:
        return self.token_

    def drop_token(self) -> None:
        self.dropped += 1


class World(remediation.World):
    """``crowd``: how many approvers there are besides Ann and Abe; Olga owns it, Nick is anybody."""

    def __init__(self, path: Path, crowd: int = 0, **governance: Any) -> None:
        self.approvers = ["ann", "abe", *(f"crowd{n:03}" for n in range(crowd))]
        super().__init__(path, **governance)

    def govern(self, **governance: Any) -> None:
        names = {"olga": "Olga Owner", "nick": "Nick Newcomer"}
        names |= {key: f"{key.capitalize()} Approver" for key in self.approvers}
        people = {
            key: {"name": name, "teams": f"{TENANT}/{user_of(key)}", "team": "platform" if key == "olga" else None}
            for key, name in names.items()
        }
        people["ann"]["slack"] = "T1/UANN"
        self.settings = Settings(
            people=people, groups={"cloud-approvers": {"members": self.approvers}}, governance=governance,
            teams={"enabled": True, "app_id": APP, "tenant": TENANT}, teams_app_password="x",
            routing={"fallback": ["slack:COPS"]},
        )  # fmt: skip
        self.policy = Policy.load(self.settings.governance)
        directories = {Platform.TEAMS: self.directory, Platform.SLACK: self.directory}
        self.people = People(self.db, self.settings, directories, self.clock, self.ids)
        catalog: Any = self.catalog
        self.planner = Planner(self.db, catalog, self.cloud, self.clock, self.ids, self.settings.governance)
        self.in_force = InForce(self.policy.version)
        self.approvals = Approvals(self.db, self.planner, self.policy, self.people, self.clock, self.ids, self.in_force)
        self.executor = self.new_executor("w1")
        self.engine = Engine(
            db=self.db, settings=self.settings, clock=self.clock, ids=self.ids,
            board=Board(self.db, self.settings, catalog, self.clock, policy=self.policy, people=self.people),
            intake=Intake(self.db, self.settings, catalog, self.clock, self.ids),
            stewardship=Stewardship(self.db, self.settings, self.clock, self.ids, self.policy),
            people=self.people, policy=self.policy, planner=self.planner, approvals=self.approvals,
            executor=self.executor,
        )  # fmt: skip

    def who(self, person: str) -> PlatformIdentity:
        return PlatformIdentity(platform=Platform.TEAMS, tenant=TENANT, user=user_of(person))

    async def asked(self, person: str = "olga") -> Any:
        """A request for approval by this person."""
        actor = await self.people.actor(self.who(person))
        view = await self.approvals.look(self.cause, actor)
        return await self.approvals.ask(view.plan.id, view.plan_hash, actor, "please")


@dataclass
class Channel:
    """A channel of Teams as its members see it."""

    world: World
    teams: FakeTeams
    url: str
    wire: TeamsWire
    desk: TeamsDesk
    poster: TeamsPoster
    deliverer: Deliverer
    number: int = 0

    async def deliver(self) -> None:
        while await self.deliverer.work_once():
            pass

    async def show(self, *channels: str) -> None:
        """The cause's card stands in these channels."""
        for channel in channels or (CHANNEL,):
            await self.world.db.write(
                outbox.enqueue, self.world.ids, self.world.clock.now(), address=f"teams:{channel}", kind="card",
                subject=self.world.cause,
            )  # fmt: skip
        await self.deliver()

    def card(self, channel: str = CHANNEL) -> dict[str, Any]:
        card: dict[str, Any] = self.teams.cards(channel)[0]
        assert problems(card) == []
        return card

    async def refresh(self, card: dict[str, Any], person: str, **more: Any) -> dict[str, Any]:
        """What Teams asks us for when this person sees the card: the answer of the door."""
        action = {**card["refresh"]["action"], "type": "Action.Execute"}
        return await self._invoke(person, {"action": action, "trigger": "automatic"}, **more)

    async def press(self, person: str, verb: str, value: dict[str, Any], given: dict[str, str] | None = None,
                    **more: Any) -> dict[str, Any]:  # fmt: skip
        return await self._invoke(person, press(verb, value, given=given)["value"], **more)

    async def _invoke(self, person: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
        self.number += 1
        what = press("", {}, user_of(person)) | {
            "from": {"id": member_of(person), "aadObjectId": user_of(person), "name": "somebody"},
            "value": value, "serviceUrl": self.url, "id": f"inv-{self.number}",
        }  # fmt: skip
        origin = origin_of(what | more)
        await self.desk.seen(origin, what | more)
        return await self.desk.invoked(origin, what | more)


@asynccontextmanager
async def channel_of(world: World, *people: str, page: int = 500) -> AsyncIterator[Channel]:
    """Two channels with these members."""
    members = {member_of(person): user_of(person) for person in people}
    teams = FakeTeams(Place(CHANNEL, members=dict(members)), Place(SECOND, members=dict(members)), page=page,
                      clock=lambda: world.clock.now().timestamp())  # fmt: skip
    await world.db.write(
        lambda conn: conn.execute(PostRow.__table__.delete())  # type: ignore[attr-defined]
    )
    async with teams.serving() as url:
        for name in (CHANNEL, SECOND):
            kept = store.Conversation(TENANT, name, "channel", url, f"28:{APP}", team="19:team@thread.tacv2")
            await world.db.write(store.keep_conversation, kept, world.clock.now())
        wire = TeamsWire(Tokens(), world.clock, timeout=5)
        deciders = Deciders(wire, world.db, world.settings, world.clock)
        poster = TeamsPoster(wire, world.db, world.settings, world.clock, Personal(world.engine, deciders))
        deliverer = Deliverer(world.db, world.engine.board, {"teams": poster}, world.clock, "w", world.ids,
                              pace_seconds=0, rng=random.Random(1))  # fmt: skip
        try:
            yield Channel(world, teams, url, wire, TeamsDesk(world.engine, world.settings, wire, pace=0), poster,
                          deliverer)  # fmt: skip
        finally:
            await wire.close()


def verbs(card: dict[str, Any]) -> list[str]:
    """The buttons, in order."""
    sets = [*(part["actions"] for part in card["body"] if part["type"] == "ActionSet"), card.get("actions", [])]
    return [
        str(each.get("verb") or each["data"]["verb"]) for actions in sets for each in actions
        if each["type"] != "Action.OpenUrl"
    ]  # fmt: skip


def text(card: dict[str, Any]) -> str:
    return json.dumps(card, ensure_ascii=False)
