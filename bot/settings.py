"""Settings: ``gatehouse.yml`` (shape below) and the environment (``GATEHOUSE_…``, which wins).

Rules: unknown keys are refused with a suggestion; secrets are ``SecretStr`` and come from the environment; every
setting has a description (docs/settings.md is generated from them and checked by a test).
"""

from __future__ import annotations

import os
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bot.domain.errors import SettingsError
from bot.domain.triage import TableSpec

CONFIG_ENV = "GATEHOUSE_CONFIG"
PROWLER_ENV = "GATEHOUSE_PROWLER"  # the scanner that `gatehouse demo --scan` runs; no setting of the bot
MODEL_CALLS_ENV = "GATEHOUSE_MODEL_CALLS"  # off, or local: no model is called elsewhere, whatever the settings say
DEFAULT_CONFIG = "gatehouse.yml"


HOURS = r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$"
CLOCK_TIME = r"^(([01]\d|2[0-3]):[0-5]\d)?$"
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def known_zone(name: str) -> str:
    """``name`` where it is a time zone of the IANA database, else ``ValueError``."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone; write for example Europe/Berlin") from error
    return name


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Section):
    """Conditions, all of which must hold; a list means any of. Patterns are shell-style (``prod-*``)."""

    account: tuple[str, ...] = Field((), description="Account uid or name patterns")
    provider: tuple[str, ...] = Field((), description="aws, azure, gcp …")
    environment: tuple[str, ...] = Field((), description="prod, staging, dev, test, sandbox, unknown")
    resource_type: tuple[str, ...] = Field((), description="Resource type patterns")
    source: tuple[str, ...] = Field((), description="Source names")
    severity: tuple[str, ...] = Field((), description="critical, high, medium, low, informational")
    rule: tuple[str, ...] = Field((), description="Rule uid patterns")
    tags: dict[str, str] = Field({}, description="Tag key to value pattern")

    @field_validator("account", "provider", "environment", "resource_type", "source", "severity", "rule", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class OwnerSettings(_Section):
    """Who owns things and where they talk."""

    name: str = Field(description="Shown on cards")
    team: str = Field("", description="Team id, when the owner is a person")
    channels: tuple[str, ...] = Field((), description="platform:channel-id, for example slack:C02SEC")
    aliases: tuple[str, ...] = Field((), description="What others call it: names of groups, people, projects, teams")
    escalation: tuple[str, ...] = Field((), description="Where an unanswered P1 or P2 is told, once; empty: fallback")


class RouteSettings(_Section):
    """The first rule that matches names the owner."""

    name: str = Field(description="Shown as the reason")
    match: Match = Field(default_factory=lambda: Match(), description="When it applies; empty matches everything")
    owner: str = Field(description="Key of owners")


class RoutingSettings(_Section):
    owners: dict[str, OwnerSettings] = Field({}, description="Owner id to owner")
    rules: tuple[RouteSettings, ...] = Field((), description="In order; the first that matches wins")
    owner_tags: tuple[str, ...] = Field(("owner", "team"), description="Tags whose value names an owner id")
    cmdb: tuple[Path, ...] = Field((), description="CSV exports of ServiceNow's cmdb_ci with display values")
    catalog: tuple[Path, ...] = Field((), description="YAML files of Backstage entities")
    codeowners: dict[str, Path] = Field({}, description="Repository (org/name) to its CODEOWNERS file")
    account_owners: dict[str, str] = Field({}, description="Account uid or name pattern to owner id")
    project_hints: tuple[str, ...] = Field(("project",), description="Hints of a source that count as its project")
    fallback: tuple[str, ...] = Field((), description="Channels for what nobody owns, and for operators")
    cards_per_interval: int = Field(5, ge=1, description="New cards a channel gets per interval; the rest is a digest")
    interval_minutes: int = Field(60, ge=1, description="Length of that interval")


class JewelRule(_Section):
    name: str = Field(description="Shown as the reason")
    match: Match = Field(description="When it applies")


class DeadlineDays(_Section):
    """Days to the deadline where the table names none."""

    p1: int = Field(3, ge=0, description="Days")
    p2: int = Field(14, ge=0, description="Days")
    p3: int = Field(30, ge=0, description="Days")
    p4: int = Field(90, ge=0, description="Days")


class TriageSettings(_Section):
    """How findings are judged. See docs/triage.md."""

    tables: dict[str, TableSpec] = Field({}, description="Own decision tables, by name: each takes the place of the "
                                         "built-in one of the same kind and role")  # fmt: skip
    days: DeadlineDays = Field(default_factory=lambda: DeadlineDays())
    crown_jewels: tuple[JewelRule, ...] = Field((), description="What counts as of the highest importance anywhere")
    epss_likely: float = Field(0.1, ge=0, le=1, description="EPSS from which exploitation counts as likely")


class EnrichmentSettings(_Section):
    """What others than the sources say of a finding. Off until enabled: nothing is asked over the internet."""

    enabled: bool = Field(False, description="Download CISA's KEV list and FIRST's EPSS scores, look CVEs up at NVD")
    kev_url: str = Field("https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json",
                         description="The KEV list; empty: none")  # fmt: skip
    kev_hours: float = Field(6, gt=0, description="Hours between two looks for a new edition")
    epss_url: str = Field("https://epss.empiricalsecurity.com/epss_scores-current.csv.gz",
                          description="Daily scores of all CVEs; empty: the API is asked for ours only")  # fmt: skip
    epss_api: str = Field("https://api.first.org/data/v1/epss", description="The API of FIRST; empty: never asked")
    epss_hours: float = Field(12, gt=0, description="Hours between two looks for a new edition")
    nvd_url: str = Field("https://services.nvd.nist.gov/rest/json/cves/2.0", description="The API of NVD; empty: none")
    nvd_api_key: SecretStr | None = Field(None, description="Key of NVD: 50 calls in 30 seconds in place of 5")
    nvd_per_day: int = Field(500, ge=0, description="Most calls to NVD in a day (UTC)")
    kev_stale_days: int = Field(7, ge=1, description="A KEV list older than this is called stale")
    epss_stale_days: int = Field(3, ge=1, description="Scores older than this are called stale")
    servicenow_url: str = Field("", description="Instance whose CMDB `gatehouse enrich cmdb` reads")
    servicenow_user: str = Field("", description="A user that may read cmdb_ci")
    servicenow_password: SecretStr | None = Field(None, description="Its password")
    servicenow_table: str = Field("cmdb_ci", description="Table of configuration items")
    servicenow_query: str = Field("", description="Encoded query, for example operational_status=1")
    aws_context: bool = Field(False, description="Read who made a resource, its tags, whether it can be reached and "
                              "when it was last used, for causes of P1 and P2")  # fmt: skip
    aws_per_hour: int = Field(60, ge=0, description="Most resources looked at in an hour")


class EnvironmentRule(_Section):
    match: Match = Field(description="When it applies")
    environment: Literal["prod", "staging", "dev", "test", "sandbox"] = Field(description="What it then is")


class EnvironmentSettings(_Section):
    tags: tuple[str, ...] = Field(("env", "environment", "stage"), description="Tags that say the environment")
    rules: tuple[EnvironmentRule, ...] = Field((), description="Where no tag says it; the first that matches wins")


class SuppressionRule(_Section):
    """What is noise here. Written down it only counts (monitor); it hides nothing before people activate it in chat."""

    name: str = Field(min_length=1, max_length=80, description="Shown wherever it hides something")
    match: Match = Field(description="What it is about; one condition at least")
    reason: str = Field(min_length=1, max_length=500, description="Why this is noise")
    author: str = Field(min_length=1, max_length=80, description="Who wrote it")
    until: date = Field(description="It ends at the end of this day (UTC); what it hides comes back")
    starts: date | None = Field(None, description="It begins with this day (UTC)")
    hours: str = Field("", pattern=HOURS, description="Only in this part "
                       "of the day, for example 22:00-06:00")  # fmt: skip
    days: tuple[Weekday, ...] = Field((), description="Only on these days; a night belongs to the day it begins on")
    tz: str = Field("UTC", description="Time zone of hours and days")
    include_p1: bool = Field(False, description="It may hide P1, too: then two people must put their names on it")

    @field_validator("tz")
    @classmethod
    def _zone(cls, value: str) -> str:
        return known_zone(value)

    @field_validator("match")
    @classmethod
    def _some(cls, value: Match) -> Match:
        if value == Match():
            raise ValueError("a suppression rule needs a condition: this one would hide everything")
        return value


class SuppressionSettings(_Section):
    rules: tuple[SuppressionRule, ...] = Field((), description="Rules from this file; they begin in monitor mode")
    max_days: int = Field(180, ge=1, description="Longest life of a rule")
    max_days_p1: int = Field(30, ge=1, description="Longest life of a rule that may hide P1")


class ChannelSettings(_Section):
    """What differs in one channel; what is unset is as for all."""

    cards_per_interval: int | None = Field(None, ge=0, description="New cards per interval; the rest is a digest")
    interval_minutes: int | None = Field(None, ge=1, description="Length of that interval")
    tz: str | None = Field(None, description="Time zone of the channel: Europe/Berlin")
    quiet: str | None = Field(None, pattern=HOURS, description="Quiet "
                              "hours, local: 20:00-07:00; only P1 is posted")  # fmt: skip
    quiet_days: tuple[Weekday, ...] | None = Field(None, description="Days that are quiet as a whole")
    daily_at: str | None = Field(None, pattern=CLOCK_TIME, description="Local time of the daily "
                                 "message; empty: none")  # fmt: skip
    pictures: bool | None = Field(None, description="The daily message has a chart as a picture, where possible")

    @field_validator("tz")
    @classmethod
    def _zone(cls, value: str | None) -> str | None:
        return None if value is None else known_zone(value)


class AttentionSettings(_Section):
    """How much a channel hears, and when. Cards per interval are in ``routing``."""

    tz: str = Field("UTC", description="Time zone of channels that name none")
    quiet: str = Field("", pattern=HOURS, description="Quiet hours, "
                       "local: 20:00-07:00; only P1 is posted")  # fmt: skip
    quiet_days: tuple[Weekday, ...] = Field((), description="Days that are quiet as a whole")
    daily_at: str = Field("09:00", pattern=CLOCK_TIME, description="Local time of the daily message, "
                          "from a channel's second day on; empty: none")  # fmt: skip
    pictures: bool = Field(True, description="The daily message has a chart as a picture, where possible")
    promise_minutes: int = Field(5, ge=1, description="No P1 is posted later than this after it was stored: measured")
    escalate_p1_minutes: int = Field(60, ge=0, description="An unanswered P1 goes to the owner's escalation channel "
                                     "after; 0: never")  # fmt: skip
    escalate_p2_minutes: int = Field(2880, ge=0, description="The same for P2; 0: never")
    channels: dict[str, ChannelSettings] = Field({}, description="platform:channel-id to what differs there")

    @field_validator("tz")
    @classmethod
    def _zone(cls, value: str) -> str:
        return known_zone(value)


class CauseSettings(_Section):
    """What else one change fixes, besides what is built in."""

    template_tags: tuple[str, ...] = Field(
        (), description="Tags that name the module or template, before the known ones"
    )
    organisation_rules: tuple[str, ...] = Field((), description="Rule uid patterns that one organisation policy "
                                                "fixes in all accounts; only where no playbook does")  # fmt: skip


class RuleMatch(_Section):
    """Which plans an approval rule is for; a list means any of, empty means all."""

    environment: tuple[str, ...] = Field((), description="prod, staging, dev, test, sandbox, unknown")
    account: tuple[str, ...] = Field((), description="Account uid patterns")
    playbook: tuple[str, ...] = Field((), description="Playbook id patterns")
    risk: tuple[str, ...] = Field((), description="low, medium, high")
    kind: tuple[str, ...] = Field((), description="fix, undo")

    @field_validator("environment", "account", "playbook", "risk", "kind", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class GovernanceRule(_Section):
    """How many, of whom, for how long. Who may at all is Cedar's."""

    name: str = Field(description="Named in every refusal")
    match: RuleMatch = Field(default_factory=lambda: RuleMatch())
    quorum: int = Field(1, ge=1, description="Approvals needed")
    groups: tuple[str, ...] = Field((), description="Approvers must be in one of these; empty: whom Cedar permits")
    four_eyes: bool = Field(True, description="Who asked cannot approve")
    owner_apart: bool = Field(False, description="Members of the owning team cannot approve")
    expires_minutes: int = Field(240, ge=1, description="How long a request waits for votes")
    typed_confirmation: bool = Field(False, description="The approver types the number of resources")
    break_glass: bool = Field(False, description="In an emergency one person may have it carried out alone")
    break_glass_groups: tuple[str, ...] = Field((), description="Who may break the glass; empty: nobody")
    break_glass_minutes: int = Field(15, ge=1, description="How long a broken glass lasts")
    break_glass_through_freeze: bool = Field(False, description="It may be broken during a freeze, too")


