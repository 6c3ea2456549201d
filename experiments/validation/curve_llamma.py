"""Curve's LLAMMA: the grid, deposits, exchanges, oracle moves; every band and user after each step.

A case is played in one world, in whole tokens. What an exchange leaves in a band is the difference
of what was there and what was paid; so a band's remainder is compared to 1e-12 of what the band
gave, not of the remainder, which may be the last thousand wei of a band of 1e22.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.validation.check import Check, number
from sim.lending.llamma import (
    IN,
    OUT,
    BandState,
    amount_for_price,
    band_top,
    deposit,
    exchange,
    limited_oracle,
    new_arrays,
    new_state,
    note_oracle,
    price_in_band,
    user_holdings,
    user_worth,
    value_bands,
    withdraw,
)
from sim.state import Arena

WAD = 10**18
ZERO, BANDS, USERS = 600, 1800, 64


def checks(document: dict[str, Any]) -> Iterator[Check]:
    """Every step of every case."""
    for i, case in enumerate(document.get("cases", ())):
        yield from Case(f"cases[{i}]", case).checks()


class Case:
    """One AMM and the steps that are played on it."""

    def __init__(self, name: str, case: dict[str, Any]) -> None:
        config = case["config"]
        self.name, self.case, self.config = name, case, config
        self.units = (10 ** config["borrowed_decimals"], 10 ** config["coll_decimals"])
        arena = Arena(1, new_arrays(BANDS, USERS, 50))
        self.state: BandState = new_state(
            arena.views, amplification=float(config["A"]), zero=ZERO, wei=1.0 / WAD
        )
        state, base = self.state, number(config["base_price"], WAD)
        state.base[0] = state.oracle[0] = state.old_oracle[0] = base
        state.fee[0] = number(config["fee"], WAD)
        self.given: dict[str, float] = {}  # what a remainder is measured by, per quantity

    def checks(self) -> Iterator[Check]:
        """Grid, then steps in order."""
        for k, row in enumerate(self.case.get("bands_prices", ())):
            yield from self._grid(f"{self.name} bands_prices {k}", row)
        for k, step in enumerate(self.case["steps"]):
            row = f"{self.name} step {k} {step['op']}"
            yield from getattr(self, step["op"])(row, step)
            for moment in ("before", "after"):
                if moment in step:
                    yield from self._whole(row, step[moment])

    def _grid(self, row: str, band: dict[str, Any]) -> Iterator[Check]:
        """Edges of a band, at the oracle's price and in the AMM."""
        state, place = self.state, ZERO + band["n"]
        tops = [band_top(state, 0, place + k) for k in range(2)]
        p, _ = limited_oracle(state, 0)
        for quantity, got in (
            ("p_oracle_up", tops[0]),
            ("p_oracle_down", tops[1]),
            ("p_current_up", p**3 / tops[1] ** 2),
            ("p_current_down", p**3 / tops[0] ** 2),
        ):
            yield Check(row=row, quantity=quantity, got=got, expected=band[quantity], unit=WAD)

    def deposit_range(self, row: str, step: dict[str, Any]) -> Iterator[Check]:
        """Deposit of a user into bands n1 to n2."""
        amount, first = number(step["amount"], self.units[1]), ZERO + step["n1"]
        n_bands = step["n2"] - step["n1"] + 1
        done = deposit(self.state, 0, step["user"], amount, first, n_bands, True)
        yield Check(row=row, quantity="ok", got=done, expected=step.get("ok", True), kind="exact")

    def set_oracle(self, row: str, step: dict[str, Any]) -> Iterator[Check]:
        """Move of the oracle, and the trade that would take the AMM to its price."""
        self.state.oracle[0], self.state.clock[0] = number(step["price"], WAD), float(step["t"])
        if "amount_for_price" in step:
            target, _ = limited_oracle(self.state, 0)
            amount, pump = amount_for_price(self.state, 0, target)
            yield Check(
                row=row, quantity="is_pump", got=pump, expected=step["is_pump"], kind="exact"
            )
            yield Check(
                row=row, quantity="amount_for_price", got=amount,
                expected=step["amount_for_price"], kind="amount",
                unit=self.units[0 if pump else 1],
            )  # fmt: skip

    def _pair(self, row: str, name: str, got: tuple[float, float], step: Any) -> Iterator[Check]:
        """Two amounts, each in its own coin."""
        coins = (step["i"], step["j"]) if name != "get_dydx" else (step["j"], step["i"])
        for k in range(2):
            yield Check(
                row=row, quantity=f"{name}[{k}]", got=got[k],
                expected=step["ret" if name == "get_dydx" else name][k],
                kind="amount", unit=self.units[coins[k]],
            )  # fmt: skip

    def exchange(self, row: str, step: dict[str, Any]) -> Iterator[Check]:
        """Quote, then trade."""
        state, pump = self.state, step["i"] == 0
        amount = number(step["in_amount"], self.units[step["i"]])
        exchange(state, 0, pump, amount, False, False)
        yield from self._pair(row, "get_dxdy", (state.found[IN], state.found[OUT]), step)
        if not step.get("ok", True):
            return
        before = (state.x[0].copy(), state.y[0].copy())
        note_oracle(state, 0)
        exchange(state, 0, pump, amount, False, True)
        yield from self._pair(row, "ret", (state.found[IN], state.found[OUT]), step)
        paid_from = before[1 if pump else 0]
        self.given = {}
        for band in np.flatnonzero(paid_from):
            self.given[f"{1 if pump else 0} {band}"] = float(paid_from[band])

    def get_dydx(self, row: str, step: dict[str, Any]) -> Iterator[Check]:
        """Quote of an exact amount out."""
        state, amount = self.state, number(step["out_amount"], self.units[step["j"]])
        exchange(state, 0, step["i"] == 0, amount, True, False)
        yield from self._pair(row, "get_dydx", (state.found[OUT], state.found[IN]), step)

    def withdraw(self, row: str, step: dict[str, Any]) -> Iterator[Check]:
        """Withdrawal of a part of a user's liquidity."""
        taken = withdraw(self.state, 0, step["user"], number(step["frac"], WAD))
        for k in range(2):
            yield Check(
                row=row, quantity=f"ret[{k}]", got=taken[k], expected=step["ret"][k],
                kind="amount", unit=self.units[k],
            )  # fmt: skip

    def _whole(self, row: str, seen: dict[str, Any]) -> Iterator[Check]:
        """All that the contract shows of itself."""
        state = self.state
        p, fee = limited_oracle(state, 0)
        price = price_in_band(state, 0, int(state.active[0]))
        for quantity, got in (
            ("price_oracle", p),
            ("p", price),
            ("dynamic_fee", max(fee, state.fee[0])),
        ):
            yield Check(row=row, quantity=quantity, got=got, expected=seen[quantity], unit=WAD)
        for quantity, place in (
            ("active_band", state.active), ("min_band", state.lowest), ("max_band", state.highest)
        ):  # fmt: skip
            yield Check(
                row=row, quantity=quantity, got=int(place[0]) - ZERO, expected=seen[quantity],
                kind="exact",
            )  # fmt: skip
        for number_of, held in seen["bands"].items():
            band = ZERO + int(number_of)
            for k, content in enumerate((state.x, state.y)):
                yield self._content(row, f"bands[{number_of}][{k}]", content[0, band], held[k], k,
                                    self.given.get(f"{k} {band}", 0.0), WAD)  # fmt: skip
        value_bands(state, 0)
        for user, wanted in enumerate(seen["users"]):
            yield from self._user(row, user, wanted)

    def _content(
        self, row: str, quantity: str, got: float, expected: str, coin: int, given: float, unit: int
    ) -> Check:
        """Compare an amount left over from `given`, to 1e-12 of that if it is more."""
        del coin
        units = max(3.0, 1e-12 * given * unit)
        return Check(
            row=row, quantity=quantity, got=got, expected=expected, kind="amount", unit=unit,
            units=units,
        )  # fmt: skip

    def _user(self, row: str, user: int, seen: dict[str, Any]) -> Iterator[Check]:
        """Range, holdings and worth of one user."""
        state = self.state
        first, n_bands = int(state.first[0, user]), int(state.n_bands[0, user])
        ticks = [first - ZERO, first - ZERO + n_bands - 1]
        name = f"users[{user}]"
        yield Check(
            row=row, quantity=f"{name}.ticks", got=ticks, expected=seen["ticks"], kind="exact"
        )
        held = user_holdings(state, 0, user)
        for k in range(2):
            most = max(
                (self.given.get(f"{k} {band}", 0.0) for band in range(first, first + n_bands)),
                default=0.0,
            )
            yield self._content(
                row, f"{name}.sum_xy[{k}]", held[k], seen["sum_xy"][k], k, most, self.units[k]
            )
        for rising, quantity in enumerate(("x_down", "y_up")):
            # every band's share is truncated to the coin's smallest unit
            yield Check(
                row=row, quantity=f"{name}.{quantity}", got=user_worth(state, 0, user, rising),
                expected=seen[quantity], kind="amount", unit=self.units[rising],
                units=3.0 + n_bands,
            )  # fmt: skip
