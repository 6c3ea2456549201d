"""Environments for tests of training and judging."""

import pytest

from envs.registration import parts
from experiments.hedging.play import Setting


@pytest.fixture(scope="session")
def cao():
    """The standard case: one month, daily."""
    return Setting(**parts("cao_2021", {}))


@pytest.fixture(scope="session")
def torch():
    """torch, or a skip that says so."""
    return pytest.importorskip("torch", reason="torch, which trains policies, is not installed")
