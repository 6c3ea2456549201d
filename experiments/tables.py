"""Read tables of times, symbols and numbers, and refuse bad ones with one sentence.

Every error names the file, the column, row or symbol, what was expected, what came and what to do.
Rows are counted from 1, without the header. Files are only ever read.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.errors import InputError
from sim.kernel import F64, Bool

if TYPE_CHECKING:
    import pandas as pd

TIMES = ("ts", "timestamp", "open_time", "time", "datetime", "date", "open time")
SYMBOLS = ("symbol", "ticker", "pair", "asset", "market")
VENUES = ("venue", "exchange")
KLINES = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades",
    "taker_buy_base_volume", "taker_buy_quote_volume", "ignore",
)  # fmt: skip
_SUFFIXES = ("", ".parquet", ".csv", ".csv.gz")


def some(names: Iterable[object], most: int = 20) -> str:
    """List names for an error, not too many."""
    listed = [str(name) for name in names]
    tail = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + tail if listed else "none"


def locate(data: str | Path | None, file: str | Path) -> Path:
    """Find a table: in the folder `data`, or by its own path; the suffix may be left out."""
    if not str(file or "").strip():
        raise InputError("file must name a CSV or Parquet table, got nothing; set it")
    folders = [Path()] if data is None else [Path(data)]
    for folder in folders:
        for suffix in _SUFFIXES:
            path = folder / f"{file}{suffix}"
            if path.is_file():
                return path
    if data is None:
        raise InputError(
            f"this scenario reads {file} and needs data=DIR, the folder of market tables, got "
            "none; set data, or choose a synthetic price such as price=merton"
        )
    if not Path(data).is_dir():
        raise InputError(
            f"data must be the folder of market tables, got {data}, which is no folder; correct it"
        )
    raise InputError(
        f"{data} must hold the table {file} (.parquet or .csv), got no such file; correct data or "
        "file, or choose a synthetic price such as price=merton"
    )


def read_table(path: str | Path) -> "pd.DataFrame":
    """Read a CSV (also compressed) or Parquet file, column names in lower case.

    Exchange klines without a header are recognised by their twelve columns of numbers.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"{path} must be a CSV or Parquet file, got no such file; correct the path"
        )
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            table = pd.read_csv(path, header=None if _starts_with_numbers(path) else "infer")
    except Exception as error:  # the readers raise a dozen unrelated types
        raise InputError(
            f"{path.name} must be a whole CSV or Parquet file, but reading it failed with "
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason'}; "
            "get the file anew"
        ) from None
    if not any(isinstance(column, str) for column in table.columns):
        if len(table.columns) != len(KLINES):
            raise InputError(
                f"{path.name} has no header and must be exchange klines of {len(KLINES)} columns, "
                f"got {len(table.columns)} columns; add a header"
            )
        table.columns = list(KLINES)
    table.columns = [str(column).strip().lower() for column in table.columns]
    if table.columns.duplicated().any():
        twice = table.columns[table.columns.duplicated()][0]
        raise InputError(f"{path.name} must name each column once, got {twice} twice; rename one")
    return table


def _starts_with_numbers(path: Path) -> bool:
    import pandas as pd

    row = pd.read_csv(path, header=None, nrows=1).iloc[0]
    return bool(pd.to_numeric(row, errors="coerce").notna().all())


def column_of(table: "pd.DataFrame", names: Sequence[str]) -> str | None:
    """Find the first of several column names in a table."""
    return next((name for name in names if name in table.columns), None)


def unix_seconds(column: "pd.Series[Any]", file: str) -> F64:
    """Turn a column of times into unix seconds; text without a zone is UTC.

    Numbers are seconds, milliseconds, microseconds or nanoseconds by their size.
    """
    import pandas as pd

    if pd.api.types.is_bool_dtype(column):
        raise InputError(f"{file}: column {column.name} must hold times, got booleans; correct it")
    if pd.api.types.is_numeric_dtype(column):
        numbers = column.to_numpy(np.float64)
        _refuse(~np.isfinite(numbers), file, str(column.name), "a time", numbers, column.index)
        largest = float(np.abs(numbers).max(initial=0.0))
        scale = next((s for s in (1.0, 1e3, 1e6) if largest < 1e11 * s), 1e9)
        return np.asarray(numbers / scale)
    if not pd.api.types.is_datetime64_any_dtype(column):
        times = pd.to_datetime(column, utc=True, errors="coerce", format="mixed")
    elif column.dt.tz is None:
        times = column.dt.tz_localize("UTC")
    else:
        times = column.dt.tz_convert("UTC")
    bad = times.isna().to_numpy()
    _refuse(bad, file, str(column.name), "a time", column.to_numpy(), column.index)
    return np.asarray(times.dt.as_unit("ns").astype("int64").to_numpy(np.float64) / 1e9)


def unix_time(moment: str | float, field: str) -> float:
    """Turn an ISO time (UTC unless it says otherwise) or unix seconds into unix seconds."""
    if isinstance(moment, int | float) and not isinstance(moment, bool):
        return float(moment)
    try:
        when = datetime.fromisoformat(str(moment))
    except ValueError:
        raise InputError(
            f"{field} must be a time such as 2020-03-12T00:00 (UTC), got {moment!r}; correct it"
        ) from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def positive(table: "pd.DataFrame", name: str, file: str) -> F64:
    """Turn a column into positive finite numbers."""
    import pandas as pd

    numbers = pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64)
    bad = ~(numbers > 0.0) | np.isinf(numbers)
    _refuse(bad, file, name, "a positive number", table[name].to_numpy(), table.index)
    return np.ascontiguousarray(numbers)


def check_order(ts: F64, table: "pd.DataFrame", file: str, symbol: str) -> None:
    """Refuse timestamps that do not increase."""
    from sim.prices.bars import utc

    back = np.diff(ts) <= 0.0
    if back.any():
        i = int(np.argmax(back)) + 1
        twice = ts[i] == ts[i - 1]
        came = f"{utc(ts[i])} twice" if twice else f"{utc(ts[i])} after {utc(ts[i - 1])}"
        cure = "drop the duplicate" if twice else "sort the file by time"
        raise InputError(
            f"{file}, row {int(table.index[i]) + 1}: timestamps of {symbol} must increase, got "
            f"{came}; {cure}"
        )


def _refuse(
    bad: Bool, file: str, column: str, expected: str, values: Any, rows: "pd.Index[Any]"
) -> None:
    """Raise InputError for the first offending row."""
    if bad.any():
        i = int(np.argmax(bad))
        value = values[i]
        shown = "an empty cell" if value is None or value != value else f"{value!s}"
        raise InputError(
            f"{file}, row {int(rows[i]) + 1}: column {column} must hold {expected}, got {shown}; "
            "correct or drop the row"
        )
