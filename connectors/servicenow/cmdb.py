"""Configuration items over the Table API, page by page, as the rows that ``bot.intake.ownership`` understands.

Facts (ServiceNow, Table API): ``sysparm_limit`` and ``sysparm_offset`` page, ``X-Total-Count`` says how many there are,
``sysparm_display_value=true`` gives names in place of references. Read-only: one GET a page.
"""

from __future__ import annotations

import csv
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from bot.domain.errors import BadInput, SettingsError
from connectors.http import Basic, HttpClient, Pace

FIELDS = (
    "name", "object_id", "correlation_id", "assigned_to", "owned_by", "managed_by", "support_group", "managed_by_group",
    "assignment_group",
)  # fmt: skip
PAGE = 1000
MAX_ROWS = 1_000_000
_TABLE = re.compile(r"[a-z0-9_]{1,80}")


class CmdbReader:
    def __init__(
        self, url: str, user: str, password: SecretStr, *, table: str = "cmdb_ci", query: str = "", **client: Any
    ) -> None:
        if not _TABLE.fullmatch(table):
            raise SettingsError(f"{table[:80]!r} is no table of ServiceNow", mend="For example cmdb_ci.")
        options = {"pace": Pace(5, 5), "timeout": 120, **client}
        self._http = HttpClient(url, "ServiceNow", auth=Basic(user, password), **options)
        self.total: int | None = None  # how many ServiceNow said there are, once all were read
        # A stable order: without it a row may be on two pages, or on none.
        self._path, self._query = f"/api/now/table/{table}", "^".join(filter(None, (query, "ORDERBYsys_id")))

    async def pages(self) -> AsyncIterator[list[dict[str, str]]]:
        """Rows of ``FIELDS``. What the user may not see is counted by ServiceNow and left out of its pages."""
        offset, total = 0, None
        while offset < MAX_ROWS:
            answer = await self._http.get(self._path, params={
                "sysparm_fields": ",".join(FIELDS), "sysparm_display_value": "true", "sysparm_query": self._query,
                "sysparm_exclude_reference_link": "true", "sysparm_limit": str(PAGE), "sysparm_offset": str(offset),
            })  # fmt: skip
            said = answer.json()
            rows = said.get("result") if isinstance(said, dict) else None
            if not isinstance(rows, list):
                raise BadInput("ServiceNow answered without a result", mend="Is this the address of an instance?")
            count = answer.headers.get("x-total-count", "")
            total = int(count) if count.isdigit() else total
            if rows:
                yield [{name: _text(row.get(name)) for name in FIELDS} for row in rows if isinstance(row, dict)]
            offset += PAGE
            if (offset >= total) if total is not None else (len(rows) < PAGE):
                self.total = total
                return

    async def save(self, path: Path) -> int:
        """Write all of it as the CSV that ``routing.cmdb`` names: whole or not at all. Returns how many rows."""
        count, part = 0, path.with_name(path.name + ".part")
        try:
            with part.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, FIELDS)
                writer.writeheader()
                async for rows in self.pages():
                    writer.writerows(rows)
                    count += len(rows)
            if not count:
                raise BadInput("ServiceNow gave no configuration items", mend="Look at the query and the user's roles.")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return count

    async def close(self) -> None:
        await self._http.close()


def _text(value: Any) -> str:
    """A display value; a reference where the instance sends one after all."""
    if isinstance(value, dict):
        value = value.get("display_value") or value.get("value")
    return " ".join(str(value).split())[:300] if value is not None else ""
