"""What registers say of who owns a resource: ServiceNow's CMDB, Backstage's catalog, CODEOWNERS. Read once, looked up.

Each answer says which register, by what it was found (an id is surer than a name) and whom it names in its own words;
``routing.owners`` and their aliases say who that is with us.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pathspec import PathSpec

from bot.domain.errors import SettingsError
from bot.intake.matching import Facts

MAX_BYTES = 256 << 20
CMDB, CATALOG, CODEOWNERS = "cmdb", "catalog", "codeowners"
HIGH, MEDIUM, LOW = "high", "medium", "low"
# Who answers for a CI, in this order (display values of a ServiceNow export).
CMDB_OWNERS = ("assigned_to", "owned_by", "managed_by", "support_group", "managed_by_group", "assignment_group")
CMDB_IDS = ("object_id", "correlation_id", "arn", "resource_id", "cloud_id")
_APP_TAGS = (
    "app",
    "application",
    "app-name",
    "app.kubernetes.io/name",
    "service",
    "component",
    "backstage.io/component",
)
_REPO_TAGS, _FILE_TAGS = ("git_repo", "repository", "repo"), ("git_file", "file")
_ARN = re.compile(r"arn:[\w-]+:")


@dataclass(frozen=True, slots=True)
class Said:
    """What one register says: whom it names, in its words, and how it was found."""

    register: str  # cmdb | catalog | codeowners
    who: tuple[str, ...]  # the first that we know counts
    found_by: str  # in words: "object_id arn:…"
    confidence: str


class Registers:
    """Looked up by resource id, by name of the application, by account and by repository. Pure once read."""

    def __init__(self) -> None:
        self._cmdb_id: dict[str, Said] = {}
        self._cmdb_name: dict[str, Said | None] = {}  # None: two CIs of that name, so it proves nothing
        self._catalog_arn: dict[str, Said] = {}
        self._catalog_name: dict[str, Said | None] = {}
        self._catalog_account: dict[str, Said] = {}
        self._codeowners: dict[str, list[tuple[str, PathSpec[Any], tuple[str, ...]]]] = {}

    def __bool__(self) -> bool:
        return bool(self._cmdb_id or self._cmdb_name or self._catalog_arn or self._catalog_name
                    or self._catalog_account or self._codeowners)  # fmt: skip

    # --- reading -----------------------------------------------------------------------------------------------------

    def add_cis(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Rows of ``cmdb_ci`` with display values; a row that names nobody says nothing. Returns how many do."""
        count = 0
        for row in rows:
            said = {
                str(key).strip().lower().removeprefix("cmdb_ci."): _shown(value) for key, value in row.items() if key
            }
            who = tuple(dict.fromkeys(said[name] for name in CMDB_OWNERS if said.get(name)))
            if not who:
                continue
            count += 1
            for name in CMDB_IDS:
                if said.get(name):
                    self._cmdb_id[said[name].lower()] = Said(CMDB, who, f"{name} {said[name]}", HIGH)
            if said.get("name"):
                key = said["name"].lower()
                known = key in self._cmdb_name
                self._cmdb_name[key] = None if known else Said(CMDB, who, f"name {said['name']}", MEDIUM)
        return count

    def add_entities(self, entities: Iterable[Any]) -> int:
        """Backstage entities (``apiVersion: backstage.io/…``) with ``spec.owner``."""
        count = 0
        for entity in entities:
            if not isinstance(entity, dict) or not isinstance(entity.get("metadata"), dict):
                continue
            spec, meta = entity.get("spec"), entity["metadata"]
            owner = spec.get("owner") if isinstance(spec, dict) else None
            if not isinstance(owner, str) or not owner:
                continue
            count += 1
            name, kind = str(meta.get("name", "")), str(entity.get("kind", "")).lower()
            ref = f"{kind} {name}"
            annotations = meta.get("annotations")
            for key, value in (annotations if isinstance(annotations, dict) else {}).items():
                if isinstance(value, str) and _ARN.match(value):
                    self._catalog_arn[value.lower()] = Said(CATALOG, (owner,), f"{key} of {ref}", HIGH)
                elif str(key).endswith("/account-id"):
                    self._catalog_account[str(value)] = Said(CATALOG, (owner,), f"{key} of {ref}", MEDIUM)
            if name and kind in {"component", "system", "resource"}:
                known = name.lower() in self._catalog_name
                self._catalog_name[name.lower()] = None if known else Said(CATALOG, (owner,), ref, MEDIUM)
        return count

    def add_codeowners(self, repository: str, text: str) -> int:
        """The CODEOWNERS file of a repository: patterns like gitignore's, the last that matches wins."""
        rules = []
        for line in text.splitlines():
            words = line.split("#", 1)[0].split()
            if words and not words[0].startswith("["):
                rules.append((words[0], PathSpec.from_lines("gitignore", [words[0]]), tuple(words[1:])))
        self._codeowners[repository.lower()] = rules
        return len(rules)

    # --- looking up --------------------------------------------------------------------------------------------------

    def of(self, facts: Facts) -> tuple[Said, ...]:
        """What each register says of a resource, the surest register first; at most one answer each."""
        found: list[Said] = []
        tags = {key.lower(): value for key, value in facts.tags.items()}
        apps = [tags[key].lower() for key in _APP_TAGS if tags.get(key)]
        uid, name = facts.resource_uid.lower(), facts.resource_name.lower()
        cmdb = self._cmdb_id.get(uid) or (self._cmdb_name.get(name) if name else None) or _first(self._cmdb_name, apps)
        if cmdb is not None:
            found.append(cmdb)
        catalog = (
            self._catalog_arn.get(uid) or _first(self._catalog_name, apps)
            or (self._catalog_account.get(facts.account) if facts.account else None)
        )  # fmt: skip
        if catalog is not None:
            found.append(catalog)
        if self._codeowners and (code := self._of_code(tags)) is not None:
            found.append(code)
        return tuple(found)

    def _of_code(self, tags: Mapping[str, str]) -> Said | None:
        repository = next((tags[key].lower() for key in _REPO_TAGS if tags.get(key)), "")
        path = next((tags[key].lstrip("/") for key in _FILE_TAGS if tags.get(key)), "")
        organisation = tags.get("git_org", "").lower()
        rules = self._codeowners.get(f"{organisation}/{repository}") or self._codeowners.get(repository)
        if not rules or not path:
            return None
        for pattern, spec, who in reversed(rules):
            if spec.match_file(path):
                return Said(CODEOWNERS, who, f"{pattern} in {repository}", MEDIUM) if who else None
        return None


