"""Leader election by a Lease: at most one replica leads, and one that cannot prove it stops before another may start.

The rules are in `lease`; here they are carried out. A term lasts from taking the Lease to its release or loss; its
deadline is a timer of the event loop and needs no answer of anybody to fire.
"""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

import structlog

from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.errors import ClusterError, Conflict, NotLeading, Rejected, Unreachable
from gco_stream.cluster.leaderelection import record as lease
from gco_stream.cluster.leaderelection.lease_lock import LeaseLock
from gco_stream.cluster.leaderelection.record import Timing
from gco_stream.cluster.leaderelection.self_fence import SelfFence, no_fence
from gco_stream.cluster.leaderelection.term import Term

# Nothing is sent in the last second of a lease: what is on its way then must have arrived before another may lead.
_MARGIN: Final = 1.0
# For what has passed that check; the process ends if it is still to be sent then.
_MAX_TRANSIT_SECONDS: Final = 0.25
# Others may change the Lease (its annotations) between our read and our write; not often enough for more than this.
_MAX_ATTEMPTS: Final = 4
# So many tries fit between a renewal and its deadline even where each one hangs.
_TRIES_PER_DEADLINE: Final = 3
# Event loops' timers are no finer; waiting for less may be no wait at all.
_TICK: Final = 0.001
# A lost race is looked at again after this part of a retry period.
_QUICK: Final = 10

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ElectionSnapshot:
    """The election as this replica sees it.

    `holder`: who holds the Lease ("" nobody). `since`: when it took it, by its own clock, if it says so. `problem`: why
    the Lease cannot be read or written at present (then this replica is not ready).
    """

    identity: str
    holder: str
    leading: bool
    since: datetime | None
    problem: str | None


class Leadership:
    """What the leader's task may know and do about its term."""

    def __init__(self, elector: "LeaderElector", term: Term) -> None:
        self._elector = elector
        self._term = term

    @property
    def epoch(self) -> int:
        """The fencing number of this term in microseconds: higher than that of every term before."""
        return self._term.epoch

    @property
    def annotations(self) -> Mapping[str, str]:
        """The Lease's annotations as last seen (the watch keeps them fresh)."""
        return self._elector.annotations

    def on_lease_change(self, callback: Callable[[], None]) -> None:
        """Until the term ends `callback` is called when the watch shows that others may have changed the Lease.

        It is called within the event loop and must not block.
        """
        self._term.on_lease_change = callback

    def remaining(self) -> float:
        """Seconds for which this process may still write; 0 or less: not any more."""
        return self._elector.remaining(self._term)

    async def raise_epoch(self, above: int) -> int:
        """The epoch, made higher than `above`. Raises NotLeading, Rejected (no time is that late), ClusterError."""
        if above >= lease.MAX_EPOCH:
            raise Rejected(0, "EpochTooHigh", f"epoch {above} is not below {lease.MAX_EPOCH}, the last time there is")
        await self._elector.renew(self._term, above=above)
        return self._term.epoch

    async def annotate(self, annotations: Mapping[str, str | None]) -> None:
        """Set annotations of the Lease (None: remove); all others stay. Raises NotLeading, ClusterError."""
        await self._elector.renew(self._term, annotations=annotations)


