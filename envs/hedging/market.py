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
    path : array (world, step + 1, 2)
        Price (cash) and annual volatility; kernels read it.
    has_volatility : bool
        Whether the second channel means anything.
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
        if not hasattr(process, "path_filler"):
            raise ConfigError(
                f"market.process must make paths of its own, and {type(process).__name__} does not"
            )
        self.process, self.asset = process, asset
        self.has_volatility = len(process.channels) > 1

    def bind(self, seed: int, world_ids: I64, n_steps: int, years: float) -> None:
        """Allocate the paths."""
        self.world_ids = world_ids
        self.filler = self.process.path_filler(
            seed, n_steps, years * SECONDS_PER_YEAR, asset=self.asset
        )
        n_channels = self.filler.n_channels
        self.path = np.zeros((len(world_ids), n_steps + 1, max(n_channels, 2)))
        self.whole = n_channels == self.path.shape[2]
        self.scratch = self.path if self.whole else self.path[:, :, :n_channels].copy()

    def begin(self, chosen: Bool, episodes: I64) -> None:
        """Draw the paths of the chosen worlds' episodes."""
        if chosen.all():
            self.filler(self.scratch, self.world_ids, episodes)
            if not self.whole:
                self.path[:, :, : self.scratch.shape[2]] = self.scratch
            return
        rows = np.flatnonzero(chosen)
        made = np.empty((len(rows), *self.scratch.shape[1:]))
        self.filler(made, self.world_ids[rows], episodes[rows])
        self.path[rows, :, : made.shape[2]] = made
