"""Splunk: ledger events to the HTTP Event Collector."""

from .hec import HecSink

__all__ = ["HecSink"]
