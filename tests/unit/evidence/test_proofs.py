"""Proofs made by the store and checked by the standalone verifier: at every size, and none that lies passes."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.evidence import verifier
from bot.store import ledger, merkle

LARGEST = 70
# A busy machine is no reason to fail.
CALM = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LEAVES = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(LARGEST)]


def tree() -> tuple[dict[tuple[int, int], bytes], list[bytes]]:
    """Every complete subtree, and the root at every size."""
    nodes: dict[tuple[int, int], bytes] = {}
    frontier, roots = merkle.Frontier(), [merkle.EMPTY]
    for number, hash_ in enumerate(LEAVES):
        nodes[0, number] = ledger.leaf(hash_)
        for level, made in enumerate(frontier.add(ledger.leaf(hash_)), 1):
            nodes[level, number >> level] = made
        roots.append(frontier.root())
    return nodes, roots


NODES, ROOTS = tree()


def node(level: int, position: int) -> bytes:
    return NODES[level, position]


def test_every_record_at_every_size_is_proven() -> None:
    for size in range(1, LARGEST + 1):
        for index in range(size):
            proof = merkle.inclusion(node, index, size)
            assert len(proof) <= (size - 1).bit_length()
            assert verifier.root_from_inclusion(verifier.leaf(LEAVES[index]), index, size, proof) == ROOTS[size]


def test_every_size_is_proven_to_continue_every_smaller_one() -> None:
    for new in range(1, LARGEST + 1):
        for old in range(new + 1):
            proof = merkle.consistency(node, old, new)
            verifier.check_consistency(old, ROOTS[old], new, ROOTS[new], proof)


sizes = st.integers(1, LARGEST)


@given(st.data(), sizes)
@CALM
def test_a_proof_of_another_record_place_or_size_does_not_pass(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion(node, index, size)
    other_leaf, other_index = data.draw(st.integers(0, LARGEST - 1)), data.draw(st.integers(0, size - 1))
    damaged = list(proof)
    how = data.draw(st.sampled_from(["leaf", "place", "shorter", "longer", "altered"]))
    value, place = verifier.leaf(LEAVES[index]), index
    if how == "leaf":
        value = verifier.leaf(LEAVES[other_leaf])
        if other_leaf == index:
            return
    elif how == "place":
        place = other_index
        if other_index == index:
            return
    elif how == "longer":
        damaged.insert(data.draw(st.integers(0, len(proof))), b"\x11" * 32)
    elif not proof:
        return
    elif how == "shorter":
        damaged.pop(data.draw(st.integers(0, len(proof) - 1)))
    else:
        at = data.draw(st.integers(0, len(proof) - 1))
        damaged[at] = bytes([damaged[at][0] ^ 1]) + damaged[at][1:]
    try:
        found = verifier.root_from_inclusion(value, place, size, damaged)
    except verifier.Wrong:
        return
    assert found != ROOTS[size]


@given(st.data(), sizes)
@CALM
def test_a_log_that_is_no_continuation_is_not_proven_to_be_one(data: st.DataObject, new: int) -> None:
    old = data.draw(st.integers(1, new))
    proof = merkle.consistency(node, old, new)
    old_root, new_root = ROOTS[old], ROOTS[new]
    how = data.draw(st.sampled_from(["old root", "new root", "shorter", "longer", "altered", "old size"]))
    if how == "old root":
        old_root = b"\x22" * 32
    elif how == "new root":
        new_root = b"\x33" * 32
    elif how == "old size":
        other = data.draw(st.integers(1, LARGEST))
        if other == old:
            return
        old = other
    elif how == "longer":
        proof.insert(data.draw(st.integers(0, len(proof))), b"\x44" * 32)
    elif not proof:
        return
    elif how == "shorter":
        proof.pop(data.draw(st.integers(0, len(proof) - 1)))
    else:
        at = data.draw(st.integers(0, len(proof) - 1))
        proof[at] = bytes([proof[at][0] ^ 1]) + proof[at][1:]
    with pytest.raises(verifier.Wrong):
        verifier.check_consistency(old, old_root, new, new_root, proof)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60), st.text(st.characters(exclude_categories=["Cs"]))
)
@CALM
def test_the_verifier_hashes_records_as_the_ledger_does(body: str, actor: str) -> None:
    values = {"seq": 7, "at": "t", "kind": "k", "subject": "s", "actor": actor, "body": body, "prev": "p"}
    assert verifier.record_hash(values) == ledger.record_hash(7, "t", "k", "s", actor, body, "p")


@given(
    st.recursive(
        st.none() | st.integers(-9, 9) | st.text(), lambda kids: st.lists(kids) | st.dictionaries(st.text(), kids)
    )
)
@CALM
def test_a_dump_reads_back_to_the_same_bytes(value: object) -> None:
    raw = verifier.dump({"value": value})
    assert verifier.dump(json.loads(raw)) == raw


def test_places_that_are_not_in_the_tree_are_refused() -> None:
    with pytest.raises(ValueError, match="leaf 3 is not in a tree of 3"):
        merkle.inclusion(node, 3, 3)
    with pytest.raises(ValueError, match="cannot continue"):
        merkle.consistency(node, 4, 3)
    with pytest.raises(verifier.Wrong, match="not in a log of 3"):
        verifier.root_from_inclusion(b"", 3, 3, [])
