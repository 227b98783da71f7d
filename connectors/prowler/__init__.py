"""Prowler: OCSF files, given by hand or found in a watched folder."""

from bot.ports import Poller
from bot.settings import Settings
from connectors.prowler.files import read
from connectors.prowler.folder import OPTIONS, ProwlerFolder, check, folder_of
from connectors.prowler.mapping import ProwlerMapper
from connectors.registry import Connector


def _poller(settings: Settings, options: dict[str, object]) -> Poller:
    return ProwlerFolder(*folder_of(options))


MANIFEST = Connector(
    name="prowler",
    title="Prowler",
    capabilities=frozenset({"file", "poll"}),
    mapper=ProwlerMapper,
    read=read,
    poller=_poller,
    check=check,
    options=OPTIONS,
)
