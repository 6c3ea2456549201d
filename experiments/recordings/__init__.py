"""Recordings of real exchanges: LOBSTER, Binance and Bitstamp, read into arrays."""
