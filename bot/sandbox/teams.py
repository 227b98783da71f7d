"""Acme's Microsoft Teams: the Microsoft 365 Agents Playground, fetched once from npm, configured, started and stopped.

The Playground is Microsoft's own stand-in for Teams: a web page that is one user, and the connector's REST API. Its
licence allows it for evaluating and testing; it is never shipped with Gatehouse. It runs offline: a small preload
keeps it on loopback, for what it listens to and for what it calls.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bot.domain.errors import SettingsError
from bot.sandbox import programs, slack
from bot.sandbox.programs import Package, free_port

VERSION = "0.2.28"
PACKAGE = Package(
    "agents-playground",
    "@microsoft/m365agentsplayground",
    VERSION,
    "@microsoft/m365agentsplayground/cli.js",
    "the Microsoft 365 Agents Playground",
)
TENANT = "ac3e0000-0000-4000-8000-000000000001"
START_SECONDS = 30.0
LOOPBACK = """// Written by the sandbox: this program neither listens nor calls beyond this machine.
const net = require('net');
const { listen } = net.Server.prototype;
net.Server.prototype.listen = function (first, ...rest) {
  if (first && typeof first === 'object' && 'port' in first) return listen.call(this, { ...first, host: '127.0.0.1' });
  if (typeof first !== 'number' && !/^\\d+$/.test(String(first))) return listen.call(this, first, ...rest);
  return listen.call(this, first, '127.0.0.1', ...rest.filter((each) => typeof each !== 'string'));
};
const { connect } = net.Socket.prototype;
const near = new Set(['localhost', '127.0.0.1', '::1']);
net.Socket.prototype.connect = function (...given) {
  const options = [].concat(given[0])[0];
  const host = options && typeof options === 'object' ? options.host : given[1];
  if (host === undefined || near.has(host)) return connect.apply(this, given);
  process.nextTick(() => this.destroy(new Error('the sandbox is offline')));
  return this;
};
"""


@dataclass(frozen=True, slots=True)
class Account:
    """A person of the tenant. ``object_id`` is what Entra knows them by, ``id`` what this bot is told."""

    name: str
    real_name: str
    object_id: str

    @property
    def id(self) -> str:
        return f"29:{self.name}"

    @property
    def identity(self) -> str:
        """As in gatehouse.yml."""
        return f"{TENANT}/{self.object_id}"

    @property
    def upn(self) -> str:
        return f"{self.name}@acme.example"


@dataclass(frozen=True, slots=True)
class Channel:
    id: str
    name: str


def _account(number: int, name: str, real_name: str) -> Account:
    return Account(name, real_name, f"{number:08d}-0000-4000-8000-ac3e00000000")


OLIVIA, ALICE, BOB, NORA = (
    _account(number, member.name, member.real_name)
    for number, member in enumerate((slack.OLIVIA, slack.ALICE, slack.BOB, slack.NORA), 1)
)
# In Teams only: the Playground wants five people besides the one at the page, all of them in the team. Oscar, the
# guest, is not: where a guest reads along, the bot answers nobody in the channel.
PETRA, WANDA = _account(5, "petra", "Petra Paulsen"), _account(6, "wanda", "Wanda Weber")
PEOPLE = (OLIVIA, ALICE, BOB, NORA, PETRA, WANDA)
HERE = ALICE  # the page is hers

TEAM = "Cloud security"
# The Playground has a team with its General channel, whose id is the team's, and one more.
GENERAL = Channel("19:acme-cloud-security@thread.tacv2", "General")
PAYMENTS = Channel("19:acme-team-payments@thread.tacv2", "team-payments")
CHANNELS = (GENERAL, PAYMENTS)
PERSONAL = f"a:{HERE.name}"


def widen(shape: dict[str, Any], *, app_id: str, openid_url: str, service_url: str) -> None:
    """Acme's ``gatehouse.yml`` with Teams: the same owners and people, in channels of both platforms."""
    shape["teams"] = {
        "enabled": True,
        "app_id": app_id,
        "app_type": "UserAssignedMSI",
        "tenant": TENANT,
        "openid_url": openid_url,
        "service_url": service_url,
    }
    for name, owner in shape["routing"]["owners"].items():
        owner["channels"].append(f"teams:{(PAYMENTS if name == 'payments' else GENERAL).id}")
    shape["routing"]["fallback"].append(f"teams:{GENERAL.id}")
    for account in PEOPLE:
        if account.name in shape["people"]:
            shape["people"][account.name]["teams"] = account.identity
    # Groups of Entra are not read: in Teams an approver is who stands in gatehouse.yml.
    shape["groups"]["cloud-approvers"]["members"] = ["alice", "bob"]


