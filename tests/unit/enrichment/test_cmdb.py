"""ServiceNow's configuration items: every page, whole or not at all, and what routing makes of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from bot.domain.errors import BadInput, Refused, Relogin, SettingsError
from bot.intake.matching import Facts
from bot.intake.ownership import CMDB_OWNERS, load
from connectors.servicenow import CmdbReader
from connectors.servicenow.cmdb import FIELDS, PAGE


class Instance:
    """A Table API that checks what it is asked."""

    def __init__(self, count: int) -> None:
        self.items: list[Any] = [{"name": f"ci-{n}", "object_id": f"arn:{n}", "support_group": "Payments"}
                                 for n in range(count)]  # fmt: skip
        self.total = count
        self.breaks_at = -1
        self.asked: list[web.Request] = []

    async def table(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if request.headers.get("Authorization") != "Basic cmVhZGVyOnNlY3JldA==":  # reader:secret
            return web.json_response({"error": {"message": "User Not Authenticated"}}, status=401)
        assert request.query["sysparm_query"].endswith("ORDERBYsys_id")
        start = int(request.query["sysparm_offset"])
        if start == self.breaks_at:
            return web.json_response({"error": {"message": "no"}}, status=400)
        page = self.items[start : start + int(request.query["sysparm_limit"])]
        return web.json_response({"result": page}, headers={"X-Total-Count": str(self.total)})


@pytest.fixture
async def instance() -> AsyncIterator[tuple[Instance, str]]:
    played = Instance(PAGE + 5)
    app = web.Application()
    app.add_routes([web.get("/api/now/table/cmdb_ci", played.table)])
    server = TestServer(app)
    await server.start_server()
    yield played, str(server.make_url("")).rstrip("/")
    await server.close()


def reader(base: str, password: str = "secret") -> CmdbReader:
    return CmdbReader(base, "reader", SecretStr(password), query="operational_status=1", pace=None)


async def test_every_page_is_read_and_routing_finds_the_owner(instance: tuple[Instance, str], tmp_path: Path) -> None:
    played, base = instance
    played.items[0] = {"name": "first", "object_id": "arn:0", "owned_by": {"display_value": "Platform", "value": "1"}}
    source, out = reader(base), tmp_path / "ci.csv"
    assert await source.save(out) == PAGE + 5
    assert len(played.asked) == 2
    assert played.asked[0].query["sysparm_query"] == "operational_status=1^ORDERBYsys_id"
    registers = load([out], [], {})
    assert registers.of(Facts("toy", resource_uid="arn:0"))[0].who == ("Platform",)
    assert registers.of(Facts("toy", resource_uid=f"arn:{PAGE + 4}"))[0].who == ("Payments",)
    await source.close()


async def test_rows_that_the_user_may_not_see_are_counted_and_missing(
    instance: tuple[Instance, str], tmp_path: Path
) -> None:
    played, base = instance
    played.total = 3 * PAGE
    source = reader(base)
    assert await source.save(tmp_path / "ci.csv") == PAGE + 5
    assert (source.total, len(played.asked)) == (3 * PAGE, 3)
    await source.close()


@pytest.mark.parametrize(("change", "error"), [("breaks", Refused), ("none", BadInput), ("odd", BadInput)])
async def test_what_is_not_whole_leaves_the_file_as_it_was(
    instance: tuple[Instance, str], tmp_path: Path, change: str, error: type[Exception]
) -> None:
    played, base = instance
    out = tmp_path / "ci.csv"
    out.write_text("before")
    if change == "breaks":
        played.breaks_at = PAGE
    elif change == "none":
        played.items, played.total = [], 0
    else:
        app = web.Application()
        app.add_routes([web.get("/api/now/table/cmdb_ci", _odd)])
        server = TestServer(app)
        await server.start_server()
        base = str(server.make_url("")).rstrip("/")
    source = reader(base)
    with pytest.raises(error):
        await source.save(out)
    assert out.read_text() == "before"
    assert not out.with_name("ci.csv.part").exists()
    await source.close()


async def _odd(request: web.Request) -> web.StreamResponse:
    return web.json_response({"records": []})


async def test_a_wrong_password_is_told_without_it(instance: tuple[Instance, str], tmp_path: Path) -> None:
    source = reader(instance[1], "wrong-password")
    with pytest.raises(Relogin) as told:
        await source.save(tmp_path / "ci.csv")
    assert "wrong-password" not in str(told.value)
    await source.close()


def test_the_fields_are_those_that_routing_understands() -> None:
    assert set(CMDB_OWNERS) <= set(FIELDS)
    with pytest.raises(SettingsError, match="no table"):
        CmdbReader("https://acme.example", "reader", SecretStr("x"), table="cmdb_ci/../sys_user")
