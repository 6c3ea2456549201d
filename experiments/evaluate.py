"""Judge hedgers on unseen paths: `python -m experiments.evaluate env=cao_2021 model=DIR`.

All hedgers face the same test paths; scalars of classical ones are tuned on paths of their own.
Prints a table and writes `report.html`, `summary.json` and `costs.parquet`. `study=NAME` judges
every row of a table; without `models=DIR` it first trains the policies that are missing.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from experiments.train import known, plain_config, run_name, whole
from sim.errors import ConfigError

if TYPE_CHECKING:
    from agents.hedgers.hedger import Hedger
    from experiments.hedging.contest import Contest
    from experiments.hedging.rows import Row

KEYS = frozenset({
    "env", "study", "algo", "training", "hedgers", "model", "models", "paths", "tuning_paths",
    "resamples", "seed", "name", "out", "progress", "data",
})  # fmt: skip


def hedgers_of(config: Mapping[str, Any], row: "Row") -> "dict[str, Hedger]":
    """Classical hedgers of a configuration, then its trained ones."""
    from agents.hedgers.hedger import Hedger
    from agents.hedgers.learned import Learned
    from experiments.build import parts
    from experiments.hedging.contest import models_in

    made = parts({"hedgers": {**(config["hedgers"] or {}), **row.hedgers}}, "hedgers")
    for name, hedger in made.items():
        if not isinstance(hedger, Hedger):
            raise ConfigError(
                f"hedgers.{name} must be a hedger of conf/hedger, got {type(hedger).__name__}"
            )
    models = config["models"] or {}
    if config.get("study"):
        if config["model"] is not None:
            raise ConfigError("with a study, give models=DIR, a folder with one folder per row")
        for name, (place, title) in policies_of(config, row).items():
            made[name] = Learned(path=str(place), title=title)
        return made
    if not isinstance(models, Mapping):
        raise ConfigError(
            f"models must map names to folders, got {models!r}; give +models.NAME=DIR"
        )
    every = ({"learned": config["model"]} if config["model"] is not None else {}) | dict(models)
    for name, place in every.items():
        if name in made:
            raise ConfigError(f"models.{name} has the name of another hedger; rename it")
        folder = Path(str(place)).expanduser()
        found = models_in(folder)
        title = name.replace("_", " ")
        made[name] = Learned(path=str(next(iter(found.values()), folder)), title=title)
    return made


def policies_of(config: Mapping[str, Any], row: "Row") -> dict[str, tuple[Path, str]]:
    """Policies of a row of a study by name, one for each variant and seed: folder and title."""
    models = config["models"] or {}
    places = models if isinstance(models, Mapping) else {"": models}
    found: dict[str, tuple[Path, str]] = {}
    for label, place in places.items():
        found |= _in_folder(config, row, label, Path(str(place)).expanduser())
    return found


def _in_folder(
    config: Mapping[str, Any], row: "Row", label: str, folder: Path
) -> dict[str, tuple[Path, str]]:
    from experiments.hedging.contest import models_in
    from experiments.hedging.rows import variants_of

    found: dict[str, tuple[Path, str]] = {}
    for variant in variants_of(config):
        for name, place in models_in(folder / (row.policies or row.key) / variant.key).items():
            words = [label, variant.title, name.replace("_", " ")]
            key = "_".join(word for word in (label, variant.key, name) if word)
            found[key] = (place, ", ".join(word for word in words if word))
    return found


def trained(config: Mapping[str, Any], choices: Mapping[str, Any]) -> dict[str, Any]:
    """Train what a study without models lacks; return the configuration with its models."""
    from experiments.train import train

    wanted = config["training"]
    if not config.get("study") or config["models"] or wanted is None:
        return dict(config)
    if not isinstance(wanted, Mapping) or set(wanted) != {"seed", "seeds", "paths"}:
        raise ConfigError(f"training must give seed, seeds and paths, or be null, got {wanted!r}")
    asked = {
        **{key: config[key] for key in ("env", "algo", "study", "out", "progress", "data")},
        **wanted,
        "accumulated_cost": True, "name": None, "tensorboard": False,
    }  # fmt: skip
    folder = Path(str(config["out"])).expanduser() / run_name(asked, choices)
    train(asked, folder)
    return {**config, "models": str(folder)}


def evaluate(config: Mapping[str, Any]) -> "dict[str, Contest]":
    """Judge what a configuration asks for, row by row.

    Parameters
    ----------
    config : mapping
        `conf/evaluate.yaml`, resolved.

    Returns
    -------
    dict of str to Contest
        By row; one of the name "" without a table.
    """
    from experiments.hedging.contest import hold
    from experiments.hedging.play import TUNING, VALIDATION, Setting
    from experiments.hedging.rows import rows_of

    known(config, KEYS)
    paths, tuning = whole(config, "paths", 200), whole(config, "tuning_paths", 200)
    if max(paths, tuning) > TUNING - VALIDATION:
        raise ConfigError(f"paths must not exceed {TUNING - VALIDATION:,}, got {paths:,}")
    out = {}
    for row in rows_of(config):
        if row.key and config["progress"]:
            print(row.title, file=sys.stderr, flush=True)
        out[row.key] = hold(
            Setting.made(row.env), hedgers_of(config, row), seed=whole(config, "seed", 0),
            paths=paths, tuning_paths=tuning, resamples=whole(config, "resamples", 1),
            shown=bool(config["progress"]),
            tuning=None if row.tuning is None else Setting.made(row.tuning),
        )  # fmt: skip
        if row.key:
            for name, (place, _) in policies_of(config, row).items():
                out[row.key].summary["hedgers"][name]["spent"] = spent(place.parent)
    return out


def spent(folder: Path) -> dict[str, float]:
    """Seconds that a training took by its log; none where there is no log."""
    import json

    from experiments.hedging.training import LOG

    try:
        told = json.loads((folder / LOG).read_text())
        return {"seconds": float(told["seconds"]),
                "cpu_seconds": float(told["cpu_seconds_of_last_part"])}  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def write(
    contests: "Mapping[str, Contest]", config: Mapping[str, Any], folder: Path, command: list[str]
) -> Path:
    """Write tables and page; return the page."""
    import pandas as pd

    from experiments.hedging import page, table_page
    from experiments.hedging.rows import rows_of
    from experiments.manifest import replace_text
    from experiments.summary import dumps

    folder.mkdir(parents=True, exist_ok=True)
    rows = {row.key: row for row in rows_of(config)}
    if config.get("study"):
        summary: Any = table_page.summary(config["study"], rows, contests)
        html = table_page.render(summary, contests, command)
    else:
        summary = contests[""].summary
        html = page.render(contests[""], config, command)
    for key, contest in contests.items():
        name = f"costs-{key}.parquet" if key else "costs.parquet"
        pd.DataFrame(dict(contest.costs)).to_parquet(folder / name)
    replace_text(folder / "summary.json", dumps(summary))
    replace_text(folder / "report.html", html)
    return (folder / "report.html").absolute()


def run(cfg: DictConfig) -> None:
    """Judge what a composed configuration describes."""
    from hydra.core.hydra_config import HydraConfig
    from rich.console import Console

    from experiments.hedging import table_page, tables
    from experiments.hedging.rows import rows_of

    settings = HydraConfig.get()
    config = plain_config(cfg)
    known(config, KEYS)
    named = {key: value for key, value in config.items() if key != "algo"}
    name = run_name(named, settings.runtime.choices)
    folder = Path(str(config["out"])).expanduser() / (config["name"] or f"{name}-evaluation")
    config = trained(config, settings.runtime.choices)
    contests = evaluate(config)
    report = write(contests, config, folder, list(settings.overrides.task))
    console = Console(width=None if sys.stdout.isatty() else 190)
    if config.get("study"):
        rows = {row.key: row for row in rows_of(config)}
        summary = table_page.summary(config["study"], rows, contests)
        for key, contest in contests.items() if summary["split"] else ():
            console.print(tables.of_contest(contest.summary))
            console.print(tables.of_costs(rows[key].title, contest.summary))
        console.print(tables.of_study(summary))
    else:
        console.print(tables.of_contest(contests[""].summary))
    print(report)


def main() -> None:
    """Run the command line; errors on purpose are one sentence and a non-zero exit."""
    from experiments.cli import guarded, hydra_command, in_order

    sys.argv[1:] = in_order(sys.argv[1:])
    sys.exit(guarded(lambda: hydra_command("evaluate", run)))


if __name__ == "__main__":
    main()
