"""NVD's record of one CVE: its CVSS score and vector.

Facts: API 2.0, ``cveId``, header ``apiKey``; 5 calls in 30 seconds without a key, 50 with one; 403 when throttled
(https://nvd.nist.gov/developers/start-here). Pacing stays below both.
"""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from bot.domain.errors import BadInput, ConnectorError, RetryLater
from bot.ports import CveRecord
from connectors.http import Answer, HttpClient, NoAuth, Pace, Rule, StaticHeader

_NEWEST = ("cvssMetricV40", "cvssMetricV31", "cvssMetricV30", "cvssMetricV2")


def _throttled(answer: Answer) -> ConnectorError | None:
    return RetryLater("NVD throttles us (403)", after=30) if answer.status == 403 else None


def parse(cve: str, said: Any) -> CveRecord | None:
    """The newest CVSS of NVD's own analysts, else of whoever gave one; None: no such CVE."""
    found = said.get("vulnerabilities") if isinstance(said, dict) else None
    if not isinstance(found, list):
        raise BadInput("NVD answered without vulnerabilities")
    for each in found:
        record = each.get("cve") if isinstance(each, dict) else None
        if isinstance(record, dict) and record.get("id") == cve:
            metrics = record.get("metrics")
            cvss, vector = _best(metrics if isinstance(metrics, dict) else {})
            return CveRecord(cve, cvss, vector, str(record.get("lastModified", ""))[:40])
    return None


def _best(metrics: dict[str, Any]) -> tuple[float | None, str]:
    for name in _NEWEST:
        listed = [m for m in metrics.get(name) or () if isinstance(m, dict) and isinstance(m.get("cvssData"), dict)]
        for each in sorted(listed, key=lambda m: m.get("type") != "Primary"):
            data = each["cvssData"]
            score = data.get("baseScore")
            if isinstance(score, int | float) and 0 <= score <= 10:
                return float(score), str(data.get("vectorString", ""))[:300]
    return None, ""


class Nvd:
    name = "nvd"

    def __init__(self, url: str, key: SecretStr | None = None, **client: Any) -> None:
        auth = StaticHeader("apiKey", key) if key is not None else NoAuth()
        pace = Pace(50 / 32, 5) if key is not None else Pace(5 / 32, 1)
        rule = Rule(verdict=_throttled, attempts=3)
        self._http = HttpClient(url, "NVD", auth=auth, rule=rule, **{"pace": pace, **client})

    async def record(self, cve: str) -> CveRecord | None:
        return parse(cve, (await self._http.get("", params={"cveId": cve})).json())

    async def close(self) -> None:
        await self._http.close()
