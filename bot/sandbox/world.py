"""The whole sandbox as one thing: simulated AWS, local Slack behind the gate, and the bot, unchanged from production.

With ``teams`` also a local Teams behind a gate of its own; the bot serves both.

``async with World(folder) as world:`` gives a running bot and everything needed to look at it from outside.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from bot.domain.errors import GatehouseError, SettingsError
from bot.sandbox import scan, slack, teams
from bot.sandbox.aws import DEV, PROD, RECORDED_SEED, REGION, Account, SimulatedAws, cloud_environment
from bot.sandbox.company import Company, build
from bot.sandbox.gate import Gate, GateConfig, UserGroup
from bot.sandbox.programs import free_port
from bot.sandbox.teams_gate import TeamsGate
from bot.sandbox.vendors.estate import Estate
from bot.settings import CONFIG_ENV, PROWLER_ENV, Settings, load_settings

Progress = Callable[[str], None]
APPROVERS = UserGroup(
    "S01APPROVERS",
    "cloud-approvers",
    "Cloud approvers",
    # Oscar is in it by mistake: being in the group does not help a guest
    (slack.ALICE.id, slack.BOB.id, slack.OSCAR.id),
)
READY_SECONDS = 60.0
VENDORS_WAIT_SECONDS = 12.0  # shorter than the patience of any client


def settings_of(
    *, folder: Path, endpoint: str, api: str, port: int, every_minutes: float = 0.1, cards_per_interval: int = 3
) -> dict[str, Any]:
    """Acme's ``gatehouse.yml``."""
    people = {
        "olivia": (slack.OLIVIA, {"team": "payments", "role": "Payments lead"}),
        "alice": (slack.ALICE, {"team": "security", "role": "Cloud security"}),
        "bob": (slack.BOB, {"team": "platform", "role": "Platform engineer"}),
        "oscar": (slack.OSCAR, {"role": "Contractor"}),
    }
    owners = {
        "payments": {"name": "Payments", "channels": [f"slack:{slack.PAYMENTS.id}"]},
        "web": {"name": "Web shop", "channels": [f"slack:{slack.WEB.id}"]},
        "platform": {"name": "Platform", "channels": [f"slack:{slack.PLATFORM.id}"]},
    }
    return {
        "database_url": f"sqlite:///{folder / 'gatehouse.db'}",
        "host": "127.0.0.1",
        "port": port,
        "log_level": "WARNING",
        "slack": {"enabled": True, "mode": "socket", "base_url": api, "team": slack.TEAM},
        "aws": {
            "endpoint_url": endpoint,
            "region": REGION,
            "read_role": "arn:aws:iam::{account}:role/gatehouse-read",
            "write_role": "arn:aws:iam::{account}:role/gatehouse-write",
        },
        "sources": {
            "prowler": {
                "kind": "prowler",
                "every_minutes": every_minutes,
                "options": {"folder": str(folder / "findings"), "settle_seconds": 0},
            }
        },
        "routing": {
            "owners": owners,
            "rules": [
                {
                    "name": "what belongs to the whole production account",
                    "match": {
                        "account": PROD,
                        "rule": ["ec2_ebs_default_*", "iam_password_*", "guardduty_*", "s3_account_*"],
                    },
                    "owner": "platform",
                },
                {
                    "name": "networks and keys of production without an owner tag",
                    "match": {"account": PROD, "rule": ["vpc_*", "kms_*"]},
                    "owner": "platform",
                },
            ],
            "owner_tags": ["owner", "team"],
            "fallback": [f"slack:{slack.SECURITY.id}"],
            "cards_per_interval": cards_per_interval,
            "interval_minutes": 10,
        },
        "environments": {
            "tags": ["env"],
            "rules": [
                {"match": {"account": PROD}, "environment": "prod"},
                {"match": {"account": DEV}, "environment": "dev"},
            ],
        },
        "governance": {
            "rules": [
                {
                    "name": "risky changes in production",
                    "match": {"environment": "prod", "risk": "high"},
                    "quorum": 2,
                    "groups": ["cloud-approvers"],
                    "expires_minutes": 60,
                },
                {"name": "any other change", "quorum": 1, "groups": ["cloud-approvers"], "expires_minutes": 240},
            ]
        },
        "people": {
            key: {"name": m.real_name, "email": m.email, "slack": f"{slack.TEAM}/{m.id}", **more}
            for key, (m, more) in people.items()
        },
        "groups": {"cloud-approvers": {"members": ["alice"], "slack": APPROVERS.id}},
    }


