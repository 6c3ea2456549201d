"""Terms from YAML become arrays, or sentences."""

import numpy as np
import pytest

from sim.errors import ConfigError
from sim.terms import check_range, per_asset, require


def test_one_number_serves_all_assets():
    np.testing.assert_array_equal(per_asset("fee", ["A", "B"], 3), [3.0, 3.0])


def test_a_mapping_goes_by_name_and_may_name_more():
    assert per_asset("fee", ["A", "B"], {"C": 9, "B": 2, "A": 1}).tolist() == [1.0, 2.0]


def test_a_missing_asset_is_named_with_the_remedy():
    with pytest.raises(
        ConfigError, match=r"fee must name every asset, but lacks B .*names A.*add fee\.B"
    ):
        per_asset("fee", ["A", "B"], {"A": 1.0})
    with pytest.raises(ConfigError, match=r"it names none"):
        per_asset("fee", ["A"], {})


@pytest.mark.parametrize(
    ("value", "open_low", "sentence"),
    [
        (1.5, False, r"share must lie in \[0, 1\], got 1.5; change it"),
        (float("nan"), False, r"share must lie in \[0, 1\], got nan"),
        (0.0, True, r"share must lie in \(0, 1\], got 0"),
        ({"A": 0.5, "B": -1.0}, False, r"share\.B must lie in \[0, 1\], got -1"),
    ],
)
def test_a_number_out_of_range_is_named(value, open_low, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check_range("share", value, 0.0, 1.0, open_low=open_low)


@pytest.mark.parametrize("value", [0.0, 1.0, {"A": 0.0}, {}])
def test_both_ends_belong_to_the_range(value):
    check_range("share", value, 0.0, 1.0)


def test_require():
    require(True, "never")
    with pytest.raises(ConfigError, match=r"^why not$"):
        require(False, "why not")
