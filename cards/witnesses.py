"""Witnesses on cards: who else tells of the problem, what joined them, and who has yet to agree to a fix."""

from __future__ import annotations

from collections.abc import Iterable

from bot.domain.views import CauseView, WitnessLine

from .model import Bullets, Button, Buttons, Line, Part, Section, Strong
from .words import SEVERITY, SOURCE, count, ids

TITLE = 120


def source(name: str) -> str:
    return SOURCE.get(name, name)


def sources(names: Iterable[str]) -> str:
    return ", ".join(map(source, names))


def short(view: CauseView) -> list[Part]:
    """The lines of the card."""
    lines: list[Line] = []
    seen = view.witnessed
    if seen and seen.issues:
        first = seen.issues[0]
        if seen.problems == 1:
            who = sources(dict.fromkeys(one.source for one in first.witnesses))
            lines.append((f"👁 {count(first.count, 'witness', 'witnesses')}: ", Strong(who), f" — {first.why}"))
        else:
            told = f"👁 {seen.problems:,} of these problems have several witnesses: "
            lines.append((told, Strong(sources(seen.sources)), f" — {first.why}, and more"))
    return [Section((*lines, *agreement(view)))] if lines or view.agreement else []


def agreement(view: CauseView) -> tuple[Line, ...]:
    said = view.agreement
    if said is None:
        return ()
    lines: list[Line] = []
    if said.contradicted_by:
        who = sources(said.contradicted_by)
        verb = "does not agree" if len(said.contradicted_by) == 1 else "do not agree"
        why = ": it is still reported after a new scan. The fix was not enough, or was undone."
        lines.append(("🚨 ", Strong(f"{who} {verb}"), why))
    if said.waiting_for:
        lines.append(
            (
                "⏳ ",
                Strong(f"Fixed, waiting for the next scan of {sources(said.waiting_for)}"),
            )
        )
    return tuple(lines)


def spoken(view: CauseView) -> str:
    """For the summary, read aloud."""
    said = view.agreement
    if said and said.contradicted_by:
        return f" {sources(said.contradicted_by)} still reported it after a new scan."
    return f" Waiting for the next scan of {sources(said.waiting_for)}." if said and said.waiting_for else ""


def long(view: CauseView) -> list[Part]:
    """The parts of the details: every problem with its witnesses, and buttons to split and to merge."""
    parts: list[Part] = []
    seen = view.witnessed
    for issue in seen.issues if seen else ():
        parts.append(
            Bullets(
                tuple(map(_line, issue.witnesses)),
                heading=f"{count(issue.count, 'witness', 'witnesses')} of one problem: {issue.why}",
                total=issue.count,
            )
        )
        parts.append(
            Buttons(
                tuple(
                    Button(
                        "gh.split",
                        f"Not the same problem: {source(one.source)}",
                        ids(c=view.id, f=one.finding_id),
                        spoken=f"Not the same problem: {source(one.source)}, {one.title[:TITLE]}",
                    )
                    for one in issue.witnesses[:5]
                )
            )
        )
    if seen and seen.problems > len(seen.issues):
        more = seen.problems - len(seen.issues)
        parts.append(Section(((f"{more:,} more of these problems have several witnesses.",),)))
    if view.candidates and view.anchor:
        parts.append(Bullets(tuple(map(_line, view.candidates)), heading="Also reported on this resource"))
        parts.append(
            Buttons(
                tuple(
                    Button(
                        "gh.merge",
                        f"Same problem: {source(one.source)}",
                        ids(c=view.id, f=view.anchor, o=one.finding_id),
                        spoken=f"Same problem: {source(one.source)}, {one.title[:TITLE]}",
                    )
                    for one in view.candidates
                )
            )
        )
    return parts


def _line(one: WitnessLine) -> Line:
    return (
        Strong(source(one.source)),
        f": {one.title} · {SEVERITY[one.severity]} · {'open' if one.open else 'closed'}",
    )
