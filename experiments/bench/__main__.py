"""Measure what is asked for and print the table."""

import argparse
from typing import Any

import experiments.bench as bench
from experiments.bench import (
    Figure,
    amm,
    block,
    book,
    conservation,
    crowd,
    hedging,
    lending,
    options,
    paths,
)

PARTS = {
    **lending.PARTS,
    **book.PARTS,
    **crowd.PARTS,
    **amm.PARTS,
    **block.PARTS,
    **paths.PARTS,
    **hedging.PARTS,
    **conservation.PARTS,
    **options.PARTS,
}
LONG = ("full", "conservation")  # minutes


def table(figures: list[Figure]) -> Any:
    """Rich table of all figures."""
    from rich.table import Table

    made = Table(title="faultline: measured against its bars", title_justify="left")
    made.add_column("figure")
    made.add_column("measured", justify="right")
    made.add_column("bar", justify="right")
    made.add_column("met")
    made.add_column("note")
    for figure in figures:
        sign = ">=" if figure.at_least else "<="
        met = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[figure.met]
        made.add_row(
            figure.name,
            "not measurable here" if figure.value is None else f"{figure.value:.3g} {figure.unit}",
            "" if figure.bar is None else f"{sign} {figure.bar:.3g} {figure.unit}",
            met,
            figure.note,
        )
    return made


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    from rich.console import Console

    parser = argparse.ArgumentParser(prog="python -m experiments.bench", description=bench.__doc__)
    parser.add_argument("--full", action="store_true", help="add what takes minutes")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these parts only")
    chosen = parser.parse_args(arguments)
    names = chosen.only or [name for name in PARTS if name not in LONG or chosen.full]
    console = Console()
    if set(names) & set(lending.PARTS):
        with console.status("compiling and loading kernels"):
            lending.warm_up()
    figures: list[Figure] = []
    for name in names:
        for measure in PARTS[name]:
            with console.status(f"measuring: {name}"):
                figures += measure()
    console.print(table(figures))


if __name__ == "__main__":
    main()
