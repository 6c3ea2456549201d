"""What a crowd of background traders costs: ABIDES' reference market, a day on one core."""

import time
from collections.abc import Callable
from importlib.resources import files
from statistics import median
from typing import Any

import numpy as np

from experiments.bench import Figure

DAY = 6.5 * 3600.0
REPEATS = 5
WORLDS, BLOCKS = 64, 100


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


def lonely_market(crowded: bool) -> Any:
    """Make 64 worlds with one book and one market maker in plain Python; a crowd, or a house."""
    from agents.model import MarketModel
    from agents.strategic.market_maker import MarketMaker
    from sim.background import MeanRevertingDemand
    from sim.blockspace import BlockSpace, BlockSpaceParams
    from sim.book.venue import OrderBookMarket
    from sim.events import EventLog
    from sim.oracles.spot import SpotOracle
    from sim.prices.diffusion import GeometricBrownian
    from sim.world import World

    books = {"WETH": {"tick_size": 0.1, "lot_size": 0.01}}
    liquidity = {"crowd": {"WETH": cast("makers")}} if crowded else {"house": {"WETH": {}}}
    world = World(
        assets=["WETH", "USDC"], gas_asset="WETH", block_seconds=12.0, n_blocks=10_000, start=0.0,
        prices=GeometricBrownian(
            initial={"WETH": 2_000.0, "USDC": 1.0}, volatility={"WETH": 0.6, "USDC": 0.0}
        ),
        oracle=SpotOracle(), blockspace=BlockSpace(BlockSpaceParams(), MeanRevertingDemand()),
        venues={"market": OrderBookMarket(quote="USDC", books=books, **liquidity)},
        market="market", events=EventLog(verbs=[]), world_ids=np.arange(WORLDS),
    )  # fmt: skip
    return MarketModel(world, {"maker": MarketMaker(asset="WETH")})


def decisions() -> list[Figure]:
    """Let a strategic agent in plain Python act: its decisions alone, and whole blocks."""
    figures = []
    for crowded, about in ((False, "no crowd"), (True, "24 makers and others in the book")):
        model = lonely_market(crowded)
        (maker,) = model.members.values()
        times = []
        for _ in range(REPEATS):
            for _ in range(20):
                model.step()
            begun = time.perf_counter()
            for _ in range(BLOCKS):
                model.step()
            times.append(WORLDS * BLOCKS / (time.perf_counter() - begun))
        begun = time.perf_counter()
        for _ in range(BLOCKS):
            maker.decide(model.view)
        alone = WORLDS * BLOCKS / (time.perf_counter() - begun)
        model.close()
        note = f"market maker in numpy, {WORLDS} worlds, {about}"
        figures.append(Figure("decisions, whole blocks", median(times) / 1e3, "k/s", note=note))
    figures.insert(0, Figure("decisions alone", alone / 1e3, "k/s", 100.0, True, note))
    return figures


PARTS: dict[str, list[Callable[[], list[Figure]]]] = {"crowd": [crowds, decisions]}
