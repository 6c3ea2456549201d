"""Fit a surface to every snapshot of a chain and measure it against the marks and the quotes.

A smile takes the out-of-the-money option of each strike (call and put of a strike share their mark
volatility at Deribit). Errors are differences of implied volatility in points (0.01), by the
forward delta of the call of that strike and by time to expiry.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.calibrate.chain import Chain, Snapshot
from experiments.progress import Progress
from sim.errors import InputError
from sim.kernel import F64, I64
from sim.options.black import Greek, black_greeks
from sim.options.inverse import inverse_option_price
from sim.options.surface import MIN_QUOTES, Smile, Surface, Violation, fit_surface
from sim.options.terms import YEAR_SECONDS
from sim.prices.bars import utc

if TYPE_CHECKING:
    import pandas as pd

FIT_BAR = 0.5  # volatility points, median where 0.1 <= delta <= 0.9
MARK_BAR = 1e-4  # coin, median
DELTA_EDGES = (0.0, 0.02, 0.1, 0.25, 0.4, 0.6, 0.75, 0.9, 0.98, 1.0)  # of the call
DAY_EDGES = (0.0, 2.0, 7.0, 30.0, 90.0, 180.0, np.inf)
TENORS = (7.0, 30.0, 90.0, 180.0)  # days, of the readings through time


@dataclass(frozen=True, slots=True)
class Fitted:
    """A snapshot with its surface; arrays (quote,) are of the out-of-the-money options."""

    snapshot: Snapshot
    surface: Surface
    violations: list[Violation]
    rows: I64  # of the chain
    years: F64
    delta: F64  # of the call
    market: F64  # volatility
    model: F64  # volatility
    inside: F64  # 1 between bid and ask, 0 outside, nan without both
    n_short: int  # expiries with too few strikes


@dataclass(frozen=True, slots=True)
class Study:
    """All snapshots, and the figures over them."""

    chain: Chain
    fitted: list[Fitted]
    mark_error: F64  # (row with a mark,), coin
    skipped: list[str] = field(default_factory=list)

    def gather(self, name: str) -> F64:
        """Join one array over all snapshots."""
        return np.concatenate([getattr(it, name) for it in self.fitted])

    def error(self) -> F64:
        """Absolute error of every quote, volatility points."""
        return np.asarray(100.0 * np.abs(self.gather("model") - self.gather("market")))


def out_of_the_money(chain: Chain, rows: I64) -> I64:
    """Rows of the option of each strike that is out of the money."""
    above = chain.strike[rows] >= chain.forward[rows]
    return np.asarray(rows[above == (chain.sign[rows] > 0.0)])


def smiles_of(chain: Chain, rows: I64) -> tuple[list[Smile], int]:
    """Group out-of-the-money rows by expiry; count expiries with too few strikes."""
    found, n_short = [], 0
    for expiry in np.unique(chain.expiry[rows]):
        own = rows[chain.expiry[rows] == expiry]
        if np.unique(chain.strike[own]).size < MIN_QUOTES:
            n_short += 1
            continue
        # Rows of one snapshot have forwards some ticks apart: each strike is placed by its own.
        forward = float(np.median(chain.forward[own]))
        found.append(
            Smile(
                years=float((expiry - chain.ts[own[0]]) / YEAR_SECONDS),
                forward=forward,
                strike=chain.strike[own] * (forward / chain.forward[own]),
                volatility=chain.volatility[own],
                name=utc(float(expiry))[:10],
            )
        )
    return found, n_short


def fit_snapshot(chain: Chain, snapshot: Snapshot) -> Fitted | None:
    """Fit one snapshot; None where no expiry has strikes enough."""
    rows = out_of_the_money(chain, snapshot.rows)
    smiles, n_short = smiles_of(chain, rows)
    if not smiles:
        return None
    surface = fit_surface(smiles)
    years = chain.years[rows]
    kept = rows[np.isin(np.round(years, 12), np.round(surface.years, 12))]
    years, forward = chain.years[kept], chain.forward[kept]
    k = np.log(chain.strike[kept] / forward)
    model = surface.volatility(k, years)
    market = chain.volatility[kept]
    greeks = black_greeks(forward, chain.strike[kept], years, market)
    price = inverse_option_price(forward, chain.strike[kept], years, model, chain.sign[kept])
    bid, ask = chain.bid[kept], chain.ask[kept]
    quoted = np.isfinite(bid) & np.isfinite(ask)
    inside = np.where(quoted, (price >= bid) & (price <= ask), np.nan)
    return Fitted(
        snapshot, surface, surface.violations(), kept, years, greeks[:, Greek.DELTA], market,
        model, inside, n_short,
    )  # fmt: skip


def calibrate(chain: Chain, snapshots: Sequence[Snapshot], progress: Progress) -> Study:
    """Fit every snapshot.

    Raises
    ------
    InputError
        If none of them has an expiry that can be fitted.
    """
    fitted, skipped = [], []
    for snapshot in snapshots:
        found = fit_snapshot(chain, snapshot)
        if found is None:
            skipped.append(f"{snapshot.currency} {utc(snapshot.ts)}")
        else:
            fitted.append(found)
        progress.advance(1)
    if not fitted:
        raise InputError(
            f"{chain.name} must have a snapshot with {MIN_QUOTES} strikes of one expiry, got none; "
            "get a whole chain"
        )
    rows = np.concatenate([it.rows for it in snapshots])
    rows = rows[np.isfinite(chain.mark[rows])]
    price = inverse_option_price(
        chain.forward[rows], chain.strike[rows], chain.years[rows], chain.volatility[rows],
        chain.sign[rows],
    )  # fmt: skip
    return Study(chain, fitted, np.abs(price - chain.mark[rows]), skipped)


def central(study: Study) -> F64:
    """Errors where the call's delta lies in 0.1 to 0.9, volatility points."""
    delta = study.gather("delta")
    return study.error()[(delta >= 0.1) & (delta <= 0.9)]


