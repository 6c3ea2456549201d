"""The drawn book: exact knife edge, tail, mixes, and its likeness to real positions."""

import numpy as np
import pytest

from agents.populations.synthetic import SyntheticBook
from sim.errors import ConfigError

ASSETS = ("WETH", "WBTC", "USDC", "DAI")
PRICES = np.array([2000.0, 40_000.0, 1.0, 1.0])
THRESHOLDS = np.array([0.83, 0.78, 0.78, 0.77])
LTV = np.array([0.805, 0.73, 0.75, 0.75])


def draw(**terms):
    return SyntheticBook(**terms).draw(ASSETS, PRICES, THRESHOLDS, LTV)


def fallen(x):
    return PRICES * np.array([1.0 - x, 1.0 - x, 1.0, 1.0])


def on_the_edge(book, x):
    """Debt that a fall of x makes liquidatable, USD at the prices before the fall."""
    below = book.health_factor(fallen(x), THRESHOLDS) < 1.0
    return book.debt_usd(PRICES)[below].sum()


def hill(sizes, k):
    """Hill (1975) estimator of the tail exponent from the k largest."""
    largest = np.sort(sizes)[::-1][: k + 1]
    return k / np.log(largest[:k] / largest[k]).sum()


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("n", [1000, 10_000, 100_000, 1_000_000])
def test_the_knife_edge_holds_on_the_drawn_sample(n, seed):
    book = draw(n_positions=n, seed=seed)
    assert len(book) == n
    assert book.debt_usd(PRICES).sum() == pytest.approx(1e9, rel=1e-9)
    assert book.liquidatable_debt_usd(PRICES, THRESHOLDS) == 0.0
    # the remainder that no position fits is at most 0.1% by construction
    assert on_the_edge(book, 0.03) == pytest.approx(1e7, rel=1.001e-3)
    assert book.health_factor(PRICES, THRESHOLDS).min() >= 1.002 * (1 - 1e-12)


@pytest.mark.parametrize(
    "terms",
    [
        {"n_positions": 20, "max_position_share": 0.2},
        {"knife_edge_usd_per_billion": 5e7, "knife_edge_move": 0.05, "tail_exponent": 1.0},
        {"multi_collateral_share": 1.0, "multi_debt_share": 1.0, "total_debt_usd": 1e6},
        {"knife_edge_usd_per_billion": 0.0},
    ],
)
def test_the_knife_edge_holds_for_other_terms(terms):
    book = draw(**terms)
    target = terms.get("knife_edge_usd_per_billion", 1e7) / 1e9 * terms.get("total_debt_usd", 1e9)
    move = terms.get("knife_edge_move", 0.03)
    assert on_the_edge(book, move) == pytest.approx(target, rel=1.001e-3)
    assert book.liquidatable_debt_usd(PRICES, THRESHOLDS) == 0.0


def test_the_edge_is_spread_over_the_move_and_followed_by_mass():
    book = draw(n_positions=100_000)
    at_risk = [book.liquidatable_debt_usd(fallen(x), THRESHOLDS) for x in (0.015, 0.03, 0.06, 0.1)]
    assert 0.2e7 < at_risk[0] < 0.8e7  # uniform over the move: about half
    assert at_risk[2] > 1.5 * at_risk[1]
    assert at_risk[3] > 2.5 * at_risk[1]


def test_the_same_seed_gives_the_same_book_and_another_seed_another():
    one, same, other = draw(seed=7), draw(seed=7), draw(seed=8)
    assert np.array_equal(one.collateral, same.collateral)
    assert np.array_equal(one.debt, same.debt)
    assert not np.array_equal(one.debt, other.debt)


def test_health_parameters_leave_sizes_and_assets_alone():
    calm, tense = draw(health_median=2.5), draw(health_median=1.3)
    assert np.array_equal(calm.debt, tense.debt)


@pytest.mark.parametrize("exponent", [1.0, 1.25, 1.5])
def test_the_tail_has_the_exponent_asked_for(exponent):
    n = 200_000
    sizes = draw(
        n_positions=n, tail_exponent=exponent, max_position_share=1.0, multi_debt_share=0.0
    ).debt_usd(PRICES)
    k = int(0.02 * n)  # inside the 3% of Pareto draws; standard error exponent / sqrt(k) = 1.6%
    assert hill(sizes, k) == pytest.approx(exponent, rel=5 / np.sqrt(k))


def test_the_body_is_lognormal_with_the_sigma_asked_for():
    log_debt = np.log(draw(n_positions=200_000, body_sigma=2.0).debt_usd(PRICES))
    lower, middle = np.quantile(log_debt, [0.1586553, 0.5])
    assert middle - lower == pytest.approx(2.0, rel=0.02)  # one sigma; 5 standard errors


def test_mixes_hold_in_value_and_no_asset_backs_itself():
    book = draw(
        n_positions=100_000,
        max_position_share=0.005,
        multi_collateral_share=0.0,
        multi_debt_share=0.0,
    )
    backed = book.collateral * PRICES * THRESHOLDS / book.health_factor(PRICES, THRESHOLDS)[:, None]
    assert backed.sum(0) / 1e9 == pytest.approx([0.55, 0.25, 0.15, 0.05], abs=0.02)
    assert (book.debt * PRICES).sum(0) / 1e9 == pytest.approx([0.12, 0.03, 0.55, 0.30], abs=0.02)
    several = draw(n_positions=10_000)
    assert not ((several.collateral > 0) & (several.debt > 0)).any()
    assert ((several.collateral > 0).sum(1) == 2).mean() == pytest.approx(0.25, abs=0.03)


