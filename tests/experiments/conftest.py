"""Make the workers' functions importable, here and in every process that is started here."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PATHS = os.pathsep.join([str(HERE.parents[1]), str(HERE)])


@pytest.fixture(scope="session", autouse=True)
def importable() -> Iterator[None]:
    """Put the functions of `ensemble_tasks` on the path of this process."""
    sys.path.insert(0, str(HERE))
    yield
    sys.path.remove(str(HERE))
