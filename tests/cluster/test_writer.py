import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from gco_stream.cluster.api import errors
from gco_stream.cluster.api.objects import observe
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.cluster.writer import ObjectWriter
from gco_stream.model.objects import Kind, ObjectRef
from tests.support.fake_api_server import connected, json_answer
from tests.support.raw_objects import raw

REF = ObjectRef(Kind.DEPLOYMENT, "gco-inference", "llm")
MANIFEST = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "llm", "namespace": "gco-inference"}}


async def test_nothing_is_sent_without_a_valid_lease(tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return json_answer(raw())

    async with connected(answer, tmp_path) as (client, seen):
        writer = ObjectWriter(client, ClusterCache(client, ("gco-inference",), lambda _: None), lambda: 0.0)
        observed = observe(raw())
        writes = [
            writer.create(MANIFEST),
            writer.apply(MANIFEST, "u1"),
            writer.apply_replicas(REF, "u1", 1),
            writer.scale(REF, "u1", 1),
            writer.annotate(REF, "u1", {}),
            writer.upgrade_managed_fields(observed),
            writer.delete(REF, "u1"),
        ]
        for write in writes:
            with pytest.raises(errors.NotLeading):
                await write
    assert seen.requests == []


async def test_a_write_is_aborted_when_the_lease_expires(tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return json_answer(raw())

    async with connected(answer, tmp_path) as (client, _):
        cache = ClusterCache(client, ("gco-inference",), lambda _: None)
        with pytest.raises(errors.Unreachable, match="timed out") as late:
            await ObjectWriter(client, cache, lambda: 0.05).apply(MANIFEST, "u1")
        assert late.value.details["timeout"] == 0.05
        with pytest.raises(errors.Unreachable, match="timed out") as late:
            await ObjectWriter(client, cache, lambda: 99, timeout=0.06).apply(MANIFEST, "u1")
        assert late.value.details["timeout"] == 0.06


async def test_a_namespace_that_is_not_allowed_is_never_written_to(tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return json_answer(raw())

    async with connected(answer, tmp_path) as (client, seen):
        writer = ObjectWriter(client, ClusterCache(client, ("allowed",), lambda _: None), lambda: 9)
        writes: list[Callable[[], Awaitable[object]]] = [
            lambda: writer.create(MANIFEST),
            lambda: writer.delete(REF, "u1"),
            lambda: writer.scale(REF, "u1", 1),
            lambda: writer.upgrade_managed_fields(observe(raw())),
        ]
        for write in writes:
            with pytest.raises(errors.Rejected, match="namespace"):
                await write()
    assert seen.requests == []


async def test_applying_does_not_change_the_manifest(tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return json_answer(raw())

    before = orjson.dumps(MANIFEST)
    async with connected(answer, tmp_path) as (client, seen):
        writer = ObjectWriter(client, ClusterCache(client, ("gco-inference",), lambda _: None), lambda: 9)
        await writer.create(MANIFEST)
        await writer.apply(MANIFEST, "u1")
    assert orjson.dumps(MANIFEST) == before
    assert [orjson.loads(body)["metadata"] for body in seen.bodies] == [
        {**MANIFEST["metadata"], "resourceVersion": "1"},
        {**MANIFEST["metadata"], "uid": "u1"},
    ]
