"""Scenarios: what befalls a world from outside."""
