"""Run the league: the base, the grid of loan-to-values, the variations; then its figures and page.

Every design is a run of its own, resumable, in one folder of the league; what cannot run is
reported and the others go on.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.cli import expected, sentence
from experiments.league import table
from experiments.league.designs import design
from experiments.paired import Run, run_designs
from experiments.summary import clean, dumps
from sim.errors import ConfigError, FaultlineError

if TYPE_CHECKING:
    import pandas as pd

    from experiments.engines.engine import Engine

Json = dict[str, Any]
Compose = Callable[[Sequence[str]], Mapping[str, Any]]
FUNCTION = "experiments.league.record:simulate"


class League:
    """One league: what it is made of, and its runs.

    Parameters
    ----------
    config : mapping
        Resolved `conf/league.yaml`.
    compose : callable
        From further arguments of the command line to the resolved configuration.
    engine : Engine
        Where to run.
    """

    def __init__(self, config: Mapping[str, Any], compose: Compose, engine: "Engine") -> None:
        self.config, self.compose, self.engine = config, compose, engine
        self.mechanisms = [name for name, on in config["mechanisms"].items() if on]
        if config["reference"] not in self.mechanisms:
            raise ConfigError(
                f"reference must be one of the mechanisms that take part, got "
                f"{config['reference']!r}; these are {', '.join(self.mechanisms) or 'none'}"
            )
        _check_worlds(config)
        self.folder = Path(str(config["out"])).expanduser() / f"league-{config['name']}"
        self.base: dict[str, Run] = {}
        self.grid: dict[str, dict[float, Run]] = {name: {} for name in self.mechanisms}
        self.variations: dict[str, dict[str, Run]] = {}
        self.studies: dict[str, Json] = {}
        self.titles: dict[str, str] = {}

    def _run(self, tag: str, worlds: int, *overrides: str) -> dict[str, Run]:
        """Run all mechanisms under some overrides; what cannot be composed is a problem too."""
        designs, runs = {}, {}
        for name in self.mechanisms:
            try:
                config = self.compose([f"mechanism={name}", *overrides])
                designs[f"{name}{tag}"] = design(config)
            except expected() as error:
                runs[f"{name}{tag}"] = Run(f"{name}{tag}", problem=sentence(error))
                continue
            if not tag:
                self.studies[name] = designs[name]
                self.titles[name] = str(config["title"])
        runs |= run_designs(
            FUNCTION, designs, self.folder, self.engine, seed=self.config["seed"], worlds=worlds,
            chunk=self.config["chunk"], needed=None if tag else self.config["reference"],
        )  # fmt: skip
        return {name: runs[f"{name}{tag}"] for name in self.mechanisms}

    def run(self) -> None:
        """Run what is missing of all designs."""
        config = self.config
        self.base = self._run("", config["worlds"])
        ltvs = [float(ltv) for ltv in config["ltvs"]]
        for ltv in ltvs:
            if config["terms"] == "common" and abs(ltv - config["liquidation_ltv"]) < 1e-12:
                runs = self.base
            else:
                runs = self._run(
                    f"-ltv{ltv:g}", config["efficiency_worlds"], "terms=common",
                    f"liquidation_ltv={ltv}",
                )  # fmt: skip
            for name, run in runs.items():
                self.grid[name][ltv] = run
        if config["robustness"]:
            for key, variation in config["variations"].items():
                if variation is not None:
                    self.variations[key] = self._run(
                        f"-{key}", config["robustness_worlds"], *variation["overrides"]
                    )

    # -- figures ----------------------------------------------------------------------------------

    def summary(self) -> Json:
        """Figures of the league, safe for JSON."""
        config, base = self.config, worlds_of(self.base)
        reference = config["reference"]
        if reference not in base:
            raise FaultlineError(
                f"the reference {reference} cannot run: {self.base[reference].problem}"
            )
        seed = config["seed"]
        out: Json = {
            "name": config["name"], "terms": config["terms"], "reference": reference,
            "worlds": config["worlds"], "tail": self._tail(),
            "liquidation_ltv": config["liquidation_ltv"],
            "mechanisms": table.summarise(base, reference, seed),
            "problems": self.problems(),
            "book": _book(base[reference]),
        }  # fmt: skip
        ranks = table.ranking(base, config["material"], self._tail(), seed)
        others = {
            key: table.ranking(worlds_of(runs), config["material"], self._tail(), seed)
            for key, runs in self.variations.items()
        }
        out["ranking"], out["survival"] = ranks, table.survival(ranks, others)
        out["variations"] = {
            key: {"title": config["variations"][key]["title"],
                  "means": {name: _means(it) for name, it in worlds_of(runs).items()}}
            for key, runs in self.variations.items()
        }  # fmt: skip
        out["efficiency"] = self._efficiency()
        found = clean(out)
        assert isinstance(found, dict)
        return found

    def _tail(self) -> str:
        """Farthest tail that all runs have worlds enough for."""
        config = self.config
        fewest = min(config["worlds"], config["robustness_worlds"] if self.variations else 10**9)
        return "es_99" if fewest >= 100 else "es_95"

    def _efficiency(self) -> Json | None:
        config = self.config
        if not config["ltvs"]:
            return None
        grid = {
            name: {ltv: run.worlds for ltv, run in runs.items() if run.worlds is not None}
            for name, runs in self.grid.items()
        }
        grid = {name: points for name, points in grid.items() if len(points) > 1}
        found = {}
        for key, target in config["targets"].items():
            if target is not None:
                found[key] = table.efficiency(
                    grid, config["reference"], config["tail"],
                    None if target == "reference" else float(target),
                    config["liquidation_ltv"], config["seed"], config["material"],
                )  # fmt: skip
        return found

    def problems(self) -> dict[str, str]:
        """Designs that could not run, and why."""
        return {run.name: run.problem for run in self._runs() if run.problem}

    def _runs(self) -> list[Run]:
        """All runs, those of the grid that are the base's own left in."""
        together = [self.base, *self.variations.values()]
        runs = [run for them in together for run in them.values()]
        return runs + [run for them in self.grid.values() for run in them.values()]

    def place(self) -> Path:
        """Folder of the page, named by all runs that it tells of."""
        names = [run.store.folder.name if run.store else run.name for run in self._runs()]
        said = json.dumps([names, self.config["reference"], self.config["material"]])
        digest = hashlib.blake2b(said.encode(), digest_size=5).hexdigest()
        return self.folder / f"table-{self.config['worlds']}-{digest}"


