"""What a follow-up refers to: a place, a part of a percentage, or nothing any more."""

from __future__ import annotations

from dataclasses import replace

from bot.ask.marks import NotUnderstood
from bot.ask.reading import Mark, Parsed, Turn
from bot.ask.scan import Scan
from bot.ask.tokens import tokens

_THERE_IS = frozenset(["is", "are", "was", "were", "be", "been", "has", "have", "had", "exist", "exists", "any"])
_IS_THERE = frozenset(["is", "are", "was", "were", "be", "been"])
_SOMEWHERE = frozenset(["region", "account", "env", "provider", "team", "app"])
_YES_OR_NO = frozenset(["exposed", "kev", "exploitable", "fixable", "overdue"])
_REFERS = frozenset(["those", "these", "them", "they", "their", "it", "its", "that", "ones"])
_WANTED = frozenset(["how", "list", "which", "those", "who"])


def missed(before: Turn, question: str, outcome: str) -> Turn:
    """The turn before, after a question that got no answer. Who says "those" there still means that turn."""
    referred = {token.word for token in tokens(question)} & _REFERS
    return before if referred else replace(before, missed=outcome)


def there(found: Scan) -> Mark | None:
    """The word "there" where it means a place."""
    covered = {at for m in found.marks for at in range(m.start, m.end)}
    for at, token in enumerate(found.words):
        before = found.words[at - 1].word if at else ""
        after = found.words[at + 1].word if at + 1 < len(found.words) else ""
        said = token.word == "there" and not token.quoted and at not in covered
        if said and before not in _IS_THERE | {"hi", "hello", "hey", "out"} and after not in _THERE_IS:
            return Mark("there", at, at + 1)
    return None


def placed(old: Parsed, before: Turn) -> bool:
    """Whether "there" is what the turn before narrowed to; else the top one of its ranking; else nowhere."""
    if old.by in _SOMEWHERE and old.order and old.limit < 2 and before.first is not None:
        return False
    if any(f.key in _SOMEWHERE and not f.negated for f in old.filters):
        return True
    if not old.by and before.by in _SOMEWHERE and before.first is not None:
        return False
    raise NotUnderstood("Where? Please name the region, the account, the team …")


def shared(part: Parsed, old: Parsed, new: Parsed, found: Scan) -> tuple[Parsed, Parsed]:
    """A follow-up of a percentage: what was said of the part is replaced in the part, the rest in the whole."""
    if new.kind in {"list", "count"} and any(m.kind in _WANTED for m in found.marks):
        raise NotUnderstood("All of them, or the part in percent? Please ask in full.")
    mine, whole = {f.key for f in part.filters}, {f.key for f in old.filters}
    words = {token.word for token in found.words}
    told = {f.key for f in new.filters}
    either = told and told <= _YES_OR_NO and mine & _YES_OR_NO and not told & (mine | whole)
    if either and not words & {"only", "just", "among", "of", "ones"}:
        raise NotUnderstood("What percentage of which? Please say it in full: “what percentage of … is …”.")
    changed = {f.key for f in new.filters if f.key in mine}
    part.filters = [f for f in part.filters if f.key not in changed]
    part.filters += [f for f in new.filters if f.key in changed]
    new = new.copy()
    new.filters = [f for f in new.filters if f.key not in changed or f.key in whole]
    if part.status and new.status and not old.status:
        part.status, new.status = new.status, []
    return part, new
