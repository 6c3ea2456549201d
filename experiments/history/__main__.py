"""Replay a past event: `python -m experiments.history event=maker_2020 data=DIR`.

Runs the event and its ablations on the same random numbers, prints what is documented beside what
was simulated, and ends with the path of the report. The same command again does what is missing.
"""

import sys

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from experiments.cli import guarded, hydra_command, in_order

WIDTH = 140  # of the tables where no terminal says its own


def run(cfg: DictConfig) -> None:
    """Run the event that a composed configuration describes."""
    from rich.console import Console

    from experiments.build import part
    from experiments.history.event import Event
    from experiments.history.study import console_tables, replay
    from experiments.stress import resolved
    from sim.errors import ConfigError

    command = list(HydraConfig.get().overrides.task)
    name = str(HydraConfig.get().runtime.choices["event"])
    config = resolved(cfg, command)
    event = part(config, "history")
    if not isinstance(event, Event):
        raise ConfigError(f"history must describe an event, got {type(event).__name__}")
    variants = {
        key: resolved(compose("history", [*command, *ablation.overrides]), command)
        for key, ablation in event.ablations.items()
    }
    with part(config, "engine") as engine:
        report, summary = replay(event, name, config, variants, command, engine)
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    for table in console_tables(summary):
        console.print(table)
    print(report)


def main() -> None:
    """Run the command line; errors on purpose are one sentence and a non-zero exit."""
    sys.argv[1:] = in_order(sys.argv[1:])
    sys.exit(guarded(lambda: hydra_command("history", run)))


if __name__ == "__main__":
    main()
