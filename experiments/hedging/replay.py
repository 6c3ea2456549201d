"""What learning from a buffer of old steps needs besides the library.

The reward of a step that was kept depends on estimates (a mean and a deviation, or a level) that
training makes again and again: kept rewards follow them. The estimates are those of the policy's
mean, which is what will be judged, and not of the noise it explores with: it is played on paths of
its own.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.hedgers.hedger import Desk
from agents.hedgers.learned import Learned
from agents.hedgers.model_file import Model
from agents.hedgers.network import Network
from envs.hedging.terms import CVAR, TELESCOPING, Reward
from experiments.hedging.play import ESTIMATION, VALIDATION, Setting, play
from sim.errors import InputError
from sim.kernel import F32, F64

PATHS = 2048  # behind an estimate
ARRAYS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def costs_of(setting: Setting, network: Network, seed: int, number: int) -> F64:
    """Return what a policy costs, path by path; each number has paths of its own.

    Parameters
    ----------
    setting : Setting
    network : Network
    seed, number : int
    """
    described = setting.worlds(1, ESTIMATION).describe()
    hedger = Learned(model=Model(network, described, {}))
    hedger.bind(Desk.of(described))
    first = ESTIMATION + number * PATHS % (VALIDATION - ESTIMATION)
    return play(setting, hedger, seed, first, PATHS).cost


def potential(reward: Reward, estimates: Mapping[str, float], lost: F32) -> F32 | None:
    """Quantity whose fall is the reward, of what was lost so far; None where nothing is estimated.

    Parameters
    ----------
    reward : Reward
    estimates : mapping
        `mean` and `sd`, or `level`.
    lost : array
        In premiums.
    """
    if reward.kind == TELESCOPING:
        weight = reward.k / (2.0 * max(estimates["sd"], 1e-9))
        return np.asarray(lost + weight * (lost - estimates["mean"]) ** 2, np.float32)
    if reward.kind == CVAR and "level" in estimates:
        over = np.maximum(lost - estimates["level"], 0.0)
        return np.asarray(over / (1.0 - reward.alpha), np.float32)
    return None


def relabel(buffer: Any, reward: Reward, estimates: Mapping[str, float], column: int) -> None:
    """Give the steps of a buffer the rewards that they would have now.

    Parameters
    ----------
    buffer : ReplayBuffer
        The library's, with arrays (time, world, ...).
    reward : Reward
    estimates : mapping
        See `potential`.
    column : int
        Of the observation: what was lost so far.
    """
    n = buffer.size()
    before = potential(reward, estimates, buffer.observations[:n, :, column])
    after = potential(reward, estimates, buffer.next_observations[:n, :, column])
    if before is not None and after is not None:
        buffer.rewards[:n] = before - after


def contents(torch: Any, buffer: Any) -> dict[str, Any]:
    """Return what a buffer holds, as tensors."""
    n = buffer.size()
    held = {name: torch.from_numpy(getattr(buffer, name)[:n]) for name in ARRAYS}
    return {**held, "pos": buffer.pos, "full": buffer.full}


def refill(buffer: Any, held: Mapping[str, Any]) -> None:
    """Put back what `contents` returned."""
    n = len(held["rewards"])
    if not set(ARRAYS) <= set(held) or n > len(buffer.rewards):
        raise InputError("the state's buffer is not that of this training; train again")
    for name in ARRAYS:
        getattr(buffer, name)[:n] = held[name].numpy()
    buffer.pos, buffer.full = int(held["pos"]), bool(held["full"])
