"""A crowd of background traders beside many worlds' order books."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sim.book.layout import MAX_PRICE, MESSAGE, Book
from sim.crowd.desk import MOST_SLOTS
from sim.crowd.layout import (
    ARRIVAL,
    EVENT,
    FIRST_ACCOUNT,
    FUNDAMENTAL,
    FUNDAMENTAL_TIME,
    HEAD_WORDS,
    JUMP_RATE,
    JUMP_SIZE,
    KEEPS_TAPE,
    LAST_MID,
    MEMBER,
    NOW,
    OU_MEAN,
    OU_SIGMA,
    OU_SPEED,
    OWN,
    PARENT,
    QUOTE,
    START_PRICE,
    TARGET,
    TARGET_TIME,
    TERM_WORDS,
    VALUE_WORDS,
    VARIANCE_SIGMA,
    VARIANCE_SPEED,
    CrowdState,
)
from sim.crowd.loop import seat
from sim.crowd.trader import Traders
from sim.errors import ConfigError
from sim.kernel import F64, I64, Bool
from sim.state import Arena
from sim.streams import stream_key
from sim.terms import check_range

NOTICES = 1024  # room on the heap for notices, beyond two an order


@dataclass(frozen=True, kw_only=True)
class Fundamental:
    """Value that a world's members believe in: d F = speed (mean - F) dt + volatility dW + jumps.

    All relative to the starting price, which is the mean. The volatility may itself vary: its
    square is lognormal with the given stationary deviation of its logarithm.
    """

    speed: float = 0.0  # per second
    volatility: float = 0.0  # of the starting price, per square root of a second
    jump_rate: float = 0.0  # per second
    jump_size: float = 0.0  # standard deviation, of the starting price
    variance_speed: float = 0.0  # per second
    variance_sigma: float = 0.0  # stationary standard deviation of the log variance

    def __post_init__(self) -> None:
        """Check."""
        for name in self.__dataclass_fields__:
            check_range(f"fundamental.{name}", getattr(self, name), 0.0)


class Crowd:
    """Groups of background traders.

    Parameters
    ----------
    traders : mapping of str to Traders
        The groups, by name.
    fundamental : Fundamental, optional
        The value that they believe in where nobody sets it from outside.
    size_scale : float
        Lots of the book for each lot of the groups' sizes, so that one cast serves many books.
    """

    def __init__(
        self,
        traders: Mapping[str, Traders],
        fundamental: Fundamental | None = None,
        size_scale: float = 1.0,
    ) -> None:
        self.traders = dict(traders)
        for name, group in self.traders.items():
            if not isinstance(group, Traders):
                raise ConfigError(f"traders.{name} must be a group of traders, got {group!r}")
        self.fundamental = fundamental if fundamental is not None else Fundamental()
        self.n_members = sum(group.count for group in self.traders.values())
        self.n_slots = sum(group.count * group.slots for group in self.traders.values())
        if not 0 < self.n_members < 2**31 or self.n_slots > MOST_SLOTS:
            raise ConfigError(
                f"a crowd needs 1 to 2^31 members and at most {MOST_SLOTS} orders, got "
                f"{self.n_members} and {self.n_slots}; change count or slots"
            )
        check_range("size_scale", size_scale, 0.0, 1e9, open_low=True)
        self.size_scale = size_scale
        self.logs = (0, 0, 0)

    def keep_logs(self, quotes: int, arrivals: int, parents: int) -> None:
        """Ask, before `bind`, for logs of the touch, of limit orders and large ones, in lines."""
        self.logs = (quotes, arrivals, parents)

    def bind(
        self, n_worlds: int, world_ids: I64, seed: int, stream_name: str,
        start_price_ticks: ArrayLike, first_account: int = 0, n_prints: int = 1,
        keeps: bool = False,
    ) -> None:  # fmt: skip
        """Allocate, and plan everybody's first wake.

        Parameters
        ----------
        n_worlds : int
        world_ids : array (world,) of int64
        seed : int
            Of the run.
        stream_name : str
            Of the crowd's random numbers.
        start_price_ticks : float or array (world,)
            Price at the start and mean of the crowd's own fundamental.
        first_account : int
            Account of the first member in the book; the others follow.
        n_prints : int
            Lines of the book's tape.
        keeps : bool
            Whether `advance` stops when the tape is full, so that no print is lost.
        """
        price = np.broadcast_to(np.asarray(start_price_ticks, float), (n_worlds,))
        if not np.all((price >= 1.0) & (price <= MAX_PRICE)):
            raise ConfigError(f"start prices must lie in [1, 2^31 - 2] ticks, got {price}")
        memory = sum(group.count * group.memory for group in self.traders.values())
        events = 2 * self.n_members + 4 * self.n_slots + NOTICES
        quotes, arrivals, parents = (max(1, n) for n in self.logs)
        sizes = {
            "head": HEAD_WORDS, "values": VALUE_WORDS,
            "members": self.n_members * MEMBER.itemsize // 8,
            "own": self.n_slots * OWN.itemsize // 8, "heap": events * EVENT.itemsize // 8,
            "memory": max(memory, 1), "scratch": MESSAGE.itemsize // 8, "print_time": n_prints,
            "quotes": quotes * QUOTE.itemsize // 8, "arrivals": arrivals * ARRIVAL.itemsize // 8,
            "parents": parents * PARENT.itemsize // 8,
        }  # fmt: skip
        self.arena = Arena(n_worlds, {name: (size,) for name, size in sizes.items()}, np.int64)
        view = self.arena.views
        self.state = CrowdState(
            _rows(view["head"], np.int64), _rows(view["values"], np.float64),
            _rows(view["members"], MEMBER),
            _rows(view["own"], OWN), _rows(view["heap"], EVENT), _rows(view["memory"], np.float64),
            _rows(view["scratch"], MESSAGE), _rows(view["print_time"], np.int64),
            _rows(view["quotes"], QUOTE), _rows(view["arrivals"], ARRIVAL),
            _rows(view["parents"], PARENT),
            np.ascontiguousarray(world_ids, np.int64),
            np.stack([group.row(self.size_scale) for group in self.traders.values()]),
            stream_key(seed, stream_name),
        )  # fmt: skip
        self._number()
        self._set_values(price)
        self.state.head[:, FIRST_ACCOUNT] = first_account
        self.state.head[:, KEEPS_TAPE] = keeps
        for w in range(n_worlds):
            seat(self.state, w)
        self.arena.keep_as_initial()

    def _number(self) -> None:
        """Give members their kind, group, slots and memory, and slots their member."""
        groups = list(self.traders.values())
        counts = [group.count for group in groups]
        members, own = self.state.members, self.state.own
        slots = np.repeat([group.slots for group in groups], counts)
        words = np.repeat([group.memory for group in groups], counts)
        members["group"] = np.repeat(np.arange(len(groups)), counts)
        members["kind"] = np.repeat([int(group.kind) for group in groups], counts)
        members["slots"] = slots
        members["first"] = np.cumsum(slots) - slots
        members["memory"] = np.cumsum(words) - words
        own["member"] = np.repeat(np.arange(self.n_members), slots)
        own["link"] = np.arange(self.n_slots)
        own["place"] = np.arange(self.n_slots)

    def _set_values(self, price: F64) -> None:
        """Start the fundamental at the starting price."""
        v, f = self.state.values, self.fundamental
        for column in (FUNDAMENTAL, TARGET, LAST_MID, START_PRICE, OU_MEAN):
            v[:, column] = price
        v[:, OU_SPEED] = f.speed
        v[:, OU_SIGMA] = f.volatility * price
        v[:, JUMP_RATE], v[:, JUMP_SIZE] = f.jump_rate, f.jump_size * price
        v[:, VARIANCE_SPEED], v[:, VARIANCE_SIGMA] = f.variance_speed, f.variance_sigma

    def endow(self, book: Book, cash: int = 2**48, lots: int = 2**32) -> None:
        """Give every member free cash (ticks x lots) and free lots in the book's accounts.

        The defaults hardly run out, and the sum over 10,000 members fits: 2^48 and 2^32 each.
        """
        first = int(self.state.head[0, FIRST_ACCOUNT])
        accounts = book.accounts[..., first : first + self.n_members]
        accounts["cash"] += cash
        accounts["lots"] += lots

    def set_fundamental(self, price_ticks: F64, reach_ns: int | I64 | None = None) -> None:
        """Say what the members believe in from now on.

        Parameters
        ----------
        price_ticks : array (world,)
        reach_ns : int or array (world,), optional
            When the value is there: until then it moves on a straight line from where it is. Now,
            when left out.
        """
        v, now = self.state.values, self.state.head[:, NOW]
        v[:, OU_SPEED] = v[:, OU_SIGMA] = v[:, JUMP_RATE] = 0.0
        elapsed = np.maximum(v[:, TARGET_TIME] - v[:, FUNDAMENTAL_TIME], 1.0)
        done = np.clip((now - v[:, FUNDAMENTAL_TIME]) / elapsed, 0.0, 1.0)
        v[:, FUNDAMENTAL] += (v[:, TARGET] - v[:, FUNDAMENTAL]) * done
        v[:, FUNDAMENTAL_TIME] = now
        v[:, TARGET] = price_ticks
        v[:, TARGET_TIME] = now if reach_ns is None else reach_ns
        if reach_ns is None:
            v[:, FUNDAMENTAL] = price_ticks

    def keep_tape(self) -> None:
        """Make `advance` stop when the tape is full, so that no print is lost."""
        self.state.head[:, KEEPS_TAPE] = 1
        self.arena.keep_as_initial()

    def reset(self, mask: Bool) -> None:
        """Return the worlds in the mask to where `bind` left them."""
        self.arena.reset(mask)

    def snapshot(self) -> F64:
        """Copy of everything."""
        return self.arena.snapshot()

    def restore(self, snapshot: F64) -> None:
        """Take a snapshot back."""
        self.arena.restore(snapshot)


def _rows(buffer: F64, kind: Any) -> Any:
    """View of a field (world, words) as records, or other words, (world, n)."""
    return buffer.view(kind)


def nobody(n_worlds: int, n_prints: int) -> CrowdState:
    """Arrays of a crowd without members, for a book that only others trade in.

    Parameters
    ----------
    n_worlds : int
    n_prints : int
        Lines of the book's tape.

    Returns
    -------
    CrowdState
    """
    return CrowdState(
        np.zeros((n_worlds, HEAD_WORDS), np.int64), np.zeros((n_worlds, VALUE_WORDS)),
        np.zeros((n_worlds, 0), MEMBER), np.zeros((n_worlds, 0), OWN),
        np.zeros((n_worlds, 0), EVENT), np.zeros((n_worlds, 1)), np.zeros((n_worlds, 1), MESSAGE),
        np.zeros((n_worlds, n_prints), np.int64), np.zeros((n_worlds, 1), QUOTE),
        np.zeros((n_worlds, 1), ARRIVAL), np.zeros((n_worlds, 1), PARENT),
        np.zeros(n_worlds, np.int64), np.zeros((1, TERM_WORDS)), np.zeros(2, np.uint64),
    )  # fmt: skip
