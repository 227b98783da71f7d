"""Prisma Cloud (Palo Alto Networks): alerts of the platform, vulnerabilities, Compute (Twistlock)."""

from datetime import UTC, datetime
from typing import Any

from bot.ports import Poller, WebhookReader, WriteBack
from bot.settings import Settings
from connectors.options import described, parse
from connectors.prisma_cloud.alerts import SOURCE
from connectors.prisma_cloud.client import ComputeApi, PrismaApi, compute_http, http_of
from connectors.prisma_cloud.files import read
from connectors.prisma_cloud.mapping import PrismaCloudMapper
from connectors.prisma_cloud.options import PrismaOptions
from connectors.prisma_cloud.poller import PrismaPoller, look
from connectors.prisma_cloud.webhook import PrismaWebhook
from connectors.prisma_cloud.write_back import PrismaWriteBack
from connectors.registry import Connector


def _compute(options: PrismaOptions) -> ComputeApi | None:
    return ComputeApi(compute_http(options), options.compute_version) if options.compute_url else None


def _poller(settings: Settings, options: dict[str, Any]) -> Poller:
    parsed = parse(SOURCE, PrismaOptions, options)
    return PrismaPoller(PrismaApi(http_of(parsed)), parsed, _compute(parsed))


def _write_back(settings: Settings, options: dict[str, Any]) -> WriteBack:
    parsed = parse(SOURCE, PrismaOptions, options)
    return PrismaWriteBack(PrismaApi(http_of(parsed)), parsed.fixed_snooze_hours)


def _webhook(settings: Settings, options: dict[str, Any]) -> WebhookReader:
    parsed = parse(SOURCE, PrismaOptions, options)
    return PrismaWebhook(PrismaApi(http_of(parsed)), parsed)


async def _check(settings: Settings, options: dict[str, Any]) -> str:
    parsed = parse(SOURCE, PrismaOptions, options)
    api, compute = PrismaApi(http_of(parsed)), _compute(parsed)
    try:
        return await look(api, parsed, compute, datetime.now(UTC))
    finally:
        await api.close()
        if compute is not None:
            await compute.close()


MANIFEST = Connector(
    name=SOURCE,
    title="Prisma Cloud",
    capabilities=frozenset({"file", "poll", "webhook", "write_back"}),
    mapper=PrismaCloudMapper,
    read=read,
    poller=_poller,
    check=_check,
    options=described(PrismaOptions),
    webhook=_webhook,
    write_back=_write_back,
    unverified=(
        "which header the auth token of a webhook integration comes in; a custom header of our own is used first",
        "the exact version of the webhook's default body; two are read",
        "whether a snoozed alert resolves by a scan before its time (option fixed_snooze_hours)",
        "that Compute answers under /api/v1 whatever its version, and sends Total-Count on every list",
        "the scale of completeEpssScore (a fraction, as the export has it)",
        "the wording of the error for a page token that is no longer good: any 400 starts the window again, once",
        "five severities: the OpenAPI document's enum has three, the list of filters five",
    ),
)
