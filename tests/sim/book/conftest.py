"""The slow reference book and random flows of orders, for the tests of this folder."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def load(name: str) -> ModuleType:
    """Load a module that lies beside the tests."""
    full = f"book_tests_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, Path(__file__).parent / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[full] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[full]


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    """The independent book."""
    return load("reference")


@pytest.fixture(scope="session")
def flows() -> ModuleType:
    """Random messages, and the comparison of kernel and reference."""
    load("reference")
    return load("flows")
