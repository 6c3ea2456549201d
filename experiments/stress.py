"""Stress a lending market: `python -m experiments.stress scenario=black_thursday worlds=1000`.

Runs an ensemble of worlds and writes a folder with Parquet parts, `manifest.json`, `summary.json`
and `report.html`. The same command again does what is missing; `--multirun` sweeps parameters on
common random numbers and adds one comparison (`experiments.multirun`).
"""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import main as hydra_main
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from sim.errors import ConfigError, FaultlineError

if TYPE_CHECKING:
    import pandas as pd

    from experiments.engines.engine import Engine
    from experiments.ensemble import Outcome
    from experiments.multirun import Session
    from experiments.store import Store

FUNCTION = "experiments.record:simulate"
NOT_RESULTS = ("engine", "out", "name", "worlds", "chunk", "seed", "start_given")
"""Keys of a configuration that no row depends on, given the others."""

FILE_BOOK = "experiments.positions.book_from_file"
BOOK_OPTIONS = (
    "_convert_", "rename", "until", "eth_price", "drop_unknown",
    "drop_uncollateralised", "blank_is_zero", "negative_is_zero",
)  # fmt: skip
FILE_PRICES = "experiments.data.replay_file"
PRICE_OPTIONS = ("venue", "max_gap", "fill_volatility")  # of the replay, added with +price.
CHUNK_BYTES = 300e6  # state of one task: larger chunks share more of the cost of a block
BOOK_BYTES = 1.5e6  # of an order book and its crowd, and the copy that a reset returns to
MOST_WORLDS = 256  # per task: beyond it memory grows and speed hardly does


class StudyError(FaultlineError, RuntimeError):
    """A study without a single result."""


@dataclass(frozen=True, slots=True)
class Study:
    """A finished study.

    Attributes
    ----------
    folder : Path
        Its results.
    summary : dict
        As in `summary.json`.
    worlds : DataFrame
        One row per world.
    n_lost : int
        Worlds without a row, since they killed their processes.
    """

    folder: Path
    summary: dict[str, Any]
    worlds: "pd.DataFrame"
    n_lost: int

    @property
    def report(self) -> Path:
        """The page."""
        return (self.folder / "report.html").absolute()


def relevant(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that results depend on, own files in place of groups.

    The digests of all files that are read are part of it: a file that was edited is another study.
    """
    kept = {key: value for key, value in config.items() if key not in NOT_RESULTS}
    for key in ("data", "prices", "positions"):
        if kept.get(key):
            kept[key] = str(Path(str(kept[key])).expanduser().resolve())
    if kept.get("prices"):
        kept["price"] = {
            "_target_": FILE_PRICES,
            **{key: kept["price"][key] for key in PRICE_OPTIONS if key in kept["price"]},
            "path": kept["prices"],
            "assets": list(kept["assets"]),
            "start": kept["start"] if config.get("start_given") else None,
            "hours": kept["hours"],
        }
    if kept.get("positions"):
        _use_positions(kept)
    kept["files"] = digests(kept, kept.get("data"))
    return kept


def _use_positions(config: dict[str, Any]) -> None:
    """Put the user's own loan book in place of the drawn ones."""
    if config["book"].get("whale"):
        raise ConfigError(
            "book.whale adds a position to a drawn book, and positions=FILE replaces that book: "
            "put the whale's row into the file, or leave out positions"
        )
    # Options that a scenario sets for a drawn book, such as its debt, do not apply to a file.
    chosen = config["book"] if config["book"].get("_target_") == FILE_BOOK else {}
    options = {key: chosen[key] for key in BOOK_OPTIONS if key in chosen}
    config["book"] = book = {"_target_": FILE_BOOK, **options, "path": config["positions"]}
    cast = {name: dict(agent) for name, agent in config["cast"].items() if agent}
    for agent in cast.values():
        if "book" in agent:
            agent["book"] = book
    config["cast"] = cast


def digests(config: Any, data: str | None) -> dict[str, str]:
    """Digest of each table named under `file` or `path`, and of each part's own source, by path.

    Files that are not there are left to the part that reads them. Sources below sim, agents and
    envs are in the digest of the simulator already (`experiments.manifest`).
    """
    from experiments.tables import locate
    from sim.errors import InputError

    found: dict[str, str] = {}
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key not in ("file", "path", "_target_") or not isinstance(value, str):
                found |= digests(value, data)
                continue
            try:
                if key == "_target_":
                    found |= _source_digest(value)
                else:
                    path = locate(data if key == "file" else None, value)
                    found[str(path)] = _digest(path)
            except (InputError, OSError, ImportError, ValueError):
                continue
    elif isinstance(config, list | tuple):
        for value in config:
            found |= digests(value, data)
    return found


def _source_digest(target: str) -> dict[str, str]:
    """Digest of the module of a part that is not of the simulator."""
    module = target.rpartition(".")[0]
    if not module or module.partition(".")[0] in ("sim", "agents", "envs"):
        return {}
    spec = find_spec(module)
    return {module: _digest(Path(spec.origin))} if spec and spec.origin else {}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:16]


