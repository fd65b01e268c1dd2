"""A RecordProcessor for tests."""

from collections.abc import Callable
from dataclasses import dataclass

from gco_stream.stream.consumer import Mode, StreamRecord


@dataclass(frozen=True, slots=True)
class RecordProcessorFuncs:
    """A RecordProcessor that calls the given functions."""

    on_record: Callable[[StreamRecord], None]
    on_gap: Callable[[str], None]
    on_mode: Callable[[Mode, str], None]
    on_call: Callable[[str, str, float], None] = lambda *_: None
