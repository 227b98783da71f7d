"""The Teams app package: manifest.json and two icons, flat in a zip. Pure; checked before it is written.

Shape and limits are those of Microsoft's manifest schema 1.25; what we do not use is not allowed here either.
"""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
import zlib
from typing import Annotated, Literal

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, UrlConstraints, ValidationError, field_validator

from bot.domain.answers import START
from bot.domain.errors import BadInput

from .commands import USAGE
from .extension import ABOUT, FIND, TITLE

VERSION = "1.25"
SCHEMA = f"https://developer.microsoft.com/json-schemas/teams/v{VERSION}/MicrosoftTeams.schema.json"
GUID = r"^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"
BLUE, WHITE, CLEAR = (0, 69, 120, 255), (255, 255, 255, 255), (0, 0, 0, 0)
# Of the commands, those that a client offers first; it takes twelve.
MENU = 12
_ORDER = {word: n for n, word in enumerate(("ask", "home", "findings", "mine", "status", "help"))}
Web = Annotated[AnyHttpUrl, UrlConstraints(max_length=2048, allowed_schemes=["https"])]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Developer(_Part):
    name: Annotated[str, Field(min_length=1, max_length=32)]
    websiteUrl: Web  # noqa: N815 - Microsoft's spelling, here and below
    privacyUrl: Web  # noqa: N815
    termsOfUseUrl: Web  # noqa: N815


class Name(_Part):
    short: Annotated[str, Field(min_length=1, max_length=30)]
    full: Annotated[str, Field(min_length=1, max_length=100)]


class Description(_Part):
    short: Annotated[str, Field(min_length=1, max_length=80)]
    full: Annotated[str, Field(min_length=1, max_length=4000)]


class Icons(_Part):
    color: Literal["color.png"] = "color.png"
    outline: Literal["outline.png"] = "outline.png"


class Command(_Part):
    title: Annotated[str, Field(min_length=1, max_length=128)]
    description: Annotated[str, Field(min_length=1, max_length=4000)]


Scope = Literal["personal", "team", "groupChat"]


class CommandList(_Part):
    scopes: tuple[Scope, ...]
    commands: Annotated[tuple[Command, ...], Field(min_length=1, max_length=12)]


class Bot(_Part):
    botId: Annotated[str, Field(pattern=GUID)]  # noqa: N815
    scopes: tuple[Scope, ...] = ("personal", "team", "groupChat")
    supportsFiles: bool = False  # noqa: N815
    isNotificationOnly: bool = False  # noqa: N815
    commandLists: Annotated[tuple[CommandList, ...], Field(max_length=3)]  # noqa: N815


class Parameter(_Part):
    name: Annotated[str, Field(min_length=1, max_length=64)]
    title: Annotated[str, Field(min_length=1, max_length=32)]
    description: Annotated[str, Field(max_length=128)] = ""
    inputType: Literal["text"] = "text"  # noqa: N815


class Search(_Part):
    """A command of the message extension that lists what is found."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    type: Literal["query"] = "query"
    title: Annotated[str, Field(min_length=1, max_length=32)]
    description: Annotated[str, Field(max_length=128)]
    context: tuple[Literal["compose", "commandBox"], ...] = ("compose", "commandBox")
    initialRun: bool = True  # noqa: N815
    parameters: Annotated[tuple[Parameter, ...], Field(min_length=1, max_length=5)]


class Action(_Part):
    """A command of the message extension on a message; its dialog comes from us."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    type: Literal["action"] = "action"
    title: Annotated[str, Field(min_length=1, max_length=32)]
    description: Annotated[str, Field(max_length=128)]
    context: tuple[Literal["message"], ...] = ("message",)
    fetchTask: Literal[True] = True  # noqa: N815


class Extension(_Part):
    botId: Annotated[str, Field(pattern=GUID)]  # noqa: N815
    commands: Annotated[tuple[Action | Search, ...], Field(min_length=1, max_length=10)]


