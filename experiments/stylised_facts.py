"""Which stylised facts a population of traders reproduces, beside real markets.

    python -m experiments.stylised_facts [population=all] [data=DIR] [seeds=4] [seconds=23400]
        [seed=1] [output=results/stylised_facts]

`population` is all, none, or names between commas. `data` is a folder with LOBSTER or Binance
tables; without it the real side is the numbers that are kept with the bands. The page, and the
table as Parquet and CSV, go to `output`; the last line that is printed is the path of the page.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.cli import guarded
from experiments.words import wants_help, words
from sim.errors import ConfigError

DEFAULTS: dict[str, Any] = {
    "population": "all",
    "data": None,
    "seeds": 4,
    "seconds": 23400.0,
    "seed": 1,
    "output": "results/stylised_facts",
}


def study(argv: Sequence[str]) -> Path:
    """Run what the words ask for, print the table and return the path of the page."""
    given = words(argv, **DEFAULTS)
    if not given["seeds"] >= 1:
        raise ConfigError(f"seeds must be at least 1, got {given['seeds']}; correct it")
    if not 60.0 <= given["seconds"] <= 1e7:
        raise ConfigError(f"seconds must lie in 60 to 1e7, got {given['seconds']:g}; correct it")
    from experiments.facts import page
    from experiments.facts import study as facts
    from experiments.facts.populations import chosen
    from experiments.progress import Progress

    cast = chosen(given["population"])
    folder = Path(given["data"]) if given["data"] else None
    seeds = range(given["seed"], given["seed"] + given["seeds"])
    with Progress(len(cast) * len(seeds), 0) as progress:
        markets = []
        for population in cast:
            progress.say(f"running {population.name}")
            markets.append(facts.simulated(population, seeds, given["seconds"], progress))
        markets += facts.real(folder, progress)
    target = Path(given["output"])
    command = f"python -m experiments.stylised_facts {shlex.join(argv)}".rstrip()
    _write(target, facts.rows(markets), page.render(markets, command))
    print(facts.printed(markets))
    if folder is None:
        print("\nno data=DIR: the recorded markets are the numbers kept with the bands")
    for market in markets:
        if market.is_simulated:
            print("\n" + "\n".join(facts.sentences(market, markets)))
    return target / "report.html"


def _write(target: Path, columns: dict[str, list[Any]], html: str) -> None:
    """Write the page and the table, each at once or not at all."""
    import pandas as pd

    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"output={target} cannot be a folder: {error.strerror}") from error
    table = pd.DataFrame(columns)
    table.to_parquet(target / "facts.parquet", index=False)
    table.to_csv(target / "facts.csv", index=False)
    partial = target / "report.html.partial"
    partial.write_text(html, encoding="utf-8")
    partial.replace(target / "report.html")


def command(argv: Sequence[str]) -> int:
    """Run the command; the path of the page is the last line."""
    if wants_help(argv):
        print(__doc__)
        return 0
    path = study(argv)
    print(f"\n{path.resolve()}")
    return 0


def main() -> None:
    """Run the command line; errors on purpose are one sentence and a non-zero exit."""
    sys.exit(guarded(lambda: command(sys.argv[1:])))


if __name__ == "__main__":
    main()
