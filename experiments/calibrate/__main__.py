"""Fit models to recorded markets and report how well they fit.

    python -m experiments.calibrate surface data=DIR [file=deribit_option_chain_daily_2026H1]
        [currency=all] [every=1] [output=results/calibrate_surface]

`surface` fits raw SVI slices without arbitrage to every snapshot of an option chain, prints the
errors beside their bars, and writes a page and tables to `output`. `file` is a table in the folder
`data`, or a path of its own without `data`; see experiments/calibrate/chain.py for its columns.
`currency` is all or one of the table's; `every=5` takes every fifth snapshot. The last line that is
printed is the path of the page.
"""

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.cli import guarded
from experiments.words import wants_help, words
from sim.errors import ConfigError, InputError

SURFACE: dict[str, Any] = {
    "data": None,
    "file": "deribit_option_chain_daily_2026H1",
    "currency": "all",
    "every": 1,
    "output": "results/calibrate_surface",
}


def surface(argv: Sequence[str]) -> Path:
    """Fit every snapshot of a chain and return the path of the page."""
    given = words(argv, **SURFACE)
    if given["every"] < 1:
        raise ConfigError(f"every must be at least 1, got {given['every']}; correct it")
    from experiments.calibrate import page
    from experiments.calibrate.chain import chosen, load_chain
    from experiments.calibrate.surface import calibrate, printed, tables
    from experiments.progress import Progress

    chain = load_chain(_found(given["data"], given["file"]))
    snapshots = chosen(chain, given["currency"], given["every"])
    with Progress(len(snapshots), 0, unit="snapshots") as progress:
        study = calibrate(chain, snapshots, progress)
    command = f"python -m experiments.calibrate surface {shlex.join(argv)}"
    target = _folder(given["output"])
    for name, table in tables(study).items():
        table.to_parquet(target / f"{name}.parquet", index=False)
    partial = target / "report.html.partial"
    partial.write_text(page.render(study, command), encoding="utf-8")
    partial.replace(target / "report.html")
    print("\n".join(printed(study)))
    return target / "report.html"


COMMANDS: dict[str, Callable[[Sequence[str]], Path]] = {"surface": surface}


def _found(data: str | None, file: str) -> Path:
    """Find the chain's table."""
    from experiments.tables import locate

    try:
        return locate(data, file)
    except InputError:
        raise InputError(
            f"data must be a folder that holds the option chain {file} (.parquet or .csv), got "
            f"{data or 'nothing'}, which has none; set data=DIR and file=NAME, or file=PATH alone"
        ) from None


def _folder(output: str) -> Path:
    target = Path(output)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"output={target} cannot be a folder: {error.strerror}") from error
    return target


def command(argv: Sequence[str]) -> int:
    """Run the command; the path of the page is the last line."""
    if not argv or wants_help(argv):
        print(__doc__)
        return 0
    if argv[0] not in COMMANDS:
        raise ConfigError(
            f"what to calibrate must be one of {', '.join(COMMANDS)}, got {argv[0]!r}; correct it"
        )
    path = COMMANDS[argv[0]](argv[1:])
    print(f"\n{path.resolve()}")
    return 0


def main() -> None:
    """Run the command line; errors on purpose are one sentence and a non-zero exit."""
    sys.exit(guarded(lambda: command(sys.argv[1:])))


if __name__ == "__main__":
    main()
