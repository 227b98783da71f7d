"""All simulated vendors of the demo company at once, each looking at the simulated AWS by its own scans.

Every vendor sees most of the same problems (which ones, its name and the problem decide) and tells of them in its own
words. A scan asks the simulated AWS itself whether a resource is still wrong: what somebody fixed there is resolved,
what came back is open again, whatever a person had set at the vendor. A second look costs nothing while nobody wrote.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp import web

from bot.sandbox.aws import PROD, Account, SimulatedAws
from bot.sandbox.vendors import checks
from bot.sandbox.vendors.company import Problem, World, recorded
from bot.sandbox.vendors.lacework import LaceworkSimulator
from bot.sandbox.vendors.orca import OrcaSimulator
from bot.sandbox.vendors.prisma_cloud import KEY, SECRET, PrismaCloud
from bot.sandbox.vendors.prowler import CHECKS
from bot.sandbox.vendors.security_hub import REGION, SecurityHub
from bot.sandbox.vendors.wiz import Wiz

log = logging.getLogger(__name__)
# Good for nothing but the simulators of this very machine.
TOKEN = "a-token-of-the-simulation"  # noqa: S105
HOOK = "a-webhook-secret-of-the-simulation"
EVERY_MINUTES = 0.5
LOOK_SECONDS = 10.0  # one vendor scans at each look, so each comes round in under a minute


@dataclass(slots=True)
class Vendor:
    name: str
    world: World | None  # None: Prowler, whose scans are files
    app: web.Application | None
    options: Callable[[str], dict[str, Any]]  # of the source, from the address of the server
    webhook: Callable[[Problem], tuple[bytes, Mapping[str, str]]] | None = None
    after_scan: Callable[[], None] = lambda: None


class Estate:
    """``async with Estate(aws, findings) as estate:`` the servers answer; ``sources()`` is what gatehouse.yml needs.
    ``watch(bot)`` scans until it is cancelled and sends webhooks to ``bot``, the address of its server."""

    def __init__(self, aws: SimulatedAws, findings: Path, *, now: Callable[[], datetime] | None = None) -> None:
        self._aws, self._findings = aws, findings
        self.now = now or (lambda: datetime.now(UTC))
        self.vendors: list[Vendor] = []
        self.scans: list[tuple[str, int]] = []  # vendor, how many problems changed
        self._bases: dict[str, str] = {}
        self.opened = asyncio.Event()  # until then every call waits
        self.opened.set()
        self._stack = AsyncExitStack()
        self._accounts: dict[str, Account] = {}
        self._seen: dict[str, int] = {}  # vendor -> writes to AWS that its last scan knew of
        self._passed: set[tuple[str, str, str]] = set()  # account, check, resource that Prowler's last scan found fixed

    async def __aenter__(self) -> Estate:
        self.vendors = self._made()
        try:
            for vendor in self.vendors:
                if vendor.app is not None:
                    self._bases[vendor.name] = await self._serve(vendor.app)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @web.middleware
    async def _door(self, request: web.Request, handler: Any) -> web.StreamResponse:
        await self.opened.wait()
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _serve(self, app: web.Application) -> str:
        app.middlewares.insert(0, self._door)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    def world(self, name: str) -> World:
        found = next(one.world for one in self.vendors if one.name == name)
        assert found is not None
        return found

    def sources(self) -> dict[str, Any]:
        """The part ``sources`` of gatehouse.yml, Prowler's folder excepted."""
        return {
            vendor.name: {
                "kind": vendor.name,
                "every_minutes": EVERY_MINUTES,
                "webhook": vendor.webhook is not None,
                "write_back": True,
                "options": vendor.options(self._bases[vendor.name]),
            }
            for vendor in self.vendors
            if vendor.app is not None
        }

    # --- who sees what

    def _seen_by(self, name: str) -> World:
        """Three quarters of the problems, another part for each vendor; public buckets are seen by all of them."""
        world = World(start=self.now() - timedelta(hours=12))
        for problem in world.problems():
            digest = hashlib.blake2b(f"{name}/{problem.key}".encode(), digest_size=2).digest()
            kept = problem.rule == "s3-public" or digest[0] % 4
            if name == "lacework":
                kept = problem.kind != "posture"  # it evaluates once a day: nobody would wait for it in a demo
            if not kept:
                world.forget(problem.key)
        return world

    def _made(self) -> list[Vendor]:
        now = self.now
        worlds = {name: self._seen_by(name) for name in ("wiz", "orca", "prisma_cloud", "lacework", "security_hub")}
        wiz = Wiz(worlds["wiz"], now=now)
        orca = OrcaSimulator(worlds["orca"], token=TOKEN, now=now)
        prisma = PrismaCloud(worlds["prisma_cloud"], now=now)
        lacework = LaceworkSimulator(worlds["lacework"], key_id="ACME_KEY", secret=TOKEN, now=now)
        hub = SecurityHub(worlds["security_hub"], now=now, account=PROD)
        return [
            Vendor(
                "wiz", worlds["wiz"], wiz.app(),
                lambda base: {"api_url": f"{base}/graphql", "auth_url": f"{base}/oauth/token",
                              "client_id": wiz.client_id, "client_secret": wiz.client_secret, "exploitable_only": False,
                              "webhook_token": HOOK},
                lambda one: (json.dumps(wiz.webhook_body(one)).encode(), {"Authorization": f"Bearer {HOOK}"}),
            ),
            Vendor(
                "orca", worlds["orca"], orca.app(),
                lambda base: {"url": base, "token": TOKEN, "per_second": 20, "webhook_secret": HOOK},
                lambda one: (orca.webhook_body([one]), {"X-Gatehouse-Token": HOOK}),
                orca.scan,
            ),
            Vendor(
                "prisma_cloud", worlds["prisma_cloud"], prisma.app(),
                lambda base: {"url": base, "access_key": KEY, "secret_key": SECRET},
            ),
            Vendor(
                "lacework", worlds["lacework"], lacework.app(),
                lambda base: {"account": base, "key_id": "ACME_KEY", "secret": TOKEN},
            ),
            Vendor(
                "security_hub", worlds["security_hub"], hub.app(),
                lambda base: {"endpoint_url": base, "region": REGION, "account": PROD, "workflow_minutes": 1},
            ),
            Vendor("prowler", None, None, lambda base: {}),
        ]  # fmt: skip

    # --- scans

    async def watch(self, bot: str) -> None:
        """One vendor scans every ten seconds."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            turn = 0
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                vendor = self.vendors[turn % len(self.vendors)]
                turn += 1
                try:
                    changed = await self.scan(vendor)
                    if vendor.webhook is not None:
                        for problem in changed:
                            await self._send(session, f"{bot}/webhooks/{vendor.name}", *vendor.webhook(problem))
                except Exception:
                    log.exception("the scan of the simulated %s failed", vendor.name)

    async def scan(self, vendor: Vendor) -> list[Problem]:
        """Let one vendor look at the simulated AWS; the problems whose status changed."""
        writes = len(await self._aws.calls(writes=True))
        changed: list[Problem] = []
        if self._seen.get(vendor.name) != writes:
            changed = await (self._scan_world(vendor.world) if vendor.world is not None else self._scan_files())
            self._seen[vendor.name] = writes
        vendor.after_scan()
        self.scans.append((vendor.name, len(changed)))
        return changed

    async def _look(self, problem: Problem) -> bool | None:
        account = self._accounts.get(problem.account)
        if account is None:  # kept: a client of boto3 takes longer to make than to ask
            account = self._accounts[problem.account] = self._aws.account(problem.account)
        return await asyncio.to_thread(checks.still_wrong, account, problem)

    async def _scan_world(self, world: World) -> list[Problem]:
        changed = []
        for problem in world.problems():
            wrong = await self._look(problem)
            if wrong is not None and wrong != (problem.status == "open"):
                changed.append(world.edit(problem.key, self.now(), status="open" if wrong else "resolved"))
        return changed

    async def _scan_files(self) -> list[Problem]:
        """Prowler scans the checks anew of which a resource changed, and writes a file for each account."""
        changed: list[Problem] = []
        passed: set[tuple[str, str, str]] = set()
        for problem in World().problems():
            check = CHECKS.get(problem.rule)
            if check and await self._look(problem) is False:
                passed.add((problem.account, check, problem.resource_arn))
        if passed == self._passed:
            return changed
        moved = {(account, check) for account, check, _ in passed | self._passed}
        self._passed = passed
        now = self.now()
        for account in {account for account, _ in moved}:
            rows = []
            for row in recorded(account):
                check = str(row["metadata"]["event_code"])
                if (account, check) not in moved:
                    continue
                uid = str(row["resources"][0]["uid"])
                fixed = (account, check, uid) in passed
                fresh = {"time": int(now.timestamp()), "time_dt": now.isoformat()}
                rows.append({**row, **fresh, **({"status_code": "PASS"} if fixed else {})})
            path = self._findings / f"rescan-{account}.ocsf.json"
            fresh_path = path.with_suffix(".new")
            await asyncio.to_thread(fresh_path.write_bytes, json.dumps(rows).encode())
            await asyncio.to_thread(fresh_path.replace, path)
        return changed

    async def _send(self, session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        heads = {"Content-Type": "application/json", **headers}
        try:
            async with session.post(url, data=body, headers=heads) as answer:
                if answer.status >= 300:
                    log.warning("the bot answered %s to a webhook at %s", answer.status, url)
        except aiohttp.ClientError as error:
            log.info("no webhook at %s: %s", url, error)
