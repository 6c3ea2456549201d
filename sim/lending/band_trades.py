"""The trade with crvUSD's bands that pays a trader most, against a price outside.

Within a band the price falls behind the trade as in a constant product, with the band's own fee, so
the best amount there is closed. Fees fall as bands come nearer to the oracle's price, and where a
band ends the next may pay a little more than its last token did: profit has a local maximum in each
band, and the walk keeps the highest.
"""

import math

from sim.kernel import kernel
from sim.lending.llamma import (
    MOST_BANDS,
    SKIPPED_BANDS,
    BandState,
    band_fee,
    band_top,
    invariant_level,
    limited_oracle,
)


@kernel
def profit_maximising_exchange(
    state: BandState, w: int, pump: bool, cost: float, most: float
) -> tuple[float, float]:
    """Amount in that maximises what comes out less `cost` times it, and what comes out; 0 if none.

    Parameters
    ----------
    state : BandState
        `oracle` and `clock` must be those of the block.
    pump : bool
        Whether the borrowed coin is sold for collateral.
    cost : float
        Worth of the coin in, in coins out.
    most : float
        Largest amount in, whole tokens.
    """
    a, (p, oracle_fee) = state.amplification, limited_oracle(state, w)
    band, top = int(state.active[w]), band_top(state, w, int(state.active[w]))
    least_fee, passed = max(state.fee[w], oracle_fee), -1
    farthest = (a / (a - 1.0)) ** MOST_BANDS
    total_in, total_out, best, best_in, best_out = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(MOST_BANDS + SKIPPED_BANDS):
        x, y = state.x[w, band], state.y[w, band]
        if i > 0 and pump:
            x = 0.0
        elif i > 0:
            y = 0.0
        if x > 0.0 or y > 0.0:
            passed = max(passed, 0)
        given = y if pump else x
        if given > 0.0:
            level = invariant_level(a, x, y, p, top)
            f, g = a * level * p / top * p, (a - 1.0) * level * top / p
            into, outof, offset = (f + x, g + y, g) if pump else (g + y, f + x, f)
            if outof * (1.0 - least_fee) <= cost * into:
                break  # prices only get worse from here on, and no fee is under the least one
            net = 1.0 - min(max(band_fee(a, p, top), least_fee), 1.0 - 1e-18)
            drains = into * given / offset / net
            part = (math.sqrt(outof * into * net / cost) - into) / net
            part = min(min(max(part, 0.0), drains), most - total_in)
            out = min(outof * (part * net) / (into + part * net), given)
            gain = total_out + out - cost * (total_in + part)
            if gain > best:
                best, best_in, best_out = gain, total_in + part, total_out + out
            total_in += drains
            total_out += given
            if total_in >= most:
                break
        ratio = top / p
        end = band == state.highest[w] if pump else band == state.lowest[w]
        far = ratio * farthest < 1.0 if pump else ratio > farthest
        if end or far or passed == MOST_BANDS - 1:
            break
        band = band + 1 if pump else band - 1
        top = top * (a - 1.0) / a if pump else top * a / (a - 1.0)
        passed = passed + 1 if passed >= 0 else passed
    return best_in, best_out
