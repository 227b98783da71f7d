"""Checks a Gatehouse evidence pack. Needs Python 3.9 or newer and nothing else: no Gatehouse, no network.

    python verifier.py pack.json [--checkpoint FILE ...]

FILE holds checkpoints you got elsewhere: the witness file, or text copied from the channel. Without one the pack is
only shown to be whole and consistent in itself; with one, that its records are in the ledger that was witnessed.
Exit 0: everything holds. Exit 1: it does not, and what. Exit 2: wrong use.

How it is built (RFC 9162 hashing): record hash = SHA-256 of the JSON array [seq, at, kind, subject, actor, body,
prev]; leaf = SHA-256(0x00, record hash); node = SHA-256(0x01, left, right); record seq is leaf seq - 1.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

FORMAT = "gatehouse-evidence-pack/1"
FORM = re.compile(r"(\S+)\s+(\d{1,18})\s+([A-Za-z0-9+/]{43}=)\s+(\d{4}-\d\d-\d\dT\S+)")
HEX = re.compile(r"[0-9a-f]{64}")
FIELDS = ("seq", "at", "kind", "subject", "actor", "body", "prev")


class Wrong(Exception):
    """What does not hold."""


def dump(pack: dict[str, Any]) -> bytes:
    """The one spelling of a pack: any other byte anywhere is an alteration."""
    return (json.dumps(pack, sort_keys=True, ensure_ascii=True, indent=1) + "\n").encode("ascii")


def seal(pack: dict[str, Any]) -> str:
    """SHA-256 over everything but the seal itself."""
    return hashlib.sha256(dump({key: value for key, value in pack.items() if key != "seal"})).hexdigest()


def record_hash(record: dict[str, Any]) -> str:
    text = json.dumps([record[name] for name in FIELDS], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def leaf(hash_: str) -> bytes:
    return hashlib.sha256(b"\x00" + bytes.fromhex(hash_)).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_from_inclusion(value: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """The root that this leaf at this place and this proof amount to (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise Wrong(f"place {index + 1} is not in a log of {size}")
    last = size - 1
    for sibling in proof:
        if last == 0:
            raise Wrong("the proof is too long")
        if index & 1 or index == last:
            value = node(sibling, value)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            value = node(value, sibling)
        index, last = index >> 1, last >> 1
    if last:
        raise Wrong("the proof is too short")
    return value


def check_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: list[bytes]) -> None:
    """Whether the log of ``new`` records begins with the one of ``old`` records (RFC 9162, 2.1.4.2)."""
    if old > new:
        raise Wrong(f"a log of {new} records cannot continue one of {old}")
    if old == new or old == 0:
        empty = hashlib.sha256(b"").digest()
        if proof or (old == new and old_root != new_root) or (old == 0 and old_root != empty):
            raise Wrong("the log is not the one that was witnessed")
        return
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise Wrong("the consistency proof is empty")
    first, second = old - 1, new - 1
    while first & 1:
        first, second = first >> 1, second >> 1
    before = after = path[0]
    for each in path[1:]:
        if second == 0:
            raise Wrong("the consistency proof is too long")
        if first & 1 or first == second:
            before, after = node(each, before), node(each, after)
            while not first & 1 and first:
                first, second = first >> 1, second >> 1
        else:
            after = node(after, each)
        first, second = first >> 1, second >> 1
    if second or before != old_root or after != new_root:
        raise Wrong("the log is not a continuation of the one that was witnessed")


def read_checkpoints(text: str) -> list[tuple[str, int, bytes, str]]:
    text = text.replace("\u2236", ":")  # chat shows the colons of a time as look-alikes
    return [(origin, int(size), base64.b64decode(root), at) for origin, size, root, at in FORM.findall(text)]


def hashes(values: Any, what: str) -> list[bytes]:
    if not isinstance(values, list) or not all(isinstance(v, str) and HEX.fullmatch(v) for v in values):
        raise Wrong(f"{what} is not a list of hashes")
    return [bytes.fromhex(value) for value in values]


