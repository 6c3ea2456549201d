"""What the contract tests share: every YAML under conf/, and models that hold the part."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from experiments.build import without_unused
from sim.actions import Verb, new_rows

CONF = Path(__file__).resolve().parents[2] / "conf"


def yamls(group):
    """Names of the files of a group; a new file is found by itself."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def pytest_generate_tests(metafunc):
    """A test that asks for `price`, `oracle`, ... runs once per file of that group."""
    for group in (path.name for path in CONF.iterdir() if path.is_dir()):
        if group in metafunc.fixturenames:
            metafunc.parametrize(group, yamls(group))


def group_of_data(group, name):
    """Whether a file asks for the folder of market tables, directly or by its defaults."""
    text = (CONF / group / f"{name}.yaml").read_text()
    return "${data}" in text or any(
        f"/{other}: {part}" in text
        for other in ("price", "background")
        for part in yamls(other)
        if "${data}" in (CONF / other / f"{part}.yaml").read_text()
    )


@pytest.fixture
def data(request):
    """Overrides that name the data folder, for parts that need it; skips where it is absent."""

    def overrides(group, name):
        if not group_of_data(group, name):
            return []
        return [f"data={request.getfixturevalue('shared') / 'data'}"]

    return overrides


def is_vaults(kind):
    """Whether a lending market is one of vaults, which the agents of the study cannot use."""
    return kind.__module__.startswith(
        ("sim.lending.maker", "sim.lending.liquity", "sim.lending.crvusd")
    )


def locate(group, name):
    """Class that a file makes."""
    target = re.search(r"^_target_: (\S+)", (CONF / group / f"{name}.yaml").read_text(), re.M)[1]
    module, _, kind = target.rpartition(".")
    return getattr(importlib.import_module(module), kind)


SMALL = ("book.n_positions=200", "hours=1.5", "check_every=1")


@pytest.fixture
def small_study(compose, data):
    """Factory: a small study that chooses one file of one group."""

    def build(group, name, *overrides, mounted=False):
        """Compose; `mounted`: a market of vaults stands beside the study's own market."""
        chosen = [*SMALL, *data(group, name)]
        if group == "background" and name == "replay":
            chosen.append("start='2020-03-12T00:00'")
        if group == "lending" and mounted and is_vaults(locate(group, name)):
            chosen.append(f"+lending@pools.mine={name}")
        elif group != "agent":
            target = {"pool": "pool@pools.mine"}.get(group, group)
            chosen.append(
                f"{'+' if group in ('pool', 'crowd', 'perp', 'premium') else ''}{target}={name}"
            )
        if (group, name) == ("book", "file"):
            chosen.remove("book.n_positions=200")
        if group == "scenario":  # a file of this group sets hours and the like itself
            chosen = [item for item in chosen if not item.startswith("hours")]
        return without_unused(compose(*chosen, *overrides))  # as a run does

    return build


# --- an agent that tries everything ---------------------------------------------------------------

AMOUNTS = (np.inf, np.nan, -1.0, 0.0, 1e-30, 1e300)


def sensible(rng, world, account, row):
    """Make a row that its venue may well execute."""
    venue = list(world.venues.values())[row["venue"]]
    lending = world.venues["lending"]
    if venue.RESULTS:
        row["verb"] = rng.choice(list(venue.RESULTS))
    owner = getattr(getattr(venue, "state", None), "owner", lending.state.owner)
    row["target"] = rng.choice(np.flatnonzero(owner == account))
    pair = getattr(getattr(venue, "state", None), "assets", np.arange(world.n_assets))
    row["asset"], row["asset_2"] = rng.permutation(pair)[:2]
    row["amount"] = rng.uniform(1.0, 1e4) / world.market_price[row["world"], row["asset"]]
    row["limit"] = 0.0
    row["option"] = 0
    if row["verb"] >= Verb.LIMIT_ORDER and hasattr(venue, "tick"):
        sensible_order(rng, world, venue, row)


def sensible_order(rng, world, venue, row):
    """Make an order that its book may well take: whole lots and ticks, near the price."""
    k = rng.integers(0, len(venue.names))
    pair = [venue.base[k], venue.quote]
    row["asset"], row["asset_2"] = pair if rng.random() < 0.5 else pair[::-1]
    w, tick, lot = row["world"], venue.tick[k], venue.lot[k]
    price = world.market_price[w, venue.base[k]] / world.market_price[w, venue.quote]
    row["target"] = rng.integers(0, 6)
    row["amount"] = lot * max(1, round(rng.uniform(10.0, 3e4) / price / lot))
    if rng.random() < 0.05:
        row["amount"] = np.inf
    if row["verb"] != Verb.MARKET_ORDER:
        row["limit"] = tick * round(price * rng.normal(1.0, 0.003) / tick)
    row["option"] = rng.integers(0, 4) | rng.integers(0, 3) << 2
    if row["verb"] == Verb.STOP_LIMIT_ORDER:
        row["option"] |= round(price * rng.normal(1.0, 0.003) / tick) << 4
    elif row["verb"] == Verb.LIMIT_ORDER and rng.random() < 0.3:
        row["option"] |= max(1, int(row["amount"] / lot / 3) if row["amount"] < 1e9 else 1) << 4


