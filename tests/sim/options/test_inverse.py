"""Coin-settled options: parity with linear ones, Deribit's fees, delivery and margin."""

import numpy as np
import pytest

from sim.errors import ConfigError, InputError
from sim.options import black, inverse, margin, normal
from sim.options.black import CALL, PUT, Greek, black_greeks, black_price
from sim.options.inverse import (
    DERIBIT,
    InverseTerms,
    effective_years,
    inverse_option_greeks,
    inverse_option_price,
    settlement,
)

TERMS = (60_000.0, 65_000.0, 30 / 365, 0.6)


def test_the_published_inverse_call(vectors):
    row = vectors["closed_forms"]["inverse_call"]
    terms = (row["F"], row["K"], row["T"], row["sigma"])
    found = inverse_option_greeks(*terms)
    assert found[Greek.PRICE] == pytest.approx(row["price_coin"], rel=1e-12)
    assert found[Greek.CARRY_RHO] == pytest.approx(row["premium_adjusted_delta"], rel=1e-12)
    linear = black_greeks(*terms)
    assert linear[Greek.PRICE] == pytest.approx(row["price_usd"], rel=1e-12)
    assert linear[Greek.DELTA] == pytest.approx(row["delta_bs"], rel=1e-12)
    assert linear[Greek.GAMMA] == pytest.approx(row["gamma"], rel=1e-12)


