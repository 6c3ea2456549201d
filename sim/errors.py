"""The errors that users see: one sentence that names the field, the expectation and the remedy."""

import re
from collections.abc import Callable
from inspect import signature
from typing import Any


class FaultlineError(Exception):
    """Base of every error that faultline raises on purpose."""


class ConfigError(FaultlineError, ValueError):
    """A parameter or a combination of parameters that cannot be simulated."""


class InputError(FaultlineError, ValueError):
    """A data file or table that cannot be used as it is."""


class InvariantError(FaultlineError, AssertionError):
    """A broken promise of the simulator itself: value not conserved, custody unlike claims."""


def cause_of(error: BaseException) -> tuple[BaseException, str]:
    """Return an error's first cause, and where in a description it arose (hydra's full_key)."""
    inner = ""
    while error.__cause__ is not None:
        found = re.search(r"full_key: (\S+)", str(error))
        inner = found[1] if found else inner
        error = error.__cause__
    return error, inner


def reason_of(error: BaseException, maker: Callable[..., Any] | None) -> str:
    """Say in a few words why a part could not be made; a mistyped parameter is told the known ones.

    Parameters
    ----------
    error : BaseException
        What making it raised.
    maker : callable, optional
        The class or function that was called.
    """
    said = " ".join(str(error).partition("\n")[0].split()).rstrip(".")
    unknown = re.search(r"got an unexpected keyword argument '(\w+)'", said)
    if unknown and maker is not None:
        known = ", ".join(name for name in signature(maker).parameters if name != "self")
        return f"there is no parameter {unknown[1]}; there are {known}"
    return f"{type(error).__name__} says: {said}"
