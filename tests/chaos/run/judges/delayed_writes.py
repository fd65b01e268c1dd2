"""Writes that were sent while their sender led and arrived later: what no program can take back any more.

A server that stands still has requests in its kernel's queue, and carries them out when it goes on, although their
sender has reset the connection. After a silence of the network the kernel of a sender that is itself stopped sends
again what had not arrived. Where a sender has reset the connection, the server breaks off what it had half of (504).
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
    """Whether the act was received just after its way had stood still."""
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