class StandingSettings(_Section):
    """Bounds of standing approvals. Whether anybody may give one at all is Cedar's (action pre_approve)."""

    max_days: int = Field(90, ge=1, description="Longest life of a standing approval")
    max_per_hour: int = Field(20, ge=1, description="Highest cap of runs per hour")
    max_resources: int = Field(3, ge=1, description="A plan that changes more is left to people")
    quorum: int = Field(1, ge=1, description="People who must grant it before it holds")


class GovernanceSettings(_Section):
    policies: Path | None = Field(None, description="Cedar policy file; the built-in one is used when unset")
    rules: tuple[GovernanceRule, ...] = Field((), description="First match wins; the built-in default asks for one "
                                              "approver other than the one who asked")  # fmt: skip
    max_targets: int = Field(25, ge=1, description="A plan that would change more resources is refused")
    freeze: bool = Field(False, description="Nothing is executed while true")
    review_hours: int = Field(24, ge=1, description="A broken glass is reviewed within; then it is asked for daily")
    membership_seconds: int = Field(60, ge=0, description="How long a group membership read is believed")
    standing: StandingSettings = Field(default_factory=lambda: StandingSettings())


class PersonSettings(_Section):
    name: str = Field(description="Shown on cards; never used to recognise anybody")
    email: str = Field("", description="For information only")
    team: str | None = Field(None, description="Owner id of the person's team")
    role: str = Field("", description="For the owner's own policies")
    groups: tuple[str, ...] = Field((), description="Groups the person is in")
    slack: str | None = Field(None, description="TEAM/USER, the immutable ids: T01ACME/U01ALICE")
    teams: str | None = Field(None, description="TENANT/OBJECT-ID of Entra")
    active: bool = Field(True, description="An inactive person decides nothing")

    @field_validator("teams")
    @classmethod
    def _one_spelling(cls, value: str | None) -> str | None:
        """Entra's ids mean the same in either case; accounts are compared in lower case."""
        return value.lower() if value else value


