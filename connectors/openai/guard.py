"""The global switch: ``GATEHOUSE_MODEL_CALLS=off`` and nothing is called, ``local`` and only this machine is.

It is asked before every call and wins over all settings; tests run with ``local``.
"""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

from bot.domain.errors import Refused
from bot.settings import MODEL_CALLS_ENV


def local_only() -> bool:
    return os.environ.get(MODEL_CALLS_ENV, "").strip().lower() not in {"", "on"}


def permit(url: str) -> None:
    """Raises ``Refused`` where a call to ``url`` may not be made. An unknown word switches off."""
    said = os.environ.get(MODEL_CALLS_ENV, "").strip().lower()
    if said in {"", "on"}:
        return
    host = urlsplit(url).hostname or ""
    if said == "local" and _loopback(host):
        return
    raise Refused(
        f"model calls to {host[:100] or 'nowhere'} are switched off by {MODEL_CALLS_ENV}={said[:20]}",
        mend=f"Unset {MODEL_CALLS_ENV} where a model may be called.",
    )


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