def test_no_position_exceeds_its_share_and_a_whale_is_added_on_top():
    book = draw(n_positions=1000, max_position_share=0.05)
    assert book.debt_usd(PRICES).max() <= 0.05 * 1e9 * 1.02  # cut before the edge is settled
    whale = {"collateral": "WBTC", "debt": "DAI", "size_usd": 3e8, "health_factor": 1.1}
    large = draw(n_positions=1000, max_position_share=0.05, whale=whale)
    assert np.array_equal(large.debt[:-1], book.debt)
    assert large.debt[-1].tolist() == [0.0, 0.0, 0.0, 3e8]
    assert large.health_factor(PRICES, THRESHOLDS)[-1] == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        ({"tail_exponent": 0.9}, r"tail_exponent must lie in \[1, 1.5\], got 0.9"),
        ({"n_positions": 1}, "n_positions must be at least 2, got 1"),
        ({"total_debt_usd": float("nan")}, "total_debt_usd must be positive USD, got nan"),
        ({"collateral_mix": {"WETH": -1.0}}, "collateral_mix.WETH must be a weight"),
        ({"collateral_mix": {"LUNA": 1.0}}, "unknown asset LUNA; this market knows WETH, WBTC"),
        ({"collateral_mix": {"USDC": 1.0}, "debt_mix": {"USDC": 1.0}}, "another asset than its"),
        ({"collateral_mix": {"USDC": 1.0}, "debt_mix": {"DAI": 1.0}}, "must be reachable"),
        ({"min_health": 1.02}, "min_health must lie below"),
        ({"health_median": 1.01}, "health_median must lie above"),
        ({"whale": {"size_usd": 1.0}}, "whale must give exactly collateral, debt"),
        ({"max_position_share": 1e-5}, "max_position_share must be at least 1 / n_positions"),
    ],
)
def test_bad_terms_get_one_sentence(terms, sentence):
    with pytest.raises(ConfigError, match=sentence):
        draw(**terms)


def test_an_asset_that_is_no_collateral_cannot_back_a_position():
    with pytest.raises(ConfigError, match="DAI must be a collateral"):
        SyntheticBook().draw(ASSETS, PRICES, THRESHOLDS * [1, 1, 1, 0], LTV * [1, 1, 1, 0])


def test_the_book_resembles_the_real_positions_of_june_2023(shared):
    pd = pytest.importorskip("pandas")
    table = shared / "data" / "aave_v2_steth_stabledebt_positions.parquet"
    if not table.is_file():
        pytest.skip(f"no {table.name} in the reference data")
    real = pd.read_parquet(table, columns=["debt", "healthf"])
    real = real[(real.debt > 0.05) & (real.healthf > 1.0) & (real.healthf < 100.0)]
    book = draw(n_positions=10_000)
    health, debt = book.health_factor(PRICES, THRESHOLDS), book.debt_usd(PRICES)

    def under(h, d, level):
        return float(d[h < level].sum() / d.sum())

    # The largest 2%, where real and drawn books are Pareto: 1.93 and 1.2, each from few positions
    # (14 real ones: standard error 27%).
    assert 1.0 <= hill(debt, 200) <= 1.5
    assert 0.9 <= hill(real.debt.to_numpy(), 14) <= 2.5
    # Both spread over several orders of magnitude.
    assert np.log(debt).std() == pytest.approx(np.log(real.debt).std(), rel=0.2)
    # Within 3%: 1% drawn; the real 694 positions have none, and 1.2% within 5%.
    assert under(health, debt, 1 / 0.97) == pytest.approx(0.01, abs=0.003)
    assert under(real.healthf, real.debt, 1 / 0.97) <= 0.01
    assert under(real.healthf, real.debt, 1 / 0.95) >= 0.01
    # Debt under health 1.2, 1.5 and 2: within 15 points (one whale is 11% of the real debt).
    for level in (1.2, 1.5, 2.0):
        assert under(health, debt, level) == pytest.approx(
            under(real.healthf, real.debt, level), abs=0.15
        )


def test_given_thresholds_keep_one_book_through_a_sweep():
    """The same tokens, whatever the market's own thresholds are."""
    assets, prices = ("WETH", "WBTC", "USDC", "DAI"), np.array([2000.0, 40000.0, 1.0, 1.0])
    given = {"WETH": 0.83, "WBTC": 0.78, "USDC": 0.78, "DAI": 0.77}
    source = SyntheticBook(n_positions=500, thresholds=given)
    books = [
        source.draw(assets, prices, np.full(4, own), np.full(4, 0.6)) for own in (0.7, 0.8, 0.9)
    ]
    for book in books[1:]:
        np.testing.assert_array_equal(book.collateral, books[0].collateral)
        np.testing.assert_array_equal(book.debt, books[0].debt)
    expected = SyntheticBook(n_positions=500).draw(
        assets, prices, np.array(list(given.values())), np.full(4, 0.6)
    )
    np.testing.assert_array_equal(books[0].collateral, expected.collateral)
