"""Words of the small commands: what is read, and what is refused in one sentence."""

import subprocess
import sys

import pytest

from experiments.words import REQUIRED, wants_help, words
from sim.errors import ConfigError


def test_types_come_from_defaults():
    found = words(
        ["n=5", "x=2", "name=a=b", "fast=TRUE", "file=f.csv"],
        n=1, x=0.5, name=None, fast=False, file=REQUIRED, other=7,
    )  # fmt: skip
    assert found == {"n": 5, "x": 2.0, "name": "a=b", "fast": True, "file": "f.csv", "other": 7}
    assert isinstance(found["x"], float)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["file"], "the argument 'file' cannot be read: write it as key=value"),
        (["fle=a"], "unknown parameter fle: did you mean file? this command has file, n, fast"),
        (["file=a", "file=b"], "file must be given once"),
        (["file=a", "n=1.5"], "n must be a whole number, got '1.5'"),
        (["file=a", "fast=2"], "fast must be true or false, got '2'"),
        ([], "file must be given, got nothing; add file=..."),
        (["file="], "file must be given, got nothing"),
    ],
)
def test_refusals(argv, expected):
    with pytest.raises(ConfigError) as caught:
        words(argv, file=REQUIRED, n=1, fast=False)
    assert expected in str(caught.value)


def test_help_is_asked_for():
    assert wants_help(["file=a", "--help"])
    assert not wants_help(["file=help.csv"])


def test_the_command_answers_with_a_sentence_and_an_exit_code():
    ran = subprocess.run(
        [sys.executable, "-m", "experiments.conformance", "file=absent.parquet"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr.startswith("error: absent.parquet must be a CSV or Parquet file")
    assert ran.stderr.count("\n") == 1


def test_help_needs_no_compiler():
    code = (
        "import sys; sys.argv = ['x', '--help']; from experiments.conformance import main; main();"
        "print(*{'numba', 'pandas', 'pyarrow', 'hydra'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "sha256 HEX" in ran.stdout
    assert ran.stdout.splitlines()[-1] == ""
