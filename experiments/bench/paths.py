"""What whole price paths cost, random numbers included, on one core."""

import time
from collections.abc import Callable

import numpy as np

from experiments.bench import Figure
from sim.prices.diffusion import GeometricBrownian
from sim.prices.heston import Heston
from sim.prices.process import PriceProcess
from sim.prices.sabr import Sabr
from sim.prices.svcj import Svcj

EPISODES, STEPS, REPEATS = 4096, 60, 7
DAY = 86_400.0


def rate(process: PriceProcess) -> float:
    """Measure steps a second, the best of several calls; the first compiles."""
    filler = process.path_filler(0, STEPS, DAY)
    out = np.empty((EPISODES, STEPS + 1, len(process.channels)))
    seconds = []
    for episode in range(REPEATS + 1):
        begun = time.perf_counter()
        filler(out, np.arange(EPISODES), episode)
        seconds.append(time.perf_counter() - begun)
    return EPISODES * STEPS / min(seconds[1:])


def path_steps() -> list[Figure]:
    """Measure steps of some models, and numpy's own way for the first."""
    initial = {"BTC": 100.0}
    models: dict[str, PriceProcess] = {
        "GBM": GeometricBrownian(initial=initial, volatility=0.7),
        "SABR": Sabr(initial=initial, volatility=0.7),
        "Heston": Heston(initial=initial, volatility=0.7),
        "SVCJ": Svcj(initial=initial, multiple=1.0),
    }
    peer = numpy_rate() / 1e6
    figures = []
    for name, process in models.items():
        bar = 25.0 if name == "GBM" else None
        note = f"{EPISODES:,} x {STEPS}; numpy's GBM {peer:.3g} M/s" if name == "GBM" else ""
        figures.append(Figure(f"{name} path steps", rate(process) / 1e6, "M/s", bar, True, note))
    return figures


def numpy_rate() -> float:
    """Measure the obvious way, steps a second: numpy's normals, cumulated and exponentiated."""
    rng = np.random.default_rng(0)
    seconds = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        moves = 0.037 * rng.standard_normal((EPISODES, STEPS)) - 0.0007
        np.exp(np.cumsum(moves, axis=1))
        seconds.append(time.perf_counter() - begun)
    return EPISODES * STEPS / min(seconds)


PARTS: dict[str, list[Callable[[], list[Figure]]]] = {"paths": [path_steps]}
