"""Who acts: populations and strategic agents over a simulated world."""
