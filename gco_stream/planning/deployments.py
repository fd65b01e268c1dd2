"""One Deployment, main or canary: made, adopted, scaled, rolled out, put back; never restarted unasked."""

from collections.abc import Mapping
from dataclasses import dataclass

from gco_stream.model import names
from gco_stream.model.objects import JsonObject, ObservedObject
from gco_stream.planning import manifests, template
from gco_stream.planning.drift import differences, in_observed_order
from gco_stream.planning.objects import in_words
from gco_stream.planning.steps import Annotate, Apply, Create, GiveReplicas, HandOver, Part, Scale, Step
from gco_stream.planning.template import ADOPTED_VERSION, CURRENT_VERSION, TemplateInputs


@dataclass(frozen=True, slots=True)
class FixedReplicas:
    """The item says how many."""

    count: int

    @property
    def start(self) -> int:
        """How many a new Deployment begins with."""
        return self.count


@dataclass(frozen=True, slots=True)
class AutoscaledReplicas:
    """The HPA says how many, within bounds; `asked` is the item's count, which a start begins from."""

    asked: int
    low: int
    high: int

    @property
    def start(self) -> int:
        """How many a new or restarted Deployment begins with."""
        return self.clamped(self.asked)

    def clamped(self, count: int) -> int:
        """The nearest count within bounds; never 0, since an HPA does not act on 0."""
        return max(self.low, min(self.high, count))


Replicas = FixedReplicas | AutoscaledReplicas


@dataclass(frozen=True, slots=True)
class Decision:
    """Steps for one object, or why it is left alone, or what is wrong."""

    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""


def decide(
    inputs: TemplateInputs,
    observed: ObservedObject | None,
    replicas: Replicas,
    *,
    namespace: str,
    annotations: Mapping[str, str],
    part: Part,
) -> Decision:
    """What this Deployment needs. `observed` is ours, or None."""
    if observed is None:
        manifest = _manifest(inputs, CURRENT_VERSION, replicas.start, namespace, annotations)
        return Decision((Create(manifest, "it is missing", part),))
    if observed.deleting:
        return Decision(notes=(f"{observed.ref} is terminating; it is made anew once it is gone",))
    selector = observed.spec.get("selector", {}).get("matchLabels")
    if selector != {names.APP_LABEL: inputs.app}:
        return Decision(
            error=f"{observed.ref} selects pods by {selector}, and a selector cannot be changed; "
            "delete the Deployment to have it made anew"
        )
    stamped_hash = observed.annotations.get(names.TEMPLATE_HASH_ANNOTATION)
    unchanged = stamped_hash == inputs.hash()
    version = _version_of(observed)
    if unchanged and not template.can_render(version):
        return _left_alone(observed, replicas, part, f"its pod template is of version {version}")
    if not observed.ownership.applied:
        if stamped_hash is None and image_of(observed) == inputs.image:
            return _stamped(inputs, observed, replicas, annotations, part)
        return _taken_over(inputs, observed, replicas, namespace=namespace, annotations=annotations, part=part)
    return _corrected(
        inputs, observed, replicas, version if unchanged else CURRENT_VERSION, namespace, annotations, part
    )


def scaled(observed: ObservedObject | None, count: int, part: Part, why: str) -> Decision:
    """Replicas alone, through the scale subresource: for a Deployment whose template cannot be made or is not ours."""
    if observed is None or observed.deleting or observed.spec.get("replicas", 1) == count:
        return Decision()
    return Decision((Scale(observed.ref, observed.uid, count, why, part),))


def _manifest(
    inputs: TemplateInputs, version: int, count: int | None, namespace: str, annotations: Mapping[str, str]
) -> JsonObject:
    return manifests.deployment(
        namespace,
        inputs.app,
        template.render(inputs, version),
        count,
        {
            **annotations,
            names.TEMPLATE_HASH_ANNOTATION: inputs.hash(),
            names.TEMPLATE_VERSION_ANNOTATION: str(version),
        },
    )


def _version_of(observed: ObservedObject) -> int:
    text = observed.annotations.get(names.TEMPLATE_VERSION_ANNOTATION, "")
    return int(text) if text.isdecimal() else CURRENT_VERSION


