"""How far a run is: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any, Self

_SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Counts worlds; draws a bar where somebody looks, and stays quiet in a log file.

    Parameters
    ----------
    total, done : int
        Worlds of the run, and those that were there before it began.
    shown : bool
        False says nothing at all.
    unit : str
        What is counted, if not worlds.
    """

    def __init__(self, total: int, done: int, shown: bool = True, unit: str = "worlds") -> None:
        self._unit = unit
        self._total, self._done, self._before = total, done, done
        self._shown = shown
        self._bar: Any = None
        self._task: Any = None
        self._begun = self._last = time.monotonic()

    def __enter__(self) -> Self:
        if self._shown and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn(self._unit),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=self._total, completed=self._done, rate="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, number: int) -> None:
        """Count what has just been finished."""
        self._done = min(self._done + number, self._total)
        now = time.monotonic()
        rate = (self._done - self._before) / max(now - self._begun, 1e-9)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, rate=f"{_pace(rate)}/s")
        elif not self._shown or self._done == self._total:
            return
        elif now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            left = (self._total - self._done) / max(rate, 1e-9)
            self.say(
                f"{self._done:,} of {self._total:,} {self._unit}, {_pace(rate)} a second, "
                f"{left:,.0f} s to go"
            )

    def say(self, sentence: str) -> None:
        """Print a sentence beside the bar."""
        if not self._shown:
            return
        if self._bar is not None:
            self._bar.console.print(sentence, markup=False, highlight=False)
        else:
            print(sentence, file=sys.stderr, flush=True)


def _pace(rate: float) -> str:
    """Pace per second: with a digit behind the point where there are few."""
    return f"{rate:,.0f}" if rate >= 10.0 else f"{rate:.1f}"
