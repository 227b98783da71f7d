"""Marks to parts of a question: what is filtered and how, what is counted, ranked, compared, followed over time."""

from __future__ import annotations

from itertools import pairwise

from bot.ask.asking import Asking
from bot.ask.comparing import Comparing
from bot.ask.grouping import Grouping
from bot.ask.lexicon import FAMILIES
from bot.ask.marks import COUNTED, GROUPS, LACKED, Elsewhere, NotUnderstood
from bot.ask.reading import Mark, Parsed
from bot.ask.scan import Scan
from bot.ask.shares import Shares
from bot.ask.vocabulary import Vocabulary, stem


def parse(scan: Scan, vocabulary: Vocabulary, my_team: str | None) -> Parsed:
    return _Parser(scan, vocabulary, my_team).run()


_OWNS = frozenset({"have", "own", "owns", "has", "still", "currently", "close", "fix", "resolve", "owe", "hold", "got"})
_ASKS = frozenset({"does", "do", "did", "has", "have", "can", "which", "that", "what"})
# What may stand behind the name of an owner.
_BEHIND = frozenset(
    [
        "in", "on", "at", "with", "without", "that", "which", "are", "is", "were", "was", "this", "last", "past",
        "since", "over", "and", "or", "than", "vs", "versus", "per", "by", "please", "pls", "only", "today",
        "yesterday", "between", "before", "after", "during", "from", "not", "except", ",", "right", "now", "as",
    ]
)  # fmt: skip


_EVERY = frozenset(
    ["anywhere", "everywhere", "everyone", "everybody", "anyone", "anybody", "everything", "anything", "all", "any"]
)
_ASIDE = frozenset(["neither", "either", "both", "not", "but", "except", "other", "than", "apart", "from", "besides"])
_HAS = frozenset(["with", "have", "has", "having", "carry", "carries", "carrying"])
_ALL = frozenset(["all", "every", "any"])

# Words that change nothing beside others, but are no thing to count.
_NO_THING = frozenset(
    [
        "terms", "term", "levels", "level", "kinds", "labels", "label", "tags", "tag", "values", "value", "dashboards",
        "figures", "folks", "guys", "details", "ids", "id", "points", "point", "questions", "sides", "sorts", "stands",
        "scopes", "scope", "companies", "bots", "fleets", "estates", "runs", "uses", "holds", "takes", "moments",
    ]
)  # fmt: skip


