"""Aave v2 on 19 May 2021: what was liquidated, by collateral, hour and size.

The recorded side is the protocol's own log of liquidations, main market only, in the assets that
have a price series; both sides are valued with the same bars. The simulated side starts from a
drawn loan book: what was lent against volatile collateral, its composition and its health are
stated or come from before the day, and no liquidation of the day is an input.

A drawn book is one of many that fit what is known. Every `worlds_per_book` worlds share one, so the
range over worlds holds what the draw of the book does to the result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from experiments.build import build_model
from experiments.data import load_prices
from experiments.history.aave_figures import all_charts
from experiments.history.aave_users import STABLE
from experiments.history.event import Event
from experiments.record import Recorder
from experiments.tables import locate, unix_time
from sim.background import GasReplay
from sim.errors import ConfigError, InputError
from sim.kernel import F64
from sim.lending.params import PooledParams, ReserveParams
from sim.lending.pooled import PooledMarket

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

LIQUIDATIONS, TERMS = "aave_v2_liquidations", "aave_v2_reserve_params"
MAIN = "aave_v2_main"
BARS = "ohlcv_5m_2021-05_binance"
SYMBOLS = {
    "WETH": (BARS, "ETHUSDT"), "WBTC": (BARS, "BTCUSDT"), "LINK": (BARS, "LINKUSDT"),
    "AAVE": (BARS, "AAVEUSDT"), "UNI": (BARS, "UNIUSDT"), "MKR": (BARS, "MKRUSDT"),
    "CRV": (BARS, "CRVUSDT"), "YFI": ("ohlcv_1h_alts_binance", "YFIUSDT"),
}  # fmt: skip
SHOWN = ("WETH", "WBTC", "LINK")
"""Collaterals with a figure of their own; the others are summed."""
CRASH = (10, 15)
"""Hours of the day, UTC, in which most of the fall happened: ETH 2,900 at 10:00, 1,888 at 13:10."""


# --- what was recorded ----------------------------------------------------------------------------


def recorded_liquidations(
    data: str, start: str, stop: str, assets: Sequence[str]
) -> "pd.DataFrame":
    """Read the liquidations of a span in the main market, in USD at the bars' opening prices.

    Parameters
    ----------
    data : str
        Folder of market tables.
    start, stop : str
        UTC.
    assets : sequence of str
        Collaterals that are kept; debts in stablecoins count as 1 USD.

    Returns
    -------
    DataFrame
        `ts`, `hour`, `user`, `collateral`, `debt`, `collateral_usd`, `debt_usd`; the attribute
        `left_out_usd` is what the file says of other collaterals.
    """
    import pandas as pd

    table = pd.read_parquet(locate(data, LIQUIDATIONS))
    begin, end = pd.Timestamp(start, tz="UTC"), pd.Timestamp(stop, tz="UTC")
    table = table[(table.ts >= begin) & (table.ts < end) & (table.pool_name == MAIN)]
    kept = table[table.collateral.isin(assets)].copy()
    seconds = (kept.ts - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy()
    for side in ("collateral", "debt"):
        prices = np.full(len(kept), np.nan)
        for asset in sorted(set(kept[side])):
            mine = (kept[side] == asset).to_numpy()
            prices[mine] = prices_at(data, asset, seconds[mine], start, stop)
        kept[f"{side}_usd"] = prices * kept[f"{side}_amount"]
    kept["hour"] = kept.ts.dt.hour
    columns = ["ts", "hour", "user", "collateral", "debt", "collateral_usd", "debt_usd"]
    out: pd.DataFrame = kept[columns]
    out.attrs["left_out_usd"] = float(
        table[~table.collateral.isin(assets)].collateral_usd.fillna(0.0).sum()
    )
    return out


def prices_at(data: str, asset: str, seconds: F64, start: str, stop: str) -> F64:
    """USD at the opening of the bars that hold some moments; NaN without a series."""
    if asset in STABLE:
        return np.ones(len(seconds))
    if asset not in SYMBOLS:
        return np.full(len(seconds), np.nan)
    file, symbol = SYMBOLS[asset]
    bars = load_prices(locate(data, file), {asset: symbol}, start, stop)[asset]
    return np.asarray(bars.open[np.searchsorted(bars.ts, seconds, side="right") - 1])


# --- the day's chain and terms --------------------------------------------------------------------


def stated_gas(
    points: Mapping[str, float],
    low: float,
    high: float,
    pressure: float = 1.43,
    scale: float = 1.0,
) -> GasReplay:
    """Gas prices of a day of which only a few averages are published.

    Parameters
    ----------
    points : mapping of UTC time to gwei
        Averages; in between, the logarithm is linear.
    low, high : float
        30% and 90% quantile of what a bucket pays, over its average.
    pressure : float
        As for `GasReplay`.
    scale : float
        Multiplies all prices.
    """
    known = sorted((unix_time(str(moment), "background.points"), g) for moment, g in points.items())
    if len(known) < 2 or min(gwei for _, gwei in known) <= 0.0:
        raise ConfigError(f"points must give at least two times with positive gwei, got {points}")
    ts = np.arange(known[0][0], known[-1][0], 600.0)
    mean = scale * np.exp(np.interp(ts, [t for t, _ in known], np.log([gwei for _, gwei in known])))
    return GasReplay(ts, low * mean, high * mean, pressure=pressure)


def listed_market(
    *,
    data: str | None,
    assets: Sequence[str],
    ltv: Mapping[str, float],
    bonus: Mapping[str, float],
    params: PooledParams,
) -> PooledMarket:
    """Make the main market with the terms of the recorded table.

    Parameters
    ----------
    data : str
        Folder of market tables.
    assets : sequence of str
        Of the world.
    ltv : mapping
        Highest loan-to-value, which the table lacks; 0 where an asset is not named.
    bonus : mapping
        Liquidation bonuses that differ from the table's.
    params : PooledParams
        Of the market; its reserves give the rates, those of USDC for assets that it lacks.
    """
    import pandas as pd

    table = pd.read_parquet(locate(data, TERMS))
    terms = table[table.pool_name == MAIN].set_index("symbol")
    reserves: dict[str, ReserveParams] = {}
    for asset in assets:
        if asset not in terms.index:
            raise InputError(
                f"{TERMS} has no asset {asset} in {MAIN}; known: {', '.join(sorted(terms.index))}"
            )
        row = terms.loc[asset]
        threshold = float(row.liq_threshold_bps) / 1e4
        own = float(row.liq_bonus_bps) / 1e4 - 1.0 if threshold > 0.0 else 0.0
        rates = params.reserves.get(asset, params.reserves["USDC" if asset in STABLE else "WETH"])
        reserves[asset] = replace(
            rates, ltv=min(float(ltv.get(asset, 0.0)), threshold), liquidation_threshold=threshold,
            liquidation_bonus=float(bonus.get(asset, max(own, 0.0))),
        )  # fmt: skip
    return PooledMarket(replace(params, reserves=reserves))


# --- the event ------------------------------------------------------------------------------------


def with_book(config: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Give the book, and the population that holds it, another seed."""
    book = {**config["book"], "seed": seed}
    cast = {
        name: {**agent, "book": book} if agent and "book" in agent else agent
        for name, agent in config["cast"].items()
    }
    return {**config, "book": book, "cast": cast}


