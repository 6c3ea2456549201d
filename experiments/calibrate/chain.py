"""Option chains as a table gives them: rows that cannot be used are counted by their reason.

Columns, names in any case: a time (`ts`, `timestamp`, ...), `expiry`, `strike`, `option_type` (call
or put, or their first letter), `underlying_price` (forward of the expiry, USD), and `mark_iv` (a
fraction) or both `bid_price` and `ask_price` (coin). `currency` tells several chains apart;
`mark_price` (coin) is compared with its own volatility where it is there. Prices are those of
inverse options: coin per coin of underlying.

Time to expiry is counted from `ts`, not taken from a column of the table: in the Deribit table the
column is up to six hours off, and marks agree four times better with the difference of the times.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.tables import TIMES, column_of, read_table, some, unix_seconds
from sim.errors import InputError
from sim.kernel import F64, I64, Bool
from sim.options.implied import implied_volatilities
from sim.options.terms import YEAR_SECONDS

if TYPE_CHECKING:
    import pandas as pd

NEEDED = ("expiry", "strike", "option_type", "underlying_price")
_SIGNS = {"call": 1.0, "c": 1.0, "put": -1.0, "p": -1.0}


@dataclass(frozen=True, slots=True)
class Chain:
    """Usable rows of a chain, each array (row,).

    `volatility` is the mark's, or that of the middle of the quotes in a chain without marks.
    `mark`, `bid` and `ask` are in coin, nan where there is none. `refused` counts rows by reason.
    """

    name: str
    currency: Any  # array of str
    ts: F64  # unix seconds
    expiry: F64
    strike: F64
    sign: F64
    forward: F64
    volatility: F64
    mark: F64
    bid: F64
    ask: F64
    refused: dict[str, int]
    one_sided: int  # rows without bid or ask that are kept for their mark

    @property
    def years(self) -> F64:
        """Time to expiry."""
        return (self.expiry - self.ts) / YEAR_SECONDS


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Rows of one moment and currency."""

    ts: float
    currency: str
    rows: I64


def load_chain(path: str | Path) -> Chain:
    """Read a chain and leave out what cannot be used.

    Raises
    ------
    InputError
        If columns are missing, an option is neither call nor put, or no row can be used.
    """
    path = Path(path)
    table = read_table(path)
    _check_columns(table, path.name)
    ts = unix_seconds(table[str(column_of(table, TIMES))], path.name)
    expiry = unix_seconds(table["expiry"], path.name)
    numbers = {
        name: _numbers(table, name)
        for name in (
            "strike",
            "underlying_price",
            "mark_iv",
            "mark_price",
            "bid_price",
            "ask_price",
        )
    }
    strike, forward = numbers["strike"], numbers["underlying_price"]
    bid, ask, mark_iv = numbers["bid_price"], numbers["ask_price"], numbers["mark_iv"]
    sign = _signs(table, path.name)
    marked = "mark_iv" in table.columns
    reasons = {
        "strike or underlying is not a positive number": ~_positive(strike, forward),
        "the expiry is not after the snapshot": ~(expiry > ts),
        "the bid is above the ask": bid > ask,
    }
    if marked:
        reasons["no mark volatility above 0"] = ~_positive(mark_iv)
    else:
        reasons["bid or ask is missing, and there is no mark volatility"] = ~_positive(bid, ask)
    keep, refused = np.ones(len(ts), np.bool_), {}
    for reason, bad in reasons.items():
        refused[reason] = int(np.count_nonzero(bad & keep))
        keep &= ~bad
    volatility = mark_iv.copy()
    if not marked:
        volatility = _of_quotes(keep, bid, ask, forward, strike, expiry - ts, sign)
        reason = "the middle of the quotes has no implied volatility"
        refused[reason] = int(np.count_nonzero(keep & ~_positive(volatility)))
        keep &= _positive(volatility)
    refused = {reason: n for reason, n in refused.items() if n}
    if not keep.any():
        listed = "; ".join(f"{reason}: {n:,} rows" for reason, n in refused.items()) or "no rows"
        raise InputError(
            f"{path.name} must have rows that can be used, got none ({listed}); get the file anew"
        )
    names = (
        table["currency"].astype(str).to_numpy()
        if "currency" in table.columns
        else np.full(len(ts), path.stem)
    )
    one_sided = int(np.count_nonzero(keep & ~_positive(bid, ask)))
    return Chain(
        name=path.name, currency=names[keep], ts=ts[keep], expiry=expiry[keep],
        strike=strike[keep], sign=sign[keep], forward=forward[keep],
        volatility=volatility[keep], mark=numbers["mark_price"][keep], bid=bid[keep],
        ask=ask[keep], refused=refused, one_sided=one_sided,
    )  # fmt: skip


def _check_columns(table: "pd.DataFrame", file: str) -> None:
    missing = [name for name in NEEDED if name not in table.columns]
    if column_of(table, TIMES) is None:
        missing.insert(0, "ts")
    if "mark_iv" not in table.columns and not {"bid_price", "ask_price"} <= set(table.columns):
        missing.append("mark_iv (or bid_price and ask_price)")
    if missing:
        raise InputError(
            f"{file} must have the columns of an option chain, missing {', '.join(missing)}, got "
            f"{some(table.columns)}; rename or add columns"
        )


def _numbers(table: "pd.DataFrame", name: str) -> F64:
    """Column as numbers; nan where it is absent or no number."""
    import pandas as pd

    if name not in table.columns:
        return np.full(len(table), np.nan)
    return np.asarray(pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64))


def _signs(table: "pd.DataFrame", file: str) -> F64:
    words = table["option_type"].astype(str).str.strip().str.lower()
    signs = words.map(_SIGNS).to_numpy(np.float64)
    bad = np.isnan(signs)
    if bad.any():
        i = int(np.argmax(bad))
        raise InputError(
            f"{file}, row {i + 1}: option_type must be call or put, got {words.iloc[i]!r}; correct "
            "or drop the row"
        )
    return np.asarray(signs)


def _positive(*columns: F64) -> Bool:
    good = np.ones(columns[0].shape, np.bool_)
    for column in columns:
        good &= np.isfinite(column) & (column > 0.0)
    return good


def _of_quotes(
    keep: Bool, bid: F64, ask: F64, forward: F64, strike: F64, seconds: F64, sign: F64
) -> F64:
    """Implied volatility of the middle of bid and ask; nan where there is none."""
    volatility = np.full(bid.shape, np.nan)
    volatility[keep] = implied_volatilities(
        0.5 * (bid + ask)[keep], 1.0, (strike / np.where(keep, forward, 1.0))[keep],
        seconds[keep] / YEAR_SECONDS, sign[keep],
    )[0]  # fmt: skip
    return volatility


def chosen(chain: Chain, currency: str = "all", every: int = 1) -> list[Snapshot]:
    """List every n-th snapshot of a currency, or of all, in the order of time.

    Raises
    ------
    InputError
        If the chain does not have the currency.
    """
    known = sorted(set(chain.currency))
    if currency != "all" and currency not in known:
        raise InputError(
            f"currency must be all or one of {some(known)} in {chain.name}, got {currency}; "
            "correct it"
        )
    found = []
    for name in known if currency == "all" else [currency]:
        rows = np.flatnonzero(chain.currency == name)
        moments, inverse = np.unique(chain.ts[rows], return_inverse=True)
        for i in range(0, len(moments), every):
            found.append(Snapshot(float(moments[i]), name, rows[inverse == i]))
    return sorted(found, key=lambda it: (it.ts, it.currency))
