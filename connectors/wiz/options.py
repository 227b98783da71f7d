"""The options of a Wiz source."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from connectors.options import Options

Kind = Literal["issues", "configuration", "vulnerabilities", "detections"]
Level = Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "NONE"]


class WizOptions(Options):
    api_url: str = Field(
        description="The API endpoint URL of the user profile, https://api.<region>.app.wiz.io/graphql"
    )
    client_id: str = Field(description="Client ID of a service account of type Custom Integration (GraphQL API)")
    client_secret: SecretStr = Field(description="Its client secret")
    auth_url: str = Field(
        "https://auth.app.wiz.io/oauth/token",
        description="Where tokens come from; auth.app.wiz.us for FedRAMP, auth.gov.wiz.io for GovCloud, "
        "auth.wiz.io for old tenants",
    )
    audience: str = Field("", description="wiz-api, or beyond-api for old tenants; empty: told by the host of auth_url")
    kinds: tuple[Kind, ...] = Field(
        ("issues", "configuration", "vulnerabilities"),
        description="What is read; detections are left out because their threats come as issues",
    )
    severities: tuple[Level, ...] = Field((), description="Issues and configuration findings of these only; empty: all")
    vulnerability_severities: tuple[Level, ...] = Field(
        ("CRITICAL", "HIGH"), description="Vulnerabilities of these only; empty: all"
    )
    exploitable_only: bool = Field(True, description="Only vulnerabilities with a known exploit")
    project: str = Field("", description="Only this project (its id); then nothing is resolved for being absent")
    project_owners: bool = Field(
        False,
        description="Also read owners and security champions of projects; needs the right to see users",
    )
    page_size: int = Field(500, ge=1, le=500, description="Objects of one answer")
    per_second: float = Field(3.0, gt=0, le=20, description="Calls a second")
    overlap_minutes: float = Field(15, ge=1, description="How far a window reaches back into the one before")
    full_hours: float = Field(24, gt=0, description="How often everything open is read")
    backfill_days: float = Field(
        0, ge=0, description="At the first run also what changed in these days and is closed by now"
    )
    source_rules: bool = Field(
        False, description="Ask for sourceRules at once; a tenant without sourceRule is noticed anyway"
    )
    threat_resolution: Literal[
        "",
        "MALICIOUS_THREAT",
        "NOT_MALICIOUS_THREAT",
        "SECURITY_TEST_THREAT",
        "PLANNED_ACTION_THREAT",
        "INCONCLUSIVE_THREAT",
    ] = Field("", description="With what reason a fixed threat is resolved in Wiz; empty: it is only noted")
    webhook_token: SecretStr | None = Field(None, description="Bearer token (or webhook_header's value) of the webhook")
    webhook_header: str = Field("Authorization", description="The header that carries webhook_token")
    webhook_user: str = Field("", description="User of the webhook's HTTP basic authentication")
    webhook_password: SecretStr | None = Field(None, description="Its password")

    @field_validator("api_url")
    @classmethod
    def _with_path(cls, value: str) -> str:
        return value.rstrip("/") + ("/graphql" if urlsplit(value).path in ("", "/") else "")

    @property
    def audience_said(self) -> str:
        if self.audience:
            return self.audience
        host = urlsplit(self.auth_url).hostname or ""
        old = host == "auth.wiz.io" or host.startswith("auth0.")
        return "beyond-api" if old else "wiz-api"
