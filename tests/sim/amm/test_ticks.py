import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim.amm.ticks as module
from experiments.validation import uniswap_v3
from sim.amm.ticks import MAX_TICK, MIN_TICK, amount_0, amount_1, root_at_tick, tick_at_root

ticks = st.integers(MIN_TICK, MAX_TICK - 1)


def test_every_row_agrees_with_the_contract(shared):
    document = json.loads((shared / "vectors" / "uniswap_v3.json").read_text())
    found = list(uniswap_v3.checks(document))
    assert len({check.row for check in found}) == 694
    assert [str(check) for check in found if not check.passed] == []


@given(ticks)
def test_a_root_is_its_tick(tick):
    root = root_at_tick(tick)
    assert tick_at_root(root) == tick
    assert tick_at_root(np.nextafter(root, 0.0)) in (tick - 1, MIN_TICK)
    # 20 factors in 106 bits leave the rounding of the result, and 2^-96 where roots are small
    exact = Fraction(10001, 10000) ** abs(tick) if abs(tick) < 500 else None
    if exact is not None:
        wanted = float(exact if tick > 0 else 1 / exact)
        assert root * root == pytest.approx(wanted, rel=4e-16)


@given(ticks, ticks)
def test_roots_rise_with_ticks(a, b):
    assert (root_at_tick(a) < root_at_tick(b)) == (a < b)


@given(st.floats(1e-6, 1e12), st.floats(1e-4, 1e4), st.floats(1.0, 10.0))
def test_amounts_of_two_halves_are_those_of_the_whole(liquidity, low, width):
    middle, high = low * width**0.5, low * width
    for amount in (amount_0, amount_1):
        whole = amount(liquidity, low, high)
        halves = amount(liquidity, low, middle) + amount(liquidity, middle, high)
        assert halves == pytest.approx(whole, rel=1e-9, abs=1e-12 * liquidity * (high + 1 / low))


def test_kernels_run_as_plain_python(plain):
    ticks = (-887272, -60, 0, 1, 123456, MAX_TICK)
    steps = ((1.0, 0.99, 0.01, True, 1e3, 1.0, 0.003, False, 0.0, 0.0),
             (1.0, 1.01, 0.01, False, 1e3, 100.0, 0.003, True, 0.0, 0.0))  # fmt: skip
    fast = [root_at_tick(tick) for tick in ticks], [module.swap_step(*step) for step in steps]
    with plain(module):
        slow = [module.root_at_tick(tick) for tick in ticks]
        assert (slow, [module.swap_step(*step) for step in steps]) == fast
