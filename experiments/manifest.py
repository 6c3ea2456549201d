"""What a run folder is: the manifest that names its config, seed, versions and tasks."""

import hashlib
import json
import os
import platform
import uuid
from collections.abc import Iterator, Mapping
from importlib import metadata, util
from pathlib import Path
from typing import Any

from sim.errors import ConfigError, InputError

NAME = "manifest.json"
_PACKAGES = ("sim", "agents", "envs")
_LIBRARIES = ("faultline", "numpy", "numba", "mesa", "pyarrow")


def canonical(value: Any) -> str:
    """Write a config as JSON with sorted keys: the same text for the same config, everywhere.

    Parameters
    ----------
    value : mapping, sequence, str, number, bool or None
        A resolved config; no NaN, no infinity, nothing that JSON does not know.

    Returns
    -------
    str
        JSON without blanks.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"a config must hold numbers, texts, lists and mappings only, since results are "
            f"keyed by it, and this one does not ({error}): resolve it before planning tasks"
        ) from error


def code_digest(function: str) -> str:
    """Digest of the sources that results depend on: sim, agents, envs and the function's module.

    Parameters
    ----------
    function : str
        Import path `module:function`.

    Returns
    -------
    str
        16 hexadecimal digits. Edit the simulator and it changes: rows that two versions of the
        simulator computed must never be merged into one table.
    """
    digest = hashlib.blake2b(digest_size=8)
    for name in _PACKAGES:
        spec = util.find_spec(name)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for path in sorted(Path(folder).rglob("*.py")):
                digest.update(f"{name}/{path.relative_to(folder).as_posix()}\n".encode())
                digest.update(path.read_bytes())
    module = function.partition(":")[0]
    try:
        spec = util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is not None and spec.origin and Path(spec.origin).is_file():
        digest.update(Path(spec.origin).read_bytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that results depend on."""
    found = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            found[library] = "not installed"
    return found


def load(folder: Path) -> dict[str, Any] | None:
    """Read the manifest of a run folder; None where there is none."""
    path = folder / NAME
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise InputError(
            f"{path} must be the JSON that describes this run, and it is not ({error}): move the "
            f"folder {folder} away or choose another, and run the command again"
        ) from error
    if not isinstance(found, dict) or not isinstance(found.get("tasks"), list):
        raise InputError(
            f"{path} must describe a run of faultline, and it does not: choose another folder"
        )
    return found


def save(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest in one step: a reader sees the old one or the new one."""
    replace_text(folder / NAME, json.dumps(manifest, indent=1) + "\n")


def replace_text(path: Path, text: str) -> None:
    """Put a text file in place by an atomic rename."""
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        temporary.write_text(text)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_same_run(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse a folder whose results come from another config, seed, function or code.

    Parameters
    ----------
    folder : Path
        The run folder.
    found, wanted : mapping
        Its manifest, and the one that this run would write.
    """
    for field in ("function", "seed", "worlds", "config"):
        for name, old, new in _differences(field, found.get(field), wanted[field]):
            raise InputError(
                f"the folder {folder} holds another run, made with {name}={old} where this one "
                f"has {name}={new}: choose another folder, or move that one away"
            )
    if found.get("code") != wanted["code"]:
        raise InputError(
            f"the folder {folder} was made by another version of the simulator (sources "
            f"{found.get('code')}, now {wanted['code']}), and rows of two versions do not belong "
            f"in one table: choose another folder, or move that one away"
        )


def check_same_versions(folder: Path, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Refuse to complete a run under other libraries than it was begun with."""
    for library, version in wanted.items():
        if found.get(library) != version:
            raise InputError(
                f"the folder {folder} was begun with {library} {found.get(library)} and this is "
                f"{library} {version}, which may round differently: install the former to "
                f"complete it, or choose another folder"
            )


_ABSENT = object()


def _differences(name: str, old: Any, new: Any) -> Iterator[tuple[str, str, str]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _differences(
                key if name == "config" else f"{name}.{key}",
                old.get(key, _ABSENT),
                new.get(key, _ABSENT),
            )
    elif old != new:
        yield name, _shown(old), _shown(new)


def _shown(value: Any) -> str:
    text = "(nothing)" if value is _ABSENT else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
