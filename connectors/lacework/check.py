"""What the doctor asks: reachable, credential good, rights, clock, newest alert."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bot.domain.errors import Gone, Refused
from bot.settings import Settings
from connectors.lacework.client import API, LaceworkApi, iso
from connectors.lacework.options import DATASETS
from connectors.lacework.poller import WHOLE, options_of
from connectors.lacework.words import moment


async def check(settings: Settings, options: dict[str, Any]) -> str:
    api = LaceworkApi(options_of(options))
    try:
        return await checked(api, datetime.now(UTC))
    finally:
        await api.close()


async def checked(api: LaceworkApi, now: datetime) -> str:
    """Raises what a poll would raise: ``Relogin`` for a bad key, ``Refused`` where alerts may not be read."""
    page = await api.alerts(now - timedelta(hours=24), now)
    said = [f"{api.options.host} answers and takes the key"]
    newest = max((at for row in page.rows if (at := moment(row.get("startTime")))), default=None)
    said.append(f"newest alert {newest:%Y-%m-%d %H:%M}Z" if newest else "no alert in the last day")
    missing = [name for name, path, body in _asked(api, now) if not await _may(api, path, body)]
    said.append(f"not permitted: {', '.join(missing)}" if missing else "rights are enough")
    skew = api.client.traffic.skew
    if skew is not None and abs(skew) > timedelta(seconds=90):
        said.append(f"our clock is {abs(skew).total_seconds():.0f} s {'behind' if skew > timedelta() else 'ahead'}")
    return "; ".join(said)


def _asked(api: LaceworkApi, now: datetime) -> list[tuple[str, str, dict[str, Any]]]:
    span = {"timeFilter": {"startTime": iso(now - WHOLE), "endTime": iso(now)}}
    found: list[tuple[str, str, dict[str, Any]]] = []
    if api.options.compliance:
        body = {**span, "dataset": DATASETS[api.options.compliance[0]]}
        found.append(("compliance evaluations", "Configs/ComplianceEvaluations/search", body))
    narrow = {**span, "filters": [{"field": "severity", "expression": "eq", "value": "Critical"}]}
    if api.options.hosts:
        found.append(("host vulnerabilities", "Vulnerabilities/Hosts/search", narrow))
    if api.options.containers:
        found.append(("container vulnerabilities", "Vulnerabilities/Containers/search", narrow))
    return found


async def _may(api: LaceworkApi, path: str, body: dict[str, Any]) -> bool:
    try:
        await api.client.post(f"{API}/{path}", json=body, reads=True)
    except (Refused, Gone):
        return False
    return True
