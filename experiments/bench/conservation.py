"""A hundred million random messages through the order book, of which nothing may be lost."""

import time
from collections.abc import Callable
from typing import Any

from experiments.bench import Figure

MESSAGES = 100_000_000
CHECKS = 100


def conservation() -> list[Figure]:
    """Cash, assets and lots through random messages of every kind; raises where one is lost."""
    from sim.book.book import OrderBook
    from sim.book.storm import Weather, weather_the_storm

    figures = []
    storms: tuple[tuple[str, dict[str, Any], Weather], ...] = (
        (
            "accounts and fees",
            {"n_accounts": 16, "taker_fee_bps": 5.0, "maker_fee_bps": -2.0},
            Weather(),
        ),
        (
            "a window that slides",
            {"n_accounts": 5, "capacity": 100, "taker_fee_bps": 3.0, "maker_fee_bps": 1.0},
            Weather(ids=300, spread=2_000, jump=20_000),
        ),
    )
    weather_the_storm(OrderBook(n_levels=4096).state, 1_000)
    for name, terms, weather in storms:
        book = OrderBook(n_levels=4096, **terms)
        for account in range(terms["n_accounts"]):
            book.fund(account, 10**16, 3_000)
        begun = time.perf_counter()
        counts = weather_the_storm(book.state, MESSAGES, 1, weather, MESSAGES // CHECKS)
        seconds = time.perf_counter() - begun
        note = (
            f"{name}: {counts['trades']:,} trades, {counts['came']:,} lots came, "
            f"{counts['came'] - counts['went']:,} rest; nothing lost in {counts['checks']} checks"
        )
        figures.append(
            Figure("random messages conserved", float(counts["messages"]), "", 1e8, True, note)
        )
        figures.append(
            Figure("a random message, made, done and counted", seconds / MESSAGES * 1e9, "ns")
        )
    return figures


PARTS: dict[str, list[Callable[[], list[Figure]]]] = {"conservation": [conservation]}
