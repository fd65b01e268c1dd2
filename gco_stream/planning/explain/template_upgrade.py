"""Upgrades of pod templates: which Deployments have an older version, and what the newest version would change.

A new release of the controller does not restart pods. An operator requests the upgrade for a few endpoints at a time,
with the gco.io/upgrade annotation on their Deployments. This module selects the endpoints.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from gco_stream.model import names
from gco_stream.model.item.endpoint import Endpoint
from gco_stream.model.objects import Kind, ObjectRef, Observed, ObservedObject, Ownership
from gco_stream.planning.diff.difference import Difference
from gco_stream.planning.diff.drift import differences
from gco_stream.planning.explain.field_changes import lines_of
from gco_stream.planning.planner import plan_endpoint
from gco_stream.planning.resources.deployment import requested_version, rolled_out, version_of
from gco_stream.planning.resources.pod_template import ADOPTED_VERSION
from gco_stream.planning.types.context import ReconcileContext
from gco_stream.planning.types.plan_inputs import PlanInputs
from gco_stream.planning.types.policy import FleetState, Policy
from gco_stream.planning.types.steps import Apply

_NOT_THE_TEMPLATES = ("metadata.annotations", "spec.replicas")
# Default values set by the API server. A client that creates an object by POST also owns these fields. If an upgrade
# removes one of them, the API server sets it again, so the removal is not shown as a change.
_DEFAULTS: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "progressDeadlineSeconds": (600,),
        "revisionHistoryLimit": (10,),
        "strategy": ({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},),
        "dnsPolicy": ("ClusterFirst",),
        "restartPolicy": ("Always",),
        "schedulerName": ("default-scheduler",),
        "terminationGracePeriodSeconds": (30,),
        "imagePullPolicy": ("IfNotPresent", "Always"),
        "terminationMessagePath": ("/dev/termination-log",),
        "terminationMessagePolicy": ("File",),
        "scheme": ("HTTP",),
        "successThreshold": (1,),
        "timeoutSeconds": (1,),
        "periodSeconds": (10,),
        "failureThreshold": (3,),
    }
)
# The deprecated alias of serviceAccountName, which the API server keeps in sync.
_ALIAS = "serviceAccount"


@dataclass(frozen=True, slots=True)
class OutdatedDeployment:
    """A Deployment with an older version of the pod template. `changes`: one line per field that an upgrade changes."""

    ref: ObjectRef
    uid: str
    version: int
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EndpointUpgrade:
    """The state of one endpoint's pod templates.

    `outdated`: the Deployments that could be upgraded now. `is_rolling`: an earlier upgrade has not rolled out yet.
    `obstacle`: why an upgrade would not take effect; "" if it would.
    """

    endpoint: str
    outdated: tuple[OutdatedDeployment, ...] = ()
    is_rolling: bool = False
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class UpgradeSelection:
    """The endpoints of an upgrade, in groups that are sorted by name.

    `selected`: to be upgraded now. `deferred`: to be upgraded later, because of the limit. `blocked`: cannot be
    upgraded. `rolling`: names of endpoints whose upgrade has not rolled out yet.
    """

    selected: tuple[EndpointUpgrade, ...]
    deferred: tuple[EndpointUpgrade, ...]
    blocked: tuple[EndpointUpgrade, ...]
    rolling: tuple[str, ...]


def upgrade_of(
    item: Endpoint, observed: Observed, owned: Mapping[ObjectRef, Ownership], now: datetime, policy: Policy
) -> EndpointUpgrade:
    """Returns what an upgrade of one endpoint would change in this cluster.

    `observed` must contain at least the endpoint's Deployments. `owned`: their field ownership after GCO's fields have
    been taken over. Without it, the fields of an adopted Deployment that the upgrade removes would be missing.
    """
    context = ReconcileContext(item, observed, FleetState(), now, policy)
    deployments = list(_deployments(context))
    outdated = [obj for obj in deployments if _is_upgradable(obj, policy)]
    changes, obstacle = upgrade_changes(context, outdated, owned) if outdated else ({}, "")
    return EndpointUpgrade(
        item.name,
        tuple(
            OutdatedDeployment(obj.ref, obj.uid, _template_version(obj), changes.get(obj.ref, ())) for obj in outdated
        ),
        is_rolling=any(_is_rolling(obj, policy) for obj in deployments),
        obstacle=f"held: {item.hold}" if item.hold is not None else obstacle,
    )


def select(upgrades: Iterable[EndpointUpgrade], limit: int) -> UpgradeSelection:
    """Selects the endpoints to upgrade now, so that at most `limit` endpoints roll out at the same time."""
    every = sorted(upgrades, key=lambda one: one.endpoint)
    rolling = tuple(one.endpoint for one in every if one.is_rolling)
    could = [one for one in every if one.outdated and not one.is_rolling]
    free = [one for one in could if not one.obstacle]
    places = max(0, limit - len(rolling))
    blocked = tuple(one for one in could if one.obstacle)
    return UpgradeSelection(tuple(free[:places]), tuple(free[places:]), blocked, rolling)


def _deployments(context: ReconcileContext) -> Iterator[ObservedObject]:
    for name in (context.endpoint.name, context.canary):
        found = context.owned(Kind.DEPLOYMENT, name)
        if found is not None and not found.deleting:
            yield found


def _template_version(observed: ObservedObject) -> int:
    """Returns the version of the pod template. A Deployment that GCO created has none and counts as adopted."""
    return version_of(observed) or ADOPTED_VERSION


def _is_old(observed: ObservedObject, policy: Policy) -> bool:
    renderings, version = policy.renderings, version_of(observed)
    if version is None and observed.ownership.applied:
        # The version annotation was removed. The controller restores it with the version of the live template.
        return False
    known = version in {None, ADOPTED_VERSION} or renderings.can_render(_template_version(observed))
    return known and _template_version(observed) < renderings.current


def _is_upgradable(observed: ObservedObject, policy: Policy) -> bool:
    return _is_old(observed, policy) and requested_version(observed) < policy.renderings.current


def _is_rolling(observed: ObservedObject, policy: Policy) -> bool:
    requested = requested_version(observed)
    waits = _is_old(observed, policy) and _template_version(observed) < requested
    return waits or (requested > ADOPTED_VERSION and not rolled_out(observed))


def upgrade_changes(
    context: ReconcileContext, outdated: list[ObservedObject], owned: Mapping[ObjectRef, Ownership]
) -> tuple[dict[ObjectRef, tuple[str, ...]], str]:
    """Returns the changes to each Deployment if its upgrade were requested, as lines of text.

    The second value is the reason why the plan would not upgrade all of them, or "". A hold is ignored. `owned`: as in
    `upgrade_of`.
    """
    newest = str(context.policy.renderings.current)
    annotated = {
        obj.ref: replace(obj, annotations={**obj.annotations, names.UPGRADE_ANNOTATION: newest}) for obj in outdated
    }
    free = context.endpoint.model_copy(update={"hold": None})
    observed = replace(context.observed, objects={**context.observed.objects, **annotated})
    plan = plan_endpoint(PlanInputs(free.name, free, observed, context.fleet, context.now, context.policy))
    found = {}
    for step in plan.steps:
        if isinstance(step, Apply) and step.ref in annotated:
            before = annotated[step.ref]
            live = replace(before, ownership=owned.get(step.ref, before.ownership))
            changes = differences(step.manifest, live, exclude=_NOT_THE_TEMPLATES)
            found[step.ref] = tuple(lines_of([one for one in changes if not _is_default(one)]))
    if found.keys() == annotated.keys():
        return found, ""
    reason = plan.report.error if plan.report is not None else ""
    return found, reason or "; ".join(map(str, plan.notes)) or "the plan would not change it"


def _is_default(change: Difference) -> bool:
    """Returns whether the change removes a default value, which the API server sets again."""
    name = change.path.rpartition(".")[2]
    return change.desired is None and (name == _ALIAS or change.observed in _DEFAULTS.get(name, ()))