def chunk_of(config: Mapping[str, Any], worlds: int, n_workers: int) -> int:
    """Worlds per task: as many as memory allows, in as many rounds of all workers as that takes."""
    if config["chunk"] is not None:
        return int(config["chunk"])
    positions = (config.get("book") or {}).get("n_positions")
    positions = positions if isinstance(positions, int) and positions > 0 else 100_000
    size = positions * (2 * len(config["assets"]) + 3) * 8.0
    size += len((config.get("market") or {}).get("books") or ()) * BOOK_BYTES
    fits = max(1, min(MOST_WORLDS, int(CHUNK_BYTES / size)))
    rounds = -(-worlds // (fits * n_workers))
    return max(1, -(-worlds // (rounds * n_workers)))


def stress(config: Mapping[str, Any], command: list[str], engine: "Engine") -> Study:
    """Run one study and write its folder.

    Parameters
    ----------
    config : mapping
        Resolved; see `conf/study.yaml`.
    command : list of str
        Overrides as they were given, for the report.
    engine : Engine
        Where to run.
    """
    from experiments.build import check, check_run, without_unused
    from experiments.ensemble import plan, run, run_digest
    from experiments.store import Store
    from sim.kernel import cache_folder

    check_run(config)
    seed, worlds = config["seed"], config["worlds"]
    results = without_unused(relevant(config))
    cold = not any(cache_folder().rglob("*.nbc"))
    check(results, seed)
    if cold:
        print(
            "first run: compiling, half a minute, two with order books; kept for the next",
            file=sys.stderr,
        )
    digest = run_digest(FUNCTION, results, seed)
    folder = Path(str(config["out"])).expanduser() / f"{config['name']}-{worlds}-{digest}"
    store = Store(folder, about=dict(config))
    chunk = chunk_of(results | {"chunk": config["chunk"]}, worlds, engine.n_workers)
    outcome = run(FUNCTION, plan(results, seed, worlds, chunk), store, engine)
    return _report(store, config, results, command, outcome)


def _report(
    store: "Store",
    config: Mapping[str, Any],
    results: Mapping[str, Any],
    command: list[str],
    outcome: "Outcome",
) -> Study:
    """Reduce the parts to summary and page."""
    from experiments.cascade import withdrawal
    from experiments.manifest import replace_text
    from experiments.report import stress as report
    from experiments.summary import dumps, summarise, worst_world

    _need_one_world(store, outcome)
    worlds, series = store.read("worlds"), store.read("series")
    # All liquidations of a large study do not fit in memory: who, how much, and one world in full.
    liquidations = store.read("liquidations", ("world", "liquidator", "debt_repaid_usd"))
    summary = summarise(worlds, series, liquidations, seed=config["seed"])
    del liquidations
    shown = store.read("liquidations", world=worst_world(worlds))
    replace_text(store.folder / "summary.json", dumps(summary))
    manifest = store.manifest()
    about = {
        "name": config["name"],
        "command": command,
        "seed": config["seed"],
        "config": dict(config),
        "versions": manifest.get("versions", {}),
        "created": manifest.get("begun"),
        "seconds": manifest.get("wall_seconds", outcome.seconds),
    }
    pairs = withdrawal(store.folder, results, config["seed"], worlds)
    report.write(store.folder, worlds, series, shown, about, summary, pairs)
    return Study(store.folder, summary, worlds, outcome.worlds - outcome.done)


def _need_one_world(store: "Store", outcome: "Outcome") -> None:
    """Refuse to report on nothing, and say what the first world died of."""
    if len(outcome.errors) < outcome.done:
        return
    if outcome.failed:
        reason = str(outcome.failed[0])
    else:
        row = store.read("worlds").iloc[0]
        reason = f"world {row['world']} ended in {str(row['error']).splitlines()[0]}"
    raise StudyError(
        f"none of the {outcome.worlds} worlds finished: {reason}; the table worlds in "
        f"{store.folder} holds the tracebacks"
    )


def study_name(choices: Mapping[str, Any], command: list[str]) -> str:
    """Name a study after its scenarios: `crash`, or `black_thursday+congestion`."""
    chosen = choices.get("scenario")
    for item in command:
        if item.startswith("scenario="):
            chosen = item.partition("=")[2]
    names = str(chosen or "study").strip("[]").split(",")
    return "+".join(name.strip(" '\"").replace("/", "_") for name in names)


def resolved(cfg: DictConfig, command: list[str]) -> dict[str, Any]:
    """Plain dict of a composed configuration, interpolations resolved."""
    config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(config, dict)
    config["start_given"] = any(item.startswith("start=") for item in command)
    if not config["name"]:
        config["name"] = study_name(HydraConfig.get().runtime.choices, command)
    return {str(key): value for key, value in config.items()}


def run_command(session: "Session") -> int:
    """Read the command line with Hydra and run what it asks for."""

    @hydra_main(version_base=None, config_path="pkg://conf", config_name="stress")
    def job(cfg: DictConfig) -> None:
        session.job(cfg)

    job()
    return session.end()


def main() -> None:
    """Run the command line; errors on purpose are one sentence and a non-zero exit."""
    from experiments.cli import guarded, in_order
    from experiments.multirun import Session

    sys.argv[1:] = in_order(sys.argv[1:])
    with Session(sys.argv[1:]) as session:
        code = guarded(lambda: run_command(session))
    sys.exit(code)


if __name__ == "__main__":
    main()
