"""Results on disk, addressed by what was asked: the only truth about what has been computed.

    <run>/manifest.json              config, seed, versions, tasks, failures
    <run>/parts/<key>/<table>.parquet  the tables of one task
    <run>/parts/<key>/part.json      their sizes and the worlds that ended in an error
    <run>/started/<key>              a worker has begun this task and not ended it
    <run>/lock                       held by the one driver

A part is written to a temporary folder beside its place and put there by a rename, so it is
whole or absent whoever dies when. Two workers that compute the same task write the same rows;
the second to arrive throws its copy away.
"""

import fcntl
import hashlib
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import manifest
from sim.errors import ConfigError, InputError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_HEADER = "part.json"
_ORDER = ("world", "step", "seq")


@dataclass(frozen=True, slots=True)
class Task:
    """A slice of the worlds of one study.

    Attributes
    ----------
    key : str
        Hash of the three things below: the name of the part that holds its result.
    config : mapping
        Resolved config, as far as results depend on it; what JSON can say.
    seed : int
        Seed of every random stream.
    first, stop : int
        World ids `first, ..., stop - 1`.
    """

    key: str
    config: Mapping[str, Any]
    seed: int
    first: int
    stop: int


def plan(config: Mapping[str, Any], seed: int, worlds: int, chunk: int) -> list[Task]:
    """Cut a study into tasks.

    Parameters
    ----------
    config : mapping
        Resolved config, without what results do not depend on (engine, folder, chunk).
    seed : int
        Seed of every random stream.
    worlds : int
        Number of worlds, at least 1; their ids are `0, ..., worlds - 1`.
    chunk : int
        Worlds per task, at least 1; the last task takes what is left, and a chunk larger than
        the study is the whole study.

    Returns
    -------
    list of Task
        In the order of their worlds.
    """
    _check_whole("seed", seed, 0, "a seed")
    _check_whole("worlds", worlds, 1, "the number of worlds")
    _check_whole("chunk", chunk, 1, "the number of worlds that one task computes")
    text = manifest.canonical(config)
    resolved = json.loads(text)
    return [
        Task(_key(text, seed, first, stop), resolved, seed, first, stop)
        for first, stop in ((w, min(w + chunk, worlds)) for w in range(0, worlds, chunk))
    ]


def run_digest(function: str, config: Mapping[str, Any], seed: int) -> str:
    """Name a run by what its rows depend on: 10 hexadecimal digits for the folder's name.

    Parameters
    ----------
    function : str
        Import path `module:function` of what computes the worlds.
    config : mapping
        As in `plan`.
    seed : int
        As in `plan`.

    Returns
    -------
    str
        Changes with the config, the seed and the simulator's sources, so that an edited simulator
        starts a new folder and an unedited one finds its results again.
    """
    text = manifest.canonical([function, config, seed, manifest.code_digest(function)])
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