class AaveMay2021(Event):
    """The day on one drawn book after the other.

    Parameters
    ----------
    worlds_per_book : int
        Worlds that share one drawn book.
    **told
        See `Event`.
    """

    title: ClassVar[str] = "Aave v2, 19 May 2021"
    tables: ClassVar[tuple[str, ...]] = ("liquidations", "series")

    def __init__(self, *, worlds_per_book: int = 2, **told: Any) -> None:
        super().__init__(**told)
        if worlds_per_book < 1:
            raise ConfigError(f"worlds_per_book must be at least 1, got {worlds_per_book}")
        self.worlds_per_book = worlds_per_book

    def simulate(
        self, config: Mapping[str, Any], seed: int, first: int, stop: int
    ) -> "dict[str, pa.Table]":
        """Run the worlds, one model per book."""
        import pyarrow as pa

        parts: dict[str, list[pa.Table]] = {}
        own = int(config["book"].get("seed", 0))
        each = self.worlds_per_book
        for book in range(first // each, (stop - 1) // each + 1):
            low, high = max(first, book * each), min(stop, (book + 1) * each)
            for name, table in self._run(with_book(config, own + book), seed, low, high).items():
                parts.setdefault(name, []).append(table)
        return {name: pa.concat_tables(tables) for name, tables in parts.items()}

    def _run(
        self, config: Mapping[str, Any], seed: int, first: int, stop: int
    ) -> "dict[str, pa.Table]":
        import pandas as pd
        import pyarrow as pa

        model = build_model(config, seed, first, stop)
        recorder = Recorder(model, int(config["record_every"]), forget=True)
        recorder.run()
        sold = pd.DataFrame(recorder.liquidations())
        worlds = pd.DataFrame(recorder.worlds())
        series = pd.DataFrame(recorder.series())
        model.close()
        kept = pd.DataFrame({
            "world": sold.world.astype(np.int64),
            "hour": pd.to_datetime(sold.time).dt.hour.astype(np.int64),
            "user": sold.position.astype(np.int64),
            "liquidator": sold.liquidator.astype(str),
            "collateral": sold.collateral.astype(str),
            "collateral_usd": sold.collateral_seized_usd.astype(float),
            "debt_usd": sold.debt_repaid_usd.astype(float),
        })  # fmt: skip
        out = pd.DataFrame([
            {"world": world, **summed(kept[kept.world == world])} for world in worlds.world
        ])  # fmt: skip
        for name in ("bad_debt_usd", "initial_debt_usd", "liquidator_profit_usd"):
            out[name] = worlds[name].to_numpy()
        columns = ["world", "step", "time", "liquidatable_debt_usd", "base_fee_gwei", "price_WETH"]
        return {
            "worlds": pa.Table.from_pandas(out, preserve_index=False),
            "liquidations": pa.Table.from_pandas(kept, preserve_index=False),
            "series": pa.Table.from_pandas(series[columns], preserve_index=False),
        }

    def recorded(self) -> "pd.DataFrame":
        """Liquidations of the day in the assets that have prices."""
        assets = (*SYMBOLS, *STABLE)
        return recorded_liquidations(self.data, "2021-05-19", "2021-05-20", assets)

    def observed(self) -> dict[str, float]:
        """Figures of the day from the recorded liquidations."""
        return summed(self.recorded())

    def figures(self, tables: "Mapping[str, pd.DataFrame]") -> Any:
        """Volume by hour and collateral, sizes, prices and the backlog."""
        return all_charts(tables, self.recorded(), SHOWN)


def summed(rows: "pd.DataFrame") -> dict[str, float]:
    """Figures of one day's liquidations: the columns of `recorded_liquidations`."""
    seized, repaid = rows.collateral_usd, rows.debt_usd.dropna()
    total = float(seized.sum())
    out = {"collateral_usd": total}
    for asset in SHOWN:
        out[f"{asset}_usd"] = float(seized[rows.collateral == asset].sum())
    out["other_usd"] = total - sum(out[f"{asset}_usd"] for asset in SHOWN)
    within = rows.hour.between(CRASH[0], CRASH[1] - 1)
    out["crash_share"] = float(seized[within].sum()) / total if total else float("nan")
    out["n_liquidations"] = float(len(rows))
    out["n_users"] = float(rows.user.nunique())
    out["median_debt_usd"] = float(repaid.median()) if len(repaid) else float("nan")
    ordered = np.sort(repaid.to_numpy())[::-1]
    top = ordered[: max(1, len(ordered) // 10)].sum()
    out["top_tenth_share"] = float(top / ordered.sum()) if len(ordered) else float("nan")
    out["largest_debt_usd"] = float(ordered[0]) if len(ordered) else float("nan")
    return out
