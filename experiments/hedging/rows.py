"""Rows of a table of environments: one environment, changed row by row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sim.errors import ConfigError

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One environment of a table.

    Attributes
    ----------
    key, title : str
    env : dict
        `terms` and `market`, with the row's changes.
    published, delta : dict or None
        mean, sd, y of the published agent and of its delta hedge, on other paths.
    """

    key: str
    title: str
    env: Json
    published: Mapping[str, float] | None = None
    delta: Mapping[str, float] | None = None


def rows_of(config: Mapping[str, Any]) -> list[Row]:
    """Rows that a configuration asks for: those of its table, or its one environment."""
    study, env = config.get("study"), config["env"]
    if study is None:
        return [Row("", "", dict(env))]
    if not isinstance(study, Mapping) or not study.get("rows"):
        raise ConfigError("study must be a file of conf/study with rows; choose one of them")
    out = []
    for key, row in study["rows"].items():
        if row is None:
            continue
        unknown = set(row) - {"title", "terms", "market", "published", "delta"}
        if unknown:
            raise ConfigError(
                f"study.rows.{key} has title, terms, market, published and delta, got "
                f"{', '.join(sorted(unknown))}; correct it"
            )
        changed = {part: merged(env[part], row.get(part) or {}) for part in ("terms", "market")}
        out.append(
            Row(key, str(row.get("title", key)), changed, row.get("published"), row.get("delta"))
        )
    if not out:
        raise ConfigError("study.rows must keep a row; remove fewer of them")
    return out


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Json:
    """Put changes over a description, key by key."""
    out = dict(base)
    for key, value in changes.items():
        old = out.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping) and "_target_" not in value
        out[key] = merged(old, value) if both and isinstance(old, Mapping) else value
    return out
