"""Options of a Security Hub source."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, SecretStr

from connectors.options import Options, described, parse

Number = Annotated[float, Field(ge=0, strict=False, allow_inf_nan=False)]


class SecurityHubOptions(Options):
    region: str = Field(
        "", description="The aggregation (home) Region, default aws.region; other Regions show only their own findings"
    )
    account: str = Field("", description="The account to read in, for aws.read_role with {account}")
    endpoint_url: str = Field(
        "", description="Address of Security Hub where it is another than AWS's own: a VPC endpoint, a simulator"
    )
    backfill_days: Number = Field(
        100, description="How far back the first and the daily full read go; Security Hub keeps 90"
    )
    overlap_minutes: Number = Field(15, description="How far a window reaches back into the one before")
    workflow_minutes: Number = Field(60, description="How often suppressed and resolved findings are asked for")
    full_hours: Number = Field(24, description="How often everything is read")
    webhook_header: str = Field(
        "X-Gatehouse-Token", description="The header of EventBridge's connection with the secret"
    )
    webhook_secret: SecretStr | None = Field(
        None, description="The secret in that header; without it events are refused"
    )


OPTIONS = described(SecurityHubOptions)


def options_of(options: dict[str, Any]) -> SecurityHubOptions:
    return parse("security_hub", SecurityHubOptions, options)
