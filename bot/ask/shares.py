"""Percentages: which part of what."""

from __future__ import annotations

from bot.ask import lexicon
from bot.ask.marks import FILTERS, STATES, NotUnderstood
from bot.ask.reading import Mark, Parsed, Span
from bot.ask.states import States

_COPULA = frozenset(
    ["is", "are", "was", "were", "has", "have", "do", "does", "did", "come", "comes", "came", "belong", "belongs",
     "sit", "sits", "affect", "affects", "fall", "falls", "live", "carry", "carries", "lack", "lacks", "got", "went",
     "had", "can", "could"]
)  # fmt: skip
_SAME_VERB = frozenset(["not", "do", "does", "did", "can", "could", "have", "has", "been", "never"])
_A_SHARE = frozenset({"what", "which", "the", "a", "their", "its", "our"})


class Shares(States):
    def _percent(self) -> None:
        percents = self._of("percent")
        if not percents:
            return
        for mark in percents:
            self._take(mark)
            beside = {self._word(mark.start - 1), self._word(mark.end)} & {
                "of",
                "in",
                "what",
                "which",
                "the",
                "as",
                "a",
            }
            if self._word(mark.start) == "%" and not beside:
                raise NotUnderstood("What shall “%” be of? Say “what percentage of … is …”.")
            if self._word(mark.start) == "ratio" and any(
                self._word(n) == "to" for n in range(mark.end, len(self.words))
            ):
                raise NotUnderstood("One against the other? Ask for both numbers, such as “prod vs dev”.")
            lead = self._word(mark.start - 1)
            first = mark.start == 0
            if (
                self._word(mark.start) == "share"
                and self._word(mark.end) != "of"
                and lead not in _A_SHARE
                and not first
            ):
                raise NotUnderstood("Do you mean a share in percent? Say “what share of … is …”.")
        timely = self._of("intime", "late")
        if timely:
            if timely[0].kind == "intime":
                self.out.measure = "late_rate" if timely[0].negated else "sla_rate"
            else:
                self.out.measure = "late_rate"
            for mark in timely:
                self._take(mark)
            return
        if any(m.kind == "measure" for m in self.marks):
            return
        self.out.measure = "percent"
        start = percents[-1].end
        after = [m for m in self._free() if m.start >= start and (m.kind in FILTERS or m.kind in STATES)]
        if not after:
            start = 0  # "how much of … is …, in percent"
        conditions = [
            m
            for m in self._free()
            if m.start >= start
            and (m.kind in FILTERS or m.kind in STATES or m.kind in {"found", "time", "mine", "new"})
        ]
        before = [m for m in self._free() if m.end <= percents[0].start and (m.kind in FILTERS or m.kind in STATES)]
        among = next((at for at in range(start, len(self.words)) if self._word(at) in {"among", "amongst"}), None)
        copula = self._copula(start, conditions)
        if among is not None:
            whole = [m for m in conditions if m.start > among] + before
            part = [m for m in conditions if m.end <= among]
        elif copula is None:
            whole, part = self._around_thing(start, conditions)
        else:
            whole = [m for m in conditions if m.end <= copula] + before
            part = [m for m in conditions if m.start >= copula]
            if not part:
                whole, part = whole[:-1], whole[-1:]
        for mark in self._of("spoken"):
            if mark in whole or copula is None or mark.end > copula:
                continue
            # "what percentage of the S3 buckets' findings is public": the kind of thing stays in the whole
            mark.kind = "family" if mark.values and mark.values[0] in lexicon.FAMILIES else "value"
            whole = [*whole, mark]
        thing = next(
            (m for m in self.marks if m.start >= start and (m.kind in {"noun", "family"} or m.dim == "type")), None
        )
        if thing is not None and (thing.kind == "family" or thing.dim in {"resource", "team", "account", "app"}):
            behind = self._word(thing.end)
            if behind not in {"finding", "findings", "issues", "alerts", "problems"} and start:
                raise NotUnderstood("I know the things that have findings, not all there are. Ask of which findings.")
        if not part:
            raise NotUnderstood("The percentage of what? Say “what percentage of … is …”.")
        sub = Parsed()
        times_ = [m for m in part if m.kind == "time"]
        verbs = [m for m in part if m.kind in {"found", "closed", "muted", "new"}]
        sub.filters = self._filters([m for m in part if m.kind in FILTERS or m.kind == "mine"])
        for mark in part:
            if mark.kind in STATES or (mark.kind == "new" and not times_):
                self._state(sub, mark, bool(times_))
            self._take(mark)
        for mark in times_:
            verb = verbs[0].kind if verbs else ""
            sub.spans.append(Span(mark.data, "found" if verb == "new" else verb))
        self.out.part = sub

    def _around_thing(self, start: int, conditions: list[Mark]) -> tuple[list[Mark], list[Mark]]:
        """``share of open highs | past their SLA``: what stands behind the thing is the part."""
        if not start or len(conditions) < 2:
            return conditions[:-1], conditions[-1:]
        things = [
            m
            for m in self.marks
            if m.start >= start
            and (
                (m.kind == "noun" and m.dim in {"finding", "problem"})
                or (m.kind == "value" and m.dim in {"type", "severity"} and self._word(m.end - 1).endswith("s"))
            )
        ]
        end = things[0].end if things else 0
        part = [m for m in conditions if m.start >= end]
        if not things or not part or len(part) == len(conditions):
            raise NotUnderstood("Which part of which findings? Say “what percentage of … is …”.")
        return [m for m in conditions if m.start < end], part

    def _copula(self, start: int, conditions: list[Mark]) -> int | None:
        """Where the part begins: "share of findings that were found last month | are closed". A clause with "that"
        narrows the whole, unless there is no other."""
        found: list[int] = []
        for at in range(start, len(self.words)):
            if self._word(at) not in _COPULA:
                continue
            said_of = any(self._word(n) == "of" for n in range(start, at))
            named = any(m.kind == "noun" and start <= m.start < at for m in self.marks)
            if not said_of or named or any(m.end <= at for m in conditions):
                found.append(at)
        relative: list[int] = []
        main: list[int] = []
        for at in found:
            before = self._word(at - 1)
            if before in _SAME_VERB and at - 1 > start:
                continue  # "do not belong": said with the verb before
            goes_on = before in {"and", "or"} and bool(relative) and not main
            if before in {"that", "which", "who"}:
                relative.append(at)
            elif not goes_on:
                main.append(at)
        return main[0] if main else relative[-1] if relative else None
