"""Leader election with a Lease: at most one replica leads at a time.

A leader that cannot renew the Lease stops before another replica may start. The rules are pure functions in the
`record` module; this module applies them. A term lasts from acquiring the Lease to its release or loss. Its deadline is
a timer of the event loop, which fires even if the server does not respond.
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

from gco_stream.aio.events import wait_for_event
from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.errors import ClusterError, Conflict, NotLeading, Rejected, Unreachable
from gco_stream.cluster.leaderelection import record as lease
from gco_stream.cluster.leaderelection.lease_lock import LeaseLock
from gco_stream.cluster.leaderelection.record import LeaseRef, Timing
from gco_stream.cluster.leaderelection.self_fence import SelfFence, no_fence
from gco_stream.cluster.leaderelection.term import Term
from gco_stream.model.times import MAX_EPOCH

# Nothing is sent in the last second of a lease, so that requests in flight arrive before another replica can lead.
_MARGIN: Final = 1.0
# The fence ends the process this many seconds before the lease expires, in case a request that was still allowed by
# _MARGIN has not been sent yet.
_MAX_TRANSIT_SECONDS: Final = 0.25
# Attempts to write the Lease. Other clients may change it (for example, its annotations) between our read and our
# write, but rarely this many times in a row.
_MAX_ATTEMPTS: Final = 4
# Number of attempts that fit before the renew deadline, even if each one times out.
_TRIES_PER_DEADLINE: Final = 3
# Resolution of event loop timers, in seconds; a shorter wait may return immediately.
_TICK: Final = 0.001
# Divisor of the retry period: the Lease is read again after 1/10 of it if another client changed the Lease first.
_QUICK: Final = 10

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ElectionSnapshot:
    """State of the election as this replica sees it.

    `identity`: this replica's identity. `holder`: identity of the Lease's holder ("" if none). `since`: when the holder
    acquired the Lease, by its own clock, if recorded. `problem`: why the Lease currently cannot be read or written; the
    replica is then not ready.
    """

    identity: str
    holder: str
    leading: bool
    since: datetime | None
    problem: str | None


class Leadership:
    """Handle of the current term, passed to the leader's task."""

    def __init__(self, elector: "LeaderElector", term: Term) -> None:
        self._elector = elector
        self._term = term

    @property
    def epoch(self) -> int:
        """Fencing token of this term, in microseconds since 1970; higher than that of every earlier term."""
        return self._term.epoch

    @property
    def annotations(self) -> Mapping[str, str]:
        """The Lease's annotations as last observed; the watch keeps them current."""
        return self._elector.annotations

    def on_lease_change(self, callback: Callable[[], None]) -> None:
        """Registers `callback`, which is called when the Lease may have changed, until the term ends.

        It is called on the event loop and must not block.
        """
        self._term.on_lease_change = callback

    def remaining(self) -> float:
        """Returns the seconds for which this process may still write; 0 or less means that it may not."""
        return self._elector.remaining(self._term)

    async def raise_epoch(self, above: int) -> int:
        """Increases the epoch to a value greater than `above` and returns it.

        Raises Rejected if a MicroTime cannot represent that value, and NotLeading or another ClusterError.
        """
        if above >= MAX_EPOCH:
            raise Rejected(0, "EpochTooHigh", f"epoch {above} is not below {MAX_EPOCH}, the largest MicroTime")
        await self._elector.renew(self._term, above=above)
        return self._term.epoch

    async def annotate(self, annotations: Mapping[str, str | None]) -> None:
        """Sets annotations of the Lease (a None value removes one) and keeps all others.

        Raises NotLeading or another ClusterError.
        """
        await self._elector.renew(self._term, annotations=annotations)


