"""Gamma or vega kept small with a listed option, delta with the underlying."""

import numpy as np

from agents.hedgers.greeks import DELTA, GAMMA, VEGA, greeks, listed_greeks
from agents.hedgers.hedger import Desk, Rule, Scalar, Sight, toward
from sim.errors import ConfigError
from sim.kernel import F64
from sim.terms import check_range

_GREEKS = {"gamma": GAMMA, "vega": VEGA}


class Neutral(Rule):
    """Trade the listed option so that a share of the book's gamma or vega is gone, then the delta.

    Parameters
    ----------
    greek : str
        `gamma` or `vega`.
    share : float or None
        Of it that is hedged: 1 is the textbook's delta-gamma or delta-vega hedge; None is tuned.
    """

    def __init__(self, *, greek: str = "gamma", share: float | None = None) -> None:
        if greek not in _GREEKS:
            raise ConfigError(f"greek must be gamma or vega, got {greek!r}; choose one")
        if share is not None:
            check_range("share", share, 0.0, 10.0)
        self.greek, self.share = greek, share
        self.title = f"delta-{greek}"

    def bind(self, desk: Desk) -> None:
        """Take over the terms; they must have a listed option."""
        if not desk.listed:
            raise ConfigError(
                f"{self.title} needs an option to trade, and this environment has none; set "
                "terms.listed.enabled=true or leave the hedger out"
            )
        super().bind(desk)

    @property
    def scalar(self) -> Scalar | None:
        """The share."""
        return Scalar("share", 0.0, 1.2, geometric=False) if self.share is None else None

    @property
    def told(self) -> str:
        """The share."""
        return f"{self.share:.0%} of {self.greek}"

    def target(self, sight: Sight) -> F64:
        """Delta of the book as it stands before the option is traded."""
        return sight.delta

    def actions(self, sight: Sight) -> F64:
        """Trade the option, then hold the delta that is left."""
        assert self.share is not None
        row, desk = _GREEKS[self.greek], self.desk
        one, book = listed_greeks(desk, sight), greeks(desk, sight)
        wanted = np.divide(self.share * book[row], one[row], out=np.zeros(len(one[row])),
                           where=np.abs(one[row]) > 1e-12)  # fmt: skip
        traded = np.clip(wanted / desk.listed_most, -1.0, 1.0)
        delta = sight.delta - traded * desk.listed_most * one[DELTA]
        out = np.zeros((traded.size, desk.n_actions))
        out[:, : desk.n_own] = toward(desk, delta, sight.holding, delta)
        out[:, desk.n_own] = traded
        return out
