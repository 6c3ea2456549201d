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
