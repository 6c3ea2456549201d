"""One command's studies: one of them, or the designs of a sweep and their comparison.

`--multirun` runs each design as a study of its own, on the same seed and thus the same shocks.
A design that cannot run is reported and does not stop the others. The comparison lies beside the
studies, in a folder named by what was compared, so the same command completes the same sweep.
"""

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from omegaconf import DictConfig, OmegaConf

from experiments.cli import BAD_INPUT, BAD_RESULT, expected, sentence

if TYPE_CHECKING:
    from rich.table import Table

    from experiments.engines.engine import Engine
    from experiments.stress import Study


@dataclass(frozen=True, slots=True)
class Design:
    """One job of a sweep.

    Attributes
    ----------
    overrides : dict of str to str
        Arguments of the command line that led to it.
    out : Path
        Folder of all runs.
    own : dict of str to str
        Those of them that set it apart from the other designs.
    study : Study or None
        Its results.
    problem : str
        Why there are none; empty when there are.
    """

    overrides: dict[str, str]
    out: Path
    own: dict[str, str]
    study: "Study | None" = None
    problem: str = ""

    @property
    def label(self) -> str:
        """What sets it apart, in words."""
        own = [f"{_short(key)} = {value}" for key, value in self.own.items()]
        return ", ".join(own) or "the only design"


class Session:
    """Runs what Hydra asks for, job after job, and says at the end how it went.

    Parameters
    ----------
    arguments : sequence of str
        The command line; what it says about every design is not said again for each.
    """

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        self._arguments = set(arguments)
        self.designs: list[Design] = []
        self._engines: dict[str, Engine] = {}
        self._error: Exception | None = None
        self._sweeping = False
        self._code = 0
        self._scratch: str | None = None

    def __enter__(self) -> Self:
        # Hydra's sweeper keeps a file and a folder per job, which nobody reads here.
        OmegaConf.register_new_resolver("scratch", self._scratch_folder, replace=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for engine in self._engines.values():
            engine.close()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _scratch_folder(self) -> str:
        if self._scratch is None:
            self._scratch = tempfile.mkdtemp(prefix="faultline-")
        return self._scratch

    def job(self, cfg: DictConfig) -> None:
        """Run one study; what is wrong with its configuration is kept for the end."""
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        settings = HydraConfig.get()
        command = list(settings.overrides.task)
        self._sweeping = settings.mode == RunMode.MULTIRUN
        overrides = dict(_pair(item) for item in command)
        out = Path(str(cfg.get("out", "results"))).expanduser()
        own = dict(_pair(item) for item in command if item not in self._arguments)
        try:
            design = Design(overrides, out, own, self._study(cfg, command))
        except expected() as error:
            design = Design(overrides, out, own, problem=sentence(error))
            self._error = self._error or error
        self.designs.append(design)
        if self._sweeping and design.study is not None:
            print(f"{design.label}: {design.study.report}", flush=True)
        elif self._sweeping:
            print(f"error: {design.label}: {design.problem}", file=sys.stderr)

    def _study(self, cfg: DictConfig, command: list[str]) -> "Study":
        from experiments.build import part
        from experiments.stress import resolved, stress

        config = resolved(cfg, command)
        key = json.dumps(config["engine"], sort_keys=True, default=str)
        if key not in self._engines:
            self._engines[key] = part(config, "engine")
        study = stress(config, command, self._engines[key])
        if study.n_lost:
            self._code = BAD_RESULT
            print(
                f"warning: {study.n_lost} of {config['worlds']} worlds have no result, since "
                f"their processes were killed twice: {study.folder / 'manifest.json'} names them",
                file=sys.stderr,
            )
        return study

    def end(self) -> int:
        """Show the results, the path of the page last, and return the exit code."""
        if not self._sweeping:
            if self._error is not None:
                raise self._error
            for design in self.designs:  # none after --help and the like
                assert design.study is not None
                _console().print(_table_of(design.study))
                print(design.study.report)
            return self._code
        page, table = compare(self.designs)
        _console().print(table)
        failed = sum(bool(design.problem) for design in self.designs)
        if failed:
            print(f"error: {failed} of {len(self.designs)} designs cannot run", file=sys.stderr)
            self._code = BAD_INPUT
        if page is not None:
            print(page)
        return self._code


def compare(designs: Sequence[Design]) -> "tuple[Path | None, Table]":
    """Write the comparison of the designs that ran.

    Returns
    -------
    page, table
        Path of the page, None where no design ran; and a table for the terminal.
    """
    from experiments.report import sweep

    ran = [design for design in designs if design.study is not None]
    failed = [design for design in designs if design.problem]
    if not ran:
        return None, _sweep_table({"designs": []}, [], failed)
    folder = sweep_folder(designs)
    folder.mkdir(parents=True, exist_ok=True)
    runs = [(d.overrides, d.study.summary, d.study.worlds) for d in ran if d.study is not None]
    page, numbers = sweep.write(folder, runs, failed=[(d.label, d.problem) for d in failed])
    return page.absolute(), _sweep_table(json.loads(numbers.read_text()), ran, failed)


def sweep_folder(designs: Sequence[Design]) -> Path:
    """Name the folder of a comparison by the studies in it and the designs that failed."""
    said = [
        [sorted(design.overrides.items()), design.study.folder.name if design.study else None]
        for design in designs
    ]  # a design that failed has no folder, and is told from others by its overrides
    digest = hashlib.blake2b(json.dumps(said).encode(), digest_size=5).hexdigest()
    return designs[0].out / f"sweep-{len(designs)}-{digest}"


def _pair(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return (key, "removed") if override.startswith("~") else (key, value)


def _short(key: str) -> str:
    return key.rpartition(".")[2]


def _console() -> Any:
    from rich.console import Console

    return Console()


def _table_of(study: "Study") -> "Table":
    from experiments.summary import console_table

    return console_table(study.summary)


def _sweep_table(found: dict[str, Any], ran: Sequence[Design], failed: Sequence[Design]) -> "Table":
    """Make the one table of a sweep: a row per design, a column per swept parameter."""
    from rich.table import Table
    from rich.text import Text

    from experiments.report.words import money, percent

    keys = list(dict.fromkeys(key for design in [*ran, *failed] for key in design.own))
    tail = found.get("risk_metric", "mean_usd")
    heads = ["bad debt, mean", "over 0.01%", "liquidated, mean", "borrowing power"]
    if tail != "mean_usd":
        heads.insert(1, f"bad debt, {tail[:-4].replace('_', ' ').upper()}")
    table = Table(title="Designs on the same shocks", title_justify="left", header_style="bold")
    for key in keys or [""]:
        table.add_column(_short(key), overflow="fold")
    for head in heads:
        table.add_column(head, justify="right")
    for design, it in zip(ran, found["designs"], strict=True):
        lost = it["bad_debt"]
        cells = [design.own.get(key, "") for key in keys or [""]]
        cells += [money(lost["mean_usd"]["value"])]
        cells += [money(lost[tail]["value"])] if tail != "mean_usd" else []
        cells += [percent(it["probability_material"]["value"]), money(it["liquidated_mean_usd"])]
        table.add_row(*[Text(cell) for cell in (*cells, percent(it["borrowing_power"]))])
    for design in failed:
        cells = [design.own.get(key, "") for key in keys or [""]]
        table.add_row(*[Text(cell) for cell in cells], "failed", *[""] * (len(heads) - 1))
    return table
