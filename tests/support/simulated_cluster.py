"""Simulated cluster that executes plans, with as much of server-side apply as these tests need."""

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from gco_stream.model.item.endpoint import Endpoint, InvalidItem, RegionStatus
from gco_stream.model.objects import Kind, ObjectRef, Observed, ObservedObject, Ownership, PodHealth
from gco_stream.planning.planner import plan_endpoint
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.plan_inputs import PlanInputs
from gco_stream.planning.types.policy import FleetState, Policy
from gco_stream.planning.types.steps import (
    Annotate,
    Apply,
    Create,
    Delete,
    Replace,
    Scale,
    Step,
    TransferReplicas,
    UpgradeManagedFields,
)
from tests.support.items import REGION, endpoint

NAMESPACE = "gco-inference"
TABLE = "arn:aws:dynamodb:us-east-1:111122223333:table/gco-inference-endpoints"
START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
POLICY = Policy(region=REGION, namespaces=(NAMESPACE,), table_arn=TABLE)
CANARY = {"canary": {"image": "registry.example/serve:2.0", "weight": 20, "replicas": 1}}
SCALED = {"replicas": 2, "autoscaling": {"enabled": True, "min_replicas": 2, "max_replicas": 8}}
_KEYS = {"containers": "name", "initContainers": "name", "env": "name", "volumes": "name", "volumeMounts": "mountPath"}


def fields_of(value: Any) -> dict[str, Any]:
    """fieldsV1 of a part of a manifest, with the merge keys that the manifests of these tests have."""
    if not isinstance(value, Mapping):
        return {}
    fields: dict[str, Any] = {}
    for name, inner in value.items():
        key = _KEYS.get(name)
        if name == "ports" and isinstance(inner, list):
            ports = [("containerPort" if "containerPort" in port else "port", port) for port in inner]
            fields["f:ports"] = {
                f'k:{{"{which}":{port[which]},"protocol":"TCP"}}': {".": {}, **fields_of(port)} for which, port in ports
            }
        elif key and isinstance(inner, list):
            fields[f"f:{name}"] = {f"k:{json.dumps({key: one[key]})}": {".": {}, **fields_of(one)} for one in inner}
        elif isinstance(inner, Mapping) and name not in {"nodeSelector", "selector", "matchLabels"}:
            fields[f"f:{name}"] = fields_of(inner)
        else:
            fields[f"f:{name}"] = {}
    return fields


