"""Recorded tables of Maker's auctions of 12 and 13 March 2020, as parts of a world and as figures.

`osm_oracle` and `gas` are targets of the configuration.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.data import load_gas
from experiments.tables import locate, read_table, unix_seconds, unix_time
from sim.background import GasReplay
from sim.errors import ConfigError
from sim.kernel import F64
from sim.oracles.recorded import RecordedOracle

if TYPE_CHECKING:
    import pandas as pd

AUCTIONS = "maker_flip_auctions"
ZERO = 1.0  # DAI: a winning bid under this is a zero bid; the recorded ones are 1e-18 and the like
HALF = 2.0  # the table holds the even auctions of 12 to 14 March only: amounts count twice
FEWEST = 5  # deals in an hour from which its gas price is read
BUCKET = 600.0  # seconds


def recorded_auctions(data: str | Path, start: str | float, hours: float) -> "pd.DataFrame":
    """Auctions whose last bid fell into a span.

    Returns
    -------
    DataFrame
        `time` of the last bid and `deal_time`, unix seconds; `lot` ETH, `paid` DAI, `bids`,
        `discount` to the market at the last bid (fraction), `gas` at the deal, gwei.
    """
    import pandas as pd

    table = read_table(locate(data, AUCTIONS))
    begin = unix_time(start, "start")
    found = pd.DataFrame({
        "time": unix_seconds(table["ts_last_bid"], AUCTIONS),
        "deal_time": unix_seconds(table["ts_deal"].fillna(table["ts_last_bid"]), AUCTIONS),
        "lot": table["lot_eth"], "paid": table["win_bid_dai"], "bids": table["bid_count"],
        "gas": table["deal_gas_gwei"],
        "discount": 1.0 - table["win_price_dai_per_eth"] * table["san_price_daiusd"]
        / table["san_price_ethusd"],
    })  # fmt: skip
    return found[(found["time"] >= begin) & (found["time"] < begin + 3600.0 * hours)]


def osm_oracle(
    *,
    data: str | Path,
    file: str = "maker_osm_ethusd",
    asset: str = "WETH",
    max_lag_seconds: float = 7_200.0,
) -> RecordedOracle:
    """Maker's oracle as it was: each event of the security module is a price that came into use.

    `LogValue` is emitted by `poke` with the value that moves from next to current (makerdao/osm).
    """
    table = read_table(locate(data, file)).sort_values("ts_interp")
    times = unix_seconds(table["ts_interp"], file)
    prices = np.ascontiguousarray(table["price_usd"], np.float64)
    return RecordedOracle(records={asset: (times, prices)}, max_lag_seconds=max_lag_seconds)


def gas(
    *,
    data: str | Path,
    file: str,
    start: str | float,
    hours: float,
    pressure: float = 1.1,
    auctions: str | Path = AUCTIONS,
) -> GasReplay:
    """Gas prices of the day; after the table's last day, what settled the auctions of each hour.

    Quantiles of these hours keep the shape of the table's second half: 30% and 90% quantile over
    the 60% quantile, which stands for the hour's median deal. An hour with fewer than five deals
    keeps the price of the one before.
    """
    begin = unix_time(start, "background.start")
    end = begin + 3600.0 * float(hours)
    series = load_gas(locate(data, file), begin)
    ts, low, high = series.ts, series.p30, series.p90
    late = ts >= ts[0] + 12 * 3600.0
    if not late.any():
        raise ConfigError("the gas table must cover at least 13 hours from its start; choose a day")
    shape_low = float(np.median(low[late] / series.p60[late]))
    shape_high = float(np.median(high[late] / series.p60[late]))
    more = np.arange(float(ts[-1]) + BUCKET, end, BUCKET)
    if len(more):
        paid = _hourly_gas(data, auctions, more, float(series.p60[-6:].mean()))
        ts = np.concatenate([ts, more])
        low = np.concatenate([low, shape_low * paid])
        high = np.concatenate([high, shape_high * paid])
    return GasReplay(ts, low, high, pressure=pressure)


def _hourly_gas(data: str | Path, auctions: str | Path, times: F64, before: float) -> F64:
    """Median gas price at which auctions were dealt in the hour of each time, gwei."""
    table = read_table(locate(data, auctions)).dropna(subset=["ts_deal"])
    dealt = unix_seconds(table["ts_deal"], str(auctions))
    price = np.asarray(table["deal_gas_gwei"], np.float64)
    found: F64 = np.empty(len(times))
    for k, time in enumerate(times):
        hour = time // 3600.0
        here = price[dealt // 3600.0 == hour]
        before = float(np.median(here)) if len(here) >= FEWEST else before
        found[k] = before
    return found


def liquidated_debt(
    data: str | Path, start: str | float, hours: float, trigger: F64, target: F64, health: F64,
    debt: F64, look_hours: float, seed: int = 0,
) -> float:  # fmt: skip
    """Debt that is put up on a recorded path of prices, by owners who look at random times.

    The rule of `VaultOwners`, alone: no gas, no keepers, no fees. What `look_hours` is measured
    with, on the weeks before the event.

    Parameters
    ----------
    data, start, hours
        The path: 5-minute market prices and the oracle's events.
    trigger, target, health, debt : array (vault,)
        As in `VaultOwners`; health and debt at the start.
    look_hours : float
    seed : int
    """
    prices = read_table(locate(data, "eth_dai_5m_santiment"))
    prices = prices[prices["symbol"] == "ETHUSD"].sort_values("ts")
    osm = read_table(locate(data, "maker_osm_ethusd")).sort_values("ts_interp")
    times = unix_seconds(prices["ts"], "eth_dai_5m_santiment")
    begin = unix_time(start, "start")
    keep = (times >= begin) & (times < begin + 3600.0 * hours)
    market = np.asarray(prices["price"], np.float64)[keep]
    events = unix_seconds(osm["ts_interp"], "maker_osm_ethusd")
    place = np.searchsorted(events, times[keep], side="right") - 1
    oracle = np.asarray(osm["price_usd"], np.float64)[place]
    rng = np.random.default_rng(seed)
    chance = 1.0 - np.exp(-300.0 / (3600.0 * look_hours))
    per_price, debt = health / market[0], debt.copy()
    alive, lost = np.ones(len(debt), np.bool_), 0.0
    for spot, used in zip(market, oracle, strict=True):
        unsafe = alive & (per_price * used < 1.0)
        lost += float(debt[unsafe].sum())
        alive &= ~unsafe
        low = min(spot, used)
        acts = alive & (per_price * low < trigger) & (rng.random(len(debt)) < chance)
        restored = target[acts] / low
        debt[acts] *= per_price[acts] / restored
        per_price[acts] = restored
    return lost
