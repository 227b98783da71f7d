"""The kinds of interaction: what each is called on each platform. docs/platforms.md is written from this, and every
name that handlers/slack and handlers/teams have registered stands in exactly one kind (test_coverage.py)."""

from __future__ import annotations

from dataclasses import dataclass

from handlers.slack import app as slack
from handlers.teams import commands as teams_commands
from handlers.teams import desk as teams

from .acts import SCENARIOS
from .script import About, Find, Home, Press, Say, Scenario, Send, Step, Thumb, Type

DIALOG = "dialog"
PLACE = "dialog; in place of the message for this person where the client has no dialogs"
OWN = "one's own card: by itself for up to 60 who may decide, else by Show my actions"


@dataclass(frozen=True, slots=True)
class Kind:
    """``both``: names that are the same on both; ``slack`` and ``teams``: the other names; how each does it."""

    title: str
    in_slack: str
    in_teams: str
    both: tuple[str, ...] = ()
    slack: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()

    def names(self, platform: str) -> tuple[str, ...]:
        return self.both + (self.slack if platform == "slack" else self.teams)


KINDS: tuple[Kind, ...] = (
    Kind("Review a fix or undo: ask, approve, reject, type the number, take back, withdraw", DIALOG, PLACE,
         ("action.review", "action.undo"), ("submit.gh.review",), ("submit.send_review",)),
    Kind("Buttons that decide", "on the channel's card, for everybody", OWN, (), (),
         ("action.card", "action.actions", "refresh", "task/fetch", "task/submit")),
    Kind("Not mine", DIALOG, PLACE, ("action.not_mine",), ("submit.gh.not_mine",), ("submit.send_not_mine",)),
    Kind("Snooze", DIALOG, PLACE, ("action.snooze",), ("submit.gh.snooze",), ("submit.send_snooze",)),
    Kind("Details; Why can't I approve?", "only for this person, or in the dialog", PLACE,
         ("action.details", "action.why", "command.why")),
    Kind("Break the glass, and its review", DIALOG, "in place of what was shown",
         ("action.glass", "action.glass_ok", "action.glass_bad"), ("submit.gh.glass", "submit.gh.glass_review"),
         ("submit.send_glass", "submit.send_glass_review")),
    Kind("Pre-approve; standing approvals", "dialog; list only for this person",
         "in place of what was shown; the list stays under what was done",
         ("action.pre_approve", "action.standing_confirm", "action.standing_revoke", "command.standing"),
         ("submit.gh.pre_approve",), ("submit.send_pre_approve",)),
    Kind("Suppression rules", "dialog; list only for this person",
         "in place of what was shown; the list stays under what was done",
         ("action.rule_new", "action.rule_activate", "action.rule_end", "action.rule_show", "command.rules"),
         ("submit.gh.rule_new",), ("submit.send_rule", "action.rule_list")),
    Kind("Split and merge causes", DIALOG, PLACE, ("action.regroup",), ("submit.gh.regroup",),
         ("submit.send_regroup",)),
    Kind("Not the same problem, Same problem (witnesses)", "one press", "one press",
         ("action.split", "action.merge")),
    Kind("Text of a model: helpful or not, why it says so", "buttons in the details",
         "buttons in the details; Teams' label for text of a model on the card",
         ("action.prose_good", "action.prose_bad", "action.prose_why")),
    Kind("Vote in another's stead", "/gatehouse delegate @person …, or the form of delegate alone",
         "by a mention in a channel, or the form",
         ("action.revoke", "command.delegate", "command.undelegate", "command.delegations"), ("submit.gh.delegate",),
         ("submit.send_delegate", "action.delegations")),
    Kind("Freeze and unfreeze", "command", "command", ("command.freeze", "command.unfreeze")),
    Kind("Lists: findings, finding, mine, status, help", "only for this person", "in the 1:1 chat",
         ("action.page", "command.findings", "command.finding", "command.mine", "command.status", "command.help",
          "command.")),
    Kind("What waits for my approval, alone", "only for this person", "in the 1:1 chat",
         ("command.approvals", "action.waiting")),
    Kind("fix ID", DIALOG, "in the 1:1 chat", ("command.fix",)),
    Kind("What waits for me", "Home tab", "the command home, a button, and after installing", (),
         ("event.app_home_opened",), ("command.home", "action.home")),
    Kind("Questions, and follow-ups in a thread",
         "direct message, or a mention where everybody may see the answer, else directly", "the same",
         ("command.ask", "action.ask_prompt"), ("event.message", "event.app_mention")),
    Kind("Check, more rows, pages of an answer", "under the answer, only for this person", "in place of the answer",
         ("action.ask_check", "action.ask_more", "action.ask_page")),
    Kind("What people think of an answer", "feedback buttons; a dialog for the comment",
         "two buttons and a form; Teams' own feedback where a model wrote some of it",
         ("action.ask_feedback",), ("submit.gh.ask_comment",), ("submit.send_comment", "message/submitAction")),
    Kind("Ask about this, on any message", "message shortcut", "message extension", (),
         ("shortcut.gh.ask_about", "submit.gh.ask_about"),
         ("composeExtension/fetchTask", "composeExtension/submitAction", "submit.ask_about")),
    Kind("Findings from where one writes", "no counterpart", "search of the message extension", (), (),
         ("composeExtension/query",)),
)  # fmt: skip