def random_rows(rng, world, account, n=40):
    """Rows for any venue: half of them sensible, the others wrong somewhere; grouped by world."""
    rows = new_rows(n)
    rows["world"] = np.sort(rng.integers(0, world.n_worlds, n))
    rows["account"] = account
    rows["venue"] = rng.integers(0, len(world.venues), n)
    rows["verb"] = rng.integers(-1, max(Verb) + 2, n)
    rows["target"] = rng.integers(-2, world.venues["lending"].n_positions + 2, n)
    for name in ("asset", "asset_2"):
        rows[name] = rng.integers(-1, world.n_assets + 1, n)
    rows["amount"] = 10.0 ** rng.uniform(-3, 7, n)
    odd = rng.random(n) < 0.3
    rows["amount"][odd] = rng.choice(AMOUNTS, odd.sum())
    rows["limit"] = rng.choice([0.0, 0.0, 0.0, 1.0, np.inf, np.nan], n)
    rows["option"] = rng.choice([0, 0, 0, -1, 2**31 - 1, 7], n)
    for i in np.flatnonzero(rng.random(n) < 0.6):
        sensible(rng, world, account, rows[i])
    rows["arrival"] = rng.uniform(0.0, 1.5 * world.block_seconds, n)
    rows["tip"] = rng.uniform(0.0, 300.0, n)
    rows["fee_cap"] = rng.choice([np.inf, 50.0, 500.0], n)
    rows["gas"] = rng.uniform(0.0, 1e6, n)
    rows["expires"] = world.step + rng.integers(0, 3, n)
    for start in range(0, n - 4, 8):  # bundles of one to four rows, on one side of the chain
        stop = start + rng.integers(0, 5)
        side = rng.choice(np.flatnonzero(world.on_chain))
        rows["bundle"][start:stop] = start + 1
        rows["venue"][start:stop] = rng.choice([side, world.venues["lending"].index])
        if stop - start >= 2 and rng.random() < 0.7:
            rows["venue"][[start, stop - 1]] = world.venues["lending"].index
            rows["verb"][start], rows["verb"][stop - 1] = Verb.FLASH_BORROW, Verb.FLASH_REPAY
            rows["asset"][stop - 1], rows["amount"][start] = rows["asset"][start], 10.0
            rows["amount"][stop - 1] = rng.choice([10.0, 9.0, np.inf])
    return rows


@pytest.fixture
def chaotic(make_model, scripted):
    """Factory of a model with an agent, `chaos`, that sends what `chaos.next` says."""

    def build(config, n_worlds=2, **terms):
        def enroll(agent, world):
            collateral, debt = np.zeros((4, world.n_assets)), np.zeros((4, world.n_assets))
            if "lending" in world.venues:
                collateral[:, 0] = 50.0
                collateral[:, 2] = 1e5
                debt[:2, 2] = 6e4
                world.venues["lending"].add_positions(agent.account, collateral, debt)
                # its lender, so that the reserve can pay out what was borrowed
                lent = np.zeros((1, world.n_assets))
                lent[0, 2] = 2e5
                world.venues["lending"].add_positions(agent.account, lent, 0.0 * lent)
            for venue in world.venues.values():
                if is_vaults(type(venue)):
                    collateral, debt = np.zeros((4, world.n_assets)), np.zeros((4, world.n_assets))
                    collateral[:, world.asset_index(venue.params.collateral)] = 50.0
                    debt[:2, world.asset_index(venue.params.stable)] = 6e4
                    venue.add_positions(agent.account, collateral, debt)

        holdings = dict.fromkeys(config["assets"], 1e5)
        chaos = scripted(lambda agent, _: agent.next, holdings, enroll)
        chaos.next = None
        model = make_model(config, 0, n_worlds, extra={"chaos": chaos}, **terms)
        return model, chaos

    return build


@pytest.fixture(scope="session")
def randoms():
    """See `random_rows`."""
    return random_rows


@pytest.fixture(scope="session")
def files():
    """See `yamls`."""
    return yamls
