"""The real program with a fault-injecting proxy between it and the API server, and what must hold after the faults."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import urllib3

from gco_stream.local.kube_api import path_of
from tests.chaos.proxies.faulty_http import Fault, FaultyProxy, Request, SeenRequest
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.support.items import item

TIMEOUT = 120.0
# Timeout of an API call in seconds. GCO's setting; its default is 30.
CALL_SECONDS = 2
# Warnings about unclosed sockets go to the log, which is checked at the end. The lease outlasts every fault and any
# stall of the machine.
SETTINGS = {
    "K8S_API_TIMEOUT": f"{CALL_SECONDS}",
    "RESYNC_INTERVAL_SECONDS": "3600",
    "LEASE_DURATION_SECONDS": "60",
    "LEASE_RENEW_DEADLINE_SECONDS": "40",
    "PYTHONWARNINGS": "default::ResourceWarning",
}
_QUIET_SECONDS = 1.5


def status(code: int, reason: str, message: str = "no", **details: Any) -> bytes:
    """Returns the body of an API server error."""
    return orjson.dumps(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": code,
            "reason": reason,
            "message": message,
            "details": details,
        }
    )


def is_write(request: Request | SeenRequest) -> bool:
    return request.method not in {"GET", "HEAD"}


def is_about_lease(request: Request | SeenRequest) -> bool:
    return "/leases" in request.path


def on_objects(request: Request) -> bool:
    """Whether the request is about an endpoint's objects, not about the Lease or Events."""
    return not is_about_lease(request) and "/events" not in request.path


class ProgramBehindProxy:
    """One program, its world, and the proxy in front of its API server."""

    def __init__(self, world: World, proxy: FaultyProxy, program: Program) -> None:
        self.world = world
        self.proxy = proxy
        self.program = program
        self._uids: dict[str, str] = {}

    def put(self, name: str, **spec: Any) -> None:
        self.world.put(item(name, spec={"gpu_count": 0, **spec}))

    def inject(self, name: str, matches: Callable[[Request], bool], does: Any, **options: Any) -> Fault:
        return self.proxy.inject(Fault(name, matches, does, **options))

    def until(self, look: Callable[[], object], what: str, timeout: float = TIMEOUT) -> None:
        self.program.until(look, what, timeout)

    def is_in_desired_state(self, name: str) -> bool:
        """Whether the endpoint's objects and its report match its item."""
        asked = (self.world.item(name) or {}).get("spec", {})
        if self.world.state(name) != "running" or "error" in self.world.report(name):
            return False
        objects = {kind: self.world.get(kind, name) for kind in ("Deployment", "Service")}
        route = self.world.get("Ingress", f"inference-{name}")
        if route is None or None in objects.values():
            return False
        made = self.world.container(name)
        return bool(
            made["image"] == asked["image"]
            and self.world.replicas(name) == asked["replicas"]
            and {one["name"]: one["value"] for one in made.get("env", []) if "value" in one}.items()
            >= asked.get("env", {}).items()
        )

    def until_in_desired_state(self, *names: str, timeout: float = TIMEOUT) -> None:
        for name in names:
            self.until(partial(self.is_in_desired_state, name), f"{name} is in the desired state", timeout)

    def until_gone(self, *names: str) -> None:
        for name in names:
            self.until(partial(self._is_purged, name), f"{name} is purged")

    def _is_purged(self, name: str) -> bool:
        return self.world.item(name) is None and not self._exists(name)

    def _exists(self, name: str) -> bool:
        return any(key.partition("/")[2].removeprefix("inference-") == name for key in self.world.objects())

    def record_objects(self) -> None:
        """Records the UIDs of all live objects for `assert_none_was_replaced`."""
        self._uids = {key: obj["metadata"]["uid"] for key, obj in self.world.objects().items()}

    def assert_none_was_replaced(self) -> None:
        now = {key: obj["metadata"]["uid"] for key, obj in self.world.objects().items()}
        assert {key: now.get(key) for key in self._uids} == self._uids

    @contextmanager
    def is_not_delayed(self, name: str) -> Iterator[None]:
        """Asserts that a healthy endpoint is created while the block's faults last."""
        self.put(name)
        self.until(lambda: self.world.get("Deployment", name), f"{name} is not delayed")
        yield
        self.until_in_desired_state(name)

    def since(self, mark: float) -> list[SeenRequest]:
        """Returns the requests after `mark`, without those about the Lease."""
        return [one for one in self.proxy.seen if one.at > mark and not is_about_lease(one)]

    def counted(self, mark: float) -> Counter[tuple[str, str]]:
        return Counter((one.method, one.path) for one in self.since(mark) if not one.is_watch)

    def until_silent(self) -> None:
        """Waits until there are no requests for a while except Lease renewals."""
        mark = time.monotonic()
        deadline = mark + TIMEOUT
        while mark + _QUIET_SECONDS > time.monotonic():
            if newer := self.since(mark):
                mark = max(one.at for one in newer)
            assert time.monotonic() < deadline, f"requests continue: {self.since(deadline - TIMEOUT)[-10:]}"
            time.sleep(0.1)

    def until_working(self) -> None:
        """Waits until the program leads and reconciles; allows for a slow start."""
        self.until(self._is_working, "the program is working", 2 * TIMEOUT)

    def _is_working(self) -> bool:
        with contextlib.suppress(StopIteration, urllib3.exceptions.HTTPError):
            return bool(self.program.status()["working"])
        return False

    def ready(self) -> bool:
        with contextlib.suppress(StopIteration, urllib3.exceptions.HTTPError):
            return self.program.http("/readyz") == (200, "ok\n")
        return False

    def assert_clean_end(self) -> None:
        """Asserts that the program is ready, becomes idle and exits cleanly, and that its log shows no leaks."""
        self.until(self.ready, "the program is ready")
        self.until_silent()
        assert self.program.stop() == 0
        assert_clean(self.program)


def assert_clean(program: Program) -> None:
    log = program.log.read_text()
    for word in ("Traceback", "ResourceWarning", "unclosed", "never retrieved", '"result": "broken"'):
        assert word not in log, log[max(0, log.index(word) - 1000) : log.index(word) + 3000]


@contextmanager
def program_behind(
    world: World, environment: dict[str, str], program: Callable[..., Program], folder: Path, **settings: str
) -> Iterator[ProgramBehindProxy]:
    """Runs the program behind a proxy, without faults at first; faults left at the end are removed."""
    with FaultyProxy.before_kubernetes(Path(environment["KUBECONFIG"])) as proxy:
        kubeconfig = proxy.kubeconfig(folder / "kubeconfig-faulty")
        one = ProgramBehindProxy(world, proxy, program(**{**SETTINGS, **settings, "KUBECONFIG": str(kubeconfig)}))
        one.until_working()
        yield one
        one.program.kill()


def object_path(kind: str, namespace: str, name: str) -> str:
    return path_of(kind, namespace, f"inference-{name}" if kind == "Ingress" else name)
