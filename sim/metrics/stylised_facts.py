"""Stylised facts of a market: one function from a record to a table, the same for any market.

`measure(record)` reads every fact of `CATALOGUE` from one record of trades, quotes and depth.
`combine` folds the tables of several seeds into one with an interval across seeds. What counts as
reproduced is decided by `sim.metrics.fact_bands`, whose bands come from real markets and papers.

A fact that a record is too short or too bare for is reported as absent with the reason, never as a
number. Horizons are calendar time, so a market must be run at its own speed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sim.kernel import F64, I64
from sim.metrics import estimators as est
from sim.metrics import series
from sim.metrics.market_record import RECORD_FIELDS, MarketRecord, Metaorders

__all__ = [
    "CATALOGUE",
    "RECORD_FIELDS",
    "Fact",
    "MarketRecord",
    "Metaorders",
    "Spec",
    "combine",
    "measure",
]

FEWEST_FOR_KURTOSIS = 75
FEWEST_FOR_TAIL = 300
_MOST_LAGS = 600  # s of the autocorrelation of absolute returns
_MOST_SIGN_LAGS = 500  # orders

Number = tuple[float, float, int, str]
"""Value, standard error, number of observations, and a remark or the reason of a NaN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One number of one market, or the reason why there is none."""

    name: str
    value: float  # NaN where absent
    error: float  # standard error, NaN where unknown
    low: float  # 95% interval
    high: float
    n: int  # observations behind it
    n_seeds: int = 1
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a fact is and where it was first seen."""

    name: str
    title: str
    group: str
    definition: str
    source: str
    read: Callable[["Reading"], Number]


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


def _absent(reason: str, n: int = 0) -> Number:
    return np.nan, np.nan, n, reason


def _stat(it: Reading, rows: F64, statistic: Callable[[F64], float], block: int) -> Number:
    """Value and error of a statistic of rows, or the reason why there is none."""
    value = statistic(rows)
    if not np.isfinite(value):
        return _absent("the estimate does not exist here", len(rows))
    return value, it.error(rows, statistic, block), len(rows), ""


def _root(n: int, least: int = 1) -> int:
    """Rows in a block: the square root of n, or more where lags must fit into it."""
    return max(int(np.sqrt(n)), least)


def _kurtosis(horizon: float) -> Callable[[Reading], Number]:
    def read(it: Reading) -> Number:
        x = it.returns(horizon)
        if len(x) < FEWEST_FOR_KURTOSIS:
            return _absent(f"{len(x)} returns, {FEWEST_FOR_KURTOSIS} needed", len(x))
        return _stat(it, x, est.moments_kurtosis, _root(len(x)))

    return read


def _tail(horizon: float) -> Callable[[Reading], Number]:
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


def _gaussianity(it: Reading) -> Number:
    x = it.returns(1.0)
    if len(x) < 5 * FEWEST_FOR_KURTOSIS:
        return _absent("fewer than three horizons with enough returns", len(x))
    value = kurtosis_slope(x)
    if not np.isfinite(value):
        return _absent("fewer than three horizons show an excess kurtosis", len(x))
    return value, it.error(x, kurtosis_slope, _root(len(x), 600)), len(x), ""


def _bounce(it: Reading) -> Number:
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


def _return_memory(it: Reading) -> Number:
    x = it.returns(1.0)
    if len(x) < 200:
        return _absent("fewer than 200 returns", len(x))
    return _stat(it, x, _acf_sum(2, 20, mean=True), _root(len(x), 100))


def _clustering(it: Reading) -> Number:
    x = np.abs(it.returns(1.0))
    if len(x) < 300:
        return _absent("fewer than 300 returns", len(x))
    return _stat(it, x, _acf_sum(1, 30), _root(len(x), 150))


def _absolute_decay(it: Reading) -> Number:
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
        return _absent("the autocorrelation sinks into noise at once: no decay to fit", len(x))
    return value, it.error(x, statistic, _root(len(x), 5 * most)), len(x), ""


def _leverage(it: Reading) -> Number:
    x = it.returns(1.0)
    if len(x) < 300:
        return _absent("fewer than 300 returns", len(x))

    def statistic(values: F64) -> float:
        absolute = np.abs(values)
        later = [est.correlation(values[:-lag], absolute[lag:]) for lag in range(1, 31)]
        return float(np.mean(later))

    return _stat(it, x, statistic, _root(len(x), 150))


