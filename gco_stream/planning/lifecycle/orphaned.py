"""Plans the removal of orphans: endpoints with objects in the cluster, but without an item in the table.

The engine verifies that the item is gone. This module selects the objects that may be deleted. Their name, annotations
and managedFields must all identify this installation as the owner, because objects also look orphaned if the controller
reads the wrong table or if their labels were copied.
"""

from collections.abc import Iterator
from dataclasses import replace

from gco_stream.model import names
from gco_stream.model.kinds import DELETION_ORDER, RESOURCES
from gco_stream.model.objects import Observed, ObservedObject
from gco_stream.planning.lifecycle.stopping import is_limited, removal_held
from gco_stream.planning.types.decision import Note
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.policy import FleetState, Policy
from gco_stream.planning.types.steps import Delete, StepEvent

NO_ITEM = "the table has no such item"
_ORPHANED = StepEvent("Orphaned", f"the endpoint's objects are deleted: {NO_ITEM}")


def plan_orphan(name: str, observed: Observed, fleet: FleetState, policy: Policy) -> Plan:
    """Plans the removal of an endpoint without an item. `observed`: only objects that may belong to the endpoint."""
    notes = tuple(_kept_objects(name, observed, fleet, policy))
    steps = tuple(
        Delete(obj.ref, NO_ITEM, uid=obj.uid, spends_budget=True)
        for obj in removable(name, observed, policy)
        if not obj.deleting
    )
    if steps and is_limited(fleet):
        held = removal_held(fleet, NO_ITEM)
        return Plan(
            name, requeue_after=held.requeue_after, notes=notes, warnings=held.warnings, limited_by=held.limited_by
        )
    return Plan(name, steps=(*(replace(step, event=_ORPHANED) for step in steps[:1]), *steps[1:]), notes=notes)


def removable(name: str, observed: Observed, policy: Policy) -> list[ObservedObject]:
    """Returns the objects of an endpoint without an item that may be deleted, in the order of deletion."""
    found = [obj for obj in observed.objects.values() if _is_certainly_owned(name, obj, policy)]
    return sorted(found, key=lambda obj: (DELETION_ORDER.index(obj.ref.kind), obj.ref))


def _is_certainly_owned(name: str, obj: ObservedObject, policy: Policy) -> bool:
    return (
        obj.ref.namespace in policy.namespaces
        and obj.endpoint == name
        and obj.ref.name in RESOURCES[obj.ref.kind].names_of(name)
        and obj.annotations.get(names.TABLE_ANNOTATION) == policy.table_arn
        and (obj.ownership.applied or obj.ownership.stamped)
    )


def _kept_objects(name: str, observed: Observed, fleet: FleetState, policy: Policy) -> Iterator[Note]:
    for _, obj in sorted(observed.objects.items()):
        if _is_certainly_owned(name, obj, policy) or obj.endpoint not in {None, name}:
            continue
        if obj.endpoint is None and obj.ref.name in fleet.names_claimed_by_others:
            continue
        yield Note(f"left unchanged, although {NO_ITEM}: {_why(obj, policy)}", obj.ref)


def _why(obj: ObservedObject, policy: Policy) -> str:
    table = obj.annotations.get(names.TABLE_ANNOTATION)
    if table not in {None, policy.table_arn}:
        return "it belongs to another installation (another table)"
    if not (obj.ownership.applied or obj.ownership.stamped):
        return "it was not created by this controller"
    return "its annotations do not identify its owner (gco.io/endpoint, gco.io/table)"
