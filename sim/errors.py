"""The errors that users see: one sentence that names the field, the expectation and the remedy."""


class FaultlineError(Exception):
    """Base of every error that faultline raises on purpose."""


class ConfigError(FaultlineError, ValueError):
    """A parameter or a combination of parameters that cannot be simulated."""


class InputError(FaultlineError, ValueError):
    """A data file or table that cannot be used as it is."""


class InvariantError(FaultlineError, AssertionError):
    """A broken promise of the simulator itself: value not conserved, custody unlike claims."""
