"""Writes docs/settings.md from the settings models: ``python -m tests.tools.reference``. A test holds it current."""

from __future__ import annotations

from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from bot.settings import Settings

DOC = Path(__file__).parents[2] / "docs" / "settings.md"
HEAD = """# Settings

One file, `gatehouse.yml` (or the file that `GATEHOUSE_CONFIG` names), and the environment, which wins. The
environment name of a setting is `GATEHOUSE_` and its name in capitals, with `__` between levels:
`GATEHOUSE_SLACK__MODE=http`, `GATEHOUSE_DATABASE_URL=sqlite:///path.db`. Unknown keys are refused with a suggestion.
Secrets belong into the environment. `gatehouse check` tells whether the settings work. This page is written by
`python -m tests.tools.reference`.
"""


def type_name(annotation: Any) -> str:
    """The type as a person would write it."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is SecretStr:
        return "secret"
    if annotation is NoneType:
        return "unset"
    if origin is tuple:
        return f"list of {type_name(args[0])}"
    if origin is dict:
        return f"mapping of {type_name(args[0])} to {type_name(args[1])}"
    if origin is not None and args and origin.__name__ == "Literal":
        return ", ".join(map(str, args))
    if args:
        return " or ".join(type_name(arg) for arg in args if arg is not NoneType)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.__name__.removesuffix("Settings").lower() or "mapping"
    return {"str": "text", "int": "number", "float": "number", "bool": "yes or no", "Path": "path"}.get(
        getattr(annotation, "__name__", ""), getattr(annotation, "__name__", str(annotation))
    )


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for arg in get_args(annotation) for model in models_in(arg)]


def rows(model: type[BaseModel], prefix: str) -> list[str]:
    lines: list[str] = []
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        inner = models_in(field.annotation)
        default = field.default
        if default is PydanticUndefined:
            shown = "required" if field.is_required() else ""
        else:
            plain = default.get_secret_value() if isinstance(default, SecretStr) else default
            shown = "" if plain in (None, "", (), {}) else f"`{plain}`"
        origin = get_origin(field.annotation)
        step = ".<name>." if origin is dict else "[]." if origin is tuple else "."
        if not (inner and step == "."):
            lines.append(f"| `{path}` | {type_name(field.annotation)} | {shown} | {field.description or ''} |")
        for each in inner:
            lines.extend(rows(each, path + step))
    return lines


def document() -> str:
    table = ["| setting | type | default | meaning |", "| --- | --- | --- | --- |", *rows(Settings, "")]
    return HEAD + "\n" + "\n".join(table) + "\n"


if __name__ == "__main__":
    DOC.write_text(document(), "utf-8")
