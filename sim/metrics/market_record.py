"""What happened in a market, simulated or real, as plain columns that facts are read from."""

from dataclasses import dataclass, field, fields

import numpy as np

from sim.errors import InputError
from sim.kernel import F64, I64


def _none() -> F64:
    return np.empty(0)


def _no_side() -> I64:
    return np.empty(0, np.int64)


def _no_levels() -> F64:
    return np.empty((0, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Metaorders:
    """Large orders that were worked in pieces, shape (n,): what a parent did to the price."""

    size: F64  # lots executed
    start: F64  # s
    end: F64  # s
    side: I64  # +1 bought, -1 sold
    average_price: F64  # currency
    price_before: F64  # currency, the mid at the decision


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketRecord:
    """One market, one stretch of continuous trading.

    Times are seconds from any origin, ascending. Prices are in the market's currency and sizes in
    its own unit (shares, coins, lots): no fact depends on the unit. Columns that a market does not
    have stay empty, and the facts that need them are reported as absent.
    """

    name: str
    tick: float  # currency, the smallest step of a price
    trade_time: F64 = field(default_factory=_none)  # (n,) s
    trade_price: F64 = field(default_factory=_none)  # (n,) currency
    trade_size: F64 = field(default_factory=_none)  # (n,)
    trade_sign: I64 = field(default_factory=_no_side)  # (n,) +1 a buyer took, -1 a seller took
    quote_time: F64 = field(default_factory=_none)  # (m,) s, the touch after each change
    bid: F64 = field(default_factory=_none)  # (m,) currency
    ask: F64 = field(default_factory=_none)  # (m,) currency
    bid_size: F64 = field(default_factory=_none)  # (m,)
    ask_size: F64 = field(default_factory=_none)  # (m,)
    depth_time: F64 = field(default_factory=_none)  # (k,) s, sampled
    bid_depth: F64 = field(default_factory=_no_levels)  # (k, L) size by distance from the touch
    ask_depth: F64 = field(default_factory=_no_levels)  # (k, L)
    depth_distance: F64 = field(
        default_factory=_none
    )  # (L,) ticks behind the touch, 0 is the touch
    order_time: F64 = field(default_factory=_none)  # (j,) s, arrivals of limit orders
    order_size: F64 = field(default_factory=_none)  # (j,)
    order_distance: F64 = field(default_factory=_none)  # (j,) ticks behind the same-side touch
    parent: Metaorders | None = None

    def __post_init__(self) -> None:
        if not self.tick > 0.0:
            raise InputError(f"{self.name}: the tick must be positive, got {self.tick}")
        for time, columns in (
            ("trade_time", ("trade_price", "trade_size", "trade_sign")),
            ("quote_time", ("bid", "ask", "bid_size", "ask_size")),
            ("depth_time", ("bid_depth", "ask_depth")),
            ("order_time", ("order_size", "order_distance")),
        ):
            self._check(time, columns)

    def _check(self, time: str, columns: tuple[str, ...]) -> None:
        """One group of columns: as many rows as times, times ascending."""
        times = getattr(self, time)
        for column in columns:
            rows = len(getattr(self, column))
            if rows != len(times) and not (rows == 0 and column == "order_distance"):
                raise InputError(
                    f"{self.name}: {column} has {rows} rows and {time} has {len(times)}"
                )
        if len(times) and not np.all(np.isfinite(times)):
            raise InputError(f"{self.name}: {time} holds a value that is not a number")
        if np.any(np.diff(times) < 0.0):
            raise InputError(f"{self.name}: {time} must ascend: sort the rows by time")

    @property
    def seconds(self) -> float:
        """Span from the first to the last quote or trade."""
        ends = [t for t in (self.trade_time, self.quote_time) if len(t)]
        return max(t[-1] for t in ends) - min(t[0] for t in ends) if ends else 0.0


RECORD_FIELDS = tuple(item.name for item in fields(MarketRecord))
"""The names that a reader or a simulation may give."""
