"""The hedge of Heston's model: delta by the underlying, the variance by a variance swap.

With u(t, s, v) the model's price of what is owed and L(t, v) the expected variance until the end,
stock and swap together replicate it in continuous time by holding

    du/ds  of the underlying,    (du/dv) / (dL/dv)  of the swap

(Buehler, Gonon, Teichmann and Wood 2019, Quantitative Finance 19(8), section 5.2). Where no swap
can be traded the underlying takes over what it explains of the variance. That is the
minimum-variance delta, du/ds + rho xi (du/dv) / s. Derivatives are tabulated by the COS method and
interpolated.
"""

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np

from agents.hedgers.hedger import MARKS, Desk, Rule, Sight
from sim.errors import ConfigError
from sim.kernel import F64
from sim.options.characteristic import SvcjModel
from sim.options.cos import cos_greeks
from sim.terms import check_range

POINTS = 41  # of the log of price over strike, in deviations of the log return until expiry
REACH = 6.0  # deviations
VARIANCES = 17  # squares of an even grid
HIGHEST = 2.0  # of the variance, annual
LEAST = 9e-4  # of v + kappa theta tau: below it the density is a spike that needs too many terms
STEP = 0.1  # of a difference in v, relative to v + kappa theta tau
WIDTH = 8.0  # of the COS method; a hedge needs no more than four digits


def lowest(pull: float, years: float) -> float:
    """Least variance of a table; `pull` is kappa theta."""
    return max(LEAST - pull * years, 0.0)


def deviation(kappa: float, theta: float, variance: F64, years: float) -> F64:
    """Deviation of the log return until expiry, of the shape of `variance`."""
    share = -math.expm1(-kappa * years) / kappa
    return np.asarray(np.sqrt(theta * years + (variance - theta) * share))


@lru_cache(maxsize=4)
def tabulated(model: SvcjModel, n_steps: int, years_per_step: float) -> tuple[F64, F64]:
    """Delta and dc/dv of a call c on one unit of a price of 1, (period, variance, moneyness) each.

    Entry i of the first axis has i + 1 periods to go.
    """
    deltas, slopes = (np.empty((n_steps, VARIANCES, POINTS)) for _ in range(2))
    pull = model.kappa * model.theta
    for i in range(n_steps):
        years = (i + 1) * years_per_step
        low = lowest(pull, years)
        for j, share in enumerate(np.linspace(0.0, 1.0, VARIANCES) ** 2):
            v = low + (HIGHEST - low) * share
            size = deviation(model.kappa, model.theta, np.array(v), years)
            strikes = np.exp(-np.linspace(-REACH, REACH, POINTS) * size)
            step = STEP * (v + pull * years)
            ends = (v - min(step, v - low), v + (min(step, v - low) if v > low else step))
            down, up = (
                cos_greeks(replace(model, v0=float(end)), 1.0, strikes, years, width=WIDTH)
                for end in ends
            )
            deltas[i, j] = 0.5 * (down[1] + up[1]) if v > low else down[1]
            slopes[i, j] = (up[0] - down[0]) / (ends[1] - ends[0])
    return deltas, slopes


class Heston(Rule):
    """Delta and variance of the options owed, by Heston's model.

    Reversion and long-run variance are those of the environment's marks.

    Parameters
    ----------
    vol_of_vol : float
        xi, a year.
    leverage : float
        rho.
    """

    title = "Heston delta"

    def __init__(self, *, vol_of_vol: float, leverage: float) -> None:
        check_range("vol_of_vol", vol_of_vol, 0.0, 100.0, open_low=True)
        check_range("leverage", leverage, -0.999, 0.999)
        self.vol_of_vol, self.leverage = vol_of_vol, leverage

    def bind(self, desk: Desk) -> None:
        """Take over the terms and tabulate; marks must follow a variance that reverts."""
        marks = dict(zip(MARKS, desk.marks, strict=True))
        if marks["mean_reversion"] <= 0.0 or desk.inverse:
            raise ConfigError(
                f"{self.title} needs a linear book whose marks follow a variance that reverts; set "
                "terms.mark.mean_reversion and long_run_volatility, or leave the hedger out"
            )
        super().bind(desk)
        self.kappa, self.theta = marks["mean_reversion"], marks["long_run_volatility"] ** 2
        swap = desk.description["terms"]["swap"]
        self.title = "Heston delta and swap" if desk.swap else type(self).title
        self.most, self.swap_reversion = swap["most"], swap["mean_reversion"]
        model = SvcjModel(
            v0=self.theta, kappa=self.kappa, theta=self.theta, xi=self.vol_of_vol, rho=self.leverage
        )
        self.deltas, self.slopes = tabulated(model, desk.n_steps, desk.years_per_step)

    def sensitivities(self, sight: Sight) -> tuple[F64, F64]:
        """Delta of what is owed, units, and its derivative by the variance, cash; (world,) each."""
        delta, slope = np.zeros_like(sight.price), np.zeros_like(sight.price)
        for k in range(int(sight.n_slots.max(initial=0))):
            left = np.where(k < sight.n_slots, sight.expiry[:, k] - sight.t, 0.0)
            for periods in np.unique(left[left > 0.0]):
                at = left == periods
                first, second = self._read(
                    min(int(periods), self.desk.n_steps),
                    np.log(sight.price[at] / sight.strike[at, k]), sight.volatility[at] ** 2,
                )  # fmt: skip
                owed = sight.owed[at, k]
                delta[at] += owed * (first - (sight.sign[at, k] < 0.0))
                slope[at] += owed * second * sight.price[at]
        return delta, slope

    def _read(self, periods: int, moneyness: F64, variance: F64) -> tuple[F64, F64]:
        """Interpolate the tables linearly."""
        years = periods * self.desk.years_per_step
        low = lowest(self.kappa * self.theta, years)
        v = np.clip(variance, low, HIGHEST)
        row = np.sqrt((v - low) / (HIGHEST - low)) * (VARIANCES - 1)
        z = moneyness / deviation(self.kappa, self.theta, v, years)
        column = (np.clip(z, -REACH, REACH) + REACH) / (2.0 * REACH) * (POINTS - 1)
        j = np.minimum(row.astype(np.int64), VARIANCES - 2)
        i = np.minimum(column.astype(np.int64), POINTS - 2)
        a, b = row - j, column - i

        def between(table: F64) -> F64:
            upper = (1.0 - b) * table[j, i] + b * table[j, i + 1]
            lower = (1.0 - b) * table[j + 1, i] + b * table[j + 1, i + 1]
            return np.asarray((1.0 - a) * upper + a * lower)

        return between(self.deltas[periods - 1]), between(self.slopes[periods - 1])

    def target(self, sight: Sight) -> F64:
        """Delta; without a swap the minimum-variance delta."""
        delta, slope = self.sensitivities(sight)
        if self.desk.swap:
            return delta
        return np.asarray(delta + self.leverage * self.vol_of_vol * slope / sight.price)

    def actions(self, sight: Sight) -> F64:
        """Hold the delta, and the swap where there is one."""
        out = super().actions(sight)
        if self.desk.swap:
            _, slope = self.sensitivities(sight)
            years = np.maximum(self.desk.n_steps - sight.t, 1) * self.desk.years_per_step
            each = -100.0 * np.expm1(-self.swap_reversion * years) / self.swap_reversion
            out[:, -1] = np.clip(slope / each / self.most, -1.0, 1.0)
        return out
