"""How each stylised fact is read from a record: value, standard error, observations, remark."""

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from sim.kernel import F64
from sim.metrics import estimators as est
from sim.metrics import series
from sim.metrics.market_record import MarketRecord

FEWEST_FOR_KURTOSIS = 75
FEWEST_FOR_TAIL = 300
_MOST_LAGS = 600  # s of the autocorrelation of absolute returns
_MOST_SIGN_LAGS = 500  # orders

ENOUGH_TO_DENY = 5000
"""Observations from which the absence of a memory is a finding and not a lack of data."""


class Number(NamedTuple):
    """What a record says of a fact."""

    value: float  # NaN where there is none
    error: float
    n: int  # observations
    remark: str = ""  # or the reason of a NaN
    is_denied: bool = False  # there were observations enough, and nothing to measure in them


class Reading:
    """A record with the series that several facts share, each made once."""

    def __init__(self, record: MarketRecord, n_resamples: int = 100) -> None:
        self.record = record
        self.n_resamples = n_resamples
        self._returns: dict[float, F64] = {}

    def returns(self, horizon: float) -> F64:
        """Log returns of the mid over `horizon` seconds."""
        if horizon not in self._returns:
            self._returns[horizon] = series.returns(self.record, horizon)
        return self._returns[horizon]

    @cached_property
    def orders(self) -> series.Orders:
        """Market orders."""
        return series.orders(self.record)

    @cached_property
    def gaps(self) -> F64:
        """Seconds between consecutive market orders, shape (n - 1,)."""
        return np.diff(self.orders.time)

    @cached_property
    def spreads(self) -> tuple[F64, F64, F64]:
        """Spread and mid in currency, each with the seconds for which it stood, shape (m - 1,)."""
        it = self.record
        return (it.ask - it.bid)[:-1], series.mid(it)[:-1], np.diff(it.quote_time)

    def error(self, rows: F64, statistic: Callable[[F64], float], block: int) -> float:
        """Give the standard error by the moving-block bootstrap, always with the same draws."""
        if self.n_resamples == 0:
            return np.nan
        return est.block_bootstrap(rows, statistic, block, n_resamples=self.n_resamples)


def _absent(reason: str, n: int = 0, enough: float = np.inf) -> Number:
    """Give no value, and deny the fact where n observations should have been enough to see it."""
    return Number(np.nan, np.nan, n, reason, n >= enough)


def _stat(it: Reading, rows: F64, statistic: Callable[[F64], float], block: int) -> Number:
    """Value and error of a statistic of rows, or the reason why there is none."""
    value = statistic(rows)
    if not np.isfinite(value):
        return _absent("the estimate does not exist here", len(rows))
    return Number(value, it.error(rows, statistic, block), len(rows))


def _root(n: int, least: int = 1) -> int:
    """Rows in a block: the square root of n, or more where lags must fit into it."""
    return max(int(np.sqrt(n)), least)


def kurtosis(horizon: float) -> Callable[[Reading], Number]:
    """Make a reader of the excess kurtosis at a horizon in seconds."""

    def read(it: Reading) -> Number:
        x = it.returns(horizon)
        if len(x) < FEWEST_FOR_KURTOSIS:
            return _absent(f"{len(x)} returns, {FEWEST_FOR_KURTOSIS} needed", len(x))
        return _stat(it, x, est.moments_kurtosis, _root(len(x)))

    return read


def tail(horizon: float) -> Callable[[Reading], Number]:
    """Make a reader of the Hill tail index at a horizon in seconds."""

    def read(it: Reading) -> Number:
        x = np.abs(it.returns(horizon))
        if len(x) < FEWEST_FOR_TAIL:
            return _absent(f"{len(x)} returns, {FEWEST_FOR_TAIL} needed", len(x))
        return _stat(it, x, est.hill, _root(len(x)))

    return read


HORIZONS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


def kurtosis_slope(x: F64) -> float:
    """Slope of log excess kurtosis on log horizon, from 1 s returns (n,).

    Horizons with at least 75 returns count, up to the first whose kurtosis sinks below twice the
    error that it has for normal returns, sqrt(24 / n); NaN with fewer than three. Independent
    heavy-tailed returns have -1.
    """
    steps, tall = [], []
    for h in (int(horizon) for horizon in HORIZONS):
        n = len(x) // h
        kurtosis = est.moments_kurtosis(x[: n * h].reshape(n, h).sum(axis=1)) if n else np.nan
        if n < FEWEST_FOR_KURTOSIS or not kurtosis > 2.0 * np.sqrt(24.0 / n):
            break
        steps.append(h)
        tall.append(kurtosis)
    if len(steps) < 3:
        return np.nan
    return float(np.polyfit(np.log(steps), np.log(tall), 1)[0])


def gaussianity(it: Reading) -> Number:
    """Read how the excess kurtosis falls with the horizon."""
    x = it.returns(1.0)
    if len(x) < 5 * FEWEST_FOR_KURTOSIS:
        return _absent("fewer than three horizons with enough returns", len(x))
    value = kurtosis_slope(x)
    if not np.isfinite(value):
        return _absent("fewer than three horizons show an excess kurtosis", len(x), ENOUGH_TO_DENY)
    return Number(value, it.error(x, kurtosis_slope, _root(len(x), 600)), len(x))