class Manifest(_Part):
    manifestVersion: Literal["1.25"] = "1.25"  # noqa: N815
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$", max_length=256)]
    id: Annotated[str, Field(pattern=GUID)]
    developer: Developer
    name: Name
    description: Description
    icons: Icons = Icons()
    accentColor: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] = "#004578"  # noqa: N815
    bots: Annotated[tuple[Bot, ...], Field(min_length=1, max_length=1)]
    composeExtensions: Annotated[tuple[Extension, ...], Field(max_length=1)] = ()  # noqa: N815
    validDomains: Annotated[tuple[str, ...], Field(max_length=100)] = ()  # noqa: N815

    @field_validator("validDomains")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not host or "/" in host or ":" in host or " " in host or "*" in host:
                raise ValueError(f"{host!r} is no plain host name")
        return hosts


def manifest(
    app_id: str, version: str, *, name: str, company: str, website: str, privacy: str = "", terms: str = ""
) -> Manifest:
    """Raises ``BadInput`` that names every field that Teams would not take."""
    if not app_id:
        raise BadInput("There is no Teams app id.", mend="Set teams.app_id to the app id of the bot's registration.")
    offered = sorted(USAGE, key=lambda each: _ORDER.get(each[0].split(" ")[0], 50))[:MENU]  # all others are in help
    commands = tuple(Command(title=usage.split(" ")[0], description=what) for usage, what in offered)
    # In the 1:1 chat the menu begins with questions to ask: Teams has no other suggested prompts for a bot like this.
    prompts = tuple(Command(title=question, description="Ask this, or anything like it") for question in START)
    menus = (
        CommandList(scopes=("team", "groupChat"), commands=commands),
        CommandList(scopes=("personal",), commands=(*prompts, *commands)[:MENU]),
    )
    try:
        return Manifest(
            version=version,
            id=app_id,
            developer=Developer.model_validate(
                {"name": company, "websiteUrl": website, "privacyUrl": privacy or website,
                 "termsOfUseUrl": terms or website}
            ),
            name=Name(short=name, full=f"{name}: cloud security findings and approved fixes"),
            description=Description(
                short="Cloud security findings to their owners, fixes after approval",
                full="Posts findings of cloud security as cards to their owners and carries out fixes, only after an "
                "authorised person has approved the exact plan. Every decision is kept in a ledger.",
            ),
            bots=(Bot(botId=app_id, commandLists=menus),),
            composeExtensions=(extension_of(app_id),),
        )  # fmt: skip
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise BadInput(f"The Teams manifest would not be taken: {wrong}", mend="Change the options named.") from error


def extension_of(app_id: str) -> Extension:
    """ "Ask about this" on messages, and the search of findings where people write."""
    words = Parameter(name="words", title="Filters or text", description="For example: critical prod, or any text")
    return Extension(
        botId=app_id,
        commands=(
            Action(id=ABOUT, title=TITLE, description="Ask about the finding of a message; only you see the answer"),
            Search(id=FIND, title="Find findings", description="Findings by filters or text, to read or to put into a "
                   "message", parameters=(words,)),
        ),
    )  # fmt: skip


def package(made: Manifest) -> bytes:
    """The zip. The same manifest gives the same bytes."""
    shown = {"$schema": SCHEMA, **made.model_dump(mode="json")}
    files = {
        "manifest.json": json.dumps(shown, indent=2, ensure_ascii=False).encode() + b"\n",
        "color.png": png(192, ink=WHITE, paper=BLUE),
        "outline.png": png(32, ink=WHITE, paper=CLEAR),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, data in files.items():
            archive.writestr(zipfile.ZipInfo(file, (2026, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def png(size: int, *, ink: tuple[int, int, int, int], paper: tuple[int, int, int, int]) -> bytes:
    """A gate: an arch with two posts and a bar, ``size`` pixels square, as RGBA."""
    rows = bytearray()
    for y in range(size):
        rows.append(0)  # no filter
        for x in range(size):
            rows += bytes(ink if _gate((x + 0.5) / size, (y + 0.5) / size) else paper)
    head = struct.pack(">IIBBBBB", size, size, 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(rows), 9)), (b"IEND", b""))
    made = b"".join(
        struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + made


def _gate(x: float, y: float) -> bool:
    if not 0.19 <= x <= 0.81 or not 0.17 <= y <= 0.83:
        return False
    if y < 0.48:  # the arch
        return 0.22 <= math.hypot(x - 0.5, y - 0.48) <= 0.31
    return x <= 0.28 or x >= 0.72 or 0.60 <= y <= 0.67
