"""What the hedging environment costs on the standard test, random numbers included, on one core."""

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.bench import Figure

WORLDS, EPISODES, REPEATS = 4096, 4, 7
SYNCHRONOUS, PEER_STEPS = 64, 40


def rate(env: Any, n_steps: int, repeats: int) -> float:
    """Measure environment-steps a second, the best of several runs; resets count as no step."""
    env.reset(seed=0)
    action = np.zeros(env.action_space.shape, np.float32)
    action[:, -1] = -0.5
    env.step(action)
    best = 0.0
    for _ in range(repeats):
        played, begun = 0, time.perf_counter()
        for _ in range(n_steps):
            *_, terminated, truncated, _ = env.step(action)
            played += env.num_envs
            if terminated.any() or truncated.any():
                env.step(action)  # resets every world
        best = max(best, played / (time.perf_counter() - begun))
    return best


def steps() -> list[Figure]:
    """Measure the native environment, and Gymnasium's around the single one."""
    from gymnasium.vector import SyncVectorEnv

    from envs.registration import single_env, vector_env

    native = rate(vector_env(WORLDS), 20 * EPISODES, REPEATS)
    peer = rate(SyncVectorEnv([single_env] * SYNCHRONOUS), PEER_STEPS, 3)
    figures = [
        Figure(
            "hedging steps", native / 1e6, "M/s", 12.0, True,
            f"GBM, {WORLDS:,} worlds, random numbers included",
        ),
        Figure(
            "hedging steps / SyncVectorEnv", native / peer, "x", 50.0, True,
            f"around the single environment, {SYNCHRONOUS}: {peer / 1e3:.3g} k/s",
        ),
    ]  # fmt: skip
    return [*figures, mbt_gym(native)]


def mbt_gym(native: float) -> Figure:
    """Measure the market-making environment of mbt_gym on the same number of paths."""
    name = "hedging steps / mbt_gym"
    if importlib.util.find_spec("mbt_gym") is None:
        return Figure(name, None, "x", 20.0, True, "mbt_gym is not installed")
    from mbt_gym.gym.TradingEnvironment import TradingEnvironment

    env = TradingEnvironment(num_trajectories=WORLDS)
    env.reset()
    action = np.zeros((WORLDS, *env.action_space.shape), np.float32)
    best = 0.0
    for _ in range(REPEATS):
        begun = time.perf_counter()
        for _ in range(20):
            env.step(action)
        best = max(best, 20 * WORLDS / (time.perf_counter() - begun))
        env.reset()
    return Figure(name, native / best, "x", 20.0, True, f"its market making: {best / 1e6:.3g} M/s")


PARTS: dict[str, list[Callable[[], list[Figure]]]] = {"hedging": [steps]}
