"""Worlds for the ensemble tests: cheap, and murderous on request. Imported by worker processes."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

FUNCTION = "ensemble_tasks:simulate"


def simulate(config: dict[str, Any], seed: int, first: int, stop: int) -> dict[str, pa.Table]:
    """Numbers that depend on world and seed only.

    `raises`: worlds that raise; `kills`: worlds that kill their process; `kills_once`: worlds
    that kill it when they first run (the folder `scratch` remembers); `pause`: s per call.
    """
    for world in range(first, stop):
        if world in config.get("raises", ()):
            raise ValueError(f"world {world} blew up")
        if world in config.get("exits", ()):
            raise SystemExit(3)
        if world in config.get("kills", ()):
            os.kill(os.getpid(), signal.SIGKILL)
        if world in config.get("kills_once", ()):
            seen = Path(config["scratch"]) / str(world)
            if not seen.exists():
                seen.touch()
                os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(config.get("pause", 0.0))
    worlds = np.arange(first, stop)
    bad_debt = np.array([np.random.default_rng((seed, w)).normal() for w in worlds])
    steps = np.tile(np.arange(3), len(worlds))
    return {
        "worlds": pa.table({"world": worlds, "bad_debt_usd": bad_debt, "n_liquidations": worlds}),
        "series": pa.table(
            {
                "world": np.repeat(worlds, 3),
                "step": steps,
                "price": np.repeat(bad_debt, 3) * steps,
                "asset": pa.array([f"A{w % 3}" for w in np.repeat(worlds, 3)]).dictionary_encode(),
            }
        ),
    }


def environment(config: dict[str, Any], seed: int, first: int, stop: int) -> dict[str, pa.Table]:
    """Report what a worker's process looks like."""
    return {
        "worlds": pa.table(
            {
                "world": np.arange(first, stop),
                "pid": np.full(stop - first, os.getpid()),
                "threads": [os.environ.get("NUMBA_NUM_THREADS", "?")] * (stop - first),
            }
        )
    }


def hollow(config: dict[str, Any], seed: int, first: int, stop: int) -> dict[str, pa.Table]:
    """Forget one world."""
    return {"worlds": pa.table({"world": np.arange(first, stop)[1:]})}


def add(left: int, right: int) -> int:
    """Cost nothing, to see what an engine costs."""
    return left + right
