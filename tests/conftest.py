"""Fixtures shared by all tests."""

import copy
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The same examples everywhere, and no clock: the first call of a kernel may compile it.
settings.register_profile("faultline", deadline=None, derandomize=True)
settings.load_profile("faultline")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real data and reference vectors; tests that need it are skipped without it."""
    root = Path(os.environ.get("FAULTLINE_SHARED", ROOT.parent / "shared"))
    if not root.is_dir():
        pytest.skip(
            f"no reference data: neither FAULTLINE_SHARED nor {root.name}/ beside the project"
        )
    return root


@functools.cache
def _composed(overrides: tuple[str, ...]) -> dict[str, Any]:
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    with initialize_config_module("conf", version_base=None):
        cfg = compose("stress", overrides=["name=test", *overrides])
    config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


@pytest.fixture(scope="session")
def compose() -> Callable[..., dict[str, Any]]:
    """Factory of resolved stress configurations from overrides as on the command line."""

    def build(*overrides: str) -> dict[str, Any]:
        return copy.deepcopy(_composed(overrides))

    return build


@pytest.fixture(scope="session")
def small_crash(compose) -> dict[str, Any]:
    """The default study made small: 300 positions, 200 one-minute blocks, a crash by 40%."""
    return compose(
        "book.n_positions=300",
        "hours=3.3334",
        "check_every=1",
        "scenarios.crash.start_hours=0.2",
        "scenarios.crash.duration_hours=1.5",
    )
