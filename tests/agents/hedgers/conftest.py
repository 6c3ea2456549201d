"""The standard test's environment, which all hedgers are tried on."""

import pytest

from envs.registration import parts
from experiments.hedging.play import Setting


@pytest.fixture(scope="session")
def cao():
    """The standard case: one month, daily."""
    return Setting(**parts("cao_2021", {}))
