"""Orca's webhook: a secret in a custom header, a body that customers edit.

Orca signs nothing. The body says which alert changed; the alert is read by the API. Its id is looked for where Orca
puts it in its own templates, and else anywhere in the text: ``orca-`` and letters or digits.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from bot.domain.errors import Gone, Refused
from bot.ports import Notification, Page
from connectors.orca.client import OrcaApi
from connectors.orca.envelopes import understand
from connectors.orca.mapping import APP, SOURCE
from connectors.orca.options import OrcaOptions
from connectors.orca.shapes import ALERT_REF, APP_MARK, View, alert_ref, squash

_ANYWHERE = re.compile(r"(?<![A-Za-z0-9])orca-[A-Za-z0-9]*\d[A-Za-z0-9]*(?![A-Za-z0-9-])")
_MOST = 500
_DEEP = 8


class OrcaWebhook:
    source = SOURCE

    def __init__(self, api: OrcaApi, options: OrcaOptions) -> None:
        self._api, self._options = api, options

    async def close(self) -> None:
        await self._api.close()

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        secret = self._options.webhook_secret.get_secret_value() if self._options.webhook_secret else ""
        if not secret:
            raise Refused(
                "no webhook of Orca is accepted: the source has no webhook_secret.",
                mend=f"Set the option, and a custom header {self._options.webhook_header} with it in Orca's webhook.",
            )
        given = {name.lower(): value for name, value in headers.items()}
        said = given.get(self._options.webhook_header.lower(), "").strip()
        if not said:  # where Orca's own field "API key" ends up
            said = re.sub(r"^(?:Bearer|Token) +", "", given.get("authorization", "").strip(), flags=re.I)
        if not hmac.compare_digest(said.encode("utf-8", "replace"), secret.encode()):
            raise Refused(
                "the webhook does not carry the secret.",
                mend=f"Compare the header {self._options.webhook_header} in Orca with the option webhook_secret.",
            )

    def understand(self, body: bytes) -> Notification:
        key = hashlib.sha256(body).hexdigest()
        try:
            told: Any = orjson.loads(body)
        except orjson.JSONDecodeError:
            refs = _found(body.decode("utf-8", "replace"))
            return Notification(key, refs=refs, said="" if refs else "a body that is no JSON and names no alert")
        refs = tuple(dict.fromkeys(_where_orca_puts_it(told, 0)))[:_MOST]
        items: list[Mapping[str, Any]] = []
        names: list[str] = []
        for one in told if isinstance(told, list) else [told]:
            found = understand(one) if isinstance(one, dict) else None
            if found is not None:
                # A finding that the API cannot be asked for by its id (a CVE, an id of the customer's own).
                items += [item for item in found.items if not alert_ref(View(item))]
                names += found.carries_none
        if not refs and not items:
            refs = _found(body.decode("utf-8", "replace"))
        said = "" if refs or items else ", ".join(names[:3]) or "a test message, or a template without the alert's id"
        return Notification(key, refs=refs, items=tuple(items[:_MOST]), said=said)

    async def fetch(self, refs: Sequence[str]) -> Page:
        wanted = [ref for ref in dict.fromkeys(refs) if ALERT_REF.fullmatch(ref)]
        rows = await (self._one_by_one(wanted) if self._options.api == "query" else self._api.by_id(wanted))
        missing = set(wanted) - {alert_ref(View(row)) for row in rows}
        notes = tuple(f"Orca has no alert {ref}, or the token may not see it" for ref in sorted(missing))
        app = self._options.app_url
        return Page(items=tuple(row if app == APP else {**row, APP_MARK: app} for row in rows), notes=notes)

    async def _one_by_one(self, refs: Sequence[str]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for ref in refs:
            with contextlib.suppress(Gone):
                rows.append(dict(await self._api.alert(ref)))
        return rows


def _found(said: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_ANYWHERE.findall(said[:1_000_000])))[:_MOST]


def _where_orca_puts_it(told: Any, depth: int) -> list[str]:
    """Every value of a member called alert_id, alertId, AlertId …, bare or wrapped, and names of the model Alert."""
    if depth > _DEEP:
        return []
    found: list[str] = []
    if isinstance(told, list):
        for one in told[:_MOST]:
            found += _where_orca_puts_it(one, depth + 1)
    elif isinstance(told, dict):
        if told.get("type") == "Alert" or told.get("Type") == "Alert":
            found += [ref for name in ("name", "Name") if (ref := _ref(told.get(name)))]
        for key, value in told.items():
            inner = value.get("value") if isinstance(value, dict) and "value" in value else value
            if isinstance(key, str) and squash(key) in ("alertid", "orcaalertid") and (ref := _ref(inner)):
                found.append(ref)
            elif isinstance(value, (dict, list)):
                found += _where_orca_puts_it(value, depth + 1)
    return found


def _ref(value: Any) -> str:
    return value.strip() if isinstance(value, str) and ALERT_REF.fullmatch(value.strip()) else ""
