"""What every price process promises, and the checks and arrays that they share.

A process prices every asset of the world in US dollars, exogenously: the impact of simulated trades
is the market's business. Its randomness is addressed by (seed, stream, world id, step, index), so
that a world's path is the same in any batch; the models share the stream of their Brownian motion,
so that GBM, Merton and Kou are compared on the same diffusion.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import ConfigError
from sim.kernel import F64, I64, Bool
from sim.prices.paths import PathFiller, addresses, check_length
from sim.state import Arena

if TYPE_CHECKING:
    from sim.world import World

SECONDS_PER_YEAR = 365.0 * 86_400.0  # crypto markets never close

PerAsset = float | Mapping[str, float]


class PriceProcess(ABC):
    """A source of exogenous prices.

    Construction is cheap and says what YAML says; `bind` resolves names and allocates.

    Attributes
    ----------
    price : array (world, asset)
        Price of the present block, USD per whole token.
    arena : Arena
        All per-world state, `price` among it.
    start : float
        Unix time of step 0, seconds; 0 for a process without a calendar.
    channels : tuple of str
        What `paths` gives for each moment: the price, USD, and, where the model has one, the
        annualised volatility of log returns that holds then.
    """

    arena: Arena
    price: F64
    start: float = 0.0
    channels: ClassVar[tuple[str, ...]] = ("price",)

    @abstractmethod
    def bind(self, world: "World") -> None:
        """Resolve the world's assets, check the horizon and allocate."""

    @abstractmethod
    def advance(self, step: int) -> None:
        """Write `price` of this step; steps come in order, from 0."""

    def horizon(self, block_seconds: float) -> int | None:
        """Most steps that the process can price; None: any number."""
        del block_seconds
        return None

    def path_filler(
        self, seed: int, n_steps: int, dt_seconds: float, *, asset: str | None = None
    ) -> PathFiller:
        """Make what fills whole paths of one asset (see `sim.prices.paths`); needs no `bind`.

        Parameters
        ----------
        seed : int
            Seed of the run.
        n_steps : int
            Steps of a path, which has n_steps + 1 moments.
        dt_seconds : float
            Length of a step.
        asset : str, optional
            Which of the process's assets; its first that moves when left out. The paths of two
            assets at one address share their draws.
        """
        del seed, n_steps, dt_seconds, asset
        raise ConfigError(
            f"{type(self).__name__} makes no whole paths; take HistoricalWindows for recorded "
            "prices, or one of the models"
        )

    def paths(
        self,
        seed: int,
        world_ids: ArrayLike,
        episodes: ArrayLike,
        n_steps: int,
        dt_seconds: float,
        *,
        asset: str | None = None,
    ) -> F64:
        """Make the path of each (world, episode), shape (row, n_steps + 1, channel)."""
        check_length(n_steps, dt_seconds)
        ids, of = addresses(world_ids, episodes)
        out = np.empty((len(ids), n_steps + 1, len(self.channels)))
        self.path_filler(seed, n_steps, dt_seconds, asset=asset)(out, ids, of)
        return out

    def reset(self, mask: Bool) -> None:
        """Return the worlds in the mask to the initial prices, without allocation."""
        self.arena.reset(mask)

    def snapshot(self) -> Any:
        """Copy of the state, for `restore`."""
        return self.arena.snapshot()

    def restore(self, snapshot: Any) -> None:
        """Take a snapshot back."""
        self.arena.restore(snapshot)


class PriceModel(PriceProcess):
    """A process with an initial price for every asset, and a state that step 0 opens.

    A model calls `open` at the end of its `bind`, and says in `move` how a block passes.

    Attributes
    ----------
    initial : mapping of asset to float
        Price of step 0, USD.
    at_start : dict of str to array
        Value of each state at step 0, `price` among them.
    """

    initial: Mapping[str, float]
    at_start: dict[str, F64]

    def open(
        self, world: "World", *, of_worlds: Mapping[str, ArrayLike] | None = None,
        **states: ArrayLike,
    ) -> None:  # fmt: skip
        """Allocate `price` and further states of the arena, which begin at their values.

        Parameters
        ----------
        world : World
        of_worlds : mapping of str to array (world,), optional
            States of one number for each world.
        **states : array (n,)
            Values of step 0 in every world.
        """
        self.world_ids = world.world_ids
        values = {"price": initial_prices(self.initial, world.assets), **states}
        shapes = {name: np.shape(value) for name, value in values.items()}
        values |= of_worlds or {}
        self.at_start = {name: np.asarray(value, np.float64) for name, value in values.items()}
        self.arena = Arena(world.n_worlds, shapes | dict.fromkeys(of_worlds or {}, ()))
        self.price = self.arena["price"]
        self.open_again()
        self.arena.keep_as_initial()

    def open_again(self) -> None:
        """Give every state its value of step 0."""
        for name, value in self.at_start.items():
            self.arena[name][:] = value

    def advance(self, step: int) -> None:
        """Write the prices and states of this step."""
        if step == 0:
            self.open_again()
        else:
            self.move(step)

    @abstractmethod
    def move(self, step: int) -> None:
        """Move on from the step before."""


