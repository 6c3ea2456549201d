"""Maker: vaults, and the English (Flip) and Dutch (Clip) auctions that liquidate them."""
