"""The living market: the hedger trades in an order book beside a lending market and its cascades.

Every world is a `sim.world.World`: an order book that a crowd of makers serves, a lending market
with borrowers and liquidators, block space, an oracle, scenarios. A hedging step is some blocks. In
the first one the hedger's market order goes in, before anybody else's; the others play with the
background agents alone. What was filled and paid is read from the ledger. So a large order walks
the book and moves the mid, makers who step back widen his spread, liquidators' sales move his
price, and where the book has a breaker a halt rejects him.

An environment's unit stands for `size` tokens: per unit everything is as in other environments.

A run is `episodes` episodes long; then all worlds start again, with other random numbers: the seed
of run k is a digest of the seed and of k, so that a world is the same in any batch.

Leaves out: the hedger's margin account lies with the environment (`terms.life`), his tokens are
endowed; what a liquidated or finished hedger held is sold at once, and what no order takes of it
costs `stranded` and is sold when it can be.
"""

import gc
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np

from agents.agent import MarketAgent
from agents.model import MarketModel
from agents.view import View
from envs.hedging.market import AnsweringMarket
from envs.hedging.state import CONDITIONS, DEPTH, IMBALANCE, SPREAD
from envs.hedging.terms import whole
from sim.actions import NO_ROWS, Verb, new_rows
from sim.blockspace import BlockSpace
from sim.book.venue import OrderBookMarket
from sim.errors import ConfigError
from sim.events import EventLog
from sim.kernel import F64, I64, Bool, Rows
from sim.prices.process import SECONDS_PER_YEAR
from sim.scenarios.scenario import Composite
from sim.sequencing import in_order
from sim.streams import stream_key
from sim.terms import check_range
from sim.world import World

BOOK = "market"
PARTS = ("price", "oracle", "blockspace", "background")


class OrderDesk(MarketAgent):
    """Sends one market order per world and block, when it is told to.

    Parameters
    ----------
    asset : str
        What is traded against the book's quote asset.
    wealth_usd : float
        Of either asset, so that an order never lacks balance.
    latency_seconds : float
        From the opening of the block to the order's arrival.
    """

    def __init__(self, *, asset: str, wealth_usd: float, latency_seconds: float = 0.0) -> None:
        super().__init__()
        self.asset_name, self.wealth_usd, self.latency = asset, wealth_usd, latency_seconds

    def bind(self, world: World) -> None:
        """Endow the account."""
        super().bind(world)
        assert isinstance(world.market, OrderBookMarket)
        self.book = world.market
        k = self.book.book_of(self.asset_name)
        self.asset, self.quote = int(self.book.base[k]), int(self.book.quote)
        self.lot = float(self.book.lot[k])
        self.tokens: F64 = np.zeros(world.n_worlds)
        for index in (self.asset, self.quote):
            amount = self.wealth_usd / world.fundamental[0, index]
            world.ledger.endow(self.account, index, float(amount))

    def rows(self) -> Rows:
        """Write the orders that wait as rows, and forget them."""
        lots = np.rint(self.tokens / self.lot)
        worlds = np.flatnonzero(lots)
        if worlds.size == 0:
            return NO_ROWS
        rows = new_rows(worlds.size)
        bought = lots[worlds] > 0.0
        rows["world"], rows["venue"], rows["verb"] = worlds, self.book.index, Verb.MARKET_ORDER
        rows["account"], rows["target"] = self.account, 0
        rows["asset"] = np.where(bought, self.quote, self.asset)
        rows["asset_2"] = np.where(bought, self.asset, self.quote)
        rows["amount"], rows["arrival"] = np.abs(lots[worlds]) * self.lot, self.latency
        rows["step"] = rows["expires"] = self.world.step
        self.tokens[:] = 0.0
        return rows

    def decide(self, view: View) -> Rows:
        """Send what waits."""
        del view
        return self.rows()

    def wealth(self) -> tuple[F64, F64]:
        """Tokens of the asset and of the quote asset, shape (world,)."""
        held = self.world.ledger.balances[:, self.account]
        return held[:, self.asset].copy(), held[:, self.quote].copy()


