"""Who does what when it wakes."""

import numpy as np

from sim.book.layout import Book
from sim.crowd.layout import CrowdState, Kind
from sim.crowd.zero_intelligence import act_zero_intelligence
from sim.kernel import kernel, word

ZERO_INTELLIGENCE = word(Kind.ZERO_INTELLIGENCE)
NEVER = word(-1)


@kernel
def act(book: Book, crowd: CrowdState, i: int, now: int) -> int:
    """Let a member act; return when it wants to wake again, -1 if never."""
    kind = np.int64(crowd.members[i]["kind"])
    if kind == ZERO_INTELLIGENCE:
        return act_zero_intelligence(book, crowd, i, now)
    return NEVER
