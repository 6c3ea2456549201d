"""Reading a user's positions: recognised layouts, and one sentence for every defect."""

import numpy as np
import pytest

from experiments.positions import book_from_file, load_positions
from sim.errors import InputError

ASSETS = ("WETH", "WBTC", "USDC", "DAI")
TIDY = "account,asset,collateral,debt\nann,WETH,2,0\nann,USDC,0,1500\nbob,BTC,1,0\nbob,dai,0,9000\n"


def write(folder, text, name="positions.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_tidy_rows_make_positions_in_order_of_first_occurrence(tmp_path):
    book = load_positions(write(tmp_path, TIDY), ASSETS)
    assert book.ids.tolist() == ["ann", "bob"]
    assert book.collateral.tolist() == [[2, 0, 0, 0], [0, 1, 0, 0]]
    assert book.debt.tolist() == [[0, 0, 1500, 0], [0, 0, 0, 9000]]


def test_synonyms_and_wide_layouts_give_the_same_book(tmp_path):
    expected = load_positions(write(tmp_path, TIDY), ASSETS)
    same = [
        TIDY.replace("account,asset,collateral,debt", "User,Symbol,Supplied,Borrowed"),
        "wallet,collateral_WETH,collateral_WBTC,debt_USDC,debt_DAI\n"
        "ann,2,0,1500,0\nbob,0,1,0,9000\n",
        "user,ETH_deposited,BTC_deposited,USDC_borrowed,DAI_borrowed,SHIB_borrowed\n"
        "ann,2,0,1500,0,0\nbob,0,1,0,9000,0\n",
    ]
    for text in same:
        book = load_positions(write(tmp_path, text), ASSETS)
        assert np.array_equal(book.collateral, expected.collateral)
        assert np.array_equal(book.debt, expected.debt)
        assert book.ids.tolist() == ["ann", "bob"]


def test_parquet_reads_as_csv_does_and_the_file_is_left_alone(tmp_path):
    pd = pytest.importorskip("pandas")
    csv = write(tmp_path, TIDY)
    parquet = tmp_path / "positions.parquet"
    pd.read_csv(csv).to_parquet(parquet)
    before = parquet.read_bytes()
    one, other = load_positions(csv, ASSETS), load_positions(parquet, ASSETS)
    assert np.array_equal(one.debt, other.debt)
    assert parquet.read_bytes() == before


def test_the_latest_rows_up_to_a_date_count(tmp_path):
    path = write(
        tmp_path,
        "ts,user,WETH_deposited,USDC_borrowed\n2021-05-01,ann,5,100\n2021-05-03,ann,7,0\n"
        "2021-05-02,bob,1,50\n",
    )
    assert load_positions(path, ASSETS).collateral[:, 0].sum() == 8
    assert load_positions(path, ASSETS, until="2021-05-02").collateral[:, 0].sum() == 6
    with pytest.raises(InputError, match="no rows up to 2021-04-01, the first is of 2021-05-01"):
        load_positions(path, ASSETS, until="2021-04-01")
    with pytest.raises(InputError, match="until must be an ISO date such as 2021-05-19, got soon"):
        load_positions(path, ASSETS, until="soon")


def test_options_permit_what_is_refused_by_default(tmp_path):
    path = write(tmp_path, "account,asset,collateral,debt\na,stETH,1,\nb,LUNA,5,0\nc,DAI,-1,3\n")
    book = load_positions(
        path,
        ASSETS,
        rename={"steth": "WETH"},
        drop_unknown=True,
        blank_is_zero=True,
        negative_is_zero=True,
        drop_uncollateralised=True,
    )
    assert book.ids.tolist() == ["a"]
    assert book.collateral[0].tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "account,asset,collateral,debt\nann,LUNA,2,0\n",
            "unknown asset LUNA; this market knows WETH, WBTC, USDC, DAI",
        ),
        ("account,asset,collateral,debt\nann,WETH,-2,0\n", "collateral of account ann .* got -2;"),
        ("account,asset,collateral,debt\nann,WETH,,0\n", r"ann .* got nothing \(empty or NaN\)"),
        ("account,asset,collateral,debt\nann,WETH,nan,0\n", "collateral of account ann .* got nan"),
        ("account,asset,collateral,debt\nann,WETH,inf,0\n", "got inf"),
        ("account,asset,collateral,debt\nann,WETH,lots,0\n", "got lots"),
        (
            "account,asset,collateral,debt\nann,WETH,1,0\nann,WETH,1,0\n",
            "account ann has more than one row for WETH",
        ),
        ("account,asset,collateral,debt\n,WETH,1,0\n", "row 1 has no account"),
        ("account,asset,collateral,debt\nann,USDC,0,5\n", "ann owes 5 USDC and has no collateral"),
        ("account,asset,collateral,debt\nann,WETH,0,0\n", "no account has a balance"),
        ("account,asset,collateral,debt\n", "has a header and no rows"),
        ("account,asset,collateral,debt\nann,WETH,1,0,9\n", "cannot be read"),
        ("account,asset,collateral,debt\nann,WETH,1\n", "debt of account ann .* got nothing"),
        (
            "account,asset,amount\nann,WETH,1\n",
            "found the columns account, asset, amount; expected",
        ),
        ("asset,collateral,debt\nWETH,1,0\n", "no recognised layout, found the columns asset"),
        ("account,collateral_WETH,debt_LUNA\nann,1,2\n", "unknown asset LUNA; this market knows"),
        ("account,collateral_WETH\nann,1\nann,2\n", "account ann has more than one row"),
        ("date,account,collateral_WETH\nmonday,ann,1\n", "column date must hold dates"),
        ("account,asset,debt,Debt\nann,WETH,1,1\n", "column Debt occurs twice"),
        ("", "is empty"),
    ],
)
def test_every_defect_gets_one_sentence(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        load_positions(write(tmp_path, text), ASSETS)
    assert "\n" not in str(caught.value)


def test_unreadable_files_get_one_sentence(tmp_path):
    pd = pytest.importorskip("pandas")
    with pytest.raises(InputError, match="does not exist"):
        load_positions(tmp_path / "none.csv", ASSETS)
    with pytest.raises(InputError, match=r"must end in \.csv"):
        load_positions(write(tmp_path, TIDY, "positions.xlsx"), ASSETS)
    parquet = tmp_path / "cut.parquet"
    pd.DataFrame({"account": ["a"], "asset": ["WETH"], "debt": [1.0]}).to_parquet(parquet)
    parquet.write_bytes(parquet.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"cannot be read .* may be truncated") as caught:
        load_positions(parquet, ASSETS)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="positions must name a CSV or Parquet file, got nothing"):
        book_from_file(None)
    with pytest.raises(InputError, match="rename: unknown asset X; this market knows WETH"):
        load_positions(write(tmp_path, TIDY), ASSETS, rename={"WETH": "X"})


