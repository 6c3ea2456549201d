"""Processes with known facts, to test estimators against."""

import numpy as np

from sim.metrics.market_record import MarketRecord, Metaorders


def draws(seed):
    return np.random.Generator(np.random.Philox(seed))


def fractional_noise(n, hurst, seed):
    """Gaussian noise with ACF(k) = (|k+1|^2H - 2|k|^2H + |k-1|^2H) / 2 (Davies & Harte 1987)."""
    k = np.arange(n + 1, dtype=np.float64)
    cov = 0.5 * ((k + 1) ** (2 * hurst) - 2 * k ** (2 * hurst) + np.abs(k - 1) ** (2 * hurst))
    circle = np.concatenate([cov, cov[-2:0:-1]])
    scale = np.sqrt(np.maximum(np.fft.fft(circle).real, 0.0))
    draw = draws(seed)
    noise = draw.standard_normal(len(circle)) + 1j * draw.standard_normal(len(circle))
    return np.fft.fft(scale * noise).real[:n] / np.sqrt(len(circle))


def random_market(seconds=4000.0, rate=2.0, seed=1, name="random", **more):
    """A Poisson clock of unrelated orders on a Gaussian random walk: it shows none of the facts."""
    draw = draws(seed)
    n = draw.poisson(seconds * rate)
    time = np.sort(draw.uniform(0.0, seconds, n))
    quote_time = np.arange(0.0, seconds, 0.25)
    mid = 1000.0 + np.cumsum(0.05 * draw.standard_normal(len(quote_time)))
    sign = draw.choice([-1, 1], n).astype(np.int64)
    at = np.maximum(np.searchsorted(quote_time, time) - 1, 0)
    columns = {
        "trade_time": time,
        "trade_price": mid[at] + 0.01 * sign,
        "trade_size": draw.uniform(1.0, 3.0, n),
        "trade_sign": sign,
        "quote_time": quote_time,
        "bid": mid - 0.01,
        "ask": mid + 0.01,
        "bid_size": draw.uniform(1.0, 2.0, len(mid)),
        "ask_size": draw.uniform(1.0, 2.0, len(mid)),
        "depth_time": quote_time[::4],
        "bid_depth": np.tile(np.arange(30.0, 0.0, -1.0), (len(quote_time[::4]), 1)),
        "ask_depth": np.tile(np.arange(30.0, 0.0, -1.0), (len(quote_time[::4]), 1)),
    }
    return MarketRecord(name=name, tick=0.01, **(columns | more))


def square_root_parents(n=4000, delta=0.5, noise=2e-4, seed=2, **more):
    """A market whose metaorders move the mid by 1e-3 size^delta, with noise."""
    draw = draws(seed)
    size = draw.pareto(1.5, n) + 1.0
    side = draw.choice([-1, 1], n).astype(np.int64)
    move = side * (1e-3 * size**delta) + noise * draw.standard_normal(n)
    start = np.arange(n, dtype=np.float64)
    before = np.full(n, 100.0)
    quote_time = np.sort(np.concatenate([start, start + 0.5]))
    mid = np.empty(2 * n)
    mid[0::2], mid[1::2] = before, before * np.exp(move)
    parent = Metaorders(
        size=size, start=start, end=start + 0.5, side=side, average_price=before,
        price_before=before,
    )  # fmt: skip
    ones = np.ones(2 * n)
    return MarketRecord(
        name="parents", tick=0.01, quote_time=quote_time, bid=mid, ask=mid, bid_size=ones,
        ask_size=ones, parent=parent, **more,
    )  # fmt: skip
