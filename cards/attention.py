"""What came in, what was silenced and why, what waits on whom; the daily message of a channel -> neutral Card. Pure."""

from __future__ import annotations

from bot.domain.answers import ChartView
from bot.domain.silence import AttentionView, DailyView, PromiseView, RegroupView

from .model import Ask, Bullets, Card, Choose, Fact, Facts, Line, OptionItem, Part, Plot, Section, Small, Strong, When
from .rules import silenced_lines
from .words import count, sentence

_BLOCKS = "▁▂▃▄▅▆▇█"
KEEP = "-"  # Slack takes no empty option value
UNDO = "undo"


def sparkline(values: tuple[int, ...]) -> str:
    """One block a value, so that eight heights span from nothing to the highest: a picture made of text."""
    most = max(values, default=0)
    return "".join(_BLOCKS[0 if not most or not v else max(1, round(v / most * (len(_BLOCKS) - 1)))] for v in values)


def attention_parts(view: AttentionView) -> tuple[Part, ...]:
    """For the status and the home page."""
    came = (
        f"{count(view.came, 'finding')} came in, {view.fixed:,} {'was' if view.fixed == 1 else 'were'} fixed, "
        f"{count(view.cards, 'card')} posted, {count(view.held, 'cause')} held for digests"
    )
    facts = [Fact("Last 24 hours", (came,)), Fact("P1 told in time", (promise_text(view.promise),))]
    if view.waits:
        facts.append(Fact("Waits on", ("; ".join(f"{who}: {number:,}" for who, number in view.waits),)))
    if view.overdue:
        owners = ", ".join(f"{owner} {number:,}" for owner, number in view.owners)
        facts.append(Fact("Overdue", (f"{count(view.overdue, 'finding')}: {owners}",)))
    lines = silenced_lines(view.silenced)
    if view.rules_watching:
        watching = count(view.rules_watching, "rule watches", "rules watch")
        lines += ((f"👀 {watching} and hide nothing: /gatehouse rules",),)
    return (
        Facts(tuple(facts)),
        *((Bullets(lines, heading="Silenced"),) if lines else ()),
    )


def promise_text(view: PromiseView) -> str:
    """The promise and what was measured."""
    said = f"Promised within {count(view.minutes, 'minute')}. "
    if not view.posted and not view.waiting:
        said += f"No P1 in {view.days} days."
    else:
        said += f"{count(view.posted, 'post')} in {view.days} days: {view.late:,} late"
        if view.p50 is not None and view.p95 is not None and view.worst is not None:
            said += (
                f"; half within {seconds(view.p50)}, 95% within {seconds(view.p95)}, the slowest {seconds(view.worst)}"
            )
        said += "."
    if view.waiting:
        said += f" {view.waiting:,} on the way, {view.overdue:,} of them overdue."
    if view.voiceless:
        said += f" {count(view.voiceless, 'P1 cause has', 'P1 causes have')} no channel: set routing.fallback."
    buckets = [f"{name} {number:,}" for name, number in view.histogram if number]
    return f"{'✅' if view.kept else '❌'} {said}{' (' + ', '.join(buckets) + ')' if buckets else ''}"


def seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 90 else f"{value / 60:.0f} min"


def daily_card(view: DailyView, *, charts: bool = False) -> Card:
    """One message a day: new, fixed, overdue, waiting on whom, silenced and why, and the course of two weeks."""
    new = ", ".join(f"{number:,} {priority.label}" for priority, number in view.new)
    said = (
        f"{count(view.total_new, 'new finding')}, {view.fixed:,} fixed, {view.overdue:,} overdue, {view.open:,} open."
    )
    facts = [
        Fact("New", (f"{view.total_new:,}{': ' + new if new else ''}",)),
        Fact("Fixed", (f"{view.fixed:,}",)),
        Fact("Open", (f"{view.open:,}",)),
        Fact("Overdue", (f"{view.overdue:,}",)),
        Fact("Waits on", ("; ".join(f"{who}: {number:,}" for who, number in view.waits) or "nobody",)),
        Fact("Held back", (count(view.held, "cause"),)),
    ]
    body: list[Part] = [Facts(tuple(facts))]
    if view.days:
        came, fixed = tuple(n for _, n, _ in view.days), tuple(f for _, _, f in view.days)
        body.append(
            Facts((
                Fact(f"New in {len(view.days)} days", (f"{sparkline(came)}  {sum(came):,}",)),
                Fact(f"Fixed in {len(view.days)} days", (f"{sparkline(fixed)}  {sum(fixed):,}",)),
            ))
        )  # fmt: skip
    if charts and view.picture and view.days:
        body.append(Plot(daily_chart(view)))
    silenced = silenced_lines(view.silenced)
    if silenced:
        body.append(Bullets(silenced, heading="Silenced"))
    if view.urgent:
        body.append(Bullets(tuple((title,) for _, title in view.urgent), heading="Most urgent"))
    return Card(
        title=f"Good morning: {view.day}",
        summary=f"Daily message of {view.day}. {said}",
        status=(Strong(said),),
        body=tuple(body),
        footer=(("From ", When(view.since), " to ", When(view.until)),),
    )


def daily_chart(view: DailyView) -> ChartView:
    """New findings of each day of the last two weeks."""
    return ChartView(
        kind="line",
        title=f"New findings a day; {sum(f for _, _, f in view.days):,} fixed in the same time",
        labels=tuple(day[5:] for day, _, _ in view.days),
        values=tuple(float(new) for _, new, _ in view.days),
        unit="findings",
    )


# --- split and merge -------------------------------------------------------------------------------------------------


def regroup_card(view: RegroupView) -> Card:
    """The dialog: one thing to do, and why."""
    options = [OptionItem(f"s:{part.id}", f"Split off {part.what}"[:75], count(part.count, "finding"))
               for part in view.parts]  # fmt: skip
    options += [OptionItem(f"m:{other.id}", f"Merge into {other.what}"[:75], count(other.count, "open finding"))
                for other in view.others]  # fmt: skip
    if view.made:
        options.append(OptionItem(UNDO, "Take back what people split or merged"))
    made: tuple[Line, ...] = tuple(
        (f"{move.by} {'merged' if move.kind == 'merge' else 'split'} ", When(move.at, "date"),
         f": {move.reason}" if move.reason else "")
        for move in view.made[:3]
    )  # fmt: skip
    body: list[Part] = [Bullets(made, heading="So far", total=len(view.made))] if made else []
    if options:
        body += [
            Choose("do", "What?", tuple(options), many=True),
            Ask("reason", "Why?", hint="Kept, and shown to who asks.", max_length=500),
        ]
    else:
        body.append(Section((("There is nothing to split off, and no cause it could be merged into.",),)))
    body.append(Small(("Remembered: what is reported later goes the same way.",)))
    return Card(
        title=view.title,
        summary=f"Split or merge: {sentence(view.title)}",
        status=(f"{count(view.open_count, 'open finding')} that one change would fix.",),
        body=tuple(body),
    )
