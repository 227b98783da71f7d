"""Prisma Cloud (Palo Alto Networks): alerts of the platform, vulnerabilities, Compute (Twistlock)."""

from connectors.prisma_cloud.files import read
from connectors.prisma_cloud.mapping import PrismaCloudMapper
from connectors.registry import Connector

MANIFEST = Connector(
    name="prisma_cloud",
    title="Prisma Cloud",
    capabilities=frozenset({"file"}),
    mapper=PrismaCloudMapper,
    read=read,
)
