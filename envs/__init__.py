"""Gymnasium environments over a market model."""