def _spread(unit: str) -> Callable[[Reading], Number]:
    def read(it: Reading) -> Number:
        if len(it.record.quote_time) < 100:
            return _absent("fewer than 100 quotes", len(it.record.quote_time))
        gap, level, stood = it.spreads
        if unit == "median ticks":
            order = np.argsort(gap, kind="stable")
            share = np.cumsum(stood[order])
            at = int(np.searchsorted(share, 0.5 * share[-1]))
            value = round(float(gap[order[min(at, len(gap) - 1)]] / it.record.tick), 6)
            return value, np.nan, len(gap), ""
        x = 1e4 * gap / level if unit == "bps" else gap
        rows = np.column_stack([x, stood])

        def statistic(values: F64) -> float:
            total = float(values[:, 1].sum())
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


def _hump(it: Reading) -> Number:
    record = it.record
    if record.bid_depth.shape[1] < 2 * _NEIGHBOURS + 1 or len(record.depth_time) < 50:
        return _absent("depth behind the touch is not recorded", len(record.depth_time))

    def statistic(which: F64) -> float:
        rows = which.astype(np.int64)
        return hump(series.mean_depth(record.bid_depth[rows], record.ask_depth[rows]))

    rows = np.arange(len(record.depth_time), dtype=np.float64)
    return _stat(it, rows, statistic, _root(len(rows)))


def _size_tail(it: Reading) -> Number:
    size = it.orders.size
    if len(size) < FEWEST_FOR_TAIL:
        return _absent(f"fewer than {FEWEST_FOR_TAIL} market orders", len(size))
    return _stat(it, size, est.hill, _root(len(size)))


def _round_sizes(it: Reading) -> Number:
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
    value, error, n, _ = _stat(it, is_round, lambda x: float(x.mean()), _root(len(large)))
    return value, error, n, remark


def _placement(it: Reading) -> Number:
    distance = it.record.order_distance
    distance = distance[distance > 0.0]
    if len(distance) < FEWEST_FOR_TAIL:
        return _absent("limit orders and their distances are not recorded", len(distance))
    return _stat(it, distance, est.hill, _root(len(distance)))


def _gap_variation(it: Reading) -> Number:
    if len(it.gaps) < 200:
        return _absent("fewer than 200 market orders", len(it.gaps))
    return _stat(it, it.gaps, est.variation, _root(len(it.gaps)))


def _gap_clustering(it: Reading) -> Number:
    if len(it.gaps) < 200:
        return _absent("fewer than 200 market orders", len(it.gaps))
    x = est.ranks(it.gaps)
    return _stat(it, x, _acf_sum(1, 20, mean=True), _root(len(x), 100))


def _sign_memory(it: Reading) -> Number:
    x = it.orders.sign.astype(np.float64)
    if len(x) < 500:
        return _absent("fewer than 500 market orders", len(x))
    return _stat(it, x, _acf_sum(1, 50), _root(len(x), 250))


