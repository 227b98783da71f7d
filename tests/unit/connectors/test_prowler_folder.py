import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from connector_shapes import prowler

from bot.domain.errors import RetryLater, SettingsError
from bot.ports import Page
from bot.settings import Settings
from connectors.prowler import MANIFEST
from connectors.prowler.folder import ProwlerFolder, folder_of

NOW = datetime.now(UTC) + timedelta(hours=1)


async def poll(folder: Path, cursor: Any = None) -> tuple[list[Page], Any]:
    pages = [page async for page in ProwlerFolder(folder).poll(cursor, NOW)]
    stored = [page.cursor for page in pages if page.cursor is not None]
    return pages, stored[-1] if stored else cursor


def count(pages: list[Page]) -> int:
    return sum(len(page.items) for page in pages)


async def test_an_unchanged_file_is_never_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.ocsf.json").write_text(json.dumps([prowler()]))
    pages, cursor = await poll(tmp_path)
    assert count(pages) == 1
    assert [s for p in pages for s in p.complete_scopes]
    pages, cursor = await poll(tmp_path, json.loads(json.dumps(cursor)))
    assert pages == []


async def test_a_touched_file_is_not_read_again_but_one_that_grew_is(tmp_path: Path) -> None:
    file = tmp_path / "a.ocsf.json"
    file.write_text(json.dumps([prowler()]))
    _, cursor = await poll(tmp_path)
    os.utime(file, ns=(1, 1))
    pages, cursor = await poll(tmp_path, cursor)
    assert count(pages) == 0
    file.write_text(json.dumps([prowler()]) + json.dumps([prowler(), prowler(name="b")]))
    pages, cursor = await poll(tmp_path, cursor)
    assert count(pages) == 2


async def test_a_broken_file_is_said_once_and_its_good_findings_are_read(tmp_path: Path) -> None:
    (tmp_path / "bad.ocsf.json").write_text(json.dumps([prowler(), prowler(name="b")])[:-9])
    (tmp_path / "good.ocsf.json").write_text(json.dumps([prowler(name="c")]))
    pages, cursor = await poll(tmp_path)
    assert count(pages) == 2
    said = [where for p in pages for where, _ in p.rejected]
    assert len(said) == 1
    assert said[0].startswith("bad.ocsf.json: byte ")
    pages, cursor = await poll(tmp_path, cursor)
    assert pages == []


async def test_a_crash_in_the_middle_reads_the_file_from_its_start(tmp_path: Path) -> None:
    (tmp_path / "a.ocsf.json").write_text(json.dumps([prowler(name=f"b{n}") for n in range(700)]))
    poller = ProwlerFolder(tmp_path).poll(None, NOW)
    first = await anext(poller)
    await poller.aclose()  # type: ignore[attr-defined]
    pages, _ = await poll(tmp_path, first.cursor)
    assert count(pages) == 700


async def test_a_file_still_being_written_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.ocsf.json").write_text(json.dumps([prowler()]))
    pages = [p async for p in ProwlerFolder(tmp_path, settle_seconds=60).poll(None, datetime.now(UTC))]
    assert pages == []


async def test_compliance_files_are_passed_over_and_what_left_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "compliance").mkdir()
    (tmp_path / "compliance" / "cis.ocsf.json").write_text(json.dumps([prowler()]))
    file = tmp_path / "sub" / "a.ocsf.json"
    file.parent.mkdir()
    file.write_text(json.dumps([prowler()]))
    pages, cursor = await poll(tmp_path)
    assert count(pages) == 1
    assert list(cursor["files"]) == ["sub/a.ocsf.json"]
    file.unlink()
    _, cursor = await poll(tmp_path, cursor)
    assert cursor == {"files": {}}


async def test_the_newest_scan_comes_last(tmp_path: Path) -> None:
    for name, age in (("z-old", 1000), ("a-new", 10)):
        file = tmp_path / f"{name}.ocsf.json"
        file.write_text(json.dumps([prowler(name=name)]))
        os.utime(file, (NOW.timestamp() - age,) * 2)
    pages, _ = await poll(tmp_path)
    assert [i["resources"][0]["name"] for p in pages for i in p.items] == ["z-old", "a-new"]


async def test_wrong_settings_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="did you mean folder"):
        MANIFEST.poller(Settings(), {"foldr": "x"})
    with pytest.raises(SettingsError, match="needs the option 'folder'"):
        folder_of({})
    with pytest.raises(RetryLater, match="does not exist"):
        await poll(tmp_path / "nowhere")
    assert await MANIFEST.check(Settings(), {"folder": str(tmp_path)}) == f"{tmp_path}: 0 files"
