"""Every kernel of the book runs as plain Python too, to the same bits.

A second interpreter with the compiler switched off and warnings as errors sends the same messages
and must arrive at the same digest.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sim.book.book import OrderBook
from sim.book.storm import Weather, weather_the_storm
from sim.book.views import n_far


def load(name):
    full = f"book_tests_{name}"
    path = Path(__file__).parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(full, path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[full] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def digest() -> str:
    """Run every kernel on small flows and hash all that they write."""
    load("reference")
    flows = load("flows")
    said = hashlib.blake2b(digest_size=16)
    terms = {"n_levels": 4096, "capacity": 64, "n_prints": 4096}
    rich = {"n_accounts": 4, "taker_fee_bps": 30.0, "maker_fee_bps": 10.0}
    halts = (*flows.COMMON[:7], 0.01, 0.002, 0.05, 0.001, 0.001)
    for seed, extra, mix in (
        (1, rich, {"accounts": 4, "plain": 0.4, "verbs": halts, "ids": 60}),
        (2, {}, {"plain": 0.3, "verbs": flows.NO_AUCTION, "spread": 1500.0, "drift": 30.0,
                 "jumps": 0.01, "jump": 20_000, "centre": 50_000}),
    ):  # fmt: skip
        book = OrderBook(**terms, **extra)
        for account in range(extra.get("n_accounts", 0)):
            book.fund(account, 3_000_000, 200)
        messages = flows.flow(seed, 1_500, **mix)
        said.update(repr(book.submit(messages).tolist()).encode())
        said.update(messages.tobytes())
        checked = OrderBook(**terms, checked=True)
        told = checked.submit(flows.flow(seed, 20, **mix))
        said.update(repr(told.tolist()).encode())
        for side in range(2):
            said.update(repr(book.queue(side).tolist()).encode())
            said.update(book.depth(side).tobytes())
            said.update(bytes(int(n_far(book.state, np.int64(side)))))
        said.update(repr((book.touch(), book.order(6, 0, 1, 1), checked.touch())).encode())
        book.check()
        for array in book.state:
            said.update(array.tobytes())
    stormed = OrderBook(**terms, n_accounts=3)
    for account in range(3):
        stormed.fund(account, 10**9, 500)
    counts = weather_the_storm(stormed.state, 600, 3, Weather(ids=50, jump=9000), every=300)
    said.update(repr(sorted(counts.items())).encode())
    return said.hexdigest()


@pytest.mark.slow
def test_plain_python_agrees() -> None:
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    plain = subprocess.run(
        [sys.executable, "-W", "error", __file__],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.strip() == digest()


if __name__ == "__main__":
    with np.errstate(over="ignore"):  # hashes and random numbers wrap around on purpose
        sys.stdout.write(digest())
