"""The simulated Orca keeps the real one's rules."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from bot.sandbox.vendors.company import START, World
from bot.sandbox.vendors.orca import OrcaSimulator

TOKEN = "a-token-of-the-simulation"
NOW = START + timedelta(days=2)


@pytest.fixture
async def orca() -> AsyncIterator[tuple[OrcaSimulator, Any]]:
    made = OrcaSimulator(World(30, seed=2, demo=False), token=TOKEN, now=lambda: NOW, supported=20)
    async with TestClient(TestServer(made.app()), headers={"Authorization": f"Token {TOKEN}"}) as client:
        yield made, client


def alerts(**more: Any) -> dict[str, Any]:
    return {"query": {"models": ["Alert"], "type": "object_set"}, "limit": 100, **more}


async def ask(client: Any, **more: Any) -> Any:
    answer = await client.post("/api/serving-layer/query", json=alerts(**more))
    return answer.status, await answer.json()


async def test_it_lets_in_who_has_the_token_only(orca: tuple[OrcaSimulator, Any]) -> None:
    made, client = orca
    for said, status in (("Token wrong-one", 401), ("Bearer x", 403), (f"TOKEN {TOKEN}", 200)):
        got = await client.post("/api/serving-layer/query", json=alerts(), headers={"Authorization": said})
        assert got.status == status
    made.faults.revoked = True
    assert (await ask(client))[0] == 401


async def test_limits_counts_filters_and_order(orca: tuple[OrcaSimulator, Any]) -> None:
    _, client = orca
    assert await ask(client, limit=1001) == (400, {"status": "failure", "error": "invalid limit 1001"})
    _, counted = await ask(client, limit=3, get_results_and_count=True, **{"order_by[]": ["-OrcaScore"]})
    assert (len(counted["data"]), counted["total_items"]) == (3, 30)
    scores = [row["data"]["OrcaScore"]["value"] for row in counted["data"]]
    assert scores == sorted(scores, reverse=True)
    _, plain = await ask(client, limit=100, start_at_index=28)
    assert len(plain["data"]) == 2
    assert "total_items" not in plain
    clause = {"key": "RiskLevel", "values": ["high"], "type": "str", "operator": "in"}
    query = {"models": ["Alert"], "with": {"type": "operation", "operator": "and", "values": [clause]}}
    _, high = await ask(client, query=query)
    assert {row["data"]["RiskLevel"]["value"] for row in high["data"]} == {"high"}
    assert all("ClosedReason" not in row["data"] for row in high["data"])  # empty fields are left out


async def test_page_tokens_are_of_three_kinds_and_good_for_their_query(orca: tuple[OrcaSimulator, Any]) -> None:
    _, client = orca
    tokens: list[Any] = []
    token = ""
    while True:
        params = {"limit": "8", "dsl_filter": '{"filter": []}', **({"next_page_token": token} if token else {})}
        page = await (await client.get("/api/query/alerts", params=params)).json()
        tokens.append(page["next_page_token"])
        if page["next_page_token"] is None:
            break
        given = page["next_page_token"]
        token = given if isinstance(given, str) else str(given).replace(" ", "")
    assert {type(one) for one in tokens} == {list, str, type(None)}
    assert len(tokens) == 3  # 20 rows for one query, of 30
    other = {"limit": "8", "dsl_filter": "{}", "next_page_token": token}
    assert (await client.get("/api/query/alerts", params=other)).status == 400


async def test_writes_are_not_idempotent_and_a_scan_opens_again_what_is_still_there(
    orca: tuple[OrcaSimulator, Any],
) -> None:
    made, client = orca
    ref = made.ref(made.world.problems()[0])
    assert (await client.put(f"/api/alerts/{ref}/status/close")).status == 200
    again = await client.put(f"/api/alerts/{ref}/status/close")
    assert (again.status, await again.json()) == (400, {"error": "requested to set same configuration"})
    for _ in range(2):
        await client.put(f"/api/alerts/{ref}/comment", json={"comment": "seen"})
    assert made.comments(ref) == ["seen", "seen"]
    assert await (await client.put(f"/api/alerts/{ref}/verify")).json() == {"status": "scanning"}
    assert (await client.put(f"/api/alerts/{ref}/verify")).status == 400
    made.scan()
    assert (await (await client.get(f"/api/alerts/{ref}")).json())["state"]["status"] == "open"
    gone = await client.get("/api/alerts/orca-2")
    assert gone.status == 500
    assert "alert_id orca-2 does not exist" in await gone.text()


async def test_faults_are_used_up_one_by_one(orca: tuple[OrcaSimulator, Any]) -> None:
    made, client = orca
    made.faults.next = ["429", "failure", "truncated"]
    busy = await client.post("/api/serving-layer/query", json=alerts())
    assert (busy.status, busy.headers["Retry-After"]) == (429, "1")
    assert (await ask(client))[1]["status"] == "failure"
    with pytest.raises(ValueError):
        await ask(client)
    assert (await ask(client))[0] == 200
