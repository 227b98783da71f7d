"""Any finding object of Wiz -> our Finding. Pure and tolerant.

Identity is Wiz's own ``id``, a UUID that survives reopening; it is the same in the API and in webhooks. An object
without one (anonymised or cut exports) is known by rule, resource and package.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.domain.errors import BadInput
from bot.domain.findings import Finding, Sighting, SourceStatus
from bot.domain.ids import short_hash
from connectors.text import content_hash, obj, text
from connectors.wiz import detections, kinds
from connectors.wiz.shapes import HOOK, finding
from connectors.wiz.words import CONFIGURATION, DETECTION, ISSUE, OTHER, SOURCE, VULNERABILITY, word

# Members that move with every scan, or hold what the mapping does not read and changes by itself.
_NOISE = frozenset(
    {
        "createdAt", "updatedAt", "statusChangedAt", "analyzedAt", "firstSeenAt", "lastSeenAt", "firstDetectedAt",
        "lastDetectedAt", "created", "startedAt", "endedAt", "timeframe", "evidence", "relatedIssueAnalytics",
        "layerMetadata", "threatDetectionDetails", "evidenceQuery", "issueAnalytics", "triggeringEventsCount",
        "commentThread", "resolvedBy", "environmentsSnapshot",
    }
)  # fmt: skip
_CLOSED = frozenset({SourceStatus.RESOLVED, SourceStatus.ARCHIVED, SourceStatus.DELETED})
_MAPPINGS = {
    ISSUE: kinds.issue,
    CONFIGURATION: kinds.configuration,
    VULNERABILITY: kinds.vulnerability,
    DETECTION: detections.detection,
    OTHER: detections.other,
}


class WizMapper:
    source = SOURCE

    def sight(self, raw: Mapping[str, Any]) -> Sighting:
        kind, node = _known(raw)
        said = {key: value for key, value in node.items() if key not in _NOISE and not str(key).startswith("p_")}
        if isinstance(events := said.get("triggeringEvents"), dict):
            said["triggeringEvents"] = [text(obj(one).get("description")) for one in kinds.events_of(events)]
        closed = kinds.result_of(kind, node)[0] in _CLOSED or kinds.undecided(kind, node)
        return Sighting(uid=identity(kind, node), content=content_hash([kind, said]), closed=closed)

    def map(self, raw: Mapping[str, Any]) -> Finding:
        kind, node = _known(raw)
        uid = identity(kind, node)
        return _MAPPINGS[kind](uid, node)


def _known(raw: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    found = finding(raw) if isinstance(raw, dict) else None
    if found is None:
        raise BadInput(
            "not a finding of Wiz: neither an issue nor a configuration finding, a vulnerability or a detection.",
            mend="Give nodes of Wiz's API, or what its webhook sent.",
        )
    kind, node = found
    return kinds.hook(node) if kind == HOOK else found


def identity(kind: str, node: Mapping[str, Any]) -> str:
    if uid := text(node.get("id"), 512):
        return uid
    rule = next((found for name in ("sourceRule", "rule", "control") if (found := obj(node.get(name)))), {})
    place = next((found for name in ("entitySnapshot", "vulnerableAsset", "resource", "primaryResource")
                  if (found := obj(node.get(name)))), {})  # fmt: skip
    parts = [text(node.get(name), 500) for name in ("name", "threatId", "detailedName", "version", "targetExternalId")]
    parts += [text(rule.get(name), 500) for name in ("id", "name")]
    parts += [text(place.get(name), 1000) for name in ("providerId", "providerUniqueId", "id", "name")]
    if not any(parts):
        raise BadInput(f"a Wiz {kind} without an id, a rule and a resource cannot be told from others.")
    return short_hash(word(kind), *parts, prefix="wiz-")
