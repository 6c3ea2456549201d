"""P&L, margins and funding of one position, by hand and against the venues' own examples."""

import json

import numpy as np
import pytest

from sim.errors import ConfigError
from sim.perps import quantities
from sim.perps.quantities import (
    delta,
    funding_rate,
    initial_margin,
    maintenance_margin,
    profit,
    value,
)
from sim.perps.terms import PerpParams


@pytest.fixture(scope="module")
def deribit(perp):
    return perp("deribit_btc").terms()


@pytest.fixture(scope="module")
def binance(perp):
    return perp("binance_btc").terms()


def test_a_linear_contract_by_hand(binance):
    assert profit(2.0, 30_000.0, 31_000.0, binance) == 2000.0
    assert profit(-2.0, 30_000.0, 31_000.0, binance) == -2000.0
    assert value(-2.0, 30_000.0, binance) == -60_000.0
    assert delta(-2.0, 30_000.0, binance) == -2.0


def test_an_inverse_contract_by_hand(deribit):
    """10,000 dollars from 10,000 to 12,500: 1 coin is worth 0.8, a gain of 0.2 coins."""
    assert profit(10_000.0, 10_000.0, 12_500.0, deribit) == pytest.approx(0.2)
    assert profit(-10_000.0, 10_000.0, 8_000.0, deribit) == pytest.approx(0.25)
    assert value(10_000.0, 12_500.0, deribit) == 0.8
    assert delta(-10_000.0, 12_500.0, deribit) == -0.8
    # In dollars at the new price an inverse gain is a linear one: 0.2 x 12,500 = 1 x 2,500.
    assert 12_500.0 * profit(10_000.0, 10_000.0, 12_500.0, deribit) == pytest.approx(2500.0)


def test_gains_of_two_moves_add_up(deribit, binance):
    for terms in (deribit, binance):
        there = profit(3.0, 100.0, 130.0, terms) + profit(3.0, 130.0, 90.0, terms)
        assert there == pytest.approx(profit(3.0, 100.0, 90.0, terms), rel=1e-12)


def test_deribit_s_margin_examples(shared, deribit):
    rows = json.loads((shared / "vectors" / "hedging.json").read_text())["deribit"]
    checked = 0
    for row in rows["standard_margin_perp_btc"]["examples"]:
        coins = max(row["pos"], 1e-9)
        for name, margin in (("im", initial_margin), ("mm", maintenance_margin)):
            required = margin(-coins * 100_000.0, 100_000.0, deribit)
            if name in row:
                assert required / coins == pytest.approx(row[name], rel=1e-9)
                checked += 1
            if f"{name}_btc" in row:
                assert required == pytest.approx(row[f"{name}_btc"], rel=1e-9)
                checked += 1
    assert checked == 8


def test_margin_of_a_linear_contract_on_deribit(perp):
    """Its Linear Perpetual page: 350 BTC at 100,000 need 1,312,500 USDC."""
    terms = perp("deribit_btc", inverse=False, lot=0.001).terms()
    assert initial_margin(350.0, 100_000.0, terms) == pytest.approx(1_312_500.0)
    assert maintenance_margin(25.0, 100_000.0, terms) == pytest.approx(28_125.0)


def test_binance_s_margin_is_a_sum_over_tiers(binance):
    """Without jumps; 300,000 USD by hand: 50,000 x 0.4% + 200,000 x 0.5% + 50,000 x 1%."""
    assert maintenance_margin(10.0, 30_000.0, binance) == pytest.approx(200 + 1000 + 500)
    assert initial_margin(10.0, 30_000.0, binance) == pytest.approx(6000.0)
    for row in binance.tiers[1:]:
        edge = row[0]
        above = maintenance_margin(edge * (1 + 1e-9), 1.0, binance)
        assert above == pytest.approx(maintenance_margin(edge, 1.0, binance), rel=1e-7)
    # The venue's form, rate x notional - maintenance amount: 1,300 in the tier to 1 million.
    assert maintenance_margin(-700_000.0, 1.0, binance) == pytest.approx(7000.0 - 1300.0 - 0.0)


@pytest.mark.parametrize(
    ("premium", "rate"),
    [
        (0.0, 0.0),
        (0.0002, 0.0),
        (-0.00025, 0.0),
        (0.001, 0.00075),
        (-0.001, -0.00075),
        (0.02, 0.005),
        (-0.02, -0.005),
    ],
)
def test_deribit_s_funding(premium, rate, deribit):
    assert funding_rate(premium, deribit) == pytest.approx(rate, abs=1e-15)
    stated = max(0.00025, premium) + min(-0.00025, premium)  # Funding Specifications
    assert funding_rate(premium, deribit) == pytest.approx(np.clip(stated, -0.005, 0.005))


@pytest.mark.parametrize(
    ("premium", "rate"),
    [
        (0.0001, 0.0001),
        (0.0, 0.0001),
        (0.0006, 0.0001),
        (-0.0004, 0.0001),
        (0.001, 0.0005),
        (-0.001, -0.0005),
        (0.01, 0.003),
    ],
)
def test_binance_s_funding(premium, rate, binance):
    assert funding_rate(premium, binance) == pytest.approx(rate, abs=1e-15)


def test_kernels_run_as_plain_python(deribit, binance):
    for terms in (deribit, binance):
        for name in ("initial_margin", "maintenance_margin", "value", "delta"):
            kernel = getattr(quantities, name)
            assert kernel.py_func(3e5, 7.0, terms) == pytest.approx(kernel(3e5, 7.0, terms))
        assert profit.py_func(3.0, 5.0, 7.0, terms) == profit(3.0, 5.0, 7.0, terms)
        assert funding_rate.py_func(0.001, terms) == funding_rate(0.001, terms)


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        ({"lot": 0.0}, r"lot must lie in \(0"),
        ({"taker_fee": 0.2}, "taker_fee must lie in"),
        ({"maker_fee": -0.01}, "maker_fee must lie in"),
        ({"liquidation": "slow"}, "liquidation must be incremental or full, got slow"),
        ({"tiers": {}}, "tiers must name at least one"),
        ({"tiers": {"all": {"above": 0.0}}}, "tiers.all must have above, initial and maintenance"),
        (
            {"tiers": {"all": {"above": 1.0, "initial": 0.1, "maintenance": 0.1}}},
            "tiers must begin at above 0 and rise, got 1 for all",
        ),
        (
            {"tiers": {"all": {"above": 0.0, "initial": 0.1, "maintenance": 0.2}}},
            "tiers.all.maintenance must lie in",
        ),
    ],
)
def test_bad_terms_get_one_sentence(terms, sentence):
    with pytest.raises(ConfigError, match=sentence):
        PerpParams(**terms)
