"""Who does what when it wakes."""

from sim.book.layout import Book
from sim.crowd.adaptive_maker import act_adaptive_maker
from sim.crowd.avellaneda_stoikov import act_avellaneda_stoikov
from sim.crowd.executor import act_executor
from sim.crowd.glft import act_glft
from sim.crowd.hawkes import act_hawkes
from sim.crowd.informed import act_informed
from sim.crowd.layout import CrowdState, Kind
from sim.crowd.momentum import act_momentum
from sim.crowd.noise import act_noise
from sim.crowd.value import act_value
from sim.crowd.zero_intelligence import act_zero_intelligence
from sim.kernel import i64, kernel, word

ZERO_INTELLIGENCE, HAWKES = word(Kind.ZERO_INTELLIGENCE), word(Kind.HAWKES)
NOISE, VALUE, MOMENTUM = word(Kind.NOISE), word(Kind.VALUE), word(Kind.MOMENTUM)
ADAPTIVE_MAKER, GLFT = word(Kind.ADAPTIVE_MAKER), word(Kind.GLFT)
AVELLANEDA_STOIKOV = word(Kind.AVELLANEDA_STOIKOV)
INFORMED, EXECUTOR = word(Kind.INFORMED), word(Kind.EXECUTOR)
NEVER = word(-1)


@kernel
def act(book: Book, crowd: CrowdState, i: int, now: int) -> int:
    """Let a member act; return when it wants to wake again, -1 if never."""
    kind = i64(crowd.members[i]["kind"])
    following = NEVER
    if kind == VALUE:
        following = act_value(book, crowd, i, now)
    elif kind == NOISE:
        following = act_noise(book, crowd, i, now)
    elif kind == MOMENTUM:
        following = act_momentum(book, crowd, i, now)
    elif kind == ADAPTIVE_MAKER:
        following = act_adaptive_maker(book, crowd, i, now)
    elif kind == ZERO_INTELLIGENCE:
        following = act_zero_intelligence(book, crowd, i, now)
    elif kind == HAWKES:
        following = act_hawkes(book, crowd, i, now)
    elif kind == AVELLANEDA_STOIKOV:
        following = act_avellaneda_stoikov(book, crowd, i, now)
    elif kind == GLFT:
        following = act_glft(book, crowd, i, now)
    elif kind == INFORMED:
        following = act_informed(book, crowd, i, now)
    elif kind == EXECUTOR:
        following = act_executor(book, crowd, i, now)
    return following
