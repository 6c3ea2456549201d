"""Every lending kernel runs as plain Python too, to the same bits.

The scenario below touches all of them; a second interpreter with the compiler switched off and
warnings as errors must arrive at the same digest.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from sim.actions import new_rows
from sim.lending.pooled import PooledMarket, PooledParams, ReserveParams


def digest() -> str:
    """Run a small market through a crash and hash all that it is and says."""
    spec = importlib.util.spec_from_file_location("stand_in", Path(__file__).parent / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rng = np.random.default_rng(3)
    world = module.StandIn(2)
    market = PooledMarket(
        PooledParams(reserves=dict.fromkeys(world.assets, ReserveParams(optimal_utilisation=0.8)))
    )
    n = 40
    collateral = rng.lognormal(0.0, 1.0, (n, 1)) * np.array([[5.0, 0.2, 0.0]])
    collateral[::2, 1] = 0.0  # one call can take all that these have
    debt = np.zeros((n, 3))
    debt[:, 2] = collateral @ np.array([2000.0, 40000.0, 0.0]) * 0.825 / rng.uniform(0.98, 1.5, n)
    debt[::3, 1] = 0.1 * debt[::3, 2] / 40000.0
    market.add_positions("lenders", 3.0 * debt.sum(axis=0, keepdims=True), np.zeros((1, 3)))
    market.add_positions("borrowers", collateral, debt)
    world.seat(market)
    for account in range(1, 4):
        for asset in range(3):
            world.ledger.endow(account, asset, 1e8 if account == 3 else 1e5)
    said = hashlib.blake2b(digest_size=16)
    worlds = np.arange(2)
    for step in range(25):
        world.step = step
        world.oracle_price[:, :2] *= np.exp(rng.normal(-0.02, 0.05, (2, 2)))
        if step == 12:
            world.oracle_price[:, :2] *= 0.4
        market.accrue()
        found = market.opportunities()
        rows = new_rows(24)
        rows["world"] = np.arange(24) % 2
        rows["verb"] = rng.integers(1, 9, 24)
        rows["account"] = np.where(rows["verb"] == 5, 3, rng.integers(1, 3, 24))
        rows["target"] = rng.integers(0, n + 1, 24)
        rows["asset"], rows["asset_2"] = rng.integers(0, 3, 24), 2
        rows["amount"] = np.where(rng.random(24) < 0.5, np.inf, rng.lognormal(3.0, 3.0, 24))
        rows["amount"][rows["verb"] == 6] = 1.0
        rows["amount"][rows["verb"] == 5] = np.inf
        rows["bundle"] = rows["verb"] > 5
        liquidations = np.flatnonzero(rows["verb"] == 5)[: len(found.position)]
        for field, column in zip(("target", "asset", "asset_2"), found[1:4], strict=True):
            rows[field][liquidations] = column[: len(liquidations)]
        market.checkpoint(worlds, rows["target"][:16].astype(np.int64).reshape(2, 8))
        world.execute(market, rows)
        said.update(rows.tobytes())
        if step % 5 == 4:
            market.rollback(worlds)
        for column in (*found, market.health_factors(), market.liquidatable_debt()):
            said.update(np.ascontiguousarray(column).tobytes())
    assert market.state.market["bad_debt_usd"].max() > 0.0  # or some kernels were not reached
    market.reset(np.array([True, False]))
    for array in market.snapshot():
        said.update(array.tobytes())
    return said.hexdigest()


def test_plain_python_agrees() -> None:
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    plain = subprocess.run(
        [sys.executable, "-W", "error", __file__],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.strip() == digest()


if __name__ == "__main__":
    sys.stdout.write(digest())
