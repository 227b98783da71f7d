"""Text in a question that no asker typed as part of it: markup of documents, hidden and look-alike letters.

A question is plain words. What was pasted along must not act as a filter, so it is asked back; names in quotes are
names, whatever they hold.
"""

from __future__ import annotations

import re
import unicodedata

# Headings, rules of a line, fences, tables, quotes, strike-through, comments: a document, not a question.
_MARKUP = re.compile(
    r"^[ \t]{0,3}#{2,6}\s|\n[ \t]{0,3}#\s|^[ \t]{0,3}#\s[^\n]*\n|"
    r"^[ \t]*(?:-{3,}|\.{3,}|\*{3,}|={3,}|_{3,})[ \t]*$|^[ \t]*>|^[ \t]*\|.*\|[ \t]*$|"
    r"```|~~|<!--|-->",
    re.MULTILINE,
)
_PLAIN = frozenset("\t\n\r\u00ad\u200b\u200c\u200d\ufeff\ufe0f\u202f")  # what editors and phones leave in typed text
_JOINED = frozenset("ﬀﬁﬂﬃﬄﬅﬆªº")  # what fonts and PDFs make of typed letters


def said(text: str) -> str:
    """Why ``text`` cannot be read as plain words; "" when it can."""
    if _MARKUP.search(text):
        return "There is markup in the question. Please ask in plain words."
    for char in text:
        if char.isascii() and char.isprintable():
            continue
        if char in _PLAIN or char in _JOINED:
            continue
        if unicodedata.category(char) in {"Cc", "Cf", "Co", "Cn"}:
            return "There are hidden characters in the question. Please ask in plain words."
        plain = unicodedata.normalize("NFKC", char)
        if plain != char and plain.isascii() and plain.isalpha():
            return "There are look-alike letters in the question. Please ask in plain words."
    return ""


def is_link(word: str) -> bool:
    """Whether one word is an address: a name as a whole, whose parts say nothing."""
    return "://" in word or re.fullmatch(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", word) is not None
