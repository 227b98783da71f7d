"""Prowler: its files (given by hand or found in a watched folder) and the API of Prowler App."""

from typing import Any

from bot.ports import Poller, WriteBack
from bot.settings import Settings
from connectors.options import described, parse
from connectors.prowler.app import AppOptions, ProwlerAppPoller, ProwlerWriteBack, http_of, look
from connectors.prowler.files import read
from connectors.prowler.folder import OPTIONS, ProwlerFolder, check, folder_of
from connectors.prowler.mapping import SOURCE, ProwlerMapper
from connectors.registry import Connector


def _poller(settings: Settings, options: dict[str, Any]) -> Poller:
    if "url" in options:
        return ProwlerAppPoller(http_of(parse(SOURCE, AppOptions, options)))
    return ProwlerFolder(*folder_of(options))


def _write_back(settings: Settings, options: dict[str, Any]) -> WriteBack:
    return ProwlerWriteBack(http_of(parse(SOURCE, AppOptions, options)))


async def _check(settings: Settings, options: dict[str, Any]) -> str:
    if "url" not in options:
        return await check(settings, options)
    http = http_of(parse(SOURCE, AppOptions, options))
    try:
        return await look(http)
    finally:
        await http.close()


MANIFEST = Connector(
    name="prowler",
    title="Prowler",
    capabilities=frozenset({"file", "poll", "write_back"}),
    mapper=ProwlerMapper,
    read=read,
    poller=_poller,
    check=_check,
    options=tuple((name, said.replace(" (required)", "")) for name, said in (*OPTIONS, *described(AppOptions))),
    write_back=_write_back,
    unverified=(
        "how long an access token of Prowler App is good for, where its operator has changed the 30 minutes",
        "whether a mute rule that is switched off unmutes a finding before the next scan",
    ),
)
