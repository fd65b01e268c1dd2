from pathlib import Path

import pytest

from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.model.objects import Kind, ObjectRef
from tests.support.fake_api_server import kubeconfig
from tests.support.raw_objects import raw


@pytest.fixture
async def cache(tmp_path: Path) -> ClusterCache:
    """A cache without running watches; objects are added by `put`."""
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:1", {})
    async with KubeClient.connect(kubeconfig=path) as client:
        return ClusterCache(client, ("gco-inference", "other"), lambda _: None)


def test_all_objects_that_may_belong_to_an_endpoint_are_found_in_every_namespace(cache: ClusterCache) -> None:
    places = [
        ("Deployment", "gco-inference", "llm"),
        ("Deployment", "gco-inference", "llm-canary"),
        ("Service", "other", "llm"),
        ("Service", "gco-inference", "llm-canary"),
        ("Ingress", "gco-inference", "inference-llm"),
        ("HorizontalPodAutoscaler", "other", "llm"),
    ]
    others = [
        ("Deployment", "gco-inference", "inference-llm"),
        ("Ingress", "gco-inference", "llm"),
        ("HorizontalPodAutoscaler", "gco-inference", "llm-canary"),
        ("Service", "gco-inference", "llm2"),
    ]
    for number, (kind, namespace, name) in enumerate(places + others):
        cache.put(raw(name, kind=kind, namespace=namespace, uid=str(number)))
    expected = {ObjectRef(Kind(kind), namespace, name) for kind, namespace, name in places}
    assert set(cache.observed("llm").objects) == expected


def test_the_token_changes_with_the_endpoints_objects_and_only_with_them(cache: ClusterCache) -> None:
    tokens = [cache.token("llm")]
    cache.put(raw(version=10))
    tokens.append(cache.token("llm"))
    cache.put(raw(version=11))
    tokens.append(cache.token("llm"))
    cache.put(raw(kind="Service", version=12))
    tokens.append(cache.token("llm"))
    cache.forget(ObjectRef(Kind.DEPLOYMENT, "gco-inference", "llm"), "u1")
    tokens.append(cache.token("llm"))
    assert len(set(tokens)) == len(tokens)
    cache.put(raw("unrelated", version=20))
    assert cache.token("llm") == tokens[-1]


def test_the_endpoints_are_those_that_objects_name_or_may_belong_to(cache: ClusterCache) -> None:
    cache.put(raw("a", endpoint="a"))
    cache.put(raw("a-canary", endpoint="a"))
    cache.put(raw("b-canary", endpoint=None))
    cache.put(raw("inference-c", kind="Ingress", endpoint=None))
    cache.put(raw("inference-d", kind="Service", endpoint=None))
    assert cache.endpoint_names() == {"a", "b", "b-canary", "c", "inference-d"}


def test_every_namespace_is_unsynced_before_the_first_list(cache: ClusterCache) -> None:
    assert not cache.synced
    assert cache.unsynced == {"gco-inference": "not listed yet", "other": "not listed yet"}
