import pytest

from bot.domain.errors import SettingsError
from connectors import registry
from connectors.registry import BUILT_IN, Connector, connector, connectors


def test_every_built_in_connector_loads_and_names_its_source() -> None:
    assert set(BUILT_IN) <= set(connectors())
    for name, found in connectors().items():
        assert found.name == name
        assert found.mapper().source == name
        assert "file" in found.capabilities


def test_a_wrong_name_gets_a_suggestion() -> None:
    with pytest.raises(SettingsError, match="Did you mean prowler"):
        connector("prowlr")
    with pytest.raises(SettingsError, match=r"There are: .*prowler, security_hub"):
        connector("zzz")


def test_names_are_forgiving_about_case_and_dashes() -> None:
    assert connector("Security-Hub") is connector("security_hub")


def test_a_third_partys_connector_is_found_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name, value = "mine", "connectors.prowler:MANIFEST"

    monkeypatch.setattr(registry, "entry_points", lambda group: [Point] if group == registry.GROUP else [])
    assert isinstance(connector("mine"), Connector)


def test_a_broken_connector_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name, value = "broken", "connectors.nowhere"

    monkeypatch.setattr(registry, "entry_points", lambda group: [Point])
    with pytest.raises(SettingsError, match=r"broken \(connectors.nowhere\) cannot be loaded"):
        connector("broken")
