"""A policy that was trained: a network from observation to action."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from agents.hedgers.hedger import Desk, Hedger, Sight
from agents.hedgers.model_file import Model, load, plain
from sim.errors import ConfigError, InputError
from sim.kernel import F64


class Learned(Hedger):
    """A learned policy.

    Parameters
    ----------
    path : str, optional
        Folder of a model (`agents.hedgers.model_file`).
    model : Model, optional
        Instead of a folder.
    title : str
    """

    def __init__(
        self, *, path: str | None = None, model: Model | None = None, title: str = "learned"
    ) -> None:
        if (path is None) == (model is None):
            raise ConfigError("a learned hedger needs a path or a model, and not both; give one")
        self.model = model or load(Path(str(path)).expanduser())
        self.title = title

    def bind(self, desk: Desk) -> None:
        """Take over the terms; fields and action must be those of the training."""
        there, network = plain(self.model.environment), self.model.network
        fields = tuple(there["fields"])
        if fields != desk.fields:
            raise InputError(
                f"{self.title} was trained on the fields {', '.join(fields)}, and this environment "
                f"shows {', '.join(desk.fields)}; choose the same with terms.observation"
            )
        here = plain(desk.description["terms"]["action"])
        for name, value in there["terms"]["action"].items():
            if here.get(name) != value:
                raise InputError(
                    f"{self.title} was trained with action.{name} = {value}, and this environment "
                    f"has {here.get(name)}; set terms.action.{name}={value}"
                )
        if (network.n_inputs, network.n_outputs) != (len(desk.fields), desk.n_actions):
            raise InputError(
                f"{self.title} takes {network.n_inputs} numbers and gives {network.n_outputs}, and "
                f"this environment shows {len(desk.fields)} and takes {desk.n_actions}; train it "
                "for this environment"
            )
        super().bind(desk)

    @property
    def told(self) -> str:
        """How it was trained."""
        trained = self.model.trained
        seed = f", seed {trained['seed']}" if "seed" in trained else ""
        return f"{trained.get('algorithm', '')}{seed}"

    def differences(self) -> dict[str, tuple[Any, Any]]:
        """Terms that are not those of the training: name to (then, now)."""
        then = dict(_flat(plain(self.model.environment["terms"])))
        now = dict(_flat(plain(self.desk.description["terms"])))
        return {
            name: (then[name], now.get(name))
            for name in then
            if then[name] != now.get(name) and not name.startswith(("reward.", "observation"))
        }

    def actions(self, sight: Sight) -> F64:
        """Return what the network says."""
        return self.model.network(sight.observation).astype(np.float64)


def _flat(tree: Mapping[str, Any], place: str = "") -> list[tuple[str, Any]]:
    out: list[tuple[str, Any]] = []
    for key, value in tree.items():
        name = f"{place}{key}"
        out += _flat(value, f"{name}.") if isinstance(value, Mapping) else [(name, value)]
    return out
