"""Simulates a day of user activity in a few minutes: updates, canaries, stops, deletions and failing pods."""

import math
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from gco_stream.aws.errors import ConcurrentUpdate, ItemNotFound
from gco_stream.local.errors import KubeError
from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.model import wire
from gco_stream.table.sync_table import SyncEndpointTable

# Every run makes the same changes.
_SEED: Final = 7
# Seconds until a pod is ready, which the image tag passes to the simulated pods.
_LOADING: Final = (1, 1, 2, 2, 3, 5, 8)
_WAVE_SECONDS: Final = 90.0


class Traffic:
    """Users who change the table and, occasionally, the cluster."""

    def __init__(self, table: SyncEndpointTable, kube: KubeApi, region: str, namespace: str) -> None:
        self._table = table
        self._kube = kube
        self._region = region
        self._namespace = namespace
        self._dice = random.Random(_SEED)  # noqa: S311 - not for security
        self._made = 0
        self._names = sorted(str(wire.decode(one)["endpoint_name"]) for one in table.scan())
        self._jobs: list[str] = []

    def flow(self, seconds: float, at: dict[float, Callable[[], None]]) -> None:
        """Makes random changes for `seconds`. `at` maps a share of that time to an action to run then."""
        began, due = time.monotonic(), sorted(at)
        while (passed := time.monotonic() - began) < seconds:
            while due and passed >= due[0] * seconds:
                at[due.pop(0)]()
            # A concurrent update or a deleted endpoint is expected here.
            with suppress(ConcurrentUpdate, ItemNotFound, KubeError):
                self._one()
            wave = 1.5 + math.sin(2 * math.pi * passed / _WAVE_SECONDS)
            time.sleep(self._dice.expovariate(wave))

    def unready(self, name: str, *, ready: bool = False) -> None:
        """Makes the pods of an endpoint unready, or ready."""
        change = {"metadata": {"annotations": {"gco.local/ready": str(ready).lower()}}}
        for pod in self._kube.list(path_of("Pod", self._namespace), labels=f"app={name}"):
            self._kube.patch(path_of("Pod", self._namespace, pod["metadata"]["name"]), change)

    def _one(self) -> None:
        weights: dict[Callable[[], None], int] = {
            self._image: 8,
            self._replicas: 4,
            self._job_begins: 3,
            self._job_ends: 3,
            self._canary: 2,
            self._stop_or_start: 2,
            self._edit_by_hand: 1,
        }
        self._dice.choices(list(weights), list(weights.values()))[0]()

    def _seen(self, name: str) -> tuple[wire.WireItem, dict[str, Any]]:
        item = self._table.get(name)
        if item is None:
            raise ItemNotFound(f"{name}: endpoint not found")
        return item, wire.decode(item)

    def _some(self) -> str:
        return self._dice.choice(self._names)

    def _tag(self) -> str:
        self._made += 1
        return f"{self._made}-ready-after-{self._dice.choice(_LOADING)}s"

    def _image(self) -> None:
        item, plain = self._seen(self._some())
        self._table.replace_spec(item, plain["spec"] | {"image": f"registry.example/serve:{self._tag()}"})

    def _replicas(self) -> None:
        item, _ = self._seen(self._some())
        self._table.scale(item, self._dice.randint(1, 4))

    def _canary(self) -> None:
        item, plain = self._seen(self._some())
        spec = dict(plain["spec"])
        if canary := spec.pop("canary", None):
            spec["image"] = canary["image"]
        elif "autoscaling" not in spec:
            spec["canary"] = {"image": f"registry.example/serve:{self._tag()}", "weight": 10}
        self._table.replace_spec(item, spec)

    def _stop_or_start(self) -> None:
        item, plain = self._seen(self._some())
        self._table.set_state(item, "deploying" if plain["desired_state"] == "stopped" else "stopped")

    def _job_begins(self) -> None:
        name = f"batch-{self._made}"
        spec = {"image": f"registry.example/batch:{self._tag()}", "replicas": 1, "gpu_count": 1}
        self._table.create(
            {"endpoint_name": name, "target_regions": [self._region], "namespace": self._namespace, "spec": spec}
        )
        self._jobs.append(name)

    def _job_ends(self) -> None:
        if self._jobs:
            self._table.set_state(self._seen(self._jobs.pop(0))[0], "deleted")

    def _edit_by_hand(self) -> None:
        self._kube.patch(path_of("Deployment", self._namespace, self._some()), {"spec": {"replicas": 7}})
