"""All hedgers on the same unseen paths: who costs least, by how much, and where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.hedgers.hedger import Hedger
from agents.hedgers.learned import Learned
from envs.hedging.vector import OptionHedgingVectorEnv
from experiments.hedging.judge import differences, statistics
from experiments.hedging.play import TEST, Played, Setting, bound, play
from experiments.hedging.tune import tuned
from experiments.progress import Progress
from sim.errors import ConfigError
from sim.kernel import F64, Bool

Json = dict[str, Any]
MAPPED = 10_000  # test paths behind a map of holdings
BINS = 41  # of the price, in a map
REACH = 3.0  # standard deviations of the final log price that a map shows
WORST = 4  # paths that are drawn


@dataclass(frozen=True, slots=True)
class Contest:
    """Hedgers of one environment, judged.

    Attributes
    ----------
    summary : dict
        `hedgers` by name (title, told, learned, statistics, differences), `best` (name of the best
        classical one), `objective`, `paths`, `premium`; what JSON can say.
    costs : dict of str to array (path,)
        In premiums.
    maps : dict of str to array (period, bin)
        Mean holding by period and log price over the first one; NaN where no path came.
    edges : array (bin + 1,)
    final : array (path,)
        Last price over the first.
    worst : list of dict
        Paths on which the first learned hedger (else the best classical one) lost most: `world`,
        `price`, and per hedger `holding` and `cost`.
    """

    summary: Json
    costs: Mapping[str, F64]
    maps: Mapping[str, F64]
    edges: F64
    final: F64
    worst: list[Json]


class Map:
    """Mean holding by period and price, gathered while a hedger plays."""

    def __init__(self, n_steps: int, edges: F64) -> None:
        self.edges = edges
        self.total, self.count = (np.zeros((n_steps, len(edges) - 1)) for _ in range(2))
        self.before: F64 | None = None

    def __call__(self, t: int, env: OptionHedgingVectorEnv, over: Bool) -> None:
        """Add a period; the holding was chosen at the price before it."""
        state = env.state
        before = self.before if t > 0 and self.before is not None else np.zeros(env.num_envs)
        place = np.digitize(before, self.edges) - 1
        valid = ~over & (place >= 0) & (place < self.total.shape[1])
        np.add.at(self.total[t], place[valid], state.holding[valid])
        np.add.at(self.count[t], place[valid], 1.0)
        self.before = np.log(state.price / state.first)

    def mean(self) -> F64:
        """Mean holding, NaN where no path came."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.total / np.where(self.count > 0.0, self.count, np.nan))


def hold(
    setting: Setting, hedgers: Mapping[str, Hedger], *, seed: int, paths: int, tuning_paths: int,
    resamples: int, shown: bool = True, tuning: Setting | None = None,
) -> Contest:  # fmt: skip
    """Tune, play and compare hedgers.

    Parameters
    ----------
    setting : Setting
    hedgers : mapping of str to Hedger
        In the order of tables; a classical one (not `Learned`) must be among them.
    seed, paths, tuning_paths, resamples : int
    shown : bool
        Whether progress is shown.
    tuning : Setting, optional
        Where the classical hedgers' scalars are set, if not on other worlds of the same setting.
    """
    if all(isinstance(hedger, Learned) for hedger in hedgers.values()):
        raise ConfigError("hedgers must keep a classical hedger to compare with; keep delta")
    ready: dict[str, Hedger] = {}
    played: dict[str, Played] = {}
    end = End(setting.terms.contract.n_steps)
    with Progress(len(hedgers), 0, shown, "hedgers") as bar:
        for name, hedger in hedgers.items():
            there = setting if tuning is None or isinstance(hedger, Learned) else tuning
            chosen = tuned(there, bound(hedger, there), seed, tuning_paths)
            ready[name] = bound(chosen, setting)
            watch = None if played else end
            played[name] = play(setting, ready[name], seed, TEST, paths, watch)
            bar.advance(1)
    summary = compared(setting, ready, played, seed, resamples)
    learned = [name for name, hedger in ready.items() if isinstance(hedger, Learned)]
    drawn = list(dict.fromkeys([*learned[:1], summary["best"], *(list(ready)[:1])]))
    maps, edges = _maps(setting, {name: ready[name] for name in drawn}, seed, min(paths, MAPPED))
    order = np.argsort(-played[drawn[0]].cost)[:WORST]
    some = {name: ready[name] for name in drawn}
    worst = [_traced(setting, some, seed, int(world)) for world in order]
    costs = {name: it.cost for name, it in played.items()}
    return Contest(summary, costs, maps, edges, np.concatenate(end.found), worst)


