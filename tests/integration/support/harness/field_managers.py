"""A writer on a real API server, and helpers that act as other field managers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from gco_stream.cluster.api import errors
from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.objects import collection_path, object_path, observe
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.cluster.writer import ObjectWriter
from gco_stream.model import names
from gco_stream.model.objects import JsonObject, Kind, ObjectRef, ObservedObject
from tests.integration.support.harness.program import PATIENCE

UNKNOWN = "11111111-2222-3333-4444-555555555555"


async def reached(condition: Callable[..., Awaitable[object]], *args: Any) -> None:
    """Waits until the condition holds; raises TimeoutError if it does not in time."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if await condition(*args):
                return
            await asyncio.sleep(0.05)


class Cluster:
    """A writer and a cache without watches in one namespace, and the changes of other field managers there."""

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
        """POSTs an object with the default field manager of the Python client, as GCO's monitor does."""
        path = collection_path(Kind(manifest["kind"]), self.namespace)
        query = {"fieldManager": "OpenAPI-Generator"}
        return await self.client.request("POST", path, query=query, body=manifest)

    async def read(self, ref: ObjectRef) -> JsonObject:
        return await self.client.request("GET", object_path(ref))

    async def edit(self, ref: ObjectRef, patch: Any) -> JsonObject:
        return await self.client.request(
            "PATCH",
            object_path(ref),
            query={"fieldManager": "kubectl-edit"},
            body=patch,
            content_type="application/merge-patch+json",
        )

    async def hand_over(self, observed: ObservedObject) -> ObservedObject:
        """Upgrades the managed fields as the engine does, and retries if a controller has updated the status."""
        for _ in range(20):
            try:
                return await self.writer.upgrade_managed_fields(observed)
            except errors.Conflict:
                continue
        raise AssertionError(f"{observed.ref}: conflict in each of 20 attempts")

    async def made_again(self, ref: ObjectRef, manifest: JsonObject) -> ObservedObject:
        """Deletes the object and recreates it as another field manager."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        await self.client.request("DELETE", object_path(ref), body=options)
        return observe(await self.as_gco(manifest))
