"""The command line. Heavy imports stand inside the commands: ``gatehouse --help`` answers at once."""
