"""A simulated Lacework / FortiCNAPP over the problems of one company: threats are alerts, posture is compliance
evaluations, vulnerabilities are rows of hosts.

Kept rules: the secret in ``X-LW-UAKS``, tokens that end; at most seven days a request and 92 back; no "changed since";
204 without a body for "none"; pages by whole URL, also after a POST, with an end that looks different every time; rows
in no order; a search holds older evaluations beside the newest; no resource in the list of alerts; closing without a
reopening (a problem that comes back is a new alert); comments that double; so many requests an hour.

A problem that is solved is half the time told (Compliant, Fixed), half the time just no longer there.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from aiohttp import web

from bot.sandbox.vendors.company import ACCOUNT_NAMES, Problem, World

_LONGEST, _KEPT = timedelta(days=7), timedelta(days=92)
_API = "/api/v2"
_POLICIES = "lacework-global-"
_TYPES = {"ssh-brute-force": "SuspiciousUserFailedLogin", "crypto-mining": "NewExternalServerBadDns"}
_ENDS: tuple[Any, ...] = ({"urls": {"nextPage": None}}, {"urls": {}}, {"urls": None}, {})


@dataclass
class Faults:
    """What goes wrong next: each word is used up by one call. ``429``, ``500``, ``503``, ``truncated`` (half the body),
    ``expired`` (the address of a page), ``token`` (the access token), ``repeated`` (a page names itself as the next),
    ``after`` (a write is done, then answered with 503), ``details`` (500 for one alert's details)."""

    next: list[str] = field(default_factory=list)
    revoked: bool = False

    def take(self, *words: str) -> str:
        return self.next.pop(0) if self.next and self.next[0] in words else ""


@dataclass
class _Alert:
    number: int
    key: str
    start: datetime
    closed_at: datetime | None = None
    by: str = ""  # world | api
    timeline: list[dict[str, Any]] = field(default_factory=list)


class LaceworkSimulator:
    def __init__(
        self,
        world: World,
        *,
        key_id: str,
        secret: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        page_rows: int = 5000,
        an_hour: int = 480,
        seed: int = 1,
    ) -> None:
        self.world, self.key_id, self.secret, self.now = world, key_id, secret, now
        self.page_rows, self.an_hour = page_rows, an_hour
        self.faults = Faults()
        self.calls: list[tuple[str, str]] = []
        self.logins = 0
        self.scans: list[str] = []
        self.forbidden: set[str] = set()  # parts of paths that the key has no right to
        self._random = Random(seed)  # noqa: S311 (an order of rows, no secret)
        self._tokens: dict[str, datetime] = {}
        self._pages: dict[str, tuple[list[dict[str, Any]], int]] = {}
        self._alerts: dict[str, list[_Alert]] = {}
        self._by_number: dict[int, _Alert] = {}
        self._numbers = 1000
        self._ends = 0
        self._hour: tuple[int, int] = (0, 0)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._gate])
        app.router.add_post(f"{_API}/access/tokens", self._login)
        app.router.add_get(f"{_API}/Alerts", self._list)
        app.router.add_post(f"{_API}/Alerts/search", self._list)
        app.router.add_get(f"{_API}/Alerts/{{id:\\d+}}", self._one)
        app.router.add_post(f"{_API}/Alerts/{{id:\\d+}}/close", self._close)
        app.router.add_post(f"{_API}/Alerts/{{id:\\d+}}/comment", self._comment)
        app.router.add_post(f"{_API}/Configs/ComplianceEvaluations/search", self._evaluations)
        app.router.add_post(f"{_API}/Vulnerabilities/Hosts/search", self._hosts)
        app.router.add_post(f"{_API}/Vulnerabilities/Containers/search", self._containers)
        app.router.add_post(f"{_API}/Vulnerabilities/Containers/scan", self._scan)
        app.router.add_get(f"{_API}/Policies", self._policies)
        app.router.add_get(f"{_API}/page/{{token}}", self._page)
        return app

    # --- at the door

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls.append((request.method, request.path))
        if self._over():
            return _json({"message": "Rate limit exceeded"}, 429)
        if fault := self.faults.take("429", "500", "503"):
            headers = {"Retry-After": "1"} if fault == "429" else {}
            return web.Response(status=int(fault), text="<html>upstream</html>", headers=headers)
        if not request.path.endswith("/access/tokens") and not self._known(request):
            return _json({"message": "Authentication failed: the token is not valid"}, 401)
        if any(part in request.path for part in self.forbidden):
            return _json({"message": "Permission denied"}, 403)
        answer: web.StreamResponse = await handler(request)
        if self.faults.take("after"):
            return web.Response(status=503, text="gateway")
        body = answer.body if isinstance(answer, web.Response) else None
        if isinstance(body, bytes) and body and self.faults.take("truncated"):
            return web.Response(body=body[: len(body) // 2], content_type="application/json")
        return answer

    def _over(self) -> bool:
        hour = int(self.now().timestamp() // 3600)
        self._hour = (hour, self._hour[1] + 1 if self._hour[0] == hour else 1)
        return self._hour[1] > self.an_hour

    def _known(self, request: web.Request) -> bool:
        if self.faults.take("token"):
            self._tokens.clear()
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        until = self._tokens.get(token)
        return kind == "Bearer" and not self.faults.revoked and until is not None and self.now() < until

    async def _login(self, request: web.Request) -> web.Response:
        body = await _body(request)
        right = body.get("keyId") == self.key_id and request.headers.get("X-LW-UAKS") == self.secret
        if self.faults.revoked or not right:
            return _json({"message": "Authentication failed"}, 401)
        seconds = body.get("expiryTime", 3600)
        if not isinstance(seconds, int) or not 1 <= seconds <= 86400:
            return _json({"message": "expiryTime out of range"}, 400)
        self.logins += 1
        token = f"_{secrets.token_hex(16)}"
        self._tokens[token] = self.now() + timedelta(seconds=seconds)
        return _json({"token": token, "expiresAt": _iso(self._tokens[token])}, 201)

    # --- pages

    def _answer(self, request: web.Request, rows: list[dict[str, Any]]) -> web.Response:
        """The first page; the rest is kept as it is now, under a token."""
        if not rows:
            return web.Response(status=204)
        self._random.shuffle(rows)
        return self._cut(request, rows, len(rows))

    def _cut(self, request: web.Request, rows: list[dict[str, Any]], total: int) -> web.Response:
        page, rest = rows[: self.page_rows], rows[self.page_rows :]
        paging: dict[str, Any] = {"rows": len(page), "totalRows": total}
        if rest:
            token = secrets.token_hex(12)
            self._pages[token] = rest, total
            link = f"{request.url.origin()}{_API}/page/{token}"
            if self.faults.take("repeated"):
                link = str(request.url)
            paging["urls"] = {"nextPage": link}
        else:
            self._ends += 1
            paging |= _ENDS[self._ends % len(_ENDS)]
        return _json({"paging": paging, "data": page})

    async def _page(self, request: web.Request) -> web.Response:
        kept = self._pages.get(request.match_info["token"])
        if kept is None or self.faults.take("expired"):
            return _json({"message": "the page has expired"}, 400)
        return self._cut(request, *kept)

    def _span(self, start: Any, end: Any) -> tuple[datetime, datetime] | web.Response:
        try:
            low, high = datetime.fromisoformat(str(start)), datetime.fromisoformat(str(end))
        except ValueError:
            return _json({"message": "timeFilter is not valid"}, 400)
        if high <= low or high - low > _LONGEST + timedelta(seconds=1):
            return _json({"message": "the time range must not exceed 7 days"}, 400)
        if low < self.now() - _KEPT - timedelta(hours=1):
            return _json({"message": "data is kept for 92 days"}, 400)
        return low, high

    async def _searched(self, request: web.Request) -> tuple[datetime, datetime, dict[str, Any]] | web.Response:
        body = await _body(request)
        asked = body.get("timeFilter")
        span = asked if isinstance(asked, dict) else {}
        found = self._span(span.get("startTime"), span.get("endTime"))
        return found if isinstance(found, web.Response) else (*found, body)

    # --- alerts

    def alert_numbers(self) -> dict[str, list[int]]:
        """Problem -> its alerts, the newest last."""
        self._tell()
        return {key: [one.number for one in many] for key, many in self._alerts.items()}

    def _tell(self) -> None:
        """Let the alerts follow the problems: new ones, closed ones, new ones for what came back."""
        for problem in self._of("threat"):
            self._follow(problem)

    def _follow(self, problem: Problem) -> None:
        many = self._alerts.setdefault(problem.key, [])
        last = many[-1] if many else None
        if problem.status == "resolved":
            if last is not None and last.closed_at is None:
                last.closed_at, last.by = problem.changed_at, "world"
        elif last is None or (last.closed_at is not None and last.by == "world"):
            self._numbers += 1
            start = problem.first_seen if last is None else problem.changed_at
            made = _Alert(self._numbers, problem.key, start)
            many.append(made)
            self._by_number[made.number] = made

    def _of(self, kind: str) -> list[Problem]:
        now = self.now()
        return [one for one in self.world.problems() if one.kind == kind and one.first_seen <= now]

    def _row(self, alert: _Alert) -> dict[str, Any]:
        problem = self.world.get(alert.key)
        assert problem is not None
        touched = max((at for at in (alert.closed_at, problem.changed_at) if at), default=alert.start)
        said = f"{problem.title} on {problem.resource_name}"
        return {
            "alertId": alert.number,
            "alertName": problem.title,
            "alertType": _TYPES.get(problem.rule, "SuspiciousActivity"),
            "severity": problem.severity.capitalize(),
            "status": "Closed" if alert.closed_at else "Open",
            "startTime": _iso(alert.start),
            "endTime": _iso(alert.start + timedelta(hours=1)),
            "lastUserUpdatedTime": _iso(touched) if touched > alert.start else "0",
            "policyId": f"{_POLICIES}{problem.rule}",
            "alertInfo": {"subject": f"{problem.title}: {said}", "description": f"For account: {problem.account} "
                          f"({problem.account_name}) : {said}", "customerCount": 0, "isExpectedLWBehavior": False},
            "derivedFields": {"category": "Anomaly", "sub_category": "Host", "source": "Agent"},
            "internetExposure": "Yes" if problem.exposed else "UnknownInternetExposure",
            "reachability": "UnknownReachability",
            "tagMetadata": dict(problem.tags),
            "evolvingAlert": False,
        }  # fmt: skip

    async def _list(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            found = await self._searched(request)
            if isinstance(found, web.Response):
                return found
            low, high, body = found
        else:
            span = self._span(request.query.get("startTime"), request.query.get("endTime"))
            if isinstance(span, web.Response):
                return span
            low, high, body = *span, {}
        self._tell()
        rows = [self._row(one) for many in self._alerts.values() for one in many if low <= one.start <= high]
        return self._answer(request, _filtered(rows, body))

    def _find(self, number: int) -> _Alert | None:
        if number not in self._by_number:
            self._tell()
        found = self._by_number.get(number)
        if found is not None and (problem := self.world.get(found.key)) is not None:
            self._follow(problem)
        return found

    async def _one(self, request: web.Request) -> web.Response:
        alert, scope = self._find(int(request.match_info["id"])), request.query.get("scope", "Details")
        if alert is None:
            return _json({"message": "Not found"}, 404)
        if self.faults.take("details"):
            return _json({"message": "Internal error"}, 500)
        if scope == "Timeline":
            return _json({"data": alert.timeline})
        if scope != "Details":
            return _json({"data": []})
        problem = self.world.get(alert.key)
        assert problem is not None
        machine = {
            "KEY": {"mid": _number(problem.resource_arn), "hostname": problem.resource_name},
            "PROPS": {"instance_id": problem.resource_arn.rpartition("/")[2], "account_id": problem.account,
                      "zone": f"{problem.region}a", "vm_provider": "AWS", "is_external": int(problem.exposed)},
        }  # fmt: skip
        return _json({"data": {**self._row(alert), "entityMap": {"Machine": [machine]}}})

    async def _close(self, request: web.Request) -> web.Response:
        alert, body = self._find(int(request.match_info["id"])), await _body(request)
        reason, comment = body.get("reason"), body.get("comment")
        if alert is None:
            return _json({"message": "Not found"}, 404)
        if reason not in range(6) or (reason == 0 and not comment):
            return _json({"message": "reason 0 needs a comment"}, 400)
        if alert.closed_at is not None:
            return _json({"message": "the alert is closed"}, 400)
        alert.closed_at, alert.by = self.now(), "api"
        if comment:
            self._say(alert, str(comment))
        return web.Response(status=204)

    async def _comment(self, request: web.Request) -> web.Response:
        alert, body = self._find(int(request.match_info["id"])), await _body(request)
        if alert is None:
            return _json({"message": "Not found"}, 404)
        if not body.get("comment"):
            return _json({"message": "comment is missing"}, 400)
        return _json({"data": self._say(alert, str(body["comment"]))}, 201)

    def _say(self, alert: _Alert, said: str) -> dict[str, Any]:
        entry = {"id": len(alert.timeline) + 1, "alertId": alert.number, "entryType": "Comment",
                 "entryAuthorType": "UserUpdate", "message": {"value": said}, "externalTime": "0",
                 "user": {"username": "gatehouse"}, "updateContext": {}}  # fmt: skip
        alert.timeline.append(entry)
        return entry

    def comments(self, number: int) -> list[str]:
        found = self._by_number[number]
        return [entry["message"]["value"] for entry in found.timeline]

    def webhook(self, number: int) -> dict[str, str]:
        """The body of the webhook channel."""
        alert = self._find(number)
        assert alert is not None
        problem = self.world.get(alert.key)
        assert problem is not None
        grades = {"critical": "1", "high": "2", "medium": "3", "low": "4"}
        return {
            "event_title": problem.title,
            "event_link": f"https://acme.lacework.net/ui/investigate/Event/{number}?startTime=1&endTime=2",
            "lacework_account": "acme", "event_source": "Agent", "event_description": problem.title,
            "event_timestamp": f"{alert.start:%d %b %Y %H:%M} GMT", "event_type": "Host", "event_id": str(number),
            "event_severity": grades[problem.severity],
        }  # fmt: skip

    # --- compliance and vulnerabilities

    def told(self, problem: Problem) -> bool:
        """Whether a solved problem is still told of (as solved) or has left with its resource."""
        return problem.status != "resolved" or _number(problem.key) % 2 == 0

    async def _evaluations(self, request: web.Request) -> web.Response:
        found = await self._searched(request)
        if isinstance(found, web.Response):
            return found
        low, high, body = found
        if body.get("dataset") not in ("AwsCompliance", "AzureCompliance", "GcpCompliance"):
            return _json({"message": "dataset is required"}, 400)
        rows = []
        if body["dataset"] == "AwsCompliance":
            report = self.now().replace(minute=0, second=0, microsecond=0)
            times = [at for at in (report, report - timedelta(hours=24)) if low <= at <= high]
            rows += [_complies(account, name, report) for account, name in ACCOUNT_NAMES.items() if times]
            for problem in self._of("posture"):
                if self.told(problem):
                    rows += [self._evaluation(problem, at, at == report) for at in times]
        return self._answer(request, _filtered(rows, body))

    def _evaluation(self, problem: Problem, at: datetime, newest: bool) -> dict[str, Any]:
        solved = problem.status == "resolved" and newest
        return {
            "account": {"AccountId": problem.account, "Account_Alias": problem.account_name},
            "evalType": "LW_SA", "id": f"{_POLICIES}{problem.rule}", "reason": "" if solved else problem.title,
            "recommendation": problem.title, "reportTime": _iso(at), "resource": problem.resource_arn,
            "region": problem.region, "section": "Acme", "severity": problem.severity.capitalize(),
            "status": "Compliant" if solved else "NonCompliant", "resourceTags": dict(problem.tags),
        }  # fmt: skip

    async def _hosts(self, request: web.Request) -> web.Response:
        found = await self._searched(request)
        if isinstance(found, web.Response):
            return found
        low, high, body = found
        hour = self.now().replace(minute=0, second=0, microsecond=0)
        rows = [
            self._host(problem, at, at == hour)
            for problem in self._of("vulnerability")
            if self.told(problem)
            for at in (hour, hour - timedelta(hours=12))
            if low <= at <= high
        ]
        return self._answer(request, _filtered(rows, body))

    def _host(self, problem: Problem, at: datetime, newest: bool) -> dict[str, Any]:
        solved = problem.status == "resolved" and newest
        instance = problem.resource_arn.rpartition("/")[2]
        return {
            "vulnId": problem.cve, "severity": problem.severity.capitalize(), "status": "Fixed" if solved else "Active",
            "mid": _number(problem.resource_arn), "startTime": _iso(at - timedelta(hours=1)), "endTime": _iso(at),
            "machineTags": {**problem.tags, "Account": problem.account, "InstanceId": instance,
                            "Zone": f"{problem.region}a", "VmProvider": "AWS", "Hostname": problem.resource_name,
                            "lw_InternetExposure": "Yes" if problem.exposed else "No"},
            "featureKey": {"name": problem.package, "namespace": "ubuntu:22.04", "package_active": 0,
                           "version_installed": problem.fixed_version if solved else problem.version},
            "fixInfo": {"fix_available": "1" if problem.fixed_version else "0", "fixed_version": problem.fixed_version,
                        "eval_status": "GOOD" if solved else "VULNERABLE"},
            "cveProps": {"description": problem.title, "link": f"https://nvd.nist.gov/vuln/detail/{problem.cve}",
                         "metadata": {"NVD": {"CVSSv3": {"Score": problem.cvss, "Vectors": ""}}}},
            "evalCtx": {"hostname": problem.resource_name, "mc_eval_guid": secrets.token_hex(8), "exception_props": []},
            "props": {"first_time_seen": _iso(problem.first_seen), "last_updated_time": _iso(problem.changed_at)},
        }  # fmt: skip

    async def _containers(self, request: web.Request) -> web.Response:
        found = await self._searched(request)
        return found if isinstance(found, web.Response) else self._answer(request, [])

    async def _scan(self, request: web.Request) -> web.Response:
        body = await _body(request)
        if not all(body.get(name) for name in ("registry", "repository", "tag")):
            return _json({"message": "registry, repository and tag are required"}, 400)
        self.scans.append(f"{body['registry']}/{body['repository']}:{body['tag']}")
        return _json({"data": {"requestId": secrets.token_hex(8), "status": "Scanning"}, "message": "SUCCESS"}, 201)

    async def _policies(self, request: web.Request) -> web.Response:
        rules = {problem.rule: problem for problem in self.world.problems()}
        return _json({"data": [
            {"policyId": f"{_POLICIES}{rule}", "policyType": "Compliance", "title": one.title, "severity": one.severity,
             "description": f"Acme's rule {rule}.", "remediation": one.fix, "tags": ["framework:acme-baseline"],
             "enabled": True}
            for rule, one in sorted(rules.items())
        ]})  # fmt: skip


def _complies(account: str, name: str, at: datetime) -> dict[str, Any]:
    """An account is never without a row: this one complies everywhere."""
    return {
        "account": {"AccountId": account, "Account_Alias": name}, "evalType": "LW_SA", "id": f"{_POLICIES}root-mfa",
        "reason": "", "recommendation": "MFA of the root user", "reportTime": _iso(at), "section": "Acme",
        "resource": f"arn:aws:iam::{account}:root", "severity": "Critical", "status": "Compliant",
    }  # fmt: skip


def _filtered(rows: list[dict[str, Any]], body: Mapping[str, Any]) -> list[dict[str, Any]]:
    filters: Iterable[Any] = body.get("filters") or ()
    for one in filters:
        wanted = one.get("values") or [one.get("value")]
        rows = [row for row in rows if row.get(one.get("field")) in wanted]
    return rows


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        found = await request.json()
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _json(body: Any, status: int = 200) -> web.Response:
    return web.json_response(body, status=status)


def _iso(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _number(of: str) -> int:
    return int.from_bytes(hashlib.blake2b(of.encode(), digest_size=6).digest(), "big")
