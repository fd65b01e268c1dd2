"""Faults at random times: planned from the seed before the run, executed concurrently."""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.errors import KubeError, LocalError
from gco_stream.local.kube_api import path_of
from tests.chaos.proxies.faulty_http import Fault
from tests.chaos.run.actors import http_faults
from tests.chaos.run.records.journal import ActionLog
from tests.chaos.run.sites import Route, Site

LEADER = -1
_LEASE = "inference-monitor-leader"
_TERM_TIMEOUT = 60.0
# A process that has just started does not handle SIGTERM yet.
_STATUSES = {"kill -9": (128 + signal.SIGKILL,), "SIGTERM": (0, 128 + signal.SIGTERM)}

# Per kind: the mean number of seconds between two faults, for a run of any length, and the range of their duration.
_SCHEDULE = {
    "kill -9": (40.0, (0.0, 4.0)),
    "SIGTERM": (45.0, (0.0, 3.0)),
    "SIGSTOP": (40.0, (0.3, 14.0)),
    "cluster request": (5.0, (0.5, 6.0)),
    "table request": (5.0, (0.5, 6.0)),
    "connections dropped": (20.0, (0.0, 0.0)),
    "network cut": (40.0, (0.5, 10.0)),
    "network silent": (40.0, (0.5, 12.0)),
    "clock step": (25.0, (2.0, 20.0)),
    "credentials refused": (60.0, (0.5, 3.0)),
    "Lease deleted": (90.0, (0.0, 0.0)),
    "API server restart": (90.0, (0.0, 0.0)),
    "API server frozen": (80.0, (0.5, 8.0)),
    "etcd restart": (150.0, (0.0, 0.0)),
    "DynamoDB frozen": (70.0, (0.5, 8.0)),
}

KINDS = frozenset(_SCHEDULE)
ON_THE_WAY = frozenset(
    {
        "cluster request",
        "table request",
        "connections dropped",
        "network cut",
        "network silent",
        "credentials refused",
    }
)
"""Faults between a replica and its servers."""


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A planned fault, `at` seconds after the start; `replica` is a replica's number or LEADER."""

    at: float
    kind: str
    replica: int
    seconds: float
    number: int


def plan_faults(seed: int, seconds: float, replicas: int, kinds: frozenset[str] | None = None) -> list[PlannedFault]:
    """Returns every fault of a run, in order; `kinds` restricts them."""
    found = []
    for kind, (every, (shortest, longest)) in _SCHEDULE.items():
        if kinds is not None and kind not in kinds:
            continue
        rng = random.Random(f"{seed}:fault:{kind}")
        at = rng.uniform(0.0, every)
        while at < seconds:
            whom = LEADER if rng.random() < 0.6 else rng.randrange(replicas)
            found.append(PlannedFault(at, kind, whom, rng.uniform(shortest, longest), rng.randrange(10**9)))
            at += rng.expovariate(1 / every)
    return sorted(found, key=lambda one: one.at)


