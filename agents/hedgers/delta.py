"""Hold a delta in closed form: what every other hedger is compared with."""

import numpy as np

from agents.hedgers.greeks import DELTA, greeks
from agents.hedgers.hedger import Desk, Rule, Sight
from sim.errors import ConfigError
from sim.kernel import F64

TITLES = {
    "sticky_strike": "delta", "black_scholes": "Black-Scholes delta",
    "sticky_delta": "sticky-delta delta", "bartlett": "Bartlett delta",
}  # fmt: skip
SMILES = ("sticky_delta", "bartlett")


class Delta(Rule):
    """Delta of all options owed, under a rule for the volatility (`agents.hedgers.greeks`).

    Parameters
    ----------
    rule : str
        - sticky_strike: at each option's own volatility, the practitioner's delta;
        - black_scholes: at the volatility that marks would have without a smile;
        - sticky_delta: the smile moves along with the price;
        - bartlett: SABR's level of volatility moves with the price too.
    title : str, optional
    """

    def __init__(self, *, rule: str = "sticky_strike", title: str | None = None) -> None:
        if rule not in TITLES:
            raise ConfigError(f"rule must be one of {', '.join(TITLES)}, got {rule!r}; choose one")
        self.rule, self.title = rule, title or TITLES[rule]

    def bind(self, desk: Desk) -> None:
        """Take over the terms; rules of a smile need marks that have one."""
        if self.rule in SMILES and desk.marks[0] == 0.0:
            raise ConfigError(
                f"{self.title} needs a smile, and options are marked without one here; set "
                "terms.mark.vol_of_vol or leave the hedger out"
            )
        super().bind(desk)

    def target(self, sight: Sight) -> F64:
        """Delta."""
        if self.rule == "sticky_strike":
            return sight.delta
        return np.asarray(greeks(self.desk, sight, self.rule)[DELTA])
