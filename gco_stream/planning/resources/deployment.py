"""One Deployment, main or canary: made, adopted, scaled, rolled out, put back; never restarted unasked."""

from collections.abc import Mapping
from dataclasses import dataclass

from gco_stream.model import names
from gco_stream.model.objects import JsonObject, ObservedObject
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.diff.drift import differences, in_observed_order
from gco_stream.planning.resources import manifests
from gco_stream.planning.resources.apply import describe
from gco_stream.planning.resources.pod_template import ADOPTED_VERSION, RENDERINGS, Renderings, TemplateInputs
from gco_stream.planning.types.plan import (
    Annotate,
    Apply,
    Create,
    Note,
    Part,
    Scale,
    Step,
    TransferReplicas,
    UpgradeManagedFields,
)

TEMPLATE_PATH = "spec.template"
"""Where differences begin that restart pods."""


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
    """The HPA says how many, within bounds; `spec_count` is the item's count, which a start begins from."""

    spec_count: int
    low: int
    high: int

    @property
    def start(self) -> int:
        """How many a new or restarted Deployment begins with."""
        return self.clamped(self.spec_count)

    def clamped(self, count: int) -> int:
        """The nearest count within bounds; never 0, since an HPA does not act on 0."""
        return max(self.low, min(self.high, count))


Replicas = FixedReplicas | AutoscaledReplicas


@dataclass(frozen=True, slots=True)
class Decision:
    """Steps for one object, or why it is left alone, or what is wrong."""

    steps: tuple[Step, ...] = ()
    notes: tuple[Note, ...] = ()
    error: Cause | None = None


@dataclass(frozen=True, slots=True)
class _Rendering:
    """The rendering of a pod template: its version, None if the live template is kept, and the reason for a change."""

    version: int | None
    why: str = ""
    upgrades: bool = False


@dataclass(frozen=True, slots=True)
class _Desired:
    """What one Deployment shall be."""

    inputs: TemplateInputs
    replicas: Replicas
    namespace: str
    annotations: Mapping[str, str]
    part: Part
    renderings: Renderings

    def manifest(self, version: int, count: int | None) -> JsonObject:
        """The whole Deployment with its pod template at a version. `count` None leaves the replicas to the HPA."""
        annotations = {
            **self.annotations,
            names.TEMPLATE_HASH_ANNOTATION: self.inputs.hash(),
            names.TEMPLATE_VERSION_ANNOTATION: str(version),
        }
        pods = self.renderings.render(self.inputs, version)
        return manifests.deployment(self.namespace, self.inputs.app, pods, count, annotations)


def decide(
    inputs: TemplateInputs,
    observed: ObservedObject | None,
    replicas: Replicas,
    *,
    namespace: str,
    annotations: Mapping[str, str],
    part: Part,
    renderings: Renderings = RENDERINGS,
) -> Decision:
    """What this Deployment needs. `observed` is ours, or None. `renderings`: the pod templates that can be made."""
    desired = _Desired(inputs, replicas, namespace, annotations, part, renderings)
    if observed is None:
        manifest = desired.manifest(renderings.current, replicas.start)
        return Decision((Create(manifest, "it is missing", part),))
    if observed.deleting:
        return Decision(notes=(Note("terminating; it is recreated once it is gone", observed.ref),))
    selector = observed.spec.get("selector", {}).get("matchLabels")
    if selector != {names.APP_LABEL: inputs.app}:
        message = (
            f"{observed.ref} selects pods by {selector}, and a selector cannot be changed; "
            "delete the Deployment to have it recreated"
        )
        return Decision(error=Cause(Reason.SELECTOR_IMMUTABLE, message))
    if (
        not observed.ownership.applied
        and not _has_template_hash(observed)
        and not _is_awaited_by_user(desired, observed)
    ):
        return _annotate_only(desired, observed)
    rendering = _rendering(desired, observed)
    if rendering.version is None:
        return _leave_template(observed, replicas, part, rendering.why)
    if not observed.ownership.applied:
        return _adopt(desired, observed, rendering.version, rendering.why or "it was made by another program")
    return _correct(desired, observed, rendering.version, upgrade=rendering.why if rendering.upgrades else "")


def version_of(observed: ObservedObject) -> int | None:
    """Which rendering made the pod template, as the Deployment says; None where it does not."""
    text = observed.annotations.get(names.TEMPLATE_VERSION_ANNOTATION, "")
    return int(text) if text.isdecimal() else None


def requested_version(observed: ObservedObject) -> int:
    """The version below which somebody asked for a newer pod template; 0 where nobody did."""
    text = observed.annotations.get(names.UPGRADE_ANNOTATION) or ""
    return int(text) if text.isdecimal() else 0


def _has_template_hash(observed: ObservedObject) -> bool:
    return names.TEMPLATE_HASH_ANNOTATION in observed.annotations


def _is_awaited_by_user(desired: _Desired, observed: ObservedObject) -> bool:
    """Whether a roll-out of a Deployment that another program made is what the user waits for."""
    return image_of(observed) != desired.inputs.image or requested_version(observed) > ADOPTED_VERSION


def _rendering(desired: _Desired, observed: ObservedObject) -> _Rendering:
    """Which rendering the pod template is to be, and why another than stands; None where it is left alone.

    A hash that somebody took away is taken as unchanged, and a version is told from what stands: losing a mark
    restarts nothing. Nothing ever goes back to an older rendering.
    """
    newest = desired.renderings.current
    stamped_hash, version = observed.annotations.get(names.TEMPLATE_HASH_ANNOTATION), version_of(observed)
    unknown = stamped_hash is None and observed.ownership.applied and version != ADOPTED_VERSION
    if stamped_hash != desired.inputs.hash() and not unknown:
        return _Rendering(newest, "the item asks for another pod template")
    if version is None:
        version = _matching_version(desired, observed)
    if version < requested_version(observed) and version < newest:
        why = f"an upgrade of its pod template from version {version} to {newest} was asked for"
        return _Rendering(newest, why, upgrades=True)
    if not desired.renderings.can_render(version):
        made_by = "it was made by another program" if version == ADOPTED_VERSION else f"it is of version {version}"
        return _Rendering(None, f"its pod template is kept, {made_by}")
    return _Rendering(version)


