from types import SimpleNamespace

import numpy as np
import pytest


@pytest.fixture(scope="session")
def make_world():
    def make(assets=("WETH", "WBTC"), ids=8, n_steps=100, block_seconds=60.0, seed=1):
        ids = np.arange(ids) if isinstance(ids, int) else np.asarray(ids)
        return SimpleNamespace(
            assets=list(assets),
            world_ids=ids.astype(np.int64),
            n_worlds=len(ids),
            n_steps=n_steps,
            block_seconds=float(block_seconds),
            seed=seed,
        )

    return make


@pytest.fixture(scope="session")
def run_path(make_world):
    """Bind a process to a world and record prices, shape (step, world, asset)."""

    def run(process, n_steps=100, **world):
        process.bind(make_world(n_steps=n_steps, **world))
        path = []
        for step in range(n_steps):
            process.advance(step)
            path.append(process.price.copy())
        return np.stack(path)

    return run


DAY = 86_400.0


def bars_of(symbol, price, seconds=3600.0, start=1.6e9):
    """A record from its closes."""
    from sim.prices.bars import Bars

    price = np.asarray(price, np.float64)
    ts = start + seconds * np.arange(len(price))
    return Bars(symbol, ts, np.full(len(price), seconds), *[price] * 4)


@pytest.fixture(scope="session")
def make_bars():
    """See `bars_of`."""
    return bars_of


@pytest.fixture(scope="session")
def make_record():
    """Hourly closes of two dependent assets whose returns have memory, 3,000 of them."""
    rng = np.random.default_rng(5)
    shocks = rng.standard_normal((3000, 2)) @ np.array([[1.0, 0.7], [0.0, 0.7]])
    moves = np.zeros((3000, 2))
    for t in range(1, 3000):
        moves[t] = 0.5 * moves[t - 1] + 0.01 * shocks[t]
    price = np.exp(np.cumsum(moves, axis=0))
    return lambda **terms: {
        "WETH": bars_of("ETHUSDT", 2000.0 * price[:, 0], **terms),
        "WBTC": bars_of("BTCUSDT", 4e4 * price[:, 1], **terms),
    }


@pytest.fixture(scope="session")
def agree():
    """Check that independent samples have a mean, within four standard errors and a bias."""

    def check(samples, expected, bias=0.0):
        samples = np.asarray(samples)
        error = samples.std() / np.sqrt(samples.size)
        assert abs(samples.mean() - expected) < 4.0 * error + bias, (
            f"{samples.mean():.6g} +- {error:.2g}, expected {expected:.6g}"
        )

    return check


INITIAL = {"WETH": 2000.0, "WBTC": 40_000.0, "USDC": 1.0}
SIGMA = {"WETH": 0.9, "WBTC": 0.7}


@pytest.fixture(scope="session")
def models(make_record):
    """Every model that makes paths, by name, from terms on top of a default."""
    from sim.prices.bates import Bates
    from sim.prices.bootstrap import BlockBootstrap
    from sim.prices.diffusion import GeometricBrownian
    from sim.prices.garch import GjrGarch
    from sim.prices.heston import Heston
    from sim.prices.jumps import Kou, Merton
    from sim.prices.regimes import MarkovSwitching
    from sim.prices.sabr import Sabr
    from sim.prices.svcj import Svcj
    from sim.prices.windows import HistoricalWindows

    both = {"initial": INITIAL, "volatility": SIGMA, "correlation": 0.8}
    jumps = {"intensity": 50.0, "jump_mean": -0.05, "jump_volatility": {"WETH": 0.08, "WBTC": 0.05}}
    chain = {
        "regimes": {"calm": 0.6, "storm": 2.0},
        "transition": {"calm": {"storm": 0.1}, "storm": {"calm": 0.3}},
    }
    defaults = {
        "gbm": (GeometricBrownian, both),
        "merton": (Merton, both | jumps),
        "kou": (Kou, both | {"intensity": 40.0, "mean_up": 0.04, "mean_down": {"WETH": 0.07}}),
        "heston": (Heston, both),
        "bates": (Bates, both | jumps),
        "sabr": (Sabr, both),
        "svcj": (Svcj, {"initial": INITIAL, "multiple": {"WETH": 1.3, "WBTC": 1.0}}),
        "regimes": (MarkovSwitching, both | chain),
        "garch": (GjrGarch, both | {"alpha": 0.1, "gamma": 0.06, "beta": 0.8}),
        "bootstrap": (
            BlockBootstrap,
            {"initial": INITIAL, "bars": make_record(), "mean_block": DAY, "drift": 0.0},
        ),
        "windows": (HistoricalWindows, {"initial": INITIAL, "bars": make_record()}),
    }

    def make(name, **terms):
        kind, default = defaults[name]
        return kind(**default | terms)

    return make
