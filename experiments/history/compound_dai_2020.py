"""Compound v2, 26 November 2020: DAI traded at 1.30 USD on the oracle's exchange.

Who owed DAI against something else was liquidated; who owed DAI against DAI, as most did, was not:
the price stands on both sides of that position's health, and only a share of other collateral makes
it fall. With supply S_d of DAI at price p, S_u USD of other collateral, a debt of B DAI and one
factor f for all,

    health(p) = f (S_d p + S_u) / (B p) = f S_d / B + f S_u / (B p)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from agents.populations.book import BookSource, LoanBook
from agents.populations.synthetic import SyntheticBook
from experiments.build import build_model
from experiments.history.event import Event
from experiments.record import Recorder
from sim.errors import ConfigError
from sim.kernel import F64

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from experiments.report.charts import Chart

LARGEST = 0  # place of the largest position that was hit
BACKING = {"WETH": 0.6, "WBTC": 0.15, "USDC": 0.25}  # collateral of the others, unless stated
INCENTIVE = 0.08


# --- the book -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DaiBook(BookSource):
    """Who owed DAI: one large farmer with USDC, farmers with nothing but DAI, and all others."""

    dai_debt: float = 1.3e9  # DAI owed in all
    largest_debt: float = 9.2e7  # DAI owed by the largest position that was hit
    largest_dai: float = 6.5e7  # DAI among its collateral; the rest is USDC
    loop_health: float = 1.05  # its health factor, and that of positions with DAI alone
    other_debt: float = 2.4e8  # DAI owed against other assets
    n_loops: int = 200  # positions with DAI alone; sizes follow a Zipf law
    others: Mapping[str, Any] = field(default_factory=dict)  # fields of SyntheticBook
    seed: int = 0  # of the others

    def __post_init__(self) -> None:
        """Reject a book that cannot be."""
        if not self.loop_health > 1.0:
            raise ConfigError(f"loop_health must exceed 1, got {self.loop_health}; raise it")
        if not self.dai_debt > self.largest_debt + self.other_debt:
            raise ConfigError(
                "dai_debt must exceed largest_debt and other_debt together, got "
                f"{self.dai_debt:g} and {self.largest_debt + self.other_debt:g}; lower these"
            )

    def draw(self, assets: Sequence[str], prices: F64, thresholds: F64, ltv: F64) -> LoanBook:
        """Draw the others, and state the rest."""
        names = tuple(assets)
        dai, usdc = names.index("DAI"), names.index("USDC")
        others = SyntheticBook(
            total_debt_usd=self.other_debt * float(prices[dai]), debt_mix={"DAI": 1.0},
            multi_debt_share=0.0, seed=self.seed, **{"collateral_mix": BACKING, **self.others},
        ).draw(assets, prices, thresholds, ltv)  # fmt: skip
        sizes = 1.0 / np.arange(1, self.n_loops + 1)
        loops = (self.dai_debt - self.largest_debt - self.other_debt) * sizes / sizes.sum()
        n = 1 + self.n_loops
        collateral, debt = np.zeros((n, len(names))), np.zeros((n, len(names)))
        debt[LARGEST, dai] = self.largest_debt
        backing = self.loop_health * self.largest_debt * float(prices[dai])
        collateral[LARGEST, dai] = min(
            self.largest_dai, backing / (thresholds[dai] * prices[dai])
        )  # fmt: skip
        backing -= collateral[LARGEST, dai] * prices[dai] * thresholds[dai]
        collateral[LARGEST, usdc] = max(backing, 0.0) / (thresholds[usdc] * prices[usdc])
        debt[1:, dai] = loops
        collateral[1:, dai] = self.loop_health * loops / thresholds[dai]
        stated = LoanBook(names, collateral, debt, np.array(["largest", *["loop"] * self.n_loops]))
        return LoanBook.concat([stated, others])


def with_book(config: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Give the book, and the population that holds it, another seed."""
    book = {**config["book"], "seed": seed}
    cast = dict(config["cast"])
    cast["borrowers"] = {**cast["borrowers"], "book": book}
    return {**config, "book": book, "cast": cast}


# --- the event ------------------------------------------------------------------------------------


