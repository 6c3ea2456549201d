"""Uniswap v3: tick maths, single swap steps and whole-pool swaps through the pool's kernels."""

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from experiments.validation.check import Check, Kind, integer, number
from sim.amm.ranges import (
    ConcentratedState,
    change_position,
    current_tick,
    new_arrays,
    new_state,
    open_position,
    owed,
    settle,
    trade,
)
from sim.amm.ticks import MAX_ROOT, MIN_ROOT, root_at_tick, swap_step, tick_at_root
from sim.state import Arena

Q96, Q128, PIPS = 2**96, 2**128, 10**6
TICK = re.compile(r"#getSqrtRatioAtTick tick (-?\d+) ")
RATIO = re.compile(r"#getTickAtSqrtRatio ratio (\d+) ")


def checks(document: dict[str, Any]) -> Iterator[Check]:
    """Every row of every block that the document has."""
    for i, row in enumerate(document.get("tickMath", ())):
        yield _root(f"tickMath[{i}]", int(row["tick"]), row["sqrtRatioX96"])
    for i, row in enumerate(document.get("tickAtSqrt", ())):
        yield _tick(f"tickAtSqrt[{i}]", row["sqrtPriceX96"], row["tick"])
    for i, (name, value) in enumerate(document.get("tickMath_snapshot", {}).items()):
        tick, ratio = TICK.search(name), RATIO.search(name)
        if tick:
            yield _root(f"tickMath_snapshot[{i}]", int(tick[1]), value)
        elif ratio:
            yield _tick(f"tickMath_snapshot[{i}]", ratio[1], value)
    for i, row in enumerate(document.get("computeSwapStep", ())):
        yield from _step(f"computeSwapStep[{i}]", row)
    for i, row in enumerate(document.get("swaps", ())):
        yield from _swap(f"swaps[{i}] {row['pool']}", row)


def _root(name: str, tick: int, expected: str) -> Check:
    got = root_at_tick(tick)
    return Check(row=name, quantity="sqrtRatioX96", got=got, expected=expected, unit=Q96)


def _tick(name: str, ratio: str, expected: str | int) -> Check:
    got = tick_at_root(number(ratio, Q96))
    return Check(row=name, quantity="tick", got=got, expected=int(expected), kind="exact")


def _step(name: str, row: dict[str, Any]) -> Iterator[Check]:
    """One step within a range; its width is the exact difference of the two roots."""
    start, end = integer(row["sqrtCurrent"]), integer(row["sqrtTarget"])
    remaining, falls = integer(row["amountRemaining"]), start >= end
    root, gap = number(start, Q96), number(abs(end - start), Q96)
    _, after, paid, out, charged, _ = swap_step(
        root, number(end, Q96), gap, falls, number(row["liquidity"]), float(abs(remaining)),
        row["feePips"] / PIPS, remaining < 0, 1.0, 1.0 / Q96,
    )  # fmt: skip
    yield Check(row=name, quantity="sqrtNext", got=after, expected=row["sqrtNext"], unit=Q96)
    for quantity, got in (("amountIn", paid), ("amountOut", out), ("feeAmount", charged)):
        yield Check(row=name, quantity=quantity, got=got, expected=row[quantity], kind="amount")


def _pool(row: dict[str, Any]) -> ConcentratedState:
    """Build the row's pool in a world of its own, in smallest units of both tokens."""
    positions = row["positions"]
    arena = Arena(1, new_arrays(2 * len(positions), len(positions)))
    state = new_state(
        arena.views,
        np.array([0, 1], np.int64),
        fee=row["fee"] / PIPS,
        unit=1.0,
        quantum=1.0 / Q96,
        spacing=row["tickSpacing"],
    )
    state.root[0] = number(row["sqrtPriceX96Start"], Q96)
    for slot, (lower, upper, liquidity) in enumerate(positions):
        open_position(state, 0, slot, slot, lower, upper)
        change_position(state, 0, slot, number(liquidity))
    return state


def _swap(name: str, row: dict[str, Any]) -> Iterator[Check]:
    """One swap on a fresh pool; the price limit is the contract's own rule (`SPL`)."""
    state, exact = _pool(row), row["exact"]
    falls, exact_out = row["zeroForOne"], row["kind"] == "exactOut"
    limit, start = integer(row["sqrtPriceLimitX96"]), integer(row["sqrtPriceX96Start"])
    bad_limit = limit >= start if falls else limit <= start
    yield Check(
        row=name, quantity="revert", got=bad_limit, expected="revert" in exact, kind="exact"
    )
    if bad_limit or "revert" in exact:
        return
    if "pool0Before" in exact:
        held = np.zeros((1, 2))
        owed(state, 0, held)
        for asset in range(2):
            yield Check(
                row=name, quantity=f"pool{asset}Before", got=held[0, asset],
                expected=exact[f"pool{asset}Before"], kind="amount",
                units=3.0 * len(row["positions"]),
            )  # fmt: skip
    before = current_tick(state, 0)
    amount = np.inf if row["amount"] is None else number(row["amount"])
    stop = min(max(number(limit, Q96), MIN_ROOT), MAX_ROOT)
    trade(state, 0, falls, amount, exact_out, stop)
    settle(state, 0, falls)
    paid, out = state.found[0], state.found[1]
    into, other = (0, 1) if falls else (1, 0)
    found: tuple[tuple[str, float, Kind], ...] = (
        (f"amount{into}Delta", paid, "amount"),
        (f"amount{other}Delta", -out, "amount"),
        ("liquidityAfter", state.liquidity[0], "relative"),
    )
    for quantity, got, kind in found:
        yield Check(row=name, quantity=quantity, got=got, expected=exact[quantity], kind=kind)
    yield Check(
        row=name, quantity="sqrtPriceX96After", got=state.root[0],
        expected=exact["sqrtPriceX96After"], unit=Q96,
    )  # fmt: skip
    for quantity, tick in (("tickBefore", before), ("tickAfter", current_tick(state, 0))):
        yield Check(row=name, quantity=quantity, got=tick, expected=exact[quantity], kind="exact")
    for asset in range(2):
        field = f"feeGrowthGlobal{asset}X128Delta"
        units = Fraction(3 * Q128, max(integer(exact["liquidityAfter"]), 1))  # of three wei of fee
        yield Check(
            row=name, quantity=field, got=state.growth[0, asset], expected=exact[field],
            unit=Q128, units=max(float(units), 1.0),
        )  # fmt: skip
