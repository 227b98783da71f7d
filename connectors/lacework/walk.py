"""From page to page of one answer, and whether all of it was seen.

A page whose address is no longer good, or that names an earlier one as the next, makes the walk begin again, once.
After that an answer of which rows are still missing is worth another try later, never an end: what was not seen would
count as gone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from bot.domain.errors import Gone, Refused, RetryLater
from connectors.lacework.client import Rows

_TWICE = "Lacework gave the same next page twice"


class Walk:
    """``ask(link)`` gets a page (None: the first). ``link`` is the page that is asked for now; ``notes`` and
    ``complete`` (as many rows as the first page announced, and no circle) are true at the end."""

    def __init__(self, ask: Callable[[str | None], Awaitable[Rows]], link: str | None = None) -> None:
        self._ask, self.link = ask, link
        self._resumed = link is not None
        self._seen = 0
        self._total: int | None = None
        self._used: set[str] = set()
        self._again = self._circle = False
        self.notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return not self._resumed and not self._circle and (self._total is None or self._seen >= self._total)

    def _restart(self) -> bool:
        """False when that was tried before."""
        if self._again:
            return False
        self.link, self._again, self._resumed = None, True, False
        self._seen, self._total = 0, None
        self._used.clear()
        return True

    async def pages(self) -> AsyncIterator[Rows]:
        while True:
            try:
                page = await self._ask(self.link)
            except (Gone, Refused):
                if self.link is None or not self._restart():
                    raise
                continue
            self._seen += len(page.rows)
            if self.link is None:
                self._total = page.total
            if page.next is not None and page.next in self._used:
                if self._restart():
                    continue
                if self._total is not None and self._seen < self._total:
                    raise RetryLater(f"{_TWICE} and only {self._seen} of {self._total} rows")
                self._circle = True
                page, self.notes = Rows(page.rows, None, page.total), (f"{_TWICE}; it was ended there",)
            if page.next is not None:
                self._used.add(page.next)
            self.link = page.next
            yield page
            if page.next is None:
                return