class GroupSettings(_Section):
    """A group of approvers: who is named here, and who is in the platform's own group, read freshly."""

    members: tuple[str, ...] = Field((), description="Principal ids")
    slack: str | None = Field(None, description="Id of a Slack user group (S…)")


class SlackSettings(_Section):
    enabled: bool = Field(False, description="Connect to Slack")
    mode: Literal["socket", "http"] = Field("socket", description="Socket Mode, or signed HTTP at /slack/events")
    base_url: str = Field("https://slack.com/api/", description="Web API base URL")
    team: str = Field("", description="Workspace id that clicks must come from; empty: asked at start")


class TeamsSettings(_Section):
    """Microsoft Teams, see docs/platforms.md. Without ``app_id`` nothing is accepted, except for local development."""

    enabled: bool = Field(False, description="Take activities of Microsoft Teams at /api/messages")
    app_id: str = Field("", description="App id of the bot's registration")
    app_type: Literal["SingleTenant", "UserAssignedMSI"] = Field(
        "SingleTenant", description="Password or managed identity; new bots cannot be MultiTenant"
    )
    tenant: str = Field("", description="Entra tenant id: of the bot, and the only one whose people are heard")
    service_url: str = Field("https://smba.trafficmanager.net/teams/", description="Where a channel is posted to of "
                             "which no installation was seen yet")  # fmt: skip
    without_login: bool = Field(False, description="Local development only: take activities that carry no token; "
                                "needs an empty app_id and a loopback host")  # fmt: skip
    issuer: str = Field("https://api.botframework.com", description="Issuer of the channel's tokens")
    openid_url: str = Field("https://login.botframework.com/v1/.well-known/openidconfiguration",
                            description="Where the keys of that issuer are named")  # fmt: skip


