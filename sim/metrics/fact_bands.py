"""The bands in which a market reproduces a stylised fact, from real markets and from papers alone.

A band is the smallest interval that holds

- the range published for the fact (`PUBLISHED`, with the paper),
- the 95% intervals of the real markets that were recorded for a whole day (LOBSTER: AAPL and AMZN,
  2012-06-21), and
- the values of the few recorded minutes of BTC on Binance (2024-08-08, 11 minutes of spot and 6 of
  the perpetual), whose intervals say more of the shortness than of the market,

cut where it would reach what the fact denies (`DENIED`: a Poisson clock, normal returns, unrelated
signs, linear impact): a real market on the wrong side of the cut does not show the fact either, and
the report says so. Nothing in a band comes from a simulation. The values in `MEASURED` were read by
`sim.metrics.stylised_facts.measure` with 200 resamples; `python -m experiments.stylised_facts
data=DIR` measures them anew, and a test compares the two where the files are present.
"""

import math
from dataclasses import dataclass

import numpy as np

from sim.errors import InputError
from sim.metrics.estimators import Z95
from sim.metrics.stylised_facts import CATALOGUE, Fact

Measured = tuple[float, float | None, int]
"""Value, standard error, number of observations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Where a fact lies in real markets."""

    low: float
    high: float
    denied: str  # what the cut keeps out
    published: str  # the paper's range in words

    def holds(self, value: float) -> bool:
        """Whether a value lies inside; NaN does not."""
        slack = 1e-9  # of an edge: what rounding does to a value that made the edge
        return bool(self.low - slack * abs(self.low) <= value <= self.high + slack * abs(self.high))


