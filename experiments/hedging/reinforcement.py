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
from experiments.hedging.play import TRAINING, VALIDATION
from experiments.hedging.training import STATE, Algorithm, Session, need_torch
from sim.errors import ConfigError, InputError
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
    memory : float
        Share of the old mean and standard deviation that an estimate keeps.
    every : float
        Validations in a training.
    settings : mapping
        Further arguments of the algorithm's class.
    """

    algorithm: str = "ppo"
    steps: int = 16_384_000
    worlds: int = 2048
    width: int = 64
    layers: int = 2
    activation: str = "tanh"
    learning_rate: float = 1e-3
    log_sd: float = -1.5
    memory: float = 0.8
    validations: int = 10
    settings: Mapping[str, Any] = field(default_factory=dict)

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
        if first + self.worlds > VALIDATION:
            raise ConfigError(f"worlds must leave room below {VALIDATION:,}; lower algo.worlds")
        native = session.setting.worlds(self.worlds, first, mode="SameStep")
        env = adapter(native)
        model = self._model(torch, env, session, part)
        reward = session.setting.terms.reward
        estimates = {"mean": reward.mean, "sd": reward.sd}
        if kept is not None:
            estimates = dict(kept["estimates"])
            _restore(torch, model, kept)
        watch = _watcher(self, session, model, native, path, part, estimates)
        done = int(model.num_timesteps)
        with self.progress(session, self.steps, min(done, self.steps), "steps") as bar:
            watch.bar = bar
            model.learn(max(self.steps - done, 1), callback=watch, reset_num_timesteps=kept is None)
            watch.check(last=True)
        env.close()

    def _model(self, torch: Any, env: Any, session: Session, part: int) -> Any:
        kind = _class_of(self.algorithm)
        activations = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
        shape: dict[str, Any] = {
            "net_arch": [self.width] * self.layers, "activation_fn": activations[self.activation],
        }  # fmt: skip
        board = str(session.folder / "tensorboard") if session.tensorboard else None
        settings = dict(self.settings)
        if self.algorithm in ON_POLICY:
            shape["log_std_init"] = self.log_sd
            settings.setdefault("n_steps", session.setting.terms.contract.n_steps)
        try:
            model = kind(
                "MlpPolicy", env, gamma=1.0, policy_kwargs=shape, device="cpu", verbose=0,
                seed=session.seed + 1_000_003 * part,
                learning_rate=partial(_rate, self.learning_rate),
                tensorboard_log=board, **settings,
            )  # fmt: skip
        except TypeError as error:
            raise ConfigError(f"algo.settings: {error}; correct their names") from None
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


def _watcher(
    algorithm: Reinforcement, session: Session, model: Any, native: OptionHedgingVectorEnv,
    path: Path, part: int, estimates: dict[str, float],
) -> Any:  # fmt: skip
    """Make the callback that re-estimates the reward, validates and keeps the state."""
    from stable_baselines3.common.callbacks import BaseCallback

    class Watch(BaseCallback):
        """Called by the library in every step and after every rollout."""

        bar: Any = None

        def __init__(self) -> None:
            super().__init__()
            self.costs: list[float] = []
            self.next = max(algorithm.steps // algorithm.validations, 1)
            self.checked = self.counted = 0
            native.tune_reward(**estimates)

        def _on_training_start(self) -> None:
            self.counted = self.num_timesteps
            each = max(algorithm.steps // algorithm.validations, 1)
            self.next = (self.num_timesteps // each + 1) * each

        def _on_step(self) -> bool:
            if self.locals["dones"].any():
                infos = self.locals["infos"]
                self.costs += [info["cost"] for info in infos if "cost" in info]
            return True

        def _on_rollout_end(self) -> None:
            if len(self.costs) >= FEWEST:
                found = np.array(self.costs)
                keep = algorithm.memory
                for name, value in (("mean", found.mean()), ("sd", found.std())):
                    estimates[name] = keep * estimates[name] + (1.0 - keep) * float(value)
                level = float(np.quantile(found, session.setting.terms.reward.alpha))
                old = estimates.get("level", level)
                estimates["level"] = keep * old + (1.0 - keep) * level
                native.tune_reward(**estimates)
                self.costs = []
            self.bar.advance(self.num_timesteps - self.counted)
            self.counted = self.num_timesteps
            if self.num_timesteps >= self.next:
                self.next += max(algorithm.steps // algorithm.validations, 1)
                self.check()

        def check(self, last: bool = False) -> None:
            """Validate, and keep what going on needs."""
            if self.checked < model.num_timesteps:
                self.checked = model.num_timesteps
                worth = session.judge(algorithm.network(model), algorithm.name, self.checked)
                self.bar.say(
                    f"{self.checked:,} steps, {session.spent():.0f} s: "
                    f"{session.setting.objective.title} {100.0 * worth:.2f}"
                )
            _write(path, model, part, estimates)
            session.keep(finished=last)

    return Watch()


def _write(path: Path, model: Any, part: int, estimates: Mapping[str, float]) -> None:
    """Keep weights and moments; the replay buffer of off-policy algorithms is not kept."""
    import torch

    kept = {
        "parameters": model.get_parameters(), "steps": model.num_timesteps, "part": part,
        "estimates": dict(estimates),
    }  # fmt: skip
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
        if not {"parameters", "steps", "part", "estimates"} <= set(kept):
            raise ValueError
    except (OSError, ValueError, RuntimeError, EOFError, TypeError, pickle.UnpicklingError):
        raise InputError(
            f"{path} is no state of this training; remove {path.parent} and train again"
        ) from None
    return dict(kept)


def _restore(torch: Any, model: Any, kept: Mapping[str, Any]) -> None:
    model.set_parameters(kept["parameters"], exact_match=True, device="cpu")
    model.num_timesteps = int(kept["steps"])
    if "log_ent_coef" in kept and getattr(model, "log_ent_coef", None) is not None:
        with torch.no_grad():
            model.log_ent_coef.copy_(kept["log_ent_coef"])
    if not math.isfinite(float(model.num_timesteps)):
        raise InputError("the state has no number of steps; train again")
