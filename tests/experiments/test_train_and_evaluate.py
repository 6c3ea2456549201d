"""The commands `experiments.train` and `experiments.evaluate`, up to the page."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.utils import instantiate
from omegaconf import OmegaConf

from agents.hedgers.delta import Delta
from agents.hedgers.hedger import Hedger
from agents.hedgers.learned import Learned
from experiments.evaluate import evaluate, hedgers_of, trained, write
from experiments.hedging.play import TEST, Setting, bound, play
from experiments.hedging.rows import merged, rows_of
from experiments.hedging.training import Algorithm
from experiments.train import train
from sim.errors import ConfigError, InputError

CONF = Path(__file__).resolve().parents[2] / "conf"
FEW = ["paths=400", "tuning_paths=200", "resamples=20", "progress=false"]
CLASSICAL = ("delta", "leland", "whalley_wilmott", "fixed_band", "static")
QUICK = ["algo.updates=4", "algo.batch=128", "algo.width=8", "algo.every=2", "paths=200",
         "progress=false"]  # fmt: skip


def names(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.fixture
def compose():
    """Factory: a resolved configuration of a command."""

    def build(command, *overrides):
        with initialize_config_module("conf", version_base=None):
            cfg = hydra_compose(command, list(overrides))
        return OmegaConf.to_container(cfg, resolve=True)

    return build


@pytest.fixture
def model(compose, tmp_path):
    """Folder of a policy that was trained for a moment."""
    pytest.importorskip("torch", reason="torch, which trains policies, is not installed")
    (session,) = train(compose("train", *QUICK), tmp_path / "trained")
    return session.folder


# -- files of conf ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names("hedger"))
def test_a_file_of_hedgers_makes_one(name, compose):
    if name == "learned":
        with pytest.raises(Exception, match="no model at nowhere"):
            instantiate({"_target_": "agents.hedgers.learned.Learned", "path": "nowhere"})
        return
    config = compose("evaluate", f"+hedger@hedgers.mine={name}")
    made = instantiate(config["hedgers"]["mine"])
    assert isinstance(made, Hedger)
    assert made.title
    with pytest.raises(Exception, match="colour"):
        instantiate({**config["hedgers"]["mine"], "colour": "red"})


@pytest.mark.parametrize("name", names("algo"))
def test_a_file_of_algorithms_makes_one(name, compose):
    described = compose("train", f"algo={name}")["algo"]
    made = instantiate(described)
    assert isinstance(made, Algorithm)
    assert made.name == name
    with pytest.raises(Exception, match="colour"):
        instantiate({**described, "colour": "red"})


@pytest.mark.parametrize("name", names("study"))
def test_every_row_of_a_study_is_an_environment(name, compose, request):
    data = []
    if name == "deribit_btc":
        data = [f"data={request.getfixturevalue('shared') / 'data'}"]
    rows = rows_of(compose("evaluate", f"study={name}", *data))
    assert len({row.title for row in rows}) == len(rows) >= 2
    for row in rows:
        assert isinstance(Setting.made(row.env), Setting)
        for other in (row.training, row.tuning):
            assert other is None or isinstance(Setting.made(other), Setting)


def test_rows_say_where_their_policies_come_from(compose):
    """Trained without a margin; scalars tuned where policies train, with the margin."""
    config = compose("evaluate", "study=deribit_btc", "data=tables")
    rows = {row.key: row for row in rows_of(config)}
    sources = {"simulated": "svcj", "real": "bootstrap", "real_from_simulation": "svcj"}
    for key, source in sources.items():
        row = rows[key]
        market = {**config["study"]["envs"][source]["market"]}
        assert row.training["market"]["_target_"] == market["_target_"]
        assert row.training["terms"]["life"]["collateral"] == math.inf
        assert row.tuning["terms"]["life"] == row.env["terms"]["life"]
        assert ("mark" in row.tuning["terms"]) == (source == "svcj")
    assert rows["real"].training["market"]["index"]["process"]["data"] == "tables"
    dates = rows["real"].training["market"]["index"]["process"]["end"]
    assert dates < rows["real"].env["market"]["process"]["start"]
    assert rows["real_from_simulation"].policies == "simulated"
    assert rows["real"].env == rows["real_from_simulation"].env


@pytest.mark.slow
def test_the_harder_study_runs_on_the_simulation_and_on_real_prices(compose, tmp_path, shared):
    changed = [
        "study=deribit_btc", f"data={shared / 'data'}", "study.rows.simulated.algo.updates=2",
        "study.rows.real.algo.updates=2", "algo.batch=64", "algo.width=8",
        f"out={tmp_path}", "progress=false",
    ]  # fmt: skip
    config = compose("train", *changed, "seeds=1", "paths=200")
    sessions = train(config, tmp_path)
    assert len(sessions) == 2
    config = compose(
        "evaluate", *changed, f"models={tmp_path}", "paths=300", "tuning_paths=200", "resamples=20",
        "hedgers.leland=null", "hedgers.whalley_wilmott=null", "hedgers.static=null",
        "study.hedgers.svcj=null", "study.hedgers.replay=null",
    )  # fmt: skip
    contests = evaluate(config)
    assert set(contests) == {"simulated", "real", "real_from_simulation"}
    figures = {key: it.summary["hedgers"] for key, it in contests.items()}
    numbers = {key: it["fixed_band"]["told"] for key, it in figures.items()}
    assert numbers["simulated"] == numbers["real_from_simulation"] != numbers["real"]
    delta = {key: it["delta"]["statistics"]["objective"] for key, it in figures.items()}
    assert delta["real"] == delta["real_from_simulation"] != delta["simulated"]
    learned = [it["pathwise_seed_0"]["statistics"]["mean"] for it in figures.values()]
    assert len(set(learned)) == 3
    html = write(contests, config, tmp_path / "page", ["study=deribit_btc"]).read_text()
    assert "What costs are made of" in html
    assert "published agent" not in html


def test_the_published_figures_are_those_of_the_vectors(compose):
    path = CONF.parents[1] / "shared" / "vectors" / "hedging.json"
    if not path.exists():
        pytest.skip("../shared/vectors is not here")
    known = json.loads(path.read_text())["cao_2021"]
    rows = rows_of(compose("evaluate", "study=cao_2021"))
    assert len(rows) == 16
    for row, entry in zip(rows, known["gbm"] + known["sabr"], strict=True):
        found, contract = entry.get("rerun", entry), row.env["terms"]["contract"]
        assert contract["n_steps"] * contract["days_per_step"] == found["ttm_days"]
        theirs = {"delta": found.get("bs_delta", found.get("practitioner_delta"))}
        if "bartlett_delta" in found:
            theirs["bartlett"] = found["bartlett_delta"]
        ours = dict(row.quoted)
        assert set(ours) == set(theirs)
        for name, it in {"agent": found["rl_ddpg"], **theirs}.items():
            quoted = row.published if name == "agent" else ours[name]
            assert quoted == {"mean": it["mean"], "sd": it["sd"], "y": it["Y"]}


def test_bartletts_delta_costs_what_the_authors_found(compose):
    """Theirs are 100,000 paths, ours 20,000: four standard errors; less noise in the difference."""
    rows = {row.key: row for row in rows_of(compose("evaluate", "study=cao_2021"))}
    row = rows["sabr_one_month_daily"]
    setting = Setting.made(row.env)
    hedger = instantiate(row.hedgers["bartlett"])
    theirs = row.quoted["bartlett"]
    cost = 100.0 * play(setting, bound(hedger, setting), 1, TEST, 20_000).cost
    plain = 100.0 * play(setting, bound(Delta(), setting), 1, TEST, 20_000).cost
    error = theirs["sd"] * (1.0 / 20_000 + 1.0 / 100_000) ** 0.5
    kurtosis = ((cost - cost.mean()) ** 4).mean() / cost.var() ** 2
    spread = error * ((kurtosis - 1.0) / 4.0) ** 0.5
    assert abs(cost.mean() - theirs["mean"]) < 4.0 * error
    assert abs(cost.std() - theirs["sd"]) < 4.0 * spread
    apart = theirs["sd"] - row.quoted["delta"]["sd"]
    assert cost.std() - plain.std() == pytest.approx(apart, abs=0.25)


# -- commands --------------------------------------------------------------------------------------


def test_training_then_judging_ends_in_a_page(model, shell, tmp_path):
    ended = shell("-m", "experiments.evaluate", f"model={model}", *FEW, "name=mine")
    assert ended.code == 0, ended.err
    report = Path(ended.out.splitlines()[-1])
    assert report == tmp_path / "results" / "mine" / "report.html"
    page = report.read_text()
    for word in ("Whalley-Wilmott", "CVaR 99", "turnover", "Test path", "margin calls"):
        assert word in page
    summary = json.loads((report.parent / "summary.json").read_text())
    assert summary["paths"] == 400
    assert summary["best"] in ("fixed_band", "whalley_wilmott")
    costs = pd.read_parquet(report.parent / "costs.parquet")
    assert list(costs) == list(summary["hedgers"])
    assert "learned" in costs
    for name, it in summary["hedgers"].items():
        assert it["statistics"]["mean"] == pytest.approx(100.0 * costs[name].mean())
    assert summary["hedgers"]["learned"]["told"] == "pathwise, seed 0"


def test_training_is_a_command_that_goes_on(shell, tmp_path):
    pytest.importorskip("torch", reason="torch, which trains policies, is not installed")
    ended = shell("-m", "experiments.train", *QUICK, "accumulated_cost=false")
    assert ended.code == 0, ended.err
    place = tmp_path / "results" / "cao_2021-pathwise-no_cost"
    about = json.loads((place / "model" / "model.json").read_text())
    assert about["environment"]["fields"] == ["moneyness", "time_left", "holding", "delta"]
    before = (place / "training.json").read_text()
    again = shell("-m", "experiments.train", *QUICK, "accumulated_cost=false")
    assert again.code == 0, again.err
    assert (place / "training.json").read_text() == before
    refused = shell("-m", "experiments.train", *QUICK, "accumulated_cost=false", "seed=1")
    assert refused.code == 2
    assert "holds a training with other settings" in refused.err
    assert "Traceback" not in refused.err


@pytest.fixture
def two_rows(compose):
    """Overrides that leave a study one row of each environment."""
    rows = compose("evaluate", "study=cao_2021")["study"]["rows"]
    kept = ("one_month_every_5_days", "sabr_one_month_every_5_days")
    return ["study=cao_2021", *(f"study.rows.{row}=null" for row in rows if row not in kept)]


def test_a_study_trains_and_judges_row_by_row(compose, tmp_path, two_rows):
    pytest.importorskip("torch", reason="torch, which trains policies, is not installed")
    sessions = train(compose("train", *QUICK, *two_rows, "seeds=2"), tmp_path / "trained")
    assert [it.folder.name for it in sessions] == ["seed_0", "seed_1"] * 4
    assert [it.folder.parent.name for it in sessions[::2]] == ["cost_seen", "cost_unseen"] * 2
    config = compose("evaluate", *FEW, *two_rows, f"models={tmp_path / 'trained'}")
    contests = evaluate(config)
    report = write(contests, config, tmp_path / "table", ["study=cao_2021"])
    page = report.read_text()
    for word in ("one month, weekly", "Bartlett", "Where it fails", "CPU seconds", "cost unseen"):
        assert word in page
    rows = json.loads((tmp_path / "table" / "summary.json").read_text())["rows"]
    assert ["bartlett" in row["classical"] for row in rows.values()] == [False, True]
    for row in rows.values():
        assert set(row["learned"]) == {
            f"{variant}_seed_{i}" for variant in ("cost_seen", "cost_unseen") for i in (0, 1)
        }
        for it in row["learned"].values():
            noise = 0.5 * 2.0**0.5 * (it["interval"][1] - it["interval"][0])
            below = it["figure"] + noise < row["published"]
            assert it["beats"] == (it["difference"]["high_95"] < 0.0 and below)
            assert it["trained"]["seconds"] > 0.0
    blind = Learned(path=str(sessions[2].model)).model.environment["fields"]
    assert "cost" not in blind


def test_one_command_trains_what_is_missing_and_judges(shell, tmp_path, two_rows):
    pytest.importorskip("torch", reason="torch, which trains policies, is not installed")
    command = ["-m", "experiments.evaluate", *two_rows, *FEW, *QUICK[:4], "training.paths=200",
               "training.seeds=1", "study.rows.sabr_one_month_every_5_days=null"]  # fmt: skip
    ended = shell(*command)
    assert ended.code == 0, ended.err
    trained = tmp_path / "results" / "study-cao_2021-pathwise" / "one_month_every_5_days"
    logs = sorted(trained.glob("*/seed_0/training.json"))
    assert [path.parent.parent.name for path in logs] == ["cost_seen", "cost_unseen"]
    before = [path.read_text() for path in logs]
    summary = tmp_path / "results" / "study-cao_2021-evaluation" / "summary.json"
    (row,) = json.loads(summary.read_text())["rows"].values()
    assert set(row["learned"]) == {"cost_seen_seed_0", "cost_unseen_seed_0"}
    assert shell(*command).code == 0
    assert [path.read_text() for path in logs] == before


def test_a_study_without_policies_shows_the_classical_hedges(compose, tmp_path, two_rows):
    config = compose("evaluate", *two_rows, *FEW, "training=null")
    assert trained(config, {}) == config
    report = write(evaluate(config), config, tmp_path, [])
    assert "No trained policy was given" in report.read_text()
    assert "not found on these paths" in report.read_text().lower()


def test_policies_that_see_other_fields_face_the_same_paths(compose, tmp_path, model):
    (blind,) = train(compose("train", *QUICK, "accumulated_cost=false"), tmp_path / "blind")
    config = compose(
        "evaluate",
        *FEW,
        f"+models.one={model}",
        f"+models.two={blind.folder}",
        "hedgers.leland=null",
    )
    contest = evaluate(config)[""]
    assert list(contest.costs) == ["delta", "whalley_wilmott", "fixed_band", "static", "one", "two"]
    alone = compose("evaluate", *FEW)
    again = evaluate(alone)[""]
    assert (contest.costs["delta"] == again.costs["delta"]).all()
    assert np.isfinite(contest.final).all()
    assert contest.final.shape == (400,)


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["paths=10"], "paths must be a whole number of at least 200, got 10"),
        (["+colour=red"], "unknown parameter colour"),
        ([f"hedgers.{name}=null" for name in CLASSICAL], "hedgers must keep a classical hedger"),
        (["model=nowhere"], "no model at nowhere"),
        (["study=cao_2021", "model=x"], "give models=DIR"),
        (["models=folder"], "models must map names to folders"),
        (["study=cao_2021", "+study.rows.one_month_daily.color=red"], "got color"),
        (["study=cao_2021", "study.rows.one_month_daily.env=moon"], "must be one of study.envs"),
        (["study=cao_2021", "study.figure=beauty"], "study.figure must be y, price or cvar_95"),
        (["study=deribit_btc"], "study.rows.real plays recorded prices .* give data=DIR, or leave"),
        (["env=deribit_btc_replay"], "env plays recorded prices .* give data=DIR$"),
        (
            ["study=deribit_btc", "data=x", "study.rows.real_from_simulation.policies=moon"],
            "must be a row of the study with policies of its own, got 'moon'",
        ),
        (["study=deribit_btc", "data=x", "+study.rows.simulated.trained_on.seed=1"], "got seed"),
    ],
)
def test_bad_input_to_evaluate_is_one_sentence(overrides, said, compose):
    with pytest.raises((ConfigError, InputError), match=said):
        evaluate(compose("evaluate", *FEW, *overrides))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["seeds=0"], "seeds must be a whole number of at least 1, got 0"),
        (["algo.updates=-1"], "updates must be a whole number"),
        (["env.terms.life.collateral=1.0"], "collateral"),
        (["study=cao_2021", "accumulated_cost=false"], "study.variants.cost_seen=null"),
        (["algo=ppo", "algo.algorithm=dqn"], "algorithm must be one of ppo"),
    ],
)
def test_bad_input_to_train_is_one_sentence(overrides, said, compose, tmp_path):
    with pytest.raises(Exception, match=said):
        train(compose("train", *overrides), tmp_path)


def test_a_model_may_not_take_the_name_of_a_hedger(compose, model):
    config = compose("evaluate", *FEW, f"+models.delta={model}")
    with pytest.raises(ConfigError, match=r"models\.delta has the name of another hedger"):
        hedgers_of(config, rows_of(config)[0])


def test_a_description_is_changed_key_by_key():
    base = {"a": {"_target_": "x", "b": 1, "c": 2}, "d": 3}
    assert merged(base, {"a": {"b": 5}}) == {"a": {"_target_": "x", "b": 5, "c": 2}, "d": 3}
    assert merged(base, {"a": {"_target_": "y"}})["a"] == {"_target_": "y"}
    assert base["a"]["b"] == 1


def test_a_learned_hedger_is_made_from_a_folder(model):
    assert Learned(path=str(model / "model")).told == "pathwise, seed 0"
