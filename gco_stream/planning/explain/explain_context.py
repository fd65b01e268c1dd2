"""The inputs of an explanation, from which the status of each object is derived."""

from dataclasses import dataclass

from gco_stream.model.item.endpoint import DesiredState
from gco_stream.model.item.spec import EndpointSpec
from gco_stream.model.objects import Kind, ObjectRef, ObservedObject
from gco_stream.model.reasons import Cause
from gco_stream.planning.types.context import ReconcileContext
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.steps import Step


@dataclass(frozen=True, slots=True)
class ExplainContext:
    """The inputs of an explanation of `plan`, which was made from `context`.

    `unrestricted_context`: the context without a hold and without fleet-wide limits. `unlimited_plan`: its plan.
    `limit`: why steps that are only in `unlimited_plan` are not executed.
    """

    context: ReconcileContext
    plan: Plan
    unrestricted_context: ReconcileContext
    unlimited_plan: Plan
    limit: Cause

    @property
    def spec(self) -> EndpointSpec | None:
        """The item's spec; None if it is invalid."""
        return self.context.endpoint.spec

    @property
    def is_leaving(self) -> bool:
        """Whether the endpoint should be removed from this region."""
        endpoint = self.context.endpoint
        return endpoint.is_deleted or self.context.policy.region not in endpoint.target_regions

    @property
    def is_stopping(self) -> bool:
        """Whether the endpoint should be stopped in this region."""
        return not self.is_leaving and self.context.endpoint.desired_state is DesiredState.STOPPED

    def steps(self, ref: ObjectRef) -> list[Step]:
        """Returns the steps of the plan for one object."""
        return [step for step in self.plan.steps if step.ref == ref]

    def steps_if_allowed(self, ref: ObjectRef) -> list[Step]:
        """Returns the steps of `unlimited_plan` for one object."""
        return [step for step in self.unlimited_plan.steps if step.ref == ref]

    def belongs_to_canary(self, ref: ObjectRef) -> bool:
        """Returns whether the object has the canary's name."""
        return ref.name == self.context.canary

    @property
    def main(self) -> ObservedObject | None:
        """The main Deployment, if it belongs to the endpoint."""
        return self.context.owned(Kind.DEPLOYMENT, self.context.endpoint.name)
