"""Fixtures that run the real program as a separate process against the session's control plane."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import urllib3

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.local.pytest_plugin import Table
from gco_stream.model import wire
from gco_stream.table.sync_table import SyncEndpointTable
from tests.integration.support.rights import allow, as_installed, charts_rules
from tests.integration.support.webhook import Webhook, mutating
from tests.support.forked_process import ForkedProcess

LOOK_EVERY = 0.02
# Waits end as soon as their condition holds; only a fault or a stalled machine uses the whole timeout.
PATIENCE = 120.0
_ANSWER_SECONDS = 60.0
_TEST_SECONDS = 600.0
# The lease survives a process that stalls for 15 s. Tests of the lease itself use shorter durations.
LONG_LEASE = {"LEASE_DURATION_SECONDS": "30", "LEASE_RENEW_DEADLINE_SECONDS": "20"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sets a timeout that stops a hanging test without failing a test on a slow machine."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(_TEST_SECONDS), append=False)


class Program:
    """A `gco-stream run` process, or one started from `module` or `command`; its output goes to a log file."""

    def __init__(
        self,
        environment: dict[str, str],
        log: Path,
        module: tuple[str, ...] = ("gco_stream", "run"),
        command: list[str] | None = None,
    ) -> None:
        self.environment = environment
        self.log = log
        self._module = module
        self._command = command
        self._process: subprocess.Popen[bytes] | ForkedProcess | None = None
        self._lines_before = 0

    def start(self) -> "Program":
        self._lines_before = len(self.lines())
        if self._command is None and "LD_PRELOAD" not in self.environment:
            self._process = ForkedProcess(self._module, self.environment, self.log, self.log)
            return self
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command or [sys.executable, "-m", *self._module],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def lines(self) -> list[dict[str, Any]]:
        """Returns the JSON lines of its log so far."""
        if not self.log.exists():
            return []
        parsed = []
        for line in self.log.read_bytes().splitlines():
            with contextlib.suppress(orjson.JSONDecodeError):
                parsed.append(orjson.loads(line))
        return parsed

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def port(self) -> int:
        # Another program may use the port of a previous run by now.
        lines = self.lines()[self._lines_before :]
        return int(next(line["http_port"] for line in reversed(lines) if line.get("message") == "started"))

    def http(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.port}{path}"
        answer = urllib3.request("GET", url, timeout=_ANSWER_SECONDS, retries=False)
        return answer.status, answer.data.decode()

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.http("/status")[1])
        return found

    def wait_working(self) -> "Program":
        """Waits until the program is the leader and processes keys."""

        def working() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self.tail()
            try:
                return bool(self.status()["working"])
            except (StopIteration, urllib3.exceptions.HTTPError):
                return False

        return self.until(working, "the program is working")

    def wait_idle(self) -> "Program":
        """Waits until no key is queued or in flight.

        The watch event of an answered write may still be on its way to the program.
        """
        return self.until(self.is_idle, "the queue is empty")

    def is_idle(self) -> bool:
        status = self.status()
        return (status["working"], status["queue"], status["in_work"]) == (True, 0, [])

    def until(self, look: Callable[[], object], what: str, patience: float = PATIENCE) -> "Program":
        deadline = time.monotonic() + patience
        while not look():
            assert time.monotonic() < deadline, f"timed out after {patience:g} s waiting for: {what}\n{self.tail()}"
            time.sleep(LOOK_EVERY)
        return self

    def tail(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-30:]) if self.log.exists() else "(no log)"

    def signal(self, number: signal.Signals) -> None:
        # The process may have exited by itself.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kills the process with SIGKILL."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def wait(self) -> int:
        """Waits for the process to exit by itself and returns its exit code."""
        assert self._process is not None
        return self._process.wait(timeout=PATIENCE)

    def stop(self) -> int:
        """Sends SIGTERM and returns the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
        return self._process.wait(timeout=PATIENCE)