def _sign_decay(it: Reading) -> Number:
    x = it.orders.sign.astype(np.float64)
    most = min(len(x) // 10, _MOST_SIGN_LAGS)
    if most < 50:
        return _absent("fewer than 500 market orders", len(x))
    return _decay(it, x, most)


def _order_impact(it: Reading) -> Number:
    rows = series.order_impact(it.record, it.orders)
    if len(rows) < 1000:
        return _absent("fewer than 1,000 market orders", len(rows))
    return _exponent(it, rows, "")


def _metaorder_impact(it: Reading) -> Number:
    rows, is_proxy = series.metaorder_impact(it.record)
    if len(rows) < (1000 if is_proxy else 100):
        return _absent("too few runs of one sign" if is_proxy else "too few metaorders", len(rows))
    return _exponent(it, rows, "proxy: runs of market orders of one sign" if is_proxy else "")


def _exponent(it: Reading, rows: F64, remark: str) -> Number:
    value, error, n, reason = _stat(it, rows, est.impact_exponent, _root(len(rows)))
    if not np.isfinite(value):
        remark = "; ".join(part for part in (remark, "the mean move does not rise", reason) if part)
    return value, error, n, remark


def _volume_volatility(it: Reading) -> Number:
    x = np.abs(it.returns(10.0))
    if len(x) < 30 or len(it.record.trade_time) == 0:
        return _absent(f"{len(x)} intervals, 30 needed", len(x))
    rows = np.column_stack([x, series.volumes(it.record, 10.0, len(x))])
    return _stat(it, rows, est.rank_correlation, _root(len(rows)))


def _imbalance(it: Reading) -> Number:
    rows = series.imbalance_and_next_move(it.record)
    if len(rows) < 200:
        return _absent("fewer than 200 changes of the mid", len(rows))
    return _stat(it, rows, lambda x: est.correlation(x[:, 0], x[:, 1]), _root(len(rows)))


CONT = "Cont 2001, Empirical properties of asset returns"
GOPI = "Gopikrishnan, Plerou, Amaral, Meyer & Stanley 1999"
BMP = "Bouchaud, Mezard & Potters 2002, Statistical properties of stock order books"
FLOW, BOOK, RETURNS, IMPACT = "Order flow", "Book", "Returns", "Impact"

CATALOGUE: tuple[Spec, ...] = tuple(
    Spec(name=name, title=title, group=group, definition=words, source=source, read=read)
    for name, title, group, words, source, read in (
        ("kurtosis_1s", "Excess kurtosis at 1 s", RETURNS,
         "fourth central moment over squared variance, less 3, of 1 s log returns of the mid",
         CONT, _kurtosis(1.0)),
        ("kurtosis_10s", "Excess kurtosis at 10 s", RETURNS,
         "the same of 10 s returns", CONT, _kurtosis(10.0)),
        ("kurtosis_60s", "Excess kurtosis at 60 s", RETURNS,
         "the same of 60 s returns", CONT, _kurtosis(60.0)),
        ("kurtosis_300s", "Excess kurtosis at 300 s", RETURNS,
         "the same of 300 s returns", CONT, _kurtosis(300.0)),
        ("tail_1s", "Tail index at 1 s", RETURNS,
         "Hill estimate of the exponent of P(|r| > x) on the largest 5% of 1 s |returns|",
         GOPI, _tail(1.0)),
        ("tail_10s", "Tail index at 10 s", RETURNS,
         "the same of 10 s returns", GOPI, _tail(10.0)),
        ("gaussianity", "Kurtosis falls with horizon", RETURNS,
         "slope of log excess kurtosis on log horizon, from 1 s until it sinks into noise or fewer "
         "than 75 returns are left, at most 300 s", CONT, _gaussianity),
        ("bounce", "Bounce of trade prices", RETURNS,
         "lag 1 autocorrelation of log price changes from one market order to the next",
         "Roll 1984; " + CONT, _bounce),
        ("return_memory", "No memory of returns", RETURNS,
         "mean autocorrelation of 1 s mid returns over lags 2 to 20", CONT, _return_memory),
        ("clustering", "Volatility clustering", RETURNS,
         "sum of the autocorrelation of 1 s |returns| over lags 1 to 30", CONT, _clustering),
        ("absolute_decay", "Decay of the memory of |r|", RETURNS,
         "exponent b of ACF(|r|, lag) ~ lag^-b, 1 s returns, lags to min(n/10, 600)",
         CONT, _absolute_decay),
        ("leverage", "Leverage effect", RETURNS,
         "mean correlation of a 1 s return with the |returns| of the next 30 s",
         "Bouchaud, Matacz & Potters 2001", _leverage),
        ("spread_bps", "Mean spread (bps)", BOOK,
         "best ask less best bid over the mid, weighted by time", BMP, _spread("bps")),
        ("spread_ticks", "Median spread (ticks)", BOOK,
         "median spread over the tick, weighted by time", BMP, _spread("median ticks")),
        ("spread_variation", "Spread fluctuates", BOOK,
         "standard deviation over mean of the spread, weighted by time",
         "Plerou, Gopikrishnan & Stanley 2005", _spread("cv")),
        ("depth_hump", "Depth peaks behind the touch", BOOK,
         "largest mean size of five neighbouring bins of distance behind the touch over that of "
         "the nearest five; the touch itself is left out", BMP, _hump),
        ("imbalance", "Imbalance foretells the mid", BOOK,
         "correlation of (bid size - ask size) / (bid size + ask size), half way between two "
         "changes of the mid, with the sign of the next change", "Gould & Bonart 2016", _imbalance),
        ("placement_tail", "Placement far from the touch", FLOW,
         "Hill index of the distance, in ticks, of limit orders behind the touch, largest 5%",
         BMP + "; Zovko & Farmer 2002", _placement),
        ("size_tail", "Tail of order sizes", FLOW,
         "Hill index of the size of market orders, largest 5%",
         "Gopikrishnan, Plerou, Gabaix & Stanley 2000", _size_tail),
        ("round_sizes", "Preference for round sizes", FLOW,
         "share of orders with a single significant digit, among sizes at least ten times the "
         "smallest", "Alexander & Peterson 2007; Mu, Chen, Kertesz & Zhou 2009", _round_sizes),
        ("gap_variation", "Bursts of market orders", FLOW,
         "standard deviation over mean of the time between market orders (Poisson: 1)",
         "Engle & Russell 1998; Bacry, Mastromatteo & Muzy 2015", _gap_variation),
        ("gap_clustering", "Memory of the waiting times", FLOW,
         "mean autocorrelation over lags 1 to 20 of the ranks of the times between market orders",
         "Engle & Russell 1998", _gap_clustering),
        ("sign_memory", "Memory of order signs", FLOW,
         "sum of the autocorrelation of the signs of market orders over lags 1 to 50",
         "Lillo & Farmer 2004; Bouchaud, Gefen, Potters & Wyart 2004", _sign_memory),
        ("sign_decay", "Decay of the memory of signs", FLOW,
         "exponent g of ACF(sign, lag) ~ lag^-g, lags to min(n/10, 500)",
         "Lillo & Farmer 2004", _sign_decay),
        ("order_impact", "Concave impact of an order", IMPACT,
         "exponent of the mean mid move, to just before the next market order, in the size",
         "Lillo, Farmer & Mantegna 2003", _order_impact),
        ("metaorder_impact", "Square-root impact of metaorders", IMPACT,
         "exponent d of the mean mid move ~ size^d over the life of a parent order; without "
         "parents over a run of market orders of one sign, which is a proxy",
         "Toth et al. 2011; Almgren et al. 2005", _metaorder_impact),
        ("volume_volatility", "Volume and volatility", IMPACT,
         "Spearman correlation of |return| and traded size over 10 s", "Karpoff 1987; " + CONT,
         _volume_volatility),
    )
)  # fmt: skip
"""Every fact, in the order of the report."""


def measure(record: MarketRecord, n_resamples: int = 100) -> dict[str, Fact]:
    """Read every fact of the catalogue from a record.

    Parameters
    ----------
    record : MarketRecord
        Simulated or real.
    n_resamples : int
        Of the bootstrap behind each standard error; 0 leaves errors out.

    Returns
    -------
    dict of str to Fact
        In the order of the catalogue; a fact without a value says why.
    """
    reading = Reading(record, n_resamples)
    out = {}
    for spec in CATALOGUE:
        value, error, n, remark = spec.read(reading)
        reach = est.Z95 * error
        out[spec.name] = Fact(
            name=spec.name, value=value, error=error, low=value - reach, high=value + reach,
            n=n, remark=remark,
        )  # fmt: skip
    return out


_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Student's t for a two-sided 95% interval with 1, 2, ... 9 degrees of freedom."""


def combine(tables: Sequence[dict[str, Fact]]) -> dict[str, Fact]:
    """Fold the facts of several seeds into means with intervals across seeds.

    Seeds are independent, so the interval is Student's t of the mean over those that gave a value;
    one seed keeps its own bootstrap interval. A fact that fewer than half of the seeds can give is
    absent.
    """
    if len(tables) == 1:
        return dict(tables[0])
    out = {}
    for name in tables[0]:
        every = [table[name] for table in tables]
        known = np.array([fact.value for fact in every if np.isfinite(fact.value)])
        n = sum(fact.n for fact in every)
        remarks = [fact.remark for fact in every if fact.remark]
        remark = remarks[0] if remarks else ""
        nothing = Fact(
            name=name, value=np.nan, error=np.nan, low=np.nan, high=np.nan, n=n,
            n_seeds=len(known), remark=remark,
        )  # fmt: skip
        if len(known) < 2 or 2 * len(known) < len(every):
            out[name] = nothing
            continue
        value, error = float(known.mean()), float(known.std(ddof=1) / np.sqrt(len(known)))
        freedom = len(known) - 1
        reach = error * (_T95[freedom - 1] if freedom <= len(_T95) else 2.0)
        if len(known) < len(every):
            remark = f"{len(known)} of {len(every)} seeds"
        out[name] = Fact(
            name=name, value=value, error=error, low=value - reach, high=value + reach,
            n=n, n_seeds=len(known), remark=remark,
        )  # fmt: skip
    return out


def table_columns(facts: dict[str, Fact]) -> dict[str, F64 | I64 | list[str]]:
    """Columns of a table of facts, one row each, ready to be written."""
    rows = list(facts.values())
    return {
        "fact": [row.name for row in rows],
        "value": np.array([row.value for row in rows]),
        "error": np.array([row.error for row in rows]),
        "low": np.array([row.low for row in rows]),
        "high": np.array([row.high for row in rows]),
        "n": np.array([row.n for row in rows], np.int64),
        "n_seeds": np.array([row.n_seeds for row in rows], np.int64),
        "remark": [row.remark for row in rows],
    }
