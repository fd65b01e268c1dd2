"""Simulates GCO's inference_monitor for the API server and the table: a Deployment, its Lease, and its main loop.

Its pods are kwok's. While one of them runs, a thread runs the monitor's cycles: it acquires or renews the Lease by the
monitor's rules (no acquireTime, a duration of three cycles), sets replicas and image, and reports.
"""

import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from gco_stream.cluster.leaderelection.record import micro_time
from gco_stream.local.errors import KubeError
from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.model import wire
from gco_stream.settings import LEASE_NAME
from tests.integration.support.harness.world import World

NAME = "inference-monitor"
CYCLE = 1
MANAGER = "OpenAPI-Generator"
LABELS = {"app": NAME, "project": "gco"}


class GcoMonitor:
    """The monitor of one world, installed in the namespace `system`; `kube` acts as its user."""

    def __init__(self, kube: KubeApi, world: World, system: str) -> None:
        self._kube = kube
        self._world = world
        self._system = system
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._lease = path_of("Lease", world.namespace, LEASE_NAME)

    def install(self) -> None:
        container = {"name": NAME, "image": "registry.example/inference-monitor:2.0.0"}
        template = {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}}
        spec = {"replicas": 2, "selector": {"matchLabels": {"app": NAME}}, "template": template}
        self._kube.create(path_of("Deployment", self._system), {"metadata": {"name": NAME}, "spec": spec})
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def leads(self) -> bool:
        return self._holder().startswith(f"{NAME}-")

    def _run(self) -> None:
        while not self._over.wait(CYCLE):
            for pod in self._pods():
                # A conflict means that another writer was faster; the next cycle tries again.
                with suppress(KubeError):
                    if self._acquire(pod):
                        self._reconcile()

    def _pods(self) -> list[str]:
        pods = self._kube.list(path_of("Pod", self._system), labels=f"app={NAME}")
        return sorted(
            pod["metadata"]["name"]
            for pod in pods
            if pod.get("status", {}).get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
        )

    def _holder(self) -> str:
        found = self._kube.find(self._lease) or {}
        return str((found.get("spec") or {}).get("holderIdentity") or "")

    def _acquire(self, pod: str) -> bool:
        now = micro_time(time.time_ns() // 1000)
        found = self._kube.find(self._lease)
        if found is None:
            spec = {"holderIdentity": pod, "leaseDurationSeconds": 3 * CYCLE, "renewTime": now}
            self._kube.create(path_of("Lease", self._world.namespace), {"metadata": {"name": LEASE_NAME}, "spec": spec})
            return True
        spec = found["spec"]
        holder = spec.get("holderIdentity") or ""
        renewed = datetime.fromisoformat(spec["renewTime"]).timestamp() if spec.get("renewTime") else time.time()
        if holder not in {"", pod} and time.time() - renewed <= 3 * CYCLE:
            return False
        spec |= {"holderIdentity": pod, "renewTime": now}
        self._kube.replace(self._lease, found)
        return True

    def _reconcile(self) -> None:
        for item in self._world.table.client.scan(TableName=self._world.table.name)["Items"]:
            plain = wire.decode(item)
            name = plain["endpoint_name"]
            found = self._world.get("Deployment", name)
            if found is None:
                continue
            try:
                self._report(name, self._work_on(name, plain, found))
            except KubeError as error:
                self._report(name, {"state": "error", "error": str(error)})

    def _work_on(self, name: str, plain: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
        """Sets replicas or image of an endpoint and returns the status to report."""
        running = plain["desired_state"] in {"deploying", "running"}
        replicas = int(plain["spec"].get("replicas", 1)) if running else 0
        container = found["spec"]["template"]["spec"]["containers"][0]
        if found["spec"]["replicas"] != replicas:
            self._change(name, {"replicas": replicas})
        elif running and container["image"] != plain["spec"]["image"]:
            image = {"name": container["name"], "image": plain["spec"]["image"]}
            self._change(name, {"template": {"spec": {"containers": [image]}}})
        ready = int(found.get("status", {}).get("readyReplicas", 0))
        state = "stopped" if not running else "running" if ready >= replicas else "creating"
        return {"state": state, "replicas_ready": ready, "replicas_desired": replicas}

    def _change(self, name: str, spec: dict[str, Any]) -> None:
        path = path_of("Deployment", self._world.namespace, name)
        kind = "application/strategic-merge-patch+json"
        self._kube.patch(path, {"spec": spec}, content_type=kind, fieldManager=MANAGER)

    def _report(self, name: str, status: dict[str, Any]) -> None:
        now = datetime.now(UTC).isoformat()
        values = wire.encode({":s": status | {"last_sync": now}, ":now": now})
        self._world.table.client.update_item(
            TableName=self._world.table.name,
            Key={"endpoint_name": {"S": name}},
            UpdateExpression="SET region_status.#r = :s, updated_at = :now",
            ExpressionAttributeNames={"#r": self._world.region},
            ExpressionAttributeValues=values,
        )
