"""Words of a rule's title, in any order and in other words, as the rule itself."""

from __future__ import annotations

from bot.ask import lexicon
from bot.ask.foreign import is_link
from bot.ask.reading import Mark
from bot.ask.scan import Scan
from bot.ask.vocabulary import GENERIC, NEGATIVE, Rule, Vocabulary, stem, words_of

# Words that stand in many titles: alone they tell no rule.
_COMMON_THINGS = frozenset(
    ["instance", "bucket", "user", "group", "security", "internet", "public", "s3", "rds", "ec2"]
)


class Rules:
    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def apply(self, found: Scan) -> None:
        """Words of a rule's title, in any order, name the rule; so do "public" and the kind of thing it is about."""
        marks = found.marks
        runs = self._coordinated(found)
        public = [m for m in marks if m.kind == "public"]
        spare = [at for at in found.left if not found.words[at].quoted and not is_link(found.words[at].word)]
        spare = [at for at in spare if not found.words[at].word.startswith("non-")]  # read as "non" and the rest
        told = [at for at in spare if any(s in self.vocabulary.stems for s in _stems(found.words[at].word))]
        for mark in public:
            told += range(mark.start, mark.end)
        if not told and not self._covered(found):
            return
        stems = [s for at in sorted(told) for s in _stems(found.words[at].word) if s in self.vocabulary.stems]
        types = {value for m in marks if m.dim == "resource_type" for value in self._types(m)}
        flags = [m for m in marks if m.kind == "flag" and m.dim == "exposed"]
        chosen = self._chosen(set(stems), found, types) or self._covered(found, frozenset(types))
        if not chosen and public and len(told) == sum(m.end - m.start for m in public):
            if types or any(m.kind == "noun" and m.dim == "resource" for m in marks) or not types:
                for mark in public:  # nothing is called public here: reachable from the internet
                    mark.kind, mark.dim, mark.values = "flag", "exposed", ("true",)
            return
        if not chosen:
            return
        told = sorted({*told, *self._in_title(found, chosen, every=not told)})
        first = min(told)
        negative = all(rule.negative for rule in chosen)
        found.left = [at for at in found.left if at not in told and not (negative and found.words[at].word in NEGATIVE)]
        for mark in public:
            marks.remove(mark)
        marks.append(
            Mark(
                "rule",
                first,
                first + 1,
                "rule",
                tuple(rule.uid for rule in chosen),
                said=" ".join(found.words[at].raw for at in sorted(told)),
            )
        )
        self._absorb(found, chosen, first, flags, told)
        for run in runs:  # of "EBS and RDS snapshots" the rules took one, so they are about the other, too
            if any(m.kind == "spoken" for m in run):
                for mark in run:
                    if mark.kind != "spoken" and any(rule.types & set(self._types(mark)) for rule in chosen):
                        mark.kind = "spoken"

    def _coordinated(self, found: Scan) -> list[list[Mark]]:
        """Kinds of things in a row: in ``EBS and RDS snapshots`` the first are snapshots as well."""
        runs: list[list[Mark]] = []
        ordered = sorted(found.marks, key=lambda m: m.start)
        for n, mark in enumerate(ordered):
            if mark.kind != "value" or mark.dim != "resource_type":
                continue
            last = runs[-1][-1] if runs else None
            between = [m for m in ordered[:n] if last is not None and m.start >= last.end]
            if last is not None and mark.start - last.end <= 3 and between and all(
                m.kind in {"and", "or", "vs"} for m in between
            ):  # fmt: skip
                runs[-1].append(mark)
            else:
                runs.append([mark])
        runs = [run for run in runs if len(run) > 1]
        for run in runs:
            words = {found.words[at].word for at in range(run[0].end, run[1].start)}
            head = run[0] if words & {"both", "either"} else run[-1]
            ends = {value.split()[-1] for value in head.values}
            for mark in run:
                alike = tuple(v for v in mark.values if v.split()[-1] in ends)
                # A service's name alone ("EBS") stands for several kinds of things.
                if mark is not head and mark.end - mark.start == 1 and len(ends) == 1 and alike:
                    mark.values = alike
        return runs

    def _in_title(self, found: Scan, chosen: list[Rule], *, every: bool) -> list[int]:
        """Where words of the only chosen rule's title stand: those that no mark took, or every one."""
        if len(chosen) != 1:
            return []
        title = set(chosen[0].stems)
        marked = {at for m in found.marks if m.kind != "number" and not every for at in range(m.start, m.end)}
        return [
            at
            for at, token in enumerate(found.words)
            if at not in marked
            and not token.quoted
            and token.word not in lexicon.FILLER
            and set(_stems(token.word)) & title
        ]

    def _covered(self, found: Scan, types: frozenset[str] = frozenset()) -> list[Rule]:
        """The rule whose title the question has nearly whole: four words of it in five."""
        words = [token.word for token in found.words if not token.quoted and not token.word.startswith("non-")]
        said = {s for word in words for s in _stems(word)}
        best: list[Rule] = []
        most = 0.0
        for rule in self.vocabulary.rules:
            title = set(rule.stems)
            hits = len(title & said) + bool(types & rule.types and len(title & said) > 2)
            if hits < 3 or hits < 0.75 * len(title) or not (title & said) - _COMMON_THINGS:
                continue
            if (telling := title - GENERIC) and not telling & said:
                continue  # the words it shares with many others only
            if hits > most:
                best, most = [rule], hits
            elif hits == most:
                best.append(rule)
        return best if len(best) == 1 else []

    def _types(self, mark: Mark) -> tuple[str, ...]:
        if mark.kind != "family":
            return mark.values
        wanted = {name.lower() for name in lexicon.FAMILIES[mark.values[0]]}
        known = self.vocabulary.values.get("resource_type", {})
        return tuple(value for key, value in known.items() if key in wanted)

    def _chosen(self, stems: set[str], found: Scan, types: set[str]) -> list[Rule]:
        """The rules whose title has all the words; of those, the ones about the things that were named."""
        if not stems:
            return []
        around = {s for token in found.words if not token.quoted for s in stem(token.word)}
        holding = [rule for rule in self.vocabulary.rules if stems <= set(rule.stems)]
        if not holding:
            return []
        telling = stems - GENERIC
        if not telling:
            # Only common words: they must stand together in the title, two of them at least.
            holding = [rule for rule in holding if len(stems) > 1]
            holding = [rule for rule in holding if _adjacent(stems, rule.stems)] or (
                holding if len(holding) < 4 else []
            )
        if types:
            narrowed = [rule for rule in holding if types & rule.types]
            if narrowed:
                holding = narrowed
            elif not any(
                around & set(rule.stems) & {s for t in types for s in stem(t.split()[-1].lower())} for rule in holding
            ):
                return []
        # Words that other marks took may single one out: "SSH open to the internet", not "SSH brute force".
        if any(word in around for word in ("internet", "open", "expose", "exposed", "world")):
            facing = [rule for rule in holding if {"internet", "public"} & set(rule.stems)]
            holding = facing or holding
        return holding

    def _absorb(self, found: Scan, chosen: list[Rule], first: int, flags: list[Mark], told: list[int]) -> None:
        """Words that belong to the rule's title are no filters of their own."""
        shared = set.intersection(*(set(rule.stems) for rule in chosen))
        every = set().union(*(rule.stems for rule in chosen))
        negative = all(rule.negative for rule in chosen)
        for mark in list(found.marks):
            words = [s for at in range(mark.start, mark.end) for s in stem(found.words[at].word)]
            if mark in flags and any(
                m.kind == "neg" and (0 <= mark.start - m.end <= 1 or 0 <= first - m.end <= 1) for m in found.marks
            ):
                continue  # "public buckets that are not exposed", "exposed but not public"
            near_it = any(abs(mark.start - at) <= 5 or abs(mark.end - at) <= 5 for at in told)
            if mark in flags and ({"internet", "public", "exposed"} & every) and near_it:
                found.marks.remove(mark)
            elif mark.dim == "resource_type" and set(words) & every and mark.kind in {"value", "family"}:
                asked = set(self._types(mark))
                if all(not rule.types or rule.types & asked for rule in chosen) or set(words) & shared:
                    mark.kind, mark.dim = "spoken", "resource_type"  # still says what is counted
            elif mark.kind in {"muted", "closed", "found"} and set(words) & every and near_it:
                found.marks.remove(mark)  # "accept TLS below 1.2"
            elif mark.kind == "neg" and negative and any(0 <= at - mark.end <= 3 for at in told):
                found.marks.remove(mark)
            elif mark.kind == "age" and any("old" in rule.stems for rule in chosen):
                days = f"{mark.data[1]:g}"
                if all(days in rule.stems for rule in chosen):
                    found.marks.remove(mark)
            elif (
                mark.kind in {"status", "ordinary", "filler"}
                and near_it
                and mark.kind == "status"
                and mark.values == ("open",)
            ):
                if {"internet", "public"} & every and any(f.start == mark.end or f.start == mark.start for f in flags):
                    found.marks.remove(mark)
            elif (mark.kind == "sensitive" and set(words) & every and near_it) or (
                mark.kind in {"number", "length"} and set(words) & every
            ):
                found.marks.remove(mark)
            elif mark.kind == "time" or mark is found.marks[-1]:
                continue
            elif (
                mark.kind in {"noun"}
                and set(words) & every
                and near_it
                and (mark.dim in {"account", "rule", "control", "region"} or "owner" in words)
            ):
                found.marks.remove(mark)


def _stems(word: str) -> list[str]:
    """The stems of a word and, where it has hyphens, of its parts."""
    whole = stem(word)
    if whole != (word,) or word.isalnum():
        return list(whole)
    return [s for part in words_of(word) for s in stem(part)]


def _adjacent(stems: set[str], title: tuple[str, ...]) -> bool:
    """Whether ``stems`` stand next to each other in ``title``."""
    size = len(stems)
    return any(set(title[n : n + size]) == stems for n in range(len(title) - size + 1))
