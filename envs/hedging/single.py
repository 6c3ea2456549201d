"""The single environment: the vector environment's batch of one."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from envs.hedging.market import HedgeMarket
from envs.hedging.terms import HedgingTerms
from envs.hedging.vector import REPORTED, OptionHedgingVectorEnv
from sim.errors import InputError
from sim.kernel import F32


class OptionHedgingEnv(gymnasium.Env[Any, Any]):
    """Hedge what was sold in one world; see `OptionHedgingVectorEnv` for everything else.

    Parameters
    ----------
    terms : HedgingTerms
    market : HedgeMarket
    world : int
        World id: for the same seed, the same trajectory as that world of any batch.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium's way
        "render_modes": ["human", "rgb_array"], "render_fps": 4,
    }  # fmt: skip

    def __init__(
        self,
        *,
        terms: HedgingTerms,
        market: HedgeMarket,
        world: int = 0,
        render_mode: str | None = None,
    ) -> None:
        self.batch = OptionHedgingVectorEnv(
            1, terms=terms, market=market, autoreset_mode=AutoresetMode.DISABLED,
            first_world=world, render_mode=render_mode,
        )  # fmt: skip
        self.render_mode = render_mode
        self.observation_space = self.batch.single_observation_space
        self.action_space = self.batch.single_action_space
        self.fields = self.batch.fields

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[F32, dict[str, Any]]:
        """Start an episode: the seed's first, or the next one."""
        super().reset(seed=seed)
        if options:
            raise InputError(f"reset has no options, got {', '.join(map(str, options))}")
        observation, _ = self.batch.reset(seed=seed)
        self._np_random_seed = self.batch.np_random_seed
        return observation[0], {}

    def step(self, action: Any) -> tuple[F32, float, bool, bool, dict[str, Any]]:
        """Play one period."""
        values = np.asarray(action, np.float64)
        if values.shape != self.action_space.shape:
            raise InputError(
                f"an action must have the shape {self.action_space.shape}, got {values.shape}"
            )
        observation, reward, terminated, truncated, info = self.batch.step(values[None])
        over = bool(terminated[0] or truncated[0])
        told = {name: info[name][0].item() for name in REPORTED} if over else {}
        return observation[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), told

    def render(self) -> Any:
        """Draw the episode so far; see `envs.hedging.picture`."""
        return self.batch.render()

    def close(self) -> None:
        """Forget what was drawn."""
        self.batch.close()
