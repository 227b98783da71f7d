"""A Prisma Cloud that tells of a world of problems: the rules of its API, not its looks.

Enforced: tokens that end and can be extended while good, paging by a token that holds the whole query (the last page
has one too), the clock that ``timeRange.type`` picks, non-detailed alerts without their policy's texts, errors that
stand in a header only, writes that answer 404 when somebody was faster, limits per user. Compute, a second host in
life, answers on the same server under ``/api/``; its empty page is ``null`` for hosts and ``[]`` elsewhere.

Posture and threats are alerts; vulnerabilities are hosts' scans of Compute and rows of the export.
"""

from __future__ import annotations

import base64
import gzip
import json
import secrets
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from aiohttp import ClientSession, web

from bot.sandbox.vendors.company import Problem, World
from bot.sandbox.vendors.prisma_cloud_objects import (
    POLICY_TYPES,
    SORTS,
    bounds,
    cve_of,
    delivery_of,
    detailed_of,
    error,
    export,
    forward,
    host_of,
    json_of,
    ms,
    policy_id,
    policy_of,
    remediation_of,
    resource_of,
    wrong_query,
)

KEY, SECRET, TENANT = "demo-access-key", "demo-secret-key", "Acme - 1"


@dataclass
class Faults:
    """What goes wrong next. Each is used up by the calls it meets; a path that does not contain ``on`` passes by."""

    status: list[int] = field(default_factory=list)  # answered instead of the work
    retry_after: str = ""  # sent with a 503
    cut: int = 0  # answers that end in the middle
    forget_tokens: bool = False  # every token given so far is no longer good
    bad_page_tokens: int = 0  # page tokens that are refused
    lost: int = 0  # writes that are done, whose answer never comes
    on: str = "/v2/alert"


@dataclass
class _State:
    """What happened to one alert beside its problem."""

    number: int
    status: str = "open"  # of the problem, when last looked at
    opened: datetime | None = None
    said: str = ""  # dismissed | snoozed
    note: str = ""
    by: str = ""
    until: datetime | None = None
    changed: datetime | None = None
    reason: str = "NEW_ALERT"
    pending: bool = False


