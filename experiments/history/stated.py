"""Prices that were published for a few moments only, beside recorded bars.

Between two published prices every world follows a Brownian bridge of its own, with the volatility
that is stated for it; recorded bars are bridged as in every replay.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.data import replay
from experiments.tables import unix_time
from sim.errors import ConfigError
from sim.prices.bars import Bars
from sim.prices.replay import Replay


def stated_prices(
    *,
    points: Mapping[str, Mapping[str, float]],
    start: str,
    hours: float,
    constants: Mapping[str, float] | None = None,
    assets: Mapping[str, Any] | None = None,
    data: str | Path | None = None,
    file: str | None = None,
    fill_volatility: float | None = None,
) -> Replay:
    """Make a price process of published prices, recorded bars and constants.

    Parameters
    ----------
    points : mapping of asset to mapping of UTC time to USD
        At least two per asset, in order; the first no later than the start.
    start : str
        UTC time of the first block.
    hours : float
        Longest run; the points and the bars must last so long.
    constants : mapping of asset to float, optional
        USD.
    assets, data, file : optional
        Recorded bars, as in `experiments.data.replay`.
    fill_volatility : float, optional
        Annualised volatility between published prices; as large as their own moves when left out.
    """
    begin = unix_time(start, "price.start")
    series: dict[str, Bars] = {}
    if assets:
        series |= replay(data=data, assets=assets, start=start, hours=hours, file=file).bars
    for asset, path in points.items():
        if asset in series or asset in (constants or {}):
            raise ConfigError(
                f"price.points.{asset} must not name an asset with bars or a constant; remove one"
            )
        ts = np.array([unix_time(time, f"price.points.{asset}") for time in path])
        prices = np.array(list(path.values()), np.float64)
        series[asset] = Bars.of_prices(asset, ts, prices)
    return Replay(
        bars=series, constants=dict(constants or {}), start=begin, duration=3600.0 * float(hours),
        correlation=0.0, max_gap=0.0, fill_volatility=fill_volatility,
    )  # fmt: skip
