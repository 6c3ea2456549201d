"""A book drawn from a documented distribution, with the knife edge set on the drawn sample.

Sizes (debt per position) follow a lognormal body spliced with a Pareto tail: a draw above the
body's (1 - tail_share) quantile is replaced by a Pareto draw from that quantile on. Health factors
follow 1 + lognormal. On top of that a knife edge is exact, not expected: among the positions that
a fall of risky prices hurts, a random set whose debt sums to `knife_edge_usd_per_billion` per 10^9
USD of debt gets a health factor at which a 3% fall (`knife_edge_move`) makes it liquidatable, and
nobody else does. Sizes are so heavy-tailed that a mixture weight would hold this only on average
over books; one whale inside or outside the edge would be all the difference.

Sources and what was measured
-----------------------------
* Perez, Werner, Xu, Livshits, "Liquidations: DeFi on a Knife-edge", FC 2021, arXiv:2009.13235,
  abstract: "variations of only 3% in an asset's dollar price can result in over 10m USD becoming
  liquidable" on Compound up to September 2020. The edge here is counted in debt at the prices
  before the fall, and the fall is common to all risky assets; the collateral behind it is
  1 / threshold, about 1.25 times, as much.
* Every (w)stETH-collateralised position of Aave, June 2023 (lidofinance/aave-liquidation-model,
  GPL-3.0; 1,136 positions with 1 < health < 100 and more than 0.05 ETH of debt, 509,684 ETH in
  all): standard deviation of log debt 2.8; Hill exponent of debt 1.34 on the largest 2%, 0.78 on
  the largest 5%; the largest position has 10% of the debt; health quantiles 5% 1.16, 25% 1.38,
  50% 1.81, 75% 2.61, 95% 4.87; debt with health under 1.031 0.01%, 1.05 7.9%, 1.2 21%, 1.5 61%.
* Those of them that owe stablecoins (694 positions, 213,582 ETH): log debt 2.2; Hill 1.93 on the
  largest 2%, 0.90 on 5%; health 5% 1.21, 25% 1.61, 50% 2.10, 75% 2.95, 95% 5.28; debt with health
  under 1.031 0%, 1.05 1.2%, 1.2 15%, 1.5 43%, 2 66%. These are the ones that a fall of ETH hurts,
  and their health weighted by debt is where the defaults come from: 1 + lognormal with median 0.6
  and sigma 1.08 has 15% of the debt under 1.2, 43% under 1.5, 68% under 2.

So the real books' edge is lumpy: nothing within 3% and 1% to 8% within 5%, one position each; 1%
within 3% (the default) is of that order. Their tails are, if anything, heavier than allowed here.

Left out: correlation of size and health beyond the edge, positions without debt, loops of one asset
against itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from math import isfinite, log
from statistics import NormalDist
from typing import Any

import numpy as np

from agents.populations.book import BookSource, LoanBook
from sim.errors import ConfigError
from sim.kernel import F64, I64, Bool

COLLATERAL_MIX = {"WETH": 0.55, "WBTC": 0.25, "USDC": 0.15, "DAI": 0.05}
DEBT_MIX = {"USDC": 0.55, "DAI": 0.30, "WETH": 0.12, "WBTC": 0.03}
STABLE = ("USDC", "DAI", "USDT", "FRAX", "LUSD", "GHO", "BUSD", "TUSD", "sUSD", "UST", "crvUSD")
# Least risky share of collateral less that of debt for a place on the edge: with less, only a
# health factor closer to 1 than `min_health` would do.
_EXPOSED = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticBook(BookSource):
    """Lognormal body, Pareto tail, exact knife edge; defaults resemble Aave on Ethereum."""

    n_positions: int = 10_000  # positions, without the whale
    total_debt_usd: float = 1e9  # debt of all positions without the whale, USD
    body_sigma: float = 2.2  # standard deviation of log debt in the body
    tail_exponent: float = 1.2  # Pareto exponent of the tail, 1.0 to 1.5
    tail_share: float = 0.03  # fraction of positions in the tail
    max_position_share: float = 0.1  # largest position, fraction of all debt
    collateral_mix: Mapping[str, float] = field(default_factory=lambda: dict(COLLATERAL_MIX))
    # ^ main collateral by asset, weights of the debt that it backs
    debt_mix: Mapping[str, float] = field(default_factory=lambda: dict(DEBT_MIX))
    # ^ main debt by asset, weights of value
    multi_collateral_share: float = 0.25  # fraction of positions with a second collateral
    multi_debt_share: float = 0.10  # fraction of positions with a second debt
    health_median: float = 1.6  # median health factor away from the edge
    health_sigma: float = 1.08  # standard deviation of log(health factor - 1)
    min_health: float = 1.002  # lowest health factor at the start
    knife_edge_usd_per_billion: float = 1e7  # debt liquidatable after the move, USD per 1e9 USD
    knife_edge_move: float = 0.03  # fall of all risky prices that defines the edge, fraction
    stable: Sequence[str] = STABLE  # assets whose price the fall leaves alone
    thresholds: Mapping[str, float] | None = None  # draw health at these, None: at the market's
    whale: Mapping[str, Any] | None = None  # collateral, debt, size_usd (of debt), health_factor
    seed: int = 0  # of the book alone: every world starts from the same one

    def __post_init__(self) -> None:
        self._check_counts()
        _in_range("tail_exponent", self.tail_exponent, 1.0, 1.5)
        _in_range("tail_share", self.tail_share, 0.0, 0.5)
        _in_range("max_position_share", self.max_position_share, 0.0, 1.0, open_low=True)
        _in_range("multi_collateral_share", self.multi_collateral_share, 0.0, 1.0)
        _in_range("multi_debt_share", self.multi_debt_share, 0.0, 1.0)
        _in_range("body_sigma", self.body_sigma, 0.0, 10.0)
        _in_range("health_sigma", self.health_sigma, 0.0, 5.0)
        _in_range("min_health", self.min_health, 1.0, 2.0, open_low=True)
        _in_range("knife_edge_move", self.knife_edge_move, 0.0, 0.5, open_low=True)
        _in_range("knife_edge_usd_per_billion", self.knife_edge_usd_per_billion, 0.0, 5e8)
        if not self.min_health < 1.0 + _EXPOSED * self.knife_edge_move:
            raise ConfigError(
                f"min_health must lie below 1 + {_EXPOSED} × knife_edge_move = "
                f"{1.0 + _EXPOSED * self.knife_edge_move:.4f}, or nobody can stand on the edge, "
                f"got {self.min_health}"
            )
        if not self.health_median > (1.0 + 1e-6) / (1.0 - self.knife_edge_move):
            raise ConfigError(
                "health_median must lie above 1 / (1 - knife_edge_move) = "
                f"{1.0 / (1.0 - self.knife_edge_move):.4f}, got {self.health_median}; raise it"
            )
        for name in ("collateral_mix", "debt_mix"):
            _check_mix(name, getattr(self, name))
        for name, threshold in (self.thresholds or {}).items():
            _in_range(f"thresholds.{name}", threshold, 0.0, 1.0, open_low=True)
        if self.whale is not None:
            _check_whale(self.whale)

    def _check_counts(self) -> None:
        if self.n_positions < 2:
            raise ConfigError(f"n_positions must be at least 2, got {self.n_positions}")
        if not (isfinite(self.total_debt_usd) and self.total_debt_usd > 0.0):
            raise ConfigError(f"total_debt_usd must be positive USD, got {self.total_debt_usd}")
        if self.seed < 0:
            raise ConfigError(f"seed of the book must be zero or more, got {self.seed}")
        if self.max_position_share * self.n_positions < 1.0:
            raise ConfigError(
                f"max_position_share must be at least 1 / n_positions, got "
                f"{self.max_position_share} with {self.n_positions} positions; raise one of them"
            )

    def draw(self, assets: Sequence[str], prices: F64, thresholds: F64, ltv: F64) -> LoanBook:
        """Draw the book; see the module's text for the distribution.

        Health factors, not loan-to-values, are what is drawn: a market with a higher threshold gets
        the same debts against less collateral. With `thresholds` given, it gets the same collateral
        too, whatever its own: what a sweep of thresholds needs to compare designs on one book.

        Parameters
        ----------
        assets : sequence of str
        prices : array (asset,)
            USD per whole token.
        thresholds, ltv : array (asset,)
            Fractions; every asset of `collateral_mix` needs both above zero.
        """
        assets = tuple(assets)
        prices, thresholds = np.asarray(prices, float), np.array(thresholds, float)
        for name, threshold in (self.thresholds or {}).items():
            if name in assets:
                thresholds[assets.index(name)] = threshold
        self._check_market(assets, prices, thresholds, np.asarray(ltv, float))
        risky = np.array([name not in tuple(self.stable) for name in assets])
        sizes = self._sizes()
        backing, owed = self._composition(assets, sizes)
        r, d = backing @ risky.astype(float), owed @ risky.astype(float)
        edge = self._choose_edge(sizes, r - d)
        health = self._health(r, d, edge)
        collateral = backing * (health * sizes)[:, None]
        for a in range(len(assets)):
            if thresholds[a] > 0.0:
                collateral[:, a] /= thresholds[a] * prices[a]
        book = LoanBook(
            assets, collateral, owed * sizes[:, None] / prices, np.arange(sizes.shape[0])
        )
        if self.whale is None:
            return book
        return LoanBook.concat([book, self._whale_book(assets, prices, thresholds)])

    def _sizes(self) -> F64:
        """Debt of each position, USD, summing to `total_debt_usd`."""
        rng = self._stream("sizes")
        z = rng.standard_normal(self.n_positions)
        u = 1.0 - rng.random(self.n_positions)
        sizes = np.exp(self.body_sigma * z)
        if self.tail_share > 0.0:
            splice = NormalDist().inv_cdf(1.0 - self.tail_share)
            start = np.exp(self.body_sigma * splice)
            tail = z > splice
            sizes[tail] = start * u[tail] ** (-1.0 / self.tail_exponent)
        sizes = _capped(sizes, self.max_position_share)
        return np.asarray(sizes * (self.total_debt_usd / sizes.sum()))

    def _composition(self, assets: tuple[str, ...], sizes: F64) -> tuple[F64, F64]:
        """Shares per asset of threshold-weighted collateral and of debt, each (position, asset)."""
        n, n_assets = sizes.shape[0], len(assets)
        supplied = _weights(self.collateral_mix, assets)
        borrowed = _weights(self.debt_mix, assets)
        joint = _pairing(supplied, borrowed)
        rng = self._stream("composition")
        # Walk through the positions in random order and cut the walk where a pair's share of the
        # debt is reached: the mix holds in value although a few positions own most of it.
        walk = rng.permutation(n)
        ends = np.cumsum(sizes[walk])
        middle = (ends - 0.5 * sizes[walk]) / ends[-1]
        cuts = np.cumsum(joint.ravel())
        pair = np.empty(n, np.int64)
        pair[walk] = np.searchsorted(cuts / cuts[-1], middle, side="right")
        main, loan = pair // n_assets, pair % n_assets
        backing, owed = np.zeros((n, n_assets)), np.zeros((n, n_assets))
        rows = np.arange(n)
        second = self._second(rng, supplied, pair, self.multi_collateral_share)
        share = np.where(second >= 0, rng.uniform(0.5, 0.95, n), 1.0)
        backing[rows, main] = share
        some = second >= 0
        backing[rows[some], second[some]] = 1.0 - share[some]
        lent = np.where(backing > 0.0, 0.0, borrowed)
        second = _second_debt(rng, lent, loan, self.multi_debt_share)
        share = np.where(second >= 0, rng.uniform(0.5, 0.95, n), 1.0)
        owed[rows, loan] = share
        some = second >= 0
        owed[rows[some], second[some]] = 1.0 - share[some]
        return backing, owed

    def _second(self, rng: np.random.Generator, weights: F64, pair: I64, share: float) -> I64:
        """Second collateral of each position: neither its main one nor its debt; -1 for none."""
        n_assets = weights.shape[0]
        allowed = np.tile(weights, (n_assets * n_assets, 1))
        for cell in range(n_assets * n_assets):
            allowed[cell, cell // n_assets] = 0.0
            allowed[cell, cell % n_assets] = 0.0
        return _pick(rng, allowed, pair, share)

    def _choose_edge(self, sizes: F64, exposure: F64) -> Bool:
        """Choose who stands on the knife edge; may cut one position's size to make it exact.

        Candidates are taken in random order, skipping whoever would overshoot. Should more than
        0.1% be missing then, the smallest candidate left is cut to fit and the debt that it loses
        is spread over all positions off the edge.
        """
        target = self.knife_edge_usd_per_billion / 1e9 * self.total_debt_usd
        edge = np.zeros(sizes.shape[0], np.bool_)
        if target == 0.0:
            return edge
        queue = np.flatnonzero(exposure > _EXPOSED)
        if sizes[queue].sum() < target:
            raise ConfigError(
                f"knife_edge_usd_per_billion must be reachable: {target:.4g} USD on the edge "
                f"exceed the {sizes[queue].sum():.4g} USD that a fall of risky prices endangers; "
                "lower it or put more risky assets in collateral_mix"
            )
        queue = self._stream("edge").permutation(queue)
        left = target
        while True:
            queue = queue[sizes[queue] <= left]
            if queue.size == 0:
                break
            fits = int(np.searchsorted(np.cumsum(sizes[queue]), left, side="right"))
            fits = max(fits, 1)
            edge[queue[:fits]] = True
            left -= float(sizes[queue[:fits]].sum())
            queue = queue[fits:]
        if left > 1e-3 * target:
            rest = np.flatnonzero((exposure > _EXPOSED) & ~edge)
            cut = int(rest[np.argmin(sizes[rest])])
            sizes[cut] = left
            edge[cut] = True
        off = ~edge
        sizes[off] *= (self.total_debt_usd - sizes[edge].sum()) / sizes[off].sum()
        return edge

    def _health(self, r: F64, d: F64, edge: Bool) -> F64:
        """Health factors.

        With r the risky share of threshold-weighted collateral and d that of debt, a fall x of
        risky prices brings the health factor H to H (1 - x r) / (1 - x d), so H is liquidatable
        after the fall exactly if H < (1 - x d) / (1 - x r).
        """
        rng = self._stream("health")
        n = r.shape[0]
        move = self.knife_edge_move
        brink = (1.0 - move * d) / (1.0 - move * r)
        lowest = np.where(r > d, np.maximum(self.min_health, brink * (1.0 + 1e-9)), self.min_health)
        centre = log(self.health_median - 1.0)
        health = 1.0 + np.exp(centre + self.health_sigma * rng.standard_normal(n))
        again = np.flatnonzero(health < lowest)
        while again.size:  # each round keeps at least half: lowest is below the median
            redraw = rng.standard_normal(again.size)
            health[again] = 1.0 + np.exp(centre + self.health_sigma * redraw)
            again = again[health[again] < lowest[again]]
        h, x = self.min_health, move * (1.0 - 1e-6)
        first = (h - 1.0) / (h * r[edge] - d[edge])
        fall = first + (x - first) * rng.random(int(edge.sum()))
        health[edge] = (1.0 - fall * d[edge]) / (1.0 - fall * r[edge])
        return np.asarray(health)

    def _whale_book(self, assets: tuple[str, ...], prices: F64, thresholds: F64) -> LoanBook:
        assert self.whale is not None
        c, b = assets.index(self.whale["collateral"]), assets.index(self.whale["debt"])
        size, health = float(self.whale["size_usd"]), float(self.whale["health_factor"])
        collateral, debt = np.zeros((1, len(assets))), np.zeros((1, len(assets)))
        collateral[0, c] = size * health / (thresholds[c] * prices[c])
        debt[0, b] = size / prices[b]
        return LoanBook(assets, collateral, debt, np.array([self.n_positions]))

    def _check_market(
        self, assets: tuple[str, ...], prices: F64, thresholds: F64, ltv: F64
    ) -> None:
        named = {"collateral_mix": list(self.collateral_mix), "debt_mix": list(self.debt_mix)}
        if self.whale is not None:
            named["whale"] = [self.whale["collateral"], self.whale["debt"]]
        for where, names in named.items():
            for name in names:
                if name not in assets:
                    raise ConfigError(
                        f"{where}: unknown asset {name}; this market knows {', '.join(assets)}"
                    )
        backing = [name for name, weight in self.collateral_mix.items() if weight > 0.0]
        backing += [] if self.whale is None else [self.whale["collateral"]]
        for name in backing:
            a = assets.index(name)
            if not 0.0 < ltv[a] <= thresholds[a] < 1.0:
                raise ConfigError(
                    f"collateral_mix: {name} must be a collateral, 0 < LTV <= threshold < 1, got "
                    f"LTV {ltv[a]:g} and threshold {thresholds[a]:g}; leave it out of the mix"
                )
        for a, name in enumerate(assets):
            if not (isfinite(prices[a]) and prices[a] > 0.0):
                raise ConfigError(f"price of {name} must be positive USD, got {prices[a]:g}")

    def _stream(self, name: str) -> np.random.Generator:
        """Own generator per quantity, so that changing one parameter leaves the others' draws."""
        tag = int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "little")
        return np.random.default_rng([self.seed, tag])