def check_record(record: Any, size: int, root: bytes) -> None:
    if not isinstance(record, dict) or set(record) != {*FIELDS, "hash", "proof"}:
        raise Wrong("a record lacks a field or has one too many")
    seq, name = record["seq"], f"record {record['seq']}"
    if type(seq) is not int or not all(isinstance(record[field], str) for field in (*FIELDS[1:], "hash")):
        raise Wrong(f"{name} has a field of the wrong type")
    if not HEX.fullmatch(record["hash"]) or record_hash(record) != record["hash"]:
        raise Wrong(f"{name} was altered: its hash is another")
    try:
        found = root_from_inclusion(leaf(record["hash"]), seq - 1, size, hashes(record["proof"], "its proof"))
    except Wrong as error:
        raise Wrong(f"{name}: {error}") from error
    if found != root:
        raise Wrong(f"{name} is not in the ledger of the checkpoint")


def check(raw: bytes, witnesses: list[tuple[str, int, bytes, str]] | None = None) -> str:
    """What was shown, as a sentence; raises ``Wrong``. ``witnesses``: checkpoints from elsewhere."""
    try:
        pack = json.loads(raw.decode("ascii"))
    except ValueError as error:
        raise Wrong(f"the pack is not JSON as it was written: {error}") from error
    if not isinstance(pack, dict) or pack.get("format") != FORMAT:
        raise Wrong(f"this is no {FORMAT}")
    if dump(pack) != raw or pack.get("seal") != seal(pack):
        raise Wrong("the pack was altered after it was written")
    try:
        ((origin, size, root, at),) = read_checkpoints(pack["checkpoint"])
        records, earlier = list(pack["records"]), list(pack["earlier"])
        whole = pack["whole"] is True
    except (KeyError, TypeError, ValueError) as error:
        raise Wrong(f"the pack lacks a part: {error}") from error

    before: dict[str, Any] | None = None
    for record in records:
        check_record(record, size, root)
        if before is not None and record["seq"] <= before["seq"]:
            raise Wrong(f"record {record['seq']} stands after record {before['seq']}")
        if before is not None and record["seq"] == before["seq"] + 1 and record["prev"] != before["hash"]:
            raise Wrong(f"record {record['seq']} does not follow record {before['seq']}")
        if whole and before is not None and record["seq"] != before["seq"] + 1:
            raise Wrong(f"records between {before['seq']} and {record['seq']} were left out")
        before = record

    known = {size: root}
    for each in earlier:
        try:
            ((name, old, old_root, _),) = read_checkpoints(each["checkpoint"])
            proof = hashes(each["proof"], "a consistency proof")
        except (KeyError, TypeError, ValueError) as error:
            raise Wrong(f"an earlier checkpoint cannot be read: {error}") from error
        try:
            check_consistency(old, old_root, size, root, proof)
        except Wrong as error:
            raise Wrong(f"the earlier checkpoint of {old} records: {error}") from error
        if name != origin or known.setdefault(old, old_root) != old_root:
            raise Wrong(f"the earlier checkpoint of {old} records is of another ledger")

    said = f"{len(records)} records are in the ledger {origin!r} of {size} records at {at}"
    said += ", none left out between them" if whole and len(records) > 1 else ""
    if witnesses is None:
        return f"{said}. Nothing from elsewhere was compared: give --checkpoint to hold it against a witness."
    compared = 0
    for name, old, old_root, when in witnesses:
        if name == origin and old in known:
            if known[old] != old_root:
                raise Wrong(f"the ledger of this pack is not the one witnessed at {when} ({old} records): forked")
            compared += 1
    if not compared:
        raise Wrong(
            "none of your checkpoints can be compared with this pack; have it exported again with "
            "`gatehouse ledger export --against YOUR-FILE`"
        )
    return f"{said}. It agrees with {compared} of your {len(witnesses)} checkpoints."


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check a Gatehouse evidence pack.")
    parser.add_argument("pack", type=Path)
    parser.add_argument("--checkpoint", type=Path, action="append", help="file with checkpoints from elsewhere")
    given = parser.parse_args(arguments)
    try:
        witnesses = None
        if given.checkpoint:
            witnesses = [one for file in given.checkpoint for one in read_checkpoints(file.read_text("utf-8"))]
        said = check(given.pack.read_bytes(), witnesses)
    except (Wrong, OSError, ValueError, RecursionError) as error:
        sys.stderr.write(f"NOT VALID: {error}\n")
        return 1
    sys.stdout.write(f"VALID: {said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
