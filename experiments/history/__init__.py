"""Past events replayed with the parameters and prices of their day, beside what is documented."""
