"""The Mesa model: one World, its agents, one step per block."""

from collections.abc import Mapping
from typing import Any

import mesa
import numpy as np

from agents.agent import MarketAgent
from agents.view import View
from sim.kernel import Bool
from sim.world import World


class MarketModel(mesa.Model):  # type: ignore[misc]
    """One batch of worlds and the agents in it; one step is one block.

    Parameters
    ----------
    world : World
        Not yet bound: agents open accounts and bring positions first.
    agents : mapping of str to MarketAgent
        By name; decisions are simultaneous, so the order has no meaning.
    """

    def __init__(self, world: World, agents: Mapping[str, MarketAgent]) -> None:
        super().__init__(rng=world.seed)
        self.world = world
        self.members = dict(agents)
        try:
            self._seat()
        except BaseException:
            self.close()
            raise
        world.keep_as_initial()
        for agent in self.members.values():
            agent.arena.keep_as_initial()
        calls = [agent.least_call for agent in self.members.values()]
        self.view = View(world, [call for call in calls if call is not None])

    def _seat(self) -> None:
        """Bring agents into the world and the world to its first block."""
        for name, agent in self.members.items():
            agent.join(self, name)
        self.world.bind()
        for agent in self.members.values():
            agent.bind(self.world)

    def step(self) -> None:
        """Play one block."""
        self.world.open_block()
        self.act()

    def act(self) -> None:
        """Let all agents decide on the open block, then close it."""
        self.world.close_block([agent.decide(self.view) for agent in self.members.values()])

    def run(self) -> None:
        """Play all blocks that are left."""
        while self.world.step < self.world.n_steps:
            self.step()

    def reset(self, mask: Bool | None = None) -> None:
        """Return all worlds, or those in the mask, to the start."""
        mask = np.ones(self.world.n_worlds, np.bool_) if mask is None else mask
        self.world.reset(mask)
        for agent in self.members.values():
            agent.reset(mask)
        self.view.forget()
        self.steps = self.world.step  # Mesa's own count

    def snapshot(self) -> dict[str, Any]:
        """Copy of all state of world and agents."""
        return {
            "world": self.world.snapshot(),
            "agents": {name: agent.snapshot() for name, agent in self.members.items()},
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take a snapshot back."""
        self.world.restore(snapshot["world"])
        for name, agent in self.members.items():
            agent.restore(snapshot["agents"][name])
        self.view.forget()
        self.steps = self.world.step

    def let_go(self) -> None:
        """Let the memory go with the last reference; nobody joins any more.

        Mesa keeps discarded models alive through `Agent._ids`.
        """
        mesa.Agent._ids.pop(self, None)

    def close(self) -> None:
        """Let the memory go now."""
        self.let_go()
        self.members.clear()
