"""Liquity v1: whole sequences played through the venue, the full state after each step.

Troves are opened by rows, in the order of the case; the steps are price, liquidate, provide,
withdraw, redeem, and open, top up, take out, draw, repay or close a trove. A ratio without debt is
2^256 - 1 on chain and inf here. The bookkeeping of 2025 has no epochs, which the file marks by -1.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.validation.alone import Alone
from experiments.validation.check import Check, integer, number
from sim.actions import Reject, Verb
from sim.lending.liquity.market import LiquityMarket
from sim.lending.liquity.pool import compounded, gain
from sim.lending.liquity.troves import entire, in_recovery, ratio, system_ratio

WAD = 10**18
ETH, LUSD = 0, 1
NO_EPOCHS = -1
INFINITE = 2**256 - 1
FIRST = 2  # account of the first trove's owner; before it custody and the liquidator
ON_TROVE = {  # step -> verb, asset
    "addColl": (Verb.SUPPLY, ETH), "withdrawColl": (Verb.WITHDRAW, ETH),
    "withdrawLUSD": (Verb.BORROW, LUSD), "repayLUSD": (Verb.REPAY, LUSD),
    "close": (Verb.REPAY, LUSD),
}  # fmt: skip
ON_POOL = {"provide": Verb.ADD_LIQUIDITY, "withdraw": Verb.REMOVE_LIQUIDITY, "redeem": Verb.REDEEM}
SYSTEM = {"L_ETH": "L_coll", "L_LUSDDebt": "L_debt", "P": "P", "totalLUSDDeposits": "deposits",
          "spETH": "pool_coll", "activeETH": "active_coll", "activeDebt": "active_debt",
          "defaultETH": "default_coll", "defaultDebt": "default_debt",
          "baseRate": "base_rate"}  # fmt: skip


def checks(document: dict[str, Any]) -> Iterator[Check]:
    """Every state of every case."""
    for i, row in enumerate(document.get("cases", ())):
        yield from Case(f"cases[{i}] {row.get('name', '')}".strip(), row).checks()


class Case:
    """One system and its steps.

    Parameters
    ----------
    name : str
    row : dict
    """

    def __init__(self, name: str, row: dict[str, Any]) -> None:
        self.name, self.row = name, row
        people = [*row["troves"], *row.get("deposits", {})]
        for step in row["steps"]:
            people += step.get("after", {}).get("troves", {})
        self.people = list(dict.fromkeys(people))
        accounts = ("market", "liquidator", *self.people)
        self.world = Alone(("ETH", "LUSD"), (number(row["price0"], WAD), 1.0), accounts)
        market = LiquityMarket(collateral="ETH", stable="LUSD")
        empty = np.zeros((1, 2))
        for person in self.people:
            market.add_positions(person, empty, empty)
        self.market = self.world.seat(market)
        for person, (coll, amount) in row["troves"].items():
            self.open(person, coll, amount)
        for person, amount in row.get("deposits", {}).items():
            self.on_pool("provide", person, number(amount, WAD))

    def trove(self, person: str) -> int:
        """Trove of a person, who has the same place among the accounts."""
        return self.people.index(person)

    def on_trove(self, verb: Verb, person: str, asset: int, amount: float) -> int:
        """One row on a trove by its owner; the reject code."""
        trove = self.trove(person)
        done = self.world.act(
            self.market, verb, account=FIRST + trove, target=trove, asset=asset, amount=amount
        )
        return int(done["code"])

    def open(self, person: str, coll: str, amount: str) -> int:
        """Open a trove with collateral from outside; the reject code."""
        self.give(person, ETH, number(coll, WAD))
        self.on_trove(Verb.SUPPLY, person, ETH, number(coll, WAD))
        return self.on_trove(Verb.BORROW, person, LUSD, number(amount, WAD))

    def give(self, person: str, asset: int, amount: float) -> None:
        """Endow a person with what a step needs and she does not have."""
        account = FIRST + self.trove(person)
        lacks = amount - self.world.ledger.balances[0, account, asset]
        if lacks > 0.0:
            self.world.ledger.endow(account, asset, lacks)

    def on_pool(self, name: str, person: str, amount: float) -> int:
        """One row of the pool or of redemptions; the reject code."""
        if name != "withdraw":
            self.give(person, LUSD, amount)
        account = FIRST + self.trove(person)
        done = self.world.act(
            self.market, ON_POOL[name], account=account, asset=LUSD, amount=amount
        )
        return int(done["code"])

    def play(self, step: dict[str, Any]) -> int:
        """Execute one step; the reject code."""
        name, given = step["op"], step.get("args", [])
        if name == "price":
            self.world.oracle_price[:, ETH] = number(given[0], WAD)
            return int(Reject.OK)
        if name == "liquidate":
            target = self.trove(given[0])
            done = self.world.act(self.market, Verb.LIQUIDATE, account=1, target=target)
            return int(done["code"])
        if name == "open":
            return self.open(*given)
        amount = number(given[1], WAD) if len(given) > 1 else np.inf
        if name in ON_POOL:
            return self.on_pool(name, given[0], amount)
        if name in ON_TROVE:
            verb, asset = ON_TROVE[name]
            if verb in (Verb.SUPPLY, Verb.REPAY):
                debt = entire(self.market.state, 0, self.trove(given[0]))[1]
                self.give(given[0], asset, debt if np.isinf(amount) else amount)
            return self.on_trove(verb, given[0], asset, amount)
        known = ("price", "liquidate", "open", *ON_POOL, *ON_TROVE)
        raise ValueError(f"unknown step {name!r}; known: {', '.join(known)}")

    def checks(self) -> Iterator[Check]:
        """Play the steps and compare all that the row tells."""
        for place, step in enumerate(self.row["steps"]):
            label = f"steps[{place}] {step['op']}"
            balance = self.world.ledger.balances[0, 1]
            before = float(balance[ETH])
            if step["op"] != "init":
                code = self.play(step)
                yield self.exact(f"{label} ok", code == Reject.OK, step["ok"])
            if "liquidatorETH" in step:
                yield self.amount(
                    f"{label} liquidatorETH", balance[ETH] - before, step["liquidatorETH"]
                )
            balance[ETH] = 0.0  # so that the next payment keeps its digits
            yield from self.system(label, step["after"])
            for person, after in step["after"]["troves"].items():
                yield from self.person(f"{label} {person}", person, after)

    def system(self, label: str, after: dict[str, Any]) -> Iterator[Check]:
        """Compare what belongs to all."""
        state, price = self.market.state, float(self.world.oracle_price[0, ETH])
        record = state.system[0]
        for quantity, expected in after.items():
            name = f"{label} {quantity}"
            if quantity in SYSTEM:
                yield self.amount(name, record[SYSTEM[quantity]], expected)
            elif quantity == "price":
                yield self.amount(name, price, expected)
            elif quantity == "TCR":
                yield self.ratio(name, system_ratio(state, 0, price), expected)
            elif quantity == "recovery":
                yield self.exact(name, bool(in_recovery(state, 0, price)), expected)
            elif quantity == "currentScale":
                yield self.exact(name, int(record["scale"]), integer(expected))
            elif quantity == "currentEpoch":
                yield self.exact(name, NO_EPOCHS, integer(expected))

    def person(self, label: str, person: str, after: dict[str, Any]) -> Iterator[Check]:
        """Compare one person's trove and deposit."""
        state, price = self.market.state, float(self.world.oracle_price[0, ETH])
        place = self.trove(person)
        record = state.troves[0, place]
        coll, debt = entire(state, 0, place)
        pending = (coll - record["coll"], debt - record["debt"])
        found = {
            "entireColl": coll, "entireDebt": debt, "pendingETH": pending[0],
            "pendingDebt": pending[1], "stake": record["stake"], "surplus": record["surplus"],
            "sp_deposit": compounded(state, 0, FIRST + place),
            "sp_ETHgain": gain(state, 0, FIRST + place),
        }  # fmt: skip
        for quantity, expected in after.items():
            name = f"{label} {quantity}"
            if quantity == "status":
                yield self.exact(name, int(record["status"]), integer(expected))
            elif quantity == "ICR":
                yield self.ratio(name, ratio(coll, debt, price), expected)
            else:
                yield self.amount(name, found[quantity], expected)

    def exact(self, quantity: str, got: Any, expected: Any) -> Check:
        """Compare a choice."""
        return Check(
            row=self.name, quantity=quantity, got=got, expected=expected, kind="exact"
        )  # fmt: skip

    def amount(self, quantity: str, got: float, expected: str) -> Check:
        """Compare an amount of 18 decimals."""
        return Check(
            row=self.name, quantity=quantity, got=float(got), expected=expected, kind="amount",
            unit=WAD,
        )  # fmt: skip

    def ratio(self, quantity: str, got: float, expected: str) -> Check:
        """Compare a collateral ratio."""
        if integer(expected) == INFINITE:
            return self.exact(quantity, bool(np.isinf(got)), True)
        return Check(row=self.name, quantity=quantity, got=float(got), expected=expected, unit=WAD)
