"""The options of a source (``sources.NAME.options`` in gatehouse.yml) as a pydantic model of its connector."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bot.domain.errors import SettingsError


class Options(BaseModel):
    """Base of a connector's options: every field with a description; secrets as SecretStr.

    A secret need not stand in the file: ``GATEHOUSE_SOURCES__<NAME>__OPTIONS__<OPTION>`` sets it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


Model = TypeVar("Model", bound=Options)


def parse(kind: str, model: type[Model], options: dict[str, Any]) -> Model:
    """``options`` as ``model``; ``SettingsError`` names the option and never its value."""
    try:
        return model.model_validate(options)
    except ValidationError as error:
        lines = []
        for item in error.errors(include_input=False, include_url=False):
            name = ".".join(str(part) for part in item["loc"])
            if item["type"] == "extra_forbidden":
                close = get_close_matches(name, model.model_fields, 1)
                hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(model.model_fields)}."
                lines.append(f"{kind} has no option {name!r}; {hint}")
            elif item["type"] == "missing":
                lines.append(f"{kind} needs the option {name!r} ({model.model_fields[name].description}).")
            else:
                lines.append(f"option {name}: {item['msg']}.")
        raise SettingsError(" ".join(lines), mend="See docs/sources.md.") from None


def described(model: type[Options]) -> tuple[tuple[str, str], ...]:
    """Name and meaning of every option, with the default, for the manifest and the docs."""
    found = []
    for name, field in model.model_fields.items():
        default = "" if field.is_required() or field.default in ("", None, ()) else f"; default {_plain(field.default)}"
        found.append((name, f"{field.description or ''}{default}{' (required)' if field.is_required() else ''}"))
    return tuple(found)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()  # as YAML writes it
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
