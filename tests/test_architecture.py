"""What may know what, and who may compile."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("sim", "agents", "envs", "experiments")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
VENUES = {"sim.amm", "sim.book", "sim.lending", "sim.market", "sim.oracles"}


def name(path):
    return path.relative_to(ROOT).as_posix()


def test_the_import_contracts_hold():
    """The contracts are in pyproject.toml; this says which one is broken, and by which import."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout[ran.stdout.find("Contracts") :]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert f"Contracts: {len(contracts['contracts'])} kept, 0 broken" in ran.stdout


def test_every_folder_of_venues_is_in_the_contract():
    """A new family of venues must be added to `Venues never import each other`."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            bases = [base.id for base in getattr(node, "bases", []) if isinstance(base, ast.Name)]
            if isinstance(node, ast.ClassDef) and {"Venue", "Oracle"} & set(bases):
                found.add(".".join(path.relative_to(ROOT).parts[:2]))
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    listed = {
        m for c in contracts["contracts"] if c["type"] == "independence" for m in c["modules"]
    }
    assert found == listed == VENUES


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("sim.world", "mesa pandas hydra omegaconf gymnasium torch plotly pyarrow"),
        ("agents.model", "hydra omegaconf torch plotly"),
        ("envs", "mesa hydra omegaconf torch plotly pandas"),
        ("experiments.stress", "torch plotly pyarrow pandas mesa numba ray dask"),
    ],
)
def test_imports_stay_lean(module, absent):
    """A worker starts in a quarter of a second, and `--help` answers at once."""
    code = f"import sys, {module}; print(*(set({absent.split()!r}) & set(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == [], f"import {module} loads {ran.stdout.strip()}"


def test_only_the_wrapper_compiles():
    """`sim/kernel.py` owns the cache and the options; a second way in would miss both."""
    banned = {"njit", "jit", "vectorize", "guvectorize", "cfunc", "stencil", "jitclass", "prange"}
    for path in SOURCES:
        if name(path) == "sim/kernel.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            used = getattr(node, "attr", None) or getattr(node, "id", None)
            assert used not in banned, f"{name(path)}:{node.lineno} uses {used}: use sim.kernel"
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            numba = any(module.split(".")[0] == "numba" for module in modules)
            assert not numba or name(path) == "sim/machine.py", (
                f"{name(path)}:{node.lineno} imports numba: use sim.kernel"
            )


def test_the_wrapper_is_serial_and_exact():
    """No threads inside kernels, no reassociated sums: worlds must not depend on the machine."""
    tree = ast.parse((ROOT / "sim" / "kernel.py").read_text())
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    words |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)}
    assert not {"parallel", "fastmath"} & {word for word in words if isinstance(word, str)}


def test_kernels_are_plain_functions():
    """No reduction over worlds, no random state, no print: what DESIGN asks of a kernel."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef):
                continue
            marks = {mark.id for mark in node.decorator_list if isinstance(mark, ast.Name)}
            if not marks & {"kernel", "inlined"}:
                continue
            place = f"{name(path)}:{node.lineno} {node.name}"
            for inner in ast.walk(node):
                assert not isinstance(inner, ast.Try | ast.Raise), f"{place} raises"
                called = getattr(getattr(inner, "func", None), "attr", "")
                assert called not in ("random", "normal_", "seed"), f"{place} calls {called}"
                words = getattr(getattr(inner, "func", None), "id", "")
                assert words not in ("print", "dict", "set"), f"{place} calls {words}"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_sizes(path):
    """No file over 600 lines, no function over 60 (docstrings left out)."""
    text = path.read_text()
    assert len(text.splitlines()) <= 600, f"{name(path)} is too long: split it"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body
            if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                body = body[1:]
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= 60, f"{name(path)}:{node.lineno} {node.name} has {lines} lines"