def compared(
    setting: Setting, hedgers: Mapping[str, Hedger], played: Mapping[str, Played], seed: int,
    resamples: int,
) -> Json:  # fmt: skip
    """Figures of all hedgers and their differences from the best classical one."""
    objective = setting.objective
    entries: Json = {}
    for name, hedger in hedgers.items():
        entries[name] = {
            "title": hedger.title, "told": hedger.told, "learned": isinstance(hedger, Learned),
            "statistics": statistics(played[name], objective),
        }  # fmt: skip
        if isinstance(hedger, Learned):
            entries[name]["trained_with"] = {
                key: list(pair) for key, pair in hedger.differences().items()
            }
    classical = [name for name, entry in entries.items() if not entry["learned"]]
    best = min(classical, key=lambda name: entries[name]["statistics"]["objective"])
    costs = {name: it.cost for name, it in played.items()}
    began = played[best].began
    for name, found in differences(costs, best, objective, seed, resamples, began).items():
        entries[name]["differences"] = found
    paths = len(next(iter(costs.values())))
    return {"hedgers": entries, "best": best, "objective": objective.title, "paths": paths,
            "premium": premium_of(setting, seed), "seed": seed,
            "first_test_world": TEST}  # fmt: skip


def premium_of(setting: Setting, seed: int) -> float:
    """Premium of the option sold first, at its mark; cash, or coin where it settles in coin."""
    env = setting.worlds(1, TEST)
    env.reset(seed=seed)
    return float(env.state.unit[0])


def _maps(
    setting: Setting, hedgers: Mapping[str, Hedger], seed: int, n: int
) -> tuple[dict[str, F64], F64]:
    env = setting.worlds(1, TEST)
    env.reset(seed=seed)
    reach = REACH * float(env.state.scale[0])
    edges = np.linspace(-reach, reach, BINS + 1)
    out = {}
    for name, hedger in hedgers.items():
        found = Map(setting.terms.contract.n_steps, edges)
        play(setting, hedger, seed, TEST, n, found)
        out[name] = found.mean()
    return out, edges


class End:
    """Last price of every path over its first, gathered while a hedger plays."""

    def __init__(self, n_steps: int) -> None:
        self.last, self.found = n_steps - 1, list[F64]()

    def __call__(self, t: int, env: OptionHedgingVectorEnv, over: Bool) -> None:
        """Take the prices of a batch as it ends."""
        if t == self.last or (env.state.liquidated | over).all():
            self.found.append(env.state.price / env.state.first)


class Trace:
    """One path, period by period."""

    def __init__(self) -> None:
        self.price, self.cost = [1.0], [0.0]
        self.holding: list[float] = []

    def __call__(self, t: int, env: OptionHedgingVectorEnv, over: Bool) -> None:
        """Add a period of the only world."""
        if t < len(self.price) and not over[0]:
            self.price.append(float(env.state.price[0] / env.state.first[0]))
            self.holding.append(float(env.state.holding[0]))
            self.cost.append(100.0 * float(env.state.cost[0]))


def _traced(setting: Setting, hedgers: Mapping[str, Hedger], seed: int, world: int) -> Json:
    """One test path, period by period, under several hedgers."""
    price: Sequence[float] = []
    told: Json = {}
    for name, hedger in hedgers.items():
        trace = Trace()
        play(setting, hedger, seed, TEST + world, 1, trace)
        told[name] = {"holding": trace.holding, "cost": trace.cost}
        price = max(price, trace.price, key=len)
    return {"world": TEST + world, "price": price, "hedgers": told}


def models_in(folder: Path) -> dict[str, Path]:
    """Folders of models under a folder: itself, its `model`, or those of its seeds."""
    if (folder / "model.json").exists():
        return {folder.name: folder}
    if (folder / "model" / "model.json").exists():
        return {folder.name: folder / "model"}
    found = sorted(folder.glob("seed_*/model/model.json"))
    return {path.parent.parent.name: path.parent for path in found}
