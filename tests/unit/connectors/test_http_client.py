"""The shared HTTP client against a small server that answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from bot.domain.errors import ConnectorError, Gone, OutcomeUnknown, Refused, Relogin, RetryLater, SettingsError
from connectors.http import Answer, Basic, HttpClient, Pace, Rule, StaticHeader, Token, TokenLogin
from connectors.http import client as module

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SECRET = "s3cr3t-of-ours"

Say = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Server:
    """Answers in the order of ``says``; the last one again and again."""

    base: str = ""
    says: list[Say] = field(default_factory=list)
    seen: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        self.bodies.append(await request.read())
        say = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        return await say(request)

    def client(self, **options: Any) -> HttpClient:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        return HttpClient(self.base, "Acme", **{"sleep": sleep, "jitter": lambda: 0.0, "now": lambda: NOW, **options})


def says(status: int = 200, body: Any = None, **headers: str) -> Say:
    async def answer(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, bytes):
            return web.Response(status=status, body=body, headers=named)
        return web.json_response({} if body is None else body, status=status, headers=named)

    return answer


async def hangs_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server(says=[says()])
    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{any:.*}", made.answer)
    running = TestServer(app, host="127.0.0.1")
    await running.start_server()
    made.base = f"http://127.0.0.1:{running.port}/api"
    yield made
    await running.close()


async def ask(client: HttpClient, method: str = "GET", path: str = "/x", **options: Any) -> Answer:
    try:
        return await client.send(method, path, **options)
    finally:
        await client.close()


# --- trying again ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_passing_status_is_tried_again_with_growing_waits(server: Server, status: int) -> None:
    server.says = [says(status), says(status), says(200, {"a": 1})]
    client = server.client()
    answer = await ask(client)
    assert answer.json() == {"a": 1}
    assert server.slept == [0.5, 1.0]  # half of 1 s, half of 2 s: without jitter
    assert (client.traffic.calls, client.traffic.retries) == (3, 2)


async def test_it_gives_up_after_the_attempts_of_the_rule(server: Server) -> None:
    server.says = [says(503, b"down")]
    with pytest.raises(RetryLater, match="Acme answered 503: down"):
        await ask(server.client(rule=Rule(attempts=3)))
    assert len(server.seen) == 3


async def test_retry_after_in_seconds_is_waited_for_and_never_less(server: Server) -> None:
    server.says = [says(429, Retry_After="7"), says()]
    await ask(server.client(jitter=lambda: 0.25))
    assert server.slept == [7.25]


async def test_retry_after_as_a_date_is_counted_from_our_clock(server: Server) -> None:
    server.says = [says(503, Retry_After=format_datetime(NOW + timedelta(seconds=9), usegmt=True)), says()]
    await ask(server.client())
    assert server.slept == [9.0]


async def test_a_date_in_the_past_means_at_once_and_nonsense_means_back_off(server: Server) -> None:
    server.says = [says(503, Retry_After=format_datetime(NOW - timedelta(hours=1), usegmt=True)), says()]
    await ask(server.client())
    server.says = [says(503, Retry_After="soon"), says()]
    await ask(server.client())
    assert server.slept == [0.0, 0.5]


@pytest.mark.parametrize("value", ["nan", "inf", "-5"])
async def test_odd_numbers_of_seconds_do_no_harm(server: Server, value: str) -> None:
    server.says = [says(429, Retry_After=value), says()]
    await ask(server.client())
    assert len(server.slept) == 1
    assert 0 <= server.slept[0] <= 1


async def test_a_long_wait_ends_the_call_and_is_handed_on(server: Server) -> None:
    server.says = [says(429, Retry_After="3600")]
    with pytest.raises(RetryLater) as caught:
        await ask(server.client())
    assert caught.value.after == 3600
    assert len(server.seen) == 1
    assert server.slept == []


async def test_a_system_with_a_waiting_header_of_its_own(server: Server) -> None:
    def own(answer: Answer, now: datetime) -> float | None:
        return float(answer.headers["x-reset"]) if "x-reset" in answer.headers else None

    server.says = [says(429, X_Reset="4"), says()]
    await ask(server.client(rule=Rule(wait_header=own)))
    assert server.slept == [4.0]


async def test_a_read_over_a_broken_connection_is_tried_again(server: Server) -> None:
    server.says = [hangs_up, says(200, {"a": 2})]
    assert (await ask(server.client())).json() == {"a": 2}


async def test_a_query_by_post_counts_as_a_read(server: Server) -> None:
    server.says = [says(500), says(200, {"a": 3})]
    assert (await ask(server.client(), "POST", json={"q": 1}, reads=True)).json() == {"a": 3}
    assert server.bodies == [b'{"q":1}', b'{"q":1}']


# --- writes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("say", [says(500), says(502), says(504), says(507), hangs_up])
async def test_a_write_that_may_have_been_done_is_unknown_and_not_repeated(server: Server, say: Say) -> None:
    server.says = [say]
    with pytest.raises(OutcomeUnknown, match="not known"):
        await ask(server.client(), "POST", json={"a": 1})
    assert len(server.seen) == 1


async def test_a_write_that_times_out_is_unknown(server: Server) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.Response()

    server.says = [slow]
    with pytest.raises(OutcomeUnknown):
        await ask(server.client(timeout=0.2), "PUT")


@pytest.mark.parametrize("status", [425, 429])
async def test_a_write_refused_before_the_work_is_tried_again(server: Server, status: int) -> None:
    server.says = [says(status), says(200, {"done": True})]
    assert (await ask(server.client(), "POST", json={})).json() == {"done": True}


async def test_a_write_to_nobody_may_be_tried_again(unused_tcp_port: int) -> None:
    async def sleep(seconds: float) -> None:
        return None

    client = HttpClient(f"http://127.0.0.1:{unused_tcp_port}", "Acme", sleep=sleep)
    with pytest.raises(RetryLater, match="could not be reached"):
        await ask(client, "POST")
    assert client.traffic.calls == 4


# --- what else an answer means ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "says_so"),
    [
        (400, Refused, "400"),
        (403, Refused, "rights"),
        (404, Gone, "404"),
        (410, Gone, "410"),
        (409, Refused, "409"),
        (501, Refused, "501"),
    ],
)
async def test_final_answers_are_not_repeated(
    server: Server, status: int, kind: type[ConnectorError], says_so: str
) -> None:
    server.says = [says(status, b"because")]
    with pytest.raises(kind, match=says_so) as caught:
        await ask(server.client())
    assert "because" in caught.value.reason
    assert len(server.seen) == 1


async def test_a_redirect_is_refused_and_takes_no_token_along(server: Server) -> None:
    server.says = [says(302, Location="https://elsewhere.example/")]
    with pytest.raises(Refused, match="redirect"):
        await ask(server.client(auth=StaticHeader("Authorization", SecretStr(SECRET), "Bearer ")))
    assert len(server.seen) == 1


async def test_a_link_to_another_host_or_port_is_not_followed(server: Server) -> None:
    client = server.client()
    for link in ("https://evil.example/api/x", server.base.replace("http:", "https:"), "http://127.0.0.1:1/api"):
        with pytest.raises(Refused, match="another host"):
            await client.send("GET", link)
    assert server.seen == []
    server.says = [says(200, {"next": 1})]
    assert (await ask(client, path=f"{server.base}/next?token=a%2Fb")).json() == {"next": 1}
    assert server.seen[0].raw_path == "/api/next?token=a%2Fb"


async def test_a_verdict_decides_first_and_shows_no_secret(server: Server) -> None:
    def verdict(answer: Answer) -> ConnectorError | None:
        return Refused(f"error inside: {answer.snippet()}") if b"errors" in answer.body else None

    server.says = [says(200, {"errors": [f"token {SECRET} is odd"]})]
    auth = StaticHeader("X-Key", SecretStr(SECRET))
    with pytest.raises(Refused, match="error inside") as caught:
        await ask(server.client(rule=Rule(verdict=verdict), auth=auth))
    assert SECRET not in str(caught.value)
    assert SECRET not in caught.value.reason


async def test_a_verdict_may_ask_for_another_try(server: Server) -> None:
    def verdict(answer: Answer) -> ConnectorError | None:
        return RetryLater("busy inside", after=2) if b"busy" in answer.body else None

    server.says = [says(200, {"busy": 1}), says(200, {"a": 1})]
    assert (await ask(server.client(rule=Rule(verdict=verdict)))).json() == {"a": 1}
    assert server.slept == [2.0]


async def test_a_body_without_end_is_cut_off(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BODY", 10_000)
    server.says = [says(200, b"x" * 10_001)]
    with pytest.raises(Refused, match="sent more than"):
        await ask(server.client())
    server.says = [says(200, b"y" * 10_000)]
    assert len((await ask(server.client())).body) == 10_000


@pytest.mark.parametrize("body", [b'{"a": [1, 2', b"<html>proxy</html>", b'{"a": NaN}'])
async def test_broken_json_of_a_success_is_worth_another_try(server: Server, body: bytes) -> None:
    server.says = [says(200, body)]
    answer = await ask(server.client())
    with pytest.raises(RetryLater, match="not whole JSON"):
        answer.json()


async def test_an_empty_body_is_none(server: Server) -> None:
    server.says = [says(204, b""), says(200, b" \n")]
    client = server.client()
    assert (await client.send("GET", "/x")).json() is None
    assert (await ask(client)).json() is None


async def test_a_body_cut_off_on_the_way_is_tried_again(server: Server) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "1000"})
        await answer.prepare(request)
        await answer.write(b'{"a": ')
        assert request.transport is not None
        request.transport.close()
        return answer

    server.says = [cut, says(200, {"a": 1})]
    assert (await ask(server.client())).json() == {"a": 1}


async def test_the_clock_of_the_system_is_noted(server: Server) -> None:
    server.says = [says(200, {}, Date=format_datetime(NOW + timedelta(minutes=3), usegmt=True))]
    client = server.client()
    await ask(client)
    assert client.traffic.skew == timedelta(minutes=3)


# --- who we are ------------------------------------------------------------------------------------------------------


def login_of(calls: list[Token | None], *, seconds: float = 3600, wait: float = 0.0) -> Any:
    async def login(client: HttpClient, old: Token | None) -> Token:
        calls.append(old)
        await asyncio.sleep(wait)
        return Token(SecretStr(f"token-{len(calls)}-{SECRET}"), seconds)

    return login


async def test_many_calls_at_once_make_one_login(server: Server) -> None:
    calls: list[Token | None] = []
    client = server.client(auth=TokenLogin(login_of(calls, wait=0.05)))
    await asyncio.gather(*(client.send("GET", f"/{n}") for n in range(20)))
    await client.close()
    assert len(calls) == 1
    assert client.traffic.logins == 1
    assert {request.headers["Authorization"] for request in server.seen} == {f"Bearer token-1-{SECRET}"}


async def test_the_token_is_renewed_early_and_the_login_sees_the_old_one(server: Server) -> None:
    calls: list[Token | None] = []
    moment = [0.0]
    client = server.client(auth=TokenLogin(login_of(calls, seconds=600), early=120, now=lambda: moment[0]))
    for moment[0] in (0.0, 479.0, 481.0):
        await client.send("GET", "/x")
    await client.close()
    assert len(calls) == 2
    assert calls[0] is None
    assert calls[1] is not None
    assert calls[1].value.get_secret_value().startswith("token-1-")


async def test_a_short_token_is_not_renewed_at_every_call(server: Server) -> None:
    calls: list[Token | None] = []
    moment = [0.0]
    client = server.client(auth=TokenLogin(login_of(calls, seconds=60), early=120, now=lambda: moment[0]))
    for moment[0] in (0.0, 10.0, 29.0, 31.0):
        await client.send("GET", "/x")
    await client.close()
    assert len(calls) == 2


async def test_a_401_renews_once_and_then_asks_for_a_person(server: Server) -> None:
    calls: list[Token | None] = []
    server.says = [says(401), says(200, {"a": 1})]
    client = server.client(auth=TokenLogin(login_of(calls)))
    assert (await client.send("GET", "/x")).json() == {"a": 1}
    server.says = [says(401, b"still no")]
    with pytest.raises(Relogin, match="renew it") as caught:
        await ask(client)
    assert len(calls) == 3
    assert SECRET not in str(caught.value)


async def test_a_write_is_repeated_after_a_401_because_nothing_was_done(server: Server) -> None:
    server.says = [says(401), says(200, {"done": True})]
    assert (await ask(server.client(auth=TokenLogin(login_of([]))), "POST", json={})).json() == {"done": True}


async def test_twenty_refusals_at_once_make_one_new_login(server: Server) -> None:
    calls: list[Token | None] = []

    async def old_is_dead(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.02)
        return web.Response(status=401 if "token-1-" in request.headers["Authorization"] else 200)

    server.says = [old_is_dead]
    client = server.client(auth=TokenLogin(login_of(calls)))
    await asyncio.gather(*(client.send("GET", f"/{n}") for n in range(20)))
    await client.close()
    assert len(calls) == 2


async def test_a_fixed_token_that_is_refused_asks_for_a_person(server: Server) -> None:
    server.says = [says(401)]
    with pytest.raises(Relogin):
        await ask(server.client(auth=StaticHeader("Authorization", SecretStr(SECRET), "Token ")))
    assert len(server.seen) == 1
    assert server.seen[0].headers["Authorization"] == f"Token {SECRET}"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 302])
async def test_an_echoed_secret_never_stands_in_an_error(server: Server, status: int) -> None:
    server.says = [says(status, f"you sent {SECRET} as password".encode())]
    for auth in (StaticHeader("X-Key", SecretStr(SECRET)), Basic("gatehouse", SecretStr(SECRET)),
                 TokenLogin(login_of([]), keep=(SecretStr(SECRET),))):  # fmt: skip
        with pytest.raises(ConnectorError) as caught:
            await ask(server.client(auth=auth, rule=Rule(attempts=1)))
        assert SECRET not in f"{caught.value} {caught.value.reason} {caught.value.mend}"
        assert "[secret]" in caught.value.reason


async def test_without_auth_no_credential_is_sent(server: Server) -> None:
    await ask(server.client(auth=StaticHeader("X-Key", SecretStr(SECRET))), auth=False)
    assert "X-Key" not in server.seen[0].headers


async def test_basic_is_what_the_standard_says(server: Server) -> None:
    await ask(server.client(auth=Basic("user", SecretStr("pä ss"))))
    assert server.seen[0].headers["Authorization"] == "Basic dXNlcjpww6Qgc3M="


@pytest.mark.parametrize("base", ["http://acme.example", "ftp://acme.example", "acme.example", "", "https://"])
def test_only_https_is_an_address(base: str) -> None:
    with pytest.raises(SettingsError, match="https"):
        HttpClient(base, "Acme")


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("", "/api"),
        ("/", "/api/"),
        ("x", "/api/x"),
        ("/a%2Fb?a=1", "/api/a%2Fb?a=1"),
        ("/x?link=https://evil.example/y", "/api/x?link=https://evil.example/y"),
        ("//evil.example/", "/api//evil.example/"),
    ],
)
async def test_paths_stand_below_the_base(server: Server, path: str, asked: str) -> None:
    await ask(server.client(), path=path)
    assert server.seen[0].raw_path == asked


async def test_a_form_and_parameters_go_out_as_such(server: Server) -> None:
    client = server.client()
    await client.post("/login", form={"a": "1 2"})
    await client.get("/x", params={"q": "a b"})
    await client.close()
    assert server.seen[0].content_type == "application/x-www-form-urlencoded"
    assert server.bodies[0] == b"a=1+2"
    assert server.seen[1].query == {"q": "a b"}


# --- how often -------------------------------------------------------------------------------------------------------


class Time:
    def __init__(self) -> None:
        self.now, self.slept = 100.0, list[float]()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def pace(self, per_second: float, burst: int = 1, **options: Any) -> Pace:
        return Pace(per_second, burst, now=lambda: self.now, sleep=self.sleep, **options)


async def test_the_pace_keeps_the_rate_after_a_burst() -> None:
    time = Time()
    pace = time.pace(2, burst=3)
    for _ in range(7):
        await pace.turn()
    assert time.slept == pytest.approx([0.5] * 4)
    time.now += 60  # a rest earns no more than the burst
    time.slept.clear()
    for _ in range(4):
        await pace.turn()
    assert time.slept == pytest.approx([0.5])


async def test_turns_taken_at_once_queue_up_instead_of_running_together() -> None:
    time = Time()
    pace = Pace(10, now=lambda: time.now, sleep=lambda seconds: _note(time, seconds))
    await asyncio.gather(*(pace.turn() for _ in range(5)))
    assert time.slept == pytest.approx([0.1, 0.2, 0.3, 0.4])


async def _note(time: Time, seconds: float) -> None:
    time.slept.append(seconds)


async def test_a_turn_too_far_away_is_given_back_and_said() -> None:
    time = Time()
    pace = Pace(1, patience=2, now=lambda: time.now, sleep=lambda seconds: _note(time, seconds))
    for _ in range(3):
        await pace.turn()
    for _ in range(2):
        with pytest.raises(RetryLater) as caught:
            await pace.turn()
        assert caught.value.after == pytest.approx(3)
    time.now += 3
    await pace.turn()


@pytest.mark.parametrize(("per_second", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_a_pace_that_never_gives_a_turn_is_refused(per_second: float, burst: int) -> None:
    with pytest.raises(ValueError):
        Pace(per_second, burst)


async def test_every_try_takes_a_turn(server: Server) -> None:
    time = Time()
    server.says = [says(500), says()]
    await ask(server.client(pace=time.pace(1)))
    assert len(time.slept) == 1
