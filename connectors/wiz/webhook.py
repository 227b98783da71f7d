"""What Wiz's automation rules send. Bodies are templates that customers edit, so they only say which object it is
about; the object is read by the API. Wiz signs nothing: a token or a password in a header is all there is."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from bot.domain.errors import Refused
from bot.ports import Notification, Page, WebhookReader
from bot.settings import Settings
from connectors.options import parse
from connectors.text import obj, text
from connectors.wiz.client import Rejected, WizClient
from connectors.wiz.kinds import hook
from connectors.wiz.options import WizOptions
from connectors.wiz.shapes import HOOK, LINKED, understand
from connectors.wiz.shapes import finding as known
from connectors.wiz.words import CONFIGURATION, DETECTION, ISSUE, SOURCE, VULNERABILITY, word

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_KINDS = {ISSUE: "issues", CONFIGURATION: "configuration", VULNERABILITY: "vulnerabilities",
          DETECTION: "detections"}  # fmt: skip
_SOURCES = {"ISSUE": "issues", "ISSUES": "issues", "CONTROL": "issues", "DETECTION": "detections",
            "DETECTIONS": "detections", "CONFIGURATION_FINDING": "configuration",
            "CONFIGURATION_FINDINGS": "configuration", "VULNERABILITY_FINDING": "vulnerabilities",
            "VULNERABILITY_FINDINGS": "vulnerabilities"}  # fmt: skip
_NOT_IT = re.compile(r"rule|resource|entity|project|subscription|control|account|user|actor|trigger|tenant|org", re.I)


def make_webhook(settings: Settings, options: dict[str, Any]) -> WebhookReader:
    return WizWebhook(WizClient(parse(SOURCE, WizOptions, options)))


class WizWebhook:
    source = SOURCE

    def __init__(self, client: WizClient) -> None:
        self._client, self._options = client, client.options

    async def close(self) -> None:
        await self._client.close()

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        given = {name.lower(): value for name, value in headers.items()}
        options, expected = self._options, []
        if options.webhook_token is not None:
            token, name = options.webhook_token.get_secret_value(), options.webhook_header.lower()
            expected.append((name, f"Bearer {token}" if name == "authorization" else token))
        if options.webhook_password is not None:
            pair = f"{options.webhook_user}:{options.webhook_password.get_secret_value()}".encode()
            expected.append(("authorization", f"Basic {base64.b64encode(pair).decode()}"))
        if not expected:
            raise Refused(
                "No secret is set for Wiz's webhook, so nobody can be believed.",
                mend="Set webhook_token, or webhook_user and webhook_password, here and in Wiz's action.",
            )
        fits = [hmac.compare_digest(given.get(name, "").encode(), value.encode()) for name, value in expected]
        if not any(fits):
            raise Refused("The webhook's secret is missing or wrong.", mend="Copy it into Wiz's action again.")

    def understand(self, body: bytes) -> Notification:
        key = hashlib.blake2b(body, digest_size=16).hexdigest()
        try:
            raw: Any = orjson.loads(body)
        except orjson.JSONDecodeError:
            raw = None
        words = body.decode("utf-8", "replace")
        refs = list(_refs(raw, words)) if isinstance(raw, (dict, list)) else []
        if not refs:  # an edited template, perhaps no JSON at all: an id is an id
            refs = [f"issues:{found}" for found in _loose(raw, words)]
        if refs:
            return Notification(key, refs=tuple(dict.fromkeys(refs)))
        return Notification(key, said=_nothing(raw))

    async def fetch(self, refs: Sequence[str]) -> Page:
        wanted: dict[str, list[str]] = {}
        for ref in refs:
            kind, _, uid = ref.partition(":")
            if kind in _KINDS.values() and uid:
                wanted.setdefault(kind, []).append(uid)
        items: list[dict[str, Any]] = []
        notes: list[str] = []
        for kind, ids in wanted.items():
            for some in (ids[i : i + 100] for i in range(0, len(ids), 100)):
                ask = {"id": {"equals": some}} if kind == "detections" else {"id": some}
                try:
                    found = (await self._client.page(kind, ask, None, size=max(len(some), 1))).nodes
                except Rejected as error:  # an id that is none of that kind
                    notes.append(f"{kind} {', '.join(some[:3])} could not be read: {error.reason}")
                    continue
                items += found
                missing = set(some) - {text(one.get("id"), 128) for one in found}
                notes += [f"Wiz has no {kind} object {one}" for one in sorted(missing)]
        return Page(items=items, notes=tuple(notes))


def _refs(raw: Any, words: str) -> Sequence[str]:
    """Of what is understood: the finding each object is about, and the issue of a detection."""
    found: list[str] = []
    for one in raw if isinstance(raw, list) else [raw]:
        said = understand(one) if isinstance(one, dict) else None
        for item in said.items if said else ():
            what = known(item)
            kind, node = hook(what[1]) if what and what[0] == HOOK else what or ("", {})
            uid = text(node.get("id"), 128)
            if kind not in _KINDS:
                continue
            if uid and "{{" not in uid:
                found.append(f"{_KINDS[kind]}:{uid}")
            if kind == DETECTION:
                threat = text(obj(node.get("issue")).get("id"), 128) or text(node.get("threatId"), 128)
                found += [f"issues:{threat}"] if threat and "{{" not in threat else []
    if isinstance(raw, dict) and not found and (kind := _SOURCES.get(word(obj(raw.get("trigger")).get("source")), "")):
        found += [f"{kind}:{uid}" for uid in _loose(raw, words)[:1]]
    return found


def _loose(raw: Any, words: str) -> list[str]:
    """Ids in a body of unknown shape: of a link to an issue, of members that are called so, of anything."""
    if linked := LINKED.findall(words):
        return list(dict.fromkeys(linked))
    named: list[str] = []
    others: list[str] = []

    def walk(value: Any, name: str, depth: int) -> None:
        if depth > 8:
            return
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, key if key.lower() not in ("id", "uid") else f"{name}.{key}", depth + 1)
        elif isinstance(value, list):
            for inner in value[:100]:
                walk(inner, name, depth + 1)
        elif isinstance(value, str) and (ids := _UUID.findall(value)) and not _NOT_IT.search(name):
            (named if "issue" in name.lower() or "finding" in name.lower() else others).extend(ids)

    walk(raw, "", 0)
    if raw is None:
        others = _UUID.findall(words)
    return list(dict.fromkeys(named or others))[:5]


def _nothing(raw: Any) -> str:
    if isinstance(raw, dict):
        if any("test" in f"{key} {value}".lower() for key, value in raw.items() if isinstance(value, (str, bool))):
            return "test message"
        said = understand(raw)
        if said and said.carries_none:
            return said.carries_none[0]
    return "message without an id of Wiz"
