"""What is grouped, ranked, ordered and how many are wanted."""

from __future__ import annotations

from bot.ask.filters import Filters
from bot.ask.marks import COUNTED, FILTERS, GROUPS, NotUnderstood
from bot.ask.reading import Filter, Mark
from bot.domain import posture as p

_BOUNDS = frozenset(["least", "than", "over", "exactly", "minimum", "maximum", "above", "below", "under"])
_NO_HEAD = frozenset(["status", "class", "violations"])  # one status, one class; policy violations are findings


class Grouping(Filters):
    def _grouping(self) -> None:
        marks = self._free()
        for n, mark in enumerate(marks):
            if mark.kind == "each":
                noun = next((m for m in marks[n + 1 : n + 2] if m.kind == "noun" and self._near(mark, m)), None)
                sorted_ = self._word(mark.start - 1) in {"sorted", "ordered", "sort", "order"}
                if noun is not None and sorted_ and self._word(mark.start) == "by":
                    noun.kind = "filler"  # the order changes nothing of what is listed
                    self._take(mark)
                    continue
                thing = next((m for m in marks[n + 1 : n + 2] if m.start == mark.end), None)
                if (
                    noun is None
                    and self._word(mark.start) in {"per", "each", "every"}
                    and thing is not None
                    and (thing.kind == "family" or thing.dim == "resource_type")
                ):
                    raise NotUnderstood(f"For each {thing.said} by itself? Ask for the top ones, or for one of them.")
                after = next((m for m in marks if noun is not None and m.start >= noun.end), None)
                if noun is not None and after is not None and self._valued(noun, after):
                    noun.kind = "filler"  # "by severity high"
                    self._take(mark)
                elif noun is not None and after is not None and after.kind == "neg" and self._agent(mark):
                    noun.kind = "filler"  # "reported by tools other than Wiz"
                    self._take(mark)
                elif (
                    noun is not None
                    and self._word(mark.start) == "across"
                    and any(m.kind in {"how", "exists"} for m in marks[:n])
                ):
                    noun.kind = "filler"  # "how many … do we have across our clouds"
                    self._take(mark)
                elif noun is not None and noun.dim in {"finding", "problem"}:
                    self._take(mark)  # "top 3 teams by findings fixed late"
                elif noun is not None and noun.dim in GROUPS:
                    self._group(noun)
                    self._take(mark)
                    self._one_group(noun, marks)
                elif noun is not None:
                    raise NotUnderstood(f"Findings cannot be grouped by {noun.said}.")
        ranks = [m for m in self._free() if m.kind in {"most", "least"}]
        for n, mark in enumerate(marks):
            if self.out.by or mark.kind != "noun" or mark.dim not in GROUPS or mark.kind == "filler":
                continue
            before = [m for m in marks[:n] if m.end <= mark.start and m.kind != "filler"]
            while before and self._qualifying(before[-1]):
                before.pop()
            lead = before[-1] if before else None
            close = lead is not None and mark.start - lead.end <= 4
            asked = lead is not None and close and lead.kind in {"which", "top", "split", "list", "who"}
            if lead is not None and lead.kind == "list" and mark.dim == "resource":
                asked = False
            if lead is not None and lead.kind == "which" and mark.dim == "resource" and not ranks:
                asked = False  # which resources have X: a list
            # "frameworks of the open criticals", "CVEs open in staging": what heads the sentence is what is wanted
            several = self._word(mark.end - 1).endswith("s") and self._word(mark.end - 1) not in _NO_HEAD
            alone = several and not any(m.kind in {"how", "exists", "measure", "percent", "trend"} for m in marks)
            first = not before and (
                ranks or alone or self._word(mark.end) in {"with", "having", "that", "by", "ranked", "where"}
            )
            breakdown = any(m.kind == "split" for m in marks) and not any(
                m.kind == "noun" and m.dim in GROUPS for m in marks[:n]
            )
            if (
                asked
                or first
                or (breakdown and lead is not None and lead.kind in {"value", "noun"})
                or (ranks and lead is not None and lead.kind in {"exists"})
            ):
                if self._counts_it(mark):
                    continue
                self._group(mark)
        if not self.out.by and (split := next((m for m in marks if m.kind == "split"), None)):
            run = next((r for r in self._runs() if r[0].start >= split.end), None)
            if run:
                self.out.by = run[0].dim  # split between misconfigurations and detections
        statuses = [m for m in marks if m.kind == "status" or m.kind in {"muted", "closed", "new"}]
        if not self.out.by and any(m.kind == "split" for m in marks) and len(statuses) > 1:
            self.out.by = "status"  # split between new and in progress
            for mark in statuses[-2:]:
                self._take(mark)
        self._things(marks, ranks)
        self._who(marks)
        overdue = [m for m in marks if m.kind == "order" and m.values[0] == "overdue"]
        if not self.out.by and (ranks or overdue) and any(m.kind == "who" for m in marks):
            self.out.by = "team"
        if not self.out.by and ranks and (by := self._commonest(ranks[0], marks)):
            self.out.by = by
            few = self._word(ranks[0].start - 1) != "top" and not any(m.kind in {"number", "top"} for m in marks)
            self.out.limit = 1 if few and not self._word(ranks[0].end).endswith("s") else 0
        if not self.out.by:
            for mark in marks:
                if (
                    mark.kind == "noun"
                    and mark.dim in GROUPS
                    and self._word(mark.end)
                    in {"breakdown", "split", "distribution", "ranking", "overview", "leaderboard"}
                ):
                    self._group(mark)
        if self.out.by and ranks and not any(m.kind == "order" for m in marks):
            self.out.order = ranks[0].kind
            for mark in ranks:
                self._take(mark)
        elif ranks and not self.out.by:
            resources = [m for m in marks if m.dim == "resource_type" or (m.kind == "noun" and m.dim == "resource")]
            if resources and any(m.kind in {"which", "top", "list"} for m in marks):
                self.out.by, self.out.order = "resource", ranks[0].kind
            else:
                raise NotUnderstood("The most of what? Say which: “which team has the most …”.")
        self._dedupe()

    def _qualifying(self, mark: Mark) -> bool:
        """What may stand before the noun that is grouped by, and says which of them: a value, a number, "most"."""
        if mark.kind == "anystatus":
            return self._word(mark.start) == "all" and mark.end - mark.start == 1
        if mark.dim in {"severity", "type"} and self._word(mark.end - 1).endswith("s"):
            return False  # "criticals of the apps": a thing of its own
        return mark.kind in FILTERS - {"family", "rule", "uid"} or mark.kind in {
            "number", "most", "least", "status", "mine", "dedupe", "new", "closed", "muted", "found",
        }  # fmt: skip

    def _runs(self) -> list[list[Mark]]:
        """Values of one kind in a row, joined by and, or, a comma."""
        runs: list[list[Mark]] = []
        for mark in self.marks:
            if mark.kind not in {"value", "product", "framework"} or mark.dim not in GROUPS:
                continue
            joined = runs and runs[-1][0].dim == mark.dim and 0 <= mark.start - runs[-1][-1].end <= 2
            if joined and all(m.kind in {"and", "or"} for m in self._between(runs[-1][-1], mark)):
                runs[-1].append(mark)
            else:
                runs.append([mark])
        return [run for run in runs if len(run) > 1]

    def _one_group(self, noun: Mark, marks: list[Mark]) -> None:
        """``by team and severity`` is asked back."""
        behind = [m for m in marks if m.start >= noun.end][:2]
        if len(behind) < 2 or behind[0].kind != "and" or behind[1].kind != "noun" or behind[1].dim not in GROUPS:
            return
        if self._near(noun, behind[0]) and self._near(behind[0], behind[1]):
            raise NotUnderstood(f"By {noun.said} or by {behind[1].said}? One at a time, please.")

    def _things(self, marks: list[Mark], ranks: list[Mark]) -> None:
        """``top 10 machines``: single things by how much they have."""
        for top in marks:
            if self.out.by or top.kind != "top" or self._word(top.start) != "top":
                continue
            following = [m for m in marks if m.start >= top.end and m.kind not in {"number", "filler"}]
            thing = following[0] if following else None
            if thing is None or thing.start - top.end > 2:
                continue
            if thing.kind == "family" or (thing.dim == "resource_type" and thing.kind == "value"):
                self.out.by, self.out.order = "resource", "most"
            elif thing.kind == "noun" and thing.dim == "resource":
                self._group(thing)

    def _who(self, marks: list[Mark]) -> None:
        """``who reports criticals`` are products, ``who owns them`` teams; persons are not in the data."""
        who = next((m for m in marks if m.kind == "who"), None)
        if who is None or self.out.by or any(m.kind == "uid" for m in marks):
            return
        words = {self._word(at) for at in range(who.end, min(who.end + 4, len(self.words)))}
        if words & {"reports", "report", "reported", "found", "finds", "detects", "detected", "flags", "flagged"}:
            self.out.by = "product"
        elif words & {"owns", "own", "has", "have", "holds"}:
            self.out.by = "team"
        else:
            raise NotUnderstood("I know teams and products, not persons. Which of them do you mean?")

    def _agent(self, by: Mark) -> bool:
        """Whether "by" names who did it."""
        return self._word(by.start) == "by" and self._word(by.start - 1) in {
            "reported", "found", "detected", "owned", "raised", "flagged", "discovered", "fixed", "closed", "resolved",
            "seen", "identified",
        }  # fmt: skip

    def _commonest(self, rank: Mark, marks: list[Mark]) -> str:
        """``the most common misconfiguration``: which rule, which CVE."""
        if not {self._word(at) for at in range(rank.start, rank.end)} & {"common", "frequent", "widespread", "often"}:
            return ""
        thing = next((m for m in marks if m.start >= rank.end and (m.dim == "type" or m.kind == "noun")), None)
        if thing is not None and thing.kind == "value":
            return "cve" if thing.values == ("vulnerability",) else "rule"
        if thing is not None and thing.dim in GROUPS:
            return thing.dim
        return "rule" if thing is not None and thing.dim in {"finding", "problem"} else ""

    def _valued(self, noun: Mark, after: Mark) -> bool:
        """``by severity high``: one value of the dimension right behind its name."""
        return (
            after.kind in {"value", "framework", "product", "status"}
            and (after.dim == noun.dim or (after.kind == "status" and noun.dim == "status"))
            and after.start == noun.end
        )

    def _counts_it(self, noun: Mark) -> bool:
        """``how many teams``: the noun is counted, not grouped by."""
        how = [m for m in self.marks if m.kind == "how" and m.end <= noun.start]
        return bool(how) and not any(
            m.kind in {"noun", "family"} or m.dim in {"type", "resource_type"} for m in self._between(how[-1], noun)
        )

    def _group(self, noun: Mark) -> None:
        if self.out.by and self.out.by != noun.dim:
            raise NotUnderstood("Grouped by one thing at a time, please: which shall it be?")
        self.out.by = noun.dim
        self.group = noun
        self._take(noun)

    def _dedupe(self) -> None:
        for mark in self._of("dedupe"):
            self._take(mark)
            nouns = [m for m in self.marks if m.kind == "noun" and m.start >= mark.end]
            others = [
                m
                for m in self.marks
                if m.start >= mark.end and (m.dim in {"resource_type", "type"} or m.kind == "family")
            ]
            first = min((m.start for m in (*nouns, *others)), default=-1)
            target = next((m for m in (*nouns, *others) if m.start == first), None)
            if target is not None and target.dim == "type":  # "distinct vulnerable machines" are machines
                thing = next((m for m in (*nouns, *others) if m.start == target.end), None)
                target = thing if thing is not None and thing.dim not in {"finding", "problem"} else target
            if target is not None and target is self.group:
                continue  # "the distinct apps with criticals": how many each has
            plain = self._word(mark.start) in {"distinct", "unique", "different", "separate"}
            if (
                target is None
                or (target.kind == "noun" and target.dim in {"finding", "problem"})
                or not plain
                or target.dim == "type"
            ):
                self.out.of = "problem"
            else:
                self.out.of = COUNTED[target.dim] if target.kind == "noun" else "resource"  # distinct machines

    def _limits(self) -> None:
        orders = self._of("order")
        for mark in orders:
            if mark.values[0] == "overdue" and self.out.by:
                # "which team has the most overdue findings" ranks the teams
                self.out.order = self.out.order or "most"
                self.out.filters.append(Filter("overdue", p.Is(field="overdue"), said=mark.said))
                self._take(mark)
                continue
            self.out.order = self.out.order or mark.values[0]
            self._take(mark)
        tops = self._of("top")
        for mark in self._of("number"):
            ranks = [m for m in self.marks if m.kind in {"most", "least"}]
            around = [
                m for m in (*tops, *orders, *ranks) if 0 <= mark.start - m.end <= 2 or 0 <= m.start - mark.end <= 2
            ]
            if self._word(mark.start - 1) in _BOUNDS and mark.data:
                raise NotUnderstood("I cannot choose by how many they have. Ask for the top ones instead.")
            which = [m for m in self.marks if m.kind in {"which", "list"} and 0 <= mark.start - m.end <= 2]
            ranked = self.out.by and self.out.order
            group = self.group if ranked and self.group is not None and self.group.start >= mark.end else None
            if group is not None and all(self._qualifying(m) for m in self._between(mark, group)):
                around = [group] if group.start - mark.end <= 3 else around  # "the five CVEs with the most …"
            if (
                (around or (which and (ranked or orders)))
                and mark.data
                and float(mark.data).is_integer()
                and mark.data >= 1
            ):
                self.out.limit = int(mark.data)
                self._take(mark)
                for top in tops:
                    self._take(top)
                if self.out.by and not self.out.order:
                    self.out.order = "most"
        for top in self._of("top"):
            self._take(top)
            one = any(m.kind in {"uid", "found"} for m in self.marks if m.start == top.end or m.kind == "uid")
            if not self.out.by and not self.out.limit and not orders and not one:
                raise NotUnderstood(f"The {top.said} by what? Say “the oldest”, “the newest”, “the most overdue”.")
            if self.out.by and not self.out.order:
                self.out.order = "most"
        left = self._of("number")
        if left:
            raise NotUnderstood(f"What does {left[0].said} stand for here?")
        if orders and not self.out.limit and not self.out.by:
            plural = any(
                (m.kind in {"noun", "family"} and self._word(m.end - 1).endswith("s"))
                or (
                    m.kind == "value"
                    and m.dim in {"severity", "type", "resource_type"}
                    and self._word(m.end - 1).endswith("s")
                )
                for m in self.marks
            )
            self.out.limit = 0 if plural else 1