class SimulatedCluster:
    """Objects by reference, changed by the steps of plans and by the tests."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.policy = policy
        self.objects: dict[ObjectRef, ObservedObject] = {}
        self.now = START
        self.pods: tuple[PodHealth, ...] | None = None
        self.steps: list[Step] = []
        self._serial = count(1)

    def put(self, obj: ObservedObject) -> None:
        self.objects[obj.ref] = obj

    def change(self, ref: ObjectRef, **changes: Any) -> ObservedObject:
        """Replaces fields of the observed object, as another field manager."""
        before = self.objects[ref]
        values = {name: getattr(before, name) for name in before.__dataclass_fields__} | changes
        if values["spec"] != before.spec:
            values["generation"] = before.generation + 1
        values["resource_version"] = str(next(self._serial))
        after = self.objects[ref] = ObservedObject(**values)
        return after

    def apply(self, manifest: Mapping[str, Any]) -> None:
        metadata = manifest["metadata"]
        ref = ObjectRef(Kind(manifest["kind"]), metadata["namespace"], metadata["name"])
        before = self.objects.get(ref)
        spec = copy.deepcopy(manifest["spec"])
        if before is not None and ref.kind is Kind.DEPLOYMENT and "replicas" not in spec:
            spec["replicas"] = before.spec["replicas"]
        kept = before.annotations if before is not None else {}
        ours = before.ownership.fields.get("f:metadata", {}).get("f:annotations", {}) if before is not None else {}
        others = {name: value for name, value in kept.items() if f"f:{name}" not in ours}
        self.put(
            ObservedObject(
                ref=ref,
                uid=before.uid if before else f"uid-{next(self._serial)}",
                resource_version=str(next(self._serial)),
                generation=(before.generation if before else 0) + (before is None or before.spec != spec),
                created=(before.created if before else self.now.isoformat()) if ref.kind is Kind.INGRESS else "",
                labels=dict(metadata["labels"]),
                annotations={**others, **metadata["annotations"]},
                spec=spec,
                status=before.status if before else {},
                ownership=Ownership(
                    applied=True,
                    replicas=before.ownership.replicas if before else False,
                    fields={
                        "f:metadata": {
                            "f:labels": fields_of(metadata["labels"]),
                            "f:annotations": fields_of(metadata["annotations"]),
                        },
                        "f:spec": fields_of(manifest["spec"]),
                    },
                ),
            )
        )

    def execute(self, step: Step) -> None:
        """Executes one step."""
        self.steps.append(step)
        match step:
            case Create():
                assert step.ref not in self.objects, step
                self.apply(step.manifest)
            case Apply():
                assert self.objects[step.ref].uid == step.uid, step
                self.apply(step.manifest)
            case TransferReplicas() | Scale():
                before = self.objects[step.ref]
                self.change(step.ref, spec={**before.spec, "replicas": step.replicas})
            case Annotate():
                before = self.objects[step.ref]
                stamped = before.ownership.stamped or any(value is not None for value in step.annotations.values())
                after = {**before.annotations, **step.annotations}
                kept = {name: value for name, value in after.items() if value is not None}
                self.change(step.ref, annotations=kept, ownership=replace(before.ownership, stamped=stamped))
            case Replace():
                before = self.objects[step.ref]
                self.change(step.ref, spec={**before.spec, step.field.rpartition("/")[2]: step.value})
            case UpgradeManagedFields():
                before = self.objects[step.ref]
                self.change(step.ref, ownership=Ownership(applied=True, fields={"f:spec": fields_of(before.spec)}))
            case Delete():
                if step.ref.kind is Kind.DEPLOYMENT:
                    self.change(step.ref, deleting=True)
                else:
                    del self.objects[step.ref]

    def roll_out(self, *names: str, ready: int | None = None) -> None:
        """Rolls out the named Deployments, with all pods ready or only this many."""
        for ref, obj in list(self.objects.items()):
            if ref.kind is Kind.DEPLOYMENT and (not names or ref.name in names) and not obj.deleting:
                wanted = obj.spec.get("replicas", 1)
                there = wanted if ready is None else ready
                status = {"observedGeneration": obj.generation}
                if wanted:
                    status |= {"replicas": wanted, "updatedReplicas": wanted}
                if there:
                    status |= {"readyReplicas": there, "availableReplicas": there}
                self.change(ref, status=status)

    def collect(self) -> None:
        """Removes all terminating objects."""
        self.objects = {ref: obj for ref, obj in self.objects.items() if not obj.deleting}

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def plan(self, endpoint: Endpoint | InvalidItem, fleet: FleetState | None = None) -> Plan:
        observed = Observed(dict(self.objects), self.pods)
        return plan_endpoint(
            PlanInputs(endpoint.name, endpoint, observed, fleet or FleetState(), self.now, self.policy)
        )

    def reconcile(self, endpoint: Endpoint, fleet: FleetState | None = None) -> Plan:
        """Plans and executes until nothing is left to do. Returns the last plan, which has no steps."""
        for _ in range(4):
            plan = self.plan(endpoint, fleet)
            if not plan.steps:
                return plan
            for step in plan.steps:
                self.execute(step)
        raise AssertionError(f"never in sync: {plan.lines()}")

    def get(self, kind: Kind, name: str) -> ObservedObject:
        return self.objects[ObjectRef(kind, NAMESPACE, name)]

    def find(self, kind: Kind, name: str) -> ObservedObject | None:
        return self.objects.get(ObjectRef(kind, NAMESPACE, name))


def reported(endpoint: Endpoint, plan: Plan, now: datetime, region: str = REGION) -> Endpoint:
    """The endpoint with the plan's report written to its item."""
    assert plan.report is not None
    entry = RegionStatus(
        state=plan.report.state,
        replicas_ready=plan.report.ready,
        replicas_desired=plan.report.desired,
        error=plan.report.error,
        reason=plan.report.reason or "",
        last_sync=now.isoformat(),
        epoch=1,
        intent=endpoint.intent,
    )
    return endpoint.model_copy(
        update={
            "region_status": {**endpoint.region_status, region: entry},
            "reported_regions": endpoint.reported_regions | {region},
        }
    )


def running(spec: dict[str, Any] | None = None, **attributes: Any) -> tuple[SimulatedCluster, Endpoint]:
    """A cluster with a rolled-out endpoint, and its item with that status."""
    cluster, asked = SimulatedCluster(), endpoint(spec=spec, **attributes)
    cluster.reconcile(asked)
    cluster.roll_out()
    plan = cluster.reconcile(asked)
    return cluster, reported(asked, plan, cluster.now)


def with_spec(before: Endpoint, **spec: Any) -> Endpoint:
    """The item after a change of its spec, with the previous status."""
    return endpoint(spec=spec).model_copy(
        update={"region_status": before.region_status, "reported_regions": before.reported_regions}
    )


def legacy(cluster: SimulatedCluster, asked: Endpoint) -> None:
    """Creates and rolls out the objects as GCO's monitor would have."""
    cluster.reconcile(asked)
    cluster.roll_out()
    for ref, obj in cluster.objects.items():
        plain = {k: v for k, v in obj.annotations.items() if not k.startswith("gco.io/")}
        cluster.change(ref, annotations=plain, ownership=Ownership(legacy=True))