def check_numbers(
    field: str, value: PerAsset, low: float = -math.inf, high: float = math.inf
) -> None:
    """Raise ConfigError unless every number of a per-asset parameter lies in [low, high]."""
    numbers = value.items() if isinstance(value, Mapping) else [("", value)]
    for asset, number in numbers:
        place = f"{field}.{asset}" if asset else field
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ConfigError(f"{place} must be a number, got {number!r}; correct it")
        if not (math.isfinite(number) and low <= number <= high):
            raise ConfigError(
                f"{place} must be a finite number between {low:g} and {high:g}, got {number:g}; "
                "correct it"
            )


def check_initial(initial: Mapping[str, float], **others: PerAsset) -> None:
    """Raise ConfigError unless initial prices are positive and others name only priced assets."""
    if not isinstance(initial, Mapping) or not initial:
        raise ConfigError(
            f"initial must map assets to prices in USD, such as {{WETH: 2000}}, got {initial!r}"
        )
    for asset, price in initial.items():
        number = isinstance(price, int | float) and not isinstance(price, bool)
        if not (number and math.isfinite(price) and price > 0.0):
            raise ConfigError(
                f"initial.{asset} must be a positive price in USD, got {price!r}; correct it"
            )
    for field, value in others.items():
        if isinstance(value, Mapping):
            for asset in value:
                if asset not in initial:
                    raise ConfigError(
                        f"{field} names {asset}, which has no initial price; known assets are "
                        f"{', '.join(initial)}; add initial.{asset} or remove {field}.{asset}"
                    )


def initial_prices(initial: Mapping[str, float], assets: Sequence[str]) -> F64:
    """List the initial price of every asset of the world, shape (asset,)."""
    for asset in assets:
        if asset not in initial:
            raise ConfigError(
                f"initial has no price for {asset}, an asset of this world; it prices "
                f"{', '.join(initial)}; add initial.{asset}"
            )
    return np.array([float(initial[asset]) for asset in assets])


def per_asset(value: PerAsset, assets: Sequence[str], missing: float = 0.0) -> F64:
    """Spread a number over all assets, or a mapping with a value for what it leaves out."""
    if isinstance(value, Mapping):
        return np.array([float(value.get(asset, missing)) for asset in assets])
    return np.full(len(assets), float(value))


def correlation_matrix(correlation: PerAsset, assets: Sequence[str]) -> F64:
    """Correlation matrix of the assets.

    Parameters
    ----------
    correlation : float or mapping of str to float
        One number for every pair, or numbers by pair such as `{WETH/WBTC: 0.8}`, others 0.
    assets : sequence of str
        The assets that move.

    Returns
    -------
    array (asset, asset)
    """
    n = len(assets)
    if not isinstance(correlation, Mapping):
        return np.full((n, n), float(correlation)) + (1.0 - float(correlation)) * np.eye(n)
    matrix = np.eye(n)
    for pair, number in correlation.items():
        names = pair.split("/")
        if len(names) != 2 or names[0] == names[1]:
            raise ConfigError(
                f"correlation.{pair} must name a pair of assets, such as WETH/WBTC; rename it"
            )
        if names[0] in assets and names[1] in assets:
            i, j = assets.index(names[0]), assets.index(names[1])
            matrix[i, j] = matrix[j, i] = float(number)
    return matrix


def loading_of(matrix: F64) -> F64:
    """Lower-triangular L with L L' = matrix; a singular matrix (correlation 1) is welcome.

    Raises
    ------
    ConfigError
        Where no random variables can have these correlations.
    """
    n = matrix.shape[0]
    if n and np.linalg.eigvalsh(matrix)[0] < -1e-9:
        raise ConfigError(
            f"correlation cannot hold for {n} assets at once: its matrix has the negative "
            f"eigenvalue {np.linalg.eigvalsh(matrix)[0]:.3g}; bring the numbers closer to 0"
        )
    loading = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            rest = matrix[i, j] - loading[i, :j] @ loading[j, :j]
            if i == j:
                # Below 1e-12 is the rounding of a correlation of 1, not a variance.
                loading[i, i] = math.sqrt(rest) if rest > 1e-12 else 0.0
            elif loading[j, j] > 0.0:
                loading[i, j] = rest / loading[j, j]
    return loading


def moving(volatility: F64) -> I64:
    """List the indices of the assets with a volatility above 0."""
    return np.flatnonzero(volatility > 0.0).astype(np.int64)


def asset_of(initial: Mapping[str, float], asset: str | None, *moves: PerAsset) -> str:
    """Name the asset of a path: the given one, or the first that one of the parameters moves."""
    if asset is None:
        moving_ones = [
            name for name in initial if any(per_asset(value, [name])[0] != 0.0 for value in moves)
        ]
        return (moving_ones or list(initial))[0]
    if asset not in initial:
        raise ConfigError(
            f"asset must be one that the process prices, got {asset}; known assets are "
            f"{', '.join(initial)}; correct it"
        )
    return asset


def one_asset(value: PerAsset, asset: str, missing: float = 0.0) -> float:
    """Take one asset's number."""
    return float(per_asset(value, [asset], missing)[0])
