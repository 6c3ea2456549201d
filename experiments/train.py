"""Train a hedger: `python -m experiments.train env=cao_2021 algo=pathwise`.

Writes a folder with the best policy by validation paths (`model/`: plain arrays and `model.json`),
the log `training.json` and the state from which the same command goes on. `study=NAME` trains one
policy per row of a table and seed.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from sim.errors import ConfigError

if TYPE_CHECKING:
    from experiments.hedging.training import Algorithm, Session

KEYS = frozenset({
    "env", "algo", "study", "seed", "seeds", "accumulated_cost", "paths", "name", "out", "progress",
    "tensorboard",
})  # fmt: skip


def whole(config: Mapping[str, Any], name: str, least: int) -> int:
    """Read a whole number of the configuration."""
    value = config[name]
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return value


def known(config: Mapping[str, Any], keys: frozenset[str]) -> None:
    """Refuse keys that would have no effect."""
    for key in sorted(set(config) - keys):
        raise ConfigError(f"unknown parameter {key}: there are {', '.join(sorted(keys))}")


def plain_config(cfg: DictConfig) -> dict[str, Any]:
    """Plain dict of a composed configuration."""
    config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


def run_name(config: Mapping[str, Any], choices: Mapping[str, Any]) -> str:
    """Name of a run's folder: table or environment, algorithm, variant."""
    if config["name"]:
        return str(config["name"])
    name = f"study-{choices['study']}" if config.get("study") else str(choices["env"])
    name += f"-{choices['algo']}" if "algo" in config else ""
    return name if config.get("accumulated_cost", True) else f"{name}-no_cost"


def train(config: Mapping[str, Any], folder: Path) -> "list[Session]":
    """Train what a configuration asks for, one training after the other.

    Parameters
    ----------
    config : mapping
        `conf/train.yaml`, resolved.
    folder : Path
        Of all its trainings.
    """
    from experiments.build import part
    from experiments.hedging.play import Setting
    from experiments.hedging.rows import rows_of
    from experiments.hedging.training import Algorithm, Session

    known(config, KEYS)
    algorithm = part(config, "algo")
    if not isinstance(algorithm, Algorithm):
        raise ConfigError(
            f"algo must be an algorithm of conf/algo, got {type(algorithm).__name__}; choose one"
        )
    rows, sessions = rows_of(config), []
    first, seeds = whole(config, "seed", 0), whole(config, "seeds", 1)
    for row in rows:
        setting = Setting.made(row.env)
        if not config["accumulated_cost"]:
            setting = setting.without("cost")
        for seed in range(first, first + seeds):
            place = folder / row.key / f"seed_{seed}" if config.get("study") else folder
            place = place if config.get("study") or seeds == 1 else folder / f"seed_{seed}"
            about = {"env": row.env, "algo": config["algo"], "seed": seed, "paths": config["paths"],
                     "accumulated_cost": config["accumulated_cost"]}  # fmt: skip
            session = Session(
                setting, seed, place, whole(config, "paths", 100), about, bool(config["progress"]),
                bool(config["tensorboard"]),
            )  # fmt: skip
            _one(algorithm, session, f"{row.title or algorithm.name}, seed {seed}")
            sessions.append(session)
    return sessions


def _one(algorithm: "Algorithm", session: "Session", title: str) -> None:
    if session.finished:
        if session.shown:
            print(f"{title}: trained before, in {session.folder}", file=sys.stderr)
        return
    if session.shown:
        print(title, file=sys.stderr, flush=True)
    algorithm.train(session)


def run(cfg: DictConfig) -> None:
    """Train what a composed configuration describes and say what came out."""
    from hydra.core.hydra_config import HydraConfig

    config = plain_config(cfg)
    name = run_name(config, HydraConfig.get().runtime.choices)
    folder = Path(str(config["out"])).expanduser() / name
    for session in train(config, folder):
        best = "no model" if session.best is None else f"{100.0 * session.best:.2f}"
        title = session.setting.objective.title
        print(f"{title} {best} % of the premium on validation paths, {session.spent():.0f} s")
        print(session.model.absolute())


def main() -> None:
    """Run the command line; errors on purpose are one sentence and a non-zero exit."""
    from experiments.cli import guarded, hydra_command, in_order

    sys.argv[1:] = in_order(sys.argv[1:])
    sys.exit(guarded(lambda: hydra_command("train", run)))


if __name__ == "__main__":
    main()
