"""Deltas that a tuned number moves: what a desk does whose risk is not that of its model.

Where prices jump, or a tail is what counts, the best holding is not the model's delta. One number,
chosen on training paths for the same objective as everything else, corrects it: a shift, a factor,
or a volatility of its own. They are what a learned policy has to beat there.
"""

from dataclasses import replace

import numpy as np

from agents.hedgers.band import Band
from agents.hedgers.greeks import DELTA, greeks
from agents.hedgers.hedger import Desk, Rule, Scalar, Sight
from sim.kernel import F64
from sim.terms import check_range


class ScaledDelta(Rule):
    """A multiple of the delta.

    Parameters
    ----------
    factor : float or None
        None is tuned.
    lowest, highest : float
        Between which it is tuned.
    """

    title = "scaled delta"

    def __init__(
        self, *, factor: float | None = None, lowest: float = 0.5, highest: float = 1.6
    ) -> None:
        if factor is not None:
            check_range("factor", factor, 0.0, 100.0)
        check_range("lowest", lowest, 0.0, highest)
        self.factor, self.lowest, self.highest = factor, lowest, highest

    @property
    def scalar(self) -> Scalar | None:
        """The factor."""
        if self.factor is not None:
            return None
        return Scalar("factor", self.lowest, self.highest, geometric=False)

    @property
    def told(self) -> str:
        """The factor."""
        return f"x {self.factor:.3f}"

    def target(self, sight: Sight) -> F64:
        """Return the multiple."""
        assert self.factor is not None
        return self.factor * sight.delta


class VolatilityDelta(Rule):
    """Delta at a multiple of the volatility of marks.

    Parameters
    ----------
    multiplier : float or None
        None is tuned.
    lowest, highest : float
        Between which it is tuned.
    """

    title = "delta at another volatility"

    def __init__(
        self, *, multiplier: float | None = None, lowest: float = 0.4, highest: float = 4.0
    ) -> None:
        if multiplier is not None:
            check_range("multiplier", multiplier, 0.0, 100.0, open_low=True)
        check_range("lowest", lowest, 0.0, highest, open_low=True)
        self.multiplier, self.lowest, self.highest = multiplier, lowest, highest

    @property
    def scalar(self) -> Scalar | None:
        """The multiplier."""
        if self.multiplier is not None:
            return None
        return Scalar("multiplier", self.lowest, self.highest)

    @property
    def told(self) -> str:
        """The multiplier."""
        return f"x {self.multiplier:.3f}"

    def target(self, sight: Sight) -> F64:
        """Delta at the multiple of every part of the volatility."""
        assert self.multiplier is not None
        nu, rho, alpha, long_run, jumps = self.desk.marks
        marks = (nu, rho, alpha, self.multiplier * long_run, self.multiplier * jumps)
        raised = sight._replace(volatility=self.multiplier * sight.volatility)
        return np.asarray(greeks(replace(self.desk, marks=marks), raised)[DELTA])


class ShiftedBand(Band):
    """A no-trade band of constant width whose centre lies beside the delta.

    Parameters
    ----------
    shift : float or None
        Of the centre, units; None is tuned first.
    half_width : float or None
        Units; None is tuned then, 0 is a hedge without a band.
    title : str
    """

    def __init__(
        self, *, shift: float | None = None, half_width: float | None = None,
        title: str = "shifted band",
    ) -> None:  # fmt: skip
        if shift is not None:
            check_range("shift", shift, -1e9, 1e9)
        if half_width is not None:
            check_range("half_width", half_width, 0.0, 1e9)
        self.shift, self.half_width, self.title = shift, half_width, title

    def bind(self, desk: Desk) -> None:
        """Take over the terms."""
        super().bind(desk)
        self.reach = 0.5 * (desk.high - desk.low)

    @property
    def scalar(self) -> Scalar | None:
        """The shift, then the half-width."""
        if self.shift is None:
            return Scalar("shift", -self.reach, self.reach, geometric=False)
        return None if self.half_width is not None else Scalar("half_width", 0.005, 0.5)

    @property
    def told(self) -> str:
        """Both."""
        width = f" ±{self.half_width:.3f}" if self.half_width else ""
        return f"{self.shift:+.3f}{width}"

    def target(self, sight: Sight) -> F64:
        """Nearest point of the band around the shifted delta."""
        assert self.shift is not None
        return super().target(sight._replace(delta=sight.delta + self.shift))

    def half_width_of(self, sight: Sight) -> F64:
        """Return the constant; none while the shift is tuned."""
        return np.full(sight.delta.size, self.half_width if self.half_width is not None else 0.0)
