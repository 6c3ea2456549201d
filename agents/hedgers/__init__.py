"""Hedgers: what is held against options that were sold, from classical rules to learned policies."""
