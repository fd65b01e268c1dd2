"""Approvals of removals beyond the budget, written to the Lease by `gco-stream approve-deletes`.

For each endpoint, an approval contains a digest of its name and of the UIDs of its objects. It therefore does not cover
objects that are created later. It expires after one hour.
"""

import hashlib
from collections.abc import Callable, Iterable, Set
from typing import Any, Final

import orjson
import structlog

from gco_stream.engine.deletion.budget import LeaseAnnotations, short_digest

APPROVED_ANNOTATION: Final = "gco.io/approved-deletes"
# An approval of 10,000 endpoints takes 140 KB of the 256 KiB to which an object's annotations are limited.
MAX_APPROVED: Final = 10_000
VALID_SECONDS: Final = 3600
# Tolerated clock skew in seconds between this machine and the one that wrote the approval.
_MAX_CLOCK_SKEW: Final = 300

_log = structlog.get_logger(__name__)


def entry_of(name: str, uids: Iterable[str]) -> str:
    """Returns the digest of an endpoint and the UIDs of the objects whose removal is approved."""
    return short_digest(name, *sorted(uids))


def digest_of(entries: Iterable[str]) -> str:
    """Returns the digest that identifies a list of entries on the command line."""
    return hashlib.sha256("\n".join(sorted(entries)).encode()).hexdigest()[:12]


def approval_of(entries: Iterable[str], now: float) -> str:
    """Returns the value of the annotation that approves these entries for one hour. `now`: seconds since 1970."""
    return orjson.dumps({"until": int(now) + VALID_SECONDS, "entries": sorted(entries)}).decode()


class Approvals:
    """The removals that the Lease's annotation approves. `now`: seconds since 1970."""

    def __init__(self, lease: LeaseAnnotations, now: Callable[[], float]) -> None:
        self._lease = lease
        self._now = now
        self._text: str | None = None
        self._announced: str | None = None
        self._until = 0.0
        self._entries: frozenset[str] = frozenset()
        # UIDs and expiry of each removal in progress. It stays approved while its objects disappear one by one.
        self._started: dict[str, tuple[Set[str], float]] = {}

    def is_new(self) -> bool:
        """Returns whether the approval is in effect and has changed since the last call."""
        before, self._announced = self._announced, self._lease.annotations.get(APPROVED_ANNOTATION)
        return before != self._announced and self.any

    def _refresh(self) -> None:
        text = self._lease.annotations.get(APPROVED_ANNOTATION)
        if text == self._text:
            return
        self._text = text
        self._until, self._entries = _read(text) if text is not None else (0.0, frozenset())
        if text is not None:
            _log.info("removal approval found", endpoints=len(self._entries), valid=self._is_valid)

    @property
    def any(self) -> bool:
        """Whether an approval is in effect."""
        self._refresh()
        return bool(self._entries) and self._is_valid

    @property
    def _is_valid(self) -> bool:
        # An approval that expires later than this was not written by `gco-stream approve-deletes`.
        return 0 < self._until - self._now() <= VALID_SECONDS + _MAX_CLOCK_SKEW

    async def remove_spent(self) -> None:
        """Removes an expired or malformed approval from the Lease. Raises ClusterError."""
        if not self.any and self._text is not None:
            await self._lease.annotate({APPROVED_ANNOTATION: None})

    def covers(self, name: str, uids: Set[str]) -> bool:
        """Returns whether these objects may be removed.

        They may if the approval has an entry for exactly these objects, or if their approved removal is in progress.
        """
        started, until = self._started.get(name, (frozenset(), 0.0))
        if uids and uids <= started and self._now() < until:
            return True
        return bool(uids) and self.any and entry_of(name, uids) in self._entries

    def start(self, name: str, uids: Set[str]) -> bool:
        """Records the start of an approved removal. Returns False if it has already started."""
        self._refresh()
        now = self._now()
        self._started = {other: started for other, started in self._started.items() if now < started[1]}
        started, _ = self._started.get(name, (frozenset(), 0.0))
        if uids <= started:
            return False
        self._started[name] = (uids, self._until)
        return True


def _read(text: str) -> tuple[float, frozenset[str]]:
    """Returns the expiry (seconds since 1970) and the entries. A malformed annotation approves nothing."""
    try:
        found: Any = orjson.loads(text)
        entries = found["entries"]
        if isinstance(entries, list) and all(isinstance(entry, str) for entry in entries):
            return float(found["until"]), frozenset(entries)
    except (orjson.JSONDecodeError, TypeError, KeyError, ValueError):
        pass
    _log.warning("malformed removal approval ignored", annotation=APPROVED_ANNOTATION, value=text[:80])
    return 0.0, frozenset()
