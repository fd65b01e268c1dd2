"""What any one object needs that is ours or absent: made, adopted, put back, or taken away."""

from collections.abc import Sequence

from gco_stream.model.objects import JsonObject, Kind, ObservedObject
from gco_stream.planning.diff.difference import Difference
from gco_stream.planning.diff.drift import differences, in_observed_order
from gco_stream.planning.types.plan import Apply, Create, Delete, Part, Replace, Step, UpgradeManagedFields

_MAX_DIFFERENCES = 3


def steps_for(manifest: JsonObject, observed: ObservedObject | None, part: Part) -> tuple[Step, ...]:
    """Bring an object that is ours, or absent, to its manifest. Nothing while it is terminating."""
    if observed is None:
        return (Create(manifest, "it is missing", part),)
    if observed.deleting:
        return ()
    ordered = in_observed_order(manifest, observed)
    if not observed.ownership.applied:
        # Fields of the former manager would stay for ever; handing its entry over first lets dropped fields go.
        return (
            UpgradeManagedFields(observed, "it was made by another program", part),
            Apply(ordered, observed.uid, "adopted from another program", part),
        )
    if found := differences(ordered, observed):
        if unmergeable := _unmergeable_ports(manifest, observed):
            return (Replace(observed.ref, observed.uid, "/spec/ports", manifest["spec"]["ports"], unmergeable, part),)
        return (Apply(ordered, observed.uid, describe(found), part, from_differences=True),)
    return ()


def _unmergeable_ports(manifest: JsonObject, observed: ObservedObject) -> str:
    """What an apply to a Service cannot mend: ports merge by number, so one that somebody renumbered would stay beside
    ours, and the API server refuses two ports without names. "" where there is none.
    """
    if observed.ref.kind is not Kind.SERVICE:
        return ""
    desired = {port["port"] for port in manifest["spec"]["ports"]}
    live = {port["port"] for port in observed.spec.get("ports", ())}
    return f"spec.ports: is {sorted(live)}, should be {sorted(desired)}" if live - desired else ""


def delete_steps(
    observed: ObservedObject | None, why: str, part: Part, *, spends_budget: bool = False
) -> tuple[Step, ...]:
    """Take away an object that is ours, if it is there and not already going."""
    if observed is None or observed.deleting:
        return ()
    return (Delete(observed.ref, observed.uid, why, part, spends_budget),)


def describe(found: Sequence[Difference]) -> str:
    """The first differences as one sentence, and how many more there are; bookkeeping comes last."""
    ordered = sorted(found, key=lambda difference: difference.path.startswith("metadata.annotations"))
    words = "; ".join(map(str, ordered[:_MAX_DIFFERENCES]))
    more = len(ordered) - _MAX_DIFFERENCES
    return f"{words}; and {more} more" if more > 0 else words
