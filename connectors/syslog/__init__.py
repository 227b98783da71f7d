"""Syslog: ledger events as RFC 5424 messages."""

from .sender import SyslogSink

__all__ = ["SyslogSink"]
