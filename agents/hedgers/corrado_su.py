"""Delta that knows the skewness and the kurtosis of the return to expiry."""

from collections.abc import Iterable
from copy import copy
from typing import Self

import numpy as np

from agents.hedgers.greeks import DELTA, greeks
from agents.hedgers.hedger import Rule, Sight
from sim.errors import ConfigError
from sim.kernel import F64
from sim.terms import check_range


class CorradoSu(Rule):
    """Delta of Black and Scholes, adjusted to skewness and kurtosis (Corrado and Su 1996).

    The formula is that of `sim.options.greeks`, at the volatility that marks would have without a
    smile: the moments take its place. Moments that are left out are estimated from training paths,
    those of the log return over the last 1, 2, ... periods of an episode each by itself. The
    formula's density is a normal one times a polynomial, which extreme moments turn negative:
    skewness and excess kurtosis that do so within three standard deviations are shrunk, both by the
    same factor, until it is 0 at worst.

    Parameters
    ----------
    skew, kurtosis : float, optional
        Of the log return to expiry, whatever is left of the time, both or none; 0 and 3 are those
        of a normal distribution.
    """

    title = "Corrado-Su delta"

    def __init__(self, *, skew: float | None = None, kurtosis: float | None = None) -> None:
        if (skew is None) != (kurtosis is None):
            raise ConfigError(
                f"skew and kurtosis must both be given or both be left out, got skew={skew}, "
                f"kurtosis={kurtosis}"
            )
        self.moments: F64 = np.zeros((2, 0))
        if skew is not None and kurtosis is not None:
            check_range("skew", skew, -10.0, 10.0)
            check_range("kurtosis", kurtosis, 1.0, 100.0)
            self.moments = np.array([[skew], [kurtosis]])

    @property
    def fits(self) -> bool:
        """Whether the moments are unknown."""
        return not self.moments.size

    @property
    def told(self) -> str:
        """The moments over the whole episode."""
        return "skew {:+.2f}, kurtosis {:.2f}".format(*self.moments[:, -1])

    def fitted(self, moves: Iterable[tuple[Sight, Sight]]) -> Self:
        """Return the hedger with the moments of the paths."""
        n_steps = self.desk.n_steps
        returns: list[list[F64]] = [[] for _ in range(n_steps + 1)]
        chunk: list[F64] = []
        whole = np.zeros(0, np.bool_)  # worlds whose episode was not cut short
        for before, after in moves:
            if not chunk:
                chunk, whole = [np.log(before.price)], np.ones(before.price.size, np.bool_)
            chunk.append(np.log(after.price))
            whole &= after.t == before.t + 1
            if len(chunk) == n_steps + 1:
                for n in range(1, n_steps + 1):
                    returns[n].append((chunk[-1] - chunk[-1 - n])[whole])
                chunk = []
        other = copy(self)
        other.moments = np.array(
            [(0.0, 3.0), *(shrunk(*moments_of(np.concatenate(part))) for part in returns[1:])]
        ).T
        return other

    def target(self, sight: Sight) -> F64:
        """Delta with the adjustment."""
        return np.asarray(greeks(self.desk, sight, "corrado_su", self.moments.ravel())[DELTA])


def moments_of(x: F64) -> tuple[float, float]:
    """Skewness and kurtosis of a sample; 0 and 3 where it does not vary."""
    off = x - x.mean()
    variance = float((off**2).mean())
    if not variance > 1e-30:
        return 0.0, 3.0
    return float((off**3).mean() / variance**1.5), float((off**4).mean() / variance**2)


def shrunk(skew: float, kurtosis: float) -> tuple[float, float]:
    """Moments for which the expansion's density is not negative within three deviations."""
    x = np.linspace(-3.0, 3.0, 121)
    change = skew / 6.0 * (x**3 - 3.0 * x) + (kurtosis - 3.0) / 24.0 * (x**4 - 6.0 * x**2 + 3.0)
    factor = 1.0 / max(1.0, -float(change.min()))
    return factor * skew, 3.0 + factor * (kurtosis - 3.0)
