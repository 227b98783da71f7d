"""Which connectors there are. Each is a package with a ``MANIFEST``, found by the entry point group below, ours like
a third party's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, BinaryIO

from bot.domain.errors import SettingsError
from bot.ports import FindingMapper, Page, Poller, WebhookReader, WriteBack
from bot.settings import Settings

GROUP = "gatehouse.connectors"
# Known without metadata too: in a checkout installed before a connector was added, the entry points are the old ones.
BUILT_IN = {
    name: f"connectors.{name}"
    for name in ("lacework", "ocsf", "orca", "prisma_cloud", "prowler", "security_hub", "wiz")
}


def _no_poller(settings: Settings, options: dict[str, Any]) -> Poller:
    raise SettingsError("this connector reads files only", mend="Use: gatehouse ingest SOURCE FILE…")


async def _no_check(settings: Settings, options: dict[str, Any]) -> str:
    return "nothing to check"


@dataclass(frozen=True, slots=True)
class Connector:
    """The manifest of one source.

    ``mapper`` makes the pure mapping; ``read`` turns a file into pages; ``poller`` reads from where the source lives
    (``SettingsError`` for wrong options; it may offer ``async close()``); ``check`` is for the doctor and says
    in words what it found.
    """

    name: str
    title: str
    capabilities: frozenset[str]  # file | poll | webhook | write_back | rescan | remediate
    mapper: Callable[[], FindingMapper]
    read: Callable[[BinaryIO, str], Iterator[Page]]
    poller: Callable[[Settings, dict[str, Any]], Poller] = _no_poller
    check: Callable[[Settings, dict[str, Any]], Awaitable[str]] = _no_check
    options: tuple[tuple[str, str], ...] = ()  # name and meaning of every option (connectors.options.described)
    webhook: Callable[[Settings, dict[str, Any]], WebhookReader] | None = None
    write_back: Callable[[Settings, dict[str, Any]], WriteBack] | None = None
    unverified: tuple[str, ...] = ()  # facts nobody could check against the real service, for the docs


def connectors() -> dict[str, Connector]:
    """Every connector that can be loaded, by name. One that is broken says so when it is asked for."""
    return {name: connector(name) for name in sorted(_places())}


def connector(name: str) -> Connector:
    """The connector called ``name``; ``SettingsError`` says which there are."""
    places = _places()
    wanted = name.strip().lower().replace("-", "_")
    if wanted not in places:
        close = get_close_matches(wanted, places, 1, 0.5)
        raise SettingsError(
            f"there is no source {name!r}.",
            mend=f"Did you mean {close[0]}?" if close else f"There are: {', '.join(sorted(places))}.",
        )
    return _load(wanted, places[wanted])


def _places() -> dict[str, str]:
    return BUILT_IN | {point.name: point.value for point in entry_points(group=GROUP)}


@cache
def _load(name: str, place: str) -> Connector:
    module, _, attribute = place.partition(":")
    try:
        manifest = getattr(import_module(module), attribute or "MANIFEST")
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"the connector {name} ({place}) cannot be loaded: {error}") from error
    if not isinstance(manifest, Connector):
        raise SettingsError(f"the connector {name} ({place}) has no MANIFEST of type connectors.registry.Connector")
    return manifest


def check_options(kind: str, options: dict[str, Any], known: tuple[tuple[str, str], ...]) -> None:
    """Refuse unknown options with a suggestion."""
    names = [name for name, _ in known]
    for name in options:
        if name not in names:
            close = get_close_matches(name, names, 1)
            hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(names) or 'none'}."
            raise SettingsError(f"{kind} has no option {name!r}.", mend=hint)
