"""Exogenous prices: what the assets would cost without the trades of this simulation."""
