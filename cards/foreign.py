"""Text from outside made harmless for Slack: shown as it is, never acted upon. Pure.

What Slack would turn into something else is replaced by a look-alike, never by an invisible character: those are
dropped, since they hide and reorder. ``<`` and ``&`` are escaped by ``escape``; the rest is here.
"""

from __future__ import annotations

import re

# C0/C1 controls (line breaks are handled apart), bidirectional marks, overrides and isolates, zero-width and tag
# characters, fillers, line/paragraph separators, lone surrogates and non-characters.
UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000e0fff]"
)
# An emoji code is a name between colons; custom names may be of any letters.
EMOJI_CODE = re.compile(r":(?=[^\s:]{1,100}:)")
OURS = re.compile(
    r"(<[^<>\n]*>|`[^`\n]*`)"
)  # in finished mrkdwn: a mention, a date, or code, where nothing is formatted
_EDGE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")  # inside a word Slack leaves it alone
_QUOTE = re.compile(r"^(\s*)&gt;", re.M)
_EMPHASIS = str.maketrans({"*": "∗", "~": "∼", "`": "'"})


def clean(text: str, *, lines: bool = True) -> str:
    """Without what could hide, reorder or break a text; line breaks kept only where ``lines``."""
    text = text[:50_000].replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    text = UNSAFE.sub("", text)
    if not lines:
        return " ".join(text.split())
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def plain_emphasis(text: str) -> str:
    """No bold, italic, struck or code: a source's Markdown is not ours. Doubled stars go, they are emphasis only."""
    return _EDGE.sub("ˍ", text.replace("**", "").translate(_EMPHASIS))


def no_emoji_codes(text: str) -> str:
    """``:lock:`` stays those six characters to the eye."""
    before = ""
    while before != text:
        before, text = text, EMOJI_CODE.sub("∶", text)
    return text


_LINKS = re.compile(r"://|(?<=\w)\.(?=[A-Za-z]{2})")
_MARKDOWN = str.maketrans(
    {"<": "‹", ">": "›", "&": "＆", "[": "［", "]": "］", "|": "¦", "\\": "⧵", "#": "＃", "!": "！", "@": "＠"}
)


def streamed(text: str) -> str:
    """For streamed text, which Slack reads as Markdown and links by itself: nothing in it is markup, a link, a mention
    or an emoji. Look-alikes stand for what would be."""
    text = plain_emphasis(clean(text, lines=False)).translate(_MARKDOWN)
    return no_emoji_codes(_LINKS.sub(lambda found: "∶//" if len(found[0]) > 1 else "․", text))


def settled(text: str) -> str:
    """The last pass over finished mrkdwn: no emoji codes, also none put together of two spans, and no quotes."""
    parts = OURS.split(text)
    parts[::2] = [no_emoji_codes(part) for part in parts[::2]]
    return _QUOTE.sub(r"\1›", "".join(parts))
