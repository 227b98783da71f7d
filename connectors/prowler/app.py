"""Prowler App (or Prowler Cloud) by its API: the last scan of every provider, and mute rules.

- JSON:API; ``Authorization: Api-Key …``, or a JWT of 30 minutes for e-mail and password.
- Pages by number, 100 at most. There is no upper bound to freeze, so what was read counts as whole only if the newest
  change and the count are the same at the end as they were at the beginning.
- A finding has a new id with every scan; its ``uid`` stays, and our identity of check, account, Region and resource.
- Read in order of the check, and a check is handed out only when it is whole: several failures of one identity are then
  told apart as in a file, whatever the page they stand on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from pydantic import Field, SecretStr

from bot.domain.errors import Refused, Relogin, SettingsError
from bot.ports import Page, SourceNote
from connectors.http import Auth, HttpClient, Pace, Rule, StaticHeader, Token, TokenLogin
from connectors.options import Options
from connectors.prowler.files import settle
from connectors.prowler.formats import of_answer
from connectors.prowler.mapping import SOURCE, check_of, identity, result_word, scope_of
from connectors.text import integer, obj, seq, text

JSON_API = "application/vnd.api+json"
_LATEST = "/api/v1/findings/latest"
_MOST_HELD = 5000


class AppOptions(Options):
    url: str = Field(description="Address of Prowler App, such as https://api.prowler.com: its API is read, no folder")
    api_key: SecretStr | None = Field(None, description="API key of Prowler App")
    email: str = Field("", description="Instead of a key: e-mail and password of a user")
    password: SecretStr | None = Field(None, description="The user's password")
    per_second: float = Field(4.0, gt=0, description="Calls a second")


def http_of(options: AppOptions, **more: Any) -> HttpClient:
    auth: Auth
    if options.api_key is not None:
        auth = StaticHeader("Authorization", options.api_key, "Api-Key ")
    elif options.email and options.password is not None:
        auth = TokenLogin(_login(options.email, options.password), keep=(options.password,))
    else:
        raise SettingsError("prowler needs api_key, or email and password", mend="See docs/sources.md.")
    return HttpClient(
        base=options.url,
        name="Prowler App",
        auth=auth,
        rule=Rule(),
        pace=more.pop("pace", None) or Pace(options.per_second, burst=4),
        headers={"Accept": JSON_API},
        **more,
    )


def _login(email: str, password: SecretStr) -> Any:
    async def login(client: HttpClient, old: Token | None) -> Token:
        body = {"data": {"type": "tokens", "attributes": {"email": email, "password": password.get_secret_value()}}}
        try:
            answer = await client.post(
                "/api/v1/tokens", json=body, headers={"Content-Type": JSON_API}, reads=True, auth=False
            )
        except (Refused, Relogin) as error:
            raise Relogin(
                f"Prowler App refuses the login of {email}: {error.reason}", mend="Renew e-mail and password."
            ) from error
        access = text(obj(obj(obj(answer.json()).get("data")).get("attributes")).get("access"), 10_000)
        if not access:
            raise Relogin("Prowler App answered the login without a token", mend="Is option url right?")
        return Token(SecretStr(access), 1800)

    return login


class ProwlerAppPoller:
    source = SOURCE

    def __init__(self, http: HttpClient, page_size: int = 100) -> None:
        self._http, self._size = http, page_size

    async def close(self) -> None:
        await self._http.close()

    async def poll(self, cursor: Mapping[str, Any] | None, now: datetime) -> AsyncIterator[Page]:
        state = dict(cursor or {})
        mark = await self._mark()
        if state.get("mark") == mark and not state.get("page"):
            yield Page(items=(), cursor={"mark": mark}, notes=("no new scan, no change since the last poll",))
            return
        # Where an earlier run stopped, it goes on, but only in the very same set; absence then proves nothing.
        resumed = state.get("reading") == mark and isinstance(state.get("page"), int)
        number = int(state["page"]) if resumed else 1
        scopes: dict[str, bool] = {}  # scope -> a person has to look (MANUAL)
        seen: set[str] = set()
        manuals = 0
        held: list[dict[str, Any]] = []  # of the check that the next page may go on with
        since = number  # the page on which that check begins
        while True:
            params = {"page[number]": str(number), "page[size]": str(self._size), "include": "resources,scan",
                      "sort": "check_id"}  # fmt: skip
            answer = obj((await self._http.get(_LATEST, params=params)).json())
            found, _ = of_answer(answer)
            ids = [text(obj(one).get("id"), 64) for one in seq(answer.get("data"))]
            repeated = bool(ids) and seen.issuperset(ids)
            seen.update(ids)
            pages = integer(obj(obj(answer.get("meta")).get("pagination")).get("pages"))
            last = not ids or repeated or (number >= pages if pages is not None else len(ids) < self._size)
            for one in found:
                scopes[scope_of(one)] = scopes.get(scope_of(one), False) or result_word(one) == "MANUAL"
            asked = [one for one in found if result_word(one) != "MANUAL"]
            whole, waiting = _split([*held, *asked], last)
            if not held or (waiting and waiting[0] is not held[0]):
                since = number
            held = waiting
            kept = _settled(whole)
            manuals += sum(result_word(one) == "MANUAL" for one in found)
            complete: tuple[str, ...] = ()
            notes: tuple[str, ...] = ()
            if last:
                if manuals:
                    notes = (f"{manuals} manual checks need a person to look; they are not findings",)
                if not resumed and await self._mark() == mark:
                    complete = tuple(sorted(scope for scope, manual in scopes.items() if not manual))
                state = {"mark": mark}
            else:
                state = {"mark": state.get("mark"), "reading": mark, "page": since if held else number + 1}
            yield Page(items=tuple(kept), cursor=dict(state), complete_scopes=complete, notes=notes)
            if last:
                return
            number += 1

    async def _mark(self) -> str:
        """The newest change and the count: what tells one state of the App from another."""
        params = {"page[number]": "1", "page[size]": "1", "sort": "-updated_at"}
        answer = obj((await self._http.get(_LATEST, params=params)).json())
        newest = obj(obj(next(iter(seq(answer.get("data"))), None)).get("attributes")).get("updated_at")
        count = integer(obj(obj(answer.get("meta")).get("pagination")).get("count"))
        return f"{text(newest, 64)}/{count if count is not None else '?'}"


def _split(found: list[dict[str, Any]], last: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(of checks that are whole, of the check that may go on); a check without end is let go in parts."""
    if last or len(found) > _MOST_HELD:
        return found, []
    check = check_of(found[-1]) if found else ""
    return [one for one in found if check_of(one) != check], [one for one in found if check_of(one) == check]