def _capped(sizes: F64, share: float) -> F64:
    """Cut the largest sizes so that none exceeds `share` of the sum that results."""
    largest = np.sort(sizes)[::-1]
    rest = sizes.sum()
    for k in range(int(1.0 / share) + 1):
        # With the k largest cut to c: c = share (k c + rest).
        if k * share >= 1.0:
            break
        cap = share * rest / (1.0 - k * share)
        if k == largest.shape[0] or largest[k] <= cap:
            return np.asarray(np.minimum(sizes, cap))
        rest -= largest[k]
    return np.full_like(sizes, 1.0)


def _pick(rng: np.random.Generator, table: F64, row: I64, share: float) -> I64:
    """Draw a column for a fraction of the positions, by the weights in each one's row; else -1."""
    picked = np.full(row.shape[0], -1, np.int64)
    chosen = np.flatnonzero(rng.random(row.shape[0]) < share)
    totals = table.sum(axis=1)
    chosen = chosen[totals[row[chosen]] > 0.0]
    cuts = np.cumsum(table, axis=1) / np.where(totals > 0.0, totals, 1.0)[:, None]
    u = rng.random(chosen.shape[0])
    found = np.zeros(chosen.shape[0], np.int64)
    for a in range(table.shape[1] - 1):
        found += u >= cuts[row[chosen], a]
    picked[chosen] = found
    return picked


