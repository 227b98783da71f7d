"""A change that shows in the finding must show in the hash: else an unchanged hash would hide it for ever."""

import copy

import pytest
from sources_table import EXAMPLES, _other, members

from bot.domain.findings import Finding
from connectors.registry import connector

# Times move on every scan; the scanner's own uid and product name say nothing about the problem.
LEFT_OUT = {"first_seen", "last_seen", "modified", "product", "extra"}


def said(finding: Finding) -> dict[str, object]:
    return finding.model_dump(mode="json", exclude=LEFT_OUT)


@pytest.mark.parametrize("source", sorted(EXAMPLES))
def test_whatever_changes_the_finding_changes_the_sighting(source: str) -> None:
    mapper = connector(source).mapper()
    looked_at = 0
    for example in EXAMPLES[source]:
        for path in members(example):
            changed = copy.deepcopy(example)
            holder = changed
            for step in path[:-1]:
                holder = holder[step]
            holder[path[-1]] = _other(holder[path[-1]])
            if said(mapper.map(changed)) != said(mapper.map(example)):
                looked_at += 1
                assert mapper.sight(changed) != mapper.sight(example), path
    assert looked_at > 20