def buckets(study: Study, statistic: float = 0.5) -> tuple[F64, I64]:
    """Quantile of the error by time to expiry and delta, and the quotes in each cell."""
    error, delta = study.error(), study.gather("delta")
    days = 365.0 * study.gather("years")
    shape = (len(DAY_EDGES) - 1, len(DELTA_EDGES) - 1)
    value, count = np.full(shape, np.nan), np.zeros(shape, np.int64)
    for i, (first, last) in enumerate(pairwise(DAY_EDGES)):
        for j, (low, high) in enumerate(pairwise(DELTA_EDGES)):
            cell = (days >= first) & (days < last) & (delta >= low) & (delta < high)
            count[i, j] = int(cell.sum())
            if count[i, j]:
                value[i, j] = np.quantile(error[cell], statistic)
    return value, count


def verdict(value: float, bar: float) -> str:
    """Say whether a figure is within its bar."""
    return "within" if value <= bar else "ABOVE"


def printed(study: Study) -> list[str]:
    """List the lines of the terminal."""
    error, middle = study.error(), central(study)
    chain, n = study.chain, len(study.fitted)
    quotes, inside = len(error), study.gather("inside")
    slices = sum(len(it.surface.years) for it in study.fitted)
    lines = [
        f"{n:,} snapshots, {slices:,} expiries, {quotes:,} out-of-the-money quotes of {chain.name}"
    ]
    for reason, number in chain.refused.items():
        lines.append(f"left out, {reason}: {number:,} rows")
    short = sum(it.n_short for it in study.fitted)
    if short:
        lines.append(f"left out, fewer than {MIN_QUOTES} strikes: {short:,} expiries")
    if study.skipped:
        lines.append(f"left out, no expiry to fit: {len(study.skipped):,} snapshots")
    if chain.one_sided:
        lines.append(f"without bid or ask, kept for their mark: {chain.one_sided:,} rows")
    if middle.size:
        value = float(np.median(middle))
        lines.append(
            f"SVI against the chain, delta 0.1 to 0.9: median {value:.3f} volatility points, 90% "
            f"below {np.quantile(middle, 0.9):.3f} ({verdict(value, FIT_BAR)} the bar of {FIT_BAR})"
        )
    lines.append(f"SVI against the chain, all deltas: median {np.median(error):.3f} points")
    if np.isfinite(inside).any():
        lines.append(f"SVI prices between bid and ask: {100.0 * np.nanmean(inside):.1f}% of quotes")
    if study.mark_error.size:
        value = float(np.median(study.mark_error))
        within = float((study.mark_error <= MARK_BAR).mean())
        lines.append(
            f"marks from their own volatility: median {value:.1e} coin "
            f"({verdict(value, MARK_BAR)} the bar of {MARK_BAR:g}), {100.0 * within:.1f}% within it"
        )
    broken = [v for it in study.fitted for v in it.violations]
    shrunk = sum(int((it.surface.shrunk < 1.0 - 1e-6).sum()) for it in study.fitted)
    words = f"arbitrage left on the grid: {len(broken)} of {slices:,} slices"
    if broken:
        words += f", the first: {broken[0]}"
    return [*lines, f"{words}; {shrunk:,} slices shrunk to stay below the next one"]


def readings(study: Study, currency: str) -> dict[str, Any]:
    """Read surfaces of a currency through time.

    Returns
    -------
    dict
        `ts (snapshot,)`; `atm`, `risk_reversal`, `fly`, `skew (tenor, snapshot)`, nan beyond the
        listed expiries, in volatility (fractions).
    """
    own = [it for it in study.fitted if it.snapshot.currency == currency]
    ts = np.array([it.snapshot.ts for it in own])
    names = ("atm", "risk_reversal", "fly", "skew")
    table = {name: np.full((len(TENORS), len(own)), np.nan) for name in names}
    years = np.array(TENORS) / 365.0
    for j, it in enumerate(own):
        listed = (years >= it.surface.years[0]) & (years <= it.surface.years[-1])
        if listed.any():
            for name in names:
                table[name][listed, j] = getattr(it.surface, name)(years[listed])
    return {"ts": ts, **table}


def tables(study: Study) -> dict[str, "pd.DataFrame"]:
    """Tables of the study: slices with their parameters, and quotes with their errors."""
    import pandas as pd

    slices = []
    for it in study.fitted:
        s = it.surface
        for i, name in enumerate(s.names):
            a, b, rho, m, sigma = s.parameters[i]
            slices.append(
                {
                    "ts": it.snapshot.ts, "currency": it.snapshot.currency, "expiry": name,
                    "years": s.years[i], "forward": s.forwards[i], "a": a, "b": b, "rho": rho,
                    "m": m, "sigma": sigma, "shrunk": s.shrunk[i],
                }
            )  # fmt: skip
    rows = np.concatenate([it.rows for it in study.fitted])
    quotes = {
        "ts": study.chain.ts[rows], "currency": study.chain.currency[rows],
        "strike": study.chain.strike[rows], "sign": study.chain.sign[rows],
        "years": study.gather("years"), "call_delta": study.gather("delta"),
        "market_volatility": study.gather("market"), "model_volatility": study.gather("model"),
    }  # fmt: skip
    return {"slices": pd.DataFrame(slices), "quotes": pd.DataFrame(quotes)}
