from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

CONF = Path(__file__).resolve().parents[3] / "conf"


@pytest.fixture(scope="session")
def perp():
    """Factory of the parts of conf/perp and conf/premium, with changes."""

    def make(name, group="perp", **changes):
        described = OmegaConf.load(CONF / group / f"{name}.yaml")
        return instantiate(OmegaConf.merge(described, changes), _convert_="all")

    return make
