"""Any object of Lacework that is a finding -> our Finding. Pure; which kind it is is told by its members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.domain.errors import BadInput
from bot.domain.findings import Finding, Sighting, SourceStatus
from connectors.lacework import alerts, compliance, vulnerabilities
from connectors.text import content_hash, text

SOURCE = "lacework"


class LaceworkMapper:
    source = SOURCE

    def sight(self, raw: Mapping[str, Any]) -> Sighting:
        kind = kind_of(raw)
        if kind == "vulnerability":
            uid, said = vulnerabilities.identity_of_vulnerability(raw), vulnerabilities.content_of_vulnerability(raw)
            state = vulnerabilities.state_of_vulnerability(raw)[0]
        elif kind == "compliance":
            uid, said = compliance.identity_of_compliance(raw), compliance.content_of_compliance(raw)
            state = compliance.state_of_compliance(raw)[0]
        else:
            alert = alerts.as_alert(raw)
            uid, said = alerts.identity_of_alert(alert), alerts.content_of_alert(alert)
            state = alerts.state_of_alert(alert)[0]
        return Sighting(uid=uid, content=content_hash(said), closed=state is SourceStatus.RESOLVED)

    def map(self, raw: Mapping[str, Any]) -> Finding:
        kind = kind_of(raw)
        if kind == "vulnerability":
            return vulnerabilities.map_vulnerability(raw, SOURCE)
        if kind == "compliance":
            return compliance.map_compliance(raw, SOURCE)
        return alerts.map_alert(alerts.as_alert(raw), SOURCE)


def kind_of(raw: Mapping[str, Any]) -> str:
    """``vulnerability``, ``compliance`` or ``alert``; ``BadInput`` when it is none of them."""
    found = kind_or_none(raw)
    if found is None:
        raise BadInput(
            "not a finding of Lacework: it has no alert id, vulnerability id or policy.",
            mend="Give what the API v2, an alert channel or an export of Lacework wrote.",
        )
    return found


def kind_or_none(raw: Mapping[str, Any]) -> str | None:
    if vulnerabilities.kind_of(raw):
        return "vulnerability"
    if compliance.is_violation(raw):
        return "compliance" if text(raw.get("REC_ID"), 256) else None
    if compliance.is_evaluation(raw):
        return "compliance"
    if alerts.is_api(raw):
        return "alert" if alerts.alert_id(raw) not in ("", "0") else None
    return "alert" if _is_event(raw) else None


_EVENT_MARKS = frozenset(
    {"eventtitle", "eventname", "eventtype", "eventseverity", "eventsource", "eventcategory", "eventdetails",
     "eventlink", "eventmodel", "eventinfo", "alertname", "alerttitle", "alertseverity", "alerttype", "alertlink",
     "eventdescription", "alertdescription", "laceworkaccount"}
)  # fmt: skip


def _is_event(raw: Mapping[str, Any]) -> bool:
    """What a channel sends; of an edited template at least the number and two of its members."""
    number = alerts.alert_id(raw)
    if not number or number == "0":
        return False
    marks = {str(key).lower().replace("_", "").replace("-", "") for key in list(raw)[:200]} & _EVENT_MARKS
    return len(marks) >= (2 if number.isdigit() else 3)
