"""What an object of Orca is, whatever it is wrapped in, and one way to ask it for a field.

Two generations tell of the same alert: the query API (snake case, ``state``, a ``data`` of templates) and the serving
layer (camel case, ``data`` with ``{"value": …}`` around every field, or flat). ``View`` reads both by the same names:
lower case without underscores, ``alertid`` for ``alert_id`` and ``AlertId``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson

from connectors.text import obj, seq, text

ALERT_REF = re.compile(r"orca-[A-Za-z0-9]+")
CVE_MARK = "_gatehouse_cve"  # set by the reader where the list around a record says which CVE it is
APP_MARK = "_gatehouse_app_url"  # set by the poller: where this tenant's console is
_WRAPPER = frozenset({"value", "model", "type", "label"})
_SENTINEL = re.compile(r"_[sdbtg]$")  # Log Analytics writes the type behind each column's name


def words(said: str) -> frozenset[str]:
    return frozenset(said.split())


@lru_cache(maxsize=4096)
def squash(key: str) -> str:
    return key.replace("_", "").replace(" ", "").replace("-", "").lower()


def plain(value: Any) -> Any:
    """A field without its ``{"value": …}``."""
    if isinstance(value, dict) and "value" in value and value.keys() <= _WRAPPER:
        return value["value"]
    return value


def _layer(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, dict):
                inner = plain(inner)
            if inner is None or inner == "" or inner == [] or inner == {} or not isinstance(key, str):
                continue
            found.setdefault(squash(key), inner)
    return found


class View:
    """One object's fields. ``get`` looks for names in order, in the alert's own fields; ``asset`` in what is told of
    the asset. Empty values count as not there."""

    __slots__ = ("assets", "fields", "raw")

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw = _without_suffixes(raw)
        top = _layer(raw)
        inner = top.get("data")
        data = _layer(inner)
        if is_serving(inner):
            layers = [data, top]
        else:  # the data of the older generation holds templates: what is filled in stands above it
            layers = [_layer(top.get("state")), _layer(top.get("alertstate")), top, _layer(top.get("hdr")), data]
        fields = _merged(layers)
        if nested := _layer(fields.get("alert")):  # a customer's template: the alert beside fields of their own
            layers += [nested, _layer(nested.get("state"))]
            fields = _merged(layers)
        asset = _layer(fields.get("asset"))
        self.fields = _merged([fields, _layer(fields.get("assetdata")), asset])
        self.assets = _merged([asset, *_inventories(fields)])

    def get(self, *names: str) -> Any:
        for name in names:
            if name in self.fields:
                return self.fields[name]
        return None

    def asset(self, *names: str) -> Any:
        for name in names:
            if name in self.assets:
                return self.assets[name]
        return None


def _merged(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The first layer has the say."""
    found: dict[str, Any] = {}
    for layer in reversed(layers):
        found.update(layer)
    return found


