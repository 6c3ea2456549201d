"""What a stress study of a lending market costs.

Ensembles go through the real engine and store, start of the workers included. The peers are one
Mesa agent per position, and a numpy scan of all positions.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self

from experiments.bench import Figure

PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
SIZES = (64, 128, 256, 512)
REPEATS = 5
GROWTH = 1.1  # cost per world that still counts as not growing: repeats differ by as much


def study(*overrides: str) -> dict[str, Any]:
    """Resolve the stress configuration of a command line."""
    from hydra import compose, initialize_config_module

    from experiments.stress import resolved

    with initialize_config_module(config_module="conf", version_base=None):
        return resolved(compose("stress", overrides=["name=bench", *overrides]), list(overrides))


def family(pid: int) -> Iterator[int]:
    """Process ids of a process and all its descendants, from /proc."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from family(int(child))


def resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


class PeakMemory:
    """Watches the memory of this process and all its descendants; `peak` in bytes, 0: unknown."""

    def __enter__(self) -> Self:
        self.peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            self.peak = max(self.peak, sum(resident(pid) for pid in family(os.getpid())))


def command_seconds(arguments: list[str], **environment: str) -> float:
    """Wall seconds of a command in a fresh process."""
    begun = time.perf_counter()
    paths = os.pathsep.join(path for path in sys.path if path)
    subprocess.run(
        [sys.executable, "-m", *arguments],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - begun


def play(config: dict[str, Any], n_worlds: int) -> float:
    """CPU seconds that all blocks of a batch of worlds take in this process, recorder included."""
    from experiments.build import build_model
    from experiments.record import Recorder

    model = build_model(config, 0, 0, n_worlds)
    recorder = Recorder(model, int(config["record_every"]), forget=True)
    begun = time.process_time()
    recorder.run()
    seconds = time.process_time() - begun
    model.close()
    return seconds


def ensemble(scenario: str, worlds: int, bar: float | None) -> list[Figure]:
    """Run worlds of 10,000 positions over a day of minutes through the default engine."""
    from experiments.build import part
    from experiments.ensemble import plan, run, run_digest
    from experiments.store import Store
    from experiments.stress import FUNCTION, chunk_of, relevant

    config = study(f"scenario={scenario}", f"worlds={worlds}")
    results = relevant(config)
    with tempfile.TemporaryDirectory() as folder, PeakMemory() as memory:
        begun = time.perf_counter()
        store = Store(Path(folder) / run_digest(FUNCTION, results, 0), about=dict(config))
        with part(config, "engine") as engine:
            chunk = chunk_of(config, worlds, engine.n_workers)
            cores = engine.n_workers
            outcome = run(FUNCTION, plan(results, 0, worlds, chunk), store, engine, progress=False)
        seconds = time.perf_counter() - begun
        happened = store.read("worlds")["n_liquidations"].mean()
    assert outcome.complete
    name = f"{scenario}: {worlds:,} worlds"
    note = f"{happened:,.0f} liquidations a world; {chunk} worlds a task on {cores} cores"
    peak = memory.peak / 1e9 or None
    return [
        Figure(f"{name}, wall", seconds, "s", bar, note=note),
        Figure(f"{name}, speed", worlds / seconds, "worlds/s"),
        Figure(f"{name}, peak memory", peak, "GB", 4.0, note="driver and workers, resident"),
    ]


def one_world() -> list[Figure]:
    """One world with 100,000 positions over a day of 12-second blocks."""
    figures = []
    for scenario in ("calm", "crash"):
        config = study(f"scenario={scenario}", "block_seconds=12", "book.n_positions=100000")
        seconds = play(config, 1)
        name = f"{scenario}: one world, 100,000 positions, 7,200 blocks"
        note = f"CPU; {seconds / 7200 * 1e6:.0f} µs a block"
        figures.append(Figure(name, seconds, "s", 5.0, note=note))
    return figures


def growth() -> list[Figure]:
    """Cost per world by size of the batch."""
    config = study("scenario=calm")
    costs = {size: min(play(config, size) for _ in range(2)) / size * 1e3 for size in SIZES}
    first = costs[SIZES[0]]
    return [
        Figure(
            f"calm: cost per world, {size} at once", cost, "ms", None if size == SIZES[0]
            else first * GROWTH, note="CPU; the bar is the first, and what repeats differ by",
        )
        for size, cost in costs.items()
    ]  # fmt: skip


def start_up() -> list[Figure]:
    """First result from an empty kernel cache, and the time until help is on the screen."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["experiments.stress", "worlds=2", "engine=serial", f"out={folder}/results"]
        cold = command_seconds(command, FAULTLINE_CACHE=f"{folder}/kernels")
        warm = command_seconds([*command, "seed=1"], FAULTLINE_CACHE=f"{folder}/kernels")
    shown = [command_seconds(["experiments.stress", "--help"]) for _ in range(3)]
    return [
        Figure(
            "first result, empty kernel cache", cold, "s", 60.0, note="2 worlds, report written"
        ),
        Figure("the same command, warm cache", warm),
        Figure("--help", median(shown), "s", 1.5, note="median of 3"),
    ]


def mesa_block(n: int) -> float:
    """Seconds of one block in which n Mesa agents, one per position, look at their health."""
    import mesa
    import numpy as np

    collateral, debt = np.random.default_rng(0).lognormal(0.5, 0.2, (2, n))
    model = mesa.Model(seed=0)
    model.price = 1.0

    class Position(mesa.Agent):  # type: ignore[misc]
        def __init__(self, collateral: float, debt: float) -> None:
            super().__init__(model)
            self.collateral, self.debt, self.unhealthy = collateral, debt, False

        def check(self) -> None:
            self.unhealthy = self.collateral * 0.8 * self.model.price < self.debt

    for held, owed in zip(collateral.tolist(), debt.tolist(), strict=True):
        Position(held, owed)
    times = [_seconds(lambda: model.agents.shuffle_do("check")) for _ in range(REPEATS)]
    mesa.Agent._ids.pop(model, None)
    return median(times)


def numpy_block(n: int) -> float:
    """Seconds of one block in which numpy computes the health of n positions in four assets."""
    import numpy as np

    collateral, debt = np.random.default_rng(0).lognormal(0.5, 0.2, (2, n, 4))
    prices, thresholds = np.array([2000.0, 40_000.0, 1.0, 1.0]), np.array([0.8, 0.75, 0.8, 0.8])

    def scan() -> None:
        np.flatnonzero(collateral @ (prices * thresholds) < debt @ prices)

    return median(_seconds(scan) for _ in range(50 * REPEATS))


def _seconds(function: Callable[[], object]) -> float:
    begun = time.process_time()
    function()
    return time.process_time() - begun


def peers() -> list[Figure]:
    """Compare a whole block of one world with the health check alone, done the obvious way."""
    config = study("scenario=calm")
    ours = median(play(config, SIZES[-1]) for _ in range(3)) / SIZES[-1] / 1440
    by_mesa, by_numpy = mesa_block(10_000), numpy_block(10_000)
    note = "10,000 positions, CPU, medians"
    return [
        Figure("one block of one world, everything on", ours * 1e6, "µs", note=note),
        Figure("Mesa agents, health check only", by_mesa * 1e6, "µs", note=note),
        Figure("  times our whole block", by_mesa / ours, "x", 1.0, at_least=True),
        Figure("numpy scan, health check only", by_numpy * 1e6, "µs", note=note),
        Figure("  times our whole block", by_numpy / ours, "x", 1.0, at_least=True),
    ]


def warm_up() -> None:
    """Compile and load the kernels of a stress study."""
    for scenario in ("calm", "crash"):
        play(study(f"scenario={scenario}", "hours=3"), 2)


PARTS: dict[str, list[Callable[[], list[Figure]]]] = {
    "ensemble": [partial(ensemble, "calm", 1000, 6.0), partial(ensemble, "crash", 1000, 6.0)],
    "full": [partial(ensemble, "calm", 10_000, 60.0), partial(ensemble, "crash", 10_000, 60.0)],
    "world": [one_world],
    "growth": [growth],
    "start": [start_up],
    "peers": [peers],
}
