"""manifest.yml: the least scopes that the code needs, and everything the code listens to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.domain.answers import START
from handlers.slack.app import COMMAND
from handlers.slack.asking import ABOUT
from handlers.slack.connection import SCOPES

ROOT = Path(__file__).parents[3]
# Slack's method reference: the bot scopes of the methods we call; where any one is enough, those for our uses.
NEEDS = {
    "auth_test": set[str](),
    "apps_connections_open": set[str](),  # the app-level token's connections:write
    "chat_postMessage": {"chat:write"},
    "chat_postEphemeral": {"chat:write"},
    "chat_update": {"chat:write"},
    "chat_startStream": {"chat:write"},
    "chat_appendStream": {"chat:write"},
    "chat_stopStream": {"chat:write"},
    "assistant_threads_setStatus": {"chat:write"},
    "assistant_threads_setSuggestedPrompts": {"assistant:write"},
    "files_upload_v2": {"files:write"},
    "conversations_open": {"im:write"},
    "conversations_history": {"channels:history", "groups:history", "im:history"},
    "conversations_replies": {"channels:history", "groups:history", "im:history"},
    "conversations_members": {"channels:read", "groups:read"},
    "users_info": {"users:read"},
    "usergroups_users_list": {"usergroups:read"},
    "views_open": set[str](),
    "views_push": set[str](),
    "views_update": set[str](),
    "views_publish": set[str](),
}


@pytest.fixture
def manifest() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "manifest.yml").read_text("utf-8"))
    return loaded


def called() -> set[str]:
    source = "".join(file.read_text("utf-8") for file in (ROOT / "handlers" / "slack").glob("*.py"))
    rooms = "auth|apps|assistant|bots|chat|conversations|files|pins|reactions|search|team|usergroups|users|views"
    names = rf"\.((?:{rooms})_\w+)\("
    return set(re.findall(names, source))


def test_the_scopes_are_exactly_what_the_called_methods_need(manifest: dict[str, Any]) -> None:
    methods = called()
    assert methods == set(NEEDS)  # a new method must be looked up here
    needed = set().union(*(NEEDS[method] for method in methods)) | {"commands", "app_mentions:read"}
    assert set(manifest["oauth_config"]["scopes"]["bot"]) == needed == SCOPES


def test_it_has_the_command_the_events_the_home_tab_and_both_ways_in(manifest: dict[str, Any]) -> None:
    assert [c["command"] for c in manifest["features"]["slash_commands"]] == [COMMAND]
    source = "".join(file.read_text("utf-8") for file in (ROOT / "handlers" / "slack").glob("*.py"))
    events = {name.partition(".")[0] for name in manifest["settings"]["event_subscriptions"]["bot_events"]}
    assert events == set(re.findall(r'\.event\("(\w+)"\)', source))
    assert "message.channels" not in manifest["settings"]["event_subscriptions"]["bot_events"]  # only what is for us
    assert [s["callback_id"] for s in manifest["features"]["shortcuts"]] == [ABOUT]
    prompts = manifest["features"]["agent_view"]["suggested_prompts"]
    assert [p["message"] for p in prompts] == list(START)
    assert manifest["features"]["app_home"]["home_tab_enabled"] is True
    assert manifest["features"]["app_home"]["messages_tab_read_only_enabled"] is False
    assert manifest["settings"]["interactivity"]["is_enabled"] is True
    assert manifest["settings"]["socket_mode_enabled"] is True
