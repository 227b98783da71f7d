"""Options of a Lacework source."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from bot.domain.errors import SettingsError
from connectors.options import Options

Grade = Literal["critical", "high", "medium", "low", "info"]
Cloud = Literal["aws", "azure", "gcp"]
DATASETS = {"aws": "AwsCompliance", "azure": "AzureCompliance", "gcp": "GcpCompliance"}


class LaceworkOptions(Options):
    account: str = Field(
        min_length=1,
        description="The part before .lacework.net in the console's address (acme, acme.fra), the whole host, or a URL",
    )
    key_id: str = Field(min_length=1, description="Key id of the API key of a service user")
    secret: SecretStr = Field(description="Secret of the API key")
    subaccount: str = Field("", description="Sub-account to read, sent as Account-Name")
    org: bool = Field(False, description="Read at the level of the organisation (Org-Access)")
    token_seconds: Annotated[int, Field(ge=300, le=86400)] = Field(
        3600, description="How long an access token is asked for"
    )
    backfill_days: Annotated[float, Field(gt=0, le=92)] = Field(
        30, description="How far back the first read of alerts goes; Lacework keeps 92 days"
    )
    overlap_hours: Annotated[float, Field(ge=1, le=168)] = Field(
        24, description="How far a window of alerts reaches back into the one before"
    )
    sweep_hours: Annotated[float, Field(ge=1)] = Field(
        6, description="How often older alerts are asked whether somebody closed them"
    )
    details: tuple[Grade, ...] = Field(
        ("critical", "high"), description="Severities of alerts whose details (the resource) are read, a request each"
    )
    compliance: tuple[Cloud, ...] = Field(
        ("aws", "azure", "gcp"), description="Clouds whose compliance evaluations are read"
    )
    compliance_hours: Annotated[float, Field(ge=1)] = Field(
        24, description="How often; Lacework evaluates an account once a day"
    )
    hosts: bool = Field(True, description="Read vulnerabilities of hosts")
    containers: bool = Field(True, description="Read vulnerabilities of container images")
    vulnerability_hours: Annotated[float, Field(ge=1)] = Field(24, description="How often vulnerabilities are read")
    vulnerability_severities: tuple[Grade, ...] = Field(
        ("critical", "high"), description="Which ones; what is no longer rated so counts as gone from a host"
    )
    requests_per_hour: Annotated[int, Field(ge=10, le=480)] = Field(
        480, description="Budget; Lacework allows 480 an hour"
    )
    close_alerts: bool = Field(
        True,
        description="Close an alert when it is fixed or dismissed (Lacework cannot reopen one); false: comment only",
    )
    webhook_secret: SecretStr | None = Field(
        None, description="Secret that a webhook delivery must carry; without it all are refused"
    )
    webhook_header: str = Field(
        "X-Gatehouse-Token", description="Header with that secret, set by the proxy; Authorization is understood too"
    )

    @field_validator("account")
    @classmethod
    def _known_host(cls, value: str) -> str:
        base_of(value)
        return value.strip()

    @property
    def base(self) -> str:
        return base_of(self.account)

    @property
    def host(self) -> str:
        return urlsplit(self.base).netloc

    @property
    def tenant(self) -> str:
        """What tells one reading from another: host, sub-account."""
        return "/".join(part for part in (self.host, self.subaccount or ("org" if self.org else "")) if part)


def base_of(account: str) -> str:
    """``acme`` -> ``https://acme.lacework.net``."""
    said = account.strip().rstrip("/")
    if "://" in said:
        return said
    if not said or any(c in said for c in " /?#@:"):
        raise ValueError("not a name such as acme or acme.lacework.net")
    return f"https://{said}" if said.endswith((".lacework.net", ".lacework.com")) else f"https://{said}.lacework.net"


def words(grades: tuple[str, ...]) -> list[str]:
    """As the API spells severities."""
    return [grade.capitalize() for grade in grades]


def need_secret(secret: SecretStr) -> str:
    said = secret.get_secret_value()
    if not said:
        raise SettingsError("option secret is empty", mend="Set it in the environment.")
    return said
