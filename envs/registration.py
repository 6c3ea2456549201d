"""What Gymnasium makes under the name `faultline/OptionHedging-v0`.

Gymnasium 0.26 to 0.29 load the entry point of the group `gymnasium.envs` by themselves. Since 1.0
it reads no entry points: `import envs` registers, or the module stands in the name, as in
`gymnasium.make("envs:faultline/OptionHedging-v0")`.
"""

from collections.abc import Mapping
from copy import deepcopy
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from sim.errors import ConfigError, FaultlineError, cause_of, reason_of

if TYPE_CHECKING:
    from envs.hedging.single import OptionHedgingEnv
    from envs.hedging.vector import OptionHedgingVectorEnv

NAME = "faultline/OptionHedging-v0"
STANDARD = "cao_2021"


def described(config: str = STANDARD) -> dict[str, Any]:
    """Read a file of `conf/env` as plain values.

    Parameters
    ----------
    config : str
        Its name, without ending.
    """
    import yaml

    folder = files("conf").joinpath("env")
    known = sorted(path.name[:-5] for path in folder.iterdir() if path.name.endswith(".yaml"))
    if config not in known:
        raise ConfigError(f"unknown environment {config!r}; conf/env has {', '.join(known)}")
    return dict(yaml.safe_load(folder.joinpath(f"{config}.yaml").read_text()))


def merged(base: Mapping[str, Any], changes: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """Put changes over a description, key by key."""
    out = deepcopy(dict(base))
    for key, value in changes.items():
        old = out.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping) and "_target_" not in value:
            out[key] = merged(old, value, f"{place}{key}.")
        else:
            out[key] = value
    return out


def parts(config: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Make terms and market of an environment, from a file of `conf/env` and changes to it."""
    from hydra.errors import InstantiationException
    from hydra.utils import get_object, instantiate

    whole = merged(described(config), changes)
    made, key = {}, ""
    try:
        for key, value in whole.items():
            made[key] = instantiate(value, _convert_="all")
    except InstantiationException as error:
        deepest, inner = cause_of(error)
        if isinstance(deepest, FaultlineError):
            raise ConfigError(f"environment {config}: {deepest}") from error
        node: Any = whole[key]
        for name in filter(None, inner.split(".")):
            node = node[name]
        absent = isinstance(deepest, ImportError) or "_target_" not in node
        reason = reason_of(deepest, None if absent else get_object(node["_target_"]))
        place = f"{key}.{inner}" if inner else key
        raise ConfigError(f"environment {config}: {place}: {reason}; correct it") from error
    return made


def vector_env(
    num_envs: int = 1, *, config: str = STANDARD, terms: Mapping[str, Any] | None = None,
    market: Mapping[str, Any] | None = None, **more: Any,
) -> "OptionHedgingVectorEnv":  # fmt: skip
    """Make the vector environment; `terms` and `market` change single values of the file.

    Parameters
    ----------
    num_envs : int
    config : str
        A file of `conf/env`.
    terms, market : mapping, optional
        As `{"costs": {"proportional": 0.002}}`.
    **more
        Of `OptionHedgingVectorEnv`.
    """
    from envs.hedging.vector import OptionHedgingVectorEnv

    changes = {"terms": terms or {}, "market": market or {}}
    return OptionHedgingVectorEnv(num_envs, **parts(config, changes), **more)


def single_env(
    *, config: str = STANDARD, terms: Mapping[str, Any] | None = None,
    market: Mapping[str, Any] | None = None, **more: Any,
) -> "OptionHedgingEnv":  # fmt: skip
    """Make the single environment; see `vector_env`."""
    from envs.hedging.single import OptionHedgingEnv

    changes = {"terms": terms or {}, "market": market or {}}
    return OptionHedgingEnv(**parts(config, changes), **more)


def register() -> None:
    """Register `faultline/OptionHedging-v0`, once; `import envs` does."""
    import gymnasium

    if NAME not in gymnasium.registry:
        gymnasium.register(
            id=NAME,
            entry_point="envs.registration:single_env",
            vector_entry_point="envs.registration:vector_env",
        )
