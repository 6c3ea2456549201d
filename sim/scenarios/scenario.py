"""What every scenario promises: it changes the inputs of a world, never its balances.

Inputs start each block neutral. Scenarios compose: factors multiply, lags add, halts unite.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sim.errors import ConfigError

if TYPE_CHECKING:
    from sim.world import World


class Scenario(ABC):
    """Something that befalls a world from outside.

    Times are hours since step 0 of the world.

    Attributes
    ----------
    name : str
        Its key in the configuration; it addresses the scenario's random streams.
    """

    name: str = "scenario"

    @abstractmethod
    def bind(self, world: "World") -> None:
        """Resolve names and precompute."""

    @abstractmethod
    def apply(self, step: int) -> None:
        """Change world.inputs for this step."""


class Composite(Scenario):
    """Several scenarios at once.

    Parameters
    ----------
    parts : mapping of str to Scenario, optional
        Scenarios by name; None where a name was switched off. Empty: a quiet world.
    """

    def __init__(self, parts: Mapping[str, Scenario | None] | None = None) -> None:
        given = dict(parts) if parts is not None else {}
        self.parts = {name: part for name, part in given.items() if part is not None}

    def bind(self, world: "World") -> None:
        """Bind every part; an error names the part."""
        for name, part in self.parts.items():
            part.name = name
            try:
                part.bind(world)
            except ConfigError as error:
                raise ConfigError(f"scenarios.{name}: {error}") from error

    def apply(self, step: int) -> None:
        """Apply every part."""
        for part in self.parts.values():
            part.apply(step)
