"""AWS Security Hub: findings in ASFF (and OCSF of the new Security Hub), polled or from files and events."""

from collections.abc import Iterator
from typing import Any, BinaryIO

from pydantic import SecretStr

from bot.ports import Attribution, Page, WebhookReader, WriteBack
from bot.settings import Settings
from connectors.reading import read as read_objects
from connectors.registry import Connector
from connectors.security_hub.envelopes import understand
from connectors.security_hub.mapping import SecurityHubMapper, decided
from connectors.security_hub.options import OPTIONS, SecurityHubOptions, options_of
from connectors.security_hub.poller import aws_of, check, make_poller
from connectors.security_hub.webhook import SecurityHubWebhook
from connectors.security_hub.write_back import WRITES, SecurityHubWriteBack


def read(stream: BinaryIO, name: str = "") -> Iterator[Page]:
    """``aws securityhub get-findings`` output, EventBridge events, ASFF arrays or lines, and SIEMs around them."""
    found = read_objects(stream, name, understand, vendor="Security Hub", wrappers=("Findings", "findings"))
    return (decided(page) for page in found)


def _write_back(settings: Settings, options: dict[str, Any]) -> WriteBack:
    from connectors.aws import AwsClouds

    given = options_of(options)
    clouds = AwsClouds(aws_of(settings, given), write_operations=WRITES)
    return SecurityHubWriteBack(
        clouds.writer(Attribution()), clouds.reader(Attribution()), **_place(settings, given), done=clouds.close
    )


def _webhook(settings: Settings, options: dict[str, Any]) -> WebhookReader:
    from connectors.aws import AwsClouds

    given = options_of(options)
    clouds = AwsClouds(aws_of(settings, given))
    return SecurityHubWebhook(
        clouds.reader(Attribution()), secret=given.webhook_secret or SecretStr(""), header=given.webhook_header,
        **_place(settings, given), done=clouds.close,
    )  # fmt: skip


def _place(settings: Settings, given: SecurityHubOptions) -> dict[str, str]:
    return {"region": given.region or settings.aws.region, "account": given.account}


MANIFEST = Connector(
    name="security_hub",
    title="AWS Security Hub",
    capabilities=frozenset({"file", "poll", "webhook", "write_back"}),
    mapper=SecurityHubMapper,
    read=read,
    poller=make_poller,
    check=check,
    options=OPTIONS,
    webhook=_webhook,
    write_back=_write_back,
    unverified=(
        "whether EventBridge sends an event after BatchUpdateFindings",
        "that a control finding that fails again is set back to NEW by Security Hub",
    ),
)
