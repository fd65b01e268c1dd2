"""Reconciling one endpoint: read what is asked, look at what stands, plan, carry out, look again, report.

Level-triggered: why the name was taken makes no difference. A plan is carried out and made anew on the answers until
nothing is left to do, so what is reported is what stands.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from gco_stream.aws.table_errors import Gone, Superseded
from gco_stream.cluster.api.errors import ClusterError
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.engine.deletion.guard import Guard
from gco_stream.engine.reconcile.executor import Failure, StepRunner
from gco_stream.engine.state.fleet_census import FleetCensus
from gco_stream.engine.state.item_cache import DesiredState
from gco_stream.model import names
from gco_stream.model.endpoint import Endpoint, Unreadable
from gco_stream.model.objects import ObjectRef, PodHealth
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.planner import failing, plan
from gco_stream.planning.policies import contested
from gco_stream.planning.types.plan import (
    Apply,
    Delete,
    LookAgain,
    Need,
    Part,
    Plan,
    Replace,
    Step,
    TableChange,
    earliest,
)
from gco_stream.planning.types.policy import Fleet, Policy
from gco_stream.table.endpoints import EndpointTable

_ROUNDS = 12
_APPLIES_BEFORE_CONTESTED = 3
_FAILURES_BEFORE_REPORT = 3
_LOOK_AT_PODS_AGAIN = 15.0

Pods = tuple[PodHealth, ...] | None
PodsOf = Callable[[str, str], Awaitable[tuple[PodHealth, ...]]]


class Epoch(Protocol):
    """What orders the writes of one leader after those of the one before."""

    @property
    def epoch(self) -> int:
        """This leader's, in microseconds."""

    async def raise_epoch(self, above: int) -> int:
        """A higher one than `above`, once the table was found to hold that."""


class Result(StrEnum):
    """How a reconcile ended. FAILED is retried, REJECTED is final until something changes, BROKEN is a bug of ours."""

    IN_SYNC = "in_sync"
    CHANGED = "changed"
    GONE = "gone"
    FAILED = "failed"
    REJECTED = "rejected"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reconcile ended.

    `retry_after`: seconds that the server asked to wait. `contested`: another field manager keeps changing the object.
    `unreported`: the report is not in the table yet. `failure_key`: shared by all endpoints that fail for the same
    cause, "" where the cause is this endpoint's own.
    """

    result: Result
    steps: tuple[Step, ...] = ()
    look_again: LookAgain | None = None
    errors: tuple[Cause, ...] = ()
    retry_after: float | None = None
    contested: bool = False
    unreported: bool = False
    made: Plan | None = None
    failure_key: str = ""


def unreadable_namespace(namespace: str) -> str:
    """The failure key of endpoints whose objects are in a namespace that cannot be read."""
    return f"namespace {namespace}"


def not_known(item: Endpoint | Unreadable, unsynced: Mapping[str, str], policy: Policy) -> str:
    """Why what stands of an endpoint is not known; "" where it is. `unsynced`: reasons by namespace."""
    if not unsynced:
        return ""
    return "; ".join(f"namespace {name}: {unsynced[name]}" for name in concerned(item, policy) if name in unsynced)


def concerned(item: Endpoint | Unreadable, policy: Policy) -> tuple[str, ...]:
    """The namespaces in which an item's objects may stand; none of one that cannot be read, which is left alone."""
    if isinstance(item, Unreadable):
        return ()
    return policy.namespaces if item.is_deleted else (item.namespace or policy.namespace,)


def claimed(name: str, item_of: Callable[[str], Endpoint | Unreadable | None]) -> frozenset[str]:
    """Names of an endpoint's objects that another item asks for: its canary's, or its own where that looks like one."""
    canary, base = names.canary_name(name), name.removesuffix(names.CANARY_SUFFIX)
    found = {canary} if item_of(canary) is not None else set()
    other = item_of(base) if base != name else None
    if isinstance(other, Endpoint) and other.spec is not None and other.spec.canary is not None:
        found.add(name)
    return frozenset(found)


def _done(steps: Sequence[Step]) -> Result:
    return Result.CHANGED if steps else Result.IN_SYNC