def test_a_file_is_a_book_source(tmp_path):
    source = book_from_file(write(tmp_path, TIDY))
    nothing = np.zeros(4)
    assert len(source.draw(ASSETS, nothing, nothing, nothing)) == 2


def data(shared, name):
    path = shared / "data" / f"{name}.parquet"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the reference data")
    return path


def test_the_steth_snapshot_reads_with_the_health_that_it_states(shared):
    pd = pytest.importorskip("pandas")
    path = data(shared, "aave_v2_steth_positions_2023-06")
    with pytest.raises(InputError, match="unknown asset STETH"):
        load_positions(path, ASSETS)
    with pytest.raises(InputError, match="give eth_price"):
        load_positions(path, ASSETS, rename={"stETH": "WETH"})
    book = load_positions(path, ASSETS, rename={"stETH": "WETH"}, eth_price=1723.5)
    prices = np.array([1723.5, 3e4, 1.0, 1.0])
    table = pd.read_parquet(path)
    assert book.collateral_usd(prices) / 1723.5 == pytest.approx(table.collateral.to_numpy())
    assert book.debt_usd(prices) / 1723.5 == pytest.approx(table.debt.to_numpy())


def test_the_stablecoin_snapshot_reads_raw_units(shared):
    pd = pytest.importorskip("pandas")
    path = data(shared, "aave_v2_steth_stabledebt_positions")
    coins = ("USDT", "TUSD", "SUSD", "USDP", "FRAX", "GUSD", "BUSD", "FEI")
    rename = {"STETH": "WETH", **dict.fromkeys(coins, "USDC")}
    book = load_positions(path, ASSETS, rename=rename)
    table = pd.read_parquet(path)
    stable = table.debt_stable_calc.to_numpy()  # ETH, at the table's own prices near 1 USD
    clean = (table.diff_debt_stable < 0.01) & (table.ethdebt == 0.0) & (stable > 1.0)
    ratio = book.debt[:, 2:].sum(1)[clean] / (stable[clean] / table.usdc_price[0] * 1e18)
    assert ratio == pytest.approx(np.ones(ratio.shape[0]), rel=0.03)


def test_the_daily_sample_reads_its_latest_rows(shared):
    path = data(shared, "aave_v2_users_daily_sample")
    book = load_positions(
        path,
        ASSETS,
        blank_is_zero=True,
        negative_is_zero=True,
        drop_unknown=True,
        drop_uncollateralised=True,
        until="2021-05-19",
    )
    assert 5 <= len(book) <= 50


def test_a_nameless_account_in_a_dated_file_is_not_dropped_in_silence(tmp_path):
    path = write(tmp_path, "date,account,collateral_WETH\n2021-05-01,,1\n2021-05-01,ann,1\n")
    with pytest.raises(InputError, match="row 1 has no account"):
        load_positions(path, ASSETS)
