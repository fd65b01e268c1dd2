"""Which Deployments keep an older pod template, and what the newest would change of them.

A newer program restarts nothing by itself. Somebody asks for the newest template by an annotation (gco.io/upgrade) on
the Deployments of one cluster, a few endpoints at a time; here is told which those are.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from gco_stream.model import names
from gco_stream.model.endpoint import Endpoint
from gco_stream.model.objects import Kind, ObjectRef, Observed, ObservedObject, Ownership
from gco_stream.planning.diff.difference import Difference
from gco_stream.planning.diff.drift import differences
from gco_stream.planning.explain.field_changes import in_lines
from gco_stream.planning.planner import plan
from gco_stream.planning.resources.deployment import rolled_out, upgrade_asked, version_of
from gco_stream.planning.resources.pod_template import ADOPTED_VERSION
from gco_stream.planning.types.context import Situation
from gco_stream.planning.types.plan import Apply
from gco_stream.planning.types.policy import Fleet, Policy

_NOT_THE_TEMPLATES = ("metadata.annotations", "spec.replicas")
# What the API server fills in where nothing is set. Who made an object by POST owns these too; taken away, they come
# back as they were.
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
# The old name of serviceAccountName, which the API server keeps in step.
_ALIAS = "serviceAccount"


@dataclass(frozen=True, slots=True)
class Behind:
    """One Deployment (of this uid) with an older pod template: its version, and a line for each field that changes."""

    ref: ObjectRef
    uid: str
    version: int
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """How one endpoint stands with its pod templates.

    `behind`: what could be upgraded now. `is_rolling`: an upgrade asked for before has not rolled out yet. `obstacle`:
    why an upgrade would not be carried out, "" where it would.
    """

    endpoint: str
    behind: tuple[Behind, ...] = ()
    is_rolling: bool = False
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """`chosen` to be upgraded now, `left` for later; `blocked` cannot be; `rolling`: names of those still on the way.

    All in the order of names.
    """

    chosen: tuple[Upgrade, ...]
    left: tuple[Upgrade, ...]
    blocked: tuple[Upgrade, ...]
    rolling: tuple[str, ...]


def upgrade_of(
    item: Endpoint, observed: Observed, owned: Mapping[ObjectRef, Ownership], now: datetime, policy: Policy
) -> Upgrade:
    """What an upgrade of one endpoint would do in this cluster.

    `observed` holds its Deployments at least. `owned`: whose these are once their fields have been handed over to us,
    since an upgrade of an adopted one takes away what the former system set.
    """
    situation = Situation(item, observed, Fleet(), now, policy)
    mine = list(_deployments(situation))
    behind = [obj for obj in mine if _may_be_asked(obj, policy)]
    asked, obstacle = _if_asked(situation, behind, owned) if behind else ({}, "")
    return Upgrade(
        item.name,
        tuple(Behind(obj.ref, obj.uid, _standing(obj), asked.get(obj.ref, ())) for obj in behind),
        is_rolling=any(_is_rolling(obj, policy) for obj in mine),
        obstacle=f"held: {item.hold}" if item.hold is not None else obstacle,
    )


def select(upgrades: Iterable[Upgrade], limit: int) -> Selection:
    """Those to be upgraded now, so that no more than `limit` endpoints are on the way at once."""
    every = sorted(upgrades, key=lambda one: one.endpoint)
    rolling = tuple(one.endpoint for one in every if one.is_rolling)
    could = [one for one in every if one.behind and not one.is_rolling]
    free = [one for one in could if not one.obstacle]
    places = max(0, limit - len(rolling))
    blocked = tuple(one for one in could if one.obstacle)
    return Selection(tuple(free[:places]), tuple(free[places:]), blocked, rolling)


def _deployments(situation: Situation) -> Iterator[ObservedObject]:
    for name in (situation.endpoint.name, situation.canary):
        found = situation.ours(Kind.DEPLOYMENT, name)
        if found is not None and not found.deleting:
            yield found


def _standing(observed: ObservedObject) -> int:
    """Its version; the former system's Deployments have none, and count as adopted."""
    return version_of(observed) or ADOPTED_VERSION


def _is_old(observed: ObservedObject, policy: Policy) -> bool:
    renderings, version = policy.renderings, version_of(observed)
    if version is None and observed.ownership.applied:
        # Its mark was taken away; the controller puts back the version that fits.
        return False
    known = version in {None, ADOPTED_VERSION} or renderings.can_render(_standing(observed))
    return known and _standing(observed) < renderings.current


def _may_be_asked(observed: ObservedObject, policy: Policy) -> bool:
    return _is_old(observed, policy) and upgrade_asked(observed) < policy.renderings.current


def _is_rolling(observed: ObservedObject, policy: Policy) -> bool:
    asked = upgrade_asked(observed)
    waits = _is_old(observed, policy) and _standing(observed) < asked
    return waits or (asked > ADOPTED_VERSION and not rolled_out(observed))


def _if_asked(
    situation: Situation, behind: list[ObservedObject], owned: Mapping[ObjectRef, Ownership]
) -> tuple[dict[ObjectRef, tuple[str, ...]], str]:
    """What the plan would change of each, were the upgrade asked for, and why it would not."""
    newest = str(situation.policy.renderings.current)
    marked = {
        obj.ref: replace(obj, annotations={**obj.annotations, names.UPGRADE_ANNOTATION: newest}) for obj in behind
    }
    free = situation.endpoint.model_copy(update={"hold": None})
    observed = replace(situation.observed, objects={**situation.observed.objects, **marked})
    made = plan(free, observed, Fleet(), situation.now, situation.policy)
    found = {}
    for step in made.steps:
        if isinstance(step, Apply) and step.ref in marked:
            before = marked[step.ref]
            ours = replace(before, ownership=owned.get(step.ref, before.ownership))
            changes = differences(step.manifest, ours, exclude=_NOT_THE_TEMPLATES)
            found[step.ref] = tuple(in_lines([one for one in changes if not _comes_back(one)]))
    if found.keys() == marked.keys():
        return found, ""
    reason = made.report.error if made.report is not None else ""
    return found, reason or "; ".join(map(str, made.notes)) or "nothing would be done about it"


def _comes_back(change: Difference) -> bool:
    """Whether what would be taken away is a default, so that nothing changes."""
    name = change.path.rpartition(".")[2]
    return change.desired is None and (name == _ALIAS or change.observed in _DEFAULTS.get(name, ()))
