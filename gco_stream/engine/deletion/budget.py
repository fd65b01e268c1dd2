"""Limit on how many endpoints are removed per hour without desired_state=deleted in their items.

If REGION is wrong, target_regions is emptied or the table is wiped, many endpoints seem to leave the region at once.
The limit reduces the damage of these mistakes. Each removal is recorded in an annotation of the Lease before its first
deletion is sent, so neither a crash loop nor a new leader resets the budget.
"""

import asyncio
import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import orjson
import structlog

REMOVALS_ANNOTATION: Final = "gco.io/removals"
# A record of 2,000 removals takes 50 KiB of the 256 KiB to which an object's annotations are limited.
MAX_REMOVALS: Final = 2000
_HOUR: Final = 3600.0
_MIN_REMOVALS: Final = 5
_FRACTION: Final = 0.1
# Recorded in place of the digest of a name if the whole budget counts as spent.
_ALL: Final = "*"
_DIGEST_BYTES: Final = 8

_log = structlog.get_logger(__name__)


class LeaseAnnotations(Protocol):
    """Access to the annotations of the Lease by its holder."""

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations as last observed."""

    async def annotate(self, annotations: Mapping[str, str | None]) -> None:
        """Sets annotations; the value None removes one.

        Raises NotLeading if this process no longer holds the Lease, and other ClusterErrors.
        """


def short_digest(*words: str) -> str:
    """Returns a 64-bit digest of the words as 11 characters, for use in annotations."""
    digest = hashlib.blake2b("\n".join(words).encode(), digest_size=_DIGEST_BYTES).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


class DeletionBudget:
    """The budget of removals per hour. It counts endpoints, not objects, and a started removal may always finish.

    `limit`: removals per hour, at most 2,000; None means a tenth of the known endpoints, but at least 5. `now`: seconds
    since 1970, not monotonic seconds, because the recorded times outlive this process.
    """

    def __init__(self, limit: int | None, lease: LeaseAnnotations, now: Callable[[], float]) -> None:
        self._limit = limit
        self._lease = lease
        self._now = now
        self._lock = asyncio.Lock()
        text = lease.annotations.get(REMOVALS_ANNOTATION)
        recorded = {} if text is None else _read(text)
        if recorded is None:
            # The annotation has been edited, so past removals are unknown. To be safe, nothing is removed for an hour.
            _log.warning(
                "malformed deletion budget; unrequested removals are held back for one hour",
                annotation=REMOVALS_ANNOTATION,
                value=(text or "")[:80],
            )
        self._persisted = frozenset(recorded or ())
        self._spent: dict[str, float] = {_ALL: now()} if recorded is None else recorded

    def left(self, name: str, endpoint_count: int) -> int:
        """Returns how many removals may still start, or at least 1 if the removal of `name` has started.

        `endpoint_count`: the number of known endpoints.
        """
        spent = self._current()
        left = 0 if _ALL in spent else max(0, self._limit_of(endpoint_count) - len(spent))
        return max(1, left) if short_digest(name) in spent else left

    def next_in(self, endpoint_count: int) -> float:
        """Returns the seconds until another removal may start, 0 if one may start now."""
        spent, limit = self._current(), self._limit_of(endpoint_count)
        if _ALL in spent:
            return spent[_ALL] + _HOUR - self._now()
        if limit == 0:
            return _HOUR
        if len(spent) < limit:
            return 0.0
        return sorted(spent.values())[len(spent) - limit] + _HOUR - self._now()

    def reserve(self, name: str, endpoint_count: int) -> bool:
        """Reserves a removal. Returns False if none is left.

        The method is synchronous, so two workers cannot both reserve the last removal.
        """
        if self.left(name, endpoint_count) <= 0:
            return False
        self._spent.setdefault(short_digest(name), self._now())
        return True

    def is_persisted_for(self, name: str) -> bool:
        """Returns whether this removal is recorded in the Lease and may therefore be carried out."""
        digest = short_digest(name)
        return digest in self._current() and digest in self._persisted

    @property
    def is_persisted(self) -> bool:
        """Whether all reserved removals are recorded in the Lease."""
        return self._current().keys() <= self._persisted

    async def store(self) -> None:
        """Records all reserved removals in the Lease. Concurrent callers share one write. Raises ClusterError."""
        async with self._lock:
            if self.is_persisted:
                return
            spent = dict(self._current())
            text = orjson.dumps({digest: int(at) for digest, at in spent.items()}).decode()
            await self._lease.annotate({REMOVALS_ANNOTATION: text})
            self._persisted = frozenset(spent)

    def _limit_of(self, endpoint_count: int) -> int:
        limit = max(_MIN_REMOVALS, int(endpoint_count * _FRACTION)) if self._limit is None else self._limit
        return min(limit, MAX_REMOVALS)

    def _current(self) -> Mapping[str, float]:
        now = self._now()
        # A time in the future (clock skew, or this clock was set back) is replaced with now, so it expires in an hour.
        self._spent = {digest: min(at, now) for digest, at in self._spent.items() if now - at < _HOUR}
        return self._spent


def _read(text: str) -> dict[str, float] | None:
    """Returns the recorded times by digest, in seconds since 1970, or None if the annotation is malformed."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict) or not all(type(at) is int for at in found.values()):
        return None
    return {digest: float(at) for digest, at in found.items()}
