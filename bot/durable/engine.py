"""DBOS as we run it. Importing this module imports DBOS (0.5 s): only ``Durable.start`` does.

The cures of DBOS's defaults: an executor id of its own per replica, a version that we raise on purpose, an engine of
ours (WAL on SQLite), JSON and never pickle. Takeover, the fifth, is in ``replicas`` and ``service``.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import dbos._serialization as dbos_serialization
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID, WorkflowStatus
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine import URL

log = logging.getLogger(__name__)

APP = "gatehouse"
SCHEMA = "gatehouse_durable"
# Raise it when a workflow's name, arguments or the order of its steps change; drain first (docs/reliability.md).
VERSION = "1"
BUSY_TIMEOUT_MS = 30_000
FINISHED = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")

Do = Callable[[str, str], Awaitable[str]]
_do: Do | None = None  # of the running Durable; DBOS is one per process


def beside(url: URL) -> URL:
    """Where the engine keeps its own tables: a file beside ours, or a schema of its own in the same PostgreSQL."""
    if url.drivername != "sqlite" or not url.database:
        return url
    ours = Path(url.database)
    return url.set(database=str(ours.with_name(f"{ours.stem}-durable{ours.suffix or '.db'}")))


def open_engine(url: URL) -> Engine:
    """The engine that DBOS is given instead of opening one by its defaults."""
    if url.drivername != "sqlite":
        return create_engine(url, pool_size=6, max_overflow=4, pool_pre_ping=True)
    engine = create_engine(url, pool_size=4, max_overflow=4, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _pragmas(dbapi: Any, _record: Any) -> None:
        dbapi.isolation_level = "IMMEDIATE"  # one writer at a time, and no upgrade of a reading transaction
        dbapi.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        dbapi.execute("PRAGMA journal_mode=WAL")
        dbapi.execute("PRAGMA synchronous=NORMAL")
        dbapi.execute("PRAGMA foreign_keys=ON")

    return engine


def _refuse_pickle(_self: object, _data: Any) -> Any:
    raise TypeError("pickled data in the durable engine's tables is refused: reading it could run code")


def forbid_pickle() -> None:
    """DBOS unpickles a row that says it is pickled, whatever serializer is configured. Not in this process."""
    pickled: Any = dbos_serialization.DefaultSerializer
    pickled.serialize = pickled.deserialize = _refuse_pickle


@DBOS.step(name="gatehouse.do")
async def _step(kind: str, key: str) -> str:
    if _do is None:
        raise RuntimeError("no Durable runs in this process")
    return await _do(kind, key)


@DBOS.workflow(name="gatehouse.work")
async def _work(kind: str, key: str) -> str:
    """One unit of work: what it does is looked up by ``kind`` here, so that stored arguments are two texts."""
    return await _step(kind, key)


def build(engine: Engine, executor_id: str, version: str) -> None:
    """Make the process's DBOS; ``launch`` starts it."""
    forbid_pickle()
    url = make_url(engine.url).render_as_string(hide_password=False)
    config: DBOSConfig = {
        "name": APP,
        "system_database_url": url,
        "system_database_engine": engine,
        "dbos_system_schema": SCHEMA,
        "executor_id": executor_id,
        "application_version": version,
        "serializer": DBOSPortableJSONSerializer(),
        "log_level": "ERROR",
        "scheduler_polling_interval_sec": 3600.0,  # APScheduler ticks; DBOS's own schedules are not used
    }
    DBOS(config=config)


def launch(do: Do) -> None:
    """On the event loop that workflows shall run on."""
    global _do
    _do = do
    DBOS.launch()


def destroy() -> None:
    global _do
    _do = None
    DBOS.destroy()


async def start(workflow_id: str, kind: str, key: str) -> None:
    """Begin it, unless it was ever begun under this id."""
    with SetWorkflowID(workflow_id):
        await DBOS.start_workflow_async(_work, kind, key)


async def status(workflow_id: str) -> WorkflowStatus | None:
    return await DBOS.get_workflow_status_async(workflow_id)


async def listed(states: Sequence[str], *, before: str | None = None, limit: int | None = None) -> list[WorkflowStatus]:
    """Workflows in one of the states, without their inputs and outputs."""
    return await DBOS.list_workflows_async(
        status=list(states), completed_before=before, limit=limit, load_input=False, load_output=False
    )


async def resume(workflow_id: str) -> None:
    await DBOS.resume_workflow_async(workflow_id)


async def delete(workflow_ids: list[str]) -> None:
    await DBOS.delete_workflows_async(workflow_ids)
