"""The options of the source ``orca``."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from connectors.options import Options

SEVERITIES = ("critical", "high", "medium", "low", "informational")


class OrcaOptions(Options):
    url: str = Field(
        "https://api.orcasecurity.io", description="Your region's API, such as https://app.eu.orcasecurity.io"
    )
    app_url: str = Field("https://app.orcasecurity.io", description="Your region's console, for links")
    token: SecretStr = Field(description="API token (Settings, Users and permissions, API)")
    api: Literal["serving_layer", "query"] = Field(
        "serving_layer", description="serving_layer (current) or query (the older /api/query/alerts)"
    )
    changed_field: Literal["LastUpdated", "last_sync", "CreatedAt"] = Field(
        "LastUpdated", description="The serving layer's field that tells what has changed"
    )
    severities: tuple[str, ...] = Field((), description="Risk levels to read, such as critical, high; default all")
    vulnerabilities: tuple[str, ...] = Field(
        (),
        description="CVSS severities of which every CVE on every asset is read daily, such as critical; default none",
    )
    backfill_days: float = Field(
        0,
        ge=0,
        description="Read only alerts made in so many days; 0 is all. With a bound, absence resolves nothing",
    )
    overlap_minutes: float = Field(20, ge=0, description="How far a window reaches back into the one before")
    full_hours: float = Field(24, gt=0, description="How often all open alerts are read, to see what is gone")
    page_size: int = Field(100, ge=1, le=1000, description="Objects a call")
    per_second: float = Field(1.0, gt=0, le=20, description="Calls a second; Orca publishes no limit")
    webhook_header: str = Field("X-Gatehouse-Token", description="The custom header of Orca's webhook with the secret")
    webhook_secret: SecretStr | None = Field(
        None, description="The secret in that header; without it webhooks are refused"
    )

    @field_validator("severities", "vulnerabilities", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        words = value.split(",") if isinstance(value, str) else value
        if not isinstance(words, (list, tuple)):
            return words
        found = tuple(str(word).strip().lower() for word in words if str(word).strip())
        unknown = [word for word in found if word not in SEVERITIES]
        if unknown:
            raise ValueError(f"{unknown[0]} is no severity; there are: {', '.join(SEVERITIES)}")
        return found

    @field_validator("app_url")
    @classmethod
    def _https(cls, value: str) -> str:
        parts = urlsplit(value.strip())
        if parts.scheme != "https" or not parts.hostname:
            raise ValueError("must begin with https://")
        return value.strip().rstrip("/")
