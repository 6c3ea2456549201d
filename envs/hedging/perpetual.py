"""Hedging with a perpetual: its premium over the index, and the funding it pays.

The option is on the index; what is held is the perpetual, whose price stands at exp(premium) times
the index and whose holder pays funding. Both markets write the columns premium, funding and paid of
`state.CONDITIONS` beside the path of the index, which another market gives.

Funding, per 8 hours, is `sim.perps.quantities.funding_rate` of the premium. A contract that pays
continuously pays, from one moment to the next, the mean of the rates at both; one that pays at
intervals pays the rate of the premium's average over an interval at its end. The first interval
begins with the episode.
"""

import math
from copy import copy
from dataclasses import dataclass

import numpy as np

from envs.hedging.market import HedgeMarket, PathMarket, ReplayMarket
from envs.hedging.state import CONDITIONS, FUNDING, PAID, PREMIUM
from envs.hedging.terms import whole
from sim.errors import ConfigError, InputError
from sim.kernel import F64, I64, Bool, kernel
from sim.perps.premium import Premium
from sim.perps.quantities import funding_rate
from sim.perps.terms import FUNDING_HOURS, PerpParams, PerpTerms
from sim.prices.bars import utc
from sim.prices.process import SECONDS_PER_YEAR, PriceProcess
from sim.prices.windows import HistoricalWindows

PER_YEAR = SECONDS_PER_YEAR / (3600.0 * FUNDING_HOURS)
"""Funding periods of a year."""


@kernel
def fill_conditions(out: F64, premia: F64, samples: int, seconds: float, terms: PerpTerms) -> None:
    """Write premium, funding and what is paid of whole episodes.

    Parameters
    ----------
    out : array (row, step + 1, condition)
        Written, the columns PREMIUM, FUNDING (a year) and PAID.
    premia : array (row, samples x step + 1)
        Log premium of the perpetual over its index.
    samples : int
        Of the premium in a step.
    seconds : float
        Between two of them.
    terms : PerpTerms
    """
    share = seconds / (3600.0 * FUNDING_HOURS)
    for i in range(out.shape[0]):
        rate = funding_rate(math.expm1(premia[i, 0]), terms)
        paid, total, clock = 0.0, 0.0, 0.0
        out[i, 0, PREMIUM], out[i, 0, FUNDING], out[i, 0, PAID] = premia[i, 0], rate * PER_YEAR, 0.0
        for j in range(1, premia.shape[1]):
            x = math.expm1(premia[i, j])
            last, rate = rate, funding_rate(x, terms)
            if terms.interval == 0.0:
                paid += 0.5 * (last + rate) * share
            else:
                total, clock = total + x * seconds, clock + seconds
                if clock >= terms.interval - 1e-6:
                    paid += funding_rate(total / clock, terms) * clock / (3600.0 * FUNDING_HOURS)
                    total, clock = 0.0, 0.0
            if j % samples == 0:
                t = j // samples
                out[i, t, PREMIUM], out[i, t, FUNDING] = premia[i, j], rate * PER_YEAR
                out[i, t, PAID] = paid
                paid = 0.0


class WarmMarket(PathMarket):
    """A price process that has run for a while, so that an episode begins at any volatility.

    Parameters
    ----------
    process, asset
        As for `PathMarket`.
    warm_up : int
        Steps before the episode; its prices are scaled so that it begins at the initial one.
    """

    def __init__(
        self, *, process: PriceProcess, asset: str | None = None, warm_up: int = 42
    ) -> None:
        super().__init__(process=process, asset=asset)
        whole("market.warm_up", warm_up, 1)
        self.warm_up = warm_up

    def bind(self, seed: int, world_ids: I64, n_steps: int, years: float) -> None:
        """Allocate the paths."""
        self.world_ids = world_ids
        length, seconds = n_steps + self.warm_up, years * SECONDS_PER_YEAR
        self.filler = self.process.path_filler(seed, length, seconds, asset=self.asset)
        self.path = np.zeros((len(world_ids), n_steps + 1, self.filler.n_channels))

    def begin(self, chosen: Bool, episodes: I64) -> None:
        """Draw the paths of the chosen worlds' episodes."""
        rows = np.flatnonzero(chosen)
        made = np.empty((len(rows), self.warm_up + self.path.shape[1], self.path.shape[2]))
        self.filler(made, self.world_ids[rows], episodes[rows])
        opening = made[:, 0, 0] / made[:, self.warm_up, 0]
        self.path[rows] = made[:, self.warm_up :]
        self.path[rows, :, 0] *= opening[:, None]


