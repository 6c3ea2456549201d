"""Uniswap v2: amounts in and out, flash repayment of the same token, and the protocol's shares."""

from collections.abc import Iterator
from typing import Any

from experiments.validation.alone import Alone
from experiments.validation.check import Check, integer, number
from sim.actions import Verb
from sim.amm.constant_product import ConstantProductPool, amount_in, amount_out

FEE = 0.003
WAD = 10**18


def checks(document: dict[str, Any]) -> Iterator[Check]:
    """Every row of every block that the document has."""
    for block in ("stated_getInputPrice", "computed"):
        for i, row in enumerate(document.get(block, ())):
            reserves = number(row["reserveIn"]), number(row["reserveOut"])
            got = amount_out(number(row["amountIn"]), *reserves, FEE)
            yield _amount(f"{block}[{i}]", "amountOut", got, row)
    for i, row in enumerate(document.get("computed_in", ())):
        reserves = number(row["reserveIn"]), number(row["reserveOut"])
        got = amount_in(number(row["amountOut"]), *reserves, FEE)
        yield _amount(f"computed_in[{i}]", "amountIn", got, row)
    for i, row in enumerate(document.get("stated_optimistic", ())):
        # What is taken out and paid back in the same token must cover the fee: in (1 - fee) >= out.
        got = number(row["amountIn"]) * (1.0 - FEE)
        yield _amount(f"stated_optimistic[{i}]", "amountOut", got, row)
    if "stated_feeTo" in document:
        yield from _protocol_fee(document["stated_feeTo"])


def _amount(name: str, quantity: str, got: float, row: dict[str, str]) -> Check:
    return Check(row=name, quantity=quantity, got=got, expected=row[quantity], kind="amount")


def _protocol_fee(row: dict[str, str]) -> Iterator[Check]:
    """One swap in a balanced pool, then the shares that the protocol gets for it."""
    size = number(row["reserves"], WAD)
    world = Alone(("A", "B"), (1.0, 1.0), ("venue", "trader"))
    for asset in range(2):
        world.ledger.endow(1, asset, size)
    pool = world.seat(
        ConstantProductPool(
            asset_0="A", asset_1="B", reserve_0=size, reserve_1=size, protocol_fee=True
        )
    )
    paid = number(row["swapAmountIn"], WAD)
    out = world.act(pool, Verb.SWAP, account=1, asset=0, asset_2=1, amount=paid)["r1"]
    world.act(pool, Verb.ADD_LIQUIDITY, account=1, asset=0, amount=1e-9)
    for quantity, got in (
        ("amountOut", out),
        ("feeLiquidityMinted", pool.state.protocol_shares[0]),
    ):
        yield Check(
            row="stated_feeTo[0]", quantity=quantity, got=got,
            expected=integer(row[quantity]), kind="amount", unit=WAD,
        )  # fmt: skip
