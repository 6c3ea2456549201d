"""A study: environments that are changed row by row, and the policies that are trained for each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sim.errors import ConfigError

Json = dict[str, Any]
Y, PRICE, CVAR = "y", "price", "cvar_95"
RECORDED = "experiments.recorded."
KEYS = {
    "study": ("title", "figure", "envs", "hedgers", "columns", "variants", "rows"),
    "rows": (
        "title",
        "env",
        "terms",
        "market",
        "algo",
        "published",
        "quoted",
        "trained_on",
        "policies",
    ),
    "trained_on": ("env", "terms", "market"),
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
    training : dict or None
        `terms` and `market` under which policies train, where they are others than `env`; scalars
        of classical hedgers are then tuned there too, with the `life` of `env`.
    policies : str or None
        Row whose policies are judged here; then none are trained for this one.
    """

    key: str
    title: str
    env: Json
    hedgers: Mapping[str, Any] = field(default_factory=dict)
    algo: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, float] | None = None
    quoted: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    training: Json | None = None
    policies: str | None = None

    @property
    def tuning(self) -> Json | None:
        """Terms and market on whose paths classical hedgers are tuned; None: those of `env`."""
        if self.training is None:
            return None
        return merged(self.training, {"terms": {"life": self.env["terms"].get("life", {})}})


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
    study, data = config.get("study"), config.get("data")
    if study is None:
        return [Row("", "", found_in(dict(config["env"]), data, "env"))]
    if not isinstance(study, Mapping) or not study.get("rows"):
        raise ConfigError("study must be a file of conf/study with rows; choose one of them")
    known("study", study)
    if study.get("figure", Y) not in (Y, PRICE, CVAR):
        raise ConfigError(
            f"study.figure must be {Y}, {PRICE} or {CVAR}, got {study['figure']!r}; choose one"
        )
    rows = [
        _row(key, row, study, data) for key, row in study["rows"].items() if row is not None
    ]  # fmt: skip
    if not rows:
        raise ConfigError("study.rows must keep a row; remove fewer of them")
    return rows


def _row(key: str, row: Mapping[str, Any], study: Mapping[str, Any], data: Any) -> Row:
    place = f"study.rows.{key}"
    known("rows", row, place)
    changed = _env(study, row, place, data)
    of, training = row.get("policies"), None
    if of is not None and (not study["rows"].get(of) or study["rows"][of].get("policies")):
        raise ConfigError(
            f"{place}.policies must be a row of the study with policies of its own, got {of!r}; "
            "keep that row"
        )
    source = study["rows"][of] if of is not None else row
    on = source.get("trained_on")
    if on is not None:
        known("trained_on", on, f"{place}.trained_on")
        training = _env(study, {"env": source["env"], **on}, f"{place}.trained_on", data)
    elif of is not None:
        training = _env(study, source, place, data)
    return Row(
        key, str(row.get("title", key)), changed,
        (study.get("hedgers") or {}).get(row["env"]) or {}, row.get("algo") or {},
        row.get("published"), row.get("quoted") or {}, training, of,
    )  # fmt: skip


def _env(study: Mapping[str, Any], row: Mapping[str, Any], place: str, data: Any) -> Json:
    """Terms and market of an environment of the study, with a row's changes."""
    envs, name = study.get("envs") or {}, row.get("env")
    if name not in envs:
        raise ConfigError(
            f"{place}.env must be one of study.envs, {', '.join(envs)}, got {name!r}; correct it"
        )
    changed = {part: merged(envs[name][part], row.get(part) or {}) for part in ("terms", "market")}
    return found_in(changed, data, place)


def found_in(env: Json, data: Any, place: str) -> Json:
    """Name the folder of tables where an environment plays recorded prices and names none."""
    out = dict(env)
    for key, value in env.items():
        if isinstance(value, Mapping):
            out[key] = found_in(dict(value), data, place)
    if str(env.get("_target_", "")).startswith(RECORDED) and env.get("data") is None:
        if data is None:
            raise ConfigError(
                f"{place} plays recorded prices and no folder of tables is named: give data=DIR"
                + (f", or leave the row out with {place}=null" if place.count(".") == 2 else "")
            )
        out["data"] = str(data)
    return out


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
