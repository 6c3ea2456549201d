"""What every replayed event promises, and the function that workers call."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar

from sim.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from experiments.report.charts import Chart

FUNCTION = "experiments.history.event:simulate"
TOLD = ("documented", "ablations", "assumptions")
"""Fields that the report reads and no row depends on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Documented:
    """One figure that is known of an event; no simulation reads it.

    Attributes
    ----------
    title : str
        What it is, in words.
    unit : str
        Of all values below; `USD`, `DAI`, `ETH`, `share` (a fraction), ...
    value : float or None
        As published; None where `Event.observed` computes it from the recorded data.
    low, high : float or None
        Range of what is published.
    source : str
        Where it was read.
    bar : bool
        Whether the median world is judged by a factor.
    most : float or None
        What a documented zero is judged by: the largest median that still counts as none.
    """

    title: str
    unit: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    source: str = ""
    bar: bool = False
    most: float | None = None

    def __post_init__(self) -> None:
        for name in ("value", "low", "high", "most"):
            number = getattr(self, name)
            if number is not None and not isfinite(number):
                raise ConfigError(f"{name} of {self.title!r} must be finite, got {number}")
        if self.bar and self.value == 0.0 and self.most is None:
            raise ConfigError(
                f"{self.title!r} is documented as 0, so no factor judges it: give most=, the "
                f"largest median that counts as none"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """The event with one fact changed.

    Attributes
    ----------
    title : str
        What is different, in words.
    overrides : sequence of str
        Arguments of the command line, as `oracle=spot`.
    """

    title: str
    overrides: Sequence[str]


class Event(ABC):
    """One past event.

    Parameters
    ----------
    data : str
        Folder of market tables.
    documented : mapping of str to Documented's fields
        What is known, by the name of a column of the table `worlds`.
    ablations : mapping of str to Ablation's fields
        What the report varies, by name.
    assumptions : mapping of str to str
        What no data says: a sentence each, with its source or the word "assumed".
    """

    title: ClassVar[str]  # of the report
    tables: ClassVar[tuple[str, ...]] = ()  # of `simulate` that `figures` reads, beside `worlds`

    def __init__(
        self,
        *,
        data: str,
        documented: Mapping[str, Mapping[str, Any]] | None = None,
        ablations: Mapping[str, Mapping[str, Any]] | None = None,
        assumptions: Mapping[str, str] | None = None,
    ) -> None:
        if not data:
            raise ConfigError(
                "data must name the folder of market tables that the event replays, got nothing: "
                "give data=DIR"
            )
        self.data = data
        self.documented = {k: Documented(**dict(v)) for k, v in (documented or {}).items()}
        self.ablations = {k: Ablation(**dict(v)) for k, v in (ablations or {}).items()}
        self.assumptions = dict(assumptions or {})

    @abstractmethod
    def simulate(
        self, config: Mapping[str, Any], seed: int, first: int, stop: int
    ) -> "dict[str, pa.Table]":
        """Run the worlds `first`, ..., `stop - 1`: a pure function of its arguments.

        Returns
        -------
        dict of str to pyarrow.Table
            `worlds`, one row per world with a column `world` and one per figure; other tables, each
            with a column `world`, for `figures`.
        """

    def observed(self) -> dict[str, float]:
        """Figures of the event that the recorded tables give, by the name of their column."""
        return {}

    def figures(self, tables: "Mapping[str, pd.DataFrame]") -> "list[Chart]":
        """Charts of the event's signature, simulated beside recorded.

        Parameters
        ----------
        tables : mapping of str to DataFrame
            `worlds` and the class's `tables`, of the run without ablation.
        """
        del tables
        return []


def simulate(config: dict[str, Any], seed: int, first: int, stop: int) -> "dict[str, pa.Table]":
    """Run a slice of the worlds of the event that a configuration describes."""
    from experiments.build import part

    event = part(config, "history")
    assert isinstance(event, Event)
    return event.simulate(config, seed, first, stop)
