"""English auctions: both phases, refunds, times, and the bid of zero."""

import pytest

from sim.actions import Reject, Verb

OWNER, ALICE, BOB = 1, 2, 3
GEM, DAI = 0, 1
TTL, TAU = 600.0, 3_600.0


@pytest.fixture
def world(maker):
    """One auction of 50 gems from a vault that is unsafe at 140; 5,000 of debt, 5,650 wanted."""
    world = maker(ttl=TTL, tau=TAU, lump=50.0, beg=0.05, penalty=0.13)
    world.price(140.0)
    done = world.do(Verb.LIQUIDATE, target=0)
    assert [done[f"r{k}"] for k in range(4)] == pytest.approx([0.0, 50.0, 5_650.0, 5_000.0])
    return world


def dai(world, account):
    return world.ledger.balances[0, account, DAI]


def gems(world, account):
    return world.ledger.balances[0, account, GEM]


def bad_debt(world):
    return world.market.state.system["bad_debt"][0]


def test_a_bid_of_zero_wins_where_nobody_else_comes(world):
    world.do(Verb.BID, ALICE, target=0, amount=0.0)
    world.wait(TTL)
    world.refuse(Reject.AUCTION_RUNS, Verb.DEAL, target=0)  # it must be over, not just ending
    world.refuse(Reject.AUCTION_OVER, Verb.BID, BOB, target=0, amount=1_000.0)
    world.wait(60.0)
    done = world.do(Verb.DEAL, BOB, target=0)  # anyone may
    assert (done["r0"], done["r1"], done["r2"], done["r3"]) == (50.0, 0.0, ALICE, 5_000.0)
    assert gems(world, ALICE) == 50.0
    assert bad_debt(world) == 5_000.0
    world.market.settle()
    assert world.market.unbacked()[0] == 5_000.0
    world.check()


def test_any_bid_beats_zero_and_the_former_bidder_is_paid_back(world):
    world.do(Verb.BID, ALICE, target=0, amount=0.0)
    world.refuse(Reject.BID_TOO_LOW, Verb.BID, BOB, target=0, amount=0.0)
    world.do(Verb.BID, BOB, target=0, amount=1e-6)
    world.do(Verb.BID, ALICE, target=0, amount=1_000.0)
    assert dai(world, BOB) == 1e6
    world.refuse(Reject.BID_TOO_LOW, Verb.BID, BOB, target=0, amount=1_049.0)
    world.do(Verb.BID, BOB, target=0, amount=1_050.0)
    assert dai(world, ALICE) == 1e6
    assert dai(world, 0) == 1_050.0


def test_the_second_phase_gives_collateral_back_to_the_owner(world):
    had = gems(world, OWNER)
    world.do(Verb.BID, ALICE, target=0, amount=5_600.0)
    world.refuse(Reject.BAD_AMOUNT, Verb.BID, BOB, target=0, amount=5_650.0, limit=40.0)
    done = world.do(Verb.BID, BOB, target=0, amount=9e5)  # no more than the target; beg is waived
    assert done["r0"] == pytest.approx(5_650.0, rel=1e-14)
    world.refuse(Reject.BAD_AMOUNT, Verb.BID, ALICE, target=0, amount=5_649.0, limit=40.0)
    world.refuse(Reject.BID_TOO_LOW, Verb.BID, ALICE, target=0, amount=5_650.0, limit=48.0)
    world.refuse(Reject.BID_TOO_LOW, Verb.BID, ALICE, target=0, amount=5_650.0)
    done = world.do(Verb.BID, ALICE, target=0, amount=5_650.0, limit=45.0)
    assert done["r2"] == 5.0
    assert (dai(world, BOB), dai(world, ALICE)) == pytest.approx((1e6, 1e6 - 5_650.0), rel=1e-14)
    assert gems(world, OWNER) == had + 5.0
    world.wait(TTL + 60.0)
    world.do(Verb.DEAL, target=0)
    assert gems(world, ALICE) == 45.0
    assert bad_debt(world) == 0.0
    assert world.market.state.system["penalty_income"][0] == pytest.approx(650.0)
    world.wait(561_600.0)  # its debt waits in the queue from the start of the auction
    world.market.settle()
    assert world.market.state.system["sin"][0] == 0.0
    assert world.market.state.system["surplus"][0] == pytest.approx(650.0)


def test_a_bid_lives_for_its_time_and_the_auction_for_its(world):
    world.wait(TAU - TTL / 2)
    world.do(Verb.BID, ALICE, target=0, amount=100.0)
    world.wait(TTL / 2 + 60.0)  # its ttl still runs, tau is over
    world.refuse(Reject.AUCTION_OVER, Verb.BID, BOB, target=0, amount=5_000.0)
    world.do(Verb.DEAL, target=0)


def test_without_a_bid_an_auction_is_restarted_not_dealt(world):
    world.wait(TAU)
    world.refuse(Reject.AUCTION_RUNS, Verb.REDO, target=0)
    world.wait(60.0)
    world.refuse(Reject.AUCTION_RUNS, Verb.DEAL, target=0)
    world.refuse(Reject.AUCTION_OVER, Verb.BID, BOB, target=0, amount=10.0)
    world.do(Verb.REDO, target=0)
    world.do(Verb.BID, BOB, target=0, amount=10.0)


def test_a_number_names_one_auction_for_ever(world):
    world.do(Verb.BID, ALICE, target=0, amount=5_650.0)
    world.wait(TTL + 60.0)
    world.do(Verb.DEAL, target=0)
    world.refuse(Reject.BAD_TARGET, Verb.BID, ALICE, target=0, amount=1.0)
    done = world.do(Verb.LIQUIDATE, target=0)
    number = int(done["r0"])
    assert number != 0
    assert number % 8 == 0  # the same slot
    world.do(Verb.BID, ALICE, target=number, amount=1.0)
    assert world.market.auctions()[0].tolist() == [number]


def test_nobody_bids_more_than_they_have(world):
    world.ledger.balances[0, BOB, DAI] = 99.0
    world.ledger.minted[0, DAI] -= 1e6 - 99.0
    world.refuse(Reject.INSUFFICIENT_BALANCE, Verb.BID, BOB, target=0, amount=100.0)


def test_a_vault_is_sold_in_lumps_and_slots_run_out(maker):
    world = maker(ink=(520.0,), debt=(50_000.0,), lump=50.0, max_auctions=4)
    world.price(140.0)
    numbers = [int(world.do(Verb.LIQUIDATE, target=0)["r0"]) for _ in range(4)]
    assert len(set(numbers)) == 4
    world.refuse(Reject.BOOK_FULL, Verb.LIQUIDATE, target=0)
    assert world.market.state.system["due"][0] == pytest.approx(50_000.0 * 200.0 / 520.0)
