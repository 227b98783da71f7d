import gzip
import hashlib
import io
import json
import tracemalloc
from typing import Any

import pytest

from connectors.jsonstream import CHUNK, Trouble, objects, pages


def read(data: bytes, **options: Any) -> tuple[list[Any], Trouble]:
    trouble = Trouble()
    found = list(objects(io.BytesIO(data), trouble, **options))
    return [item.value for item in found], trouble


ONE, TWO, THREE = {"a": 1}, {"a": {"b": [{"c": "}]["}]}}, {"a": 'ü"\\'}


@pytest.mark.parametrize(
    "data",
    [
        json.dumps([ONE, TWO, THREE]),
        json.dumps([ONE]) + json.dumps([TWO, THREE]),
        f"[{json.dumps(ONE)}]{json.dumps(TWO)},{json.dumps(THREE)}]",
        "\n".join(map(json.dumps, [ONE, TWO, THREE])) + "\n",
        json.dumps({"Findings": [ONE, TWO, THREE], "NextToken": "x"}),
        json.dumps({"NextToken": "x", "Findings": [ONE, TWO, THREE]}),
        json.dumps([{"version": "0", "detail": {"findings": [ONE, TWO, THREE]}}]),
        "\ufeff" + json.dumps([ONE, TWO, THREE], ensure_ascii=False, indent=3),
    ],
    ids=["array", "two arrays", "appended by prowler", "lines", "wrapper", "wrapper last", "event", "bom"],
)
def test_every_shape_gives_the_same_objects(data: str) -> None:
    for raw in (data.encode(), gzip.compress(data.encode())):
        found, trouble = read(raw, wrappers=("Findings", "findings"))
        assert found == [ONE, TWO, THREE]
        assert not trouble.broken, trouble.rejected


def test_of_a_cut_or_damaged_gzip_file_the_good_part_is_read() -> None:
    rows = [{"a": n, "noise": hashlib.sha256(bytes([n % 256, n // 256])).hexdigest()} for n in range(20_000)]
    packed = gzip.compress(json.dumps(rows).encode())
    for data in (packed[: len(packed) // 2], packed[: len(packed) // 2] + b"\xff" * 5000):
        found, trouble = read(data)
        assert len(found) > 8000
        assert found == rows[: len(found)]
        assert trouble.rejected[0][0] == "gzip"
    for data in (packed, packed + b"\0" * 10, gzip.compress(b"[]") + packed):
        found, trouble = read(data)
        assert found == rows
        assert not trouble.broken


def test_a_zip_bomb_costs_no_memory() -> None:
    packed = gzip.compress(b"[" + b" " * (120 << 20), compresslevel=9)
    tracemalloc.start()
    found, trouble = read(packed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == []
    assert trouble.broken
    assert peak < 40 << 20


def test_utf16_as_powershell_writes_it() -> None:
    assert read(json.dumps([THREE], ensure_ascii=False).encode("utf-16"))[0] == [THREE]


def test_what_was_appended_later_has_a_higher_segment() -> None:
    trouble = Trouble()
    data = f"[{json.dumps(ONE)}]{json.dumps(TWO)}][{json.dumps(THREE)}]".encode()
    assert [item.segment for item in objects(io.BytesIO(data), trouble)] == [0, 1, 2]


@pytest.mark.parametrize("data", [b"", b"  \n ", b"[]", b"\xef\xbb\xbf"])
def test_nothing_is_not_an_error(data: bytes) -> None:
    found, trouble = read(data)
    assert found == []
    assert not trouble.broken


@pytest.mark.parametrize(
    "data", [b"<html>no</html>", b"\x00\x01\x02", b"check,status\n1,2", b"%PDF-1.7", b"\x1f\x8bxx"]
)
def test_what_is_not_json_is_said(data: bytes) -> None:
    found, trouble = read(data)
    assert found == []
    assert trouble.rejected


def test_truncated_anywhere_keeps_the_good_and_says_where() -> None:
    whole = json.dumps([ONE, TWO, THREE, ONE]).encode()
    for cut in range(1, len(whole)):
        found, trouble = read(whole[:cut])
        assert found == [ONE, TWO, THREE, ONE][: len(found)]
        assert trouble.broken, cut
        assert trouble.rejected[0][0].startswith("byte ")
    found, trouble = read(whole[:-5])
    assert len(found) == 3
    assert "cut off" in trouble.rejected[0][1]


def test_position_of_a_break_is_in_bytes() -> None:
    before = '[{"a": "üüüü"},'.encode()
    _, trouble = read(before + b'{"b" 1}]')
    assert trouble.rejected[0][0] == f"byte {len(before) + 5}"


def test_reading_goes_on_after_a_broken_object() -> None:
    good = {"id": 1, "parts": [{"deep": 1}]}
    broken = '{"id": 2, "parts": [{"deep": 2}], oops}'
    data = f"[{json.dumps(good)},{broken},{json.dumps(good)},{json.dumps(good)}]".encode()
    found, trouble = read(data, looks=lambda raw: "id" in raw)
    assert found == [good, good, good]
    assert len(trouble.rejected) == 1


def test_a_broken_line_does_not_cost_the_other_lines() -> None:
    found, trouble = read(b'{"a": 1}\n{"a": \n{"a": 3}\n')
    assert {"a": 1} in found
    assert {"a": 3} in found
    assert trouble.broken


def test_objects_larger_than_a_chunk_are_read_and_too_large_ones_left_out() -> None:
    big, huge = {"a": "x" * (CHUNK * 2)}, {"a": "y" * (CHUNK * 5)}
    found, trouble = read(json.dumps([big, huge, ONE]).encode(), limit=CHUNK * 3)
    assert found[0] == big
    assert found[-1] == ONE
    assert len(found) == 2
    assert "larger than 3 MiB" in trouble.rejected[0][1]


def test_nesting_without_end_is_refused_not_fatal() -> None:
    for data in (b'[{"a":' + b"[" * 200_000, b'{"a":' * 200_000):
        found, trouble = read(data)
        assert found == []
        assert trouble.broken


def test_invalid_utf8_does_not_stop_the_rest() -> None:
    found, _ = read(b'[{"a": "\xff\xfe"}, {"a": 1}]')
    assert found[1] == ONE


def test_memory_is_flat_and_pages_are_bounded() -> None:
    line = (json.dumps({"a": "x" * 2000}) + "\n").encode()

    class Endless(io.RawIOBase):
        left = 40_000

        def read(self, size: int = -1) -> bytes:
            count = min(self.left, max(size // len(line), 1))
            self.left -= count
            return line * count

    tracemalloc.start()
    total = 0
    for page in pages(Endless()):  # type: ignore[arg-type]
        assert len(page.items) <= 500
        total += len(page.items)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 40_000
    assert peak < 30 << 20