class Faults:
    """Executes faults. `holder` returns the host that holds the Lease."""

    def __init__(
        self, plane: ControlPlane, sites: list[Site], namespace: str, holder: Callable[[], str], history: ActionLog
    ) -> None:
        self._plane = plane
        self._sites = sites
        self._namespace = namespace
        self._holder = holder
        self._journal = history
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=48, thread_name_prefix="fault")
        self._running: list[Future[None]] = []
        self._server = threading.Lock()
        self._busy = {site.replica.name: threading.Lock() for site in sites}
        self.counts: Counter[str] = Counter()
        self.late: list[str] = []

    def begin(self, one: PlannedFault) -> None:
        """Starts a fault without waiting for its end."""
        self._running.append(self._pool.submit(self._run, one))

    def end(self) -> None:
        """Ends every fault, and makes sure that every replica runs."""
        self._over.set()
        for future in self._running:
            future.result()
        self._pool.shutdown()
        for site in self._sites:
            for way in site.ways or ():
                way.restore()
            site.set_clock(0)
            site.replica.signal(signal.SIGCONT)
            site.replica.start()
        self._journal.note("all faults have ended")

    def restart_ended(self) -> None:
        """Restarts replicas that exited by themselves, as the kubelet would."""
        for site in self._sites:
            if self._busy[site.replica.name].acquire(blocking=False):
                try:
                    site.replica.start()
                finally:
                    self._busy[site.replica.name].release()

    def affected_requests(self) -> Counter[str]:
        """Returns the number of requests that each proxy fault affected."""
        return sum((way.proxy.injected for site in self._sites for way in site.ways or ()), Counter())

    def _run(self, one: PlannedFault) -> None:
        if self._over.is_set():
            return
        site = self._site(one.replica)
        with suppress(KubeError, ConnectionError, TimeoutError):
            self._dispatch(one, site, random.Random(one.number))

    def _site(self, whom: int) -> Site:
        if whom == LEADER:
            holder = self._holder().partition("_")[0]
            return next((site for site in self._sites if site.replica.name == holder), self._sites[0])
        return self._sites[whom]

    def _dispatch(self, one: PlannedFault, site: Site, rng: random.Random) -> None:
        match one.kind:
            case "kill -9":
                self._end_process(site, signal.SIGKILL, one)
            case "SIGTERM":
                self._end_process(site, signal.SIGTERM, one)
            case "SIGSTOP":
                self._stopped(site, one)
            case "cluster request":
                self._request(site.cluster, http_faults.of_cluster(rng), site, one, drops=rng.random() < 0.3)
            case "table request":
                self._request(site.table, http_faults.of_table(rng), site, one, drops=False)
            case "connections dropped":
                with self._lasting(one.kind, site):
                    rng.choice((site.cluster, site.table)).proxy.drop_connections()
            case "network cut" | "network silent":
                self._network(site, one, rng)
            case "clock step":
                self._clock(site, one, rng.choice((-200, -30, 30, 600, 3600)))
            case "credentials refused":
                with self._lasting(one.kind, site):
                    fault = site.cluster.proxy.inject(http_faults.unauthorized())
                    self._over.wait(one.seconds)
                    site.cluster.proxy.clear(fault)
            case "Lease deleted":
                with self._lasting(one.kind):
                    self._plane.kube.delete(path_of("Lease", self._namespace, _LEASE))
            case "API server restart":
                self._restart("kube-apiserver", one.kind)
            case "etcd restart":
                self._restart("etcd", one.kind)
            case "API server frozen":
                self._frozen("kube-apiserver", one)
            case "DynamoDB frozen":
                self._frozen("dynamodb", one)

    @contextmanager
    def _lasting(self, kind: str, site: Site | None = None) -> Iterator[None]:
        self.counts[kind] += 1
        with self._journal.fault(kind, site.replica.name if site else ""):
            yield

    def _end_process(self, site: Site, number: signal.Signals, one: PlannedFault) -> None:
        with self._busy[site.replica.name]:
            # A replica started a moment ago has no process yet.
            if self._over.is_set() or not site.replica.signal(number):
                return
            with self._lasting(one.kind, site):
                began = time.monotonic()
                status = site.replica.wait_ended(_TERM_TIMEOUT)
                if status is None:
                    self.late.append(f"{site.replica.name} has not exited {_TERM_TIMEOUT:g} s after {one.kind}")
                    site.replica.end()
                elif status not in _STATUSES[one.kind] and not site.replica.has_fenced_itself(status):
                    self.late.append(
                        f"{site.replica.name} exited with {status} after {one.kind}: {site.replica.tail()}"
                    )
                took = round(time.monotonic() - began, 2)
                self._journal.note("has ended", whom=site.replica.name, status=status, seconds=took)
                self._over.wait(one.seconds)
                site.replica.start()

    def _stopped(self, site: Site, one: PlannedFault) -> None:
        with self._busy[site.replica.name]:
            if self._over.is_set() or not site.replica.signal(signal.SIGSTOP):
                return
            with self._lasting(one.kind, site):
                self._over.wait(one.seconds)
                site.replica.signal(signal.SIGCONT)

    def _request(self, way: Route, fault: Fault, site: Site, one: PlannedFault, *, drops: bool) -> None:
        with self._lasting(fault.name, site):
            way.proxy.inject(fault)
            if drops:
                # New watches are opened and affected.
                way.proxy.drop_connections()
            self._over.wait(one.seconds)
            way.proxy.clear(fault)

    def _network(self, site: Site, one: PlannedFault, rng: random.Random) -> None:
        ways = rng.choice(((site.cluster,), (site.table,), (site.cluster, site.table)))
        with self._lasting(one.kind, site):
            for way in ways:
                if one.kind == "network cut":
                    way.relay.cut()
                else:
                    way.relay.hang()
            self._over.wait(one.seconds)
            for way in ways:
                way.relay.restore()

    def _clock(self, site: Site, one: PlannedFault, seconds: float) -> None:
        with self._lasting(one.kind, site):
            site.set_clock(seconds)
            self._over.wait(one.seconds)
            site.set_clock(0)

    def _restart(self, name: str, kind: str) -> None:
        with self._server, self._lasting(kind), suppress(LocalError):
            self._plane.restart(name)

    def _frozen(self, name: str, one: PlannedFault) -> None:
        with self._server, self._lasting(one.kind):
            server = self._plane.servers[name]
            server.freeze()
            self._over.wait(one.seconds)
            server.thaw()
