"""Direct policy gradient: the objective is differentiated through the episode's arithmetic.

Where the hedger moves no price, everything but his own trades is the same whatever he does. So the
environment itself is played once without any holding, which records what he would see and what the
options cost; torch then adds, period by period, what a holding earns and trades cost, and takes the
gradient through all of it. What is learned is near the best that the network can do, and is the
yardstick for methods that only see rewards.
"""

import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agents.hedgers.hedger import BAND, TARGET, Desk, toward
from agents.hedgers.network import ACTIVATIONS, Network
from envs.hedging.state import PAID
from envs.hedging.terms import HedgingTerms
from experiments.hedging.objective import ENTROPIC, MEAN, SHORTFALL, SPREAD, Objective
from experiments.hedging.play import TRAINING, VALIDATION, Setting
from experiments.hedging.training import STATE, Algorithm, Session, need_torch
from sim.errors import ConfigError, InputError
from sim.kernel import F32
from sim.terms import check_range

Tensors = list[Any]
OWN = ("holding", "cost", "swap_holding")  # fields that depend on the hedger


class Recorded(NamedTuple):
    """Episodes played without a holding, arrays whose first axis is the period."""

    seen: F32  # (period, world, field)
    delta: F32  # (period, world) of the options owed
    price: F32  # (period + 1, world) over the first price
    swap: F32  # (period + 1, world) price of a variance swap over the first price
    own: F32  # (period + 1, world) price of what is held over the first price of the underlying
    paid: F32  # (period, world) share of the holding's worth that is paid as funding
    options: F32  # (period, world) what the options cost in the period, over `unit`
    unit: F32  # (world,) premium over the first price (coin: over one coin)


def refused(terms: HedgingTerms) -> str:
    """Say why trades cannot be differentiated under these terms; empty where they can."""
    life, costs = terms.life, terms.costs
    if life.collateral < inf:
        return "the hedger can be liquidated (terms.life.collateral)"
    if life.outage_per_step > 0.0 or life.stale_per_step > 0.0:
        return "the venue can be down or the view stale (terms.life)"
    if terms.listed.enabled:
        return "an option can be traded (terms.listed)"
    if costs.fixed > 0.0:
        return "trades have a fixed cost (terms.costs.fixed)"
    if not terms.action.low <= 0.0 <= terms.action.high:
        return "the hedger may not hold nothing (terms.action.low, high)"
    return ""


def recorded(setting: Setting, seed: int, first: int, n: int) -> Recorded:
    """Play the worlds `first` to `first + n - 1` without a holding, and record them."""
    env = setting.worlds(n, first)
    desk, n_steps = Desk.of(env.describe()), setting.terms.contract.n_steps
    seen = np.empty((n_steps, n, len(env.fields)), np.float32)
    delta, options, paid = (np.empty((n_steps, n), np.float32) for _ in range(3))
    price, swap, own = (np.empty((n_steps + 1, n), np.float32) for _ in range(3))
    funding = setting.terms.costs.funding_per_year * desk.years_per_step
    none, actions = np.zeros(n), np.zeros((n, desk.n_actions))
    observation, _ = env.reset(seed=seed)
    state, before = env.state, np.zeros(n)
    price[0], swap[0], own[0] = 1.0, state.swap_price / state.first, np.exp(state.premium)
    told = env.market.conditions
    for t in range(n_steps):
        seen[t], delta[t] = observation, state.delta
        actions[:, : desk.n_own] = toward(desk, none, none, state.delta)
        observation, *_ = env.step(actions)
        options[t] = state.cost - before
        before = state.cost.copy()
        price[t + 1] = state.price / state.first
        swap[t + 1] = state.swap_price / state.first
        own[t + 1] = np.exp(state.premium) * price[t + 1]
        paid[t] = funding if told is None else funding + told[:, t + 1, PAID]
    unit = state.unit if desk.inverse else state.unit / state.first
    if np.abs(state.turnover).max() > 1e-9:
        raise ConfigError(
            "pathwise training needs an action that holds nothing, and this action space has none; "
            "widen terms.action.centre and width"
        )
    return Recorded(seen, delta, price, swap, own, paid, options, unit.astype(np.float32))


