"""The local Slack workspace: fetched once from npm, configured as Acme's, started and stopped."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from bot.domain.errors import SettingsError
from bot.sandbox import programs
from bot.sandbox.programs import Package, free_port

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
    guests: bool = False  # a guest sees only channels they were invited to


OLIVIA = Member("U01OLIVIA", "olivia", "Olivia Owens", "owner: leads the payments team")
ALICE = Member("U02ALICE", "alice", "Alice Anderson", "approver: cloud security")
BOB = Member("U03BOB", "bob", "Bob Brown", "approver: platform", locale="de-DE", tz="Europe/Berlin")
NORA = Member("U04NORA", "nora", "Nora Novak", "newcomer: joined yesterday, in no group yet")
OSCAR = Member("U05OSCAR", "oscar", "Oscar Outside", "outsider: a guest from another company", guest=True)
MEMBERS = (OLIVIA, ALICE, BOB, NORA, OSCAR)

SECURITY = Channel("C01SECURITY", "security-alerts")
PAYMENTS = Channel("C02PAYMENTS", "team-payments", guests=True)
WEB = Channel("C03WEB", "team-web")
PLATFORM = Channel("C04PLATFORM", "team-platform")
CHANNELS = (SECURITY, PAYMENTS, WEB, PLATFORM)


async def install(cache: Path | None = None) -> Path:
    """The workspace's program; installed with npm when it is not yet in the cache."""
    package = _PLATFORMS.get((platform.system(), platform.machine()))
    if package is None:
        raise SettingsError(
            f"the local Slack workspace is not published for {platform.system()} {platform.machine()}",
            mend="Run the demo on Linux or macOS (x86-64 or ARM64), or connect a real workspace as the README says.",
        )
    start = f"{package}/bin/local-slack"
    return await programs.install(Package("local-slack", package, VERSION, start, "the local Slack workspace"), cache)


def workspace(members: Sequence[Member] = MEMBERS, channels: Sequence[Channel] = CHANNELS) -> dict[str, Any]:
    """The workspace's configuration."""

    def inside(channel: Channel) -> list[str]:
        return [*(m.id for m in members if channel.guests or not m.guest), BOT_USER]

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
        "channels": [{"id": c.id, "name": c.name, "members": inside(c)} for c in channels],
    }


def profiles(members: Sequence[Member] = MEMBERS) -> dict[str, dict[str, Any]]:
    """What the real users.info also tells and the local workspace does not."""
    return {m.id: {"is_restricted": m.guest, "locale": m.locale, "tz": m.tz} for m in members}


class LocalSlack(programs.Local):
    """``async with LocalSlack(program, folder) as slack: slack.url``"""

    def __init__(self, program: Path, folder: Path, *, port: int = 0) -> None:
        super().__init__()
        self.program = program
        self.folder = folder
        self.port = port
        self.url = f"http://localhost:{port}"

    async def __aenter__(self) -> LocalSlack:
        if self.port:
            programs.require_free(self.port, "--port")
        self.port = self.port or free_port()
        self.url = f"http://localhost:{self.port}"
        config = self.folder / "workspace.yml"
        await asyncio.to_thread(self._write, config)
        await self.begin(
            str(self.program), "--config", str(config), "--port", str(self.port),
            "--files-dir", str(self.folder / "files"),
            probe="/_control/state",
            refusal=SettingsError(
                f"the local Slack workspace did not start on port {self.port}",
                mend="Choose another port (--port), and try again.",
            ),
        )  # fmt: skip
        return self

    def _write(self, config: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        config.write_text(yaml.safe_dump(workspace(), sort_keys=False), "utf-8")

    def is_ours(self, answer: Any) -> bool:
        return bool(answer["workspace"]["teamId"] == TEAM)

    async def control(self, action: str, **body: Any) -> Any:
        """The workspace's own control API: what a user does, without a browser."""
        async with aiohttp.ClientSession() as http, http.post(f"{self.url}/_control/{action}", json=body) as answer:
            return await answer.json(content_type=None)

    async def messages(self, channel: str) -> list[dict[str, Any]]:
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/_control/messages/{channel}") as answer:
            found = await answer.json(content_type=None)
        messages: list[dict[str, Any]] = found["messages"] if isinstance(found, dict) else found
        return messages
