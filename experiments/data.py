"""Real market data: price and gas tables as the arrays that the simulator replays.

Recognised price layouts, column names in any case:

* tidy OHLCV: a time (`ts`, `timestamp`, `time`, `datetime`, `date`), `open`, `high`, `low`,
  `close`, with a `symbol` where the file holds several, and a `venue` where it holds several;
* exchange klines as Binance publishes them: `open_time` in ms or us and eleven more columns, with
  or without a header, one symbol per file;
* prices only: a time, `price` (or `close` alone), and a `symbol` where the file holds several.

`replay`, `replay_file` and `gas_replay` are the targets of the configuration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.tables import (
    SYMBOLS,
    TIMES,
    VENUES,
    check_order,
    column_of,
    locate,
    positive,
    read_table,
    some,
    unix_seconds,
    unix_time,
)
from sim.errors import ConfigError, InputError
from sim.kernel import F64
from sim.prices.bars import Bars, utc
from sim.prices.replay import Replay

if TYPE_CHECKING:
    import pandas as pd

    from sim.background import GasReplay

STABLE = ("USDC", "USDT", "DAI", "BUSD", "TUSD", "USD", "FRAX", "LUSD", "GHO", "PYUSD")
_OHLC = ("open", "high", "low", "close")
_QUOTES = ("", "USD", "USDT", "USDC", "BUSD", "DAI")


@dataclass(frozen=True, slots=True)
class GasSeries:
    """Gas prices paid on chain, in buckets of time.

    Attributes
    ----------
    ts : array (bucket,)
        Start of each bucket, unix seconds, increasing.
    p30, p60, p90, max : array (bucket,)
        Quantiles and maximum of the price paid, gwei.
    """

    ts: F64
    p30: F64
    p60: F64
    p90: F64
    max: F64


def load_prices(
    path: str | Path,
    assets: Mapping[str, str],
    start: str | float | None = None,
    end: str | float | None = None,
    venue: str | None = None,
    bar_seconds: float | None = None,
) -> dict[str, Bars]:
    """Read the histories of several assets from one table.

    Parameters
    ----------
    path : path
        CSV or Parquet file in one of the layouts of this module.
    assets : mapping of str to str
        Asset of the world -> symbol in the file. A file without symbols holds one asset.
    start, end : str or float, optional
        Span that must hold rows, UTC or unix seconds; one row on either side is kept with it.
    venue : str, optional
        Which venue's rows count, where the file has several.
    bar_seconds : float, optional
        Length of a bar; the smallest distance between two rows when left out.

    Returns
    -------
    dict of asset to Bars
    """
    path = Path(path)
    table = read_table(path)
    missing = _missing_columns(table)
    if missing:
        raise InputError(
            f"{path.name} must have the columns {missing}, got {some(table.columns)}; rename or "
            "add columns"
        )
    first = -np.inf if start is None else unix_time(start, "start")
    last = np.inf if end is None else unix_time(end, "end")
    found = {}
    for asset, symbol in assets.items():
        rows = _rows_of(table, path.name, str(symbol), venue, len(assets))
        found[asset] = _bars_of(rows, path.name, str(symbol), first, last, bar_seconds)
    return found


def _missing_columns(table: "pd.DataFrame") -> str:
    if column_of(table, TIMES) is None:
        return "ts (or timestamp, time, date, open_time)"
    present = [name for name in _OHLC if name in table.columns]
    if "price" in table.columns or present in (list(_OHLC), ["close"]):
        return ""
    absent = ", ".join(name for name in _OHLC if name not in present)
    return f"open, high, low and close, or price alone (missing: {absent})"


def _rows_of(
    table: "pd.DataFrame", file: str, symbol: str, venue: str | None, n_assets: int
) -> "pd.DataFrame":
    """Rows of one symbol at one venue; the index keeps the row numbers of the file."""
    rows = table.reset_index(drop=True)
    column = column_of(rows, SYMBOLS)
    if column is None and n_assets > 1:
        raise InputError(
            f"{file} must have a column symbol to tell {n_assets} assets apart, got "
            f"{some(table.columns)}; give each asset its own file"
        )
    if column is not None:
        known = rows[column].astype(str)
        if not (known == symbol).any():
            raise InputError(
                f"{file} has no symbol {symbol}; known symbols are {some(sorted(set(known)))}; "
                "correct the symbol"
            )
        rows = rows[known == symbol]
    place = column_of(rows, VENUES)
    venues = [] if place is None else sorted(set(rows[place].astype(str)))
    if venue is None:
        if len(venues) > 1:
            raise InputError(
                f"{file} has {symbol} at several venues, {some(venues)}; choose one by venue"
            )
    elif venue not in venues:
        raise InputError(
            f"{file} has no venue {venue} for {symbol}; known venues are {some(venues)}; correct "
            "venue"
        )
    else:
        rows = rows[rows[place].astype(str) == venue]
    return rows


def _bars_of(
    rows: "pd.DataFrame",
    file: str,
    symbol: str,
    start: float,
    end: float,
    bar_seconds: float | None,
) -> Bars:
    if rows.empty:
        raise InputError(f"{file} must have at least one row, got none; get the file anew")
    ts = unix_seconds(rows[str(column_of(rows, TIMES))], file)
    check_order(ts, rows, file, symbol)
    if not ((ts >= start) & (ts < end)).any():
        raise InputError(
            f"{file}: {symbol} must have rows between {_when(start)} and {_when(end)}, got rows "
            f"from {utc(ts[0])} to {utc(ts[-1])}; correct the span or the file"
        )
    cut = slice(
        max(int(np.searchsorted(ts, start, side="right")) - 1, 0),
        int(np.searchsorted(ts, end, side="left")) + 1,
    )
    steps = np.diff(ts)
    ts, rows = ts[cut], rows.iloc[cut]
    label = f"{file}, {symbol}"
    if any(name not in rows.columns for name in _OHLC):
        name = "price" if "price" in rows.columns else "close"
        return Bars.of_prices(label, ts, positive(rows, name, file))
    o, h, low, c = (positive(rows, name, file) for name in _OHLC)
    if bar_seconds is None and steps.size == 0:
        raise InputError(
            f"{label}: one row does not tell how long a bar is; set bar_seconds, such as 3600"
        )
    length = float(steps.min()) if bar_seconds is None else float(bar_seconds)
    return Bars(label, ts, np.full(len(ts), length), o, h, low, c)


def _when(seconds: float) -> str:
    return utc(seconds) if np.isfinite(seconds) else "any time"


def replay(
    *,
    data: str | Path | None,
    assets: Mapping[str, str | Mapping[str, Any]],
    start: str | float,
    hours: float | None = None,
    file: str | None = None,
    venue: str | None = None,
    constants: Mapping[str, float] | None = None,
    correlation: float | Mapping[str, float] | None = None,
    max_gap: float = 3600.0,
    fill_volatility: float | None = None,
) -> Replay:
    """Make a replay of tables in a folder.

    Parameters
    ----------
    data : path or None
        Folder of the tables; with None, `file` is a path of its own.
    assets : mapping
        Asset -> symbol in `file`, or -> mapping of `symbol`, `file`, `venue` and `fallback` (again
        such a mapping), whose bars count where the first has none.
    start : str or float
        First moment, UTC or unix seconds.
    hours : float, optional
        Longest run; as long as the tables last when left out.
    constants, correlation, max_gap, fill_volatility
        As for `Replay`.
    """
    if not assets:
        raise ConfigError("price.assets must name at least one asset and its symbol, got none")
    begin = unix_time(start, "price.start")
    end = np.inf if hours is None else begin + 3600.0 * float(hours)
    bars = {}
    for asset, source in assets.items():
        spec = dict(source) if isinstance(source, Mapping) else {"symbol": source}
        bars[asset] = _read_source(asset, {"file": file, "venue": venue} | spec, data, begin, end)
    return Replay(
        bars=bars,
        constants=dict(constants) if constants else {},
        start=begin,
        duration=None if hours is None else 3600.0 * float(hours),
        correlation=correlation,
        max_gap=max_gap,
        fill_volatility=fill_volatility,
    )


def _read_source(
    asset: str, source: Mapping[str, Any], data: str | Path | None, begin: float, end: float
) -> Bars:
    """Read one asset's bars, and those of its fallback where it has none."""
    unknown = set(source) - {"file", "symbol", "venue", "fallback"}
    if unknown or not source.get("symbol") or not source.get("file"):
        raise ConfigError(
            f"price.assets.{asset} must have file and symbol and may have venue and fallback, got "
            f"{some(key for key, value in source.items() if value is not None)}; correct it"
        )
    path = locate(data, source["file"])
    symbol = str(source["symbol"])
    fallback = source.get("fallback")
    bars = _remembered(path, path.stat().st_mtime_ns, symbol, begin, end, source.get("venue"))
    if not fallback:
        return bars
    inherited = {"file": source["file"], "venue": None}
    return bars.filled_by(_read_source(asset, inherited | dict(fallback), data, begin, end))


