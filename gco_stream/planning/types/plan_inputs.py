"""The inputs of planning: everything that the plan of one endpoint depends on."""

from dataclasses import dataclass
from datetime import datetime

from gco_stream.model.item.endpoint import Endpoint, InvalidItem
from gco_stream.model.objects import Observed
from gco_stream.planning.types.policy import FleetState, Policy


@dataclass(frozen=True, slots=True)
class PlanInputs:
    """The inputs of one plan. The same inputs give the same plan and the same explanation.

    `item`: None if the table has no item with this name. `observed`: the live objects with the endpoint's names, and
    the pods if they were listed. `now` has a time zone.
    """

    name: str
    item: Endpoint | InvalidItem | None
    observed: Observed
    fleet: FleetState
    now: datetime
    policy: Policy
