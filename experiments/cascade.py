"""The same worlds twice: with makers who withdraw when it gets rough, and with makers who stay.

Common random numbers: a pair of worlds has the same fundamental prices, the same borrowers and the
same draws; all that differs is whether the market makers of the crowd may step back. The second run
is small and at the resolution of a block, so that a cascade can be looked at.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

PAIRS = 4  # worlds that run twice: the worst ones
FILE = "withdrawal.parquet"
BOOKS = "sim.book.venue.OrderBookMarket"


def applies(config: Mapping[str, Any]) -> bool:
    """Whether a study sells into books with a crowd of makers."""
    market = config["market"]
    return market.get("_target_") == BOOKS and bool(market.get("crowd"))


def withdrawal(
    folder: Path, config: Mapping[str, Any], seed: int, worlds: "pd.DataFrame"
) -> "pd.DataFrame | None":
    """Series of the worst worlds, block by block, with and without withdrawal.

    Kept in the run's folder, so that the same command does not run them again.

    Returns
    -------
    DataFrame or None
        The columns of `series`, and `withdraw` (bool); None where it does not apply.
    """
    import pandas as pd

    if not applies(config):
        return None
    path = folder / FILE
    if not path.exists():
        partial = path.with_suffix(".partial")
        run_pairs(config, seed, chosen(worlds)).to_parquet(partial, index=False)
        partial.replace(path)
    return pd.read_parquet(path)


def chosen(worlds: "pd.DataFrame") -> list[int]:
    """Ids of the worst worlds, the worst first."""
    from experiments.summary import worst_world

    left: pd.DataFrame = worlds
    found: list[int] = []
    while len(found) < PAIRS and (world := worst_world(left)) is not None:
        found.append(world)
        left = left[left["world"] != world]
    return found


def run_pairs(config: Mapping[str, Any], seed: int, ids: list[int]) -> "pd.DataFrame":
    """Run each world with and without withdrawal; see `withdrawal`."""
    import pandas as pd

    from experiments.record import simulate

    parts = []
    for withdraw in (True, False):
        variant = {
            **config, "market": {**config["market"], "withdraw": withdraw}, "record_every": 1,
        }  # fmt: skip
        for world in ids:
            series = simulate(variant, seed, world, world + 1)["series"].to_pandas()
            parts.append(series.assign(withdraw=withdraw, rank=ids.index(world)))
    table = pd.concat(parts, ignore_index=True)
    return table.astype({"rank": np.int64})
