"""Decisions on one Deployment, main or canary: create, adopt, scale, roll out or restore it.

Neither the adoption of a Deployment nor a new release of this controller restarts pods by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gco_stream.model import names
from gco_stream.model.objects import JsonObject, ObservedObject, ref_of
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.diff.drift import differences, in_observed_order
from gco_stream.planning.resources import manifests
from gco_stream.planning.resources.apply import describe
from gco_stream.planning.resources.env_order import references_first
from gco_stream.planning.resources.pod_template import (
    ADOPTED_VERSION,
    REFERENCES_FIRST_SINCE,
    RENDERINGS,
    Renderings,
    TemplateInputs,
)
from gco_stream.planning.types.decision import Decision, DeploymentDecision, Note
from gco_stream.planning.types.steps import (
    Annotate,
    Apply,
    Create,
    Part,
    Scale,
    Step,
    TransferReplicas,
    UpgradeManagedFields,
)

_CREATED_BY_OTHERS = "it was created by another controller"

TEMPLATE_PATH = "spec.template"
"""Path prefix of the differences that restart pods."""


@dataclass(frozen=True, slots=True)
class FixedReplicas:
    """A replica count from the item."""

    count: int

    @property
    def start(self) -> int:
        """Replicas of a new Deployment."""
        return self.count


@dataclass(frozen=True, slots=True)
class AutoscaledReplicas:
    """A replica count that the HPA manages between `low` and `high`.

    `spec_count`: the count in the item, which is used only for a new or restarted Deployment.
    """

    spec_count: int
    low: int
    high: int

    @property
    def start(self) -> int:
        """Replicas of a new or restarted Deployment."""
        return self.clamped(self.spec_count)

    def clamped(self, count: int) -> int:
        """Returns the nearest count within the bounds. It is at least 1, because an HPA does not scale up from 0."""
        return max(self.low, min(self.high, count))


Replicas = FixedReplicas | AutoscaledReplicas


@dataclass(frozen=True, slots=True)
class _Rendering:
    """The selected rendering of a pod template.

    `version`: None if the live pod template is left unchanged. `why`: the reason for this or for a new rendering.
    `upgrades`: the new rendering is a requested upgrade.
    """

    version: int | None
    why: str = ""
    upgrades: bool = False


@dataclass(frozen=True, slots=True)
class _Desired:
    """The desired state of one Deployment."""

    inputs: TemplateInputs
    replicas: Replicas
    namespace: str
    annotations: Mapping[str, str]
    part: Part
    renderings: Renderings

    def manifest(self, version: int, count: int | None) -> JsonObject:
        """Returns the manifest with this version of the pod template. `count`: None leaves the replicas to the HPA."""
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
) -> DeploymentDecision:
    """Decides how to create or change a Deployment. `observed`: the live Deployment; None if it does not exist."""
    desired = _Desired(inputs, replicas, namespace, annotations, part, renderings)
    if observed is None:
        manifest = desired.manifest(renderings.current, replicas.start)
        create = Create(ref_of(manifest), "it does not exist", part, manifest=manifest)
        return DeploymentDecision((create,), version=renderings.current)
    if observed.deleting:
        note = Note("it is terminating and is recreated once it is gone", observed.ref)
        return DeploymentDecision(notes=(note,), version=renderings.current)
    selector = observed.spec.get("selector", {}).get("matchLabels")
    if selector != {names.APP_LABEL: inputs.app}:
        message = (
            f"{observed.ref} selects pods by {selector}, and a selector cannot be changed; "
            "delete the Deployment so that it is recreated"
        )
        return DeploymentDecision(errors=(Cause(Reason.SELECTOR_IMMUTABLE, message),))
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
        return _adopt(desired, observed, rendering.version, rendering.why or _CREATED_BY_OTHERS)
    return _correct(desired, observed, rendering.version, upgrade=rendering.why if rendering.upgrades else "")


def version_of(observed: ObservedObject) -> int | None:
    """Returns the version of the pod template from the Deployment's annotation; None if it is missing or invalid."""
    text = observed.annotations.get(names.TEMPLATE_VERSION_ANNOTATION, "")
    return int(text) if text.isdecimal() else None


