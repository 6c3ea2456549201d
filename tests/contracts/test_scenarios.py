"""The Scenario contract, for every file of conf/scenario."""

import numpy as np


def state_of(world):
    return [arena.buffer.tobytes() for arena in world._arenas()]


def test_a_scenario_changes_inputs_and_nothing_else(scenario, small_study, make_model):
    model = make_model(small_study("scenario", scenario), 0, 3)
    world = model.world
    before = state_of(world)
    steps = np.linspace(0, world.n_steps - 1, 200).astype(int)
    for step in steps:
        for part in world.scenarios:
            part.apply(int(step))
        found = world.inputs
        for name in ("price_factor", "depth", "demand", "oracle_lag"):
            assert np.isfinite(found[name]).all(), f"{scenario}: {name} is no number"
        assert (found["price_factor"] > 0.0).all(), f"{scenario}: a price of zero or less"
        assert (found["depth"] >= 0.0).all()
        assert (found["demand"] >= 0.0).all()
        assert (found["oracle_lag"] >= 0.0).all()
        assert np.isin(found["oracle_halted"], [0.0, 1.0]).all()
        neutral = dict.fromkeys(("price_factor", "depth", "demand"), 1.0)
        for name in found.views:
            found[name][:] = neutral.get(name, 0.0)
    assert state_of(world) == before, f"conf/scenario/{scenario}.yaml writes beyond world.inputs"
    model.close()


def test_a_scenario_is_a_function_of_step_and_world_id(scenario, small_study, make_model):
    config = small_study("scenario", scenario)
    together, alone = make_model(config, 5, 8), make_model(config, 6, 7)
    worlds = [together.world, alone.world]
    for step in (worlds[0].n_steps // 2, 3, worlds[0].n_steps // 3):  # in any order
        for world in worlds:
            world.step = step
            for name in world.inputs.views:
                world.inputs[name][:] = 1.0
            for part in world.scenarios:
                part.apply(step)
        for name in worlds[0].inputs.views:
            np.testing.assert_array_equal(
                worlds[0].inputs[name][1], worlds[1].inputs[name][0], err_msg=scenario
            )
    together.close()
    alone.close()


def test_a_scenario_plays(scenario, small_study, make_model):
    model = make_model(small_study("scenario", scenario), 0, 2)
    for _ in range(90):
        model.step()
    model.world.check()
    assert np.isfinite(model.world.market_price).all()
    model.close()
