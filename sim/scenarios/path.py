"""A factor that follows straight lines in its logarithm over time, the shape of most scenarios."""

from collections.abc import Sequence

import numpy as np

from sim.kernel import F64, kernel


@kernel
def multiply_by_path(
    target: F64, hours: float, starts: F64, knots: F64, logs: F64, loadings: F64
) -> None:
    """Multiply target[w, k] by exp(loadings[k] * level), level read from the path.

    Parameters
    ----------
    target : array (world, n)
    hours : float
        Hours since the world began.
    starts : array (world,)
        Hours at which the path begins in each world; before, its first level holds.
    knots, logs : array (knot,)
        Hours since the path's beginning, non-decreasing, and the log level there. Beyond the last
        knot its level stays; of two knots at the same time the later one holds from then on.
    loadings : array (n,)
        Factor of the log level for each column.
    """
    last = knots.shape[0] - 1
    for w in range(target.shape[0]):
        since = hours - starts[w]
        level = logs[0]
        if since >= knots[last]:
            level = logs[last]
        elif since >= 0.0:
            j = 0
            while knots[j + 1] <= since:
                j += 1
            part = (since - knots[j]) / (knots[j + 1] - knots[j])
            level = logs[j] + part * (logs[j + 1] - logs[j])
        if level != 0.0:
            for k in range(target.shape[1]):
                if loadings[k] != 0.0:
                    target[w, k] *= np.exp(loadings[k] * level)


class LogPath:
    """A path of factors, neutral (1) before it begins.

    Parameters
    ----------
    durations : sequence of float
        Hours that each piece takes; 0 is a jump.
    factors : sequence of float
        Factor at the end of each piece, positive.
    """

    def __init__(self, durations: Sequence[float], factors: Sequence[float]) -> None:
        self.knots: F64 = np.concatenate([[0.0], np.cumsum(np.array(durations, np.float64))])
        self.logs: F64 = np.concatenate([[0.0], np.log(np.array(factors, np.float64))])

    def is_neutral(self, hours: float, first: float, last: float) -> bool:
        """Whether the factor is 1 now in every world whose path begins in [first, last]."""
        ended = hours - last >= self.knots[-1] and self.logs[-1] == 0.0
        return bool(hours < first or ended)

    def multiply(self, target: F64, hours: float, starts: F64, loadings: F64) -> None:
        """Multiply the columns of target, shape (world, n), by the factor to their loadings."""
        multiply_by_path(target, float(hours), starts, self.knots, self.logs, loadings)
