"""Cards of attention: what one fix closes, the status with what is silenced, and the promise in words."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.domain.findings import Severity
from bot.domain.silence import AttentionView, Preview, PromiseView, SilencedLine
from bot.domain.triage import Priority, Ssvc
from bot.domain.views import CauseView, Stage, StatusView
from cards import blockkit, build, lint
from cards.attention import promise_text
from cards.rules import would_hide

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def cause(**more: object) -> CauseView:
    given = {
        "id": "c-1", "revision": 1, "stage": Stage.OPEN, "title": "Flow logs are off", "what": "",
        "priority": Priority.P3, "decision": Ssvc.TRACK_STAR, "severity": Severity.MEDIUM,
        "first_seen": NOW, "open_count": 214,
        "total_count": 214,
    }  # fmt: skip
    return CauseView.model_validate(given | more)


def text(card: object) -> str:
    return str(card)


def test_one_fix_closes_is_said_only_where_one_change_does() -> None:
    said = text(build.cause_card(cause(one_change="module vpc", alike_open=231)))
    assert "1 fix (module vpc) closes 214 of 231 open of this kind" in said
    assert "1 fix" not in text(build.cause_card(cause(alike_open=231)))
    assert "1 fix (image acme/web) closes 214 findings" in text(build.cause_card(cause(one_change="image acme/web")))
    assert "1 fix" not in text(build.cause_card(cause(one_change="module vpc", open_count=1, total_count=1)))


def test_details_offer_split_and_merge_while_something_is_open() -> None:
    assert "gh.regroup" in text(build.details_card(cause()))
    assert "gh.regroup" not in text(build.details_card(cause(stage=Stage.RESOLVED)))
    assert "🔕 Silenced" in text(build.cause_card(cause(stage=Stage.SILENCED, open_count=0)))


def test_the_status_shows_what_is_silenced_and_slack_takes_it() -> None:
    promise = PromiseView(minutes=5, days=30, posted=4, late=1, p50=3.0, p95=400.0, worst=400.0,
                          histogram=(("up to 5 s", 3), ("up to 15 min", 1)))  # fmt: skip
    hidden = tuple(SilencedLine(by=f"rule {n} <!channel>", reason="noise " * 60, count=n, p1=n % 2, rule_id="sr-1")
                   for n in range(60))  # fmt: skip
    attention = AttentionView(at=NOW, came=7, fixed=1, overdue=3, cards=2, held=1, silenced=hidden, rules_watching=2,
                              waits=(("cloud-approvers", 2),), owners=(("Payments", 3),), promise=promise)  # fmt: skip
    view = StatusView(at=NOW, open_findings=(), open_causes=(), waiting_requests=2, running=0, held_in_digests=1,
                      outbox_waiting=0, sources=(), ledger_records=1, ledger_head="ab",
                      attention=attention)  # fmt: skip
    payload = blockkit.message(build.status_card(view))
    assert lint.problems(payload, "message") == []
    assert "<!channel>" not in str(payload)
    said = str(payload)
    for part in ("7 findings came in", "cloud-approvers: 2", "Payments 3", "2 rules watch and hide nothing"):
        assert part in said


def test_the_promise_in_words() -> None:
    assert promise_text(PromiseView(minutes=5, days=30)) == "✅ Promised within 5 minutes. No P1 in 30 days."
    broken = promise_text(PromiseView(minutes=5, days=30, posted=1, worst=1.0, p50=1.0, p95=1.0, voiceless=2))
    assert broken.startswith("❌")
    assert "2 P1 causes have no channel" in broken


def test_a_preview_says_what_stays_visible() -> None:
    found = Preview(
        matched=5, hides=3, causes=1, of_open=9, last_week=2, by_priority=((Priority.P1, 2), (Priority.P3, 3))
    )
    assert would_hide(found).endswith("2 P1 stay visible.")
    assert would_hide(found.model_copy(update={"hides": 5})).endswith("2 P1 among them!")
    assert found.p1 == 2
