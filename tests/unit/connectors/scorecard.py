"""The rules every built-in connector is held to. A rule answers "" (held), or why not; None where it does not apply.

``UPDATE_DOCS=1 pytest tests/unit/connectors/test_scorecard.py`` writes docs/sources/README.md.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Union, get_args

from pydantic import SecretStr
from sources_table import EXAMPLES

from bot.domain.errors import SettingsError
from bot.settings import Settings
from connectors.options import Options, parse
from connectors.registry import BUILT_IN, Connector, _no_check, _no_poller, connector

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs" / "sources"
CAPABILITIES = {"file", "poll", "webhook", "write_back", "rescan", "remediate"}
BEGIN, END = "<!-- options, generated: begin -->", "<!-- options, generated: end -->"
SECRET = "s3cr3t-of-the-scorecard"
# What a source cannot do without; secrets are filled in.
GIVEN: dict[str, dict[str, Any]] = {
    "wiz": {"api_url": "https://api.us1.app.wiz.io/graphql", "client_id": "id"},
    "orca": {},
    "prisma_cloud": {},
    "lacework": {"account": "acme", "key_id": "ID"},
    "security_hub": {},
    "prowler": {"url": "https://api.prowler.example"},
    "ocsf": {},
}
_LOUD = re.compile(r"(?:secret|password|api_key|access_key|(?<!page_)token)(?!_seconds|_header)")
_NETWORK = re.compile(r"^\s*(?:import|from)\s+(?:aiohttp|requests|httpx|urllib3|urllib\.request|http\.client)\b", re.M)
Rule = Callable[["Card"], str | None]


@dataclass(frozen=True, slots=True)
class Card:
    name: str
    manifest: Connector
    modules: tuple[ModuleType, ...]

    @property
    def sources(self) -> Iterator[tuple[str, str]]:
        for module in self.modules:
            assert module.__file__
            yield module.__name__, Path(module.__file__).read_text("utf-8")

    @property
    def models(self) -> list[type[Options]]:
        found = [
            value
            for module in self.modules
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, Options) and value.__module__ == module.__name__
        ]
        return sorted(dict.fromkeys(found), key=lambda model: model.__name__)

    def can(self, *capabilities: str) -> bool:
        return bool(self.manifest.capabilities & set(capabilities))

    @property
    def doc(self) -> str:
        path = DOCS / f"{self.name}.md"
        return path.read_text("utf-8") if path.is_file() else ""

    def tests(self) -> Iterator[tuple[Path, str]]:
        for folder in ("tests/contract", "tests/unit/connectors"):
            for path in sorted((ROOT / folder).glob(f"test_{self.name}*.py")):
                yield path, path.read_text("utf-8")

    def given(self, model: type[Options]) -> dict[str, Any]:
        """Options that ``model`` takes, with a secret wherever one belongs."""
        values = {name: value for name, value in GIVEN[self.name].items() if name in model.model_fields}
        if "folder" in model.model_fields:
            values["folder"] = "/nowhere"
        return values | {name: SECRET for name, field in model.model_fields.items() if _secret(field.annotation)}


def card(name: str) -> Card:
    package = import_module(BUILT_IN[name])
    inner = [import_module(f"{package.__name__}.{one.name}") for one in pkgutil.iter_modules(package.__path__)]
    return Card(name, connector(name), (package, *inner))


def _secret(annotation: Any) -> bool:
    return annotation is SecretStr or (getattr(annotation, "__origin__", Union) is not None
                                       and SecretStr in get_args(annotation))  # fmt: skip


# --- rules


def manifest(at: Card) -> str | None:
    made = at.manifest
    if made.name != at.name or not made.title:
        return "name or title is not what the registry says"
    if unknown := made.capabilities - CAPABILITIES:
        return f"unknown capability {sorted(unknown)[0]}"
    for capability, there in (
        ("poll", made.poller is not _no_poller),
        ("webhook", made.webhook is not None),
        ("write_back", made.write_back is not None),
    ):
        if (capability in made.capabilities) is not there:
            return f"says {capability} and has none, or has it and does not say so"
    return "" if "file" in made.capabilities else "reads no file"


def options(at: Card) -> str | None:
    if not at.can("poll"):
        return "" if not at.manifest.options else "options without a poller"
    fields = {name: field for model in at.models for name, field in model.model_fields.items()}
    if {name for name, _ in at.manifest.options} != set(fields):
        return f"manifest and models differ: {sorted({n for n, _ in at.manifest.options} ^ set(fields))}"
    for name, field in fields.items():
        if not field.description:
            return f"{name} has no description"
        if _LOUD.search(name) and not name.endswith("_url") and not _secret(field.annotation):
            return f"{name} is a secret and no SecretStr"
    return ""


def transport(at: Card) -> str | None:
    """Time-outs, retries, Retry-After and bounds on bodies are the shared client's (or boto3's)."""
    uses = False
    for name, text in at.sources:
        if _NETWORK.search(text):
            return f"{name} opens connections of its own"
        uses |= "connectors.http" in text or "connectors.aws" in text
    return "" if uses or not at.can("poll") else "polls by neither connectors.http nor connectors.aws"


def _tested(at: Card, *words: str) -> str:
    names = [name for _, text in at.tests() for name in re.findall(r"def (test_\w+)", text)]
    missing = [word for word in words if not any(re.search(word, name) for name in names)]
    return f"no test named after: {', '.join(missing)}" if missing else ""


def paging(at: Card) -> str | None:
    return _tested(at, "page|window|scan", "cursor|kill|fault|restart|again|goes_on") if at.can("poll") else None


def check(at: Card) -> str | None:
    return ("" if at.manifest.check is not _no_check else "the doctor has nothing to ask") if at.can("poll") else None


def document(at: Card) -> str | None:
    if not at.doc:
        return f"docs/sources/{at.name}.md is missing"
    silent = [name for name, _ in at.manifest.options if f"`{name}`" not in at.doc]
    if silent:
        return f"docs/sources/{at.name}.md does not mention {', '.join(silent)}"
    return "" if at.doc == page(at) else "its table of options is not the manifest's"


def page(at: Card) -> str:
    """The page with its table of options as the manifest has them."""
    if not at.manifest.options:
        return at.doc
    rows = [f"| `{name}` | {meaning.replace('|', chr(92) + '|')} |" for name, meaning in at.manifest.options]
    made = "\n".join([BEGIN, "## Options", "", "| option | meaning |", "| --- | --- |", *rows, END])
    if BEGIN in at.doc:
        before, _, rest = at.doc.partition(BEGIN)
        return f"{before}{made}{rest.partition(END)[2]}"
    before, heading, rest = at.doc.partition("\n## Not verified")
    return f"{before}\n{made}\n{heading}{rest}"


def unverified(at: Card) -> str | None:
    if not at.can("poll", "webhook"):
        return None
    if not at.manifest.unverified:
        return "names no fact that could not be verified"
    return "" if re.search(r"^## Not verified", at.doc, re.M) else "its page has no part “Not verified”"


def mapping(at: Card) -> str | None:
    return "" if EXAMPLES.get(at.name) else "no example in the table of mappings"


def simulator(at: Card) -> str | None:
    if not at.can("poll"):
        return None
    found = ROOT / "bot" / "sandbox" / "vendors" / f"{at.name}.py"
    return "" if found.is_file() else f"no simulator {found.name}"


def contract(at: Card) -> str | None:
    named = list((ROOT / "tests" / "contract").glob(f"test_{at.name}_*.py"))
    shared = (ROOT / "tests" / "contract" / "test_source_samples.py").read_text("utf-8")
    return "" if named or at.name in shared or "connectors()" in shared else "no contract test"


def redaction(at: Card) -> str | None:
    """No secret in what options, clients and errors show of themselves."""
    for model in at.models:
        values = at.given(model)
        if SECRET in repr(parse(at.name, model, values)) + str(parse(at.name, model, values)):
            return f"{model.__name__} shows a secret"
        for name, field in model.model_fields.items():
            try:
                parse(at.name, model, values | {name: [{"x": SECRET if _secret(field.annotation) else "wrong"}]})
            except SettingsError as error:
                if SECRET in f"{error} {error.mend}":
                    return f"the error about {name} shows a secret"
        if at.can("poll"):
            for shown in _shown(at.manifest.poller(Settings(), values)):
                if SECRET in shown:
                    return f"what the poller holds shows a secret: {shown[:60].replace(SECRET, '…')}"
    return "" if at.models or not at.can("poll") else "no options to look at"


def _shown(thing: Any, depth: int = 4, seen: set[int] | None = None) -> Iterator[str]:
    """``repr`` of an object of ours and of what it holds (text itself excepted: somebody has to hold it)."""
    seen = seen if seen is not None else set()
    if id(thing) in seen or depth < 0 or isinstance(thing, (str, bytes, SecretStr)):
        return
    seen.add(id(thing))
    yield repr(thing)
    held = [getattr(thing, name, None) for name in getattr(type(thing), "__slots__", ())]
    held += list(getattr(thing, "__dict__", {}).values())
    for one in held:
        if type(one).__module__.startswith(("connectors", "bot")):
            yield from _shown(one, depth - 1, seen)


RULES: tuple[tuple[str, Rule], ...] = (
    ("manifest says what it can do", manifest),
    ("options are a model, described, secrets hidden", options),
    ("time-outs and retries of the shared client", transport),
    ("paging and going on are tested", paging),
    ("the doctor can ask", check),
    ("a page that names every option", document),
    ("unverified facts are listed", unverified),
    ("example in the table of mappings", mapping),
    ("simulator", simulator),
    ("contract test", contract),
    ("no secret is shown", redaction),
)


def table() -> str:
    cards = [card(name) for name in sorted(BUILT_IN)]
    lines = [
        "# Scorecard of the connectors",
        "",
        "Written by `UPDATE_DOCS=1 pytest tests/unit/connectors/test_scorecard.py`; the same test fails where a rule",
        "is broken. – means that the rule does not apply (a connector that reads files only has nothing to page).",
        "",
        f"| rule | {' | '.join(f'[{at.name}]({at.name}.md)' for at in cards)} |",
        f"| --- |{' :-: |' * len(cards)}",
    ]
    for said, rule in RULES:
        marks = {None: "–", "": "✔"}
        lines.append(f"| {said} | {' | '.join(marks.get(rule(at), '✘') for at in cards)} |")
    lines += ["", "## Not verified against the real service", ""]
    for at in cards:
        if at.manifest.unverified:
            lines += [f"{at.manifest.title}:", "", *(f"- {fact}" for fact in at.manifest.unverified), ""]
    return "\n".join(lines)
