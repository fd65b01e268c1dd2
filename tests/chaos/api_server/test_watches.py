"""After any list or watch failure the cache soon matches the cluster; it never reports a live object as deleted."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.model.objects import Kind, ObjectRef
from tests.chaos.api_server.behind_proxy import (
    CALL_SECONDS,
    ProgramBehindProxy,
    is_write,
    on_objects,
    program_behind,
    status,
)
from tests.chaos.proxies.faulty_http import (
    Action,
    Answer,
    CutAfter,
    Fault,
    FaultyProxy,
    Hang,
    Request,
    Reset,
    Rewrite,
    Silence,
    Trickle,
)
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.support.fake_api_server import until

pytestmark = pytest.mark.integration

KINDS = ("deployments", "services", "ingresses", "horizontalpodautoscalers")
EXPIRED = status(410, "Expired", "too old resource version: 1 (2)")
PAGE = b"<html><body>404 page not found</body></html>"


def event(type_: str, item: Any) -> bytes:
    return orjson.dumps({"type": type_, "object": item}) + b"\n"


# Watch failures; each round gives every kind a different one at the same time.
WATCH_FATES: list[dict[str, Action]] = [
    {
        "410": Answer(410, EXPIRED),
        "410 as an event": Answer(200, event("ERROR", orjson.loads(EXPIRED))),
        "garbage": Answer(200, b"\x00\xff{]\n"),
        "half an event": Answer(200, b'{"type":"ADDED","object":{"metadata":{"name":"chat"'),
    },
    {
        "no event at all": Answer(200, b'{"type":"ADDED"}\n'),
        "an event of nothing": Answer(200, event("MODIFIED", {"metadata": {"resourceVersion": "7"}})),
        "an error that is none": Answer(200, event("ERROR", "no")),
        "nothing": Answer(200),
    },
    {
        "forbidden": Answer(403, status(403, "Forbidden", "watch is forbidden")),
        "unknown": Answer(401, status(401, "Unauthorized")),
        "a balancer's page": Answer(404, PAGE),
        "overload": Answer(429, b"", {"Retry-After": "1"}),
    },
    {"reset": Reset(), "cut": CutAfter(300), "broken": Answer(500, status(500, "InternalError")), "hangs": Hang()},
]
# List failures per kind: for the first list after a start, and for the second.
LIST_FATES: dict[str, tuple[Action, Action]] = {
    "deployments": (Hang(), Trickle(50)),
    "services": (
        Rewrite(lambda _: b"{}"),
        Rewrite(lambda body: orjson.dumps({**orjson.loads(body), "items": [{"kind": "x"}]})),
    ),
    "ingresses": (
        Rewrite(lambda body: body[: len(body) // 2]),
        Rewrite(lambda body: body.replace(b'"items"', b'"else"')),
    ),
    "horizontalpodautoscalers": (
        Answer(404, PAGE),
        # Announces a next page that does not exist.
        Rewrite(lambda body: body.replace(b'"resourceVersion"', b'"continue":"x","resourceVersion"', 1)),
    ),
}


@pytest.fixture
def one(
    world: World, controller_env: dict[str, str], program: Callable[..., Program], tmp_path: Path
) -> Iterator[ProgramBehindProxy]:
    with program_behind(world, controller_env, program, tmp_path) as found:
        yield found


def watches(kind: str) -> Callable[[Request], bool]:
    return lambda request: request.is_watch and request.path.endswith(f"/{kind}")


def lists(kind: str) -> Callable[[Request], bool]:
    return lambda request: request.method == "GET" and not request.is_watch and request.path.endswith(f"/{kind}")


def were_injected_twice(one: ProgramBehindProxy, fates: Iterable[str]) -> bool:
    return all(one.proxy.injected[name] == 2 for name in fates)


def test_drift_is_repaired_after_any_watch_failure(one: ProgramBehindProxy) -> None:
    one.put("chat")
    one.put("idle")
    one.until_in_desired_state("chat", "idle")
    kube, namespace = one.world.kube, one.world.namespace
    service = path_of("Service", namespace, "chat")
    for fates in WATCH_FATES:
        mark = time.monotonic()
        one.record_objects()
        for kind, (name, fate) in zip(KINDS, fates.items(), strict=True):
            one.inject(name, watches(kind), fate, times=2)
        one.proxy.drop_connections()
        kube.patch(path_of("Deployment", namespace, "chat"), {"spec": {"replicas": 3}})
        kube.patch(service, {"spec": {"ports": [{"name": "http", "port": 81, "targetPort": 8000, "protocol": "TCP"}]}})
        one.until(partial(were_injected_twice, one, fates), f"faults hit: {[*fates]}")
        one.until(
            lambda: [port["port"] for port in kube.get(service)["spec"]["ports"]] == [80], "the Service is repaired"
        )
        one.until_in_desired_state("chat", "idle")
        one.until(one.ready, "the program is ready")
        one.assert_none_was_replaced()
        # Per kind: two faulty watches, sometimes a list, and one lasting watch, each retried with growing pauses. On a
        # slow machine, further calls time out and are retried.
        most = 40 + len(KINDS) * (time.monotonic() - mark) / CALL_SECONDS
        assert len([seen for seen in one.since(mark) if seen.path.rpartition("/")[2] in KINDS]) < most
    one.assert_clean_end()


def test_watches_that_end_at_each_event_back_off_and_lose_nothing(one: ProgramBehindProxy) -> None:
    one.put("chat")
    one.until_in_desired_state("chat")
    bookmark = event("BOOKMARK", {"kind": "Deployment", "metadata": {"resourceVersion": "1"}})
    cut = one.inject("ends", lambda request: request.is_watch and on_objects(request), Answer(200, bookmark))
    mark = time.monotonic()
    one.proxy.drop_connections()
    one.world.update_spec("chat", image="registry.example/serve:2.0")
    one.until(lambda: one.world.container("chat")["image"].endswith(":2.0"), "changes are still applied")
    one.until(lambda: one.proxy.injected["ends"] >= 8, "each watch has ended more than once")
    took = time.monotonic() - mark
    assert one.proxy.injected["ends"] <= len(KINDS) * (took + 2)
    one.proxy.clear(cut)
    one.until_in_desired_state("chat")
    one.assert_clean_end()


def test_a_start_with_failing_lists_writes_only_requested_changes(one: ProgramBehindProxy) -> None:
    one.put("chat", autoscaling={"enabled": True, "max_replicas": 2})
    one.put("idle")
    one.until_in_desired_state("chat", "idle")
    one.record_objects()
    assert one.program.stop() == 0
    for kind, fates in LIST_FATES.items():
        for number, fate in enumerate(fates):
            one.inject(f"{kind} {number}", lists(kind), fate, times=1)
    mark = time.monotonic()
    one.program.start()
    one.until(lambda: len(one.proxy.injected) == 2 * len(KINDS), "each fault has occurred")
    one.until_working()
    one.until(one.ready, "the program is ready")
    one.put("new")
    one.until_in_desired_state("new", "chat", "idle")
    one.assert_none_was_replaced()
    written = {seen.path for seen in one.since(mark) if is_write(seen) and "/events" not in seen.path}
    assert all("new" in path for path in written), written
    one.assert_clean_end()


async def test_a_silent_watch_is_restarted_and_nothing_is_missed(
    kube: KubeApi, namespace: str, controller_env: dict[str, str], tmp_path: Path
) -> None:
    heard: list[str] = []
    ref = ObjectRef(Kind.SERVICE, namespace, "chat")
    with FaultyProxy.before_kubernetes(Path(controller_env["KUBECONFIG"])) as proxy:
        kubeconfig = str(await asyncio.to_thread(proxy.kubeconfig, tmp_path / "kubeconfig"))
        silent = proxy.inject(Fault("silent", lambda request: request.is_watch, Silence()))
        async with KubeClient.connect(kubeconfig=kubeconfig, timeout=5) as client:
            cache = ClusterCache(client, (namespace,), heard.extend, inactivity=1)
            task = asyncio.create_task(cache.run())
            async with asyncio.timeout(120):
                await cache.wait_synced()
                await until(lambda: proxy.injected["silent"] >= len(Kind), 120)
            labels = {"project": "gco", "gco.io/type": "inference", "app": "chat"}
            body = {"metadata": {"name": "chat", "labels": labels}, "spec": {"ports": [{"port": 80}]}}
            await asyncio.to_thread(kube.create, path_of("Service", namespace), body)
            proxy.clear(silent)
            await until(lambda: cache.has(ref) and "chat" in heard and cache.synced, 120)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
