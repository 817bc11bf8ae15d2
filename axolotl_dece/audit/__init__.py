"""Which rows the loss held back: a ledger kept while training, clusters found in it, decisions made on them."""
