"""ServiceNow: the CMDB's configuration items, for who owns what."""

from .cmdb import CmdbReader

__all__ = ["CmdbReader"]
