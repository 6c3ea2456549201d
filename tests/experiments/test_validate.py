"""The command that recomputes official vectors, and the tolerances that it states."""

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import validate
from experiments.validation.check import Check, integer, number
from sim.errors import InputError

ROWS = {
    "aave_v3": 354, "compound_v2": 97, "compound_v3_comet": 22, "morpho_blue": 49, "euler_v2": 16,
}  # fmt: skip


@pytest.fixture
def vectors(shared: Path) -> Path:
    folder = shared / "vectors"
    if not folder.is_dir():
        pytest.skip("no reference vectors: shared/vectors is absent")
    return folder


@pytest.mark.parametrize("family", ROWS)
def test_a_family_agrees_with_its_contract(family: str, vectors: Path) -> None:
    found = validate.tally(family, validate.read(vectors / f"{family}.json"))
    assert found.failures == []
    assert found.missed == []
    assert (found.passed, found.failed) == (ROWS[family], 0)
    assert found.relative < 1e-9


@pytest.mark.parametrize(
    ("family", "block", "place", "field"),
    [
        ("aave_v3", "rates", 7, "variableBorrowRateRay"),
        ("aave_v3", "interest", 40, "compoundedRay"),
        ("aave_v3", "liquidation_scenarios", 1, "liquidatorCollateralReceived"),
        ("compound_v2", "jump", 50, "supplyRatePerBlock"),
        ("compound_v2", "seize", 1, "seizeTokens"),
        ("morpho_blue", "liq", 3, "seized_q__repaidAssets"),
        ("euler_v2", "rows", 2, "maxYield"),
    ],
)
def test_a_changed_digit_is_found(
    family: str, block: str, place: int, field: str, vectors: Path
) -> None:
    """An error of 1e-8 in any one row fails that row and no other."""
    document = validate.read(vectors / f"{family}.json")
    row = document[block][place]
    row[field] = str(int(row[field]) * (10**8 + 1) // 10**8 + 4)
    found = validate.tally(family, document)
    assert found.failed == 1
    assert all(f"{block}[{place}]" in failure for failure in found.failures)


def test_the_command_closes_with_its_count(vectors: Path, tmp_path: Path, capsys: Any) -> None:
    for name in ("euler_v2", "hedging"):
        shutil.copy(vectors / f"{name}.json", tmp_path)
    (tmp_path / "hedging.json").chmod(0o644)
    (tmp_path / "unheard_of.json").write_text("{}")
    assert validate.command([f"vectors={tmp_path}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "16 passed, 0 failed"
    assert any("unheard_of" in line and "no family of that name" in line for line in lines)
    assert any(line.startswith("hedging") and "skipped" in line for line in lines)


def test_failures_are_named_and_counted(tmp_path: Path, vectors: Path, capsys: Any) -> None:
    document = json.loads((vectors / "euler_v2.json").read_text())
    document["rows"][3]["maxRepay"] = "4000000000000000000"
    document["more"] = [{"a": "1"}]
    (tmp_path / "euler_v2.json").write_text(json.dumps(document))
    assert validate.command([f"vectors={tmp_path}"]) == 1
    text = capsys.readouterr().out
    assert "failed: rows[3] maxRepay: got 5e+18, expected 4000000000000000000" in text
    assert "not checked: 1 of 1 rows of more have no check" in text
    assert text.splitlines()[-1] == "15 passed, 1 failed"


def test_a_row_that_cannot_be_read_stops_its_family(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "euler_v2.json").write_text('{"rows": [{"liability": "1"}]}')
    (tmp_path / "morpho_blue.json").write_text('{"lif": [{"lltv": "0.5", "LIF": "1"}]}')
    assert validate.command([f"vectors={tmp_path}"]) == 1
    text = capsys.readouterr().out
    assert "stopped: KeyError: 'maxLiquidationDiscountBps'" in text
    assert "an integer must be written as decimal digits, got '0.5'" in text
    assert text.splitlines()[-1] == "0 passed, 2 failed"


@pytest.mark.parametrize(
    ("argv", "content", "sentence"),
    [
        ([], None, "vectors must be given"),
        (["vectors={}/none"], None, "vectors must name a folder"),
        (["vectors={}"], None, "vectors must hold files"),
        (["vectors={}"], "[1]", "must hold an object with blocks of rows"),
        (["vectors={}"], "{", "must be a JSON file"),
        (["vectors={}", "family=maker"], "{}", "family must be one of the files"),
    ],
)
def test_bad_input_is_one_sentence(
    argv: list[str], content: str | None, sentence: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "euler_v2.json").write_text(content)
    with pytest.raises((InputError, ValueError), match=sentence):
        validate.command([word.format(tmp_path) for word in argv])


# -- one comparison -------------------------------------------------------------------------------


def check(got: Any, expected: Any, kind: Any = "relative", unit: int = 1, **more: Any) -> Check:
    return Check(row="r[0]", quantity="q", got=got, expected=expected, kind=kind, unit=unit, **more)


def test_digits_are_not_lost() -> None:
    large = 2**256 - 1
    assert integer(str(large)) == large
    assert number(str(large), large) == 1.0
    assert number("3", 10) == 0.3
    # 53 bits cannot tell these apart; the comparison can
    near = check(1.0, str(10**27 + 10**10), unit=10**27)
    assert near.error == 10**10
    assert near.relative_error == pytest.approx(1e-17)


@pytest.mark.parametrize(
    ("one", "passed"),
    [
        (check(1.0, str(10**18 + 10**9 - 1), unit=10**18), True),
        (check(1.0, str(10**18 + 10**9 + 2), unit=10**18), False),
        (check(1e-18, "2", unit=10**18), True),
        (check(1e-18, "3", unit=10**18), False),
        (check(1e-18, "4", "amount", 10**18), True),
        (check(1e-18, "5", "amount", 10**18), False),
        (check(1.0, str(10**18 + 9 * 10**9), "loose", 10**18), True),
        (check(5, 5, "exact"), True),
        (check(True, False, "exact"), False),
        (check(np.float64(2.5), Fraction(5, 2)), True),
        (check(float("nan"), "1"), False),
        (check(float("inf"), "1"), False),
        (check(1.5, "1", units=0.6), True),
        (check(1.1, "1000", unit=1000, tolerance=0.2, units=0), True),
    ],
)
def test_tolerances(one: Check, passed: bool) -> None:
    assert one.passed is passed
    assert str(one).startswith("r[0] q: got ")
