"""Keepers of Maker's auctions: what they pay, what stops them, and what becomes of the debt."""

import numpy as np
import pytest

from agents.agent import MarketAgent
from agents.model import MarketModel
from agents.strategic.clip_keeper import ClipKeeper
from agents.strategic.flip_keeper import LEAST, FlipKeeper
from sim.actions import NO_ROWS, Reject, Verb
from sim.background import MeanRevertingDemand
from sim.blockspace import BlockSpace, BlockSpaceParams
from sim.errors import ConfigError
from sim.lending.maker.market import MakerMarket
from sim.market.outside import OutsideMarket
from sim.oracles.spot import SpotOracle
from sim.prices.diffusion import GeometricBrownian
from sim.scenarios.scenario import Scenario
from sim.world import World

ASSETS = ("WETH", "DAI")
BASE_FEE = 50.0  # gwei
FALLEN = 130.0  # price of WETH from the third block on; vaults are safe down to 150


class Falls(Scenario):
    """From the third block on, the price is a fraction of itself."""

    def bind(self, world):
        self.world = world

    def apply(self, step):
        if step >= 2:
            self.world.inputs["price_factor"][:, 0] *= FALLEN / 200.0


class Vaults(MarketAgent):
    """Owns two vaults of 100 WETH that become unsafe, and does nothing."""

    def enroll(self, world):
        collateral, debt = np.array([[100.0, 0.0]] * 2), np.array([[0.0, 10_000.0]] * 2)
        world.venues["maker"].add_positions(self.account, collateral, debt)

    def decide(self, view):
        del view
        return NO_ROWS


def build(keepers, n_blocks=200, **terms):
    """Model of two vaults, a calm market that falls by a third, and keepers."""
    crowd = MeanRevertingDemand(
        level=0.5, volatility=0.0, price_response=0.0, median_bid=0.0001, bid_sigma=0.01
    )
    fees = BlockSpaceParams(initial_base_fee=BASE_FEE, elasticity=1.0, min_base_fee=BASE_FEE)
    terms = {"stability_fee": 0.0, "tau": 7_200.0, "max_auctions": 64, **terms}
    world = World(
        assets=ASSETS, gas_asset="WETH", block_seconds=60.0, n_blocks=n_blocks, start=0.0,
        prices=GeometricBrownian(initial={"WETH": 200.0, "DAI": 1.0}, volatility=0.0),
        oracle=SpotOracle(),
        venues={
            "market": OutsideMarket(
                daily_volume={"WETH": 1e12, "DAI": np.inf},
                daily_volatility={"WETH": 0.04, "DAI": 0.0},
                half_spread_bps={"WETH": 2.0, "DAI": 0.0},
            ),
            "maker": MakerMarket(**terms),
        },
        market="market", blockspace=BlockSpace(fees, crowd), scenarios=[Falls()],
        world_ids=np.arange(2), check_every=1,
    )  # fmt: skip
    model = MarketModel(world, {"owner": Vaults(), **keepers})
    for _ in range(n_blocks):
        model.step()
    return model


def flip(**terms):
    defaults = {"holdings": {"DAI": 1e6}, "attention": 1.0, "bid_share": 0.0,
                "min_profit_usd": 0.0, "margin": 0.1}  # fmt: skip
    return FlipKeeper(**(defaults | terms))


def clip(**terms):
    defaults = {"holdings": {"DAI": 1e6}, "attention": 1.0, "bid_share": 0.0,
                "min_profit_usd": 0.0, "margin": 0.02}  # fmt: skip
    return ClipKeeper(**(defaults | terms))


def rows(model, verb):
    found = model.world.events.rows()
    return found[(found["verb"] == verb) & (found["code"] == Reject.OK)]


def bad_debt(model):
    return model.world.venues["maker"].bad_debt_usd()


def seized(model):
    return rows(model, Verb.LIQUIDATE)["r3"].sum() / 2.0  # per world


def test_a_keeper_bids_its_price_collects_and_sells():
    model = build({"keeper": flip()})
    assert len(rows(model, Verb.LIQUIDATE)) == 2 * 4  # two lumps per vault and world
    bids = rows(model, Verb.BID)
    np.testing.assert_allclose(bids["r0"], np.minimum(50.0 * FALLEN * 0.9, 5_650.0), rtol=1e-12)
    dealt = rows(model, Verb.DEAL)
    assert len(dealt) == 8
    assert (dealt["r2"] == model.members["keeper"].account).all()
    assert (bad_debt(model) == 0.0).all()
    keeper = model.members["keeper"]
    held = model.world.ledger.balances[:, keeper.account]
    np.testing.assert_allclose(held[:, 0], keeper.target[0], atol=10.0)  # sold, but for gas
    assert (held[:, 1] > 1e6).all()  # at a profit
    # an owner gets back what bidders left of the lots
    np.testing.assert_array_equal(model.world.venues["maker"].state.system["n_live"], 0.0)


