"""The table in docs/reliability.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_attack_in_the_documentation_has_its_test() -> None:
    text = (
        (ROOT / "docs" / "reliability.md").read_text("utf-8").partition("## Attacks by name")[2].partition("\n## ")[0]
    )
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    there = set[str]()
    for file in [*(ROOT / "tests" / "attacks").glob("test_*.py"), ROOT / "tests/unit/evidence/test_attacks.py"]:
        there |= set(re.findall(r"^(?:async )?def (test_\w+)", file.read_text("utf-8"), re.M))
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert set(named) <= there, set(named) - there
