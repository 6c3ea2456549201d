"""Recorded markets as records: LOBSTER message files and Binance trades, touch and depth."""

from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.kernel import F64, Bool
from sim.metrics.market_record import MarketRecord

Columns = dict[str, Any]

_LOBSTER_TICK = 100  # 1/10,000 USD: prices are on a grid of one cent
_NO_PRICE = 9_999_999_999  # of an empty level
_LOBSTER_DISTANCES = 60  # cents behind the touch
_DEPTH_EVERY = 1.0  # s
_BINS = 100
_BIN_BPS = 0.2  # of the mid, width of a bin of distance


def recorded(folder: Path) -> list[tuple[str, Path]]:
    """Find the recorded markets of a folder: name and the file that stands for each."""
    if not folder.is_dir():
        raise InputError(
            f"data={folder} is no folder: name one that holds LOBSTER or Binance tables"
        )
    found = []
    for path in sorted(folder.glob("*.parquet")):
        words = path.stem.split("_")
        if words[0] == "lobster" and len(words) > 1:
            found.append((f"{' '.join(words[1:3]).upper()} (LOBSTER)", path))
        elif words[0] == "binance" and words[-1] == "trades" and len(words) > 3:
            kind = {"usdm": "perp"}.get(words[1], words[1])
            found.append((f"{words[2].upper()} {kind} {_day(words[3:-1])}(Binance)", path))
    if not found:
        raise InputError(
            f"data={folder} holds neither lobster_SYMBOL_DAY_*.parquet nor "
            "binance_KIND_SYMBOL_DAY_trades.parquet: name another folder"
        )
    return found


def _day(words: list[str]) -> str:
    if not words:
        return ""
    day = words[0]
    return f"{day[:4]}-{day[4:6]}-{day[6:]} " if day.isdigit() and len(day) == 8 else f"{day} "


def read(name: str, path: Path) -> MarketRecord:
    """Read one recorded market."""
    if path.stem.startswith("lobster_"):
        return _lobster(name, path)
    return _binance(name, path)


_MESSAGES = ("time_ns", "type", "size", "price", "direction")
_TOUCH = ("ask_px1", "ask_sz1", "bid_px1", "bid_sz1")
_TRADES = ("recv_ns", "exch_ms", "price", "qty", "buyer_is_maker")
_QUOTES = ("recv_ns", "exch_ms", "bid_px", "bid_qty", "ask_px", "ask_qty")
_CHANGES = ("recv_ns", "is_snapshot", "side", "price", "qty")


def _columns(path: Path, needed: tuple[str, ...]) -> Columns:
    """Columns of a table by name; a file that cannot be what it should be is refused."""
    import pyarrow.parquet as pq
    from pyarrow.lib import ArrowException

    if not path.is_file():
        raise InputError(f"{path.name} is missing beside the trades: put it there")
    try:
        table = pq.read_table(path)
    except (ArrowException, OSError) as error:
        raise InputError(
            f"{path.name} cannot be read as Parquet ({str(error).splitlines()[0]}): get it anew"
        ) from error
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise InputError(
            f"{path.name} must have the columns {', '.join(needed)}, got none called "
            f"{', '.join(missing)}; rename or add columns"
        )
    if table.num_rows < 2:
        raise InputError(f"{path.name} must have at least two rows, got {table.num_rows}")
    columns = {key: table[key].to_numpy() for key in table.column_names}
    for key in needed:
        values = columns[key]
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            raise InputError(
                f"{path.name}, row {row + 1}: {key} must be a number, got {values[row]}; correct it"
            )
    return columns


def _lobster(name: str, path: Path) -> MarketRecord:
    """Read one day of NASDAQ; visible executions (type 4) are the trades, hidden ones are left out.

    Distances of limit orders are left out too: a file holds only orders within its recorded levels,
    which cuts off the tail that the distances are asked for.
    """
    it = _columns(path, _MESSAGES + _TOUCH)
    time = it["time_ns"] / 1e9
    shown = it["type"] == 4
    arrives = it["type"] == 1
    whole = (it["bid_px1"] > 0) & (it["ask_px1"] < _NO_PRICE)
    levels = sum(key.startswith("bid_px") for key in it)
    columns: Columns = {}
    if levels > 1:
        rows = np.searchsorted(time, np.arange(time[0] + 1.0, time[-1], _DEPTH_EVERY)) - 1
        columns = {
            "depth_time": time[rows],
            "bid_depth": _lobster_depth(it, "bid", levels, rows),
            "ask_depth": _lobster_depth(it, "ask", levels, rows),
            "depth_distance": np.arange(_LOBSTER_DISTANCES, dtype=np.float64),
        }
    return MarketRecord(
        name=name, tick=_LOBSTER_TICK / 1e4,
        trade_time=time[shown], trade_price=it["price"][shown] / 1e4,
        trade_size=it["size"][shown].astype(float),
        trade_sign=-it["direction"][shown].astype(np.int64),
        quote_time=time[whole], bid=it["bid_px1"][whole] / 1e4, ask=it["ask_px1"][whole] / 1e4,
        bid_size=it["bid_sz1"][whole].astype(float), ask_size=it["ask_sz1"][whole].astype(float),
        order_time=time[arrives], order_size=it["size"][arrives].astype(float), **columns,
    )  # fmt: skip


