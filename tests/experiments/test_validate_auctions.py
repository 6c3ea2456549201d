"""Maker's Dutch auctions and Liquity against the official contracts, and in integers of our own."""

import copy

import numpy as np
import pytest

from experiments import validate
from sim.actions import Reject
from sim.lending.maker.clip import curve_price, take_size
from sim.lending.maker.params import STAIRSTEP

RAY, WAD, RAD = 10**27, 10**18, 10**45


@pytest.fixture
def vectors(shared):
    folder = shared / "vectors"
    if not folder.is_dir():
        pytest.skip("no reference vectors: shared/vectors is absent")
    return folder


@pytest.mark.parametrize(("family", "rows"), [("maker_clip", 394), ("liquity_v1", 4)])
def test_a_family_agrees_with_its_contract(family, rows, vectors):
    found = validate.tally(family, validate.read(vectors / f"{family}.json"))
    assert found.failures == []
    assert found.missed == []
    assert (found.passed, found.failed) == (rows, 0)
    assert found.relative < 1e-12


@pytest.mark.parametrize(
    ("family", "path"),
    [
        ("maker_clip", ("abaci", 3, "price")),
        ("maker_clip", ("clip", 3, "steps", 2, "after", "lot")),
        ("maker_clip", ("clip", 6, "steps", 3, "after", "gem_usr")),
        ("maker_clip", ("clip", 9, "steps", 1, "after", "sin_vow")),
        ("liquity_v1", ("cases", 1, "steps", 4, "after", "P")),
        ("liquity_v1", ("cases", 2, "steps", 4, "after", "troves", "C", "pendingDebt")),
        ("liquity_v1", ("cases", 2, "steps", 7, "after", "troves", "D", "sp_ETHgain")),
        ("liquity_v1", ("cases", 3, "steps", 2, "after", "troves", "A", "surplus")),
        ("liquity_v1", ("cases", 3, "steps", 2, "liquidatorETH")),
    ],
)
def test_a_changed_digit_is_found(family, path, vectors):
    """An error of 1e-8 in one number fails its row and no other."""
    document = copy.deepcopy(validate.read(vectors / f"{family}.json"))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = str(int(place[path[-1]]) * (10**8 + 1) // 10**8 + 4)
    found = validate.tally(family, document)
    assert found.failed == 1
    assert all(f"{path[0]}[{path[1]}]" in failure for failure in found.failures)


def test_an_unknown_step_is_told(vectors):
    document = validate.read(vectors / "liquity_v1.json")
    document["cases"][0]["steps"][1]["op"] = "merge"
    found = validate.tally("liquity_v1", document)
    assert "unknown step 'merge'" in found.failures[0]


def integer_price(top, cut, dur, step):
    """Price of a stairstep in rays, with the contract's rounding of each product."""
    power, square, n = RAY, cut, dur // step
    while n:
        if n & 1:
            power = (power * square + RAY // 2) // RAY
        square = (square * square + RAY // 2) // RAY
        n >>= 1
    return top * power // RAY


def integer_take(tab, lot, price, chost, amount):
    """What `take` sells and asks for, in wads and rads; None where it reverts."""
    part = min(lot, amount)
    owe = part * price
    if owe > tab:
        return tab // price, tab
    if owe < tab and part < lot and tab - owe < chost:
        if tab <= chost:
            return None
        owe = tab - chost
        part = owe // price
    return part, owe


def test_random_takes_are_those_of_integers():
    rng = np.random.default_rng(3)
    branches = {"whole": 0, "cut": 0, "part": 0, "refused": 0}
    for _ in range(4_000):
        lot, amount = (int(rng.lognormal(3.0, 2.0) * 1e6) * 10**12 for _ in range(2))
        top = int(rng.lognormal(5.0, 2.0) * 1e6) * 10**21
        dur, step = int(rng.integers(0, 7_200)), int(rng.integers(1, 120))
        price = integer_price(top, 99 * RAY // 100, dur, step)
        if price < RAY // 10**6:
            continue
        tab = int(float(lot * price) * rng.uniform(0.2, 2.0) / 1e33) * 10**33
        chost = int(float(tab) * rng.uniform(0.0, 1.2) / 1e33) * 10**33
        here = curve_price(float(STAIRSTEP), top / RAY, float(dur), 1.0, 0.99, float(step))
        assert here == pytest.approx(price / RAY, rel=1e-9)
        wanted = integer_take(tab, lot, price, chost, amount)
        code, sold, owe = take_size(tab / RAD, lot / WAD, here, chost / RAD, amount / WAD)
        if wanted is None:
            assert code == Reject.LEAVES_DUST
            branches["refused"] += 1
            continue
        assert code == Reject.OK
        assert sold == pytest.approx(wanted[0] / WAD, rel=1e-9, abs=3e-18)
        assert owe == pytest.approx(wanted[1] / RAD, rel=1e-9, abs=3e-18)
        whole, cut = wanted[1] == tab, wanted[1] == tab - chost
        branches["whole" if whole else "cut" if cut else "part"] += 1
    assert min(branches.values()) > 50, branches
