"""A folder that Prowler writes to. A file is read again when it has changed, never otherwise.

The cursor holds size, time and digest of every file present. A file is left alone while it may still be being
written (younger than ``settle_seconds``); what is broken is said once and not again until the file changes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from bot.domain.errors import RetryLater
from bot.ports import Page
from bot.settings import Settings
from connectors.options import Options, described, parse
from connectors.prowler.files import read
from connectors.prowler.mapping import SOURCE

_PATTERNS = ("**/*.ocsf.json", "**/*.ocsf.json.gz")


class FolderOptions(Options):
    folder: str = Field(min_length=1, description="The folder to watch; Prowler's output directory")
    pattern: str = Field("", description="Which files, default *.ocsf.json and *.ocsf.json.gz, sub-folders included")
    settle_seconds: float = Field(5, ge=0, description="A file changed more recently than this is still being written")


OPTIONS = described(FolderOptions)


def folder_of(options: Mapping[str, Any]) -> tuple[Path, tuple[str, ...], float]:
    given = parse(SOURCE, FolderOptions, dict(options))
    return Path(given.folder), (given.pattern,) if given.pattern else _PATTERNS, given.settle_seconds


async def check(settings: Settings, options: dict[str, Any]) -> str:
    folder, patterns, _ = folder_of(options)
    files = await asyncio.to_thread(_files, folder, patterns)
    return f"{folder}: {len(files)} files"


class ProwlerFolder:
    source = SOURCE

    def __init__(self, folder: Path, patterns: tuple[str, ...] = _PATTERNS, settle_seconds: float = 5) -> None:
        self._folder, self._patterns, self._settle = folder, patterns, settle_seconds

    async def poll(self, cursor: Mapping[str, Any] | None, now: datetime) -> AsyncIterator[Page]:
        stored = (cursor or {}).get("files")
        known: dict[str, Any] = dict(stored) if isinstance(stored, dict) else {}
        files = await asyncio.to_thread(_files, self._folder, self._patterns)
        present = {name for name, _, _ in files}
        gone = [name for name in known if name not in present]
        known = {name: mark for name, mark in known.items() if name in present}
        for name, size, changed in files:
            mark = known.get(name)
            if isinstance(mark, dict) and mark.get("size") == size and mark.get("mtime") == changed:
                continue
            if now.timestamp() - changed / 1e9 < self._settle:
                continue
            path = self._folder / name
            digest = await asyncio.to_thread(_digest, path)
            fresh = {"size": size, "mtime": changed, "digest": digest}
            if isinstance(mark, dict) and mark.get("digest") == digest:
                known[name] = fresh  # touched or copied again, the same bytes
                yield Page(items=(), cursor={"files": dict(known)})
                continue
            async for page in self._file(path, name):
                # Until its last page is stored the file counts as not read: after a crash it is read from the start,
                # which the content hash makes cheap.
                yield replace(page, cursor={"files": dict(known)})
            known[name] = fresh
            yield Page(items=(), cursor={"files": dict(known)})
        if gone:
            yield Page(items=(), cursor={"files": dict(known)})

    async def _file(self, path: Path, name: str) -> AsyncIterator[Page]:
        loop = asyncio.get_running_loop()
        try:
            with path.open("rb") as stream:
                pages: Iterator[Page] = read(stream, name)
                while (page := await loop.run_in_executor(None, next, pages, None)) is not None:
                    said = tuple((f"{name}: {where}", why) for where, why in page.rejected)
                    yield Page(page.items, None, page.complete_scopes, tuple(f"{name}: {n}" for n in page.notes), said)
        except OSError as error:
            raise RetryLater(f"{path} cannot be read: {error}", mend="Check its rights.") from error


def _files(folder: Path, patterns: tuple[str, ...]) -> list[tuple[str, int, int]]:
    """(name, size, time of change in ns), oldest first so that the newest scan has the last word."""
    if not folder.is_dir():
        raise RetryLater(
            f"the folder {folder} does not exist", mend="Create it, or change option folder of the source."
        )
    found = []
    for path in {p for pattern in patterns for p in folder.glob(pattern)}:
        # compliance/*.ocsf.json holds one record a requirement, not findings.
        if path.is_file() and path.parent.name != "compliance":
            stat = path.stat()
            found.append((path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns))
    return sorted(found, key=lambda f: (f[2], f[0]))


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
