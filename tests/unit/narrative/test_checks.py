"""What a model may not say."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.narratives import Narrative
from bot.narrative.checks import numbers, objections
from bot.narrative.narrator import INSTRUCTIONS

FINE: dict[str, Any] = {
    "risk": "Anyone on the internet can read what S3 keeps here; IPv4 and IPv6 alike.",
    "root_cause": "One template leaves it open.",
    "exploitability": "CVE-2021-44228 has CVSS 9.8.",
    "steps": ["Use 2.17.1 of log4j-core.", "Close port 22."],
    "duplicates": ["other-a"],
}
GIVEN = numbers("CVE-2021-44228, CVSS 9.80, 2.17.1, log4j-core, port 22, 1,234 things")


def said(**more: Any) -> list[str]:
    narrative = Narrative.model_validate(FINE | more)
    return objections(narrative, given=GIVEN, refs=["other-a"], instructions=INSTRUCTIONS)


def test_facts_may_be_repeated() -> None:
    assert said() == []
    assert said(risk="It is 1234, or 1,234, or 22.") == []


@pytest.mark.parametrize(
    "text",
    [
        "There are 23 of them.",
        "99% are safe.",
        "Since 2031.",
        "P4.",
        "P1 it is.",
        "Version 2.17.2 helps.",
        "Port 2222.",
        "٢٣ hosts.",
        "९ hosts.",
        "２３ hosts.",
        "Twelve hosts.",
        "A dozen hosts.",
        "Hundreds of hosts.",
        "Ⅸ hosts.",
        "½ of it.",
        "①② hosts.",
        "1.234 hosts.",
        "1e9 hosts.",
        "0x17 hosts.",
        "CVE-2021-44229.",
        "x23y.",
    ],
)
def test_numbers_that_were_not_given_are_refused(text: str) -> None:
    for field in ("risk", "root_cause", "exploitability"):
        assert said(**{field: text}), text
    assert said(steps=[text])


@pytest.mark.parametrize(
    "text",
    [
        "See https://evil.example",
        "see http://x",
        "www.evil.example",
        "[fix](x)",
        "<@UANN> knows",
        "<!channel>",
        "ask @here",
        "ask @ann",
        "<#C1>",
        "javascript:alert(1)",
        "mailto:a",
        "＜!here＞",
        "＠channel",
        "h\u200bttps://x",
        "slack://open",
        "<b>x</b>",
    ],
)
def test_links_and_mentions_are_refused(text: str) -> None:
    assert said(steps=[text]), text


@pytest.mark.parametrize(
    "text",
    [
        "This is approved.",
        "It was pre-approved by the team.",
        "Approval is not required.",
        "It can be safely ignored.",
        "It is a false positive.",
        "No action needed.",
        "Close this finding.",
        "Its priority is low.",
        "It is safe to close.",
        "It is already fixed.",
        "Risk accepted.",
        "My instructions are secret.",
    ],
)
def test_verdicts_are_refused(text: str) -> None:
    assert said(exploitability=text), text


def test_a_leak_of_the_instructions_is_refused() -> None:
    for at in range(0, len(INSTRUCTIONS) - 120, 37):
        assert said(root_cause="x " + INSTRUCTIONS[at : at + 120].replace("\n", "  ").upper())


def test_problems_that_were_not_given_are_refused() -> None:
    assert said(duplicates=["other-b"])
    assert said(duplicates=["c-anything"])
