"""What an object of Wiz is: a finding of one of the kinds, or something that carries none and has a name.

Understood are API nodes of every generation (also with snake_case or flattened names), webhook bodies, and both inside
whatever holds them: GraphQL answers, pages, SOAR results, SIEM events, queue messages.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from connectors.reading import Understood
from connectors.text import obj, seq, text
from connectors.wiz import cli, export
from connectors.wiz.words import (
    CONFIGURATION,
    DETECTION,
    ISSUE,
    ISSUE_TYPES,
    OTHER,
    VULNERABILITY,
    word,
)

HOOK = "webhook"
_SAID = {ISSUE: "issues", HOOK: "webhook body", CONFIGURATION: "configuration findings", DETECTION: "detections",
         VULNERABILITY: "vulnerability findings"}  # fmt: skip
_HOOK_MARKS = frozenset({"severity", "title", "ruleName", "controlName", "status", "issueSeverity", "issueStatus",
                         "control", "trigger"})  # fmt: skip
_DEPTH = 10
_DETECTION_TYPES = frozenset({"GENERATED_THREAT", "MATCH_ONLY"})
_ADVISORY = re.compile(r"(?:CVE|GHSA|ALAS|RHSA|DSA|USN|WIZ|ELSA|PYSEC|GO)-[\w.-]+", re.I)
# Members that only Wiz's finding nodes of other kinds have beside id and severity.
_WIZ_MARKS = frozenset(
    {"graphEntity", "securitySubCategories", "statusChangedAt", "firstSeenAt", "firstDetectedAt", "portalUrl",
     "ignoreRules", "analyzedAt", "lastSeenAt", "cloudAccount", "projects"}
)  # fmt: skip
_PLACES = (
    "resource",
    "graphEntity",
    "asset",
    "cloudResource",
    "entity",
    "target",
    "vulnerableAsset",
    "primaryResource",
)
_SUFFIXES = re.compile(r"^(.+)_(?:s|g|t|d|b)$")  # types that Log Analytics appends to names
_SNAKE = re.compile(r"_([a-z0-9])")
# Members that hold objects, which some stores keep as JSON text.
_INNER = frozenset(
    {"entitySnapshot", "sourceRule", "sourceRules", "vulnerableAsset", "resource", "rule", "issue", "control",
     "trigger", "projects", "primaryResource", "resources", "ruleMatch", "cloudAccounts", "securitySubCategories"}
)  # fmt: skip
_SNAKED = frozenset(
    {"entity_snapshot", "source_rule", "source_rules", "vulnerable_asset", "target_external_id", "rule_match",
     "primary_resource", "status_changed_at", "created_at", "updated_at", "first_seen_at", "first_detected_at",
     "detailed_name", "triggering_events", "cve_description", "analyzed_at", "security_sub_categories"}
)  # fmt: skip
_FREE = frozenset({"tags", "subscriptionTags", "properties"})  # names of the customer's own
HOOKED = ("issue", "finding", "configurationFinding", "vulnerabilityFinding", "vulnerability", "detection", "threat")
LINKED = re.compile(r"issue~'([0-9A-Za-z-]{8,80})")
# Elastic's names nest what Wiz writes as one word: cloud.platform is cloudPlatform.
_NESTED = frozenset({"cloud", "subscription", "resourceGroup", "provider", "external", "native", "related"})

# --- findings --------------------------------------------------------------------------------------------------------


def kind_of(raw: Mapping[str, Any]) -> str:
    """The kind of a finding in Wiz's own names, "" for everything else."""
    if "entitySnapshot" in raw or "sourceRule" in raw or "sourceRules" in raw:
        return ISSUE
    if "vulnerableAsset" in raw or "CVEDescription" in raw:
        return VULNERABILITY
    if _is_detection(raw):
        return DETECTION
    if "targetExternalId" in raw or (
        ("result" in raw or "analyzedAt" in raw)
        and isinstance(raw.get("rule"), dict)
        and (isinstance(raw.get("resource"), dict) or "id" in raw)
    ):
        return CONFIGURATION
    if _is_hook(raw):
        return HOOK
    if "severity" not in raw or not (raw.get("id") or raw.get("name")):
        return ISSUE if "statusChangedAt" in raw and raw.get("id") else ""
    if "statusChangedAt" in raw or word(raw.get("type")) in ISSUE_TYPES:
        return ISSUE
    if isinstance(raw.get("control"), dict) and ("entity" in raw or "status" in raw):
        return ISSUE  # the older query "issues"
    name = text(raw.get("name"), 64)
    if _ADVISORY.fullmatch(name) and ("detailedName" in raw or "CVSSSeverity" in raw or "firstDetectedAt" in raw):
        return VULNERABILITY
    if any(isinstance(raw.get(place), dict) for place in _PLACES) and not _WIZ_MARKS.isdisjoint(raw):
        return OTHER
    return ""


