"""Field ownership: GCO's objects are adopted, and replicas move from one field manager to another."""

import pytest

from gco_stream.cluster.api.objects import collection_path, observe
from gco_stream.model import names
from gco_stream.model.objects import JsonObject, Kind, ObjectRef, ObservedObject
from tests.integration.support.harness.field_managers import Cluster, reached
from tests.support.items import PARITY_CASES, parity_objects

pytestmark = pytest.mark.integration


async def test_a_field_owned_by_gco_is_removed_only_after_the_handover(cluster: Cluster) -> None:
    def env(observed: ObservedObject) -> list[str]:
        return [one["name"] for one in observed.spec["template"]["spec"]["containers"][0]["env"]]

    without_drop = cluster.deployment(env=[{"name": "KEEP", "value": "1"}])
    made = observe(await cluster.as_gco(cluster.deployment()))
    assert made.ownership.legacy
    applied = await cluster.writer.apply(without_drop, made.uid)
    assert env(applied) == ["KEEP", "DROP"]
    handed = await cluster.hand_over(applied)
    assert (handed.ownership.legacy, handed.ownership.applied) == (False, True)
    assert handed.spec == applied.spec
    assert env(await cluster.writer.apply(without_drop, made.uid)) == ["KEEP"]


async def test_handing_over_before_the_first_apply_works_as_well(cluster: Cluster) -> None:
    made = observe(await cluster.as_gco(cluster.deployment()))
    handed = await cluster.hand_over(made)
    assert handed.ownership.applied
    assert not handed.ownership.legacy
    assert handed.generation == made.generation
    again = await cluster.writer.apply(cluster.deployment(), made.uid)
    assert again.generation == made.generation


async def test_the_handover_merges_our_annotation_so_that_an_apply_can_remove_it(cluster: Cluster) -> None:
    made = observe(await cluster.as_gco(cluster.deployment()))
    stamped = await cluster.writer.annotate(made.ref, made.uid, {"gco.io/template-version": "0"})
    assert stamped.ownership.stamped
    assert not stamped.ownership.applied
    handed = await cluster.hand_over(stamped)
    assert (handed.ownership.stamped, handed.ownership.legacy, handed.ownership.applied) == (False, False, True)
    applied = await cluster.writer.apply(cluster.deployment(), made.uid)
    assert "gco.io/template-version" not in applied.annotations


async def test_gcos_objects_are_adopted_without_a_new_replica_set(cluster: Cluster) -> None:
    replica_sets = f"/apis/apps/v1/namespaces/{cluster.namespace}/replicasets"

    async def templates() -> set[str]:
        answer = await cluster.client.request("GET", replica_sets)
        return {one["metadata"]["name"] for one in answer["items"]}

    async def caught_up(ref: ObjectRef) -> bool:
        raw = await cluster.read(ref)
        return bool(raw.get("status", {}).get("observedGeneration", 0) == raw["metadata"]["generation"])

    standing: list[tuple[JsonObject, ObservedObject]] = []
    for case in PARITY_CASES:
        for raw in parity_objects(case).values():
            if raw["kind"] == "Deployment":
                metadata = {**raw["metadata"], "namespace": cluster.namespace}
                manifest = {"apiVersion": "apps/v1", **raw, "metadata": metadata}
                standing.append((manifest, observe(await cluster.as_gco(manifest))))
    assert standing
    for _, made in standing:
        await reached(caught_up, made.ref)
    before = await templates()
    for manifest, made in standing:
        handed = await cluster.hand_over(made)
        applied = await cluster.writer.apply(manifest, made.uid)
        assert applied.generation == handed.generation == made.generation
    assert await templates() == before


async def test_annotating_touches_nothing_else_and_none_removes(cluster: Cluster) -> None:
    made = observe(await cluster.as_gco(cluster.deployment()))
    stamped = await cluster.writer.annotate(made.ref, made.uid, {"a": "1", "b": "2"})
    assert (stamped.annotations["a"], stamped.spec) == ("1", made.spec)
    removed = await cluster.writer.annotate(made.ref, made.uid, {"a": None})
    assert "a" not in removed.annotations
    assert removed.annotations["b"] == "2"


async def test_scaling_does_not_change_field_ownership(cluster: Cluster) -> None:
    made = observe(await cluster.as_gco(cluster.deployment()))
    for replicas in (0, 3, 3):
        scaled = await cluster.writer.scale(made.ref, made.uid, replicas)
        assert scaled.spec["replicas"] == replicas
        assert cluster.held(made.ref) == scaled
    assert scaled.ownership.legacy
    assert not scaled.ownership.applied
    assert not scaled.ownership.stamped


async def test_replicas_are_handed_to_the_second_manager_without_a_dip(cluster: Cluster) -> None:
    manifest = cluster.deployment()
    manifest["spec"]["replicas"] = 4
    made = await cluster.writer.create(manifest)
    held = await cluster.writer.apply_replicas(made.ref, made.uid, 4)
    assert held.ownership.replicas
    del manifest["spec"]["replicas"]
    dropped = await cluster.writer.apply(manifest, made.uid)
    assert dropped.spec["replicas"] == 4
    assert "f:replicas" not in dropped.ownership.fields["f:spec"]


async def test_replicas_dropped_without_the_second_manager_become_one(cluster: Cluster) -> None:
    manifest = cluster.deployment()
    manifest["spec"]["replicas"] = 4
    made = await cluster.writer.create(manifest)
    del manifest["spec"]["replicas"]
    assert (await cluster.writer.apply(manifest, made.uid)).spec["replicas"] == 1


async def test_a_post_followed_by_applies_leaves_two_owners(cluster: Cluster) -> None:
    path = collection_path(Kind.DEPLOYMENT, cluster.namespace)
    body = cluster.deployment()
    made = observe(await cluster.client.request("POST", path, query={"fieldManager": names.FIELD_MANAGER}, body=body))
    applied = await cluster.writer.apply(cluster.deployment(env=[]), made.uid)
    assert applied.ownership.stamped
    assert applied.ownership.applied
    assert len(applied.spec["template"]["spec"]["containers"][0]["env"]) == 2