class Reconciler:
    """Reconciles endpoints by name; one name at a time is the work queue's promise.

    `now` gives the wall clock with a time zone. `failures_of` tells how often in a row a
    name has failed before. `on_write` is told of each write to the table: status, promotion or purge.
    """

    def __init__(
        self,
        *,
        desired: DesiredState,
        table: EndpointTable,
        cache: ClusterCache,
        runner: StepRunner,
        policy: Policy,
        guard: Guard,
        census: FleetCensus,
        pods_of: PodsOf,
        epoch: Epoch,
        now: Callable[[], datetime],
        failures_of: Callable[[str], int],
        on_write: Callable[[str], None],
    ) -> None:
        self._desired = desired
        self._table = table
        self._cache = cache
        self._runner = runner
        self._policy = policy
        self._guard = guard
        self._census = census
        self._pods_of = pods_of
        self._epoch = epoch
        self._now = now
        self._failures_of = failures_of
        self._on_write = on_write

    async def reconcile(
        self, name: str, *, objects_first: bool = False, on_applied: Callable[[], None] = lambda: None
    ) -> Outcome:
        """Brings one endpoint to what its item asks. Raises TableError, and NotLeading where it may not act.

        `objects_first`: others wait for their objects, so what was done here is reported in another turn. `on_applied`
        is called whenever a plan, made of the newest item known of, has been carried out.
        """
        done: list[Step] = []
        applies: Counter[ObjectRef] = Counter()
        pods: Pods = None
        confirmed = False
        for _ in range(_ROUNDS):
            await self.read_if_stale(name)
            item = self._desired.get(name)
            made, pods, unknown = await self._look(name, item, pods)
            if item is not None and unknown and not made.steps:
                return await self._blind(name, item, unknown, done)
            if item is not None and made.report_first:
                await self._report(name, item, made)
            elif made.steps:
                if not self._guard.lets_go(made) or (item is None and not confirmed):
                    confirmed = await self._cleared(name, made)
                    continue
                result = await self._runner.carry_out(made)
                done += result.done
                applies.update(step.ref for step in result.done if isinstance(step, Apply | Replace))
                failures = [failure for failure in result.failures if not failure.stale]
                if failures:
                    return await self._failed(name, made, failures, done)
                if self._desired.stale_mark(name) is None:
                    on_applied()
                if fought_over := [ref for ref, count in applies.items() if count >= _APPLIES_BEFORE_CONTESTED]:
                    return await self._contested(name, fought_over, done)
            elif item is None:
                return await self._without_item(name, made, done)
            elif made.write_report and objects_first:
                return Outcome(Result.CHANGED, tuple(done), made.look_again, made=made, unreported=True)
            elif made.write_report:
                await self._report(name, item, made)
            elif made.table_change is not None:
                if not await self._change_table(name, made.table_change):
                    return Outcome(_done(done), tuple(done), made=made)
            else:
                return Outcome(_done(done), tuple(done), made.look_again, made=made)
        error = Cause(Reason.NOT_CONVERGING, "the item or the objects change faster than they can be read")
        return Outcome(Result.FAILED, tuple(done), errors=(error,))

    async def _look(self, name: str, item: Endpoint | Unreadable | None, pods: Pods) -> tuple[Plan, Pods, str]:
        """The plan, the pods if they were looked up, and why what stands is not all known."""
        if item is None:
            return self._guard.decide_orphan(name), pods, ""
        self._guard.orphans.seen(name)
        unseen = self._cache.unsynced
        unknown = not_known(item, unseen, self._policy)
        if unknown and not (isinstance(item, Endpoint) and item.is_deleted):
            return replace(self._plan(name, item), steps=()), pods, unknown
        made, pods = await self._planned(name, item, pods)
        # What is deleted goes wherever it can be seen; that it is gone is not said before all can.
        return (
            replace(made, steps=tuple(step for step in made.steps if step.ref.namespace not in unseen)),
            pods,
            unknown,
        )

    async def read_if_stale(self, name: str) -> None:
        """Reads the item where a hint said that it is not what is known. Raises TableError."""
        mark = self._desired.stale_mark(name)
        if mark is None:
            return
        item = await self._table.get(name)
        if item is None:
            self._desired.remove(name)
        else:
            self._desired.put(item)
        self._desired.clear_stale(name, mark)

    async def _cleared(self, name: str, made: Plan) -> bool:
        """Takes what a removal that no item asks for needs before it may begin; then all is looked at once more."""
        if not self._guard.lets_go(made):
            await self._guard.reserve(made)
        # Whatever scans and the stream told, the last word is the table's.
        self._desired.mark_stale(name)
        return True

    async def _without_item(self, name: str, made: Plan, done: list[Step]) -> Outcome:
        # A wiped table leaves thousands of them, and nothing else here waits for anything.
        await asyncio.sleep(0)
        self._runner.forget(name)
        result = Result.GONE if made.held_back is None else Result.IN_SYNC
        return Outcome(result, tuple(done), made.look_again, made=made)

    async def _blind(self, name: str, item: Endpoint | Unreadable, unknown: str, done: list[Step]) -> Outcome:
        made = replace(self._plan(name, item), steps=())
        error = Cause(Reason.NAMESPACE_UNREADABLE, unknown)
        if self._policy.region in item.target_regions and made.report is not None:
            await self._say(name, made, {Part.MAIN: error})
        unseen = [namespace for namespace in concerned(item, self._policy) if namespace in self._cache.unsynced]
        key = unreadable_namespace(unseen[0]) if unseen else ""
        return Outcome(Result.FAILED, tuple(done), errors=(error,), made=made, failure_key=key)

    async def _planned(self, name: str, item: Endpoint | Unreadable, pods: Pods) -> tuple[Plan, Pods]:
        """The plan, with whatever it turned out to need looked up; and the pods, if they were."""
        made = self._plan(name, item, pods)
        if not made.needs:
            return made, pods
        counted = Need.CENSUS in made.needs
        if counted:
            await self._census.take()
        if Need.PODS in made.needs and isinstance(item, Endpoint):
            try:
                pods = await self._pods_of(item.namespace or self._policy.namespace, name)
            except ClusterError as error:
                warning = Cause(Reason.PODS_UNKNOWN, f"its pods cannot be listed: {error.message}")
                again = earliest(made.look_again, LookAgain(_LOOK_AT_PODS_AGAIN, "its pods could not be listed"))
                return replace(made, warnings=(*made.warnings, warning), look_again=again), None
        return self._plan(name, item, pods, counted=counted), pods

    def _plan(self, name: str, item: Endpoint | Unreadable, pods: Pods = None, *, counted: bool = False) -> Plan:
        fleet = Fleet(
            claimed=claimed(name, self._desired.get),
            census=self._census.beside(name) if counted else None,
        )
        observed = replace(self._cache.observed(name), pods=pods)
        made = self._guard.decide(name, fleet, lambda fleet: plan(item, observed, fleet, self._now(), self._policy))
        if any(isinstance(step, Delete) and step.withdraws for step in made.steps):
            self._census.withdrew(name)
        return made

    async def _report(self, name: str, item: Endpoint | Unreadable, made: Plan) -> None:
        report = made.report
        if report is None:
            return
        status: dict[str, object] = {
            "state": str(report.state),
            "replicas_ready": report.ready,
            "replicas_desired": report.desired,
            "last_sync": self._now().isoformat(),
            "epoch": self._epoch.epoch,
            "intent": item.intent,
        }
        if report.error:
            status["error"] = report.error
            status["reason"] = str(report.reason)
        try:
            image = await self._table.write_status(name, self._policy.region, status, self._epoch.epoch)
        except Gone:
            self._desired.mark_stale(name)
        except Superseded as superseded:
            await self._epoch.raise_epoch(superseded.stored_epoch)
        else:
            self._on_write("status")
            self._desired.put(image)

    async def _change_table(self, name: str, change: TableChange) -> bool:
        """Promotes or purges; False where the item is gone or the user was faster (the stream will tell)."""
        seen = self._desired.wire(name)
        if seen is None:
            return False
        if change is TableChange.PURGE:
            if await self._table.purge(seen):
                self._on_write("purge")
            self._desired.mark_stale(name)
            return True
        image = await self._table.promote(seen)
        if image is None:
            self._desired.mark_stale(name)
        else:
            self._on_write("promotion")
            self._desired.put(image)
        return True

    async def _failed(self, name: str, made: Plan, failures: list[Failure], done: list[Step]) -> Outcome:
        final = all(failure.final for failure in failures)
        # A fault that may pass is reported once it has not: a storm of the API server must not become one of writes.
        if final or self._failures_of(name) + 1 >= _FAILURES_BEFORE_REPORT:
            await self._say(name, made, {failure.step.part: failure.cause for failure in failures})
        waits = [failure.error.retry_after for failure in failures if failure.error.retry_after is not None]
        return Outcome(
            Result.REJECTED if final else Result.FAILED,
            tuple(done),
            look_again=earliest(made.look_again, *(failure.again for failure in failures if failure.again is not None)),
            errors=tuple(failure.cause for failure in failures),
            retry_after=max(waits, default=None),
            made=made,
            failure_key=failures[0].key,
        )

    async def _contested(self, name: str, fought_over: list[ObjectRef], done: list[Step]) -> Outcome:
        item = self._desired.get(name)
        if item is None:
            return Outcome(Result.GONE, tuple(done))
        made = self._plan(name, item)
        marks = contested.marks(made.steps, fought_over, self._cache.observed(name).objects, self._now())
        if marks:
            # From now on the objects say so themselves, and plans leave them alone.
            done += (await self._runner.carry_out(replace(made, steps=marks))).done
            made = self._plan(name, item)
        if not any(step.ref in fought_over for step in made.steps if isinstance(step, Apply | Replace)):
            return Outcome(Result.CHANGED, tuple(done), look_again=LookAgain(0, "what is not contested continues"))
        reasons = "; ".join(step.reason for step in made.steps if step.ref in fought_over)
        message = f"another field manager keeps changing {', '.join(map(str, fought_over))}: {reasons}"
        error = Cause(Reason.CONTESTED, message)
        await self._say(name, made, {Part.MAIN: error})
        return Outcome(Result.FAILED, tuple(done), errors=(error,), contested=True, made=made)

    async def _say(self, name: str, made: Plan, causes: dict[Part, Cause]) -> None:
        item = self._desired.get(name)
        if item is None:
            return
        said = failing(made, item, causes, self._now(), self._policy)
        if said.write_report:
            await self._report(name, item, said)
