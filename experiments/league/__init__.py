"""One loan book under every liquidation mechanism, on the same worlds: the league table."""
