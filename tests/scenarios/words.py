"""Everything a reader sees of a message, in order, as words: of Block Kit and of Adaptive Cards."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

Json = Mapping[str, Any]
_DATE = re.compile(r"<!date\^(\d+)\^([^|>]*)\|[^>]*>")
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)>")
_TEAMS_DATE = re.compile(r"\{\{DATE\(([^,)]*),\s*SHORT\)\}\}(?:\s*\{\{TIME\([^)]*\)\}\})?")
_WORD = re.compile(r"[^\W_]+", re.UNICODE)


def words(texts: Iterator[str]) -> list[str]:
    """Letters and digits alone: both renderers put look-alikes for signs that would be markup on their platform. The
    bot's own name is left out: commands are called by it, differently (/gatehouse, @Gatehouse or not at all)."""
    found = [word for text in texts for word in _WORD.findall(unicodedata.normalize("NFKC", text.replace("ˍ", "_")))]
    return [word for word in found if word.lower() != "gatehouse"]


def of_slack(payload: Json, names: Mapping[str, str], *, buttons: bool = True) -> list[str]:
    """Of ``{"text", "blocks"}`` or a view; ``names``: user id -> name, as Slack shows a mention."""

    def plain(text: str) -> str:
        text = _DATE.sub(lambda m: _instant(int(m[1]), "{time}" in m[2]), text)
        text = _MENTION.sub(lambda m: names.get(m[1], m[0]), text)
        text = re.sub(r"[*`]", "", text)
        return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")

    shown = [block for block in payload.get("blocks") or () if buttons or block["type"] != "actions"]
    return words(plain(text) for text in _slack(shown))


def _instant(seconds: int, time: bool) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M" if time else "%Y-%m-%d")


def _slack(blocks: Any) -> Iterator[str]:
    for block in blocks:
        match block["type"]:
            case "header" | "section":
                if "text" in block:
                    yield block["text"]["text"]
                for each in block.get("fields", ()):
                    yield each["text"]
            case "context":
                for each in block["elements"]:
                    yield each["text"]
            case "actions":
                for each in block["elements"]:
                    yield each["text"]["text"]
            case "context_actions":
                for each in block["elements"]:
                    yield each["positive_button"]["text"]["text"]
                    yield each["negative_button"]["text"]["text"]
            case "input":
                element = block["element"]
                yield block["label"]["text"]
                for part in (block.get("hint"), element.get("placeholder")):
                    if part:
                        yield part["text"]
                for option in element.get("options", ()):
                    yield option["text"]["text"]
                    if "description" in option:
                        yield option["description"]["text"]
            case "table":
                for row in block["rows"]:
                    for cell in row:
                        yield cell["text"]
            case "divider" | "image":
                pass
            case other:
                raise AssertionError(f"words of a block {other!r} are not known")


def of_teams(card: Json, *, buttons: bool = True) -> list[str]:
    """Of an Adaptive Card without the row of buttons at its end, which sends or leaves it, and without charts: what
    they say stands in the table that is folded away under them."""
    shown = [each for each in card.get("body") or () if buttons or each["type"] != "ActionSet"]
    return words(_plain(text) for text in _teams(shown))


def _plain(text: str) -> str:
    def instant(found: re.Match[str]) -> str:
        at = datetime.fromisoformat(found[1].replace("Z", "+00:00"))
        return _instant(int(at.timestamp()), "TIME(" in found[0])

    return _TEAMS_DATE.sub(instant, text)


def _teams(elements: Any) -> Iterator[str]:
    for each in elements:
        match each["type"]:
            case "TextBlock":
                yield each["text"]
            case "RichTextBlock":
                yield "".join(run if isinstance(run, str) else run["text"] for run in each["inlines"])
            case "FactSet":
                for fact in each["facts"]:
                    yield fact["title"]
                    yield fact["value"]
            case "ActionSet":
                for action in each["actions"]:
                    if action["type"] != "Action.ToggleVisibility":
                        yield action["title"]
            case "Input.Text" | "Input.ChoiceSet":
                yield each["label"]
                if each.get("placeholder"):
                    yield each["placeholder"]
                for choice in each.get("choices", ()):
                    yield choice["title"]
            case "Table":
                for row in each["rows"]:
                    for cell in row["cells"]:
                        yield from _teams(cell["items"])
            case "Container":
                yield from _teams(each["items"])
            case "ColumnSet":
                for column in each["columns"]:
                    yield from _teams(column["items"])
            case "Image" | "Chart.Line" | "Chart.HorizontalBar":
                pass
            case other:
                raise AssertionError(f"words of an element {other!r} are not known")
