"""What a crash or a fault left in the journal of clicks of Teams."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from bot.domain.principals import PlatformIdentity
from bot.store import clicks, outbox
from handlers.common.ids import ids_of
from handlers.common.left import COMMAND_ACTS, KEEP_TRYING, close_unanswered

from . import asking
from .payloads import Origin

if TYPE_CHECKING:
    from .desk import TeamsDesk


async def resume(desk: TeamsDesk, after: timedelta = timedelta(minutes=1)) -> int:
    """Finish it: what was sent is done now (the engine decides anew whether it may be and whether it was done already),
    what nobody waits for any more is closed. Its person is told. How many there were."""
    engine = desk.engine
    now = engine.clock.now()
    found = await engine.db.read(clicks.unfinished, now - after)
    left = [each for each in found if each.platform == "teams" and each.id not in desk.in_hand]
    for each in left:
        kept, who = json.loads(each.payload), PlatformIdentity.model_validate_json(each.identity)
        address, verb = f"teams:{who.user}", str(kept.get("verb", ""))
        if each.kind == "command.ask" and await asking.again(desk, who, kept, each.id):
            continue
        done = await engine.db.read(clicks.came_to, each.id, COMMAND_ACTS)
        if done or each.kind != f"submit.{verb}" or not desk.sends(verb):
            await engine.db.write(close_unanswered, engine.ids, each.id, address, now)
            continue
        origin = Origin(who.tenant, who.user, "", "", "personal", "", "", click=each.id)
        given = {str(key): str(said) for key, said in kept.get("answers", {}).items()}
        keep = now - each.received_at < KEEP_TRYING
        reply = await desk.answer(origin, verb, ids_of(kept.get("value")), given, each.id, keep=keep)
        if not reply.open:
            said = reply.card.summary
            await engine.db.write(outbox.tell, engine.ids, now, address, said, dedupe=f"answer:{each.id}"[:500])
    return len(left)
