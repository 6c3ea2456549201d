"""What the README says works as it says: its commands, its columns, its examples of new parts."""

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from experiments.store import Store

Command = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
SHELL = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
COMMANDS = [shlex.split(line, comments=True)[3:] for line in SHELL if line.startswith("python -m")]
OWN = ("--config-dir", "mine")
SMALL = ["worlds=2", "hours=0.2", "engine=serial"]


NAMED = r"^# (\S+\.(py|yaml))$"
EXAMPLES = [
    text for kind, text in BLOCKS if kind == "python" and not re.search(NAMED, text, re.MULTILINE)
]


def identify(arguments: list[str]) -> str:
    return " ".join(arguments) or "default"


def write_parts(folder: Path) -> None:
    """Put the example files where they say they are."""
    for kind, text in BLOCKS:
        if kind in ("python", "yaml"):
            name = re.search(NAMED, text, flags=re.MULTILINE)
            if kind == "python" and name is None:
                continue  # not a part: run by test_the_examples_run
            assert name is not None, text
            path = folder / name[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


@pytest.fixture
def own_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The README's example parts in a folder of their own, importable."""
    write_parts(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


def series(folder: Path) -> pd.DataFrame:
    return Store(folder).read("series")


def test_there_is_something_to_test() -> None:
    assert len(COMMANDS) >= 18
    assert {kind for kind, _ in BLOCKS} == {"sh", "python", "yaml"}
    assert "<!-- headline:start -->" in README
    assert README.index("<!-- headline:start -->") < README.index("<!-- headline:end -->")


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Code that is no part of a study; the order book's tells what it left."""
    for text in EXAMPLES:
        exec(compile(text, "README.md", "exec"), {})
    assert "(0, 0, 101, 6, 101) [101]" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", COMMANDS, ids=identify)
def test_every_command_composes(arguments: list[str], tmp_path: Path) -> None:
    write_parts(tmp_path)
    overrides = [item for item in arguments if "=" in item]
    if "--config-dir" in arguments:
        overrides.append(f"hydra.searchpath=[file://{tmp_path / 'mine'}]")
    if "--multirun" in arguments:
        overrides = [re.sub(r"(?<==)([^\[{,]*),.*", r"\1", item) for item in overrides]
    with initialize_config_module("conf", version_base=None):
        config = compose("stress", overrides)
        assert OmegaConf.to_container(config, resolve=True)


def test_scenarios_price_processes_and_casts_of_the_table_are_those_in_conf() -> None:
    for group in ("scenario", "price", "oracle", "cast"):
        (row,) = re.findall(rf"^\| `{group}` \|(.*)\|$", README, flags=re.MULTILINE)
        named = set(re.findall(r"`(\w+)`", row))
        known = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
        assert named <= known
        assert {name for name in known - named if not name.startswith("replay_")} == set()


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make (\w+)", README)) - {"on"}:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


RUNNABLE = [
    arguments
    for arguments in COMMANDS
    if not any(item.startswith(("data=", "prices=", "positions=", "engine=ray", "--config-dir"))
               for item in arguments)
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("arguments", RUNNABLE, ids=identify)
def test_commands_run(command: Command, arguments: list[str]) -> None:
    if "--help" in arguments or "--cfg" in arguments:
        assert command(*arguments).code == 0
        return
    kept = [item for item in arguments if not item.startswith(("worlds=", "hours=", "engine"))]
    command(*kept, *SMALL, "book.n_positions=200").folder()


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [a for a in COMMANDS if any(i.startswith("data=") for i in a)], ids=identify
)
def test_commands_on_real_data_run(command: Command, shared: Path, arguments: list[str]) -> None:
    kept = [item for item in arguments if not item.startswith("data=")]
    command(*kept, f"data={shared / 'data'}", *SMALL, "book.n_positions=200").folder()


@pytest.mark.slow
def test_commands_on_own_files_run(
    command: Command, write_prices: Command, write_positions: Command, tmp_path: Path
) -> None:
    rows = [("alice", "WETH", 10.0, 0.0), ("alice", "USDC", 0.0, 20_000.0)]
    write_positions(tmp_path / "book.csv", rows)
    write_prices(tmp_path / "prices.parquet")
    write_prices(
        tmp_path / "ETHUSDT-1m.csv",
        lambda t: t[t["symbol"] == "ETHUSD"].assign(
            timestamp=lambda it: it["timestamp"] + pd.Timedelta(days=96)
        ),
    )
    ran = 0
    for arguments in COMMANDS:
        if any(item.startswith(("prices=", "positions=")) for item in arguments):
            kept = [item for item in arguments if not item.startswith("hours=")]
            command(*kept, *SMALL).folder()
            ran += 1
    assert ran == 3


def test_columns_are_those_of_the_tables(command: Command) -> None:
    folder = command(*SMALL, "book.n_positions=300", "hours=2").folder()
    for name in ("worlds", "series", "liquidations"):
        listed = README.split(f"**{name}**", 1)[1].split("|---|---|---|\n", 1)[1].split("\n\n")[0]
        documented = {
            column
            for line in listed.splitlines()
            for column in re.findall(r"`(\w+)`", line.split("|")[1])
        }
        columns = {
            re.sub(r"_(WETH|WBTC|USDC|DAI)$", "_X", column)
            for column in Store(folder).read(name).columns
        }
        assert columns == documented, name


def test_the_example_scenario(command: Command, own_parts: Path) -> None:
    (arguments,) = [a for a in COMMANDS if "scenario=fire_sale" in a]
    folder = command(
        *arguments, "worlds=2", "book.n_positions=200", "hours=2", "engine=serial",
        "price.volatility=0", "price.intensity=0", "record_every=1",
    ).folder()  # fmt: skip
    assert folder.name.startswith("fire_sale-2-")
    found = series(folder).query("world == 1")["fundamental_WETH"].to_numpy()
    np.testing.assert_allclose(found[:30], 2000.0)
    np.testing.assert_allclose(found[30:90], 1400.0)
    np.testing.assert_allclose(found[90:], 2000.0)


def test_the_example_agent(command: Command, own_parts: Path) -> None:
    (arguments,) = [a for a in COMMANDS if "+agent@cast.dip_buyer=dip_buyer" in a]
    small = ["worlds=2", "book.n_positions=200", "hours=0.5", "engine=serial", "scenario=calm",
             "price.volatility=0", "price.intensity=0", "record_every=1"]  # fmt: skip
    idle = series(command(*arguments, *small).folder())
    busy = series(command(*arguments, *small, "cast.dip_buyer.dip=-0.01").folder())
    assert (idle["price_WETH"] < 2000.1).all()  # 20% below the first price never comes
    assert busy["price_WETH"].max() > 2002.0  # always: it pushes the market up


def test_the_example_price_process(command: Command, own_parts: Path) -> None:
    (arguments,) = [a for a in COMMANDS if "price=ramp" in a]
    small = ["worlds=1", "book.n_positions=200", "hours=2", "engine=serial", "record_every=60"]
    found = series(command(*arguments, *small).folder())
    np.testing.assert_allclose(found["fundamental_WETH"], [2000.0, 2000.0 - 1000.0 / 12.0])


def test_the_example_protocol(own_parts: Path) -> None:
    from experiments.build import build_model
    from sim.actions import Reject, Verb, new_rows

    with initialize_config_module("conf", version_base=None):
        paths = f"hydra.searchpath=[file://{own_parts / 'mine'}]"
        composed = compose("stress", [paths, "+pool@pools.peg=peg", "book.n_positions=100"])
        config: Any = OmegaConf.to_container(composed, resolve=True)
    model = build_model(config, 0, 0, 2)
    world = model.world
    pool, balances = world.venues["peg"], world.ledger.balances
    usdc, dai = world.asset_index("USDC"), world.asset_index("DAI")
    who = model.members["arbitrageur_large"].account
    before = balances[:, who, dai].copy()
    rows = new_rows(3)
    rows["world"], rows["account"], rows["verb"] = [0, 0, 1], who, Verb.SWAP
    rows["asset"], rows["asset_2"], rows["amount"] = usdc, [dai, usdc, dai], [1000.0, 5.0, 2e7]
    ends = np.array([2, 3])
    pool.execute(rows, np.arange(3), np.array([0, 2]), ends)
    assert rows["code"].tolist() == [
        Reject.OK, Reject.BAD_ASSET, Reject.INSUFFICIENT_LIQUIDITY,
    ]  # fmt: skip
    np.testing.assert_allclose(balances[:, who, dai] - before, [999.9, 0.0])
    np.testing.assert_allclose(balances[:, pool.account], pool.claims())
    world.check()
    model.step()
    model.close()


def test_an_edited_part_is_another_run(command: Command, own_parts: Path) -> None:
    small = ["worlds=1", "book.n_positions=100", "hours=0.1", "engine=serial"]
    arguments = [*OWN, "price=ramp", "scenario=calm", *small]
    before = command(*arguments).folder()
    source = own_parts / "ramp.py"
    source.write_text(source.read_text() + "\n# edited\n")
    assert command(*arguments).folder() != before
