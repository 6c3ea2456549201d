"""The best trade with crvUSD's bands against a search over the contract's own exchange."""

import numpy as np
import pytest

from experiments.validation.alone import Alone
from sim.lending.band_trades import profit_maximising_exchange
from sim.lending.crvusd import CrvUsdMarket
from sim.lending.llamma import IN, OUT, exchange, note_oracle

LOANS = 30


def market_in_use(seed, fee=0.006):
    """Bands of 30 loans after ten trades and moves of the oracle, some of them half through."""
    rng = np.random.default_rng(seed)
    world = Alone(("WETH", "DAI"), (2_000.0, 1.0), ("venue", "alice"))
    market = CrvUsdMarket(stable="DAI", fee=fee)
    collateral, debt = np.zeros((LOANS, 2)), np.zeros((LOANS, 2))
    collateral[:, 0] = rng.uniform(1.0, 50.0, LOANS)
    debt[:, 1] = collateral[:, 0] * 2_000.0 * rng.uniform(0.5, 0.84, LOANS)
    market.add_positions(1, collateral, debt)
    world.seat(market)
    bands, price = market.bands, 2_000.0
    for _ in range(10):
        price *= np.exp(rng.normal(-0.01, 0.04))
        world.oracle_price[:, 0] = price
        world.step += int(rng.integers(1, 20))
        market.look()
        pump = bool(rng.random() < 0.5)
        amount = 10.0 ** rng.uniform(-2.0, 2.5) * (2_000.0 if pump else 1.0)
        exchange(bands, 0, pump, amount, False, True)
        note_oracle(bands, 0)
    return market, price, rng


def profit(bands, pump, cost, amounts):
    """What the exchange itself pays, less the cost of what it takes."""
    found = []
    for amount in amounts:
        exchange(bands, 0, pump, amount, False, False)
        found.append(bands.found[OUT] - cost * bands.found[IN])
    return np.array(found)


def searched(bands, pump, cost, most):
    """Highest profit on a grid of amounts, refined three times around the best."""
    grid = np.concatenate([[0.0], np.geomspace(most * 1e-6, most, 2_000)])
    for _ in range(3):
        gains = profit(bands, pump, cost, grid)
        k = int(gains.argmax())
        grid = np.linspace(grid[max(k - 1, 0)], grid[min(k + 1, grid.size - 1)], 400)
    return float(profit(bands, pump, cost, grid).max())


@pytest.mark.parametrize("seed", range(12))
def test_no_amount_beats_it(seed):
    market, price, rng = market_in_use(
        seed, fee=float(np.random.default_rng(seed).choice([0, 6e-3]))
    )
    bands, paid = market.bands, 0
    for _ in range(6):
        outside = price * np.exp(rng.normal(0.0, 0.06))
        for pump in (False, True):
            cost = 1.0 / outside if pump else outside
            most = float(rng.choice([1e9, 10.0 ** rng.uniform(0.0, 6.0)]))
            amount, out = profit_maximising_exchange(bands, 0, pump, cost, most)
            assert 0.0 <= amount <= most
            best = searched(bands, pump, cost, min(most, 1e8))
            gain = out - cost * amount
            scale = max(gain, 1e-9 * cost)
            assert gain >= best - 1e-9 * scale - 1e-12 * cost * amount
            exchange(bands, 0, pump, amount, False, False)
            assert bands.found[OUT] == pytest.approx(out, rel=1e-9, abs=1e-12)
            paid += amount > 0.0
    assert paid > 0


def test_fees_that_fall_towards_the_oracle_make_several_peaks():
    """Where the next band's fee is smaller the profit rises again: the highest peak counts."""
    found = 0
    for seed in range(40):
        market, price, rng = market_in_use(seed, fee=0.0)
        market.world.step += 1_000
        market.world.oracle_price[:, 0] = price * np.exp(rng.normal(0.0, 0.1))
        market.look()
        for factor in (0.9, 0.95, 1.0, 1.05, 1.1):
            for pump in (False, True):
                cost = 1.0 / (price * factor) if pump else price * factor
                grid = np.geomspace(1e-4, 500.0, 3_000) * (2_000.0 if pump else 1.0)
                gains = profit(market.bands, pump, cost, grid)
                steps = np.diff(gains)
                turns = np.sign(steps[np.abs(steps) > 1e-9 * np.abs(gains).max()])
                if ((turns[:-1] > 0) & (turns[1:] < 0)).sum() < 2:
                    continue
                found += 1
                amount, out = profit_maximising_exchange(market.bands, 0, pump, cost, np.inf)
                assert out - cost * amount >= gains.max() * (1.0 - 1e-9)
        if found >= 3:
            return
    raise AssertionError("no state had two peaks: the test has lost its point")


def test_nothing_pays_inside_the_fee():
    market, price, _ = market_in_use(5)
    bands = market.bands
    market.world.step += 1_000
    market.look()
    for pump in (False, True):  # first to the best, after which nothing is left to gain
        cost = 1.0 / price if pump else price
        amount, _ = profit_maximising_exchange(bands, 0, pump, cost, np.inf)
        exchange(bands, 0, pump, amount, False, True)
    for pump in (False, True):
        cost = 1.0 / price if pump else price
        amount, out = profit_maximising_exchange(bands, 0, pump, cost, np.inf)
        assert out - cost * amount <= 1e-9 * (1.0 + out)


def test_plain_python_agrees():
    market, price, _ = market_in_use(7)
    for pump in (False, True):
        cost = 0.97 / price if pump else 0.97 * price
        assert profit_maximising_exchange.py_func(
            market.bands, 0, pump, cost, 1e6
        ) == profit_maximising_exchange(market.bands, 0, pump, cost, 1e6)
