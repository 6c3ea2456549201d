"""Speed, memory and compile time: `python -m experiments.bench [--full] [--only PART ...]`.

Each figure stands beside its bar, which is for two cores with nothing else on them. Peers and slow,
obvious ways run beside ours in the same run, so that a noisy machine cannot flatter either.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes
    ----------
    name : str
    value : float or None
        None: not measurable here.
    unit : str
    bar : float or None
        None: there is none.
    at_least : bool
        Whether the bar is a lower one.
    note : str
    """

    name: str
    value: float | None
    unit: str = "s"
    bar: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None without bar or value."""
        if self.bar is None or self.value is None:
            return None
        return self.value >= self.bar if self.at_least else self.value <= self.bar