class LivingMarket(AnsweringMarket):
    """Worlds with an order book, borrowers, liquidators and a crash now and then.

    Parameters
    ----------
    asset : str
        What is hedged with; it has an order book.
    size : float
        Tokens behind one unit of the environment: how large the hedger is.
    blocks_per_step : int
        Blocks of a hedging period.
    episodes : int
        Of a run.
    assets : sequence of str
    gas_asset : str
    book : OrderBookMarket
    parts : mapping of str to anything
        `price`, `oracle`, `blockspace` (its parameters), `background` (demand for block space).
    venues : mapping of str to Venue, optional
        Beside the order book: `lending`, pools.
    cast : mapping of str to MarketAgent, optional
        Who else acts.
    scenarios : mapping of str to Scenario, optional
    volatility : float
        At the start of a run, annual.
    half_life_hours : float
        Of the weight of past blocks in the realised volatility of the book's mid.
    stranded : float
        Share of its worth that closing costs beyond where the book ends.
    wealth_usd : float
        Of the hedger, in either asset.
    latency_seconds : float
        Of the hedger's orders; 0: he is first.
    most_worlds : int
        Worlds that are best played at once.
    check_every : int
        Blocks between checks that value was conserved; 0: never.
    """

    has_volatility = True
    conditions: F64
    run: int  # of the present worlds
    _address: tuple[Any, ...]  # of the first run's worlds

    def __init__(
        self,
        *,
        asset: str,
        size: float,
        book: OrderBookMarket,
        parts: Mapping[str, Any],
        venues: Mapping[str, Any] | None = None,
        cast: Mapping[str, Any] | None = None,
        scenarios: Mapping[str, Any] | None = None,
        assets: Any = ("WETH", "USDC"),
        gas_asset: str = "WETH",
        blocks_per_step: int = 12,
        episodes: int = 1,
        volatility: float = 0.8,
        half_life_hours: float = 6.0,
        stranded: float = 0.05,
        wealth_usd: float = 1e10,
        latency_seconds: float = 0.0,
        most_worlds: int = 256,
        check_every: int = 0,
    ) -> None:
        whole("market.blocks_per_step", blocks_per_step, 1)
        whole("market.episodes", episodes, 1)
        whole("market.most_worlds", most_worlds, 1)
        whole("market.check_every", check_every, 0)
        for name, value in (("size", size), ("wealth_usd", wealth_usd), ("volatility", volatility),
                            ("half_life_hours", half_life_hours)):  # fmt: skip
            check_range(f"market.{name}", value, 0.0, 1e15, open_low=True)
        check_range("market.stranded", stranded, 0.0, 1.0)
        check_range("market.latency_seconds", latency_seconds, 0.0, 1e9)
        if not isinstance(book, OrderBookMarket):
            raise ConfigError(
                f"market.book must be a market of order books, got {type(book).__name__}; take "
                "sim.book.venue.OrderBookMarket"
            )
        for name in PARTS:
            if parts.get(name) is None:
                raise ConfigError(f"market.parts needs {', '.join(PARTS)}, and {name} is missing")
        self.asset, self.size, self.assets = asset, float(size), list(assets)
        self.gas_asset, self.blocks_per_step, self.episodes = gas_asset, blocks_per_step, episodes
        self.first_volatility, self.half_life = float(volatility), float(half_life_hours)
        self.stranded, self.wealth_usd = float(stranded), float(wealth_usd)
        self.latency, self.most_worlds = float(latency_seconds), most_worlds
        self.check_every = check_every
        # What a world is made of is bound to it: each world takes a copy, and this is never used.
        self._made: dict[str, Any] = {
            "book": book, "parts": dict(parts), "venues": dict(venues or {}),
            "cast": dict(cast or {}), "scenarios": dict(scenarios or {}),
        }  # fmt: skip
        self._model: MarketModel | None = None

    def __copy__(self) -> "LivingMarket":
        """Make a market of the same terms without worlds: two environments share none."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._model, other.taken = None, False
        return other

    # -- construction -----------------------------------------------------------------------------

    def bind(self, seed: int, world_ids: I64, n_steps: int, years: float) -> None:
        """Make the worlds of the first run."""
        n = len(world_ids)
        seconds = years * SECONDS_PER_YEAR
        address = (seed, tuple(world_ids.tolist()), n_steps, seconds, self.rest)
        again = self._model is not None and self._address == address and self.run == 0
        self._address, self.seed, self.world_ids = address, seed, world_ids.copy()
        self.n_steps, self.block_seconds = n_steps, seconds / self.blocks_per_step
        self.memory = 0.5 ** (self.block_seconds / (3600.0 * self.half_life))
        self.path = np.zeros((n, n_steps + 1, 2))
        self.conditions = np.zeros((n, n_steps + 1, len(CONDITIONS)))
        self.filled, self.paid, self.left = np.zeros(n), np.zeros(n), np.zeros(n)
        self.halted = np.zeros(n, np.bool_)
        self.run = 0
        if again:
            assert self._model is not None
            self._model.reset()
            self._start()
        else:
            self._build()

    def _build(self) -> None:
        """Make the worlds of a run, with random numbers of its own."""
        self._model = None
        gc.collect()  # models, worlds and venues refer to each other, and are large
        made = deepcopy(self._made)
        parts = made["parts"]
        digest = stream_key(self.seed, f"envs.hedging.living.{self.run}")
        n_blocks = self._run_steps * self.blocks_per_step
        world = World(
            assets=self.assets, gas_asset=self.gas_asset, block_seconds=self.block_seconds,
            n_blocks=n_blocks, start=parts["price"].start or 0.0, prices=parts["price"],
            oracle=parts["oracle"], venues={BOOK: made["book"], **made["venues"]}, market=BOOK,
            blockspace=BlockSpace(parts["blockspace"], parts["background"]),
            scenarios=[Composite(made["scenarios"])],
            seed=int(digest[0]) << 31 | int(digest[1]) >> 1, world_ids=self.world_ids,
            check_every=self.check_every, events=EventLog([Verb.LIQUIDATE], rejected=False),
        )  # fmt: skip
        self.book: OrderBookMarket = made["book"]
        self._model = self._seat(world, made["cast"])
        self._model.let_go()
        self.world = world
        self._start()

    def _seat(self, world: World, cast: dict[str, Any]) -> MarketModel:
        """Bring the hedger, and who sells what hedgers leave, to those who act anyway."""
        self.desk, self.estate = self._desk(), self._desk()
        return MarketModel(world, {**cast, "hedger": self.desk, "hedger_estate": self.estate})

    def _desk(self) -> OrderDesk:
        return OrderDesk(asset=self.asset, wealth_usd=self.wealth_usd, latency_seconds=self.latency)

    @property
    def model(self) -> MarketModel:
        """The worlds and who acts in them; read it, do not step it."""
        assert self._model is not None
        return self._model

    @property
    def _run_steps(self) -> int:
        return self.episodes * (self.n_steps + self.rest)

    def _start(self) -> None:
        """Look at the worlds before their first block."""
        self.clock, self.over = 0, False
        years = self.block_seconds / SECONDS_PER_YEAR
        self.variance: F64 = np.full(len(self.world_ids), self.first_volatility**2 * years)
        self.left[:] = 0.0
        self.price = self._mid()
        self._look()

    # -- what the environment asks for ------------------------------------------------------------

    def begin(self, chosen: Bool, episodes: I64) -> None:
        """Let the chosen worlds' episodes begin at the present block."""
        del episodes
        self.path[chosen, 0, 0] = self.price[chosen]
        self.path[chosen, 0, 1] = self._volatility()[chosen]
        self.conditions[chosen, 0] = self.present[chosen]

    def renew(self) -> None:
        """Start the next run."""
        self.run += 1
        self._build()

    def play(self, orders: F64, moments: I64) -> None:
        """Send the orders, and play the blocks of a step."""
        before, desk = self.price, self.desk
        tokens, cash = desk.wealth()
        stock = self.estate.wealth()[0]
        desk.tokens[:] = orders * self.size
        self.estate.tokens[:] = self.left
        for block in range(self.blocks_per_step):
            old = self._mid()
            self.model.step()
            moved = np.log(self._mid() / old)
            self.variance = self.memory * self.variance + (1.0 - self.memory) * moved**2
            if block == 0:
                after, rest = desk.wealth()
                bought = after - tokens
                self.filled = bought / self.size
                self.paid = (cash - rest - bought * before) / self.size
                self.left -= self.estate.wealth()[0] - stock
                self.left[np.abs(self.left) < 0.5 * desk.lot] = 0.0
        self.clock += 1
        self.over = self.clock == self._run_steps
        self.price = self._mid()
        self._look()
        rows, place = np.arange(len(orders)), np.minimum(moments, self.n_steps - 1) + 1
        self.path[rows, place, 0], self.path[rows, place, 1] = self.price, self._volatility()
        self.conditions[rows, place] = self.present

    def cost_of(self, orders: F64) -> F64:
        """Walk the book as it stands; `stranded` for what no order takes."""
        lots = np.rint(orders * self.size / self.desk.lot)
        taken, cash = self.book.sweep(self.asset, lots * self.desk.lot)
        missing = np.abs(lots * self.desk.lot - taken)
        cost = cash - taken * self.price + self.stranded * self.price * missing
        return np.asarray(cost / self.size)

    def leave(self, orders: F64) -> None:
        """Trade what finished and liquidated hedgers held, now; what is not filled waits."""
        world, estate = self.world, self.estate
        before = estate.wealth()[0]
        estate.tokens[:] = wanted = orders * self.size
        rows = estate.rows()
        if rows.size == 0:
            return
        rows["arrival"] = 0.0  # of the block that has passed: no time passes now
        order, starts = in_order(rows, rows["arrival"], rows["arrival"], world.n_worlds)
        self.book.execute(rows, order, starts[:-1], starts[1:])
        self.left += wanted - (estate.wealth()[0] - before)
        self.left[np.abs(self.left) < 0.5 * estate.lot] = 0.0
        self.price = self._mid()
        self._look()

    # -- what there is to see ---------------------------------------------------------------------

    def _mid(self) -> F64:
        """Last mid of the book, quote tokens."""
        market, desk = self.world.market_price, self.desk
        return np.asarray(market[:, desk.asset] / market[:, desk.quote])

    def _volatility(self) -> F64:
        return np.sqrt(self.variance * (SECONDS_PER_YEAR / self.block_seconds))

    def _look(self) -> None:
        """Measure spread, depth, imbalance, and whether there is a halt."""
        k = self.book.book_of(self.asset)
        spread, depth = self.book.liquidity(0.01)
        bids, asks = depth[:, k, 0], depth[:, k, 1]
        self.present: F64 = np.zeros((len(self.world_ids), len(CONDITIONS)))
        half = 0.5e-4 * spread[:, k]
        self.present[:, SPREAD] = np.where(np.isnan(half), self.stranded, half)
        self.present[:, DEPTH] = 0.5 * (bids + asks) / self.price / self.size
        both = bids + asks
        self.present[:, IMBALANCE] = (bids - asks) / np.where(both > 0.0, both, 1.0)
        self.halted = self.book.halted(self.asset)
