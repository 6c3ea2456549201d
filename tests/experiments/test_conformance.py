"""The public conformance workload: published digests, and the report of other files."""

import hashlib
from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest

from experiments import conformance
from experiments.conformance import COLUMNS, Workload, reports, text_of, trades_of
from sim.errors import InputError

PUBLISHED = {
    "normal": "e9b2e3926854410b01a035aeb25dd05f1e597c233be8263de9eb49b6713d367e",
    "flash-crash": "cff8d3f94b709fc64a8b2058a6ca4fb6920364904796e46906895e362d2bb16b",
}


def report(path):
    work = Workload(path)
    return b"".join(text_of(*reports(work, trades_of(work, shown=False)))).decode()


@pytest.mark.slow
@pytest.mark.parametrize("scenario", PUBLISHED)
def test_the_published_digests(scenario, shared, capsys):
    path = shared / "bench" / f"conformance_{scenario}.parquet"
    assert conformance.command([f"file={path}"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"sha256 {PUBLISHED[scenario]}"


class Plain:
    """The rules of the workload, in dicts: price -> (oid -> lots), oldest first."""

    def __init__(self):
        self.books, self.live, self.lines = ({}, {}), {}, []

    def take(self, seq, side, ioc, qty, oid, px):
        lines = []
        other = self.books[1 - side]
        while qty and other:
            best = min(other) if side == 0 else max(other)
            if (best > px) if side == 0 else (best < px):
                break
            maker, lots = next(iter(other[best].items()))
            traded = min(lots, qty)
            lines.append((1, f"1,{seq},{best},{traded},{maker},{oid}"))
            qty -= traded
            other[best][maker] -= traded
            if traded == lots:
                self.drop(maker)
        if qty and ioc:
            lines.append((2, f"2,{seq},{side},{oid},{px}"))
        elif qty:
            self.books[side].setdefault(px, OrderedDict())[oid] = qty
            self.live[oid] = side, px
        return lines

    def drop(self, oid):
        side, px = self.live.pop(oid)
        del self.books[side][px][oid]
        if not self.books[side][px]:
            del self.books[side][px]
        return side, px

    def do(self, kind, side, ioc, qty, seq, oid, px):
        if kind == 0:
            lines = [(0, f"0,{seq},{side},{oid},{px},{qty}")]
            lines += self.take(seq, side, ioc, qty, oid, px)
        elif oid not in self.live:
            lines = [(3 + kind, f"{3 + kind},{seq},{oid}")]
        else:
            side, old = self.drop(oid)
            lines = [(2, f"2,{seq},{side},{oid},{old}")]
            if kind == 2:
                lines = [(3, f"3,{seq},{side},{oid},{px},{qty}")]
                lines += self.take(seq, side, ioc, qty, oid, px)
        self.lines += [line for _, line in sorted(lines, key=lambda line: line[0])]


def random_workload(seed, n=3000, spread=40, lowest=-20):
    """Flow that crosses, with ids that are used again, and stale cancels and modifies."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "type": rng.choice([0, 1, 2], n, p=[0.55, 0.2, 0.25]),
            "side": rng.integers(0, 2, n),
            "ioc": rng.random(n) < 0.2,
            "qty": rng.integers(1, 30, n),
            "seq": np.cumsum(rng.integers(1, 4, n)),
            "oid": rng.integers(-5, 400, n),
            "px": rng.integers(lowest, lowest + spread, n),
        }
    ).astype(np.int64)
    plain, kept = Plain(), []
    for i, row in enumerate(table[list(COLUMNS)].itertuples(index=False)):
        if row.type == 0 and row.oid in plain.live:
            continue
        kept.append(i)
        plain.do(*row)
    return table.iloc[kept], "\n".join(plain.lines)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize(("spread", "lowest"), [(40, -20), (300_000, 10)])
def test_other_files_of_the_layout(tmp_path, capsys, monkeypatch, suffix, spread, lowest):
    """Negative prices, modifies that are immediate, ids used again, a window that slides."""
    table, expected = random_workload(5, spread=spread, lowest=lowest)
    path = tmp_path / f"work.{suffix}"
    table = table.sample(frac=1, axis=1, random_state=1)
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    monkeypatch.setattr(conformance, "BATCH", 700)  # reports are written in several batches
    assert report(path) == expected
    assert expected.count("\n1,") > 300
    written = tmp_path / "reports.txt"
    conformance.command([f"file={path}", f"reports={written}"])
    digest = hashlib.sha256(expected.encode()).hexdigest()
    assert capsys.readouterr().out.splitlines()[-1] == f"sha256 {digest}"
    assert written.read_text() == expected


def test_a_book_that_fills_up_is_made_larger(tmp_path, monkeypatch):
    table, expected = random_workload(6)
    table.to_parquet(tmp_path / "work.parquet")
    monkeypatch.setattr(conformance, "LEAST_CAPACITY", 4)
    assert report(tmp_path / "work.parquet") == expected


def test_an_empty_workload(tmp_path, capsys):
    pd.DataFrame({name: np.zeros(0, np.int64) for name in COLUMNS}).to_parquet(
        tmp_path / "e.parquet"
    )
    conformance.command([f"file={tmp_path / 'e.parquet'}"])
    assert capsys.readouterr().out.endswith(f"sha256 {hashlib.sha256(b'').hexdigest()}\n")


def one_row(**changed):
    row = {"type": 0, "side": 0, "ioc": 0, "qty": 5, "seq": 1, "oid": 7, "px": 100}
    return pd.DataFrame([row, row | {"seq": 2, "oid": 8} | changed])


BAD = {
    "unknown type": (one_row(type=3), "column type must lie in 0 .. 2, got 3 in row 2"),
    "a side that is none": (one_row(side=-1), "column side must lie in 0 .. 1, got -1 in row 2"),
    "no lots": (one_row(qty=0), "column qty must lie in 1 .. "),
    "negative lots": (one_row(qty=-4), "column qty must lie in 1 .. "),
    "too many lots": (one_row(qty=2**41), "column qty must lie in 1 .. "),
    "a number twice": (one_row(seq=1), "column seq must increase, got 1 in row 2"),
    "half a tick": (one_row(px=100.5), "column px must hold whole numbers, got 100.5 in row 2"),
    "no tick": (one_row(px=None), "column px must hold whole numbers, got nan in row 2"),
    "text": (one_row(px="high"), "column px must hold whole numbers, got high in row 2"),
    "prices too far apart": (one_row(px=2**40), "column px must span fewer than"),
    "a number beyond all": (one_row(oid=2**63 - 1), "column oid must lie within 2^62"),
    "an id that rests": (one_row(oid=7), "column oid must name no resting order in a new one"),
    "no column": (one_row().drop(columns="ioc"), "got no column ioc"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(tmp_path, name):
    table, expected = BAD[name]
    path = tmp_path / "work.csv"
    table.to_csv(path, index=False)
    with pytest.raises(InputError, match=r"work\.csv") as caught:
        report(path)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Workload(tmp_path / "absent.parquet")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(InputError, match="must be a whole CSV or Parquet file"):
        Workload(tmp_path / "torn.parquet")
