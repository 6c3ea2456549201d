"""What `opportunities` announces is what Aave's contract paid where a call asked for all.

The rows themselves are recomputed by `experiments.validation.aave_v3`.
"""

from pathlib import Path
from typing import Any

import pytest

from experiments.validate import read
from experiments.validation.aave_v3 import EVERYTHING, Scenario
from experiments.validation.check import Check


@pytest.fixture(scope="module")
def rows(shared: Path) -> list[dict[str, Any]]:
    path = shared / "vectors" / "aave_v3.json"
    if not path.is_file():
        pytest.skip("no reference vectors: shared/vectors/aave_v3.json is absent")
    found = read(path)["liquidation_scenarios"]
    return [row for row in found if int(row["debtToCoverInput"]) > EVERYTHING]


def test_largest_call_is_what_the_reference_took(rows: list[dict[str, Any]]) -> None:
    assert len(rows) > 20
    for row in rows:
        scenario = Scenario(row["name"], row, 27_000, 10**8)
        found = scenario.market.opportunities()
        other = scenario.market.state.collateral[0, 1, 2], scenario.market.state.debt[0, 1, 2]
        if row["result"] != "ok":
            assert len(found.position) == 0
        elif not any(other):
            for field, got, unit in (
                ("liquidatorDebtPaid", found.debt_to_cover[0], scenario.debt_unit),
                ("liquidatorCollateralReceived", found.collateral_received[0], scenario.unit),
            ):
                one = Check(
                    row=row["name"], quantity=field, got=got, expected=row[field], kind="amount",
                    unit=unit,
                )  # fmt: skip
                assert one.passed, str(one)


def test_custody_equals_claims_after_each(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        scenario = Scenario(row["name"], row, 27_000, 10**8)
        assert all(check.passed for check in scenario.checks())
        market = scenario.market
        gap = abs(market.claims() - scenario.world.ledger.balances[:, 0])
        assert (gap <= 1e-9 * market.claims_scale() + 1e-9).all(), row["name"]
