"""Maker's Dutch auctions: price curves, and whole sequences played through the venue.

A sequence is one vault in one world whose blocks last a second: rows LIQUIDATE, TAKE and REDO at
the seconds that the row names, and the full state after each. What the owner held outside the
vault is not in the row: her balance is compared from the first state on.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from experiments.validation.alone import Alone
from experiments.validation.check import Check, integer, number
from sim.actions import Reject, Verb
from sim.lending.maker.clip import clip_status, curve_price
from sim.lending.maker.market import MakerMarket
from sim.lending.maker.params import CURVES
from sim.lending.maker.vault import accrue

RAY, WAD, RAD = 10**27, 10**18, 10**45
ABACI = {
    "LinearDecrease": "linear",
    "StairstepExponentialDecrease": "stairstep",
    "ExponentialDecrease": "exponential",
}
CALC = {"lin": "linear", "stair": "stairstep", "exp": "exponential"}
CUSTODY, OWNER, BIDDER, KEEPER = range(4)
GEM, DAI = 0, 1
UNITS = {"tab": RAD, "lot": WAD, "top": RAY, "price": RAY, "urn_ink": WAD, "urn_art": WAD,
         "Dirt": RAD, "ilk_dirt": RAD, "gem_bidder": WAD, "dai_bidder_spent": RAD, "gem_usr": WAD,
         "dai_kpr": RAD, "dai_vow": RAD, "sin_vow": RAD}  # fmt: skip


def checks(document: dict[str, Any]) -> Iterator[Check]:
    """Every price of a curve, then every state of a sequence."""
    for i, row in enumerate(document.get("abaci", ())):
        yield from _curve(f"abaci[{i}]", row)
    for i, row in enumerate(document.get("clip", ())):
        yield from Sequence(f"clip[{i}] {row.get('name', '')}".strip(), row).checks()


def _curve(name: str, row: dict[str, Any]) -> Iterator[Check]:
    """One price of one curve.

    The contract rounds each product of its power to 27 digits, up to half a unit; squaring n times
    doubles that error n times over, so a power has an error of up to `dur` units, times the top.
    """
    top = number(row["top"], RAY)
    got = curve_price(
        float(CURVES[ABACI[row["calc"]]]), top, float(row["dur"]), float(row.get("tau", 1)),
        number(row.get("cut", RAY), RAY), float(row.get("step", 1)),
    )  # fmt: skip
    powers = 0 if row["calc"] == "LinearDecrease" else int(row["dur"]) // int(row.get("step", 1))
    units = 1.0 + powers * float(Fraction(integer(row["top"]), RAY))
    yield Check(
        row=name, quantity="price", got=got, expected=row["price"], unit=RAY, units=units
    )  # fmt: skip


class Sequence:
    """One vault, its auctions, and the steps of a row.

    Parameters
    ----------
    name : str
    row : dict
    """

    def __init__(self, name: str, row: dict[str, Any]) -> None:
        self.name, self.steps = name, row["steps"]
        terms = row["config"]
        debt, ink = number(terms["art"], WAD), number(terms["ink"], WAD)
        price = number(terms["price0"], WAD)
        accounts = ("market", "owner", "bidder", "keeper")
        self.world = Alone(("GEM", "DAI"), (price, 1.0), accounts)
        self.world.block_seconds = 1.0
        market = MakerMarket(
            collateral="GEM", stable="DAI", auction="clip", max_auctions=8,
            liquidation_ratio=number(terms["mat"], RAY), dust=number(terms["dust"], RAD),
            penalty=float(Fraction(integer(terms["chop"]), WAD) - 1), stability_fee=0.0,
            hole=number(terms["hole"], RAD), total_hole=number(terms["Hole"], RAD),
            buf=number(terms["buf"], RAY), tail=float(terms["tail"]), curve=CALC[terms["calc"]],
            cut=number(terms["cut"], RAY), step=float(terms["step"]),
            linear_tau=float(terms["tau"]), cusp=number(terms["cusp"], RAY),
            tip=number(terms["tip"], RAD), chip=number(terms["chip"], WAD),
        )  # fmt: skip
        market.add_positions("owner", np.array([[ink, 0.0]]), np.array([[0.0, debt]]))
        self.market = self.world.seat(market)
        self.chost = terms["chost"]
        growth = number(terms["rate_add"], RAY)
        accrue(market.state, market.money, np.array([1.0 + growth]))
        self.purse = 4.0 * debt * (1.0 + growth)
        self.world.ledger.endow(BIDDER, DAI, self.purse)
        self.auction = 0  # number of the last one

    def checks(self) -> Iterator[Check]:
        """Play the steps and compare all that the row tells."""
        chost = self.market.state.system["chost"][0]
        yield self.check("chost", chost, self.chost, RAD)
        held: Fraction | None = None  # what the owner had besides
        for place, step in enumerate(self.steps):
            self.world.step = int(step.get("t", 0))
            label = f"steps[{place}] {step['op']}"
            if step["op"] == "poke":
                self.world.oracle_price[:, GEM] = number(step["price"], WAD)
            else:
                code = self.play(step)
                yield Check(
                    row=self.name, quantity=f"{label} ok", got=code == Reject.OK,
                    expected=step["ok"], kind="exact",
                )  # fmt: skip
            after = step.get("after")
            if after:
                found = self.state()
                if held is None:
                    held = Fraction(integer(after["gem_usr"]), WAD) - Fraction(found["gem_usr"])
                found["gem_usr"] = float(Fraction(found["gem_usr"]) + held)
                yield from self.compare(label, found, after)

    def play(self, step: dict[str, Any]) -> int:
        """Execute one step; the reject code."""
        if step["op"] == "bark":
            done = self.world.act(self.market, Verb.LIQUIDATE, account=KEEPER, target=0)
            if done["code"] == Reject.OK:
                self.auction = int(done["r0"])
        elif step["op"] == "take":
            done = self.world.act(
                self.market, Verb.TAKE, account=BIDDER, target=self.auction,
                amount=number(step["amt"], WAD), limit=number(step["max"], RAY),
            )  # fmt: skip
        elif step["op"] == "redo":
            done = self.world.act(self.market, Verb.REDO, account=KEEPER, target=self.auction)
        else:
            raise ValueError(f"unknown step {step['op']!r}; known: poke, bark, take, redo")
        return int(done["code"])

    def state(self) -> dict[str, Any]:
        """All that a row tells after a step."""
        state, balances = self.market.state, self.world.ledger.balances[0]
        slot = self.auction % self.market.params.max_auctions
        auction, system, urn = state.auctions[0, slot], state.system[0], state.urns[0, 0]
        stale, price = clip_status(state, 0, slot, self.market.now)
        started = auction["live"] == 1.0
        return {
            "tab": auction["tab"], "lot": auction["lot"], "top": auction["top"],
            "tic": int(auction["tic"] - self.market.now) + self.world.step if started else 0,
            "needsRedo": bool(stale), "price": price, "urn_ink": urn["ink"], "urn_art": urn["art"],
            "Dirt": system["dirt"], "ilk_dirt": system["dirt"],
            "gem_bidder": balances[BIDDER, GEM],
            "dai_bidder_spent": self.purse - balances[BIDDER, DAI],
            "gem_usr": balances[OWNER, GEM], "dai_kpr": balances[KEEPER, DAI],
            "dai_vow": system["surplus"], "sin_vow": system["sin"],
        }  # fmt: skip

    def compare(
        self, label: str, found: dict[str, Any], after: dict[str, Any]
    ) -> Iterator[Check]:  # fmt: skip
        """One check per quantity."""
        for quantity, expected in after.items():
            got = found[quantity]
            if quantity in UNITS:
                yield self.check(f"{label} {quantity}", got, expected, UNITS[quantity])
            else:
                yield Check(
                    row=self.name, quantity=f"{label} {quantity}", got=got, expected=expected,
                    kind="exact",
                )  # fmt: skip

    def check(self, quantity: str, got: Any, expected: str, unit: int) -> Check:
        """Compare one amount.

        What a contract rounds is a wad of collateral, of art or a price in rays; stable tokens are
        rads, products of two of these, so that 3 wei of collateral are 3 × 10^27 rads times the
        price. Their smallest unit is a wad all the same: no token has smaller ones.
        """
        units = 3.0 * 10**27 if unit == RAD else None
        return Check(
            row=self.name, quantity=quantity, got=float(got), expected=expected, kind="amount",
            unit=unit, units=units,
        )  # fmt: skip
