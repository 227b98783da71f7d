"""The webhook alert channel. Lacework cannot authenticate it: its only setting is a URL.

The secret is therefore put into the request by whatever stands in front (a header), or into the URL as
``https://user:SECRET@…``, which arrives as Basic. The body is trusted with nothing but the alert's number.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bot.domain.errors import Refused
from bot.ports import Notification, Page
from bot.settings import Settings
from connectors.lacework.client import LaceworkApi
from connectors.lacework.mapping import SOURCE
from connectors.lacework.poller import LaceworkPoller, options_of
from connectors.lacework.shapes import refs, understand

_MOST = 200


def make_webhook(settings: Settings, options: dict[str, Any]) -> LaceworkWebhook:
    return LaceworkWebhook(LaceworkApi(options_of(options)))


class LaceworkWebhook:
    source = SOURCE

    def __init__(self, api: LaceworkApi, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._options, self._reader, self._now = api.options, LaceworkPoller(api), now

    async def close(self) -> None:
        await self._reader.close()

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        secret = self._options.webhook_secret
        if secret is None or not secret.get_secret_value():
            raise Refused(
                "deliveries are refused: the source has no webhook_secret.",
                mend="Set the option, and let the proxy add it as a header: see docs/sources/lacework.md.",
            )
        wanted = secret.get_secret_value().encode()
        # Every candidate is compared, whatever the others gave: the time says nothing.
        fits = [hmac.compare_digest(said, wanted) for said in self._said(headers)]
        if not any(fits):
            raise Refused(
                "the delivery does not carry the webhook secret.",
                mend=f"Header {self._options.webhook_header}, or Authorization (Basic or Bearer).",
            )

    def _said(self, headers: Mapping[str, str]) -> Iterator[bytes]:
        low = {str(name).lower(): value for name, value in headers.items()}
        yield low.get(self._options.webhook_header.lower(), "").encode("utf-8", "replace")
        scheme, _, rest = low.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            yield rest.strip().encode("utf-8", "replace")
        elif scheme.lower() == "basic":
            try:
                yield base64.b64decode(rest.strip(), validate=True).partition(b":")[2]
            except (binascii.Error, ValueError):
                return

    def understand(self, body: bytes) -> Notification:
        key = hashlib.sha256(body).hexdigest()
        try:
            raw = json.loads(body)
        except (ValueError, RecursionError):
            return Notification(key, said="a body that is no JSON")
        numbers = tuple(dict.fromkeys(refs(raw)))[:_MOST]
        if numbers:
            return Notification(key, refs=numbers)
        known = understand(raw) if isinstance(raw, dict) else None
        if known is not None and known.carries_none:
            return Notification(key, said=known.carries_none[0])
        return Notification(key, said="a body that names no alert")

    async def fetch(self, refs: Sequence[str]) -> Page:
        items, gone = await self._reader.fetch((ref for ref in refs if ref.isdigit()), self._now())
        notes = (f"Lacework has no alert {', '.join(gone[:20])} any more",) if gone else ()
        return Page(items=tuple(items), notes=notes)
