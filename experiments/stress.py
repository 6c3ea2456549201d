"""Stress a lending market: `python -m experiments.stress scenario=black_thursday worlds=1000`.

Runs an ensemble of worlds and writes a folder with Parquet parts, `manifest.json`, `summary.json`
and `report.html`. The same command again does what is missing; `--multirun` sweeps parameters on
common random numbers and adds one comparison.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

FUNCTION = "experiments.record:simulate"
NOT_RESULTS = ("engine", "out", "name", "worlds", "chunk", "seed")  # what no row depends on
FILE_BOOK = "experiments.positions.book_from_file"
CHUNK_BYTES = 400e6  # state of one task: larger chunks share more of the cost of a block
MOST_WORLDS = 512  # per task


def relevant(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that results depend on, own files in place of groups."""
    kept = {key: value for key, value in config.items() if key not in NOT_RESULTS}
    for key in ("data", "prices", "positions"):
        if kept.get(key):
            kept[key] = str(Path(kept[key]).expanduser().resolve())
    if kept.get("prices"):
        kept["price"] = {
            "_target_": "experiments.data.replay_file",
            "path": kept["prices"],
            "assets": list(kept["assets"]),
            "start": kept["start"] if kept["start_given"] else None,
            "hours": kept["hours"],
        }
    if kept.get("positions"):
        _use_positions(kept)
    return kept


def _use_positions(config: dict[str, Any]) -> None:
    """Put the user's own loan book in place of the drawn ones."""
    book = dict(config["book"])
    if book["_target_"] != FILE_BOOK:
        book = {"_target_": FILE_BOOK}
    book["path"] = config["positions"]
    config["book"] = book
    cast = {name: dict(agent) for name, agent in config["cast"].items() if agent}
    for agent in cast.values():
        if "book" in agent:
            agent["book"] = book
    config["cast"] = cast


def chunk_of(config: Mapping[str, Any], worlds: int, n_workers: int) -> int:
    """Worlds per task: as many as memory and an even share of the workers allow."""
    if config["chunk"] is not None:
        return int(config["chunk"])
    positions = int((config.get("book") or {}).get("n_positions") or 100_000)
    size = positions * (2 * len(config["assets"]) + 3) * 8.0
    fits = max(1, min(MOST_WORLDS, int(CHUNK_BYTES / size)))
    return max(1, min(fits, -(-worlds // n_workers)))


def stress(config: Mapping[str, Any], command: list[str]) -> "tuple[Path, dict[str, Any], Any]":
    """Run one study and write its folder.

    Parameters
    ----------
    config : mapping
        Resolved.
    command : list of str
        Overrides as they were given, for the report.

    Returns
    -------
    folder, summary, worlds
        Path, nested dict, DataFrame with one row per world.
    """
    from experiments.build import check, part
    from experiments.ensemble import plan, run, run_digest
    from experiments.store import Store

    seed, worlds = config["seed"], config["worlds"]
    results = relevant(config)
    check(results, seed)
    digest = run_digest(FUNCTION, results, seed)
    folder = Path(config["out"]).expanduser() / f"{config['name']}-{worlds}-{digest}"
    store = Store(folder, about=dict(config))
    with part(config, "engine") as engine:
        tasks = plan(results, seed, worlds, chunk_of(config, worlds, engine.n_workers))
        outcome = run(FUNCTION, tasks, store, engine)
    return _report(folder, store, config, command, outcome.seconds)


def _report(
    folder: Path, store: Any, config: Mapping[str, Any], command: list[str], seconds: float
) -> "tuple[Path, dict[str, Any], Any]":
    """Reduce the parts to summary and page."""
    from experiments.manifest import replace_text
    from experiments.report import stress as report
    from experiments.summary import dumps, summarise

    frames = {name: store.read(name) for name in ("worlds", "series", "liquidations")}
    summary = summarise(*frames.values(), seed=int(config["seed"]))
    replace_text(folder / "summary.json", dumps(summary))
    manifest = store.manifest()
    about = {
        "name": config["name"],
        "command": command,
        "seed": config["seed"],
        "config": dict(config),
        "versions": manifest.get("versions", {}),
        "created": manifest.get("created"),
        "seconds": manifest.get("wall_seconds", seconds),
    }
    report.write(folder, *frames.values(), about, summary)
    return folder, summary, frames["worlds"]


def show(folder: Path, summary: dict[str, Any], seconds: float | None = None) -> None:
    """Print the table and where the report is."""
    from rich.console import Console

    from experiments.summary import console_table

    console = Console()
    console.print(console_table(summary))
    del seconds
    console.print(f"report: {folder / 'report.html'}", soft_wrap=True)


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """Plain dict of a composed configuration, interpolations resolved."""
    config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


@hydra.main(version_base=None, config_path="pkg://conf", config_name="stress")
def _main(cfg: DictConfig) -> None:
    settings = HydraConfig.get()
    command = list(settings.overrides.task)
    config = resolved(cfg)
    config["start_given"] = any(item.startswith("start=") for item in command)
    folder, summary, _ = stress(config, command)
    show(folder, summary)


def main() -> None:
    """Run the command line; errors on purpose are one sentence and a non-zero exit."""
    from experiments.cli import guarded

    sys.exit(guarded(_main))


if __name__ == "__main__":
    main()
