"""The app package: what is in it, and that Teams' limits are kept before anything is written."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bot.cli.main import app
from bot.domain.answers import START
from bot.domain.errors import BadInput
from handlers.teams.commands import COMMANDS, UNLISTED
from handlers.teams.package import manifest, package

from .world import APP

GOOD: dict[str, Any] = {"name": "Gatehouse", "company": "Acme", "website": "https://acme.example/gatehouse"}


def unpack(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def pixels(data: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height and the RGBA pixels of one of our own PNGs."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    assert (depth, colour) == (8, 6)
    at, body = 8, b""
    while at < len(data):
        (size,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0] == zlib.crc32(data[at + 4 : at + 8 + size])
        body += data[at + 8 : at + 8 + size] if kind == b"IDAT" else b""
        at += 12 + size
    raw = zlib.decompress(body)
    line = 1 + 4 * width
    return width, height, [raw[y * line + 1 + 4 * x :][:4] for y in range(height) for x in range(width)]


def test_the_zip_is_flat_and_names_our_bot_and_its_commands() -> None:
    files = unpack(package(manifest(APP, "0.1.0", **GOOD)))
    assert sorted(files) == ["color.png", "manifest.json", "outline.png"]
    made = json.loads(files["manifest.json"])
    assert (made["manifestVersion"], made["id"], made["bots"][0]["botId"]) == ("1.25", APP, APP)
    assert made["$schema"].endswith("/v1.25/MicrosoftTeams.schema.json")
    assert made["developer"]["privacyUrl"] == "https://acme.example/gatehouse"
    titles = [command["title"] for command in made["bots"][0]["commandLists"][0]["commands"]]
    assert set(titles) == set(COMMANDS) - UNLISTED - {""}
    assert len(titles) <= 12
    private = made["bots"][0]["commandLists"][1]
    assert private["scopes"] == ["personal"]
    assert [command["title"] for command in private["commands"][: len(START)]] == list(START)
    assert len(private["commands"]) == 12


def test_the_icons_have_the_sizes_and_colours_teams_wants() -> None:
    files = unpack(package(manifest(APP, "0.1.0", **GOOD)))
    width, height, colour = pixels(files["color.png"])
    assert (width, height, {pixel[3] for pixel in colour}) == (192, 192, {255})
    width, height, outline = pixels(files["outline.png"])
    assert (width, height) == (32, 32)
    assert set(outline) == {b"\x00\x00\x00\x00", b"\xff\xff\xff\xff"}


def test_the_same_settings_make_the_same_bytes() -> None:
    assert package(manifest(APP, "0.1.0", **GOOD)) == package(manifest(APP, "0.1.0", **GOOD))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"app_id": ""}, "teams.app_id"),
        ({"app_id": "not-a-guid"}, "botId"),
        ({"name": "x" * 31}, "short"),
        ({"company": "x" * 33}, "name"),
        ({"website": "http://acme.example"}, "websiteUrl"),
        ({"website": "javascript:alert(1)"}, "websiteUrl"),
        ({"privacy": "nonsense"}, "privacyUrl"),
        ({"version": "0.1"}, "version"),
    ],
)
def test_what_teams_would_not_take_is_named(more: dict[str, Any], said: str) -> None:
    given = {"app_id": APP, "version": "0.1.0", **GOOD, **more}
    with pytest.raises(BadInput, match=said):
        manifest(**given)


def test_the_command_writes_it_or_says_what_to_do(tmp_path: Path) -> None:
    config, out = tmp_path / "g.yml", tmp_path / "app.zip"
    config.write_text(f"teams: {{app_id: {APP}}}\n")
    asked = ["teams", "package", "--company", "Acme", "--website", "https://a.example", "--out", str(out)]
    done = CliRunner().invoke(app, [*asked, "--config", str(config)])
    assert (done.exit_code, out.exists()) == (0, True), done.output
    assert APP in done.output
    out.unlink()
    config.write_text("{}\n")
    refused = CliRunner().invoke(app, [*asked, "--config", str(config)])
    assert (refused.exit_code, out.exists()) == (2, False)
    assert "teams.app_id" in refused.output