class PrismaCloud:
    """``app()`` is the server. ``now`` is its clock."""

    def __init__(
        self,
        world: World,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        token_seconds: float = 600.0,
        per_second: float = 0.0,  # 0: no limit; else lists are limited as in life, with a burst of five times that
        note_required: bool = True,
        several_tenants: bool = False,
    ) -> None:
        self.world, self.now, self.faults = world, now, Faults()
        self.calls: list[str] = []  # "POST /v2/alert"
        self.commands_run: list[str] = []
        self.restricted: set[str] = set()  # rules whose alerts may not be dismissed
        self._token_seconds, self._per_second = token_seconds, per_second
        self._note_required, self._several = note_required, several_tenants
        self._tokens: dict[str, datetime] = {}
        self._states: dict[str, _State] = {}
        self._by_number: dict[int, str] = {}
        self._queries: OrderedDict[str, list[tuple[tuple[int, int], str]]] = OrderedDict()
        self._bucket, self._bucket_at = 5.0 * per_second, now()

    # --- the world as alerts

    def _look(self) -> None:
        """Take over what became of the problems since the last look."""
        now = self.now()
        for problem in self.world.problems():
            if problem.kind == "vulnerability":
                continue
            state = self._states.get(problem.key)
            if state is None:
                state = _State(number=len(self._states) + 1, status=problem.status, opened=problem.first_seen)
                self._states[problem.key] = state
                self._by_number[state.number] = problem.key
            if state.status != problem.status:
                state.status = problem.status
                state.said, state.note, state.until, state.pending = "", "", None, False
                if problem.status == "open":
                    state.opened = problem.changed_at
                state.reason = "NEW_ALERT" if problem.status == "open" else "RESOURCE_UPDATED"
            if state.said == "snoozed" and state.until and state.until <= now:
                state.said, state.reason, state.changed = "", "SNOOZED_AUTO_REOPEN", state.until

    def alert_id(self, key: str) -> str:
        """The alert of a problem."""
        if key not in self._states:
            self._look()
        return f"P-{self._states[key].number}"

    def _key_of(self, uid: str) -> str | None:
        self._look()
        number = uid.removeprefix("P-")
        return self._by_number.get(int(number)) if number.isdigit() else None

    def look(self) -> None:
        """Take over what became of the problems: before ``status_of`` is asked without a call to the server."""
        self._look()

    def status_of(self, key: str) -> str:
        state = self._states[key]
        if state.status == "resolved":
            return "resolved"
        return "pending_resolution" if state.pending else state.said or "open"

    def _updated(self, problem: Problem, state: _State) -> datetime:
        return max(problem.changed_at, state.changed or problem.changed_at)

    def alert(self, key: str, *, detailed: bool = True, alone: bool = False) -> dict[str, Any]:
        problem, state = self.world.get(key), self._states[key]
        assert problem is not None
        status_at = state.changed or (problem.changed_at if state.status == "resolved" else state.opened)
        found: dict[str, Any] = {
            "id": f"P-{state.number}",
            "status": self.status_of(key),
            "reason": state.reason,
            "firstSeen": ms(problem.first_seen),
            "lastSeen": ms(status_at or problem.first_seen),
            "alertTime": ms(state.opened or problem.first_seen),
            "lastUpdated": ms(self._updated(problem, state)),
            "policyId": policy_id(problem.rule),
            "metadata": {"saveSearchId": problem.uuid("prisma_cloud-search")},
            "policy": self.policy(problem, detailed),
            "alertRules": [{"name": "Default Alert Rule", "target": {}}] if alone else [],
            "history": [],
            "resource": resource_of(problem),
        }
        if state.said:
            found |= {"dismissedBy": state.by, "dismissalNote": state.note,
                      "dismissalUntilTs": ms(state.until) if state.until else -1}  # fmt: skip
        return found

    def policy(self, problem: Problem, detailed: bool) -> dict[str, Any]:
        return policy_of(problem, detailed=detailed, restricted=problem.rule in self.restricted)

    # --- the server

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=16 << 20)
        app.router.add_post("/login", self._login)
        app.router.add_get("/auth_token/extend", self._extend)
        app.router.add_post("/v2/alert", self._list)
        app.router.add_post("/alert", self._list_v1)
        app.router.add_get("/alert/dismiss/require_dismissal_note", self._require_note)
        app.router.add_post("/alert/dismiss", self._dismiss)
        app.router.add_post("/alert/reopen", self._reopen)
        app.router.add_post("/alert/remediation", self._commands)
        app.router.add_patch("/alert/remediation/{id}", self._remediate)
        app.router.add_get("/alert/{id}", self._one)
        app.router.add_get("/v2/policy", self._policies)
        app.router.add_get("/policy/{id}", self._policy)
        app.router.add_post("/uve/api/v1/vulnerabilities/search/download", self._export)
        app.router.add_post("/uve/api/v1/vulnerabilities/search", self._search)
        app.router.add_post("/uve/api/v1/remediation/vuln-remediation-status", self._remediation_status)
        app.router.add_post("/api/{version}/authenticate", self._compute_login)
        app.router.add_get("/api/{version}/{list}", self._compute)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        path, faults = request.path, self.faults
        self.calls.append(f"{request.method} {path}")
        if faults.forget_tokens:
            self._tokens.clear()
            faults.forget_tokens = False
        hit = faults.on in path
        if hit and faults.status:
            status = faults.status.pop(0)
            headers = {"Retry-After": faults.retry_after} if faults.retry_after else {}
            return error(status, "internal_error" if status >= 500 else "too_many_requests", headers)
        if path not in ("/login",) and not path.endswith("/authenticate"):
            token = request.headers.get("x-redlock-auth") or request.headers.get("Authorization", "").removeprefix(
                "Bearer "
            )
            if self._tokens.get(token, datetime.min.replace(tzinfo=UTC)) <= self.now():
                return error(401, "token_expired")
        if self._per_second and path in ("/v2/alert", "/alert") and (limited := self._limited()):
            return limited
        answer: web.StreamResponse = await handler(request)
        if hit and faults.lost and request.method != "GET":
            faults.lost -= 1
            assert request.transport is not None
            request.transport.close()
        if hit and faults.cut and isinstance(answer, web.Response) and isinstance(answer.body, bytes):
            faults.cut -= 1
            return web.Response(body=answer.body[: len(answer.body) // 2], content_type="application/json")
        return answer

    def _limited(self) -> web.Response | None:
        now, burst = self.now(), 5.0 * self._per_second
        self._bucket = min(burst, self._bucket + (now - self._bucket_at).total_seconds() * self._per_second)
        self._bucket_at = now
        if self._bucket >= 1:
            self._bucket -= 1
            return None
        headers = {
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Burst-Capacity": f"{burst:g}",
            "X-RateLimit-Replenish-Rate": f"{self._per_second:g}",
            "X-RateLimit-Requested-Tokens": "1",
        }
        return web.Response(status=429, headers=headers)

    # --- login

    async def _login(self, request: web.Request) -> web.Response:
        body = await json_of(request)
        if (body.get("username"), body.get("password")) != (KEY, SECRET):
            return error(401, "invalid_credentials")
        names = [{"customerName": TENANT, "prismaId": "1001", "tosAccepted": True}]
        if self._several and not (body.get("customerName") == TENANT or body.get("prismaId") == "1001"):
            names.append({"customerName": "Acme - 2", "prismaId": "1002", "tosAccepted": True})
            return web.json_response({"message": "login_needs_customer_name", "customerNames": names})
        return web.json_response({"token": self._token(), "message": "login_successful", "customerNames": names})

    async def _extend(self, request: web.Request) -> web.Response:
        return web.json_response({"token": self._token(), "message": "login_successful", "roles": ["System Admin"]})

    def _token(self) -> str:
        token = secrets.token_urlsafe(24)
        self._tokens[token] = self.now() + timedelta(seconds=self._token_seconds)
        return token

    # --- alerts

    async def _list(self, request: web.Request) -> web.Response:
        body = await json_of(request)
        detailed = detailed_of(request, body)
        if token := body.get("pageToken"):
            if self.faults.bad_page_tokens:
                self.faults.bad_page_tokens -= 1
                return error(400, "invalid_parameter_value", subject="pageToken")
            try:
                body = json.loads(base64.urlsafe_b64decode(str(token)))
            except ValueError:
                return error(400, "invalid_parameter_value", subject="pageToken")
        if wrong := wrong_query(body):
            return wrong
        after = body.get("searchAfter") or [-1, -1]
        limit = int(body.get("limit") or 10_000)
        rows = self._matching(body)
        page: list[str] = []
        for place, key in islice(rows, bisect_right(rows, ((after[0], after[1]), chr(0x10FFFF))), None):
            if len(page) == limit:
                break
            if self._fits(key, body):  # what left the query meanwhile is not shown
                page.append(key)
                after = list(place)
        held = json.dumps({**body, "pageToken": None, "searchAfter": after, "detailed": detailed}).encode()
        return web.json_response(
            {
                "totalRows": len(rows),
                "items": [self.alert(key, detailed=detailed) for key in page],
                "nextPageToken": base64.urlsafe_b64encode(held).decode(),  # the last page has one too
                "sortAllowedColumns": sorted(SORTS),
            }
        )

    async def _list_v1(self, request: web.Request) -> web.Response:
        body = await json_of(request)
        if wrong := wrong_query(body):
            return wrong
        keys = [key for _, key in self._matching(body)]
        return web.json_response([self.alert(key, detailed=detailed_of(request, body)) for key in keys])

    def _matching(self, body: Mapping[str, Any]) -> list[tuple[tuple[int, int], str]]:
        """(place, key) of a query in its order, kept for its later pages: paging is stable."""
        name = json.dumps([body.get("filters"), body.get("timeRange"), body.get("sortBy")], sort_keys=True)
        if not body.get("searchAfter") or name not in self._queries:
            self._look()
            self._queries[name] = sorted((self._place(key), key) for key in self._states if self._fits(key, body))
            while len(self._queries) > 8:
                self._queries.popitem(last=False)
        return self._queries[name]

    def _place(self, key: str) -> tuple[int, int]:
        state, problem = self._states[key], self.world.get(key)
        assert problem is not None
        return ms(state.opened or problem.first_seen), state.number

    def _fits(self, key: str, body: Mapping[str, Any]) -> bool:
        problem, state = self.world.get(key), self._states.get(key)
        if problem is None or state is None:
            return False
        wanted: dict[str, set[str]] = {}
        for one in body.get("filters") or []:
            wanted.setdefault(one["name"], set()).add(one["value"])
        clock = next(iter(wanted.pop("timeRange.type", {"ALERT_OPENED"})))
        moment = {
            "ALERT_OPENED": state.opened or problem.first_seen,
            "ALERT_STATUS_UPDATED": state.changed or problem.changed_at,
        }.get(clock) or self._updated(problem, state)
        start, end = bounds(body.get("timeRange"), self.now())
        if not start <= ms(moment) <= end:
            return False
        told = {
            "alert.id": f"P-{state.number}",
            "alert.status": self.status_of(key),
            "policy.severity": problem.severity,
            "policy.type": POLICY_TYPES[problem.kind],
            "policy.id": policy_id(problem.rule),
            "account.group": "Default Account Group",
            "cloud.accountId": problem.account,
            "cloud.account": problem.account_name,
            "cloud.type": "aws",
            "cloud.region": problem.region,
        }
        return all(told.get(name) in values for name, values in wanted.items())

    async def _one(self, request: web.Request) -> web.Response:
        uid = request.match_info["id"]
        if not uid.startswith(("P-", "N-")):
            return error(400, "invalid_alert_id")
        key = self._key_of(uid)
        return error(404, "not_found") if key is None else web.json_response(
            self.alert(key, detailed=detailed_of(request, {}), alone=True)
        )  # fmt: skip

    async def _require_note(self, request: web.Request) -> web.Response:
        return web.json_response({"requireDismissalNote": self._note_required})

    async def _dismiss(self, request: web.Request) -> web.Response:
        body = await json_of(request)
        keys = self._wanted(body)
        if isinstance(keys, web.Response):
            return keys
        if self._note_required and not str(body.get("dismissalNote") or "").strip():
            return error(400, "missing_required_parameter", subject="dismissalNote")
        now, until = self.now(), None
        if span := body.get("dismissalTimeRange"):
            until = forward(span, now)
            if until is None or until < now + timedelta(hours=1) - timedelta(seconds=5):
                return error(400, "violates_minimum_alert_dismiss_duration_time")
        for key in keys:
            problem = self.world.get(key)
            if problem is not None and problem.rule in self.restricted:
                return error(400, "invalid_parameter_value", subject="alerts")
            if self.status_of(key) not in ("open", "pending_resolution"):
                return error(404, "alert_no_longer_in_expected_state")
        for key in keys:
            state = self._states[key]
            state.said, state.note, state.by = "snoozed" if until else "dismissed", str(body["dismissalNote"]), "api"
            state.until, state.changed, state.reason = until, now, "USER_DISMISSED"
        return web.Response()

    async def _reopen(self, request: web.Request) -> web.Response:
        keys = self._wanted(await json_of(request))
        if isinstance(keys, web.Response):
            return keys
        for key in keys:
            state = self._states[key]
            if state.said:
                state.said, state.note, state.until = "", "", None
                state.changed, state.reason = self.now(), "USER_REOPENED"
        return web.Response()

    def _wanted(self, body: Mapping[str, Any]) -> list[str] | web.Response:
        if not isinstance(body.get("filter"), dict) or not body["filter"].get("timeRange"):
            return error(400, "missing_required_parameter", subject="filter.timeRange")
        if not body.get("alerts") and not body.get("policies"):
            return error(400, "missing_required_parameter", subject="alerts")
        keys = [self._key_of(str(uid)) for uid in body.get("alerts") or []]
        if None in keys:
            return error(400, "invalid_parameter_value", subject="alerts")
        return [key for key in keys if key is not None]

    async def _commands(self, request: web.Request) -> web.Response:
        keys = self._wanted(await json_of(request))
        if isinstance(keys, web.Response):
            return keys
        problems = [one for key in keys if (one := self.world.get(key)) is not None]
        if len({one.rule for one in problems}) > 1:
            return error(400, "cannot_remediate_multiple_policy_alerts")
        if any(one.kind != "posture" or self.status_of(one.key) != "open" for one in problems):
            return error(405, "remediation_unavailable")
        found = {self.alert_id(one.key): f"aws fix {one.resource_name} --region {one.region}" for one in problems}
        return web.json_response(
            {"alertIdVsCliScript": found, "cliDescription": "Needs rights.", "scriptImpact": "It is fixed."}
        )

    async def _remediate(self, request: web.Request) -> web.Response:
        key = self._key_of(request.match_info["id"])
        problem = self.world.get(key) if key else None
        if key is None or problem is None or problem.kind != "posture" or self.status_of(key) != "open":
            return error(405, "remediation_unavailable")
        self.commands_run.append(request.match_info["id"])
        self._states[key].pending, self._states[key].changed = True, self.now()
        return web.Response()

    # --- policies

    def _rules(self) -> Iterator[dict[str, Any]]:
        seen: set[str] = set()
        for problem in self.world.problems():
            if problem.kind != "vulnerability" and problem.rule not in seen:
                seen.add(problem.rule)
                yield self.policy(problem, True) | {"cloudType": "aws", "enabled": True}

    async def _policies(self, request: web.Request) -> web.Response:
        return web.json_response(list(self._rules()))

    async def _policy(self, request: web.Request) -> web.Response:
        found = next((one for one in self._rules() if one["policyId"] == request.match_info["id"]), None)
        return error(404, "no_results") if found is None else web.json_response(found)

    # --- vulnerabilities

    def _vulnerable(self) -> list[Problem]:
        return [one for one in self.world.problems() if one.kind == "vulnerability" and one.status == "open"]

    async def _export(self, request: web.Request) -> web.Response:
        if not str((await json_of(request)).get("query", "")).startswith("vulnerability"):
            return web.json_response({"code": "invalid_rql", "message": "The query is not valid"}, status=400)
        return web.Response(body=gzip.compress(export(self._vulnerable())), content_type="application/octet-stream")

    async def _search(self, request: web.Request) -> web.Response:
        body = await json_of(request)
        if not str(body.get("query", "")).startswith("vulnerability"):
            return web.json_response({"code": "invalid_rql", "message": "The query is not valid"}, status=400)
        cves: dict[str, list[Problem]] = {}
        for one in self._vulnerable():
            cves.setdefault(one.cve, []).append(one)
        offset = int(request.query.get("page_token") or 0)
        names = sorted(cves)
        items = [cve_of(name, cves[name]) for name in names[offset : offset + 3]]
        data: dict[str, Any] = {"totalRows": len(names), "items": items}
        if offset + 3 < len(names):
            data["nextPageToken"] = str(offset + 3)
        return web.json_response({"query": body["query"], "searchType": "vulnerability", "data": data})

    async def _remediation_status(self, request: web.Request) -> web.Response:
        body = await json_of(request)
        wanted = body.get("assetId")
        found = [one for one in self._vulnerable() if one.cve == body.get("cveId")
                 and (not wanted or one.resource_uuid("prisma_cloud") in wanted)]  # fmt: skip
        return web.json_response({"values": [remediation_of(one) for one in found]})

    async def _compute_login(self, request: web.Request) -> web.Response:
        body = await json_of(request)
        if (body.get("username"), body.get("password")) != (KEY, SECRET):
            return web.json_response({"err": "invalid credentials"}, status=401)
        return web.json_response({"token": self._token()})

    async def _compute(self, request: web.Request) -> web.Response:
        try:
            limit, offset = int(request.query.get("limit", "50")), int(request.query.get("offset", "0"))
        except ValueError:
            return web.json_response({"err": "limit and offset are numbers"}, status=400)
        if not 0 < limit <= 50:
            return web.json_response({"err": "limit must be between 1 and 50"}, status=400)
        name = request.match_info["list"]
        hosts: dict[str, list[Problem]] = {}
        for one in self._vulnerable() if name == "hosts" else ():
            hosts.setdefault(one.resource_arn, []).append(one)
        found = [host_of(ones) for ones in hosts.values()][offset : offset + limit]
        answer: Any = found or (None if name == "hosts" else [])
        return web.json_response(answer, headers={"Total-Count": str(len(hosts))})

    # --- webhooks

    def delivery(self, key: str, *, test: bool = False) -> dict[str, Any]:
        """The default body of the webhook about one alert."""
        self._look()
        if test:
            return {
                "alertId": "P-0",
                "alertStatus": "open",
                "severity": "high",
                "policyName": "Test",
                "message": "Test",
            }
        return delivery_of(self.alert(key))

    async def send(self, url: str, key: str, headers: Mapping[str, str], *, test: bool = False) -> int:
        """Delivers a webhook; the status answered."""
        async with (
            ClientSession() as session,
            session.post(url, json=[self.delivery(key, test=test)], headers=dict(headers)) as answer,
        ):
            return answer.status
