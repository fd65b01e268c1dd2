"""The real program behind a proxy that injects faults between it and the API server, and what must hold afterwards."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import urllib3

from gco_stream.local.kube_api import path_of
from tests.chaos.proxies.faulty_http import Fault, FaultyProxy, Request, SeenRequest
from tests.integration.conftest import Program, World
from tests.support.items import item

TIMEOUT = 120.0
# A call that hangs is given up after so many seconds; GCO's setting, 30 by default.
CALL_SECONDS = 2
# Warnings of sockets that nobody closed go to the log, which is looked at in the end. The lease outlasts every fault,
# and a machine that stands still meanwhile.
SETTINGS = {
    "K8S_API_TIMEOUT": f"{CALL_SECONDS}",
    "RESYNC_INTERVAL_SECONDS": "3600",
    "LEASE_DURATION_SECONDS": "60",
    "LEASE_RENEW_DEADLINE_SECONDS": "40",
    "PYTHONWARNINGS": "default::ResourceWarning",
}
_QUIET_SECONDS = 1.5


def status(code: int, reason: str, message: str = "no", **details: Any) -> bytes:
    """The body of an error as the API server words it."""
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
    """Whether it is about what endpoints are made of: neither the Lease nor Events."""
    return not is_about_lease(request) and "/events" not in request.path


class ProgramBehindProxy:
    """One program, its world, and the proxy before its API server."""

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
        """Whether the endpoint stands as its item asks, and its report says so."""
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
            self.until(lambda name=name: self.is_in_desired_state(name), f"{name} is as its item asks", timeout)  # type: ignore[misc]

    def until_gone(self, *names: str) -> None:
        for name in names:
            self.until(
                lambda name=name: self.world.item(name) is None and not self._exists(name),  # type: ignore[misc]
                f"{name} is gone",
            )

    def _exists(self, name: str) -> bool:
        return any(key.partition("/")[2].removeprefix("inference-") == name for key in self.world.objects())

    def record_objects(self) -> None:
        """What stands now must stand in the end: the very same objects."""
        self._uids = {key: obj["metadata"]["uid"] for key, obj in self.world.objects().items()}

    def assert_none_was_replaced(self) -> None:
        now = {key: obj["metadata"]["uid"] for key, obj in self.world.objects().items()}
        assert {key: now.get(key) for key in self._uids} == self._uids

    @contextmanager
    def is_not_delayed(self, name: str) -> Iterator[None]:
        """A healthy endpoint that is asked for now is served before the block's faults are over."""
        self.put(name)
        self.until(lambda: self.world.get("Deployment", name), f"{name} is not held up")
        yield
        self.until_in_desired_state(name)

    def since(self, mark: float) -> list[SeenRequest]:
        """The requests after `mark`, but for those about the Lease."""
        return [one for one in self.proxy.seen if one.at > mark and not is_about_lease(one)]

    def counted(self, mark: float) -> Counter[tuple[str, str]]:
        return Counter((one.method, one.path) for one in self.since(mark) if not one.is_watch)

    def until_silent(self) -> None:
        """Until nothing is asked or written for a while but the lease's renewals."""
        mark = time.monotonic()
        deadline = mark + TIMEOUT
        while mark + _QUIET_SECONDS > time.monotonic():
            if newer := self.since(mark):
                mark = max(one.at for one in newer)
            assert time.monotonic() < deadline, f"not silent: {self.since(deadline - TIMEOUT)[-10:]}"
            time.sleep(0.1)

    def until_working(self) -> None:
        """Until it leads and works, however slow the machine is at starting it."""
        self.until(self._is_working, "it works", 2 * TIMEOUT)

    def _is_working(self) -> bool:
        with contextlib.suppress(StopIteration, urllib3.exceptions.HTTPError):
            return bool(self.program.status()["working"])
        return False

    def ready(self) -> bool:
        with contextlib.suppress(StopIteration, urllib3.exceptions.HTTPError):
            return self.program.http("/readyz") == (200, "ok\n")
        return False

    def assert_clean_end(self) -> None:
        """No fault outlives its cause: ready, silent, a clean exit, no bug of ours and no socket left in the log."""
        self.until(self.ready, "it is ready")
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
    """The program at work behind a proxy without a fault; whatever fault is left is taken out in the end."""
    with FaultyProxy.before_kubernetes(Path(environment["KUBECONFIG"])) as proxy:
        kubeconfig = proxy.kubeconfig(folder / "kubeconfig-faulty")
        one = ProgramBehindProxy(world, proxy, program(**{**SETTINGS, **settings, "KUBECONFIG": str(kubeconfig)}))
        one.until_working()
        yield one
        one.program.kill()


def object_path(kind: str, namespace: str, name: str) -> str:
    return path_of(kind, namespace, f"inference-{name}" if kind == "Ingress" else name)