def test_an_inverse_option_is_a_linear_one_in_coin(grid):
    for sign in (CALL, PUT):
        linear = black_price(*grid, sign=sign)
        assert np.allclose(inverse_option_price(*grid, sign), linear / grid[0], rtol=1e-15)
    parity = inverse_option_price(*grid, CALL) - inverse_option_price(*grid, PUT)
    assert np.allclose(parity, 1.0 - grid[1] / grid[0], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("sign", [CALL, PUT])
def test_coin_greeks_are_derivatives_of_the_coin_price(sign, exact_price, mpmath):
    def coin(forward, strike, years, sigma):
        return exact_price(forward, strike, years, sigma, sign=sign) / forward

    found = inverse_option_greeks(*TERMS, sign)
    orders = {
        Greek.DELTA: (1, 0, 0, 0), Greek.GAMMA: (2, 0, 0, 0), Greek.VEGA: (0, 0, 0, 1),
        Greek.THETA: (0, 0, 1, 0), Greek.VANNA: (1, 0, 0, 1), Greek.VOLGA: (0, 0, 0, 2),
        Greek.CHARM: (1, 0, 1, 0), Greek.VETA: (0, 0, 1, 1), Greek.SPEED: (3, 0, 0, 0),
        Greek.ZOMMA: (2, 0, 0, 1), Greek.COLOR: (2, 0, 1, 0), Greek.ULTIMA: (0, 0, 0, 3),
        Greek.STRIKE_DELTA: (0, 1, 0, 0), Greek.STRIKE_GAMMA: (0, 2, 0, 0),
    }  # fmt: skip
    for greek, order in orders.items():
        exact = float(mpmath.diff(coin, TERMS, order)) * (-1.0 if order[2] else 1.0)
        assert found[greek] == pytest.approx(exact, rel=1e-9), greek.name


def test_premium_adjusted_delta_hedges_dollars():
    """Long a call that is paid in coin, short its coins: the dollar value stands still."""
    coins = inverse_option_greeks(*TERMS)[Greek.CARRY_RHO]
    price = inverse_option_price(*TERMS)

    def dollars(forward):  # the premium was paid in coin and is owed
        return (inverse_option_price(forward, *TERMS[1:]) - price - coins) * forward

    bump = 1.0
    slope = (dollars(TERMS[0] + bump) - dollars(TERMS[0] - bump)) / (2.0 * bump)
    assert abs(slope) < 1e-9
    row = np.empty(black.N_GREEKS)
    assert inverse.premium_adjusted_delta(*TERMS, CALL, row) == pytest.approx(coins, rel=1e-14)


def test_delivery_is_the_mean_of_three_hundred_samples():
    samples = 60_000.0 + np.arange(300.0)
    delivery, paid, fee = settlement(samples, [50_000.0, 70_000.0, 60_149.0], CALL)
    assert delivery == pytest.approx(60_149.5, rel=1e-15)
    assert paid == pytest.approx([10_149.5 / 60_149.5, 0.0, 0.5 / 60_149.5], rel=1e-12)
    assert fee == pytest.approx([0.00015, 0.0, 0.125 * 0.5 / 60_149.5], rel=1e-12)
    assert DERIBIT.delivery_window == 1_800.0
    assert inverse.delivery_average(samples) == pytest.approx(60_149.5, rel=1e-15)
    assert inverse.payoff(50_000.0, 60_000.0, PUT) == pytest.approx(0.2, rel=1e-15)


def test_trade_fees_are_capped_by_the_price():
    assert inverse.trade_fee(0.05, DERIBIT.trade_fee, DERIBIT.trade_fee_cap) == 0.0003
    assert inverse.trade_fee(0.0008, DERIBIT.trade_fee, DERIBIT.trade_fee_cap) == 0.0001


def test_the_average_takes_two_thirds_of_its_window_off_the_clock():
    years = 3_600.0 / (365 * 86_400)
    left = effective_years(years) * 365 * 86_400
    assert left == pytest.approx(2_400.0, abs=5.0)  # 300 samples are nearly continuous
    rng = np.random.default_rng(5)
    steps = rng.normal(size=(20_000, 600)) * np.sqrt(6.0)  # 6 s each, variance of a second is 1
    average = np.cumsum(steps, axis=1)[:, 300:].mean(axis=1)
    assert average.var() == pytest.approx(float(left), rel=4.0 * np.sqrt(2.0 / 20_000))
    assert effective_years(0.0) == 0.0


def test_bad_delivery_windows_get_one_sentence():
    with pytest.raises(InputError, match="must hold 300 samples on its last axis, got shape"):
        settlement(np.ones(10), 1.0, CALL)
    with pytest.raises(InputError, match="index samples must be above 0"):
        settlement(np.zeros(300), 1.0, CALL)
    with pytest.raises(ConfigError, match=r"trade_fee must lie in \[0, 1\) coin, got 1.5"):
        InverseTerms(trade_fee=1.5)
    with pytest.raises(ConfigError, match=r"delivery_fee_cap must lie in \[0, 1\], got -1"):
        InverseTerms(delivery_fee_cap=-1.0)
    with pytest.raises(ConfigError, match="at least 1 sample"):
        InverseTerms(delivery_samples=0)


def test_standard_margin_of_options():
    initial, maintenance = margin.standard_margin(
        60_000.0, [60_000.0, 63_000.0, 90_000.0], [0.05, 0.03, 0.001], CALL
    )
    assert initial == pytest.approx([0.2, 0.13, 0.101], rel=1e-14)
    assert maintenance == pytest.approx([0.125, 0.105, 0.076], rel=1e-14)
    initial, maintenance = margin.standard_margin(60_000.0, [57_000.0, 240_000.0], [0.03, 3.0], PUT)
    assert initial == pytest.approx([0.13, 3.225], rel=1e-14)  # deep in the money: maintenance
    assert maintenance == pytest.approx([0.105, 3.225], rel=1e-14)


def test_margin_of_perpetuals(vectors):
    for row in vectors["deribit"]["standard_margin_perp_btc"]["examples"]:
        initial, maintenance = margin.perpetual_margin(row["pos"])
        if "im_btc" in row:
            assert initial == pytest.approx(row["im_btc"], rel=1e-14)
        if "mm_btc" in row:
            assert maintenance == pytest.approx(row["mm_btc"], rel=1e-14)
        if row["pos"]:
            assert initial / row["pos"] == pytest.approx(row["im"], rel=1e-14)


def test_portfolio_margin_is_the_worst_of_27_scenarios():
    years, index = 20 / 365, 60_000.0
    needed, gains = margin.portfolio_margin(index, 65_000.0, years, 0.6, CALL, -2.0)
    up = 0.6 * (1.0 + 0.5 * (30 / 20) ** 0.3)
    loss = 2.0 * (
        black_price(1.16 * index, 65_000.0, years, up) - black_price(index, 65_000.0, years, 0.6)
    )
    assert needed == pytest.approx(loss / index, rel=1e-12)
    assert gains.shape == (3, 9)
    assert gains[1, 4] == 0.0
    hedged, _ = margin.portfolio_margin(index, 65_000.0, years, 0.6, CALL, -2.0, futures=[0.8])
    assert 0.0 < hedged < needed
    long, _ = margin.portfolio_margin(index, 65_000.0, years, 0.6, CALL, 2.0)
    assert 0.0 < long <= 2.0 * inverse_option_price(index, 65_000.0, years, 0.6)
    future, _ = margin.portfolio_margin([], [], [], [], [], [], futures=[1.0], index=index)
    assert future == pytest.approx(0.16, rel=1e-14)
    with pytest.raises(InputError, match="index must be given"):
        margin.portfolio_margin([], [], [], [], [], [], futures=[1.0])


def test_shocked_volatilities():
    assert margin.shocked_volatility(0.6, 30.0, 1) == pytest.approx(0.9)
    assert margin.shocked_volatility(0.6, 30.0, -1) == pytest.approx(0.45)
    assert margin.shocked_volatility(0.6, 90.0, 1) == pytest.approx(0.6 * (1 + 0.5 * 3**-0.13))
    assert margin.shocked_volatility(0.2, 30.0, 1) == 0.5  # the floor
    assert margin.shocked_volatility(0.6, 5.0, 0) == 0.6


def test_kernels_run_as_plain_python(plain):
    whole = inverse_option_greeks(*TERMS, PUT)
    row = np.empty(black.N_GREEKS)
    with plain(inverse, margin, black, normal):
        inverse.inverse_greeks_of(row, *TERMS, PUT)
        short = margin.short_option_margin(60_000.0, 57_000.0, 0.03, PUT)
    assert np.allclose(row, whole, rtol=1e-12)
    assert short == pytest.approx((0.13, 0.105))