def requested_version(observed: ObservedObject) -> int:
    """Returns the requested version of the pod template from the Deployment's annotation; 0 without a valid request."""
    text = observed.annotations.get(names.UPGRADE_ANNOTATION) or ""
    return int(text) if text.isdecimal() else 0


def _has_template_hash(observed: ObservedObject) -> bool:
    return names.TEMPLATE_HASH_ANNOTATION in observed.annotations


def _is_awaited_by_user(desired: _Desired, observed: ObservedObject) -> bool:
    """Whether the user has requested a new image or an upgrade for a Deployment that another controller created."""
    return image_of(observed) != desired.inputs.image or requested_version(observed) > ADOPTED_VERSION


def _rendering(desired: _Desired, observed: ObservedObject) -> _Rendering:
    """Selects the rendering of the pod template.

    A missing hash annotation counts as unchanged, and a missing version is derived from the live template. If someone
    removes these annotations, pods are not restarted.
    """
    newest = desired.renderings.current
    stamped_hash, version = observed.annotations.get(names.TEMPLATE_HASH_ANNOTATION), version_of(observed)
    unknown = stamped_hash is None and observed.ownership.applied and version != ADOPTED_VERSION
    if stamped_hash != desired.inputs.hash() and not unknown:
        return _Rendering(newest, "the item's pod template changed")
    if version is None:
        version = _matching_version(desired, observed)
    if version < requested_version(observed) and version < newest:
        why = f"an upgrade of the pod template from version {version} to {newest} was requested"
        return _Rendering(newest, why, upgrades=True)
    if not desired.renderings.can_render(version):
        newer = f"the pod template has version {version}, which this release does not know"
        return _Rendering(None, _CREATED_BY_OTHERS if version == ADOPTED_VERSION else newer)
    return _Rendering(version)


def _matching_version(desired: _Desired, observed: ObservedObject) -> int:
    """The newest version whose rendering equals the live pod template; if there is none, the newest version of all."""
    for version in sorted(desired.renderings.by_version, reverse=True):
        found = differences(desired.manifest(version, None), observed)
        if not any(one.path.startswith(TEMPLATE_PATH) for one in found):
            return version
    return desired.renderings.current


def scale_only(
    observed: ObservedObject | None, count: int, part: Part, why: str, *, from_differences: bool = False
) -> Decision:
    """Scales a Deployment without other changes, for example if its pod template cannot be rendered."""
    if observed is None or observed.deleting or observed.spec.get("replicas", 1) == count:
        return Decision()
    step = Scale(observed.ref, why, part, uid=observed.uid, replicas=count, from_differences=from_differences)
    return Decision((step,))


def image_of(observed: ObservedObject) -> str | None:
    """Returns the image of the first container, which is the inference server."""
    containers = observed.spec.get("template", {}).get("spec", {}).get("containers") or [{}]
    image: str | None = containers[0].get("image")
    return image


def _leave_template(observed: ObservedObject, replicas: Replicas, part: Part, why: str) -> DeploymentDecision:
    count = observed.spec.get("replicas", 1)
    desired_count = count
    if isinstance(replicas, FixedReplicas):
        desired_count = replicas.count
    elif count == 0:
        desired_count = replicas.start
    reason = f"replicas is {count}, should be {desired_count}"
    steps = scale_only(observed, desired_count, part, reason, from_differences=True).steps
    note = f"{why}; its pod template is left unchanged until the item changes it or an upgrade is requested"
    return DeploymentDecision(steps, (Note(note, observed.ref),), version=version_of(observed) or ADOPTED_VERSION)