def _check_worlds(config: Mapping[str, Any]) -> None:
    """Refuse a tail that the grid has too few worlds for."""
    level = {"es_99": 100, "var_99": 100, "es_95": 20, "var_95": 20}.get(config["tail"], 1)
    fewest = min(config["worlds"], config["efficiency_worlds"])
    if config["ltvs"] and fewest < level:
        raise ConfigError(
            f"tail={config['tail']} needs at least {level} worlds, got {fewest}: raise worlds and "
            "efficiency_worlds, take tail=es_95 or mean, or leave the grid out by ltvs=[]"
        )


def worlds_of(runs: Mapping[str, Run]) -> "dict[str, pd.DataFrame]":
    """Tables of the designs that ran."""
    return {name: run.worlds for name, run in runs.items() if run.worlds is not None}


def _means(worlds: "pd.DataFrame") -> Json:
    columns = ("bad_debt_usd", "borrower_loss_usd", "liquidator_profit_usd", "initial_debt_usd")
    return {column: float(worlds[column].mean()) for column in columns}


def _book(worlds: "pd.DataFrame") -> Json:
    columns = (
        "initial_debt_usd",
        "initial_collateral_usd",
        "n_loans",
        "n_left_out",
        "left_out_usd",
    )
    return {column: float(worlds[column].iloc[0]) for column in columns}


def write(league: League, summary: Json, command: Sequence[str]) -> Path:
    """Write summary and page; return the page's path."""
    from experiments.league import page
    from experiments.manifest import replace_text

    folder = league.place()
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(folder / "summary.json", dumps(summary))
    replace_text(folder / "report.html", page.render(league, summary, command))
    return (folder / "report.html").absolute()
