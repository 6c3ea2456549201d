"""Columns of a recording as integer arrays, and which exchange's layout a table has.

Every error is one sentence that names the file, the column or row, what was expected, what came and
what to do.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.tables import read_table, some
from sim.book.layout import MAX_PRICE, MAX_QUANTITY
from sim.errors import InputError
from sim.kernel import F64, I64, Bool

if TYPE_CHECKING:
    import pandas as pd

LAYOUTS = {
    "lobster": ("time_ns", "type", "order_id", "size", "price", "direction", "ask_px1", "ask_sz1",
                "bid_px1", "bid_sz1"),
    "binance": ("recv_ns", "exch_ms", "update_id", "is_snapshot", "side", "price", "qty"),
    "bitstamp": ("ts", "exchange_ts", "order_id", "direction", "action", "price", "size_btc"),
}  # fmt: skip
_BESIDE = {
    "trades": {"trade_id", "buyer_is_maker"},
    "best bids and asks": {"bid_px", "bid_qty", "ask_px", "ask_qty"},
}
_MOST_OFF = 0.01  # share of rows off the tick or lot beyond which the whole file is refused
_FINEST = 8  # decimals


def read_recording(path: str | Path) -> tuple[str, "pd.DataFrame"]:
    """Read a table and find its layout by its columns.

    Returns
    -------
    layout : str
        A key of `LAYOUTS`.
    table : DataFrame
        Its rows, numbered from 0.

    Raises
    ------
    InputError
        If the file cannot be read or is of no known layout.
    """
    from experiments.recordings.lobster import is_message_file, read_pair

    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} must be a table, got a folder; name one of its files")
    table = read_pair(path) if is_message_file(path) else read_table(path)
    name = path.name
    if len(table) == 0:
        raise InputError(f"{name} must have at least one row, got none; get the file anew")
    columns = set(table.columns)
    shares = {layout: len(columns & set(names)) / len(names) for layout, names in LAYOUTS.items()}
    layout = max(shares, key=lambda key: shares[key])
    missing = [wanted for wanted in LAYOUTS[layout] if wanted not in columns]
    if missing:
        for kind, marks in _BESIDE.items():
            if marks <= columns:
                raise InputError(
                    f"{name} is a table of {kind}, which is compared with a book and does not make "
                    "one; name the file of depth changes"
                )
        if shares[layout] < 0.5:
            raise InputError(
                f"{name} must be a recording of a known layout (columns such as "
                f"{'; '.join(', '.join(names[2:]) for names in LAYOUTS.values())}), got "
                f"{some(table.columns)}; rename the columns"
            )
        need(table, LAYOUTS[layout], name)
    return layout, table.reset_index(drop=True)


def need(table: "pd.DataFrame", names: Sequence[str], file: str) -> None:
    """Refuse a table that lacks columns."""
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise InputError(
            f"{file} must have the columns {', '.join(names)}, got none called {some(missing)}; "
            "rename or add columns"
        )


def refuse(bad: Bool, file: str, column: str, wanted: str, table: "pd.DataFrame") -> None:
    """Refuse a table for the first offending row of a column."""
    if bad.any():
        i = int(np.argmax(bad))
        value = table[column].iloc[i]
        shown = "an empty cell" if value is None or value != value else f"{value}"
        raise InputError(
            f"{file}, row {i + 1}: column {column} must hold {wanted}, got {shown}; correct or "
            "drop the row"
        )


def whole(table: "pd.DataFrame", column: str, file: str) -> I64:
    """Turn a column into int64, exactly."""
    import pandas as pd

    values = table[column]
    if pd.api.types.is_integer_dtype(values) or pd.api.types.is_bool_dtype(values):
        refuse(values.isna().to_numpy(), file, column, "whole numbers", table)
        return np.ascontiguousarray(values.to_numpy(np.int64))
    numbers = decimal(table, column, file)
    bad = (numbers != np.round(numbers)) | (np.abs(numbers) >= 2.0**53)
    refuse(bad, file, column, "whole numbers", table)
    return np.ascontiguousarray(numbers.astype(np.int64))


def decimal(table: "pd.DataFrame", column: str, file: str) -> F64:
    """Turn a column into finite floats."""
    import pandas as pd

    numbers = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
    refuse(~np.isfinite(numbers), file, column, "numbers", table)
    return np.ascontiguousarray(numbers)


def choice(table: "pd.DataFrame", column: str, codes: dict[str, int], file: str) -> I64:
    """Turn a column of words into codes."""
    text = table[column].astype(str).str.strip().str.lower()
    values = text.map(codes)
    refuse(values.isna().to_numpy(), file, column, f"one of {', '.join(codes)}", table)
    return np.ascontiguousarray(values.to_numpy(np.int64))


def ordered(times: I64, file: str, column: str) -> None:
    """Refuse times or ids that go back."""
    back = np.flatnonzero(np.diff(times) < 0)
    if back.size:
        i = int(back[0]) + 1
        raise InputError(
            f"{file}, row {i + 1}: column {column} must not go back, got {times[i]} after "
            f"{times[i - 1]}; sort the file"
        )


def in_units(table: "pd.DataFrame", column: str, file: str, decimals: int) -> tuple[I64, Bool]:
    """Turn a column into whole multiples of 10^-decimals.

    Returns
    -------
    units : I64 (row,)
    off : Bool (row,)
        Rows that are no such multiple; their `units` are rounded.

    Raises
    ------
    InputError
        If more than one row in a hundred is off: the unit is wrong then, not the row.
    """
    numbers = decimal(table, column, file)
    scaled = numbers * 10.0**decimals
    nearest = np.round(scaled)
    off = np.abs(scaled - nearest) > 1e-6 * np.maximum(1.0, np.abs(scaled) * 1e-8)
    if off.mean() > _MOST_OFF:
        raise InputError(
            f"{file}: column {column} must hold multiples of {10.0**-decimals:g}, got "
            f"{int(off.sum())} of {off.size} rows that are none, the first being "
            f"{numbers[int(np.argmax(off))]:.12g}; check the units of the file"
        )
    most = MAX_PRICE if column == "price" else MAX_QUANTITY
    refuse(np.abs(nearest) > most, file, column, f"at most {most * 10.0**-decimals:g}", table)
    return np.ascontiguousarray(nearest.astype(np.int64)), off


def decimals_of(numbers: F64, share: float) -> int:
    """Fewest decimals that write this share of the numbers exactly; at most 8."""
    for decimals in range(_FINEST):
        scaled = numbers * 10.0**decimals
        fits = np.abs(scaled - np.round(scaled)) <= 1e-6 * np.maximum(1.0, np.abs(scaled) * 1e-8)
        if fits.mean() >= share:
            return decimals
    return _FINEST


def window_of(prices: I64, most: int) -> tuple[int, int]:
    """Lowest price and number of levels of a window that holds these prices.

    Where they span more than `most` levels, the window lies around their median.
    """
    low, span = int(prices.min(initial=MAX_PRICE)), int(np.ptp(prices)) + 1 if prices.size else 1
    if span > most:
        return max(int(np.median(prices)) - most // 2, 1), most
    return max(min(low, MAX_PRICE), 1), -(-span // 4096) * 4096
