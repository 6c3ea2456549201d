"""Recompute what official contracts computed: `python -m experiments.validate vectors=DIR`.

Every file FAMILY.json of the folder is read, and every row of it recomputed by the kernels that the
simulation runs. Integers are compared digit by digit, up to 256 bits. Tolerances: 1e-9 relative for
rates, indices and prices; for token amounts the larger of that and three of the token's smallest
units, since a chain rounds to integers (1e-8 for StableSwap trades under 1e-5 of the pool);
branches, booleans and indices exact.

It prints one line per family (rows, quantities compared, the largest relative error where the
relative tolerance decides and not the chain's rounding, the largest error as a share of what is
allowed, failed rows), the first failures by name, and in its last line `N passed, N failed`,
counted in rows. Exit code 1 if any row failed.

    vectors=DIR     folder of vectors; required
    family=NAME     only this one
    show=20         failures to print per family
"""

import importlib
import json
import pkgutil
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments import validation
from experiments.validation.check import Check
from experiments.words import REQUIRED, wants_help, words
from sim.errors import InputError

ELSEWHERE = {"hedging": "checked by the command of the hedging benchmark"}
_SHARED = ("check", "alone")  # modules of the package that are no families
_PLACE = re.compile(r"([^\[\s]+)\[(\d+)")


@dataclass
class Tally:
    """What was found in one family."""

    family: str
    rows: dict[str, bool] = field(default_factory=dict)  # row -> whether all of it agrees
    quantities: int = 0
    relative: float = 0.0  # largest relative error among quantities that digits decide
    share: float = 0.0  # largest error among all numbers, as a share of what is allowed
    failures: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)  # what no check looked at
    _broken: int = 0

    def add(self, check: Check) -> None:
        """Take one comparison in."""
        self.quantities += 1
        row = check.row
        passed = check.passed
        self.rows[row] = self.rows.get(row, True) and passed
        if not passed:
            self.failures.append(str(check))
        elif check.kind != "exact" and check.error is not None:
            self.share = max(self.share, float(check.error / check.allowed))
            if check.by_digits:
                self.relative = max(self.relative, check.relative_error)

    def stop(self, error: Exception) -> None:
        """Note that a row could not be recomputed at all."""
        after = f" after {next(reversed(self.rows))}" if self.rows else ""
        self.failures.append(
            f"stopped{after}: {type(error).__name__}: {error}; its later rows are not checked"
        )
        self._broken = 1

    @property
    def failed(self) -> int:
        """Rows that disagree, and one more where the family stopped."""
        return sum(not passed for passed in self.rows.values()) + self._broken

    @property
    def passed(self) -> int:
        """Rows that agree."""
        return sum(self.rows.values())


def families() -> list[str]:
    """Names of the families that there is a module for."""
    found = (module.name for module in pkgutil.iter_modules(validation.__path__))
    return sorted(name for name in found if name not in _SHARED)


def tally(family: str, document: dict[str, Any]) -> Tally:
    """Recompute one family."""
    found = Tally(family)
    module = importlib.import_module(f"{validation.__name__}.{family}")
    try:
        for check in module.checks(document):
            found.add(check)
    except (ArithmeticError, AttributeError, InputError, LookupError, TypeError, ValueError) as bad:
        found.stop(bad)
    found.missed = list(_missed(document, found.rows))
    return found


def _missed(document: dict[str, Any], rows: Iterable[str]) -> Iterable[str]:
    """Blocks of a document with more rows than were checked."""
    seen: dict[str, set[int]] = {}
    for row in rows:
        place = _PLACE.match(row)
        if place:
            seen.setdefault(place[1], set()).add(int(place[2]))
    for block, content in document.items():
        held = content.get("rows", content) if isinstance(content, dict) else content
        if isinstance(held, list | dict) and held:
            left = len(held) - len(seen.get(block, ()))
            if left > 0:
                yield f"{left} of {len(held)} rows of {block} have no check"


def read(path: Path) -> dict[str, Any]:
    """Read one file of vectors."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name} must be a JSON file of vectors: {error}") from error
    if not isinstance(document, dict):
        raise InputError(
            f"{path.name} must hold an object with blocks of rows, got a {type(document).__name__}"
        )
    return document


def _files(folder: Path, family: str | None) -> list[Path]:
    """Files of the folder, or the one of a family."""
    if not folder.is_dir():
        raise InputError(f"vectors must name a folder, got {folder}, which is none")
    files = sorted(folder.glob("*.json"))
    if not files:
        raise InputError(f"vectors must hold files FAMILY.json, but {folder} has none")
    if family is None:
        return files
    chosen = [path for path in files if path.stem == family]
    if not chosen:
        names = ", ".join(path.stem for path in files)
        raise InputError(f"family must be one of the files of {folder}, got {family}: {names}")
    return chosen


def _line(found: Tally) -> str:
    """One line of the table."""
    return (
        f"{found.family:<18} {len(found.rows):>6} {found.quantities:>10} {found.relative:>14.1e} "
        f"{found.share:>12.1%} {found.failed:>7}"
    )


def command(argv: list[str]) -> int:
    """Check a folder and print the table."""
    given = words(argv, vectors=REQUIRED, family=None, show=20)
    known = families()
    passed = failed = 0
    header = ("family", "rows", "quantities", "worst relative", "of tolerance", "failed")
    print("{:<18} {:>6} {:>10} {:>14} {:>12} {:>7}".format(*header))
    for path in _files(Path(given["vectors"]).expanduser(), given["family"]):
        if path.stem in ELSEWHERE:
            print(f"{path.stem:<18} skipped: {ELSEWHERE[path.stem]}")
        elif path.stem not in known:
            print(f"{path.stem:<18} skipped: no family of that name; known: {', '.join(known)}")
        else:
            found = tally(path.stem, read(path))
            passed, failed = passed + found.passed, failed + found.failed
            print(_line(found))
            for text in found.failures[: given["show"]]:
                print(f"    failed: {text}")
            hidden = len(found.failures) - given["show"]
            if hidden > 0:
                print(f"    and {hidden} more; show=N prints more of them")
            for text in found.missed:
                print(f"    not checked: {text}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def main() -> None:
    """Run the command line; errors on purpose are one sentence and a non-zero exit."""
    from experiments.cli import guarded

    if wants_help(sys.argv[1:]):
        print(__doc__)
        return
    sys.exit(guarded(lambda: command(sys.argv[1:])))


if __name__ == "__main__":
    main()
