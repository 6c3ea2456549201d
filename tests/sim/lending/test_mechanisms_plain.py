"""Every mechanism's kernels run as plain Python too, to the same bits."""

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from sim.actions import Verb, new_rows

HERE = Path(__file__).parent
VERBS = [*range(1, 8), int(Verb.ABSORB), int(Verb.BUY_COLLATERAL), 40]


def module(name: str) -> Any:
    """Load a neighbour by its path: tests are no package."""
    spec = importlib.util.spec_from_file_location(f"plain_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def digest() -> str:
    """Run all markets through a crash and hash what they are and say."""
    stand_in, mechanisms = module("conftest").StandIn, module("test_mechanisms")
    said = hashlib.blake2b(digest_size=16)
    for name in mechanisms.MARKETS:
        rng = np.random.default_rng(4)
        world, market = mechanisms.build(stand_in, name, n_worlds=2)
        world.block_seconds = 3600.0
        done = set()
        for step in range(40):
            world.step = step
            world.oracle_price[:, :2] *= np.exp(rng.normal(-0.02, 0.04, (2, 2)))
            market.accrue()
            found = market.opportunities()
            rows = new_rows(40)
            rows["world"] = np.arange(40) % 2
            rows["verb"] = rng.choice(VERBS, 40)
            rows["account"] = rng.integers(1, 5, 40)
            rows["target"] = rng.integers(-1, 5, 40)
            own = rng.random(40) < 0.6
            rows["account"][own] = market.state.owner[rows["target"][own] % 4]
            rows["asset"], rows["asset_2"] = rng.integers(0, 3, 40), 2
            rows["amount"] = np.where(rng.random(40) < 0.4, np.inf, rng.lognormal(3.0, 3.0, 40))
            calls = np.flatnonzero(rows["verb"] == Verb.LIQUIDATE)[: len(found.position)]
            rows["account"][calls], rows["amount"][calls] = 3, np.inf
            for field, column in zip(("target", "asset", "asset_2"), found[1:4], strict=True):
                rows[field][calls] = column[: len(calls)]
            rows["bundle"] = np.isin(rows["verb"], (6, 7))
            world.execute(market, rows)
            done |= {int(verb) for verb in rows["verb"][rows["code"] == 0]}
            said.update(rows.tobytes())
            for column in (*found, market.health_factors(), market.liquidatable_debt()):
                said.update(np.ascontiguousarray(column).tobytes())
        assert {1, 2, 3, 4, 5} <= done, (name, done)
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
