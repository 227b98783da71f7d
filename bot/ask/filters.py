"""What narrows: values of a kind, flags, ages, scores, negated or not, joined by "or" or not."""

from __future__ import annotations

from bot.ask import lexicon
from bot.ask.marks import FILTERS, LACKED, STATES, Elsewhere, Marks, NotUnderstood
from bot.ask.reading import Filter, Mark
from bot.domain import posture as p

_TOGETHER = "I am not sure which of these go together. Please ask for one after the other."
_CROSSABLE = frozenset(["env", "provider", "account", "team", "severity", "type", "app"])


_SINGLE = frozenset(["cve", "rule", "package", "requirement", "product"])  # a finding has one of them


class Filters(Marks):
    def _negations(self) -> None:
        marks = self.marks
        for n, mark in enumerate(marks):
            if mark.kind != "neg":
                continue
            if self._word(mark.start) == "minus" and any(m.kind == "net" for m in marks):
                continue
            both = self._word(mark.start) in {"neither"}
            if n and marks[n - 1].kind == "neg" and marks[n - 1].end == mark.start and self._word(mark.start) == "not":
                raise NotUnderstood("Twice “not”? Please say it another way.")
            self._has_none(mark, n)
            if self._lacks(mark, n):
                continue
            last = mark
            key = ""
            hit = False
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
                if other.kind not in FILTERS and other.kind not in STATES and other.kind not in {"mine", "new"}:
                    break
                if key and not both and (other.key != key or last.kind not in {"and", "or"}):
                    break
                if key and both and last.kind not in {"and", "or", "neg"}:
                    break  # "neither critical nor high, on exposed machines"
                other.negated = hit = True
                key = other.key
                last = other
                if self._word(mark.start) in {"no", "non"} and not both:
                    break
            if not hit and not self._led_by_neg(mark, n):
                raise NotUnderstood(f"What does “{mark.said}” leave out here? Please say it another way.")

    def _led_by_neg(self, mark: Mark, n: int) -> bool:
        """``not … nor``: the second one went on from the first."""
        return any(m.kind == "neg" for m in self.marks[:n]) and self._word(mark.start) in {"nor", "not", "no"}

    def _lacks(self, mark: Mark, n: int) -> bool:
        """``no environment``, ``lack a data class``: the value is missing."""
        said = {self._word(at) for at in range(mark.start, mark.end)}
        before = self.marks[n - 1] if n else None
        if (
            said & {"missing", "empty", "set", "unset", "null", "unknown"}
            and before is not None
            and before.kind == "noun"
            and before.dim in LACKED
        ):
            before.kind, mark.kind = "missing", "filler"  # "where env is missing"
            return True
        gap = {self._word(at) for at in range(mark.end, mark.end + 3)}
        if not said & {"no", "without", "lack", "lacks", "lacking", "missing", "never"} and not (
            "not" in said and gap & {"have", "has", "carry", "carries"}
        ):
            return False
        noun = next((m for m in self.marks[n + 1 :] if m.kind not in {"exists", "filler", "dedupe"}), None)
        if noun is None or noun.kind != "noun" or noun.start - mark.end > 3 or noun.dim not in LACKED:
            return False
        noun.kind = "missing"
        return True

    def _has_none(self, mark: Mark, n: int) -> None:
        """``teams with no open criticals``: who has none is not in what is stored, so it is asked back."""
        had = self._word(mark.end - 1) == "not" and self._word(mark.end) in {
            "have",
            "has",
            "own",
            "owns",
            "show",
            "contain",
        }
        if not had and self._word(mark.end - 1) not in {"no", "without", "lack", "lacks", "lacking", "nothing"}:
            return
        named = [
            m for m in self.marks[:n] if m.kind in {"family", "spoken", "noun"} or m.dim in {"resource_type", "type"}
        ]
        things = bool(named) and (
            named[-1].kind in {"family", "spoken"}
            or (named[-1].kind == "noun" and named[-1].dim not in {"finding", "problem", "cve"})
            or named[-1].dim == "resource_type"
        )
        if not things and self._word(mark.end - 1) in {"without", "lacking"}:
            return  # findings without lows: all but those
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

    def _filters(self, marks: list[Mark]) -> list[Filter]:
        found: list[Filter] = []
        last: Mark | None = None
        for mark in marks:
            if mark.kind == "mine":
                made = self._mine(mark)
            elif mark.kind in FILTERS:
                made = self._filter(mark)
            else:
                continue
            self._take(mark)
            for one in made:
                self._join(found, one, last, mark)
            last = mark
        return found

    def _join(self, found: list[Filter], one: Filter, last: Mark | None, mark: Mark) -> None:
        joins = (
            {m.kind for m in self._between(last, mark) if self._word(m.start) != "either"}
            if last is not None
            else set()
        )
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
            raise NotUnderstood(_TOGETHER)
        again = same is not None and bool(one.values) and set(one.values) < set(same.values)
        if same is not None and again and not one.negated and same.key in _CROSSABLE and found[-1] is not same:
            raise NotUnderstood(_TOGETHER)  # "of payments and growth, only criticals for growth"
        if same is not None and one.key in {"framework", "requirement"} and self._both(mark) and not one.negated:
            same = None  # a finding can count under both
        on_one = one.key == "type" and any(m.kind == "family" or m.dim == "resource_type" for m in self.marks)
        if same is not None and self._both(mark) and (one.key in _SINGLE or on_one):
            raise NotUnderstood("On the same thing at once? I can only take both together. Please ask one by one.")
        if same is not None and isinstance(same.condition, p.In | p.Not) and one.values and same.values:
            values = tuple(dict.fromkeys((*same.values, *one.values)))
            made: p.Condition = p.In(field=one.key, values=values)
            same.values, same.condition = values, p.Not(of=(made,)) if one.negated else made
            same.said = f"{same.said}, {one.said}"
            return
        one.either = "or" in joins and tight and bool(found) and not one.negated and not found[-1].negated
        found.append(one)

    def _both(self, mark: Mark) -> bool:
        """``both PCI DSS and HIPAA``."""
        before = {self._word(at) for at in range(max(0, mark.start - 6), mark.start)}
        return "both" in before and "and" in before

    def _crossed(self, found: list[Filter], same: Filter, mark: Mark) -> bool:
        """``criticals in prod and highs in dev``: two values of one kind with something else between them."""
        position = next(n for n, each in enumerate(found) if each is same)
        between = [f for f in found[position + 1 :] if f.values and f.key in _CROSSABLE]
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
            case "present":
                condition, values = p.Not(of=(p.Missing(field=mark.dim),)), ()
            case "overdue":
                condition = p.Is(field="overdue")
            case "late" | "intime" if mark.negated and not self._closing():
                raise NotUnderstood("Of what was fixed, what was not late? Say “fixed in time”, or “open”.")
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
            condition = p.Missing(field=mark.dim) if mark.kind == "present" else p.Not(of=(condition,))
        if mark.kind in {"flag", "missing", "present", "overdue", "late", "intime", "notenv"}:
            values = ()
        dim = "resource_type" if mark.kind == "family" else "data_class" if mark.kind == "sensitive" else mark.dim
        key = dim or mark.kind
        return [*extra, Filter(key, condition, values, mark.negated, said=mark.said)]

    def _closing(self) -> bool:
        return any(m.kind in {"closed", "time"} for m in self.marks)

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
