"""Applies a mutant to a copy of the sources, runs its tests there, and reports the outcome."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory

from tests.mutants.mutant import Mutant, NotApplicable

_SOURCES = ("gco_stream", "tests", "tools", "helm", "pyproject.toml")
# A mutant may make its tests hang, which counts as a failure.
_UNIT_SECONDS, _REAL_SECONDS = 40, 100
_START_SECONDS = 200
_PASSED, _FAILED, _BROKEN = 0, 1, -1
_NOTED = re.compile(r"^FAILED (\S+?)(?:\[.*)?(?: - .*)?$", re.MULTILINE)
# If a server that a test needs does not start, the run proves nothing about the mutant.
_NOT_RUN = re.compile(r"^ERROR ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class MutantResult:
    """The outcome of one mutant. `trouble`: why it was not caught properly, "" if it was.

    `caught_by`: the node IDs of the tests that failed.
    """

    mutant: Mutant
    caught_by: tuple[str, ...]
    seconds: float
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of pytest: its exit code, the failed tests, and its output."""

    code: int
    failed: tuple[str, ...]
    output: str

    @property
    def ended(self) -> bool:
        """Whether every test was run to completion."""
        return self.code in {_PASSED, _FAILED}

    def noticed(self, mutant: Mutant) -> tuple[str, ...]:
        """Returns the mutant's tests that failed."""
        return tuple(test for test in mutant.tests if test in self.failed)


class Copy:
    """A copy of the sources that can be edited; created by `copied`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, tests: Sequence[str], seconds: int = _REAL_SECONDS) -> Run:
        """Runs these tests on the current copy, with a timeout per test."""
        options = ("-q", "-p", "no:cacheprovider", "--tb=no", "-rfE", f"--timeout={seconds}")
        command = [sys.executable, "-m", "pytest", *options, *tests]
        limit = _START_SECONDS + seconds * len(tests)
        try:
            done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            return Run(_BROKEN, (), f"no end after {limit} s")
        output = done.stdout + done.stderr
        code = _BROKEN if _NOT_RUN.search(output) else done.returncode
        return Run(code, tuple(dict.fromkeys(_NOTED.findall(output))), output)

    def judge(self, mutant: Mutant) -> MutantResult:
        """Determines whether each of the mutant's tests detects it."""
        started = time.monotonic()
        try:
            with mutant.applied(self.root):
                run = self.run(mutant.tests, _REAL_SECONDS if mutant.on_real_parts else _UNIT_SECONDS)
        except NotApplicable as error:
            return MutantResult(mutant, (), 0.0, str(error))
        return MutantResult(mutant, run.failed, time.monotonic() - started, failure_summary(mutant, run))


@contextmanager
def copied(root: Path) -> Iterator[Copy]:
    """Creates a copy of the sources at `root` that exists within the block."""
    with TemporaryDirectory(prefix="mutants-") as folder:
        for name in _SOURCES:
            source = root / name
            if source.is_dir():
                copytree(source, Path(folder, name), ignore=ignore_patterns("__pycache__"))
            elif source.exists():
                Path(folder, name).write_bytes(source.read_bytes())
        yield Copy(Path(folder))


def failure_summary(mutant: Mutant, run: Run) -> str:
    """Returns why this run does not catch the mutant properly, "" if it does."""
    if not run.ended:
        return f"the tests could not be run (pytest's exit code {run.code}):\n{run.output[-1000:]}"
    if not run.failed:
        return "survives"
    blind = set(mutant.tests) - set(run.noticed(mutant))
    return f"not noticed by {', '.join(sorted(blind))}" if blind else ""
