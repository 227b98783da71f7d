"""A simulated Orca: both generations of its API over the problems of one company.

Kept rules: a token in ``Authorization: Token …``; at most 1000 objects a call; times by the second; fields absent when
empty; ``total_items`` only when asked for; page tokens that are now a text and now a list, good for their query only;
10000 rows for one query of the older API; 200 with ``{"status": "failure"}``; 400 for a state that is set already; 500
for an alert that does not exist; comments that double; a closed alert that opens again when the next scan finds it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from bot.sandbox.vendors.company import Problem, World

_SCORES = {"critical": 9.3, "high": 7.4, "medium": 5.6, "low": 3.4}
_OLD = {"critical": (1, "compromised"), "high": (2, "imminent compromise"), "medium": (3, "hazardous"),
        "low": (4, "informational")}  # fmt: skip
_CATEGORIES = {
    "posture": "Network misconfigurations",
    "vulnerability": "Vulnerabilities",
    "threat": "Malicious activity",
}
_TYPES = {
    "s3-bucket": "AwsS3Bucket",
    "security-group": "AwsEc2SecurityGroup",
    "ec2-instance": "AwsEc2Instance",
    "ebs-snapshot": "AwsEc2EbsSnapshot",
    "ami": "AwsEc2Image",
    "rds-instance": "AwsRdsDbInstance",
    "rds-snapshot": "AwsRdsDbSnapshot",
    "sqs-queue": "AwsSqsQueue",
    "sns-topic": "AwsSnsTopic",
    "iam-user": "AwsUser",
    "kms-key": "AwsKmsKey",
}
_MOST = 1000
_STATES = {"open": "open", "in_progress": "in_progress", "close": "closed", "dismiss": "dismissed"}


@dataclass
class Faults:
    """What goes wrong next: each word is used up by one call. ``429``, ``500``, ``503``, ``failure`` (200 with an
    error inside), ``truncated`` (half the body), ``expired`` (page tokens), ``shuffled`` (the page out of order),
    ``short`` (only half of what was asked for), ``after`` (a write is done, then answered with 503)."""

    next: list[str] = field(default_factory=list)
    revoked: bool = False

    def take(self, *words: str) -> str:
        if self.next and self.next[0] in words:
            return self.next.pop(0)
        return ""


class OrcaSimulator:
    def __init__(
        self,
        world: World,
        *,
        token: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        supported: int = 10_000,
    ) -> None:
        self.world, self.token, self.now, self.supported = world, token, now, supported
        self.faults = Faults()
        self.calls: list[tuple[str, str]] = []
        self._states: dict[str, dict[str, Any]] = {}  # alert -> what people made of it
        self._log: dict[str, list[dict[str, Any]]] = {}
        self._tokens: dict[str, tuple[str, int]] = {}
        self._refs: dict[str, str] = {}
        self._keys: dict[str, str] = {}

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._gate])
        app.router.add_post("/api/user/session", self._session)
        app.router.add_post("/api/serving-layer/query", self._query)
        app.router.add_get("/api/query/alerts", self._alerts)
        app.router.add_post("/api/query/cves", self._cves)
        app.router.add_get("/api/alerts/{id}", self._alert)
        app.router.add_get("/api/alerts/{id}/event_log", self._history)
        app.router.add_put("/api/alerts/{id}/status/{word}", self._status)
        app.router.add_put("/api/alerts/{id}/snooze", self._snooze)
        app.router.add_put("/api/alerts/{id}/comment", self._comment)
        app.router.add_put("/api/alerts/{id}/verify", self._verify)
        return app

    # --- at the door

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls.append((request.method, request.path))
        if request.path != "/api/user/session":
            kind, _, token = request.headers.get("Authorization", "").partition(" ")
            if kind.lower() == "bearer":
                return _json({"detail": "Given token not valid for any token type", "code": "token_not_valid"}, 403)
            if self.faults.revoked or kind.lower() != "token" or token != self.token:
                return _json({"detail": "Invalid token."}, 401)
        if fault := self.faults.take("429", "500", "503", "failure"):
            if fault == "failure":
                return _json({"status": "failure", "error": "internal timeout, try again"}, 200)
            wait = {"Retry-After": "1"} if fault != "500" else {}
            return web.Response(status=int(fault), text="<html>upstream</html>", headers=wait)
        answer: web.StreamResponse = await handler(request)
        if self.faults.take("after"):
            return web.Response(status=503, text="gateway")
        if self.faults.take("truncated") and isinstance(answer, web.Response) and isinstance(answer.body, bytes):
            return web.Response(body=answer.body[: len(answer.body) // 2], content_type="application/json")
        return answer

    async def _session(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("security_token") != self.token:
            return _json({"status": "failure", "error": "invalid api token"}, 400)
        return _json({"status": "success", "jwt": {"access": "jwt", "refresh": "jwt"}})

    # --- the serving layer

    async def _query(self, request: web.Request) -> web.Response:
        body = await request.json()
        limit, skip = body.get("limit", 100), body.get("start_at_index", 0)
        if not isinstance(limit, int) or not 1 <= limit <= _MOST:
            return _json({"status": "failure", "error": f"invalid limit {limit}"}, 400)
        model = body["query"]["models"][0]
        if model not in ("Alert", "VulnerabilityV2"):
            return _json({"status": "failure", "error": f"unknown model {model}"}, 400)
        found = self.world.problems()
        if model == "VulnerabilityV2":
            found = [one for one in found if one.kind == "vulnerability" and one.status == "open"]
        for clause in body["query"].get("with", {}).get("values", []):
            if clause.get("operator") != "has":
                found = [one for one in found if _matches(self.fact(one, clause["key"]), clause)]
        for key in reversed(body.get("order_by[]") or []):
            name = key.lstrip("-")
            found.sort(key=lambda one: self.fact(one, name), reverse=key.startswith("-"))
        some = found[skip : skip + (limit // 2 if self.faults.take("short") else limit)]
        page = [self.serving(one) if model == "Alert" else self.record(one) for one in some]
        if self.faults.take("shuffled"):
            page = page[::-1]
        answer: dict[str, Any] = {"status": "success", "data": page}
        if body.get("get_results_and_count"):
            answer["total_items"] = len(found)
        return _json(answer)

    def fact(self, problem: Problem, name: str) -> Any:
        """One field without the whole object; times in milliseconds. Filters and order know these, as the API does."""
        if name in ("LastUpdated", "last_sync", "state.last_updated"):
            return _ms(self._touched(problem))
        if name in ("CreatedAt", "FirstSeen", "state.created_at"):
            return _ms(problem.first_seen)
        if name == "Status":
            return self.status(problem)
        if name == "RiskLevel":
            return problem.severity
        if name == "OrcaScore":
            return _SCORES[problem.severity]
        if name == "AlertId":
            return self.ref(problem)
        if name == "CvssSeverity":
            return _cvss_word(problem)
        if name == "CveId":
            return problem.cve
        raise web.HTTPBadRequest(text=json.dumps({"status": "failure", "error": f"unknown field {name}"}))

    def status(self, problem: Problem) -> str:
        own = self._states.get(self.ref(problem)) if self._states else None
        return "closed" if problem.status == "resolved" else (own or {}).get("status", "open")

    def _touched(self, problem: Problem) -> datetime:
        own = self._states.get(self.ref(problem)) if self._states else None
        touched: datetime = max(problem.changed_at, (own or {}).get("touched", problem.changed_at))
        return touched

    def serving(self, problem: Problem) -> dict[str, Any]:
        """The alert as the serving layer has it."""
        old, ref, unique = self.legacy(problem), self.ref(problem), _unique(problem)
        state = old["state"]
        said: dict[str, Any] = {
            "AlertId": ref, "Title": old["type_string"], "AlertType": old["type_string"], "RuleType": old["type"],
            "RuleId": old["rule_id"], "Category": old["category"], "Details": old["details"],
            "Description": old["description"], "Recommendation": old["recommendation"],
            "Labels": old["alert_labels"], "RiskLevel": state["risk_level"], "OrcaScore": state["orca_score"],
            "Score": state["score"], "Severity": state["severity"], "Status": state["status"],
            "CreatedAt": state["created_at"], "LastSeen": state["last_seen"], "LastUpdated": state["last_updated"],
            "last_sync": state["last_updated"], "ClosedTime": state.get("closed_time"),
            "ClosedReason": state.get("closed_reason"), "CommentsCount": len(self.comments(ref)),
            "VerificationStatus": state.get("verification_status"),
            "AssetData": {name: old[name] for name in ("asset_name", "asset_type", "account_name", "cloud_provider",
                          "cloud_vendor_id", "asset_tags_info_list", "asset_labels", "asset_regions")},
        }  # fmt: skip
        if problem.cve:
            said["CveIds"] = [problem.cve]
            said["CveFixAvailable"] = bool(problem.fixed_version)
            said["MaxCvssScore"] = problem.cvss
            top = {"cve_id": problem.cve, "cvss_score": problem.cvss, "fixable": bool(problem.fixed_version),
                   "exploitable": problem.kev, "patched_version": problem.fixed_version}  # fmt: skip
            package = {"package_name": problem.package, "installed_version": problem.version}
            said["RiskFindings"] = {"cves": {"top_cves": [top], "total_cves": 1}, "package": package}
        return {
            "id": problem.uuid("orca"),
            "type": "Alert",
            "name": ref,
            "asset_unique_id": unique,
            "data": {name: {"value": value} for name, value in said.items() if value not in (None, "", [], {})},
            "Inventory": {
                "id": problem.resource_uuid("orca"),
                "type": old["asset_type"],
                "asset_unique_id": unique,
                "data": {"Arn": {"value": problem.resource_arn}, "Name": {"value": problem.resource_name},
                         "IsInternetFacing": {"value": problem.exposed}},
            },
        }  # fmt: skip

    def record(self, problem: Problem) -> dict[str, Any]:
        """A flat VulnerabilityV2 with its Inventory."""
        return {
            "Type": "VulnerabilityV2",
            "Name": f"{problem.cve} - {problem.package}",
            "CveId": problem.cve,
            "CvssScore": problem.cvss,
            "CvssSeverity": _cvss_word(problem),
            "EpssProbability": problem.epss,
            "CisaKev": problem.kev,
            "PatchAvailable": "Yes" if problem.fixed_version else "No",
            "FirstSeen": _iso(problem.first_seen),
            "InstalledPackage": {"Name": problem.package, "Version": problem.version},
            "Inventory": {
                "Name": problem.resource_name,
                "Type": _TYPES[problem.resource_type],
                "Arn": problem.resource_arn,
                "AssetUniqueId": _unique(problem),
                "Region": problem.region,
                "IsInternetFacing": problem.exposed,
                "Tags": dict(problem.tags),
            },
        }

    # --- the older API

    def ref(self, problem: Problem) -> str:
        found = self._refs.get(problem.key)
        if found is None:
            digest = hashlib.blake2b(problem.key.encode(), digest_size=6).digest()
            found = self._refs[problem.key] = f"orca-{int.from_bytes(digest, 'big')}"
            self._keys[found] = problem.key
        return found

    def problem(self, ref: str) -> Problem | None:
        if ref not in self._keys:
            for one in self.world.problems():
                self.ref(one)
        return self.world.get(self._keys.get(ref, ""))

    def legacy(self, problem: Problem) -> dict[str, Any]:
        """The alert as the query API has it."""
        ref = self.ref(problem)
        own = self._states.get(ref, {})
        score, word = _OLD[problem.severity]
        status, touched = self.status(problem), self._touched(problem)
        state: dict[str, Any] = {
            "alert_id": ref, "status": status, "status_time": _iso(touched), "created_at": _iso(problem.first_seen),
            "last_seen": _iso(problem.changed_at), "last_updated": _iso(touched), "score": score, "severity": word,
            "risk_level": problem.severity, "orca_score": _SCORES[problem.severity],
            "in_verification": bool(own.get("verifying")), "verification_status": own.get("verification"),
        }  # fmt: skip
        if status == "closed":
            state |= {
                "closed_time": _iso(touched),
                "closed_reason": "not found by the scan" if problem.status == "resolved" else "user",
            }
        return {
            "type": "vulnerability" if problem.cve else f"aws_{problem.rule.replace('-', '_')}",
            "type_string": problem.title,
            "rule_id": f"r{hashlib.blake2b(problem.rule.encode(), digest_size=5).hexdigest()}",
            "category": _CATEGORIES[problem.kind],
            "context": "control" if problem.kind == "posture" else "data",
            "description": problem.title,
            "details": f"{problem.title}: {problem.resource_name}.",
            "recommendation": problem.fix,
            "data": {"title": problem.title, "details": f"Found on {{{_TYPES[problem.resource_type]}}}."},
            "alert_labels": ["CSPM"] if problem.kind == "posture" else [],
            "asset_name": problem.resource_name,
            "asset_type": _TYPES[problem.resource_type],
            "asset_unique_id": _unique(problem),
            "asset_vendor_id": problem.resource_arn,
            "asset_regions": [problem.region] if problem.region else [],
            "asset_labels": ["internet_facing"] if problem.exposed else [],
            "asset_tags_info_list": [f"{key}|{value}" for key, value in problem.tags.items()],
            "cloud_provider": "aws",
            "cloud_vendor_id": problem.account,
            "cloud_account_id": problem.resource_uuid("orca-account"),
            "account_name": problem.account_name,
            "cve_list": [problem.cve] if problem.cve else [],
            "max_cvss_score": problem.cvss,
            "configuration": {},
            "state": state,
        }  # fmt: skip

    async def _alerts(self, request: web.Request) -> web.Response:
        limit = int(request.query.get("limit", "100"))
        if not 1 <= limit <= _MOST:
            return _json({"status": "failure", "error": f"invalid limit {limit}"}, 400)
        try:
            dsl = json.loads(request.query.get("dsl_filter", "{}"))
        except json.JSONDecodeError:
            return _json({"status": "failure", "error": "dsl_filter is not valid JSON"}, 400)
        rows = self.world.problems()
        for wanted in dsl.get("filter", []):
            bounds = {word: _edge(edge) for word, edge in wanted.get("range", {}).items()}
            rows = [row for row in rows if _in_range(self.fact(row, wanted["field"]), bounds)]
        for key in reversed(dsl.get("sort", [])):
            rows.sort(key=lambda row: self.fact(row, key["field"]), reverse=key.get("order") == "desc")
        asked, start = json.dumps(dsl, sort_keys=True), 0
        if token := request.query.get("next_page_token"):
            if self.faults.take("expired"):
                self._tokens.clear()
            query, start = self._tokens.get(token, ("", 0))
            if query != asked:
                return _json({"status": "failure", "error": "next_page_token is not valid"}, 400)
        page = [self.legacy(row) for row in rows[start : min(start + limit, self.supported)]]
        more = start + limit < min(len(rows), self.supported)
        following: Any = None
        if more:
            following = f"page-{len(self._tokens)}" if len(self._tokens) % 2 else [start + limit, len(self._tokens)]
            spelled = following if isinstance(following, str) else json.dumps(following, separators=(",", ":"))
            self._tokens[spelled] = (asked, start + limit)
        return _json(
            {"version": "0.1.0", "status": "success", "data_grouped": False, "total_items": len(rows),
             "total_ungrouped_items": len(rows), "total_supported_items": self.supported,
             "has_next_page_token": more, "next_page_token": following, "data": page}
        )  # fmt: skip

    async def _cves(self, request: web.Request) -> web.Response:
        rows = [
            {"cve_id": p.cve, "asset_unique_id": _unique(p), "type": "cve", "asset_type": "vm",
             "severity": _OLD[p.severity][1], "score": _OLD[p.severity][0],
             "nvd": {"cvss3_score": p.cvss}, "fix_available_state": "Yes" if p.fixed_version else "No"}
            for p in self.world.problems() if p.kind == "vulnerability" and p.status == "open"
        ]  # fmt: skip
        return _json(
            {"version": "0.1.0", "status": "success", "total_items": len(rows), "next_page_token": None, "data": rows}
        )

    # --- one alert

    def _known(self, request: web.Request) -> Problem:
        ref = request.match_info["id"]
        found = self.problem(ref)
        if found is None:
            raise web.HTTPInternalServerError(text=json.dumps({"error": f"alert_id {ref} does not exist"}))
        return found

    async def _alert(self, request: web.Request) -> web.Response:
        return _json(self.legacy(self._known(request)))

    async def _history(self, request: web.Request) -> web.Response:
        log = self._log.get(self.ref(self._known(request)), [])
        start, limit = int(request.query.get("start_at_index", "0")), int(request.query.get("limit", "20"))
        return _json({"event_log": log[start : start + limit], "total_count": len(log)})

    async def _status(self, request: web.Request) -> web.Response:
        problem, word = self._known(request), request.match_info["word"]
        if word not in _STATES:
            return _json({"status": "failure", "error": f"unknown status {word}"}, 400)
        return self._set(problem, _STATES[word])

    def _set(self, problem: Problem, to: str, **more: Any) -> web.Response:
        ref, before = self.ref(problem), self.legacy(problem)["state"]["status"]
        if before == to and not more:
            return _json({"error": "requested to set same configuration"}, 400)
        self._states.setdefault(ref, {}).update({"status": to, "touched": self.now(), **more})
        details = {"description": "Alert status changed", "from": before, "to": to}
        return _json({"data": self._enter(ref, "set_status", details, sub_type=to)})

    async def _snooze(self, request: web.Request) -> web.Response:
        problem, body = self._known(request), await request.json()
        days = body.get("days")
        if not isinstance(days, int) or days < 1:
            return _json({"status": "failure", "error": "days must be a positive number"}, 400)
        return self._set(problem, "snoozed", until=self.now() + timedelta(days=days))

    async def _comment(self, request: web.Request) -> web.Response:
        problem, body = self._known(request), await request.json()
        details = {"description": "Added comment", "comment": str(body.get("comment", ""))}
        return _json(self._enter(self.ref(problem), "comment", details))

    async def _verify(self, request: web.Request) -> web.Response:
        ref = self.ref(self._known(request))
        own = self._states.setdefault(ref, {})
        if own.get("verifying"):
            return _json({"error": "Scan is already running"}, 400)
        own.update({"verifying": True, "verification": "scan_initiated"})
        return _json({"status": "scanning"})

    def scan(self) -> None:
        """Orca's own scan: what a person closed and is still there opens again; verifications end."""
        for problem in self.world.problems():
            own = self._states.get(self.ref(problem), {})
            if own.get("verifying"):
                own.update({"verifying": False, "verification": "scan_done", "touched": self.now()})
            if own.get("status") == "closed" and problem.status == "open":
                own.update({"status": "open", "touched": self.now()})

    def comments(self, ref: str) -> list[str]:
        return [one["details"]["comment"] for one in self._log.get(ref, []) if one["type"] == "comment"]

    def snoozed_until(self, ref: str) -> datetime | None:
        found: datetime | None = self._states.get(ref, {}).get("until")
        return found

    def _enter(self, ref: str, kind: str, details: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        entry = {"unique_id": f"{ref}-{len(self._log.get(ref, []))}", "user_email": "api@acme.example", "alert_id": ref,
                 "create_time": _iso(self.now()), "type": kind, "details": dict(details), **more}  # fmt: skip
        self._log.setdefault(ref, []).append(entry)
        return entry

    # --- webhooks

    def webhook_body(self, problems: Iterable[Problem], shape: str = "new") -> bytes:
        """``new``, ``old``: Orca's own templates; ``trimmed``, ``batch``, ``text``, ``test``: customers' ones."""
        some = list(problems)
        if shape == "test":
            return b'{"text": "This is a test message from Orca Security"}'
        if shape == "new":
            return json.dumps({"version": "1.0", "data": self.serving(some[0])["data"]}).encode()
        if shape == "old":
            return json.dumps(self.legacy(some[0])).encode()
        if shape == "batch":
            return json.dumps([{"alert_id": self.ref(one), "name": one.title} for one in some]).encode()
        if shape == "text":
            return f"Look at https://app.orcasecurity.io/alerts/{self.ref(some[0])} please".encode()
        return json.dumps({"payload": {"alertId": self.ref(some[0])}}).encode()


def _unique(problem: Problem) -> str:
    return f"{_TYPES[problem.resource_type]}_{problem.account}_{problem.resource_uuid('orca')}"


def _json(body: Any, status: int = 200) -> web.Response:
    return web.json_response(body, status=status)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(microsecond=0).isoformat()


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000  # Orca's times are by the second


def _edge(said: str) -> int:
    edge = datetime.fromisoformat(said)
    return int((edge if edge.tzinfo else edge.replace(tzinfo=UTC)).timestamp() * 1000)


def _cvss_word(problem: Problem) -> str:
    return "CRITICAL" if (problem.cvss or 0) >= 9 else "HIGH"


def _matches(value: Any, clause: Mapping[str, Any]) -> bool:
    wanted, operator = clause["values"], clause["operator"]
    if operator == "in":
        return value in wanted
    if operator == "not_in":
        return value not in wanted
    return operator in ("date_range", "range") and bool(wanted[0] <= value <= wanted[1])


def _in_range(value: int, bounds: Mapping[str, int]) -> bool:
    fits = {"gte": value.__ge__, "gt": value.__gt__, "lte": value.__le__, "lt": value.__lt__}
    return all(fits[word](edge) for word, edge in bounds.items())
