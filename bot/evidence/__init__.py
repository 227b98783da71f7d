"""Evidence: witnesses of the ledger, packs that prove records of it, and its stream to a SIEM."""
