"""What a workspace or a conversation turned out not to have, remembered for a while so that no answer waits for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

REMEMBERED = timedelta(minutes=10)
MOST = 1_000


@dataclass(slots=True)
class Abilities:
    """What is lacking, until when."""

    lacking: dict[str, datetime] = field(default_factory=dict)

    def has(self, name: str, now: datetime) -> bool:
        return self.lacking.get(name, now) <= now

    def lacks(self, name: str, now: datetime) -> None:
        if len(self.lacking) >= MOST:
            self.lacking = {each: until for each, until in self.lacking.items() if until > now}
            if len(self.lacking) >= MOST:
                self.lacking.clear()
        self.lacking[name] = now + REMEMBERED
