"""The seams of the engine. Everything outside (sources, clouds, chat) is reached through one of these protocols.

The engine never imports a connector or a handler; the composition root hands implementations in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from bot.domain.findings import Finding, Sighting
from bot.domain.plans import BlastRadius, Call, Change, Reversibility, Risk, Target
from bot.domain.posture import PostureQuery
from bot.domain.principals import PlatformIdentity, Standing

# --- sources ---------------------------------------------------------------------------------------------------------


class FindingMapper(Protocol):
    """Pure: one vendor object in, one normalised finding out. Never raises on unknown words, missing or extra fields.

    ``kinds`` names the object kinds understood. ``sight`` and ``map`` raise ``BadInput`` only for an object that
    cannot be a finding of this source at all.
    """

    source: str

    def sight(self, raw: Mapping[str, Any]) -> Sighting: ...

    def map(self, raw: Mapping[str, Any]) -> Finding: ...


@dataclass(frozen=True, slots=True)
class Page:
    """Raw finding objects of one page, in the source's shape, and where to go on from.

    ``cursor`` is the state to store together with the findings of this page (JSON-able); ``complete_scopes`` names
    the scopes (for example ``aws:123456789012:us-east-1:check-id``) of which the run has now delivered all, so that
    what was open there and was not seen has vanished.
    """

    items: Sequence[Mapping[str, Any]]
    cursor: Mapping[str, Any] | None = None
    complete_scopes: Sequence[str] = ()
    notes: Sequence[str] = ()  # understood but carries no finding: said, never silently dropped
    rejected: Sequence[tuple[str, str]] = ()  # (where, why): could not be understood; kept aside by intake


class Poller(Protocol):
    """Reads a source from a stored cursor. Pages are stored before the next is asked for."""

    source: str

    def poll(self, cursor: Mapping[str, Any] | None, now: datetime) -> AsyncIterator[Page]: ...


class WebhookReader(Protocol):
    """What a source's webhook sends. The body is a template that customers edit: it says "something changed".

    ``verify`` raises ``Refused`` unless the request is the source's (constant time; a body is never parsed before).
    ``understand`` says what it is about: refs to fetch, and finding objects for what the body itself must answer
    (a source whose API cannot be asked). ``fetch`` reads refs by the API, as a poll would have them.
    """

    source: str

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None: ...

    def understand(self, body: bytes) -> Notification: ...

    async def fetch(self, refs: Sequence[str]) -> Page: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Notification:
    """``key`` is the same for a repeated delivery: a hash of the body where the vendor sends no id. ``refs`` are
    opaque to the engine; ``items`` finding objects in the shape of the mapper; ``said`` names a body without either
    ("test message")."""

    key: str
    refs: Sequence[str] = ()
    items: Sequence[Mapping[str, Any]] = ()
    said: str = ""


@dataclass(frozen=True, slots=True)
class SourceNote:
    """What a source is to be told of one finding of its own. ``key`` (our id of the telling) stands in ``note``, so
    that it can be found again; ``raw`` is the payload we last saw."""

    key: str
    uid: str
    to: str  # fixed | accepted | reopened | dismissed
    note: str
    until: datetime | None = None  # of an accepted risk
    raw: Mapping[str, Any] = field(default_factory=dict)


class WriteBack(Protocol):
    """Tells a source. Raises ``RetryLater``, ``Relogin``, ``Refused``, ``Gone`` or ``OutcomeUnknown``.

    ``told`` reads at the source whether this note (by its key, or by the state it leads to) is there already: asked
    before every telling that follows an unknown outcome. ``rescan`` answers "" where the source has none.
    """

    source: str

    async def told(self, note: SourceNote) -> bool: ...

    async def tell(self, note: SourceNote) -> str:
        """In words what was done: "status RESOLVED, note added"."""
        ...

    async def rescan(self, note: SourceNote) -> str: ...

    async def close(self) -> None: ...


# --- what others say -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Edition:
    """A whole list as it stood at ``as_of``. Rows: ``cve, added, due, ransomware, name`` (kev) or ``cve, epss,
    percentile, content`` (epss). ``etag`` is "" where the server gave none."""

    version: str
    as_of: datetime
    rows: Sequence[Mapping[str, Any]]
    etag: str = ""


class ThreatList(Protocol):
    """A public list about CVEs. Raises ``RetryLater`` or ``Refused``; ``BadInput`` where it is not such a list."""

    name: str  # kev | epss

    async def edition(self, etag: str) -> Edition | None:
        """The list as it is now; None when it is still that of ``etag``."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CveRecord:
    """``cvss`` 0..10 and its vector, "" where there is none; ``modified`` as it was written."""

    cve: str
    cvss: float | None = None
    vector: str = ""
    modified: str = ""