class World:
    """A running sandbox. ``folder`` is kept when given, else made and removed."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        seed: int = RECORDED_SEED,
        port: int = 0,
        live_scan: bool = False,
        with_bot: bool = True,
        message_burst: int = 5,
        cards_per_interval: int = 3,
        vendors: bool = False,
        with_teams: bool = False,
        teams_port: int = 0,
        progress: Progress = lambda _: None,
    ) -> None:
        if seed != RECORDED_SEED and not live_scan:
            raise SettingsError(
                f"the recorded findings are about the company of seed {RECORDED_SEED}, not {seed}",
                mend="Leave --seed out, or add --scan to let the scanner look at the company of that seed.",
            )
        self.seed = seed
        self.aws = SimulatedAws(seed=seed)
        self.company = Company()
        self.settings: Settings | None = None
        self._keep = folder is not None
        self._folder = folder
        self._port = port
        self._scan = live_scan
        self._with_bot = with_bot
        self._burst = message_burst
        self._cards = cards_per_interval
        self._with_vendors = vendors
        self.estate: Estate | None = None
        self.teams: TeamsGate | None = None
        self._with_teams = with_teams
        self._teams_port = teams_port
        self._progress = progress
        self._stack = AsyncExitStack()
        self._stop = asyncio.Event()
        self._bot: asyncio.Task[None] | None = None

    # --- what to look at ---

    @property
    def folder(self) -> Path:
        assert self._folder is not None, "the world is not running"
        return self._folder

    @property
    def settings_path(self) -> Path:
        return self.folder / "gatehouse.yml"

    @property
    def slack_url(self) -> str:
        return self.slack.url

    def account(self, uid: str = PROD) -> Account:
        """boto3 clients of one account: ``world.account().client("s3")``."""
        return self.aws.account(uid)

    # --- life ---

    async def __aenter__(self) -> World:
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise
        return self

    async def _start(self) -> None:
        if self._scan:
            scan.find_prowler()
        if self._folder is None:
            # Not in a thread: a cancellation that came between would leave the folder behind, known to nobody.
            self._folder = Path(tempfile.mkdtemp(prefix="gatehouse-"))
        else:
            self._folder = await asyncio.to_thread(self._folder.resolve)
        self._clean()
        self._progress("Fetching the local Slack workspace (once)")
        program = await slack.install()
        self._progress("Starting the simulated AWS")
        await self._stack.enter_async_context(self.aws)
        self.company = await asyncio.to_thread(
            build, self.aws.endpoint, lambda step: self._progress(f"Building Acme: {step}")
        )
        self._progress("Starting the local Slack workspace")
        self.slack = slack.LocalSlack(program, self.folder / "slack", port=self._port)
        await self._stack.enter_async_context(self.slack)
        config = GateConfig(
            slack.BOT_TOKEN,
            slack.APP_TOKEN,
            (APPROVERS,),
            slack.profiles(),
            scopes=manifest_scopes(),
            message_burst=self._burst,
        )
        self.gate = await self._stack.enter_async_context(Gate(config, self.slack.url))
        if self._with_teams:
            await self._start_teams()
        if self._scan:
            await scan.scan_all(self.aws.endpoint, self.folder / "findings", self._progress)
        else:
            self._progress("Unpacking the recorded findings")
            await asyncio.to_thread(scan.unpack_recorded, self.folder / "findings")
        await self.aws.forget_calls()
        if self._with_vendors:
            self._progress("Starting the simulated Wiz, Orca, Prisma Cloud, Lacework and Security Hub")
            self.estate = await self._stack.enter_async_context(Estate(self.aws, self.folder / "findings"))
        await asyncio.to_thread(self._write_settings)
        if self._with_bot:
            self._progress("Starting the bot")
            if self.estate is not None:
                self.estate.opened.clear()
            await self._start_bot()
            if self.estate is not None:
                self._watch(self.estate)

    async def _start_teams(self) -> None:
        self._progress("Fetching the Microsoft 365 Agents Playground (once)")
        program = await teams.install()
        self._progress("Starting the local Teams")
        gate = self.teams = await self._stack.enter_async_context(TeamsGate(port=self._teams_port))
        local = teams.Playground(program, self.folder / "teams", gate.app_id, gate.endpoint)
        await self._stack.enter_async_context(local)
        await gate.attach(local.url)

    def _clean(self) -> None:
        """A new company every time: what an earlier run left would be about resources that are gone."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("gatehouse.db", "gatehouse.db-wal", "gatehouse.db-shm"):
            (self.folder / name).unlink(missing_ok=True)

    def _write_settings(self) -> None:
        port = free_port()  # right before it is used: a port that was free a while ago may not be any more
        shape = settings_of(
            folder=self.folder,
            endpoint=self.aws.endpoint,
            api=self.gate.api,
            port=port,
            cards_per_interval=self._cards,
        )
        if self.teams is not None:
            gate = self.teams
            gate.bot = f"http://127.0.0.1:{port}"
            teams.widen(shape, app_id=gate.app_id, openid_url=gate.openid_url, service_url=gate.service_url)
        if self.estate is not None:
            shape["sources"] |= self.estate.sources()
        head = (
            "# Written by the sandbox; the tokens open nothing but the local workspace and come from the environment,\n"
            "# those of the sources open nothing but the simulators.\n"
        )
        self.settings_path.write_text(head + yaml.safe_dump(shape, sort_keys=False, allow_unicode=True), "utf-8")

    def environment(self) -> dict[str, str]:
        """What the bot finds in its environment: tokens, and keys of the simulated AWS."""
        return {
            CONFIG_ENV: str(self.settings_path),
            "GATEHOUSE_SLACK_BOT_TOKEN": slack.BOT_TOKEN,
            "GATEHOUSE_SLACK_APP_TOKEN": slack.APP_TOKEN,
            "GATEHOUSE_SLACK_SIGNING_SECRET": slack.SIGNING_SECRET,
            **cloud_environment(self.aws.endpoint),
            **(self.teams.environment() if self.teams is not None else {}),
        }

    async def _start_bot(self) -> None:
        from bot.composition import serve

        # only what the sandbox says: a real workspace's or account's settings in this shell must not leak in
        self._stack.enter_context(_environment(self.environment()))
        self.settings = load_settings(self.settings_path)
        self._stop = asyncio.Event()
        ready = asyncio.Event()
        self._bot = asyncio.create_task(serve(self.settings, stop=self._stop, ready=ready), name="bot")
        self._stack.push_async_callback(self._stop_bot)
        waiting = asyncio.create_task(ready.wait())
        try:
            await asyncio.wait({waiting, self._bot}, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._bot.done():
            self._bot.result()
            raise GatehouseError("the bot stopped while it was starting")
        if not ready.is_set():
            raise GatehouseError(f"the bot did not start within {READY_SECONDS:.0f} seconds")

    def _watch(self, estate: Estate) -> None:
        assert self.settings is not None
        bot = f"http://{self.settings.host}:{self.settings.port}"

        async def watch() -> None:
            # The first card is Prowler's: on a small machine five more sources at once would make people wait for it.
            for _ in range(int(VENDORS_WAIT_SECONDS / 0.2)):
                if any(call["ok"] and call["method"] == "chat.postMessage" for call in self.gate.calls):
                    break
                await asyncio.sleep(0.2)
            estate.opened.set()
            await estate.watch(bot)

        watching = asyncio.create_task(watch(), name="scans of the vendors")

        async def stop() -> None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

        self._stack.push_async_callback(stop)

    async def _stop_bot(self) -> None:
        bot, self._bot = self._bot, None
        self._stop.set()
        if bot is None:
            return
        done, _ = await asyncio.wait({bot}, timeout=15)
        if not done:
            bot.cancel()
        await asyncio.gather(bot, return_exceptions=True)

    async def wait(self, stop: asyncio.Event) -> None:
        """Until ``stop``, or until the bot ends by itself, which raises."""
        assert self._bot is not None
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait({waiting, self._bot}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._bot.done():
            self._bot.result()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._stack.aclose()
        if not self._keep and self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


def manifest_scopes() -> frozenset[str] | None:
    """The bot scopes of the app's real manifest, so that a call without its scope fails here as it would there."""
    path = Path(__file__).parents[2] / "manifest.yml"
    if not path.exists():  # installed as a wheel: the manifest is part of the repository only
        return None
    manifest = yaml.safe_load(path.read_text("utf-8"))
    return frozenset(manifest["oauth_config"]["scopes"]["bot"])


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    for name in list(os.environ):
        if name.startswith(("GATEHOUSE_", "AWS_", "IDENTITY_", "MSI_")) and name != PROWLER_ENV:
            del os.environ[name]
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
