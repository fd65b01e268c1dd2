"""Carrying a plan's steps out against the cluster, and telling what became of them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gco_stream.cluster.errors import ClusterError, Conflict, Forbidden, NotFound, NotLeading, Rejected, UidMismatch
from gco_stream.cluster.writer import ObjectWriter
from gco_stream.model import names
from gco_stream.model.objects import ObjectRef
from gco_stream.planning.hashing import canonical_hash
from gco_stream.planning.steps import (
    Annotate,
    Apply,
    Create,
    Delete,
    GiveReplicas,
    HandOver,
    Part,
    Plan,
    Replace,
    Scale,
    Step,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that the API server did not take.

    `final`: the same step can never be taken, so it is not tried again until it is another one. `stale`: what the plan
    was made from has changed; plan again at once.
    """

    step: Step
    error: ClusterError
    final: bool = False
    stale: bool = False

    @property
    def message(self) -> str:
        """What the endpoint's author is told. It holds no time and no counter, so the same fault reads the same."""
        if isinstance(self.error, Forbidden):
            return f"{self.step.ref}: not allowed, or the namespace does not exist: {self.error.message}"
        return f"{self.step.ref}: {self.error.message}"


@dataclass(slots=True)
class Result:
    """What became of a plan's steps: those carried out, and the first failure of each part."""

    done: list[Step] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


class StepRunner:
    """Carries out steps in order; a failed one holds up its own part only.

    `refused` remembers, for one object, the digest of a step that the API server rejected for good and its answer: at
    most one entry an object, dropped when the object takes a step or its endpoint is gone.
    """

    def __init__(self, writer: ObjectWriter, on_step: Callable[[Step], None]) -> None:
        self._writer = writer
        self._on_step = on_step
        self._refused: dict[ObjectRef, tuple[str, Rejected]] = {}

    async def carry_out(self, plan: Plan) -> Result:
        """Every step of the plan that can be. Raises NotLeading where this process may not write any more."""
        result = Result()
        stopped: set[Part] = set()
        for step in plan.steps:
            if step.part in stopped:
                continue
            try:
                await self._take(step)
            except NotLeading:
                raise
            except ClusterError as error:
                stopped.add(step.part)
                result.failures.append(self._failure(step, error))
            else:
                result.done.append(step)
                self._on_step(step)
        return result

    async def _take(self, step: Step) -> None:
        refused = self._refused.get(step.ref)
        if refused is not None and refused[0] == _digest(step):
            raise refused[1]
        match step:
            case Create():
                await self._writer.create(step.manifest)
            case Apply():
                await self._writer.apply(step.manifest, step.uid)
            case GiveReplicas():
                await self._writer.apply_replicas(step.ref, step.uid, step.replicas)
            case Scale():
                await self._writer.scale(step.ref, step.uid, step.replicas)
            case Annotate():
                await self._writer.annotate(step.ref, step.uid, step.annotations)
            case Replace():
                await self._writer.replace(step.ref, step.uid, step.field, step.value)
            case HandOver():
                await self._writer.hand_over(step.observed)
            case Delete():
                await self._writer.delete(step.ref, step.uid)
        self._refused.pop(step.ref, None)

    def forget(self, name: str) -> None:
        """The endpoint is gone: what was refused for it is of no interest any more."""
        for ref in [ref for ref in self._refused if name in names.endpoints_of_object(ref.name, None)]:
            del self._refused[ref]

    def _failure(self, step: Step, error: ClusterError) -> Failure:
        if isinstance(error, Rejected):
            self._refused[step.ref] = (_digest(step), error)
            return Failure(step, error, final=True)
        # What stands is not what the plan supposed; the writer has had a look, and the next plan decides whose it is.
        # Where nothing can be made, it is the namespace that is missing.
        gone = isinstance(error, NotFound) and not isinstance(step, Create)
        return Failure(step, error, stale=gone or isinstance(error, Conflict | UidMismatch))


def _digest(step: Step) -> str:
    content = step.manifest if isinstance(step, Create | Apply) else str(step)
    return canonical_hash([type(step).__name__, content])
