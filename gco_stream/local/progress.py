"""Progress display: a live line with the current step and its duration on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

_STILL_SECONDS = 60.0


def format_duration(seconds: float) -> str:
    """Formats a duration, for example as `12 s` or `3 min 52 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Progress:
    """Progress display on `stream`, by default standard error. With `quiet`, it shows nothing."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False):
        self._console = Console(file=stream or sys.stderr, quiet=quiet, highlight=False, soft_wrap=True)
        self._bar: Bar | None = None

    def note(self, text: str) -> None:
        """Prints one line."""
        self._console.print(text, markup=False)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Shows `title` while the block runs, and then how long the block took."""
        began = time.monotonic()
        with self._live(title):
            yield
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
            task = self._bar.add_task(title, total=None)
            yield
            self._bar.remove_task(task)
            return
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        with Bar(*columns, console=self._console, transient=True) as bar:
            bar.add_task(title, total=None)
            self._bar = bar
            try:
                yield
            finally:
                self._bar = None

    def _print_still_running(self, title: str, done: threading.Event) -> None:
        began = time.monotonic()
        while not done.wait(_STILL_SECONDS):
            self.note(f"{title}: still running after {format_duration(time.monotonic() - began)}")
