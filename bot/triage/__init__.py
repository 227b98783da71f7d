"""Triage: decision tables as data (``tables/*.yml``), their inputs as pure functions, the verdict with its evidence."""
