"""Which card a message of the engine is, on whatever platform it goes out."""

from __future__ import annotations

from bot.domain.silence import DailyView
from bot.domain.views import CauseView, DigestView, GlassView, Notice
from bot.ports import Message
from cards import attention, build
from cards.model import Card

NO_CARD = {"thread", "direct"}  # kinds of message that are a sentence


def card_of(message: Message, *, charts: bool = False) -> Card:
    """``charts``: the platform draws them itself."""
    match message.view:
        case CauseView() as view if message.kind not in NO_CARD:
            return build.cause_card(view)
        case DigestView() as view:
            return build.digest_card(view)
        case DailyView() as view:
            return attention.daily_card(view, charts=charts)
        case GlassView() as view:
            return build.glass_card(view)
        case Notice() as view:
            return build.notice_card(view)
        case _:
            return build.thread_line(message.text)