# What no scenario presses, and why. A name that is pressed, or that does not exist, may not stand here.
NOT_PRESSED: dict[str, dict[str, str]] = {
    "slack": {},
    "teams": {},
}

# Builders whose card no scenario shows there, and why; as strict.
NOT_SHOWN: dict[str, dict[str, str]] = {
    "slack": {
        "commands.help_card": "of Teams: Slack's is notices.help_card",
        "personal.personal_card": "of Teams: Slack cannot show one message to each person differently",
        "personal.shared_card": "of Teams, for the same reason",
        "standing.standing_card": "shown by the command line alone",
        "welcome.team_card": "of Teams: Slack tells an app nothing of being added to a channel",
        "welcome.with_buttons": "of Teams: Slack refreshes its Home tab by itself",
        "found.found_card": "of Teams: Slack has no such search",
    },
    "teams": {
        "plans.home_card": "stands inside of welcome.with_buttons",
        "standing.standing_card": "shown by the command line alone",
        "welcome.team_card": "told when the app is put into a team (tests/unit/teams/test_asking.py)",
    },
}


def registered(platform: str) -> set[str]:
    """Every name that the handlers of a platform answer to."""
    if platform == "slack":
        return {
            *(f"action.{verb}" for verb in slack.ACTIONS), *(f"submit.{each}" for each in slack.SUBMISSIONS),
            *(f"command.{word}" for word in slack.COMMANDS), "event.message", "event.app_mention",
            "event.app_home_opened", "shortcut.gh.ask_about",
        }  # fmt: skip
    return {
        *(f"action.{verb}" for verb in teams.ACTIONS), *(f"submit.{each}" for each in teams.SUBMISSIONS),
        *(f"command.{word}" for word in teams_commands.COMMANDS), *teams.INVOKES, "refresh", "submit.ask_about",
    }  # fmt: skip


def scenarios_of(kind: Kind) -> list[str]:
    """The scenarios that press anything of a kind, as far as the script itself says it."""
    return [each.name for each in SCENARIOS if _named(each) & set(kind.both + kind.slack + kind.teams)]


def _named(scenario: Scenario) -> set[str]:
    found: set[str] = set()
    for step in scenario.steps:
        for move in step.moves if isinstance(step, Step) else ():
            match move:
                case Press():
                    found |= {f"action.{move.verb}", "action.actions"}  # of a card of everybody one's own is asked for
                case Type():
                    found.add(f"command.{move.text.split(' ')[0]}")
                case Say():
                    found.add("event.app_mention" if move.under else "event.message")
                case About():
                    found.add("shortcut.gh.ask_about")
                case Home():
                    found.add("event.app_home_opened")
                case Thumb():
                    found.add("action.ask_feedback")
                case Find():
                    found.add("composeExtension/query")
                case Send():
                    pass
    return found
