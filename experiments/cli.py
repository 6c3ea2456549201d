"""How a command ends: results on standard output, one sentence on standard error, an exit code."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from sim.errors import FaultlineError

if TYPE_CHECKING:
    from omegaconf import DictConfig

BAD_RESULT, BAD_INPUT, INTERRUPTED = 1, 2, 130
_MOST_NAMES = 24


def causes(error: BaseException) -> Iterator[BaseException]:
    """Walk through an error and what it was raised from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def sentence(error: BaseException) -> str:
    """Return the one sentence that a user needs: where, what was expected, what came, what to do.

    Parameters
    ----------
    error : Exception
        One of ours, of Hydra's or of OmegaConf's.
    """
    from hydra.errors import MissingConfigException, OverrideParseException
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError

    for cause in causes(error):
        if isinstance(cause, FaultlineError):
            return _one_line(str(cause))
        if isinstance(cause, MissingConfigException) and cause.options is not None:
            group, _, name = (cause.missing_cfg_file or "").rpartition("/")
            return f"unknown {group} {name}: choose one of {', '.join(cause.options)}"
        missing = re.match(r"You must specify '(\w+)'", str(cause))
        if missing:
            options = [line.strip() for line in str(cause).splitlines()[2:] if line.strip()]
            group = missing[1]
            return f"{group} must be given, as {group}=NAME: choose one of {', '.join(options)}"
        if isinstance(cause, OverrideParseException):
            return (
                f"the argument {cause.override!r} cannot be read: write it as key=value, within "
                f"quotes where it holds brackets or blanks"
            )
        if isinstance(cause, ConfigAttributeError | ConfigKeyError):
            return _unknown(cause)
    return _one_line(str(error))


def _unknown(error: Any) -> str:
    """Say which names there are beside a mistyped one."""
    key = str(error.full_key or error.key)
    try:
        known = [str(name) for name in error.parent_node]
    except TypeError:
        known = []
    place, _, name = key.rpartition(".")
    known = known if place else sorted({*known, "scenario"} - {"hydra"})
    close = get_close_matches(name, known, n=1)
    guess = f"did you mean {close[0]}? " if close else ""
    return (
        f"unknown parameter {key}: {guess}{place or 'a study'} has {listed(known)}; a new one is "
        f"added as +{key}=..."
    )


def listed(names: Iterable[str]) -> str:
    """List names, not too many."""
    shown = list(names)
    more = f" and {len(shown) - _MOST_NAMES} more" if len(shown) > _MOST_NAMES else ""
    return (", ".join(shown[:_MOST_NAMES]) or "nothing") + more


def _one_line(text: str) -> str:
    """Join what a library says in several lines."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(lines[:3])


def expected() -> tuple[type[Exception], ...]:
    """Classes of the errors that are raised on purpose, here or by what reads the command line."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    return FaultlineError, HydraException, OmegaConfBaseException


def in_order(arguments: list[str]) -> list[str]:
    """Put key=value arguments behind the flags: the parser wants them in one piece."""
    values = [a for a in arguments if not a.startswith("-") and ("=" in a or a.startswith("~"))]
    return [a for a in arguments if a not in values] + values


def guarded(command: Callable[[], int]) -> int:
    """Run a command and return its exit code.

    Errors that were raised on purpose are printed as one sentence; so are Hydra's about the command
    line. Anything else is a defect and keeps its traceback.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then leaves the reporting to us
    try:
        return command()
    except KeyboardInterrupt as stop:
        print(str(stop) or "stopped", file=sys.stderr)
        return INTERRUPTED
    except expected() as error:
        print(f"error: {sentence(error)}", file=sys.stderr)
        return BAD_INPUT


def hydra_command(name: str, run: Callable[["DictConfig"], None]) -> int:
    """Compose a configuration of `conf/` from the command line and run it once.

    Parameters
    ----------
    name : str
        Of the primary configuration, as `history`.
    run : callable
        What is done with it; an error raised on purpose passes through without Hydra's own words.
    """
    from hydra import main as hydra_main

    problems: list[Exception] = []

    @hydra_main(version_base=None, config_path="pkg://conf", config_name=name)
    def job(cfg: "DictConfig") -> None:
        try:
            run(cfg)
        except expected() as error:
            problems.append(error)

    job()
    if problems:
        raise problems[0]
    return 0
