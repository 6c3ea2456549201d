import json
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim.amm.invariant as module
from experiments.validation import curve_stableswap
from sim.amm.invariant import balance, exchange, growth, invariant, withdrawal

balances = st.lists(st.floats(1e3, 1e8), min_size=2, max_size=8).map(np.array)
amplifications = st.floats(2.0, 5e3)


def exact_invariant(x, a):
    """D to 50 digits, by Newton's method."""
    n, total = len(x), sum(x)
    d = total
    for _ in range(300):
        product = d
        for value in x:
            product *= d / (value * n)
        before = d
        d *= (a * n * total + product * n) / ((a * n - 1) * d + (n + 1) * product)
        if abs(d - before) < d * Decimal("1e-45"):
            break
    return d


def exact_balance(x, j, a, d):
    """Balance j to 50 digits, by the quadratic."""
    n = len(x)
    others = [value for k, value in enumerate(x) if k != j]
    slope = sum(others) + d / (a * n) - d
    c = d * d / (a * n * n)
    for value in others:
        c *= d / (value * n)
    return (-slope + (slope * slope + 4 * c).sqrt()) / 2


def test_every_row_agrees_with_the_contract(shared):
    document = json.loads((shared / "vectors" / "curve_stableswap.json").read_text())
    found = list(curve_stableswap.checks(document))
    assert len({check.row for check in found}) == 357
    assert [str(check) for check in found if not check.passed] == []


@given(balances, amplifications, st.floats(-12, 0))
def test_tiny_trades_keep_their_digits(x, a, size):
    paid = float(x[0] * 10.0**size)
    out = exchange(x, 0, 1, paid, a, invariant(x, a))
    with localcontext() as context:
        context.prec = 60
        wide, level = [Decimal(float(value)) for value in x], Decimal(a)
        d = exact_invariant(wide, level)
        wide[0] += Decimal(paid)
        wanted = Decimal(float(x[1])) - exact_balance(wide, 1, level, d)
        # D is found to 1e-15, and where coins are far apart the price moves by 1,000 times that
        assert abs(Decimal(out) / wanted - 1) < Decimal("1e-10")


@given(balances, amplifications, st.lists(st.floats(-0.5, 2.0), min_size=8, max_size=8))
def test_growth_is_that_of_the_invariant(x, a, shares):
    change = x * np.array(shares[: len(x)])
    d = invariant(x, a)
    after = invariant(x + change, a)
    assert d * (1.0 + growth(x, change, a, d)) == pytest.approx(after, rel=1e-12)


@given(balances, amplifications, st.floats(1e-6, 0.5))
def test_withdrawal_undoes_the_deposit_of_its_growth(x, a, part):
    d, cut = invariant(x, a), np.zeros(len(x))
    out = withdrawal(x, cut, 0, part, a, d)
    assert x[0] - out == pytest.approx(balance(x, 0, a, d * (1.0 - part)), rel=1e-9)
    assert 0.0 < out < x[0]


def test_kernels_run_as_plain_python(plain):
    x, change = np.array([1e6, 2e6, 3e6]), np.array([1e5, 0.0, -2e5])
    d = invariant(x, 200.0)
    compiled = (exchange(x, 0, 1, 1e3, 200.0, d), growth(x, change, 200.0, d))
    with plain(module):
        assert module.invariant(x, 200.0) == pytest.approx(d, rel=1e-15)
        slow = (module.exchange(x, 0, 1, 1e3, 200.0, d), module.growth(x, change, 200.0, d))
    assert slow == pytest.approx(compiled, rel=1e-13)