class CveRecords(Protocol):
    """Looks single CVEs up; None: there is no such record."""

    name: str  # nvd

    async def record(self, cve: str) -> CveRecord | None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ContextFact:
    """One fact about a resource as its cloud says it. ``fact``: created_by, exposed, last_used, tags."""

    fact: str
    value: str
    why: str
    source: str  # "AWS CloudTrail"


class CloudContext(Protocol):
    """Reads what a cloud knows of a resource; an empty list for a resource it does not understand."""

    async def context(self, resource_uid: str, resource_type: str, account: str, region: str) -> list[ContextFact]: ...


# --- clouds ----------------------------------------------------------------------------------------------------------


class CloudReader(Protocol):
    """Read-only calls. Absence answers of the cloud are told apart by ``CloudError.code``."""

    async def read(self, call: Call) -> dict[str, Any]: ...


class Cloud(CloudReader, Protocol):
    """Reads and writes. ``write`` raises ``Refused`` (nothing happened), ``RetryLater`` or ``OutcomeUnknown``."""

    async def write(self, call: Call, *, idempotency_key: str) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Attribution:
    """Ids that every cloud call carries (user agent; session name, tags or SourceIdentity when a role is assumed)."""

    finding_id: str = ""
    plan_id: str = ""
    decision_id: str = ""
    principal_id: str = ""


class CloudFactory(Protocol):
    """Opens a cloud session for one provider, attributed; ``reader`` never gets write rights."""

    def reader(self, why: Attribution) -> CloudReader: ...

    def writer(self, why: Attribution) -> Cloud: ...


# --- playbooks -------------------------------------------------------------------------------------------------------

State = dict[str, Any]  # JSON-able; the resource as read; absence is None, never a false value


@dataclass(frozen=True, slots=True)
class Verification:
    ok: bool
    why: str


@dataclass(frozen=True, slots=True)
class PlaybookInfo:
    """What people and the policy see of a playbook."""

    id: str  # s3-block-public-access
    version: int
    title: str  # imperative: "Block public access to a bucket"
    provider: str
    target_kind: str
    rules: frozenset[str]  # rule uids that this fixes, "source:rule_uid" or a bare rule_uid
    risk: Risk
    reversibility: Reversibility
    danger: str  # what can break, one or two sentences
    undo_note: str = ""
    undo_exposes: bool = False  # undo makes something public again, stops an audit log, deletes backups
    scope: str = "resource"  # resource | account | account-region: what one run changes
    checks: tuple[str, ...] = ()  # scanner checks that flip, for the lab table
    tags: frozenset[str] = field(default_factory=frozenset)


class Playbook(Protocol):
    """inspect -> plan -> (engine applies the plan's calls) -> verify -> roll back.

    Only ``inspect`` does I/O, and only reads. ``changes`` is pure and empty when nothing is to be done:
    idempotency comes from the plan. ``undo`` is pure: the changes that bring ``now`` back to ``pre``,
    touching only what the playbook owns. A playbook may offer ``async tags(cloud, target) -> dict | None``: what the
    resource is tagged with now, for standing approvals.
    """

    info: PlaybookInfo

    def target(self, finding: Finding) -> Target | None:
        """The resource to fix for this finding, or None when this playbook cannot (then ``why_not`` says why)."""
        ...

    async def inspect(self, cloud: CloudReader, target: Target) -> State: ...

    def changes(self, target: Target, state: State) -> list[Change]: ...

    def undo(self, target: Target, pre: State, now: State) -> list[Change]: ...

    def verify(self, target: Target, state: State) -> Verification: ...

    def blast_radius(self, targets: Sequence[Target], states: Mapping[str, State]) -> BlastRadius: ...


