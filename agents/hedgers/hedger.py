"""What every hedger is: from what the desk sees, the actions of all worlds at once."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from sim.errors import ConfigError
from sim.kernel import F32, F64, I64

BAND, TARGET = "band", "target"
MARKS = (
    "vol_of_vol", "leverage", "mean_reversion", "long_run_volatility", "jump_volatility",
)  # fmt: skip
"""Terms of marks: of SABR the first two, of a variance that reverts to its mean the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Terms of an environment that a hedger may know."""

    n_steps: int  # hedging periods of an episode
    years_per_step: float
    rate: float  # cost of a trade, as a fraction of its worth
    inverse: bool  # settled in coin
    kind: str  # of the action: band, target or trade
    low: float  # least holding
    high: float  # greatest holding
    centre: float  # of a band, furthest from the model's delta
    width: float  # of a band, greatest half-width
    most: float  # of the underlying, traded in a period at most
    marks: tuple[float, ...]  # how implied volatility follows from its level: MARKS
    listed: bool  # whether an option can be traded
    listed_steps: float  # its expiry, periods from its trade
    listed_most: float  # traded in a period at most
    swap: bool  # whether a variance swap can be traded
    fields: tuple[str, ...]  # of the observation
    description: Mapping[str, Any]  # the environment's own, as model files keep it

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> Self:
        """Read a desk from `OptionHedgingVectorEnv.describe()`."""
        terms = description["terms"]
        contract, action, listed = terms["contract"], terms["action"], terms["listed"]
        mark = terms["mark"]
        return cls(
            n_steps=contract["n_steps"],
            years_per_step=contract["days_per_step"] / contract["days_per_year"],
            rate=terms["costs"]["proportional"] + terms["costs"]["half_spread"],
            inverse=contract["settled"] == "inverse",
            kind=action["kind"], low=action["low"], high=action["high"], centre=action["centre"],
            width=action["width"], most=action["most"], listed=listed["enabled"],
            listed_steps=listed["expiry_steps"], listed_most=listed["most"],
            marks=tuple(float(mark[name]) for name in MARKS),
            swap=terms["swap"]["enabled"],
            fields=tuple(description["fields"]), description=description,
        )  # fmt: skip

    @property
    def n_actions(self) -> int:
        """Numbers of an action."""
        return self.n_own + self.listed + self.swap

    @property
    def n_own(self) -> int:
        """Numbers of an action that are of the underlying; they come first."""
        return 1 + (self.kind == BAND)


class Sight(NamedTuple):
    """What the desk sees in a period: arrays (world,) unless said; hedgers write none of them."""

    observation: F32  # (world, field)
    price: F64  # of the underlying, cash
    first: F64  # price at the start of the episode
    volatility: F64  # annual, of marks
    holding: F64  # of the underlying, units (inverse: coin)
    delta: F64  # of all options owed, units (inverse: coin, premium-adjusted)
    gamma: F64  # change of delta per relative move of the price
    vega: F64  # change of value per 1.0 of volatility
    t: I64  # period of the episode
    strike: F64  # (world, slot)
    expiry: F64  # (world, slot) period; -1: no option
    owed: F64  # (world, slot) options owed (negative: held)
    sign: F64  # (world, slot) 1: call, -1: put
    n_slots: I64  # slots in use


@dataclass(frozen=True, slots=True)
class Scalar:
    """A hedger's one number that is tuned on training paths."""

    name: str
    lowest: float
    highest: float
    geometric: bool = True  # how candidates are spaced between the ends


class Hedger(ABC):
    """Whoever decides what is traded.

    `bind(desk)` comes first; a hedger that cannot work there raises ConfigError. A hedger keeps no
    memory of the episode, so that it may be asked about any batch of worlds at any period.
    """

    title = "hedger"  # in tables

    def bind(self, desk: Desk) -> None:
        """Take over the terms of an environment."""
        self.desk = desk

    @property
    def scalar(self) -> Scalar | None:
        """What has to be tuned before it hedges; None where nothing is."""
        return None

    def with_scalar(self, value: float) -> Self:
        """Return the hedger with its scalar set."""
        scalar = self.scalar
        if scalar is None:
            raise ConfigError(f"{self.title} has no scalar to set; leave it as it is")
        other = copy(self)
        setattr(other, scalar.name, float(value))
        return other

    @property
    def fits(self) -> bool:
        """Whether it has to see training paths before it hedges: `fitted`."""
        return False

    def fitted(self, moves: Iterable[tuple[Sight, Sight]]) -> Self:
        """Return the hedger with what it estimates from training paths.

        Parameters
        ----------
        moves : iterable of (Sight, Sight)
            Before and after each period, of one batch of worlds after the other; read at once, for
            the second one is overwritten by the next.
        """
        del moves
        raise ConfigError(f"{self.title} estimates nothing from paths; leave it as it is")

    @property
    def told(self) -> str:
        """Its numbers, for tables."""
        return ""

    @abstractmethod
    def actions(self, sight: Sight) -> F64:
        """Actions in [-1, 1], shape (world, number)."""


class Rule(Hedger):
    """A hedger that says what to hold, whatever an action means in its environment."""

    @abstractmethod
    def target(self, sight: Sight) -> F64:
        """Return the holding wanted of the underlying, shape (world,)."""

    def actions(self, sight: Sight) -> F64:
        """Actions in [-1, 1], shape (world, number), that lead to the target and trade no more."""
        out = np.zeros((sight.holding.size, self.desk.n_actions))
        out[:, : self.desk.n_own] = toward(
            self.desk, self.target(sight), sight.holding, sight.delta
        )
        return out


def toward(desk: Desk, target: F64, holding: F64, delta: F64) -> F64:
    """Actions that bring the holding to a target, or as near to it as the action space reaches.

    Parameters
    ----------
    desk : Desk
    target, holding : array (world,)
    delta : array (world,)
        The model's, around which a band lies.

    Returns
    -------
    array (world, 1 or 2)
        A band of no width around the target; where the target is further from the model's delta
        than a centre may be, a wider one whose edge is the target.
    """
    target = np.clip(target, desk.low, desk.high)
    if desk.kind == TARGET:
        share = (target - desk.low) / (desk.high - desk.low)
        return np.clip(2.0 * share - 1.0, -1.0, 1.0)[:, None]
    if desk.kind != BAND:
        return np.clip((target - holding) / desk.most, -1.0, 1.0)[:, None]
    off = target - delta
    centre = np.clip(off, -desk.centre, desk.centre)
    missing = off - centre  # what only an edge can add
    # An edge stops a holding that comes from its own far side: a lower edge lifts, an upper one
    # lowers. So it helps where the missing part points against the move. Where nothing is to move,
    # the widest band says so without rounding: fixed costs count every trade.
    half = np.where(missing * (target - holding) < 0.0, np.abs(missing), 0.0)
    # A target beyond both centre and holding is out of reach; stay where that is nearer to it.
    stay = (missing * (target - holding) > 0.0) & (missing * (holding - delta - centre) > 0.0)
    half = np.where(stay | (target == holding), desk.width, np.minimum(half, desk.width))
    first = np.divide(centre, desk.centre, out=np.zeros_like(off), where=desk.centre > 0.0)
    second = 2.0 * half / desk.width - 1.0 if desk.width > 0.0 else np.full_like(off, -1.0)
    return np.stack([first, second], axis=1)
