"""Plans the removal of orphans: endpoints with objects in the cluster, but without an item in the table.

The engine verifies that the item is gone. This module selects the objects that may be deleted. Their name, annotations
and managedFields must all identify this installation as the owner, because objects also look orphaned if the controller
reads the wrong table or if their labels were copied.
"""

from collections.abc import Iterator
from dataclasses import replace

from gco_stream.model import names
from gco_stream.model.objects import Kind, Observed, ObservedObject
from gco_stream.planning.lifecycle.stopping import BUDGET_RESET_REASON, budget_exhausted
from gco_stream.planning.types.plan import Delete, FleetLimit, Note, Part, Plan, RequeueAfter, StepEvent
from gco_stream.planning.types.policy import FleetState, Policy

NO_ITEM = "the table has no such item"
_ORPHANED = StepEvent("Orphaned", f"the endpoint's objects are deleted: {NO_ITEM}")
_DELETION_ORDER = (Kind.INGRESS, Kind.HPA, Kind.SERVICE, Kind.DEPLOYMENT)


def plan_orphan(name: str, observed: Observed, fleet: FleetState, policy: Policy) -> Plan:
    """Plans the removal of an endpoint without an item. `observed`: only objects that may belong to the endpoint."""
    notes = tuple(_kept_objects(name, observed, fleet, policy))
    steps = tuple(
        Delete(obj.ref, obj.uid, NO_ITEM, Part.MAIN, spends_budget=True)
        for obj in removable(name, observed, policy)
        if not obj.deleting
    )
    if steps and fleet.deletions_left <= 0:
        return Plan(
            name,
            requeue_after=RequeueAfter(fleet.next_deletion_in, BUDGET_RESET_REASON),
            notes=notes,
            warnings=(budget_exhausted(NO_ITEM),),
            limited_by=FleetLimit.REMOVAL,
        )
    return Plan(name, steps=(*(replace(step, event=_ORPHANED) for step in steps[:1]), *steps[1:]), notes=notes)


def removable(name: str, observed: Observed, policy: Policy) -> list[ObservedObject]:
    """Returns the objects of an endpoint without an item that may be deleted, in the order of deletion."""
    found = [obj for obj in observed.objects.values() if _is_certainly_owned(name, obj, policy)]
    return sorted(found, key=lambda obj: (_DELETION_ORDER.index(obj.ref.kind), obj.ref))


def _is_certainly_owned(name: str, obj: ObservedObject, policy: Policy) -> bool:
    return (
        obj.ref.namespace in policy.namespaces
        and obj.endpoint == name
        and obj.ref.name in _expected_names(obj.ref.kind, name)
        and obj.annotations.get(names.TABLE_ANNOTATION) == policy.table_arn
        and (obj.ownership.applied or obj.ownership.stamped)
    )


def _expected_names(kind: Kind, name: str) -> tuple[str, ...]:
    match kind:
        case Kind.INGRESS:
            return (names.ingress_name(name),)
        case Kind.HPA:
            return (name,)
        case _:
            return (name, names.canary_name(name))


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
