"""What an engine says when it cannot run."""

import math
import sys
from collections.abc import Callable
from typing import Any

import pytest

from experiments.engines.dask import Dask
from experiments.engines.engine import Engine, EngineError, environment, in_short, usable_cpus
from experiments.engines.loky import Loky
from experiments.engines.ray import Ray
from experiments.engines.serial import Serial
from sim.errors import ConfigError


def explode(value: float) -> float:
    if value == 3:
        raise ValueError("three")
    return math.sqrt(value)


def test_serial_maps_in_order() -> None:
    assert list(Serial().map(math.sqrt, [(4.0,), (9.0,)])) == [2.0, 3.0]
    assert Serial().n_workers == 1


def test_loky_skips_what_raises_and_starts_again_after_close() -> None:
    with Loky(2) as engine:
        results = sorted(engine.map(math.sqrt, [(float(v * v),) for v in range(6)]))
        assert results == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
        assert sorted(engine.map(math.sqrt, [(-1.0,), (4.0,)])) == [2.0]
        assert engine.problem.startswith("ValueError: ")
        engine.close()
        stopped = engine.map(math.sqrt, [(4.0,), (4.0,)])
        assert next(stopped) == 2.0
        stopped.close()
        assert list(engine.map(math.sqrt, [(9.0,)])) == [3.0]
        assert list(engine.map(math.sqrt, [])) == []


@pytest.mark.parametrize("make", [Loky, Dask, Ray])
@pytest.mark.parametrize("n_workers", [0, -1, 1.5, True, "two"])
def test_an_impossible_number_of_workers(make: Callable[[Any], Engine], n_workers: Any) -> None:
    with pytest.raises(ConfigError, match=r"engine\.n_workers must be a whole number"):
        make(n_workers)


@pytest.mark.parametrize("make", [Loky, Dask, Ray])
def test_one_worker_per_usable_cpu(make: Callable[[], Engine]) -> None:
    assert make().n_workers == usable_cpus()


@pytest.mark.parametrize(("make", "name"), [(Dask, "dask"), (Ray, "ray")])
def test_an_engine_that_is_not_installed(
    make: Callable[[int], Engine], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EngineError, match=rf"^engine={name} needs .*faultline\[scale\]"):
        list(make(2).map(math.sqrt, [(4.0,)]))


def test_an_error_in_short() -> None:
    assert in_short(OSError("Dead. Look at\nthe log.")) == "OSError: Dead"
    assert in_short(KeyError()) == "KeyError"


def test_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("FAULTLINE_A", "before")
    with environment(FAULTLINE_A="now", FAULTLINE_B="new"):
        assert os.environ["FAULTLINE_A"] == "now"
    assert os.environ["FAULTLINE_A"] == "before"
    assert "FAULTLINE_B" not in os.environ
