"""One card of every kind this program makes, out of one text, and what both renderers make of it. Tests of every card
go through here; ``test_validators.py`` finds a function that makes a card and is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bot.domain.answers import AnswerView, ChartView, CheckView, Column, TableView
from bot.domain.decisions import ApprovalRule, Choice, ExecutionState
from bot.domain.findings import Severity, Status
from bot.domain.plans import PlanKind
from bot.domain.silence import (
    AttentionView,
    DailyView,
    HiddenLine,
    MoveLine,
    NameLine,
    PartLine,
    Preview,
    PromiseView,
    RegroupView,
    RuleState,
    RuleView,
    SilencedLine,
)
from bot.domain.standing import StandingState
from bot.domain.triage import Priority
from bot.domain.views import (
    AgreementView,
    CauseRights,
    CauseView,
    ContextLine,
    DelegationLine,
    DigestView,
    FactLine,
    FindingLine,
    FindingsView,
    HomeView,
    IssueView,
    ModelCallView,
    NarrativeView,
    Notice,
    Option,
    OptionView,
    PersonRef,
    Stage,
    StandingRef,
    VoteLine,
    WhyView,
    WitnessedView,
    WitnessLine,
)
from bot.settings import OwnerSettings, RoutingSettings, Settings
from cards import adaptive, attention, blockkit, build, found, plans, rules, welcome
from cards.model import Ask, Button, Card, Feedback, Grid
from handlers.common import delegation, forms
from handlers.teams.commands import help_card as teams_help
from handlers.teams.refusals import headed

from .test_breakglass import OFFER, glass, reviewed
from .test_cards import ALL_OPTIONS, NOW, cause, cause_line, execution, finding_view, plan_view, request, status
from .test_standing_cards import draft
from .test_standing_cards import view as standing

SEND = Button("gh.send", "Send", '{"p":"plan-1"}', "primary", spoken="Send my decision")
SOME_STAGES = (Stage.OPEN, Stage.WAITING, Stage.FIXED, Stage.SNOOZED)
SOME_STATES = (ExecutionState.VERIFYING, ExecutionState.FAILED)
BACK = Button("gh.card", "Back", "{}")


@dataclass(frozen=True, slots=True)
class Made:
    name: str  # of the function that made it, and which one of its cards
    card: Card
    form: bool = False  # asked for with inputs and a button that sends them
    home: bool = False  # a page of its own in Slack


def full_cause(text: str, stage: Stage, **more: Any) -> CauseView:
    """With everything a cause can have."""
    told = tuple(WitnessLine(finding_id=f"f-{n}", source=source, title=text, open=n > 0, severity=Severity.HIGH)
                 for n, source in enumerate(("wiz", text, "prowler")))  # fmt: skip
    issue = IssueView(id="i-1", resource=text, why=text, witnesses=told, count=7)
    said = NarrativeView(risk=text, root_cause=text, exploitability=text, steps=(text, text), model=text,
                         duplicates=(("c-2", text),), call_id="m-1", at=NOW)  # fmt: skip
    given: dict[str, Any] = {
        "request": request(text), "execution": execution(text), "snoozed_until": NOW, "snoozed_by": text,
        "narrative": said, "witnessed": WitnessedView(problems=3, sources=("wiz", text), issues=(issue,) * 3),
        "candidates": told, "anchor": "f-1", "one_change": text, "alike_open": 900, "resource_count": 40,
        "agreement": AgreementView(waiting_for=("wiz", text), contradicted_by=(text,)),
        "context": (ContextLine(resource=text, fact=text, value=text, why=text, source=text, as_of=NOW),) * 12,
    }  # fmt: skip
    return cause(text, stage, **(given | more))


def answer(text: str, **more: Any) -> AnswerView:
    columns = (Column(name=text), Column(name="n", numeric=True))
    given: dict[str, Any] = {
        "id": "a-1", "status": "answered", "question": text, "text": text, "as_of": NOW, "how_read": text,
        "facts": (FactLine(label=text, value=text),), "points": (text,) * 14, "nearest": text, "prompts": (text, "b"),
        "table": TableView(columns=columns, rows=((text, "1"),) * 60, offset=20, total=90), "cause_id": "c-1",
        "cause_title": text, "fixable": True, "checkable": True, "note": text,
        "chart": ChartView(kind="line", title=text, labels=(text, "b"), values=(1, 2)),
    }  # fmt: skip
    return AnswerView(**(given | more))


def rule(text: str, state: RuleState, **more: Any) -> RuleView:
    hidden = HiddenLine(id="f-1", title=text, resource=text, where=text, priority=Priority.P1, source=text)
    preview = Preview(matched=9, hides=7, causes=2, of_open=99, last_week=3, urgent=(hidden,) * 3, sample=(hidden,),
                      by_priority=((Priority.P1, 2), (Priority.P3, 7)))  # fmt: skip
    given: dict[str, Any] = {
        "id": "sr-1", "name": text, "hash": "a" * 64, "origin": "person", "state": state, "state_why": text,
        "about": text, "when": text, "reason": text, "author": text, "until": NOW, "include_p1": True, "quorum": 2,
        "names": (NameLine(id="x", name=text, at=NOW),), "hidden": 5, "hidden_p1": 1, "preview": preview,
        "may_activate": state is RuleState.MONITOR, "may_end": not state.over,
    }  # fmt: skip
    return RuleView(**(given | more))


def every(text: str, *, brief: bool = False) -> list[Made]:
    """``brief``: a cause in some of its stages; the text stands in the same places in all of them."""
    stored = text.encode("utf-8", "replace").decode()  # a standing approval is hashed, so it was stored before
    person = PersonRef(id="x", name=text)
    line = FindingLine(id="f-1", title=text, severity=Severity.LOW, priority=Priority.P3, status=Status.OPEN,
                       resource=text, where=text, owner=text, cause_id="c-1")  # fmt: skip
    digest = DigestView(channel="C1", since=NOW, until=NOW, revision=1, counts=((Priority.P1, 3),),
                        lines=(cause_line(text),) * 12, total=40)  # fmt: skip
    silenced = (SilencedLine(by=text, reason=text, count=4, p1=1, rule_id="sr-1"),) * 20
    promise = PromiseView(minutes=5, days=30, posted=4, late=1, waiting=2, overdue=1, voiceless=1, p50=3.0, p95=400.0,
                          worst=400.0, histogram=((text, 3),))  # fmt: skip
    doing = AttentionView(at=NOW, came=7, fixed=1, overdue=3, cards=2, held=1, silenced=silenced, rules_watching=2,
                          waits=((text, 2),), owners=((text, 3),), promise=promise)  # fmt: skip
    health = status(text).model_copy(update={"glasses": (glass(text),) * 7, "attention": doing, "model": text})
    home = HomeView(person=person, waiting=(request(text),) * 14, asked=(request(text),),
                    mine=(cause_line(text),) * 9, mine_total=30, status=health)  # fmt: skip
    day = DailyView(channel="C1", day=text, since=NOW, until=NOW, new=((Priority.P1, 2),), fixed=3, open=9, overdue=1,
                    held=2, waits=((text, 1),), silenced=silenced, urgent=(("c-1", text),) * 3,
                    days=((text, 3, 2),) * 14)  # fmt: skip
    why: dict[str, Any] = {
        "title": text, "cause_id": "c-1", "cause_title": text, "request": request(text), "reason": text, "rule": text,
        "facts": (FactLine(label=text, value=text),) * 12, "could": (text, text), "expires_at": NOW, "read_at": NOW,
        "mend": text, "plan_id": "plan-1",
    }  # fmt: skip
    lent = DelegationLine(id="d-1", giver=person, stand_in=person, scope=text, reason=text, until=NOW, can_revoke=True)
    check: dict[str, Any] = {
        "question": text, "query_words": text, "query_json": text, "ids": (text,) * 30, "total": 70, "now_text": text,
        "now_at": NOW, "why": text,
    }  # fmt: skip
    two = ApprovalRule(name=text, typed_confirmation=True, quorum=2)
    plan = plan_view(text, *ALL_OPTIONS, rule=two, changes=30)
    ref = StandingRef(id="sa-1", by=(person, person), scope=text, until=NOW)
    nobody = plan_view(text, OptionView(option=Option.APPROVE, allowed=False, why_not=text, rule=text))
    votes = tuple(VoteLine(who=person, choice=choice, reason=text, at=NOW, instead_of=person) for choice in Choice)
    call = ModelCallView(id="m-1", at=NOW, purpose=text, subject=text, model=text, endpoint=text, state="failed",
                         why=text, messages=(("system", text), ("user", text), (text, text)), output=text,
                         input_tokens=9, output_tokens=9)  # fmt: skip
    settings = Settings(routing=RoutingSettings(owners={"a": OwnerSettings(name=text, channels=("slack:C1",))}))
    regroup = RegroupView(cause_id="c-1", title=text, open_count=4, parts=(PartLine(id="1", what=text, count=2),
                                                                           PartLine(id="3", what=text, count=1)),
                          others=(PartLine(id="2", what=text, count=2),),
                          made=(MoveLine(kind="merge", by=text, reason=text, at=NOW),) * 5)  # fmt: skip
    hidden = HiddenLine(id="f-1", title=text, resource=text, where=text, priority=Priority.P1, source=text)
    may = CauseRights(cause_id="c-1", revision=7, may=(Option.APPROVE, Option.REJECT), undo=True, pass_on=True,
                      snooze=True, voted=Choice.APPROVE)  # fmt: skip
    may_not = CauseRights(cause_id="c-1", revision=7, why_not=text, rule=text, could=(text, "b"))
    stages = [
        Made(f"cause_card {stage.value}", build.cause_card(full_cause(text, stage)))
        for stage in (SOME_STAGES if brief else Stage)
    ]
    runs = [
        Made(f"cause_card {state.value}", build.cause_card(full_cause(
            text, Stage.RUNNING, request=request(text, votes=votes, glass=reviewed(text), state="approved"),
            execution=execution(text, state=state, kind=PlanKind.UNDO, standing=ref))))
        for state in (SOME_STATES if brief else ExecutionState)
    ]  # fmt: skip
    return [
        *stages,
        *runs,
        Made("cause_card bare", build.cause_card(cause(text, owner="", playbook="", no_fix=text, due=None, sources=(),
                                                       resources=(), reasons=(), console_url="", what=""))),
        Made("shared_card", build.shared_card(full_cause(text, Stage.OPEN))),
        Made("personal_card yes", build.personal_card(full_cause(text, Stage.WAITING), may)),
        Made("personal_card no", build.personal_card(full_cause(text, Stage.OPEN), may_not)),
        Made("details_card", build.details_card(full_cause(text, Stage.OPEN))),
        Made("finding_card", build.finding_card(finding_view(text))),
        Made("findings_card", build.findings_card(FindingsView(lines=(line,) * 20, total=90, filters=text),
                                                  text[:200])),
        Made("findings_card none", build.findings_card(FindingsView(lines=(), total=0, filters=text))),
        Made("digest_card", build.digest_card(digest)),
        Made("status_card", build.status_card(health)),
        Made("notice_card no", build.notice_card(Notice(ok=False, said=text, mend=text, rule=text, could=(text, "b"),
                                                        about="r-1"))),
        Made("notice_card yes", build.notice_card(Notice(ok=True, said=text))),
        Made("help_card", build.help_card()),
        Made("help_card teams", teams_help()),
        Made("thread_line", build.thread_line(text)),
        Made("mine_card", build.mine_card((cause_line(text),) * 11, 30)),
        Made("mine_card none", build.mine_card((), 0)),
        Made("plan_card", build.plan_card(plan.model_copy(update={"glass": OFFER, "pre_approve": True,
                                                                  "standing": ref, "standing_note": text})), form=True),
        Made("plan_card no", build.plan_card(nobody)),
        Made("home_card", build.home_card(home), home=True),
        Made("approvals_card", plans.approvals_card(home)),
        Made("why_card no", build.why_card(WhyView(allowed=False, **why))),
        Made("why_card yes", build.why_card(WhyView(allowed=True, **why))),
        Made("delegations_card", build.delegations_card((lent,) * 20)),
        Made("delegations_card none", build.delegations_card(())),
        Made("glass_card", build.glass_card(glass(text))),
        Made("glass_card reviewed", build.glass_card(reviewed(text))),
        Made("glass_form_card", build.glass_form_card(plan, OFFER), form=True),
        Made("glass_review_card", build.glass_review_card(glass(text), True), form=True),
        Made("pre_approve_card", build.pre_approve_card(draft(text, quorum=2)), form=True),
        Made("standing_card", build.standing_card(standing(stored, state=StandingState.SUSPENDED, state_why=stored))),
        Made("standings_card", build.standings_card((standing(stored, quorum=2, state=StandingState.PROPOSED,
                                                              may_confirm=True),) * 20)),
        Made("standings_card none", build.standings_card(())),
        Made("answer_card", build.answer_card(answer(text))),
        Made("answer_card private", build.answer_card(answer(text), private=True, asked=True)),
        Made("answer_card picture", build.answer_card(answer(text), picture=True, streamed=True)),
        Made("answer_card table", build.answer_card(answer(text), table_alone=True)),
        Made("answer_card refused", build.answer_card(answer(text, status="refused", table=None, facts=(), points=(),
                                                             cause_id="", checkable=False, chart=None))),
        Made("answer_card charts", build.answer_card(answer(text), charts=True)),
        Made("page_card", build.page_card(answer(text), 20)),
        Made("check_card", build.check_card(CheckView(**check, before_text=text, before_at=NOW, same=False))),
        Made("check_card unknown", build.check_card(CheckView(**check, before_text="", before_at=NOW, same=None))),
        Made("comment_card", build.comment_card(), form=True),
        Made("about_card", build.about_card(text), form=True),
        Made("thanks_card", build.thanks_card()),
        Made("call_card", build.call_card(call)),
        Made("daily_card", attention.daily_card(day)),
        Made("daily_card charts", attention.daily_card(day.model_copy(update={"picture": True}), charts=True)),
        Made("found_card", found.found_card(line.model_copy(update={"due": NOW}))),
        Made("team_card", welcome.team_card(text, text, (text,) * 3, fallback=True)),
        Made("team_card nobody", welcome.team_card("", text, (), fallback=False)),
        Made("home_card with_buttons", welcome.with_buttons(build.home_card(home), 40)),
        Made("approvals", welcome.approvals(home)),
        Made("waiting_card", welcome.waiting_card(home, 0)),
        Made("notice_card headed", headed(Notice(ok=False, said=text, mend=text, rule=text, could=(text, "b")),
                                          build.cause_card(full_cause(text, Stage.OPEN)))),
        Made("delegation form", delegation.form({"alice": text, "bob": text}), form=True),
        Made("regroup_card", attention.regroup_card(regroup), form=True),
        *(Made(f"rule_card {state.value}", rules.rule_card(rule(text, state))) for state in RuleState),
        Made("rules_card", rules.rules_card(tuple(rule(text, state) for state in RuleState))),
        Made("rules_card none", rules.rules_card(())),
        Made("hidden_card", rules.hidden_card(text, (hidden,) * 20, 90)),
        Made("new_rule_card", rules.new_rule_card(), form=True),
        Made("not_mine_card", forms.not_mine_card(cause(text), settings), form=True),
        Made("snooze_card", forms.snooze_card(cause(text)), form=True),
    ]  # fmt: skip


def slack(made: Made, *, brief: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """surface, payload: as a message, as a dialog, on the home page, whichever it can be. ``brief``: as a dialog only
    where that is made of other blocks than the message."""
    if made.home:
        yield "home", blockkit.home(made.card)
    elif made.form:
        yield "modal", blockkit.modal(made.card, callback_id="gh.x", submit="Send", title="Dialog")
    else:
        yield "message", blockkit.message(made.card)
        if not brief or any(isinstance(part, Grid | Feedback) for part in made.card.body):
            yield "modal", blockkit.modal(made.card, callback_id="gh.show", title="Dialog")


def teams(made: Made) -> Iterator[dict[str, Any]]:
    """The cards Teams gets: in a message, in its place with inputs, in a dialog."""
    if made.form:
        yield adaptive.content(made.card, submit=SEND, back=BACK)
        wrong = {part.id: "Please say why." for part in made.card.body if isinstance(part, Ask)} | {"": "Not yet."}
        again = adaptive.Filled(dict.fromkeys(wrong, "what was typed"), wrong)
        yield adaptive.content(made.card, submit=SEND, filled=again, dialogs=frozenset({"gh.glass"}))
        yield adaptive.task(made.card, submit=SEND)["task"]["value"]["card"]["content"]
    else:
        refresh = adaptive.Refresh("gh.card", "{}", ("29:a",))
        yield adaptive.content(made.card, refresh=refresh, dialogs=frozenset({"gh.review", "gh.snooze"}))
