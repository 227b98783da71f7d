"""What stands at the edge: Slack, a tenant of Teams, the cloud as it was; clock and ids that are alike in all runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.aws import DEV, PROD, SimulatedAws
from cards.lint_adaptive import activity_problems
from tests.unit.slack.fakes import FakeSlack
from tests.unit.teams.world import TENANT, served

from .people import PEOPLE, Person, channel_of

BEGIN = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


class StepClock:
    def __init__(self, at: datetime = BEGIN) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def pass_(self, **kwargs: float) -> None:
        self.at += timedelta(**kwargs)


class Numbered:
    """Ids by prefix and number: what is made in the same order has the same id in every run."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def new(self, prefix: str) -> str:
        self.counts[prefix] += 1
        return f"{prefix}-n{self.counts[prefix]:06d}"


class Slack(FakeSlack):
    """Remembers what stands where. ``log``: what was shown, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: dict[tuple[str, str], dict[str, Any]] = {}
        self.log: list[dict[str, Any]] = []
        self.answering = False  # what is said now answers somebody

    def client(self) -> AsyncWebClient:
        made = super().client()
        made.timeout = 60  # a busy machine is no difference between platforms
        return made

    def _answer(self, method: str, given: dict[str, Any]) -> dict[str, Any]:
        made = super()._answer(method, given)
        if not made.get("ok"):
            return made
        match method:
            case "chat.postMessage" | "chat.update":
                ts = given["ts"] if method == "chat.update" else made["ts"]
                self._keep(given["channel"], ts, given)
            case "chat.stopStream":
                stream = self.streams[given["ts"]]
                text = " ".join(c["text"] for c in stream["chunks"] if c["type"] == "markdown_text")
                said = [{"type": "section", "text": {"type": "mrkdwn", "text": text}}] if text else []
                self._keep(stream["channel"], given["ts"], {"blocks": [*said, *given["blocks"]], "thread_ts": "stream"})
            case "chat.postEphemeral":
                self.log.append({"kind": "ephemeral", **given, "ts": made["message_ts"]})
            case "views.open" | "views.push" | "views.update":
                self.log.append({"kind": "view", "id": made["view"]["id"], **given["view"]})
            case "views.publish":
                self.log.append({"kind": "home", "user": given["user_id"], **given["view"]})
        return made

    def _keep(self, channel: str, ts: str, given: dict[str, Any]) -> None:
        before = self.messages.get((channel, ts), {})
        kept = {"channel": channel, "ts": ts, "blocks": given["blocks"], "text": given.get("text", "")}
        kept |= {"thread_ts": given.get("thread_ts") or before.get("thread_ts", ""), "answer": self.answering}
        self.messages[channel, ts] = kept
        self.log.append({"kind": "message", **kept})

    async def _respond(self, request: web.Request) -> web.Response:
        self.log.append({"kind": "response", **await request.json()})
        return web.Response(text="ok")


class Tenant:
    """The connector of one tenant: conversations, messages, members."""

    def __init__(self) -> None:
        self.messages: dict[tuple[str, str], dict[str, Any]] = {}
        self.log: list[dict[str, Any]] = []
        self.wrong: list[str] = []
        self.number = 1_795_000
        self.answering = False
        self.gone: set[str] = set()  # members Teams no longer names
        self.odd: dict[str, dict[str, Any]] = {}  # member -> what is said otherwise of them

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        async with served([web.route("*", "/emea/v3/{path:.*}", self._take)]) as url:
            yield f"{url}/emea/"

    async def _take(self, request: web.Request) -> web.Response:
        parts = [unquote(part) for part in request.raw_path.partition("/v3/conversations")[2].split("/") if part]
        if len(parts) == 3 and parts[1] == "members":
            return self._member(parts[2])
        if len(parts) == 2 and parts[1].startswith("pagedmembers"):
            return web.json_response({"members": [self._said(each) for each in self.inside(parts[0])]})
        body = await request.json()
        if request.method == "POST" and not parts:
            if "activity" not in body:
                return web.json_response({"id": body["members"][0]["id"].replace("29:", "a:")})
            channel = body["channelData"]["channel"]["id"]
            made = self._keep(channel, self._new(), body["activity"])
            return web.json_response({"id": f"{channel};messageid={made}", "activityId": made})
        if body["type"] == "typing":
            return web.json_response({"id": self._new()})
        place = parts[0].partition(";messageid=")[0]
        if request.method == "PUT":
            return web.json_response({"id": self._keep(place, parts[2], body)})
        return web.json_response({"id": self._keep(place, self._new(), body, parts[0].partition(";messageid=")[2])})

    def _new(self) -> str:
        self.number += 1
        return str(self.number)

    def _keep(self, place: str, number: str, activity: dict[str, Any], root: str = "") -> str:
        kept = {"place": place, "id": number, "root": root, "activity": activity, "answer": self.answering}
        self.messages[place, number] = kept
        self.log.append(kept)
        self.wrong += activity_problems(activity)
        return number

    def inside(self, place: str) -> list[Person]:
        """Who is in a channel: everybody of the company, and in one of them a guest."""
        guests = place.startswith(channel_of("payments"))
        return [each for each in PEOPLE.values() if (guests or not each.guest) and each.member not in self.gone]

    def _said(self, person: Person) -> dict[str, Any]:
        said = {
            "id": person.member, "aadObjectId": person.teams, "name": person.name, "tenantId": TENANT,
            "userRole": "guest" if person.guest else "user", "userPrincipalName": f"{person.key}@acme.example",
        }  # fmt: skip
        return said | self.odd.get(person.member, {})

    def _member(self, member: str) -> web.Response:
        person = PEOPLE.get(member.removeprefix("29:"))
        if person is None or member in self.gone:
            return web.json_response({"error": {"code": "MemberNotFoundInConversation"}}, status=404)
        return web.json_response(self._said(person))


class Estate:
    """What scenarios change in the simulated AWS, and how it was: buckets, keys and topics by name."""

    def __init__(self, aws: SimulatedAws, names: set[str]) -> None:
        self._accounts = {uid: aws.account(uid) for uid in (PROD, DEV)}
        self._was: dict[Any, Any] = {}
        self._is: dict[Any, Any] | None = None  # as it was looked at last, until somebody acts again
        self._things: list[tuple[str, str, str]] = []
        for uid, account in self._accounts.items():
            s3, kms, sns = (account.client(each) for each in ("s3", "kms", "sns"))
            there = {
                "s3": [each["Name"] for each in s3.list_buckets()["Buckets"]],
                "kms": [each["KeyId"] for each in kms.list_keys()["Keys"]],
                "sns": [each["TopicArn"] for each in sns.list_topics()["Topics"]],
            }
            for kind, listed in there.items():
                self._things += [(uid, kind, each) for each in listed if each.rpartition(":")[2] in names]
        assert {kind for _, kind, _ in self._things} == {"s3", "kms", "sns"}

    def _look(self) -> dict[Any, Any]:
        return {each: self._read(*each) for each in self._things}

    def _read(self, uid: str, kind: str, name: str) -> Any:
        client = self._accounts[uid].client(kind)
        if kind == "kms":
            return client.get_key_rotation_status(KeyId=name)["KeyRotationEnabled"]
        if kind == "sns":
            return client.get_topic_attributes(TopicArn=name)["Attributes"]["Policy"]
        try:
            return client.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
        except client.exceptions.ClientError:
            return None

    def by_hand(self, key: str) -> None:
        """Somebody rotates one of production's keys in the console."""
        self._accounts[PROD].client("kms").enable_key_rotation(KeyId=key)

    def note(self) -> None:
        self._was = self._look()

    @property
    def begun(self) -> dict[Any, Any]:
        return self._was

    def now(self) -> dict[Any, Any]:
        """At the end of a run."""
        self._is = self._look()
        return self._is

    def restore(self) -> None:
        seen, self._is = self._is, None
        for (uid, kind, name), is_now in (seen or self._look()).items():
            was = self._was[uid, kind, name]
            if was == is_now:
                continue
            client = self._accounts[uid].client(kind)
            if kind == "s3" and was is None:
                client.delete_public_access_block(Bucket=name)
            elif kind == "s3":
                client.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=was)
            elif kind == "kms":
                (client.enable_key_rotation if was else client.disable_key_rotation)(KeyId=name)
            else:
                client.set_topic_attributes(TopicArn=name, AttributeName="Policy", AttributeValue=was)
