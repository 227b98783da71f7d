"""Adaptive Cards: every builder's card keeps Teams' limits and the official schema, whatever the text is."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft6Validator

from bot.domain.answers import AnswerView, CheckView, Column, TableView
from bot.domain.decisions import ApprovalRule, Choice
from bot.domain.findings import Severity, Status
from bot.domain.principals import Platform, PlatformIdentity
from bot.domain.triage import Priority
from bot.domain.views import (
    CauseRights,
    DelegationLine,
    DigestView,
    FactLine,
    FindingLine,
    FindingsView,
    HomeView,
    Notice,
    Option,
    PersonRef,
    Stage,
    WhyView,
)
from cards import adaptive, build
from cards.lint_adaptive import activity_problems, problems
from cards.model import (
    Ask,
    Button,
    Buttons,
    Card,
    Choose,
    Code,
    Fact,
    Facts,
    Grid,
    OptionItem,
    Rule,
    Section,
    Small,
    Strong,
    When,
    Who,
)

from .test_breakglass import OFFER, glass
from .test_cards import (
    ALL_OPTIONS,
    HOSTILE,
    NOW,
    cause,
    cause_line,
    execution,
    finding_view,
    plan_view,
    request,
    status,
)
from .test_standing_cards import draft
from .test_standing_cards import view as standing

SCHEMA = json.loads(files("adaptive_cards").joinpath("schemas/schema-1.5.json").read_text("utf-8"))
VALIDATOR = Draft6Validator({**SCHEMA["definitions"]["AdaptiveCard"], "definitions": SCHEMA["definitions"]})
SEND = Button("gh.send", "Send", '{"p":"plan-1"}', "primary", spoken="Send my decision")


def filled(text: str) -> adaptive.Filled:
    names = ("choice", "reason", "confirm", "to", "days", "word", "comment", "")
    return adaptive.Filled(dict.fromkeys(names, text), dict.fromkeys(names, text))


def answer(text: str) -> AnswerView:
    columns = (Column(name=text), Column(name="n", numeric=True))
    return AnswerView(
        id="a-1", status="answered", question=text, text=text, as_of=NOW, how_read=text,
        facts=(FactLine(label=text, value=text),), points=(text,) * 14, nearest=text, prompts=(text,),
        table=TableView(columns=columns, rows=((text, "1"),) * 60, total=90), cause_id="c-1", cause_title=text,
        fixable=True, checkable=True, note=text,
    )  # fmt: skip


def every_card(text: str) -> list[tuple[str, Card]]:
    """One of every kind this program makes."""
    stored = text.encode("utf-8", "replace").decode()  # a standing approval is hashed, so it was stored before
    line = FindingLine(id="f-1", title=text, severity=Severity.LOW, priority=Priority.P3, status=Status.OPEN,
                       resource=text, where=text, owner=text, cause_id="c-1")  # fmt: skip
    digest = DigestView(channel="C1", since=NOW, until=NOW, revision=1, counts=((Priority.P1, 3),),
                        lines=(cause_line(text),) * 12, total=40)  # fmt: skip
    person = PersonRef(id="x", name=text)
    home = HomeView(person=person, waiting=(request(text),) * 14, asked=(request(text),),
                    mine=(cause_line(text),) * 9, mine_total=30, status=status(text))  # fmt: skip
    why = WhyView(title=text, cause_id="c-1", cause_title=text, request=request(text), allowed=False, reason=text,
                  rule=text, facts=(FactLine(label=text, value=text),), could=(text,), expires_at=NOW, read_at=NOW,
                  mend=text)  # fmt: skip
    lent = DelegationLine(id="d-1", giver=person, stand_in=person, scope=text, reason=text, until=NOW, can_revoke=True)
    check = CheckView(question=text, query_words=text, query_json=text, ids=(text,) * 30, total=70, before_text=text,
                      before_at=NOW, now_text=text, now_at=NOW, same=False, why=text)  # fmt: skip
    two = ApprovalRule(name=text, typed_confirmation=True)
    plan = plan_view(text, *ALL_OPTIONS, rule=two, changes=30)
    made = [
        (f"cause.{stage.value}",
         build.cause_card(cause(text, stage, request=request(text), execution=execution(text), snoozed_until=NOW)))
        for stage in Stage
    ]  # fmt: skip
    rights = CauseRights(cause_id="c-1", revision=1, may=tuple(Option), undo=True, pass_on=True, snooze=True,
                         voted=Choice.APPROVE, why_not=text, rule=text, could=(text,) * 3)  # fmt: skip
    waiting = cause(text, Stage.WAITING, request=request(text), execution=execution(text))
    return [
        *made,
        ("shared", build.shared_card(waiting)),
        ("personal", build.personal_card(waiting, rights)),
        ("personal.nothing", build.personal_card(cause(text), rights.model_copy(update={"may": (), "undo": False}))),
        ("details", build.details_card(cause(text, request=request(text), execution=execution(text)))),
        ("finding", build.finding_card(finding_view(text))),
        ("findings", build.findings_card(FindingsView(lines=(line,) * 20, total=90, filters=text), text[:200])),
        ("digest", build.digest_card(digest)),
        ("status", build.status_card(status(text).model_copy(update={"glasses": (glass(text),) * 7}))),
        ("notice", build.notice_card(Notice(ok=False, said=text, mend=text, rule=text, could=(text,), about="r-1"))),
        ("help", build.help_card()),
        ("thread", build.thread_line(text)),
        ("mine", build.mine_card((cause_line(text),) * 11, 30)),
        ("plan", build.plan_card(plan.model_copy(update={"glass": OFFER, "pre_approve": True}))),
        ("home", build.home_card(home)),
        ("why", build.why_card(why)),
        ("delegations", build.delegations_card((lent,) * 20)),
        ("glass", build.glass_card(glass(text))),
        ("glass_form", build.glass_form_card(plan, OFFER)),
        ("glass_review", build.glass_review_card(glass(text), True)),
        ("pre_approve", build.pre_approve_card(draft(text))),
        ("standing", build.standing_card(standing(stored))),
        ("standings", build.standings_card((standing(stored),) * 20)),
        ("answer", build.answer_card(answer(text))),
        ("page", build.page_card(answer(text), 20)),
        ("check", build.check_card(check)),
        ("comment", build.comment_card()),
        ("about", build.about_card(text)),
        ("thanks", build.thanks_card()),
    ]  # fmt: skip


def schema_problems(made: dict[str, Any]) -> list[str]:
    bare = {key: value for key, value in made.items() if key != "msteams"}
    return [f"{list(error.absolute_path)}: {error.message[:200]}" for error in VALIDATOR.iter_errors(bare)]


def check(name: str, card: Card, text: str, *, schema: bool) -> None:
    message = adaptive.message(card, refresh=adaptive.Refresh("gh.card", "{}", ("29:a",)))
    assert activity_problems(message) == [], name
    form = adaptive.content(card, submit=SEND, back=Button("gh.card", "Back", "{}"))
    assert problems(form) == [], name
    dialog = adaptive.task(card, submit=SEND, filled=filled(text))["task"]["value"]
    assert problems(dialog["card"]["content"]) == [], name
    assert 0 < len(dialog["title"]) <= 64
    assert "Action.Execute" not in texts_of(dialog), name
    opening = adaptive.content(card, dialogs=frozenset({"gh.review", "gh.details"}), submit=SEND, filled=filled(text))
    assert problems(opening) == [], name
    if schema:  # the official one is slow: once with the inputs, once as a message
        assert schema_problems(opening) == schema_problems(form) == schema_problems(dialog["card"]["content"]) == [], (
            name
        )
        assert schema_problems(message["attachments"][0]["content"]) == [], name


@pytest.mark.parametrize("position", range(len(every_card("x"))), ids=[name for name, _ in every_card("x")])
def test_every_card_keeps_the_official_schema_and_our_rules(position: int) -> None:
    text = "Bucket acme-invoices is public"
    check(*every_card(text)[position], text, schema=True)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_breaks_no_limit(text: str) -> None:
    for name, card in every_card(text):
        check(name, card, text, schema=False)


ANY_TEXT = st.text(st.characters(codec=None), max_size=300)
MARKUP = st.text("{}<>!@#&|*_~`:[]()\\-+1. \nDATEuabc;/", max_size=2000)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANY_TEXT | MARKUP, st.data())
def test_any_unicode_gives_a_card_teams_takes(text: str, data: st.DataObject) -> None:
    name, card = data.draw(st.sampled_from(every_card(text)), label="card")
    check(name, card, text, schema=data.draw(st.integers(0, 5), label="schema") == 0)


def test_every_builder_of_the_one_door_is_among_the_cards() -> None:
    tested = {"answer_card", "cause_card", "details_card", "finding_card", "findings_card", "digest_card",
              "status_card", "notice_card", "help_card", "thread_line", "mine_card", "plan_card", "home_card",
              "why_card", "delegations_card", "glass_card", "glass_form_card", "glass_review_card",
              "pre_approve_card", "standing_card", "standings_card", "page_card", "check_card", "comment_card",
              "about_card", "thanks_card", "shared_card", "personal_card"}  # fmt: skip
    others = {"choices", "why_button"}  # parts of cards
    assert {name for name in build.__all__ if name.endswith(("_card", "_line"))} - tested - others <= {"call_card"}


def texts_of(made: Any) -> str:
    return json.dumps(made, ensure_ascii=False)


def one(*parts: Any, **more: Any) -> dict[str, Any]:
    return adaptive.content(Card(title="t", summary="A sentence.", body=parts, **more))


def test_ids_and_arns_stay_as_they_are() -> None:
    arn = "arn:aws:s3:::acme_invoices*[x](y)"
    made = one(Section(((Code(arn),),)))
    assert {"type": "TextRun", "text": arn, "fontType": "Monospace"} in made["body"][1]["inlines"]


@pytest.mark.parametrize(
    ("hostile", "gone"),
    [
        ("[click](https://evil.example)", "](" ),
        ("<at>everyone</at>", "<at>"),
        ("**bold** _it_ `c` ~~s~~", "**"),
        ("- list\n1. one\n# head", "\n1. "),
        ("&lt;at&gt;", "&lt;"),
        ("\\[x\\]", "\\["),
    ],
)  # fmt: skip
def test_markup_in_facts_is_only_text(hostile: str, gone: str) -> None:
    value = one(Facts((Fact("k", (hostile,)),)))["body"][1]["facts"][0]["value"]
    assert gone not in value
    assert problems(one(Facts((Fact("k", (hostile,)),)))) == []


def test_data_cannot_make_a_date() -> None:
    made = one(Section((("{{DATE(2020-01-01T00:00:00Z,SHORT)}}", Strong("{"), "{TIME(x)}}"),)))
    assert "{{" not in texts_of(made)


def test_an_instant_is_localised_by_the_client_and_a_person_is_named() -> None:
    who = PersonRef(id="a", name="Alice", identities=(PlatformIdentity(platform=Platform.TEAMS, tenant="t", user="u"),))
    runs = one(Section(((Who(who), " at ", When(NOW)),)))["body"][1]["inlines"]
    assert [run if isinstance(run, str) else run["text"] for run in runs] == [
        "Alice", " at ", "{{DATE(2026-11-25T12:00:00Z,SHORT)}} {{TIME(2026-11-25T12:00:00Z)}}",
    ]  # fmt: skip


def test_a_button_carries_its_verb_and_value_and_words() -> None:
    made = one(Buttons((Button("gh.review", "Review fix", '{"c":"c-1"}', "primary", spoken="Review fix: bucket"),)))
    assert made["body"][1]["actions"] == [{"type": "Action.Execute", "title": "Review fix", "verb": "gh.review",
        "data": {"gh": '{"c":"c-1"}'}, "style": "positive", "tooltip": "Review fix: bucket"}]  # fmt: skip


def test_a_link_that_cannot_be_followed_is_no_button() -> None:
    made = one(Buttons((Button("gh.console", "Open", url="javascript:alert(1)"), Button("gh.x", "X"))))
    assert [action["title"] for action in made["body"][1]["actions"]] == ["X"]


def test_inputs_only_with_a_button_that_sends_them_and_with_labels() -> None:
    card = Card(title="t", summary="s", body=(
        Choose("days", "How long?", (OptionItem("1", "one day", "until tomorrow"),), initial="1"),
        Ask("reason", "Why?", hint="Kept.", max_length=500), Ask("more", "More", optional=True, long=True),
    ))  # fmt: skip
    assert "Input" not in texts_of(adaptive.content(card))
    days, reason, more = adaptive.content(card, submit=SEND)["body"][1:]
    assert days["choices"] == [{"title": "one day: until tomorrow", "value": "1"}]
    assert (days["value"], days["isRequired"]) == ("1", True)
    assert (reason["label"], reason["isRequired"]) == ("Why? Kept.", True)
    assert "isRequired" not in more


def test_leaving_sends_no_input() -> None:
    made = adaptive.content(Card("t", "s"), submit=SEND, back=Button("gh.card", "Back", "{}"))
    assert [action.get("associatedInputs") for action in made["actions"]] == [None, "none"]


def test_a_table_has_a_head_and_numbers_on_the_right() -> None:
    made = one(Grid(("team", "open"), (("payments", "3"), ("core", "1")), frozenset({1})))["body"][1]
    assert made["firstRowAsHeader"] is True
    assert made["rows"][1]["cells"][1]["items"][0]["horizontalAlignment"] == "Right"


def test_a_wide_table_becomes_lines() -> None:
    made = one(Grid(tuple("abcdefghij"), (tuple("0123456789"),)))
    assert [element["type"] for element in made["body"]] == ["TextBlock", "RichTextBlock"]


def test_too_long_a_card_keeps_buttons_and_says_what_is_missing() -> None:
    body = (*(Section((("x" * 900,),)) for _ in range(90)), Rule(), Buttons((Button("gh.review", "Review", "{}"),)))
    made = one(*body)
    assert adaptive.size_of(made) <= adaptive.LIMIT
    assert made["body"][-1]["type"] == "ActionSet"
    assert "more parts are not shown here" in texts_of(made["body"][-2])


def test_nothing_is_said_by_colour_alone() -> None:
    assert '"color"' not in texts_of([adaptive.content(card) for _, card in every_card("x")])


def test_the_fallback_is_the_sentence() -> None:
    card = build.cause_card(cause("Bucket is public"))
    assert adaptive.content(card)["fallbackText"] == card.summary
    assert adaptive.message(card)["summary"] == card.summary


def test_a_refresh_names_at_most_sixty_people() -> None:
    users = tuple(f"29:{n}" for n in range(99))
    made = adaptive.content(Card("t", "s"), refresh=adaptive.Refresh("gh.card", '{"c":"c-1"}', users))
    assert len(made["refresh"]["userIds"]) == 60
    assert made["refresh"]["action"]["verb"] == "gh.card"


def test_the_lint_finds_what_is_wrong() -> None:
    good = adaptive.content(
        Card(
            "t",
            "s",
            body=(
                Small(
                    ("x",),
                ),
            ),
        ),
        submit=SEND,
    )
    assert problems(good) == []
    bad: list[dict[str, Any]] = [
        {**good, "version": "1.6"},
        {**good, "fallbackText": ""},
        {**good, "body": [{"type": "Input.Text", "id": "a", "maxLength": 5}]},
        {**good, "body": [{"type": "TextBlock", "text": "[a](https://b.example)", "wrap": True}]},
        {**good, "body": [{"type": "TextBlock", "text": "<at>x</at>", "wrap": True}]},
        {**good, "body": [{"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": "x", "color": "Good"}]}]},
        {**good, "body": [{"type": "RichTextBlock", "inlines": ["{{DATE(evil)}}"]}]},
        {**good, "body": [{"type": "RichTextBlock", "inlines": ["x" * 30_000]}]},
        {**good, "actions": [{"type": "Action.OpenUrl", "title": "x", "url": "javascript:1"}]},
        {**good, "refresh": {"action": {"verb": "gh.x"}, "userIds": ["29:x"] * 61}},
    ]
    assert [len(problems(each)) > 0 for each in bad] == [True] * len(bad)


def test_a_dash_that_is_a_whole_span_makes_no_list_of_the_span_after_it() -> None:
    for text in ("-", "+", "1.", "12)"):
        assert not re.match(r"(?:[-+]|\d+[.)])\s", f"{adaptive.markdown(text, 100)} more")
