"""Training by rewards: what is kept is what the library does, and it goes on where it stopped."""

import json
from dataclasses import replace

import numpy as np
import pytest

from agents.hedgers.model_file import load
from agents.hedgers.network import Network
from envs.hedging.terms import Reward
from experiments.hedging.reinforcement import FEWEST, Reinforcement, adapter
from experiments.hedging.replay import (
    ARRAYS,
    PATHS,
    contents,
    costs_of,
    potential,
    refill,
    relabel,
)
from experiments.hedging.training import Session
from sim.errors import ConfigError, InputError

pytest.importorskip("torch", reason="torch, which trains policies, is not installed")
for library in ("stable_baselines3", "sb3_contrib"):
    pytest.importorskip(library, reason=f"{library}, which trains policies, is not installed")

OFF = {"activation": "relu", "settings": {
    "batch_size": 32, "buffer_size": 4000, "learning_starts": 64, "train_freq": 1,
    "gradient_steps": 1,
}}  # fmt: skip
SMALL = {
    "ppo": {"algorithm": "ppo", "settings": {"batch_size": 1280, "n_epochs": 2}},
    "sac": {"algorithm": "sac", **OFF},
    "td3": {"algorithm": "td3", "noise": 0.1, **OFF},
    "tqc": {"algorithm": "tqc", "policy": {"n_quantiles": 5}, **OFF},
}


def made(name, **more):
    size = {"steps": 2560 if name == "ppo" else 640, "worlds": 64, "width": 8, "validations": 2}
    return Reinforcement(**{**SMALL[name], **size, **more})


def session(cao, folder, algorithm, **more):
    return Session(cao, 0, folder, 300, algorithm.about(), shown=False, **more)


@pytest.mark.parametrize("name", SMALL)
def test_the_kept_network_does_what_the_library_does(name, cao, torch, tmp_path):
    algorithm = made(name)
    env = adapter(cao.worlds(64, 0, mode="SameStep"))
    model = algorithm._model(torch, env, session(cao, tmp_path, algorithm), 0)
    x = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    x[:, 1] = np.abs(x[:, 1]) % 1.0
    expected, _ = model.predict(x, deterministic=True)
    np.testing.assert_allclose(algorithm.network(model)(x), expected, atol=1e-6)


@pytest.mark.parametrize("name", SMALL)
def test_training_writes_a_model_and_a_log(name, cao, tmp_path):
    algorithm = made(name)
    it = session(cao, tmp_path, algorithm)
    algorithm.train(it)
    assert it.finished
    assert it.log[-1]["steps"] >= algorithm.steps
    model = load(it.model)
    assert model.trained["algorithm"] == name
    assert model.trained["validation"] == min(entry["validation"] for entry in it.log)


def test_the_reward_is_estimated_again_from_what_episodes_cost(cao, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "envs.hedging.vector.OptionHedgingVectorEnv.tune_reward",
        lambda _, **values: seen.append(values),
    )
    algorithm = made("ppo", steps=4 * 20 * FEWEST, worlds=FEWEST)
    algorithm.train(session(cao, tmp_path, algorithm))
    reward = cao.terms.reward
    assert seen[0] == {"mean": reward.mean, "sd": reward.sd}
    assert len(seen) == 5
    assert set(seen[-1]) == {"mean", "sd", "level"}
    # a narrow band at delta costs about 1.0 with an sd of 0.4: the estimate moves a fifth each time
    assert seen[0]["mean"] < seen[1]["mean"] < seen[2]["mean"] < 1.2


@pytest.mark.parametrize("name", SMALL)
def test_a_stopped_training_goes_on(name, cao, torch, tmp_path, monkeypatch):
    algorithm = made(name, steps=2560, validations=2)
    real = Session.judge

    def stop(self, network, name, steps):
        worth = real(self, network, name, steps)
        if steps >= 2560:
            raise KeyboardInterrupt
        return worth

    with monkeypatch.context() as patch:
        patch.setattr(Session, "judge", stop)
        with pytest.raises(KeyboardInterrupt):
            algorithm.train(session(cao, tmp_path, algorithm))
    kept = torch.load(tmp_path / "state.pt", weights_only=True)
    rest = session(cao, tmp_path, algorithm)
    assert not rest.finished
    (entry,) = rest.log
    assert entry["steps"] == kept["steps"] == 1280
    if name != "ppo":
        assert len(kept["buffer"]["rewards"]) == 1280 // 64  # all steps that were played
    algorithm.train(rest)
    assert rest.finished
    assert [entry["steps"] for entry in rest.log] == [1280, 2560]
    assert json.loads((tmp_path / "training.json").read_text())["finished"]
    ended = torch.load(tmp_path / "state.pt", weights_only=True)
    assert "buffer" not in ended
    assert ended["updates"] > kept["updates"]
    assert kept["updates"] > 0 or name == "ppo"  # which judges a rollout before it learns from it


