"""The native vector environment as Stable-Baselines3 wants it; needs `pip install faultline[rl]`.

env = HedgingVecEnv(vector_env(2048, autoreset_mode="SameStep"))
PPO("MlpPolicy", env, gamma=1.0, ...).learn(8_000_000, callback=TuneReward(env))
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.hedging.vector import OptionHedgingVectorEnv
from sim.errors import ConfigError, InputError
from sim.kernel import F32, F64, Bool

try:
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import VecEnv
except ImportError:
    raise ConfigError(
        "envs.hedging.sb3 needs Stable-Baselines3, which is not installed; pip install "
        "'faultline[rl]'"
    ) from None


class HedgingVecEnv(VecEnv):
    """Adapter: no loop over worlds but over those whose episode ended.

    Parameters
    ----------
    native : OptionHedgingVectorEnv
        With `autoreset_mode` SameStep, as the library expects of its environments.
    """

    def __init__(self, native: OptionHedgingVectorEnv) -> None:
        if native.autoreset_mode.value != "SameStep":
            raise ConfigError(
                "Stable-Baselines3 expects a world to reset in the step that ends it: make the "
                f"environment with autoreset_mode SameStep, not {native.autoreset_mode.value}"
            )
        self.native = native
        self._plain: list[dict[str, Any]] = [{} for _ in range(native.num_envs)]
        self._seed: int | None = None
        super().__init__(
            native.num_envs, native.single_observation_space, native.single_action_space
        )

    def reset(self) -> F32:
        """Start new episodes everywhere."""
        observation, _ = self.native.reset(seed=self._seed)
        self._seed = None
        return observation

    def step_async(self, actions: Any) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[F32, F32, Bool, list[dict[str, Any]]]:
        """Play a period everywhere."""
        observation, reward, terminated, truncated, info = self.native.step(self._actions)
        done = terminated | truncated
        told = self._plain
        if info:
            told = told.copy()
            final = info["final_info"]
            names = [name for name in final if not name.startswith("_")]
            for w in np.flatnonzero(done).tolist():
                told[w] = {
                    "terminal_observation": info["final_obs"][w],
                    "TimeLimit.truncated": bool(truncated[w]),
                    **{name: final[name][w].item() for name in names},
                }
        return observation, reward.astype(np.float32), done, told

    def close(self) -> None:
        """Close the environment."""
        self.native.close()

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed all worlds with the next reset; each has its own randomness from the one seed."""
        self._seed = seed
        return [seed] * self.num_envs

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Give the environment's attribute, the same for every world."""
        return [getattr(self.native, attr_name)] * len(self._chosen(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: worlds share their terms."""
        del value, indices
        raise InputError(f"worlds share their terms: {attr_name} cannot be set; make another one")

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call the environment's method once; its answer stands for every world."""
        answer = getattr(self.native, method_name)(*method_args, **method_kwargs)
        return [answer] * len(self._chosen(indices))

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """No world has a wrapper."""
        del wrapper_class
        return [False] * len(self._chosen(indices))

    def get_images(self) -> Sequence[Any]:
        """Picture of world 0, where the environment has pictures."""
        return [self.native.render()]

    def _chosen(self, indices: Any) -> list[int]:
        return list(self._get_indices(indices))


class TuneReward(BaseCallback):
    """Estimates the mean and the deviation in the reward again from each rollout's episodes.

    Parameters
    ----------
    env : HedgingVecEnv
    memory : float
        Share of the old estimate that stays.
    fewest : int
        Episodes behind an estimate.
    """

    def __init__(self, env: HedgingVecEnv, memory: float = 0.8, fewest: int = 256) -> None:
        super().__init__()
        reward = env.native.terms.reward
        self.native, self.memory, self.fewest = env.native, memory, fewest
        self.mean, self.sd = reward.mean, reward.sd
        self._costs: list[F64] = []

    def _on_step(self) -> bool:
        dones, infos = self.locals["dones"], self.locals["infos"]
        ended = np.flatnonzero(dones).tolist()
        if ended:
            self._costs.append(np.array([infos[w]["cost"] for w in ended]))
        return True

    def _on_rollout_end(self) -> None:
        costs = np.concatenate([np.zeros(0), *self._costs])
        if len(costs) < self.fewest:
            return
        self.mean = self.memory * self.mean + (1.0 - self.memory) * float(costs.mean())
        self.sd = self.memory * self.sd + (1.0 - self.memory) * float(costs.std())
        self.native.tune_reward(mean=self.mean, sd=self.sd)
        self._costs = []
