"""Median of several oracles: one wrong feed among three moves the price no further than the others.

Of an odd number of prices the middle one, of an even number the mean of the middle two. Maker's
`Median.sol` takes odd quorums only (`setBar`); an even number is allowed here because the plain
median is defined for it. Leaves out signatures, quorums and the age of single prices: a part that
has fallen silent keeps its last price and its vote.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sim.oracles.composite import CompositeOracle
from sim.oracles.oracle import Oracle
from sim.terms import require

if TYPE_CHECKING:
    from sim.world import World


class MedianOracle(CompositeOracle):
    """Median by asset.

    Parameters
    ----------
    parts : mapping of str to Oracle
        Two or more oracles by name; None where a name was switched off.
    """

    def __init__(self, *, parts: Mapping[str, Oracle | None]) -> None:
        voters = {f"parts.{name}": part for name, part in parts.items() if part is not None}
        require(
            len(voters) >= 2,
            f"parts must name two oracles or more for a median, got {len(voters)}; add some",
        )
        super().__init__(voters)

    def begin(self, world: "World") -> None:
        """Make room for the parts' prices."""
        self.votes = np.empty((len(self.parts), world.n_worlds, len(world.assets)))

    def combine(self) -> None:
        """Take the median of the parts' prices."""
        for k, part in enumerate(self.parts.values()):
            self.votes[k] = part.price
        np.median(self.votes, axis=0, out=self.price)
