"""A study: environments that are changed row by row, and the policies that are trained for each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sim.errors import ConfigError

Json = dict[str, Any]
Y, PRICE = "y", "price"
KEYS = {
    "study": ("title", "figure", "envs", "hedgers", "columns", "variants", "rows"),
    "rows": ("title", "env", "terms", "market", "algo", "published", "quoted"),
    "variants": ("title", "accumulated_cost", "seeds"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One environment of a study, or the only one of a command without a study.

    Attributes
    ----------
    key, title : str
    env : dict
        `terms` and `market`, with the row's changes.
    hedgers : dict
        Descriptions of classical hedgers beside those of the command.
    algo : dict
        What its trainings change of the algorithm.
    published : dict or None
        Figures of the published agent on other paths: mean, sd, y; or its price.
    quoted : dict
        The same of classical hedgers, by name.
    """

    key: str
    title: str
    env: Json
    hedgers: Mapping[str, Any] = field(default_factory=dict)
    algo: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, float] | None = None
    quoted: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Variant:
    """A kind of policy that every row has.

    Attributes
    ----------
    key, title : str
    accumulated_cost : bool
        Whether it sees what was lost so far.
    seeds : int
        Trainings of a row.
    """

    key: str
    title: str
    accumulated_cost: bool
    seeds: int


def rows_of(config: Mapping[str, Any]) -> list[Row]:
    """Rows that a configuration asks for: those of its study, or its one environment."""
    study = config.get("study")
    if study is None:
        return [Row("", "", dict(config["env"]))]
    if not isinstance(study, Mapping) or not study.get("rows"):
        raise ConfigError("study must be a file of conf/study with rows; choose one of them")
    known("study", study)
    if study.get("figure", Y) not in (Y, PRICE):
        raise ConfigError(f"study.figure must be {Y} or {PRICE}, got {study['figure']!r}")
    rows = [
        _row(key, row, study) for key, row in study["rows"].items() if row is not None
    ]  # fmt: skip
    if not rows:
        raise ConfigError("study.rows must keep a row; remove fewer of them")
    return rows


def _row(key: str, row: Mapping[str, Any], study: Mapping[str, Any]) -> Row:
    known("rows", row, f"study.rows.{key}")
    envs = study.get("envs") or {}
    name = row.get("env")
    if name not in envs:
        raise ConfigError(
            f"study.rows.{key}.env must be one of study.envs, {', '.join(envs)}, got {name!r}"
        )
    changed = {part: merged(envs[name][part], row.get(part) or {}) for part in ("terms", "market")}
    return Row(
        key, str(row.get("title", key)), changed, (study.get("hedgers") or {}).get(name) or {},
        row.get("algo") or {}, row.get("published"), row.get("quoted") or {},
    )  # fmt: skip


def variants_of(config: Mapping[str, Any]) -> list[Variant]:
    """Kinds of policies of a study; one without a name where it says nothing of them.

    `seeds` of the configuration goes before what the study says.
    """
    study, seeds = config.get("study") or {}, config.get("seeds")
    found = {key: it for key, it in (study.get("variants") or {}).items() if it is not None}
    if not found:
        return [Variant("", "", bool(config.get("accumulated_cost", True)), _count(seeds, 1))]
    if not config.get("accumulated_cost", True):
        raise ConfigError(
            "accumulated_cost=false has no effect on a study that says itself what its policies "
            f"see; leave out a variant, as in study.variants.{next(iter(found))}=null"
        )
    for key, it in found.items():
        known("variants", it, f"study.variants.{key}")
    return [
        Variant(
            key, str(it.get("title", key)), bool(it.get("accumulated_cost", True)),
            _count(seeds, it.get("seeds", 1)),
        )
        for key, it in found.items()
    ]  # fmt: skip


def _count(wanted: Any, usual: Any) -> int:
    value = usual if wanted is None else wanted
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"seeds must be a whole number of at least 1, got {value!r}")
    return value


def known(kind: str, found: Mapping[str, Any], place: str = "study") -> None:
    """Refuse keys that would have no effect."""
    unknown = set(found) - set(KEYS[kind])
    if unknown:
        raise ConfigError(
            f"{place} has {', '.join(KEYS[kind])}, got {', '.join(sorted(unknown))}; correct it"
        )


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Json:
    """Put changes over a description, key by key."""
    out = dict(base)
    for key, value in changes.items():
        old = out.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping) and "_target_" not in value
        out[key] = merged(old, value) if both and isinstance(old, Mapping) else value
    return out
