"""Delta that leaves the least variance, fitted to moves of training paths."""

from collections.abc import Iterable
from copy import copy
from typing import Self

import numpy as np

from agents.hedgers.greeks import DELTA, VALUE, greeks
from agents.hedgers.hedger import Rule, Sight
from sim.errors import ConfigError
from sim.kernel import F64
from sim.terms import check_range


class MinimumVariance(Rule):
    """Delta + vega / (S sqrt(T)) (a + b delta + c delta²), of Hull and White.

    (2017, Optimal delta hedging for options, Journal of Banking and Finance 82; the formula as
    `sim.options.greeks` has it.) As they do, a, b and c are fitted by least squares, without a
    constant: the change of the book's value that the delta misses, on the gain of one unit held
    times vega / (S sqrt(T)) times 1, delta, delta². The fit is over all periods of training paths
    in which no option of the book expires.

    Parameters
    ----------
    a, b, c : float, optional
        All of them, or none.
    """

    title = "minimum-variance delta"

    def __init__(
        self, *, a: float | None = None, b: float | None = None, c: float | None = None
    ) -> None:
        given = [x for x in (a, b, c) if x is not None]
        if len(given) not in (0, 3):
            raise ConfigError(
                f"a, b and c must all be given or all be left out, got a={a}, b={b}, c={c}"
            )
        for name, value in zip("abc", given, strict=False):
            check_range(name, value, -100.0, 100.0)
        self.numbers = np.array(given)

    @property
    def fits(self) -> bool:
        """Whether a, b and c are unknown."""
        return not self.numbers.size

    @property
    def told(self) -> str:
        """The coefficients."""
        return ", ".join(f"{name} {x:+.3f}" for name, x in zip("abc", self.numbers, strict=False))

    def fitted(self, moves: Iterable[tuple[Sight, Sight]]) -> Self:
        """Return the hedger with the coefficients of least squares."""
        square, across = np.zeros((3, 3)), np.zeros(3)
        for before, after in moves:
            x, y = self._regression(before, after)
            square += x @ x.T
            across += x @ y
        found = np.linalg.lstsq(square, across, rcond=1e-10)[0]
        if not np.isfinite(found).all():
            raise ConfigError(f"{self.title} found no coefficients; give a, b and c")
        other = copy(self)
        other.numbers = found
        return other

    def _regression(self, before: Sight, after: Sight) -> tuple[F64, F64]:
        """Regressors (3, world) and what they explain (world,)."""
        desk = self.desk
        base = greeks(desk, before)
        units = np.eye(3)
        terms = [greeks(desk, before, "minimum_variance", unit)[DELTA] for unit in units]
        book = before._replace(price=after.price, volatility=after.volatility, t=after.t)
        change = greeks(desk, book)[VALUE] - base[VALUE]
        gain = after.price - before.price
        if desk.inverse:
            gain = gain / after.price
        left = before.expiry - before.t[:, None]
        alive = (after.t == before.t + 1) & ~((left > 0.0) & (left <= 1.0)).any(axis=1)
        x = (np.stack(terms) - base[DELTA]) * gain
        return x[:, alive], (change - base[DELTA] * gain)[alive]

    def target(self, sight: Sight) -> F64:
        """Delta with the correction."""
        return np.asarray(greeks(self.desk, sight, "minimum_variance", self.numbers)[DELTA])
