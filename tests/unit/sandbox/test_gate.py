"""The gate in front of a workspace that takes anything: refuses, slows down, spends trigger ids, injects faults."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.gate import Bucket, Gate, GateConfig, UserGroup

BLOCKS = [{"type": "section", "text": {"type": "mrkdwn", "text": "hi"}}]
VIEW = {"type": "modal", "title": {"type": "plain_text", "text": "Plan"}, "blocks": BLOCKS}


class Workspace:
    """Takes anything and remembers it; its socket says whatever the test puts in ``say``."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.acked: list[str] = []
        self.say: asyncio.Queue[str] = asyncio.Queue()
        app = web.Application()
        app.router.add_route("*", "/api/{method}", self.api)
        app.router.add_get("/socket/{id}", self.socket)
        app.router.add_post("/response/{id}", self.api)
        self.server = TestServer(app, host="localhost")

    async def api(self, request: web.Request) -> web.Response:
        method = request.match_info.get("method", "response_url")
        self.seen.append(method)
        if request.content_type == "application/json":
            self.bodies.append(await request.json())
        answer: dict[str, Any] = {"ok": True, "ts": "1.1"}
        if method == "users.info":
            answer["user"] = {"id": request.query.get("user") or (await request.post())["user"]}
        if method == "apps.connections.open":
            answer["url"] = f"ws://localhost:{self.server.port}/socket/1"
        return web.json_response(answer)

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)

        async def speak() -> None:
            while True:
                await socket.send_str(await self.say.get())

        speaking = asyncio.create_task(speak())
        async for message in socket:
            self.acked.append(message.data)
        speaking.cancel()
        return socket


@pytest.fixture
async def workspace() -> AsyncIterator[Workspace]:
    made = Workspace()
    await made.server.start_server()
    yield made
    await made.server.close()


@pytest.fixture
async def gate(workspace: Workspace) -> AsyncIterator[Gate]:
    config = GateConfig(
        "xoxb-a",
        "xapp-a",
        (UserGroup("S1", "approvers", "Approvers", ("U1", "U2")),),
        {"U9": {"is_restricted": True, "locale": "de-DE"}},
        scopes=frozenset({"chat:write", "users:read", "usergroups:read"}),
        message_burst=2,
        trigger_seconds=0.3,
    )
    async with Gate(config, f"http://localhost:{workspace.server.port}") as made:
        yield made


@pytest.fixture
def client(gate: Gate) -> AsyncWebClient:
    return AsyncWebClient(token="xoxb-a", base_url=gate.api, retry_handlers=[])


async def test_a_good_message_reaches_the_workspace(gate: Gate, client: AsyncWebClient, workspace: Workspace) -> None:
    answer = await client.chat_postMessage(channel="C1", text="hi", blocks=BLOCKS)
    assert answer["ts"] == "1.1"
    assert workspace.seen == ["chat.postMessage"]
    assert [(c["method"], c["ok"]) for c in gate.calls] == [("chat.postMessage", True)]
    assert "xoxb" not in json.dumps(list(gate.calls))


async def test_bad_blocks_never_reach_it(client: AsyncWebClient, workspace: Workspace) -> None:
    bad = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel="C1", text="hi", blocks=bad)
    assert caught.value.response["error"] == "invalid_blocks"
    assert "3001 characters" in caught.value.response["errors"][0]
    assert workspace.seen == []


@pytest.mark.parametrize(("token", "error"), [("xoxb-other", "invalid_auth"), ("xapp-a", "not_allowed_token_type")])
async def test_only_the_right_token_opens(gate: Gate, token: str, error: str) -> None:
    with pytest.raises(SlackApiError) as caught:
        await AsyncWebClient(token=token, base_url=gate.api).chat_postMessage(channel="C1", text="hi")
    assert caught.value.response["error"] == error


async def test_a_call_without_its_scope_is_refused_with_the_scope_it_needs(client: AsyncWebClient) -> None:
    with pytest.raises(SlackApiError) as caught:
        await client.conversations_open(users="U1")
    assert (caught.value.response["error"], caught.value.response["needed"]) == ("missing_scope", "im:write")


async def test_more_than_a_burst_in_one_channel_is_slowed_down_others_are_not(client: AsyncWebClient) -> None:
    for _ in range(2):
        await client.chat_postMessage(channel="C1", text="hi")
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel="C1", text="hi")
    assert caught.value.response.status_code == 429
    assert int(caught.value.response.headers["Retry-After"]) >= 1
    await client.chat_postMessage(channel="C2", text="hi")


async def test_dates_are_written_out_because_the_local_workspace_cannot(
    client: AsyncWebClient, workspace: Workspace
) -> None:
    await client.chat_postMessage(channel="C1", text="due <!date^1795870763^{date_short_pretty}|28 Nov> <@U1> ü")
    assert workspace.bodies[0]["text"] == "due 28 Nov <@U1> ü"