def playground(app_id: str) -> dict[str, Any]:
    """The Playground's configuration. "userPrincipleName" is its own spelling."""

    def person(account: Account) -> dict[str, Any]:
        given, _, surname = account.real_name.partition(" ")
        return {
            "id": account.id,
            "name": account.real_name,
            "userPrincipleName": account.upn,
            "aadObjectId": account.object_id,
            "givenName": given,
            "surname": surname,
            "email": account.upn,
        }

    return {
        "version": "0.1.1",
        "tenantId": TENANT,
        "bot": {"id": f"28:{app_id}", "name": "Gatehouse"},
        "currentUser": person(HERE),
        "users": [person(account) for account in PEOPLE if account is not HERE],
        "personalChat": {"id": PERSONAL},
        "groupChat": {"id": "19:acme-on-call@thread.v2", "name": "On call"},
        "team": {
            "id": GENERAL.id,
            "name": TEAM,
            "aadGroupId": "99999999-0000-4000-8000-ac3e00000000",
            "channels": [{"id": PAYMENTS.id, "name": PAYMENTS.name}],
        },
    }


async def install(cache: Path | None = None) -> Path:
    return await programs.install(PACKAGE, cache)


class Playground(programs.Local):
    """``async with Playground(program, folder, app_id, endpoint) as playground: playground.url``"""

    def __init__(self, program: Path, folder: Path, app_id: str, endpoint: str) -> None:
        super().__init__()
        self.program, self.folder, self.app_id, self.endpoint = program, folder, app_id, endpoint
        self.url = ""

    async def __aenter__(self) -> Playground:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        preload = await asyncio.to_thread(self._write)
        await self.begin(
            str(programs.node()), "--require", str(preload), str(self.program), "start",
            "--app-endpoint", self.endpoint, "--channel-id", "msteams", "--port", str(port), "--disable-telemetry",
            probe="/_internal/v1/config",
            refusal=SettingsError(
                "the Microsoft 365 Agents Playground did not start",
                mend=f"Its log is {self.folder / 'playground.log'} (kept with --data). Try again.",
            ),
            cwd=self.folder,
            env=self._environment(),
        )  # fmt: skip
        return self

    def _write(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "playground.yml").write_text(yaml.safe_dump(playground(self.app_id), sort_keys=False), "utf-8")
        preload = self.folder / "loopback.cjs"
        preload.write_text(LOOPBACK, "utf-8")
        return preload

    def _environment(self) -> dict[str, str]:
        unwanted = ("TEAMS", "BOT_", "DEFAULT_CHANNEL", "SEND_INSTALLATION", "GATEHOUSE_", "AWS_", "NODE_", "AUTH_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
        return kept | {
            "TEAMS_APP_TEST_TOOL_CONFIG_PATH": str(self.folder / "playground.yml"),
            "TEAMSAPPTESTER_BROWSER": "none",
            "TEAMSAPPTESTER_LOGFILE": str(self.folder / "playground.log"),
        }

    def is_ours(self, answer: Any) -> bool:
        return bool(answer["config"]["tenantId"] == TENANT)
