"""What a hedger is judged by, from the reward that its environment states."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sim.kernel import F64
from sim.metrics import tail

SPREAD, VARIANCE, SHORTFALL, ENTROPIC, MEAN = (
    "mean plus sd", "mean plus variance", "expected shortfall", "entropic", "mean",
)  # fmt: skip
_OF_REWARD = {
    "telescoping": SPREAD, "quadratic": VARIANCE, "cvar": SHORTFALL, "entropic": ENTROPIC,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Objective:
    """A number of a sample of costs, small being good.

    Attributes
    ----------
    kind : str
        mean + k sd; mean + k / 2 variance; expected shortfall at alpha; log mean exp(k C) / k;
        mean.
    k, alpha : float
    """

    kind: str = SPREAD
    k: float = 1.5
    alpha: float = 0.95

    @classmethod
    def of(cls, reward: Mapping[str, Any]) -> Self:
        """Read it from the terms of a reward."""
        return cls(_OF_REWARD.get(reward["kind"], MEAN), reward["k"], reward["alpha"])

    @property
    def title(self) -> str:
        """Name in tables."""
        if self.kind == SPREAD:
            return f"mean + {self.k:g} sd"
        if self.kind == VARIANCE:
            return f"mean + {self.k / 2.0:g} variance"
        if self.kind == SHORTFALL:
            return f"CVaR {self.alpha:.0%}"
        return "entropic" if self.kind == ENTROPIC else "mean"

    def __call__(self, costs: F64) -> float:
        """Objective of a sample, shape (n,)."""
        mean = float(costs.mean())
        if self.kind == SPREAD:
            return mean + self.k * float(costs.std())
        if self.kind == VARIANCE:
            return mean + 0.5 * self.k * float(costs.var())
        if self.kind == SHORTFALL:
            return tail.expected_shortfall(costs, self.alpha)
        if self.kind == ENTROPIC:
            top = float(costs.max())
            return top + float(np.log(np.exp(self.k * (costs - top)).mean())) / self.k
        return mean
