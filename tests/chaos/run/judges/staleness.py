"""How stale a replica's knowledge may be: as old as the faults that kept events from it, plus a moment."""

from collections.abc import Iterable

from tests.chaos.run.records.evidence import Action, FaultSpan

MOMENT = 3.0
UNREAD = 2.0
"""Seconds by which the test itself may read the table's stream late on a busy machine."""

_LONGEST = 45.0
_QUEUED = 2.0
"""Seconds in which a server that resumes executes the requests in its queue."""


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


def applied_by(spans: Iterable[FaultSpan], action: Action) -> float:
    """Returns the latest time at which an action took effect.

    One that failed at the client may have been waiting in the queue of a server that was frozen, and take effect when
    the server resumes.
    """
    if not action.failed:
        return action.until
    by = action.until
    for span in sorted((span for span in spans if not span.replica), key=lambda span: span.at):
        if span.at <= by and action.at <= span.until:
            by = max(by, span.until + _QUEUED)
    return by
