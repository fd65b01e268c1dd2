"""What a person has allowed to go beyond the budget: written into the Lease by `gco-stream approve-deletes`.

An approval names each endpoint together with the uids of the objects that were shown. Whatever is made anew, or comes
beside them, is not covered, and neither is anything an hour later.
"""

import hashlib
from collections.abc import Callable, Iterable, Set
from typing import Any, Final

import orjson
import structlog

from gco_stream.engine.deletion.budget import LeaseAnnotations, short_digest

APPROVED_ANNOTATION: Final = "gco.io/approved-deletes"
# 140 KB of the 256 KiB that a Lease's annotations may have.
MAX_APPROVED: Final = 10_000
VALID_SECONDS: Final = 3600
# Whoever approves has another clock.
_MAX_CLOCK_SKEW: Final = 300

_log = structlog.get_logger(__name__)


def entry_of(name: str, uids: Iterable[str]) -> str:
    """What stands for an endpoint and exactly these objects of it."""
    return short_digest(name, *sorted(uids))


def digest_of(entries: Iterable[str]) -> str:
    """What a person names a whole list by."""
    return hashlib.sha256("\n".join(sorted(entries)).encode()).hexdigest()[:12]


def approval_of(entries: Iterable[str], now: float) -> str:
    """The annotation that approves these entries for an hour from `now` (seconds of the wall clock)."""
    return orjson.dumps({"until": int(now) + VALID_SECONDS, "entries": sorted(entries)}).decode()


class Approvals:
    """What the Lease's annotation approves at this moment. `now`: seconds of the wall clock."""

    def __init__(self, lease: LeaseAnnotations, now: Callable[[], float]) -> None:
        self._lease = lease
        self._now = now
        self._text: str | None = None
        self._announced: str | None = None
        self._until = 0.0
        self._entries: frozenset[str] = frozenset()
        # What was approved whole is still approved when some of it has gone.
        self._started: dict[str, tuple[Set[str], float]] = {}

    def is_new(self) -> bool:
        """Whether something is approved that was not when this was asked last."""
        before, self._announced = self._announced, self._lease.annotations.get(APPROVED_ANNOTATION)
        return before != self._announced and self.any

    def _refresh(self) -> None:
        text = self._lease.annotations.get(APPROVED_ANNOTATION)
        if text == self._text:
            return
        self._text = text
        self._until, self._entries = _read(text) if text is not None else (0.0, frozenset())
        if text is not None:
            _log.info("an approval of removals", endpoints=len(self._entries), holds=self._is_valid)

    @property
    def any(self) -> bool:
        """Whether anything is approved now."""
        self._refresh()
        return bool(self._entries) and self._is_valid

    @property
    def _is_valid(self) -> bool:
        # One that would hold for longer was not written by the command.
        return 0 < self._until - self._now() <= VALID_SECONDS + _MAX_CLOCK_SKEW

    @property
    def spent(self) -> bool:
        """Whether the Lease holds an approval that is of no use any more."""
        return not self.any and self._text is not None

    def covers(self, name: str, uids: Set[str]) -> bool:
        """Whether the removal of exactly these objects of the endpoint is approved, or of what is left of them."""
        started, until = self._started.get(name, (frozenset(), 0.0))
        if uids and uids <= started and self._now() < until:
            return True
        return bool(uids) and self.any and entry_of(name, uids) in self._entries

    def start(self, name: str, uids: Set[str]) -> bool:
        """The removal of what is covered begins; whether it had not before."""
        self._refresh()
        now = self._now()
        self._started = {other: started for other, started in self._started.items() if now < started[1]}
        started, _ = self._started.get(name, (frozenset(), 0.0))
        if uids <= started:
            return False
        self._started[name] = (uids, self._until)
        return True


def _read(text: str) -> tuple[float, frozenset[str]]:
    """Until when, and which entries. What makes no sense approves nothing."""
    try:
        found: Any = orjson.loads(text)
        entries = found["entries"]
        if isinstance(entries, list) and all(isinstance(entry, str) for entry in entries):
            return float(found["until"]), frozenset(entries)
    except (orjson.JSONDecodeError, TypeError, KeyError, ValueError):
        pass
    _log.warning("an approval that cannot be read approves nothing", annotation=APPROVED_ANNOTATION, value=text[:80])
    return 0.0, frozenset()
