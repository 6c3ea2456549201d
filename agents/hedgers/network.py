"""A small feed-forward network in float32, evaluated without the library that trained it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sim.errors import InputError
from sim.kernel import F32


def _silu(x: F32) -> F32:
    one = np.float32(1.0)
    with np.errstate(over="ignore"):  # exp overflows to inf, and the quotient to 0
        return np.asarray(x / (one + np.exp(-x)), np.float32)


def _relu(x: F32) -> F32:
    return np.maximum(x, np.float32(0.0))


ACTIVATIONS: Mapping[str, Callable[[F32], F32]] = {"tanh": np.tanh, "silu": _silu, "relu": _relu}
SQUASHES: Mapping[str, Callable[[F32], F32]] = {
    "tanh": np.tanh,
    "clip": lambda x: np.clip(x, np.float32(-1.0), np.float32(1.0)),
}
ROWS = 4096  # evaluated at once: what fits into the cache


@dataclass(frozen=True, slots=True)
class Network:
    """Layers y = f(x W' + b), the last one squashed into [-1, 1].

    Attributes
    ----------
    weights : sequence of array (out, in), float32
    biases : sequence of array (out,), float32
    activation : str
        Between layers: tanh, silu or relu.
    squash : str
        Of the last layer: tanh or clip.
    """

    weights: Sequence[F32]
    biases: Sequence[F32]
    activation: str
    squash: str

    def __post_init__(self) -> None:
        for name, value, known in (
            ("activation", self.activation, ACTIVATIONS), ("squash", self.squash, SQUASHES),
        ):  # fmt: skip
            if value not in known:
                raise InputError(f"network.{name} must be one of {', '.join(known)}, got {value!r}")
        if not self.weights or len(self.weights) != len(self.biases):
            raise InputError(
                f"a network needs as many weights as biases and at least one, got "
                f"{len(self.weights)} and {len(self.biases)}"
            )
        width = self.weights[0].shape[-1]
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
                raise InputError(
                    f"layer {i} of the network must take {width} numbers, got weights of "
                    f"{weight.shape} and biases of {bias.shape}"
                )
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise InputError(f"layer {i} of the network has numbers that are not finite")
            width = weight.shape[0]

    @property
    def n_inputs(self) -> int:
        """Numbers it takes."""
        return int(self.weights[0].shape[1])

    @property
    def n_outputs(self) -> int:
        """Numbers it gives."""
        return int(self.weights[-1].shape[0])

    def __call__(self, observation: F32) -> F32:
        """Evaluate rows of numbers, shape (n, in) to (n, out)."""
        out = np.empty((len(observation), self.n_outputs), np.float32)
        for first in range(0, len(observation), ROWS):
            out[first : first + ROWS] = self._rows(observation[first : first + ROWS])
        return out

    def _rows(self, x: F32) -> F32:
        between, last = ACTIVATIONS[self.activation], len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ weight.T + bias
            if i < last:
                x = between(x)
        return SQUASHES[self.squash](x)