def image_of(observed: ObservedObject) -> str | None:
    """The image of the first container, which is the one that serves."""
    containers = observed.spec.get("template", {}).get("spec", {}).get("containers") or [{}]
    image: str | None = containers[0].get("image")
    return image


def _left_alone(observed: ObservedObject, replicas: Replicas, part: Part, why: str) -> Decision:
    count = observed.spec.get("replicas", 1)
    wanted = count
    if isinstance(replicas, FixedReplicas):
        wanted = replicas.count
    elif count == 0:
        wanted = replicas.start
    steps = scaled(observed, wanted, part, f"replicas is {count}, should be {wanted}").steps
    note = f"{observed.ref}: {why}; it is left alone until the item's template changes or it is upgraded"
    return Decision(steps, (note,))


def _stamped(
    inputs: TemplateInputs,
    observed: ObservedObject,
    replicas: Replicas,
    annotations: Mapping[str, str],
    part: Part,
) -> Decision:
    marks = {
        **annotations,
        names.TEMPLATE_HASH_ANNOTATION: inputs.hash(),
        names.TEMPLATE_VERSION_ANNOTATION: str(ADOPTED_VERSION),
    }
    marks.pop(names.REVISION_ANNOTATION, None)
    stamp = Annotate(observed.ref, observed.uid, marks, "it is adopted as it runs, without a restart", part)
    scaling = _left_alone(observed, replicas, part, "it was made by another program")
    return Decision((stamp, *scaling.steps), scaling.notes)


def _taken_over(
    inputs: TemplateInputs,
    observed: ObservedObject,
    replicas: Replicas,
    *,
    namespace: str,
    annotations: Mapping[str, str],
    part: Part,
) -> Decision:
    steps: list[Step] = []
    count: int | None = None
    if isinstance(replicas, FixedReplicas):
        count = replicas.count
    else:
        steps.append(_given(observed, replicas, part))
    steps.append(HandOver(observed, "the item asks for another pod template", part))
    manifest = in_observed_order(_manifest(inputs, CURRENT_VERSION, count, namespace, annotations), observed)
    steps.append(Apply(manifest, observed.uid, "the item asks for another pod template", part))
    return Decision(tuple(steps))


def _corrected(
    inputs: TemplateInputs,
    observed: ObservedObject,
    replicas: Replicas,
    version: int,
    namespace: str,
    annotations: Mapping[str, str],
    part: Part,
) -> Decision:
    steps: list[Step] = []
    count: int | None = None
    if isinstance(replicas, FixedReplicas):
        count = replicas.count
    elif _we_own_replicas(observed) or observed.spec.get("replicas", 1) == 0:
        steps.append(_given(observed, replicas, part))
    manifest = in_observed_order(_manifest(inputs, version, count, namespace, annotations), observed)
    if found := differences(manifest, observed):
        steps.append(Apply(manifest, observed.uid, in_words(found), part))
    return Decision(tuple(steps))


def _we_own_replicas(observed: ObservedObject) -> bool:
    return "f:replicas" in observed.ownership.fields.get("f:spec", {})


def _given(observed: ObservedObject, replicas: AutoscaledReplicas, part: Part) -> GiveReplicas:
    present = observed.spec.get("replicas", 1)
    count = replicas.clamped(present) if present else replicas.start
    return GiveReplicas(observed.ref, observed.uid, count, f"autoscaling is on, replicas is {present}", part)


def rolled_out(observed: ObservedObject | None) -> bool:
    """Whether every replica asked for is there, new and available, and nothing older is.

    Counts decide, not conditions: after an image change `Available` stays True on the old pod, and a Deployment that
    a user paused has a current observedGeneration and no updatedReplicas. An absent count is 0.
    """
    if observed is None or observed.deleting:
        return False
    status, wanted = observed.status, observed.spec.get("replicas", 1)
    if status.get("observedGeneration", 0) < observed.generation:
        return False
    counts = (status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas"))
    return all(count == wanted for count in counts)


def ready(observed: ObservedObject | None) -> int:
    """Pods of this Deployment that serve."""
    return int(observed.status.get("readyReplicas", 0)) if observed is not None else 0


def is_at_zero(observed: ObservedObject) -> bool:
    """Whether the Deployment is asked for no pods."""
    return bool(observed.spec.get("replicas", 1) == 0)
