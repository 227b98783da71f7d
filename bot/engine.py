"""The engine as handlers see it: its services, already wired by the composition root."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.ask.service import Ask
    from bot.domain.ids import Clock, IdSource
    from bot.governance.controls import Controls
    from bot.governance.delegations import Delegations
    from bot.governance.people import People
    from bot.governance.policy import Policy
    from bot.intake.issues import Issues
    from bot.intake.regroup import Regroup
    from bot.intake.service import Intake
    from bot.intake.stewardship import Stewardship
    from bot.intake.suppression import Suppression
    from bot.narrative.service import Narratives
    from bot.ports import QuestionReader
    from bot.remediation.approval import Approvals
    from bot.remediation.execution import Executor
    from bot.remediation.planning import Planner
    from bot.remediation.rights import Rights
    from bot.remediation.standing import Standings
    from bot.remediation.why import Whys
    from bot.reports.answers import Answers
    from bot.reports.board import Board
    from bot.reports.sight import Sight
    from bot.settings import Settings
    from bot.store.database import Database


@dataclass(slots=True)
class Engine:
    db: Database
    settings: Settings
    clock: Clock
    ids: IdSource
    board: Board
    intake: Intake
    stewardship: Stewardship
    people: People
    policy: Policy
    planner: Planner
    approvals: Approvals
    executor: Executor
    second_reader: QuestionReader | None = None  # of questions, beside the embedded one
    _answers: Answers | None = field(default=None, init=False)
    _ask: Ask | None = field(default=None, init=False)
    _rights: Rights | None = field(default=None, init=False)

    @property
    def rights(self) -> Rights:
        """One for the life of the engine: what it found is given again for some seconds."""
        from bot.remediation.rights import Rights

        if self._rights is None:
            self._rights = Rights(self.db, self.planner, self.policy, self.people, self.clock, self.ids)
        return self._rights

    @property
    def sight(self) -> Sight:
        from bot.reports.sight import Sight

        return Sight(self.db, self.settings, self.board, self.rights)

    @property
    def ask(self) -> Ask:
        """One for the life of the engine: it keeps the company's words for a while."""
        from bot.ask.service import Ask
        from bot.reports.tables import ROWS
        from bot.reports.turns import StoredTurns

        if self._ask is None:
            turns = StoredTurns(self.db, self.clock)
            self._ask = Ask(self.db, self.settings, self.clock, turns, self.second_reader, rows=ROWS)
        return self._ask

    @property
    def answers(self) -> Answers:
        from bot.reports.about import About
        from bot.reports.answers import Answers
        from bot.reports.turns import StoredTurns

        if self._answers is None:
            about, turns = About(self.board, self.approvals), StoredTurns(self.db, self.clock)
            self._answers = Answers(self.db, self.settings, self.ask, about, turns, self.clock, self.ids, self.sight)
        return self._answers

    @property
    def narratives(self) -> Narratives:
        from bot.narrative.service import Narratives

        return Narratives(self.db, self.settings, self.clock)

    @property
    def controls(self) -> Controls:
        from bot.governance.controls import Controls

        return Controls(self.db, self.policy, self.people, self.clock, self.ids)

    @property
    def regroup(self) -> Regroup:
        from bot.intake.regroup import Regroup

        return Regroup(self.db, self.settings, self.clock, self.ids, self.policy)

    @property
    def suppression(self) -> Suppression:
        from bot.intake.suppression import Suppression

        return Suppression(self.db, self.settings, self.clock, self.ids, self.policy)

    @property
    def issues(self) -> Issues:
        from bot.intake.issues import Issues

        return Issues(self.db, self.stewardship, self.clock, self.ids)

    @property
    def standings(self) -> Standings:
        from bot.remediation.standing import Standings

        return Standings(self.db, self.planner, self.policy, self.people, self.clock, self.ids)

    @property
    def whys(self) -> Whys:
        from bot.remediation.why import Whys

        return Whys(self.db, self.planner, self.policy, self.people, self.clock, self.ids)

    @property
    def delegations(self) -> Delegations:
        from bot.governance.delegations import Delegations

        return Delegations(self.db, self.policy, self.people, self.clock)
