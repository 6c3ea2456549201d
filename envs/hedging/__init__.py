"""Hedging options: a vector environment, its single environment, and what they are made of."""
