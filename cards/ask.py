"""Answers to questions -> neutral Card. Pure. Figures and names come from the view; nothing here says a number."""

from __future__ import annotations

from bot.domain.answers import START, AnswerView, CheckView, TableView

from .model import (
    Ask,
    Bullets,
    Button,
    Buttons,
    Card,
    Code,
    Fact,
    Facts,
    Feedback,
    Grid,
    Part,
    Plot,
    Section,
    Small,
    Strong,
    When,
)
from .narrative import DECIDES_NOTHING
from .words import count, ids, sentence

HEAD = {
    "answered": "",
    "clarify": "🤔 ",
    "refused": "🚫 ",
    "out_of_scope": "🚫 ",
}
POINTS = 12
_NONE = TableView(columns=(), rows=())


def answer_card(
    view: AnswerView,
    *,
    picture: bool = False,
    streamed: bool = False,
    private: bool = False,
    asked: bool = False,
    table_alone: bool = False,
    thumbs: bool = True,
    charts: bool = False,
) -> Card:
    """The sentence, the table, how it was read, and what can be done with it.

    ``picture``: a chart goes with it, so a course needs no table. ``streamed``: the sentence was said before.
    ``private``: only one person sees it. ``asked``: the question itself is not to be seen there. ``table_alone``: the
    picture could not be sent after all. ``thumbs``: the platform itself does not ask what people think of it.
    ``charts``: the platform draws them.
    """
    body: list[Part] = []
    if table_alone:
        return Card(
            title="", summary=f"The figures of: {sentence(view.question)}", body=tuple(_grid(view.table or _NONE))
        )
    if asked:
        body.append(Small(("You asked: ", view.question)))
    if view.nearest:
        body.append(Section((("The nearest question I can answer: ", Strong(view.nearest)),)))
    if view.facts:
        body.append(Facts(tuple(Fact(each.label, (each.value,)) for each in view.facts[:20])))
    if view.points:
        body.append(Bullets(tuple((point,) for point in view.points[:POINTS]), total=len(view.points)))
    if charts and view.chart:
        folded = view.table if view.chart.kind == "line" else None
        grid, *rest = _grid(folded) if folded else [None]
        body += [Plot(view.chart, grid if isinstance(grid, Grid) else None), *(each for each in rest if each)]
    if view.table and not ((picture or charts) and view.chart and view.chart.kind == "line"):
        body += _grid(view.table)
    buttons = _buttons(view)
    if buttons:
        body.append(Buttons(buttons))
    if view.prompts:
        body += prompt_parts(view.prompts, heading="", private=private)
    if private and view.chart and not charts:
        body.append(Small(("Ask me in a direct message for a picture of it.",)))
    if view.how_read:
        body.append(Small(("How I read your question: ", view.how_read.rpartition("; as of ")[0] or view.how_read)))
    if view.note:
        body.append(Small((view.note,)))
    if view.status == "answered":
        body.append(Small(("As of ", When(view.as_of))))
    if view.model:
        body.append(Small(("Written in part by ", view.model, f" from the facts; {DECIDES_NOTHING}.")))
    if view.id and thumbs:
        body.append(_feedback(view.id, private=private))
    lead = HEAD[view.status]
    status = () if streamed else (lead, view.text)
    return Card(title="", summary=spoken(view), status=status, body=tuple(body))


def _feedback(answer_id: str, *, private: bool) -> Part:
    up, down = ids(a=answer_id, d="up"), ids(a=answer_id, d="down")
    if not private:
        return Feedback("gh.ask_feedback", up, down)
    return Buttons((Button("gh.ask_feedback", "👍 Good answer", up, spoken="Good answer"),
                    Button("gh.ask_feedback", "👎 Bad answer", down, spoken="Bad answer")))  # fmt: skip


def spoken(view: AnswerView) -> str:
    """The answer read aloud."""
    said = [sentence(view.text)]
    if view.nearest:
        said.append(f"The nearest question I can answer: {sentence(view.nearest)}")
    return " ".join(said)


def _grid(table: TableView) -> list[Part]:
    right = frozenset(n for n, column in enumerate(table.columns) if column.numeric)
    parts: list[Part] = [Grid(tuple(column.name for column in table.columns), table.rows, right)]
    if table.offset or table.left:
        last = table.offset + len(table.rows)
        parts.append(Small((f"{table.offset + 1:,} to {last:,} of {table.total:,}, and {table.left:,} more",)))
    return parts


