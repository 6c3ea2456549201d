"""Stylised facts of a market, read from a record of its trades, quotes and depth."""

from sim.metrics.market_record import RECORD_FIELDS, MarketRecord, Metaorders

__all__ = ["RECORD_FIELDS", "MarketRecord", "Metaorders"]