def _lobster_depth(it: Columns, side: str, levels: int, rows: Any) -> F64:
    """Shares at 0, 1, ... cents behind the touch; NaN behind the last level that is recorded."""
    prices = np.stack([it[f"{side}_px{i}"][rows] for i in range(1, levels + 1)], axis=1)
    sizes = np.stack([it[f"{side}_sz{i}"][rows] for i in range(1, levels + 1)], axis=1)
    behind = np.abs(prices - prices[:, :1]) // _LOBSTER_TICK
    out = np.zeros((len(rows), _LOBSTER_DISTANCES))
    far: Bool = np.arange(_LOBSTER_DISTANCES)[None, :] > behind[:, -1:]
    out[far] = np.nan
    for level in range(levels):
        inside = behind[:, level] < _LOBSTER_DISTANCES
        out[np.flatnonzero(inside), behind[inside, level]] += sizes[inside, level]
    return out


def _binance(name: str, path: Path) -> MarketRecord:
    """Read minutes of Binance: trades, best bid and ask, depth put together from differences.

    Times are the exchange's where both feeds carry it (the perpetual), else those of reception.
    """
    base = path.name.removesuffix("_trades.parquet")
    trades = _columns(path, _TRADES)
    touch = _columns(path.with_name(f"{base}_bbo.parquet"), _QUOTES)
    clock = bool((touch["exch_ms"] > 0).all() and (trades["exch_ms"] > 0).all())
    column, unit = ("exch_ms", 1e3) if clock else ("recv_ns", 1e9)
    origin = int(touch[column][0])
    tick = _grid(np.concatenate([touch["bid_px"], touch["ask_px"]]))
    t_order = np.argsort(trades[column], kind="stable")
    q_order = np.argsort(touch[column], kind="stable")
    depth_path = path.with_name(f"{base}_depth.parquet")
    columns = _binance_depth(_columns(depth_path, _CHANGES)) if depth_path.is_file() else {}
    trades = {key: value[t_order] for key, value in trades.items()}
    touch = {key: value[q_order] for key, value in touch.items()}
    return MarketRecord(
        name=name, tick=tick,
        trade_time=(trades[column] - origin) / unit, trade_price=trades["price"],
        trade_size=trades["qty"], trade_sign=np.where(trades["buyer_is_maker"], -1, 1),
        quote_time=(touch[column] - origin) / unit, bid=touch["bid_px"], ask=touch["ask_px"],
        bid_size=touch["bid_qty"], ask_size=touch["ask_qty"], **columns,
    )  # fmt: skip


def _grid(prices: F64) -> float:
    """Find the tick: the smallest power of ten that all prices are multiples of."""
    for digits in range(0, 8):
        scaled = prices * 10.0**digits
        if np.all(np.abs(scaled - np.round(scaled)) < 1e-4):
            return float(10.0**-digits)
    return 1e-8


def _binance_depth(it: Columns) -> Columns:
    """Size by distance behind the touch, sampled every second after the snapshot."""
    start = int(np.argmax(it["is_snapshot"])) if it["is_snapshot"].any() else 0
    time = (it["recv_ns"] - it["recv_ns"][0]) / 1e9
    is_bid = np.char.startswith(it["side"].astype(str), "b")
    books: dict[bool, dict[float, float]] = {True: {}, False: {}}
    moments: list[float] = []
    out: dict[bool, list[F64]] = {True: [], False: []}
    due = time[start] + 5.0
    fresh = np.flatnonzero(np.diff(it["recv_ns"], prepend=-1) != 0)
    boundary = set(fresh.tolist())
    for i in range(start, len(time)):
        if i in boundary and time[i] >= due and books[True] and books[False]:
            due += _DEPTH_EVERY
            moments.append(time[i])
            for side in (True, False):
                out[side].append(_profile(books[side], side))
        book = books[bool(is_bid[i])]
        if it["qty"][i] > 0.0:
            book[float(it["price"][i])] = float(it["qty"][i])
        else:
            book.pop(float(it["price"][i]), None)
    return {
        "depth_time": np.array(moments),
        "bid_depth": np.array(out[True]),
        "ask_depth": np.array(out[False]),
        "depth_distance": np.arange(_BINS, dtype=np.float64) * _BIN_BPS,
    }


def _profile(book: dict[float, float], is_bid: bool) -> F64:
    prices = np.fromiter(book.keys(), np.float64, len(book))
    sizes = np.fromiter(book.values(), np.float64, len(book))
    best = prices.max() if is_bid else prices.min()
    bins = np.floor(np.abs(prices - best) / best * 1e4 / _BIN_BPS + 1e-9).astype(np.int64)
    inside = bins < _BINS
    return np.asarray(np.bincount(bins[inside], sizes[inside], _BINS), np.float64)