def test_a_buffer_is_put_back_as_it_was(cao, torch, tmp_path):
    algorithm = made("sac")
    it = session(cao, tmp_path, algorithm)
    env = adapter(cao.worlds(64, 0, mode="SameStep"))
    model = algorithm._model(torch, env, it, 0)
    model.learn(1280)
    held = contents(torch, model.replay_buffer)
    other = algorithm._model(torch, env, it, 0)
    refill(other.replay_buffer, held)
    assert other.replay_buffer.size() == model.replay_buffer.size() == 20
    for name in ARRAYS:
        before, after = (getattr(x.replay_buffer, name) for x in (model, other))
        assert (before == after).all()
    with pytest.raises(InputError, match="is not that of this training"):
        refill(
            made("sac", settings={"buffer_size": 64})._model(torch, env, it, 0).replay_buffer, held
        )


@pytest.mark.parametrize("kind", ["telescoping", "cvar"])
def test_kept_rewards_are_those_of_new_estimates(kind, cao, torch, tmp_path):
    terms = replace(cao.terms, reward=replace(cao.terms.reward, kind=kind, alpha=0.5))
    setting = replace(cao, terms=terms)
    algorithm, rewards = made("sac"), []
    new = {"mean": 0.9, "sd": 0.7, "level": 0.4}
    for estimates in ({}, new):  # the same steps, played under either
        native = setting.worlds(64, 0, mode="SameStep")
        native.tune_reward(**estimates)
        model = algorithm._model(torch, adapter(native), session(setting, tmp_path, algorithm), 0)
        model.learning_starts = 10_000
        model.learn(1920)
        rewards.append(model.replay_buffer.rewards[:30].copy())
        if not estimates:
            relabel(model.replay_buffer, terms.reward, new, native.fields.index("cost"))
            changed = model.replay_buffer.rewards[:30].copy()
    assert np.abs(rewards[0] - rewards[1]).max() > 0.01
    np.testing.assert_allclose(changed, rewards[1], atol=2e-5)  # of float32 costs up to about 10


def test_estimates_without_a_reward_that_needs_them_change_nothing(cao):
    assert potential(Reward(kind="pnl"), {"mean": 0.0, "sd": 1.0}, np.ones(3)) is None


def test_off_policy_estimates_are_of_the_policys_mean(cao, tmp_path, monkeypatch):
    asked = []

    def constant(setting, network, seed, number):
        asked.append(number)
        return np.array([0.5, 1.5] * 8)

    monkeypatch.setattr("experiments.hedging.reinforcement.costs_of", constant)
    algorithm = made("sac", steps=3 * 20 * 64, memory=0.5)
    it = session(cao, tmp_path, algorithm)
    native = cao.worlds(64, 0, mode="SameStep")
    monkeypatch.setattr(type(it.setting), "worlds", lambda *_, **__: native)
    monkeypatch.setattr(Session, "judge", lambda *_: 0.0)
    algorithm.train(it)
    assert asked == [1, 2, 3]
    reward = cao.terms.reward  # an eighth of its own, after three halves
    assert native.record["mean"][0] == pytest.approx(0.875 * 1.0 + 0.125 * reward.mean)
    assert native.record["weight"][0] == pytest.approx(
        0.5 * reward.k / (0.875 * 0.5 + 0.125 * reward.sd)
    )


def test_a_policy_that_does_not_see_what_was_lost_is_trained_off_policy_too(cao, tmp_path):
    algorithm = made("td3", steps=2 * 20 * 64)
    it = session(cao.without("cost"), tmp_path, algorithm)
    algorithm.train(it)
    assert load(it.model).network.n_inputs == 4


def test_each_estimate_has_paths_of_its_own(cao):
    rng = np.random.default_rng(0)
    network = Network(
        [rng.normal(size=(2, 5)).astype(np.float32)], [np.zeros(2, np.float32)], "relu", "tanh"
    )
    first, second = (costs_of(cao, network, 0, number) for number in (1, 2))
    assert len(first) == len(second) == PATHS
    assert not np.isin(first, second).any()
    assert (first == costs_of(cao, network, 0, 1)).all()


def test_a_damaged_state_and_wrong_settings_are_one_sentence(cao, tmp_path):
    algorithm = made("ppo", validations=1)
    it = session(cao, tmp_path, algorithm)
    algorithm.train(it)
    (tmp_path / "state.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match="is no state of this training"):
        algorithm.train(session(cao, tmp_path, algorithm))
    wrong = made("ppo", settings={"colour": 1})
    with pytest.raises(ConfigError, match=r"algo\.settings or algo\.policy: .*colour"):
        wrong.train(session(cao, tmp_path / "other", wrong))
    wrong = made("sac", policy={"colour": 1})
    with pytest.raises(ConfigError, match=r"algo\.settings or algo\.policy: .*colour"):
        wrong.train(session(cao, tmp_path / "another", wrong))
    with pytest.raises(ConfigError, match="algorithm must be one of ppo, sac, td3, tqc"):
        Reinforcement(algorithm="dqn")
    with pytest.raises(ConfigError, match="worlds must be a whole number"):
        Reinforcement(worlds=0)
    with pytest.raises(ConfigError, match="noise is for sac, td3, tqc: ppo explores by its own"):
        Reinforcement(noise=0.1)
