"""Oracles: what venues believe that prices are."""
