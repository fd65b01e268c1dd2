"""Steps: the changes to objects that a plan consists of."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gco_stream.model.objects import JsonObject, ObjectRef, ObservedObject


class Part(StrEnum):
    """The part of an endpoint that a step belongs to. A failed step blocks only later steps of the same part."""

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
class Step:
    """A change to one object. `reason`: why, for logs and explanations. `event`: the Event to emit after it."""

    ref: ObjectRef
    reason: str
    part: Part = Part.MAIN
    event: StepEvent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(Step):
    """Creates an object. The step fails if the object already exists."""

    manifest: JsonObject

    def __str__(self) -> str:
        return f"create {self.ref}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOnObject(Step):
    """A change to the live object with this UID. If another object has its name now, the step fails."""

    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply(StepOnObject):
    """Changes the object to the manifest by server-side apply.

    `from_differences`: whether `reason` is only a summary of the fields that differ.
    """

    manifest: JsonObject
    from_differences: bool = False

    def __str__(self) -> str:
        return f"apply {self.ref}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferReplicas(StepOnObject):
    """Transfers spec.replicas to a second field manager, so an apply can omit the field without resetting it."""

    replicas: int

    def __str__(self) -> str:
        return f"transfer replicas of {self.ref} to the HPA at {self.replicas}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale(StepOnObject):
    """Sets the replicas through the scale subresource, without other changes.

    `from_differences`: whether `reason` only states that the replicas differ.
    """

    replicas: int
    from_differences: bool = False

    def __str__(self) -> str:
        return f"scale {self.ref} to {self.replicas}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotate(StepOnObject):
    """Sets annotations with a merge patch; the value None removes one. The step does not affect pods."""

    annotations: Mapping[str, str | None]

    def __str__(self) -> str:
        return f"annotate {self.ref}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace(StepOnObject):
    """Replaces a value that an apply would only merge. `field`: a JSON pointer, such as /spec/ports."""

    field: str
    value: Any

    def __str__(self) -> str:
        return f"replace {self.field} of {self.ref}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeManagedFields(StepOnObject):
    """Takes over the fields that GCO's field manager owns. Otherwise, an apply could not remove them."""

    observed: ObservedObject

    def __str__(self) -> str:
        return f"take over the managed fields of {self.ref}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(StepOnObject):
    """Deletes the object.

    `spends_budget`: the deletion budget applies, because the item does not request the deletion. `withdraws`: the
    object is the Ingress of an endpoint that should run. `background`: the object is deleted before its dependents.
    """

    spends_budget: bool = False
    withdraws: bool = False
    background: bool = False

    def __str__(self) -> str:
        return f"delete {self.ref}: {self.reason}"
