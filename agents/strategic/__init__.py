"""Agents who optimise: liquidators and arbitrageurs."""