def _second_debt(rng: np.random.Generator, allowed: F64, loan: I64, share: float) -> I64:
    """Second debt of each position: neither its main one nor among its collateral."""
    allowed[np.arange(loan.shape[0]), loan] = 0.0
    return _pick(rng, allowed, np.arange(loan.shape[0]), share)


def _weights(mix: Mapping[str, float], assets: tuple[str, ...]) -> F64:
    weights = np.array([float(mix.get(name, 0.0)) for name in assets])
    return np.asarray(weights / weights.sum())


def _pairing(supplied: F64, borrowed: F64) -> F64:
    """Joint shares of (collateral, debt) with an empty diagonal and the given margins.

    Iterative proportional fitting (Deming and Stephan 1940).
    """
    joint = np.outer(supplied, borrowed)
    np.fill_diagonal(joint, 0.0)
    for _ in range(2000):
        for axis, margin in ((1, supplied), (0, borrowed)):
            total = joint.sum(axis=axis)
            scale = np.divide(margin, total, out=np.zeros_like(margin), where=total > 0.0)
            joint = joint * (scale[:, None] if axis == 1 else scale)
        if np.abs(joint.sum(axis=1) - supplied).max() < 1e-10:
            return np.asarray(joint)
    raise ConfigError(
        "collateral_mix and debt_mix must allow every position to owe another asset than its "
        "collateral, got an asset whose weights in both sum to more than 1; lower one of them"
    )


