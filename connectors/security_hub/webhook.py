"""EventBridge sends Security Hub's events to an API destination: a secret in a header, the findings in the body.

The connection of an API destination can send an API key (a header of any name) or HTTP Basic. The body is the event, or
what an input transformer made of it: whole findings are taken as they are (the event is newer than what GetFindings
shows for some minutes); where only ids are left, the findings are read by the API.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from pydantic import SecretStr

from bot.domain.errors import Refused
from bot.domain.plans import Call
from bot.ports import CloudReader, Notification, Page
from connectors.security_hub.mapping import SOURCE, decided
from connectors.security_hub.poller import whole
from connectors.security_hub.shapes import asff
from connectors.text import seq, text

_DEEP = 6
_MOST = 500
_IDS = 20  # values a filter may have


class SecurityHubWebhook:
    source = SOURCE

    def __init__(
        self,
        reader: CloudReader,
        *,
        secret: SecretStr,
        header: str,
        region: str,
        account: str = "",
        done: Callable[[], None] | None = None,
    ) -> None:
        self._reader, self._secret, self._header = reader, secret, header
        self._region, self._account, self._done = region, account, done

    async def close(self) -> None:
        if self._done is not None:
            self._done()

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        secret = self._secret.get_secret_value()
        if not secret:
            raise Refused(
                "no event of Security Hub is accepted: the source has no webhook_secret.",
                mend=f"Set it, and an EventBridge connection with the API key {self._header} and the same value.",
            )
        given = {name.lower(): value for name, value in headers.items()}
        said = given.get(self._header.lower(), "").strip() or _password(given.get("authorization", ""))
        if not hmac.compare_digest(said.encode("utf-8", "replace"), secret.encode()):
            raise Refused(
                "the event does not carry the secret.",
                mend="Compare the EventBridge connection's API key with the option webhook_secret.",
            )

    def understand(self, body: bytes) -> Notification:
        key = hashlib.sha256(body).hexdigest()
        try:
            told = orjson.loads(body)
        except orjson.JSONDecodeError:
            return Notification(key, said="a body that is no JSON")
        if isinstance(told, dict) and isinstance(told.get("SubscribeURL"), str):
            return Notification(
                key, said="an SNS subscription: SNS sends no secret; use an API destination of EventBridge"
            )
        events = told if isinstance(told, list) else [told]
        ids = [text(one.get("id"), 200) for one in events if isinstance(one, dict) and "detail-type" in one]
        if ids and all(ids):
            key = "eventbridge:" + ",".join(ids)[:500]  # EventBridge delivers at least once, with one id
        items: list[Mapping[str, Any]] = []
        refs: list[str] = []
        for one in events:
            _gather(one, items, refs, 0)
        page = decided(Page(items=tuple(items[:_MOST])))
        said = "; ".join(page.notes)
        if not page.items and not refs and not said:
            said = "an event without findings"
        return Notification(key, refs=tuple(dict.fromkeys(refs))[:_MOST], items=page.items, said=said)

    async def fetch(self, refs: Sequence[str]) -> Page:
        """``refs`` are Ids of findings."""
        items: list[Mapping[str, Any]] = []
        for start in range(0, len(refs), _IDS):
            some = refs[start : start + _IDS]
            filters = {"Id": [{"Value": one, "Comparison": "EQUALS"} for one in some]}
            call = Call(
                provider="aws", account=self._account, region=self._region, service="securityhub",
                operation="get_findings", params={"Filters": filters, "MaxResults": 100},
            )  # fmt: skip
            answer = whole(await self._reader.read(call))
            items += [one for one in seq(answer.get("Findings")) if isinstance(one, dict)]
        found = {text(one.get("Id"), 4000) for one in items}
        notes = tuple(f"Security Hub has no finding {one[:200]}" for one in refs if one not in found)
        return decided(Page(items=tuple(items), notes=notes))


def _gather(told: Any, items: list[Mapping[str, Any]], refs: list[str], depth: int) -> None:
    """Whole findings wherever they are; else what looks like the id of one."""
    if depth > _DEEP:
        return
    if isinstance(told, list):
        for one in told[:_MOST]:
            _gather(one, items, refs, depth + 1)
    elif isinstance(told, dict):
        if ("Id" in told or "finding_info" in told) and (found := asff(told)) is not None and found.get("Title"):
            items.append(told)
            return
        for name, value in told.items():
            if name in ("Id", "id", "findingId", "finding_id", "FindingId") and _is_id(value):
                refs.append(value)
            elif isinstance(value, (dict, list)):
                _gather(value, items, refs, depth + 1)
    elif isinstance(told, str) and _is_id(told):
        refs.append(told)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("arn:aws") and "finding" in value and len(value) < 4000


def _password(authorization: str) -> str:
    """The password of HTTP Basic, or the token of Bearer."""
    kind, _, rest = authorization.strip().partition(" ")
    if kind.lower() == "basic":
        try:
            return base64.b64decode(rest, validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return rest.strip() if kind.lower() == "bearer" else ""
