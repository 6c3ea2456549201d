"""What keepers of auctions share: capital, gas caps, attention, and the price they think fair.

A keeper values collateral at the market price less a margin, which pays for the way to the exit,
for the risk until the lot is its own, and for the profit that it wants. What would not pay after
gas is left alone; a keeper whose gas cap is under the price of block space stays silent, as the
bots of March 2020 did.
"""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from agents.strategic.calls import Sight, Terms, profitable_bid, write
from agents.strategic.trader import Trader
from agents.view import HOPELESS, OVERBID, View
from sim.actions import Verb
from sim.errors import ConfigError
from sim.kernel import I64, Rows, inlined, kernel
from sim.lending.maker.market import MakerMarket
from sim.lending.maker.state import MakerState
from sim.streams import stream_key, uniform
from sim.world import World

LIQUIDATE = int(Verb.LIQUIDATE)


@inlined
def attends(sight: Sight, terms: Terms, w: int, index: int) -> bool:
    """Whether the keeper looks at an auction or a vault in this block."""
    if terms.attention >= 1.0:
        return True
    return uniform(sight.key, sight.world_ids[w], terms.step, index) < terms.attention


@inlined
def hopeless(sight: Sight, terms: Terms, w: int) -> bool:
    """Whether the keeper's gas cap is under what block space costs."""
    clearing, base_fee = sight.clearing[w], sight.base_fee[w]
    return bool(terms.gas_cap < HOPELESS * clearing or terms.gas_cap < base_fee)


@inlined
def plain_bid(sight: Sight, terms: Terms, w: int) -> float:
    """Price per unit of gas for a row that is due whatever it brings."""
    clearing, base_fee = sight.clearing[w], sight.base_fee[w]
    return float(min(OVERBID * max(clearing, base_fee), terms.gas_cap))


@inlined
def write_row(
    row: Any, terms: Terms, w: int, verb: int, bid: float, base_fee: float, target: int,
    amount: float,
) -> None:  # fmt: skip
    """Write one row to the auctions' market."""
    write(row, terms, w, terms.venue, verb, bid, base_fee)
    row["target"] = target
    row["amount"] = amount


@kernel
def start_auctions(
    state: MakerState, ids: I64, starts: I64, sight: Sight, terms: Terms, w: int, margin: float,
    flip: bool, rows: Rows, n: int,
) -> int:  # fmt: skip
    """Write the rows that put up unsafe vaults worth the gas, from the n-th; return the next.

    What a keeper hopes for is its margin on the lot that the row puts up, and the reward for
    starting (Clip). In Flip a vault takes one row per lot; in Clip no more is put up than the hole
    has room for: further rows would fail.
    """
    system, sent = state.system[w], 0
    price = sight.market[w, state.assets[0]]
    room = min(system["hole"], system["total_hole"]) - system["dirt"]
    for k in range(starts[w], starts[w + 1]):
        if sent == terms.max_positions or not room > 0.0:
            break
        p = ids[k]
        if not attends(sight, terms, w, p):
            continue
        urn = state.urns[w, p]
        tab = urn["art"] * system["rate"] * (1.0 + system["penalty"])
        left, part, reward = urn["ink"], 1.0, 0.0
        lump = system["lump"] if flip else left
        if not flip:
            part = min(1.0, room / tab)
            reward = system["tip"] + part * tab * system["chip"]
        while left > 0.0 and sent < terms.max_positions:
            hoped = reward + min(left, lump) * part * price * margin
            bid = profitable_bid(sight, terms, w, hoped)
            if bid < 0.0:
                break
            write_row(rows[n], terms, w, LIQUIDATE, bid, sight.base_fee[w], p, np.inf)
            room -= part * tab * min(lump / urn["ink"], 1.0)
            n += 1
            sent += 1
            left -= lump
    return n


class Keeper(Trader):
    """A keeper of one market's auctions, in all worlds.

    Parameters
    ----------
    market : str
        Name of the Maker market.
    margin : float
        Fraction under the market price at which collateral is worth buying.
    gas, gas_start : float
        Units of gas of a bid or purchase, and of starting or ending an auction.
    max_rows : int
        Auctions bid on, and vaults put up, per block.
    attention : float
        Chance that an auction or a vault is looked at in a block.
    starts : bool
        Whether it puts up unsafe vaults and restarts auctions.
    **terms
        See `Trader`; `cash` is the market's stable token unless given.
    """

    auction: ClassVar[str]  # flip or clip

    def __init__(
        self,
        *,
        market: str = "maker",
        margin: float = 0.05,
        gas: float = 200_000.0,
        gas_start: float = 400_000.0,
        max_rows: int = 20,
        attention: float = 0.8,
        starts: bool = True,
        **terms: Any,
    ) -> None:
        super().__init__(**{"cash": "DAI", **terms})
        if not 0.0 <= margin < 1.0:
            raise ConfigError(f"margin must lie in [0, 1), got {margin}")
        if not 0.0 < attention <= 1.0:
            raise ConfigError(f"attention must lie in (0, 1], got {attention}")
        if max_rows < 1 or max_rows > 4095:
            raise ConfigError(f"max_rows must lie in [1, 4095], got {max_rows}")
        if not (gas > 0.0 and gas_start > 0.0):
            raise ConfigError(f"gas and gas_start must be positive, got {gas} and {gas_start}")
        self.market_name, self.margin, self.starts = market, float(margin), bool(starts)
        self.gas, self.gas_start = float(gas), float(gas_start)
        self.max_rows, self.attention = max_rows, float(attention)

    def bind(self, world: World) -> None:
        """Endow the account and find the market."""
        super().bind(world)
        market = world.venues.get(self.market_name)
        if not isinstance(market, MakerMarket) or market.params.auction != self.auction:
            raise ConfigError(
                f"{self.name}.market must name a Maker market with {self.auction} auctions, got "
                f"{self.market_name!r}; known venues: {', '.join(world.venues)}"
            )
        self.market = market
        self.key = stream_key(world.seed, f"attention.{self.name}")

    def decide(self, view: View) -> Rows:
        """Auctions worth starting, bids worth making, and exits outside."""
        market = self.market
        sight = Sight(
            view.balances, view.oracle_price, view.market_price, view.base_fee, view.clearing,
            view.world_ids, self.key,
        )  # fmt: skip
        terms = Terms(
            self.account, market.account, market.index, self.gas, self.gas_cap, self.bid_share,
            self.min_profit_usd, self.latency_seconds, self.max_rows, self.attention, 1.0,
            view.gas_asset, view.step,
        )  # fmt: skip
        n = self.write_rows(sight, terms, self.buffer.room(3 * view.n_worlds * self.max_rows))
        return self.rows_and_exits(n, view)

    def starting(self, terms: Terms) -> Terms:
        """Terms of starting an auction, which is worth its gas but no race.

        Whoever starts it, all may buy; a share of the lot's margin bid for the place would be lost.
        """
        return terms._replace(gas=self.gas_start, bid_share=0.0)

    @abstractmethod
    def write_rows(self, sight: Sight, terms: Terms, rows: Rows) -> int:
        """Write what is wanted in this block, grouped by world; return the number of rows.

        There is room for three times `max_rows` per world.
        """
