"""Curve StableSwap: the NG invariant, 3pool's exchanges and its liquidity, in whole tokens."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from experiments.validation.check import Check, Kind, integer, number
from sim.amm.invariant import balance, exchange, invariant
from sim.amm.stableswap import (
    StableSwapState,
    amount_out,
    load,
    new_arrays,
    new_state,
    one_coin,
    pay,
    unbalanced,
    virtual_price,
)
from sim.state import Arena

WAD, FEE = 10**18, 10**10
DECIMALS = (18, 6, 6)  # of 3pool: DAI, USDC, USDT
TINY = Fraction(1, 10**5)  # of the pool, under which a trade may be 1e-8 off


def checks(document: dict[str, Any]) -> Iterator[Check]:
    """Every row of every block that the document has."""
    for i, row in enumerate(document.get("stableswap_ng_math", ())):
        yield from _math(f"stableswap_ng_math[{i}]", row)
    for i, row in enumerate(document.get("threepool_exchange", ())):
        yield from _exchange(f"threepool_exchange[{i}]", row)
    for i, row in enumerate(document.get("threepool_liquidity", ())):
        yield from _liquidity(f"threepool_liquidity[{i}] {row['op']}", row)


def _math(name: str, row: dict[str, Any]) -> Iterator[Check]:
    """Invariant, balance after a trade and what the trade takes out."""
    x = np.array([number(value, WAD) for value in row["xp"]])
    a = row["amp_A_PRECISION100"] / 100
    d = invariant(x, a)
    yield Check(row=name, quantity="D", got=d, expected=row["D"], unit=WAD)
    if "get_y_D_i0_D99pct" in row:
        lower = balance(x, 0, a, 0.99 * d)
        yield Check(
            row=name, quantity="get_y_D_i0_D99pct", got=lower,
            expected=row["get_y_D_i0_D99pct"], unit=WAD,
        )  # fmt: skip
    if "dx" in row:
        i, j, paid = row["i"], row["j"], number(row["dx"], WAD)
        kind: Kind = (
            "loose" if Fraction(integer(row["dx"])) < TINY * integer(row["D"]) else "amount"
        )
        out = exchange(x, i, j, paid, a, d)
        x[i] += paid
        yield Check(row=name, quantity="y", got=balance(x, j, a, d), expected=row["y"], unit=WAD)
        yield Check(
            row=name, quantity="dy_raw", got=out, expected=row["dy_raw"], unit=WAD, kind=kind
        )


def _pool(row: dict[str, Any], decimals: tuple[int, ...]) -> StableSwapState:
    """Build the row's pool in a world of its own; the vectors' pools keep all fees."""
    held = [number(value, 10**d) for value, d in zip(row["balances"], decimals, strict=True)]
    arena = Arena(1, new_arrays(len(held), 1))
    coins = np.arange(len(held), dtype=np.int64)
    units = np.array([10.0**-places for places in decimals])
    state = new_state(arena.views, coins, np.ones(len(held)), units=units, admin_fee=0.0)
    state.balances[0] = held
    state.amplification[0], state.fee[0] = row["A"], number(row["fee"], FEE)
    state.supply[0] = number(row["totalSupply"], WAD) if "totalSupply" in row else load(state, 0)
    return state


def _exchange(name: str, row: dict[str, Any]) -> Iterator[Check]:
    """One exchange: what is paid, what is left, and the growth of the worth of a share."""
    decimals = tuple(row["decimals"])
    state, i, j = _pool(row, decimals), row["i"], row["j"]
    paid = number(row["dx"], 10 ** decimals[i])
    before = virtual_price(state, 0)
    small = paid < float(TINY) * state.balances[0].sum()
    out, fee = amount_out(state, 0, i, j, paid)
    for quantity in ("get_dy", "exchange_dy"):
        yield Check(
            row=name, quantity=quantity, got=out, expected=row[quantity],
            unit=10 ** decimals[j], kind="loose" if small else "amount",
        )  # fmt: skip
    state.balances[0, i] += paid
    pay(state, np.zeros((1, 1, len(decimals))), 0, 0, j, out, fee)
    for k, held in enumerate(row["balances_after"]):
        yield Check(
            row=name, quantity=f"balances_after[{k}]", got=state.balances[0, k], expected=held,
            unit=10 ** decimals[k], kind="amount",
        )  # fmt: skip
    grown = virtual_price(state, 0) / before * number(row["virtual_price_before"], WAD)
    yield Check(
        row=name, quantity="virtual_price_after", got=grown,
        expected=row["virtual_price_after"], unit=WAD,
    )  # fmt: skip


def _liquidity(name: str, row: dict[str, Any]) -> Iterator[Check]:
    """One deposit or withdrawal."""
    state, op = _pool(row, DECIMALS), row["op"]
    if op == "calc_withdraw_one_coin":
        part = float(Fraction(integer(row["token_amount"]), integer(row["totalSupply"])))
        out, _ = one_coin(state, 0, row["i"], part)
        yield Check(
            row=name, quantity="amount_out", got=out, expected=row["amount_out"],
            unit=10 ** DECIMALS[row["i"]], kind="amount",
        )  # fmt: skip
        return
    load(state, 0)
    state.change[:] = [
        number(value, 10**d) for value, d in zip(row["amounts"], DECIMALS, strict=True)
    ]
    sign, field = (1.0, "minted") if op == "add_liquidity" else (-1.0, "burned")
    state.change[:] *= sign
    shares = sign * state.supply[0] * unbalanced(state, 0, state.cut)
    yield Check(row=name, quantity=field, got=shares, expected=row[field], unit=WAD, kind="amount")
