"""An oracle that publishes what a real one published: prices in use, from recorded events.

Assets without a record follow the market. What delays or outages the real oracle had are in the
record; a scenario's lag and halts reach only the other assets.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sim.errors import ConfigError, InputError
from sim.kernel import F64
from sim.oracles.oracle import Oracle
from sim.oracles.spot import publish

if TYPE_CHECKING:
    from sim.world import World


class RecordedOracle(Oracle):
    """Recorded prices of some assets.

    Parameters
    ----------
    records : mapping of str to (array (n,), array (n,))
        By asset: unix times from which a price is in use, ascending, and the prices, USD.
    max_lag_seconds : float
        Longest lag that a scenario may impose on the others, seconds.
    """

    def __init__(
        self, *, records: Mapping[str, tuple[F64, F64]], max_lag_seconds: float = 7_200.0
    ) -> None:
        for asset, (times, prices) in records.items():
            if not (len(times) == len(prices) and len(times) and bool(np.all(prices > 0.0))):
                raise InputError(f"{asset}: a record needs as many times as prices, all positive")
            if bool(np.any(np.diff(times) < 0.0)):
                raise InputError(f"{asset}: times of a record must ascend; sort its rows")
        self.records = dict(records)
        super().__init__(max_lag_seconds)

    def begin(self, world: "World") -> None:
        """Publish what was in use when the run begins."""
        self.columns = {world.asset_index(asset): record for asset, record in self.records.items()}
        for asset, (times, _) in self.records.items():
            if times[0] > world.start:
                raise ConfigError(
                    f"{self.name}: the record of {asset} must begin before the run, got "
                    f"{times[0] - world.start:g} s after its start; move start"
                )
        self._write()

    def _write(self) -> None:
        now = self.world.start + self.world.step * self.world.block_seconds
        for column, (times, prices) in self.columns.items():
            i = int(np.searchsorted(times, now + 1e-3, side="right")) - 1
            self.price[:, column] = prices[i]

    def update(self) -> None:
        """Publish the market, then the records over it."""
        self.observe()
        publish(self.observed, self.world.inputs["oracle_halted"], self.price)
        self._write()
