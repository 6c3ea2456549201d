"""Every file under conf/ is found, composes and says who it is."""

from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from agents.agent import MarketAgent
from agents.populations.book import BookSource
from experiments.build import part, parts
from sim.background import BackgroundDemand
from sim.blockspace import BlockSpaceParams
from sim.crowd.crowd import Crowd
from sim.oracles.oracle import Oracle
from sim.perps.premium import Premium
from sim.perps.terms import PerpParams
from sim.prices.process import PriceProcess
from sim.scenarios.scenario import Scenario
from sim.sequencing import Sequencer
from sim.venue import Venue

CONF = Path(__file__).resolve().parents[2] / "conf"
KINDS = {
    "agent": MarketAgent,
    "background": BackgroundDemand,
    "blockspace": BlockSpaceParams,
    "book": BookSource,
    "crowd": Crowd,
    "engine": None,
    "lending": Venue,
    "market": Venue,
    "oracle": Oracle,
    "perp": PerpParams,
    "pool": Venue,
    "premium": Premium,
    "price": PriceProcess,
    "sequencer": Sequencer,
}
MAPS = {"cast": MarketAgent, "pools": Venue, "scenario": Scenario}
# Tested in test_envs.py and tests/experiments: whole studies and environments.
ELSEWHERE = {"event", "mechanism", "env", "hedger", "algo", "study"}
FILES = [
    (folder.name, path.stem)
    for folder in sorted(CONF.iterdir())
    if folder.is_dir() and folder.name not in ELSEWHERE
    for path in sorted(folder.glob("*.yaml"))
]


@pytest.mark.parametrize(("group", "name"), FILES, ids=lambda text: text)
def test_a_file_makes_the_part_that_its_group_promises(group, name, small_study, tmp_path):
    if group in MAPS:
        key = {"scenario": "scenarios"}.get(group, group)
        config = small_study(group, name)
        for made in parts(config, key).values():
            assert isinstance(made, MAPS[group]), f"conf/{group}/{name}.yaml makes {type(made)}"
        return
    assert group in KINDS, (
        f"conf/{group}/ is a new group: say in KINDS of this test what its files make"
    )
    if group == "agent":
        described = small_study("cast", "default", f"+agent@cast.mine={name}")["cast"]["mine"]
    elif group == "pool":
        described = small_study(group, name)["pools"]["mine"]
    else:
        described = small_study(group, name, f"positions={tmp_path / 'mine.csv'}")[group]
    made = instantiate(OmegaConf.create(described), _convert_="all")
    kind = KINDS[group]
    if kind is None:
        assert callable(made.map), f"conf/{group}/{name}.yaml makes {type(made)}, without map"
    else:
        assert isinstance(made, kind), f"conf/{group}/{name}.yaml makes {type(made)}, no {kind}"


@pytest.mark.parametrize(("group", "name"), FILES, ids=lambda text: text)
def test_a_file_says_what_it_is(group, name):
    text = (CONF / group / f"{name}.yaml").read_text()
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) <= 80, f"conf/{group}/{name}.yaml is long: move what it says into code"
    if not any(line.startswith("#") for line in lines):
        assert len(lines) <= 15, f"conf/{group}/{name}.yaml wants a line that says what it is"


@pytest.mark.parametrize(("group", "name"), FILES, ids=lambda text: text)
def test_a_mistyped_key_is_refused(group, name, small_study, tmp_path):
    """A typo must not pass for a setting."""
    if group in MAPS:
        pytest.skip("made of parts that are tested on their own")
    key = {"pool": "pools.mine", "agent": "cast.mine"}.get(group, group)
    extra = [f"+{key}.colour=red", f"positions={tmp_path / 'none.csv'}"]
    if group == "agent":
        config = small_study("cast", "default", f"+agent@cast.mine={name}", *extra)
        described = config["cast"]["mine"]
    else:
        config = small_study(group, name, *extra)
        described = config["pools"]["mine"] if group == "pool" else config[group]
    with pytest.raises(Exception, match=r"colour|takes no arguments"):
        instantiate(OmegaConf.create(described), _convert_="all")


def test_no_key_of_the_study_is_unused(compose):
    """`part` instantiates each of these; the others are read by name in experiments."""
    config = compose()
    for key in ("price", "oracle", "market", "lending", "blockspace", "background", "sequencer"):
        assert part(config, key) is not None
    assert np.isfinite(config["hours"])
