"""How many endpoints may be removed in an hour without anybody having asked by desired_state=deleted.

A wrong REGION, a blanked list of regions or a wiped table looks just like many endpoints leaving: the budget keeps such
a mistake small. It is counted in an annotation of the Lease, so that neither a crash loop nor a new leader begins
afresh: what is spent is written there before the first deletion is sent.
"""

import asyncio
import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import orjson
import structlog

REMOVALS_ANNOTATION: Final = "gco.io/removals"
# All annotations of a Lease together have 256 KiB; so many removals take 50 of them.
MAX_REMOVALS: Final = 2000
_HOUR: Final = 3600.0
_MIN_REMOVALS: Final = 5
_FRACTION: Final = 0.1
# In the place of a name's digest: all of it is spent.
_ALL: Final = "*"
_DIGEST_BYTES: Final = 8

_log = structlog.get_logger(__name__)


class LeaseAnnotations(Protocol):
    """The annotations of the Lease, as its holder may read and write them."""

    @property
    def annotations(self) -> Mapping[str, str]:
        """As last seen."""

    async def annotate(self, annotations: Mapping[str, str | None]) -> None:
        """Sets some of them (None: removes). Raises ClusterError; NotLeading where the Lease is another's."""


def short_digest(*words: str) -> str:
    """Eleven characters that stand for some words in an annotation: 64 bits."""
    digest = hashlib.blake2b("\n".join(words).encode(), digest_size=_DIGEST_BYTES).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


class DeletionBudget:
    """Counts endpoints, not objects: one that was reserved may be finished.

    `limit` None: the larger of 5 and a tenth of the endpoints known; at most 2,000 either way. `now`: seconds of the
    wall clock, since what is counted outlives this process.
    """

    def __init__(self, limit: int | None, lease: LeaseAnnotations, now: Callable[[], float]) -> None:
        self._limit = limit
        self._lease = lease
        self._now = now
        self._lock = asyncio.Lock()
        text = lease.annotations.get(REMOVALS_ANNOTATION)
        persisted = {} if text is None else _read(text)
        if persisted is None:
            # Somebody's edit, and how much is spent is not known. An hour of nothing does no harm.
            _log.warning(
                "what has been removed is not known, so for an hour nothing is that its item does not ask for",
                annotation=REMOVALS_ANNOTATION,
                value=(text or "")[:80],
            )
        self._persisted = frozenset(persisted or ())
        self._spent: dict[str, float] = {_ALL: now()} if persisted is None else persisted

    def left(self, name: str, endpoint_count: int) -> int:
        """How many removals may still begin, at least 1 for an endpoint whose removal has begun.

        `endpoint_count`: how many endpoints there are.
        """
        spent = self._current()
        left = 0 if _ALL in spent else max(0, self._limit_of(endpoint_count) - len(spent))
        return max(1, left) if short_digest(name) in spent else left

    def next_in(self, endpoint_count: int) -> float:
        """Seconds until one more removal may begin, 0 where it may now."""
        spent, limit = self._current(), self._limit_of(endpoint_count)
        if _ALL in spent:
            return spent[_ALL] + _HOUR - self._now()
        if limit == 0:
            return _HOUR
        if len(spent) < limit:
            return 0.0
        return sorted(spent.values())[len(spent) - limit] + _HOUR - self._now()

    def reserve(self, name: str, endpoint_count: int) -> bool:
        """A removal is to begin; False where none may. Without an await, so no two can take the last one."""
        if self.left(name, endpoint_count) <= 0:
            return False
        self._spent.setdefault(short_digest(name), self._now())
        return True

    def is_persisted_for(self, name: str) -> bool:
        """Whether the Lease tells that this removal has begun: then it may be carried out."""
        digest = short_digest(name)
        return digest in self._current() and digest in self._persisted

    @property
    def is_persisted(self) -> bool:
        """Whether the Lease tells of all that is spent."""
        return self._current().keys() <= self._persisted

    async def store(self) -> None:
        """Has the Lease tell of all that is spent; those who wait for it meanwhile are served by one write.

        Raises ClusterError.
        """
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
        # A time ahead of ours (another clock, or ours was set back) counts as now, and lasts an hour like any other.
        self._spent = {digest: min(at, now) for digest, at in self._spent.items() if now - at < _HOUR}
        return self._spent


def _read(text: str) -> dict[str, float] | None:
    """What an annotation tells; None where it makes no sense."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict) or not all(type(at) is int for at in found.values()):
        return None
    return {digest: float(at) for digest, at in found.items()}
