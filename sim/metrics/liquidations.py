"""What liquidations moved, in USD: one compact record each, and running sums per world."""

from typing import NamedTuple

import numpy as np

from sim.actions import Verb
from sim.kernel import F64, Bool, Rows, kernel
from sim.state import Arena

_LIQUIDATE = int(Verb.LIQUIDATE)

AMOUNTS = (
    "debt_repaid",  # whole tokens
    "collateral_seized",  # whole tokens, by the liquidator
    "protocol_fee",  # whole tokens of collateral
    "bad_debt_usd",
    "debt_repaid_usd",  # at the market prices at which the block opened, as all that follow
    "collateral_seized_usd",
    "gas_fee_usd",
)
PRICED = np.dtype(
    [
        ("world", np.int32),  # local index
        ("step", np.int32),
        ("seq", np.int32),
        ("account", np.int32),
        ("position", np.int32),
        ("asset", np.int16),
        ("asset_2", np.int16),
        *((name, np.float64) for name in AMOUNTS),
    ],
    align=True,
)


class Totals(NamedTuple):
    """Sums since the start, shape (world,) but for `touched`."""

    debt_repaid_usd: F64
    collateral_seized_usd: F64  # by the liquidators
    protocol_fee_usd: F64
    n: F64  # liquidations
    n_positions: F64  # positions liquidated at least once
    touched: Bool  # (world, position) whether it was


def new_totals(n_worlds: int, n_positions: int) -> Totals:
    """Allocate zeros."""
    arena = Arena(n_worlds, dict.fromkeys(Totals._fields[:-1], ()))
    return Totals(**arena.views, touched=np.zeros((n_worlds, n_positions), np.bool_))


@kernel
def price_liquidations(rows: Rows, prices: F64, gas_asset: int, totals: Totals, out: Rows) -> int:
    """Price the liquidations that happened; return their number.

    Parameters
    ----------
    rows : structured array
        Executed rows of any kind.
    prices : array (world, asset)
        USD.
    gas_asset : int
    totals : Totals
        Raised.
    out : records of PRICED
        Room for all rows.
    """
    n = 0
    for i in range(rows.shape[0]):
        row = rows[i]
        if row["verb"] != _LIQUIDATE or row["code"] != 0:
            continue
        w, p, c, d = row["world"], row["target"], row["asset"], row["asset_2"]
        priced = out[n]
        n += 1
        priced["world"] = w
        priced["step"] = row["step"]
        priced["seq"] = row["seq"]
        priced["account"] = row["account"]
        priced["position"] = p
        priced["asset"] = c
        priced["asset_2"] = d
        priced["debt_repaid"] = row["r0"]
        priced["collateral_seized"] = row["r1"]
        priced["protocol_fee"] = row["r2"]
        priced["bad_debt_usd"] = row["r3"]
        priced["debt_repaid_usd"] = row["r0"] * prices[w, d]
        priced["collateral_seized_usd"] = row["r1"] * prices[w, c]
        priced["gas_fee_usd"] = row["fee"] * prices[w, gas_asset]
        totals.debt_repaid_usd[w] += priced["debt_repaid_usd"]
        totals.collateral_seized_usd[w] += priced["collateral_seized_usd"]
        totals.protocol_fee_usd[w] += row["r2"] * prices[w, c]
        totals.n[w] += 1.0
        if not totals.touched[w, p]:
            totals.touched[w, p] = True
            totals.n_positions[w] += 1.0
    return n