def _inventories(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is said of the asset itself: ``Inventory`` beside or in the data, or the older ``model``."""
    found: list[dict[str, Any]] = []
    for one in (fields.get("inventory"), fields.get("inventories"), fields.get("model")):
        holder = next(iter(seq(one)), None) if isinstance(one, list) else one
        holder = obj(plain(holder))
        if not holder:
            continue
        inner = obj(plain(holder.get("data")))
        sections = [_layer(part) for part in inner.values() if isinstance(part, dict) and not is_wrapped(part)]
        named = _layer(inner.get("Inventory")) if isinstance(inner.get("Inventory"), dict) else {}
        found += [named, _layer(inner) if not named else {}, *sections, _layer(holder)]
    return [layer for layer in found if layer]


def is_wrapped(value: Any) -> bool:
    return isinstance(value, dict) and "value" in value and value.keys() <= _WRAPPER


def is_serving(data: Any) -> bool:
    """A ``data`` of the serving layer: its fields are wrapped, or have the serving layer's names."""
    if not isinstance(data, dict) or not data:
        return False
    if any(is_wrapped(value) for value in data.values()):
        return True
    return "AlertId" in data or "CveId" in data or "RiskLevel" in data or "AssetUniqueId" in data


def _without_suffixes(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    if "alert_id_s" not in raw:
        return raw
    return {_SENTINEL.sub("", key) if isinstance(key, str) else key: value for key, value in raw.items()}


def listed(value: Any) -> list[Any]:
    """A list; also one that was written as text (``"['a', 'b']"``, ``'["a"]'``, ``"a, b"``)."""
    if isinstance(value, list):
        return value[:500]
    said = text(value, 20_000)
    if not said or said.lower() in ("none", "null", "[]", "{}"):
        return []
    if said.startswith("[") and said.endswith("]"):
        try:
            found = orjson.loads(said)
        except orjson.JSONDecodeError:
            try:
                found = ast.literal_eval(said)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                found = said[1:-1].split(",")
        return list(found)[:500] if isinstance(found, list) else []
    return [part.strip() for part in said.split(",") if part.strip()][:500]


# --- which kind ------------------------------------------------------------------------------------------------------

_SAYS = words(
    "typestring category riskleveltime risklevel orcascore description title details recommendation "
    "assetname ruleid alerttype ruletype severity score status createdat lastseen lastupdated "
    "assetuniqueid assettype alertlabels labels cloudprovider subjecttype name assetdata "
    "riskfindings"
)
_ONLY_ORCA = ("risklevel", "orcascore", "typestring", "rulesource", "assetuniqueid", "clusteruniqueid",
              "groupuniqueid", "assetdata", "alertlabels", "createtime")  # fmt: skip
_LOG_TYPES = words(
    "comment set_status set_score score_override set_severity snooze unsnooze dismiss verify "
    "alert_verification assign unassign"
)


def kind_of(raw: Mapping[str, Any], view: View | None = None) -> str:
    """``alert``, ``vulnerability``, ``entry`` (of an alert's history), ``asset``, or "" for something else."""
    if raw.keys() & {"scan_unique_id", "scan_id"}:
        return ""
    view = view or View(raw)
    alert_id = alert_uid(view)
    if alert_id and not ALERT_REF.fullmatch(alert_id) and not view.get(*_ONLY_ORCA):
        return ""  # other products have alerts with ids, too
    if alert_id:
        if not view.get("risklevel", "orcascore", "typestring") and (
            isinstance(view.get("details"), dict) or (text(raw.get("type")) in _LOG_TYPES and view.get("createtime"))
        ):
            return "entry"
        own = view.fields.keys()
        return "alert" if len(own & _SAYS) > bool(own & {"name"} and "type" in own) else "reference"
    if view.get("cveid") and (view.assets or view.get("assetuniqueid", "vmassetuniqueid", "installedpackage")):
        return "vulnerability"
    if view.get("assetuniqueid") or (view.get("uiuniquefield") and view.get("newcategory", "category")):
        return "asset"
    return ""


def alert_uid(view: View) -> str:
    """The alert's id as Orca gives it; of an object of the model Alert its name."""
    said = text(view.get("alertid"), 200)
    if said:
        return said
    if text(view.get("type"), 32) == "Alert" or text(view.raw.get("type"), 32) == "Alert":
        return text(view.get("name"), 200) or text(view.raw.get("id"), 200)
    name = text(view.get("name"), 200)
    if not name and view.get("risklevel") and (title := text(view.get("typestring", "alerttype", "title"), 500)):
        # A query that did not select the id: what stays the same of an alert, instead of losing it.
        return f"{title}|{text(view.get('assetuniqueid', 'assetname', 'groupuniqueid'), 500)}"
    return name if ALERT_REF.fullmatch(name) and view.get("risklevel", "orcascore", "alerttype") else ""


def alert_ref(view: View) -> str:
    """What the API calls the alert (``orca-123``), "" when the object does not say it."""
    said = (text(view.get(name), 200) for name in ("alertid", "name"))
    return next((one for one in said if ALERT_REF.fullmatch(one)), "")
