"""Books of vaults drawn from published shares."""

import numpy as np
import pytest

from agents.populations.vault_book import VaultBuckets
from sim.errors import ConfigError

ASSETS, PRICES = ("WETH", "DAI"), np.array([200.0, 1.0])
THRESHOLDS = np.array([1.0 / 1.5, 0.0])
PUBLISHED = {2.25: 27 / 115, 2.75: 57 / 115, 3.0: 65 / 115}  # Maker's call of 20 February 2020
LARGEST = {
    "first": {"count": 3, "share": 0.25, "collateralization": 2.75},
    "second": {"count": 2, "share": 0.0417, "collateralization": 3.1},
    "third": {"count": 10, "share": 0.2083},
}


def draw(**terms):
    book = VaultBuckets(total_debt=1e8, **terms).draw(ASSETS, PRICES, THRESHOLDS, THRESHOLDS)
    debt = book.debt[:, 1]
    return debt, book.collateral[:, 0] * PRICES[0] / debt


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_any_draw_has_the_published_shares(seed):
    debt, ratio = draw(seed=seed, size_sigma=1.0)  # no vault of more than a percent
    for most, share in PUBLISHED.items():
        assert debt[ratio <= most].sum() / debt.sum() == pytest.approx(share, abs=0.03)
    # 1.5 × (1 + median × exp(sigma² / 2)), and 330% as published a week later
    mean = np.average(ratio, weights=debt)
    assert mean == pytest.approx(1.5 * (1.0 + 0.88 * np.exp(0.78**2 / 2.0)), rel=0.02)
    assert mean == pytest.approx(3.3, rel=0.02)


def test_the_largest_take_their_place_and_the_others_what_is_left():
    debt, ratio = draw(largest=LARGEST)
    assert debt.sum() == pytest.approx(1e8, rel=1e-6)
    assert np.sort(debt)[-3:].sum() == pytest.approx(0.25e8)
    assert np.sort(debt)[-15:].sum() == pytest.approx(0.5e8, rel=0.01)
    np.testing.assert_allclose(ratio[:3], 2.75)
    assert np.average(ratio[:5], weights=debt[:5]) == pytest.approx(2.8, abs=0.005)
    assert np.average(ratio, weights=debt) == pytest.approx(3.3, rel=0.03)
    under = debt[ratio <= 2.25].sum() / debt.sum()
    assert under == pytest.approx(PUBLISHED[2.25], abs=0.05)  # one of the ten may stand on the edge
    assert not ((ratio > 2.5) & (ratio < 2.74)).any()  # the place of the largest


def test_no_vault_is_unsafe_or_dust_at_the_start():
    debt, ratio = draw(largest=LARGEST, least_debt=20.0)
    assert ratio.min() > 1.5
    assert debt.min() >= 20.0


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"n_vaults": 0}, "n_vaults must be at least 1, got 0"),
        ({"largest": {"a": {"count": 1, "share": 1.0}}}, "must sum to less than 1"),
        ({"largest": {"a": {"count": 0, "share": 0.1}}}, "must be at least 1, got 0"),
        ({"health_median": 0.0}, "health_median must lie in"),
    ],
)
def test_impossible_books_are_refused(terms, words):
    with pytest.raises(ConfigError, match=words):
        VaultBuckets(**terms)


def test_an_asset_that_the_world_lacks_is_named():
    with pytest.raises(ConfigError, match="unknown asset 'DAI'"):
        VaultBuckets().draw(("WETH", "USDC"), PRICES, THRESHOLDS, THRESHOLDS)
