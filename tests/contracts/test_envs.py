"""Every file of conf/env: Gymnasium's and Stable-Baselines3's checks, seeds, bounds, pictures."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs  # noqa: F401 - registers
from envs.registration import vector_env

ID = "faultline/OptionHedging-v0"
RECORDED = {
    "deribit_btc_bootstrap": lambda data: {"index": {"process": {"data": data}}},
    "deribit_btc_replay": lambda data: {"process": {"data": data}, "record": {"data": data}},
}


@pytest.fixture
def wants(env, request):
    """What a file needs from outside: the folder of tables, or nothing."""
    if env not in RECORDED:
        return {}
    return {"market": RECORDED[env](str(request.getfixturevalue("shared") / "data"))}


def test_gymnasium_and_stable_baselines_find_no_fault(env, wants, capsys):
    made = gymnasium.make(ID, config=env, render_mode="rgb_array", **wants).unwrapped
    check_env(made)
    capsys.readouterr()  # it draws into the terminal, too
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(gymnasium.make(ID, config=env, **wants).unwrapped)


def test_a_picture_changes_with_the_episode(env, wants):
    made = gymnasium.make(ID, config=env, render_mode="rgb_array", **wants)
    made.reset(seed=0)
    first = made.render()
    made.step(np.zeros(made.action_space.shape, np.float32))
    second = made.render()
    assert first.shape == second.shape == (480, 640, 3)
    assert first.dtype == np.uint8
    assert np.any(first != second)


def test_worlds_have_their_own_paths_and_batches_do_not_matter(env, wants):
    whole, part = (
        vector_env(9, config=env, **wants),
        vector_env(4, config=env, first_world=3, **wants),
    )
    rng = np.random.default_rng(0)
    a, _ = whole.reset(seed=3)
    b, _ = part.reset(seed=3)
    n_steps = whole.terms.contract.n_steps
    for t in range(n_steps + 3):
        np.testing.assert_array_equal(a[3:7], b, err_msg=f"step {t}")
        assert whole.observation_space.contains(a)
        action = rng.uniform(-1, 1, whole.action_space.shape)
        a, reward, *_ = whole.step(action)
        b, other, *_ = part.step(action[3:7])
        assert np.all(np.isfinite(reward))
        np.testing.assert_array_equal(reward[3:7], other)
        if t == 2:
            assert len(np.unique(whole.state.price)) == 9
    assert whole.state.episode.max() >= 1


def test_an_episode_ends_with_figures(env, wants):
    made = vector_env(6, config=env, **wants)
    made.reset(seed=1)
    seen = np.zeros(6, bool)
    for _ in range(made.terms.contract.n_steps):
        *_, terminated, truncated, info = made.step(np.zeros(made.action_space.shape))
        seen |= terminated | truncated
    assert seen.all()
    assert np.all(np.isfinite(info["cost"]))
