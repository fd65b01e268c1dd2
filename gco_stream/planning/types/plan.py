"""A plan as a value: what to do in which order, what to report, when to look again, and why, in words."""

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
    """Which part of an endpoint a step serves: a step that fails holds up its own part only."""

    MAIN = "main"
    ROUTE = "route"
    CANARY = "canary"


@dataclass(frozen=True, slots=True)
class StepEvent:
    """An Event that people get once a step has been taken: `reason` as one CamelCase word, `message` as a sentence."""

    reason: str
    message: str
    warning: bool = True


@dataclass(frozen=True, slots=True)
class Create:
    """Make an object that is absent; refused by the API server where one of the name exists."""

    manifest: JsonObject
    reason: str
    part: Part = Part.MAIN
    event: StepEvent | None = None

    @property
    def ref(self) -> ObjectRef:
        """The object it makes."""
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
        """The object it changes."""
        return ref_of(self.manifest)

    def __str__(self) -> str:
        return f"apply {self.ref}: {self.reason}"


@dataclass(frozen=True, slots=True)
class TransferReplicas:
    """Hold spec.replicas by a field manager of its own, so that the HPA can take it without a dip."""

    ref: ObjectRef
    uid: str
    replicas: int
    reason: str
    part: Part = Part.MAIN

    def __str__(self) -> str:
        return f"give replicas of {self.ref} to the HPA at {self.replicas}: {self.reason}"


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
    """Set annotations alone (a merge patch; None removes one), touching nothing of what runs."""

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
    """Put a field's value in place whole (`field` is a JSON pointer), where an apply could only add beside it."""

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
    """Take over the fields that the former system's manager holds, so that a field dropped later goes."""

    observed: ObservedObject
    reason: str
    part: Part = Part.MAIN

    @property
    def ref(self) -> ObjectRef:
        """The object whose fields change hands."""
        return self.observed.ref

    def __str__(self) -> str:
        return f"take over the fields of {self.ref}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the object of this uid.

    `spends_budget`: nobody asked for it by desired_state=deleted. `withdraws`: it takes a running endpoint's route.
    `background`: without waiting for what the object owns.
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
    """The Event that a step is worth, if any."""
    return step.event if isinstance(step, Create | Apply | Annotate | Delete) else None


@dataclass(frozen=True, slots=True)
class Report:
    """This region's entry of region_status, as it ought to be.

    `error` may hold the API server's or another program's words: it is kept printable, and short enough for the item.
    `reason` is its code; None without an error.
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
        """A report of these causes: the first gives the reason, all of them the message."""
        causes = tuple(causes)
        error = "; ".join(cause.message for cause in causes)
        return cls(state, ready, desired, error, causes[0].reason if causes else None)

    def __str__(self) -> str:
        words = f"{self.state}, {self.ready} of {self.desired} ready"
        return f"{words}: {self.error}" if self.error else words


class TableChange(StrEnum):
    """What the table itself needs once every region has reported."""

    PROMOTE = "promote"
    PURGE = "purge"

    @property
    def description(self) -> str:
        """The change in words."""
        if self is TableChange.PROMOTE:
            return "set desired_state to running: every target region runs the current spec"
        return "delete the item: the endpoint is deleted in every region"


@dataclass(frozen=True, slots=True)
class RequeueAfter:
    """When a plan changes by time alone: `after` seconds from now, and why."""

    after: float
    message: str

    def __str__(self) -> str:
        return f"look again in {self.after:.0f} s: {self.message}"


def soonest(*times: RequeueAfter | None) -> RequeueAfter | None:
    """The first of them to come, None where there is none."""
    return min((time for time in times if time is not None), key=lambda time: time.after, default=None)


class MissingInput(StrEnum):
    """What a plan could not be made without: to be looked up, and planned again with it."""

    PODS = "pods"
    CENSUS = "census"


class FleetLimit(StrEnum):
    """Which limit on the whole fleet kept a plan from doing what it would do for this endpoint alone."""

    WITHDRAWAL = "withdrawal"
    REMOVAL = "removal"


@dataclass(frozen=True, slots=True)
class Note:
    """Why something is left as it is. `ref`: the object that the note is about, None for the endpoint as a whole."""

    message: str
    ref: ObjectRef | None = None

    def __str__(self) -> str:
        return self.message if self.ref is None else f"{self.ref}: {self.message}"


@dataclass(frozen=True, slots=True)
class Plan:
    """All that one endpoint needs now. Steps of one part are carried out in order; empty means in sync.

    `report` is None where this region has nothing to say. `write_report`: the item does not hold it yet, and it is
    time to write it; `report_first`: before the steps. `withheld`: the steps that a hold prevents. `notes` explain what
    is left alone and why, `warnings` what a person should look at. `missing_inputs`: where it is not empty the plan
    leaves out what depends on it. `limited_by`: a limit on the fleet holds.
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
        """Whether carrying the plan out would change nothing."""
        return not self.steps and not self.write_report and self.table_change is None

    def lines(self) -> list[str]:
        """The plan in words, a line each."""
        lines = [str(step) for step in self.steps] or ["objects: as they should be"]
        if self.report is not None:
            lines.append(f"{'report' if self.write_report else 'reported'} {self.report}")
        if self.table_change is not None:
            lines.append(self.table_change.description)
        if self.requeue_after is not None:
            lines.append(str(self.requeue_after))
        lines += [f"withheld: {step}" for step in self.withheld]
        return lines + [f"warning: {warning}" for warning in self.warnings] + list(map(str, self.notes))


def ref_of(manifest: Mapping[str, Any]) -> ObjectRef:
    """The object that a manifest is about."""
    return ObjectRef(Kind(manifest["kind"]), manifest["metadata"]["namespace"], manifest["metadata"]["name"])