@dataclass(frozen=True, kw_only=True)
class Pathwise(Algorithm):
    """Adam on the objective of whole batches of episodes.

    Attributes
    ----------
    updates : int
        Steps of the optimiser.
    batch : int
        Episodes of an update; each update has new ones.
    learning_rate : float
        Falls to a fiftieth along a cosine.
    width : int
        Of the two hidden layers.
    activation : str
        silu, tanh or relu.
    largest_gradient : float
        Longer gradients are cut to this norm.
    every : int
        Updates between validations, each of which is also a checkpoint.
    """

    updates: int = 600
    batch: int = 4096
    learning_rate: float = 2e-3
    width: int = 64
    activation: str = "silu"
    largest_gradient: float = 1.0
    every: int = 50

    name = "pathwise"

    def __post_init__(self) -> None:
        for name in ("updates", "batch", "width", "every"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(
                    f"{name} must be a whole number of at least 1, got {value!r}; correct it"
                )
        if self.updates * self.batch > VALIDATION:
            raise ConfigError(
                f"updates * batch must not exceed {VALIDATION:,} training paths, got "
                f"{self.updates * self.batch:,}; lower one"
            )
        check_range("learning_rate", self.learning_rate, 0.0, 1.0, open_low=True)
        check_range("largest_gradient", self.largest_gradient, 0.0, math.inf, open_low=True)
        if self.activation not in ACTIVATIONS:
            raise ConfigError(
                f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}"
            )

    def train(self, session: Session) -> None:
        """Train to the end."""
        reason = refused(session.setting.terms)
        if reason:
            raise ConfigError(f"pathwise training cannot be used where {reason}; use algo=ppo")
        torch = need_torch("algo=pathwise")
        simulator = Simulator(torch, session.setting)
        layers = self._layers(torch, session)
        optimiser = torch.optim.Adam(layers, lr=self.learning_rate)
        path = session.folder / f"{STATE}.npz"
        done = resume(torch, path, layers, optimiser) if session.log and path.exists() else 0
        steps_each = self.batch * session.setting.terms.contract.n_steps
        with self.progress(session, self.updates, done, "updates") as bar:
            for i in range(done, self.updates):
                loss = self._update(torch, session, simulator, layers, optimiser, i)
                session.record((i + 1) * steps_each, loss=100.0 * loss)
                bar.advance(1)
                if (i + 1) % self.every == 0 or i + 1 == self.updates:
                    worth = session.judge(self._network(layers), self.name, (i + 1) * steps_each)
                    bar.say(
                        f"{i + 1:,} updates, {session.spent():.0f} s: "
                        f"{session.setting.objective.title} {100.0 * worth:.2f}"
                    )
                    store(path, layers, optimiser, i + 1)
                    session.keep(finished=i + 1 == self.updates)

    def _layers(self, torch: Any, session: Session) -> Tensors:
        """Weights and biases of three layers, in turn; the policy begins as a band at delta."""
        desk = Desk.of(session.setting.worlds(1, TRAINING).describe())
        generator = torch.Generator().manual_seed(session.seed)
        widths = [len(desk.fields), self.width, self.width, desk.n_actions]
        layers: Tensors = []
        for i in range(3):
            bound = 1.0 / math.sqrt(widths[i])
            scale = 0.1 if i == 2 else 1.0
            weight = torch.rand((widths[i + 1], widths[i]), generator=generator)
            bias = torch.rand(widths[i + 1], generator=generator)
            layers += [(2.0 * weight - 1.0) * bound * scale, (2.0 * bias - 1.0) * bound * scale]
        if desk.kind == BAND:
            layers[-1][1] -= 0.5
        return [layer.requires_grad_() for layer in layers]

    def _update(
        self, torch: Any, session: Session, simulator: "Simulator", layers: Tensors,
        optimiser: Any, i: int,
    ) -> float:  # fmt: skip
        """One step of the optimiser on new paths; they depend on seed and number alone."""
        share = 0.5 * (1.0 + math.cos(math.pi * i / self.updates))
        for group in optimiser.param_groups:
            group["lr"] = self.learning_rate * (0.02 + 0.98 * share)
        episodes = recorded(session.setting, session.seed, TRAINING + i * self.batch, self.batch)
        cost = simulator.cost(episodes, layers, self.activation)
        loss = differentiable(torch, session.setting.objective, cost)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(layers, self.largest_gradient)
        optimiser.step()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise InputError(
                f"training diverged at update {i + 1}: the objective is {value}; lower "
                "algo.learning_rate"
            )
        return value

    def _network(self, layers: Tensors) -> Network:
        """Copy the policy out of torch."""
        arrays = [np.array(layer.detach().numpy(), np.float32) for layer in layers]
        return Network(arrays[0::2], arrays[1::2], self.activation, "tanh")

    def about(self) -> dict[str, Any]:
        """Return what the result depends on."""
        return asdict(self)