class CompoundNovember2020(Event):
    """The morning on one drawn book after the other.

    Parameters
    ----------
    worlds_per_book : int
        Worlds that share one drawn book.
    **told
        See `Event`.
    """

    title: ClassVar[str] = "Compound v2, 26 November 2020"
    tables: ClassVar[tuple[str, ...]] = ("series", "calls")

    def __init__(self, *, worlds_per_book: int = 5, **told: Any) -> None:
        super().__init__(**told)
        if worlds_per_book < 1:
            raise ConfigError(f"worlds_per_book must be at least 1, got {worlds_per_book}")
        self.worlds_per_book = worlds_per_book

    def simulate(
        self, config: Mapping[str, Any], seed: int, first: int, stop: int
    ) -> "dict[str, pa.Table]":
        """Run the worlds, one model per book."""
        import pandas as pd
        import pyarrow as pa

        parts: dict[str, list[pd.DataFrame]] = {}
        own, each = int(config["book"].get("seed", 0)), self.worlds_per_book
        for book in range(first // each, (stop - 1) // each + 1):
            low, high = max(first, book * each), min(stop, (book + 1) * each)
            for name, frame in _run(with_book(config, own + book), seed, low, high).items():
                parts.setdefault(name, []).append(frame)
        return {
            name: pa.Table.from_pandas(pd.concat(frames), preserve_index=False)
            for name, frames in parts.items()
        }

    def figures(self, tables: "Mapping[str, pd.DataFrame]") -> "list[Chart]":
        """Prices, repayments over time, who was hit, what they lost."""
        from experiments.history.compound_figures import charts

        return charts(tables, self.documented)


def _run(config: Mapping[str, Any], seed: int, first: int, stop: int) -> "dict[str, pd.DataFrame]":
    import pandas as pd

    model = build_model(config, seed, first, stop)
    recorder = Recorder(model, int(config["record_every"]), forget=True)
    dai = model.world.asset_index("DAI")
    highest = np.zeros(model.world.n_worlds)
    while model.world.step < model.world.n_steps:
        recorder.step()
        np.maximum(highest, model.world.oracle_price[:, dai], out=highest)
    found = pd.DataFrame(recorder.liquidations())
    worlds = pd.DataFrame(recorder.worlds())
    series = pd.DataFrame(recorder.series())
    model.close()
    calls = pd.DataFrame({
        "world": found.world.astype(np.int64),
        "time": pd.to_datetime(found.time),
        "position": found.position.astype(np.int64),
        "collateral": found.collateral.astype(str),
        "repaid_dai": found.debt_repaid.astype(float),
        "repaid_usd": found.debt_repaid_usd.astype(float),
        "seized_usd": found.collateral_seized_usd.astype(float),
    })[(found.debt == "DAI").to_numpy()]  # fmt: skip
    rows = [{"world": w, **measured(calls[calls.world == w])} for w in worlds.world]
    kept = pd.DataFrame(rows).assign(
        bad_debt_usd=worlds.bad_debt_usd.to_numpy(), oracle_high=highest,
        liquidator_profit_usd=worlds.liquidator_profit_usd.to_numpy(),
    )  # fmt: skip
    columns = ["world", "step", "time", "price_DAI", "oracle_DAI", "price_WETH"]
    columns += ["liquidated_debt_usd", "liquidatable_debt_usd", "base_fee_gwei"]
    return {"worlds": kept, "series": series[columns], "calls": calls}


def measured(calls: "pd.DataFrame") -> dict[str, float]:
    """Figures of one world's calls; shares are NaN without a call."""
    repaid = float(calls.repaid_dai.sum())
    by_borrower = calls.groupby("position").repaid_dai.sum().sort_values()
    loss = calls.seized_usd / calls.repaid_usd - 1.0
    return {
        "liquidated_dai": repaid,
        "penalty_dai": INCENTIVE * repaid,
        "others_dai": repaid - float(by_borrower.iloc[-1]) if repaid else 0.0,
        "largest_dai": float(calls.repaid_dai.max()) if len(calls) else 0.0,
        "n_borrowers": float(len(by_borrower)),
        "two_largest_share": float(by_borrower.iloc[-2:].sum() / repaid) if repaid else np.nan,
        "median_loss": float(loss.median()) if len(calls) else np.nan,
        "n_calls": float(len(calls)),
    }
