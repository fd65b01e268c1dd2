"""Any call to the API server, or its response, may fail: the cluster still converges to the table, and quickly."""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from gco_stream.local.kube_api import path_of
from tests.chaos.api_server.behind_proxy import (
    CALL_SECONDS,
    ProgramBehindProxy,
    is_about_lease,
    is_write,
    on_objects,
    program_behind,
    status,
)
from tests.chaos.proxies.faulty_http import (
    Action,
    Answer,
    CutAfter,
    Hang,
    LoseResponse,
    Request,
    Reset,
    Rewrite,
    Swallow,
    Trickle,
)
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World

pytestmark = pytest.mark.integration

HTML = b"<html><head><title>Error</title></head><body>The page cannot be found.</body></html>"
# Faults of one call, by the name of the endpoint that they affect.
FATES: dict[str, Action] = {
    "hangs": Hang(),
    "is-reset": Reset(),
    "is-done-unsaid": Swallow(),
    "is-done-and-reset": LoseResponse(),
    "is-done-late": LoseResponse(late=3.0),
    "is-cut": CutAfter(20),
    "is-half": Rewrite(lambda body: body[: len(body) // 2]),
    "is-nothing": Rewrite(lambda _: b""),
    "is-another": Rewrite(lambda _: b'{"ok": true}'),
    "trickles": Trickle(100),
    "fails": Answer(500, status(500, "InternalError", "etcdserver: leader changed")),
    "is-unavailable": Answer(503, b"<html>Service Unavailable 4711</html>"),
    "is-lost-by-a-balancer": Answer(404, HTML, {"Content-Type": "text/html"}),
    "is-bad-to-a-balancer": Answer(400, HTML, {"Content-Type": "text/html"}),
    "conflicts": Answer(409, status(409, "Conflict", "the object has been modified")),
    "is-throttled": Answer(429, b"Too many requests, please try again later.\n", {"Retry-After": "1"}),
}


@pytest.fixture
def one(
    world: World, controller_env: dict[str, str], program: Callable[..., Program], tmp_path: Path
) -> Iterator[ProgramBehindProxy]:
    with program_behind(world, controller_env, program, tmp_path) as found:
        yield found


def first_of_each(name: str) -> Callable[[Request], bool]:
    """Matches the first attempt of every distinct write to an endpoint's objects."""
    met: set[tuple[str, str, bytes]] = set()

    def strikes(request: Request) -> bool:
        key = (request.method, request.path, request.body)
        last = request.path.rpartition("/")[2]
        if not is_write(request) or last.removeprefix("inference-") != name or key in met:
            return False
        met.add(key)
        return True

    return strikes


def test_every_write_of_an_endpoint_survives_any_single_fault(one: ProgramBehindProxy) -> None:
    began = time.monotonic()
    for name, action in FATES.items():
        one.inject(name, first_of_each(name), action)
        one.put(name)
    with one.is_not_delayed("healthy"):
        one.until_in_desired_state(*FATES)
    one.record_objects()
    for name in FATES:
        one.world.update_spec(name, image="registry.example/serve:2.0", replicas=2, env={"A": "1"})
    one.until_in_desired_state(*FATES)
    one.assert_none_was_replaced()
    assert not [seen for seen in one.proxy.seen if seen.method == "DELETE"]
    for name in FATES:
        one.world.set_desired_state(name, "deleted")
    one.until_gone(*FATES)
    assert one.is_in_desired_state("healthy")
    # Three creates, one apply and three deletes were affected, each once.
    assert {name: count for name, count in one.proxy.injected.items() if count < 7} == {}
    # On a slow machine, further calls may time out and be retried.
    most = 12 + (time.monotonic() - began) / CALL_SECONDS
    tries = one.counted(0)
    assert {call: count for call, count in tries.items() if is_patch(call) and count > most} == {}
    one.assert_clean_end()


def is_patch(call: tuple[str, str]) -> bool:
    return call[0] == "PATCH"


def test_retry_after_is_honored_despite_other_events(one: ProgramBehindProxy) -> None:
    seconds = 4
    deployment = path_of("Deployment", one.world.namespace, "chat")
    one.inject(
        "throttled",
        lambda request: request.method == "PATCH" and request.path == deployment,
        Answer(429, status(429, "TooManyRequests", retryAfterSeconds=seconds), {"Retry-After": f"{seconds}"}),
        times=2,
    )
    one.put("chat")
    one.until(lambda: one.proxy.injected["throttled"], "the call is throttled")
    # Two events for the endpoint: the watch reports drift of its Service, and the user changes the item.
    one.world.kube.delete(path_of("Service", one.world.namespace, "chat"))
    one.world.update_spec("chat", replicas=2)
    with one.is_not_delayed("healthy"):
        pass
    one.until_in_desired_state("chat")
    tries = [seen.at for seen in one.proxy.seen if (seen.method, seen.path) == ("PATCH", deployment)]
    assert all(later - earlier >= seconds for earlier, later in pairwise(tries[:3])), tries
    one.assert_clean_end()


def test_the_cluster_converges_soon_after_a_storm_of_faults(one: ProgramBehindProxy) -> None:
    names = [f"e{number}" for number in range(12)]
    for name in names[:6]:
        one.put(name)
    one.until_in_desired_state(*names[:6])
    one.record_objects()
    mark = time.monotonic()
    for fate in ("fails", "is-unavailable", "is-reset", "hangs", "is-done-and-reset", "is-throttled"):
        one.inject(fate, on_objects, FATES[fate], share=0.3)
    for name in names[6:]:
        one.put(name)
    for name in names[:6]:
        one.world.update_spec(name, replicas=2)
    one.until(lambda: sum(one.proxy.injected.values()) > 60, "the faults have occurred")
    stormed = one.since(mark)
    raged = time.monotonic() - mark
    one.proxy.clear()
    one.until_in_desired_state(*names)
    one.assert_none_was_replaced()
    # Each of the twelve endpoints retries after 0.25 s, 0.5 s and so on, with a few writes each time.
    assert len(stormed) < 200 + 12 * raged
    one.assert_clean_end()


def test_lost_renewal_responses_do_not_lose_the_lease(one: ProgramBehindProxy) -> None:
    since = one.program.status()["leader"]["since"]

    def renews(request: Request) -> bool:
        return request.method == "PUT" and is_about_lease(request)

    for name, action in {
        "lost": LoseResponse(),
        "half": FATES["is-half"],
        "page": FATES["is-lost-by-a-balancer"],
        "fails": FATES["fails"],
        "throttled": FATES["is-throttled"],
    }.items():
        one.inject(name, renews, action, times=1)
    one.until(lambda: len(one.proxy.injected) == 5, "each fault has occurred")
    one.put("chat")
    one.until_in_desired_state("chat")
    assert one.program.status()["leader"]["since"] == since
    one.assert_clean_end()


def test_endpoints_with_hanging_calls_do_not_delay_others(
    world: World, controller_env: dict[str, str], program: Callable[..., Program], tmp_path: Path
) -> None:
    # More endpoints than workers, and a call timeout longer than the wait for the healthy endpoint.
    stuck = [f"stuck-{number}" for number in range(20)]
    long = {"K8S_API_TIMEOUT": "600", "LEASE_DURATION_SECONDS": "900", "LEASE_RENEW_DEADLINE_SECONDS": "600"}
    with program_behind(world, controller_env, program, tmp_path, **long) as one:
        one.inject("hang", lambda request: is_write(request) and "stuck-" in request.path, Hang())
        for name in stuck:
            one.put(name)
        one.until(lambda: one.proxy.injected["hang"] >= 16, "the calls hang")
        with one.is_not_delayed("healthy"):
            pass
        one.until(
            lambda: len({seen.path for seen in one.proxy.seen if seen.fault}) >= len(stuck),
            "the calls of all endpoints hang",
        )
        one.proxy.clear()
        one.proxy.drop_connections()
        one.until_in_desired_state(*stuck)
        one.assert_clean_end()