class Simulator:
    """Costs of episodes as a differentiable function of a policy's weights."""

    def __init__(self, torch: Any, setting: Setting) -> None:
        self.torch = torch
        terms = setting.terms
        self.action, self.costs = terms.action, terms.costs
        self.inverse = terms.contract.settled != "linear"
        fields = setting.worlds(1, TRAINING).fields
        self.at = {name: fields.index(name) for name in OWN if name in fields}
        self.swap, self.swap_at = terms.swap, 1 + (terms.action.kind == BAND)

    def cost(self, episodes: Recorded, layers: Tensors, activation: str) -> Any:
        """Cost of each episode in premiums, a tensor (world,)."""
        torch = self.torch
        seen, delta, price, swap, own, paid, options, unit = map(torch.from_numpy, episodes)
        n = unit.shape[0]
        held, cost, swaps = (torch.zeros(n) for _ in range(3))
        for t in range(delta.shape[0]):
            actions = policy(torch, self._view(seen[t], held, cost, swaps), layers, activation)
            target = self._target(actions, held, delta[t])
            now, after = own[t], own[t + 1]
            spent = self._fee((target - held).abs(), price[t])
            gain = target * (after - now)
            held = target
            if self.swap.enabled:
                wanted = self.swap.most * actions[:, self.swap_at]
                spent = spent + self.swap.proportional * (wanted - swaps).abs() * swap[t]
                gain, swaps = gain + wanted * (swap[t + 1] - swap[t]), wanted
            if self.inverse:
                gain, held = gain / after, target * now / after
            funding = paid[t] * held if self.inverse else paid[t] * held * after
            cost = cost + options[t] + (spent + funding - gain) / unit
        if self.costs.unwind:
            cost = cost + self._fee(held.abs(), price[-1]) / unit
        return cost

    def _view(self, seen: Any, *own: Any) -> Any:
        """Put what depends on the hedger into what he sees."""
        parts = list(seen.unbind(1))
        for name, value in zip(OWN, own, strict=True):
            if name in self.at:
                parts[self.at[name]] = value
        return self.torch.stack(parts, 1)

    def _target(self, actions: Any, held: Any, delta: Any) -> Any:
        """Return the holding that actions ask for, as `envs.hedging.step.wanted` reads them."""
        it, torch = self.action, self.torch
        if it.kind == BAND:
            centre = delta + it.centre * actions[:, 0]
            half = it.width * 0.5 * (actions[:, 1] + 1.0)
            target = torch.minimum(torch.maximum(held, centre - half), centre + half)
        elif it.kind == TARGET:
            target = it.low + (it.high - it.low) * 0.5 * (actions[:, 0] + 1.0)
        else:
            target = held + it.most * actions[:, 0]
        return target.clamp(it.low, it.high)

    def _fee(self, size: Any, now: Any) -> Any:
        rate = self.costs.proportional + self.costs.half_spread + self.costs.impact * size
        return size * rate if self.inverse else size * rate * now


def policy(torch: Any, x: Any, layers: Tensors, activation: str) -> Any:
    """Evaluate the network of `agents.hedgers.network.Network` in torch, squashed by tanh."""
    between = {
        "silu": torch.nn.functional.silu, "tanh": torch.tanh, "relu": torch.relu,
    }[activation]  # fmt: skip
    for i in range(0, len(layers), 2):
        x = torch.nn.functional.linear(x, layers[i], layers[i + 1])
        x = between(x) if i + 2 < len(layers) else torch.tanh(x)
    return x


def differentiable(torch: Any, objective: Objective, cost: Any) -> Any:
    """Return the objective of a batch as a tensor; see `Objective`."""
    if objective.kind == SPREAD:
        return cost.mean() + objective.k * cost.std()
    if objective.kind == SHORTFALL:
        worst = max(1, round((1.0 - objective.alpha) * cost.shape[0]))
        return cost.topk(worst).values.mean()
    if objective.kind == ENTROPIC:
        return (torch.logsumexp(objective.k * cost, 0) - math.log(cost.shape[0])) / objective.k
    if objective.kind == MEAN:
        return cost.mean()
    return cost.mean() + 0.5 * objective.k * cost.var()


def store(path: Path, layers: Tensors, optimiser: Any, done: int) -> None:
    """Write weights and Adam's moments as plain arrays."""
    arrays: dict[str, Any] = {"done": np.array(done)}
    for i, layer in enumerate(layers):
        moments = optimiser.state[layer]
        arrays[f"layer_{i}"] = layer.detach().numpy()
        arrays[f"first_{i}"], arrays[f"second_{i}"] = (
            moments["exp_avg"].numpy(), moments["exp_avg_sq"].numpy(),
        )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    os.replace(partial, path)


def resume(torch: Any, path: Path, layers: Tensors, optimiser: Any) -> int:
    """Read what `store` wrote; return the number of updates that are done."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            arrays: Mapping[str, Any] = {name: found[name] for name in found.files}
        done = int(arrays["done"])
        for i, layer in enumerate(layers):
            with torch.no_grad():
                layer.copy_(torch.from_numpy(arrays[f"layer_{i}"]))
            optimiser.state[layer] = {
                "step": torch.tensor(float(done)),
                "exp_avg": torch.from_numpy(arrays[f"first_{i}"]),
                "exp_avg_sq": torch.from_numpy(arrays[f"second_{i}"]),
            }
    except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile):
        raise InputError(
            f"{path} is no state of this training; remove {path.parent} and train again"
        ) from None
    return done
