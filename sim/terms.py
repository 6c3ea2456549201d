"""Terms that YAML states, turned into arrays, with errors that name the field."""

from collections.abc import Mapping, Sequence

import numpy as np

from sim.errors import ConfigError
from sim.kernel import F64

Terms = float | Mapping[str, float]  # one number for all assets, or one per asset name


def require(condition: bool, sentence: str) -> None:
    """Raise ConfigError with the sentence unless the condition holds."""
    if not condition:
        raise ConfigError(sentence)


def check_range(
    field: str, value: Terms, low: float, high: float = np.inf, *, open_low: bool = False
) -> None:
    """Raise ConfigError unless every number lies in [low, high], or (low, high] with `open_low`."""
    items = dict(value) if isinstance(value, Mapping) else {"": value}
    for name, number in items.items():
        inside = low < number <= high if open_low else low <= number <= high
        if not inside:
            label = f"{field}.{name}" if name else field
            bracket = "(" if open_low else "["
            raise ConfigError(
                f"{label} must lie in {bracket}{low:g}, {high:g}], got {number:g}; change it"
            )


def per_asset(field: str, assets: Sequence[str], value: Terms) -> F64:
    """Array (asset,) of a term given as one number or as a mapping that names every asset.

    A mapping may name assets that this world does not hold: a calibration serves several worlds.
    """
    if not isinstance(value, Mapping):
        return np.full(len(assets), float(value))
    missing = [name for name in assets if name not in value]
    if missing:
        raise ConfigError(
            f"{field} must name every asset, but lacks {', '.join(missing)} (it names "
            f"{', '.join(value) or 'none'}); add {field}.{missing[0]}"
        )
    return np.array([float(value[name]) for name in assets])
