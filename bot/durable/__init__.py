"""Durable execution on DBOS: who is alive, what was begun, and who goes on with it (docs/reliability.md)."""