def bounce(it: Reading) -> Number:
    """Read the lag 1 autocorrelation of prices from order to order."""
    price = it.orders.price
    if len(price) < 200:
        return _absent("fewer than 200 market orders", len(price))
    move = np.diff(np.log(price))
    return _stat(it, move, lambda x: float(est.autocorrelation(x, 1)[1]), _root(len(move), 20))


def _acf_sum(first: int, last: int, *, mean: bool = False) -> Callable[[F64], float]:
    def statistic(x: F64) -> float:
        part = est.autocorrelation(x, last)[first : last + 1]
        return float(part.mean() if mean else part.sum())

    return statistic


def return_memory(it: Reading) -> Number:
    """Read the mean autocorrelation of returns over lags 2 to 20 s."""
    x = it.returns(1.0)
    if len(x) < 200:
        return _absent("fewer than 200 returns", len(x))
    return _stat(it, x, _acf_sum(2, 20, mean=True), _root(len(x), 100))


def clustering(it: Reading) -> Number:
    """Read the summed autocorrelation of absolute returns over lags 1 to 30 s."""
    x = np.abs(it.returns(1.0))
    if len(x) < 300:
        return _absent("fewer than 300 returns", len(x))
    return _stat(it, x, _acf_sum(1, 30), _root(len(x), 150))


