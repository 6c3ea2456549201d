"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real data and reference vectors; tests that need it are skipped without it."""
    root = Path(os.environ.get("FAULTLINE_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not root.is_dir():
        pytest.skip(f"no reference data: neither FAULTLINE_SHARED nor {root.name}/ beside the project")
    return root
