"""A smaller version of the state machine in tests/planning, on a real API server.

Users, other field managers, pods and crashes act at random. Then everything stops: every endpoint must match its item,
and no further writes may be planned.
"""

import json
import random
import time
from collections.abc import Callable
from typing import Any

from gco_stream.aws.errors import ConcurrentUpdate, ItemNotFound
from gco_stream.local.audit import Call
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.errors import KubeError
from gco_stream.local.kube_api import path_of
from gco_stream.model import names, wire
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.integration.support.leases import release_lease
from tests.integration.support.pods import unless_gone
from tests.support.items import item
from tests.support.processes.forked_process import run_forked

SETTINGS = {
    "RESYNC_INTERVAL_SECONDS": "3",
    "CANARY_DRAIN_SECONDS": "1",
    "INFERENCE_UNHEALTHY_THRESHOLD_SECONDS": "2",
    "MASS_DELETE_LIMIT": "100",
}
ENDPOINTS = ("a", "a-canary", "b", "c")
IMAGES = tuple(f"registry.example/serve:{tag}" for tag in ("1.0", "2.0", "3.0-ready-after-1s"))
CANARY = {"image": "registry.example/serve:9.0", "weight": 20, "replicas": 1}
SCALING = {"enabled": True, "min_replicas": 1, "max_replicas": 3}
FOREIGN = "someone-elses"
READS = {"get", "list", "watch"}
ACTIONS = 120
PATIENCE = 240.0