class _Parser(Grouping, Comparing, Shares, Asking):
    def run(self) -> Parsed:
        self._context()
        self._negations()
        self._not_ruled()
        self._compare()
        self._grouping()
        self._limits()
        self._percent()
        self.out.filters += self._filters(self._free())
        self._states()
        self._spans()
        self._contradiction()
        self._kind()
        self._unused()
        self._idle()
        return self.out

    def _not_ruled(self) -> None:
        """``buckets that are not public``: the rule is left out, the things stay what is asked for."""
        if not any(m.kind == "rule" and m.negated for m in self.marks):
            return
        for mark in self._of("spoken"):
            mark.kind = "family" if mark.values and mark.values[0] in FAMILIES else "value"

    def _unused(self) -> None:
        """A comparing word that compares nothing, and a thing counted that is none of ours."""
        if not self.out.sides and self.out.measure != "change" and (more := self._of("more")):
            raise NotUnderstood(f"“{more[0].said}” than what?")
        for how in self.marks:
            if how.kind == "how" and self._word(how.end) in _NO_THING:
                raise Elsewhere(f"I cannot count “{self.words[how.end].raw}”.")

    def _idle(self) -> None:
        """A word that means something and changed nothing is asked about, never left out."""
        for n, mark in enumerate(self.marks):
            asked = any(m.kind in {"how", "list", "which"} for m in self.marks[: max(0, n - 1)])
            if mark.kind in {"how", "list"} and asked and self._word(mark.start - 1) == "and" and mark.start > 2:
                raise NotUnderstood("Two questions at once? Please ask one after the other.")
            if mark.kind == "uid" and self._word(mark.start - 1) in {"like", "as", "with"}:
                raise NotUnderstood(f"Like {mark.said} in what? Name what they have in common.")
        if self.out.kind == "detail":
            return
        counts = self.out.by or self.out.kind in {"count", "compare"} or self.out.measure == "percent"
        for mark in self._of("noun"):
            if mark.dim not in GROUPS or mark.dim in {"resource", self.out.by} or mark is self.group:
                continue
            if self._word(mark.start) == "cloud" and any(m.start == mark.end for m in self.marks):
                continue  # "cloud criticals": said of everything here
            beside = any(m.dim == mark.dim and m is not mark and abs(m.start - mark.start) <= 4 for m in self.marks)
            if not beside and not (counts and COUNTED.get(mark.dim) == self.out.of):
                raise NotUnderstood(f"What about the {mark.said}? Please say it another way.")
        self._both_at_once()
        about = {t for r in self.vocabulary.rules if any(r.uid in f.values for f in self.out.filters) for t in r.types}
        for one in self.out.filters:  # "unencrypted volumes and snapshots": the rule has taken one of the two
            apart = one.key == "resource_type" and about and not one.negated and not about & set(one.values)
            if apart and any(m.kind == "spoken" for m in self.marks):
                raise NotUnderstood(f"“{one.said}” with that rule, which is about other things? Please ask one by one.")
        if self.out.kind == "list" and not self.out.by and (split := self._of("split")):
            raise NotUnderstood(f"“{split[0].said}” by what? Say by team, by severity …")
        if not self.out.measure and (middling := self._of("average", "median", "old")):
            raise NotUnderstood(f"“{middling[0].said}” of what? I know ages and times to fix.")

    def _both_at_once(self) -> None:
        """``apps with criticals in both prod and dev``: in each of them, which a filter cannot say."""
        per = self.group is not None and self._word(self._back(self.group.start)) in {"by", "per", "each", "every"}
        if per or (not self.out.by and self.out.of in {"", "finding", "problem", "resource"}):
            return
        for run in self._runs():
            words = {self._word(run[0].start - 1), self._word(run[-1].end)}
            joined = {self._word(m.start) for m in self._between(run[0], run[-1])}
            if "both" in words and "and" in joined and not any(m.negated for m in run):
                raise NotUnderstood(f"In {run[0].said} and in {run[-1].said} at once? Please ask one by one.")

    # --- meaning from the neighbourhood

    def _context(self) -> None:
        marks = self.marks
        for n, mark in enumerate(marks):
            before = marks[n - 1] if n else None
            after = marks[n + 1] if n + 1 < len(marks) else None
            if mark.kind == "pci":
                data = after is not None and after.start == mark.end and after.kind in {"sensitive"}
                tagged = {self._word(mark.end), self._word(mark.start - 1)} & {"data", "tagged", "tag", "class", "as"}
                held = (
                    after is not None
                    and after.start == mark.end
                    and (after.kind == "family" or after.dim in {"resource_type", "resource"})
                )
                ruled = (
                    after is not None
                    and after.start == mark.end
                    and (
                        after.dim in {"framework", "requirement"}
                        or self._word(after.start) in {"violations", "compliance"}
                    )
                )
                if data or tagged or held or any(m.dim == "data_class" and m is not mark for m in marks):
                    mark.kind, mark.dim, mark.values = "value", "data_class", ("pci",)
                elif ruled or self._word(mark.end) == "compliance":
                    mark.kind, mark.dim, mark.values = "framework", "framework", ("PCI DSS",)
                else:
                    raise NotUnderstood("Do you mean the framework PCI DSS, or resources that hold PCI data?")
            if mark.kind == "ordinary":
                self._ordinary(mark, before, after)
            if mark.kind == "closed" and self._word(mark.start) in {"fix", "fixes"} and mark.end - mark.start == 1:
                nxt = self._word(mark.end)
                if nxt in {"available", "exists"}:
                    mark.kind, mark.dim, mark.values = "flag", "fixable", ("true",)
            course = self._word(mark.start) == "development" and self._word(mark.end) == "of"
            if course and self._word(mark.start - 1) not in {"in", "not", "from", "on", "outside", "except", "within"}:
                mark.kind = "trend"  # the development of open findings
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
        self._but()
        self._present()
        self._wrong_kind()
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

    def _but(self) -> None:
        """``everyone but growth``, ``all accounts but X``, ``all but the lows``: what is left out."""
        for n, mark in enumerate(self.marks):
            if self._word(mark.start) != "but" or mark.end - mark.start > 1 or not mark.start:
                continue
            before = self.marks[n - 1] if n else None
            led = self._word(mark.start - 1) in _EVERY
            if before is not None and before.end == mark.start and self._word(before.start - 1) in _ALL:
                led = True
            if led:
                mark.kind = "neg"

    def _present(self) -> None:
        """``have a CVE``, ``with any owner``: whatever the value is, there is one."""
        for n, mark in enumerate(self.marks):
            after = self.marks[n + 1] if n + 1 < len(self.marks) else None
            named = after is not None and after.start == mark.end and after.dim == mark.dim
            if mark.kind != "noun" or mark.dim not in LACKED or named:
                continue
            some = self._word(mark.start - 1) in {"a", "an", "any", "some"}
            if self._word(mark.start - 1 - some) in {
                "with",
                "have",
                "has",
                "having",
                "carry",
                "carries",
                "carrying",
            } and (some or mark.dim == "cve"):
                mark.kind = "present"

    def _wrong_kind(self) -> None:
        """``the checkout team`` where checkout is an app: there is no such team."""
        for mark, noun in pairwise(self.marks):
            alone = self._word(noun.start) in {"team", "squad", "app", "application"} and noun.end - noun.start == 1
            named = mark.kind == "value" and mark.dim in {"team", "app", "account"} and mark.end == noun.start
            if not (alone and named and noun.kind == "noun") or self.words[mark.end - 1].possessive:
                continue
            if mark.dim != noun.dim and not self.vocabulary.has(noun.dim, mark.values[0]):
                raise NotUnderstood(f"I know no {noun.dim} “{mark.said}”. There are: {self._there(noun.dim)}.")

    def _account_by_part(self, mark: Mark) -> None:
        """``the payments account``: the account whose name has that word."""
        word = self._word(mark.end - 1)
        names = sorted({n for n in self.vocabulary.accounts.values() if word in n.lower().replace("_", "-").split("-")})
        if len(names) > 1:
            raise NotUnderstood(f"“{word}” fits several accounts: {', '.join(names)}. Which one?")
        if not names:
            raise NotUnderstood(f"I know no account “{word}”. There are: {self._there('account')}.")
        mark.dim, mark.values = "account", (names[0],)

    def _ordinary(self, mark: Mark, before: Mark | None, after: Mark | None) -> None:
        """A team whose name is a common word counts as one only where it is called a team."""
        team_before = before is not None and before.kind == "noun" and before.dim == "team" and self._near(before, mark)
        team_after = after is not None and after.kind == "noun" and after.dim == "team" and self._near(mark, after)
        lead = [self._word(at) for at in range(max(0, mark.start - 6), mark.start)]
        said_before = " ".join(word for word in lead if word not in _ASIDE | _EVERY)
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
                and other.kind in {"value", "ordinary"}
                and abs(other.start - mark.start) <= 4
            ):
                low, high = sorted((other, mark), key=lambda m: m.start)
                joins = self._between(low, high)
                coordinated |= any(m.kind in {"and", "or", "vs", "neg"} for m in joins) and high.start - low.end <= 3
        beside = (
            after is not None and after.start == mark.end and (after.kind == "noun" or after.dim == "resource_type")
        )
        if team_before or team_after or owned or possessive or (coordinated and not beside) or self._has_slot(mark):
            mark.kind = "value"
            return
        if after is not None and after.kind == "noun" and after.dim == "account" and beside:
            self._account_by_part(mark)
            mark.kind = "value" if mark.dim == "account" else mark.kind
            return
        word = mark.values[0].lower()
        ruled = any(m.kind == "rule" and abs(m.start - mark.start) <= 3 for m in self.marks)
        said = (*stem(word), *stem(self._word(mark.end)))
        titled = any(said == rule.stems[at : at + 2] for rule in self.vocabulary.rules for at in range(len(rule.stems)))
        if word in {"security", "cloud"} or titled or (ruled and word in self.vocabulary.stems):
            mark.kind = "filler"

    def _has_slot(self, mark: Mark) -> bool:
        """Where only an owner can stand: "does platform have", "for platform in prod", "what about identity"."""
        before, after = self._word(self._back(mark.start)), self._word(mark.end)
        if after in _OWNS and (before in _ASKS or after in {"has", "owns", "own"}):
            return True
        rest = [
            m for m in self.marks if m is not mark and m.kind not in {"follow", "and", "or", "neg", "filler", "each"}
        ]
        led = any(m.kind in {"follow", "and", "or", "neg"} for m in self.marks)
        if not rest and led and len(self.words) <= 5:
            return True
        ends = mark.end >= len(self.words) or after in _BEHIND
        return before in {"for", "by", "of", "from"} and ends and mark.values[0].lower() not in {"security", "cloud"}

    # --- negation
