"""Which playbook fixes which finding. Third parties add theirs by the entry point group ``gatehouse.playbooks``."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import entry_points

from bot.domain.errors import NotFound, SettingsError
from bot.domain.findings import Finding
from bot.ports import Playbook

from .playbooks import aws

ENTRY_POINTS = "gatehouse.playbooks"


def _rule(source: str, rule_uid: str) -> Iterable[str]:
    """How a rule may be listed: ``source:rule``, then bare.

    A path in front of a control id is the standard's; Security Hub passes Prowler's checks on as ``prowler-<check>``.
    """
    short = rule_uid.rpartition("/")[2]
    return dict.fromkeys((f"{source}:{rule_uid}", f"{source}:{short}", rule_uid, rule_uid.removeprefix("prowler-")))


class Catalog:
    """Playbooks by id and by rule. An id or a rule that two playbooks claim is refused, not decided by order."""

    def __init__(self, playbooks: Iterable[Playbook]) -> None:
        self._by_id: dict[str, Playbook] = {}
        self._by_rule: dict[str, Playbook] = {}
        for playbook in playbooks:
            info = playbook.info
            if info.id in self._by_id:
                raise SettingsError(
                    f"Two playbooks call themselves {info.id}.", mend="Remove one of the packages that bring them."
                )
            self._by_id[info.id] = playbook
            for rule in sorted(info.rules):
                other = self._by_rule.setdefault(rule, playbook)
                if other is not playbook:
                    raise SettingsError(
                        f"The playbooks {other.info.id} and {info.id} both claim the rule {rule}.",
                        mend="Let one of them drop it.",
                    )

    def all(self) -> Iterable[Playbook]:
        return tuple(self._by_id.values())

    def get(self, playbook_id: str) -> Playbook:
        try:
            return self._by_id[playbook_id]
        except KeyError:
            raise NotFound(
                f"There is no playbook {playbook_id}.", mend="It may have come from a package that is not installed."
            ) from None

    def for_rule(self, source: str, rule_uid: str) -> Playbook | None:
        return next((self._by_rule[r] for r in _rule(source, rule_uid) if r in self._by_rule), None)

    def for_finding(self, finding: Finding) -> Playbook | None:
        """The playbook that can fix this very finding: its rule is known and its resource can be told."""
        playbook = self.for_rule(finding.source, finding.rule_uid)
        return playbook if playbook is not None and playbook.target(finding) is not None else None


def builtin_catalog() -> Catalog:
    """Our playbooks and those of installed packages."""
    return Catalog(_playbooks())


def write_operations() -> frozenset[str]:
    """Every write that a playbook can ask for, ``service.operation``: the connector allows no other."""
    return frozenset().union(*(frozenset(getattr(p, "writes", ())) for p in _playbooks()))


def _playbooks() -> list[Playbook]:
    """An entry point names an iterable of playbooks."""
    found: list[Playbook] = list(aws.PLAYBOOKS)
    for point in entry_points(group=ENTRY_POINTS):
        try:
            found.extend(point.load())
        except Exception as fault:
            raise SettingsError(
                f"The playbooks {point.value} of an installed package cannot be loaded: {fault}",
                mend="Repair or remove that package.",
            ) from fault
    return found
