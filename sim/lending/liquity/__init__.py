"""Liquity v1: troves at 110%, a stability pool, redistribution, recovery mode, redemptions."""
