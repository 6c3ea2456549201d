"""Importable worker functions, and synthetic result tables that follow the schema of a run."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

HERE = Path(__file__).resolve().parent
PATHS = os.pathsep.join([str(HERE.parents[1]), str(HERE)])


@pytest.fixture(scope="session", autouse=True)
def importable() -> Iterator[None]:
    """Put the functions of `ensemble_tasks` on the path of this process."""
    sys.path.insert(0, str(HERE))
    yield
    sys.path.remove(str(HERE))


ASSETS = ("WETH", "WBTC", "USDC")
INITIAL = {"WETH": 194.0, "WBTC": 7_930.0, "USDC": 1.0}
START = pd.Timestamp("2020-03-12", tz="UTC")


class FakeRun(NamedTuple):
    """What a stress run leaves: three tables, a manifest and the resolved seed."""

    worlds: pd.DataFrame
    series: pd.DataFrame
    liquidations: pd.DataFrame
    manifest: dict[str, Any]


def make_run(
    n_worlds: int = 120,
    *,
    n_points: int = 49,
    n_failed: int = 0,
    bad_debt: bool = True,
    liquidations: bool = True,
    series: bool = True,
    bonus: float = 0.05,
    seed: int = 11,
) -> FakeRun:
    """Draw a run in the shape of Black Thursday.

    Parameters
    ----------
    n_worlds, n_points : int
        Worlds and recorded points per world over 24 hours.
    n_failed : int
        Worlds, from the last one back, that ended in an error.
    bad_debt, liquidations, series : bool
        Whether any occur or are recorded.
    bonus : float
        A design parameter: the more, the faster and the costlier the liquidations.
    seed : int
        Seed of the shocks: the same seed gives common random numbers across designs.
    """
    rng = np.random.default_rng(seed)
    n_ok = n_worlds - n_failed
    hours = np.linspace(0.0, 24.0, n_points)
    fall = np.clip(rng.normal(0.42, 0.08, n_worlds), 0.1, 0.8)
    shape = 1.0 / (1.0 + np.exp(-(hours - 11.0) / 1.2))
    path = shape - shape[0] - 0.3 / (1.0 + np.exp(-(hours - 15.0) / 1.5))  # falls, then rebounds
    noise = rng.normal(0.0, 0.012, (2, n_worlds, n_points)).cumsum(axis=2) * 0.5
    noise -= noise[:, :, :1]
    fundamental = {
        "WETH": INITIAL["WETH"] * (1.0 - fall[:, None] * path) * np.exp(noise[0]),
        "WBTC": INITIAL["WBTC"] * (1 - 0.8 * fall[:, None] * path) * np.exp(noise[1]),
        "USDC": np.ones((n_worlds, n_points)),
    }
    dip = np.exp(-(((hours - 12.0) / 3.0) ** 2))
    price = {
        "WETH": fundamental["WETH"] * (1.0 - 0.15 * fall[:, None] * dip * liquidations),
        "WBTC": fundamental["WBTC"] * (1.0 - 0.06 * fall[:, None] * dip * liquidations),
        "USDC": np.ones((n_worlds, n_points)),
    }
    oracle = {a: np.concatenate([p[:, :1], p[:, :-1]], axis=1) for a, p in price.items()}
    severity = np.clip(fall - 0.3, 0.0, None) * liquidations
    total = 2.0e8 * severity * rng.lognormal(0.0, 0.3, n_worlds)
    total = np.where(severity > 0.0, total, 0.0)
    lost = total * np.clip(rng.lognormal(-4.0, 1.3, n_worlds) - 0.3 * bonus, 0.0, 0.5)
    lost = np.where(fall > 0.40, lost, 0.0) * bad_debt
    gas = 20.0 + 400.0 * fall[:, None] * dip * rng.lognormal(0.0, 0.3, (n_worlds, 1))
    run_series = _series(hours, price, fundamental, oracle, gas, total, lost, shape)
    events = _liquidations(rng, hours, price, total, lost, bonus) if liquidations else _no_events()
    worlds = _worlds(fall, price, fundamental, oracle, gas, total, lost, bonus, events)
    broken = worlds["world"] >= n_ok
    worlds.loc[broken, worlds.columns.difference(["world", "status", "error"])] = np.nan
    worlds.loc[broken, "status"] = "error"
    worlds.loc[broken, "error"] = (
        "Traceback (most recent call last):\n  File <stress>\nsim.errors.InvariantError: "
        "custody of pool & claims differ in USDC by 3e-7: report this <world>"
    )
    keep = run_series["world"] < n_ok
    return FakeRun(
        worlds=worlds,
        series=run_series[keep].reset_index(drop=True) if series else pd.DataFrame(),
        liquidations=events[events["world"] < n_ok].reset_index(drop=True),
        manifest=_manifest(n_worlds, seed, bonus),
    )


def _series(hours, price, fundamental, oracle, gas, total, lost, shape) -> pd.DataFrame:
    n, m = gas.shape
    backlog = 0.25 * total[:, None] * np.exp(-(((hours - 11.5) / 2.0) ** 2))
    clock = START.tz_localize(None) + pd.to_timedelta(hours, unit="h")
    out = {
        "world": np.repeat(np.arange(n), m),
        "step": np.tile((hours * 60).astype(int), n),
        "time": np.tile(clock.to_numpy(), n),
    }
    for asset in ASSETS:
        out[f"price_{asset}"] = price[asset].ravel()
        out[f"fundamental_{asset}"] = fundamental[asset].ravel()
        out[f"oracle_{asset}"] = oracle[asset].ravel()
    out["base_fee_gwei"] = gas.ravel()
    out["utilisation_USDC"] = np.clip(0.7 + 0.2 * shape[None, :] + 0 * gas, 0, 1).ravel()
    out["liquidatable_debt_usd"] = backlog.ravel()
    out["liquidated_debt_usd"] = (total[:, None] * (shape - shape[0]) / np.ptp(shape)).ravel()
    late = np.clip(hours - 11.0, 0.0, None) / 13.0
    out["bad_debt_usd"] = (lost[:, None] * late).ravel()
    out["deposits_usd"] = np.full(n * m, 9.0e8)
    out["debt_usd"] = (5.0e8 - total[:, None] * shape).ravel()
    table = pd.DataFrame(out)
    table["time"] = table["time"].dt.tz_localize("UTC")
    return table


def _no_events() -> pd.DataFrame:
    columns = (
        "world step seq time liquidator position collateral debt debt_repaid collateral_seized "
        "protocol_fee bad_debt_usd debt_repaid_usd collateral_seized_usd gas_fee_usd"
    )
    return pd.DataFrame(columns=columns.split())


def _liquidations(rng, hours, price, total, lost, bonus) -> pd.DataFrame:
    frames = []
    for world in range(total.size):
        if total[world] == 0.0:
            continue
        n = 24
        size = rng.pareto(1.3, n) + 0.1
        repaid = total[world] * size / size.sum()
        hour = np.clip(rng.normal(11.5, 1.8, n), 0.5, 23.5)
        hour.sort()
        collateral = np.where(rng.random(n) < 0.75, "WETH", "WBTC")
        at = np.searchsorted(hours, hour) - 1
        spot = np.where(collateral == "WETH", price["WETH"][world][at], price["WBTC"][world][at])
        seized = repaid * (1.0 + bonus)
        gone = np.zeros(n)
        gone[-1] = lost[world]
        frames.append(
            pd.DataFrame(
                {
                    "world": world,
                    "step": (hour * 60).astype(int),
                    "seq": np.arange(n),
                    "time": START + pd.to_timedelta(hour, unit="h"),
                    "liquidator": rng.choice(["keeper_fast", "keeper_flash", "keeper_slow"], n),
                    "position": rng.integers(0, 10_000, n),
                    "collateral": collateral,
                    "debt": "USDC",
                    "debt_repaid": repaid,
                    "collateral_seized": seized / spot,
                    "protocol_fee": 0.1 * (seized - repaid) / spot,
                    "bad_debt_usd": gone,
                    "debt_repaid_usd": repaid,
                    "collateral_seized_usd": seized,
                    "gas_fee_usd": rng.lognormal(3.0, 0.5, n),
                }
            )
        )
    return pd.concat(frames, ignore_index=True) if frames else _no_events()


def _worlds(fall, price, fundamental, oracle, gas, total, lost, bonus, events) -> pd.DataFrame:
    n = fall.size
    ids = np.arange(n)
    by_world = events.groupby("world")
    count = by_world.size().reindex(ids, fill_value=0).to_numpy()
    fees = by_world["gas_fee_usd"].sum().reindex(ids, fill_value=0.0).to_numpy(dtype=float)
    gap = np.max([np.abs(oracle[a] / price[a] - 1.0).max(axis=1) for a in ASSETS], axis=0)
    out = {
        "world": ids,
        "status": "ok",
        "error": pd.Series([None] * n, dtype=object),
        "bad_debt_usd": lost,
        "liquidated_debt_usd": total,
        "liquidated_collateral_usd": total * (1.0 + bonus),
        "n_liquidations": count,
        "n_positions_liquidated": np.ceil(count * 0.8),
        "borrower_loss_usd": total * bonus,
        "liquidator_profit_usd": 0.8 * bonus * total - fees - 0.01 * total,
        "liquidator_gas_usd": fees,
        "protocol_income_usd": 0.1 * bonus * total + 4.0e4,
        "supplier_interest_usd": 6.0e4 + 1.0e5 * fall,
        "supplier_loss_usd": lost,
        "arbitrageur_profit_usd": 0.004 * total,
        "peak_liquidatable_debt_usd": 0.25 * total,
        "hours_liquidatable": np.where(total > 0.0, 0.2 + 3.0 * fall, 0.0),
        "final_liquidatable_debt_usd": 0.01 * total,
        "max_base_fee_gwei": gas.max(axis=1),
        "max_oracle_gap": gap,
        "n_included": count + 40,
        "n_expired": (count * fall).astype(int),
        "n_reverted": (count * 0.2).astype(int),
        "initial_collateral_usd": 9.0e8,
        "initial_debt_usd": 9.0e8 * (0.55 + 0.01 * (fall - fall.mean())),
        "borrowing_power": 0.55 + 0.01 * (fall - fall.mean()),
        "final_debt_usd": 5.0e8 - total,
    }
    for asset in ASSETS:
        out[f"fall_{asset}"] = 1.0 - price[asset].min(axis=1) / price[asset][:, 0]
        start = fundamental[asset][:, 0]
        out[f"fundamental_fall_{asset}"] = 1.0 - fundamental[asset].min(axis=1) / start
        out[f"amplification_{asset}"] = out[f"fall_{asset}"] - out[f"fundamental_fall_{asset}"]
        out[f"push_{asset}"] = out[f"amplification_{asset}"] + 0.01
    return pd.DataFrame(out)


def _manifest(n_worlds: int, seed: int, bonus: float) -> dict[str, Any]:
    return {
        "name": "black_thursday",
        "command": ["scenario=black_thursday", f"worlds={n_worlds}"],
        "seed": seed,
        "config": {
            "worlds": n_worlds,
            "scenario": {"_target_": "sim.scenarios.replay.Replay", "day": "2020-03-12"},
            "market": {"liquidation_bonus": {"WETH": bonus, "WBTC": 0.065}, "close_factor": 0.5},
            "liquidators": {"keeper_fast": {"gas_cap_gwei": 500, "capital_usd": 2.0e7}},
        },
        "versions": {"python": "3.11.9", "faultline": "0.1.0", "numpy": "2.4.6"},
        "failed": [],
    }


@pytest.fixture(scope="session")
def fake_run() -> Callable[..., FakeRun]:
    """Return the generator: fake_run(n_worlds=20, bad_debt=False)."""
    return make_run


# The command line


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    def one_sentence(self) -> str:
        """The error, after checking that it is one and the only thing said."""
        assert self.code != 0, self.out
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), self.err
        return lines[0].removeprefix("error: ")

    def folder(self) -> Path:
        """Folder of the page that the last line names."""
        assert self.code == 0, self.err
        page = Path(self.out.strip().splitlines()[-1])
        assert page.suffix == ".html"
        assert page.is_file()
        return page.parent


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Ended]:
    """Run `python -m experiments.stress ...` in this process, in an empty folder."""
    from experiments import stress

    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["stress", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            stress.main()
        said = capsys.readouterr()
        return Ended(int(end.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def shell(tmp_path: Path) -> Callable[..., Ended]:
    """Run Python in a process of its own, in an empty folder, with the project on its path."""

    def run(*arguments: str) -> Ended:
        ended = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run


def keep(table: pd.DataFrame) -> pd.DataFrame:
    """Change nothing."""
    return table


@pytest.fixture
def write_prices() -> Callable[..., Path]:
    """Write an hour of one-minute bars of ETH and BTC, tidy OHLCV; both fall by 12%."""

    def write(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame] = keep) -> Path:
        times = pd.date_range("2024-05-01", periods=61, freq="min", tz="UTC")
        parts = []
        for symbol, level in (("ETHUSD", 3000.0), ("BTCUSD", 60000.0)):
            close = np.array([level * (1.0 - 0.002 * i) for i in range(61)])
            bars = {"open": close, "high": close * 1.001, "low": close * 0.999, "close": close}
            parts.append(pd.DataFrame({"timestamp": times, "symbol": symbol} | bars))
        table = change(pd.concat(parts, ignore_index=True))
        if path.suffix == ".parquet":
            table.to_parquet(path, index=False)
        else:
            table.to_csv(path, index=False)
        return path

    return write


@pytest.fixture
def write_positions() -> Callable[..., Path]:
    """Write a book of one row per account and asset."""

    def write(path: Path, rows: list[tuple[str, str, float, float]]) -> Path:
        table = pd.DataFrame(rows, columns=["account", "asset", "collateral", "debt"])
        if path.suffix == ".parquet":
            table.to_parquet(path, index=False)
        else:
            table.to_csv(path, index=False)
        return path

    return write
