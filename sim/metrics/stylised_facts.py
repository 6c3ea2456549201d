"""Stylised facts of a market: one function from a record to a table, the same for any market.

`measure(record)` reads every fact of `CATALOGUE` from one record of trades, quotes and depth.
`combine` folds the tables of several seeds into one with an interval across seeds. What counts as
reproduced is decided by `sim.metrics.fact_bands`, whose bands come from real markets and papers.

A fact that a record is too short or too bare for is reported as absent with the reason, never as a
number. Horizons are calendar time, so a market must be run at its own speed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sim.metrics import estimators as est
from sim.metrics import fact_readers as readers
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
    is_denied: bool = False  # observations were enough, and there was nothing to measure in them


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a fact is and where it was first seen."""

    name: str
    title: str
    group: str
    definition: str
    source: str
    read: Callable[[readers.Reading], readers.Number]


CONT = "Cont 2001, Empirical properties of asset returns"
GOPI = "Gopikrishnan, Plerou, Amaral, Meyer & Stanley 1999"
BMP = "Bouchaud, Mezard & Potters 2002, Statistical properties of stock order books"
FLOW, BOOK, RETURNS, IMPACT = "Order flow", "Book", "Returns", "Impact"

CATALOGUE: tuple[Spec, ...] = tuple(
    Spec(name=name, title=title, group=group, definition=words, source=source, read=read)
    for name, title, group, words, source, read in (
        ("kurtosis_1s", "Excess kurtosis at 1 s", RETURNS,
         "fourth central moment over squared variance, less 3, of 1 s log returns of the mid",
         CONT, readers.kurtosis(1.0)),
        ("kurtosis_10s", "Excess kurtosis at 10 s", RETURNS,
         "the same of 10 s returns", CONT, readers.kurtosis(10.0)),
        ("kurtosis_60s", "Excess kurtosis at 60 s", RETURNS,
         "the same of 60 s returns", CONT, readers.kurtosis(60.0)),
        ("kurtosis_300s", "Excess kurtosis at 300 s", RETURNS,
         "the same of 300 s returns", CONT, readers.kurtosis(300.0)),
        ("tail_1s", "Tail index at 1 s", RETURNS,
         "Hill estimate of the exponent of P(|r| > x) on the largest 5% of 1 s |returns|",
         GOPI, readers.tail(1.0)),
        ("tail_10s", "Tail index at 10 s", RETURNS,
         "the same of 10 s returns", GOPI, readers.tail(10.0)),
        ("gaussianity", "Kurtosis falls with horizon", RETURNS,
         "slope of log excess kurtosis on log horizon, from 1 s until it sinks into noise or fewer "
         "than 75 returns are left, at most 300 s", CONT, readers.gaussianity),
        ("bounce", "Bounce of trade prices", RETURNS,
         "lag 1 autocorrelation of log price changes from one market order to the next",
         "Roll 1984; " + CONT, readers.bounce),
        ("return_memory", "No memory of returns", RETURNS,
         "mean autocorrelation of 1 s mid returns over lags 2 to 20", CONT, readers.return_memory),
        ("clustering", "Volatility clustering", RETURNS,
         "sum of the autocorrelation of 1 s |returns| over lags 1 to 30", CONT, readers.clustering),
        ("absolute_decay", "Decay of the memory of |r|", RETURNS,
         "exponent b of ACF(|r|, lag) ~ lag^-b, 1 s returns, lags to min(n/10, 600)",
         CONT, readers.absolute_decay),
        ("leverage", "Leverage effect", RETURNS,
         "mean correlation of a 1 s return with the |returns| of the next 30 s",
         "Bouchaud, Matacz & Potters 2001", readers.leverage),
        ("spread_bps", "Mean spread (bps)", BOOK,
         "best ask less best bid over the mid, weighted by time", BMP, readers.spread("bps")),
        ("spread_ticks", "Median spread (ticks)", BOOK,
         "median spread over the tick, weighted by time", BMP, readers.spread("median ticks")),
        ("spread_variation", "Spread fluctuates", BOOK,
         "standard deviation over mean of the spread, weighted by time",
         "Plerou, Gopikrishnan & Stanley 2005", readers.spread("cv")),
        ("depth_hump", "Depth peaks behind the touch", BOOK,
         "largest mean size of five neighbouring bins of distance behind the touch over that of "
         "the nearest five; the touch itself is left out", BMP, readers.depth_hump),
        ("imbalance", "Imbalance foretells the mid", BOOK,
         "correlation of (bid size - ask size) / (bid size + ask size), half way between two "
         "changes of the mid, with the sign of the next change", "Gould & Bonart 2016",
         readers.imbalance),
        ("placement_tail", "Placement far from the touch", FLOW,
         "Hill index of the distance, in ticks, of limit orders behind the touch, largest 5%",
         BMP + "; Zovko & Farmer 2002", readers.placement),
        ("size_tail", "Tail of order sizes", FLOW,
         "Hill index of the size of market orders, largest 5%",
         "Gopikrishnan, Plerou, Gabaix & Stanley 2000", readers.size_tail),
        ("round_sizes", "Preference for round sizes", FLOW,
         "share of orders with a single significant digit, among sizes at least ten times the "
         "smallest", "Alexander & Peterson 2007; Mu, Chen, Kertesz & Zhou 2009",
         readers.round_sizes),
        ("gap_variation", "Bursts of market orders", FLOW,
         "standard deviation over mean of the time between market orders (Poisson: 1)",
         "Engle & Russell 1998; Bacry, Mastromatteo & Muzy 2015", readers.gap_variation),
        ("gap_clustering", "Memory of the waiting times", FLOW,
         "mean autocorrelation over lags 1 to 20 of the ranks of the times between market orders",
         "Engle & Russell 1998", readers.gap_clustering),
        ("sign_memory", "Memory of order signs", FLOW,
         "sum of the autocorrelation of the signs of market orders over lags 1 to 50",
         "Lillo & Farmer 2004; Bouchaud, Gefen, Potters & Wyart 2004", readers.sign_memory),
        ("sign_decay", "Decay of the memory of signs", FLOW,
         "exponent g of ACF(sign, lag) ~ lag^-g, lags to min(n/10, 500)",
         "Lillo & Farmer 2004", readers.sign_decay),
        ("order_impact", "Concave impact of an order", IMPACT,
         "exponent of the mean mid move, to just before the next market order, in the size",
         "Lillo, Farmer & Mantegna 2003", readers.order_impact),
        ("metaorder_impact", "Square-root impact of metaorders", IMPACT,
         "exponent d of the mean mid move ~ size^d over the life of a parent order; without "
         "parents over a run of market orders of one sign, which is a proxy",
         "Toth et al. 2011; Almgren et al. 2005", readers.metaorder_impact),
        ("volume_volatility", "Volume and volatility", IMPACT,
         "Spearman correlation of |return| and traded size over 10 s", "Karpoff 1987; " + CONT,
         readers.volume_volatility),
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
    reading = readers.Reading(record, n_resamples)
    out = {}
    for spec in CATALOGUE:
        found = spec.read(reading)
        reach = est.Z95 * found.error
        out[spec.name] = Fact(
            name=spec.name, low=found.value - reach, high=found.value + reach, **found._asdict()
        )
    return out


_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Student's t for a two-sided 95% interval with 1, 2, ... 9 degrees of freedom."""


def combine(tables: Sequence[dict[str, Fact]]) -> dict[str, Fact]:
    """Fold the facts of several seeds into means with intervals across seeds.

    Seeds are independent, so the interval is Student's t of the mean over those that gave a value;
    one seed keeps its own bootstrap interval. A fact that fewer than half of the seeds can give is
    absent, and denied where half of them deny it.
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
            is_denied=2 * sum(fact.is_denied for fact in every) >= len(every),
        )  # fmt: skip
        if len(known) < 2 or 2 * len(known) < len(every):
            out[name] = nothing
            continue
        value, error = float(known.mean()), float(known.std(ddof=1) / np.sqrt(len(known)))
        freedom = len(known) - 1
        reach = error * (_T95[freedom - 1] if freedom <= len(_T95) else est.Z95 + 2.5 / freedom)
        if len(known) < len(every):
            remark = f"{len(known)} of {len(every)} seeds"
        out[name] = Fact(
            name=name, value=value, error=error, low=value - reach, high=value + reach,
            n=n, n_seeds=len(known), remark=remark,
        )  # fmt: skip
    return out
