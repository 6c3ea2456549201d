"""What is still to happen in one world, the next first: a heap with four children a node.

Events of equal time are delivered in the order in which they were planned.
"""

from sim.crowd.layout import N_EVENTS, SEQUENCE, CrowdState
from sim.kernel import Record, Rows, inlined, kernel


@inlined
def before(a: Record, b: Record) -> bool:
    """Whether event `a` comes before event `b`."""
    return a["time"] < b["time"] or (a["time"] == b["time"] and a["sequence"] < b["sequence"])


@inlined
def copy_event(heap: Rows, target: int, source: int) -> None:
    """Overwrite one place of the heap with another."""
    a, b = heap[target], heap[source]
    a["time"] = b["time"]
    a["sequence"] = b["sequence"]
    a["data"] = b["data"]
    a["kind"] = b["kind"]
    a["target"] = b["target"]


@kernel
def push(crowd: CrowdState, time: int, kind: int, target: int, data: int) -> None:
    """Plan an event; the caller knows that there is room."""
    heap = crowd.heap
    at = crowd.head[N_EVENTS]
    crowd.head[N_EVENTS] = at + 1
    sequence = crowd.head[SEQUENCE]
    crowd.head[SEQUENCE] = sequence + 1
    while at > 0:
        parent = (at - 1) >> 2
        if heap[parent]["time"] <= time:  # an equal time was planned earlier
            break
        copy_event(heap, at, parent)
        at = parent
    event = heap[at]
    event["time"] = time
    event["sequence"] = sequence
    event["data"] = data
    event["kind"] = kind
    event["target"] = target


@kernel
def drop(crowd: CrowdState) -> None:
    """Take the next event off the heap."""
    heap = crowd.heap
    n = crowd.head[N_EVENTS] - 1
    crowd.head[N_EVENTS] = n
    if n == 0:
        return
    last = heap[n]
    at = 0
    while True:
        child = 4 * at + 1
        if child >= n:
            break
        best = child
        for other in range(child + 1, min(child + 4, n)):
            if before(heap[other], heap[best]):
                best = other
        if not before(heap[best], last):
            break
        copy_event(heap, at, best)
        at = best
    copy_event(heap, at, n)
