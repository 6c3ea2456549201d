"""Run one loan book under every mechanism: `python -m experiments.league scenario=black_thursday`.

Prints the league table and ends with the path of the report. The same command again does what is
missing.
"""

import sys
from collections.abc import Sequence
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from experiments.cli import guarded, hydra_command, in_order


def run(cfg: DictConfig) -> None:
    """Run the league that a composed configuration describes."""
    from rich.console import Console

    from experiments.build import part
    from experiments.league.console import console_table
    from experiments.league.study import League, write
    from experiments.stress import resolved
    from sim.errors import ConfigError

    command = list(HydraConfig.get().overrides.task)
    if any(item.startswith("mechanism=") for item in command):
        raise ConfigError(
            "mechanism is chosen for every design in turn: say who takes part by "
            "mechanisms.NAME=true or false"
        )

    def composed(overrides: Sequence[str]) -> dict[str, Any]:
        keys = {item.partition("=")[0] for item in overrides}
        kept = [item for item in command if item.partition("=")[0] not in keys]
        return resolved(compose("league", [*kept, *overrides]), command)

    config = resolved(cfg, command)
    with part(config, "engine") as engine:
        league = League(config, composed, engine)
        league.run()
    summary = league.summary()
    Console(width=max(Console().width, 160)).print(console_table(summary))
    print(write(league, summary, command))


def main() -> None:
    """Run the command line; errors on purpose are one sentence and a non-zero exit."""
    sys.argv[1:] = in_order(sys.argv[1:])
    sys.exit(guarded(lambda: hydra_command("league", run)))


if __name__ == "__main__":
    main()