class AwsSettings(_Section):
    endpoint_url: str = Field("", description="Only for a simulated AWS")
    region: str = Field("us-east-1", description="Home region")
    read_role: str = Field("", description="Role to read with, {account} is filled in; empty: own credentials")
    write_role: str = Field("", description="Role to change with, {account} is filled in; empty: own credentials")
    external_id: SecretStr | None = Field(None, description="External id of both roles")
    timeout_seconds: float = Field(20, gt=0, description="Longest wait for one AWS call")


class SlaSettings(_Section):
    """Days from first seen within which a finding of that severity has to be fixed; informational has none."""

    critical: int = Field(7, ge=0, description="Days")
    high: int = Field(30, ge=0, description="Days")
    medium: int = Field(90, ge=0, description="Days")
    low: int = Field(180, ge=0, description="Days")


class AskSettings(_Section):
    """Questions about posture."""

    visibility: Literal["company", "team"] = Field("company", description=(
        "What a member may see: everything, or the findings of the own team and one's own. It governs questions, "
        "lists, numbers, the search, ids that are typed, and buttons outside of the channel where the card stands"
    ))  # fmt: skip
    see_everything: tuple[str, ...] = Field((), description="Roles that see everything where visibility is team")


class SyslogSettings(_Section):
    """Where ledger events go as RFC 5424 messages; off without a host."""

    host: str = Field("", description="Receiver; empty: no syslog")
    port: int = Field(6514, ge=1, le=65535, description="Port of the receiver")
    protocol: Literal["tls", "tcp", "udp"] = Field("tls", description="tls and tcp count octets; udp may lose events")
    ca_file: Path | None = Field(None, description="CA of the receiver's certificate; the system's when unset")
    timeout_seconds: float = Field(10, gt=0, description="Longest wait to connect or to write")


