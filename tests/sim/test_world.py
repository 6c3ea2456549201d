"""The phases of one block, and what a world refuses to be."""

import numpy as np
import pytest

from sim.actions import Reject, Verb, new_rows
from sim.blockspace import BlockSpace, BlockSpaceParams
from sim.errors import ConfigError, InputError
from sim.market.outside import OutsideMarket
from sim.oracles.spot import SpotOracle
from sim.prices.diffusion import GeometricBrownian
from sim.scenarios.crash import Crash
from sim.scenarios.scenario import Composite, Scenario
from sim.sequencing import ArrivalOrder
from sim.venue import Venue
from sim.world import World

PRICES = {"WETH": 2_000.0, "USDC": 1.0}


class Quiet(Scenario):
    """Remembers what it was handed."""

    def __init__(self):
        self.seen = []

    def bind(self, world):
        self.world = world

    def apply(self, step):
        found = self.world.inputs
        self.seen.append((step, {name: found[name].copy() for name in found.views}))
        for name in found.views:
            found[name][:] = 0.5


class Recorder(Venue):
    """Accepts everything and writes down when it was asked."""

    def __init__(self, calls, label, *, on_chain=True):
        self.calls, self.label, self.on_chain = calls, label, on_chain

    def bind(self, world):
        from sim.state import Arena

        self.arena = Arena(world.n_worlds, {})

    def accrue(self):
        self.calls.append((self.label, "accrue"))

    def settle(self):
        self.calls.append((self.label, "settle"))

    def execute(self, rows, order, starts, ends):
        for w in range(len(starts)):
            for k in range(starts[w], ends[w]):
                rows["code"][order[k]] = Reject.OK
                self.calls.append((self.label, int(rows["target"][order[k]])))

    def claims(self):
        return self.world.ledger.balances[:, self.account].copy()


@pytest.fixture
def build():
    """Factory of a bound world of two worlds; keywords replace its parts."""

    def make(**parts):
        from sim.background import MeanRevertingDemand

        terms = {
            "assets": list(PRICES), "gas_asset": "WETH", "block_seconds": 12.0, "n_blocks": 5,
            "start": 1.7e9, "prices": GeometricBrownian(initial=PRICES, volatility={"WETH": 0.8}),
            "oracle": SpotOracle(), "venues": {"market": OutsideMarket()}, "market": "market",
            "blockspace": BlockSpace(BlockSpaceParams(), MeanRevertingDemand()),
            "world_ids": np.array([3, 4]), "check_every": 1,
        } | parts  # fmt: skip
        world = World(**terms)
        account = world.open_account("alice")
        world.bind()
        for asset in range(world.n_assets):
            world.ledger.endow(account, asset, 1e6)
        world.keep_as_initial()
        return world

    return make


def rows_of(world, *rows):
    made = new_rows(len(rows))
    made["account"] = world.accounts.index("alice")
    made["amount"], made["verb"], made["gas"] = 1.0, Verb.SWAP, 1_000.0
    made["target"] = np.arange(len(rows))
    for row, fields in zip(made, rows, strict=True):
        for name, value in fields.items():
            row[name] = value
    return made


def test_a_block_has_its_phases_in_order(build):
    calls = []
    venues = {
        "market": Recorder(calls, "market", on_chain=False),
        "chain": Recorder(calls, "chain"),
    }
    world = build(venues=venues)
    world.open_block()
    assert calls == [("market", "accrue"), ("chain", "accrue")]
    calls.clear()
    early, late = {"arrival": 1.0}, {"arrival": 9.0}
    world.close_block(
        [
            rows_of(world, {"venue": 0, **late}, {"venue": 1, "tip": 1.0}),
            rows_of(world, {"venue": 0, **early, "target": 10}, {"venue": 1, "tip": 7.0}),
        ]
    )
    assert calls == [
        ("chain", 1), ("chain", 1), ("market", 10), ("market", 0),
        ("market", "settle"), ("chain", "settle"),
    ]  # fmt: skip
    assert world.step == 1
    rows = world.events.rows()
    assert rows["seq"].tolist() == [0, 1, 2, 3]
    assert rows["tip"][:2].tolist() == [7.0, 1.0]
    assert (rows["fee"][2:] == 0.0).all()  # off chain there is no gas


