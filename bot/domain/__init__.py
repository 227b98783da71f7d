"""Plain types and pure rules. Imports nothing else of ours, does no I/O, reads no clock."""
