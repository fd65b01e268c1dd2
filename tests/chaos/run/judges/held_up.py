"""Writes that were sent while their sender led and arrived later: what no program can take back any more.

A server that stands still has requests in its kernel's queue, and carries them out when it goes on, although their
sender has reset the connection. A network that loses every packet for a while does so only with what the server had
half of; it notices then that nobody waits for the answer, and breaks off (504).
"""

from collections.abc import Iterable

from tests.chaos.acting import Act
from tests.chaos.run.evidence import Span

_FROZEN = "API server frozen"
_SILENT = "network silent"
_AFTER = 2.0
_BROKEN_OFF = 504


def held_up(act: Act, spans: Iterable[Span]) -> bool:
    """Whether the act was received just after its way had stood still."""
    received = act.received / 1e6
    host = act.user.rpartition(":")[2]
    return any(
        span.until - 0.1 <= received <= span.until + _AFTER
        and (span.kind == _FROZEN or (span.kind == _SILENT and span.whom == host and act.status == _BROKEN_OFF))
        for span in spans
    )
