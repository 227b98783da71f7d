"""docs/platforms.md says what the scenarios press; written by ``python -m tests.tools.parity``."""

from __future__ import annotations

from tests.tools.parity import DOC, document

from .kinds import KINDS, scenarios_of


def test_the_tables_of_the_page_are_current() -> None:
    text = DOC.read_text("utf-8")
    assert document(text) == text, "run python -m tests.tools.parity"


def test_every_kind_of_interaction_is_of_some_scenario() -> None:
    assert [kind.title for kind in KINDS if not scenarios_of(kind)] == []