class Store:
    """One run folder.

    Parameters
    ----------
    folder : str or Path
        The run folder; created when a run begins.
    about : mapping, optional
        More to keep in the manifest under `about`, as the whole config with engine and chunk.
    """

    def __init__(self, folder: str | Path, about: Mapping[str, Any] | None = None) -> None:
        self.folder = Path(folder)
        self._about = dict(about or {})
        self._parts = self.folder / "parts"
        self._started = self.folder / "started"

    # What a driver does

    @contextmanager
    def driving(self, function: str, tasks: Sequence[Task]) -> Iterator[list[Task]]:
        """Hold the folder for one driver, after checking that it belongs to this run.

        Parameters
        ----------
        function : str
            Import path of what computes the tasks.
        tasks : sequence of Task
            All tasks of the run, from `plan`.

        Yields
        ------
        list of Task
            The tasks to compute: a folder that was begun with another chunk size keeps its slices.
        """
        wanted = self._describe(function, tasks)
        found = manifest.load(self.folder)
        if found is not None:
            manifest.check_same_run(self.folder, found, wanted)
        elif self._parts.exists():
            raise InputError(
                f"the folder {self.folder} holds parts and no {manifest.NAME}, so nobody knows "
                f"what they are: choose another folder, or move that one away"
            )
        with self._locked():
            found = manifest.load(self.folder)
            if found is not None:
                tasks = _same_slices(found, tasks)
                self.check()
                if len(self.done()) < len(tasks):
                    manifest.check_same_versions(
                        self.folder, found.get("versions", {}), wanted["versions"]
                    )
                    self._sweep()
            else:
                self._writable(lambda: manifest.save(self.folder, wanted))
            self._writable(lambda: self._parts.mkdir(exist_ok=True))
            self._writable(lambda: self._started.mkdir(exist_ok=True))
            yield list(tasks)

    def conclude(self, failed: Sequence[Mapping[str, Any]], wall_seconds: float) -> None:
        """Write into the manifest how the run ended so far."""
        found = self.manifest()
        found["failed"] = list(failed)
        found["complete"] = len(self.done()) == len(found["tasks"])
        found["wall_seconds"] = round(found["wall_seconds"] + wall_seconds, 3)
        self._writable(lambda: manifest.save(self.folder, found))

    def check(self) -> None:
        """Refuse a folder with a damaged part, naming the file; nothing is changed."""
        for key in self.done():
            header = self.header(key)
            for name, table in header["tables"].items():
                path = self._parts / key / f"{name}.parquet"
                size = path.stat().st_size if path.exists() else -1
                if size != table["bytes"]:
                    came = f"has {size}" if size >= 0 else "is missing"
                    raise self._damaged(key, path, f"should have {table['bytes']} bytes and {came}")

    def marks(self) -> dict[str, dict[str, Any]]:
        """Tasks that were begun and not ended, with who began them."""
        found = {}
        for path in self._started.iterdir():
            try:
                found[path.name] = json.loads(path.read_text())
            except (FileNotFoundError, ValueError):  # ended just now, or its worker died writing
                found[path.name] = {}
        return found

    def clear_marks(self) -> None:
        """Forget who began what."""
        for path in self._started.iterdir():
            path.unlink(missing_ok=True)

    # What a worker does

    def mark(self, key: str, driver: int) -> None:
        """Say that this process begins a task.

        Parameters
        ----------
        key : str
            The task.
        driver : int
            Process id of the driver: a task that runs in the driver itself is one that may have
            killed it.
        """
        mark = {"pid": os.getpid(), "host": socket.gethostname(), "driver": os.getpid() == driver}
        (self._started / key).write_text(json.dumps(mark))

    def unmark(self, key: str) -> None:
        """Say that a task has ended."""
        (self._started / key).unlink(missing_ok=True)

    def put(
        self,
        task: Task,
        tables: Mapping[str, "pa.Table"],
        errors: Sequence[int],
        seconds: float = 0.0,
    ) -> None:
        """Put the result of a task in place, whole or not at all.

        Parameters
        ----------
        task : Task
            What was computed.
        tables : mapping of str to pyarrow.Table
            Its tables, each with a column `world`.
        errors : sequence of int
            Ids of its worlds that ended in an error.
        seconds : float
            How long it took, s.
        """
        import pyarrow.parquet as pq

        place = self._parts / task.key
        temporary = self._parts / f".{task.key}-{uuid.uuid4().hex}"
        sizes = {}
        try:
            temporary.mkdir()
            for name, table in tables.items():
                path = temporary / f"{name}.parquet"
                pq.write_table(table, path, compression="zstd", write_page_checksum=True)
                sizes[name] = {"rows": table.num_rows, "bytes": path.stat().st_size}
            header = {
                "first": task.first,
                "stop": task.stop,
                "errors": list(errors),
                "seconds": round(seconds, 3),
                "tables": sizes,
            }
            (temporary / _HEADER).write_text(json.dumps(header))
            try:
                os.rename(temporary, place)
            except OSError:
                if not place.is_dir():  # else a twin of this task was faster, with the same rows
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    # What anybody may ask

    def has(self, key: str) -> bool:
        """Whether the result of a task is in place."""
        return (self._parts / key).is_dir()

    def done(self) -> set[str]:
        """Keys of the tasks whose results are in place."""
        try:
            return {name for name in os.listdir(self._parts) if not name.startswith(".")}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def header(self, key: str) -> dict[str, Any]:
        """Read what a part says about itself: worlds, errors, seconds, sizes of its tables."""
        path = self._parts / key / _HEADER
        try:
            header = json.loads(path.read_text())
            return {field: header[field] for field in ("first", "stop", "errors", "tables")}
        except FileNotFoundError as error:
            raise self._damaged(key, path, "is missing") from error
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(key, path, "is cut off") from error

    def manifest(self) -> dict[str, Any]:
        """Read the manifest."""
        found = manifest.load(self.folder)
        if found is None:
            raise InputError(
                f"the folder {self.folder} holds no {manifest.NAME}, so it is not a run of "
                f"faultline: name the folder that a run has written"
            )
        return found

    def names(self) -> list[str]:
        """Names of the tables that the run has."""
        return sorted({name for key in self.done() for name in self.header(key)["tables"]})

    def read(
        self, name: str, columns: Sequence[str] | None = None, world: int | None = None
    ) -> "pd.DataFrame":
        """Read one table of the whole run, or of one world.

        Parameters
        ----------
        name : str
            Name of the table, as in `worlds`.
        columns : sequence of str, optional
            Columns to read; all when left out.
        world : int, optional
            The one world to read; all when left out.

        Returns
        -------
        pandas.DataFrame
            Ordered by world, step and seq as far as the table has them, row for row the same
            whatever the engine, the chunk size and the order of completion.
        """
        tables = []
        for task in self.manifest()["tasks"]:
            key = task["key"]
            if world is not None and not task["first"] <= world < task["stop"]:
                continue
            if self.has(key) and name in self.header(key)["tables"]:
                tables.append(self._load(key, name, columns))
        if not tables:
            known = ", ".join(self.names()) or "none"
            raise InputError(f"the run {self.folder} has no table {name}: it has {known}")
        # A text column has few values and up to 10^8 rows.
        frame = stack(tables).to_pandas(strings_to_categorical=columns is not None)
        if world is not None:
            frame = frame[frame["world"] == world]
        order = [column for column in _ORDER if column in frame.columns]
        return frame.sort_values(order, kind="stable", ignore_index=True) if order else frame

    # Parts of the above

    def _load(self, key: str, name: str, columns: Sequence[str] | None) -> "pa.Table":
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._parts / key / f"{name}.parquet"
        try:
            if columns is not None:
                # The table of a part whose worlds all failed has the columns of an error only.
                names = pq.read_schema(path).names
                columns = [column for column in columns if column in names]
            return pq.ParquetFile(path, page_checksum_verification=True).read(columns=columns)
        except (pa.ArrowException, OSError) as error:
            reason = str(error).strip().splitlines()[0]
            raise self._damaged(key, path, f"cannot be read ({reason})") from error

    def _damaged(self, key: str, path: Path, what: str) -> InputError:
        return InputError(
            f"a part of the results is damaged: {path} {what}; delete the folder "
            f"{self._parts / key} and run the same command again to compute its worlds anew"
        )

    def _describe(self, function: str, tasks: Sequence[Task]) -> dict[str, Any]:
        return {
            "function": function,
            "seed": tasks[0].seed,
            "worlds": tasks[-1].stop,
            "config": tasks[0].config,
            "code": manifest.code_digest(function),
            "versions": manifest.versions(),
            "about": self._about,
            "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "wall_seconds": 0.0,
            "complete": False,
            "failed": [],
            "tasks": [{"key": t.key, "first": t.first, "stop": t.stop} for t in tasks],
        }

    def _writable(self, write: Any) -> Any:
        try:
            return write()
        except OSError as error:
            raise InputError(
                f"the output folder {self.folder} cannot be written "
                f"({error.strerror or type(error).__name__}): choose a folder that can be"
            ) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._writable(lambda: self.folder.mkdir(parents=True, exist_ok=True))
        with self._writable(lambda: (self.folder / "lock").open("a+")) as lock:
            try:
                # The kernel drops this lock with its holder, however that dies.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                raise InputError(
                    f"another run is writing to {self.folder} ({lock.read().strip()}): wait for "
                    f"it to end, stop it, or choose another folder"
                ) from error
            except OSError as error:
                raise InputError(
                    f"the file system of {self.folder} knows no locks ({error.strerror}), so two "
                    f"runs could mix there: choose another folder"
                ) from error
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()}")
            lock.flush()
            yield

    def _sweep(self) -> None:
        # A worker of a killed driver may still be writing into such a folder: renamed away first,
        # it can no longer be put in place half deleted.
        for path in self._parts.glob(".*"):
            doomed = path.with_name(f".doomed-{uuid.uuid4().hex}")
            os.rename(path, doomed)
            shutil.rmtree(doomed, ignore_errors=True)


def stack(tables: Sequence["pa.Table"]) -> "pa.Table":
    """Put tables under one another; a column that one lacks is null in its rows.

    The columns come in the order of the widest table, since a world that ended in an error has
    only a few: their order must not depend on which world comes first.
    """
    import pyarrow as pa

    schemas = sorted((table.schema for table in tables), key=len, reverse=True)
    schema = pa.unify_schemas(schemas, promote_options="permissive")
    whole = pa.concat_tables(tables, promote_options="permissive")
    return whole.select(schema.names)


def _key(config: str, seed: int, first: int, stop: int) -> str:
    text = f"{config}|{seed}|{first}|{stop}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _same_slices(found: Mapping[str, Any], tasks: Sequence[Task]) -> list[Task]:
    like = tasks[0]
    return [
        Task(slice_["key"], like.config, like.seed, slice_["first"], slice_["stop"])
        for slice_ in found["tasks"]
    ]


def _check_whole(field: str, value: Any, least: int, meaning: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(
            f"{field} must be a whole number of at least {least}, got {value!r}: it is {meaning}"
        )
