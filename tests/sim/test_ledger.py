"""Transfer, mint and burn; the check that nothing else moved value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim.ledger as ledger_module
from sim.errors import InvariantError
from sim.ledger import Ledger, burn, mint, transfer

ALICE, BOB = 0, 1
WETH, USDC = 0, 1


def fresh(n_worlds=2):
    ledger = Ledger(n_worlds, ["alice", "bob"], ["WETH", "USDC"])
    ledger.endow(ALICE, WETH, 10.0)
    return ledger


def test_a_transfer_moves_tokens_in_one_world_only():
    ledger = fresh()
    assert transfer(ledger.balances, 1, ALICE, BOB, WETH, 4.0)
    np.testing.assert_array_equal(ledger.balances[:, :, WETH], [[10.0, 0.0], [6.0, 4.0]])
    np.testing.assert_array_equal(ledger.balances[:, :, USDC], 0.0)
    ledger.check(0.0)


def test_a_transfer_beyond_the_balance_moves_nothing():
    ledger = fresh()
    before = ledger.arena.snapshot()
    assert not transfer(ledger.balances, 0, ALICE, BOB, WETH, 10.0 * (1 + 1e-11))
    assert not transfer(ledger.balances, 0, BOB, ALICE, WETH, 1e-300)
    np.testing.assert_array_equal(ledger.arena.buffer, before)


def test_a_shortfall_of_rounding_empties_the_account():
    """Up to 1e-12 relative is what a chain of float64 operations loses (about 4,500 epsilons)."""
    ledger = fresh()
    assert transfer(ledger.balances, 0, ALICE, BOB, WETH, 10.0 * (1 + 1e-13))
    np.testing.assert_array_equal(ledger.balances[0, :, WETH], [0.0, 10.0])
    assert burn(ledger.balances, ledger.burnt, 0, BOB, WETH, 10.0 * (1 + 1e-13))
    np.testing.assert_array_equal(ledger.balances[0, :, WETH], 0.0)
    ledger.check(0.0)


def test_mint_and_burn_are_booked():
    ledger = fresh()
    mint(ledger.balances, ledger.minted, 0, BOB, USDC, 5.0)
    assert burn(ledger.balances, ledger.burnt, 0, BOB, USDC, 2.0)
    assert not burn(ledger.balances, ledger.burnt, 0, BOB, USDC, 3.1)
    assert ledger.balances[0, BOB, USDC] == 3.0
    assert (ledger.minted[0, USDC], ledger.burnt[0, USDC]) == (5.0, 2.0)
    assert (ledger.minted[1, USDC], ledger.burnt[1, USDC]) == (0.0, 0.0)
    ledger.check(0.0)


def test_an_endowment_may_differ_per_world():
    ledger = fresh()
    ledger.endow(BOB, USDC, np.array([1.0, 2.0]))
    np.testing.assert_array_equal(ledger.balances[:, BOB, USDC], [1.0, 2.0])
    np.testing.assert_array_equal(ledger.minted[:, USDC], [1.0, 2.0])


def test_the_check_names_asset_and_world():
    ledger = fresh(3)
    ledger.balances[2, BOB, WETH] += 1e-6
    np.testing.assert_allclose(ledger.imbalance()[2, WETH], 1e-7, rtol=1e-6)
    with pytest.raises(InvariantError, match=r"balances of WETH in world 2 differ .* by 1e-07"):
        ledger.check()
    with pytest.raises(InvariantError, match=r"balances of WETH in world 902 differ"):
        ledger.check(world_ids=np.array([900, 901, 902]))
    ledger.check(1e-6)


def test_the_check_finds_what_is_no_number():
    ledger = fresh()
    ledger.balances[1, BOB, USDC] = np.nan
    with pytest.raises(InvariantError, match="USDC in world 1"):
        ledger.check()


moves = st.tuples(
    st.sampled_from(["transfer", "mint", "burn"]),
    st.integers(0, 1),
    st.integers(0, 1),
    st.integers(0, 1),
    st.floats(0.0, 1e12),
)


@given(st.lists(moves, max_size=40))
def test_value_is_conserved_and_no_balance_is_negative(sequence):
    """Rounding of sums of at most 42 terms: far under 1e-12 of what was minted."""
    ledger = fresh(1)
    for kind, source, target, asset, amount in sequence:
        if kind == "transfer":
            held = ledger.balances[0, source, asset]
            moved = transfer(ledger.balances, 0, source, target, asset, amount)
            assert moved == (amount <= held * (1 + 1e-12))
        elif kind == "mint":
            mint(ledger.balances, ledger.minted, 0, target, asset, amount)
        else:
            burn(ledger.balances, ledger.burnt, 0, source, asset, amount)
    assert (ledger.balances >= 0.0).all()
    ledger.check(1e-12)


def test_kernels_as_plain_python(plain):
    outcomes = []
    for as_python in (False, True):
        ledger = fresh(1)
        with plain(ledger_module) if as_python else plain():
            module = ledger_module
            done = [
                module.transfer(ledger.balances, 0, ALICE, BOB, WETH, 3.3),
                module.burn(ledger.balances, ledger.burnt, 0, BOB, WETH, 1.1),
                module.burn(ledger.balances, ledger.burnt, 0, BOB, WETH, 9.9),
            ]
            module.mint(ledger.balances, ledger.minted, 0, BOB, WETH, 0.7)
        outcomes.append((done, ledger.arena.snapshot().tobytes()))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] == [True, True, False]
