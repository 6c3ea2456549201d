"""Recorded prices as processes that resample them, and recorded perpetuals; targets of `conf`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.hedging.perpetual import PER_YEAR, PerpetualRecord
from experiments.data import load_prices
from experiments.tables import locate, read_table, unix_time
from sim.errors import ConfigError, InputError
from sim.prices.bars import Bars
from sim.prices.bootstrap import BlockBootstrap
from sim.prices.windows import HistoricalWindows

if TYPE_CHECKING:
    import pandas as pd


def bootstrap(
    *,
    data: str | Path | None,
    file: str,
    symbols: Mapping[str, str],
    initial: Mapping[str, float],
    mean_block_hours: float,
    start: str | float | None = None,
    end: str | float | None = None,
    drift: float | None = None,
    max_gap_hours: float = 6.0,
) -> BlockBootstrap:
    """Make a block bootstrap of a table's returns (see `sim.prices.bootstrap`).

    Parameters
    ----------
    data : path or None
        Folder of the table; with None, `file` is a path of its own.
    symbols : mapping of str to str
        Asset -> symbol in the table.
    start, end : str or float, optional
        Dates that the record is cut to, UTC or unix seconds.
    mean_block_hours, max_gap_hours : float
        Mean length of a block; longest stretch without bars that counts as standing still.
    initial, drift
        As for `BlockBootstrap`.
    """
    return BlockBootstrap(
        bars=_record(data, file, symbols, start, end),
        initial=initial,
        mean_block=3600.0 * mean_block_hours,
        drift=drift,
        max_gap=3600.0 * max_gap_hours,
    )


def windows(
    *,
    data: str | Path | None,
    file: str,
    symbols: Mapping[str, str],
    initial: Mapping[str, float],
    start: str | float | None = None,
    end: str | float | None = None,
    max_gap_hours: float = 6.0,
) -> HistoricalWindows:
    """Make random stretches of a table's prices (see `sim.prices.windows`).

    Parameters
    ----------
    data, file, symbols, start, end, max_gap_hours
        As for `bootstrap`.
    initial : mapping of asset to float
        Price with which each stretch begins, USD; assets without a symbol keep it.
    """
    return HistoricalWindows(
        bars=_record(data, file, symbols, start, end),
        initial=initial,
        max_gap=3600.0 * max_gap_hours,
    )


def perpetual(
    *,
    data: str | Path | None,
    file: str,
    symbol: str,
    funding: str,
    index: str,
    index_symbol: str,
) -> PerpetualRecord:
    """Read a perpetual's premium over its index and the funding that it paid, hour by hour.

    Parameters
    ----------
    data : path or None
        Folder of the tables; with None, the files are paths of their own.
    file, symbol : str
        Table with `ts`, `symbol`, `mark_close`, a row an hour at whose end the mark holds.
    funding : str
        Table with `ts`, `symbol`, `funding_rate` (of a payment).
    index, index_symbol : str
        Table with `ts`, `symbol`, `close` of the same hours; an hour without a row keeps the price
        before, as it does in `windows`.
    """
    import pandas as pd

    hour = pd.Timedelta(hours=1)
    marks = _rows(data, file, symbol, "mark_close").dropna()
    spot = _rows(data, index, index_symbol, "close")
    clock = pd.date_range(marks.index[0], marks.index[-1], freq=hour)
    log_index = np.log(spot.reindex(clock, method="ffill").to_numpy(float))
    premium = np.log(marks.reindex(clock).to_numpy(float)) - log_index
    payments = _rows(data, funding, symbol, "funding_rate")
    ends = clock + hour  # moments; a payment of 08:00:00.005 is that of 08:00
    when = payments.index.floor("min")
    total = pd.Series(payments.cumsum().to_numpy(), when).reindex(ends, method="ffill").fillna(0.0)
    rate = pd.Series(payments.to_numpy(), when).reindex(ends, method="ffill").fillna(0.0)
    seconds = np.asarray((ends - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1), np.float64)
    return PerpetualRecord(
        ts=seconds,
        premium=premium,
        paid=total.to_numpy(float),
        rate=PER_YEAR * rate.to_numpy(float),
    )


def _rows(data: str | Path | None, file: str, symbol: str, column: str) -> "pd.Series[Any]":
    """Read a column of one symbol's rows by time."""
    import pandas as pd

    path = locate(data, file)
    table = read_table(path)
    for name in ("ts", "symbol", column):
        if name not in table:
            raise InputError(f"{path.name} has no column {name}; give a table that has")
    table = table[table["symbol"] == symbol]
    if table.empty:
        raise InputError(f"{path.name} has no rows of {symbol}; correct the symbol")
    when = pd.DatetimeIndex(pd.to_datetime(table["ts"], utc=True))
    found = pd.Series(table[column].to_numpy(float), when).sort_index()
    return found[~found.index.duplicated()]


def _record(
    data: str | Path | None,
    file: str,
    symbols: Mapping[str, str],
    start: str | float | None,
    end: str | float | None,
) -> dict[str, Bars]:
    """Read the bars that open in [start, end)."""
    if not symbols:
        raise ConfigError("price.symbols must name at least one asset and its symbol, got none")
    first = None if start is None else unix_time(start, "price.start")
    last = None if end is None else unix_time(end, "price.end")
    bars = load_prices(locate(data, file), symbols, first, last)
    return {asset: _cut(series, first, last) for asset, series in bars.items()}


def _cut(series: Bars, first: float | None, last: float | None) -> Bars:
    """Drop what the reader keeps on either side of the dates."""
    begin = float("-inf") if first is None else first
    end = float("inf") if last is None else last
    return series.part((series.ts >= begin) & (series.ts < end))
