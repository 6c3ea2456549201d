"""Option prices by simulation under any price process of the laboratory.

The process runs as in a world, block by block, with one path per world, so that what is priced is
exactly what is simulated, discretisation included. A price under the pricing measure needs a
process whose drift is the carry of the asset (0 for a forward).

Control variates are payoffs whose expectation is known: the asset itself at expiry, whose mean is
the forward, and any option that has a closed form, such as the European one beside an Asian. Their
coefficients are the least-squares ones on the same paths (bias of order 1 / n; Glasserman 2003,
Monte Carlo Methods in Financial Engineering, section 4.1, from memory).

Draws are addressed, so the result depends on seed and number of paths, never on the chunk.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from sim.errors import ConfigError
from sim.kernel import F64
from sim.options.terms import YEAR_SECONDS

if TYPE_CHECKING:
    from sim.prices.process import PriceProcess
    from sim.world import World

Payoff = Callable[[F64], F64]
"""From prices (path, step + 1), USD, to what is paid at expiry, (path,) or (path, payoff)."""


@dataclass(frozen=True, slots=True)
class Control:
    """A payoff of known expectation."""

    payoff: Payoff
    mean: float  # undiscounted, in the payoff's unit


@dataclass(frozen=True, slots=True)
class Estimate:
    """Prices by simulation, each array (payoff,)."""

    price: F64  # discounted
    error: F64  # one standard error of the price
    variance_ratio: F64  # variance without controls over that with them
    n_paths: int


def european(strike: Any, sign: Any) -> Payoff:
    """Payoff max(sign (S_T - K), 0); strikes of shape (payoff,) give one column each."""
    strikes, signs = np.asarray(strike, np.float64), np.asarray(sign, np.float64)

    def pay(paths: F64) -> F64:
        last = paths[:, -1] if strikes.ndim == 0 and signs.ndim == 0 else paths[:, -1:]
        return np.asarray(np.maximum(signs * (last - strikes), 0.0))

    return pay


def inverse_european(strike: Any, sign: Any) -> Payoff:
    """Payoff in coin, max(sign (S_T - K), 0) / S_T."""
    linear = european(strike, sign)

    def pay(paths: F64) -> F64:
        paid = linear(paths)
        return np.asarray(paid / (paths[:, -1] if paid.ndim == 1 else paths[:, -1:]))

    return pay


def asian(strike: float, sign: float, n_last: int | None = None) -> Payoff:
    """Payoff on the mean of the last `n_last` prices, of all but the first when left out."""

    def pay(paths: F64) -> F64:
        window = paths[:, 1:] if n_last is None else paths[:, -n_last:]
        return np.asarray(np.maximum(sign * (window.mean(axis=1) - strike), 0.0))

    return pay


def underlying(forward: float) -> Control:
    """Control by the asset at expiry, whose mean is the forward."""
    return Control(lambda paths: paths[:, -1], forward)


def simulate(
    process: "PriceProcess",
    payoffs: Sequence[Payoff],
    *,
    asset: str,
    years: float,
    n_steps: int,
    n_paths: int,
    seed: int,
    chunk: int,
) -> list[F64]:
    """Run paths and return what each payoff pays, `(path,)` or `(path, payoff)`."""
    initial = getattr(process, "initial", {asset: 0.0})
    if asset not in initial:
        raise ConfigError(
            f"asset must be one that the process prices, got {asset}; it prices "
            f"{', '.join(initial)}"
        )
    for name, value in (("n_steps", n_steps), ("n_paths", n_paths), ("chunk", chunk)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}; correct it")
    if not years > 0.0:
        raise ConfigError(f"years must be above 0, got {years}; correct it")
    block_seconds = years * YEAR_SECONDS / n_steps
    longest = process.horizon(block_seconds)
    if longest is not None and longest < n_steps + 1:
        raise ConfigError(
            f"the process prices {longest} steps of {block_seconds:g} s, but the option needs "
            f"{n_steps + 1}; shorten it or choose another process"
        )
    paid: list[list[F64]] = [[] for _ in payoffs]
    for first in range(0, n_paths, chunk):
        ids = np.arange(first, min(first + chunk, n_paths), dtype=np.int64)
        stage = SimpleNamespace(
            assets=[asset], n_assets=1, world_ids=ids, n_worlds=len(ids), seed=seed,
            n_steps=n_steps + 1, block_seconds=block_seconds,
        )  # fmt: skip
        process.bind(cast("World", stage))
        paths = np.empty((len(ids), n_steps + 1))
        for step in range(n_steps + 1):
            process.advance(step)
            paths[:, step] = process.price[:, 0]
        for rows, payoff in zip(paid, payoffs, strict=True):
            rows.append(payoff(paths))
    return [np.concatenate(rows) for rows in paid]


def monte_carlo(
    process: "PriceProcess",
    payoff: Payoff,
    *,
    asset: str,
    years: float,
    n_steps: int,
    n_paths: int = 65_536,
    seed: int = 0,
    discount: float = 1.0,
    controls: Sequence[Control] = (),
    chunk: int = 8_192,
) -> Estimate:
    """Price one payoff, or several on the same paths.

    Parameters
    ----------
    process : PriceProcess
        A part of `conf/price`; it is bound anew.
    payoff : callable
        Of prices (path, step + 1); see `Payoff`.
    asset : str
        Which asset of the process.
    years, n_steps : float, int
        To expiry, cut into equal blocks.
    n_paths, seed : int
        Paths are the worlds 0, 1, ... of this seed.
    discount : float
        exp(-r T).
    controls : sequence of Control
        Payoffs of known expectation.
    chunk : int
        Paths held at once; changes nothing but memory.

    Raises
    ------
    ConfigError
        If the process does not price the asset or not for so long, or a number is out of range.
    """
    paid = simulate(
        process, [payoff, *(c.payoff for c in controls)], asset=asset, years=years,
        n_steps=n_steps, n_paths=n_paths, seed=seed, chunk=chunk,
    )  # fmt: skip
    values = paid[0].reshape(n_paths, -1)
    centred = values - values.mean(axis=0)
    plain = (centred**2).sum(axis=0)
    price, left = values.mean(axis=0), plain
    if controls:
        known = np.stack(paid[1:], axis=1)
        means = np.array([c.mean for c in controls])
        spread = known - known.mean(axis=0)
        weights = np.linalg.lstsq(spread, centred, rcond=None)[0]
        price = price - (known.mean(axis=0) - means) @ weights
        left = ((centred - spread @ weights) ** 2).sum(axis=0)
    degrees = max(n_paths - 1 - len(controls), 1)
    error = np.sqrt(left / degrees / n_paths)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(left > 0.0, plain / left, np.inf)
    return Estimate(discount * price, discount * error, ratio, n_paths)
