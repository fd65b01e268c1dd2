"""The cluster cache on a real API server: watches, bookmarks, rejected requests and restarts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any

import pytest

from gco_stream.cluster.api import errors
from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.objects import collection_path, object_path
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.cluster.paging import PAGE_SIZE
from gco_stream.cluster.writer import ObjectWriter
from gco_stream.local.control_plane import ControlPlane
from gco_stream.model import names
from gco_stream.model.objects import JsonObject, Kind, ObjectRef, ObservedObject
from tests.integration.support.harness.program import PATIENCE
from tests.support import fake_api_server as fake_api

pytestmark = pytest.mark.integration
until = partial(fake_api.until, seconds=PATIENCE)


class CacheFixture:
    """A running cache, a writer and the endpoints that the cache has reported."""

    def __init__(self, client: KubeClient, *namespaces: str) -> None:
        self.client = client
        self.namespace = namespaces[0]
        self.reported: list[frozenset[str]] = []
        self.cache = ClusterCache(client, namespaces, self.reported.append)
        self.writer = ObjectWriter(client, self.cache, lambda: 60.0)

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef(Kind.INGRESS, self.namespace, "inference-llm")

    def shown(self) -> ObservedObject | None:
        return self.cache.observed("llm").objects.get(self.ref)

    async def edit(self, patch: JsonObject) -> None:
        """Edits the object as a kubectl user does."""
        await self.client.request(
            "PATCH", object_path(self.ref), body=patch, content_type="application/merge-patch+json"
        )


@asynccontextmanager
async def following(kubeconfig: str, *namespaces: str) -> AsyncIterator[CacheFixture]:
    async with KubeClient.connect(kubeconfig=kubeconfig, timeout=60) as client:
        world = CacheFixture(client, *namespaces)
        task = asyncio.create_task(world.cache.run())
        try:
            yield world
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def world(control_plane: ControlPlane, namespace: str) -> AsyncIterator[CacheFixture]:
    async with following(str(control_plane.kubeconfig), namespace) as world:
        await asyncio.wait_for(world.cache.wait_synced(), PATIENCE)
        yield world


def ingress(namespace: str, endpoint: str = "llm", **annotations: str) -> JsonObject:
    """Returns an Ingress, the kind that no controller writes to in these tests."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": names.ingress_name(endpoint),
            "namespace": namespace,
            "labels": names.labels(endpoint),
            "annotations": {names.ENDPOINT_ANNOTATION: endpoint, **annotations},
        },
        "spec": {"defaultBackend": {"service": {"name": endpoint, "port": {"number": 80}}}},
    }


async def create(client: KubeClient, manifest: JsonObject) -> JsonObject:
    path = collection_path(Kind(manifest["kind"]), manifest["metadata"]["namespace"])
    return await client.request("POST", path, body=manifest)


def annotated(world: CacheFixture, value: str) -> Callable[[], bool]:
    def holds() -> bool:
        shown = world.shown()
        return shown is not None and shown.annotations.get("edited") == value

    return holds


async def test_changes_of_other_field_managers_are_shown_and_reported(world: CacheFixture) -> None:
    await create(world.client, ingress(world.namespace))
    await until(world.shown)
    await world.edit({"metadata": {"annotations": {"edited": "once"}}})
    await until(annotated(world, "once"))
    await until(lambda: len(world.reported) == 2)
    assert all("llm" in reported for reported in world.reported)
    await world.client.request("DELETE", object_path(world.ref))
    await until(lambda: world.shown() is None)
    await until(lambda: len(world.reported) == 3)


async def test_own_writes_are_shown_at_once_and_late_events_do_not_undo_them(world: CacheFixture) -> None:
    for round_ in range(10):
        made = await world.writer.create(ingress(world.namespace))
        assert world.shown() == made
        applied = await world.writer.apply(ingress(world.namespace, edited=f"{round_}"), made.uid)
        assert world.shown() == applied
        await world.writer.delete(made.ref, made.uid)
        assert world.shown() is None
    # The event of another object arrives after all of ours.
    await create(world.client, ingress(world.namespace, "marker"))
    await until(lambda: any("marker" in reported for reported in world.reported))
    assert world.shown() is None


