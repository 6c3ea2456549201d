"""A record refuses columns that cannot belong together."""

import numpy as np
import pytest
from processes import random_market

from sim.errors import InputError
from sim.metrics.market_record import MarketRecord


def test_columns_of_a_group_have_one_length():
    with pytest.raises(InputError, match="it: trade_size has 1 rows and trade_time has 2"):
        MarketRecord(
            name="it", tick=0.1, trade_time=np.array([1.0, 2.0]), trade_price=np.ones(2),
            trade_size=np.ones(1), trade_sign=np.ones(2, np.int64),
        )  # fmt: skip


def test_time_must_ascend():
    times = np.array([2.0, 1.0])
    with pytest.raises(InputError, match="quote_time must ascend: sort the rows by time"):
        MarketRecord(
            name="it", tick=0.1, quote_time=times, bid=times, ask=times, bid_size=times,
            ask_size=times,
        )  # fmt: skip


@pytest.mark.parametrize("tick", [0.0, -1.0, float("nan")])
def test_the_tick_is_positive(tick):
    with pytest.raises(InputError, match="the tick must be positive"):
        MarketRecord(name="it", tick=tick)


def test_seconds_span_trades_and_quotes():
    assert MarketRecord(name="empty", tick=0.1).seconds == 0.0
    assert random_market(seconds=100.0).seconds == pytest.approx(100.0, abs=1.0)