def test_where_one_keeper_alone_gets_in_it_pays_nothing_and_all_debt_is_lost():
    """12 March 2020 in small: a gas cap silences the bot that would have paid."""
    silent = build({"fair": flip(gas_cap=20.0), "cheap": flip(style="least")})
    assert len(rows(silent, Verb.BID)) == 8
    assert (rows(silent, Verb.BID)["r0"] == LEAST).all()
    np.testing.assert_allclose(bad_debt(silent), seized(silent), rtol=1e-12)
    np.testing.assert_allclose(silent.world.venues["maker"].unbacked(), 20_000.0, rtol=1e-12)
    loud = build({"fair": flip(), "cheap": flip(style="least")})
    assert (bad_debt(loud) < 0.2 * bad_debt(silent)).all()


def test_nobody_at_all_leaves_the_vaults_where_they_are():
    model = build({"fair": flip(gas_cap=20.0)})
    assert len(model.world.events.rows()) == 0 or len(rows(model, Verb.BID)) == 0
    assert (bad_debt(model) == 0.0).all()
    debt, shortfall = model.world.venues["maker"].backlog()
    np.testing.assert_allclose(debt, 20_000.0)
    np.testing.assert_allclose(shortfall, 0.0)


@pytest.mark.parametrize("capital", [3_000.0, 12_000.0])
def test_capital_bounds_what_stands_in_bids(capital):
    model = build({"keeper": flip(holdings={"DAI": capital})}, n_blocks=12)
    auctions = model.world.venues["maker"].state.auctions
    mine = auctions["guy"] == model.members["keeper"].account
    assert ((auctions["paid"] * mine).sum(axis=1) <= capital).all()
    assert (mine.sum(axis=1) == int(capital // 5_650.0)).all()


def test_two_who_offer_the_least_never_get_anywhere():
    """A tenth on top of 1e-45 again and again: the auction ends before it is worth anything."""
    terms = {"style": "least"}
    model = build({"one": flip(**terms), "two": flip(**terms, margin=0.2)}, beg=0.1)
    assert len(rows(model, Verb.BID)) > 50
    np.testing.assert_allclose(bad_debt(model), 20_000.0)


def test_the_least_bid_takes_a_lot_over_from_a_fair_one_by_as_little_as_it_can():
    model = build({"fair": flip(margin=0.3), "least": flip(style="least", margin=0.1)})
    bids = rows(model, Verb.BID)
    fair = bids["account"] == model.members["fair"].account
    np.testing.assert_allclose(bids["r0"][fair], 50.0 * FALLEN * 0.7, rtol=1e-12)
    np.testing.assert_allclose(bids["r0"][~fair].max(), 50.0 * FALLEN * 0.7 * 1.03, rtol=1e-8)


def test_a_clip_keeper_buys_when_the_price_has_fallen_under_its_own():
    model = build({"keeper": clip()}, auction="clip", cut=0.99, step=60.0, buf=1.2, tail=1e5)
    taken = rows(model, Verb.TAKE)
    assert len(taken) == 4
    prices = taken["r1"] / taken["r0"]
    assert (prices <= FALLEN * 0.98).all()
    assert (prices > FALLEN * 0.98 * 0.98).all()  # and not long after
    assert (bad_debt(model) == 0.0).all()
    assert (taken["r2"] > 0.0).all()  # the rest went back to the owner


def test_a_clip_keeper_spends_no_more_than_it_has():
    model = build(
        {"keeper": clip(holdings={"DAI": 4_000.0})}, n_blocks=60, auction="clip", cut=0.99,
        step=60.0, buf=1.2, tail=1e5, dust=20.0,
    )  # fmt: skip
    taken = rows(model, Verb.TAKE)
    assert len(taken) > 4  # part by part, as sales bring the capital back
    np.testing.assert_allclose(taken["r1"][np.unique(taken["world"], return_index=True)[1]], 4e3)


def test_a_keeper_restarts_stale_auctions():
    model = build(
        {"keeper": clip(margin=0.6)}, n_blocks=80, auction="clip", cut=0.99, step=60.0, buf=1.2,
        tail=1_200.0, cusp=0.0,
    )  # fmt: skip
    assert len(rows(model, Verb.REDO)) > 4


def test_wrong_terms_and_markets_are_refused():
    with pytest.raises(ConfigError, match="style"):
        flip(style="bold")
    with pytest.raises(ConfigError, match="margin"):
        clip(margin=1.0)
    with pytest.raises(ConfigError, match="flip auctions"):
        build({"keeper": flip()}, n_blocks=1, auction="clip")
