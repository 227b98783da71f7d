"""Files of whatever a vendor sent, with one function that looks at an object."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Mapping
from typing import Any

from bot.ports import Page
from connectors.reading import Understood, read


def understand(raw: Mapping[str, Any]) -> Understood | None:
    if "alerts" in raw:
        return Understood(raw["alerts"], kind="alerts page")
    if "token" in raw:
        return Understood(carries_none=("login answer",))
    if "mixed" in raw:
        return Understood(raw["mixed"], ("status reply",), "batch")
    return Understood((raw,), kind="alert") if "alert" in raw else None


def pages(content: Any, **options: Any) -> list[Page]:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return list(read(io.BytesIO(data), "some.json", understand, vendor="Acme", **options))


def test_what_is_understood_is_counted_by_kind() -> None:
    (page,) = pages([{"alert": 1}, {"alerts": [{"alert": 2}, {"alert": 3}]}, {"alert": 4}])
    assert [item["alert"] for item in page.items] == [1, 2, 3, 4]
    assert page.notes == ("understood: 2 × alert", "understood: alerts page")
    assert page.rejected == ()


def test_what_carries_no_finding_is_named_and_nothing_is_rejected() -> None:
    (page,) = pages([{"token": "x"}, {"token": "y"}, {"mixed": [{"alert": 1}]}])
    assert len(page.items) == 1
    assert page.notes == (
        "understood: batch", "2 × login answer: carries no finding", "status reply: carries no finding"
    )  # fmt: skip


def test_a_stranger_is_kept_aside_with_its_place_and_members() -> None:
    (page,) = pages([{"alert": 1}, {"hello": 1, "world": 2}])
    assert len(page.items) == 1
    assert page.rejected == (("object 2", "not an object that Acme sends (its members: hello, world)"),)


def test_pages_are_cut_and_nothing_is_lost_or_doubled() -> None:
    content = [{"alerts": [{"alert": n} for n in range(7)]}, {"x": 1}, {"alerts": [{"alert": n} for n in range(7, 10)]}]
    found = pages(content, size=3)
    assert [len(page.items) for page in found] == [3, 3, 3, 1]
    assert [item["alert"] for page in found for item in page.items] == list(range(10))
    assert sum(len(page.rejected) for page in found) == 1


def test_lines_gzip_and_a_cut_end() -> None:
    lines = b'{"alert": 1}\n{"alert": 2}\n{"alert": '
    for data in (lines, gzip.compress(lines)):
        (page,) = pages(data)
        assert [item["alert"] for item in page.items] == [1, 2]
        assert len(page.rejected) == 1
        assert "cut off" in page.rejected[0][1]


def test_an_empty_file_says_so_and_a_broken_one_does_not_pretend() -> None:
    assert pages(b"")[0].notes == ("some.json holds no findings",)
    assert pages([])[0].notes == ("some.json holds no findings",)
    (broken,) = pages(b"hello")
    assert broken.rejected
    assert broken.notes == ()


def test_members_that_hold_the_objects_are_entered() -> None:
    (page,) = pages({"data": [{"alert": 1}, {"alert": 2}], "next": "x"}, wrappers=("data",))
    assert [item["alert"] for item in page.items] == [1, 2]


def test_an_object_beyond_the_limit_is_left_out_and_said() -> None:
    (page,) = pages([{"alert": "x" * 5000}, {"alert": 1}], limit=2000)
    assert [item["alert"] for item in page.items] == [1]
    assert "larger than" in page.rejected[0][1]
    assert len(pages([{"alert": "x" * 5000}], limit=10_000)[0].items) == 1