def _in_range(name: str, value: float, low: float, high: float, *, open_low: bool = False) -> None:
    if not (low <= value <= high) or (open_low and value == low):
        raise ConfigError(
            f"{name} must lie in {'(' if open_low else '['}{low:g}, {high:g}], got {value}"
        )


def _check_mix(name: str, mix: Mapping[str, float]) -> None:
    for asset, weight in mix.items():
        if not (isfinite(weight) and weight >= 0.0):
            raise ConfigError(f"{name}.{asset} must be a weight of zero or more, got {weight}")
    if not sum(mix.values()) > 0.0:
        raise ConfigError(f"{name} must give at least one asset a positive weight, got {dict(mix)}")


def _check_whale(whale: Mapping[str, Any]) -> None:
    expected = {"collateral", "debt", "size_usd", "health_factor"}
    if set(whale) != expected:
        raise ConfigError(
            f"whale must give exactly {', '.join(sorted(expected))}, got {', '.join(sorted(whale))}"
        )
    if not (isfinite(whale["size_usd"]) and whale["size_usd"] > 0.0):
        raise ConfigError(f"whale.size_usd must be positive USD, got {whale['size_usd']}")
    if not (isfinite(whale["health_factor"]) and whale["health_factor"] > 1.0):
        raise ConfigError(f"whale.health_factor must exceed 1, got {whale['health_factor']}")
