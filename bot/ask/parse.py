"""Marks to parts of a question: what is filtered and how, what is counted, ranked, compared, followed over time."""

from __future__ import annotations

from bot.ask import lexicon
from bot.ask.reading import Filter, Parsed, Span
from bot.ask.scan import Mark, Scan
from bot.ask.times import Window
from bot.ask.vocabulary import Vocabulary
from bot.domain import posture as p

_FILTERS = frozenset(
    [
        "value",
        "family",
        "framework",
        "product",
        "notenv",
        "sensitive",
        "pci",
        "flag",
        "missing",
        "overdue",
        "late",
        "intime",
        "overdue_by",
        "due_in",
        "due_at",
        "age",
        "score",
        "rule",
        "uid",
    ]
)
_STATES = frozenset({"status", "closed", "muted"})
_GROUPS = frozenset(
    [
        "team",
        "account",
        "app",
        "region",
        "product",
        "provider",
        "env",
        "severity",
        "status",
        "type",
        "rule",
        "framework",
        "requirement",
        "cve",
        "package",
        "data_class",
        "resource_type",
        "priority",
        "resource",
    ]
)
_COUNTED = {
    "finding": "finding",
    "problem": "problem",
    "resource": "resource",
    "team": "team",
    "account": "account",
    "app": "app",
    "region": "region",
    "product": "product",
    "rule": "rule",
    "cve": "cve",
    "package": "package",
}


class NotUnderstood(Exception):
    """The question has no single meaning; the reason asks back."""


class Elsewhere(Exception):
    """The question is about something that is not in the data."""


def parse(scan: Scan, vocabulary: Vocabulary, my_team: str | None) -> Parsed:
    return _Parser(scan, vocabulary, my_team).run()


