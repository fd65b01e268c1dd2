"""Contested objects, which another controller or a mutating webhook keeps changing back.

After a few attempts, a contested object is reported and restored only at growing intervals. A contested pod template is
not restored until the desired template changes, because every change restarts GPU pods. The state is stored in the
gco.io/contested annotation of the object, so it survives a restart and a change of leader.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gco_stream.aio.backoff import delay_after
from gco_stream.model import names
from gco_stream.model.objects import JsonObject, Kind, ObjectRef, ObservedObject, canonical_hash
from gco_stream.model.reasons import Cause, Reason
from gco_stream.model.times import parse_time
from gco_stream.planning.diff.difference import Difference
from gco_stream.planning.diff.drift import differences
from gco_stream.planning.diff.merge_schema import SPEC_SCHEMAS, MergeSchema
from gco_stream.planning.resources.apply import describe
from gco_stream.planning.resources.deployment import TEMPLATE_PATH
from gco_stream.planning.types.decision import RequeueAfter, soonest
from gco_stream.planning.types.steps import (
    Annotate,
    Apply,
    Part,
    Replace,
    Scale,
    Step,
    StepEvent,
    TransferReplicas,
    UpgradeManagedFields,
)

MAX_ATTEMPTS = 3
"""Number of reverted applies after which an object counts as contested."""

_MIN_WAIT = 60.0
_MAX_WAIT = 6 * 3600.0
_TEMPLATE, _OBJECT = "template", "object"
# The values of these annotations are times. A new value is not a change of the desired state.
_CLOCKS = frozenset({names.REVISION_ANNOTATION, names.DRAINING_SINCE_ANNOTATION, names.UNREADY_SINCE_ANNOTATION})

Correction = Apply | Replace
"""A step that restores fields of an object."""


@dataclass(frozen=True, slots=True)
class ContestedAnnotation:
    """The parsed gco.io/contested annotation of an object.

    `digest`: the digest of the desired object. `attempts`: how often the object was annotated with this digest. `at`:
    when it was last annotated. `of_template`: the pod template is contested, and `digest` covers only the template.
    """

    digest: str
    attempts: int
    at: datetime
    of_template: bool = False

    def __str__(self) -> str:
        return f"{_TEMPLATE if self.of_template else _OBJECT} {self.digest} {self.attempts} {self.at.isoformat()}"


@dataclass(frozen=True, slots=True)
class Corrections:
    """The steps of a plan without the corrections that must wait, and the causes to report for these.

    `errors`: causes for objects with a contested spec. `degraded_reasons`: causes for objects of the canary, and for
    objects with only contested labels or annotations.
    """

    steps: tuple[Step, ...]
    errors: tuple[Cause, ...] = ()
    degraded_reasons: tuple[Cause, ...] = ()
    requeue_after: RequeueAfter | None = None


def parse_annotation(text: str | None) -> ContestedAnnotation | None:
    """Parses the text of the annotation. Returns None if it is missing or invalid."""
    try:
        scope, digest, attempts, at = (text or "").split()
        count, time = int(attempts), parse_time(at, default_zone=None)
    except ValueError:
        return None
    if time is None or count <= 0 or scope not in {_TEMPLATE, _OBJECT}:
        return None
    return ContestedAnnotation(digest, count, time, scope == _TEMPLATE)


def contested_annotation(observed: ObservedObject) -> ContestedAnnotation | None:
    """Returns the parsed annotation of an object; None if it is missing or invalid."""
    return parse_annotation(observed.annotations.get(names.CONTESTED_ANNOTATION))


def retry_delay(observed: ObservedObject, step: Correction, now: datetime) -> float:
    """Returns the seconds until this correction may be retried; infinity if not before the desired state changes."""
    annotation = contested_annotation(observed)
    if annotation is None:
        return 0.0
    of_template = bool(template_fields(step, observed))
    if annotation.of_template != of_template or annotation.digest != _digest(step, of_template=of_template):
        return 0.0
    if of_template:
        return math.inf
    wait = delay_after(annotation.attempts, base=_MIN_WAIT, cap=_MAX_WAIT)
    # A time in the future (clock skew, a manual edit) must not extend the wait.
    return max(0.0, wait - max(0.0, (now - annotation.at).total_seconds()))


def annotate_contested(observed: ObservedObject, step: Correction, now: datetime) -> Annotate:
    """Returns the step that annotates an object as contested after this correction was reverted."""
    of_template = bool(template_fields(step, observed))
    digest, before = _digest(step, of_template=of_template), contested_annotation(observed)
    is_same = before is not None and (before.digest, before.of_template) == (digest, of_template)
    attempts = before.attempts + 1 if before is not None and is_same else 1
    text = str(ContestedAnnotation(digest, attempts, now, of_template))
    why, event = "another field manager keeps changing it", StepEvent("Contested", contest_message(observed, step))
    return Annotate(
        observed.ref, why, step.part, event, uid=observed.uid, annotations={names.CONTESTED_ANNOTATION: text}
    )


def annotate_all_contested(
    steps: Sequence[Step],
    contested_refs: Collection[ObjectRef],
    objects: Mapping[ObjectRef, ObservedObject],
    now: datetime,
) -> tuple[Annotate, ...]:
    """Returns the steps that annotate the contested objects for which `steps` has a correction."""
    return tuple(
        annotate_contested(objects[ref], step, now)
        for ref, step in _corrections(steps).items()
        if ref in contested_refs and ref in objects
    )


def defer_corrections(steps: Sequence[Step], objects: Mapping[ObjectRef, ObservedObject], now: datetime) -> Corrections:
    """Returns the steps without the corrections that must wait. A contested Deployment is still scaled."""
    waits = {
        ref: wait
        for ref, step in _corrections(steps).items()
        if ref in objects and (wait := retry_delay(objects[ref], step, now))
    }
    if not waits:
        return Corrections(tuple(steps))
    errors: list[Cause] = []
    degraded_reasons: list[Cause] = []
    remaining: list[Step] = []
    for step in steps:
        if step.ref not in waits or not isinstance(step, Correction | TransferReplicas | UpgradeManagedFields):
            remaining.append(step)
        elif isinstance(step, Correction):
            observed = objects[step.ref]
            reasons = errors if step.part is not Part.CANARY and _changes_spec(step, observed) else degraded_reasons
            reasons.append(Cause(Reason.CONTESTED, contest_message(observed, step)))
            remaining += _scaled(steps, step, observed)
    requeues = (RequeueAfter(wait, f"{ref} is restored again") for ref, wait in waits.items() if wait < math.inf)
    return Corrections(tuple(remaining), tuple(errors), tuple(degraded_reasons), soonest(*requeues))


def is_over(observed: ObservedObject, steps: Sequence[Step]) -> bool:
    """Whether an object is annotated as contested but in sync. `steps`: all steps of the plan."""
    return contested_annotation(observed) is not None and all(step.ref != observed.ref for step in steps)


def clear_contested(observed: ObservedObject, part: Part) -> Annotate:
    """Returns the step that removes the annotation."""
    return Annotate(
        observed.ref, "it is in sync again", part, uid=observed.uid, annotations={names.CONTESTED_ANNOTATION: None}
    )


def template_fields(step: Correction, observed: ObservedObject) -> tuple[str, ...]:
    """Returns the paths of the pod template that a correction changes. Changing them restarts pods."""
    return tuple(one.path for one in _found(step, observed) if one.path.startswith(TEMPLATE_PATH))


def restart_digest(step: Apply, observed: ObservedObject) -> str:
    """Returns a digest of the desired pod template and of the fields that an apply changes in it.

    Returns "" if the apply restarts no pods.
    """
    fields = template_fields(step, observed)
    return canonical_hash([_digest(step, of_template=True), sorted(fields)]) if fields else ""


def contest_message(observed: ObservedObject, step: Correction) -> str:
    """Returns the message about a contested object. It has no times or attempts, so a retry does not change it."""
    fields = describe(_found(step, observed)) if isinstance(step, Apply) else step.reason
    if template_fields(step, observed):
        rest = f"it is left unchanged until the item's pod template changes or {names.CONTESTED_ANNOTATION} is removed"
    else:
        rest = "it is restored at growing intervals"
    return f"another field manager keeps changing {observed.ref} ({rest}): {fields}"


def _corrections(steps: Sequence[Step]) -> dict[ObjectRef, Correction]:
    return {step.ref: step for step in steps if isinstance(step, Correction)}


def _found(step: Correction, observed: ObservedObject) -> tuple[Difference, ...]:
    return differences(step.manifest, observed) if isinstance(step, Apply) else ()


def _changes_spec(step: Correction, observed: ObservedObject) -> bool:
    return isinstance(step, Replace) or any(one.path.startswith("spec") for one in _found(step, observed))


def _digest(step: Correction, *, of_template: bool) -> str:
    if isinstance(step, Replace):
        return canonical_hash([step.field, step.value])
    spec: JsonObject = _sorted_by_keys(step.manifest["spec"], SPEC_SCHEMAS[step.ref.kind])
    if of_template:
        return canonical_hash(spec["template"])
    return canonical_hash(
        {**step.manifest, "metadata": dict(_stable_metadata(step.manifest["metadata"])), "spec": spec}
    )


def _sorted_by_keys(value: Any, schema: MergeSchema) -> Any:
    """The value with its lists sorted by merge key, so that the order in the live object does not affect the digest."""
    if isinstance(value, dict):
        return {name: _sorted_by_keys(inner, schema.fields.get(name, schema.element)) for name, inner in value.items()}
    if not isinstance(value, list | tuple):
        return value
    items = [_sorted_by_keys(item, schema) for item in value]
    return sorted(items, key=lambda item: [str(item.get(key)) for key in schema.keys]) if schema.keys else items


def _stable_metadata(metadata: JsonObject) -> Iterator[tuple[str, Any]]:
    for name, value in metadata.items():
        if name == "annotations":
            yield name, {key: text for key, text in value.items() if key not in _CLOCKS}
        else:
            yield name, value


def _scaled(steps: Sequence[Step], step: Correction, observed: ObservedObject) -> Iterator[Scale]:
    """Yields the step that scales a Deployment that is otherwise left unchanged, if its replicas differ."""
    if observed.ref.kind is not Kind.DEPLOYMENT or not isinstance(step, Apply):
        return
    count, observed_count = step.manifest["spec"].get("replicas"), observed.spec.get("replicas", 1)
    given = next((one.replicas for one in steps if isinstance(one, TransferReplicas) and one.ref == step.ref), None)
    if count is None and observed_count == 0:
        count = given
    if count is not None and count != observed_count:
        reason = f"replicas is {observed_count}, should be {count}"
        yield Scale(observed.ref, reason, step.part, uid=observed.uid, replicas=count, from_differences=True)
