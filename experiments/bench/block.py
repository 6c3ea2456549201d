"""What a block of a small world costs: a lending market, an exchange and ten agents.

One core, warm. The world has Aave v3's market of four assets, one constant-product pool, the
outside market, an oracle that pushes, block space with its crowd, and the cast below; a crash by
40% keeps liquidators and arbitrageurs at work. A block is all of it: prices, scenario, interest,
oracle, ten decisions, order, execution, settlement, the event log.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from experiments.bench import Figure
from experiments.bench.lending import study

BAR = 20_000.0  # world-steps a second at 64 worlds
AGENTS, REPEATS = 10, 3
BATCHES, BORROWERS = (1, 64, 256), (10, 99, 1_000)
HOURS = 6
PEER = "peer verbs: 100 to 139, and 9 to 19 with 99 borrowers, its limit (quoted, not run here)"


def small_world(borrowers: int) -> dict[str, Any]:
    """Configure the market, one pool, and ten agents: borrowers, lenders, four each of others."""
    cast = {"arbitrageur_3": "arbitrageur", "arbitrageur_4": "arbitrageur"}
    return study(
        "scenario=crash", "scenarios.crash.start_hours=1", "scenarios.crash.duration_hours=3",
        "~pools.weth_dai", "~pools.wbtc_usdc", f"book.n_positions={borrowers}", f"hours={HOURS}",
        "check_every=0", *(f"+agent@cast.{name}={agent}" for name, agent in cast.items()),
    )  # fmt: skip


def seconds_of(config: dict[str, Any], n_worlds: int) -> tuple[float, int, float]:
    """CPU seconds of a run, its blocks, and rows that had an effect per world and block."""
    from experiments.build import build_model
    from sim.events import EventLog

    model = build_model(config, 0, 0, n_worlds, EventLog())
    if len(model.members) != AGENTS:
        raise RuntimeError(f"the cast has {len(model.members)} agents instead of {AGENTS}")
    begun = time.process_time()
    model.run()
    seconds, blocks = time.process_time() - begun, model.world.n_steps
    rows = int((model.world.events.rows()["code"] == 0).sum()) / n_worlds / blocks
    model.close()
    return seconds, blocks, rows


def block_loop() -> list[Figure]:
    """Measure world-steps a second by borrowers and worlds at once."""
    figures = []
    for borrowers in BORROWERS:
        config = small_world(borrowers)
        seconds_of(config, 1)
        for n_worlds in BATCHES:
            runs = [seconds_of(config, n_worlds) for _ in range(REPEATS)]
            blocks, rows = runs[0][1:]
            speed = blocks / median(seconds for seconds, _, _ in runs)
            note = (
                f"{speed:,.0f} blocks/s of the batch; {rows:.1f} rows with an effect a world-step"
            )
            if n_worlds == 1:
                note += f"; {PEER}"
            figures.append(
                Figure(
                    f"{AGENTS} agents, {borrowers:,} borrowers, worlds at once: {n_worlds}",
                    speed * n_worlds,
                    "world-steps/s",
                    BAR if n_worlds == 64 else None,
                    True,
                    note,
                )
            )
    return figures


PARTS: dict[str, list[Callable[[], list[Figure]]]] = {"block": [block_loop]}
