"""A Wiz that keeps the real one's rules: login with audience and expiry, GraphQL validated against a schema, errors in
HTTP 200, value-based cursors, page limits, 429 with Retry-After, notes that double when written twice.

``Wiz(world).app()`` is an aiohttp application with ``/oauth/token`` and ``/graphql``. Faults are queued by name, each
is used up by the next call it fits; ``dice`` and ``fault_rate`` throw them at random.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import aiohttp
from aiohttp import web
from graphql import DocumentNode, GraphQLError, build_schema, parse, validate
from graphql.execution.values import get_variable_values
from graphql.language import FieldNode, FragmentSpreadNode, InlineFragmentNode, OperationDefinitionNode
from graphql.utilities import value_from_ast_untyped

from bot.sandbox.vendors import wiz_objects as objects
from bot.sandbox.vendors.company import Problem, World
from bot.sandbox.vendors.wiz_objects import CONFIGURATION, DETECTIONS, ISSUES, VULNERABILITIES, Said, iso
from bot.sandbox.vendors.wiz_schema import SCHEMA

LIMITS = {ISSUES: 500, CONFIGURATION: 500, VULNERABILITIES: 5000, DETECTIONS: 500}
RANDOM_FAULTS = ("429", "500", "502", "truncated", "expired", "internal", "partial", "html")
_DATES = {"createdAt": "first", "firstSeenAt": "first", "statusChangedAt": "status", "updatedAt": "changed",
          "analyzedAt": "scanned", "resolvedAt": "status"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Entry:
    """What filters and order look at; the node is made only when it is shown."""

    order: tuple[str, str]  # creation, id: what a cursor holds
    problem: Problem
    status: str
    since: datetime


@dataclass
class Wiz:
    world: World
    client_id: str = "acme-client"
    client_secret: str = "acme-secret-0123456789"  # noqa: S105
    audience: str = "wiz-api"
    expires_in: int = 3600
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    per_second: int = 0  # calls in any second above which 429 is answered; 0: never
    scopes: frozenset[str] = frozenset({ISSUES, CONFIGURATION, VULNERABILITIES, DETECTIONS, "write"})
    faults: deque[str] = field(default_factory=deque)
    fault_rate: float = 0.0
    dice: Random = field(default_factory=lambda: Random(1))  # noqa: S311
    missing: tuple[str, ...] = ()  # fields that this tenant's schema does not have
    updated_at: bool = True  # False: a tenant that filters configuration findings by analyzedAt only
    said: dict[str, Said] = field(default_factory=dict)
    undecided: set[str] = field(default_factory=set)  # configuration findings whose check cannot tell at the moment
    calls: list[str] = field(default_factory=list)  # root fields asked for
    logins: int = 0

    def __post_init__(self) -> None:
        words = SCHEMA
        if not self.updated_at:
            words = words.replace("analyzedAt: DateFilter updatedAt: DateFilter", "analyzedAt: DateFilter")
        for name in self.missing:
            words = re.sub(rf"(?<=[\s{{]){name}(?:\([^)]*\))?: [\[\]!\w]+", "", words)
        self._schema = build_schema(words)
        self._texts: dict[str, tuple[DocumentNode, list[GraphQLError]]] = {}
        self._tokens: dict[str, datetime] = {}
        self._recent: deque[datetime] = deque()
        self._entries: dict[str, tuple[tuple[int, int], list[_Entry]]] = {}
        self._listed: dict[str, tuple[tuple[int, int], list[_Entry]]] = {}
        self._orders: dict[str, dict[str, tuple[str, str]]] = {}
        self._edits = 0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=4 << 20)
        app.router.add_post("/oauth/token", self._login)
        app.router.add_post("/graphql", self._graphql)
        return app

    # --- what tests compare with

    def truth(self, *kinds: str) -> dict[str, str]:
        """Id -> status of everything in the listings, all of them by default."""
        return {entry.order[1]: entry.status for root in kinds or tuple(LIMITS) for entry in self._all(root)}

    async def send_webhook(self, url: str, problem: Problem, trigger: str, headers: Mapping[str, str]) -> int:
        """Deliver the default body of an issue; the status answered."""
        body = self.webhook_body(problem, trigger)
        async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=dict(headers)) as answer:
            return answer.status

    def webhook_body(self, problem: Problem, trigger: str = "Updated") -> dict[str, Any]:
        """The default body about an issue."""
        return objects.webhook_body(problem, self.said.get(objects.identity(ISSUES, problem)), trigger)

    # --- login

    async def _login(self, request: web.Request) -> web.Response:
        if request.content_type != "application/x-www-form-urlencoded":
            return self._json({"error": "invalid_request", "error_description": "form expected"}, 400)
        form = await request.post()
        if self._fault("login-500"):
            return web.Response(status=500, text="upstream", headers=self._heads())
        wanted = {"grant_type": "client_credentials", "audience": self.audience, "client_id": self.client_id,
                  "client_secret": self.client_secret}  # fmt: skip
        if {name: form.get(name) for name in wanted} != wanted:
            return self._json({"error": "access_denied", "error_description": "Unauthorized"}, 401)
        self.logins += 1
        token = f"token-{self.logins}-{uuid.UUID(int=self.logins)}"
        self._tokens[token] = self.now() + timedelta(seconds=self.expires_in)
        return self._json({"access_token": token, "token_type": "Bearer", "expires_in": self.expires_in})

    # --- GraphQL

    async def _graphql(self, request: web.Request) -> web.StreamResponse:
        if self.fault_rate and not self.faults and self.dice.random() < self.fault_rate:
            self.faults.append(self.dice.choice(RANDOM_FAULTS))
        if self._fault("expired"):
            self._tokens.clear()
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        until = self._tokens.get(token)
        if until is None or until <= self.now():
            return self._json({"message": "Unauthorized"}, 401)
        if refused := self._too_many():
            return refused
        for name, status in (("500", 500), ("502", 502), ("503", 503)):
            if self._fault(name):
                return web.Response(status=status, text="upstream error", headers=self._heads())
        if self._fault("html"):
            return web.Response(text="<html>proxy</html>", content_type="text/html", headers=self._heads())
        try:
            asked = json.loads(await request.read())
            words, variables = str(asked["query"]), asked.get("variables") or {}
        except (ValueError, KeyError, TypeError):
            return self._json({"errors": [{"message": "query is missing", "extensions": {"code": "BAD_REQUEST"}}]}, 400)
        if self._fault("internal"):
            return self._json({"data": None, "errors": [_said("Internal server error", "INTERNAL_SERVER_ERROR")]})
        answer = self._answer(words, variables)
        if self._fault("partial") and answer.get("data"):
            answer["errors"] = [_said("downstream timed out", "INTERNAL")]
        if "mutation" in words[:40] and self._fault("lost"):
            assert request.transport is not None
            request.transport.close()  # done, and nobody learns of it
            return web.Response()
        body = json.dumps(answer).encode()
        if self._fault("truncated"):
            body = body[: len(body) * 2 // 3]
        return web.Response(body=body, content_type="application/json", headers=self._heads())

    def _too_many(self) -> web.Response | None:
        now = self.now()
        while self._recent and now - self._recent[0] >= timedelta(seconds=1):
            self._recent.popleft()
        if self._fault("429") or (self.per_second and len(self._recent) >= self.per_second):
            return web.Response(status=429, text="Too Many Requests", headers={**self._heads(), "Retry-After": "1"})
        self._recent.append(now)
        return None

    def _answer(self, words: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        if words not in self._texts:
            try:
                document = parse(words)
            except GraphQLError as error:
                return {"errors": [_said(error.message, "GRAPHQL_PARSE_FAILED")]}
            self._texts[words] = (document, list(validate(self._schema, document)))
        document, wrong = self._texts[words]
        if wrong:
            return {"errors": [_said(one.message, "GRAPHQL_VALIDATION_FAILED") for one in wrong]}
        operation = next(d for d in document.definitions if isinstance(d, OperationDefinitionNode))
        given = get_variable_values(self._schema, operation.variable_definitions or (), dict(variables))
        if isinstance(given, list):
            return {"errors": [_said(one.message, "BAD_USER_INPUT") for one in given]}
        values = given.coerced
        data: dict[str, Any] = {}
        errors: list[dict[str, Any]] = []
        for each in operation.selection_set.selections:
            assert isinstance(each, FieldNode)
            name = each.alias.value if each.alias else each.name.value
            arguments = {a.name.value: value_from_ast_untyped(a.value, values) for a in each.arguments or ()}
            self.calls.append(each.name.value)
            try:
                found = self._resolve(each.name.value, arguments)
                data[name] = _pruned(found, each.selection_set.selections) if each.selection_set else found
            except _Wrong as error:
                data[name] = None
                errors.append({**_said(str(error), error.code), "path": [name]})
        return {"data": data, **({"errors": errors} if errors else {})}

    def _resolve(self, root: str, arguments: Mapping[str, Any]) -> Any:
        if root == "issue":
            return self._node(ISSUES, self._issue(str(arguments["id"])))
        if root in ("updateIssue", "createIssueNote"):
            if "write" not in self.scopes:
                raise _Wrong("access denied, at least one of the following is required: update:issues", "FORBIDDEN")
            return self._update(arguments["input"]) if root == "updateIssue" else self._note(arguments["input"])
        if root not in self.scopes:
            raise _Wrong(f"access denied, at least one of the following is required: read:{root}", "FORBIDDEN")
        return self._list(root, arguments)

    # --- listings

    def _mark(self) -> tuple[int, int]:
        return self.world.version, self._edits

    def _all(self, root: str) -> list[_Entry]:
        mark, kept = self._entries.get(root, (None, []))
        if mark == self._mark():
            return kept
        found = []
        orders = self._orders.setdefault(root, {})
        for problem in self.world.problems():
            order = orders.get(problem.key)
            if order is None:  # hashing a hundred thousand names at every change would take minutes a day
                here = root in objects.roots(problem)
                uid = objects.identity(root, problem) if here else ""
                order = orders[problem.key] = (iso(problem.first_seen), uid)
            if not order[1]:
                continue
            said = self.said.get(order[1]) if root == ISSUES and self.said else None
            status, _, since = objects.state(problem, said)
            found.append(_Entry(order, problem, "" if root == DETECTIONS else status, since))
        found.sort(key=lambda entry: entry.order)
        self._entries[root] = (self._mark(), found)
        return found

    def _list(self, root: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        first = arguments.get("first") or 100
        if not 1 <= first <= LIMITS[root]:
            raise _Wrong(f"first must be between 1 and {LIMITS[root]}", "BAD_USER_INPUT")
        filters = arguments.get("filterBy") or {}
        key = f"{root} {json.dumps(filters, sort_keys=True)}"
        mark, found = self._listed.get(key, (None, []))
        if mark != self._mark() or "analyzedAt" in filters:  # that one moves with the day
            ready = {name: _dates(value) if name in _DATES else value for name, value in filters.items() if value}
            found = [entry for entry in self._all(root) if self._fits(root, entry, ready)]
            self._listed = {**dict(list(self._listed.items())[-20:]), key: (self._mark(), found)}
        after = arguments.get("after")
        if after and self._fault("forget-cursor"):
            raise _Wrong("after must be a valid cursor", "BAD_USER_INPUT")
        start = bisect_right(found, _opened(after), key=lambda entry: entry.order) if after else 0
        page = found[start : start + first]
        more = start + first < len(found)
        cursor = _cursor(page[-1].order) if page else after
        if more and self._fault("repeat-cursor"):
            cursor = after or cursor
        nodes = [self._node(root, entry) for entry in page]
        if self._fault("shuffle"):
            self.dice.shuffle(nodes)
        return {"nodes": nodes, "pageInfo": {"hasNextPage": more, "endCursor": cursor}, "totalCount": len(found)}

    def _fits(self, root: str, entry: _Entry, filters: Mapping[str, Any]) -> bool:
        problem = entry.problem
        for name, wanted in filters.items():
            if name == "id":
                if entry.order[1] not in _listed_in(wanted):
                    return False
            elif name == "severity":
                if problem.severity.upper() not in _listed_in(wanted):
                    return False
            elif name == "status":
                if entry.status not in wanted:
                    return False
            elif name == "result":
                if self._result(entry) not in wanted:
                    return False
            elif name == "hasExploit":
                if objects.exploitable(problem) is not wanted:
                    return False
            elif name == "type":
                if ("THREAT_DETECTION" if problem.kind == "threat" else "TOXIC_COMBINATION") not in wanted:
                    return False
            elif name in _DATES:
                if not wanted[0] < self._moment(_DATES[name], entry) < wanted[1]:
                    return False
            else:
                raise _Wrong(f"filter {name} is not simulated", "BAD_USER_INPUT")
        return True

    def _result(self, entry: _Entry) -> str:
        if entry.order[1] in self.undecided:
            return "ERROR"
        return "PASS" if entry.problem.status == "resolved" else "FAIL"

    def _moment(self, which: str, entry: _Entry) -> datetime:
        if which == "first":
            return entry.problem.first_seen
        if which == "status":
            return entry.since
        return self._scanned() if which == "scanned" else entry.problem.changed_at

    def _scanned(self) -> datetime:
        return self.now().replace(hour=3, minute=0, second=0, microsecond=0)

    def _node(self, root: str, entry: _Entry) -> dict[str, Any]:
        problem, uid = entry.problem, entry.order[1]
        if root == ISSUES:
            return objects.issue(problem, self.said.get(uid))
        if root == CONFIGURATION:
            return {**objects.configuration(problem, None, self._scanned()), "result": self._result(entry)}
        if root == VULNERABILITIES:
            return objects.vulnerability(problem, None, self._scanned())
        return objects.detection(problem)

    # --- writes

    def _issue(self, uid: str) -> _Entry:
        found = next((entry for entry in self._all(ISSUES) if entry.order[1] == uid), None)
        if found is None:
            raise _Wrong("id must be a valid service issue id", "BAD_USER_INPUT")
        return found

    def _update(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        entry, patch = self._issue(str(asked["id"])), asked.get("patch") or {}
        status = patch.get("status")
        if status == "RESOLVED" and entry.problem.kind != "threat":
            raise _Wrong("only threat detection issues can be resolved", "BAD_USER_INPUT")
        if status == "REJECTED" and not patch.get("resolutionReason"):
            raise _Wrong("resolutionReason is required", "BAD_USER_INPUT")
        said = self.said.setdefault(str(asked["id"]), Said())
        if status:
            said.status, said.at = status, self.now()
            said.reason = patch.get("resolutionReason") or said.reason  # it stays set after a reopen
        self._edits += 1
        return {"issue": {**objects.issue(entry.problem, said), "note": patch.get("note") or ""}}

    def _note(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._issue(str(asked["issueId"]))
        said = self.said.setdefault(str(asked["issueId"]), Said())
        made = {"id": str(uuid.UUID(int=len(said.notes) + 1)), "createdAt": iso(self.now()), "text": asked["text"],
                "updatedAt": None, "user": None, "serviceAccount": {"name": "Gatehouse"}}  # fmt: skip
        said.notes.append(made)  # the same text twice is two notes
        self._edits += 1
        return {"issueNote": made}

    # --- small things

    def _fault(self, name: str) -> bool:
        if name in self.faults:
            self.faults.remove(name)
            return True
        return False

    def _heads(self) -> dict[str, str]:
        return {"Date": self.now().strftime("%a, %d %b %Y %H:%M:%S GMT")}

    def _json(self, body: Any, status: int = 200) -> web.Response:
        return web.json_response(body, status=status, headers=self._heads())


class _Wrong(Exception):
    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def _said(message: str, code: str) -> dict[str, Any]:
    return {"message": message, "extensions": {"code": code}}


def _listed_in(wanted: Any) -> Sequence[Any]:
    """A list; of detections an object around it."""
    return (wanted.get("equals") or ()) if isinstance(wanted, dict) else wanted


def _dates(wanted: Mapping[str, Any]) -> tuple[datetime, datetime]:
    after, before = wanted.get("after"), wanted.get("before")
    low = datetime.fromisoformat(after) if after else datetime.min.replace(tzinfo=UTC)
    return low, datetime.fromisoformat(before) if before else datetime.max.replace(tzinfo=UTC)


def _cursor(order: tuple[str, str]) -> str:
    fields = [{"Field": "Timestamp", "Value": order[0]}, {"Field": "ID", "Value": order[1]}]
    return base64.b64encode(json.dumps({"fields": fields}).encode()).decode()


def _opened(cursor: Any) -> tuple[str, str]:
    try:
        fields = json.loads(base64.b64decode(str(cursor), validate=True))["fields"]
        return str(fields[0]["Value"]), str(fields[1]["Value"])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise _Wrong("after must be a valid cursor", "BAD_USER_INPUT") from error


def _pruned(value: Any, selections: Sequence[Any]) -> Any:
    """Only what was asked for, under its alias."""
    if isinstance(value, list):
        return [_pruned(one, selections) for one in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for each in selections:
        if isinstance(each, FieldNode):
            inner = value.get(each.name.value)
            name = each.alias.value if each.alias else each.name.value
            made[name] = _pruned(inner, each.selection_set.selections) if each.selection_set else inner
        elif isinstance(each, InlineFragmentNode):
            wanted = each.type_condition.name.value if each.type_condition else ""
            if wanted in ("", value.get("__typename")) or wanted == "VulnerableAssetBase":
                made |= _pruned(value, each.selection_set.selections)
        elif isinstance(each, FragmentSpreadNode):
            raise _Wrong("named fragments are not simulated", "BAD_USER_INPUT")
    return made
