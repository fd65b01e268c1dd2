"""Records actions and faults with their times, in memory for the judges and as lines in a file for people."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from tests.chaos.run.records.evidence import Action, FaultSpan


class ActionLog:
    """A thread-safe log of actions and faults."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._lock = threading.Lock()
        self._deeds: list[Action] = []
        self._spans: list[FaultSpan] = []
        self._open: dict[int, FaultSpan] = {}

    def close(self) -> None:
        self._file.close()

    def note(self, what: str, **fields: Any) -> None:
        """Writes a line to the file."""
        line = orjson.dumps({"at": round(time.time(), 3), "what": what, **fields}, default=str)
        with self._lock:
            self._file.write(line + b"\n")

    def record_action(self, deed: Action) -> None:
        with self._lock:
            self._deeds.append(deed)
        self.note(
            deed.what,
            actor=deed.actor,
            name=deed.name,
            began=round(deed.at, 3),
            mark=deed.mark,
            about=deed.about,
            failed=deed.failed,
        )

    @contextmanager
    def fault(self, kind: str, whom: str = "", **fields: Any) -> Iterator[None]:
        """Records a fault that lasts as long as the block."""
        began = time.time()
        span = FaultSpan(began, float("inf"), kind, whom)
        with self._lock:
            self._open[id(span)] = span
        self.note(f"fault {kind}", whom=whom, **fields)
        try:
            yield
        finally:
            ended = FaultSpan(began, time.time(), kind, whom)
            with self._lock:
                del self._open[id(span)]
                self._spans.append(ended)
            self.note(f"end of {kind}", whom=whom, seconds=round(ended.until - began, 2))

    def actions(self) -> tuple[Action, ...]:
        with self._lock:
            return tuple(self._deeds)

    def spans(self) -> tuple[FaultSpan, ...]:
        with self._lock:
            return tuple(sorted(self._spans, key=lambda span: span.at)) + tuple(self._open.values())
