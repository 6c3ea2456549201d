"""The series table as arrays (world, time), and as quantile bands for fan charts."""

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.report.charts import thin
from experiments.summary import QUANTILES
from sim.kernel import F64, I64

if TYPE_CHECKING:
    import pandas as pd

_FIRST_CHAIN_YEAR = 2009  # earlier dates are a clock that starts at zero, not a date


class Grid:
    """Series of the worlds that finished, on their common steps.

    Parameters
    ----------
    series : DataFrame
        The series table, possibly empty.
    world_ids : ndarray, shape (W,)
        Worlds that finished.
    """

    def __init__(self, series: "pd.DataFrame", world_ids: I64) -> None:
        if "world" in series:
            series = series[series["world"].isin(world_ids)]
            series = series.sort_values(["world", "step"], kind="stable")
        self._table = series
        self.is_empty = len(series) == 0
        self.columns = {str(c) for c in series.columns}
        if self.is_empty:
            return
        self.worlds: I64 = np.unique(series["world"].to_numpy())
        first = series.drop_duplicates("step").sort_values("step")
        self.steps: I64 = first["step"].to_numpy()
        self.times = first["time"]
        self._is_full = len(series) == self.worlds.size * self.steps.size
        self.is_dated = bool(self.times.iloc[0].year >= _FIRST_CHAIN_YEAR)

    @property
    def hours(self) -> F64:
        """Hours since the first recorded step."""
        elapsed = self.times - self.times.iloc[0]
        return np.asarray(elapsed.dt.total_seconds(), dtype=np.float64) / 3600.0

    @property
    def shown(self) -> Any:
        """Indices of the steps that a figure shows."""
        return thin(self.steps.size)

    def x(self, at: Any = None) -> list[Any]:
        """Return places on the time axis: UTC times, or hours where the run has no date."""
        at = self.shown if at is None else at
        if self.is_dated:
            return list(self.times.dt.strftime("%Y-%m-%dT%H:%M:%S").to_numpy()[at])
        return [float(h) for h in np.round(self.hours[at], 4)]

    def x_of(self, times: Any) -> list[Any]:
        """Return places on the time axis of other times, for instance of liquidations."""
        if self.is_dated:
            return list(times.dt.strftime("%Y-%m-%dT%H:%M:%S"))
        elapsed = (times - self.times.iloc[0]).dt.total_seconds()
        return [float(h) for h in np.round(elapsed / 3600.0, 4)]

    @property
    def x_title(self) -> str:
        """Title of the time axis."""
        return "time, UTC" if self.is_dated else "hours since the start"

    def values(self, column: str) -> F64:
        """Return one column as (world, time); a step that a world lacks is NaN."""
        if self._is_full:
            flat = np.asarray(self._table[column], dtype=np.float64)
            return flat.reshape(self.worlds.size, self.steps.size)
        wide = self._table.pivot_table(index="world", columns="step", values=column, dropna=False)
        wide = wide.reindex(index=self.worlds, columns=self.steps)
        return np.asarray(wide, dtype=np.float64)

    def has(self, world: int) -> bool:
        """Whether the series of this world was recorded."""
        return not self.is_empty and bool(np.isin(world, self.worlds))

    def row(self, world: int, column: str) -> F64:
        """Return one world's values over time."""
        return np.asarray(self.values(column)[int(np.searchsorted(self.worlds, world))])

    def bands(self, values: F64) -> F64:
        """Quantiles over worlds at the steps shown: (5, time)."""
        return quantile_bands(values[:, self.shown])


def quantile_bands(values: F64) -> F64:
    """Quantiles over worlds of (world, time) values, worlds without a value left out."""
    out = np.full((len(QUANTILES), values.shape[1]), np.nan)
    some = np.isfinite(values).any(axis=0)
    if some.any():
        out[:, some] = np.nanquantile(values[:, some], QUANTILES, axis=0)
    return out