def _matching_version(desired: _Desired, observed: ObservedObject) -> int:
    """The newest rendering that makes the pod template that stands, else the newest."""
    for version in sorted(desired.renderings.by_version, reverse=True):
        found = differences(desired.manifest(version, None), observed)
        if not any(one.path.startswith(TEMPLATE_PATH) for one in found):
            return version
    return desired.renderings.current


def scale_only(
    observed: ObservedObject | None, count: int, part: Part, why: str, *, from_differences: bool = False
) -> Decision:
    """Replicas alone, through the scale subresource: for a Deployment whose template cannot be made or is not ours."""
    if observed is None or observed.deleting or observed.spec.get("replicas", 1) == count:
        return Decision()
    return Decision((Scale(observed.ref, observed.uid, count, why, part, from_differences),))


def image_of(observed: ObservedObject) -> str | None:
    """The image of the first container, which is the one that serves."""
    containers = observed.spec.get("template", {}).get("spec", {}).get("containers") or [{}]
    image: str | None = containers[0].get("image")
    return image


def _leave_template(observed: ObservedObject, replicas: Replicas, part: Part, why: str) -> Decision:
    count = observed.spec.get("replicas", 1)
    desired_count = count
    if isinstance(replicas, FixedReplicas):
        desired_count = replicas.count
    elif count == 0:
        desired_count = replicas.start
    reason = f"replicas is {count}, should be {desired_count}"
    steps = scale_only(observed, desired_count, part, reason, from_differences=True).steps
    note = f"{why}; it is left unchanged until the item's pod template changes or it is upgraded"
    return Decision(steps, (Note(note, observed.ref),))


def _annotate_only(desired: _Desired, observed: ObservedObject) -> Decision:
    annotations = {
        **desired.annotations,
        names.TEMPLATE_HASH_ANNOTATION: desired.inputs.hash(),
        names.TEMPLATE_VERSION_ANNOTATION: str(ADOPTED_VERSION),
    }
    annotations.pop(names.REVISION_ANNOTATION, None)
    stamp = Annotate(
        observed.ref, observed.uid, annotations, "it is adopted as it runs, without a restart", desired.part
    )
    scaling = _leave_template(observed, desired.replicas, desired.part, "it was made by another program")
    return Decision((stamp, *scaling.steps), scaling.notes)


def _adopt(desired: _Desired, observed: ObservedObject, version: int, why: str) -> Decision:
    steps: list[Step] = []
    count: int | None = None
    if isinstance(desired.replicas, FixedReplicas):
        count = desired.replicas.count
    else:
        steps.append(_transfer_replicas(observed, desired.replicas, desired.part))
    steps.append(UpgradeManagedFields(observed, why, desired.part))
    manifest = in_observed_order(desired.manifest(version, count), observed)
    steps.append(Apply(manifest, observed.uid, why, desired.part))
    return Decision(tuple(steps))


def _correct(desired: _Desired, observed: ObservedObject, version: int, *, upgrade: str) -> Decision:
    steps: list[Step] = []
    count: int | None = None
    if isinstance(desired.replicas, FixedReplicas):
        count = desired.replicas.count
    elif _we_own_replicas(observed) or observed.spec.get("replicas", 1) == 0:
        steps.append(_transfer_replicas(observed, desired.replicas, desired.part))
    manifest = in_observed_order(desired.manifest(version, count), observed)
    if found := differences(manifest, observed):
        reason = f"{upgrade}: {describe(found)}" if upgrade else describe(found)
        steps.append(Apply(manifest, observed.uid, reason, desired.part, from_differences=not upgrade))
    return Decision(tuple(steps))


def _we_own_replicas(observed: ObservedObject) -> bool:
    return "f:replicas" in observed.ownership.fields.get("f:spec", {})


def _transfer_replicas(observed: ObservedObject, replicas: AutoscaledReplicas, part: Part) -> TransferReplicas:
    present = observed.spec.get("replicas", 1)
    count = replicas.clamped(present) if present else replicas.start
    return TransferReplicas(observed.ref, observed.uid, count, f"autoscaling is on, replicas is {present}", part)


def rolled_out(observed: ObservedObject | None) -> bool:
    """Whether every replica asked for is there, new and available, and nothing older is.

    Counts decide, not conditions: after an image change `Available` stays True on the old pod, and a Deployment that
    a user paused has a current observedGeneration and no updatedReplicas. An absent count is 0.
    """
    if observed is None or observed.deleting:
        return False
    status, desired_count = observed.status, observed.spec.get("replicas", 1)
    if status.get("observedGeneration", 0) < observed.generation:
        return False
    counts = (status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas"))
    return all(count == desired_count for count in counts)


def ready_replicas(observed: ObservedObject | None) -> int:
    """Pods of this Deployment that serve."""
    return int(observed.status.get("readyReplicas", 0)) if observed is not None else 0


def has_pods(observed: ObservedObject) -> bool:
    """Whether pods of this Deployment exist, ready or not, as its controller counted them last."""
    return bool(observed.status.get("replicas", 0))


def is_at_zero(observed: ObservedObject) -> bool:
    """Whether the Deployment is asked for no pods."""
    return bool(observed.spec.get("replicas", 1) == 0)
