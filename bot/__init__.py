"""Gatehouse's engine: knows no chat platform and no vendor. See docs/architecture.md for the rooms."""

__version__ = "0.1.0"