@lru_cache(maxsize=64)
def _remembered(
    path: Path, modified: int, symbol: str, begin: float, end: float, venue: str | None
) -> Bars:
    """Read one symbol once per process: a worker builds the same replay for every task."""
    del modified  # part of the key: a changed file is read again
    return load_prices(path, {"": symbol}, begin, end, venue)[""]


def replay_file(
    *,
    path: str | Path,
    assets: Sequence[str],
    start: str | float | None = None,
    hours: float | None = None,
    venue: str | None = None,
    correlation: float | Mapping[str, float] | None = None,
    max_gap: float = 3600.0,
    fill_volatility: float | None = None,
) -> Replay:
    """Make a replay of a user's own file; symbols are found by the assets' usual names.

    WETH is also ETH, ETHUSD, ETH-USDT and so on; a stablecoin without rows is a constant 1 USD. A
    file without symbols holds the first asset. The replay starts where all series have begun when
    `start` is left out.
    """
    path = Path(path)
    table = read_table(path)
    column = column_of(table, SYMBOLS)
    known = sorted(set(table[column].astype(str))) if column else []
    symbols = {assets[0]: assets[0]} if column is None else {}
    for asset in assets if column else ():
        match = match_symbol(asset, known)
        if match is not None:
            symbols[asset] = match
    constants = {asset: 1.0 for asset in assets if asset not in symbols and asset in STABLE}
    for asset in assets:
        if asset not in symbols and asset not in constants:
            raise InputError(
                f"{path.name} has no symbol for {asset}; known symbols are {some(known)}; add its "
                "rows or remove it from assets"
            )
    end = None
    if start is not None and hours is not None:
        end = unix_time(start, "start") + 3600.0 * float(hours)
    bars = load_prices(path, symbols, start, end, venue)
    begin = max(float(series.ts[0]) for series in bars.values())
    return Replay(
        bars=bars,
        constants=constants,
        start=begin if start is None else unix_time(start, "start"),
        duration=None if hours is None else 3600.0 * float(hours),
        correlation=correlation,
        max_gap=max_gap,
        fill_volatility=fill_volatility,
    )


