"""Play a hedger through an environment, on paths that its tuning and training never see.

Every world id is one path, whoever hedges, so all hedgers face the same paths. Training,
validation, tuning and testing use different world ids under the same seed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agents.hedgers.hedger import Desk, Hedger, Sight
from agents.hedgers.learned import Learned
from envs.hedging.market import HedgeMarket
from envs.hedging.terms import HedgingTerms
from envs.hedging.vector import OptionHedgingVectorEnv
from experiments.hedging.objective import Objective
from sim.errors import ConfigError
from sim.kernel import F64, Bool

TRAINING, ESTIMATION, VALIDATION, TUNING, TEST = 0, 1 << 27, 1 << 28, 2 << 28, 3 << 28
"""First world ids; training has more than any run reaches before the next begins."""
FIGURES = ("cost", "trading", "funding", "penalty", "turnover", "margin_calls", "liquidated",
           "liquidations", "insurance", "shortfall")  # fmt: skip

Watch = Callable[[int, OptionHedgingVectorEnv, Bool], None]
"""Called after each period with its number, the environment and which worlds were over before."""


@dataclass(frozen=True, slots=True)
class Setting:
    """An environment, before it has worlds.

    Attributes
    ----------
    terms : HedgingTerms
    market : HedgeMarket
    """

    terms: HedgingTerms
    market: HedgeMarket

    @classmethod
    def made(cls, config: Mapping[str, Any]) -> "Setting":
        """Make it from a configuration with `terms` and `market`."""
        from experiments.build import part

        terms, market = part(config, "terms"), part(config, "market")
        if not isinstance(terms, HedgingTerms) or not isinstance(market, HedgeMarket):
            raise ConfigError(
                "env must describe terms and a market of option hedging, got "
                f"{type(terms).__name__} and {type(market).__name__}; choose a file of conf/env"
            )
        return cls(terms, market)

    def worlds(
        self, n: int, first: int, fields: Iterable[str] | None = None, mode: str = "NextStep"
    ) -> OptionHedgingVectorEnv:
        """Make the environment of worlds `first` to `first + n - 1`.

        Parameters
        ----------
        n, first : int
        fields : iterable of str, optional
            Of the observation, in place of the terms'; what a hedger sees moves no path.
        mode : str
            Gymnasium's autoreset mode.
        """
        terms = self.terms
        if fields is not None:
            terms = replace(terms, observation=dict.fromkeys(fields, True))
        # Binding a market gives it its paths: one that two environments shared would mix them.
        return OptionHedgingVectorEnv(
            n, terms=terms, market=copy(self.market), autoreset_mode=mode, first_world=first
        )

    def without(self, field: str) -> "Setting":
        """Return it with a field of the observation left out."""
        from envs.hedging.observe import chosen_fields

        kept = [name for name in chosen_fields(self.terms.observation) if name != field]
        return Setting(replace(self.terms, observation=dict.fromkeys(kept, True)), self.market)

    @property
    def objective(self) -> Objective:
        """What hedgers are judged by."""
        reward = self.terms.reward
        return Objective.of({"kind": reward.kind, "k": reward.k, "alpha": reward.alpha})


@dataclass(frozen=True, slots=True)
class Played:
    """Figures of finished episodes, arrays (path,); money in premiums of the option sold first.

    Attributes
    ----------
    figures : dict of str to array
        Names as in `FIGURES`.
    began : array (path,) or None
        Unix time at which each path begins, where prices are recorded ones.
    """

    figures: Mapping[str, F64]
    began: F64 | None = None

    @property
    def cost(self) -> F64:
        """What each path cost in all."""
        return self.figures["cost"]

    @classmethod
    def joined(cls, parts: Sequence["Played"]) -> "Played":
        """Join parts, in their order."""
        names = parts[0].figures
        times = [part.began for part in parts if part.began is not None]
        return cls(
            {name: np.concatenate([part.figures[name] for part in parts]) for name in names},
            np.concatenate(times) if times else None,
        )


def sight_of(env: OptionHedgingVectorEnv, observation: Any) -> Sight:
    """Take what the desk sees from the environment's state."""
    state = env.state
    return Sight(
        observation=observation, price=state.seen_price, first=state.first,
        volatility=state.seen_volatility, holding=state.holding, delta=state.delta,
        gamma=state.gamma, vega=state.vega, t=state.t, strike=state.strike, expiry=state.expiry,
        owed=state.owed, sign=state.sign, n_slots=state.n_slots,
    )  # fmt: skip


def fields_of(hedger: Hedger) -> tuple[str, ...] | None:
    """Fields that a hedger has to see; None where it does not matter."""
    if isinstance(hedger, Learned) and hedger.model is not None:
        return tuple(hedger.model.environment["fields"])
    return None


def bound(hedger: Hedger, setting: Setting) -> Hedger:
    """Bind a hedger to a setting."""
    hedger.bind(Desk.of(setting.worlds(1, TEST, fields_of(hedger)).describe()))
    return hedger


def play(
    setting: Setting, hedger: Hedger, seed: int, first: int, n: int, watch: Watch | None = None
) -> Played:
    """Play one episode in each of the worlds `first` to `first + n - 1`.

    Parameters
    ----------
    setting : Setting
    hedger : Hedger
        Bound to it.
    seed, first, n : int
    watch : callable, optional
        See `Watch`; then n is best no more than the market's `most_worlds`.
    """
    most = setting.market.most_worlds
    sizes = [min(most, n - start) for start in range(0, n, most)]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return Played.joined([
        _chunk(setting, hedger, seed, first + int(start), size, watch)
        for start, size in zip(starts, sizes, strict=True)
    ])  # fmt: skip


def _chunk(
    setting: Setting, hedger: Hedger, seed: int, first: int, n: int, watch: Watch | None
) -> Played:
    env = setting.worlds(n, first, fields_of(hedger))
    observation, _ = env.reset(seed=seed)
    began = None if env.market.began is None else env.market.began.copy()
    figures = {name: np.zeros(n) for name in FIGURES}
    over: Bool = np.zeros(n, np.bool_)
    for t in range(setting.terms.contract.n_steps):
        observation, _, terminated, truncated, info = env.step(
            hedger.actions(sight_of(env, observation))
        )
        if watch is not None:
            watch(t, env, over)
        fresh = (terminated | truncated) & ~over
        if fresh.any():
            for name, values in figures.items():
                values[fresh] = info[name][fresh]
            over |= fresh
        if over.all():
            break
    return Played(figures, began)
