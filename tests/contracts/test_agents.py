"""What every agent, cast and book in conf/ promises."""

import numpy as np
import pytest

from experiments.build import parts
from sim.actions import ROW, ROW_RULES, Verb

BLOCKS = 70
VAULTS = {  # the market that they need
    "flip_keeper": "maker_flip",
    "clip_keeper": "maker_clip",
    "trove_liquidator": "liquity",
    "vault_owners": "maker_flip",
    "band_arbitrageur": "crvusd_weth",
    "loan_liquidator": "crvusd_weth",
}
SETTINGS = {"lenders": {"utilisation": 0.97, "interval_seconds": 900}}
NEEDS = {  # an agent that lives on one market only
    "market_maker": ["market=order_book"],
    "collateral_buyer": ["lending=compound_v3"],
}


def state_of(model):
    world = model.world
    lending = world.venues["lending"]
    arenas = [*world._arenas(), world.inputs, world.oracle.memory]
    found = {f"world.{k}": arena.buffer.tobytes() for k, arena in enumerate(arenas)}
    found["collateral"] = lending.state.collateral.tobytes()
    found["debt"] = lending.state.debt.tobytes()
    return found


def well_formed(label, agent, rows, world):
    """Assert what `World.close_block` and the executor rely on; sentences name the YAML."""
    assert rows.dtype == ROW, f"{label}: decide must return rows of sim.actions.ROW"
    if not len(rows):
        return
    assert (np.diff(rows["world"]) >= 0).all() or grouped(rows), (
        f"{label}: rows must be grouped by world"
    )
    assert ((rows["world"] >= 0) & (rows["world"] < world.n_worlds)).all(), label
    assert (rows["account"] == agent.account).all(), f"{label}: rows must be signed by its account"
    assert ((rows["venue"] >= 0) & (rows["venue"] < len(world.venues))).all(), label
    verbs = {int(verb) for verb in Verb}
    assert set(rows["verb"].tolist()) <= verbs, f"{label}: unknown verb"
    assert (rows["step"] == world.step).all(), f"{label}: rows must be stamped with their step"
    assert (rows["expires"] >= world.step).all(), f"{label}: rows that expired before they came"
    assert (rows["amount"] > 0.0).all(), f"{label}: amounts must be positive numbers"
    for name, _ in ROW_RULES[3:6]:
        good = np.isfinite(rows[name]) & (rows[name] >= 0.0)
        assert good.all(), f"{label}: {name} must be finite and not negative"
    venues = list(world.venues.values())
    for verb, venue in {(int(row["verb"]), int(row["venue"])) for row in rows}:
        assert verb in venues[venue].RESULTS, (
            f"{label}: {Verb(verb).name} is no verb of {venues[venue].name}"
        )
        if venues[venue].on_chain:
            chosen = (rows["verb"] == verb) & (rows["venue"] == venue)
            assert (rows["gas"][chosen] > 0.0).all(), f"{label}: rows on chain take gas"


def grouped(rows):
    """At most two runs per agent (what it wants, and its exits), each ascending."""
    return (np.diff(rows["world"]) < 0).sum() <= 1


def needs(agent):
    """Overrides that give an agent the market that it lives on."""
    if agent in VAULTS:
        return [f"+lending@pools.vaults={VAULTS[agent]}", "cast.mine.market=vaults"]
    return NEEDS.get(agent, [])


def vault_owner(agent, scripted):
    """Owners of vaults, where the agent is one that waits for these."""

    def enroll(owner, world):
        collateral, debt = np.zeros((20, world.n_assets)), np.zeros((20, world.n_assets))
        gem, stable = world.asset_index("WETH"), world.asset_index("DAI")
        collateral[:, gem] = np.linspace(10.0, 200.0, 20)
        debt[:, stable] = collateral[:, gem] * world.fundamental[0, gem] / 1.6
        world.venues["vaults"].add_positions(owner.account, collateral, debt)

    return {"vault_owner": scripted(enrolls=enroll)} if agent in VAULTS else {}


