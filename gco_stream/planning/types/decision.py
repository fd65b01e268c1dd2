"""Decisions of the planning policies. The plan of an endpoint is their sum, and the explanation uses them too."""

from dataclasses import dataclass, fields
from enum import StrEnum

from gco_stream.model.objects import ObjectRef
from gco_stream.model.reasons import Cause
from gco_stream.planning.types.steps import Step, StepEvent


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
    """An input that a plan lacks. The caller must fetch it and plan again."""

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
class Decision:
    """The decision of one policy. The sum of decisions contains the steps, notes and causes of all of them.

    `notes`: what is left unchanged and why. `warnings`: what needs attention. `errors`: causes that set the region's
    state to error. `degraded_reasons`: causes that are reported without changing the state. `missing_inputs`: inputs
    that must be fetched before the decision is complete. `limited_by`: the fleet-wide limit that prevents steps.
    """

    steps: tuple[Step, ...] = ()
    notes: tuple[Note, ...] = ()
    warnings: tuple[Cause, ...] = ()
    errors: tuple[Cause, ...] = ()
    degraded_reasons: tuple[Cause, ...] = ()
    missing_inputs: frozenset[MissingInput] = frozenset()
    limited_by: FleetLimit | None = None
    requeue_after: RequeueAfter | None = None

    def __add__(self, other: "Decision") -> "Decision":
        return Decision(
            self.steps + other.steps,
            self.notes + other.notes,
            self.warnings + other.warnings,
            self.errors + other.errors,
            self.degraded_reasons + other.degraded_reasons,
            self.missing_inputs | other.missing_inputs,
            self.limited_by or other.limited_by,
            soonest(self.requeue_after, other.requeue_after),
        )


@dataclass(frozen=True, slots=True)
class DeploymentDecision(Decision):
    """The decision on one Deployment. `version`: the version of its pod template after the steps."""

    version: int = 0


@dataclass(frozen=True, slots=True)
class CanaryDecision(Decision):
    """The decision on the canary: its objects, and its route in the Ingress.

    `weight`: its share of the traffic in percent, 0 for no route. `waits_for_pods`: it has no route because none of its
    replicas is ready. `draining_since`: value of the gco.io/draining-since annotation on the Ingress; None if no
    connections are draining. `deployment`: the decision on its Deployment alone; None if the canary should not run.
    """

    weight: int = 0
    waits_for_pods: bool = False
    draining_since: str | None = None
    deployment: DeploymentDecision | None = None


@dataclass(frozen=True, slots=True)
class RouteDecision(Decision):
    """The decision on whether the Ingress should exist. Its steps also depend on the canary and are added later.

    `unready_since`: value of the gco.io/unready-since annotation; None for no annotation. `withdraws`: the existing
    Ingress is deleted. `event`: the Event to emit when the Ingress is created or withdrawn.
    """

    exists: bool = False
    unready_since: str | None = None
    withdraws: bool = False
    event: StepEvent | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """The decisions behind a plan, each None if it was not needed. `main`: the decision on the main Deployment."""

    main: DeploymentDecision | None = None
    canary: CanaryDecision | None = None
    route: RouteDecision | None = None


@dataclass(frozen=True, slots=True)
class EndpointDecision(Decision):
    """The decision on all objects of one endpoint. `decided`: the decisions that it combines."""

    decided: Decided = Decided()

    @classmethod
    def of(cls, *decisions: Decision, decided: Decided) -> "EndpointDecision":
        """Returns the sum of the decisions. The steps are in the order of the arguments."""
        whole = sum(decisions, start=Decision())
        return cls(**{one.name: getattr(whole, one.name) for one in fields(whole)}, decided=decided)
