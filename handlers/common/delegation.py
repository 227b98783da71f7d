"""Who votes in whose stead: the form that needs no mention, and what its answer means."""

from __future__ import annotations

from collections.abc import Mapping

from bot.domain.principals import Platform, PlatformIdentity
from bot.governance.controls import ENVIRONMENTS, Wish
from bot.intake.cleaning import clean
from bot.settings import Settings
from cards.model import Ask, Card, Choose, OptionItem

ANY = "-"
DAYS = ("1", "7", "14", "30", "90")
_LISTED = 99  # options of a list


def people(settings: Settings, platform: Platform, me: str) -> dict[str, str]:
    """Who could be named, by id: everybody else of gatehouse.yml with an account there."""
    return {
        key: person.name
        for key, person in sorted(settings.people.items(), key=lambda item: item[1].name.casefold())
        if key != me and person.active and getattr(person, platform.value)
    }


def identity(settings: Settings, platform: Platform, person: str) -> PlatformIdentity:
    tenant, _, user = str(getattr(settings.people[person], platform.value)).partition("/")
    return PlatformIdentity(platform=platform, tenant=tenant, user=user)


def form(known: Mapping[str, str]) -> Card:
    shown = list(known.items())[:_LISTED]
    more = f" {len(known) - _LISTED:,} more can only be mentioned in a channel." if len(known) > _LISTED else ""
    names = list(known.values())
    options = tuple(OptionItem(key, name if names.count(name) == 1 else f"{name} ({key})") for key, name in shown)
    environments = (OptionItem(ANY, "Any environment"), *(OptionItem(each, f"Only {each}") for each in ENVIRONMENTS))
    return Card(
        title="Delegate",
        summary="Let somebody vote in your stead for some days.",
        status=(f"They decide as you could, never more; you can take it back at any time.{more}",),
        body=(
            Choose("to", "Who votes in your stead?", options, many=True),
            Choose("days", "For how long?",
                   tuple(OptionItem(each, f"{each} day{'s' if each != '1' else ''}") for each in DAYS),
                   initial="7", many=True),
            Choose("environment", "Environment", environments, initial=ANY, many=True),
            Ask("account", "Account", hint="Its id, patterns allowed.", optional=True, max_length=120),
            Ask("playbook", "Playbook", hint="Its id, patterns allowed.", optional=True, max_length=120),
            Ask("reason", "Why?", hint="Shown to the channels of the operators and kept.", max_length=500),
        ),
    )  # fmt: skip


def check(known: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    wrong = {} if given.get("to") in known else {"to": "Please choose a person."}
    if given.get("days") not in DAYS:
        wrong["days"] = "Please choose how long."
    if given.get("environment", ANY) not in {ANY, *ENVIRONMENTS}:
        wrong["environment"] = "Please choose an environment."
    for name in ("account", "playbook"):
        if len(given.get(name, "").split()) > 1:
            wrong[name] = "Please give one id, without blanks."
    if not given.get("reason"):
        wrong["reason"] = "Please say why; it is kept."
    return wrong


def wish(given: Mapping[str, str]) -> Wish:
    """After ``check``."""
    chosen = {"environments": given.get("environment", ANY), "accounts": given.get("account", ""),
              "playbooks": given.get("playbook", "")}  # fmt: skip
    patterns: dict[str, tuple[str, ...]] = {
        name: (value[:120],) if value not in {"", ANY} else () for name, value in chosen.items()
    }
    return Wish(patterns, int(given["days"]), clean(given["reason"], 500))
