"""Execution of the steps of a plan in the cluster."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gco_stream.cluster.api.errors import ClusterError, Conflict, Forbidden, NotFound, NotLeading, Rejected, UidMismatch
from gco_stream.cluster.writer import ObjectWriter
from gco_stream.engine.reconcile.restart_tracker import RestartTracker
from gco_stream.model import names
from gco_stream.model.kinds import endpoints_of_object
from gco_stream.model.objects import Kind, ObjectRef, ObservedObject, canonical_hash
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.policies import contested
from gco_stream.planning.types.decision import RequeueAfter
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.steps import (
    Annotate,
    Apply,
    Create,
    Delete,
    Part,
    Replace,
    Scale,
    Step,
    TransferReplicas,
    UpgradeManagedFields,
)

CONTESTED_REASON = "Contested"
_MIN_RETRY_PAUSE = 30.0
_MAX_RETRY_PAUSE = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class StepFailure:
    """A step that failed.

    `final`: the API server rejected the step itself. The same step is retried after `requeue_after`, or never if that
    is None. `stale`: the live objects have changed since the plan was made, so a new plan is needed at once.
    """

    step: Step
    error: ClusterError
    final: bool = False
    stale: bool = False
    requeue_after: RequeueAfter | None = None

    @property
    def cause(self) -> Cause:
        """The cause to report in the endpoint's status."""
        if isinstance(self.error, Forbidden):
            message = f"{self.step.ref}: forbidden, or the namespace does not exist: {self.error.message}"
            return Cause(Reason.FORBIDDEN, message)
        reason = Reason.API_ERROR
        if isinstance(self.error, Rejected):
            reason = Reason.CONTESTED if self.error.reason == CONTESTED_REASON else Reason.REJECTED
        return Cause(reason, f"{self.step.ref}: {self.error.message}")

    @property
    def key(self) -> str:
        """Failure key shared by all endpoints with the same error for the same kind of object in the same namespace."""
        return f"{type(self.error).__name__} for {self.step.ref.kind} in {self.step.ref.namespace}"


@dataclass(frozen=True, slots=True)
class _Rejection:
    """The rejection of a step. The step is retried at `until`, which is `pause` seconds after the last attempt."""

    digest: str
    error: Rejected
    pause: float
    until: float


@dataclass(slots=True)
class ExecutionResult:
    """The completed steps of a plan, and the first failure of each part."""

    done: list[Step] = field(default_factory=list)
    failures: list[StepFailure] = field(default_factory=list)


