"""Value traders: they watch a noisy fundamental and trade towards what they make of it.

The ValueAgent of ABIDES. Since its last look at time t' the trader knew the value to be normal with
mean r and variance s; by now it has reverted and spread,

    r' = r e^(-kappa dt) + (1 - e^(-kappa dt)) r_bar,
    s' = s e^(-2 kappa dt) + sigma_s (1 - e^(-2 kappa dt)) / (2 kappa),

and an observation o of variance sigma_n makes it r = (sigma_n r' + s' o) / (sigma_n + s') and s =
sigma_n s' / (sigma_n + s'). What it expects at the close decides the side; the price lies at the
opposite touch (with probability `aggressive`) or up to `depth_spread` spreads better than that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np

from sim.book.ladder import best_price
from sim.book.layout import Book
from sim.crowd.chance import FIRST, MORE, exponential_gap, four, lots_of
from sim.crowd.desk import BUY, GTC, SELL, call_off_all, fundamental, reference, send, ticks
from sim.crowd.layout import OU_MEAN, OWN_TERMS, SECOND, START_PRICE, CrowdState, Kind
from sim.crowd.trader import Traders
from sim.kernel import i64, inlined, kernel
from sim.streams import normal_quantile
from sim.terms import check_range

NOISE, SHOCK, KAPPA, CLOSE = OWN_TERMS, OWN_TERMS + 1, OWN_TERMS + 2, OWN_TERMS + 3
AGGRESSIVE, DEPTH_SPREAD, HURDLE = OWN_TERMS + 4, OWN_TERMS + 5, OWN_TERMS + 6


@dataclass(frozen=True, kw_only=True)
class Value(Traders):
    """Value traders; the defaults are those of `rmsc04`, whose price is 100,000 ticks."""

    size_law: str = "abides"
    gap: float = 175.4  # mean seconds between wakes: lambda_a 5.7e-12 per ns
    noise_bps: float = 3.162  # of an observation: standard deviation sqrt(sigma_n) = sqrt(1,000)
    shock_bps: float = 1.0e6  # of the value per root second, as believed: sigma_s 1e5 per ns
    kappa: float = 1.67e-6  # believed reversion per second
    close: float = 23_400.0  # seconds: the time whose value is expected
    aggressive: float = 0.1  # share of orders at the opposite touch
    depth_spread: float = 2.0  # spreads within which the others lie
    hurdle_bps: float = 0.0  # distance of value and mid below which nothing is done

    kind = Kind.VALUE
    memory = 3

    def __post_init__(self) -> None:
        """Check."""
        self.check()
        check_range("gap", self.gap, 0.0, open_low=True)
        check_range("aggressive", self.aggressive, 0.0, 1.0)
        for name in ("noise_bps", "shock_bps", "kappa", "close", "depth_spread", "hurdle_bps"):
            check_range(name, getattr(self, name), 0.0)

    @property
    def mean_gap(self) -> float:
        """Seconds between wakes on average."""
        return self.gap

    def own_terms(self) -> Sequence[float]:
        """Columns from OWN_TERMS on."""
        return [
            self.noise_bps * 1e-4, self.shock_bps * 1e-4, self.kappa, self.close, self.aggressive,
            self.depth_spread, self.hurdle_bps * 1e-4,
        ]  # fmt: skip


@inlined
def believe(
    mean: float, variance: float, seconds: float, observed: float, noise: float, shock: float,
    kappa: float, level: float,
) -> tuple[float, float]:  # fmt: skip
    """Mean and variance of the value after an observation, `seconds` after the last one.

    `noise` and `shock` are variances: of an observation, and of the value per second.
    """
    keep = exp(-kappa * seconds)
    prior = level + (mean - level) * keep
    spread = variance * keep * keep
    spread += shock * ((1.0 - keep * keep) / (2.0 * kappa) if kappa > 0.0 else seconds)
    if noise + spread <= 0.0:
        return observed, 0.0
    return (noise * prior + spread * observed) / (noise + spread), noise * spread / (noise + spread)


@kernel
def estimate(crowd: CrowdState, i: int, now: int, u: float) -> float:
    """Value that a member expects at the close, in ticks, after a look at the fundamental."""
    t = crowd.terms[crowd.members[i]["group"]]
    at = crowd.members[i]["memory"]
    memory = crowd.memory
    scale, level = crowd.values[START_PRICE], crowd.values[OU_MEAN]
    noise, shock = t[NOISE] * scale, t[SHOCK] * scale
    observed = fundamental(crowd, now) + noise * normal_quantile(u)
    last = memory[at] if crowd.members[i]["draws"] > 1 else level
    seconds = (now - memory[at + 2]) / SECOND
    memory[at], memory[at + 1] = believe(
        last, memory[at + 1], seconds, observed, noise * noise, shock * shock, t[KAPPA], level
    )
    memory[at + 2] = now
    left = max(t[CLOSE] - now / SECOND, 0.0)
    return level + (memory[at] - level) * exp(-t[KAPPA] * left)


@kernel
def act_value(book: Book, crowd: CrowdState, i: int, now: int) -> int:
    """Replace the order by one towards the value; return when to wake again."""
    group = i64(crowd.members[i]["group"])
    t = crowd.terms[group]
    u, v, x, y = four(crowd, i, FIRST)
    a, b, _, _ = four(crowd, i, MORE)
    call_off_all(crowd, i, now)
    value = estimate(crowd, i, now, u)
    bid, ask = best_price(book, BUY), best_price(book, SELL)
    mid = reference(book, crowd)
    lots = lots_of(crowd, group, v, x)
    if abs(value - mid) < t[HURDLE] * mid:
        pass
    elif bid > 0 and ask > 0:
        side = SELL if value < np.floor(mid) else BUY
        better = i64(0)
        if a >= t[AGGRESSIVE]:
            better = i64(b * t[DEPTH_SPREAD] * (ask - bid))
        price = bid + better if side == SELL else max(ask - better, 1)
        send(crowd, i, now, side, price, lots, GTC)
    else:
        side = BUY if a < 0.5 else SELL
        send(crowd, i, now, side, ticks(value), lots, GTC)
    return now + exponential_gap(crowd, group, y)