class PerpetualMarket(HedgeMarket):
    """A market as the index, and a perpetual whose premium goes its own way.

    Parameters
    ----------
    index : PathMarket
        Or one that derives from it.
    premium : Premium
        Of `conf/premium`; independent of the index.
    perp : PerpParams
        Of `conf/perp`: how funding follows from the premium. Its fees and margins do not count
        here: they are `terms.costs` and `terms.life`.
    samples : int
        Of the premium in a step; more than one matter where it reverts within a step, or where
        funding is paid more often than the hedger trades.
    """

    def __init__(
        self, *, index: PathMarket, premium: Premium, perp: PerpParams, samples: int = 1
    ) -> None:
        if not isinstance(index, PathMarket):
            raise ConfigError(
                f"market.index must be a market of given prices, got {type(index).__name__}; take "
                "PathMarket, WarmMarket or ReplayMarket"
            )
        whole("market.samples", samples, 1)
        self.index, self.premium, self.samples, self.terms = index, premium, samples, perp.terms()
        self.has_volatility = index.has_volatility

    def bind(self, seed: int, world_ids: I64, n_steps: int, years: float) -> None:
        """Allocate paths and conditions."""
        self.seconds, interval = years * SECONDS_PER_YEAR / self.samples, self.terms.interval
        if interval > 0.0 and abs(interval / self.seconds - round(interval / self.seconds)) > 1e-6:
            raise ConfigError(
                f"perp.funding_hours ({interval / 3600.0:g}) must be a multiple of the time "
                f"between samples of the premium ({self.seconds / 3600.0:g} h); change "
                "market.samples"
            )
        self.seed, self.world_ids = seed, world_ids
        self.index = copy(self.index)  # binding gives it its paths: two environments share none
        self.index.bind(seed, world_ids, n_steps, years)
        self.path, self.began = self.index.path, self.index.began
        self.conditions = np.zeros((len(world_ids), n_steps + 1, len(CONDITIONS)))

    def begin(self, chosen: Bool, episodes: I64) -> None:
        """Draw the paths and premia of the chosen worlds' episodes."""
        assert self.conditions is not None
        self.index.begin(chosen, episodes)
        rows = np.flatnonzero(chosen)
        premia = self.premium.paths(
            self.seed, self.world_ids[rows], episodes[rows],
            self.samples * (self.path.shape[1] - 1), self.seconds,
        )  # fmt: skip
        told = np.zeros((len(rows), *self.conditions.shape[1:]))
        fill_conditions(told, premia, self.samples, self.seconds, self.terms)
        self.conditions[rows] = told


@dataclass(frozen=True, slots=True, kw_only=True)
class PerpetualRecord:
    """A perpetual's history on the clock of its index.

    Attributes
    ----------
    ts : array (moment,)
        Unix time, seconds, at even distances.
    premium : array (moment,)
        Log of the mark price over the index; NaN where it is not known.
    paid : array (moment,)
        Sum of the funding rates paid up to and at the moment.
    rate : array (moment,)
        Funding rate that was paid last, a year.
    """

    ts: F64
    premium: F64
    paid: F64
    rate: F64

    def at(self, times: F64) -> I64:
        """Places of moments in the record, all of which it must know."""
        step = self.ts[1] - self.ts[0]
        place = np.rint((times - self.ts[0]) / step).astype(np.int64)
        inside = (place >= 0) & (place < len(self.ts))
        known = inside & np.isfinite(self.premium[np.clip(place, 0, len(self.ts) - 1)])
        if not known.all():
            raise InputError(
                f"the record of the perpetual has no premium at {utc(float(times[~known][0]))}; it "
                f"goes from {utc(float(self.ts[0]))} to {utc(float(self.ts[-1]))}: choose dates "
                "within it"
            )
        found: I64 = place
        return found


class PerpetualReplay(ReplayMarket):
    """Recorded prices of the index with the premium and the funding of the same moments.

    Parameters
    ----------
    process : HistoricalWindows
    record : PerpetualRecord
        As `experiments.recorded.perpetual` makes it.
    asset, warm_up, memory
        As for `ReplayMarket`.
    """

    def __init__(
        self, *, process: HistoricalWindows, record: PerpetualRecord, asset: str | None = None,
        warm_up: int = 84, memory: float = 0.97,
    ) -> None:  # fmt: skip
        super().__init__(process=process, asset=asset, warm_up=warm_up, memory=memory)
        self.record = record

    def bind(self, seed: int, world_ids: I64, n_steps: int, years: float) -> None:
        """Allocate paths and conditions."""
        super().bind(seed, world_ids, n_steps, years)
        self.conditions = np.zeros((len(world_ids), n_steps + 1, len(CONDITIONS)))

    def begin(self, chosen: Bool, episodes: I64) -> None:
        """Cut the chosen worlds' windows from both records."""
        assert self.conditions is not None
        assert self.began is not None
        super().begin(chosen, episodes)
        rows = np.flatnonzero(chosen)
        n, seconds = self.path.shape[1], self.years * SECONDS_PER_YEAR
        place = self.record.at(self.began[rows, None] + seconds * np.arange(n))
        paid = self.record.paid[place]
        self.conditions[rows, :, PREMIUM] = self.record.premium[place]
        self.conditions[rows, :, FUNDING] = self.record.rate[place]
        self.conditions[rows, 1:, PAID] = np.diff(paid, axis=1)
