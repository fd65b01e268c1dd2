"""How old a replica's knowledge may rightly be: as old as the faults that kept news from it, and a moment more."""

from collections.abc import Iterable

from tests.chaos.run.records.evidence import FaultSpan

MOMENT = 3.0
UNREAD = 2.0
"""Seconds by which this test, on a busy machine, may itself read the table's stream late."""

_LONGEST = 45.0


def stale_since(spans: Iterable[FaultSpan], replica: str, at: float) -> float:
    """What was in force at some time from here until `at`, a replica may take for true at `at`. `replica` "": any."""
    concerned = sorted(
        (span for span in spans if not replica or span.replica in {"", replica}), key=lambda span: span.at, reverse=True
    )
    since = at - MOMENT
    changed = True
    while changed:
        changed = False
        for span in concerned:
            if span.until >= since and span.at < at and span.at - MOMENT < since:
                since, changed = span.at - MOMENT, True
    return max(since, at - _LONGEST)
