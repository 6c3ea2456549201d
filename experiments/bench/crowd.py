"""What a crowd of background traders costs: ABIDES' reference market, a day on one core."""

import time
from collections.abc import Callable
from importlib.resources import files
from statistics import median
from typing import Any

from experiments.bench import Figure

DAY = 6.5 * 3600.0
REPEATS = 5


def cast(name: str) -> Any:
    """Build a crowd of `conf/crowd` as its YAML says."""
    from omegaconf import OmegaConf

    from experiments.build import part

    text = files("conf").joinpath("crowd", f"{name}.yaml").read_text()
    return part({"crowd": OmegaConf.to_container(OmegaConf.create(text))}, "crowd")


def day(name: str, seconds: float) -> tuple[float, int, int]:
    """Seconds of a day, messages delivered and trades made; trades and touches are recorded."""
    from sim.crowd.run import simulate

    crowd = cast(name)
    begun = time.perf_counter()
    (found,) = simulate(crowd, seconds=seconds, sample_every=60.0, n_depth=1)
    return time.perf_counter() - begun, found.messages, found.trade_time.size


def crowds() -> list[Figure]:
    """Run days of the crowds that stand alone."""
    figures = []
    for name, least, most in (("rmsc04", 5.0, 1.0), ("hawkes_makers", None, None)):
        day(name, 600.0)
        times = sorted(day(name, DAY) for _ in range(REPEATS))
        messages, trades = times[0][1:]
        seconds = median(found[0] for found in times)
        members = cast(name).n_members
        note = f"{members:,} traders, {messages:,} messages, {trades:,} trades, all recorded"
        rate = messages / seconds / 1e6
        figures += [
            Figure(f"a day of {name}", seconds, "s", most, note=note),
            Figure("  messages delivered", rate, "M/s", least, at_least=True, note=note),
        ]
    return figures


PARTS: dict[str, list[Callable[[], list[Figure]]]] = {"crowd": [crowds]}
