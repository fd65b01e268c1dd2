"""The context of one plan: its inputs, with the ownership checks that all policies share."""

from dataclasses import dataclass, field
from datetime import datetime

from gco_stream.model import names
from gco_stream.model.item.endpoint import Endpoint, RegionStatus
from gco_stream.model.kinds import DELETION_ORDER, RESOURCES
from gco_stream.model.objects import Kind, Observed, ObservedObject
from gco_stream.model.reasons import Cause
from gco_stream.planning.types.ownership import is_owned_by, not_owned
from gco_stream.planning.types.policy import FleetState, Policy


@dataclass(frozen=True, slots=True)
class ReconcileContext:
    """One valid endpoint, its live objects, and the settings and limits for its plan. `now` has a time zone."""

    endpoint: Endpoint
    observed: Observed
    fleet: FleetState
    now: datetime
    policy: Policy
    namespace: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "namespace", self.endpoint.namespace or self.policy.namespace)

    @property
    def canary(self) -> str:
        """The name of the canary's Deployment and Service."""
        return names.canary_name(self.endpoint.name)

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations of every object of this endpoint."""
        return {
            names.ENDPOINT_ANNOTATION: self.endpoint.name,
            names.TABLE_ANNOTATION: self.policy.table_arn,
            names.REVISION_ANNOTATION: self.endpoint.updated_at,
        }

    @property
    def reported(self) -> RegionStatus | None:
        """The last report of this region in the item."""
        return self.endpoint.region_status.get(self.policy.region)

    def get(self, kind: Kind, name: str) -> ObservedObject | None:
        """Returns the object with this name, regardless of its owner; None if it does not exist."""
        return self.observed.get(kind, self.namespace, name)

    def owned(self, kind: Kind, name: str) -> ObservedObject | None:
        """Returns the object with this name if it belongs to the endpoint, otherwise None."""
        found = self.get(kind, name)
        return found if found is not None and self.owns(found) else None

    def owns(self, observed: ObservedObject) -> bool:
        """Returns whether the object belongs to this endpoint.

        An object without the gco.io/endpoint annotation does not belong to it if another item claims the object's name.
        """
        if observed.endpoint is None and observed.ref.name in self.fleet.names_claimed_by_others:
            return False
        return is_owned_by(
            observed, endpoint=self.endpoint.name, app=self.app_of(observed), table_arn=self.policy.table_arn
        )

    def app_of(self, observed: ObservedObject) -> str:
        """Returns the value that the `app` label of this object must have."""
        return RESOURCES[observed.ref.kind].app_of(observed.ref.name)

    def name_conflicts(self, *required: tuple[Kind, str]) -> tuple[Cause, ...]:
        """Returns a cause for each of these objects that exists but does not belong to the endpoint."""
        found = (self.get(kind, name) for kind, name in required)
        return tuple(not_owned(obj, self.policy.table_arn) for obj in found if obj is not None and not self.owns(obj))

    def all_owned(self) -> list[ObservedObject]:
        """Returns every object of this endpoint in all allowed namespaces, in the order of deletion.

        An object with the canary's name but without the gco.io/endpoint annotation is included only if no other item
        claims its name and the endpoint's Ingress has the gco.io/canary label.
        """
        owned = [
            obj
            for obj in self.observed.objects.values()
            if obj.ref.namespace in self.policy.namespaces and self.owns(obj) and not self._is_main_of_another_item(obj)
        ]
        return sorted(owned, key=lambda obj: (DELETION_ORDER.index(obj.ref.kind), obj.ref))

    def _is_main_of_another_item(self, obj: ObservedObject) -> bool:
        if obj.ref.name != self.canary or obj.endpoint == self.endpoint.name:
            return False
        return not self.has_canary_route(obj.ref.namespace)

    def has_canary_route(self, namespace: str) -> bool:
        """Returns whether the endpoint's Ingress in this namespace has the gco.io/canary label."""
        ingress = self.observed.get(Kind.INGRESS, namespace, names.ingress_name(self.endpoint.name))
        return ingress is not None and names.CANARY_LABEL in ingress.labels