def test_a_bucket_refills_at_its_rate() -> None:
    bucket = Bucket(1, 0.5, now=0)
    assert bucket.take(0) == 0
    assert bucket.take(0) == pytest.approx(2)
    assert bucket.take(2) == 0


async def test_user_groups_are_answered(client: AsyncWebClient) -> None:
    assert (await client.usergroups_users_list(usergroup="S1"))["users"] == ["U1", "U2"]
    assert (await client.usergroups_list())["usergroups"][0]["handle"] == "approvers"
    with pytest.raises(SlackApiError) as caught:
        await client.usergroups_users_list(usergroup="S404")
    assert caught.value.response["error"] == "no_such_subteam"


async def test_a_guest_is_told_as_a_guest(client: AsyncWebClient) -> None:
    guest = (await client.users_info(user="U9", include_locale=True))["user"]
    member = (await client.users_info(user="U1"))["user"]
    assert (guest["is_restricted"], guest["locale"]) == (True, "de-DE")
    assert member["is_restricted"] is False
    assert "locale" not in member


async def test_injected_faults_come_once_each(gate: Gate, client: AsyncWebClient, workspace: Workspace) -> None:
    gate.inject("chat.update", retry_after=7)
    gate.inject("chat.update", error="message_not_found")
    with pytest.raises(SlackApiError) as slow:
        await client.chat_update(channel="C1", ts="1.1", text="x")
    assert slow.value.response.headers["Retry-After"] == "7"
    with pytest.raises(SlackApiError) as gone:
        await client.chat_update(channel="C1", ts="1.1", text="x")
    assert gone.value.response["error"] == "message_not_found"
    assert workspace.seen == []
    await client.chat_update(channel="C1", ts="1.1", text="x")
    assert workspace.seen == ["chat.update"]


async def test_a_lost_answer_means_the_call_did_happen(gate: Gate, workspace: Workspace) -> None:
    gate.inject("chat.postMessage", lose=True)
    async with (
        aiohttp.ClientSession(headers={"Authorization": "Bearer xoxb-a"}) as http,
        http.post(f"{gate.api}chat.postMessage", json={"channel": "C1", "text": "hi"}) as answer,
    ):
        assert answer.status == 502
    assert workspace.seen == ["chat.postMessage"]


async def connect(gate: Gate, http: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    opened = await AsyncWebClient(token="xapp-a", base_url=gate.api).apps_connections_open(app_token="xapp-a")
    assert opened["url"].startswith(gate.url.replace("http", "ws"))
    return await http.ws_connect(opened["url"])


async def click(workspace: Workspace, socket: aiohttp.ClientWebSocketResponse, trigger: str) -> dict[str, Any]:
    url = f"http://localhost:{workspace.server.port}/response/1"
    payload = {"trigger_id": trigger, "response_url": url}
    await workspace.say.put(json.dumps({"envelope_id": f"E{trigger}", "type": "interactive", "payload": payload}))
    envelope: dict[str, Any] = await socket.receive_json(timeout=5)
    return envelope


async def test_a_trigger_id_opens_one_view_and_dies_young(
    gate: Gate, client: AsyncWebClient, workspace: Workspace
) -> None:
    async with aiohttp.ClientSession() as http:
        socket = await connect(gate, http)
        await click(workspace, socket, "T1")
        await client.views_open(trigger_id="T1", view=VIEW)
        for trigger, wait, error in (("T1", 0.0, "invalid_trigger_id"), ("T2", 0.5, "expired_trigger_id")):
            if trigger != "T1":
                await click(workspace, socket, trigger)
            await asyncio.sleep(wait)
            with pytest.raises(SlackApiError) as caught:
                await client.views_open(trigger_id=trigger, view=VIEW)
            assert caught.value.response["error"] == error
        await socket.close()


async def test_acknowledgements_are_timed_and_response_urls_come_through_the_gate(
    gate: Gate, workspace: Workspace
) -> None:
    async with aiohttp.ClientSession() as http:
        socket = await connect(gate, http)
        envelope = await click(workspace, socket, "T1")
        assert envelope["payload"]["response_url"] == f"{gate.url}/response/1"
        await socket.send_json({"envelope_id": "ET1"})
        async with http.post(envelope["payload"]["response_url"], json={"text": ""}) as refused:
            assert (await refused.json())["error"] == "invalid_blocks"
        async with http.post(envelope["payload"]["response_url"], json={"text": "done"}) as taken:
            assert (await taken.json())["ok"] is True
        async with http.get(f"{gate.url}/_gate/calls") as shown:
            acks = (await shown.json())["acks"]
        assert [ack["ok"] for ack in acks] == [True]
        assert 0 <= acks[0]["seconds"] < 3
        assert json.loads(workspace.acked[0]) == {"envelope_id": "ET1"}
        await socket.close()