def _buttons(view: AnswerView) -> tuple[Button, ...]:
    made: list[Button] = []
    if view.fixable and view.cause_id:
        value = ids(c=view.cause_id)
        made.append(Button("gh.review", "Review fix", value, "primary", spoken=f"Review fix: {view.cause_title}"))
    if view.cause_id:
        made.append(Button("gh.details", "Details", ids(c=view.cause_id), spoken=f"Details of: {view.cause_title}"))
    if view.checkable and view.id:
        made.append(Button("gh.ask_check", "Check", ids(a=view.id), spoken="Check: the query, and the answer again"))
    if view.table and view.table.left and view.id:
        made.append(_turn("gh.ask_more", view.id, view.table.offset + len(view.table.rows), "More"))
    return tuple(made)


def _turn(action: str, answer_id: str, offset: int, label: str) -> Button:
    return Button(action, label, ids(a=answer_id, o=str(offset)), spoken=f"{label} rows, from {offset + 1:,}")


def page_card(view: AnswerView, page: int) -> Card:
    """Another page of an answer's table, for one person; ``page`` is how many rows a page has."""
    body: list[Part] = []
    table = view.table
    if table:
        body += _grid(table)
        buttons: list[Button] = []
        if table.offset:
            buttons.append(_turn("gh.ask_page", view.id, max(0, table.offset - page), "Previous"))
        if table.left:
            buttons.append(_turn("gh.ask_page", view.id, table.offset + len(table.rows), "Next"))
        if buttons:
            body.append(Buttons(tuple(buttons)))
    body.append(Small(("Computed now, with your rights · ", When(view.as_of))))
    said = f"{count(table.total, 'row')}." if table else "There is nothing left to show."
    return Card(title="", summary=f"{view.question}: {said}", status=(Strong(view.question), f": {said}"),
                body=tuple(body))  # fmt: skip


def check_card(view: CheckView) -> Card:
    """The typed query in words and as JSON, the findings behind it, and whether the answer is still the same."""
    if view.same is None:
        head, mark = "Computed again with your rights", "ℹ️ "
    elif view.same:
        head, mark = "Computed again: the answer is the same", "✅ "
    else:
        head, mark = "Computed again: the answer has changed", "🔄 "
    facts = [Fact("Now", (view.now_text,)), Fact("Computed", (When(view.now_at),))]
    if view.before_text:
        facts += [Fact("Before", (view.before_text,)), Fact("Answered", (When(view.before_at),))]
    body: list[Part] = [Facts(tuple(facts))]
    if view.why:
        body.append(Small((view.why,)))
    body.append(Section(((view.query_words,),), heading="The query in words"))
    body.append(Section(((Code(view.query_json),),), heading="The query as it ran"))
    if view.ids:
        body.append(Section((tuple(_codes(view.ids)),), heading=f"Findings behind it: {view.total:,}"))
        if view.total > len(view.ids):
            body.append(Small((f"… and {view.total - len(view.ids):,} more",)))
    else:
        body.append(Section((("No finding is behind it.",),)))
    return Card(
        title="Check of an answer",
        summary=f"{head}. {sentence(view.now_text)}",
        status=(mark, Strong(head), ". ", view.question),
        body=tuple(body),
        footer=(("/gatehouse finding ID shows any of them.",),),
    )


def _codes(names: tuple[str, ...]) -> list[Code | str]:
    made: list[Code | str] = []
    for name in names:
        made += [Code(name), " "]
    return made


def prompt_parts(prompts: tuple[str, ...] = START, *, heading: str = "Ask me", private: bool = False) -> list[Part]:
    """Questions as buttons; one press asks, and is answered as privately as they were offered."""
    made = tuple(
        Button("gh.ask_prompt", text, ids(f=text, p="1" if private else ""), spoken=f"Ask: {text}") for text in prompts
    )
    parts: list[Part] = [Buttons(made)] if made else []
    return (
        [Section((("Or send me a message with any other question.",),), heading=heading), *parts] if heading else parts
    )


def comment_card() -> Card:
    """The dialog after a thumb down."""
    return Card(
        title="What was wrong?",
        summary="Your verdict is kept. Tell us what was wrong, if you like.",
        status=("Your verdict is kept with the question and the query.",),
        body=(Ask("comment", "What was wrong?", hint="Read by the operators, to make answers better.", optional=True,
                  long=True),),
    )  # fmt: skip


def about_card(title: str) -> Card:
    """The dialog of "Ask about this"."""
    hints = "why P1 · how do I fix it · who decided · what would approving do · explain"
    about = (Strong(title),) if title else ("This message is no card of Gatehouse; ask anything about posture.",)
    return Card(
        title="Ask about this",
        summary=f"Ask about this: {sentence(title)}" if title else "Ask a question about posture.",
        status=about,
        body=(Ask("question", "Your question", hint=hints if title else "", max_length=500),),
    )


def thanks_card() -> Card:
    return Card(title="", summary="Thank you, that is kept.", status=("Thank you, that is kept.",))
