"""What is installed works from any directory: sources, configuration files and entry points."""

import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
BUILD = "import sys, setuptools.build_meta as b; print(b.build_wheel(sys.argv[1]))"


@pytest.fixture
def wheel(shell: Command, tmp_path: Path) -> Path:
    """Build the wheel from a copy of the sources, so that no build folder is left here."""
    pytest.importorskip("setuptools", "70.1", reason="building a wheel needs a newer setuptools")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("sim", "agents", "envs", "experiments", "conf"):
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=skipped)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source / name)
    code = f"import os; os.chdir({str(source)!r}); {BUILD}"
    ended = shell("-W", "ignore", "-c", code, str(tmp_path))
    assert ended.code == 0, ended.err
    (path,) = tmp_path.glob("*.whl")
    return path


@pytest.mark.slow
def test_a_wheel_holds_the_configuration_and_runs_elsewhere(
    wheel: Path, shell: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        packed.extractall(site)
    missing = {f"conf/{path.relative_to(ROOT / 'conf')}" for path in ROOT.glob("conf/**/*.yaml")}
    assert missing - set(names) == set()
    assert not [name for name in names if name.startswith("tests/")]
    assert any("faultline-stress = experiments.stress:main" in (site / name).read_text()
               for name in names if name.endswith("entry_points.txt"))  # fmt: skip
    run = (
        f"import sys; sys.path = [p for p in sys.path if p != {str(ROOT)!r}];"
        f"sys.path.insert(0, {str(site)!r}); import experiments.stress as s;"
        f"assert s.__file__.startswith({str(site)!r}); s.main()"
    )
    helped = shell("-c", run, "--help")
    assert helped.code == 0, helped.err
    assert "scenario: black_thursday" in helped.out
    ended = shell(
        "-c", run, "worlds=1", "book.n_positions=100", "hours=0.1", "engine=serial", "pools={}",
    )  # fmt: skip
    assert ended.folder().parent == tmp_path / "results"
    assert sys.version_info[:2] == (3, 11)