class SplunkSettings(_Section):
    """Where ledger events go over the HTTP Event Collector; off without a URL."""

    url: str = Field("", description="Base URL of the collector, https://host:8088; empty: no Splunk")
    token: SecretStr | None = Field(None, description="Token of the collector")
    index: str = Field("", description="Index; empty: the token's own")
    acknowledge: bool = Field(False, description="Wait until Splunk says it is indexed; the token must have it on")
    ca_file: Path | None = Field(None, description="CA of the collector's certificate; the system's when unset")
    timeout_seconds: float = Field(10, gt=0, description="Longest wait for one answer")


class EvidenceSettings(_Section):
    """Witnesses of the ledger, and its stream to a SIEM."""

    origin: str = Field("gatehouse", pattern=r"^[\w.:/-]{1,100}$", description="Names this ledger in its checkpoints")
    checkpoint_file: Path | None = Field(None, description="Witness file, on a disk that the database's owner cannot "
                                         "write; checkpoints are appended")  # fmt: skip
    checkpoint_channels: tuple[str, ...] = Field((), description="Channels that get each checkpoint: slack:C02SEC")
    checkpoint_minutes: int = Field(60, ge=1, description="Least pause between two; none is made while nothing happens")
    stream_file: Path | None = Field(None, description="Ledger events are appended here as OCSF, one JSON a line")
    syslog: SyslogSettings = Field(default_factory=lambda: SyslogSettings())
    splunk: SplunkSettings = Field(default_factory=lambda: SplunkSettings())


