"""Where the prices of an episode come from."""

from abc import ABC, abstractmethod

import numpy as np

from sim.errors import ConfigError
from sim.kernel import F64, I64, Bool
from sim.prices.process import SECONDS_PER_YEAR, PriceProcess
from sim.prices.windows import HistoricalWindows
from sim.terms import check_range


class HedgeMarket(ABC):
    """What a market tells of every world's episode, step by step.

    A market that answers orders (`LivingMarket`) is one where they move the price.

    Attributes
    ----------
    path : array (world, step + 1, channel)
        Price (cash) and, where `has_volatility`, its annual volatility; kernels read it.
    conditions : array (world, step + 1, condition)
        See `envs.hedging.state.CONDITIONS`; None where the market tells nothing more.
    has_volatility : bool
    taken : bool
        Whether an environment has bound it: it holds the prices of one alone.
    most_worlds : int
        Worlds that are best played at once.
    began : array (world,) or None
        Unix time at which each world's episode begins, where the prices are recorded ones.
    """

    path: F64
    conditions: F64 | None = None
    taken: bool = False
    began: F64 | None = None
    has_volatility: bool
    most_worlds: int = 10_000

    @abstractmethod
    def bind(self, seed: int, world_ids: I64, n_steps: int, years: float) -> None:
        """Allocate for a batch of worlds whose episodes have `n_steps` steps of `years` each."""

    @abstractmethod
    def begin(self, chosen: Bool, episodes: I64) -> None:
        """Make the paths of the chosen worlds' new episodes."""


class AnsweringMarket(HedgeMarket):
    """A market that fills orders itself and whose prices they move; all its worlds share a clock.

    Its `path` and `conditions` are written as time passes: at `begin` the first moment of the
    chosen worlds, at `play` the next one of all. Time passes with every step of the environment,
    whoever waits for a reset: so a world does not depend on when others end.

    Attributes
    ----------
    rest : int
        Steps between two episodes of a world, which the environment sets before `bind`.
    over : bool
        Whether its run ended with the last step: so does every episode.
    halted : array (world,)
        Whether it takes no orders until the next step.
    filled : array (world,)
        Units bought in the last step, negative sold.
    paid : array (world,)
        Cash paid for them beyond their worth at the price of the step's beginning.
    price : array (world,)
        Present price, cash.
    """

    rest: int = 0
    over: bool
    halted: Bool
    filled: F64
    paid: F64
    price: F64

    @abstractmethod
    def play(self, orders: F64, moments: I64) -> None:
        """Let a step pass, what was left and then the orders first.

        Parameters
        ----------
        orders : array (world,)
            Units of the underlying to buy, negative to sell.
        moments : array (world,)
            Step of each world's episode at which the orders come.
        """

    @abstractmethod
    def cost_of(self, orders: F64) -> F64:
        """Cash that orders (world,) would cost now beyond their worth; nothing is traded."""

    @abstractmethod
    def leave(self, orders: F64) -> None:
        """Take orders (world,) that are nobody's any more: what ended episodes held."""

    @abstractmethod
    def renew(self) -> None:
        """Start another run, after `over`; worlds begin their episodes in it when they may."""


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


class ReplayMarket(PathMarket):
    """Recorded prices, with the volatility that they had until then.

    A window begins some steps before its episode. Volatility is the root of the exponentially
    weighted mean of squared returns, begun as the mean of the steps before: nothing later goes in.

    Parameters
    ----------
    process : PriceProcess
        As `sim.prices.windows.HistoricalWindows`.
    asset : str, optional
        Which of its assets is hedged with.
    warm_up : int
        Steps before the episode.
    memory : float
        Weight of the old mean in a step.
    """

    def __init__(
        self, *, process: PriceProcess, asset: str | None = None, warm_up: int = 84,
        memory: float = 0.97,
    ) -> None:  # fmt: skip
        super().__init__(process=process, asset=asset)
        if isinstance(warm_up, bool) or not isinstance(warm_up, int) or warm_up < 2:
            raise ConfigError(
                f"market.warm_up must be a whole number of at least 2, got {warm_up!r}"
            )
        check_range("market.memory", memory, 0.0, 1.0)
        self.warm_up, self.memory, self.has_volatility = warm_up, memory, True

    def bind(self, seed: int, world_ids: I64, n_steps: int, years: float) -> None:
        """Allocate the paths."""
        self.world_ids, self.years, self.seed = world_ids, years, seed
        seconds, length = years * SECONDS_PER_YEAR, n_steps + self.warm_up
        self.filler = self.process.path_filler(seed, length, seconds, asset=self.asset)
        self.path = np.zeros((len(world_ids), n_steps + 1, 2))
        if isinstance(self.process, HistoricalWindows):
            self.began = np.zeros(len(world_ids))

    def begin(self, chosen: Bool, episodes: I64) -> None:
        """Cut the chosen worlds' windows from the record."""
        rows = np.flatnonzero(chosen)
        n_moments = self.path.shape[1] + self.warm_up
        made = np.empty((len(rows), n_moments, self.filler.n_channels))
        self.filler(made, self.world_ids[rows], episodes[rows])
        price = made[:, :, 0]
        squares = np.diff(np.log(price), axis=1) ** 2
        mean = squares[:, : self.warm_up].mean(axis=1)
        opening = price[:, self.warm_up]
        if isinstance(self.process, HistoricalWindows) and self.began is not None:
            seconds = self.years * SECONDS_PER_YEAR
            self.began[rows] = self.warm_up * seconds + self.process.starts(
                self.seed, self.world_ids[rows], episodes[rows], n_moments - 1, seconds
            )
        for t in range(self.path.shape[1]):
            if t > 0:
                newest = squares[:, self.warm_up + t - 1]
                mean = self.memory * mean + (1.0 - self.memory) * newest
            first = made[:, 0, 0]
            self.path[rows, t, 0] = price[:, self.warm_up + t] / opening * first
            self.path[rows, t, 1] = np.sqrt(mean / self.years)
