"""Hedging: training of policies, and their judgement beside every classical hedge."""
