"""The embedded reader: a question in words to a typed query, without a model.

It answers only what it understood whole: a word that nothing explains makes it ask back or say that the data does not
hold it. Names are the company's own, a typing slip with one near match is taken for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise

from pydantic import ValidationError

from bot.ask import build, following, foreign, lexicon, refusals
from bot.ask.marks import Elsewhere, NotUnderstood
from bot.ask.parse import parse
from bot.ask.reading import Filter, Mark, Parsed, Reading, Span, Turn
from bot.ask.rules import Rules
from bot.ask.scan import Phrases, Scan, own, scan
from bot.ask.slips import Slips
from bot.ask.tokens import Token, tokens
from bot.ask.vocabulary import Vocabulary
from bot.domain import posture as p
from bot.domain.errors import BadInput

Lookup = Callable[[str], dict[str, set[str]]]  # a word -> what in the store has it as uid or resource
_FUTURE = re.compile(
    r"\b(?:will|going to|next (?:month|quarter|year)|in the future|by the end of|forecast|predict|expect)\b", re.I
)
_WHY = re.compile(
    r"^(?:but |and |so )?(?:why|how come|how do i|how can i|how should|how to|"
    r"who (?:is|was) (?:to blame|responsible for)|"
    r"whose fault|who should|should (?:i|we)|what should|what if|do you think|can you explain|"
    r"is it (?:true|ok|safe)|when will)\b",
    re.IGNORECASE,
)

# "… last week? list it": how the answer shall look, nothing asked before.
_FORM = re.compile(
    r"([?!.;:])\s*(?:(?:please|pls|and|then|so|just)\s+)*(list|show|name|count)\s+(?:it|them|those|these|'?em)"
    r"(?:\s+(?:please|pls|all))*\s*[.!?]*\s*$",
    re.IGNORECASE,
)
_PERSONS = frozenset(["he", "she", "him", "her", "his", "hers", "himself", "herself"])
_BEHIND_THAT = frozenset(["by", "per", "in", "for", "to", "as", "only", "with", "from", "on", "down", "up", "into"])
_ADVICE = re.compile(r"\b(?:should|shall) (?:i|we|they|you)\b|\bwhat can you do\b|\bwho are you\b", re.IGNORECASE)


class Reader:
    """Reads questions with one vocabulary; cheap to ask, dear to make (it indexes the names)."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._names: Phrases = own(vocabulary)
        self._rules = Rules(vocabulary)
        self._slips = Slips(vocabulary, self._names)

    def read(
        self, question: str, *, now: datetime, lookup: Lookup, team: str | None = None, before: Turn | None = None
    ) -> Reading:
        if refusals.secret(question) or refusals.order(question) or refusals.redefined(question):
            return Reading("refused", said="I only read and answer here; changes go through a card's buttons.")
        if asked := foreign.said(refusals.without_quotes(question)):
            return Reading("clarify", said=asked)
        question = _FORM.sub(r"\1 \2", question)
        text, steered = refusals.without_steering(question)
        if steered and not text.strip():
            return Reading("refused", said="That is no question about the findings.")
        words = _joined([t for t in tokens(text) if t.quoted or t.word not in {"?", "!", ".", "(", ")", ":"}])
        if not words:
            return Reading("clarify", said="What would you like to know?")
        if _WHY.match(text.strip()) or _ADVICE.search(refusals.without_quotes(text)):
            return Reading(
                "out_of_scope", said="I answer with numbers and lists of findings, not with reasons or advice."
            )
        try:
            found = self._scan(words, now, lookup)
            self._not_about_us(found, text)
            parsed = parse(found, self.vocabulary, team)
            parsed = self._turn(found, parsed, before)
            query = build.build(parsed, now)
        except NotUnderstood as asked:
            return Reading("clarify", said=str(asked))
        except Elsewhere as other:
            return Reading("out_of_scope", said=str(other))
        except (ValidationError, BadInput):
            return Reading("clarify", said="I cannot put these parts together. Please ask for one thing at a time.")
        return Reading("answered", query, parsed)

    # --- words

    def _scan(self, words: list[Token], now: datetime, lookup: Lookup) -> Scan:
        found = scan(words, self._names, now)
        self._look_up(found, lookup)
        self._rules.apply(found)
        if found.left and (mended := self._slips.mended(found)) is not None:
            found = scan(mended, self._names, now)
            self._look_up(found, lookup)
            self._rules.apply(found)
        found.marks.sort(key=lambda mark: mark.start)
        self._worst(found)
        return found

    def _worst(self, found: Scan) -> None:
        """``the worst SLA rate``: of what follows, not of what was asked before."""
        for mark, after in pairwise(found.marks):
            led = after.start == mark.end and after.kind in {"measure", "noun", "value", "status"}
            if mark.kind == "that" and led and mark.said.lower() == "the worst":
                mark.kind, mark.start = "most", mark.end - 1

    def _look_up(self, found: Scan, lookup: Lookup) -> None:
        """Uids and names of resources, which are too many to hold."""
        left = []
        for at in found.left:
            token = found.words[at]
            named = token.quoted or re.search(r"[\d_:/-]", token.word) is not None
            hits = lookup(token.raw) if named and len(token.word) > 2 else {}
            if uids := hits.get("uid"):
                found.marks.append(Mark("uid", at, at + 1, "uid", tuple(sorted(uids)), said=token.raw))
            elif names := hits.get("resource"):
                found.marks.append(Mark("value", at, at + 1, "resource", tuple(sorted(names)), said=token.raw))
            else:
                left.append(at)
        for mark in [m for m in found.marks if m.kind == "number" and len(found.words[m.start].word) > 3]:
            before = found.words[mark.start - 1].word if mark.start else ""
            named = before in {"finding", "issue", "alert", "uid", "id", "about", "is"}
            if (named or len(found.words[mark.start].word) > 4) and (
                uids := lookup(found.words[mark.start].raw).get("uid")
            ):
                mark.kind, mark.dim, mark.values = "uid", "uid", tuple(sorted(uids))
        found.left = left
        # A name in quotes or beside "finding" that nothing has is asked back, never answered with nothing.
        for at in left:
            token = found.words[at]
            if token.quoted:
                found.unknown.append(("name", token.raw))
            elif at and found.words[at - 1].word in {"finding", "uid"} and re.search(r"\d", token.word):
                found.unknown.append(("finding", token.raw))

    # --- unknown words

    def _not_about_us(self, found: Scan, text: str) -> None:
        """What stays unexplained decides: a name that does not exist is asked back, another subject is not ours."""
        for what, said in found.unknown:
            if what == "finding":
                raise NotUnderstood(f"I know no finding {said}.")
            if any(found.words[at].raw == said for at in found.left):
                raise NotUnderstood(f"I know nothing called “{said}”.")
        if any(token.word in _PERSONS and not token.quoted for token in found.words):
            raise NotUnderstood("Whose findings do you mean? Please name the team.")
        if any(token.word in lexicon.ELSEWHERE and not token.quoted for token in found.words) and any(
            found.words[at].word in lexicon.ELSEWHERE for at in found.left
        ):
            raise Elsewhere("That is not in the findings.")
        ahead = next((m for m in found.marks if m.kind == "ahead"), None)
        plain = next((m for m in found.marks if m.kind == "due"), None)
        if plain is not None and any(m.kind == "uid" for m in found.marks):
            found.marks.remove(plain)  # "when is X due?"
            plain = None
        if ahead is not None and plain is not None:
            plain.kind, plain.dim, plain.data = "due_in", "due_in_days", ahead.data
            found.marks.remove(ahead)
        elif ahead is not None:
            raise Elsewhere("I answer what is and what was, not what will be.")
        due = any(m.kind in {"due", "due_in", "due_at"} for m in found.marks)
        if _FUTURE.search(refusals.without_quotes(text)) and not due:
            raise Elsewhere("I answer what is and what was, not what will be.")
        if plain is not None and plain.kind == "due":
            raise NotUnderstood("Due when? Say “due in the next 7 days”, or “overdue”.")
        for at in found.left:
            token = found.words[at]
            before = [found.words[n].word for n in range(max(0, at - 3), at)]
            after = found.words[at + 1].word if at + 1 < len(found.words) else ""
            kinds = {
                "team": "team",
                "teams": "team",
                "squad": "team",
                "account": "account",
                "accounts": "account",
                "app": "app",
                "application": "app",
                "subscription": "account",
                "project": "account",
                "region": "region",
                "environment": "env",
                "product": "product",
                "scanner": "product",
                "tool": "product",
            }
            slot = next((kinds[w] for w in reversed(before) if w in kinds), "") or kinds.get(after, "")
            owned = " ".join(before).endswith(
                ("owned by", "belong to", "belongs to", "belonging to", "assigned to", "by team")
            )
            if slot or owned or token.possessive:
                dimension = slot or "team"
                names = sorted(set(self.vocabulary.values.get(dimension, {}).values()))
                known = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
                where = {"env": "environment"}.get(dimension, dimension)
                raise NotUnderstood(f"I know no {where} “{token.raw}”. There are: {known}.")
            if token.word == "untagged":
                raise NotUnderstood("Untagged with what? Say no owner, no app, no environment, no data class.")
            if re.search(r"[-_\d]", token.word) and len(token.word) > 3:
                raise NotUnderstood(f"I know nothing called “{token.raw}”.")
        if found.left:
            said = ", ".join(f"“{found.words[at].raw}”" for at in found.left[:4])
            raise Elsewhere(f"I cannot tell what {said} means in the findings.")

    # --- conversations

    def _turn(self, found: Scan, parsed: Parsed, before: Turn | None) -> Parsed:
        marks = found.marks
        pointing = [m for m in marks if m.kind in {"those", "that"} and self._points(found, m)]
        if (there := following.there(found)) is not None:
            pointing.append(there)
        lead = marks[0] if marks and marks[0].start == 0 else None
        leads = lead is not None and (
            lead.kind in {"follow", "and", "or"} or lead.said.lower() in {"and", "only", "just", "what about"}
        )
        whole = self._whole(found, parsed)
        if before is None:
            if parsed.measure in {"median", "average"}:
                raise NotUnderstood("The average of what? I know the average age and the mean time to fix.")
            if parsed.length is not None:
                raise NotUnderstood("What shall be that long: open, or overdue?")
            if pointing:
                raise NotUnderstood("Which ones? Nothing was asked before.")
            if leads and not whole:
                raise NotUnderstood("That goes on from something, but nothing was asked before.")
            if not marks or not self._asks(parsed, found):
                raise NotUnderstood("What would you like to know of the findings?")
            return parsed
        if not pointing and whole and parsed.length is None and not (leads and not self._complete(found)):
            return parsed
        if before.missed and (pointing or before.missed == "out_of_scope"):
            raise NotUnderstood("I did not answer the question before, so what do you refer to? Please ask in full.")
        return self._merged(found, parsed, before, pointing)

    def _points(self, found: Scan, mark: Mark) -> bool:
        """Whether the word points back, and is not a relative or expletive one."""
        word = found.words[mark.start].word
        after = found.words[mark.end].word if mark.end < len(found.words) else ""
        before = found.words[mark.start - 1].word if mark.start else ""
        if mark.kind == "that" and mark.dim:
            return True
        if mark.kind == "that":
            return mark.end - mark.start > 1 or after == ""
        if word == "that":
            return after == "" or (
                before in {"is", "of", "list", "from", "split", "break", "show", "down", "up", "out"}
                and after in _BEHIND_THAT
            )
        if word in {"those", "these"} and after in {
            "of",
            "in",
            "with",
            "from",
            "owned",
            "belonging",
            "that",
            "which",
            "on",
            "without",
            "reported",
            "for",
        }:
            return before != "than" and found.words[mark.start - 1].word not in {"of"} and not self._named(found, mark)
        if word in {"it", "its"} and any(m.kind == "uid" and m.end <= mark.start for m in found.marks):
            return False  # the finding that the question itself names
        if word in {"it", "its"} and any(
            m.start == 0 and m.dim in {"cve", "rule", "package"} and m.end <= mark.start <= m.end + 4
            for m in found.marks
        ):
            return False  # "CVE-…: where is it open?"
        if word == "it":
            return after == "" or before in {"is", "of", "list", "split", "break", "show", "about", "down", "up", "out"}
        if word in {"ones", "the"} and mark.said.lower() in {"ones", "the ones"}:
            return not self._named(found, mark) and not any(m.kind in {"how"} for m in found.marks)
        if word in {"they", "them", "their"}:
            return not self._named(found, mark)
        return True

    def _named(self, found: Scan, mark: Mark) -> bool:
        """Whether the question itself names what the word stands for."""
        return any(
            m.end <= mark.start
            and (
                m.kind in {"family", "rule", "spoken"}
                or (m.kind == "noun" and m.dim in {"finding", "problem", "resource"})
                or m.dim in {"type", "severity", "resource_type"}
                or (m.kind == "noun" and found.words[mark.start].word == "their")
            )
            for m in found.marks
        )

    def _whole(self, found: Scan, parsed: Parsed) -> bool:
        """A question that stands alone: it says what is asked and of what."""
        asks = any(
            m.kind
            in {"how", "list", "which", "exists", "measure", "percent", "trend", "who", "compare", "net", "split"}
            for m in found.marks
        )
        thing = any(m.kind in {"noun", "family", "uid", "rule", "spoken"} for m in found.marks) or any(
            f.key in {"severity", "type", "resource_type", "cve", "rule"} for f in parsed.filters
        )
        return bool(parsed.kind == "detail" or (thing and (asks or len(found.words) > 4)) or parsed.sides)

    def _complete(self, found: Scan) -> bool:
        """A whole question in spite of a leading "and": it has its own asking and its own noun."""
        first = found.marks[1] if len(found.marks) > 1 else None
        return (
            first is not None
            and first.kind in {"how", "list", "which", "exists", "measure"}
            and any(m.kind == "noun" and m.dim == "finding" for m in found.marks)
            and len(found.words) > 7
        )

    def _asks(self, parsed: Parsed, found: Scan) -> bool:
        said = (
            parsed.filters or parsed.spans or parsed.status or parsed.by or parsed.measure or parsed.sides or parsed.uid
        )
        return bool(said) or any(m.kind in {"noun", "family", "spoken"} for m in found.marks)

    def _merged(self, found: Scan, new: Parsed, before: Turn, pointing: list[Mark]) -> Parsed:
        old = before.parsed.copy()
        if old.kind == "detail" and not new.kind:
            raise NotUnderstood("Ask me anew, please: I am not sure what you refer to.")
        merged = old
        part, old_part = old.copy().part, old.copy().part
        for mark in pointing:
            if mark.kind == "there" and following.placed(old, before):
                continue
            if mark.kind == "there" or (mark.kind == "that" and (mark.dim or before.by)):
                dimension = mark.dim or before.by
                if before.first is None or before.by != dimension:
                    raise NotUnderstood(f"Which {dimension}? The answer before named none.")
                merged.filters = [f for f in merged.filters if f.key != dimension]
                merged.filters.append(Filter(dimension, p.In(field=dimension, values=(before.first,)), (before.first,)))
                merged.by, merged.limit, merged.order = "", 0, ""
                if merged.kind == "breakdown" and not new.kind:
                    merged.kind = "list"
        if part is not None and new.part is None:
            merged.part, new = following.shared(part, old, new, found)
        replaced = {f.key for f in new.filters}
        if new.sides and not old.sides:
            merged.sides = new.sides
        merged.filters = [f for f in merged.filters if f.key not in replaced] + new.filters
        if new.status:
            merged.status = list(new.status)
        if replaced & {"overdue", "overdue_days", "due_in"} and not new.status:
            merged.filters = [
                f for f in merged.filters if f.key in replaced or f.key not in {"overdue", "overdue_days", "due_in"}
            ]
        if new.spans:
            verb = new.spans[0].verb or (old.spans[0].verb if old.spans else "") or self._verb(old)
            merged.spans = [Span(s.window, s.verb or verb) for s in new.spans]
            if verb in {"closed", "muted"} and merged.status == [{"closed": "resolved", "muted": "suppressed"}[verb]]:
                merged.status = []
        elif (
            old.spans
            and any(s in {"resolved", "suppressed", "new"} for s in new.status)
            and old.spans[0].verb in {"found", "closed", "muted"}
        ):
            verb = {"resolved": "closed", "suppressed": "muted", "new": "found"}[new.status[0]]
            merged.spans = [Span(s.window, verb) for s in old.spans]
            merged.status = []
        if new.length is not None:
            self._longer(merged, new.length)
        if new.measure in {"median", "average"}:
            new.measure = self._middle(old.measure, new.measure)
        for name in ("step", "measure", "of"):
            value = getattr(new, name)
            if value and not (name == "of" and value == "finding"):
                setattr(merged, name, value)
        if new.by:
            merged.by, merged.order, merged.limit = new.by, new.order, new.limit
            merged.kind = "breakdown"
            merged.sides = []
        elif new.kind and new.kind != "compare":
            self._turn_kind(merged, new, found)
        elif new.order or new.limit:
            merged.order, merged.limit = new.order or merged.order, new.limit or merged.limit
            merged.kind = merged.kind if merged.by else "list"
        if new.sides:
            merged.kind, merged.sides = "compare", new.sides
        if new.part is not None:
            merged.part, merged.kind, merged.measure = new.part, "stat", "percent"
        if (
            not new.filters
            and not new.spans
            and not new.status
            and not new.kind
            and not new.by
            and not new.order
            and new.length is None
            and not pointing
            and merged.part == old_part
        ):
            raise NotUnderstood("I am not sure what you ask. Please say it in full.")
        return merged

    def _longer(self, merged: Parsed, length: tuple[str, float]) -> None:
        """``by more than 30 days?`` after overdue ones, ``more than 60 days?`` after old ones."""
        keys = {f.key for f in merged.filters}
        field = next((k for k in ("overdue_days", "age_days", "due_in") if k in keys), "")
        if not field and "overdue" in keys:
            field = "overdue_days"
        if not field:
            raise NotUnderstood("How long what: open, or overdue?")
        op, days = length
        if field == "due_in":
            condition = p.Compare(op="le", field="due_in_days", value=days)
        else:
            condition = p.Compare.model_validate({"op": op or "gt", "field": field, "value": days})
        merged.filters = [f for f in merged.filters if f.key not in {field, "overdue"}]
        merged.filters.append(Filter(field, condition))

    def _middle(self, old: str, new: str) -> str:
        """``and the median?`` after a mean: of the same."""
        if old in {"mttr", "median_ttr"}:
            return "median_ttr" if new == "median" else "mttr"
        if old in {"avg_age", "median_age", "oldest_age"}:
            return "median_age" if new == "median" else "avg_age"
        raise NotUnderstood("The average of what? I know the average age and the mean time to fix.")

    def _verb(self, old: Parsed) -> str:
        return {"resolved": "closed", "suppressed": "muted"}.get(old.status[0], "") if old.status else ""

    def _turn_kind(self, merged: Parsed, new: Parsed, found: Scan) -> None:
        if (
            new.kind == "list"
            and merged.kind in {"breakdown", "trend", "compare"}
            and not any(m.kind in {"list", "which", "those"} for m in found.marks)
        ):
            return
        if new.kind in {"list", "count"}:
            merged.by, merged.step, merged.measure = "", "", ""
            merged.order, merged.limit = new.order, new.limit
            merged.sides = []
            if new.kind == "count":
                merged.of = new.of if new.of != "finding" else (merged.of if merged.kind == "count" else "")
        if new.kind == "list":
            merged.of = ""
        if new.kind == "trend":
            merged.by, merged.status = "", [s for s in merged.status if s != "open"]
        merged.kind = new.kind


def _joined(words: list[Token]) -> list[Token]:
    """``all ports`` is one word here: it is no "all" of findings."""
    found: list[Token] = []
    for token in words:
        last = found[-1].word if found and not found[-1].quoted else ""
        if token.word in {"ports", "port"} and last in {"all", "any", "every"}:
            found[-1] = Token("allports", f"{found[-1].raw} {token.raw}")
        else:
            found.append(token)
    return found