class PlanExecutor:
    """Executes a plan's steps in order. A failed step blocks later steps of its part; a stale one blocks all of them.

    The last rejected step of each object is remembered until another step on the object succeeds or the endpoint is
    gone. The rejected step is retried after 30 seconds and then at growing intervals, because the policy or quota that
    caused the rejection may change. `clock`: monotonic seconds. `now`: wall clock with a time zone.
    """

    def __init__(
        self,
        writer: ObjectWriter,
        on_step: Callable[[Step], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._writer = writer
        self._on_step = on_step
        self._now = now
        self._clock = clock
        self._restarts = RestartTracker(clock)
        self._rejected: dict[ObjectRef, _Rejection] = {}

    async def execute(self, plan: Plan) -> ExecutionResult:
        """Executes the steps that are not blocked. Raises NotLeading if this process may no longer write."""
        result = ExecutionResult()
        stopped: set[Part] = set()
        for step in plan.steps:
            if step.part in stopped:
                continue
            try:
                executed = await self._execute_step(step)
            except NotLeading:
                raise
            except ClusterError as error:
                stopped.add(step.part)
                failure = self._failure(step, error)
                result.failures.append(failure)
                if failure.stale:
                    # Later steps may be wrong too, for example an Ingress for a Service that has another owner.
                    break
            else:
                result.done.append(executed)
                self._on_step(executed)
        return result

    async def _execute_step(self, step: Step) -> Step:
        """Executes the step, or annotates the object instead if it is contested, and returns the executed step."""
        rejected = self._rejected.get(step.ref)
        if rejected is not None and self._clock() < rejected.until and rejected.digest == _digest(step):
            raise rejected.error
        match step:
            case Create():
                await self._writer.create(step.manifest)
            case Apply():
                step = await self._apply(step)
            case TransferReplicas():
                await self._writer.apply_replicas(step.ref, step.uid, step.replicas)
            case Scale():
                await self._writer.scale(step.ref, step.uid, step.replicas)
            case Annotate():
                await self._annotate(step)
            case Replace():
                await self._writer.replace(step.ref, step.uid, step.field, step.value)
            case UpgradeManagedFields():
                await self._writer.upgrade_managed_fields(step.observed)
            case Delete():
                await self._writer.delete(step.ref, step.uid, background=step.background)
        self._rejected.pop(step.ref, None)
        return step

    async def _apply(self, step: Apply) -> Step:
        before = self._writer.live_object(step.ref) if step.ref.kind is Kind.DEPLOYMENT else None
        restart = contested.restart_digest(step, before) if before is not None else ""
        if before is None or not restart:
            await self._writer.apply(step.manifest, step.uid)
            return step
        if self._restarts.limit_reached(step.ref, restart):
            return await self._mark_contested(step, before)
        await self._writer.apply(step.manifest, step.uid)
        self._restarts.record(step.ref, restart, corrects=_is_correction(step, before))
        return step

    async def _mark_contested(self, step: Apply, before: ObservedObject) -> Step:
        """Annotates a Deployment as contested instead of restarting its pods again, and returns the executed step.

        Raises Rejected if the Deployment cannot be annotated. This also prevents a retry of the apply.
        """
        annotate = contested.annotate_contested(before, step, self._now())
        try:
            is_marked = await self._annotate(annotate)
        except (Forbidden, Rejected):
            is_marked = False
        if not is_marked:
            raise Rejected(0, CONTESTED_REASON, contested.contest_message(before, step))
        return annotate

    async def _annotate(self, step: Annotate) -> bool:
        """Annotates the object. Returns whether it is now annotated as contested."""
        annotated = await self._writer.annotate(step.ref, step.uid, step.annotations)
        is_marked = contested.contested_annotation(annotated) is not None
        if is_marked:
            # The annotation now records the conflict. If someone removes it, restarts are counted from zero again.
            self._restarts.forget(step.ref)
        return is_marked

    def forget(self, name: str) -> None:
        """Drops the recorded rejections and restarts of a deleted endpoint."""
        for ref in [ref for ref in self._rejected if name in endpoints_of_object(ref, None)]:
            del self._rejected[ref]
        self._restarts.forget_endpoint(name)

    def _failure(self, step: Step, error: ClusterError) -> StepFailure:
        if isinstance(error, Rejected):
            return StepFailure(step, error, final=True, requeue_after=self._record_rejection(step, error))
        # These errors mean that the live object is not the one that the plan was made from. The writer has refreshed
        # the cache, so the next plan uses the live object. If a create gets NotFound, the namespace does not exist.
        gone = isinstance(error, NotFound) and not isinstance(step, Create)
        return StepFailure(step, error, stale=gone or isinstance(error, Conflict | UidMismatch))

    def _record_rejection(self, step: Step, error: Rejected) -> RequeueAfter | None:
        before, digest, now = self._rejected.get(step.ref), _digest(step), self._clock()
        same = before is not None and before.digest == digest
        if before is None or not same:
            # A contested template is never retried, because each retry would restart pods without a lasting effect.
            pause = math.inf if error.reason == CONTESTED_REASON else _MIN_RETRY_PAUSE
            before = self._rejected[step.ref] = _Rejection(digest, error, pause, now + pause)
        elif now >= before.until:
            pause = min(_MAX_RETRY_PAUSE, 2 * before.pause)
            before = self._rejected[step.ref] = _Rejection(digest, error, pause, now + pause)
        left = before.until - now
        return None if left == math.inf else RequeueAfter(left, f"retry the rejected step on {step.ref}")


def _is_correction(step: Apply, before: ObservedObject) -> bool:
    """Returns whether the item's template is unchanged, so the apply only reverts another program's change."""
    desired_hash: str = step.manifest["metadata"]["annotations"][names.TEMPLATE_HASH_ANNOTATION]
    return before.annotations.get(names.TEMPLATE_HASH_ANNOTATION) == desired_hash


def _digest(step: Step) -> str:
    content = step.manifest if isinstance(step, Create | Apply) else str(step)
    return canonical_hash([type(step).__name__, content])
