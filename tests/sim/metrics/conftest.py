"""Make the processes of known facts importable."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = str(Path(__file__).resolve().parent)
sys.path.insert(0, HERE)


@pytest.fixture(scope="session", autouse=True)
def importable() -> Iterator[None]:
    """Take the folder off the path again."""
    yield
    sys.path.remove(HERE)
