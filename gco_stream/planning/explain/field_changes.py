"""Description of a plan's changes to one object, with one line per field that differs.

In contrast, the reason of a step, which is used in logs and Events, lists only the first few fields.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from gco_stream.model import names
from gco_stream.model.objects import ObservedObject
from gco_stream.planning.diff.difference import Difference
from gco_stream.planning.diff.drift import differences
from gco_stream.planning.types.steps import (
    Annotate,
    Apply,
    Replace,
    Scale,
    Step,
    TransferReplicas,
    UpgradeManagedFields,
)

_ANNOTATIONS = "metadata.annotations"


@dataclass(frozen=True, slots=True)
class FieldChanges:
    """The changes to one object. `message`: the reason; "" if only fields differ. `details`: one line per change."""

    message: str
    details: tuple[str, ...]


def field_changes(steps: Sequence[Step], observed: ObservedObject | None) -> FieldChanges:
    """Returns the changes that these steps make to one object. `observed`: None if the object does not exist."""
    why = ""
    details: list[str] = []
    for step in steps:
        reason, lines = _of_step(step, observed)
        why = reason or why
        details += lines
        if step.event is not None:
            details.append(step.event.message)
    return FieldChanges(why, tuple(details))


def lines_of(found: Sequence[Difference]) -> list[str]:
    """Returns one line per difference. Annotations come last because they do not affect pods."""
    return [_line(one) for one in sorted(found, key=lambda difference: difference.path.startswith(_ANNOTATIONS))]


def _of_step(step: Step, observed: ObservedObject | None) -> tuple[str, list[str]]:
    match step:
        case Apply() if observed is not None:
            return "" if step.from_differences else step.reason, lines_of(differences(step.manifest, observed))
        case Scale():
            line = f"spec.replicas: is {_replicas(observed)}, should be {step.replicas}"
            return "" if step.from_differences else step.reason, [line]
        case TransferReplicas():
            return step.reason, [f"spec.replicas: is {_replicas(observed)}, transferred to the HPA at {step.replicas}"]
        case Annotate():
            return step.reason, [f"{_ANNOTATIONS}: {', '.join(sorted(step.annotations))}"]
        case Replace():
            return "", [step.reason]
        case UpgradeManagedFields():
            return step.reason, []
        case _:
            return step.reason, []


def _replicas(observed: ObservedObject | None) -> int:
    return int(observed.spec.get("replicas", 1)) if observed is not None else 0


def _line(difference: Difference) -> str:
    if difference.path == f"{_ANNOTATIONS}[{names.WEIGHTED_ROUTING_ANNOTATION}]":
        # Both values are long and would be truncated before the part that differs, so only the weights are shown.
        return f"traffic: is {_weights(difference.observed)}, should be {_weights(difference.desired)}"
    return str(difference)


def _weights(text: object) -> str:
    """Returns the weights in a forward action of the AWS Load Balancer Controller as text for users."""
    if text is None:
        return "all to the main Service"
    try:
        groups = json.loads(str(text))["forwardConfig"]["targetGroups"]
        return " and ".join(f"{group['weight']}% to {group['serviceName']}" for group in groups)
    except (ValueError, KeyError, TypeError):
        return repr(text)
