"""The corpus: what an attacker may write anywhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml


@cache
def corpus() -> tuple[str, ...]:
    groups = yaml.safe_load((Path(__file__).parent / "corpus.yml").read_text("utf-8"))
    return tuple(each[0] * each[1] if isinstance(each, list) else each for group in groups.values() for each in group)
