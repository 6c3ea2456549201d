"""A feed that was wired wrongly, for a while.

Feeds fail by configuration more often than by attack: a factor of ten from decimals, a ratio of two
assets taken for a price in USD (`conf/scenario/moonwell_2026.yaml`), the feed of another asset.
Everything else about the feed goes on: its lag, its halts, its transactions.
"""

from typing import TYPE_CHECKING

import numpy as np

from sim.oracles.composite import CompositeOracle
from sim.oracles.oracle import Oracle
from sim.terms import check_range, require

if TYPE_CHECKING:
    from sim.world import World


class MisconfiguredOracle(CompositeOracle):
    """An oracle with one wrong feed.

    Exactly one of `factor`, `ratio_to` and `wrong` says what is wrong.

    Parameters
    ----------
    base : Oracle
        What the oracle should say.
    asset : str
        The feed that is wrong.
    factor : float, optional
        Multiplies the price.
    ratio_to : str, optional
        The price in units of this asset is taken for the price in USD.
    wrong : Oracle, optional
        The price of this oracle is taken.
    start_hours : float
        Hours until the mistake goes live.
    duration_hours : float, optional
        Hours that it stands; for good when left out.
    """

    def __init__(
        self,
        *,
        base: Oracle,
        asset: str,
        factor: float | None = None,
        ratio_to: str | None = None,
        wrong: Oracle | None = None,
        start_hours: float = 1.0,
        duration_hours: float | None = None,
    ) -> None:
        given = {"factor": factor, "ratio_to": ratio_to, "wrong": wrong}
        named = [name for name, value in given.items() if value is not None]
        require(
            len(named) == 1,
            "exactly one of factor, ratio_to and wrong must say what is wrong with "
            f"{asset}, got {', '.join(named) or 'none'}; set the others to null",
        )
        if factor is not None:
            check_range("factor", factor, 0.0, 1e18, open_low=True)
        check_range("start_hours", start_hours, 0.0)
        lasting = np.inf if duration_hours is None else float(duration_hours)
        check_range("duration_hours", lasting, 0.0, open_low=True)
        super().__init__({"base": base} if wrong is None else {"base": base, "wrong": wrong})
        self.name_of_feed, self.factor, self.ratio_to = asset, factor, ratio_to
        self.start, self.end = float(start_hours), float(start_hours) + lasting

    def begin(self, world: "World") -> None:
        """Resolve the assets."""
        self.base, self.wrong = self.parts["base"], self.parts.get("wrong")
        self.asset = world.asset_index(self.name_of_feed)
        self.unit = None if self.ratio_to is None else world.asset_index(self.ratio_to)

    def combine(self) -> None:
        """Publish the base's prices, with the wrong one where it stands."""
        self.price[:] = self.base.price
        hours = self.world.step * self.world.block_seconds / 3_600.0
        if not self.start <= hours < self.end:
            return
        if self.wrong is not None:
            self.price[:, self.asset] = self.wrong.price[:, self.asset]
        elif self.unit is not None:
            self.price[:, self.asset] /= self.base.price[:, self.unit]
        elif self.factor is not None:
            self.price[:, self.asset] *= self.factor