class World:
    """The table and namespace of one test, with helpers that act as a user and inspect the cluster."""

    def __init__(self, table: Table, kube: KubeApi, namespace: str, region: str) -> None:
        self.table = table
        self.kube = kube
        self.namespace = namespace
        self.region = region
        self.user = SyncEndpointTable(table.client, table.name)

    def put(self, plain: dict[str, Any]) -> None:
        """Puts an item unchanged, except that its namespace is the test's."""
        self.table.client.put_item(TableName=self.table.name, Item=wire.encode(plain | {"namespace": self.namespace}))

    def item(self, name: str) -> dict[str, Any] | None:
        found = self.user.get(name)
        return None if found is None else wire.decode(found)

    def item_of(self, name: str) -> wire.WireItem:
        found = self.user.get(name)
        assert found is not None, name
        return found

    def update_spec(self, name: str, **changes: Any) -> None:
        """Changes the spec as the command line does; None removes a field."""
        seen = self.item_of(name)
        spec = {**wire.decode(seen)["spec"], **changes}
        self.user.replace_spec(seen, {key: value for key, value in spec.items() if value is not None})

    def set_desired_state(self, name: str, state: str) -> None:
        self.user.set_state(self.item_of(name), state)

    def state(self, name: str) -> str:
        """Returns the state that this region reports, or "" if it reports none."""
        return str(self.report(name).get("state", ""))

    def report(self, name: str) -> dict[str, Any]:
        item = self.item(name) or {}
        found: dict[str, Any] = item.get("region_status", {}).get(self.region, {})
        return found

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        return self.kube.find(path_of(kind, self.namespace, name))

    def replicas(self, name: str) -> int | None:
        found = self.get("Deployment", name)
        return None if found is None else int(found["spec"]["replicas"])

    def container(self, name: str) -> dict[str, Any]:
        found = self.get("Deployment", name)
        assert found is not None, name
        first: dict[str, Any] = found["spec"]["template"]["spec"]["containers"][0]
        return first

    def objects(self) -> dict[str, dict[str, Any]]:
        """Returns every object that the program manages, by Kind/name."""
        kinds = ("Deployment", "Service", "Ingress", "HorizontalPodAutoscaler")
        return {
            f"{kind}/{obj['metadata']['name']}": obj
            for kind in kinds
            for obj in self.kube.list(path_of(kind, self.namespace), labels="gco.io/type=inference")
        }

    def pods(self, app: str) -> dict[str, dict[str, Any]]:
        """Returns the pods of a Deployment that are not terminating, by UID."""
        return {
            pod["metadata"]["uid"]: pod
            for pod in self.kube.list(path_of("Pod", self.namespace), labels=f"app={app}")
            if "deletionTimestamp" not in pod["metadata"]
        }


@pytest.fixture
def controller_env(
    control_plane: ControlPlane, namespace: str, table: Table, controller_user: str, helm_binary: Path
) -> dict[str, str]:
    """Environment of a controller whose user has only the permissions of the chart's Role.

    Helm renders the chart. Requesting `helm_binary` here builds it before the timeout of the first test starts.
    """
    environment = control_plane.environment(namespace=namespace, table=table.name)
    kubeconfig = as_installed(control_plane, controller_user, namespace)
    return environment | {"KUBECONFIG": str(kubeconfig), "HTTP_PORT": "0"}


@pytest.fixture
def unlimited_env(controller_env: dict[str, str], control_plane: ControlPlane) -> dict[str, str]:
    """Environment of a user with all permissions.

    For commands of a person, and for tests in which Roles are deleted with their namespace.
    """
    return controller_env | {"KUBECONFIG": str(control_plane.kubeconfig)}


@pytest.fixture
def world(table: Table, kube: KubeApi, namespace: str, controller_env: dict[str, str]) -> World:
    return World(table, kube, namespace, controller_env["REGION"])


@pytest.fixture
def program(
    controller_env: dict[str, str], controller_user: str, kube: KubeApi, tmp_path: Path
) -> Iterator[Callable[..., Program]]:
    """Returns a function: `program(SETTING="x")` starts a process, which is killed when the test ends.

    `module`: what to run instead of `gco-stream run`.
    """
    started: list[Program] = []

    def start(module: tuple[str, ...] = ("gco_stream", "run"), **settings: str) -> Program:
        for further in filter(None, settings.get("ALLOWED_NAMESPACES", "").split(",")):
            if kube.find(path_of("Namespace", name=further)):
                allow(kube, controller_user, further, charts_rules()[1])
        environment = {
            "PATH": os.environ["PATH"],
            **controller_env,
            "LOG_FORMAT": "json",
            "HTTP_HOST": "127.0.0.1",
            "STATUS_INTERVAL_SECONDS": "1",
            **LONG_LEASE,
            **settings,
        }
        one = Program(environment, tmp_path / f"program-{len(started)}.log", module)
        started.append(one)
        return one.start()

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def controller(program: Callable[..., Program]) -> Program:
    """The program, started, leading and working."""
    return program().wait_working()


@pytest.fixture
def webhook(kube: KubeApi, namespace: str) -> Iterator[Callable[..., Webhook]]:
    """`webhook(change, "pods")` patches writes in its namespace with `change` until the test ends."""
    with contextlib.ExitStack() as webhooks:
        yield lambda change, *resources: webhooks.enter_context(mutating(kube, namespace, change, *resources))
