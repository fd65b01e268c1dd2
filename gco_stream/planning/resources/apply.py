"""Steps that create, adopt, restore or delete one object."""

from collections.abc import Sequence

from gco_stream.model.objects import JsonObject, Kind, ObservedObject
from gco_stream.planning.diff.difference import Difference
from gco_stream.planning.diff.drift import differences, in_observed_order
from gco_stream.planning.types.plan import Apply, Create, Delete, Part, Replace, Step, UpgradeManagedFields

_MAX_DIFFERENCES = 3


def steps_for(manifest: JsonObject, observed: ObservedObject | None, part: Part) -> tuple[Step, ...]:
    """Returns the steps that create, adopt or restore an object. `observed`: None if the object does not exist."""
    if observed is None:
        return (Create(manifest, "it does not exist", part),)
    if observed.deleting:
        return ()
    ordered = in_observed_order(manifest, observed)
    if not observed.ownership.applied:
        # An apply cannot remove fields that another field manager owns, so these fields are taken over first.
        return (
            UpgradeManagedFields(observed, "it was created by another controller", part),
            Apply(ordered, observed.uid, "adopted from another controller", part),
        )
    if found := differences(ordered, observed):
        if unmergeable := _unmergeable_ports(manifest, observed):
            return (Replace(observed.ref, observed.uid, "/spec/ports", manifest["spec"]["ports"], unmergeable, part),)
        return (Apply(ordered, observed.uid, describe(found), part, from_differences=True),)
    return ()


def _unmergeable_ports(manifest: JsonObject, observed: ObservedObject) -> str:
    """Describes Service ports that an apply cannot remove; "" if there are none.

    An apply merges ports by number, so a port with another number would remain next to ours. The API server rejects
    two ports without names.
    """
    if observed.ref.kind is not Kind.SERVICE:
        return ""
    desired = {port["port"] for port in manifest["spec"]["ports"]}
    live = {port["port"] for port in observed.spec.get("ports", ())}
    return f"spec.ports: is {sorted(live)}, should be {sorted(desired)}" if live - desired else ""


def delete_steps(
    observed: ObservedObject | None, why: str, part: Part, *, spends_budget: bool = False
) -> tuple[Step, ...]:
    """Returns the step that deletes an object; () if the object is absent or already terminating."""
    if observed is None or observed.deleting:
        return ()
    return (Delete(observed.ref, observed.uid, why, part, spends_budget),)


def describe(found: Sequence[Difference]) -> str:
    """Joins the first few differences into one line and appends the number of the others. Annotations come last."""
    ordered = sorted(found, key=lambda difference: difference.path.startswith("metadata.annotations"))
    words = "; ".join(map(str, ordered[:_MAX_DIFFERENCES]))
    more = len(ordered) - _MAX_DIFFERENCES
    return f"{words}; and {more} more" if more > 0 else words
