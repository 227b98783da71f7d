"""Text from outside is shown and never acted upon: no mention, link, date, emoji, quote or emphasis out of data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.domain.views import DelegationLine, FactLine, Notice, PersonRef, WhyView
from cards import blockkit, build
from cards.lint import problems
from cards.model import Card, Code, Section, Strong

from .test_cards import ALICE, NOW, every_payload, request

# Independent of the renderer's own expressions.
MENTION, DATE, CODE = r"<@[^<>]*>", r"<!date\^(\d+)\^[^<>]*>", r"`[^`\n]+`"
EMOJI = re.compile(r":[^\s:]{1,100}:")
HOSTILE = [
    ":rotating_light: :+1::skin-tone-2: :::lock::: :日本: :a:b:c: 10:20:30",
    "<!date^1^{date_num}|soon> <!date^99999999999^{ago}|x",
    "&gt; quoted\n> quoted\n  > quoted\n>>> all",
    "*bold* _italic_ ~struck~ `code` ```block``` **x** __y__ *_~`:x:`~_*",
    "<@U01ALICE> <@U02EVE|alice> <!here> <!channel|c> <!subteam^S1> <#C1|x>",
    "<https://evil.example|Approve> https://evil.example www.evil.example mailto:x@evil.example <tel:1|x>",
    "[Approve](https://evil.example) ![x](https://evil.example/x.png)",
    "&lt;!channel&gt; &amp;lt;@U01ALICE&amp;gt;",
    ":smi\u200ble: :smi\u202ele: <\u200b!channel>",
]
PIECES = st.sampled_from(
    ["<", ">", "!", "@", "#", "U01ALICE", "channel", "here", "|", "^", "date", "1", "{date}", "http://e.example", ":",
     "::", "lock", "+1", "*", "_", "~", "`", "```", "&", "gt;", "lt;", "amp;", "\n", " ", "é", "\u202e", "\u200b", "x"]
)  # fmt: skip
ANY = st.text(st.characters(codec=None), max_size=300) | st.lists(PIECES, max_size=60).map("".join)


def every(text: str) -> list[dict[str, Any]]:
    person = PersonRef(id="x", name=text)
    why = WhyView(
        title=text, cause_id="c-1", cause_title=text, plan_id="plan-1", request=request(text), allowed=False,
        reason=text, rule=text, facts=(FactLine(label=text, value=text),) * 12, could=(text, text), read_at=NOW,
        mend=text, expires_at=NOW,
    )  # fmt: skip
    line = DelegationLine(id="d", giver=person, stand_in=ALICE, scope=text, reason=text, until=NOW, can_revoke=True)
    split = Card(
        title=text, summary=text, status=(text, Strong(text), text),
        body=(Section(((f":{text}", f"{text}:", "lo", "ck:", Code(text)), (">", text)), heading=text),),
        footer=((text, text),),
    )  # fmt: skip
    notice = Notice(ok=False, said=text, mend=text, rule=text, could=(text,), about="req-1")
    cards = [build.why_card(why), build.delegations_card((line,) * 17), build.notice_card(notice), split,
             build.thread_line(text), build.help_card()]  # fmt: skip
    made = [blockkit.message(card) for card in cards]
    return [*made, *(payload for _, payload in every_payload(text))]


def nodes(thing: Any) -> Iterator[dict[str, Any]]:
    if isinstance(thing, dict):
        yield thing
        for value in thing.values():
            yield from nodes(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from nodes(value)


def texts(payload: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if isinstance(payload.get("text"), str):
        yield "mrkdwn", payload["text"]
    for node in nodes({k: v for k, v in payload.items() if k != "text"}):
        if node.get("type") in {"mrkdwn", "plain_text"} and isinstance(node.get("text"), str):
            yield node["type"], node["text"]


INSTANTS = {found for payload in every("quiet") for _, text in texts(payload) for found in re.findall(DATE, text)}


def live(kind: str, text: str) -> list[str]:
    """What in this text Slack would act upon, and that is not ours."""
    found = [f"mention {m}" for m in re.findall(MENTION, text) if m != "<@U01ALICE>"]
    found += [f"date {instant}" for instant in re.findall(DATE, text) if instant not in INSTANTS]
    rest = re.sub(f"{MENTION}|{DATE}|{CODE}" if kind == "mrkdwn" else "(?!)", "•", text)
    found += [f"emoji {code}" for code in EMOJI.findall(rest)]
    if kind == "plain_text":
        return found + re.findall(r"<[@!#]|<https?:", rest)
    found += ["markup <"] if "<" in rest else []
    found += ["code `"] if "`" in rest else []
    found += ["struck ~"] if "~" in rest else []
    found += ["quote"] if re.search(r"^\s*(&gt;|>)", rest, re.M) else []
    found += ["italic _"] if re.search(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", rest) else []
    # Bold is ours alone: pairs within a line, nothing of them left over.
    found += [f"bold {line}" for line in rest.split("\n") if line.count("*") % 2]
    return found


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_only_shown(text: str) -> None:
    for payload in every(text):
        for kind, shown in texts(payload):
            assert live(kind, shown) == [], shown


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANY)
def test_no_text_of_any_unicode_is_acted_upon(text: str) -> None:
    for payload in every(text):
        for kind, shown in texts(payload):
            assert live(kind, shown) == [], shown


def test_the_measure_itself_sees_what_is_live() -> None:
    for kind, text, what in (
        ("mrkdwn", "<@U02EVE>", "mention"), ("mrkdwn", "<!channel>", "markup"), ("mrkdwn", ":lock:", "emoji"),
        ("mrkdwn", "<!date^1^{date}|x>", "date"), ("mrkdwn", "a\n&gt; b", "quote"), ("mrkdwn", "_a_", "italic"),
        ("mrkdwn", "*a", "bold"), ("plain_text", ":lock:", "emoji"), ("plain_text", "<!here", "<!"),
    ):  # fmt: skip
        assert any(what in found for found in live(kind, text)), text
    assert live("mrkdwn", "`:lock: <!here>` *a* <@U01ALICE> my_bucket") == []


def test_ordinary_text_stays_as_it_is_to_the_eye() -> None:
    said = "Bucket acme_invoices-2 of 10:30 is public: ask Ann & Bob (a < b)"
    shown = blockkit.message(build.thread_line(said))["blocks"][0]["text"]["text"]
    assert shown == "Bucket acme_invoices-2 of 10:30 is public: ask Ann &amp; Bob (a &lt; b)"


def test_ids_in_code_can_still_be_copied() -> None:
    arn = "arn:aws:s3:::acme-invoices"
    card = Card(title="", summary="x", status=(Code(arn),))
    assert blockkit.message(card)["blocks"][0]["text"]["text"] == f"`{arn}`"


def test_the_lint_finds_an_emoji_code() -> None:
    for kind in ("mrkdwn", "plain_text"):
        text: dict[str, Any] = {"type": kind, "text": "be :lock: d"} | ({"verbatim": True} if kind == "mrkdwn" else {})
        payload = {"text": "x", "blocks": [{"type": "section", "text": text}]}
        assert any("emoji code" in found for found in problems(payload, "message"))
