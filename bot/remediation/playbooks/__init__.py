"""Playbooks: one module a service; pure except for ``inspect``, which only reads."""
