"""The tree over the ledger: hashing and proofs as RFC 9162 defines them (leaf 0x00, node 0x01, SHA-256). Pure.

A proof is made from a function ``node(level, position)`` that knows the hash of every complete subtree: the one over
the leaves ``position << level`` up to, not including, ``(position + 1) << level``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

Node = Callable[[int, int], bytes]
EMPTY = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A growing tree that keeps only the roots of its complete subtrees, at most one a level."""

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []  # largest subtree first

    def add(self, leaf: bytes) -> list[bytes]:
        """Add a leaf's hash; the hashes of the inner nodes that it completed, from level 1 upwards."""
        made, value, position = [], leaf, self.size
        while position & 1:
            value = node_hash(self._roots.pop(), value)
            made.append(value)
            position >>= 1
        self._roots.append(value)
        self.size += 1
        return made

    def root(self) -> bytes:
        if not self._roots:
            return EMPTY
        value = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            value = node_hash(left, value)
        return value


def root(node: Node, size: int) -> bytes:
    """The root of the first ``size`` leaves."""
    return _subtree(node, 0, size) if size else EMPTY


def inclusion(node: Node, index: int, size: int) -> list[bytes]:
    """The audit path of leaf ``index`` in the tree of ``size`` leaves, the leaf's sibling first."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    return _path(node, index, 0, size)


def consistency(node: Node, old: int, new: int) -> list[bytes]:
    """What shows that the tree of ``new`` leaves begins with the tree of ``old`` leaves; empty for an empty tree."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} cannot continue one of {old}")
    return _continue(node, old, 0, new, True) if old else []


def _split(size: int) -> int:
    """The largest power of two below ``size``: how many leaves the left subtree has."""
    return 1 << (size - 1).bit_length() - 1


def _subtree(node: Node, start: int, size: int) -> bytes:
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(level, start >> level)
    left = _split(size)
    return node_hash(_subtree(node, start, left), _subtree(node, start + left, size - left))


def _path(node: Node, index: int, start: int, size: int) -> list[bytes]:
    if size == 1:
        return []
    left = _split(size)
    if index < left:
        return [*_path(node, index, start, left), _subtree(node, start + left, size - left)]
    return [*_path(node, index - left, start + left, size - left), _subtree(node, start, left)]


def _continue(node: Node, old: int, start: int, size: int, whole: bool) -> list[bytes]:
    """``whole``: the old tree itself is this subtree, so whoever checks knows its hash."""
    if old == size:
        return [] if whole else [_subtree(node, start, size)]
    left = _split(size)
    if old <= left:
        return [*_continue(node, old, start, left, whole), _subtree(node, start + left, size - left)]
    return [*_continue(node, old - left, start + left, size - left, False), _subtree(node, start, left)]
