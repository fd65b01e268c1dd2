"""The real program as a process of its own, on the run's control plane."""

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
# Conditions end a wait early; only a fault, or a machine that stands still, uses all of it.
PATIENCE = 120.0
_ANSWER_SECONDS = 60.0
_TEST_SECONDS = 600.0
# A process that stands still for 15 s keeps its lease: only tests of the lease itself are about losing it.
LONG_LEASE = {"LEASE_DURATION_SECONDS": "30", "LEASE_RENEW_DEADLINE_SECONDS": "20"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test on real parts is ended when it hangs, not when the machine is slow."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(_TEST_SECONDS), append=False)


class Program:
    """`gco-stream run` as a user runs it, or what `module` or `command` makes of it; its log goes to a file."""

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
        """Its log so far, a dict a line."""
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
        # That of an earlier life may be another program's by now.
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
        """Until it leads and works."""

        def working() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self.tail()
            try:
                return bool(self.status()["working"])
            except (StopIteration, urllib3.exceptions.HTTPError):
                return False

        return self.until(working, "the program works")

    def wait_idle(self) -> "Program":
        """Until no name waits or is in work. A write that it has answered may still be on its way back to it."""
        return self.until(self.is_idle, "nothing waits")

    def is_idle(self) -> bool:
        status = self.status()
        return (status["working"], status["queue"], status["in_work"]) == (True, 0, [])

    def until(self, look: Callable[[], object], what: str, patience: float = PATIENCE) -> "Program":
        deadline = time.monotonic() + patience
        while not look():
            assert time.monotonic() < deadline, f"after {patience:g} s still not: {what}\n{self.tail()}"
            time.sleep(LOOK_EVERY)
        return self

    def tail(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-30:]) if self.log.exists() else "(no log)"

    def signal(self, number: signal.Signals) -> None:
        # One that has ended by itself meanwhile takes no notice.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def wait(self) -> int:
        """The exit code of one that ends by itself."""
        assert self._process is not None
        return self._process.wait(timeout=PATIENCE)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
        return self._process.wait(timeout=PATIENCE)


class World:
    """One test's table and namespace, and how a user and a look at the cluster see them."""

    def __init__(self, table: Table, kube: KubeApi, namespace: str, region: str) -> None:
        self.table = table
        self.kube = kube
        self.namespace = namespace
        self.region = region
        self.user = SyncEndpointTable(table.client, table.name)

    def put(self, plain: dict[str, Any]) -> None:
        """An item as it is, in this test's namespace."""
        self.table.client.put_item(TableName=self.table.name, Item=wire.encode(plain | {"namespace": self.namespace}))

    def item(self, name: str) -> dict[str, Any] | None:
        found = self.user.get(name)
        return None if found is None else wire.decode(found)

    def item_of(self, name: str) -> wire.WireItem:
        found = self.user.get(name)
        assert found is not None, name
        return found

    def update_spec(self, name: str, **changes: Any) -> None:
        """The user's next spec, as the command line writes it; None drops a field."""
        seen = self.item_of(name)
        spec = {**wire.decode(seen)["spec"], **changes}
        self.user.replace_spec(seen, {key: value for key, value in spec.items() if value is not None})

    def set_desired_state(self, name: str, state: str) -> None:
        self.user.set_state(self.item_of(name), state)

    def state(self, name: str) -> str:
        """What this region reports, "" where it reports nothing."""
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
        """Everything that the program makes, by Kind/name."""
        kinds = ("Deployment", "Service", "Ingress", "HorizontalPodAutoscaler")
        return {
            f"{kind}/{obj['metadata']['name']}": obj
            for kind in kinds
            for obj in self.kube.list(path_of(kind, self.namespace), labels="gco.io/type=inference")
        }

    def pods(self, app: str) -> dict[str, dict[str, Any]]:
        """The pods of a Deployment that are not going away, by uid."""
        return {
            pod["metadata"]["uid"]: pod
            for pod in self.kube.list(path_of("Pod", self.namespace), labels=f"app={app}")
            if "deletionTimestamp" not in pod["metadata"]
        }


@pytest.fixture
def controller_env(
    control_plane: ControlPlane, namespace: str, table: Table, controller_user: str, helm_binary: Path
) -> dict[str, str]:
    """The plugin's, of a user who may do what the chart's own Role allows, and nothing else.

    helm renders the chart; who asks for it has it built before the first test's time runs.
    """
    environment = control_plane.environment(namespace=namespace, table=table.name)
    kubeconfig = as_installed(control_plane, controller_user, namespace)
    return environment | {"KUBECONFIG": str(kubeconfig), "HTTP_PORT": "0"}


@pytest.fixture
def unlimited_env(controller_env: dict[str, str], control_plane: ControlPlane) -> dict[str, str]:
    """The same of a user who may do everything: a person, or where Roles go away with their namespace."""
    return controller_env | {"KUBECONFIG": str(control_plane.kubeconfig)}


@pytest.fixture
def world(table: Table, kube: KubeApi, namespace: str, controller_env: dict[str, str]) -> World:
    return World(table, kube, namespace, controller_env["REGION"])


@pytest.fixture
def program(
    controller_env: dict[str, str], controller_user: str, kube: KubeApi, tmp_path: Path
) -> Iterator[Callable[..., Program]]:
    """`program(SETTING="x")` starts one; all are killed when the test ends. `module`: what to run instead."""
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
    """The program, leading and at work."""
    return program().wait_working()


@pytest.fixture
def webhook(kube: KubeApi, namespace: str) -> Iterator[Callable[..., Webhook]]:
    """`webhook(change, "pods")`: until the test ends, `change` patches what is written into its namespace."""
    with contextlib.ExitStack() as webhooks:
        yield lambda change, *resources: webhooks.enter_context(mutating(kube, namespace, change, *resources))
