"""USDC loses its peg, 10 to 13 March 2023: a concentrated pool against the exchanges.

The pool is Uniswap v3's USDC/USDT pool of 1 basis point, its liquidity by tick as recorded before
the event; an arbitrageur pulls it to the price of the exchanges, net of the fee and of gas. The
recorded side is the pool's own hourly state. In both, the price is USDT for one USDC, and what the
pool holds is what the profile of before implies at the pool's tick: the record has no reserves.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from agents.agent import MarketAgent
from agents.view import View
from experiments.build import build_model
from experiments.data import load_prices
from experiments.history.event import Event
from experiments.history.usdc_figures import all_charts
from experiments.liquidity import Profile, observed_states, read_profile
from experiments.tables import locate, unix_time
from sim.actions import NO_ROWS, Verb, new_rows
from sim.amm.concentrated import ConcentratedPool, range_target
from sim.amm.ranges import range_amounts
from sim.errors import ConfigError
from sim.events import EventLog
from sim.kernel import F64, Rows
from sim.world import World

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

LOG_TICK = float(np.log(1.0001))
BARS = "ohlcv_1m_2023-03_multivenue"
POOL = "usdc_usdt"  # key of the pool in the configuration
HOUR = 3600.0


def pool_named(world: World, name: str, agent: str) -> ConcentratedPool:
    """Find the pool that an agent names."""
    pool = world.venues.get(name)
    if not isinstance(pool, ConcentratedPool):
        raise ConfigError(
            f"{agent}.pool must name a concentrated pool, got {name!r}; known venues: "
            f"{', '.join(world.venues)}"
        )
    return pool


def chain_units(pool: ConcentratedPool) -> float:
    """Liquidity in units of the chain per liquidity of whole tokens."""
    return float(10.0 ** ((pool.params.decimals_0 + pool.params.decimals_1) / 2.0))


# --- providers who do what was recorded -----------------------------------------------------------


class RecordedProviders(MarketAgent):
    """Providers who keep the liquidity at the price at what was recorded in each hour.

    The record says what was active at one tick an hour, not where the rest stood; here it stands
    evenly over a wide range, until the next record. They take it out in the first block of an hour
    and put the new amount in with the next.

    Parameters
    ----------
    data, file : str
        Table of the pool's states.
    pool : str
        Name of the pool.
    lower, upper : int
        Range, ticks from the pool's first one.
    tokens : float
        Whole tokens of each asset to start with.
    most : float
        Most liquidity, units of the chain: with 1e15 a basis point takes 50,000 USD, and more would
        cost the ledger its last digits.
    """

    def __init__(
        self, *, data: str, file: str, pool: str = POOL, lower: int = -3_000, upper: int = 1_000,
        tokens: float = 1e10, most: float = 1e15,
    ) -> None:  # fmt: skip
        self.data, self.file, self.pool_name = data, file, pool
        self.lower, self.upper, self.tokens = int(lower), int(upper), float(tokens)
        self.most = float(most)

    def bind(self, world: World) -> None:
        """Endow the account, find the pool and read the record."""
        super().bind(world)
        self.pool = pool_named(world, self.pool_name, self.name)
        for asset in self.pool.state.assets:
            world.ledger.endow(self.account, int(asset), self.tokens)
        world.ledger.endow(self.account, world.gas_asset, 1e4)
        end = world.start + world.n_steps * world.block_seconds
        rows = observed_states(self.data, self.file, world.start, end)
        active = np.minimum(rows.liquidity.to_numpy(np.float64), self.most)
        self.liquidity = active / chain_units(self.pool)
        self.every = round(HOUR / world.block_seconds)

    def decide(self, view: View) -> Rows:
        """Take all out on the hour, put the hour's liquidity in a block later."""
        hour, place = divmod(view.step, self.every)
        if place > 1 or hour >= len(self.liquidity) or view.step == 0:
            return NO_ROWS
        state, rows = self.pool.state, new_rows(view.n_worlds)
        rows["world"] = np.arange(view.n_worlds)
        rows["venue"], rows["account"] = self.pool.index, self.account
        rows["target"] = range_target(self.lower, self.upper)
        rows["asset"] = state.assets[0]
        rows["amount"], rows["verb"] = np.inf, int(Verb.REMOVE_LIQUIDITY)
        if place == 1:
            rows["verb"] = int(Verb.ADD_LIQUIDITY)
            for w in range(view.n_worlds):
                low, high = (int(state.anchor[w]) + end for end in (self.lower, self.upper))
                each, _ = range_amounts(state, w, low, high, 1.0)
                rows["amount"][w] = each * self.liquidity[hour]
        rows["fee_cap"], rows["tip"], rows["gas"] = 1e5, 1e3, 1.0
        rows["expires"] = rows["step"] = view.step
        return rows


# --- the event ------------------------------------------------------------------------------------


