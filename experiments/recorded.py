"""Recorded prices as processes that resample them; targets of `conf/price`."""

from collections.abc import Mapping
from pathlib import Path

from experiments.data import load_prices
from experiments.tables import locate, unix_time
from sim.errors import ConfigError
from sim.prices.bars import Bars
from sim.prices.bootstrap import BlockBootstrap
from sim.prices.windows import HistoricalWindows


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
