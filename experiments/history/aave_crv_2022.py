"""Aave v2, 22 November 2022: one short of 92 million CRV, and a market too thin to close it.

With collateral C, debt D, both in USD, threshold t and bonus b, a call that repays d takes
(1 + b) d of collateral, and the health factor t C / D rises if and only if it lies above t (1 + b).
At t = 0.88 and b = 0.045 that is 0.92: liquidators who buy what they repay push the price, and so
the debt, up; once health is under 0.92, every call makes it worse, and the collateral ends before
the debt does (Warmuz, Chaudhary, Pinna 2022, "Toxic Liquidation Spirals", arXiv:2212.07306).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from agents.populations.book import BookSource, LoanBook
from experiments.build import LENDING, build_model
from experiments.history.event import Event
from experiments.record import Recorder
from sim.errors import ConfigError
from sim.kernel import F64
from sim.lending.market import LendingMarket

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from experiments.report.charts import Chart
    from sim.world import World

GONE = 1.0  # USD of collateral under which a position counts as stripped


@dataclass(frozen=True, slots=True, kw_only=True)
class OneLoan(BookSource):
    """A single position."""

    collateral: Mapping[str, float] = field(default_factory=dict)  # whole tokens by asset
    debt: Mapping[str, float] = field(default_factory=dict)  # whole tokens by asset

    def draw(self, assets: Sequence[str], prices: F64, thresholds: F64, ltv: F64) -> LoanBook:
        """State the position."""
        del prices, thresholds, ltv
        names = tuple(assets)
        sides = []
        for side, amounts in (("collateral", self.collateral), ("debt", self.debt)):
            row = np.zeros((1, len(names)))
            for name, amount in amounts.items():
                if name not in names:
                    raise ConfigError(
                        f"book.{side} names {name}, which is no asset of this world; it has "
                        f"{', '.join(names)}"
                    )
                row[0, names.index(name)] = amount
            sides.append(row)
        return LoanBook(names, sides[0], sides[1], np.array(["loan"]))


class AaveCrvNovember2022(Event):
    """The afternoon; see `Event`."""

    title: ClassVar[str] = "Aave v2, 22 November 2022: a short of CRV"
    tables: ClassVar[tuple[str, ...]] = ("series", "calls")

    def simulate(
        self, config: Mapping[str, Any], seed: int, first: int, stop: int
    ) -> "dict[str, pa.Table]":
        """Run the worlds."""
        import pandas as pd
        import pyarrow as pa

        model = build_model(config, seed, first, stop)
        recorder = Recorder(model, int(config["record_every"]), forget=True)
        watch = Watch(model.world)
        while model.world.step < model.world.n_steps:
            if model.world.step % recorder.every == 0:
                watch.look()
            recorder.step()
            watch.note_top()
        watch.look()
        found = pd.DataFrame(recorder.liquidations())
        series = pd.DataFrame(recorder.series())
        calls = pd.DataFrame({
            "world": found.world.astype(np.int64),
            "time": pd.to_datetime(found.time),
            "liquidator": found.liquidator.astype(str),
            "repaid_crv": found.debt_repaid.astype(float),
            "seized_usdc": found.collateral_seized.astype(float),
        })  # fmt: skip
        bonus = float(config["lending"]["params"]["reserves"]["USDC"]["liquidation_bonus"])
        rows = [
            {"world": w, **measured(calls[calls.world == w], bonus)} for w in model.world.world_ids
        ]
        worlds = pd.DataFrame(rows).assign(**watch.outcome())
        columns = ["world", "step", "time", "price_CRV", "fundamental_CRV", "oracle_CRV"]
        path = series[columns].assign(**watch.path())
        model.close()
        return {
            name: pa.Table.from_pandas(frame, preserve_index=False)
            for name, frame in (("worlds", worlds), ("series", path), ("calls", calls))
        }

    def figures(self, tables: "Mapping[str, pd.DataFrame]") -> "list[Chart]":
        """Price, health, size of the calls, and what was left."""
        from experiments.history.crv_figures import charts

        return charts(tables, self.documented)


class Watch:
    """Looks at the one position while a model runs.

    Parameters
    ----------
    world : World
        At its first block.
    """

    def __init__(self, world: "World") -> None:
        market = world.venues[LENDING]
        assert isinstance(market, LendingMarket)
        self.world, self.state = world, market.state
        self.crv, self.usdc = world.asset_index("CRV"), world.asset_index("USDC")
        self.place = int(np.argmax(self.state.debt[0, :, self.crv]))
        self.top: F64 = world.market_price[:, self.crv].copy()
        self.samples: list[tuple[F64, F64, F64]] = []

    def note_top(self) -> None:
        """Remember the highest market price."""
        np.maximum(self.top, self.world.market_price[:, self.crv], out=self.top)

    def look(self) -> None:
        """Sample debt in CRV, collateral in USDC and the health factor, each (world,)."""
        reserves, prices = self.state.reserves, self.world.oracle_price
        debt = self.state.debt[:, self.place, self.crv] * reserves["borrow_index"][:, self.crv]
        held = self.state.collateral[:, self.place, self.usdc]
        held = held * reserves["liquidity_index"][:, self.usdc]
        backing = held * prices[:, self.usdc] * reserves["liquidation_threshold"][:, self.usdc]
        owed = np.where(debt > 0.0, debt * prices[:, self.crv], np.nan)
        self.samples.append((debt, held, backing / owed))

    def path(self) -> dict[str, F64]:
        """Columns of the samples but the last, ordered by (world, step)."""
        names = ("debt_crv", "collateral_usdc", "health")
        return {
            name: np.stack([sample[i] for sample in self.samples[:-1]], axis=1).ravel()
            for i, name in enumerate(names)
        }

    def outcome(self) -> dict[str, F64]:
        """Columns of one row per world, at the end."""
        debt, held, _ = self.samples[-1]
        stripped = held < GONE
        bad = np.where(stripped, debt, 0.0)
        return {
            "bad_debt_crv": bad,
            "bad_debt_usd": bad * self.world.market_price[:, self.crv],
            "stripped": stripped.astype(float),
            "top_price": self.top,
        }


def measured(calls: "pd.DataFrame", bonus: float) -> dict[str, float]:
    """Figures of one world's calls; NaN for averages without a call."""
    repaid, n = float(calls.repaid_crv.sum()), len(calls)
    worth = float(calls.seized_usdc.sum()) / (1.0 + bonus)
    span = (calls.time.max() - calls.time.min()).total_seconds() / 60.0 if n else np.nan
    return {
        "repaid_crv": repaid,
        "n_calls": float(n),
        "minutes": span,
        "mean_price": worth / repaid if n else np.nan,
        "mean_call_usd": worth / n if n else np.nan,
    }