class UsdcMarch2023(Event):
    """Hourly price and imbalance of the pool.

    Parameters
    ----------
    file : str
        Table of the pool's states.
    until, days
        Window of the profile by which both sides are valued; see `experiments.liquidity`.
    start, hours
        Span of the event.
    **told
        See `Event`.
    """

    title: ClassVar[str] = "USDC, 10 to 13 March 2023"
    tables: ClassVar[tuple[str, ...]] = ("hourly",)

    def __init__(
        self, *, file: str, until: str, days: float, start: str, hours: float, **told: Any
    ) -> None:
        super().__init__(**told)
        self.file, self.until, self.days = file, until, float(days)
        self.start, self.hours = unix_time(start, "history.start"), round(float(hours))

    def profile(self) -> Profile:
        """Liquidity by tick before the event."""
        return read_profile(self.data, self.file, self.until, self.days)

    def recorded(self) -> "pd.DataFrame":
        """Pool's state at each full hour of the span: `hour`, `tick`, `liquidity`."""
        rows = observed_states(
            self.data, self.file, self.start, self.start + HOUR * (self.hours + 0.5)
        )
        out = rows[["tick", "liquidity"]].astype(float).reset_index(drop=True)
        out["hour"] = np.arange(len(out))
        return out

    def simulate(
        self, config: Mapping[str, Any], seed: int, first: int, stop: int
    ) -> "dict[str, pa.Table]":
        """Run the worlds and read pool and market at each full hour."""
        import pandas as pd
        import pyarrow as pa

        model = build_model(config, seed, first, stop, EventLog([], rejected=False))
        world = model.world
        pool = pool_named(world, POOL, "history")
        every = round(HOUR / world.block_seconds)
        ids, samples = np.arange(first, stop), []
        while True:
            if world.step % every == 0:
                pair = world.market_price[:, pool.state.assets]
                samples.append(pd.DataFrame({
                    "world": ids, "hour": world.step // every,
                    "tick": 2.0 * np.log(pool.state.root / pool.state.scale) / LOG_TICK,
                    "outside": np.log(pair[:, 0] / pair[:, 1]) / LOG_TICK,
                    "liquidity": pool.state.liquidity * chain_units(pool),
                    "gwei": world.blockspace.state.clearing.copy(),
                }))  # fmt: skip
            if world.step >= world.n_steps:
                break
            model.step()
        model.close()
        hourly = pd.concat(samples).sort_values(["world", "hour"], ignore_index=True)
        known, profile = self.recorded().tick.to_numpy(), self.profile()
        rows = []
        for number in ids:
            mine = hourly[hourly.world == number]
            tick, outside = mine.tick.to_numpy(), mine.outside.to_numpy()
            rows.append({
                "world": int(number), **figures_of(tick, profile),
                **distances(tick, outside, known),
            })  # fmt: skip
        return {
            "worlds": pa.Table.from_pandas(pd.DataFrame(rows), preserve_index=False),
            "hourly": pa.Table.from_pandas(hourly, preserve_index=False),
        }

    def exchange(self) -> F64:
        """Kraken's USDC in USDT at each full hour, in ticks: the last price before it or at it."""
        moments = self.start + HOUR * np.arange(self.hours + 1)
        end = float(moments[-1]) + HOUR
        bars = load_prices(
            locate(self.data, BARS), {"USDC": "USDCUSD", "USDT": "USDTUSD"}, self.start, end,
            "kraken",
        )  # fmt: skip
        usdc, usdt = (
            bars[asset].open[np.searchsorted(bars[asset].ts, moments, side="right") - 1]
            for asset in ("USDC", "USDT")
        )
        return np.asarray(np.log(usdc / usdt) / LOG_TICK)

    def observed(self) -> dict[str, float]:
        """Figures of the recorded pool, and how far the exchange was from it."""
        tick = self.recorded().tick.to_numpy()
        apart = distances(self.exchange(), self.exchange(), tick)
        return {
            **figures_of(tick, self.profile()),
            **{name: apart[name] for name in ("rmse_ticks", "median_error_ticks", "correlation")},
        }

    def figures(self, tables: "Mapping[str, pd.DataFrame]") -> Any:
        """Price, difference, imbalance and liquidity by hour."""
        return all_charts(tables["hourly"], self.recorded(), self.profile())


def figures_of(tick: F64, profile: Profile) -> dict[str, float]:
    """Figures of one path of hourly ticks.

    `lowest_price` and `lowest_hour`: USDT per USDC, hours after the start; `mean_discount`: mean of
    1 - price; `hours_under`: hours below 0.99; `usdc_share_mean` and `hours_full`: mean share of
    USDC in the pool by the profile of before, and hours in which it is over 95%.
    """
    price, share = np.exp(LOG_TICK * tick), profile.share(tick)
    return {
        "lowest_price": float(price.min()),
        "lowest_hour": float(price.argmin()),
        "discount_at_low": float(1.0 - price.min()),
        "mean_discount": float((1.0 - price).mean()),
        "hours_under": float((price < 0.99).sum()),
        "usdc_share_mean": float(share.mean()),
        "hours_full": float((share > 0.95).sum()),
    }


def distances(tick: F64, outside: F64, recorded: F64) -> dict[str, float]:
    """Distances of hourly prices in ticks, that is basis points.

    `rmse_ticks`, `median_error_ticks`, `correlation`: of `tick` and `recorded`; `gap_ticks`: root
    mean square of `tick` less `outside`.
    """
    n = min(len(tick), len(recorded))
    error, gap = tick[:n] - recorded[:n], tick[:n] - outside[:n]
    moves = min(np.ptp(tick[:n]), np.ptp(recorded[:n])) > 0.0
    return {
        "rmse_ticks": float(np.sqrt(np.mean(error * error))),
        "median_error_ticks": float(np.median(np.abs(error))),
        "correlation": float(np.corrcoef(tick[:n], recorded[:n])[0, 1]) if moves else 0.0,
        "gap_ticks": float(np.sqrt(np.mean(gap * gap))),
    }