def _is_detection(raw: Mapping[str, Any]) -> bool:
    if "id" not in raw and "threatId" not in raw:
        return False
    return (
        "ruleMatch" in raw
        or "tdrId" in raw
        or "threatURL" in raw
        or ("threatId" in raw and ("primaryResource" in raw or "trigger" in raw))
        or "detectionUrl" in raw
        or "triggeringEvents" in raw
        or "triggeringEvent" in raw
        or word(raw.get("type")) in _DETECTION_TYPES
        or (word(raw.get("source")) == "DETECTIONS" and "severity" in raw)
    )


def _is_hook(raw: Mapping[str, Any]) -> bool:
    """The default template, and flat bodies of edited ones that still name an issue."""
    for name in HOOKED:
        inner = raw.get(name)
        if isinstance(inner, dict) and inner.get("id"):
            if kind_of(inner):  # a whole node: that one is the finding, this only holds it
                return False
            beside = any(isinstance(raw.get(other), dict) for other in ("trigger", "resource", "control", "rule"))
            return beside or (name == "issue" and "severity" in inner)
    return bool(hook_id(raw)) and not _HOOK_MARKS.isdisjoint(raw)


def hook_id(raw: Mapping[str, Any]) -> str:
    """The issue that a flat body names, by a member or by a link to it."""
    for name in ("issueId", "issueID", "wizIssueId", "issue_id", "wiz_issue_id"):
        if found := text(raw.get(name), 128):
            return found
    for value in raw.values():
        if isinstance(value, str) and "issue~'" in value and (linked := LINKED.search(value)):
            return linked[1]
    return ""


