"""What every agent promises: join a model, decide on a view, act in all worlds at once."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import mesa
import numpy as np

from agents.view import View
from sim.actions import NO_ROWS, ROW, WORDS, new_rows
from sim.errors import ConfigError
from sim.kernel import Bool, Rows
from sim.state import Arena
from sim.world import World

if TYPE_CHECKING:
    from agents.model import MarketModel


class MarketAgent(mesa.Agent):  # type: ignore[misc]
    """One Mesa agent; it acts in all worlds of the batch at once.

    Construction is cheap and says what YAML says; `join` makes it a member of a model.

    Attributes
    ----------
    name : str
        Its key in the configuration; the name of its ledger account.
    account : int
        Index of that account.
    world : World
    arena : Arena
        Own per-world state (empty for an agent without memory).
    """

    name: str
    account: int
    world: World
    arena: Arena

    def __init__(self) -> None:
        """Stay outside any model until `join`."""

    def join(self, model: "MarketModel", name: str) -> None:
        """Become a member of a model: take an account, bring positions to the venues."""
        super().__init__(model)
        self.name, self.world = name, model.world
        self.account = model.world.open_account(name)
        self.enroll(model.world)

    def enroll(self, world: World) -> None:
        """Bring positions to venues, before the ledger exists."""

    def bind(self, world: World) -> None:
        """Allocate state and endow the account, once the ledger exists."""
        self.arena = Arena(world.n_worlds, {})

    @property
    def least_call(self) -> tuple[float, float, float] | None:
        """Gas, least profit in USD and gas cap in gwei of a call, of an agent that liquidates."""
        return None

    @abstractmethod
    def decide(self, view: View) -> Rows:
        """Rows wanted this block, grouped by world in ascending order; may be empty."""

    def reset(self, mask: Bool) -> None:
        """Return the worlds in the mask to the start."""
        self.arena.reset(mask)

    def snapshot(self) -> Any:
        """Copy of the agent's memory."""
        return self.arena.snapshot()

    def restore(self, snapshot: Any) -> None:
        """Take a snapshot back."""
        self.arena.restore(snapshot)

    def endow(self, holdings: dict[str, float]) -> None:
        """Mint whole tokens of named assets to the agent's account in every world."""
        for asset, amount in holdings.items():
            if not (np.isfinite(amount) and amount >= 0):
                raise ConfigError(
                    f"{self.name}: holding of {asset} must be finite and not negative, got {amount}"
                )
            self.world.ledger.endow(self.account, self.world.asset_index(asset), amount)


class RowBuffer:
    """Rows that a kernel fills, kept between blocks so that no block allocates."""

    def __init__(self, capacity: int = 1024) -> None:
        self._allocate(capacity)

    def _allocate(self, capacity: int) -> None:
        """Make room, and keep how blank rows look."""
        self.rows, self.blank = new_rows(capacity), new_rows(capacity).view(np.int64)
        self.words = self.rows.view(np.int64)

    def room(self, n: int) -> Rows:
        """At least `n` blank rows."""
        if n > self.rows.shape[0]:
            self._allocate(2 * n)
        return self.rows

    def take(self, n: int) -> Rows:
        """Take a copy of the first `n` rows; the buffer is blank again."""
        if n == 0:
            return NO_ROWS
        size = n * WORDS
        taken: Rows = self.words[:size].copy().view(ROW)
        self.words[:size] = self.blank[:size]
        return taken
