"""The cache of compiled kernels is keyed by all kernel sources."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sim.kernel
from sim.kernel import cache_folder, inlined, kernel, source_digest

ROOT = Path(sim.kernel.__file__).resolve().parents[1]


@pytest.fixture
def copied(tmp_path):
    """The packages that may hold kernels, in a folder that may be edited."""
    for package in ("sim", "agents", "envs"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    return tmp_path


def append(path, text):
    path.write_text(path.read_text() + text)


def test_the_digest_is_that_of_the_sources(copied):
    assert source_digest(copied) == source_digest(ROOT) == source_digest()


@pytest.mark.parametrize("name", ["sim/ledger.py", "sim/lending/verbs.py", "agents/view.py"])
def test_an_edit_of_a_file_changes_the_digest_if_it_holds_kernels(copied, name):
    holds = "@kernel" in (copied / name).read_text() or "@inlined" in (copied / name).read_text()
    before = source_digest(copied)
    append(copied / name, "\n# edited\n")
    assert (source_digest(copied) != before) == holds
    assert name == "agents/view.py" or holds


def test_a_new_and_a_moved_kernel_file_change_the_digest(copied):
    digests = [source_digest(copied)]
    (copied / "sim" / "more.py").write_text("@kernel\ndef f(x): return x\n")
    digests.append(source_digest(copied))
    (copied / "sim" / "more.py").rename(copied / "agents" / "more.py")
    digests.append(source_digest(copied))
    assert len(set(digests)) == 3


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("FAULTLINE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path / "kernels" / source_digest()
    monkeypatch.delenv("FAULTLINE_CACHE")
    inside = cache_folder()
    assert inside.name == source_digest()
    assert Path(sys.prefix) in inside.parents or sys.prefix == sys.base_prefix


def test_without_a_writable_environment_the_users_cache_is_used(monkeypatch, tmp_path):
    monkeypatch.delenv("FAULTLINE_CACHE", raising=False)
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder().parent == tmp_path / "faultline" / "kernels"


def test_an_edited_callee_in_another_file_is_never_stale(copied, tmp_path):
    """Numba alone returns the old result here: its cache knows the caller's file only."""
    callee, caller = copied / "sim" / "callee.py", copied / "sim" / "caller.py"
    callee.write_text("from sim.kernel import kernel\n@kernel\ndef g(x):\n    return x + 1.0\n")
    caller.write_text(
        "from sim.callee import g\nfrom sim.kernel import kernel\n"
        "@kernel\ndef f(x):\n    return 10.0 * g(x)\n"
    )
    cache = tmp_path / "cache"
    env = {**os.environ, "FAULTLINE_CACHE": str(cache), "PYTHONPATH": str(copied)}

    def ask():
        code = "from sim.caller import f; print(f(1.0), sum(f.stats.cache_hits.values()))"
        ran = subprocess.run(
            [sys.executable, "-c", code],
            env=env, cwd=copied, capture_output=True, text=True, check=True,
        )  # fmt: skip
        value, hits = ran.stdout.split()
        return float(value), hits == "1"

    assert ask()[0] == 20.0
    value, hit = ask()
    assert value == 20.0
    assert hit  # the cache works: nothing was compiled the second time
    callee.write_text(callee.read_text().replace("x + 1.0", "x + 2.0"))
    assert ask()[0] == 30.0
    assert len(list((cache / "kernels").iterdir())) == 2


def test_kernels_keep_their_plain_form_and_release_the_lock():
    def twice(x: float) -> float:
        return 2.0 * x

    for wrap in (kernel, inlined):
        wrapped = wrap(twice)
        assert wrapped.py_func is twice
        options = wrapped.targetoptions
        assert options["nogil"]
        assert options["error_model"] == "numpy"
        assert not options.get("parallel")
        assert not options.get("fastmath")


def test_a_division_by_zero_is_a_number_not_an_exception():
    @kernel
    def ratio(a: float, b: float) -> float:
        return a / b

    assert ratio(1.0, 0.0) == np.inf