def _annotate_only(desired: _Desired, observed: ObservedObject) -> DeploymentDecision:
    annotations = {
        **desired.annotations,
        names.TEMPLATE_HASH_ANNOTATION: desired.inputs.hash(),
        names.TEMPLATE_VERSION_ANNOTATION: str(ADOPTED_VERSION),
    }
    annotations.pop(names.REVISION_ANNOTATION, None)
    stamp = Annotate(observed.ref, "adopted without a restart", desired.part, uid=observed.uid, annotations=annotations)
    scaling = _leave_template(observed, desired.replicas, desired.part, _CREATED_BY_OTHERS)
    return DeploymentDecision((stamp, *scaling.steps), scaling.notes, version=ADOPTED_VERSION)


def _adopt(desired: _Desired, observed: ObservedObject, version: int, why: str) -> DeploymentDecision:
    steps: list[Step] = []
    count: int | None = None
    if isinstance(desired.replicas, FixedReplicas):
        count = desired.replicas.count
    else:
        steps.append(_transfer_replicas(observed, desired.replicas, desired.part))
    steps.append(UpgradeManagedFields(observed.ref, why, desired.part, uid=observed.uid, observed=observed))
    manifest = _ordered(desired.manifest(version, count), observed, version)
    steps.append(Apply(observed.ref, why, desired.part, uid=observed.uid, manifest=manifest))
    return DeploymentDecision(tuple(steps), version=version)


def _correct(desired: _Desired, observed: ObservedObject, version: int, *, upgrade: str) -> DeploymentDecision:
    steps: list[Step] = []
    count: int | None = None
    if isinstance(desired.replicas, FixedReplicas):
        count = desired.replicas.count
    elif _we_own_replicas(observed) or observed.spec.get("replicas", 1) == 0:
        steps.append(_transfer_replicas(observed, desired.replicas, desired.part))
    manifest = _ordered(desired.manifest(version, count), observed, version)
    if found := differences(manifest, observed):
        reason = f"{upgrade}: {describe(found)}" if upgrade else describe(found)
        ref, uid = observed.ref, observed.uid
        steps.append(Apply(ref, reason, desired.part, uid=uid, manifest=manifest, from_differences=not upgrade))
    return DeploymentDecision(tuple(steps), version=version)


def _ordered(manifest: JsonObject, observed: ObservedObject, version: int) -> JsonObject:
    """Returns the manifest in the order of the live object, except that its version may require another order."""
    ordered = in_observed_order(manifest, observed)
    if version >= REFERENCES_FIRST_SINCE:
        for container in ordered["spec"]["template"]["spec"]["containers"]:
            if "env" in container:
                container["env"] = references_first(container["env"])
    return ordered


def _we_own_replicas(observed: ObservedObject) -> bool:
    return "f:replicas" in observed.ownership.fields.get("f:spec", {})


def _transfer_replicas(observed: ObservedObject, replicas: AutoscaledReplicas, part: Part) -> TransferReplicas:
    present = observed.spec.get("replicas", 1)
    count = replicas.clamped(present) if present else replicas.start
    return TransferReplicas(
        observed.ref, f"autoscaling is enabled, replicas is {present}", part, uid=observed.uid, replicas=count
    )


def rolled_out(observed: ObservedObject | None) -> bool:
    """Whether all desired replicas are updated and available and no older replicas are left.

    The result is based on counts, not on conditions: after an image change, the condition Available stays True because
    of the old pods. An absent count means 0.
    """
    if observed is None or observed.deleting:
        return False
    status, desired_count = observed.status, observed.spec.get("replicas", 1)
    if status.get("observedGeneration", 0) < observed.generation:
        return False
    counts = (status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas"))
    return all(count == desired_count for count in counts)


def ready_replicas(observed: ObservedObject | None) -> int:
    """Returns the number of ready replicas; 0 if there is no Deployment."""
    return int(observed.status.get("readyReplicas", 0)) if observed is not None else 0


def has_pods(observed: ObservedObject) -> bool:
    """Whether the Deployment has pods, ready or not, according to its status."""
    return bool(observed.status.get("replicas", 0))


def is_at_zero(observed: ObservedObject) -> bool:
    """Whether the Deployment is scaled to 0."""
    return bool(observed.spec.get("replicas", 1) == 0)
