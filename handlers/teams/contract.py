"""What any SDK for Teams has to do for us: say who sent an activity, and give our own token. Plain dicts and words.

``tests/unit/teams/test_seam_contract.py`` holds it, for the seam in use and for others. All else of Teams is the
connector's REST API (``wire.py``), which is the same under every SDK.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class NotAuthorised(Exception):
    """The request is not from the channel. Only the class of what was wrong is logged."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a verified request came from."""

    issuer: str
    service_url: str


class Seam(Protocol):
    async def warm(self) -> None:
        """Prepare what is missing or soon ends, before anybody waits. Called every few minutes; raises nothing."""
        ...

    async def verify(self, authorization: str | None, activity: Mapping[str, Any]) -> Caller:
        """Whether the activity is from the channel and for us: signed by an endorsed key of the channel, by its issuer,
        to our app, for this service URL, not over. Raises ``NotAuthorised``, and nothing else, for every other."""
        ...

    async def token(self) -> str:
        """Ours for the connector. Raises ``Relogin`` or ``RetryLater``."""
        ...

    def drop_token(self) -> None:
        """It was not taken: the next one is another."""
        ...
