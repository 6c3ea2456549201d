"""Hedgers: what is held against options that were sold, by classical rules or learned policies."""