def absolute_decay(it: Reading) -> Number:
    """Read the exponent at which the memory of absolute returns decays."""
    x = np.abs(it.returns(1.0))
    most = min(len(x) // 10, _MOST_LAGS)
    if most < 30:
        return _absent("fewer than 300 returns", len(x))
    return _decay(it, x, most)


def _decay(it: Reading, x: F64, most: int) -> Number:
    def statistic(values: F64) -> float:
        return est.decay_exponent(est.autocorrelation(values, most), len(values), most)

    value = statistic(x)
    if not np.isfinite(value):
        return _absent(
            "the memory sinks into noise at once: no decay to fit", len(x), ENOUGH_TO_DENY
        )
    return Number(value, it.error(x, statistic, _root(len(x), 5 * most)), len(x))


def leverage(it: Reading) -> Number:
    """Read the mean correlation of a return with the absolute returns after it."""
    x = it.returns(1.0)
    if len(x) < 300:
        return _absent("fewer than 300 returns", len(x))

    def statistic(values: F64) -> float:
        absolute = np.abs(values)
        later = [est.correlation(values[:-lag], absolute[lag:]) for lag in range(1, 31)]
        return float(np.mean(later))

    return _stat(it, x, statistic, _root(len(x), 150))


def spread(unit: str) -> Callable[[Reading], Number]:
    """Make a reader of the spread: mean in bps, median in ticks, or coefficient of variation."""

    def read(it: Reading) -> Number:
        if len(it.record.quote_time) < 100:
            return _absent("fewer than 100 quotes", len(it.record.quote_time))
        gap, level, stood = it.spreads
        if unit == "median ticks":
            order = np.argsort(gap, kind="stable")
            share = np.cumsum(stood[order])
            at = int(np.searchsorted(share, 0.5 * share[-1]))
            value = round(float(gap[order[min(at, len(gap) - 1)]] / it.record.tick), 6)
            return Number(value, np.nan, len(gap))
        x = 1e4 * gap / level if unit == "bps" else gap
        rows = np.column_stack([x, stood])

        def statistic(values: F64) -> float:
            total = float(values[:, 1].sum())
            if not total > 0.0:
                return np.nan
            mean = float(np.sum(values[:, 0] * values[:, 1])) / total
            if unit == "bps" or not mean > 0.0:
                return mean if unit == "bps" else np.nan
            square = float(np.sum(values[:, 0] ** 2 * values[:, 1])) / total
            return float(np.sqrt(max(square / mean**2 - 1.0, 0.0)))

        return _stat(it, rows, statistic, _root(len(rows)))

    return read


_NEIGHBOURS = 5


def hump(depth: F64) -> float:
    """Largest mean of five neighbouring bins behind the touch over that of the nearest five.

    The touch itself (bin 0) is left out: it is never empty, all others may be. 1 where depth only
    falls with distance; NaN with fewer than ten bins in sight.
    """
    behind = depth[1:]
    sight = np.flatnonzero(~np.isfinite(behind))
    behind = behind[: sight[0]] if len(sight) else behind
    if len(behind) < 2 * _NEIGHBOURS or not behind[:_NEIGHBOURS].sum() > 0.0:
        return np.nan
    means = np.convolve(behind, np.full(_NEIGHBOURS, 1.0 / _NEIGHBOURS), "valid")
    return float(means.max() / means[0])


def depth_hump(it: Reading) -> Number:
    """Read how far the depth behind the touch rises above that next to it."""
    record = it.record
    if record.bid_depth.shape[1] < 2 * _NEIGHBOURS + 1 or len(record.depth_time) < 50:
        return _absent("depth behind the touch is not recorded", len(record.depth_time))

    def statistic(which: F64) -> float:
        rows = which.astype(np.int64)
        return hump(series.mean_depth(record.bid_depth[rows], record.ask_depth[rows]))

    rows = np.arange(len(record.depth_time), dtype=np.float64)
    return _stat(it, rows, statistic, _root(len(rows)))


def size_tail(it: Reading) -> Number:
    """Read the tail index of the sizes of market orders."""
    size = it.orders.size
    if len(size) < FEWEST_FOR_TAIL:
        return _absent(f"fewer than {FEWEST_FOR_TAIL} market orders", len(size))
    return _stat(it, size, est.hill, _root(len(size)))


def round_sizes(it: Reading) -> Number:
    """Share of limit orders (else of market orders) with one significant digit."""
    known = len(it.record.order_size) > 0
    size = it.record.order_size if known else it.orders.size
    size = size[size > 0.0]
    if len(size) < 200:
        return _absent("fewer than 200 orders", len(size))
    large = size[size >= 9.5 * size.min()]
    if len(large) < 100:
        return _absent("sizes span less than a factor of ten", len(large))
    lead = large / 10.0 ** np.floor(np.log10(large) + 1e-9)
    is_round = (np.abs(lead - np.round(lead)) < 1e-6).astype(np.float64)
    remark = "limit orders" if known else "market orders, limit orders are not recorded"
    found = _stat(it, is_round, lambda x: float(x.mean()), _root(len(large)))
    return found._replace(remark=remark)


def placement(it: Reading) -> Number:
    """Read the tail index of the distances of limit orders behind the touch."""
    distance = it.record.order_distance
    distance = distance[distance > 0.0]
    if len(distance) < FEWEST_FOR_TAIL:
        return _absent("limit orders and their distances are not recorded", len(distance))
    return _stat(it, distance, est.hill, _root(len(distance)))


def gap_variation(it: Reading) -> Number:
    """Read the coefficient of variation of the times between market orders."""
    if len(it.gaps) < 200:
        return _absent("fewer than 200 market orders", len(it.gaps))
    return _stat(it, it.gaps, est.variation, _root(len(it.gaps)))


def gap_clustering(it: Reading) -> Number:
    """Read the mean rank autocorrelation of the times between market orders."""
    if len(it.gaps) < 200:
        return _absent("fewer than 200 market orders", len(it.gaps))
    x = est.ranks(it.gaps)
    return _stat(it, x, _acf_sum(1, 20, mean=True), _root(len(x), 100))


def sign_memory(it: Reading) -> Number:
    """Read the summed autocorrelation of order signs over lags 1 to 50."""
    x = it.orders.sign.astype(np.float64)
    if len(x) < 500:
        return _absent("fewer than 500 market orders", len(x))
    return _stat(it, x, _acf_sum(1, 50), _root(len(x), 250))


def sign_decay(it: Reading) -> Number:
    """Read the exponent at which the memory of order signs decays."""
    x = it.orders.sign.astype(np.float64)
    most = min(len(x) // 10, _MOST_SIGN_LAGS)
    if most < 50:
        return _absent("fewer than 500 market orders", len(x))
    return _decay(it, x, most)


def order_impact(it: Reading) -> Number:
    """Read the exponent of the impact of market orders in their size."""
    rows = series.order_impact(it.record, it.orders)
    if len(rows) < 1000:
        return _absent("fewer than 1,000 market orders", len(rows))
    return _exponent(it, rows, "")


def metaorder_impact(it: Reading) -> Number:
    """Read the exponent of the impact of metaorders in their size."""
    rows, is_proxy = series.metaorder_impact(it.record)
    if len(rows) < (1000 if is_proxy else 100):
        return _absent("too few runs of one sign" if is_proxy else "too few metaorders", len(rows))
    return _exponent(it, rows, "proxy: runs of market orders of one sign" if is_proxy else "")


_ORDERS_TO_DENY = 1000


def _exponent(it: Reading, rows: F64, remark: str) -> Number:
    found = _stat(it, rows, est.impact_exponent, _root(len(rows)))
    if np.isfinite(found.value):
        return found._replace(remark=remark)
    reason = "; ".join(
        part for part in ("no impact that rises with size above noise", remark) if part
    )
    return _absent(reason, len(rows), _ORDERS_TO_DENY)


def volume_volatility(it: Reading) -> Number:
    """Read the rank correlation of traded size and absolute return over 10 s."""
    x = np.abs(it.returns(10.0))
    if len(x) < 30 or len(it.record.trade_time) == 0:
        return _absent(f"{len(x)} intervals, 30 needed", len(x))
    rows = np.column_stack([x, series.volumes(it.record, 10.0, len(x))])
    return _stat(it, rows, est.rank_correlation, _root(len(rows)))


def imbalance(it: Reading) -> Number:
    """Read the correlation of the queue imbalance with the next change of the mid."""
    rows = series.imbalance_and_next_move(it.record)
    if len(rows) < 200:
        return _absent("fewer than 200 changes of the mid", len(rows))
    return _stat(it, rows, lambda x: est.correlation(x[:, 0], x[:, 1]), _root(len(rows)))