class PlaybookCatalog(Protocol):
    def all(self) -> Iterable[Playbook]: ...

    def get(self, playbook_id: str) -> Playbook: ...

    def for_finding(self, finding: Finding) -> Playbook | None: ...

    def for_rule(self, source: str, rule_uid: str) -> Playbook | None: ...


# --- chat ------------------------------------------------------------------------------------------------------------


class Directory(Protocol):
    """What a chat or identity platform says of its users and groups, read freshly with a bounded cache."""

    async def standing(self, who: PlatformIdentity) -> Standing: ...

    async def groups(self, who: PlatformIdentity) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class Message:
    """What has to go out: the deliverer fills ``view`` (a view of ``bot.domain.views``) at the moment of sending."""

    kind: str  # cause | digest | thread | direct
    subject: str
    channel: str  # the platform's channel id; the user id for a direct message
    view: Any
    text: str = ""  # the line of a thread reply or direct message
    thread: str = ""  # message id it belongs under
    key: str = ""  # the same on every attempt: put it into the message's metadata, ``find`` looks it up


class ChatPoster(Protocol):
    """Sends rendered views. Raises ``RetryLater`` (with ``after``), ``Refused``, ``Gone`` or ``OutcomeUnknown``."""

    platform: str

    async def post(self, message: Message) -> str:
        """The message id."""
        ...

    async def update(self, message: Message, message_id: str) -> None: ...


class MessageFinder(Protocol):
    """What a poster may offer besides: look up whether ``message`` (by its ``key``) was posted after all."""

    async def find(self, message: Message) -> str | None: ...


# --- SIEM ------------------------------------------------------------------------------------------------------------


class EventSink(Protocol):
    """Takes OCSF events. ``send`` returns once all were taken, else raises: ``RetryLater``, ``OutcomeUnknown`` (they
    are sent again: ``metadata.uid`` tells doubles apart) or ``Refused``/``Relogin`` (a person must mend something)."""

    name: str  # stands in the database beside the cursor: two sinks never share one

    async def send(self, events: Sequence[Mapping[str, Any]]) -> None: ...

    async def close(self) -> None: ...


# --- models ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One structured call. ``schema`` is the JSON schema of the answer; ``messages`` are (role, text)."""

    messages: Sequence[tuple[str, str]]
    name: str  # of the structure: "narrative"
    schema: Mapping[str, Any]
    max_output_tokens: int = 900


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What came back, unchecked: ``text`` should be JSON of the schema and may be anything."""

    text: str
    model: str  # as the endpoint names it
    input_tokens: int = 0
    output_tokens: int = 0
    finish: str = ""  # the endpoint's word: stop, length, content_filter …


class Model(Protocol):
    """A language model. It gets text and gives text: nothing it says is carried out.

    Raises ``RetryLater``, ``Relogin`` or ``Refused`` (of which ``content_filter`` is one).
    """

    name: str
    endpoint: str  # host, for the audit

    async def complete(self, request: ModelRequest) -> ModelReply: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class QuestionReading:
    """``query`` is None where it cannot be put; ``why`` says so."""

    query: PostureQuery | None
    why: str = ""
    call_id: str = ""


class QuestionReader(Protocol):
    """Reads a question into a query. ``names`` are the company's own words by dimension, those near the question."""

    async def read(
        self, question: str, names: Mapping[str, Sequence[str]], now: datetime, before: PostureQuery | None = None
    ) -> QuestionReading: ...
