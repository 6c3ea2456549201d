"""The recorded sample of Aave v2's users: a book of it, and how healthy its borrowers were.

The table holds 50 users, of whom 28 had used the protocol by 18 May 2021: five of them owe more
than 100 USD on that day, and eleven did on some day before. Balances are sums of flows: a negative
one was withdrawn with its interest, and is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.populations.book import BookSource, LoanBook
from experiments.tables import locate
from sim.errors import InputError
from sim.kernel import F64

if TYPE_CHECKING:
    import pandas as pd

USERS = "aave_v2_users_daily_sample"
STABLE = ("USDC", "USDT", "DAI", "BUSD", "TUSD", "GUSD", "SUSD")
HOURLY = dict.fromkeys(("WETH", "WBTC", "LINK"), "ohlcv_1h_spot_binance")
QUARTILES = 1.3489795  # distance of a normal law's quartiles, standard deviations


def balances(rows: "pd.DataFrame", assets: Sequence[str], stand_in: Mapping[str, str]) -> F64:
    """Tokens supplied and owed, (2, row, asset); debts in `stand_in` count as another asset."""
    held = np.zeros((2, len(rows), len(assets)))
    for side, ending in enumerate(("_deposited", "_borrowed")):
        for name in rows.columns:
            if not str(name).endswith(ending):
                continue
            asset = str(name).removesuffix(ending)
            if side == 1:  # as supply most of them were no collateral
                asset = stand_in.get(asset, asset)
            if asset in assets:
                values = rows[name].fillna(0.0).to_numpy()
                held[side, :, list(assets).index(asset)] += np.maximum(values, 0.0)
    return held


def daily_prices(data: str, assets: Sequence[str], days: "pd.Series[Any]") -> F64:
    """USD of each asset at midnight of each day (day, asset), from hourly bars."""
    import pandas as pd

    out = np.ones((len(days), len(assets)))
    for a, asset in enumerate(assets):
        if asset in STABLE:
            continue
        table = pd.read_parquet(locate(data, HOURLY.get(asset, "ohlcv_1h_alts_binance")))
        bars = table[table.symbol == f"{asset.removeprefix('W')}USDT"].set_index("ts").open
        if bars.empty:
            raise InputError(f"no hourly bars of {asset} in {data}; leave it out")
        out[:, a] = bars.reindex(days, method="nearest").to_numpy()
    return out


def sampled_health(
    data: str, assets: Sequence[str], thresholds: F64, first_day: str, last_day: str,
    least_debt_usd: float = 100.0,
) -> tuple[float, float, int]:  # fmt: skip
    """Fit 1 + lognormal to the health of the sample's borrowers on some days.

    Returns
    -------
    median, sigma, users : float, float, int
        Through the quartiles of health weighted by debt, over the user-days that owe at least
        `least_debt_usd` above health 1; how many users those are.
    """
    import pandas as pd

    table = pd.read_parquet(locate(data, USERS))
    days = (pd.Timestamp(day, tz="UTC") for day in (first_day, last_day))
    table = table[table.ts.between(*days)]
    prices = daily_prices(data, assets, table.ts)
    supplied, owed = balances(table, assets, dict.fromkeys(STABLE[3:], "USDC"))
    debt = (owed * prices).sum(axis=1)
    backing = (supplied * prices * thresholds).sum(axis=1)
    health = np.divide(backing, debt, out=np.zeros(len(debt)), where=debt > 0.0)
    kept = np.flatnonzero((debt >= least_debt_usd) & (health > 1.0))
    order = kept[np.argsort(health[kept])]
    share = np.cumsum(debt[order]) / debt[order].sum()
    low, middle, high = (float(health[order][np.searchsorted(share, q)]) for q in (0.25, 0.5, 0.75))
    sigma = log((high - 1.0) / (low - 1.0)) / QUARTILES
    return middle, sigma, int(table.user.iloc[kept].nunique())


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledUsers(BookSource):
    """Borrowers drawn with replacement from the sample of one day, scaled to a total debt."""

    data: str  # folder of market tables
    day: str = "2021-05-18"
    total_debt_usd: float = 2.3e9
    n_positions: int = 2_000
    min_debt_usd: float = 100.0  # less is dust
    stand_in: Mapping[str, str] = field(
        default_factory=lambda: dict.fromkeys(STABLE[3:], "USDC")
    )  # debts counted as another asset
    seed: int = 0

    def draw(self, assets: Sequence[str], prices: F64, thresholds: F64, ltv: F64) -> LoanBook:
        """Draw borrowers; see the class. Who owes dust or stands below health 1 is left out."""
        import pandas as pd

        del ltv
        table = pd.read_parquet(locate(self.data, USERS))
        supplied, owed = balances(
            table[table.ts == pd.Timestamp(self.day, tz="UTC")], assets, self.stand_in
        )
        debt = owed @ prices
        health = np.divide(supplied @ (prices * thresholds), debt, out=np.zeros(len(debt)),
                           where=debt > 0.0)  # fmt: skip
        usable = np.flatnonzero((debt >= self.min_debt_usd) & (health > 1.0))
        if usable.size == 0:
            raise InputError(
                f"{USERS} has no borrower above health 1 on {self.day}; choose another day"
            )
        drawn = usable[np.random.default_rng(self.seed).integers(0, usable.size, self.n_positions)]
        scale = self.total_debt_usd / float(debt[drawn].sum())
        return LoanBook(
            tuple(assets), supplied[drawn] * scale, owed[drawn] * scale, np.arange(drawn.size)
        )


def sampled_users(*, data: str, total_debt_usd: float, seed: int = 0, **drawn: Any) -> SampledUsers:
    """Make the sample's book in the place of a drawn one, whose other terms it has no use for."""
    del drawn
    return SampledUsers(data=data, total_debt_usd=total_debt_usd, seed=seed)
