"""Prisma Cloud's webhooks: a static secret, a body that customers edit.

The platform's body says which alert changed; the alert is read by the API. Compute's alert profiles send what happened
itself: it cannot be asked for by an id, so the body is the finding.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from bot.domain.errors import Gone, Refused
from bot.ports import Notification, Page
from connectors.prisma_cloud.alerts import CONSOLE, DEFAULT_CONSOLE, SOURCE
from connectors.prisma_cloud.client import PrismaApi
from connectors.prisma_cloud.options import PrismaOptions
from connectors.prisma_cloud.shapes import alert_ids, kind_of, understand
from connectors.prisma_cloud.words import first, fold
from connectors.prisma_cloud.write_back import ALERT_REF

_MOST = 500
_TOKENS = ("authorization", "x-redlock-auth", "x-auth-token")  # where the integration's own auth token may end up


class PrismaWebhook:
    source = SOURCE

    def __init__(self, api: PrismaApi, options: PrismaOptions) -> None:
        self._api, self._options = api, options

    async def close(self) -> None:
        await self._api.close()

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        secret = self._options.webhook_secret.get_secret_value() if self._options.webhook_secret else ""
        name = self._options.webhook_header
        if not secret:
            raise Refused(
                "no webhook of Prisma Cloud is accepted: the source has no webhook_secret.",
                mend=f"Set the option, and a custom header {name} with it in the webhook integration.",
            )
        given = {key.lower(): value for key, value in headers.items()}
        good = False
        for place in (name.lower(), *_TOKENS):
            said = re.sub(r"^(?:Bearer|Token) +", "", given.get(place, "").strip(), flags=re.I)
            good |= hmac.compare_digest(said.encode("utf-8", "replace"), secret.encode())
        if not good:
            raise Refused(
                "the webhook does not carry the secret.",
                mend=f"Compare the header {name} of the integration with the option webhook_secret.",
            )

    def understand(self, body: bytes) -> Notification:
        key = hashlib.sha256(body).hexdigest()
        try:
            told: Any = orjson.loads(body)
        except orjson.JSONDecodeError:
            found_in = _refs(body.decode("utf-8", "replace"))
            said = "" if found_in else "a body that is no JSON and names no alert"
            return Notification(key, refs=found_in, said=said)
        found: list[str] = []
        items: list[Mapping[str, Any]] = []
        names: list[str] = []
        for one in told if isinstance(told, list) else [told]:
            known = understand(one) if isinstance(one, dict) else None
            for item in known.items if known else ():
                uid = first(fold(item), "alertid", "id", limit=64)
                if kind_of(item) == "alert" and ALERT_REF.fullmatch(uid):
                    found.append(uid)
                else:
                    items.append(item)
            names += known.carries_none if known else ()
        refs = tuple(dict.fromkeys(found))[:_MOST]
        if not refs and not items:
            refs = _refs(told)
        said = "" if refs or items else ", ".join(names[:3]) or "a test message, or a template without the alert's id"
        return Notification(key, refs=refs, items=tuple(items[:_MOST]), said=said)

    async def fetch(self, refs: Sequence[str]) -> Page:
        rows: list[Mapping[str, Any]] = []
        notes: list[str] = []
        console = self._options.console
        for ref in dict.fromkeys(refs):
            if not ALERT_REF.fullmatch(ref):
                continue
            try:
                alert = await self._api.alert(ref)
            except Gone:
                notes.append(f"Prisma Cloud has no alert {ref}, or the access key may not see it")
                continue
            rows.append(alert if console == DEFAULT_CONSOLE else {**alert, CONSOLE: console})
        return Page(items=tuple(rows), notes=tuple(notes))


def _refs(told: Any) -> tuple[str, ...]:
    """Alert ids wherever an edited template put them; ``P-0`` is the id of a test."""
    return tuple(dict.fromkeys(ref for ref in alert_ids(told) if not ref.endswith("-0")))[:_MOST]
