"""Training by rewards: the algorithms of Stable-Baselines3 and sb3-contrib.

The reward of a telescoping mean and standard deviation needs the mean and the standard deviation of
what is being learned; both are estimated again from the episodes of each rollout.
"""

import math
import os
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from agents.hedgers.hedger import BAND
from agents.hedgers.network import Network
from envs.hedging.vector import OptionHedgingVectorEnv
from experiments.hedging.play import ESTIMATION, TRAINING
from experiments.hedging.replay import contents, costs_of, refill, relabel
from experiments.hedging.training import STATE, Algorithm, Session, need_torch
from sim.errors import ConfigError, InputError
from sim.kernel import F64
from sim.terms import check_range

ON_POLICY, OFF_POLICY = ("ppo",), ("sac", "td3", "tqc")
FEWEST = 256  # finished episodes behind an estimate of their mean and standard deviation
LOWEST_RATE = 0.03  # of the first learning rate


@dataclass(frozen=True, kw_only=True)
class Reinforcement(Algorithm):
    """One of the library's algorithms, gamma = 1, the mean of the policy being what is kept.

    Attributes
    ----------
    algorithm : str
        ppo, sac, td3 or tqc.
    steps : int
        Of the environment, over all worlds.
    worlds : int
        Played at once.
    width, layers : int
        Of the policy and of the value function.
    activation : str
        tanh or relu.
    learning_rate : float
        Falls linearly to 3%.
    log_sd : float
        Of the policy at first; ppo only.
    noise : float
        Standard deviation of the noise on actions while exploring; off-policy algorithms only.
    memory : float
        Share of the old mean and standard deviation that an estimate keeps.
    validations : int
        In a training.
    settings : mapping
        Further arguments of the algorithm's class.
    policy : mapping
        Further arguments of its policy's class.
    """

    algorithm: str = "ppo"
    steps: int = 16_384_000
    worlds: int = 2048
    width: int = 64
    layers: int = 2
    activation: str = "tanh"
    learning_rate: float = 1e-3
    log_sd: float = -1.5
    noise: float = 0.0
    memory: float = 0.8
    validations: int = 10
    settings: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.algorithm not in ON_POLICY + OFF_POLICY:
            raise ConfigError(
                f"algorithm must be one of {', '.join(ON_POLICY + OFF_POLICY)}, got "
                f"{self.algorithm!r}; choose one"
            )
        for name in ("steps", "worlds", "width", "layers", "validations"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1, got {value!r}")
        if self.activation not in ("tanh", "relu"):
            raise ConfigError(f"activation must be tanh or relu, got {self.activation!r}")
        check_range("learning_rate", self.learning_rate, 0.0, 1.0, open_low=True)
        check_range("memory", self.memory, 0.0, 1.0)
        check_range("noise", self.noise, 0.0, 10.0)
        if self.noise > 0.0 and self.algorithm in ON_POLICY:
            raise ConfigError(
                f"noise is for {', '.join(OFF_POLICY)}: {self.algorithm} explores by its own "
                f"policy, got {self.noise}; leave it out"
            )

    @property
    def name(self) -> str:  # type: ignore[override]
        """Name of the algorithm."""
        return self.algorithm

    def about(self) -> dict[str, Any]:
        """Return what the result depends on."""
        return asdict(self)

    def train(self, session: Session) -> None:
        """Train to the end; a training that was stopped goes on with new paths."""
        torch = need_torch(f"algo={self.algorithm}")
        path = session.folder / f"{STATE}.pt"
        kept = _read(torch, path) if session.log and path.exists() else None
        part = 0 if kept is None else int(kept["part"]) + 1
        first = TRAINING + part * self.worlds
        if first + self.worlds > ESTIMATION:
            raise ConfigError(f"worlds must leave room below {ESTIMATION:,}; lower algo.worlds")
        native = session.setting.worlds(self.worlds, first, mode="SameStep")
        env = adapter(native)
        model = self._model(torch, env, session, part)
        reward = session.setting.terms.reward
        estimates = {"mean": reward.mean, "sd": reward.sd}
        if kept is not None:
            estimates = dict(kept["estimates"])
            _restore(torch, model, kept)
        watch = Watch(self, session, model, native, path, part, estimates)
        done = int(model.num_timesteps)
        with self.progress(session, self.steps, min(done, self.steps), "steps") as bar:
            watch.bar = bar
            model.learn(
                max(self.steps - done, 1), callback=_callback(watch),
                log_interval=1 if self.algorithm in ON_POLICY else self.worlds,  # rollout; episodes
                reset_num_timesteps=kept is None,
            )  # fmt: skip
            watch.check(last=True)
        env.close()

    def _model(self, torch: Any, env: Any, session: Session, part: int) -> Any:
        kind = _class_of(self.algorithm)
        activations = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
        shape: dict[str, Any] = {
            "net_arch": [self.width] * self.layers, "activation_fn": activations[self.activation],
            **self.policy,
        }  # fmt: skip
        board = str(session.folder / "tensorboard") if session.tensorboard else None
        settings = dict(self.settings)
        if self.algorithm in ON_POLICY:
            shape["log_std_init"] = self.log_sd
            settings.setdefault("n_steps", session.setting.terms.contract.n_steps)
        if self.noise > 0.0:
            from stable_baselines3.common.noise import NormalActionNoise

            size = env.action_space.shape
            settings["action_noise"] = NormalActionNoise(np.zeros(size), np.full(size, self.noise))
        try:
            model = kind(
                "MlpPolicy", env, gamma=1.0, policy_kwargs=shape, device="cpu", verbose=0,
                seed=session.seed + 1_000_003 * part,
                learning_rate=partial(_rate, self.learning_rate),
                tensorboard_log=board, **settings,
            )  # fmt: skip
        except TypeError as error:
            raise ConfigError(
                f"algo.settings or algo.policy: {error}; correct their names"
            ) from None
        if self.algorithm in ON_POLICY and session.setting.terms.action.kind == BAND:
            with torch.no_grad():  # begin as a narrow band at the model's delta
                model.policy.action_net.bias.zero_()
                model.policy.action_net.bias[1] = -0.8
        return model

    def network(self, model: Any) -> Network:
        """Copy the policy's mean out of the library."""
        import torch

        policy = model.policy
        if self.algorithm in ON_POLICY:
            parts = [*policy.mlp_extractor.policy_net, policy.action_net]
        elif self.algorithm == "td3":
            parts = list(policy.actor.mu)
        else:
            parts = [*policy.actor.latent_pi, policy.actor.mu]
        linear = [layer for layer in parts if isinstance(layer, torch.nn.Linear)]
        copies = [
            (layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy())
            for layer in linear
        ]
        squash = "clip" if self.algorithm in ON_POLICY else "tanh"
        weights, biases = [weight for weight, _ in copies], [bias for _, bias in copies]
        return Network(weights, biases, self.activation, squash)


def _rate(first: float, left: float) -> float:
    return first * max(left, LOWEST_RATE)


def _class_of(algorithm: str) -> Any:
    try:
        import sb3_contrib
        import stable_baselines3
    except ImportError:
        raise ConfigError(
            f"algo={algorithm} needs stable-baselines3 and sb3-contrib, which are not installed; "
            "install the extra as in pip install 'faultline[rl]'"
        ) from None
    library = sb3_contrib if algorithm == "tqc" else stable_baselines3
    return getattr(library, algorithm.upper())


def adapter(native: OptionHedgingVectorEnv) -> Any:
    """Make the library's vector environment over the native one."""
    from envs.hedging.sb3 import HedgingVecEnv

    return HedgingVecEnv(native)


class Watch:
    """Estimates the reward again, validates and keeps the state while the library trains.

    Parameters
    ----------
    algorithm : Reinforcement
    session : Session
    model : object
        Of the library.
    native : OptionHedgingVectorEnv
    path : Path
        Of the state.
    part : int
        How often the training was begun before.
    estimates : dict
        `mean` and `sd` of the episodes' costs, and `level`, their quantile.
    """

    bar: Any = None

    def __init__(
        self, algorithm: Reinforcement, session: Session, model: Any,
        native: OptionHedgingVectorEnv, path: Path, part: int, estimates: dict[str, float],
    ) -> None:  # fmt: skip
        self.algorithm, self.session, self.model = algorithm, session, model
        self.native, self.path, self.part, self.estimates = native, path, part, estimates
        self.each = max(algorithm.steps // algorithm.validations, 1)
        self.costs: list[float] = []
        self.checked = self.counted = self.next = self.played = 0
        native.tune_reward(**estimates)

    def start(self) -> None:
        """Note where training begins or goes on."""
        self.counted = self.model.num_timesteps
        self.next = (self.counted // self.each + 1) * self.each
        self.played = self._episodes()

    def look(self, dones: Any, infos: Any) -> None:
        """Note what the episodes cost that end in a step."""
        if self.algorithm.algorithm in ON_POLICY and dones.any():
            self.costs += [info["cost"] for info in infos if "cost" in info]

    def end_rollout(self) -> None:
        """Estimate, show and validate as it is due."""
        if self.algorithm.algorithm in ON_POLICY:
            if len(self.costs) >= FEWEST:
                self.estimate(np.array(self.costs))
                self.costs = []
        elif self._episodes() > self.played:
            self.played = self._episodes()
            if self.model.num_timesteps > self.model.learning_starts:
                network = self.algorithm.network(self.model)
                session = self.session
                self.estimate(costs_of(session.setting, network, session.seed, self.played))
        self.bar.advance(self.model.num_timesteps - self.counted)
        self.counted = self.model.num_timesteps
        if self.counted >= self.next:
            self.next += self.each
            self.check()

    def estimate(self, costs: F64) -> None:
        """Move the reward's estimates towards what episodes cost."""
        keep, estimates, terms = self.algorithm.memory, self.estimates, self.native.terms
        level = float(np.quantile(costs, terms.reward.alpha))
        found = {"mean": float(costs.mean()), "sd": float(costs.std()), "level": level}
        for name, value in found.items():
            estimates[name] = keep * estimates.get(name, value) + (1.0 - keep) * value
        self.native.tune_reward(**estimates)
        if self.algorithm.algorithm in OFF_POLICY and "cost" in self.native.fields:
            column = self.native.fields.index("cost")
            relabel(self.model.replay_buffer, terms.reward, estimates, column)

    def check(self, last: bool = False) -> None:
        """Validate, and keep what going on needs."""
        steps, session = self.model.num_timesteps, self.session
        if self.checked < steps:
            self.checked = steps
            worth = session.judge(self.algorithm.network(self.model), self.algorithm.name, steps)
            self.bar.say(
                f"{steps:,} steps, {session.spent():.0f} s: "
                f"{session.setting.objective.title} {100.0 * worth:.2f}"
            )
        _write(self.path, self.model, self.part, self.estimates, with_buffer=not last)
        session.keep(finished=last)

    def _episodes(self) -> int:
        """Whole episodes that every world has played by the clock."""
        steps = self.native.terms.contract.n_steps * self.native.num_envs
        return int(self.model.num_timesteps // steps)


def _callback(watch: Watch) -> Any:
    """Make the library's callback that tells a watch what happens."""
    from stable_baselines3.common.callbacks import BaseCallback

    class Tell(BaseCallback):
        """Called in every step and after every rollout."""

        def _on_training_start(self) -> None:
            watch.start()

        def _on_step(self) -> bool:
            watch.look(self.locals["dones"], self.locals["infos"])
            return True

        def _on_rollout_end(self) -> None:
            watch.end_rollout()

    return Tell()


def _write(
    path: Path, model: Any, part: int, estimates: Mapping[str, float], with_buffer: bool
) -> None:
    """Keep weights and moments, and while training lasts the steps that an algorithm replays."""
    import torch

    kept = {
        "parameters": model.get_parameters(), "steps": model.num_timesteps, "part": part,
        "estimates": dict(estimates), "updates": model._n_updates,
    }  # fmt: skip
    if with_buffer and getattr(model, "replay_buffer", None) is not None:
        kept["buffer"] = contents(torch, model.replay_buffer)
    entropy = getattr(model, "log_ent_coef", None)
    if entropy is not None:
        kept["log_ent_coef"] = entropy.detach()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_file = path.with_name(f".{path.name}")
    torch.save(kept, partial_file)
    os.replace(partial_file, path)


def _read(torch: Any, path: Path) -> dict[str, Any]:
    """Read a state; torch's restricted reader runs no code from it."""
    try:
        kept = torch.load(path, weights_only=True)
        if not {"parameters", "steps", "part", "estimates", "updates"} <= set(kept):
            raise ValueError
    except (OSError, ValueError, RuntimeError, EOFError, TypeError, pickle.UnpicklingError):
        raise InputError(
            f"{path} is no state of this training; remove {path.parent} and train again"
        ) from None
    return dict(kept)


def _restore(torch: Any, model: Any, kept: Mapping[str, Any]) -> None:
    model.set_parameters(kept["parameters"], exact_match=True, device="cpu")
    model.num_timesteps, model._n_updates = int(kept["steps"]), int(kept["updates"])
    if "buffer" in kept:
        refill(model.replay_buffer, kept["buffer"])
    if "log_ent_coef" in kept and getattr(model, "log_ent_coef", None) is not None:
        with torch.no_grad():
            model.log_ent_coef.copy_(kept["log_ent_coef"])
    if not math.isfinite(float(model.num_timesteps)):
        raise InputError("the state has no number of steps; train again")
