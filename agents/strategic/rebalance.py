"""Return an account to its target holdings through the outside market.

Strategic agents who trade on chain end a block with too much of what they seized or bought. They
sell the excess for cash, and refill what is short, as off-chain rows.
"""

from sim.actions import Verb
from sim.kernel import F64, Rows, kernel

SWAP = int(Verb.SWAP)


@kernel
def rebalance(
    balances: F64, market: F64, account: int, venue: int, cash: int, target: F64,
    threshold_usd: float, most_usd: float, arrival: float, step: int, rows: Rows,
) -> int:  # fmt: skip
    """Write the swaps that close the gap between holdings and targets; return their number.

    Parameters
    ----------
    balances : array (world, account, asset)
    market : array (world, asset)
        Mid prices, USD.
    account, venue, cash : int
        Who trades, where, and the asset that everything else is traded against.
    target : array (asset,)
        Wanted holdings, whole tokens; the cash asset has none.
    threshold_usd : float
        Smaller gaps are left alone.
    most_usd : float
        Largest trade per asset and block.
    arrival : float
        Seconds after the block opens.
    step : int
    rows : structured array
        Room for one row per world and asset.
    """
    n = 0
    for w in range(market.shape[0]):
        for a in range(market.shape[1]):
            gap = balances[w, account, a] - target[a]
            usd = gap * market[w, a]
            if a == cash or abs(usd) <= threshold_usd:
                continue
            row = rows[n]
            if gap > 0.0:
                row["asset"] = a
                row["asset_2"] = cash
                row["amount"] = min(usd, most_usd) / market[w, a]
            else:
                spend = min(min(-usd, most_usd) / market[w, cash], balances[w, account, cash])
                if spend * market[w, cash] <= threshold_usd:
                    continue
                row["asset"] = cash
                row["asset_2"] = a
                row["amount"] = spend
            n += 1
            row["world"] = w
            row["venue"] = venue
            row["verb"] = SWAP
            row["account"] = account
            row["arrival"] = arrival
            row["expires"] = step
            row["step"] = step
    return n
