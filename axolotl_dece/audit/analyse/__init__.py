"""What is read out of the ledger of a finished run."""