def _first(index: Mapping[str, Said | None], keys: Sequence[str]) -> Said | None:
    return next((found for key in keys if (found := index.get(key)) is not None), None)


def _shown(value: Any) -> str:
    """A field of ServiceNow: text, or a reference with its display value."""
    if isinstance(value, dict):
        value = value.get("display_value") or value.get("value")
    return str(value).strip()[:300] if value is not None else ""


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def load(cmdb: Sequence[Path], catalog: Sequence[Path], codeowners: Mapping[str, Path]) -> Registers:
    """Read the files that gatehouse.yml names; ``SettingsError`` names the one that cannot be read or says nothing."""
    found = Registers()
    for what, path in [*(("cmdb", p) for p in cmdb), *(("catalog", p) for p in catalog), *codeowners.items()]:
        try:
            if path.stat().st_size > MAX_BYTES:
                raise SettingsError(f"{path} is larger than {MAX_BYTES >> 20} MiB")
            if path in cmdb:
                count = found.add_cis(_rows(path))
            elif path in catalog:
                count = found.add_entities(yaml.safe_load_all(path.read_text("utf-8")))
            else:
                count = found.add_codeowners(what, path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, csv.Error, yaml.YAMLError) as error:
            raise SettingsError(f"{path} of routing ({what}) cannot be read: {error}") from error
        if not count:
            raise SettingsError(f"{path} of routing ({what}) names no owner", mend="See docs/triage.md for its shape.")
    return found
