"""Gymnasium's rules: seeds, batches, the three reset modes, what ends an episode, bad input."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from envs.hedging.observe import FIELDS
from envs.hedging.terms import Action, Clients, Contract, Costs, Life, Listed, Mark, Reward
from envs.hedging.vector import OptionHedgingVectorEnv
from envs.registration import single_env, vector_env
from sim.errors import ConfigError, InputError

ROOT = Path(__file__).resolve().parents[2]
RICH = {
    "contract": Contract(n_steps=6),
    "mark": Mark(volatility=0.6),
    "clients": Clients(per_step=0.7, expiry_steps=4),
    "listed": Listed(enabled=True, expiry_steps=5),
    "life": Life(outage_per_step=0.2, outage_steps=2.0, stale_per_step=0.2, collateral=0.4),
    "observation": dict.fromkeys(FIELDS, True),
}


def play(env, n_steps, worlds, seed=7):
    """Every number that an environment gives, with actions that each world has for itself."""
    told = [env.reset(seed=seed)[0]]
    rngs = [np.random.default_rng([9, w]) for w in worlds]
    shape = env.single_action_space.shape
    for _ in range(n_steps):
        action = np.array([rng.uniform(-1, 1, shape) for rng in rngs])
        observation, reward, terminated, truncated, _ = env.step(action)
        columns = (reward, terminated, truncated)
        told.append(np.column_stack([observation, *columns]))
    return told


def test_same_seed_same_trajectory_whatever_the_batch(make):
    whole = play(make(12, **RICH), 20, range(12))
    again = play(make(12, **RICH), 20, range(12))
    part = play(make(5, first_world=4, **RICH), 20, range(4, 9))
    for a, b, c in zip(whole, again, part, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a[4:9], c)
    other = play(make(12, **RICH), 20, range(12), seed=8)
    assert all(np.any(a != b) for a, b in zip(whole[1:], other[1:], strict=True))


def test_the_single_environment_is_a_world_of_the_batch():
    batch = vector_env(4, autoreset_mode="SameStep")
    env = single_env(world=3)
    rng = np.random.default_rng(0)
    wide, _ = batch.reset(seed=5)
    own, _ = env.reset(seed=5)
    np.testing.assert_array_equal(own, wide[3])
    for _ in range(2):
        for _ in range(20):
            action = rng.uniform(-1, 1, (4, 2)).astype(np.float32)
            wide, reward, ended, cut, info = batch.step(action)
            own, mine, over, _, told = env.step(action[3])
            assert (mine, over) == (reward[3], ended[3])
            assert not cut.any()
            if not over:
                np.testing.assert_array_equal(own, wide[3])
        assert over
        np.testing.assert_array_equal(own, info["final_obs"][3])
        assert told["cost"] == info["cost"][3] != 0.0
        own, _ = env.reset()
        np.testing.assert_array_equal(own, wide[3])


def test_next_step_resets_in_a_step_of_its_own(make):
    env = make(3, contract=Contract(n_steps=2), mark=Mark(volatility=0.6))
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    first, _ = env.reset(seed=1)
    env.step(np.zeros((3, 2)))
    last, _, ended, _, info = env.step(np.zeros((3, 2)))
    assert ended.all()
    assert np.all(last[:, env.fields.index("time_left")] == 0.0)
    assert np.all(info["_cost"])
    fresh, reward, ended, cut, info = env.step(np.full((3, 2), 0.9))
    assert not (reward.any())
    assert not (ended.any())
    assert not (cut.any())
    assert not info
    np.testing.assert_array_equal(fresh[:, 1:3], first[:, 1:3])
    assert np.all(env.state.episode == 1)
    assert np.all(env.state.t == 0)


def test_worlds_that_end_apart_reset_apart(make):
    """Liquidations put worlds out of step; the others must go on as if nothing happened."""
    terms = {**RICH, "life": Life(collateral=0.08, maintenance_margin=0.01, option_margin=0.05)}
    env = make(40, **terms)
    env.reset(seed=3)
    apart = 0
    for _ in range(30):
        waiting = env._waiting.copy()
        t = env.state.t.copy()
        _, reward, ended, cut, _ = env.step(np.zeros((40, 3)))
        np.testing.assert_array_equal(env.state.t, np.where(waiting, 0, t + 1))
        assert np.all(reward[waiting] == 0.0)
        assert not (ended | cut)[waiting].any()
        apart += int(0 < waiting.sum() < 40)
    assert apart > 5


def test_disabled_waits_for_a_mask(make):
    env = make(
        3, contract=Contract(n_steps=1), mark=Mark(volatility=0.6), autoreset_mode="Disabled"
    )
    env.reset(seed=1)
    last, *_ = env.step(np.zeros((3, 2)))
    with pytest.raises(InputError, match=r"the episode of world 0 has ended; reset it by"):
        env.step(np.zeros((3, 2)))
    mask = np.array([True, False, True])
    after, _ = env.reset(options={"reset_mask": mask})
    np.testing.assert_array_equal(after[1], last[1])
    assert np.all(after[mask, 1] == 1.0)
    assert env.state.episode.tolist() == [1, 0, 1]
    with pytest.raises(InputError, match="the episode of world 1 has ended"):
        env.step(np.zeros((3, 2)))


def test_what_is_left_open_is_truncated_and_what_is_closed_terminated(make):
    long = Contract(n_steps=2, expiry_steps=5)
    for costs, expected in ((Costs(unwind=False), "truncated"), (Costs(), "terminated")):
        env = make(2, contract=long, mark=Mark(volatility=0.6), costs=costs)
        env.reset(seed=0)
        env.step(np.zeros((2, 2)))
        _, _, terminated, truncated, _ = env.step(np.zeros((2, 2)))
        assert {"terminated": terminated.all(), "truncated": truncated.all()}[expected]
        assert not (terminated & truncated).any()


def test_a_new_seed_begins_anew_and_no_seed_goes_on(make):
    env = make(2, mark=Mark(volatility=0.6))
    env.reset(seed=4)
    path = env.market.path.copy()
    env.reset()
    assert np.all(env.state.episode == 1)
    assert np.any(env.market.path != path)
    env.reset(seed=4)
    np.testing.assert_array_equal(env.market.path, path)


# -- conformance ----------------------------------------------------------------------------------


def test_gymnasium_makes_both_by_name():
    env = gymnasium.make(
        "faultline/OptionHedging-v0", config="cao_2021", terms={"costs": {"proportional": 0.0}}
    )
    assert env.unwrapped.batch.terms.costs.proportional == 0.0
    wide = gymnasium.make_vec("faultline/OptionHedging-v0", num_envs=16)
    assert type(wide.unwrapped).__name__ == "OptionHedgingVectorEnv"
    observation, _ = wide.reset(seed=0)
    assert observation.shape == (16, 5)


def test_gymnasium_finds_no_fault():
    env = gymnasium.make("faultline/OptionHedging-v0", render_mode="rgb_array").unwrapped
    check_env(env)


def test_stable_baselines_finds_no_fault():
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(single_env())


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        ([[0.0, np.nan]] * 2, r"actions must lie in \[-1, 1\], got nan in world 0, number 1; clip"),
        ([[0.0, 0.0], [1.5, 0.0]], r"got 1.5 in world 1, number 0; clip or rescale them"),
        ([[0.0]] * 2, r"actions must have the shape \(2, 2\), got \(2, 1\)"),
    ],
)
def test_bad_actions(make, action, sentence):
    env = make(2, mark=Mark(volatility=0.6))
    env.reset(seed=0)
    with pytest.raises(InputError, match=sentence):
        env.step(action)


def test_step_before_reset(make):
    with pytest.raises(InputError, match="step was called before reset; call reset first"):
        make(2, mark=Mark(volatility=0.6)).step(np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda e: e.reset(options={"mask": 1}), "reset has no option 'mask'; its only one is"),
        (lambda e: e.reset(options={"reset_mask": [1, 0]}), "reset_mask must be 2 booleans"),
        (lambda e: e.reset(seed=[1, 2]), "seed must be one whole number"),
        (lambda e: e.tune_reward(k=1.0), "the reward takes finite mean, sd and level, got k=1.0"),
    ],
)  # fmt: skip
def test_bad_calls(make, call, sentence):
    with pytest.raises(InputError, match=sentence):
        call(make(2, mark=Mark(volatility=0.6)))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: vector_env(2, config="cao"), "unknown environment 'cao'; conf/env has .*cao_2021"),
        (lambda: vector_env(0), "num_envs must be a whole number of at least 1, got 0"),
        (lambda: vector_env(2, autoreset_mode="Never"), "autoreset_mode must be one of NextStep"),
        (lambda: vector_env(2, render_mode="ansi"), "render_mode must be human, rgb_array or None"),
        (
            lambda: vector_env(2, terms={"observation": {"gama": True}}),
            "observation has no field 'gama'; its fields are moneyness",
        ),
        (
            lambda: vector_env(2, terms={"costs": {"taker": 1}}),
            "terms.costs: there is no parameter taker; there are proportional, half_spread",
        ),
        (
            lambda: vector_env(2, terms={"contract": {"expiry_steps": 5}}),
            r"contract.expiry_steps \(5\) must not lie before the end of the episode",
        ),
        (
            lambda: vector_env(2, terms={"mark": {"volatility": None}}),
            "this market tells no volatility of its own: give mark.volatility",
        ),
        (lambda: Contract(n_steps=0), "n_steps must be a whole number of at least 1, got 0"),
        (lambda: Contract(expiry_steps=-3), "expiry_steps must be a whole number of at least 1"),
        (lambda: Action(kind="delta"), "kind must be one of band, target, trade, got 'delta'"),
        (lambda: Reward(kind="entropic", k=0.0), "reward.k must be above 0 for the entropic"),
        (lambda: Life(collateral=float("nan")), "collateral must lie in"),
    ],
)  # fmt: skip
def test_bad_terms(call, sentence):
    with pytest.raises(ConfigError, match=sentence):
        call()


def test_a_fresh_interpreter_makes_it_by_its_name():
    """Gymnasium reads no entry points since 1.0: an import registers, or the module in the name."""
    code = (
        "import gymnasium as g\n"
        "print(g.make('envs:faultline/OptionHedging-v0').unwrapped.fields)\n"
        "print(g.make_vec('faultline/OptionHedging-v0', num_envs=4096).num_envs)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[1] == "4096"


def test_the_entry_point_registers():
    point = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    module, _, name = point["gymnasium.envs"]["faultline"].partition(":")
    getattr(importlib.import_module(module), name)()  # once more: it must not warn
    assert "faultline/OptionHedging-v0" in gymnasium.registry


def test_a_first_reset_without_a_seed_draws_one_and_tells_it(make):
    one, other = make(4, mark=Mark(volatility=0.6)), make(4, mark=Mark(volatility=0.6))
    one.reset()
    other.reset()
    one.step(np.zeros((4, 2)))
    other.step(np.zeros((4, 2)))
    assert (one.state.price != other.state.price).all()
    other.reset(seed=one.np_random_seed)
    other.step(np.zeros((4, 2)))
    np.testing.assert_array_equal(one.state.price, other.state.price)


def test_two_environments_do_not_share_a_market(make):
    one = make(4, mark=Mark(volatility=0.6))
    one.reset(seed=0)
    two = OptionHedgingVectorEnv(2, terms=one.terms, market=one.market)
    with pytest.raises(ConfigError, match="this market serves another environment already"):
        two.reset(seed=1)