MEASURED: dict[str, dict[str, Measured]] = {
    "BTCUSDT spot 2024-08-08 (Binance)": {
        "kurtosis_1s": (17.2428, 4.66, 650),
        "tail_1s": (2.61838, 0.609, 650),
        "gaussianity": (-0.910358, 0.288, 650),
        "bounce": (0.0168772, 0.0856, 7659),
        "return_memory": (-0.00291753, 0.00936, 650),
        "clustering": (1.21108, 0.481, 650),
        "leverage": (0.00647424, 0.00758, 650),
        "spread_bps": (0.00442876, 0.000759, 73173),
        "spread_ticks": (1, None, 73173),
        "spread_variation": (14.3878, 0.985, 73173),
        "depth_hump": (2.40863, 0.175, 646),
        "imbalance": (0.703725, 0.0185, 6599),
        "size_tail": (1.27931, 0.0746, 7660),
        "round_sizes": (0.13451, 0.00591, 7137),
        "gap_variation": (1.82299, 0.0496, 7659),
        "gap_clustering": (0.158378, 0.0178, 7659),
        "sign_memory": (6.03023, 0.91, 7660),
        "sign_decay": (0.67074, 0.0708, 7660),
        "order_impact": (0.16, 0.0445, 7659),
        "metaorder_impact": (0.85, 0.0551, 2121),
        "volume_volatility": (0.455031, 0.0942, 65),
    },
    "BTCUSDT perp 2024-08-08 (Binance)": {
        "kurtosis_1s": (18.5842, 5.94, 344),
        "tail_1s": (2.05966, 0.538, 344),
        "bounce": (0.164037, 0.0995, 5435),
        "return_memory": (-0.00664022, 0.00665, 344),
        "clustering": (1.29544, 0.582, 344),
        "leverage": (0.00395884, 0.0084, 344),
        "spread_bps": (0.018464, 0.000734, 66088),
        "spread_ticks": (1, None, 66088),
        "spread_variation": (2.61131, 0.484, 66088),
        "depth_hump": (10.7298, 2.16, 340),
        "imbalance": (0.616997, 0.0357, 2025),
        "size_tail": (1.04564, 0.0654, 5436),
        "round_sizes": (0.133929, 0.00731, 3808),
        "gap_variation": (1.47458, 0.056, 5435),
        "gap_clustering": (0.302637, 0.037, 5435),
        "sign_memory": (3.70062, 0.664, 5436),
        "sign_decay": (0.560721, 0.0631, 5436),
        "order_impact": (0.525, 0.0452, 5435),
        "metaorder_impact": (0.765, 0.0684, 2176),
        "volume_volatility": (0.511383, 0.15, 34),
    },
    "AAPL 2012-06-21 (LOBSTER)": {
        "kurtosis_1s": (28.8039, 8.23, 23399),
        "kurtosis_10s": (7.00455, 1.83, 2339),
        "kurtosis_60s": (2.38281, 0.631, 389),
        "kurtosis_300s": (0.436863, 0.439, 77),
        "tail_1s": (2.46812, 0.122, 23399),
        "tail_10s": (3.20511, 0.414, 2339),
        "gaussianity": (-0.576779, 0.227, 23399),
        "bounce": (-0.0291591, 0.0102, 17580),
        "return_memory": (-0.00315618, 0.00183, 23399),
        "clustering": (1.92966, 0.249, 23399),
        "absolute_decay": (0.267356, 0.0919, 23399),
        "leverage": (0.000913765, 0.00483, 23399),
        "spread_bps": (2.59207, 0.0308, 118496),
        "spread_ticks": (15, None, 118496),
        "spread_variation": (0.418316, 0.0108, 118496),
        "imbalance": (0.0856788, 0.00598, 64349),
        "size_tail": (2.2223, 0.133, 17581),
        "round_sizes": (0.762108, 0.0105, 47904),
        "gap_variation": (2.56348, 0.057, 17580),
        "gap_clustering": (0.0285571, 0.00466, 17580),
        "sign_memory": (5.04154, 0.514, 17581),
        "sign_decay": (0.700629, 0.12, 17581),
        "order_impact": (-0.035, 0.014, 17580),
        "metaorder_impact": (0.415, 0.0184, 3366),
        "volume_volatility": (0.491913, 0.0172, 2339),
    },
    "AMZN 2012-06-21 (LOBSTER)": {
        "kurtosis_1s": (35.5442, 4.31, 23399),
        "kurtosis_10s": (5.91442, 1.16, 2339),
        "kurtosis_60s": (3.32827, 1.02, 389),
        "kurtosis_300s": (3.80412, 2.25, 77),
        "tail_1s": (2.00736, 0.133, 23399),
        "tail_10s": (3.35425, 0.329, 2339),
        "gaussianity": (-0.41822, 0.176, 23399),
        "bounce": (-0.0262087, 0.0203, 6422),
        "return_memory": (0.00394017, 0.0031, 23399),
        "clustering": (1.25121, 0.191, 23399),
        "absolute_decay": (0.333058, 0.13, 23399),
        "leverage": (0.00404428, 0.00374, 23399),
        "spread_bps": (5.76427, 0.104, 155934),
        "spread_ticks": (12, None, 155934),
        "spread_variation": (0.442347, 0.027, 155934),
        "depth_hump": (1.28281, 0.0525, 23399),
        "imbalance": (0.188016, 0.0123, 27556),
        "size_tail": (2.00436, 0.313, 6423),
        "round_sizes": (0.726388, 0.00706, 69964),
        "gap_variation": (2.42874, 0.072, 6422),
        "gap_clustering": (0.035783, 0.00816, 6422),
        "sign_memory": (4.64935, 0.706, 6423),
        "sign_decay": (0.763747, 0.0662, 6423),
        "order_impact": (-0.005, 0.0213, 6422),
        "metaorder_impact": (0.515, 0.0275, 1250),
        "volume_volatility": (0.54139, 0.0155, 2339),
    },
}

_WHOLE_DAY = ("AAPL 2012-06-21 (LOBSTER)", "AMZN 2012-06-21 (LOBSTER)")

PUBLISHED: dict[str, tuple[float, float, str]] = {
    "kurtosis_300s": (16.0, 74.0, "16 (S&P 500 futures) to 74 (USD/DM), 5 minutes: Cont 2001"),
    "tail_1s": (2.0, 5.0, "2 to 5: Cont 2001; 3: Gopikrishnan et al. 1999"),
    "tail_10s": (2.0, 5.0, "2 to 5: Cont 2001; 3: Gopikrishnan et al. 1999"),
    "bounce": (-0.5, 0.0, "-0.5 to 0, from the spread alone: Roll 1984"),
    "absolute_decay": (0.2, 0.4, "0.2 to 0.4: Cont 2001"),
    "placement_tail": (0.6, 1.5, "0.6: Bouchaud et al. 2002; 1.5: Zovko & Farmer 2002"),
    "size_tail": (1.5, 1.7, "1.5 (single trades) to 1.7 (summed): Gopikrishnan et al. 2000"),
    "sign_decay": (0.2, 0.7, "0.6: Lillo & Farmer 2004; 0.2 to 0.7: Bouchaud et al. 2004"),
    "order_impact": (0.1, 0.5, "0.1 to 0.5: Lillo, Farmer & Mantegna 2003"),
    "metaorder_impact": (0.4, 0.7, "0.5 (0.4 to 0.7): Toth et al. 2011; 0.6: Almgren et al. 2005"),
}
"""Ranges that papers give for these very quantities; other facts rest on the recorded markets."""

