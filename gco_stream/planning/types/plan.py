"""The plan for one endpoint and its parts: steps, report, requeue, notes and warnings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gco_stream.model.endpoint import RegionState
from gco_stream.model.objects import JsonObject, Kind, ObjectRef, ObservedObject
from gco_stream.model.reasons import Cause, Reason
from gco_stream.model.text import truncate

MAX_ERROR = 2500


class Part(StrEnum):
    """The part of an endpoint that a step belongs to. A failed step blocks only its own part."""

    MAIN = "main"
    ROUTE = "route"
    CANARY = "canary"


@dataclass(frozen=True, slots=True)
class StepEvent:
    """A Kubernetes Event to emit after a step has been executed. `warning`: the type is Warning instead of Normal."""

    reason: str
    message: str
    warning: bool = True


@dataclass(frozen=True, slots=True)
class Create:
    """Creates an object. The step fails if the object already exists."""

    manifest: JsonObject
    reason: str
    part: Part = Part.MAIN
    event: StepEvent | None = None

    @property
    def ref(self) -> ObjectRef:
        """The object to create."""
        return ref_of(self.manifest)

    def __str__(self) -> str:
        return f"create {self.ref}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Apply:
    """Applies the manifest to the existing object with this uid, by server-side apply.

    `from_differences`: `reason` is only a summary of the fields that differ.
    """

    manifest: JsonObject
    uid: str
    reason: str
    part: Part = Part.MAIN
    event: StepEvent | None = None
    from_differences: bool = False

    @property
    def ref(self) -> ObjectRef:
        """The object to change."""
        return ref_of(self.manifest)

    def __str__(self) -> str:
        return f"apply {self.ref}: {self.reason}"


@dataclass(frozen=True, slots=True)
class TransferReplicas:
    """Moves spec.replicas to a second field manager, so that an apply can omit the field without resetting it."""

    ref: ObjectRef
    uid: str
    replicas: int
    reason: str
    part: Part = Part.MAIN

    def __str__(self) -> str:
        return f"transfer replicas of {self.ref} to the HPA at {self.replicas}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Scale:
    """Sets the replicas through the scale subresource, without other changes.

    `from_differences`: `reason` only states that the replicas differ.
    """

    ref: ObjectRef
    uid: str
    replicas: int
    reason: str
    part: Part = Part.MAIN
    from_differences: bool = False

    def __str__(self) -> str:
        return f"scale {self.ref} to {self.replicas}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Annotate:
    """Sets annotations by a merge patch, and removes those whose value is None. This does not affect pods."""

    ref: ObjectRef
    uid: str
    annotations: Mapping[str, str | None]
    reason: str
    part: Part = Part.MAIN
    event: StepEvent | None = None

    def __str__(self) -> str:
        return f"annotate {self.ref}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Replace:
    """Replaces a value that an apply would only merge. `field`: a JSON pointer, such as /spec/ports."""

    ref: ObjectRef
    uid: str
    field: str
    value: Any
    reason: str
    part: Part = Part.MAIN

    def __str__(self) -> str:
        return f"replace {self.field} of {self.ref}: {self.reason}"


@dataclass(frozen=True, slots=True)
class UpgradeManagedFields:
    """Takes over the fields that GCO's field manager owns. Otherwise, an apply could not remove them."""

    observed: ObservedObject
    reason: str
    part: Part = Part.MAIN

    @property
    def ref(self) -> ObjectRef:
        """The object whose managedFields change."""
        return self.observed.ref

    def __str__(self) -> str:
        return f"take over the managed fields of {self.ref}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes the object with this uid.

    `spends_budget`: the limit on removals applies. `withdraws`: the object is the Ingress of an endpoint that should
    run. `background`: the deletion does not wait for the pods of a Deployment.
    """

    ref: ObjectRef
    uid: str
    reason: str
    part: Part = Part.MAIN
    spends_budget: bool = False
    withdraws: bool = False
    background: bool = False
    event: StepEvent | None = None

    def __str__(self) -> str:
        return f"delete {self.ref}: {self.reason}"


Step = Create | Apply | TransferReplicas | Scale | Annotate | Replace | UpgradeManagedFields | Delete


def event_of(step: Step) -> StepEvent | None:
    """Returns the Event of a step; None if it has none."""
    return step.event if isinstance(step, Create | Apply | Annotate | Delete) else None


@dataclass(frozen=True, slots=True)
class Report:
    """The report of this region, which is its desired entry in region_status.

    `ready` and `desired`: replicas of the main Deployment. `error`: may contain text from the API server, so it is made
    printable and truncated. `reason`: the code for `error`; None if there is no error.
    """

    state: RegionState
    ready: int = 0
    desired: int = 0
    error: str = ""
    reason: Reason | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "error", truncate(self.error, MAX_ERROR))

    @classmethod
    def of(cls, state: RegionState, causes: Iterable[Cause] = (), *, ready: int = 0, desired: int = 0) -> "Report":
        """Returns a report with the reason of the first cause and the messages of all causes."""
        causes = tuple(causes)
        error = "; ".join(cause.message for cause in causes)
        return cls(state, ready, desired, error, causes[0].reason if causes else None)

    def __str__(self) -> str:
        words = f"{self.state}, {self.ready} of {self.desired} ready"
        return f"{words}: {self.error}" if self.error else words


class TableChange(StrEnum):
    """A change to the table that depends on the reports of all regions."""

    PROMOTE = "promote"
    PURGE = "purge"

    @property
    def description(self) -> str:
        """The change as text for people."""
        if self is TableChange.PROMOTE:
            return "set desired_state to running: every target region runs the current spec"
        return "delete the item: the endpoint is deleted in every region"


@dataclass(frozen=True, slots=True)
class RequeueAfter:
    """A requeue after `after` seconds, because the plan may then change without an event. `message`: the reason."""

    after: float
    message: str

    def __str__(self) -> str:
        return f"requeue after {self.after:.0f} s: {self.message}"


def soonest(*times: RequeueAfter | None) -> RequeueAfter | None:
    """Returns the earliest requeue; None if there is none."""
    return min((time for time in times if time is not None), key=lambda time: time.after, default=None)


class MissingInput(StrEnum):
    """An input that a plan lacks. The caller must read it and plan again."""

    PODS = "pods"
    CENSUS = "census"


class FleetLimit(StrEnum):
    """A fleet-wide limit that prevents steps of an endpoint."""

    WITHDRAWAL = "withdrawal"
    REMOVAL = "removal"


@dataclass(frozen=True, slots=True)
class Note:
    """A note on what is left unchanged, and why. `ref`: the object; None for the endpoint as a whole."""

    message: str
    ref: ObjectRef | None = None

    def __str__(self) -> str:
        return self.message if self.ref is None else f"{self.ref}: {self.message}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan for one endpoint in this region. The steps are executed in order.

    `report`: None if there is nothing to report. `write_report`: the report must be written now. `report_first`: it
    must be written before the steps are executed. `withheld`: the steps that a hold prevents. `warnings`: what needs
    attention. `missing_inputs`: inputs that the plan lacks; it omits all steps that depend on them. `limited_by`: the
    fleet-wide limit that prevents steps. `intent`: the digest of the desired state.
    """

    endpoint: str
    steps: tuple[Step, ...] = ()
    report: Report | None = None
    write_report: bool = False
    report_first: bool = False
    table_change: TableChange | None = None
    requeue_after: RequeueAfter | None = None
    withheld: tuple[Step, ...] = ()
    notes: tuple[Note, ...] = ()
    warnings: tuple[Cause, ...] = ()
    missing_inputs: frozenset[MissingInput] = frozenset()
    limited_by: FleetLimit | None = None
    intent: str = field(default="", repr=False)

    @property
    def in_sync(self) -> bool:
        """Whether the plan changes neither the objects nor the table."""
        return not self.steps and not self.write_report and self.table_change is None

    def lines(self) -> list[str]:
        """Returns the plan as lines of text."""
        lines = [str(step) for step in self.steps] or ["objects: in sync"]
        if self.report is not None:
            lines.append(f"{'report' if self.write_report else 'reported'} {self.report}")
        if self.table_change is not None:
            lines.append(self.table_change.description)
        if self.requeue_after is not None:
            lines.append(str(self.requeue_after))
        lines += [f"withheld: {step}" for step in self.withheld]
        return lines + [f"warning: {warning}" for warning in self.warnings] + list(map(str, self.notes))


def ref_of(manifest: Mapping[str, Any]) -> ObjectRef:
    """Returns the reference to the object in a manifest."""
    return ObjectRef(Kind(manifest["kind"]), manifest["metadata"]["namespace"], manifest["metadata"]["name"])
