"""Arbitrageurs pull constant-product pools and the outside market together."""

from typing import Any, NamedTuple

from agents.strategic.trader import Trader, gas_bid
from agents.view import PoolBoard, View
from sim.actions import Verb
from sim.amm.constant_product import amount_out, profit_maximising_input
from sim.kernel import F64, Rows, kernel

SWAP = int(Verb.SWAP)


class Terms(NamedTuple):
    """Scalars of the decision."""

    account: int
    gas: float
    gas_cap: float
    bid_share: float
    min_profit_usd: float
    margin: float  # outside cost of closing the position, fraction
    latency: float
    gas_asset: int
    step: int


@kernel
def decide(
    pools: PoolBoard, balances: F64, market: F64, base_fee: F64, clearing: F64, terms: Terms,
    rows: Rows,
) -> int:  # fmt: skip
    """Write one swap per pool whose price is far enough from the outside mid; return the number.

    The amount maximises profit at outside mids less the margin, within what the account holds.
    """
    n = 0
    for w in range(market.shape[0]):
        for k in range(pools.assets.shape[0]):
            for side in range(2):
                a, b = pools.assets[k, side], pools.assets[k, 1 - side]
                reserve_in, reserve_out = pools.reserves[w, k, side], pools.reserves[w, k, 1 - side]
                cost = market[w, a] * (1.0 + terms.margin)
                value = market[w, b] * (1.0 - terms.margin)
                amount = profit_maximising_input(
                    reserve_in, reserve_out, pools.fees[k], cost / value
                )
                if amount <= 0.0:
                    continue
                held = balances[w, terms.account, a]
                if a == terms.gas_asset:
                    held *= 0.9
                amount = min(amount, held)
                out = amount_out(amount, reserve_in, reserve_out, pools.fees[k])
                surplus = out * value - amount * cost
                if surplus <= terms.min_profit_usd:
                    continue
                gas_usd = market[w, terms.gas_asset]
                bid = gas_bid(
                    surplus, terms.bid_share, clearing[w], base_fee[w], terms.gas_cap, terms.gas,
                    gas_usd,
                )  # fmt: skip
                fee = terms.gas * bid * 1e-9 * gas_usd
                if surplus - fee < terms.min_profit_usd or bid < base_fee[w]:
                    continue
                row = rows[n]
                n += 1
                row["world"] = w
                row["venue"] = pools.venues[k]
                row["verb"] = SWAP
                row["account"] = terms.account
                row["asset"] = a
                row["asset_2"] = b
                row["amount"] = amount
                row["limit"] = (amount * cost + fee) / value
                row["arrival"] = terms.latency
                row["tip"] = bid - base_fee[w]
                row["fee_cap"] = bid
                row["gas"] = terms.gas
                row["expires"] = terms.step
                row["step"] = terms.step
    return n


class Arbitrageur(Trader):
    """A trader limited by capital and gas who buys where it is cheap and closes outside.

    Parameters
    ----------
    gas : float
        Units of gas per swap.
    margin_bps : float
        Outside cost of closing, spread and impact, basis points per side.
    **terms
        See `Trader`.
    """

    def __init__(self, *, gas: float = 150_000.0, margin_bps: float = 5.0, **terms: Any) -> None:
        super().__init__(**terms)
        self.gas, self.margin = float(gas), margin_bps / 1e4

    def decide(self, view: View) -> Rows:
        """Write swaps on the pools, and exits outside."""
        pools = view.pools()
        terms = Terms(
            self.account, self.gas, self.gas_cap, self.bid_share, self.min_profit_usd, self.margin,
            self.latency_seconds, view.gas_asset, view.step,
        )  # fmt: skip
        n = decide(
            pools, view.balances, view.market_price, view.base_fee, view.clearing, terms,
            self.buffer.room(view.n_worlds * pools.assets.shape[0] * 2),
        )  # fmt: skip
        return self.rows_and_exits(n, view)
