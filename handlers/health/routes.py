"""/healthz: the process lives. /readyz: it can do its work, each check by name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from sqlalchemy import Connection, text

from bot.store.database import Database

log = logging.getLogger(__name__)
Check = Callable[[], Awaitable[None]]
SECONDS = 3.0


def add_health(app: web.Application, db: Database, more: Mapping[str, Check] | None = None) -> None:
    """Both routes; ready means that the database answers, and whatever ``more`` asks."""

    async def database() -> None:
        await db.read(_select_one)

    app.add_routes(routes({"database": database, **(more or {})}))


def _select_one(conn: Connection) -> None:
    conn.execute(text("SELECT 1")).scalar_one()


def routes(checks: Mapping[str, Check]) -> list[web.RouteDef]:
    """``checks`` raise when something is not well; what they raise is logged, never shown to the caller."""

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_request: web.Request) -> web.Response:
        said = dict(zip(checks, await asyncio.gather(*(_said(n, c) for n, c in checks.items())), strict=True))
        ready = all(word == "ok" for word in said.values())
        return web.json_response(
            {"status": "ok" if ready else "unavailable", "checks": said}, status=200 if ready else 503
        )

    return [web.get("/healthz", healthz), web.get("/readyz", readyz)]


async def _said(name: str, check: Check) -> str:
    try:
        await asyncio.wait_for(check(), SECONDS)
    except TimeoutError:
        log.warning("readiness check %s did not end within %s s", name, SECONDS)
        return "slow"
    except Exception:
        log.warning("readiness check %s failed", name, exc_info=True)
        return "failed"
    return "ok"
