"""Writes against a real API server: each test pins a fact that the program leans on."""

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest

from gco_stream.cluster import errors
from gco_stream.cluster.cache import ClusterCache
from gco_stream.cluster.client import KubeClient
from gco_stream.cluster.objects import collection_path, object_path, observe
from gco_stream.cluster.writer import ObjectWriter
from gco_stream.local.plane import ControlPlane
from gco_stream.model import names
from gco_stream.model.objects import JsonObject, Kind, ObjectRef, ObservedObject
from tests.items import PARITY_CASES, parity_objects

pytestmark = pytest.mark.integration

UNKNOWN = "11111111-2222-3333-4444-555555555555"


async def reached(condition: Callable[..., Awaitable[object]], *args: Any) -> None:
    """Return when the condition holds; TimeoutError if it does not within 30 seconds."""
    async with asyncio.timeout(30):
        while True:
            if await condition(*args):
                return
            await asyncio.sleep(0.05)


class Cluster:
    """A writer and a cache that is not watched, in one namespace, and what other people do there."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.cache = ClusterCache(client, (namespace,), lambda _: None)
        self.writer = ObjectWriter(client, self.cache, lambda: 60.0)

    def ref(self, kind: Kind = Kind.DEPLOYMENT, name: str = "llm") -> ObjectRef:
        return ObjectRef(kind, self.namespace, name)

    def held(self, ref: ObjectRef) -> ObservedObject | None:
        return self.cache.observed("llm").objects.get(ref)

    def deployment(self, **container: Any) -> JsonObject:
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "llm", "namespace": self.namespace, "labels": names.labels("llm")},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": "llm"}},
                "template": {
                    "metadata": {"labels": names.labels("llm")},
                    "spec": {
                        "containers": [
                            {
                                "name": "inference",
                                "image": "vllm:1",
                                "env": [{"name": "KEEP", "value": "1"}, {"name": "DROP", "value": "2"}],
                                **container,
                            }
                        ]
                    },
                },
            },
        }

    async def as_gco(self, manifest: JsonObject) -> JsonObject:
        """What GCO's monitor does: a POST by the Python client's default manager."""
        path = collection_path(Kind(manifest["kind"]), self.namespace)
        query = {"fieldManager": "OpenAPI-Generator"}
        return await self.client.request("POST", path, query=query, body=orjson.dumps(manifest))

    async def read(self, ref: ObjectRef) -> JsonObject:
        return await self.client.request("GET", object_path(ref))

    async def edit(self, ref: ObjectRef, patch: Any) -> JsonObject:
        return await self.client.request(
            "PATCH",
            object_path(ref),
            query={"fieldManager": "kubectl-edit"},
            body=orjson.dumps(patch),
            content_type="application/merge-patch+json",
        )

    async def hand_over(self, observed: ObservedObject) -> ObservedObject:
        """As the engine does it: again, on the newest state, where a controller's write of the status came between."""
        for _ in range(20):
            try:
                return await self.writer.hand_over(observed)
            except errors.Conflict:
                continue
        raise AssertionError(f"{observed.ref} never stood still")

    async def made_again(self, ref: ObjectRef, manifest: JsonObject) -> ObservedObject:
        """Somebody deletes the object and makes it anew behind our back."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        await self.client.request("DELETE", object_path(ref), body=orjson.dumps(options))
        return observe(await self.as_gco(manifest))


@pytest.fixture
async def cluster(control_plane: ControlPlane, namespace: str) -> AsyncIterator[Cluster]:
    async with KubeClient.connect(kubeconfig=str(control_plane.kubeconfig)) as client:
        yield Cluster(client, namespace)


async def test_create_makes_what_is_absent_and_the_cache_has_it_at_once(cluster: Cluster) -> None:
    made = await cluster.writer.create(cluster.deployment())
    assert made.ownership.applied
    assert not made.ownership.stamped
    assert cluster.held(made.ref) == made


async def test_create_refuses_what_is_present_and_the_cache_then_shows_whose_it_is(cluster: Cluster) -> None:
    manifest = cluster.deployment()
    manifest["metadata"]["labels"] = {"whose": "theirs"}
    theirs = observe(await cluster.as_gco(manifest))
    with pytest.raises(errors.Conflict):
        await cluster.writer.create(cluster.deployment())
    held = cluster.held(theirs.ref)
    assert held is not None
    assert (held.uid, held.labels) == (theirs.uid, {"whose": "theirs"})


async def test_create_in_a_namespace_that_does_not_exist_is_not_found(cluster: Cluster) -> None:
    elsewhere = Cluster(cluster.client, f"{cluster.namespace}-absent")
    with pytest.raises(errors.NotFound, match="namespaces"):
        await elsewhere.writer.create(elsewhere.deployment())


async def test_an_apply_of_an_absent_object_by_uid_is_a_conflict_and_makes_nothing(cluster: Cluster) -> None:
    with pytest.raises(errors.Conflict):
        await cluster.writer.apply(cluster.deployment(), UNKNOWN)
    with pytest.raises(errors.NotFound):
        await cluster.read(cluster.ref())


async def test_every_write_of_an_object_that_was_made_again_is_refused_and_the_cache_learns_it(
    cluster: Cluster,
) -> None:
    ours = await cluster.writer.create(cluster.deployment())
    theirs = await cluster.made_again(ours.ref, cluster.deployment())
    writes = {
        "apply": lambda: cluster.writer.apply(cluster.deployment(), ours.uid),
        "replicas": lambda: cluster.writer.apply_replicas(ours.ref, ours.uid, 5),
        "scale": lambda: cluster.writer.scale(ours.ref, ours.uid, 5),
        "annotate": lambda: cluster.writer.annotate(ours.ref, ours.uid, {"a": "b"}),
        "hand over": lambda: cluster.writer.hand_over(ours),
    }
    for what, write in writes.items():
        cluster.cache.store(await cluster.read(ours.ref))
        with pytest.raises(errors.UidMismatch):
            await write()
        assert (await cluster.read(ours.ref))["spec"]["replicas"] == 1, what
        held = cluster.held(ours.ref)
        assert held is not None
        assert held.uid == theirs.uid, what


async def test_deleting_by_a_uid_that_is_no_more_leaves_the_successor(cluster: Cluster) -> None:
    ours = await cluster.writer.create(cluster.deployment())
    theirs = await cluster.made_again(ours.ref, cluster.deployment())
    await cluster.writer.delete(ours.ref, ours.uid)
    assert (await cluster.read(ours.ref))["metadata"]["uid"] == theirs.uid
    held = cluster.held(ours.ref)
    assert held is not None
    assert held.uid == theirs.uid


async def test_deleting_what_is_gone_is_no_error(cluster: Cluster) -> None:
    await cluster.writer.delete(cluster.ref(), UNKNOWN)


async def test_deleting_at_another_version_is_a_conflict(cluster: Cluster) -> None:
    made = await cluster.writer.create(cluster.deployment())
    await cluster.edit(made.ref, {"metadata": {"annotations": {"edited": "yes"}}})
    with pytest.raises(errors.Conflict):
        await cluster.writer.delete(made.ref, made.uid, resource_version=made.resource_version)
    held = cluster.held(made.ref)
    assert held is not None
    assert held.annotations["edited"] == "yes"


async def test_an_apply_to_a_terminating_object_succeeds_and_shows_that_it_is_terminating(cluster: Cluster) -> None:
    made = await cluster.writer.create(cluster.deployment())
    # A finalizer of somebody else's, as a lost node's pod would do, keeps it terminating for this test.
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


async def test_without_the_hand_over_a_field_of_gcos_stays_for_ever_and_with_it_it_goes(cluster: Cluster) -> None:
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


async def test_handing_over_unites_our_stamp_so_that_an_apply_can_drop_it(cluster: Cluster) -> None:
    made = observe(await cluster.as_gco(cluster.deployment()))
    stamped = await cluster.writer.annotate(made.ref, made.uid, {"gco.io/template-version": "0"})
    assert stamped.ownership.stamped
    assert not stamped.ownership.applied
    handed = await cluster.hand_over(stamped)
    assert (handed.ownership.stamped, handed.ownership.legacy, handed.ownership.applied) == (False, False, True)
    applied = await cluster.writer.apply(cluster.deployment(), made.uid)
    assert "gco.io/template-version" not in applied.annotations


async def test_a_hand_over_based_on_an_older_version_is_a_conflict(cluster: Cluster) -> None:
    made = observe(await cluster.as_gco(cluster.deployment()))
    raw = await cluster.read(made.ref)
    await cluster.edit(made.ref, {"metadata": {"annotations": {"edited": "yes"}}})
    patch = [
        {"op": "test", "path": "/metadata/uid", "value": made.uid},
        {"op": "replace", "path": "/metadata/managedFields", "value": raw["metadata"]["managedFields"]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": raw["metadata"]["resourceVersion"]},
    ]
    with pytest.raises(errors.Conflict):
        await cluster.client.request(
            "PATCH", object_path(made.ref), body=orjson.dumps(patch), content_type="application/json-patch+json"
        )


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


async def test_annotating_what_is_absent_makes_nothing(cluster: Cluster) -> None:
    with pytest.raises(errors.NotFound):
        await cluster.writer.annotate(cluster.ref(), UNKNOWN, {"a": "1"})


async def test_scaling_leaves_the_objects_owner_as_it_was_and_goes_to_zero_and_back(cluster: Cluster) -> None:
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


async def test_the_second_manager_cannot_create(cluster: Cluster) -> None:
    with pytest.raises(errors.Conflict):
        await cluster.writer.apply_replicas(cluster.ref(), UNKNOWN, 1)


async def test_an_apply_without_its_template_is_rejected_for_good(cluster: Cluster) -> None:
    manifest = cluster.deployment()
    made = await cluster.writer.create(manifest)
    del manifest["spec"]["template"]
    with pytest.raises(errors.Rejected) as caught:
        await cluster.writer.apply(manifest, made.uid)
    assert caught.value.status == 422


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize(
    ("container", "status", "message"),
    [
        ({"ports": "80"}, 500, "failed to create typed patch object"),
        ({"resources": {"requests": {"cpu": "lots"}}}, 500, "failed to convert new object"),
        ({"args": ["x" * 1_700_000]}, 500, "request is too large"),
        ({"args": ["x" * 3_500_000]}, 413, "too large"),
        ({"image": ""}, 422, "image"),
    ],
)
async def test_what_is_wrong_for_good_is_rejected_with_the_servers_words(
    cluster: Cluster, container: dict[str, Any], status: int, message: str
) -> None:
    with pytest.raises(errors.Rejected, match=message) as caught:
        await cluster.writer.create(cluster.deployment(**container))
    assert caught.value.status == status


async def test_quantities_come_back_rewritten(cluster: Cluster) -> None:
    requests = {"cpu": "1000m", "memory": "1024Mi"}
    made = await cluster.writer.create(cluster.deployment(resources={"requests": requests}))
    container = made.spec["template"]["spec"]["containers"][0]
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}


async def test_an_edit_in_our_fields_is_put_back_by_the_next_apply(cluster: Cluster) -> None:
    made = await cluster.writer.create(cluster.deployment())
    edited = await cluster.edit(made.ref, {"spec": {"replicas": 9}, "metadata": {"labels": {"theirs": "stays"}}})
    assert edited["spec"]["replicas"] == 9
    applied = await cluster.writer.apply(cluster.deployment(), made.uid)
    assert applied.spec["replicas"] == 1
    assert applied.labels["theirs"] == "stays"


async def test_a_post_followed_by_applies_leaves_two_owners(cluster: Cluster) -> None:
    path = collection_path(Kind.DEPLOYMENT, cluster.namespace)
    body = orjson.dumps(cluster.deployment())
    made = observe(await cluster.client.request("POST", path, query={"fieldManager": names.FIELD_MANAGER}, body=body))
    applied = await cluster.writer.apply(cluster.deployment(env=[]), made.uid)
    assert applied.ownership.stamped
    assert applied.ownership.applied
    assert len(applied.spec["template"]["spec"]["containers"][0]["env"]) == 2


async def test_another_order_of_env_is_another_template(cluster: Cluster) -> None:
    made = await cluster.writer.create(cluster.deployment())
    env = [{"name": "DROP", "value": "2"}, {"name": "KEEP", "value": "1"}]
    applied = await cluster.writer.apply(cluster.deployment(env=env), made.uid)
    assert applied.generation == made.generation + 1


async def test_a_deployment_that_is_deleted_in_the_foreground_goes_when_its_replica_sets_have_gone(
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


async def test_a_stray_port_that_an_apply_leaves_goes_by_replacing_the_field(cluster: Cluster) -> None:
    ref = cluster.ref(Kind.SERVICE)
    ports = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8000}]
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": ref.name, "namespace": ref.namespace, "labels": names.labels("llm")},
        "spec": {"ports": ports, "selector": {"app": "llm"}},
    }
    made = await cluster.writer.create(manifest)
    stray = {"name": "stray", "port": 81, "protocol": "TCP", "targetPort": 81}
    await cluster.edit(ref, {"spec": {"ports": [*ports, stray]}})
    assert len((await cluster.writer.apply(manifest, made.uid)).spec["ports"]) == 2
    replaced = await cluster.writer.replace(ref, made.uid, "/spec/ports", ports)
    assert replaced.spec["ports"] == ports
    with pytest.raises(errors.UidMismatch):
        await cluster.writer.replace(ref, UNKNOWN, "/spec/ports", [])
