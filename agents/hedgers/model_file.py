"""A learned policy as a folder: `weights.npz` holds arrays, `model.json` says what they are.

Nothing in it is code, and nothing that is read can run any: arrays are loaded without pickle, and
their digest must be the one that `model.json` states.
"""

import hashlib
import json
import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.hedgers.network import Network
from sim.errors import InputError
from sim.kernel import F32

FORMAT = 1
WEIGHTS, ABOUT = "weights.npz", "model.json"


@dataclass(frozen=True, slots=True)
class Model:
    """A policy and what it was trained for.

    Attributes
    ----------
    network : Network
    environment : dict
        `OptionHedgingVectorEnv.describe()` of its training.
    trained : dict
        How: algorithm, seed, steps, seconds, validation; for the reader.
    """

    network: Network
    environment: Mapping[str, Any]
    trained: Mapping[str, Any]


def plain(value: Any) -> Any:
    """Turn a description into what JSON can say: infinity becomes a word."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def digest(arrays: Mapping[str, F32]) -> str:
    """SHA-256 of names, shapes and numbers."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name], "<f4")
        found.update(f"{name}{array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def save(folder: Path, model: Model) -> None:
    """Write a model into a folder, which is made; a model that is there is replaced."""
    network = model.network
    arrays = {}
    for i, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        arrays[f"weight_{i}"], arrays[f"bias_{i}"] = weight, bias
    about = {
        "format": FORMAT,
        "environment": plain(model.environment),
        "network": {
            "activation": network.activation, "squash": network.squash,
            "widths": [network.n_inputs, *(int(weight.shape[0]) for weight in network.weights)],
        },
        "weights_sha256": digest(arrays),
        "trained": plain(model.trained),
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{WEIGHTS}"
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    os.replace(partial, folder / WEIGHTS)
    partial = folder / f".{ABOUT}"
    partial.write_text(json.dumps(about, indent=1, allow_nan=False) + "\n")
    os.replace(partial, folder / ABOUT)


def load(folder: Path) -> Model:
    """Read a model; one sentence where it cannot be trusted or understood."""
    about = _about(folder)
    arrays = _arrays(folder / WEIGHTS)
    if digest(arrays) != about["weights_sha256"]:
        raise InputError(
            f"{folder / WEIGHTS} is not the file that {ABOUT} describes: their SHA-256 differ; "
            "copy the whole folder again"
        )
    layers = len(about["network"]["widths"]) - 1
    expected = {f"{kind}_{i}" for kind in ("weight", "bias") for i in range(layers)}
    if set(arrays) != expected:
        raise InputError(
            f"{folder / WEIGHTS} must hold {layers} layers, got {', '.join(sorted(arrays))}"
        )
    network = Network(
        [arrays[f"weight_{i}"] for i in range(layers)],
        [arrays[f"bias_{i}"] for i in range(layers)],
        about["network"]["activation"], about["network"]["squash"],
    )  # fmt: skip
    return Model(network, about["environment"], about["trained"])


def _about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT
    try:
        about = json.loads(path.read_text())
    except OSError:
        raise InputError(
            f"no model at {folder}: {ABOUT} cannot be read; give the folder that training wrote"
        ) from None
    except ValueError:
        raise InputError(f"{path} is not JSON; copy the model again") from None
    wanted = {"format", "environment", "network", "weights_sha256", "trained"}
    missing = wanted - set(about) if isinstance(about, dict) else wanted
    if missing:
        raise InputError(f"{path} lacks {', '.join(sorted(missing))}; it is no model of this kind")
    if about["format"] != FORMAT:
        raise InputError(
            f"{path} has the format {about['format']!r}, and this version reads {FORMAT}"
        )
    return dict(about)


def _arrays(path: Path) -> dict[str, F32]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            return {name: np.asarray(found[name], np.float32) for name in found.files}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} cannot be read as plain arrays ({' '.join(str(error).split())}); copy the "
            "model again"
        ) from None
