"""A market maker of Avellaneda and Stoikov in plain numpy: the example of an agent on a book.

It sees the touch and its own holdings when a block opens, and renews one bid and one ask. With s
the mid, q the inventory in units of its order size, gamma the risk aversion, sigma the volatility
and T - t the seconds left in its session, reservation price and total spread are

    r = s - q gamma sigma^2 (T - t),
    delta = gamma sigma^2 (T - t) + (2 / gamma) log(1 + gamma / k)

in basis points of the mid (Avellaneda and Stoikov: High-frequency trading in a limit order book,
Quantitative Finance 2008). All worlds of the batch are decided at once; a row costs what numpy's
assignment of its fields costs.
"""

from typing import Any

import numpy as np

from agents.agent import MarketAgent
from agents.view import View
from sim.actions import Verb, new_rows
from sim.book.layout import TimeInForce
from sim.book.rows import order_option
from sim.book.venue import OrderBookMarket
from sim.errors import ConfigError
from sim.kernel import F64, Rows
from sim.state import Arena
from sim.terms import check_range
from sim.world import World

BID, ASK = 0, 1
ORDERS = 4  # rows a block and world: two cancellations, two orders
POST_ONLY = order_option(TimeInForce.POST_ONLY)


class MarketMaker(MarketAgent):
    """One market maker of one asset, in all worlds.

    Parameters
    ----------
    asset : str
        What it makes a market in.
    market : str
        Name of a market of order books.
    holdings_usd : float
        Capital at the start in the asset and in the quote asset each, USD.
    order_usd : float
        Size of a quote at the initial price, USD; the unit of inventory.
    risk_aversion : float
        gamma, per basis point and order.
    decay : float
        k, per basis point: how fast trades become rarer with the distance from the mid.
    sigma_bps : float
        Volatility, basis points per root second.
    session_seconds : float
        T; sessions follow one another.
    inventory_limit : float
        In orders, either way; beyond it the side that would add to it is not quoted.
    latency_seconds : float
        From the block's opening to the arrival of its rows.
    """

    def __init__(
        self,
        *,
        asset: str = "WETH",
        market: str = "market",
        holdings_usd: float = 1e7,
        order_usd: float = 1e5,
        risk_aversion: float = 0.01,
        decay: float = 0.3,
        sigma_bps: float = 1.2,
        session_seconds: float = 3_600.0,
        inventory_limit: float = 20.0,
        latency_seconds: float = 0.05,
    ) -> None:
        for name, value in (
            ("holdings_usd", holdings_usd), ("order_usd", order_usd),
            ("risk_aversion", risk_aversion), ("decay", decay),
            ("session_seconds", session_seconds),
        ):  # fmt: skip
            check_range(name, value, 0.0, open_low=True)
        for name, value in (
            ("sigma_bps", sigma_bps), ("inventory_limit", inventory_limit),
            ("latency_seconds", latency_seconds),
        ):  # fmt: skip
            check_range(name, value, 0.0)
        self.asset_name, self.market_name = asset, market
        self.holdings_usd, self.order_usd = float(holdings_usd), float(order_usd)
        self.gamma, self.k, self.sigma = float(risk_aversion), float(decay), float(sigma_bps)
        self.session, self.limit = float(session_seconds), float(inventory_limit)
        self.latency_seconds = float(latency_seconds)

    def bind(self, world: World) -> None:
        """Endow the account, find the book, and write the fields of rows that never change."""
        self.arena = Arena(world.n_worlds, {"unused": ()})
        market = world.venues.get(self.market_name)
        if not isinstance(market, OrderBookMarket):
            raise ConfigError(
                f"{self.name}.market must name a market of order books, got {self.market_name!r}; "
                "choose market=order_book"
            )
        self.market, k = market, market.book_of(self.asset_name)
        self.asset, self.quote = int(market.base[k]), market.quote
        self.tick, self.lot = float(market.tick[k]), float(market.lot[k])
        price = world.fundamental[0, self.asset]
        self.amount = max(1.0, round(self.order_usd / price / self.lot)) * self.lot
        self.start = self.holdings_usd / price
        for index in (self.asset, self.quote):
            value = self.holdings_usd / world.fundamental[0, index]
            world.ledger.endow(self.account, index, float(value))
        self.blank = self._blank(world.n_worlds)

    def _blank(self, n_worlds: int) -> Rows:
        """Rows of a block in which both sides are quoted everywhere."""
        rows = new_rows(ORDERS * n_worlds)
        rows["world"] = np.repeat(np.arange(n_worlds), ORDERS)
        rows["venue"], rows["account"] = self.market.index, self.account
        rows["arrival"], rows["amount"] = self.latency_seconds, self.amount
        table = rows.reshape(n_worlds, ORDERS)
        table["verb"] = [Verb.CANCEL_ORDER] * 2 + [Verb.LIMIT_ORDER] * 2
        table["target"] = [BID, ASK, BID, ASK]
        table["asset"] = [self.quote, self.asset] * 2
        table["asset_2"] = [self.asset, self.quote] * 2
        table["option"][:, 2:] = POST_ONLY
        return rows

    def quotes(self, mid: F64, inventory: F64, left: float) -> tuple[F64, F64]:
        """Bid and ask before rounding, for mids, inventories in orders and seconds left."""
        risk = self.gamma * self.sigma**2 * left
        half = 0.5 * risk + np.log1p(self.gamma / self.k) / self.gamma
        middle = mid * (1.0 - 1e-4 * risk * inventory)
        return middle - 1e-4 * half * mid, middle + 1e-4 * half * mid

    def decide(self, view: View) -> Rows:
        """Cancel both quotes and send new ones, in every world whose book has two sides."""
        touch = self.market.touch(self.asset_name)
        bid, ask = touch[:, 0], touch[:, 2]
        held = view.balances[:, self.account, self.asset]
        held = held + self.market.reserved_lots(self.account, self.asset)
        inventory = (held - self.start) / self.amount
        left = self.session - (view.step * view.block_seconds) % self.session
        buy, sell = self.quotes(0.5 * (bid + ask), inventory, left)
        rows: Any = self.blank.copy()
        table = rows.reshape(view.n_worlds, ORDERS)
        table["limit"][:, 2] = np.floor(np.minimum(buy, ask - self.tick) / self.tick) * self.tick
        table["limit"][:, 3] = np.ceil(np.maximum(sell, bid + self.tick) / self.tick) * self.tick
        rows["step"] = rows["expires"] = view.step
        quoted = np.ones((view.n_worlds, ORDERS), np.bool_)
        quoted[:, 2:] = ((bid > 0.0) & (ask > 0.0))[:, None]
        quoted[:, 2] &= inventory < self.limit
        quoted[:, 3] &= inventory > -self.limit
        wanted: Rows = rows if quoted.all() else rows[quoted.ravel()]
        return wanted
