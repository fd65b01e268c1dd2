"""Writes that were sent while their sender led, but arrived later; no program can revoke these.

A frozen server has requests in its kernel's queue and executes them when it resumes, although their sender has reset
the connection. When a silent network recovers, the kernel of a frozen sender retransmits what had not arrived. If the
sender resets the connection, the server aborts a request that it has received in part (504).
"""

from collections.abc import Iterable

from tests.chaos.leadership.audited_writes import LeaderWrite
from tests.chaos.run.records.evidence import FaultSpan

_FROZEN = "API server frozen"
_SILENT = "network silent"
_AFTER = 2.0
_AT_ONCE = 0.5
_BROKEN_OFF = 504


def delayed_writes(act: LeaderWrite, spans: Iterable[FaultSpan]) -> bool:
    """Whether the write was received just after its path had been blocked."""
    received = act.received / 1e6
    host = act.user.rpartition(":")[2]
    return any(
        (span.kind == _FROZEN and _follows(received, span, _AFTER))
        or (
            span.kind == _SILENT
            and span.replica == host
            and _follows(received, span, _AFTER if act.status == _BROKEN_OFF else _AT_ONCE)
        )
        for span in spans
    )


def _follows(received: float, span: FaultSpan, seconds: float) -> bool:
    return span.until - 0.1 <= received <= span.until + seconds