class ModelSettings(_Section):
    """A language model for prose and as a second reader of questions; off without a name. See docs/model.md."""

    name: str = Field("", description="Model (at Azure: the deployment); empty: no model, templates instead of prose")
    base_url: str = Field("https://api.openai.com/v1", description="OpenAI-compatible endpoint; of Azure the resource")
    api: Literal["openai", "azure"] = Field("openai", description="azure: Azure OpenAI's own URLs and key header")
    api_version: str = Field("2024-10-21", description="Of Azure OpenAI")
    api_key: SecretStr | None = Field(None, description="Key of the endpoint; some local servers need none")
    structure: Literal["auto", "json_schema", "json_object", "tool"] = Field(
        "auto", description="How structured answers are asked for; auto: tool at Claude's endpoint, else json_schema"
    )
    output_limit: Literal["max_completion_tokens", "max_tokens"] = Field(
        "max_completion_tokens", description="Name of the limit; older servers know max_tokens"
    )
    max_output_tokens: int = Field(900, ge=100, description="Longest answer")
    tokens_per_day: int = Field(
        200_000, ge=0, description="Budget of a UTC day, input and output; then templates again"
    )
    timeout_seconds: float = Field(45, gt=0, description="Longest wait for one answer")
    retries: int = Field(2, ge=0, le=5, description="Further attempts of one call, where the endpoint says later")
    price_input: float | None = Field(None, ge=0, description="Per million input tokens, for the cost shown")
    price_output: float | None = Field(None, ge=0, description="Per million output tokens")
    currency: str = Field("USD", description="Of the prices")
    narratives: bool = Field(True, description="Prose for causes that have a card, one call per cause")
    questions: bool = Field(True, description="Read questions, too, and compare with the embedded reader")

    @property
    def on(self) -> bool:
        return bool(self.name)


