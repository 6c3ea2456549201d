"""Where the prices of an episode come from."""

from abc import ABC, abstractmethod

import numpy as np

from sim.errors import ConfigError
from sim.kernel import F64, I64, Bool
from sim.prices.process import SECONDS_PER_YEAR, PriceProcess


class HedgeMarket(ABC):
    """What a market tells of every world's episode, step by step.

    Attributes
    ----------
    path : array (world, step + 1, channel)
        Price (cash) and, where `has_volatility`, its annual volatility; kernels read it.
    has_volatility : bool
    """

    path: F64
    has_volatility: bool

    @abstractmethod
    def bind(self, seed: int, world_ids: I64, n_steps: int, years: float) -> None:
        """Allocate for a batch of worlds whose episodes have `n_steps` steps of `years` each."""

    @abstractmethod
    def begin(self, chosen: Bool, episodes: I64) -> None:
        """Make the paths of the chosen worlds' new episodes."""


class PathMarket(HedgeMarket):
    """An exogenous price process: the hedger is too small to move it.

    Parameters
    ----------
    process : PriceProcess
        Of `conf/price`; the asset is its first.
    asset : str, optional
        Which of its assets is hedged with.
    """

    def __init__(self, *, process: PriceProcess, asset: str | None = None) -> None:
        makes_paths = isinstance(process, PriceProcess)
        if not makes_paths or type(process).path_filler is PriceProcess.path_filler:
            raise ConfigError(
                f"market.process must be a price process that makes whole paths, and "
                f"{type(process).__name__} is none; take one of the models, or HistoricalWindows "
                "for recorded prices"
            )
        self.process, self.asset = process, asset
        self.has_volatility = len(process.channels) > 1

    def bind(self, seed: int, world_ids: I64, n_steps: int, years: float) -> None:
        """Allocate the paths."""
        self.world_ids = world_ids
        self.filler = self.process.path_filler(
            seed, n_steps, years * SECONDS_PER_YEAR, asset=self.asset
        )
        self.path = np.zeros((len(world_ids), n_steps + 1, self.filler.n_channels))

    def begin(self, chosen: Bool, episodes: I64) -> None:
        """Draw the paths of the chosen worlds' episodes."""
        if chosen.all():
            self.filler(self.path, self.world_ids, episodes)
            return
        rows = np.flatnonzero(chosen)
        made = np.empty((len(rows), *self.path.shape[1:]))
        self.filler(made, self.world_ids[rows], episodes[rows])
        self.path[rows] = made
