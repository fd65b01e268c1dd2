"""Progress display: a live line with the current step and its duration on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

_STILL_SECONDS = 60.0
# An estimate from the first few packages would be far off.
_ESTIMATE_AFTER_SECONDS = 10.0


def format_duration(seconds: float) -> str:
    """Formats a duration, for example as `12 s` or `3 min 52 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@dataclass(slots=True)
class Counted:
    """How much of a step is done. `began`: monotonic seconds at the first count."""

    began: float
    unit: str = ""
    done: int = 0
    total: int = 0

    def __str__(self) -> str:
        words = f"{self.done} of {self.total} {self.unit}"
        elapsed = time.monotonic() - self.began
        if self.done >= self.total or elapsed < _ESTIMATE_AFTER_SECONDS or not self.done:
            return words
        left = elapsed * (self.total - self.done) / self.done
        return f"{words}, about {format_duration(left)} left"


class Progress:
    """Progress display on `stream`, by default standard error. With `quiet`, it shows nothing."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False):
        self._console = Console(file=stream or sys.stderr, quiet=quiet, highlight=False, soft_wrap=True)
        self._bar: Bar | None = None
        self._counted: Counted | None = None

    def count(self, unit: str, done: int, total: int) -> None:
        """Shows how much of the current step is done, for example `812 of 2340 packages, about 4 min left`."""
        if self._counted is None:
            self._counted = Counted(time.monotonic())
        self._counted.unit, self._counted.done, self._counted.total = unit, done, total
        if self._bar is not None and self._bar.task_ids:
            self._bar.update(self._bar.task_ids[-1], amount=f": {self._counted}")

    def note(self, text: str) -> None:
        """Prints one line."""
        self._console.print(text, markup=False)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Shows `title` while the block runs, and then how long the block took."""
        began = time.monotonic()
        with self._live(title):
            yield
        self._counted = None
        self.note(f"{title}: done in {format_duration(time.monotonic() - began)}")

    @contextmanager
    def _live(self, title: str) -> Iterator[None]:
        if self._console.is_terminal:
            with self._line(title):
                yield
            return
        self.note(title)
        done = threading.Event()
        speaker = threading.Thread(target=self._print_still_running, args=(title, done), daemon=True)
        speaker.start()
        try:
            yield
        finally:
            done.set()
            speaker.join()

    @contextmanager
    def _line(self, title: str) -> Iterator[None]:
        if self._bar is not None:
            task = self._bar.add_task(title, total=None, amount="")
            yield
            self._bar.remove_task(task)
            return
        words = TextColumn("{task.description}{task.fields[amount]}", markup=False)
        with Bar(SpinnerColumn(), words, TimeElapsedColumn(), console=self._console, transient=True) as bar:
            bar.add_task(title, total=None, amount="")
            self._bar = bar
            try:
                yield
            finally:
                self._bar = None

    def _print_still_running(self, title: str, done: threading.Event) -> None:
        began = time.monotonic()
        while not done.wait(_STILL_SECONDS):
            amount = f": {self._counted}" if self._counted is not None else ""
            self.note(f"{title}: still running after {format_duration(time.monotonic() - began)}{amount}")
