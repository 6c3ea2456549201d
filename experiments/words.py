"""The command line of the small commands: words of the form key=value, as Hydra writes them.

Commands with a configuration of parts use Hydra itself; those with a handful of parameters would
pay half a second for it before they can say `--help`.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from sim.errors import ConfigError

REQUIRED: Any = ...
"""Default of a word that must be given."""
_FLAGS = {"true": True, "false": False}


def words(argv: Sequence[str], **defaults: Any) -> dict[str, Any]:
    """Read a command's words.

    Parameters
    ----------
    argv : sequence of str
        What came after the command's name.
    **defaults
        Every word that the command knows. A default of type int, float or bool makes the word one;
        `REQUIRED` makes it text that must be given, None text that may be.

    Returns
    -------
    dict
        A value for each word of `defaults`.

    Raises
    ------
    ConfigError
        Where a word cannot be read, is unknown, comes twice or is missing.
    """
    given: dict[str, Any] = {}
    for word in argv:
        key, equals, text = word.partition("=")
        if not equals:
            raise ConfigError(
                f"the argument {word!r} cannot be read: write it as key=value; this command has "
                f"{', '.join(defaults)}"
            )
        if key not in defaults:
            close = get_close_matches(key, defaults, n=1)
            guess = f"did you mean {close[0]}? " if close else ""
            raise ConfigError(
                f"unknown parameter {key}: {guess}this command has {', '.join(defaults)}"
            )
        if key in given:
            raise ConfigError(f"{key} must be given once, got it twice; leave one out")
        given[key] = _value(key, text, defaults[key])
    for key, default in defaults.items():
        if default is REQUIRED and not given.get(key):
            raise ConfigError(f"{key} must be given, got nothing; add {key}=...")
    return {**defaults, **given}


def _value(key: str, text: str, default: Any) -> Any:
    """Read one value as the type of its default."""
    if isinstance(default, bool):
        if text.lower() not in _FLAGS:
            raise ConfigError(f"{key} must be true or false, got {text!r}; correct it")
        return _FLAGS[text.lower()]
    if not isinstance(default, int | float):
        return text
    kind, name = (int, "a whole number") if isinstance(default, int) else (float, "a number")
    try:
        return kind(text)
    except ValueError:
        raise ConfigError(f"{key} must be {name}, got {text!r}; correct it") from None


def wants_help(argv: Sequence[str]) -> bool:
    """Whether a command is asked what it does."""
    return bool({"-h", "--help", "help"} & set(argv))
