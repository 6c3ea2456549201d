"""What every training is: a setting in, a model folder out, resumable, judged by validation."""

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.hedgers.learned import Learned
from agents.hedgers.model_file import ABOUT, Model, save
from agents.hedgers.network import Network
from experiments.hedging.play import VALIDATION, Setting, bound, play
from experiments.progress import Progress
from sim.errors import ConfigError, InputError

Json = dict[str, Any]
MODEL, LOG, STATE = "model", "training.json", "state"


def need_torch(what: str) -> Any:
    """Import torch with one thread, or say what is missing."""
    try:
        import torch
    except ImportError:
        raise ConfigError(
            f"{what} needs torch, which is not installed; install the extra as in "
            "pip install 'faultline[rl]'"
        ) from None
    torch.set_num_threads(1)  # two threads on two busy cores were 4 to 10 times slower
    return torch


@dataclass
class Session:
    """One training: where it writes, how it is judged, what it has seen.

    Attributes
    ----------
    setting : Setting
    seed : int
    folder : Path
        Of this training alone.
    paths : int
        Of a validation.
    about : mapping
        What identifies the training: another one in the same folder is refused.
    shown : bool
        Whether progress is shown.
    tensorboard : bool
    """

    setting: Setting
    seed: int
    folder: Path
    paths: int
    about: Mapping[str, Any]
    shown: bool = True
    tensorboard: bool = False
    log: list[Json] = field(default_factory=list)
    best: float | None = None
    seconds: float = 0.0  # of earlier parts of the same training
    finished: bool = False

    def __post_init__(self) -> None:
        self._begun = time.monotonic()
        self._cpu = time.process_time()
        self._writer: Any = None
        self._read()

    def _read(self) -> None:
        path = self.folder / LOG
        if not path.exists():
            return
        try:
            found = json.loads(path.read_text())
            about, log, best = found["about"], found["log"], found["best"]
            seconds, finished = found["seconds"], found["finished"]
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path} is damaged; remove {self.folder} and train again") from None
        if about != json.loads(json.dumps(self.about, sort_keys=True, default=str)):
            raise ConfigError(
                f"{self.folder} holds a training with other settings; give another name= or remove "
                "the folder"
            )
        self.log, self.best, self.seconds, self.finished = log, best, seconds, finished

    def spent(self) -> float:
        """Seconds of the training so far, interruptions left out."""
        return self.seconds if self.finished else self.seconds + time.monotonic() - self._begun

    def judge(self, network: Network, algorithm: str, steps: int) -> float:
        """Play a policy on the validation paths; keep it where it is the best so far."""
        desk = self.setting.worlds(1, VALIDATION).describe()
        trained = {"algorithm": algorithm, "seed": self.seed, "steps": steps}
        hedger = bound(Learned(model=Model(network, desk, trained)), self.setting)
        played = play(self.setting, hedger, self.seed, VALIDATION, self.paths)
        worth = self.setting.objective(played.cost)
        self.log.append({"steps": steps, "seconds": round(self.spent(), 2), "validation": worth})
        self.record(steps, validation=100.0 * worth)
        if self.best is None or worth < self.best:
            self.best = worth
            told = {
                **trained, "seconds": round(self.spent(), 1), "validation": worth,
                "validation_paths": self.paths, "objective": self.setting.objective.title,
            }  # fmt: skip
            save(self.folder / MODEL, Model(network, desk, told))
        return worth

    def record(self, step: int, **values: float) -> None:
        """Write figures for TensorBoard where that was asked for."""
        if not self.tensorboard:
            return
        if self._writer is None:
            need_torch("tensorboard")
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise ConfigError(
                    "tensorboard=true needs the package tensorboard; install it or leave it out"
                ) from None
            self._writer = SummaryWriter(str(self.folder / "tensorboard"))
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def keep(self, finished: bool = False) -> None:
        """Write the log; a state that is written before it is what resuming starts from."""
        self.seconds, self._begun = self.spent(), time.monotonic()
        self.finished = finished
        told = {
            "about": self.about, "log": self.log, "best": self.best, "seconds": self.seconds,
            "cpu_seconds_of_last_part": time.process_time() - self._cpu, "finished": finished,
        }  # fmt: skip
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f".{LOG}"
        partial.write_text(json.dumps(told, indent=1, sort_keys=True, default=str) + "\n")
        os.replace(partial, self.folder / LOG)
        if self._writer is not None:
            self._writer.flush()

    @property
    def model(self) -> Path:
        """Folder of the best model."""
        return self.folder / MODEL

    @property
    def has_model(self) -> bool:
        """Whether there is one."""
        return (self.model / ABOUT).exists()


class Algorithm(ABC):
    """A way of training, from a file of `conf/algo`."""

    name = "algorithm"

    @abstractmethod
    def train(self, session: Session) -> None:
        """Train to the end, from the state in the session's folder where there is one."""

    def progress(self, session: Session, total: int, done: int, unit: str) -> Progress:
        """Make a bar on a terminal, or lines now and then elsewhere."""
        return Progress(total, done, session.shown, unit)
