"""Which things are compared with which."""

from __future__ import annotations

from itertools import pairwise

from bot.ask.filters import Filters
from bot.ask.marks import NotUnderstood
from bot.ask.reading import Mark, Span


def _same(one: Mark, other: Mark) -> bool:
    return (one.kind, one.dim, one.values) == (other.kind, other.dim, other.values)


class Comparing(Filters):
    def _compare(self) -> None:
        vs = self._of("vs")
        for mark in self._of("more"):
            if any(m.kind == "how" and m.end == mark.start for m in self.marks):
                raise NotUnderstood("The difference? Ask for both sides, such as “prod vs dev”.")
        hints = self._of("compare", "more")
        pairs = self._coordinations()
        if vs:
            for mark in vs:
                sides = self._sides(mark)
                if sides:
                    self._set_sides(sides)
                    self._take(mark)
                    for hint in hints:
                        self._take(hint)
                    return
            if any(self._word(mark.start) != "than" for mark in vs):
                raise NotUnderstood("What should be compared with what? Name both sides, such as “prod vs staging”.")
        if not hints:
            return
        compared = any(mark.kind == "compare" for mark in hints)
        chosen = self._to(("to", "with", "against")) if compared else []
        if not chosen:
            joined = [
                pair
                for pair in pairs
                if not any(m.negated for m in pair)
                and (compared or any(m.kind == "or" for m in self._between(pair[0], pair[-1])))
            ]
            named = [pair for pair in joined if not self._qualifies(pair)]
            if named or joined:
                chosen = (named or joined)[0 if compared else -1]
        if not chosen and compared:
            chosen = self._to(("to", "with", "and", "against"))
        if chosen:
            self._set_sides(chosen)
            for hint in hints:
                self._take(hint)
            return
        if compared:
            raise NotUnderstood("What should be compared with what? Name both sides, such as “prod and staging”.")

    def _qualifies(self, pair: list[Mark]) -> bool:
        """``critical or high findings``, ``that are high or critical``: which ones, and nothing to compare."""
        after = next((m for m in self.marks if m.start >= pair[-1].end), None)
        led = self._word(pair[0].start - 1) in {"is", "are", "rated", "of"}
        ahead = after is not None and after.start == pair[-1].end and (after.kind == "noun" or after.dim == "type")
        return pair[0].dim == "severity" and (led or ahead or not self._word(pair[-1].start).endswith("s"))

    def _to(self, joins: tuple[str, ...]) -> list[Mark]:
        """``compare new criticals this week to last week``."""
        free = [m for m in self._free() if self._comparable(m)]
        for left, right in pairwise(free):
            between = {self._word(at) for at in range(left.end, right.start)}
            if self._side_key(left) == self._side_key(right) and between & set(joins):
                return [left, right]
        return []

    def _comparable(self, mark: Mark) -> bool:
        return mark.kind in {
            "value",
            "framework",
            "product",
            "family",
            "time",
            "closed",
            "found",
            "muted",
            "flag",
            "overdue",
        }

    def _side_key(self, mark: Mark) -> str:
        if mark.kind in {"found", "closed", "muted", "new"}:
            return "verb"
        return "time" if mark.kind == "time" else mark.key

    def _sides(self, vs: Mark) -> list[Mark]:
        """The nearest two of one kind around ``vs``: values, times or what was done."""
        free = [m for m in self._free() if self._comparable(m) or m.kind == "new"]
        left = [m for m in free if m.end <= vs.start]
        right = [m for m in free if m.start >= vs.end]
        for one in reversed(left):
            for other in right:
                if self._side_key(one) == self._side_key(other):
                    if one.kind == other.kind and one.values == other.values and one.kind != "time":
                        continue
                    more = [m for m in right if m is not other and self._side_key(m) == self._side_key(one)]
                    before = [m for m in left if m is not one and self._side_key(m) == self._side_key(one)]
                    listed = [m for m in (*before, one, other, *more) if self._listed(m, (*before, one, other, *more))]
                    return listed if len(listed) >= 2 else [one, other]
        return []

    def _listed(self, mark: Mark, others: tuple[Mark, ...]) -> bool:
        return mark.kind != "time" or len(others) == 2

    def _set_sides(self, marks: list[Mark]) -> None:
        for mark in marks:
            self._take(mark)
            label = mark.said
            if mark.kind == "time":
                self.out.sides.append((mark.data.said, [], [Span(mark.data)], ""))
            elif mark.kind in {"found", "closed", "muted", "new"}:
                verb = "found" if mark.kind == "new" else mark.kind
                self.out.sides.append((label, [], [], verb))
            elif (
                len(mark.values) == 1
                and mark.kind == "value"
                and mark.dim in {"account", "app", "team", "env", "provider"}
            ):
                self.out.sides.append((mark.values[0], self._filters([mark]), [], ""))
            else:
                self.out.sides.append((label, self._filters([mark]), [], ""))

    def _coordinations(self) -> list[list[Mark]]:
        """Runs of marks of one kind, joined by and, or, a comma."""
        found: list[list[Mark]] = []
        free = self._free()
        for n, mark in enumerate(free):
            if not self._comparable(mark) or any(mark in run for run in found):
                continue
            run = [mark]
            last = mark
            joined = again = False
            for other in free[n + 1 :]:
                if other.kind in {"and", "or"}:
                    joined, last = True, other
                    continue
                if joined and other.kind == "more" and other.start == last.end:
                    again, last = True, other  # "more open lows or more open highs"
                    continue
                if again and other.start == last.end and any(_same(other, m) for m in free[:n] + run):
                    last = other
                    continue
                if other.kind in {"noun", "filler"} and other.start - last.end <= 2:
                    last = other
                    continue
                if joined and self._side_key(other) == self._side_key(mark) and other.start - last.end <= 3:
                    run.append(other)
                    last, joined = other, False
                    continue
                break
            if len(run) > 1:
                found.append(run)
        return found