def _settled(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Several results of one identity on a page are told apart as in a file."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        groups.setdefault(identity(one), []).append(one)
    return [one for group in groups.values() for one in (settle(group) if len(group) > 1 else group)]


async def look(http: HttpClient) -> str:
    """For ``gatehouse check``."""
    answer = obj((await http.get(_LATEST, params={"page[size]": "1", "sort": "-updated_at"})).json())
    newest = obj(obj(next(iter(seq(answer.get("data"))), None)).get("attributes")).get("updated_at")
    count = integer(obj(obj(answer.get("meta")).get("pagination")).get("count"))
    skew = http.traffic.skew
    said = [f"Prowler App answers at {http.base}", f"newest change {newest}" if newest else "it holds no findings yet"]
    if count is not None:
        said.append(f"{count} results")
    if skew is not None and abs(skew.total_seconds()) > 60:
        said.append(f"its clock and ours are {skew.total_seconds():+.0f} s apart: set ours by NTP")
    return "; ".join(said)


class ProwlerWriteBack:
    """Accepted and dismissed findings get a mute rule; a fix is told by Prowler's own next scan."""

    source = SOURCE

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def close(self) -> None:
        await self._http.close()

    async def told(self, note: SourceNote) -> bool:
        if note.to == "fixed":
            return True
        rule = await self._rule(note)
        return rule is not None and obj(rule.get("attributes")).get("enabled") is not (note.to == "reopened")

    async def tell(self, note: SourceNote) -> str:
        if note.to == "fixed":
            return "nothing to tell: Prowler's next scan passes the check"
        rule = await self._rule(note)
        if note.to == "reopened":
            if rule is None:
                return "nothing to do: no mute rule of ours is on this finding"
            await self._change(text(rule.get("id"), 64), enabled=False)
            return "mute rule switched off"
        if note.to not in ("accepted", "dismissed"):
            raise Refused(f"Prowler App knows no {note.to!r}")
        if rule is not None:
            if obj(rule.get("attributes")).get("enabled") is not True:
                await self._change(text(rule.get("id"), 64), enabled=True)
                return "mute rule switched on again"
            return "nothing to do: the mute rule is there"
        attributes = {
            "name": f"gatehouse {note.key}"[:100],
            "reason": note.note[:500] if len(note.note) >= 3 else f"gatehouse: {note.note}",
            "finding_ids": [await self._finding(note)],
        }
        body = {"data": {"type": "mute-rules", "attributes": attributes}}
        await self._http.post("/api/v1/mute-rules", json=body, headers={"Content-Type": JSON_API})
        return "muted by a rule"

    async def rescan(self, note: SourceNote) -> str:
        return ""  # scans are scheduled in the App; starting one of a whole provider is not ours to do

    async def _change(self, rule: str, *, enabled: bool) -> None:
        body = {"data": {"type": "mute-rules", "id": rule, "attributes": {"enabled": enabled}}}
        await self._http.send("PATCH", f"/api/v1/mute-rules/{rule}", json=body, headers={"Content-Type": JSON_API})

    async def _rule(self, note: SourceNote) -> Mapping[str, Any] | None:
        """Our mute rule of this finding: by its name, for a reopening by what it mutes."""
        uid = _app_uid(note)
        for number in range(1, 101):
            params = {"page[number]": str(number), "page[size]": "100"}
            answer = obj((await self._http.get("/api/v1/mute-rules", params=params)).json())
            rows = [one for one in seq(answer.get("data")) if isinstance(one, dict)]
            for one in rows:
                said = obj(one.get("attributes"))
                name = text(said.get("name"), 200)
                ours = name == f"gatehouse {note.key}"[:100]
                of_it = name.startswith("gatehouse ") and uid and uid in seq(said.get("finding_uids"))
                if ours or (note.to == "reopened" and of_it):
                    return one
            pages = integer(obj(obj(answer.get("meta")).get("pagination")).get("pages"))
            if len(rows) < 100 or (pages is not None and number >= pages):
                return None
        return None

    async def _finding(self, note: SourceNote) -> str:
        """The id under which the last scan has the finding."""
        uid = _app_uid(note)
        if not uid:
            raise Refused("the finding was not read from Prowler App: it has no uid there", mend="Mute it in Prowler.")
        answer = obj((await self._http.get(_LATEST, params={"filter[uid]": uid, "page[size]": "1"})).json())
        found = text(obj(next(iter(seq(answer.get("data"))), None)).get("id"), 64)
        if not found:
            raise Refused(f"Prowler App's last scan has no finding {uid[:200]}", mend="Wait for its next scan.")
        return found


def _app_uid(note: SourceNote) -> str:
    return text(obj(note.raw.get("finding_info")).get("uid"), 1000)
