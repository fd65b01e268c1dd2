"""The fault-injecting proxy passes all other traffic unchanged; otherwise the fault tests would prove nothing."""

import base64
import contextlib
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
import urllib3

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.local.pytest_plugin import Table
from gco_stream.local.servers.dynamodb import client
from tests.chaos.proxies.faulty_http import (
    Action,
    Answer,
    CutAfter,
    Fault,
    FaultyProxy,
    Hang,
    LoseResponse,
    Reset,
    Rewrite,
    Silence,
    Swallow,
    Trickle,
)


@pytest.fixture
def proxy(control_plane: ControlPlane, controller_user: str) -> Iterator[FaultyProxy]:
    # In this module the user also writes ConfigMaps.
    with FaultyProxy.before_kubernetes(control_plane.kubeconfig_for(controller_user)) as one:
        yield one


@pytest.fixture
def call(proxy: FaultyProxy, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """`call(method, path, body)` sends a request through the proxy, with the token of its kubeconfig."""
    config = orjson.loads(proxy.kubeconfig(tmp_path / "kubeconfig").read_bytes())
    authority = orjson.loads(proxy.kubeconfig_text({}))["clusters"][0]["cluster"]["certificate-authority-data"]
    context = ssl.create_default_context(cadata=base64.b64decode(authority).decode())
    token = config["users"][0]["user"]["token"]
    with urllib3.PoolManager(ssl_context=context, retries=False, timeout=60.0) as pool:

        def send(method: str, path: str, body: Any = None, token: str = token, **options: Any) -> Any:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            data = None if body is None else orjson.dumps(body)
            return pool.request(method, proxy.url + path, body=data, headers=headers, **options)

        yield send


def _strike(proxy: FaultyProxy, does: Action, **options: Any) -> None:
    proxy.inject(Fault("it", lambda request: "configmaps" in request.path, does, **options))


def _impatient(proxy: FaultyProxy, kube: KubeApi, does: Action, call: Callable[[], Any]) -> Any:
    """Makes a call and drops its connection as soon as it is affected, unless the proxy answers itself."""
    _strike(proxy, does)
    with ThreadPoolExecutor(1) as callers:
        answer = callers.submit(call)
        kube.wait_for(lambda: proxy.injected["it"], what="the fault to occur")
        if not isinstance(does, Answer):
            proxy.drop_connections()
        return answer.result()


def _map(namespace: str, name: str = "m", size: int = 1) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "data": {"x": "y" * size}}


def test_a_call_without_a_fault_passes_unchanged(
    proxy: FaultyProxy,
    call: Callable[..., Any],
    control_plane: ControlPlane,
    namespace: str,
    controller_user: str,
    kube: KubeApi,
) -> None:
    mark = control_plane.audit.mark()
    assert call("POST", path_of("ConfigMap", namespace), _map(namespace)).status == 201
    assert kube.get(path_of("ConfigMap", namespace, "m"))["data"] == {"x": "y"}
    calls = control_plane.audit.calls(mark, user=controller_user, namespace=namespace)
    assert [(one.verb, one.name) for one in calls] == [("create", "m")]
    assert [(one.method, one.fault) for one in proxy.seen] == [("POST", "")]


def test_a_watch_passes_event_by_event(
    proxy: FaultyProxy, call: Callable[..., Any], namespace: str, kube: KubeApi
) -> None:
    kube.create(path_of("ConfigMap", namespace), _map(namespace, "first"))
    path = path_of("ConfigMap", namespace) + "?watch=true&fieldSelector=metadata.name%3Dfirst"
    watch = call("GET", path, preload_content=False, timeout=60.0)
    assert orjson.loads(watch.readline())["type"] == "ADDED"
    kube.patch(path_of("ConfigMap", namespace, "first"), {"data": {"x": "z"}})
    assert orjson.loads(watch.readline())["object"]["data"] == {"x": "z"}
    proxy.drop_connections()
    with pytest.raises((urllib3.exceptions.HTTPError, OSError)):
        watch.readline()


def test_the_api_server_rejects_a_revoked_token(proxy: FaultyProxy, call: Callable[..., Any]) -> None:
    assert call("GET", "/api").status == 200
    proxy.revoke()
    answer = call("GET", "/api")
    assert (answer.status, answer.json()["reason"]) == (401, "Unauthorized")


@pytest.mark.parametrize("does", [Hang(), Reset(), Answer(500)])
def test_a_hung_reset_or_answered_request_never_reaches_the_server(
    proxy: FaultyProxy, call: Callable[..., Any], namespace: str, kube: KubeApi, does: Action
) -> None:
    try:
        answer = _impatient(proxy, kube, does, lambda: call("POST", path_of("ConfigMap", namespace), _map(namespace)))
        assert answer.status == 500
    except urllib3.exceptions.HTTPError:
        assert not isinstance(does, Answer)
    assert kube.find(path_of("ConfigMap", namespace, "m")) is None
    assert proxy.injected == {"it": 1}


@pytest.mark.parametrize("does", [LoseResponse(), Swallow(), LoseResponse(late=1.2)])
def test_a_response_is_lost_only_after_the_server_applied_the_write(
    proxy: FaultyProxy, call: Callable[..., Any], namespace: str, kube: KubeApi, does: Action
) -> None:
    with pytest.raises(urllib3.exceptions.HTTPError):
        _impatient(proxy, kube, does, lambda: call("POST", path_of("ConfigMap", namespace), _map(namespace)))
    kube.wait_for(lambda: kube.find(path_of("ConfigMap", namespace, "m")), what="the write to arrive")


def test_responses_can_be_cut_silenced_rewritten_and_slowed(
    proxy: FaultyProxy, call: Callable[..., Any], namespace: str, kube: KubeApi
) -> None:
    kube.create(path_of("ConfigMap", namespace), _map(namespace, size=3000))
    path = path_of("ConfigMap", namespace, "m")
    _strike(proxy, CutAfter(100), times=1)
    with pytest.raises(urllib3.exceptions.HTTPError):
        call("GET", path)
    _strike(proxy, Silence(after=100), times=1)
    with pytest.raises(urllib3.exceptions.HTTPError):
        call("GET", path, timeout=1.0)
    _strike(proxy, Rewrite(lambda body: body[:50]), times=1)
    assert len(call("GET", path).data) == 50
    _strike(proxy, Trickle(10_000), times=1)
    began = time.monotonic()
    assert call("GET", path).json()["data"]["x"] == "y" * 3000
    assert time.monotonic() - began > 0.25


def test_a_fault_can_affect_a_share_of_dynamodb_calls(control_plane: ControlPlane, table: Table) -> None:
    with FaultyProxy(control_plane.dynamodb_url, seed=7) as proxy:
        error = b'{"__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", "message": "no"}'
        proxy.inject(
            Fault("gone", lambda one: one.headers["x-amz-target"].endswith(".Scan"), Answer(400, error), share=0.5)
        )
        dynamodb = client(proxy.url)
        for _ in range(30):
            with contextlib.suppress(dynamodb.exceptions.ResourceNotFoundException):
                dynamodb.scan(TableName=table.name)
        dynamodb.close()
        assert 5 < proxy.injected["gone"] < 25
        assert {one.target for one in proxy.seen} == {"DynamoDB_20120810.Scan"}
