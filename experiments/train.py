"""Train a hedger: `python -m experiments.train env=cao_2021 algo=pathwise`.

Writes a folder with the best policy by validation paths (`model/`: plain arrays and `model.json`),
the log `training.json` and the state from which the same command goes on. `study=NAME` trains, for
each row of a table, each variant of the policy with each seed.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from sim.errors import ConfigError

if TYPE_CHECKING:
    from experiments.hedging.rows import Row, Variant
    from experiments.hedging.training import Algorithm, Session

KEYS = frozenset({
    "env", "algo", "study", "seed", "seeds", "accumulated_cost", "paths", "name", "out", "progress",
    "tensorboard", "data",
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
    from experiments.hedging.rows import merged, rows_of, variants_of
    from experiments.hedging.training import Algorithm, Session

    known(config, KEYS)
    sessions = []
    seed = whole(config, "seed", 0)
    for row in rows_of(config):
        if row.policies is not None:
            continue
        env = row.env if row.training is None else row.training
        described = merged(config["algo"], row.algo)
        algorithm = part({"algo": described}, "algo")
        if not isinstance(algorithm, Algorithm):
            raise ConfigError(
                f"algo must be an algorithm of conf/algo, got {type(algorithm).__name__}; choose "
                "one"
            )
        for variant in variants_of(config):
            setting = Setting.made(env)
            if not variant.accumulated_cost:
                setting = setting.without("cost")
            for i in range(variant.seeds):
                about = {
                    "env": env, "algo": described, "seed": seed + i, "paths": config["paths"],
                    "accumulated_cost": variant.accumulated_cost,
                }  # fmt: skip
                session = Session(
                    setting, seed + i, place_of(folder, row, variant, seed + i),
                    whole(config, "paths", 100), about, bool(config["progress"]),
                    bool(config["tensorboard"]),
                )  # fmt: skip
                title = f"{row.title or algorithm.name}, seed {seed + i}"
                _one(algorithm, session, f"{variant.title}: {title}" if variant.key else title)
                sessions.append(session)
    return sessions


def place_of(folder: Path, row: "Row", variant: "Variant", seed: int) -> Path:
    """Folder of one training: row, variant and seed, as far as there are several."""
    place = folder / row.key / variant.key
    return place / f"seed_{seed}" if row.key or variant.seeds > 1 else place


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
