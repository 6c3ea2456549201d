"""Automated market makers."""
