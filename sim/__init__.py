"""What exists whether or not anyone acts: prices, venues, oracles, block space, the ledger."""