class SourceSettings(_Section):
    """One source to poll. What stands under ``options`` is the connector's own, see docs/sources.md."""

    kind: str = Field(description="Connector: wiz, prisma_cloud, orca, lacework, security_hub, prowler, ocsf …")
    every_minutes: float = Field(10, gt=0, description="Pause between two polls")
    webhook: bool = Field(False, description="Take its webhooks at /webhooks/NAME")
    write_back: bool = Field(False, description="Tell it what was fixed or accepted here (status and note)")
    options: dict[str, Any] = Field({}, repr=False, description="The connector's own, see docs/sources.md")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="GATEHOUSE_", env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=True
    )

    database_url: SecretStr = Field(SecretStr("sqlite:///gatehouse.db"), description="sqlite:///file or postgresql://…")
    host: str = Field("127.0.0.1", description="Address the HTTP server listens on")
    port: int = Field(8080, description="Port the HTTP server listens on (health, Slack in HTTP mode)")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="How much is logged")
    slack_bot_token: SecretStr | None = Field(None, description="xoxb-…")
    slack_app_token: SecretStr | None = Field(None, description="xapp-…, for Socket Mode")
    slack_signing_secret: SecretStr | None = Field(None, description="For HTTP mode")
    slack: SlackSettings = Field(default_factory=lambda: SlackSettings())
    teams_app_password: SecretStr | None = Field(None, description="Client secret of the Teams bot, for SingleTenant")
    teams: TeamsSettings = Field(default_factory=lambda: TeamsSettings())
    aws: AwsSettings = Field(default_factory=lambda: AwsSettings())
    sources: dict[str, SourceSettings] = Field({}, description="Name to source")
    routing: RoutingSettings = Field(default_factory=lambda: RoutingSettings())
    environments: EnvironmentSettings = Field(default_factory=lambda: EnvironmentSettings())
    triage: TriageSettings = Field(default_factory=lambda: TriageSettings())
    enrichment: EnrichmentSettings = Field(default_factory=lambda: EnrichmentSettings())
    suppression: SuppressionSettings = Field(default_factory=lambda: SuppressionSettings())
    attention: AttentionSettings = Field(default_factory=lambda: AttentionSettings())
    causes: CauseSettings = Field(default_factory=lambda: CauseSettings())
    governance: GovernanceSettings = Field(default_factory=lambda: GovernanceSettings())
    evidence: EvidenceSettings = Field(default_factory=lambda: EvidenceSettings())
    sla: SlaSettings = Field(default_factory=lambda: SlaSettings())
    ask: AskSettings = Field(default_factory=lambda: AskSettings())
    model: ModelSettings = Field(default_factory=lambda: ModelSettings())
    people: dict[str, PersonSettings] = Field({}, description="Principal id to person")
    groups: dict[str, GroupSettings] = Field({}, description="Group id to group")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings  # the environment wins over the file


def load_settings(path: Path | None = None) -> Settings:
    """Read ``gatehouse.yml`` (or GATEHOUSE_CONFIG, or ``path``) and the environment. Raises ``SettingsError``."""
    named = path or (Path(os.environ[CONFIG_ENV]) if os.environ.get(CONFIG_ENV) else None)
    file = named or Path(DEFAULT_CONFIG)
    data: Any = {}
    if file.exists():
        try:
            data = yaml.safe_load(file.read_text("utf-8")) or {}
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise SettingsError(f"{file} is not valid YAML: {error}", mend="Mend the file and try again.") from error
        if not isinstance(data, dict):
            raise SettingsError(f"{file} must hold a mapping of settings", mend="See gatehouse.example.yml.")
    elif named is not None:
        raise SettingsError(f"{file} does not exist", mend=f"Create it or unset {CONFIG_ENV}.")
    unknown_env = _unknown_environment()
    if unknown_env:
        raise SettingsError(unknown_env, mend="See docs/settings.md for every setting.")
    try:
        return Settings(**data)
    except ValidationError as error:
        raise SettingsError(_explain(error, file), mend="See docs/settings.md for every setting.") from error


def _unknown_environment() -> str:
    known = {f"GATEHOUSE_{name.upper()}" for name in Settings.model_fields} | {CONFIG_ENV, PROWLER_ENV, MODEL_CALLS_ENV}
    for name in sorted(os.environ):
        if name.startswith("GATEHOUSE_") and name.split("__")[0] not in known:
            close = get_close_matches(name, known, 1)
            return f"unknown environment variable {name}" + (f"; did you mean {close[0]}?" if close else "")
    return ""


def _explain(error: ValidationError, file: Path) -> str:
    lines = []
    for item in error.errors():
        place = ".".join(str(part) for part in item["loc"])
        said = item["msg"]
        if item["type"] == "extra_forbidden":
            said = "unknown setting"
            close = get_close_matches(str(item["loc"][-1]), _fields_at(item["loc"][:-1]), 1)
            if close:
                said += f", did you mean {close[0]!r}?"
        lines.append(f"{place}: {said}")
    return f"settings ({file} and environment): " + "; ".join(lines)


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    model: Any = Settings
    for part in location:
        if isinstance(model, type) and issubclass(model, BaseModel) and str(part) in model.model_fields:
            model = _model_in(model.model_fields[str(part)].annotation)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _model_in(arg)) and _is_model(found)), None)


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)
