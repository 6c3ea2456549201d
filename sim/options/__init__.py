"""Options: prices, Greeks, implied volatility, coin settlement, surfaces."""
