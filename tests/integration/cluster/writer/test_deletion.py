"""Deletion: what is gone when the call returns, what is still terminating, and how writes to that behave."""

import copy

import pytest

from gco_stream.cluster.api import errors
from gco_stream.model.objects import Kind
from tests.integration.support.harness.field_managers import UNKNOWN, Cluster, reached
from tests.support.items import PARITY_CASES, parity_objects

pytestmark = pytest.mark.integration


async def test_deleting_a_missing_object_is_not_an_error(cluster: Cluster) -> None:
    await cluster.writer.delete(cluster.ref(), UNKNOWN)


async def test_an_apply_to_a_terminating_object_succeeds_and_shows_that_it_is_terminating(cluster: Cluster) -> None:
    made = await cluster.writer.create(cluster.deployment())
    # A finalizer of another controller, like the pod of a lost node, keeps it terminating during this test.
    await cluster.edit(made.ref, {"metadata": {"finalizers": ["example.com/hold"]}})
    await cluster.writer.delete(made.ref, made.uid)
    held = cluster.held(made.ref)
    assert held is not None
    assert held.deleting
    again = await cluster.writer.apply(cluster.deployment(image="vllm:2"), made.uid)
    assert again.deleting
    with pytest.raises(errors.Conflict):
        await cluster.writer.create(cluster.deployment())
    await cluster.edit(made.ref, {"metadata": {"finalizers": None}})


async def test_a_terminating_deployment_can_be_deleted_once_more_in_the_background(cluster: Cluster) -> None:
    made = await cluster.writer.create(cluster.deployment())
    await cluster.writer.delete(made.ref, made.uid)
    await cluster.writer.delete(made.ref, made.uid, background=True)
    with pytest.raises(errors.NotFound):
        await cluster.read(made.ref)
    assert cluster.held(made.ref) is None


@pytest.mark.parametrize("kind", [Kind.SERVICE, Kind.INGRESS, Kind.HPA])
async def test_the_other_kinds_are_gone_when_their_deletion_is_answered(cluster: Cluster, kind: Kind) -> None:
    manifest = next(raw for case in PARITY_CASES for raw in parity_objects(case).values() if raw["kind"] == kind)
    manifest = copy.deepcopy(manifest)
    manifest["metadata"]["namespace"] = cluster.namespace
    manifest["apiVersion"] = {"Service": "v1", "Ingress": "networking.k8s.io/v1"}.get(kind, "autoscaling/v2")
    made = await cluster.writer.create(manifest)
    await cluster.writer.delete(made.ref, made.uid)
    with pytest.raises(errors.NotFound):
        await cluster.read(made.ref)
    assert await cluster.cache.refresh(made.ref) is None


async def test_foreground_deletion_waits_for_the_replica_sets(
    cluster: Cluster,
) -> None:
    made = await cluster.writer.create(cluster.deployment())

    async def replica_sets() -> int:
        answer = await cluster.client.request("GET", f"/apis/apps/v1/namespaces/{cluster.namespace}/replicasets")
        return len(answer["items"])

    async def gone() -> bool:
        return await cluster.cache.refresh(made.ref) is None

    await reached(replica_sets)
    await cluster.writer.delete(made.ref, made.uid)
    held = cluster.held(made.ref)
    assert held is not None
    assert held.deleting
    await reached(gone)
    assert await replica_sets() == 0
    assert cluster.held(made.ref) is None