class _Parser:
    def __init__(self, scan: Scan, vocabulary: Vocabulary, my_team: str | None) -> None:
        self.words, self.marks, self.vocabulary, self.my_team = scan.words, scan.marks, vocabulary, my_team
        self.out = Parsed()
        self.group: Mark | None = None  # the noun that is grouped by
        self.taken: set[int] = set()  # indexes of marks already understood

    def run(self) -> Parsed:
        self._context()
        self._negations()
        self._compare()
        self._grouping()
        self._limits()
        self._percent()
        self.out.filters += self._filters(self._free())
        self._states()
        self._spans()
        self._overdue_then()
        self._kind()
        return self.out

    # --- helpers

    def _free(self) -> list[Mark]:
        return [mark for n, mark in enumerate(self.marks) if n not in self.taken]

    def _of(self, *kinds: str) -> list[Mark]:
        return [mark for mark in self._free() if mark.kind in kinds]

    def _take(self, mark: Mark) -> None:
        self.taken.add(next(n for n, each in enumerate(self.marks) if each is mark))

    def _between(self, left: Mark, right: Mark) -> list[Mark]:
        """Marks that begin after ``left`` and end before ``right``."""
        return [mark for mark in self.marks if mark.start >= left.end and mark.end <= right.start]

    def _word(self, at: int) -> str:
        return self.words[at].word if 0 <= at < len(self.words) and not self.words[at].quoted else ""

    def _back(self, at: int) -> int:
        """The nearest token before ``at`` that is not an article."""
        at -= 1
        while self._word(at) in {"the", "a", "an", "our", "s"}:
            at -= 1
        return at

    # --- meaning from the neighbourhood

    def _context(self) -> None:
        marks = self.marks
        for n, mark in enumerate(marks):
            before = marks[n - 1] if n else None
            after = marks[n + 1] if n + 1 < len(marks) else None
            if mark.kind == "pci":
                data = after is not None and after.start == mark.end and after.kind in {"sensitive"}
                mark.kind, mark.dim = "framework", "framework"
                mark.values = ("PCI DSS",)
                if (
                    data
                    or self._word(mark.end) in {"data", "tagged", "scope", "class"}
                    or self._word(mark.start - 1) in {"class"}
                ):
                    mark.kind, mark.dim, mark.values = "value", "data_class", ("pci",)
            if mark.kind == "ordinary":
                self._ordinary(mark, before, after)
            if mark.kind == "closed" and self._word(mark.start) in {"fix", "fixes"} and mark.end - mark.start == 1:
                nxt = self._word(mark.end)
                if nxt in {"available", "exists"}:
                    mark.kind, mark.dim, mark.values = "flag", "fixable", ("true",)
            grouped = after is not None and after.kind == "noun" and self._near(mark, after)
            if mark.kind == "each" and self._word(mark.start) in {"by", "over", "across"} and not grouped:
                mark.kind = "filler"  # "reported by Wiz", "over the past week", "across the company"
            if (
                mark.kind == "value"
                and mark.dim in {"team", "app"}
                and after is not None
                and after.kind == "noun"
                and (after.dim == "account" and after.start == mark.end and not self.words[mark.end - 1].possessive)
            ):
                self._account_by_part(mark)
        for mark in marks:
            if mark.kind == "ordinary":
                raise NotUnderstood(f"Do you mean the team {mark.values[0]}? Then say “the {mark.values[0]} team”.")
        # A name beside the word for its kind: "the account X", "payments team".
        for n, mark in enumerate(marks):
            if mark.kind != "noun" or mark.dim not in {
                "team",
                "account",
                "app",
                "region",
                "product",
                "provider",
                "env",
                "package",
                "framework",
                "requirement",
                "rule",
                "severity",
                "status",
                "cve",
                "data_class",
                "type",
                "priority",
            }:
                continue
            beside = [m for m in (marks[n - 1] if n else None, marks[n + 1] if n + 1 < len(marks) else None) if m]
            for other in beside:
                adjacent = self._near(other, mark) if other.start < mark.start else self._near(mark, other)
                same = other.dim == mark.dim or (other.kind == "status" and mark.dim == "status")
                if adjacent and same and other.kind in {"value", "framework", "product", "status", "missing"}:
                    if self._asked_as_group(mark):
                        continue
                    mark.kind = "filler"

    def _account_by_part(self, mark: Mark) -> None:
        """``the payments account``: the account whose name has that word."""
        word = self._word(mark.end - 1)
        names = sorted({n for n in self.vocabulary.accounts.values() if word in n.lower().replace("_", "-").split("-")})
        if len(names) > 1:
            raise NotUnderstood(f"“{word}” fits several accounts: {', '.join(names)}. Which one?")
        if names:
            mark.dim, mark.values = "account", (names[0],)

    def _asked_as_group(self, noun: Mark) -> bool:
        """``by team``, ``per account``: the noun groups, whatever stands beside it."""
        return self._word(self._back(noun.start)) in {"by", "per", "each", "every", "which", "across"}

    def _near(self, left: Mark, right: Mark) -> bool:
        """Only small words between the two."""
        return 0 <= right.start - left.end <= 2 and all(
            self._word(at)
            in {"the", "a", "an", "of", "called", "named", "our", "is", "=", ":", "each", "every", "all", "s", "their"}
            for at in range(left.end, right.start)
        )

    def _ordinary(self, mark: Mark, before: Mark | None, after: Mark | None) -> None:
        """A team whose name is a common word counts as one only where it is called a team."""
        team_before = before is not None and before.kind == "noun" and before.dim == "team" and self._near(before, mark)
        team_after = after is not None and after.kind == "noun" and after.dim == "team" and self._near(mark, after)
        said_before = " ".join(self._word(at) for at in range(max(0, mark.start - 4), mark.start))
        owned = said_before.endswith(
            (
                "owned by",
                "owned by the",
                "belong to",
                "belongs to",
                "belonging to",
                "assigned to",
                "belong to the",
                "belongs to the",
                "owner is",
                "owner :",
                "owner =",
                "responsibility of",
                "team of",
                "belonging to the",
                "assigned to the",
            )
        )
        possessive = self.words[mark.end - 1].possessive
        coordinated = False
        for other in self.marks:
            if (
                other is not mark
                and other.dim == "team"
                and other.kind == "value"
                and abs(other.start - mark.start) <= 4
            ):
                low, high = sorted((other, mark), key=lambda m: m.start)
                joins = self._between(low, high)
                coordinated |= any(m.kind in {"and", "or", "vs"} for m in joins) and high.start - low.end <= 3
        if team_before or team_after or owned or possessive or coordinated:
            mark.kind = "value"
            return
        word = mark.values[0].lower()
        beside = (
            after is not None and after.start == mark.end and (after.kind == "noun" or after.dim == "resource_type")
        )
        if word == "security" or beside or word in self.vocabulary.stems or (word == "cloud"):
            mark.kind = "filler"

    # --- negation

    def _negations(self) -> None:
        marks = self.marks
        for n, mark in enumerate(marks):
            if mark.kind != "neg":
                continue
            both = self._word(mark.start) in {"neither"}
            self._has_none(mark, n)
            last = mark
            key = ""
            for other in marks[n + 1 :]:
                gap = range(last.end, other.start)
                if len(gap) > 5 or any(self._word(at) not in lexicon.FILLER for at in gap):
                    break
                if other.kind in {"and", "or", "neg"} and (key or other.kind == "neg"):
                    if other.kind == "neg" and not both and key:
                        break
                    last = other
                    continue
                if other.kind in {"noun", "filler", "anystatus", "exists", "those", "found"} and (
                    not key or other.dim in ("team", "account", "app")
                ):
                    last = other
                    continue
                if other.kind not in _FILTERS and other.kind not in _STATES and other.kind not in {"mine", "new"}:
                    break
                if key and not both and (other.key != key or last.kind not in {"and", "or"}):
                    break
                other.negated = True
                key = other.key
                last = other
                if self._word(mark.start) in {"no", "non"} and not both:
                    break

    def _has_none(self, mark: Mark, n: int) -> None:
        """``teams with no open criticals``: who has none is not in what is stored, so it is never answered with a number."""
        if self._word(mark.end - 1) not in {"no", "without", "lack", "lacks", "lacking", "nothing"}:
            return
        for other in self.marks[n + 1 :]:
            if other.kind in {"exists", "filler"}:
                continue
            if other.start - mark.end > 3:
                return
            about = other.kind in {"status", "overdue", "overdue_by", "closed", "muted", "new"} or (
                other.kind in {"value", "noun"} and other.dim in {"severity", "type", "finding", "priority", "cve"}
            )
            if about:
                raise NotUnderstood("I can tell what has findings, not what has none of them.")
            return

    # --- comparisons

    def _compare(self) -> None:
        vs = self._of("vs")
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
        asked_or = any(mark.kind == "or" for mark in self._free())
        for pair in pairs:
            joined_or = any(m.kind == "or" for m in self._between(pair[0], pair[-1]))
            comparing = any(mark.kind == "compare" for mark in hints) or (asked_or and joined_or)
            if comparing and self._comparable(pair[0]):
                self._set_sides(pair)
                for hint in hints:
                    self._take(hint)
                return
        if any(mark.kind == "compare" for mark in hints):
            raise NotUnderstood("What should be compared with what? Name both sides, such as “prod and staging”.")

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
            joined = False
            for other in free[n + 1 :]:
                if other.kind in {"and", "or"}:
                    joined, last = True, other
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

    # --- groups, ranks, orders

    def _grouping(self) -> None:
        marks = self._free()
        for n, mark in enumerate(marks):
            if mark.kind == "each":
                noun = next((m for m in marks[n + 1 : n + 2] if m.kind == "noun" and self._near(mark, m)), None)
                if noun is not None and noun.dim in _GROUPS:
                    self._group(noun)
                    self._take(mark)
                elif noun is not None:
                    raise NotUnderstood(f"Findings cannot be grouped by {noun.said}.")
        ranks = [m for m in self._free() if m.kind in {"most", "least"}]
        for n, mark in enumerate(marks):
            if self.out.by or mark.kind != "noun" or mark.dim not in _GROUPS or mark.kind == "filler":
                continue
            before = [m for m in marks[:n] if m.end <= mark.start]
            lead = before[-1] if before else None
            while (
                lead is not None
                and lead.kind in {"number", "most", "least", "value", "framework", "product", "status"}
                and len(before) > 1
            ):
                before.pop()
                lead = before[-1]
            close = lead is not None and mark.start - lead.end <= 4
            asked = lead is not None and close and lead.kind in {"which", "top", "split", "list", "who"}
            if lead is not None and lead.kind == "list" and mark.dim == "resource":
                asked = False
            if lead is not None and lead.kind == "which" and mark.dim == "resource" and not ranks:
                asked = False  # which resources have X: a list
            first = not before and (
                ranks or self._word(mark.end) in {"with", "having", "that", "by", "ranked", "where"}
            )
            breakdown = any(m.kind == "split" for m in marks) and not any(
                m.kind == "noun" and m.dim in _GROUPS for m in marks[:n]
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
        statuses = [m for m in marks if m.kind == "status" or m.kind in {"muted", "closed", "new"}]
        if not self.out.by and any(m.kind == "split" for m in marks) and len(statuses) > 1:
            self.out.by = "status"  # split between new and in progress
            for mark in statuses[-2:]:
                self._take(mark)
        if not self.out.by and ranks and any(m.kind == "who" for m in marks):
            self.out.by = "team"
        if not self.out.by:
            for mark in marks:
                if (
                    mark.kind == "noun"
                    and mark.dim in _GROUPS
                    and self._word(mark.end) in {"breakdown", "split", "distribution"}
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
            plain = self._word(mark.start) in {"distinct", "unique", "different"}
            if (
                target is None
                or (target.kind == "noun" and target.dim in {"finding", "problem"})
                or not plain
                or target.dim == "type"
            ):
                self.out.of = "problem"
            else:
                self.out.of = _COUNTED.get(target.dim, "resource")

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
            around = [m for m in (*tops, *orders) if 0 <= mark.start - m.end <= 2 or 0 <= m.start - mark.end <= 2]
            which = [m for m in self.marks if m.kind in {"which", "list"} and 0 <= mark.start - m.end <= 2]
            ranked = self.out.by and self.out.order
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

    # --- percentages

    def _percent(self) -> None:
        percents = self._of("percent")
        if not percents:
            return
        for mark in percents:
            self._take(mark)
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
        conditions = [
            m
            for m in self._free()
            if m.start >= start
            and (m.kind in _FILTERS or m.kind in _STATES or m.kind in {"found", "time", "mine", "new"})
        ]
        before = [m for m in self._free() if m.end <= percents[0].start and (m.kind in _FILTERS or m.kind in _STATES)]
        copula = None
        for at in range(start, len(self.words)):
            if self._word(at) in {
                "is",
                "are",
                "was",
                "were",
                "has",
                "have",
                "do",
                "does",
                "did",
                "come",
                "comes",
                "came",
                "belong",
                "belongs",
                "sit",
                "sits",
                "affect",
                "affects",
                "fall",
                "falls",
                "live",
                "carry",
                "lack",
                "got",
                "went",
                "had",
            }:
                said_of = any(self._word(n) == "of" for n in range(start, at))
                if (
                    not said_of
                    or any(m.end <= at for m in conditions)
                    or any(m.kind in {"noun"} and start <= m.start < at for m in self.marks)
                ):
                    copula = at
                    break
        if copula is None:
            whole, part = conditions[:-1], conditions[-1:]
        else:
            whole = [m for m in conditions if m.end <= copula] + before
            part = [m for m in conditions if m.start >= copula]
            if not part:
                whole, part = whole[:-1], whole[-1:]
        if not part:
            raise NotUnderstood("The percentage of what? Say “what percentage of … is …”.")
        sub = Parsed()
        times_ = [m for m in part if m.kind == "time"]
        verbs = [m for m in part if m.kind in {"found", "closed", "muted", "new"}]
        sub.filters = self._filters([m for m in part if m.kind in _FILTERS or m.kind == "mine"])
        for mark in part:
            if mark.kind in _STATES or (mark.kind == "new" and not times_):
                self._state(sub, mark, bool(times_))
            self._take(mark)
        for mark in times_:
            verb = verbs[0].kind if verbs else ""
            sub.spans.append(Span(mark.data, "found" if verb == "new" else verb))
        self.out.part = sub

    # --- filters

    def _filters(self, marks: list[Mark]) -> list[Filter]:
        found: list[Filter] = []
        last: Mark | None = None
        for mark in marks:
            if mark.kind == "mine":
                made = self._mine(mark)
            elif mark.kind in _FILTERS:
                made = self._filter(mark)
            else:
                continue
            self._take(mark)
            for one in made:
                self._join(found, one, last, mark)
            last = mark
        return found

    def _join(self, found: list[Filter], one: Filter, last: Mark | None, mark: Mark) -> None:
        joins = {m.kind for m in self._between(last, mark)} if last is not None else set()
        tight = last is not None and all(
            self._word(at) in lexicon.FILLER or any(m.start <= at < m.end for m in self.marks)
            for at in range(last.end, mark.start)
        )
        same = next((f for f in found if f.key == one.key and f.negated == one.negated), None)
        if (
            same is not None
            and one.values
            and not set(one.values) <= set(same.values)
            and self._crossed(found, same, mark)
        ):
            raise NotUnderstood("I am not sure which of these go together. Please ask for one after the other.")
        if same is not None and isinstance(same.condition, p.In | p.Not) and one.values and same.values:
            values = tuple(dict.fromkeys((*same.values, *one.values)))
            made: p.Condition = p.In(field=one.key, values=values)
            same.values, same.condition = values, p.Not(of=(made,)) if one.negated else made
            same.said = f"{same.said}, {one.said}"
            return
        one.either = "or" in joins and tight and bool(found) and not one.negated and not found[-1].negated
        found.append(one)

    def _crossed(self, found: list[Filter], same: Filter, mark: Mark) -> bool:
        """``criticals in prod and highs in dev``: two values of one kind with something else between them."""
        position = next(n for n, each in enumerate(found) if each is same)
        between = [
            f
            for f in found[position + 1 :]
            if f.values and f.key in {"env", "provider", "account", "team", "severity", "type", "app"}
        ]
        before = next((m for m in reversed(self.marks) if m.end <= mark.start and m.kind not in {"filler"}), None)
        return bool(between) and before is not None and before.kind in {"and", "or"}

    def _mine(self, mark: Mark) -> list[Filter]:
        if self.my_team is None:
            raise NotUnderstood(
                "I do not know which team you mean by “my”: you are in none that I know of. Name the team."
            )
        condition: p.Condition = p.In(field="team", values=(self.my_team,))
        if mark.negated:
            condition = p.Not(of=(condition,))
        return [Filter("team", condition, (self.my_team,), mark.negated, said=mark.said)]

    def _filter(self, mark: Mark) -> list[Filter]:
        values = mark.values
        extra: list[Filter] = []
        match mark.kind:
            case "value" | "product" | "framework" | "rule" | "uid":
                values = self._known(mark)
                condition: p.Condition = p.In.model_validate({"field": mark.dim, "values": values})
            case "family":
                values = self._family(mark)
                condition = p.In(field="resource_type", values=values)
            case "notenv":
                condition, values = p.Not(of=(p.In(field="env", values=("prod",)),)), ()
            case "sensitive":
                values = ("pii", "pci")
                condition = p.In(field="data_class", values=values)
            case "flag":
                condition = p.Is(field=mark.dim, value=values[0] == "true")
                if values[0] == "false":
                    extra = [
                        Filter(
                            "type",
                            p.In(field="type", values=("vulnerability",)),
                            ("vulnerability",),
                            said="vulnerability",
                        )
                    ]
                values = ()
            case "missing":
                condition, values = p.Missing(field=mark.dim), ()
            case "overdue":
                condition = p.Is(field="overdue")
            case "late":
                condition = p.Is(field="fixed_late")
            case "intime":
                condition = p.Is(field="fixed_in_time")
            case "overdue_by" | "due_in" | "age" | "score":
                return self._number(mark)
            case "due_at":
                start, end = mark.data
                made: list[p.Condition] = [
                    p.Is(field="open"),
                    p.Is(field="overdue", value=False),
                    p.Within(field="due", start=start, end=end),
                ]
                return [Filter(f"due{n}", c, said=mark.said) for n, c in enumerate(made)]
            case _:
                return []
        if mark.negated:
            condition = p.Not(of=(condition,))
        if mark.kind in {"flag", "missing", "overdue", "late", "intime", "notenv"}:
            values = ()
        dim = "resource_type" if mark.kind == "family" else "data_class" if mark.kind == "sensitive" else mark.dim
        key = dim or mark.kind
        return [*extra, Filter(key, condition, values, mark.negated, said=mark.said)]

    def _number(self, mark: Mark) -> list[Filter]:
        if mark.kind == "due_in":
            return [Filter("due_in", p.Compare(op="le", field="due_in_days", value=mark.data), said=mark.said)]
        if mark.kind == "score":
            op, value = mark.data
            if op == "exactly":
                low = p.Compare(op="ge", field=mark.dim, value=value)
                high = p.Compare(op="le", field=mark.dim, value=value)
                return [Filter(f"{mark.dim}{n}", c, said=mark.said) for n, c in enumerate((low, high))]
            return [Filter(mark.dim, p.Compare(op=op, field=mark.dim, value=value), said=mark.said)]
        op, value = mark.data[0], mark.data[1]
        condition: p.Condition = p.Compare(op=op, field=mark.dim, value=value)
        if mark.negated:
            condition = p.Not(of=(condition,))
        if mark.kind == "age" and mark.data[2] and "open" not in self.out.status:
            self.out.status.append("open")
        return [Filter(mark.dim, condition, said=mark.said)]

    def _known(self, mark: Mark) -> tuple[str, ...]:
        """The values that the data has; asking about a name it has not is answered by asking back."""
        if mark.dim in {
            "severity",
            "priority",
            "type",
            "cve",
            "uid",
            "rule",
            "resource",
            "env",
            "data_class",
            "requirement",
            "resource_type",
        }:
            if mark.dim == "env" and not self.vocabulary.has("env", mark.values[0]):
                raise NotUnderstood(
                    f"The data knows no environment {mark.values[0]!r}; there are: {self._there('env')}."
                )
            if mark.dim == "data_class" and not self.vocabulary.has("data_class", mark.values[0]):
                raise Elsewhere(f"No resource carries the data class {mark.values[0]!r}.")
            return mark.values
        known = tuple(found for value in mark.values if (found := self._stored(mark.dim, value)))
        if not known:
            where = {"framework": "framework", "product": "product", "region": "region", "provider": "cloud"}.get(
                mark.dim, mark.dim
            )
            said = f"The data knows no {where} {mark.values[0]!r}; there are: {self._there(mark.dim)}."
            if mark.dim in {"framework"}:
                raise Elsewhere(said)
            raise NotUnderstood(said)
        if mark.dim == "account" and len(known) > 1:
            raise NotUnderstood(f"{mark.said} fits several accounts: {', '.join(known)}. Which one?")
        return known

    def _stored(self, dim: str, value: str) -> str | None:
        exact = self.vocabulary.has(dim, value)
        if exact is not None or dim not in {"framework", "product"}:
            return exact
        folded = {
            "".join(c for c in key if c.isalnum()): name for key, name in self.vocabulary.values.get(dim, {}).items()
        }
        wanted = "".join(c for c in value.lower() if c.isalnum())
        if wanted in folded:
            return folded[wanted]
        close = [name for key, name in folded.items() if key.startswith(wanted)]
        return close[0] if len(close) == 1 else None

    def _there(self, dim: str) -> str:
        names = sorted(set(self.vocabulary.values.get(dim, {}).values()))
        return ", ".join(names[:12]) + (" …" if len(names) > 12 else "") or "none"

    def _family(self, mark: Mark) -> tuple[str, ...]:
        wanted = {name.lower() for name in lexicon.FAMILIES[mark.values[0]]}
        known = self.vocabulary.values.get("resource_type", {})
        return (
            tuple(sorted(value for key, value in known.items() if key in wanted))
            or lexicon.FAMILIES[mark.values[0]][:1]
        )

    # --- where things stand, and when

    def _states(self) -> None:
        timed = any(mark.kind == "time" for mark in self.marks)
        for mark in self._of("status", "anystatus", "closed", "muted", "new"):
            if mark.kind == "anystatus":
                self._any(mark)
                self._take(mark)
                continue
            if mark.kind in {"closed", "muted", "new"} and timed:
                continue  # says what happened in the window
            self._state(self.out, mark, timed)
            self._take(mark)

    def _any(self, mark: Mark) -> None:
        """``all`` is about the status unless it is about something else: all teams, all S3 buckets of one account."""
        after = next((m for m in self.marks if m.start >= mark.end), None)
        word = self._word(mark.start)
        if word == "all" and mark.end - mark.start == 1:
            if (
                after is not None
                and after.kind == "noun"
                and after.dim in _GROUPS
                and after.dim != "resource"
                and self._near(mark, after)
            ):
                after.kind = "filler"
                return
            if (
                self._word(mark.end) in {"of", "over", "in"}
                and self._word(mark.end + 1) in {"the", "our"}
                and after is not None
                and (after.kind in {"number"})
            ):
                return
            if self._word(mark.start - 1) in {"at", "after", "above", "of"} and after is None:
                return
        self.out.status.append("any")

    def _state(self, into: Parsed, mark: Mark, timed: bool) -> None:
        word = {"closed": "resolved", "muted": "suppressed", "new": "new"}.get(mark.kind) or mark.values[0]
        if mark.negated:
            if word == "resolved":
                into.status.append("open")
            elif word in {"open", "new", "in_progress", "suppressed"}:
                value: p.Condition = p.Is(field="open") if word == "open" else p.In(field="status", values=(word,))
                into.filters.append(Filter(f"not {word}", p.Not(of=(value,)), negated=True, said=f"not {mark.said}"))
                into.status.append("any" if word in {"open", "suppressed"} else "open")
            return
        into.status.append(word)

    def _spans(self) -> None:
        """Every window with what happened in it: the nearest verb before it, else the nearest after it."""
        windows = self._of("time")
        verbs = [
            m for m in self.marks if m.kind in {"late", "intime"} or m in self._of("found", "closed", "muted", "new")
        ]
        statuses = [m for m in self.marks if m.kind == "status"]
        if not windows:
            for each in verbs:
                self._take(each)
            return
        used: list[Mark] = []
        verb: Mark | None
        for mark in windows:
            self._take(mark)
            before = [v for v in verbs if v.end <= mark.start]
            after = [v for v in verbs if v.start >= mark.end and v not in used]
            verb = before[-1] if before else (after[0] if after else None)
            if verb is not None and verb in used and after:
                verb = after[0]
            if verb is not None:
                used.append(verb)
            name = (
                {"new": "found", "late": "closed", "intime": "closed"}.get(verb.kind, verb.kind)
                if verb is not None
                else ""
            )
            if verb is not None and verb.negated and name == "closed":
                name = ""
            if not name and statuses and self._past_tense():
                name = "open"
            if not name and statuses and self._word(mark.start) == "today" and "open" in self.out.status:
                continue  # open today: now
            self.out.spans.append(Span(mark.data, name))
        for one in verbs:
            self._take(one)
            if one in used:
                continue
            if one.kind == "closed":
                self._state(self.out, one, timed=False)
            elif one.kind == "muted":
                self.out.status.append("suppressed")
            elif one.kind == "new" and not any(s.verb == "found" for s in self.out.spans):
                self.out.status.append("new")

    def _overdue_then(self) -> None:
        """What was closed and overdue was closed late: overdue itself is of open ones only."""
        closed = "resolved" in self.out.status or any(s.verb == "closed" for s in self.out.spans)
        for one in self.out.filters:
            if closed and one.key == "overdue" and one.condition == p.Is(field="overdue"):
                one.key, one.condition = "late", p.Is(field="fixed_late")

    def _past_tense(self) -> bool:
        return any(self._word(at) in {"were", "was"} for at in range(len(self.words))) or any(
            self._word(at) == "as" and self._word(at + 1) == "of" for at in range(len(self.words))
        )

    # --- what is asked

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
        if not out.measure and kinds & {"average", "median", "old"}:
            self._average(kinds)
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
        elif "trend" in kinds or (out.step and not out.by):
            out.kind = "trend"
        elif out.by:
            out.kind = "breakdown"
        elif "how" in kinds:
            out.kind = "count"
        elif out.order or out.limit or "which" in kinds:
            out.kind = "list"
        elif "exists" in kinds or self._yes_no():
            out.kind = "count"
        elif "list" in kinds:
            out.kind = "list"
        out.was_open = any(s.verb == "open" for s in out.spans)

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
            "can",
        }

    def _average(self, kinds: set[str]) -> None:
        words = {token.word for token in self.words}
        if not kinds & {"average", "median"}:
            raise NotUnderstood("How old on average, or how old is the oldest?")
        if words & {"old", "age"}:
            self.out.measure = "median_age" if "median" in kinds else "avg_age"
        elif words & {"fix", "fixed", "resolve", "resolved", "close", "closed", "remediate", "remediation", "fixes"}:
            self.out.measure = "median_ttr" if "median" in kinds else "mttr"
        else:
            raise NotUnderstood("The average of what? I know the average age and the mean time to fix.")

    def _counted(self) -> str:
        """What is counted: the first noun after "how many", else the first noun of all."""
        how = [m for m in self.marks if m.kind in {"how", "exists"}]
        start = how[0].end if how and any(m.start >= how[0].end and self._noun(m) for m in self.marks) else 0
        yes_no = not how and self._yes_no()
        for mark in self.marks:
            if mark.start < start or not self._noun(mark):
                continue
            if mark.dim == "resource_type" or mark.kind == "family":
                return "resource" if how or yes_no else "finding"
            if mark.kind == "noun":
                return _COUNTED.get(mark.dim, "finding")
            return "finding"
        return "finding"

    def _noun(self, mark: Mark) -> bool:
        """Whether ``mark`` can be the thing that is asked for."""
        if mark is self.group:
            return False
        if mark.kind == "noun":
            return mark.dim in _COUNTED and not self._asked_as_group(mark)
        if mark.kind == "family" or (mark.kind in {"value", "spoken"} and mark.dim == "resource_type"):
            after = next((m for m in self.marks if m.start >= mark.end), None)
            if (
                after is not None
                and after.start == mark.end
                and ((after.kind == "noun" and after.dim in {"finding", "problem"}) or after.dim == "type")
            ):
                return False  # "EC2 findings" are findings
            word = self._word(mark.start - 1)
            return word not in {"on", "in", "of", "for", "the", "a", "an", "affecting", "from"} or mark.start == 0
        if mark.kind == "value" and mark.dim == "type":
            return True
        if mark.kind == "value" and mark.dim == "severity":
            return self._word(mark.start).endswith("s")  # criticals, highs
        return mark.kind == "closed" and self._word(mark.start) in {"fixes", "fix"}


def window_of(parsed: Parsed) -> Window | None:
    return parsed.spans[0].window if parsed.spans else None
