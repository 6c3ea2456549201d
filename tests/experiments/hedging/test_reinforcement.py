"""Training by rewards: what is kept is what the library does, and it goes on where it stopped."""

import json

import numpy as np
import pytest

from agents.hedgers.model_file import load
from experiments.hedging.reinforcement import FEWEST, Reinforcement, adapter
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
    "td3": {"algorithm": "td3", **OFF},
    "tqc": {"algorithm": "tqc", **OFF},
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


def test_a_stopped_training_goes_on(cao, tmp_path, monkeypatch):
    algorithm = made("ppo", validations=2)
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
    rest = session(cao, tmp_path, algorithm)
    assert not rest.finished
    (entry,) = rest.log
    assert entry["steps"] == 1280
    algorithm.train(rest)
    assert rest.finished
    assert [entry["steps"] for entry in rest.log] == [1280, 2560]
    assert json.loads((tmp_path / "training.json").read_text())["finished"]


def test_a_damaged_state_and_wrong_settings_are_one_sentence(cao, tmp_path):
    algorithm = made("ppo", validations=1)
    it = session(cao, tmp_path, algorithm)
    algorithm.train(it)
    (tmp_path / "state.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match="is no state of this training"):
        algorithm.train(session(cao, tmp_path, algorithm))
    wrong = made("ppo", settings={"colour": 1})
    with pytest.raises(ConfigError, match=r"algo\.settings: .*colour"):
        wrong.train(session(cao, tmp_path / "other", wrong))
    with pytest.raises(ConfigError, match="algorithm must be one of ppo, sac, td3, tqc"):
        Reinforcement(algorithm="dqn")
    with pytest.raises(ConfigError, match="worlds must be a whole number"):
        Reinforcement(worlds=0)
