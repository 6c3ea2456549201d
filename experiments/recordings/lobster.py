"""LOBSTER: a day's messages of one stock at NASDAQ, joined with the best k levels after each.

One table with the columns `time_ns, type, order_id, size, price, direction` and, for each level,
`ask_px1, ask_sz1, bid_px1, bid_sz1, ...`; or LOBSTER's own pair of files without a header, named
`..._message_K.csv` and `..._orderbook_K.csv`. Prices are dollars times 10,000; a tick is a cent.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.recordings.tables import need, ordered, refuse, whole
from sim.book.layout import MAX_PRICE, MAX_QUANTITY, Side
from sim.book.replay import ANONYMOUS, DELETE, EXECUTE, HIDDEN, NEW, OTHER, TAKE, Recording
from sim.errors import InputError
from sim.kernel import I64, Bool

if TYPE_CHECKING:
    import pandas as pd

TICK = 100  # of 1e-4 dollars
TYPES = {
    1: "new order", 2: "partial cancel", 3: "deletion", 4: "execution", 5: "hidden execution",
    6: "auction trade", 7: "halt",
}  # fmt: skip
_KINDS = np.array([0, NEW, TAKE, DELETE, EXECUTE, HIDDEN, OTHER, OTHER], np.int64)
_MESSAGE = ("time_ns", "type", "order_id", "size", "price", "direction")
_ABSENT = 9_999_999_999  # price of a level that does not exist, negative for bids
_MOST_OFF = 0.01


@dataclass(frozen=True)
class Lobster:
    """A day's recording.

    Attributes
    ----------
    recorded : Recording
        Prices in ticks of a cent.
    kind : I64 (row,)
        LOBSTER's type of each row.
    off_tick : Bool (row,)
        Rows whose price is no whole cent.
    excluded : Bool (row,)
        Rows of visible orders that are off the tick or have no size; they are not applied.
    """

    recorded: Recording
    kind: I64
    off_tick: Bool
    excluded: Bool


def is_message_file(path: Path) -> bool:
    """Whether a path is the first of LOBSTER's own pair of files."""
    return path.suffix == ".csv" and "_message_" in path.name


def read_pair(path: Path) -> "pd.DataFrame":
    """Read LOBSTER's own pair of files as one table."""
    import pandas as pd

    other = path.with_name(path.name.replace("_message_", "_orderbook_"))
    tables = []
    for file in (path, other):
        if not file.is_file():
            raise InputError(f"{file} must be one of LOBSTER's pair of files, got no such file; "
                             "put both into one folder")  # fmt: skip
        try:
            tables.append(pd.read_csv(file, header=None))
        except Exception as error:  # the reader raises a dozen unrelated types
            raise InputError(
                f"{file.name} must be a whole CSV file, but reading it failed with "
                f"{type(error).__name__}: {str(error).splitlines()[0]}; get the file anew"
            ) from None
    messages, levels = tables
    if messages.shape[1] < 6 or levels.shape[1] % 4 or len(messages) != len(levels):
        raise InputError(
            f"{path.name} must have 6 columns, and {other.name} 4 per level and as many rows, got "
            f"{messages.shape[1]} and {levels.shape[1]} columns, {len(messages)} and {len(levels)} "
            "rows; get the files anew"
        )
    messages = messages.iloc[:, :6].set_axis(list(_MESSAGE), axis=1)
    seconds = pd.to_numeric(messages["time_ns"], errors="coerce")
    refuse(seconds.isna().to_numpy(), path.name, "time_ns", "seconds after midnight", messages)
    messages["time_ns"] = (seconds * 1e9).round().astype(np.int64)
    names = [
        f"{side}_{what}{level + 1}"
        for level in range(levels.shape[1] // 4)
        for side in ("ask", "bid")
        for what in ("px", "sz")
    ]
    return pd.concat([messages, levels.set_axis(names, axis=1)], axis=1)


def parse(table: "pd.DataFrame", file: str) -> Lobster:
    """Turn a table into a recording.

    Raises
    ------
    InputError
        If a column is missing or holds what it must not.
    """
    columns = {name: whole(table, name, file) for name in _MESSAGE}
    kind, price, direction = columns["type"], columns["price"], columns["direction"]
    ordered(columns["time_ns"], file, "time_ns")
    refuse((kind < 1) | (kind > 7), file, "type", "a type from 1 to 7", table)
    refuse(np.abs(direction) != 1, file, "direction", "1 (bid) or -1 (ask)", table)
    visible = kind <= 4
    ids = columns["order_id"]
    refuse((ids < 0) | (ids >= ANONYMOUS), file, "order_id", "numbers from 0 to 2^61 - 1", table)
    refuse(visible & (np.abs(columns["size"]) > MAX_QUANTITY), file, "size",
           f"at most {MAX_QUANTITY} shares", table)  # fmt: skip
    refuse(visible & (np.abs(price) > MAX_PRICE), file, "price", f"at most {MAX_PRICE}", table)
    off = price % TICK != 0
    if off[visible].mean() > _MOST_OFF if visible.any() else False:
        raise InputError(
            f"{file}: column price must hold multiples of {TICK} (dollars times 10,000, whole "
            f"cents), got {int(off[visible].sum())} of {int(visible.sum())} visible rows that are "
            "none; check the units of the file"
        )
    excluded = visible & (off | (columns["size"] <= 0) | (price <= 0))
    kinds = np.where(excluded, OTHER, _KINDS[kind])
    side = np.where(direction > 0, int(Side.BUY), int(Side.SELL))
    return Lobster(
        Recording(
            kinds, columns["order_id"], columns["size"], price // TICK, side.astype(np.int64),
            columns["time_ns"], _levels(table, file),
        ),
        kind, off, excluded,
    )  # fmt: skip


def _levels(table: "pd.DataFrame", file: str) -> I64:
    """Read the levels: (row, side, level, 2), 0 where there is none."""
    depth = sum(str(name).startswith("bid_px") for name in table.columns)
    need(table, [f"{s}_{w}{j + 1}" for j in range(depth) for s in ("ask", "bid")
                 for w in ("px", "sz")], file)  # fmt: skip
    levels = np.zeros((len(table), 2, depth, 2), np.int64)
    for j in range(depth):
        for side, name in ((int(Side.BUY), "bid"), (int(Side.SELL), "ask")):
            price = whole(table, f"{name}_px{j + 1}", file)
            there = (np.abs(price) < _ABSENT) & (price > 0)
            bad = there & ((price % TICK != 0) | (price > MAX_PRICE))
            refuse(bad, file, f"{name}_px{j + 1}", f"multiples of {TICK}", table)
            lots = whole(table, f"{name}_sz{j + 1}", file)
            refuse(there & (lots < 1), file, f"{name}_sz{j + 1}", "sizes above 0", table)
            levels[:, side, j, 0] = np.where(there, price // TICK, 0)
            levels[:, side, j, 1] = np.where(there, lots, 0)
    return levels