def test_the_sequencer_orders_what_is_on_chain(build):
    calls = []
    world = build(
        venues={"market": OutsideMarket(), "chain": Recorder(calls, "chain")},
        sequencer=ArrivalOrder(),
    )
    world.open_block()
    calls.clear()
    slow, fast = {"venue": 1, "tip": 9.0, "arrival": 5.0}, {"venue": 1, "tip": 1.0}
    world.close_block([rows_of(world, slow, fast)])
    assert [target for _, target in calls[:2]] == [1, 0]


def test_inputs_are_neutral_before_the_scenarios_of_each_block(build):
    first, second = Quiet(), Quiet()
    world = build(scenarios=[first, second])
    for _ in range(3):
        world.open_block()
        np.testing.assert_array_equal(world.fundamental, 0.5 * world.prices.price)
        world.close_block([])
    for step, found in first.seen:
        for name, values in found.items():
            neutral = 0.0 if name.startswith("oracle") else 1.0
            assert (values == neutral).all(), (step, name)
    assert all((values == 0.5).all() for _, found in second.seen for values in found.values())


def test_an_empty_block_is_a_block(build):
    world = build()
    for _ in range(5):
        world.open_block()
        world.close_block([])
    assert world.events.rows().shape == (0,)
    with pytest.raises(ConfigError, match=r"the run is over after 5 blocks; raise n_blocks or res"):
        world.open_block()


def test_what_agents_hand_in_is_copied(build):
    world = build()
    rows = rows_of(world, {"venue": 0, "asset": 0, "asset_2": 1}, {"venue": 0})
    before = rows.tobytes()
    world.open_block()
    world.close_block([rows])
    assert rows.tobytes() == before
    assert world.events.rows()["code"].tolist() == [Reject.OK, Reject.BAD_ASSET]


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("world", 2, r"world of a row must be the index of a world, got 2 \(world 2, account 1\)"),
        ("venue", -1, r"venue of a row must be the index of a venue, got -1"),
        ("account", 99, r"account of a row must be the index of a ledger account, got 99"),
        ("gas", -1.0, r"gas of a row must be finite and not negative, got -1.0"),
        ("tip", np.nan, r"tip of a row must be finite and not negative, got nan"),
    ],
)
def test_a_row_that_no_agent_may_send_is_a_sentence(build, field, value, sentence):
    world = build()
    world.open_block()
    before = world.ledger.arena.snapshot()
    with pytest.raises(InputError, match=sentence):
        world.close_block([rows_of(world, {"venue": 0}, {"venue": 0, field: value})])
    np.testing.assert_array_equal(world.ledger.arena.buffer, before)


def test_a_bundle_over_chain_and_exchange_is_a_sentence(build):
    world = build(venues={"market": OutsideMarket(), "chain": Recorder([], "chain")})
    world.open_block()
    with pytest.raises(InputError, match=r"on chain for all rows of a bundle, or for none"):
        world.close_block([rows_of(world, {"bundle": 1}, {"bundle": 1, "venue": 1})])


def test_bundles_with_one_number_from_two_agents_do_not_merge(build):
    """The second fails alone; merged, it would have taken the first along."""
    world = build()
    world.open_block()
    swap = {"venue": 0, "asset": 0, "asset_2": 1, "bundle": 1}
    world.close_block([rows_of(world, swap), rows_of(world, {**swap, "amount": 1e9})])
    rows = world.events.rows()
    assert rows["code"].tolist() == [Reject.OK, Reject.INSUFFICIENT_BALANCE]
    assert rows["bundle"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"block_seconds": 0.0}, r"block_seconds must be positive, got 0.0; try 60"),
        ({"n_blocks": 0}, r"n_blocks must be at least 1, got 0"),
        ({"market": "moon"}, r"market names no venue: 'moon'; known: market"),
        ({"gas_asset": "BTC"}, r"unknown asset 'BTC'; known: WETH, USDC"),
        ({"assets": ["WETH", "USDC", "WETH"]}, r"assets must differ, got WETH, USDC, WETH"),
        (
            {"venues": {"market": OutsideMarket(), "oracle": OutsideMarket()}},
            r"a venue cannot be called oracle",
        ),
    ],
)
def test_what_cannot_be_a_world_is_a_sentence(build, parts, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build(**parts)


def test_two_crashes_with_jitter_begin_at_their_own_times(build):
    """The name under `scenarios` addresses the random stream."""
    terms = {"assets": ["WETH"], "size": 0.1, "start_jitter_hours": 5.0}
    parts = {"one": Crash(**terms), "two": Crash(**terms)}
    build(scenarios=[Composite(parts)])
    assert (parts["one"].starts != parts["two"].starts).all()
