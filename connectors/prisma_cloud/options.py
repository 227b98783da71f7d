"""Options of a Prisma Cloud source."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from connectors.options import Options

Word = Literal["critical", "high", "medium", "low", "informational"]
List_ = Literal["images", "hosts", "registry", "serverless", "containers"]


class PrismaOptions(Options):
    url: str = Field(
        "https://api.prismacloud.io", description="Your stack's API, such as https://api2.eu.prismacloud.io"
    )
    console_url: str = Field("", description="Your stack's console, for links; empty: the API's name with app for api")
    access_key: SecretStr = Field(description="Access key ID (Settings, Access Control, Access Keys)")
    secret_key: SecretStr = Field(description="Its secret key")
    customer: str = Field("", description="Tenant's name, where the user sees several")
    prisma_id: str = Field("", description="Tenant's id, instead of its name")
    page_size: int = Field(500, ge=1, le=10_000, description="Alerts a page; a detailed one may have 70 KB")
    detailed: bool = Field(
        True, description="Ask for alerts with their policies; false: policies are read apart and kept for hours"
    )
    overlap_minutes: float = Field(20, ge=0, description="How far a window reaches back into the one before")
    full_hours: float = Field(24, gt=0, description="How often all alerts that are not resolved are read")
    backfill_days: float = Field(
        0, ge=0, description="Full readings only of alerts opened in so many days; 0: all. With it nothing vanishes"
    )
    severities: tuple[Word, ...] = Field((), description="Only policies of these severities; with it nothing vanishes")
    account_groups: tuple[str, ...] = Field((), description="Only these account groups; with it nothing vanishes")
    vulnerability_query: str = Field(
        "",
        description="RQL of the vulnerability export (vulnerability where severity IN ('critical')); empty: off",
    )
    vulnerability_hours: float = Field(24, gt=0, description="How often that export is read")
    compute_url: str = Field("", description="Compute console (Runtime Security, System, Utilities: Path to Console)")
    compute_version: str = Field(
        "v1", description="Version in Compute's paths, such as v34.00; v1 is the console's own"
    )
    compute_lists: tuple[List_, ...] = Field(("images", "hosts"), description="What of Compute is read")
    compute_hours: float = Field(24, gt=0, description="How often Compute is read")
    compute_severities: tuple[Word, ...] = Field(
        ("critical", "high"), description="Vulnerabilities and failed checks of Compute that are kept"
    )
    fixed_snooze_hours: int = Field(
        0,
        ge=0,
        description="Tell Prisma of a fix by a snooze of so many hours with a note; 0: it finds out by its scan",
    )
    webhook_secret: SecretStr | None = Field(None, description="Secret that the webhook integration sends")
    webhook_header: str = Field("X-Gatehouse-Secret", description="Its header; the integration's auth token counts too")

    @property
    def console(self) -> str:
        return self.console_url.rstrip("/") or self.url.replace("://api", "://app", 1).rstrip("/")

    @property
    def narrowed(self) -> bool:
        """A reading that leaves something out: absence says nothing."""
        return bool(self.severities or self.account_groups or self.backfill_days)