class RandomActions:
    """Random actions of users, other field managers and pods."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng

    def happen(self) -> None:
        """Performs one action; an action that comes too late is skipped."""
        name = self._rng.choice(ENDPOINTS)
        deed = self._rng.choice(
            (self._respec, self._respec, self._ask, self._ask, self._edit, self._delete, self._pods)
        )
        try:
            deed(name)
        except (ConcurrentUpdate, ItemNotFound, KubeError):
            return

    def _put(self, name: str) -> None:
        self._world.put(item(name, spec={"gpu_count": 0, "image": self._rng.choice(IMAGES)}))

    def _respec(self, name: str) -> None:
        if (seen := self._world.user.get(name)) is None:
            self._put(name)
            return
        changes = (
            {"image": self._rng.choice(IMAGES)},
            {"env": {"WHO": str(self._rng.randrange(3))}},
            {"replicas": self._rng.randrange(4)},
            {"canary": CANARY},
            {"canary": CANARY | {"weight": self._rng.choice((0, 50))}},
            {"canary": None},
            {"image": CANARY["image"], "canary": None},
            {"autoscaling": SCALING},
            {"autoscaling": None},
            {"port": self._rng.choice((8000, 8080, 99999))},
        )
        spec = {**wire.decode(seen)["spec"], **self._rng.choice(changes)}
        self._world.user.replace_spec(seen, {key: value for key, value in spec.items() if value is not None})

    def _ask(self, name: str) -> None:
        if (seen := self._world.user.get(name)) is None:
            self._put(name)
            return
        self._world.user.set_state(seen, self._rng.choice(("deploying", "deploying", "stopped", "deleted")))

    def _objects(self, name: str) -> list[tuple[str, str]]:
        pairs = [("Deployment", name), ("Service", name), ("Ingress", names.ingress_name(name))]
        return [pair for pair in pairs if self._world.get(*pair) is not None]

    def _edit(self, name: str) -> None:
        if not (there := self._objects(name)):
            return
        kind, of = self._rng.choice(there)
        edits: list[dict[str, Any]] = [
            {"metadata": {"labels": {"app": "other"}}},
            {"metadata": {"labels": {"project": None}}},
            {"metadata": {"annotations": {names.UNREADY_SINCE_ANNOTATION: "2020-01-01T00:00:00+00:00"}}},
            {"metadata": {"annotations": {names.DRAINING_SINCE_ANNOTATION: "nonsense"}}},
            {"metadata": {"annotations": {names.TEMPLATE_VERSION_ANNOTATION: "rubbish"}}},
        ]
        if kind == "Deployment":
            edits.append({"spec": {"replicas": self._rng.randrange(4)}})
        self._world.kube.patch(path_of(kind, self._world.namespace, of), self._rng.choice(edits))

    def _delete(self, name: str) -> None:
        if there := self._objects(name):
            kind, of = self._rng.choice(there)
            self._world.kube.delete(path_of(kind, self._world.namespace, of))

    def _pods(self, name: str) -> None:
        self.tell_pods(name, ready=self._rng.random() < 0.6)

    def tell_pods(self, name: str, *, ready: bool) -> None:
        told = {"metadata": {"annotations": {"gco.local/ready": str(ready).lower()}}}
        for pod in self._world.pods(name).values():
            with unless_gone():
                self._world.kube.patch(path_of("Pod", self._world.namespace, pod["metadata"]["name"]), told)


def explained(environment: dict[str, str]) -> dict[str, Any]:
    """Returns the output of `gco-stream explain --all`."""
    done = run_forked(("gco_stream", "explain", "--all", "-o", "json"), environment, 60)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def is_as_asked(world: World, name: str) -> bool:
    plain = world.item(name)
    if plain is None:
        return not of(world, name)
    if plain["desired_state"] == "deleted":
        return False
    if plain["desired_state"] == "stopped":
        # The canary of "a" may own the Deployment that the item "a-canary" asks to stop.
        return world.state(name) == "stopped" or world.report(name).get("reason") == "ObjectNotOwned"
    return world.state(name) in {"running", "error"}


def of(world: World, name: str) -> list[str]:
    """Returns the objects whose annotation names this endpoint."""
    return [
        ref
        for ref, obj in world.objects().items()
        if (obj["metadata"].get("annotations") or {}).get(names.ENDPOINT_ANNOTATION) == name
    ]


def test_random_actions_end_with_every_endpoint_in_sync(
    world: World,
    program: Callable[..., Program],
    control_plane: ControlPlane,
    controller_user: str,
    rng: random.Random,
) -> None:
    chance = RandomActions(world, rng)
    foreign = {"metadata": {"name": FOREIGN, "labels": {"app": "c"}}, "spec": {"ports": [{"port": 80}]}}
    world.kube.create(path_of("Service", world.namespace), foreign)
    untouched = world.get("Service", FOREIGN)
    one = program(**SETTINGS).wait_working()
    for number in range(ACTIONS):
        chance.happen()
        time.sleep(rng.expovariate(8))
        if number in {ACTIONS // 3, 2 * ACTIONS // 3}:
            one.kill()
            release_lease(world.kube, world.namespace)
            one.start()
    one.wait_working()

    def settled() -> bool:
        for name in ENDPOINTS:
            for app in (name, names.canary_name(name)):
                chance.tell_pods(app, ready=True)
        if not all(is_as_asked(world, name) for name in ENDPOINTS):
            return False
        found = explained(one.environment)
        return all(entry["in_sync"] for entry in found["endpoints"].values()) and not found["unclaimed"]

    one.until(settled, "everything is in sync", PATIENCE)

    def reports() -> dict[str, Any]:
        return {name: world.report(name) for name in ENDPOINTS}

    def written_until_two_resyncs_later() -> list[Call]:
        mark, resyncs = control_plane.audit.mark(), resync_count(one)
        one.until(lambda: resync_count(one) >= resyncs + 2, "two more resyncs have finished")
        calls = control_plane.audit.calls(mark, user=controller_user)
        return [call for call in calls if call.verb not in READS and call.resource != "leases"]

    # Pods that were marked ready a moment ago become ready only now.
    one.until(lambda: not written_until_two_resyncs_later(), "nothing more is written", PATIENCE)
    told = reports()
    assert written_until_two_resyncs_later() == []
    assert reports() == told
    assert world.get("Service", FOREIGN) == untouched


def resync_count(one: Program) -> float:
    lines = one.http("/metrics")[1].splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("gco_stream_resync_seconds_count"))
