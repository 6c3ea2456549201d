"""The log: what is kept, in which order, under which names."""

from types import SimpleNamespace

import numpy as np
import pytest

from sim.actions import Reject, Verb, new_rows
from sim.events import EventLog

SEATS = {
    "pool": SimpleNamespace(index=0, RESULTS={int(Verb.SWAP): ("amount_in", "amount_out")}),
    "lending": SimpleNamespace(
        index=1, RESULTS={int(Verb.LIQUIDATE): ("repaid", "seized", "protocol_fee", "bad_debt_usd")}
    ),
}
WORLD = SimpleNamespace(venues=SEATS, world_ids=np.array([40, 41]))


def executed(world, step, seq, verb=Verb.SWAP, code=Reject.OK, venue=0):
    rows = new_rows(1)
    for name, value in (("world", world), ("step", step), ("seq", seq), ("verb", verb),
                        ("code", code), ("venue", venue)):  # fmt: skip
        rows[name] = value
    rows["r0"], rows["r1"], rows["fee"] = 10 * step + seq, 2.0, 0.5
    return rows


def test_events_come_by_world_step_and_sequence():
    log = EventLog()
    for place in [(1, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0, 3), (0, 0, 2)]:
        log.record(executed(*place))
    expected = [(0, 0, 2), (0, 0, 3), (0, 1, 0), (1, 0, 0), (1, 0, 1)]
    for _ in range(2):  # asking twice changes nothing
        assert [(r["world"], r["step"], r["seq"]) for r in log.rows()] == expected
    log.record(executed(0, 2, 0))
    assert [(r["step"], r["seq"]) for r in log.rows()][3] == (2, 0)


def test_the_log_keeps_copies():
    log, rows = EventLog(), executed(0, 0, 0)
    log.record(rows)
    rows["amount"] = 77.0
    assert log.rows()["amount"][0] == 0.0


@pytest.mark.parametrize(
    ("terms", "kept"),
    [
        ({}, [0, 1, 2, 3]),
        ({"rejected": False}, [0, 2]),
        ({"verbs": [Verb.LIQUIDATE]}, [2, 3]),
        ({"verbs": [Verb.LIQUIDATE, Verb.SWAP], "rejected": False}, [0, 2]),
        ({"verbs": []}, []),
    ],
)
def test_filters(terms, kept):
    log = EventLog(terms.pop("verbs", None), **terms)
    log.record(new_rows(0))
    for seq, (verb, code) in enumerate(
        [
            (Verb.SWAP, Reject.OK),
            (Verb.SWAP, Reject.LIMIT_NOT_MET),
            (Verb.LIQUIDATE, Reject.OK),
            (Verb.LIQUIDATE, Reject.HEALTHY),
        ]
    ):
        log.record(executed(0, 0, seq, verb, code))
    assert log.rows()["seq"].tolist() == kept
    log.clear()
    assert log.rows().shape == (0,)


def test_a_table_has_global_ids_and_the_venues_own_names():
    log = EventLog()
    log.record(executed(1, 3, 0))
    log.record(executed(1, 3, 1, code=Reject.BAD_AMOUNT))
    log.record(executed(0, 2, 0, Verb.LIQUIDATE, venue=1))
    table = log.table(WORLD, "pool", Verb.SWAP)
    assert table["world"].tolist() == [41]
    assert table["amount_in"].tolist() == [30.0]
    assert table["amount_out"].tolist() == [2.0]
    assert table["fee"].tolist() == [0.5]
    assert not {"r0", "repaid"} & set(table)
    assert log.table(WORLD, "pool", Verb.SWAP, rejected=True)["seq"].tolist() == [0, 1]
    liquidations = log.table(WORLD, "lending", Verb.LIQUIDATE)
    assert liquidations["world"].tolist() == [40]
    assert list(liquidations)[-4:] == ["repaid", "seized", "protocol_fee", "bad_debt_usd"]
    assert log.table(WORLD, "lending", Verb.SWAP)["world"].shape == (0,)