def play(model, label):
    """Ask every agent by itself; return how many rows each of them sent."""
    world, sent = model.world, dict.fromkeys(model.members, 0)
    for _ in range(BLOCKS):
        world.open_block()
        before = state_of(model)
        intents = []
        for name, agent in model.members.items():
            rows = agent.decide(model.view)
            well_formed(f"{label}.{name}", agent, rows, world)
            sent[name] += len(rows)
            intents.append(rows)
            assert state_of(model) == before, f"{label}.{name}: decide changes what it sees"
        world.close_block(intents)
    return sent


def test_an_agent_decides_well_formed_rows(agent, small_study, make_model, scripted):
    overrides = [f"+agent@cast.mine={agent}", *needs(agent), "scenarios.crash.start_hours=0.2",
                 "scenarios.crash.duration_hours=0.6"]  # fmt: skip
    config = small_study("cast", "default", *overrides)
    config["cast"]["mine"].update(SETTINGS.get(agent, {}))
    if agent == "lenders":
        del config["cast"]["lenders"]
    if agent == "borrowers":  # before the lenders, who supply what is borrowed
        mine = config["cast"].pop("mine")
        mine["book"]["seed"] = 3
        config["cast"] = {"mine": mine, **config["cast"]}
    model = make_model(config, 0, 2, extra=vault_owner(agent, scripted))
    sent = play(model, f"conf/agent/{agent}.yaml in cast")
    assert sent["mine"] > 0, (
        f"conf/agent/{agent}.yaml does nothing in a crash by 40%: say in SETTINGS what makes it act"
    )
    model.close()


def test_an_agent_replays_after_reset_and_restore(agent, small_study, make_model, scripted):
    own = [f"+agent@cast.mine={agent}", *needs(agent)] if needs(agent) else []
    overrides = [*own, "scenarios.crash.start_hours=0.1", "scenarios.crash.duration_hours=0.3"]
    config, extra = small_study("cast", "default", *overrides), vault_owner(agent, scripted)
    model = make_model(config, 0, 2, extra=extra)

    def decisions(n):
        found = []
        for _ in range(n):
            model.world.open_block()
            intents = [member.decide(model.view) for member in model.members.values()]
            found += [rows[field].tobytes() for rows in intents for field in ROW.names]
            model.world.close_block(intents)
        return found

    whole = decisions(30)
    model.reset()
    first = decisions(15)
    kept = model.snapshot()
    second = decisions(15)
    assert first + second == whole
    model.restore(kept)
    assert decisions(15) == second
    model.close()


def test_a_cast_plays(cast, small_study, make_model):
    config = small_study("cast", cast, "scenarios.crash.start_hours=0.2")
    model = make_model(config, 0, 2)
    sent = play(model, f"conf/cast/{cast}.yaml")
    assert sum(sent.values()) > 0
    model.close()


def test_agents_of_a_cast_have_their_own_names(cast, small_study):
    assert len(parts(small_study("cast", cast), "cast")) > 1


def test_a_book_opens_a_market(book, small_study, make_model, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(
        "account,collateral_WETH,collateral_WBTC,debt_USDC,debt_DAI\n"
        "ann,10,0,9000,0\nbob,0,2,30000,1000\ncy,3,1,0,20000\n"
    )
    overrides = [f"positions={path}"]
    config = small_study("book", book, *(overrides if book == "file" else []))
    model = make_model(config, 0, 2)
    lending = model.world.venues["lending"]
    health = lending.health_factors()
    assert np.isfinite(health[np.isfinite(health)]).all()
    owing = (lending.state.debt > 0.0).any(axis=2)
    assert owing.any(), f"conf/book/{book}.yaml: nobody owes anything"
    assert (health[owing] > 1.0).all(), f"conf/book/{book}.yaml: liquidatable before the start"
    assert (lending.state.collateral >= 0.0).all()
    np.testing.assert_array_equal(lending.state.debt[0], lending.state.debt[1])
    model.step()
    model.close()


@pytest.mark.parametrize("n_worlds", [1, 3])
def test_enrolled_agents_share_no_account(small_study, make_model, n_worlds):
    model = make_model(small_study("cast", "default"), 0, n_worlds)
    accounts = [agent.account for agent in model.members.values()]
    accounts += [venue.account for venue in model.world.venues.values()]
    assert len(set(accounts)) == len(accounts)
    assert model.world.proposer not in accounts
    model.close()
