"""How stale a replica's knowledge may be: as old as the faults that kept events from it, plus a moment."""

from collections.abc import Iterable

from tests.chaos.run.records.evidence import FaultSpan

MOMENT = 3.0
UNREAD = 2.0
"""Seconds by which the test itself may read the table's stream late on a busy machine."""

_LONGEST = 45.0


def stale_since(spans: Iterable[FaultSpan], replica: str, at: float) -> float:
    """Returns the start of the time range whose state a replica may still assume at `at`; replica "" means any."""
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
