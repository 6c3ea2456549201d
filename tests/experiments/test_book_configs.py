"""The YAML files of the books build what they say."""

from dataclasses import fields
from pathlib import Path

import pytest

CONF = Path(__file__).resolve().parents[2] / "conf" / "book"


def instantiate(name, **root):
    hydra = pytest.importorskip("hydra.utils")
    omegaconf = pytest.importorskip("omegaconf")
    config = omegaconf.OmegaConf.create({**root, "book": omegaconf.OmegaConf.load(CONF / name)})
    return hydra.instantiate(config.book)


def test_the_synthetic_yaml_states_the_defaults():
    from agents.populations.synthetic import SyntheticBook

    made, default = instantiate("synthetic.yaml"), SyntheticBook()
    for field in fields(SyntheticBook):
        assert getattr(made, field.name) == getattr(default, field.name), field.name


def test_the_file_yaml_takes_the_path_from_positions(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("account,collateral_WETH,debt_USDC\nann,1,500\n")
    assert len(instantiate("file.yaml", positions=str(path)).read(("WETH", "USDC"))) == 1


def test_reading_positions_imports_pandas_only_when_a_file_is_read():
    import subprocess
    import sys

    code = "import sys, experiments.positions; sys.exit('pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=CONF.parents[1])
