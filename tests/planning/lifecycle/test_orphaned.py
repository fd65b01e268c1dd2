"""Orphans: which objects without an item are deleted, and which are left unchanged and why."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from gco_stream.model.objects import Kind, ObjectRef, Observed, ObservedObject, Ownership
from gco_stream.planning.lifecycle.orphaned import plan_orphan
from gco_stream.planning.types.decision import FleetLimit
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.policy import FleetState, Policy
from gco_stream.planning.types.steps import Delete
from tests.support.items import endpoint
from tests.support.simulated_cluster import CANARY, NAMESPACE, POLICY, SCALED, SimulatedCluster, legacy, running

OTHER = "gco-other"
DEPLOYMENT = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")


def orphan_plan(
    cluster: SimulatedCluster, name: str = "chat", fleet: FleetState | None = None, policy: Policy = POLICY
) -> Plan:
    return plan_orphan(name, Observed(dict(cluster.objects)), fleet or FleetState(), policy)


def deleted(plan: Plan) -> list[str]:
    return [f"{step.ref.kind}/{step.ref.name}" for step in plan.steps]


def test_all_objects_of_an_orphan_are_deleted_ingress_first_and_pods_last() -> None:
    cluster, _ = running({**SCALED, **CANARY})
    plan = orphan_plan(cluster)
    assert deleted(plan) == [
        "Ingress/inference-chat",
        "HorizontalPodAutoscaler/chat",
        "Service/chat",
        "Service/chat-canary",
        "Deployment/chat",
        "Deployment/chat-canary",
    ]
    assert all(isinstance(step, Delete) and step.spends_budget for step in plan.steps)
    assert {step.uid for step in plan.steps if isinstance(step, Delete)} == {o.uid for o in cluster.objects.values()}
    assert (plan.report, plan.write_report, plan.table_change, plan.notes) == (None, False, None, ())


def test_the_removal_of_an_orphan_emits_one_event() -> None:
    cluster, _ = running()
    tells = [step.event for step in orphan_plan(cluster).steps if isinstance(step, Delete) and step.event is not None]
    assert [(event.reason, event.warning) for event in tells] == [("Orphaned", True)]


def test_objects_that_we_only_annotated_are_deleted_too() -> None:
    cluster, _ = running()
    cluster.change(DEPLOYMENT, ownership=Ownership(stamped=True, legacy=True))
    assert "Deployment/chat" in deleted(orphan_plan(cluster))


def test_a_terminating_object_is_not_deleted_again_and_not_held() -> None:
    cluster, _ = running()
    cluster.objects = {DEPLOYMENT: replace(cluster.objects[DEPLOYMENT], deleting=True)}
    for left in (0, 5):
        plan = orphan_plan(cluster, fleet=FleetState(deletions_left=left))
        assert (plan.steps, plan.warnings, plan.limited_by) == ((), (), None)


def annotated(obj: ObservedObject, **changes: str | None) -> ObservedObject:
    merged = {**obj.annotations, **{f"gco.io/{key}": value for key, value in changes.items()}}
    return replace(obj, annotations={key: value for key, value in merged.items() if value is not None})


STRANGERS: dict[str, tuple[Callable[[ObservedObject], ObservedObject], str]] = {
    "a copy with our labels and annotations": (
        lambda obj: replace(obj, ownership=Ownership()),
        "it was not created by this controller",
    ),
    "created by GCO, with its labels": (
        lambda obj: replace(annotated(obj, endpoint=None, table=None), ownership=Ownership(legacy=True)),
        "it was not created by this controller",
    ),
    "of another installation": (
        lambda obj: annotated(obj, table="arn:aws:dynamodb:us-east-1:111122223333:table/staging"),
        "it belongs to another installation (another table)",
    ),
    "ours without the table annotation": (
        lambda obj: annotated(obj, table=None),
        "its annotations do not identify its owner",
    ),
    "ours without the endpoint annotation": (
        lambda obj: annotated(obj, endpoint=None),
        "its annotations do not identify its owner",
    ),
}


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("ref", [DEPLOYMENT, ObjectRef(Kind.INGRESS, NAMESPACE, "inference-chat")])
def test_an_object_that_is_not_certainly_ours_is_named_and_left_unchanged(stranger: str, ref: ObjectRef) -> None:
    cluster, _ = running()
    change, why = STRANGERS[stranger]
    cluster.put(change(cluster.objects[ref]))
    plan = orphan_plan(cluster)
    assert all(step.ref != ref for step in plan.steps)
    assert len(plan.steps) == 2
    assert [note for note in plan.notes if note.ref == ref and why in note.message] == list(plan.notes)


def test_nothing_is_deleted_or_held_if_all_objects_are_gcos() -> None:
    cluster = SimulatedCluster()
    legacy(cluster, endpoint())
    plan = orphan_plan(cluster, fleet=FleetState(deletions_left=0))
    assert (plan.steps, plan.warnings, plan.limited_by) == ((), (), None)
    assert {note.ref for note in plan.notes} == set(cluster.objects)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Kind.DEPLOYMENT, "chat2"),
        (Kind.DEPLOYMENT, "inference-chat"),
        (Kind.SERVICE, "chat-canary-canary"),
        (Kind.INGRESS, "chat"),
        (Kind.INGRESS, "inference-chat-canary"),
        (Kind.HPA, "chat-canary"),
    ],
)
def test_an_object_with_an_unexpected_name_is_not_deleted(kind: Kind, name: str) -> None:
    cluster, _ = running()
    copied = replace(cluster.objects[DEPLOYMENT], ref=ObjectRef(kind, NAMESPACE, name), uid="uid-copy")
    cluster.objects = {copied.ref: copied}
    assert orphan_plan(cluster).steps == ()
    assert str(copied.ref) in str(orphan_plan(cluster).notes[0])


def test_objects_of_an_endpoint_named_like_the_canary_are_not_the_orphans() -> None:
    cluster, _ = running()
    cluster.reconcile(endpoint("chat-canary"))
    plan = orphan_plan(cluster)
    assert all(step.ref.name in {"chat", "inference-chat"} for step in plan.steps)
    assert plan.notes == ()
    # Conversely, the canary of `chat` does not belong to `chat-canary`.
    with_canary, _ = running(CANARY)
    assert orphan_plan(with_canary, "chat-canary").steps == ()


def test_an_unannotated_object_that_another_item_claims_is_not_named() -> None:
    cluster = SimulatedCluster()
    legacy(cluster, endpoint("chat-canary"))
    cluster.objects = {ref: obj for ref, obj in cluster.objects.items() if ref.kind is not Kind.INGRESS}
    assert len(orphan_plan(cluster).notes) == 2
    assert orphan_plan(cluster, fleet=FleetState(names_claimed_by_others=frozenset({"chat-canary"}))).notes == ()


def test_objects_in_all_allowed_namespaces_are_deleted_and_in_no_others() -> None:
    cluster, _ = running()
    for obj in list(cluster.objects.values()):
        cluster.put(replace(obj, ref=replace(obj.ref, namespace=OTHER), uid=f"{obj.uid}-other"))
    assert {step.ref.namespace for step in orphan_plan(cluster).steps} == {NAMESPACE}
    both = replace(POLICY, namespaces=(NAMESPACE, OTHER))
    plan = orphan_plan(cluster, policy=both)
    assert len(plan.steps) == 6
    assert [step.ref.kind for step in plan.steps[:2]] == [Kind.INGRESS, Kind.INGRESS]


def test_without_budget_nothing_is_deleted_and_the_key_is_requeued() -> None:
    cluster, _ = running()
    plan = orphan_plan(cluster, fleet=FleetState(deletions_left=0, next_deletion_in=1200))
    assert plan.steps == ()
    assert plan.limited_by is FleetLimit.REMOVAL
    assert plan.requeue_after is not None
    assert plan.requeue_after.after == 1200
    assert "the table has no such item: the limit on removals per hour" in plan.warnings[0].message
    # The message must not change by itself, or it would be reported again and again.
    assert plan.warnings == orphan_plan(cluster, fleet=FleetState(deletions_left=0, next_deletion_in=60)).warnings


def test_an_endpoint_that_leaves_the_region_is_limited_the_same_way() -> None:
    cluster, _ = running()
    plan = cluster.plan(endpoint(target_regions=["eu-west-1"]), FleetState(deletions_left=0, next_deletion_in=1200))
    assert (plan.steps, plan.limited_by) == ((), FleetLimit.REMOVAL)
    assert plan.requeue_after is not None
    assert plan.requeue_after.after == 1200
    assert "approve-deletes" in plan.warnings[0].message
    assert cluster.plan(endpoint(desired_state="deleted"), FleetState(deletions_left=0)).limited_by is None


def test_without_objects_nothing_is_planned() -> None:
    plan = orphan_plan(SimulatedCluster(), fleet=FleetState(deletions_left=0))
    assert (plan.steps, plan.notes, plan.warnings, plan.requeue_after) == ((), (), (), None)
