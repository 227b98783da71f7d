"""Where findings stand, and what happened when."""

from __future__ import annotations

from bot.ask.filters import Filters
from bot.ask.marks import GROUPS, NotUnderstood
from bot.ask.reading import Filter, Mark, Parsed, Span
from bot.domain import posture as p

_STILL = frozenset(["still", "remain", "remains", "left", "linger", "lingering", "lingers", "pending", "outlasted"])
# Verbs that say neither that findings were found nor that they were closed.
_VAGUE = frozenset(
    ["handle", "handled", "handling", "worked", "working", "touched", "tracked", "monitored", "confirmed", "verified",
     "failed", "failing", "covered", "involved", "allowed", "permitted", "expected", "kept", "faced", "checked"]
)  # fmt: skip


_FIXING = frozenset(["mttr", "median_ttr", "sla_rate"])


class States(Filters):
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
        settled = any(m.kind == "status" or (m.kind in {"closed", "muted"} and not m.negated) for m in self.marks)
        remain = any(self._word(at) in _STILL for at in range(len(self.words)))
        if timed and remain and not settled and not self.out.status and self.out.part is None:
            self.out.status.append("open")  # "found in October and still around": of those, the ones that are open

    def _beside(self, one: Mark, other: Mark) -> bool:
        """``found and fixed``: two verbs with nothing but "and" between them."""
        if one.kind not in {"found", "closed", "muted", "new"}:
            return False
        low, high = sorted((one, other), key=lambda m: m.start)
        return [m.kind for m in self._between(low, high)] == ["and"] and high.start - low.end <= 3

    def _netted(self) -> bool:
        return any(m.kind in {"net", "change"} for m in self.marks)

    def _contradiction(self) -> None:
        """``suppressed and open``: no finding is both, and both together is another way to say it."""
        for part in (self.out, *([self.out.part] if self.out.part else [])):
            self._contradicted(set(part.status))

    def _contradicted(self, said: set[str]) -> None:
        if "open" in said and said & {"resolved", "suppressed"} and not any(m.kind == "or" for m in self.marks):
            raise NotUnderstood("No finding is open and closed at once. Which shall I count?")

    def _any(self, mark: Mark) -> None:
        """``all`` is about the status unless it is about something else: all teams, all S3 buckets of one account."""
        after = next((m for m in self.marks if m.start >= mark.end), None)
        word = self._word(mark.start)
        if word == "all" and mark.end - mark.start == 1:
            if (
                after is not None
                and after.kind == "noun"
                and after.dim in GROUPS
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
            if word == "open" and self._word(mark.end) == "to":
                raise NotUnderstood("Not open to what, or no longer open? Please say it another way.")
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
            if verbs and any(side[2] for side in self.out.sides):
                # "did we close more this month than last month"
                kind = verbs[0].kind
                self.out.verb = {"new": "found", "late": "closed", "intime": "closed"}.get(kind, kind)
                if self.out.verb == "muted" or self.out.verb == "closed":
                    done = {"closed": "resolved", "muted": "suppressed"}[self.out.verb]
                    self.out.status = [s for s in self.out.status if s != done]
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
            agent = verb is not None and (self._word(verb.end) == "by" or self._named_agent(verb))
            if name == "found" and agent and any(m.kind == "measure" and m.values[0] in _FIXING for m in self.marks):
                raise NotUnderstood(f"Resolved in {mark.data.said}, or reported then? Please say which.")
            if verb is not None and verb.negated and name in {"closed", "muted"} and not self._netted():
                if verb.end <= mark.start:
                    raise NotUnderstood("Not closed at all, or closed at another time? Please say it another way.")
                name = ""
                self.out.status.append("open")
            vague = [self._word(at) for at in range(max(0, mark.start - 4), mark.start) if self._word(at) in _VAGUE]
            if not name and vague:
                raise NotUnderstood(f"Does “{vague[-1]}” mean found, or closed? Please say which.")
            unsettled = [m for m in statuses if m.end == mark.start and self._word(m.start) == "not"]
            if not name and unsettled:
                raise NotUnderstood(f"“{unsettled[0].said}” then or now? Say “found {mark.data.said} and still open”.")
            if not name and self._past_tense() and not statuses and not self._netted() and not self.out.sides:
                raise NotUnderstood(f"Found in {mark.data.said}, closed then, or open at its end? Please say which.")
            led = next((m for m in self.marks if m.end == mark.start and m.kind in {"status", "overdue"}), None)
            if not name and led is not None and self._word(mark.start) == "since":
                raise NotUnderstood(f"“{led.said} since”: found since then, or before it and {led.said} all the time?")
            then = any(m.kind in {"overdue", "overdue_by", "due_in", "age"} for m in self.marks)
            if not name and then and self._past_tense() and not self._netted():
                raise NotUnderstood("I know what is overdue now, not what was then. Found in that time, or closed?")
            if not name and self._netted():
                name = "found"  # both ways are counted
            at_end = mark.data.start == mark.data.end
            if name == "found" and at_end and any(m.values == ("open",) for m in statuses):
                name = "open"  # "reported by Wiz and open at the end of October"
            if not name and statuses and mark.data.day and "open" in self.out.status:
                if any(m.kind == "endofday" for m in self.marks):
                    name = "open"
                elif self._word(mark.start) == "on" and not self._past_tense():
                    raise NotUnderstood(f"Open at the end of {mark.data.said}, or found then and still open?")
            if not name and (at_end or (statuses and self._past_tense())):
                name = "open"
            if name != "open" and mark.data.start == mark.data.end:
                raise NotUnderstood(f"{mark.data.said} is a moment. Which days do you mean?")
            if not name and statuses and self._word(mark.start) == "today" and "open" in self.out.status:
                continue  # open today: now
            if name == "open" and not (mark.data.day or mark.data.start == mark.data.end):
                raise NotUnderstood(f"Open at which time of {mark.data.said}? Say “at the end of …”.")
            self.out.spans.append(Span(mark.data, name))
            if verb is not None and name in {"found", "closed", "muted"}:
                for other in verbs:
                    if other not in used and other.kind != verb.kind and self._beside(other, verb):
                        used.append(other)  # "did we find and fix this month"
                        self.out.spans.append(Span(mark.data, {"new": "found"}.get(other.kind, other.kind)))
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

    def _named_agent(self, verb: Mark) -> bool:
        """``that Wiz reports``: who, not when."""
        return any(m.kind == "product" and m.end == verb.start for m in self.marks)

    def _past_tense(self) -> bool:
        return any(self._word(at) in {"were", "was"} for at in range(len(self.words))) or any(
            self._word(at) == "as" and self._word(at + 1) == "of" for at in range(len(self.words))
        )
