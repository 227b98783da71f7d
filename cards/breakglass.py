"""Breaking the glass -> neutral Card: the offer, the form, the loud message and its review. Pure."""

from __future__ import annotations

from bot.domain.decisions import ExecutionState
from bot.domain.views import GlassOffer, GlassView, PlanView

from .model import (
    Ask,
    Bullets,
    Button,
    Buttons,
    Card,
    Code,
    Fact,
    Facts,
    Line,
    Part,
    Rule,
    Section,
    Small,
    Strong,
    When,
    Who,
)
from .words import count, ids, sentence

SHOWN = 5
OUTCOME = {
    ExecutionState.QUEUED: "about to start",
    ExecutionState.RUNNING: "running",
    ExecutionState.VERIFYING: "applied, being verified",
    ExecutionState.SUCCEEDED: "applied and verified",
    ExecutionState.UNVERIFIED: "applied, the independent read does not agree",
    ExecutionState.FAILED: "failed",
    ExecutionState.ROLLED_BACK: "failed and rolled back",
    ExecutionState.BLOCKED: "stopped before any change",
}


def offer_parts(view: PlanView) -> tuple[Part, ...]:
    """Under a plan, for whoever may: the way round the other approvals, and what it costs."""
    if view.glass is None:
        return ()
    button = Button("gh.glass", "Break the glass…", ids(p=view.plan.id), "danger",
                    spoken=f"Break the glass and carry this out alone: {view.plan.title}")  # fmt: skip
    said = "An emergency that cannot wait for the others? You may have it carried out alone; it is told to everybody."
    return (Rule(), Section(((said,),)), Buttons((button,)))


def form_card(view: PlanView, offer: GlassOffer) -> Card:
    """Before it happens: the exact plan, what is skipped, what follows, the reason and the words."""
    plan = view.plan
    lines: tuple[Line, ...] = (
        (f"Exactly this plan is carried out at once, without the {_skipped(view)}.",),
        (f"It has {count(offer.minutes, 'minute')}; what has not begun by then does not begin.",),
        ("The operators' channel and this finding's channel are told at once, with your name and reason.",),
        (f"Another person reviews it within {count(offer.review_hours, 'hour')}. Everything is in the ledger.",),
    )
    return Card(
        title=plan.title,
        summary=f"Break the glass: {sentence(plan.title)} {sentence(plan.blast_radius.summary)}",
        status=("🚨 ", Strong(view.cause_title)),
        body=(
            Facts(
                (
                    Fact("Changes", (f"{len(plan.changes)} to {count(len(plan.targets), 'resource')}",)),
                    Fact("Environment", (plan.environment,)),
                    Fact("Blast radius", (plan.blast_radius.summary or "unknown",)),
                )
            ),
            Bullets(lines, heading="What happens"),
            Ask("reason", "Why can it not wait?", hint="Shown to everybody and kept.", long=True),
            Ask("word", "To go on, type the words", hint=f"Type {offer.word}", max_length=40),
        ),
        footer=(("Plan ", Code(plan.id), " · hash ", Code(view.plan_hash[:12])),),
    )


def glass_card(view: GlassView) -> Card:
    """The loud message: who, what, why, and the two buttons of the review until it is done."""
    return Card(
        title="The glass was broken",
        summary=(
            f"{view.by.name} broke the glass: {sentence(view.plan_title)} It was carried out without further approval. "
            f"{'Reviewed.' if view.reviewed_by else 'Another person has to review it.'}"
        ),
        status=("🚨 ", Who(view.by), " had this carried out alone: ", Strong(view.plan_title)),
        body=(
            Section((("Reason: ", view.reason),)),
            Facts(
                (
                    Fact("Finding", (view.cause_title,)),
                    Fact("When", (When(view.at),)),
                    Fact("Outcome", (_outcome(view),)),
                    Fact("Review", _review(view)),
                )
            ),
            *_buttons(view),
        ),
        footer=(("Break-glass ", Code(view.id)),),
    )


def review_card(view: GlassView, justified: bool) -> Card:
    """The form of a review: one verdict was pressed, the comment is asked for."""
    verdict = "justified" if justified else "not justified"
    return Card(
        title="Review",
        summary=f"Review of the glass that {view.by.name} broke, {verdict}: {sentence(view.plan_title)}",
        status=(Who(view.by), " broke the glass over ", Strong(view.plan_title), ": ", view.reason),
        body=(
            Facts((Fact("Outcome", (_outcome(view),)), Fact("Your verdict", (Strong(verdict),)))),
            Ask("comment", "Comment", hint="Shown to everybody and kept in the ledger.", long=True),
        ),
    )


def glass_lines(view: GlassView) -> tuple[Line, ...]:
    """On the card of the cause."""
    head: Line = ("🚨 Glass broken by ", Who(view.by), ", ", When(view.at), ", without further approval")
    return (head, ("Review: ", *_review(view)))


def open_parts(glasses: tuple[GlassView, ...]) -> tuple[Part, ...]:
    """On the status and the home page: what nobody has reviewed yet."""
    if not glasses:
        return ()
    parts: list[Part] = [Section(((f"{count(len(glasses), 'review')} open",),), heading="🚨 Broken glass")]
    for view in glasses[:SHOWN]:
        line: Line = (Who(view.by), ", ", When(view.at), ": ", Strong(view.plan_title), f" ({view.cause_title})")
        parts += [Section((line, ("Reason: ", view.reason), ("Review: ", *_review(view)))), *_buttons(view)]
    if len(glasses) > SHOWN:
        parts.append(Small((f"… and {len(glasses) - SHOWN:,} more",)))
    return tuple(parts)


def _buttons(view: GlassView) -> tuple[Part, ...]:
    if view.reviewed_by is not None:
        return ()
    value, what = ids(g=view.id), f"the glass that {view.by.name} broke"
    return (
        Buttons(
            (
                Button("gh.glass_ok", "Justified…", value, spoken=f"Review as justified: {what}"),
                Button("gh.glass_bad", "Not justified…", value, "danger", spoken=f"Review as not justified: {what}"),
            )
        ),
    )


def _review(view: GlassView) -> Line:
    if view.reviewed_by is not None:
        verdict = "✅ justified" if view.justified else "❌ not justified"
        when: Line = (", ", When(view.reviewed_at)) if view.reviewed_at else ()
        return (f"{verdict}, said ", Who(view.reviewed_by), *when, f": {view.comment}")
    if view.overdue:
        return ("⏰ overdue since ", When(view.due))
    return ("open, by another person until ", When(view.due))


def _outcome(view: GlassView) -> str:
    return OUTCOME[view.outcome] if view.outcome else "not known"


def _skipped(view: PlanView) -> str:
    quorum = count(view.rule.quorum, "approval")
    return f"{quorum} that the rule {view.rule.name} asks for"
