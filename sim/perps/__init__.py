"""Perpetual futures: enough of them to hedge with."""
