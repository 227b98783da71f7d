"""Prisma Cloud's findings of any kind -> our Finding. Pure: the kind is told from the object, each has a module.

Identity: an alert's id; for lists without one, the thing (asset, image, host) and the CVE, check or policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bot.domain.errors import BadInput
from bot.domain.findings import Finding, Sighting
from connectors.prisma_cloud import alerts, compute, events, uve
from connectors.prisma_cloud.shapes import kind_of

SOURCE = alerts.SOURCE
_Pair = tuple[Callable[[Mapping[str, Any]], Sighting], Callable[[Mapping[str, Any]], Finding]]
_KINDS: Mapping[str, _Pair] = {
    "alert": (alerts.sight, alerts.to_finding),
    "compute": (compute.sight, compute.to_finding),
    "entity": (events.sight_entity, events.entity_finding),
    "event": (events.sight, events.to_finding),
    "rows": (uve.sight_rows, uve.rows_finding),
    "cve": (uve.sight_cve, uve.cve_finding),
    "asset": (uve.sight_asset, uve.asset_finding),
    "external": (uve.sight_external, uve.external_finding),
    "code": (uve.sight_code, uve.code_finding),
}


class PrismaCloudMapper:
    source = SOURCE

    def sight(self, raw: Mapping[str, Any]) -> Sighting:
        return _pair(raw)[0](raw)

    def map(self, raw: Mapping[str, Any]) -> Finding:
        return _pair(raw)[1](raw)


def _pair(raw: Mapping[str, Any]) -> _Pair:
    kind = kind_of(raw)
    if not kind:
        raise BadInput(
            "not a finding of Prisma Cloud (no alert, vulnerability, failed check or event).",
            mend="Give an answer of its API, a webhook body or an export: gatehouse ingest prisma_cloud FILE.",
        )
    return _KINDS[kind]
