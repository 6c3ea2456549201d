"""Markets beyond the chain where collateral is sold."""