async def test_our_object_whose_labels_were_edited_away_is_still_shown(world: CacheFixture) -> None:
    made = await world.writer.create(ingress(world.namespace))
    await world.edit({"metadata": {"labels": {"project": None}}})
    await until(lambda: (shown := world.shown()) is not None and "project" not in shown.labels)
    applied = await world.writer.apply(ingress(world.namespace), made.uid)
    assert world.shown() == applied
    await world.edit({"metadata": {"annotations": {"edited": "later"}}})
    await until(annotated(world, "later"))


async def test_somebody_elses_object_whose_labels_were_edited_away_is_no_longer_shown(world: CacheFixture) -> None:
    await create(world.client, ingress(world.namespace))
    await until(world.shown)
    await world.edit({"metadata": {"labels": {"project": None}}})
    await until(lambda: world.shown() is None)
    await world.edit({"metadata": {"labels": {"project": "gco"}}})
    await until(world.shown)


async def test_more_than_a_page_is_listed_whole(control_plane: ControlPlane, namespace: str) -> None:
    count = PAGE_SIZE + 3
    async with KubeClient.connect(kubeconfig=str(control_plane.kubeconfig), connections=8) as client:
        await asyncio.gather(*(create(client, ingress(namespace, f"e{number}")) for number in range(count)))
    async with following(str(control_plane.kubeconfig), namespace) as world:
        await asyncio.wait_for(world.cache.wait_synced(), PATIENCE)
        assert world.cache.snapshot().objects == count
        assert world.cache.endpoint_names() == {f"e{number}" for number in range(count)}


async def test_a_forbidden_namespace_is_reported_and_others_work(
    control_plane: ControlPlane, kube: Any, namespace: str
) -> None:
    user = f"{namespace}-user"
    kubeconfig = str(control_plane.kubeconfig_for(user, groups=()))
    forbidden = f"{namespace}-forbidden"
    await asyncio.to_thread(kube.create, "/api/v1/namespaces", {"metadata": {"name": forbidden}})

    async def allow(where: str) -> None:
        binding = {
            "metadata": {"name": "all"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
        }
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{where}/rolebindings"
        await asyncio.to_thread(kube.create, path, binding)

    await allow(namespace)
    async with following(kubeconfig, namespace, forbidden) as world, asyncio.timeout(PATIENCE):
        await world.cache.wait_settled()
        await until(lambda: set(world.cache.unsynced) == {forbidden})
        assert not world.cache.synced
        assert "forbidden" in world.cache.snapshot().unsynced[forbidden]
        await world.writer.create(ingress(namespace))
        with pytest.raises(errors.Forbidden):
            await world.writer.create(ingress(forbidden))
        await allow(forbidden)
        await world.cache.wait_synced()


async def test_a_watch_from_a_future_resource_version_stalls(world: CacheFixture) -> None:
    path = collection_path(Kind.INGRESS, world.namespace)
    future = str(2**40)
    async with aclosing(world.client.watch(path, {"resourceVersion": future}, inactivity=2)) as events:
        with pytest.raises(errors.WatchStalled):
            await anext(events)


async def test_a_restarted_api_server_is_followed_again_and_nothing_is_missed(
    disposable_control_plane: Callable[..., ControlPlane],
) -> None:
    plane = await asyncio.to_thread(disposable_control_plane, controllers=False, dynamodb=False)
    async with following(str(plane.kubeconfig), "default") as world, asyncio.timeout(PATIENCE):
        await world.cache.wait_synced()
        await create(world.client, ingress("default"))
        await until(world.shown)
        await asyncio.to_thread(plane.restart, "kube-apiserver")
        await asyncio.to_thread(
            plane.kube.patch, object_path(world.ref), {"metadata": {"annotations": {"edited": "meanwhile"}}}
        )
        await until(annotated(world, "meanwhile"))
        await until(lambda: all(watch.problem is None for watch in world.cache.snapshot().watches))
        assert world.cache.synced
