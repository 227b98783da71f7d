"""The tables of docs/sources.md, found by asking the code: each member of an example is changed, and what changes in
the finding is noted. ``UPDATE_DOCS=1 pytest tests/unit/connectors/test_sources_doc.py`` writes them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from connector_shapes import asff, prowler

from bot.domain.findings import Finding
from connectors.registry import BUILT_IN, connectors

BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"
_VULNERABILITY = {
    "Id": "CVE-2026-0001",
    "Cvss": [{"BaseScore": 7.5, "BaseVector": "CVSS:3.1/x"}],
    "EpssScore": 0.4,
    "ExploitAvailable": "YES",
    "FixAvailable": "YES",
    "VulnerablePackages": [{"Name": "n", "Version": "1", "FixedInVersion": "2", "Remediation": "yum update"}],
    "ReferenceUrls": ["https://a.example"],
}
EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "prowler": [prowler(), prowler(status_code=None, status="Failure", event_time="2024-06-03T14:15:19")],
    "security_hub": [
        asff(AwsAccountName="acme", Note={"Text": "said"}, Criticality=50),
        asff(Compliance=None, Vulnerabilities=[_VULNERABILITY], ProductFields={"aws/inspector/inspectorScore": 9.0},
             SourceUrl="https://b.example"),
    ],
}  # fmt: skip
# A newer source brings its examples in a module of its own here: example_<name>.py with EXAMPLES.
for _name in BUILT_IN.keys() - EXAMPLES.keys():
    EXAMPLES[_name] = import_module(f"example_{_name}").EXAMPLES


def members(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from members(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield from members(value[0], (*path, 0))
    else:
        yield path


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value / 2 if isinstance(value, float) else value - 1
    if isinstance(value, str) and value[:4].isdigit() and "T" in value:
        return "2025" + value[4:]
    return {"YES": "NO"}.get(value, f"{value}x") if isinstance(value, str) else ["x"]


def _fields(finding: Finding) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in finding.model_dump(mode="json").items():
        if isinstance(value, dict) and name != "extra":
            flat |= {f"{name}.{inner}": said for inner, said in value.items()}
        elif name == "vulnerabilities" and value:
            flat |= {f"vulnerabilities[].{inner}": said for inner, said in value[0].items()}
        else:
            flat[name] = value
    return flat


def mapping_of(name: str) -> dict[str, set[str]]:
    """Member of the source -> fields of the finding that follow it."""
    mapper = connectors()[name].mapper()
    found: dict[str, set[str]] = {}
    for example in EXAMPLES[name]:
        before = _fields(mapper.map(example))
        for path in members(example):
            changed = copy.deepcopy(example)
            holder: Any = changed
            for step in path[:-1]:
                holder = holder[step]
            holder[path[-1]] = _other(holder[path[-1]])
            after = _fields(mapper.map(changed))
            moved = {f for f in before.keys() | after.keys() if before.get(f) != after.get(f)}
            if moved:
                text = ".".join("[]" if step == 0 else str(step) for step in path).replace(".[]", "[]")
                found.setdefault(text, set()).update(moved)
    return found


def tables() -> str:
    lines = ["| connector | source | reads | options of `sources.NAME.options` |", "| --- | --- | --- | --- |"]
    for name, found in connectors().items():
        options = "<br>".join(f"`{option}`: {meaning}" for option, meaning in found.options) or "none"
        lines.append(f"| `{name}` | {found.title} | {', '.join(sorted(found.capabilities))} | {options} |")
    for name, found in connectors().items():
        if name not in EXAMPLES:
            continue
        lines += ["", f"### {found.title}", "", "| member of the source | fields of the finding |", "| --- | --- |"]
        for member, fields in sorted(mapping_of(name).items()):
            shown = f"`{member}`".replace("|", "\\|")
            lines.append(f"| {shown} | {', '.join(f'`{f}`' for f in sorted(fields))} |")
    return "\n".join(lines)
