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

from gco_stream.local.pytest_plugin import Table
from gco_stream.local.rest import KubeApi, path_of
from gco_stream.model import wire
from gco_stream.table.user_writes import UserTable
from tests.integration.webhook import Webhook, mutating
from tests.warm import Forked

LOOK_EVERY = 0.02
PATIENCE = 30.0


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
        self._process: subprocess.Popen[bytes] | Forked | None = None

    def start(self) -> "Program":
        if self._command is None and "LD_PRELOAD" not in self.environment:
            self._process = Forked(self._module, self.environment, self.log, self.log)
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
        return int(next(line["http_port"] for line in reversed(self.lines()) if line.get("event") == "started"))

    def http(self, path: str) -> tuple[int, str]:
        answer = urllib3.request("GET", f"http://127.0.0.1:{self.port}{path}", timeout=5.0, retries=False)
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

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
        return self._process.wait(timeout=30)


class World:
    """One test's table and namespace, and how a user and a look at the cluster see them."""

    def __init__(self, table: Table, kube: KubeApi, namespace: str, region: str) -> None:
        self.table = table
        self.kube = kube
        self.namespace = namespace
        self.region = region
        self.user = UserTable(table.client, table.name)

    def put(self, plain: dict[str, Any]) -> None:
        """An item as it is, in this test's namespace."""
        self.table.client.put_item(TableName=self.table.name, Item=wire.encode(plain | {"namespace": self.namespace}))

    def item(self, name: str) -> dict[str, Any] | None:
        found = self.user.get(name)
        return None if found is None else wire.decode(found)

    def seen(self, name: str) -> wire.WireItem:
        found = self.user.get(name)
        assert found is not None, name
        return found

    def respec(self, name: str, **changes: Any) -> None:
        """The user's next spec, as the command line writes it; None drops a field."""
        seen = self.seen(name)
        spec = {**wire.decode(seen)["spec"], **changes}
        self.user.replace_spec(seen, {key: value for key, value in spec.items() if value is not None})

    def ask(self, name: str, state: str) -> None:
        self.user.set_state(self.seen(name), state)

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
def world(table: Table, kube: KubeApi, namespace: str, controller_env: dict[str, str]) -> World:
    return World(table, kube, namespace, controller_env["REGION"])


@pytest.fixture
def program(controller_env: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """`program(SETTING="x")` starts one; all are killed when the test ends. `module`: what to run instead."""
    started: list[Program] = []

    def start(module: tuple[str, ...] = ("gco_stream", "run"), **settings: str) -> Program:
        environment = {
            "PATH": os.environ["PATH"],
            **controller_env,
            "LOG_FORMAT": "json",
            "HTTP_HOST": "127.0.0.1",
            "STATUS_INTERVAL_SECONDS": "1",
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