class LeaderElector:
    """Contends for one Lease and runs the leader's task while it holds it.

    The client should be the elector's own: a renewal must not wait behind other calls. Times are in seconds; `clock` is
    monotonic, `wall` gives microseconds since 1970, and neither is ever compared with another machine's. `fence` ends
    this process where the leader's task has not ended in time.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        duration: int,
        renew_deadline: float,
        retry_period: float,
        legacy_interval: float,
        fence: SelfFence = no_fence,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        timing = Timing(duration, legacy_interval)
        self._identity = identity
        self._duration = duration
        self._renew_deadline = renew_deadline
        self._retry_period = retry_period
        self._fence = fence
        self._clock = clock
        self._wall = wall
        self._log = _log.bind(lease=f"{namespace}/{name}", identity=identity)
        # A try that hangs (a server or a balancer that died) must leave time for others.
        self._try_seconds = renew_deadline / _TRIES_PER_DEADLINE
        self._lease = LeaseLock(
            client,
            namespace=namespace,
            name=name,
            timing=timing,
            timeout=self._try_seconds,
            # Every holder renews more often than this, GCO's too: silence is a broken watch.
            inactivity=max(2 * duration, 3 * legacy_interval),
            clock=clock,
            on_change=self._on_change,
        )
        self._term: Term | None = None
        self._sent_epoch: int | None = None
        # Takings in a row of which no answer has come, and until when the Lease is left to others for that.
        self._unconfirmed = 0
        self._yield_until = -math.inf
        self._problem: str | None = None
        self._changed = asyncio.Event()
        self._writing = asyncio.Lock()

    @property
    def annotations(self) -> Mapping[str, str]:
        """The Lease's annotations as last seen."""
        return MappingProxyType(dict(lease.annotations_of(self._lease.raw)))

    def snapshot(self) -> ElectionSnapshot:
        """The state of the election, for health, metrics and the status page."""
        record = self._lease.observed.record if self._lease.observed else None
        leading = self._term is not None and self.remaining(self._term) > 0
        since = lease.moment(record.acquired) if record and record.holder and record.acquired is not None else None
        if leading and self._term is not None:
            # acquireTime is the epoch, which may have been raised above the present time.
            since = self._term.began
        return ElectionSnapshot(self._identity, record.holder if record else "", leading, since, self._problem)

    async def run(self, lead: Callable[[Leadership], Awaitable[None]], stop: asyncio.Event) -> None:
        """Contend until `stop` is set; then wait for `lead` (which looks at `stop` itself), release, and return.

        `lead` runs once a term and is cancelled when the lease is lost or has not been renewed by the renew deadline.
        What it raises is raised (in a group) after the Lease has been released. Cancelling this does not release it:
        the next leader waits until it has run out.
        """
        async with asyncio.TaskGroup() as group:
            helpers = (
                group.create_task(self._lease.watch(self._jittered), name="lease watch"),
                group.create_task(self._wake_at(stop), name="lease stop"),
            )
            while (term := await self._acquire(stop)) is not None:
                try:
                    if not stop.is_set():
                        await self._lead(term, lead)
                except Exception:
                    await self._release(term)
                    raise
                await self._release(term)
                # Another may want it more; and what ended at once must not begin again at once.
                await _sleep_unless(stop, self._jittered())
            for helper in helpers:
                helper.cancel()

    async def _acquire(self, stop: asyncio.Event) -> Term | None:
        """Wait for the Lease and take it. None: stopped before."""
        while not stop.is_set():
            pause = self._jittered()
            try:
                observed = (
                    await self._lease.read() if self._lease.stale or not self._lease.observed else self._lease.observed
                )
                now = self._clock()
                yield_seconds = self._yield_until - now
                wait = max(yield_seconds, lease.wait_before_acquiring(observed, now, self._identity, self._sent_epoch))
                if wait <= 0:
                    if term := await self._try_acquire(observed.epoch):
                        return term
                    # Another was faster; who, is to be read.
                    pause /= _QUICK
                else:
                    pause = min(pause, wait)
                if yield_seconds <= 0:
                    self._problem = None
            except ClusterError as error:
                self._failed(error)
                pause = max(pause, error.retry_after or 0)
                if self._unconfirmed >= _TRIES_PER_DEADLINE:
                    # What is written and never heard of keeps the Lease from those who could lead.
                    self._unconfirmed = 0
                    self._yield_until = self._clock() + self._duration + 2 * self._retry_period
            await self._pause(pause)
            if not self._lease.watching:
                self._lease.stale = True
        return None

    async def _try_acquire(self, previous: int) -> Term | None:
        """Try to become the holder. None: the Lease is not as it was seen."""
        now, sent = self._wall(), self._clock()
        self._sent_epoch = epoch = lease.next_epoch(max(previous, self._sent_epoch or 0), now)
        try:
            written = await self._lease.write(
                lease.acquired(self._lease.raw, self._identity, self._duration, epoch, now)
            )
        except Unreachable:
            self._unconfirmed += 1
            raise
        self._unconfirmed = 0
        if not written:
            self._sent_epoch = None
            return None
        term = Term(
            uid=self._lease.raw["metadata"]["uid"],
            epoch=epoch,
            began=lease.moment(now),
            expiry=sent + self._duration,
            deadline=sent + self._renew_deadline,
        )
        self._problem = None
        # Somebody may have changed it already, and the watch may have told before the answer came. It may be too late.
        return term if self._holds(term) and self.remaining(term) > 0 else None

    async def _lead(self, term: Term, lead: Callable[[Leadership], Awaitable[None]]) -> None:
        """Run `lead` until it returns or the term is over."""
        self._term = term
        self._arm_fence(term)
        self._log.info("lease taken", epoch=term.epoch)
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._renew_loop(term), name="lease renewal")
                try:
                    await self._run_until_deadline(term, lead)
                finally:
                    renewing.cancel()
        finally:
            self._fence(0)
            self._term = None

    async def _run_until_deadline(self, term: Term, lead: Callable[[Leadership], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(term.deadline - self._clock()) as scope:
                term.scope = scope
                try:
                    await lead(Leadership(self, term))
                finally:
                    # Whatever the cause: what has begun to end cannot be extended.
                    expired, term.scope = scope.expired(), None
        except TimeoutError:
            if not expired:
                raise
        if expired:
            reason = "held by another, or gone" if term.over else "not renewed in time"
            term.over = True
            self._log.warning("leadership lost", reason=reason, problem=self._problem)

    async def _renew_loop(self, term: Term) -> None:
        """Renew until cancelled or lost."""
        due, retry_at = self._clock() + self._jittered(), -math.inf
        while not term.ended:
            await self._pause(max(due, retry_at) - self._clock())
            if self._clock() < (retry_at if self._lease.stale else max(due, retry_at)):
                continue
            due = self._clock() + self._jittered()
            try:
                await self.renew(term)
            except NotLeading:
                return
            except ClusterError as error:
                self._failed(error)
                # A server that asks to wait is heeded, but not beyond the last try that fits before the deadline.
                retry_at = min(self._clock() + (error.retry_after or 0), term.deadline - self._try_seconds)

    async def renew(
        self, term: Term, *, above: int | None = None, annotations: Mapping[str, str | None] | None = None
    ) -> None:
        """Prove the term once more, with a higher epoch or other annotations if asked. Raises ClusterError."""
        async with self._writing:
            for _ in range(_MAX_ATTEMPTS):
                if self._lease.stale:
                    await self._lease.read()
                if not self._holds(term) or (remaining := self.remaining(term)) <= 0:
                    raise NotLeading(0, "NotLeading", "the lease is not held by this replica any more")
                if above is not None and above < term.epoch:
                    return
                now, sent = self._wall(), self._clock()
                epoch = term.epoch if above is None else lease.next_epoch(above, now)
                raw = lease.renewed(self._lease.raw, self._duration, epoch, now, annotations)
                # One that lands after the lease is out would hold it for a leader that has ended.
                if await self._lease.write(raw, within=remaining):
                    self._confirm(term, epoch, sent)
                    return
            raise Conflict(409, "Conflict", "the lease was changed by others each time that it was to be renewed")

    def _confirm(self, term: Term, epoch: int, sent: float) -> None:
        term.epoch = self._sent_epoch = epoch
        if not self._holds(term):
            return
        term.expiry, term.deadline = sent + self._duration, sent + self._renew_deadline
        self._arm_fence(term)
        self._problem = None
        term.extend(term.deadline - self._clock())

    def _arm_fence(self, term: Term) -> None:
        # The leader's task is cancelled at the renew deadline, so it has had time to end.
        self._fence(term.expiry - _MAX_TRANSIT_SECONDS - self._clock())

    async def _release(self, term: Term) -> None:
        """Let the Lease go so that another may lead at once; where that fails it runs out by itself."""
        if term.over or not self._holds(term):
            return
        term.over = True
        try:
            async with asyncio.timeout(self._try_seconds):
                for _ in range(_MAX_ATTEMPTS):
                    if self._lease.stale:
                        await self._lease.read()
                    if self._lease.observed is None or not lease.is_held(
                        self._lease.observed, term.uid, self._identity
                    ):
                        return
                    if await self._lease.write(lease.released(self._lease.raw, self._duration, term.epoch)):
                        self._log.info("lease released")
                        return
        except (ClusterError, TimeoutError) as error:
            self._log.warning("the lease could not be released; it runs out by itself", error=str(error))

    def remaining(self, term: Term) -> float:
        """Seconds for which the term's leader may still write."""
        return 0.0 if term.ended else term.expiry - self._clock() - _MARGIN

    def _holds(self, term: Term) -> bool:
        """Whether the term goes on; ends it where the Lease as last seen is another's, or gone."""
        if (
            not term.ended
            and self._lease.observed
            and not lease.is_held(self._lease.observed, term.uid, self._identity)
        ):
            term.end()
        return not term.ended

    def _on_change(self) -> None:
        if self._term is not None and self._holds(self._term) and self._term.on_lease_change is not None:
            self._term.on_lease_change()
        self._changed.set()

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._changed.set()

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until the watch says something or it is time to stop."""
        await _sleep_unless(self._changed, max(seconds, _TICK))
        self._changed.clear()

    def _jittered(self) -> float:
        return self._retry_period * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load

    def _failed(self, error: ClusterError) -> None:
        if error.message != self._problem:
            self._log.warning("the lease cannot be read or written", error=error.message, status=error.status)
        self._problem = error.message


async def _sleep_unless(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