def match_symbol(asset: str, known: Sequence[str]) -> str | None:
    """Find the symbol that means an asset in US dollars, its exact name first."""
    plain = {symbol.upper().translate(str.maketrans("", "", "-_/ ")): symbol for symbol in known}
    bases = [asset.upper()]
    if asset.upper() in ("WETH", "WBTC"):
        bases.append(asset.upper()[1:])
    for quote in _QUOTES:
        for base in bases:
            if base != quote and base + quote in plain:
                return plain[base + quote]
    return None


def load_gas(
    path: str | Path, start: str | float | None = None, end: str | float | None = None
) -> GasSeries:
    """Read gas prices: a time and `p30_gwei`, `p60_gwei`, `p90_gwei`, `max_gwei`.

    Parameters
    ----------
    path : path
        CSV or Parquet file.
    start, end : str or float, optional
        Span that must lie inside one unbroken run of buckets, UTC or unix seconds; that run is
        returned. With `start` left out, all rows are.
    """
    path = Path(path)
    table = read_table(path)
    time = column_of(table, TIMES)
    names = ("p30_gwei", "p60_gwei", "p90_gwei", "max_gwei")
    if time is None or any(name not in table.columns for name in names):
        raise InputError(
            f"{path.name} must have the columns ts, {', '.join(names)}, got {some(table.columns)}; "
            "rename or add columns"
        )
    ts = unix_seconds(table[time], path.name)
    check_order(ts, table, path.name, "gas prices")
    columns = [positive(table, name, path.name) for name in names]
    if start is None:
        return GasSeries(ts, *columns)
    first = unix_time(start, "start")
    width = float(np.diff(ts).min()) if len(ts) > 1 else 600.0
    run = np.concatenate([[0], np.cumsum(np.diff(ts) > 1.5 * width)])
    i = int(np.searchsorted(ts, first, side="right")) - 1
    last = first if end is None else unix_time(end, "end")
    if i < 0 or first >= ts[i] + width or last > ts[run == run[i]][-1] + width:
        days = sorted({utc(float(moment))[:10] for moment in ts})
        raise InputError(
            f"{path.name} must cover {utc(first)} to {utc(last)} without a break, got the days "
            f"{some(days)}; choose one of these or another background"
        )
    keep = run == run[i]
    return GasSeries(ts[keep], *(column[keep] for column in columns))


def gas_replay(
    *,
    data: str | Path | None,
    file: str,
    start: str | float | None = None,
    hours: float | None = None,
    pressure: float = 1.1,
) -> "GasReplay":
    """Make the background demand for gas of a real day (see `sim.background.GasReplay`).

    Parameters
    ----------
    data : path or None
        Folder of the tables; with None, `file` is a path of its own.
    file : str
        The table.
    start, hours : optional
        Span that the table must cover; unchecked here when left out.
    pressure : float
        Gas wanted, as a multiple of the gas limit.
    """
    from sim.background import GasReplay

    end = None
    if start is not None and hours is not None:
        end = unix_time(start, "start") + 3600.0 * float(hours)
    series = load_gas(locate(data, file), start, end)
    return GasReplay(series.ts, series.p30, series.p90, pressure=pressure)
