"""A plan as a value: the steps and their order, the report, the requeue, and the reasons."""

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
    """An Event to publish after a step was executed. `reason` is a CamelCase word, `message` a sentence."""

    reason: str
    message: str
    warning: bool = True


@dataclass(frozen=True, slots=True)
class Create:
    """Creates an object. The API server rejects it if an object with the name exists."""

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
    """Changes an existing object (with this uid) to the manifest by server-side apply.

    `from_differences`: `reason` only summarizes the fields that differ.
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
    """Moves spec.replicas to a separate field manager, so that the HPA can take it over without a dip in the count."""

    ref: ObjectRef
    uid: str
    replicas: int
    reason: str
    part: Part = Part.MAIN

    def __str__(self) -> str:
        return f"transfer replicas of {self.ref} to the HPA at {self.replicas}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Scale:
    """Sets the replicas through the scale subresource and changes nothing else.

    `from_differences`: `reason` only states the replicas that differ.
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
    """Sets only annotations, by a merge patch in which None removes one. It does not affect pods."""

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
    """Replaces the value of a field (`field` is a JSON pointer) that an apply would only merge."""

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
    """Takes over the fields that GCO's field manager owns, so that fields dropped later are removed."""

    observed: ObservedObject
    reason: str
    part: Part = Part.MAIN

    @property
    def ref(self) -> ObjectRef:
        """The object whose managed fields change their owner."""
        return self.observed.ref

    def __str__(self) -> str:
        return f"take over the managed fields of {self.ref}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes the object with this uid.

    `spends_budget`: the deletion was not requested by desired_state=deleted. `withdraws`: it removes the route of an
    endpoint that should run. `background`: it does not wait for dependents.
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
    """The Event of a step, if it has one."""
    return step.event if isinstance(step, Create | Apply | Annotate | Delete) else None


@dataclass(frozen=True, slots=True)
class Report:
    """The desired entry of this region in region_status.

    `error` may contain text of the API server or another program. It is made printable, and truncated to fit into the
    item. `reason` is its code; None without an error.
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
        """A report of these causes, with the reason of the first one and the messages of all."""
        causes = tuple(causes)
        error = "; ".join(cause.message for cause in causes)
        return cls(state, ready, desired, error, causes[0].reason if causes else None)

    def __str__(self) -> str:
        words = f"{self.state}, {self.ready} of {self.desired} ready"
        return f"{words}: {self.error}" if self.error else words


class TableChange(StrEnum):
    """A change to the table that requires reports of all regions."""

    PROMOTE = "promote"
    PURGE = "purge"

    @property
    def description(self) -> str:
        """The description of the change."""
        if self is TableChange.PROMOTE:
            return "set desired_state to running: every target region runs the current spec"
        return "delete the item: the endpoint is deleted in every region"


@dataclass(frozen=True, slots=True)
class RequeueAfter:
    """A requeue after a number of seconds, because the plan then changes without an event, and its reason."""

    after: float
    message: str

    def __str__(self) -> str:
        return f"requeue after {self.after:.0f} s: {self.message}"


def soonest(*times: RequeueAfter | None) -> RequeueAfter | None:
    """The earliest requeue; None if there is none."""
    return min((time for time in times if time is not None), key=lambda time: time.after, default=None)


class MissingInput(StrEnum):
    """A missing input of a plan. It has to be fetched, and the plan computed again."""

    PODS = "pods"
    CENSUS = "census"


class FleetLimit(StrEnum):
    """The fleet-wide limit that prevents a step of this endpoint."""

    WITHDRAWAL = "withdrawal"
    REMOVAL = "removal"


@dataclass(frozen=True, slots=True)
class Note:
    """Why something is left unchanged. `ref` is the object, or None for the endpoint as a whole."""

    message: str
    ref: ObjectRef | None = None

    def __str__(self) -> str:
        return self.message if self.ref is None else f"{self.ref}: {self.message}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that one endpoint needs now. The steps of one part are executed in order; no steps means in sync.

    `report` is None if the endpoint does not concern this region. `write_report`: the report has to be written now;
    `report_first`: before the steps. `withheld`: the steps that a hold prevents. `notes`: what is left unchanged and
    why. `warnings`: what requires attention. `missing_inputs`: the missing inputs; the plan leaves out whatever depends
    on them. `limited_by`: the fleet-wide limit that is reached.
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
        """Whether the plan changes nothing."""
        return not self.steps and not self.write_report and self.table_change is None

    def lines(self) -> list[str]:
        """The plan as text, one line per step, report, change, note and warning."""
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
    """The reference of the object in a manifest."""
    return ObjectRef(Kind(manifest["kind"]), manifest["metadata"]["namespace"], manifest["metadata"]["name"])
