"""Implied volatility: prices come back, bad prices are refused."""

import numpy as np
import pytest

from sim.errors import InputError
from sim.options import black, implied, normal
from sim.options.black import CALL, PUT, Greek, black_greeks, black_price
from sim.options.implied import Refusal, implied_volatilities


def test_out_of_the_money_prices_give_their_volatility_back(grid):
    sign = np.where(grid[1] > grid[0], CALL, PUT)
    price = black_price(*grid, sign=sign)
    found, codes = implied_volatilities(price, grid[0], grid[1], grid[2], sign)
    assert not codes.any()
    assert np.abs(found / grid[3] - 1.0).max() < 1e-12


def test_the_whole_plane_of_normalised_prices():
    """|ln(F / K)| from 0 to 6, sigma sqrt(T) from 1e-5 to 12, short of the bound by 1e-3."""
    size, s = np.meshgrid(np.append(0.0, np.geomspace(1e-9, 6.0, 120)), np.geomspace(1e-5, 12, 200))
    forward = np.exp(-size)
    price = black_price(forward, 1.0, 1.0, s)
    keep = (price > 1e-300) & (price < 0.999 * forward)
    found, codes = implied_volatilities(price[keep], forward[keep], 1.0, 1.0)
    assert keep.sum() > 15_000
    assert not codes.any()
    # near the bound a rounding of the price moves s by price / (s vega)
    greeks = black_greeks(forward, 1.0, 1.0, s)[keep]
    condition = greeks[:, Greek.PRICE] / (greeks[:, Greek.VEGA] * s[keep])
    assert (np.abs(found / s[keep] - 1.0) < 5e-14 * np.maximum(1.0, condition)).all()


def test_prices_next_to_their_bound():
    s = np.array([8.0, 12.0, 14.0])
    price = black_price(0.9, 1.0, 1.0, s)
    found, _ = implied_volatilities(price, 0.9, 1.0, 1.0)
    greeks = black_greeks(0.9, 1.0, 1.0, s)
    assert (np.abs(found - s) <= 4e-16 / greeks[:, Greek.VEGA] + 1e-13).all()


def test_in_the_money_prices_lose_what_their_rounding_takes(grid):
    """The error is that of the price's own rounding over vega, not more than a few times."""
    sign = np.where(grid[1] > grid[0], PUT, CALL)
    price = black_price(*grid, sign=sign)
    found, codes = implied_volatilities(price, grid[0], grid[1], grid[2], sign)
    good = codes == Refusal.NONE
    vega = black_greeks(*grid, sign=sign)[:, Greek.VEGA]
    noise = 4.0 * np.spacing(price) / vega
    far = np.maximum(noise, 1e-13)[good] < 0.01 * grid[3][good]  # where the error is linear
    assert far.sum() > 100
    error = np.abs(found - grid[3])[good][far]
    assert (error <= np.maximum(noise, 1e-13 * grid[3])[good][far]).all()
    assert set(codes[~good]) <= {Refusal.NO_TIME_VALUE}


def test_agrees_with_quantlib_and_py_vollib(quantlib, vollib):
    find = vollib.black.implied_volatility.implied_volatility
    for strike in (30_000.0, 55_000.0, 60_000.0, 75_000.0, 140_000.0):
        for years, sigma in ((1 / 8760, 3.0), (0.08, 0.6), (1.0, 0.9)):
            sign = CALL if strike >= 60_000.0 else PUT
            price = float(black_price(60_000.0, strike, years, sigma, 0.0, sign))
            if price < 1e-9:
                continue
            found, _ = implied_volatilities(price, 60_000.0, strike, years, sign)
            kind = quantlib.Option.Call if sign > 0 else quantlib.Option.Put
            theirs = quantlib.blackFormulaImpliedStdDev(
                kind, strike, 60_000.0, price, 1.0, 0.0, sigma * years**0.5, 1e-13, 1000
            )
            assert found == pytest.approx(theirs / years**0.5, rel=1e-10)
            also = find(price, 60_000.0, strike, 0.0, years, "c" if sign > 0 else "p")
            assert found == pytest.approx(also, rel=1e-10)


@pytest.mark.parametrize(
    ("terms", "code", "words"),
    [
        ((9.0, 110.0, 100.0, 0.5, CALL), Refusal.BELOW_INTRINSIC, "at least the discounted"),
        ((-1.0, 90.0, 100.0, 0.5, CALL), Refusal.BELOW_INTRINSIC, "at least the discounted"),
        ((10.0, 110.0, 100.0, 0.5, CALL), Refusal.NO_TIME_VALUE, "above the discounted intrinsic"),
        ((0.0, 90.0, 100.0, 0.5, CALL), Refusal.NO_TIME_VALUE, "above the discounted intrinsic"),
        ((90.0, 90.0, 100.0, 0.5, CALL), Refusal.ABOVE_BOUND, "below the discounted forward"),
        ((101.0, 90.0, 100.0, 0.5, PUT), Refusal.ABOVE_BOUND, "below the discounted forward"),
        ((np.nan, 90.0, 100.0, 0.5, CALL), Refusal.NOT_A_NUMBER, "finite"),
        ((5.0, 90.0, -100.0, 0.5, CALL), Refusal.NOT_A_NUMBER, "finite"),
        ((5.0, 90.0, 100.0, 0.0, CALL), Refusal.NOT_A_NUMBER, "finite"),
        ((5.0, np.inf, 100.0, 0.5, CALL), Refusal.NOT_A_NUMBER, "finite"),
    ],
)
def test_what_has_no_volatility_is_nan_with_a_reason(terms, code, words):
    price, forward, strike, years, sign = terms
    good = float(black_price(100.0, 105.0, 0.5, 0.4))
    arrays = [[good, price], [100.0, forward], [105.0, strike], [0.5, years], [CALL, sign]]
    found, codes = implied_volatilities(*arrays)
    assert found[0] == pytest.approx(0.4, rel=1e-12)
    assert np.isnan(found[1])
    assert list(codes) == [Refusal.NONE, code]
    with pytest.raises(InputError, match=f"the price of option 1 must be {words}"):
        implied_volatilities(*arrays, strict=True)


def test_discount_and_units_cancel():
    sigma, _ = implied_volatilities(
        0.9 * black_price(0.1, 0.12, 0.5, 0.4), 0.1, 0.12, 0.5, discount=0.9
    )
    assert sigma == pytest.approx(0.4, rel=1e-12)


def test_a_result_depends_on_its_own_row_alone(grid):
    sign = np.where(grid[1] > grid[0], CALL, PUT)
    price = black_price(*grid, sign=sign)
    whole, _ = implied_volatilities(price, grid[0], grid[1], grid[2], sign)
    for i in (0, 7, 100):
        one, _ = implied_volatilities(price[i], grid[0, i], grid[1, i], grid[2, i], sign[i])
        assert one == whole[i]


def test_kernels_run_as_plain_python(plain):
    cases = [(0.2, -0.4), (0.2, 0.4), (1.5, 0.1), (4.0, 0.2), (1e-3, 1e-3)]
    for s, x in cases:
        strike = 100.0 * np.exp(abs(x))
        price = float(black_price(100.0, strike, 1.0, s))
        whole, _ = implied_volatilities(price, 100.0, strike, 1.0)
        with plain(implied, black, normal):
            alone, code = implied.implied_volatility(price, 100.0, strike, 1.0, 1.0, CALL)
        assert code == 0
        assert alone == pytest.approx(float(whole), rel=1e-13)
