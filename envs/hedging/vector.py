"""The native vector environment: one hedger per world, all in one step of a kernel."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs.hedging.market import AnsweringMarket, HedgeMarket
from envs.hedging.observe import FIELDS, NAMES, chosen_fields, observe
from envs.hedging.orders import send, take_fills
from envs.hedging.picture import Film
from envs.hedging.state import HedgeState, new_marks, new_state
from envs.hedging.step import begin, settle, step
from envs.hedging.terms import INCREMENTAL, INVERSE, HedgingTerms, record_of
from sim.errors import ConfigError, InputError
from sim.kernel import F32, F64, I64, Bool
from sim.streams import stream_key

REPORTED = (
    "cost", "trading", "funding", "penalty", "turnover", "margin_calls", "liquidated",
    "liquidations", "insurance", "shortfall",
)  # fmt: skip
"""Figures of a finished episode that its info holds."""
SEEDS = 2**63


def mode_of(word: AutoresetMode | str) -> AutoresetMode:
    """Autoreset mode of a word."""
    try:
        return AutoresetMode(word)
    except ValueError:
        known = ", ".join(mode.value for mode in AutoresetMode)
        raise ConfigError(
            f"autoreset_mode must be one of {known}, got {word!r}; correct it"
        ) from None


class OptionHedgingVectorEnv(VectorEnv[Any, Any, Any]):
    """Hedge what was sold in many worlds at once.

    World i of a batch is, for the same seed, the trajectory of any other batch's world i.

    An episode that ends with the book closed (options settled or bought back at their marks, the
    holding sold) or with a liquidation is `terminated`. Without `costs.unwind` and with options
    that live on it is only cut off: `truncated`; so is one that a market's own end cuts short.

    Parameters
    ----------
    num_envs : int
    terms : HedgingTerms
    market : HedgeMarket
    autoreset_mode : AutoresetMode or str
        `NextStep` (the step after an episode's last only resets, its action is ignored),
        `SameStep` (an episode's last step returns the next one's first observation, and
        `final_obs` in the info), or `Disabled` (reset by `reset(options={"reset_mask": mask})`).
    first_world : int
        World id of the first environment.

    Attributes
    ----------
    state : HedgeState
        Everything, as arrays; read it, do not write it.
    fields : tuple of str
        Names of the observation's fields, in order; see `envs.hedging.observe.FIELDS`.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium's way
        "render_modes": ["human", "rgb_array"], "render_fps": 4,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }  # fmt: skip

    def __init__(
        self,
        num_envs: int = 1,
        *,
        terms: HedgingTerms,
        market: HedgeMarket,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        first_world: int = 0,
        render_mode: str | None = None,
    ) -> None:
        if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
            raise ConfigError(f"num_envs must be a whole number of at least 1, got {num_envs!r}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ConfigError(
                f"render_mode must be human, rgb_array or None, got {render_mode!r}; choose one"
            )
        if not market.has_volatility and (terms.mark.volatility is None or terms.swap.enabled):
            raise ConfigError(
                "this market tells no volatility of its own: give mark.volatility, and no swap"
            )
        if isinstance(market, AnsweringMarket) and terms.life.liquidation == INCREMENTAL:
            raise ConfigError(
                "life.liquidation must be whole where the market answers orders, got incremental"
            )
        self.num_envs, self.terms, self.market = num_envs, terms, market
        self.render_mode = render_mode
        self.autoreset_mode = mode_of(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.fields = chosen_fields(terms.observation)
        self._fields: I64 = np.array([NAMES.index(name) for name in self.fields], np.int64)
        self._low: F32 = np.array([FIELDS[name].low for name in self.fields], np.float32)
        self._high: F32 = np.array([FIELDS[name].high for name in self.fields], np.float32)
        self.single_observation_space = Box(self._low, self._high, dtype=np.float32)
        self.single_action_space = Box(-1.0, 1.0, (terms.n_actions,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.world_ids: I64 = np.arange(first_world, first_world + num_envs)
        self.record = record_of(terms)
        self.state: HedgeState = new_state(num_envs, terms.n_slots)
        self._marks = new_marks(num_envs)
        self._observation: F32 = np.zeros((num_envs, len(self.fields)), np.float32)
        self._reward: F64 = np.zeros(num_envs)
        self._done: Bool = np.zeros(num_envs, np.bool_)
        self._waiting: Bool = np.zeros(num_envs, np.bool_)  # ended; NextStep resets them next
        self._everywhere: Bool = np.ones(num_envs, np.bool_)
        self._closes = terms.costs.unwind or (
            terms.clients.per_step == 0.0
            and not terms.listed.enabled
            and terms.contract.expiry_steps in (None, terms.contract.n_steps)
        )
        self._bound_to: int | None = None
        self._film = Film(render_mode) if render_mode else None

    # -- Gymnasium's interface --------------------------------------------------------------------

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[F32, dict[str, Any]]:  # fmt: skip
        """Start new episodes: the first ones after a seed, else each world's next.

        Parameters
        ----------
        seed : int, optional
            Of all randomness; a first reset without any draws one, `np_random_seed`.
        options : mapping, optional
            `reset_mask (world,)`: the worlds to reset; all when left out.
        """
        if seed is not None and not isinstance(seed, int | np.integer):
            raise InputError(
                f"seed must be one whole number, from which every world has its own randomness, "
                f"got {type(seed).__name__}; give an int"
            )
        chosen = self._mask(options)
        if seed is not None or self._bound_to is None:
            super().reset(seed=None if seed is None else int(seed))
            chosen = self._everywhere
            self._bind(int(self.np_random_seed or 0) % SEEDS)
        self._observation = self._observation.copy()
        self._begin(chosen)
        self._waiting &= ~chosen
        if chosen[0]:
            self._shoot(True)
        return self._given(), {}

    def step(self, actions: Any) -> tuple[F32, F64, Bool, Bool, dict[str, Any]]:
        """Play one period everywhere.

        Parameters
        ----------
        actions : array (world, n)
            In [-1, 1]; see `envs.hedging.terms.Action`.
        """
        actions = self._checked(actions)
        waiting, first = self._waiting, bool(self._waiting[0])
        self._observation = np.empty_like(self._observation)  # whose rows are all written below
        if waiting.all() and not isinstance(self.market, AnsweringMarket):
            self._reward[:], self._done[:] = 0.0, False
        else:
            active = ~waiting
            self._step(actions, active)
            self._observe(active)
        if isinstance(self.market, AnsweringMarket) and self.market.over:
            self.market.renew()
        done, info = self._done.copy(), {}
        terminated, truncated = done.copy(), np.zeros_like(done)
        if not first:
            self._shoot(False)
        if done.any():
            ended = self._closes & (self.state.t == self.terms.contract.n_steps)
            truncated = done & ~(self.state.liquidated | ended)
            terminated = done & ~truncated
            info = self._report(done)
        if self.autoreset_mode == AutoresetMode.NEXT_STEP:
            if waiting.any():
                self._begin(waiting)
            self._waiting = done
            if first:
                self._shoot(True)
        elif self.autoreset_mode == AutoresetMode.SAME_STEP and done.any():
            final = np.empty(self.num_envs, object)
            for w in np.flatnonzero(done):
                final[w] = self._observation[w].copy()
            info |= {
                "final_obs": final, "_final_obs": done,
                "final_info": {k: v for k, v in info.items() if not k.startswith("final")},
                "_final_info": done,
            }  # fmt: skip
            self._begin(done)
            if done[0]:
                self._shoot(True)
        else:
            self._waiting = waiting | done
        return self._given(), self._reward.copy(), terminated, truncated, info

    # -- how it is done ---------------------------------------------------------------------------

    def _bind(self, seed: int) -> None:
        contract = self.terms.contract
        market = self.market
        if self._bound_to is None and market.taken:
            raise ConfigError(
                "this market serves another environment already, whose prices it would replace; "
                "make one market for each"
            )
        market.taken = True
        if isinstance(market, AnsweringMarket):
            market.rest = int(self.autoreset_mode == AutoresetMode.NEXT_STEP)
        if seed != self._bound_to or isinstance(market, AnsweringMarket):  # its worlds went on
            self.market.bind(seed, self.world_ids, contract.n_steps, contract.years_per_step)
            self.key = stream_key(seed, "envs.hedging")
            self._bound_to = seed
        self.state.episode[:] = -1

    def _begin(self, chosen: Bool) -> None:
        self.state.episode[chosen] += 1
        self.market.begin(chosen, self.state.episode)
        begin(
            self.state, self.market.path, self.market.conditions, self.record, self.key,
            self.world_ids, chosen,
        )  # fmt: skip
        self._observe(chosen)

    def _observe(self, chosen: Bool) -> None:
        observe(
            self.state, self._marks, self.record, self._fields, self._low, self._high, chosen,
            self._observation,
        )  # fmt: skip

    def _given(self) -> F32:
        """Give observations away; a masked reset will show some of these rows again."""
        disabled = self.autoreset_mode == AutoresetMode.DISABLED
        return self._observation.copy() if disabled else self._observation

    def _shoot(self, anew: bool) -> None:
        """Film world 0 where somebody watches."""
        if self._film is not None:
            self._film.shoot(self.state, anew)

    def _step(self, actions: F64, active: Bool) -> None:
        if isinstance(self.market, AnsweringMarket):
            self._step_answered(self.market, actions, active)
            return
        step(
            self.state, self._marks, self.market.path, self.market.conditions, actions,
            self.record, self.key, self.world_ids, active, self._reward, self._done,
        )  # fmt: skip

    def _step_answered(self, market: AnsweringMarket, actions: F64, active: Bool) -> None:
        """Send orders, let the market play, settle what it filled."""
        state, contract = self.state, self.terms.contract
        send(state, self._marks, actions, self.record, active)
        market.play(self._marks.order, state.t)
        take_fills(state, self._marks, self.record, market.filled, market.paid, active)
        held = np.where(active, state.holding, 0.0)
        if contract.settled == INVERSE:  # contracts of a fixed worth in cash: fewer coins
            held *= state.price / market.price
        settle(
            state, self._marks, market.path, market.conditions, market.cost_of(-held), market.over,
            self.record, self.key, self.world_ids, active, self._reward, self._done,
        )  # fmt: skip
        closed = state.liquidated | (self.terms.costs.unwind & (state.t == contract.n_steps))
        market.leave(np.where(self._done & closed, -held, 0.0))
        own = state.outage & (self.terms.life.outage_per_step > 0.0)
        state.outage[active] = (own | market.halted)[active]

    def _report(self, done: Bool) -> dict[str, Any]:
        """Figures of the episodes that ended, arrays (world,), 0 elsewhere."""
        info: dict[str, Any] = {}
        for name in REPORTED:
            value = getattr(self.state, name)
            info[name] = np.where(done, value, value.dtype.type(0))
            info[f"_{name}"] = done
        return info

    def _mask(self, options: Mapping[str, Any] | None) -> Bool:
        for name in options or {}:
            if name != "reset_mask":
                raise InputError(f"reset has no option {name!r}; its only one is reset_mask")
        if not options:
            return self._everywhere
        mask = np.asarray(options["reset_mask"])
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
            raise InputError(
                f"reset_mask must be {self.num_envs} booleans, got {mask.dtype} of {mask.shape}"
            )
        return mask

    def _checked(self, actions: Any) -> F64:
        """Actions as float64 (world, n); one sentence where they are none."""
        if self._bound_to is None:
            raise InputError("step was called before reset; call reset first")
        values = np.ascontiguousarray(actions, np.float64)
        expected = (self.num_envs, self.terms.n_actions)
        if values.shape != expected:
            raise InputError(f"actions must have the shape {expected}, got {values.shape}")
        inside = np.abs(values) <= 1.0 + 1e-6
        if not inside.all():
            w, i = np.argwhere(~inside)[0]
            raise InputError(
                f"actions must lie in [-1, 1], got {values[w, i]} in world {self.world_ids[w]}, "
                f"number {i}; clip or rescale them"
            )
        if self.autoreset_mode == AutoresetMode.DISABLED and self._waiting.any():
            w = int(np.flatnonzero(self._waiting)[0])
            raise InputError(
                f"the episode of world {self.world_ids[w]} has ended; reset it by "
                "reset(options={'reset_mask': mask})"
            )
        return values

    def render(self) -> Any:
        """Draw world 0's episode so far: a picture (rgb_array), or a window (human)."""
        return self._film.show() if self._film is not None else None

    def close_extras(self, **kwargs: Any) -> None:
        """Close the window."""
        del kwargs
        if self._film is not None:
            self._film.close()

    # -- for training -----------------------------------------------------------------------------

    def tune_reward(self, **values: float) -> None:
        """Set numbers of the reward that training re-estimates: mean, sd, level.

        Parameters
        ----------
        **values : float
            Of the episodes' costs: `mean`, `sd`, `level`.
        """
        for name, value in values.items():
            if name not in ("mean", "sd", "level") or not np.isfinite(value):
                raise InputError(
                    f"the reward takes finite mean, sd and level, got {name}={value}; correct it"
                )
            if name == "sd":
                self.record["weight"] = self.terms.reward.k / (2.0 * max(value, 1e-9))
            else:
                self.record[name] = value

    def describe(self) -> dict[str, Any]:
        """Terms and fields as plain values, for a model's file."""
        return {"terms": asdict(self.terms), "fields": list(self.fields)}
