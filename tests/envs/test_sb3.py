"""The adapter to Stable-Baselines3."""

import numpy as np
import pytest

from envs.hedging.terms import Contract, Costs, Mark
from sim.errors import ConfigError, InputError

sb3 = pytest.importorskip("envs.hedging.sb3", exc_type=ConfigError)


@pytest.fixture
def pair(make):
    def build(n=6, **terms):
        terms.setdefault("contract", Contract(n_steps=3))
        made = [
            make(n, mark=Mark(volatility=0.6), autoreset_mode="SameStep", **terms) for _ in range(2)
        ]
        return sb3.HedgingVecEnv(made[0]), made[1]

    return build


def test_it_tells_what_the_native_one_tells(pair):
    env, native = pair()
    env.seed(4)
    np.testing.assert_array_equal(env.reset(), native.reset(seed=4)[0])
    rng = np.random.default_rng(0)
    for t in range(7):
        action = rng.uniform(-1, 1, (6, 2))
        observation, reward, done, infos = env.step(action)
        seen, worth, ended, _, info = native.step(action)
        np.testing.assert_array_equal(observation, seen)
        np.testing.assert_array_equal(reward, worth.astype(np.float32))
        assert done.all() == ended.all() == (t % 3 == 2)
        assert done.any() == done.all()
        if not done.any():
            assert infos == [{}] * 6
            continue
        for w in range(6):
            np.testing.assert_array_equal(infos[w]["terminal_observation"], info["final_obs"][w])
            assert infos[w]["cost"] == info["cost"][w]
            assert infos[w]["TimeLimit.truncated"] is False


def test_what_is_cut_off_says_so(pair):
    long = Contract(n_steps=1, expiry_steps=4)
    env, _ = pair(contract=long, costs=Costs(unwind=False))
    env.reset()
    *_, done, infos = env.step(np.zeros((6, 2)))
    assert done.all()
    assert all(info["TimeLimit.truncated"] for info in infos)


def test_it_refuses_other_reset_modes_and_settings(make, pair):
    with pytest.raises(ConfigError, match="autoreset_mode SameStep, not NextStep"):
        sb3.HedgingVecEnv(make(2, mark=Mark(volatility=0.6)))
    env, _ = pair()
    with pytest.raises(InputError, match="worlds share their terms: terms cannot be set"):
        env.set_attr("terms", None)
    assert env.get_attr("render_mode", [0, 2]) == [None, None]
    assert env.env_is_wrapped(object) == [False] * 6


def test_ppo_learns_with_a_reward_that_is_tuned(pair):
    from stable_baselines3 import PPO

    env, _ = pair(64)
    model = PPO("MlpPolicy", env, n_steps=6, batch_size=64, n_epochs=1, device="cpu", seed=0)
    watch = sb3.TuneReward(env, memory=0.5, fewest=100)
    model.learn(64 * 12, callback=watch)
    assert watch.mean != 1.0
    assert env.native.record["mean"][0] == watch.mean
    assert env.native.record["weight"][0] == pytest.approx(1.5 / (2.0 * watch.sd))
