"""What is asked for: a number, a list, a figure, a course over time."""

from __future__ import annotations

from bot.ask.marks import COUNTED, GROUPS, Marks, NotUnderstood
from bot.ask.reading import Mark, Span

_PACE = frozenset({"slowest", "fastest", "quickest"})


class Asking(Marks):
    def _kind(self) -> None:
        out, marks = self.out, self.marks
        kinds = {m.kind for m in marks}
        uid = [m for m in marks if m.kind == "uid"]
        for mark in self._of("step"):
            self._take(mark)
            out.step = mark.values[0]
        for mark in self._of("measure"):
            self._take(mark)
            out.measure = out.measure if out.measure in {"late_rate"} else mark.values[0]
        how_long = self._of("how_long")
        if not out.measure and not uid and (kinds & {"average", "median", "old"} or how_long):
            self._average(kinds)
        if not out.measure and out.order and any(self._word(m.start) in _PACE for m in marks) and "closed" in kinds:
            out.measure = "mttr"  # "which team is slowest to fix"
        if out.measure == "sla_rate" and out.order and any(self._word(m.start) in {"best", "worst"} for m in marks):
            out.order = "least" if out.order == "most" else "most"  # the best rate is the highest
        if not out.of:
            out.of = self._counted()
        if uid:
            out.kind, out.uid = "detail", uid[0].values[0]
        elif out.sides:
            out.kind = "compare"
        elif "net" in kinds:
            out.kind, out.measure = "stat", "net"
        elif out.measure:
            out.kind = "breakdown" if out.by else "stat"
        elif "change" in kinds and not out.step and not out.by:
            since = [s for s in out.spans if s.window.said.startswith(("since", "after"))]
            out.kind = "stat" if since or "trend" not in kinds else "trend"
            if out.kind == "stat":
                out.measure = "change"
            if not since and "how" not in kinds and out.spans and not out.spans[0].window.day:
                # "how did … change over the last 30 days": the course of it
                out.kind, out.measure = "trend", ""
        elif "trend" in kinds or ((out.step or "plot" in kinds) and not out.by):
            out.kind = "trend"
        elif out.by:
            out.kind = "breakdown"
        elif "how" in kinds:
            out.kind = "count"
        elif (
            out.order
            or out.limit
            or "which" in kinds
            or ("list" in kinds and self._word(0) in {"can", "could", "would", "will"})
        ):
            out.kind = "list"
        elif "exists" in kinds or self._yes_no():
            out.kind = "count"
        elif "list" in kinds:
            out.kind = "list"
        self._changes(kinds)
        self._lengths()
        named = bool(out.sides) and all(f.key == out.by for side in out.sides for f in side[1])
        lost = out.by and out.kind in {"compare", "trend", "stat"} and not named  # "which team has more, this or that?"
        if lost and self.group is not None:
            raise NotUnderstood(
                f"What about the {self.group.said}? I can group, compare or follow over time, one at a time."
            )
        if not out.kind and "open" in out.status and any(s.verb == "" for s in out.spans):
            over = [m for m in marks if m.kind == "time" and self._word(m.start) in {"over", "during", "for"}]
            if over:
                raise NotUnderstood("Their number day by day (“trend of …”), or those found in that time?")
        out.was_open = any(s.verb == "open" for s in out.spans)

    def _changes(self, kinds: set[str]) -> None:
        """``how did the number of open ones change, daily``: the course of those open, unless a verb says otherwise."""
        if "change" not in kinds:
            return
        if self.out.kind == "breakdown":
            raise NotUnderstood(
                "The change of each? I can tell it of one at a time, or the numbers of all as they are."
            )
        if self.out.kind == "trend" and not kinds & {"found", "closed", "muted", "new"}:
            self.out.spans = [Span(s.window, "") for s in self.out.spans]

    def _wants_list(self, kinds: set[str]) -> bool:
        """``can you list …`` is no yes or no."""
        return "list" in kinds and self._word(0) in {"can", "could", "would", "will"}

    def _lengths(self) -> None:
        """``weekly trend, 6 weeks``: a length is the time a course is of; else it goes on from the turn before."""
        for mark in self._of("length"):
            self._take(mark)
            op, days, window = mark.data
            if self.out.kind == "trend" and not self.out.spans and window is not None and not op:
                self.out.spans.append(Span(window))
            else:
                self.out.length = (op, days)

    def _yes_no(self) -> bool:
        return bool(self.words) and self._word(0) in {
            "is",
            "are",
            "does",
            "do",
            "did",
            "was",
            "were",
            "has",
            "have",
            "any",
        }

    def _average(self, kinds: set[str]) -> None:
        words = {token.word for token in self.words}
        if not kinds & {"average", "median", "how_long"}:
            raise NotUnderstood("How old on average, or how old is the oldest?")
        if words & {"old", "age"}:
            self.out.measure = "median_age" if "median" in kinds else "avg_age"
        elif words & {"fix", "fixed", "resolve", "resolved", "close", "closed", "remediate", "remediation", "fixes"}:
            self.out.measure = "median_ttr" if "median" in kinds else "mttr"
        elif len(self.words) <= 6 and not any(m.kind in {"noun", "family"} for m in self.marks):
            self.out.measure = "median" if "median" in kinds else "average"  # of what the turn before asked
        else:
            raise NotUnderstood("The average of what? I know the average age and the mean time to fix.")

    def _counted(self) -> str:
        """What is counted: the first noun after "how many", else the first noun of all."""
        if self.out.by and not any(m.kind == "how" for m in self.marks):
            return "finding"  # a breakdown counts findings unless it is asked how many of what
        how = [m for m in self.marks if m.kind in {"how", "exists"}]
        start = how[0].end if how and any(m.start >= how[0].end and self._noun(m) for m in self.marks) else 0
        yes_no = not how and self._yes_no()
        for mark in self.marks:
            if mark.start < start or not self._noun(mark):
                continue
            if mark.dim == "resource_type" or mark.kind == "family":
                return "resource" if how or yes_no else "finding"
            if mark.kind == "noun":
                return COUNTED[mark.dim]
            return "finding"
        return "finding"

    def _noun(self, mark: Mark) -> bool:
        """Whether ``mark`` can be the thing that is asked for."""
        if mark is self.group:
            return False
        if mark.kind == "noun":
            return mark.dim in COUNTED and not self._asked_as_group(mark)
        if mark.kind == "family" or (mark.kind in {"value", "spoken"} and mark.dim == "resource_type"):
            after = next((m for m in self.marks if m.start >= mark.end), None)
            if (
                after is not None
                and after.start == mark.end
                and ((after.kind == "noun" and after.dim in {"finding", "problem"}) or after.dim == "type")
            ):
                return False  # "EC2 findings" are findings
            if any(m.kind == "how" and m.end == mark.start for m in self.marks):
                return True  # "number of VMs"
            word = self._word(mark.start - 1)
            return word not in {"on", "in", "of", "for", "the", "a", "an", "affecting", "from"} or mark.start == 0
        if mark.kind == "value" and mark.dim == "type":
            thing = any(m.start == mark.end and m.kind == "noun" and m.dim in GROUPS for m in self.marks)
            return self._word(mark.start) != "vulnerable" and not thing  # "misconfiguration rules" are rules
        if mark.kind == "value" and mark.dim == "severity":
            return self._word(mark.start).endswith("s")  # criticals, highs
        return mark.kind == "closed" and self._word(mark.start) in {"fixes", "fix"}