def finding(raw: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """(kind, node in Wiz's own names), or None. Snake case, flat names and members as JSON text are turned back."""
    for name in _INNER:
        if type(raw.get(name)) is str and raw[name][:1] in ("{", "["):
            raw = {**raw, **{key: _json(value) for key, value in raw.items() if key in _INNER}}
            break
    snake = not _SNAKED.isdisjoint(raw)
    if not snake and (kind := kind_of(raw)):
        return kind, raw
    if cli.is_match(raw):
        return cli.kind(raw), cli.node(raw)
    if row := export.kind(raw):
        return row, export.node(raw)
    if not snake and not any(isinstance(key, str) and ("_" in key or "." in key) for key in raw):
        return None
    node = _renamed(raw, 0)
    kind = kind_of(node)
    return (kind, node) if kind else None


def _json(value: Any) -> Any:
    return found if isinstance(value, str) and (found := _parsed(value)) is not None else value


def _renamed(raw: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """``entity_snapshot``, ``entitySnapshot.name`` and ``entitySnapshot_name_s`` as Wiz writes them."""
    made: dict[str, Any] = {}
    for key, value in list(raw.items())[:500]:
        name, typed = str(key), None
        if not name.startswith("_") and (typed := _SUFFIXES.match(name)):
            name, value = typed[1], _json(value)
        root, dot, rest = name.partition(".")
        if typed and not dot:
            head, line, tail = name.partition("_")
            root, dot, rest = (head, line, tail) if head in _INNER and line else (name, "", "")
        root = _SNAKE.sub(lambda m: m[1].upper(), root) if not root.startswith("_") else root
        if dot and rest:
            inner = made.setdefault(root, {})
            if isinstance(inner, dict):
                inner[rest] = value
                continue
        made[root] = value
    return {key: value if key in _FREE else _inside(value, depth + 1) for key, value in made.items()}


def _inside(value: Any, depth: int) -> Any:
    if depth > _DEPTH:
        return value
    if isinstance(value, list):
        return [_inside(one, depth + 1) for one in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for key, inner in _renamed(value, depth).items():
        if key in _NESTED and isinstance(inner, dict) and not {"id", "name", "externalId"} & inner.keys():
            made |= {key + name[:1].upper() + name[1:]: one for name, one in inner.items()}
        else:
            made[key] = inner
    return made


# --- what carries no finding -----------------------------------------------------------------------------------------

_EMPTY = {
    "issues": "issues", "issuesV2": "issues", "issue": "issue", "configurationFindings": "configuration findings",
    "vulnerabilityFindings": "vulnerability findings", "detections": "detections",
    "hostConfigurationRuleAssessments": "host configuration findings",
}  # fmt: skip
# What makes a node of a listing one of its kind, whatever else was asked for.
_MARKS = {
    "issues": "sourceRule", "issuesV2": "sourceRule", "configurationFindings": "targetExternalId",
    "vulnerabilityFindings": "vulnerableAsset", "detections": "ruleMatch",
}  # fmt: skip
_ANSWERS = {
    "graphSearch": "inventory", "cloudResources": "inventory", "cloudResourcesV2": "inventory", "entities": "inventory",
    "graphEntity": "inventory", "projects": "projects", "users": "users", "serviceAccounts": "service accounts",
    "controls": "controls", "cloudConfigurationRules": "rules", "cloudEventRules": "rules", "reports": "reports",
    "hostConfigurationRules": "rules", "securityFrameworks": "frameworks", "auditLogEntries": "audit log",
    "connectors": "connectors", "cloudAccounts": "cloud accounts", "viewer": "viewer", "report": "report",
    "automationRules": "automation rules", "actionTemplates": "action templates", "integrations": "integrations",
    "ignoreRules": "ignore rules", "sbomArtifacts": "software inventory", "kubernetesClusters": "clusters",
    "networkExposures": "network exposures", "issueAnalytics": "counts", "deployments": "deployments",
    "__schema": "schema", "__typename": "type name", "usersV2": "users", "userRoles": "roles",
    "cloudOrganizations": "cloud organisations", "containerRegistries": "registries", "issuesGroupedByValue": "counts",
    "systemActivityGroup": "system activity", "tenant": "tenant",
}  # fmt: skip
_WRITE = re.compile(
    r"(?:create|update|delete|associate|disassociate|request|copy|rerun|rotate|add|remove|set|start|stop|assign|revoke"
    r"|move|duplicate|validate)[A-Z]"
)
_GRAPH_ERROR = frozenset({"extensions", "path", "locations"})
# Where an object that is named by its looks may stand; deeper ones belong to something else.
_LISTED = frozenset({"", "nodes", "node", "entities", "EntityResult", "Contents", "data", "results", "result", "issue",
                     "projects", "project", "issueNote", "graphEntity"})  # fmt: skip
_ENTITY = re.compile(r"[A-Z][A-Z0-9_]+")
_JSON_MEMBERS = frozenset(
    {"message", "Message", "_raw", "raw", "original", "rawJSON", "rawEvent", "raw_log", "body", "Body", "detail",
     "json", "payload", "Payload", "event", "log", "data", "Data", "json_payload", "value", "text", "result", "RawData",
     "RawEvent", "event_json", "p_raw", "raw_data", "rawdata", "raw_event", "content"}
)  # fmt: skip


def understand(raw: Mapping[str, Any]) -> Understood | None:
    """Everything that stands in one object; None when nothing of it is Wiz's."""
    found = _Found()
    found.walk(raw, "", 0)
    if found.items:
        return Understood(found.items, tuple(found.none), found.kind or "findings")
    return Understood((), tuple(found.none)) if found.none else None


class _Found:
    def __init__(self) -> None:
        self.items: list[Mapping[str, Any]] = []
        self.none: list[str] = []
        self.kind = ""

    def walk(self, value: Any, name: str, depth: int) -> None:
        if depth > _DEPTH:
            return
        if isinstance(value, list):
            for one in value:
                if isinstance(one, (dict, list)):
                    self.walk(one, name, depth + 1)
            return
        if not isinstance(value, dict):
            return
        if expanded := cli.matches(value):
            self.items += expanded
            self.kind = self.kind or "command line scan"
            return
        if found := finding(value):
            self.items.append(value)
            self.kind = self.kind or _SAID.get(found[0], "findings")
            return
        if said := _named(value, name):
            self.none.append(said)
            return
        self._holder(value, name, depth)

    def _holder(self, value: Mapping[str, Any], name: str, depth: int) -> None:
        """An object that only holds others: an answer, a page, an event of a SIEM, a message of a queue."""
        before = len(self.items) + len(self.none)
        errors = value.get("errors")
        if isinstance(errors, list) and any(isinstance(one, dict) and "message" in one for one in errors):
            graph = any(isinstance(one, dict) and not _GRAPH_ERROR.isdisjoint(one) for one in errors)
            if graph or "data" in value or len(value) == 1:
                self.none.append(_error(errors))
        original = obj(value.get("event")).get("original") or value.get("event.original")
        if (parsed := _parsed(original)) is not None:
            # the SIEM's own columns beside it say the same again
            self.walk(parsed, name, depth + 1)
            if len(self.items) + len(self.none) > before:
                return
        nodes = value.get("nodes", value.get("edges"))
        if isinstance(nodes, list) and not nodes:
            self.none.append(f"empty page of {_EMPTY.get(name, name or 'results')}")
            return
        mark = _MARKS.get(name)
        for each in nodes if mark and isinstance(nodes, list) else ():
            one = each["node"] if isinstance(each, dict) and isinstance(each.get("node"), dict) else each
            if isinstance(one, dict) and one.get("id") and ("severity" in one or "status" in one) and not finding(one):
                one = {**one, mark: None}  # few members were asked for; the listing says what it is
            self.walk(one, "nodes", depth + 2)
        nothing: list[str] = []
        for key, inner in value.items():
            if key == "errors" or (mark and key in ("nodes", "edges")):
                continue
            if isinstance(inner, (dict, list)):
                self._answer(str(key), inner, name, depth, len(value) == 1)
            elif inner is None and key in _EMPTY:
                nothing.append(_EMPTY[key])
            elif isinstance(inner, str) and (key in _JSON_MEMBERS or name in _JSON_MEMBERS):
                self.walk(_parsed(inner), str(key), depth + 1)
        if len(self.items) + len(self.none) > before:
            return
        data = value.get("data")
        if not name and isinstance(data, dict) and value.keys() <= {"data", "errors", "extensions"}:
            graph = all(one is None or isinstance(one, (dict, list)) or key[:2] == "__" for key, one in data.items())
            if graph:  # a GraphQL answer
                self.none.append(f"answer to {', '.join(map(str, data))}"[:120] if data else "empty answer")
            return
        self.none += [f"answer without {what}" for what in nothing]
        if isinstance(nodes, list):
            self.none.append(f"page of {_ANSWERS.get(name, name or 'other objects')}")

    def _answer(self, key: str, inner: Any, name: str, depth: int, alone: bool) -> None:
        """A member that holds something: the answer to a query, to a write, or one more wrapper."""
        asked = name == "data" or (alone and depth == 0)
        paged = isinstance(inner, dict) and ("nodes" in inner or "edges" in inner)
        if key in _ANSWERS and (asked or paged) and key not in ("projects", "entities", "cloudAccounts"):
            self.none.append(f"{_ANSWERS[key]} answer")
            return
        if asked and isinstance(inner, dict) and _WRITE.match(key):
            self.none.append(f"reply to {key}")
            return
        before = len(self.items) + len(self.none)
        self.walk(inner, key, depth + 1)
        if len(self.items) + len(self.none) == before and key in _ANSWERS and (asked or paged):
            self.none.append(f"{_ANSWERS[key]} answer")


def _named(raw: Mapping[str, Any], name: str) -> str:
    """What an object without a finding is called, "" when it may still hold one."""
    keys = raw.keys()
    if "access_token" in keys and ("token_type" in keys or "expires_in" in keys or len(keys) < 4):
        return "login answer"
    if isinstance(raw.get("error"), str) and ("error_description" in keys or len(keys) <= 3):
        return f"error answer ({text(raw['error'], 80)})"
    if isinstance(raw.get("message"), str) and isinstance(raw.get("extensions"), dict):
        return _error([raw])
    if isinstance(raw.get("message"), str) and keys <= {"message", "statusCode", "code", "status", "error", "path",
                                                        "timestamp", "requestId"}:  # fmt: skip
        return "" if raw["message"].lstrip()[:1] in ("{", "[") else f"error answer ({text(raw['message'], 80)})"
    if {"hasNextPage"} <= keys and keys <= {"hasNextPage", "endCursor", "startCursor", "hasPreviousPage"}:
        return "" if name == "pageInfo" else "page mark"
    if "pageInfo" in keys and not any(isinstance(raw.get(k), (list, dict)) for k in keys - {"pageInfo"}):
        return f"empty page of {_EMPTY.get(name, name or 'results')}"
    if name not in _LISTED:
        return ""
    if "actionParameters" in keys or ("action" in keys and "requestId" in keys and "userAgent" in keys):
        return "audit log entry"
    if keys <= {"_stub"} and keys:
        return "status reply"
    if "issueNote" in keys or ({"text", "createdAt"} <= keys and "severity" not in keys):
        return "comment"
    if "systemActivityGroupId" in keys:
        return "status reply"
    if {"id", "status"} <= keys and keys <= {"id", "status", "note", "notes", "dueAt", "resolutionReason", "severity",
                                             "resolutionNote", "updatedAt", "assignee", "resolvedAt"}:  # fmt: skip
        return "status reply"
    if "properties" in keys and _ENTITY.fullmatch(text(raw.get("type"), 64)) and ("id" in keys or "name" in keys):
        return "inventory object"
    if {"id", "name"} <= keys and not {"businessUnit", "projectOwners", "isFolder", "riskProfile"}.isdisjoint(keys):
        return "project"
    if "remediationInstructions" in keys or "resolutionRecommendation" in keys or "graphId" in keys:
        return "rule"
    if "reportRun" in keys or ("lastRun" in keys and "id" in keys) or ("runIntervalHours" in keys):
        return "report"
    if "filterBy" in keys or ("query" in keys and "variables" in keys):
        return "query"
    return ""


def _error(errors: Sequence[Any]) -> str:
    first = next((one for one in errors if isinstance(one, dict)), {})
    code = text(obj(first.get("extensions")).get("code"), 64)
    return f"error answer ({code or text(first.get('message'), 80) or 'without a reason'})"


def _parsed(value: Any) -> Any:
    """JSON in a string (also base64, as queues send it), None for anything else."""
    if not isinstance(value, str) or len(value) < 2:
        return None
    said = value.strip()
    if said[:1] not in ("{", "["):
        if len(said) < 24 or len(said) % 4 or not re.fullmatch(r"[A-Za-z0-9+/=_-]+", said):
            return None
        try:
            said = base64.b64decode(said, altchars=b"-_", validate=False).decode("utf-8").strip()
        except ValueError:
            return None
        if said[:1] not in ("{", "["):
            return None
    try:
        return orjson.loads(said)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None


def nodes_of(answer: Any, name: str) -> Iterator[Mapping[str, Any]]:
    """Objects of ``data.<name>.nodes`` of an API's answer."""
    for one in seq(obj(obj(answer).get(name)).get("nodes")):
        if isinstance(one, dict):
            yield one
