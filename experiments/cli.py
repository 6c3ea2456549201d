"""How a command ends: results on standard output, one sentence on standard error, an exit code."""

import os
import sys
from collections.abc import Callable, Iterator

from sim.errors import FaultlineError

BAD_INPUT, INTERRUPTED = 2, 130


def causes(error: BaseException) -> Iterator[BaseException]:
    """Walk through an error and what it was raised from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def sentence(error: BaseException) -> str | None:
    """Return the one sentence that a user needs; None for an error that is our own fault."""
    place = getattr(error, "full_key", None)
    for cause in causes(error):
        if isinstance(cause, FaultlineError):
            return f"{place}: {cause}" if place else str(cause)
        place = place or getattr(cause, "full_key", None)
    return None


def guarded(command: Callable[[], None]) -> int:
    """Run a command and turn how it ended into an exit code.

    Errors that were raised on purpose are printed as one sentence; so are Hydra's about the command
    line. Anything else is a defect and keeps its traceback.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then leaves the reporting to us
    try:
        command()
    except KeyboardInterrupt as stop:
        print(str(stop) or "stopped", file=sys.stderr)
        return INTERRUPTED
    except (FaultlineError, HydraException, OmegaConfBaseException) as error:
        print(f"error: {sentence(error) or _first_line(error)}", file=sys.stderr)
        return BAD_INPUT
    return 0


def _first_line(error: BaseException) -> str:
    """Join Hydra's own message, which may have several lines, into one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:3])
