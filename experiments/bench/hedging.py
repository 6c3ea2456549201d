"""What hedging costs on the standard test on one core: steps, random numbers included; learning."""

import importlib.util
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from experiments.bench import Figure

WORLDS, EPISODES, REPEATS = 4096, 4, 7
SYNCHRONOUS, PEER_STEPS = 64, 40
SEGMENTS, UPDATES = 5, 4  # of the training that is timed, and updates in each


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
    try:
        from mbt_gym.gym.TradingEnvironment import TradingEnvironment
    except ImportError as error:
        return Figure(name, None, "x", 20.0, True, f"mbt_gym cannot be imported: {error}")

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
    note = f"its market making, {WORLDS:,} trajectories: {best / 1e6:.3g} M/s"
    return Figure(name, native / best, "x", 20.0, True, note)


def learning() -> list[Figure]:
    """Measure PPO as `conf/algo/ppo.yaml` sets it, gradient steps included, after a warm-up."""
    name = "PPO training steps"
    for library, called in (("torch", "torch"), ("stable_baselines3", "stable-baselines3")):
        if importlib.util.find_spec(library) is None:
            return [Figure(name, None, "k/s", 90.0, True, f"{called} is not installed")]
    from dataclasses import replace

    from envs.registration import parts
    from experiments.hedging.play import Setting
    from experiments.hedging.reinforcement import Reinforcement
    from experiments.hedging.training import Session, need_torch

    setting = Setting(**parts("cao_2021", {}))
    algorithm = described("ppo")
    assert isinstance(algorithm, Reinforcement)
    rollout = algorithm.worlds * setting.terms.contract.n_steps
    algorithm = replace(algorithm, steps=SEGMENTS * UPDATES * rollout, validations=SEGMENTS)
    need_torch("the figure of PPO")  # with one thread
    with tempfile.TemporaryDirectory() as folder:
        session = Session(setting, 0, Path(folder), 1, algorithm.about(), shown=False)
        algorithm.train(session)
    marks = [(entry["steps"], entry["seconds"]) for entry in session.log]
    best = max((b[0] - a[0]) / (b[1] - a[1]) for a, b in pairwise(marks))
    note = f"{algorithm.worlds:,} worlds, {UPDATES} rollouts of {rollout:,} steps, one thread"
    return [Figure(name, best / 1e3, "k/s", 90.0, True, note)]


def described(algorithm: str) -> Any:
    """Make the algorithm that a file of `conf/algo` describes."""
    from importlib.resources import files

    import yaml
    from hydra.utils import instantiate

    text = files("conf").joinpath("algo", f"{algorithm}.yaml").read_text()
    return instantiate(yaml.safe_load(text), _convert_="all")


PARTS: dict[str, list[Callable[[], list[Figure]]]] = {"hedging": [steps, learning]}