class LeaderElector:
    """Competes for the Lease `ref` and runs the leader's task while this replica holds it.

    `client` should not be used for anything else, so that renewals do not wait for other calls. `fence` ends this
    process if the leader's task does not end in time. `clock` returns monotonic seconds and `wall` microseconds since
    1970; neither is compared with another machine's clock.
    """

    def __init__(
        self,
        client: KubeClient,
        ref: LeaseRef,
        timing: Timing,
        *,
        identity: str,
        fence: SelfFence = no_fence,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._identity = identity
        self._duration = timing.duration
        self._renew_deadline = timing.renew_deadline
        self._retry_period = timing.retry_period
        self._fence = fence
        self._clock = clock
        self._wall = wall
        self._log = _log.bind(lease=str(ref), identity=identity)
        # An attempt that hangs (a dead server or load balancer) must leave time for further attempts.
        self._try_seconds = timing.renew_deadline / _TRIES_PER_DEADLINE
        self._lease = LeaseLock(client, ref, timing, timeout=self._try_seconds, clock=clock, on_change=self._on_change)
        self._term: Term | None = None
        self._sent_epoch: int | None = None
        # Consecutive attempts to acquire the Lease without a response, and the time until which this replica therefore
        # leaves the Lease to others.
        self._unconfirmed = 0
        self._yield_until = -math.inf
        self._problem: str | None = None
        self._changed = asyncio.Event()
        self._writing = asyncio.Lock()

    @property
    def annotations(self) -> Mapping[str, str]:
        """The Lease's annotations as last observed."""
        return MappingProxyType(dict(lease.annotations_of(self._lease.raw)))

    def snapshot(self) -> ElectionSnapshot:
        """Returns the state of the election, for health checks, metrics and the status page."""
        record = self._lease.observed.record if self._lease.observed else None
        leading = self._term is not None and self.remaining(self._term) > 0
        since = lease.moment(record.acquired) if record and record.holder and record.acquired is not None else None
        if leading and self._term is not None:
            # acquireTime holds the epoch, which may be ahead of the current time.
            since = self._term.began
        return ElectionSnapshot(self._identity, record.holder if record else "", leading, since, self._problem)

    async def run(self, lead: Callable[[Leadership], Awaitable[None]], stop: asyncio.Event) -> None:
        """Competes for the Lease until `stop` is set, then waits for `lead`, releases the Lease, and returns.

        `lead` runs once per term and must check `stop` itself. It is cancelled when the Lease is lost or has not been
        renewed by the renew deadline. Its exceptions are raised in a group, after the Lease has been released. If this
        coroutine is cancelled, the Lease is not released, and the next leader waits until it expires.
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
                # Another replica may go first, and a task that ends immediately must not be restarted immediately.
                await wait_for_event(stop, self._jittered())
            for helper in helpers:
                helper.cancel()

    async def _acquire(self, stop: asyncio.Event) -> Term | None:
        """Waits until the Lease can be acquired and acquires it. Returns None if `stop` is set first."""
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
                    # Another replica was faster; the next read shows which.
                    pause /= _QUICK
                else:
                    pause = min(pause, wait)
                if yield_seconds <= 0:
                    self._problem = None
            except ClusterError as error:
                self._failed(error)
                pause = max(pause, error.retry_after or 0)
                if self._unconfirmed >= _TRIES_PER_DEADLINE:
                    # The attempts may have succeeded on the server. They would then prevent replicas with a working
                    # connection from leading.
                    self._unconfirmed = 0
                    self._yield_until = self._clock() + self._duration + 2 * self._retry_period
            await self._pause(pause)
            if not self._lease.watching:
                self._lease.stale = True
        return None

    async def _try_acquire(self, previous: int) -> Term | None:
        """Tries to become the holder. Returns None if the Lease has changed or the response was too late."""
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
        # The watch may have reported a newer change before the response arrived, or the response may have arrived too
        # late.
        return term if self._holds(term) and self.remaining(term) > 0 else None

    async def _lead(self, term: Term, lead: Callable[[Leadership], Awaitable[None]]) -> None:
        """Runs `lead` until it returns or the term ends."""
        self._term = term
        self._arm_fence(term)
        self._log.info("lease acquired", epoch=term.epoch)
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
                    # A task that is ending must not be given more time by a renewal.
                    expired, term.scope = scope.expired(), None
        except TimeoutError:
            if not expired:
                raise
        if expired:
            reason = "taken over or deleted" if term.over else "not renewed in time"
            term.over = True
            self._log.warning("leadership lost", reason=reason, problem=self._problem)

    async def _renew_loop(self, term: Term) -> None:
        """Renews the Lease until cancelled or until the term ends."""
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
                # Retry-After is honored, but must leave time for one more attempt before the deadline.
                retry_at = min(self._clock() + (error.retry_after or 0), term.deadline - self._try_seconds)

    async def renew(
        self, term: Term, *, above: int | None = None, annotations: Mapping[str, str | None] | None = None
    ) -> None:
        """Renews the Lease, optionally with an epoch greater than `above` or with changed `annotations`.

        Raises NotLeading or another ClusterError.
        """
        async with self._writing:
            for _ in range(_MAX_ATTEMPTS):
                if self._lease.stale:
                    await self._lease.read()
                if not self._holds(term) or (remaining := self.remaining(term)) <= 0:
                    raise NotLeading(0, "NotLeading", "this replica no longer holds the lease")
                if above is not None and above < term.epoch:
                    return
                now, sent = self._wall(), self._clock()
                epoch = term.epoch if above is None else lease.next_epoch(above, now)
                raw = lease.renewed(self._lease.raw, self._duration, epoch, now, annotations)
                # A renewal applied after expiry would hold the lease for a leader that has already stopped.
                if await self._lease.write(raw, within=remaining):
                    self._confirm(term, epoch, sent)
                    return
            raise Conflict(409, "Conflict", "another client changed the lease during every attempt to renew it")

    def _confirm(self, term: Term, epoch: int, sent: float) -> None:
        term.epoch = self._sent_epoch = epoch
        if not self._holds(term):
            return
        term.expiry, term.deadline = sent + self._duration, sent + self._renew_deadline
        self._arm_fence(term)
        self._problem = None
        term.extend(term.deadline - self._clock())

    def _arm_fence(self, term: Term) -> None:
        # The leader's task is cancelled at the renew deadline, so it has time to end before the fence fires.
        self._fence(term.expiry - _MAX_TRANSIT_SECONDS - self._clock())

    async def _release(self, term: Term) -> None:
        """Releases the Lease so that another replica can lead at once. If this fails, the Lease expires on its own."""
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
            self._log.warning("failed to release the lease; it expires on its own", error=str(error))

    def remaining(self, term: Term) -> float:
        """Returns the seconds for which the leader may still write in this term."""
        return 0.0 if term.ended else term.expiry - self._clock() - _MARGIN

    def _holds(self, term: Term) -> bool:
        """Returns whether the term is still valid; ends it if the Lease was deleted or has another holder."""
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
        """Waits for `seconds`, or until the watch reports a change or `stop` is set."""
        await wait_for_event(self._changed, max(seconds, _TICK))
        self._changed.clear()

    def _jittered(self) -> float:
        return self._retry_period * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load

    def _failed(self, error: ClusterError) -> None:
        if error.message != self._problem:
            self._log.warning("failed to read or update the lease", error=error.message, status=error.status)
        self._problem = error.message