DENIED: dict[str, tuple[float, float, str]] = {
    "kurtosis_1s": (0.0, math.inf, "normal returns (0)"),
    "kurtosis_10s": (0.0, math.inf, "normal returns (0)"),
    "kurtosis_60s": (0.0, math.inf, "normal returns (0)"),
    "kurtosis_300s": (0.0, math.inf, "normal returns (0)"),
    "gaussianity": (-math.inf, 0.0, "tails that do not thin out with the horizon (0)"),
    "bounce": (-math.inf, 0.0, "trade prices without bounce (0)"),
    "clustering": (0.0, math.inf, "unrelated |returns| (0)"),
    "absolute_decay": (0.0, 1.0, "a memory of |returns| that is short (1 or more)"),
    "depth_hump": (1.0, math.inf, "depth that only falls with distance (1)"),
    "imbalance": (0.0, math.inf, "an uninformative book (0)"),
    "gap_variation": (1.0, math.inf, "a Poisson clock (1)"),
    "gap_clustering": (0.0, math.inf, "unrelated waiting times (0)"),
    "sign_memory": (0.0, math.inf, "unrelated signs (0)"),
    "sign_decay": (0.0, 1.0, "a memory of signs that is short (1 or more)"),
    "order_impact": (-math.inf, 1.0, "impact in proportion to size (1)"),
    "metaorder_impact": (0.0, 1.0, "impact in proportion to size (1)"),
    "volume_volatility": (0.0, math.inf, "volume unrelated to volatility (0)"),
}
"""Where a band is cut, and why."""

WITHOUT_VERDICT = {
    "leverage": "no sign of it within minutes in any of the recorded markets: shown, not judged",
}


def _hull(name: str) -> tuple[float, float] | None:
    """Smallest interval over papers and recorded markets, before the cut."""
    ends: list[float] = []
    if name in PUBLISHED:
        ends += PUBLISHED[name][:2]
    for market, table in MEASURED.items():
        if name not in table:
            continue
        value, error, _ = table[name]
        reach = Z95 * error if error is not None and market in _WHOLE_DAY else 0.0
        ends += [value - reach, value + reach]
    return (min(ends), max(ends)) if ends else None


_STRICTLY = 1e-9


def _outward(low: float, high: float) -> tuple[float, float]:
    """Round to three significant digits, away from the middle."""

    def at(value: float, rounding: np.ufunc) -> float:
        if value == 0.0:
            return 0.0
        unit = 10.0 ** (math.floor(math.log10(abs(value))) - 2)
        return float(f"{float(rounding(value / unit)) * unit:.6g}")

    return at(low, np.floor), at(high, np.ceil)


def _band(name: str) -> Band | None:
    hull = _hull(name)
    if hull is None or name in WITHOUT_VERDICT:
        return None
    low, high = _outward(*hull)
    least, most, denied = DENIED.get(name, (-math.inf, math.inf, ""))
    if low <= least:
        low = least + _STRICTLY
    if high >= most:
        high = most - _STRICTLY
    published = PUBLISHED[name][2] if name in PUBLISHED else "no range published: recorded markets"
    return Band(low=low, high=high, denied=denied, published=published)


def band(name: str) -> Band | None:
    """Give the band of a fact; None where the fact is shown without a verdict.

    Parameters
    ----------
    name : str
        Of the catalogue.
    """
    if name not in BANDS:
        raise InputError(f"unknown fact {name}: choose one of {', '.join(BANDS)}")
    return BANDS[name]


def reproduces(fact: Fact) -> bool | None:
    """Whether a fact lies inside its band; None where it is absent or has no band.

    A fact that is denied (no memory to fit in thousands of orders, say) is not reproduced.
    """
    where = band(fact.name)
    if where is None or not (math.isfinite(fact.value) or fact.is_denied):
        return None
    return where.holds(fact.value)


def is_certain(fact: Fact) -> bool:
    """Whether the whole interval lies on the same side of the band's edges as the value."""
    where = band(fact.name)
    if where is None or not (math.isfinite(fact.low) and math.isfinite(fact.high)):
        return False
    if where.holds(fact.value):
        return where.holds(fact.low) and where.holds(fact.high)
    return fact.high < where.low or fact.low > where.high


BANDS: dict[str, Band | None] = {spec.name: _band(spec.name) for spec in CATALOGUE}
"""Band of every fact of the catalogue."""
