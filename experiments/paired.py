"""Several designs of one study on common random numbers, each in a resumable folder of its own.

World i sees the same shocks under every design, so differences between designs are paired by world.
A design that cannot run is reported and does not stop the others.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.build import check, without_unused
from experiments.cli import expected, sentence
from sim.errors import FaultlineError
from sim.metrics import tail

if TYPE_CHECKING:
    import pandas as pd

    from experiments.engines.engine import Engine
    from experiments.store import Store


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one design.

    Attributes
    ----------
    name : str
        Its key among the designs.
    store : Store or None
        Its results, with all tables of the function.
    worlds : DataFrame or None
        One row per finished world.
    problem : str
        Why there are none; empty when there are.
    """

    name: str
    store: "Store | None" = None
    worlds: "pd.DataFrame | None" = None
    problem: str = ""


def run_designs(
    function: str,
    designs: Mapping[str, Mapping[str, Any]],
    folder: Path,
    engine: "Engine",
    *,
    seed: int,
    worlds: int,
    chunk: int | None = None,
    needed: str | None = None,
) -> dict[str, Run]:
    """Run every design on the worlds 0, ..., worlds - 1 of the same seed.

    Parameters
    ----------
    function : str
        Import path `module:function`, as in `experiments.ensemble.run`.
    designs : mapping of str to mapping
        Resolved configurations by name (`experiments.stress.resolved`).
    folder : Path
        Each design's folder is made in it, named by design, worlds and a digest.
    engine : Engine
        Where to run.
    seed, worlds : int
        Common to all designs.
    chunk : int, optional
        Worlds per task; chosen by memory and workers when left out.
    needed : str, optional
        The design without which the others mean nothing: its problem is raised.

    Returns
    -------
    dict of str to Run
        In the order of `designs`.

    Raises
    ------
    ConfigError, InputError
        What keeps the needed design from running, before anything else is run.
    """
    if needed is not None and needed in designs:
        check(_results(designs[needed]), seed)
    runs = {}
    for place, (name, config) in enumerate(designs.items(), 1):
        print(f"{name} ({place} of {len(designs)})", file=sys.stderr, flush=True)
        try:
            runs[name] = _run(function, name, config, folder, engine, seed, worlds, chunk)
        except expected() as error:
            runs[name] = Run(name, problem=sentence(error))
            print(f"error: {name}: {runs[name].problem}", file=sys.stderr)
    return runs


def _results(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that rows depend on."""
    from experiments.stress import relevant

    return without_unused(relevant(config))


def _run(
    function: str,
    name: str,
    config: Mapping[str, Any],
    folder: Path,
    engine: "Engine",
    seed: int,
    worlds: int,
    chunk: int | None,
) -> Run:
    from experiments.ensemble import plan, run, run_digest
    from experiments.store import Store
    from experiments.stress import chunk_of

    results = _results(config)
    check(results, seed)
    digest = run_digest(function, results, seed)
    store = Store(folder / f"{name}-{worlds}-{digest}", about=dict(config))
    size = chunk_of(results | {"chunk": chunk}, worlds, engine.n_workers)
    outcome = run(function, plan(results, seed, worlds, size), store, engine)
    found = store.read("worlds") if outcome.done else None
    finished = None if found is None else found[found["status"] == "ok"]
    if finished is None or not len(finished):
        reason = str(outcome.failed[0]) if outcome.failed else "no world was run"
        if found is not None:
            reason = str(found.iloc[0]["error"]).splitlines()[0]
        raise FaultlineError(f"none of its {worlds} worlds finished: {reason}")
    return Run(name, store, finished.reset_index(drop=True))


def difference(
    base: "pd.DataFrame", other: "pd.DataFrame", column: str, statistic: Any = tail.mean
) -> tail.Estimate:
    """Statistic of `other` less that of `base`, over the worlds that both finished.

    Parameters
    ----------
    base, other : DataFrame
        Tables of worlds, columns `world` and `column`.
    column : str
        What is compared.
    statistic : Statistic
        Of `sim.metrics.tail`.
    """
    joined = base[["world", column]].merge(other[["world", column]], on="world")
    ours, theirs = (joined[f"{column}_{side}"].to_numpy(np.float64) for side in ("x", "y"))
    known = np.isfinite(ours) & np.isfinite(theirs)
    return tail.paired_difference(ours[known], theirs[known], statistic)
