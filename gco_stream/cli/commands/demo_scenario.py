"""The steps of the demo. Each makes a change to the table or the cluster, and measures how soon its effects appear."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from gco_stream.cli.errors import CommandError
from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.model import wire
from gco_stream.table.sync_table import SyncEndpointTable

_POLL_SECONDS = 0.004
_TIMEOUT = 60.0
_DRAIN = 3
_UNHEALTHY = 4
SETTINGS = {
    "CANARY_DRAIN_SECONDS": str(_DRAIN),
    "INFERENCE_UNHEALTHY_THRESHOLD_SECONDS": str(_UNHEALTHY),
    "STATUS_INTERVAL_SECONDS": "1",
}
"""Settings of the demo's controller. The defaults of the first two, 30 and 300 s, would make the demo too slow."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The time from the response to a write until one of its effects.

    `step`: the title of the step. `followed`: the effect. `waits_for`: what the effect depends on besides the
    controller, which is "pods", "drain", "watchdog" or "".
    """

    step: str
    followed: str
    milliseconds: float
    waits_for: str


@dataclass(slots=True)
class DemoScenario:
    """The demo, for a table and a cluster with a running controller. Prints each step and effect to `console`."""

    console: Console
    table: SyncEndpointTable
    kube: KubeApi
    namespace: str
    region: str
    measured: list[Measurement] = field(default_factory=list)
    _step: str = ""
    _since: float = 0.0

    def run(self) -> None:
        """Runs all steps. Raises CommandError if an effect does not appear within a minute."""
        self._create()
        self._scale()
        self._change_image()
        self._canary()
        self._promote_canary()
        self._pods_fail()
        self._edit_by_hand()
        self._stop_and_start()
        self._delete()
        self._summary()

    def _create(self) -> None:
        names = ("chat", "embed")
        with self._section("Create two endpoints", "create items chat (2 replicas, GPU) and embed (1 replica, CPU)"):
            self.table.create(self._item("chat", image="registry.example/serve:1.0", replicas=2, gpu_count=1))
            self.table.create(self._item("embed", image="registry.example/embed:3.1", replicas=1, gpu_count=0))
        for name in names:
            self._expect(f"{name}: Service and Deployment created", partial(self._exist, name, "Service", "Deployment"))
        for name in names:
            exists = partial(self._exist, name, "Ingress")
            self._expect(f"{name}: Ingress created, now that a pod is ready", exists, waits_for="pods")
        for name in names:
            self._expect(f"{name}: running, rollout complete", self._is_promoted(name), waits_for="pods")

    def _scale(self) -> None:
        with self._section("Scale up", "chat: spec.replicas = 4"):
            self.table.scale(self._item_of("chat"), 4)
        self._expect("chat: Deployment scaled to 4", lambda: self._spec("Deployment", "chat").get("replicas") == 4)
        self._expect("chat: running with 4 replicas", self._reports("chat", "running", ready=4), waits_for="pods")

    def _change_image(self) -> None:
        with self._section("Deploy a new image", "chat: spec.image = registry.example/serve:2.0"):
            self._update_spec("chat", image="registry.example/serve:2.0")
        self._expect("chat: serve:2.0 is rolling out", lambda: self._image("chat") == "registry.example/serve:2.0")
        self._expect("chat: running, rollout complete", self._is_promoted("chat"), waits_for="pods")

    def _canary(self) -> None:
        with self._section("Add a canary", "chat: spec.canary = serve:3.0 with weight 20"):
            self._update_spec("chat", canary={"image": "registry.example/serve:3.0", "weight": 20, "replicas": 1})
        self._expect("chat-canary: Service and Deployment created", lambda: self._find("Deployment", "chat-canary"))
        self._expect("chat-canary: gets 20% of traffic", self._canary_is_routed, waits_for="pods")
        with self._section("The canary fails", "chat-canary: its pod becomes unready", "cluster"):
            self._make_pods("chat-canary", ready=False)
        self._expect("chat: all traffic to main pods", lambda: not self._canary_is_routed(), waits_for="pods")
        with self._section("The canary recovers", "chat-canary: its pod becomes ready", "cluster"):
            self._make_pods("chat-canary", ready=True)
        self._expect("chat-canary: gets 20% again", self._canary_is_routed, waits_for="pods")

    def _promote_canary(self) -> None:
        with self._section("Promote the canary", "chat: spec.image = serve:3.0, spec.canary removed"):
            self._update_spec("chat", image="registry.example/serve:3.0", canary=None)
        self._expect("chat: serve:3.0 is rolling out", lambda: self._image("chat") == "registry.example/serve:3.0")
        self._expect(
            "chat: all traffic to main pods",
            lambda: not self._canary_is_routed(),
            waits_for="pods",
        )
        self._expect(
            f"chat-canary: deleted after draining for {_DRAIN} s",
            lambda: not self._find("Deployment", "chat-canary") and not self._find("Service", "chat-canary"),
            waits_for="drain",
        )

    def _pods_fail(self) -> None:
        with self._section("All pods fail", "embed: its pods become unready", "cluster"):
            self._make_pods("embed", ready=False)
        self._expect(
            f"embed: Ingress withdrawn after {_UNHEALTHY} s to protect the shared load balancer",
            lambda: not self._find("Ingress", "inference-embed"),
            waits_for="watchdog",
        )
        self._expect("embed: error and cause reported", self._reports("embed", "error"), waits_for="watchdog")
        with self._section("The pods recover", "embed: its pods become ready", "cluster"):
            self._make_pods("embed", ready=True)
        self._expect("embed: Ingress restored", lambda: self._find("Ingress", "inference-embed"), waits_for="pods")
        self._expect("embed: running", self._reports("embed", "running"), waits_for="pods")

    def _edit_by_hand(self) -> None:
        with self._section("Edit a Deployment", "kubectl scale deployment chat --replicas 9", "cluster"):
            self.kube.patch(path_of("Deployment", self.namespace, "chat"), {"spec": {"replicas": 9}})
        self._expect("chat: restored to 4 replicas", lambda: self._spec("Deployment", "chat").get("replicas") == 4)

    def _stop_and_start(self) -> None:
        self._expect(
            "chat: running with 4 replicas",
            self._reports("chat", "running", ready=4),
            waits_for="pods",
            silent=True,
        )
        with self._section("Stop an endpoint", "chat: desired_state = stopped"):
            self.table.set_state(self._item_of("chat"), "stopped")
        self._expect(
            "chat: Ingress gone, 0 replicas",
            lambda: (
                not self._find("Ingress", "inference-chat") and self._spec("Deployment", "chat").get("replicas") == 0
            ),
        )
        self._expect("chat: stopped", self._reports("chat", "stopped"), waits_for="pods")
        with self._section("Start it again", "chat: desired_state = deploying"):
            self.table.set_state(self._item_of("chat"), "deploying")
        self._expect("chat: 4 replicas", lambda: self._spec("Deployment", "chat").get("replicas") == 4)
        self._expect(
            "chat: Ingress created once a pod is ready",
            lambda: self._find("Ingress", "inference-chat"),
            waits_for="pods",
        )
        self._expect("chat: running, rollout complete", self._is_promoted("chat"), waits_for="pods")

    def _delete(self) -> None:
        with self._section("Delete both", "chat and embed: desired_state = deleted"):
            for name in ("chat", "embed"):
                self.table.set_state(self._item_of(name), "deleted")
        for name in ("chat", "embed"):
            self._expect(
                f"{name}: all objects deleted",
                partial(self._is_gone, name),
                waits_for="pods",
            )
            self._expect(f"{name}: item deleted", partial(self._has_no_item, name), waits_for="pods")

    @contextmanager
    def _section(self, title: str, wrote: str, where: str = "table") -> Iterator[None]:
        self._step = title
        self.console.print(f"\n[bold]{title}[/bold]")
        self.console.print(f"  [cyan]{where:>7}[/cyan]  {wrote}", highlight=False)
        yield
        self._since = time.monotonic()

    def _expect(self, what: str, condition: Callable[[], object], *, waits_for: str = "", silent: bool = False) -> None:
        deadline = time.monotonic() + _TIMEOUT
        while not condition():
            if time.monotonic() > deadline:
                raise CommandError(f"{self._step}: timed out after {_TIMEOUT:.0f} s waiting for {what!r}")
            time.sleep(_POLL_SECONDS)
        if silent:
            return
        took = (time.monotonic() - self._since) * 1000
        self.measured.append(Measurement(self._step, what, took, waits_for))
        self.console.print(f"  [green]{'->':>7}[/green]  {what}  [bold]+{took:,.0f} ms[/bold]", highlight=False)

    def _summary(self) -> None:
        grid = Grid(title="Time from each change to its effects", title_justify="left")
        grid.add_column("change")
        grid.add_column("effect")
        grid.add_column("ms", justify="right")
        grid.add_column("waits for")
        for one in self.measured:
            grid.add_row(one.step, one.followed, f"{one.milliseconds:,.0f}", one.waits_for or "-")
        self.console.print()
        self.console.print(grid)
        ours = sorted(one.milliseconds for one in self.measured if not one.waits_for)
        self.console.print(
            f"Controller alone ({len(ours)} effects): "
            f"fastest {ours[0]:,.0f} ms, median {ours[len(ours) // 2]:,.0f} ms, slowest {ours[-1]:,.0f} ms.",
            highlight=False,
        )

    def _item(self, name: str, **spec: Any) -> dict[str, Any]:
        return {
            "endpoint_name": name,
            "target_regions": [self.region],
            "namespace": self.namespace,
            "ingress_path": f"/inference/{name}",
            "spec": {"port": 8000, "health_check_path": "/health", **spec},
        }

    def _item_of(self, name: str) -> wire.WireItem:
        item = self.table.get(name)
        if item is None:
            raise CommandError(f"item {name} is no longer in the table")
        return item

    def _update_spec(self, name: str, **changes: Any) -> None:
        seen = self._item_of(name)
        spec = {**wire.decode(seen)["spec"], **changes}
        self.table.replace_spec(seen, {key: value for key, value in spec.items() if value is not None})

    def _find(self, kind: str, name: str) -> dict[str, Any] | None:
        return self.kube.find(path_of(kind, self.namespace, name))

    def _make_pods(self, app: str, *, ready: bool) -> None:
        """Sets the readiness of the simulated pods of `app`."""
        change = {"metadata": {"annotations": {"gco.local/ready": str(ready).lower()}}}
        for pod in self.kube.list(path_of("Pod", self.namespace), labels=f"app={app}"):
            self.kube.patch(path_of("Pod", self.namespace, pod["metadata"]["name"]), change)

    def _exist(self, name: str, *kinds: str) -> bool:
        return all(self._find(kind, f"inference-{name}" if kind == "Ingress" else name) for kind in kinds)

    def _is_gone(self, name: str) -> bool:
        return not any(self._exist(name, kind) for kind in ("Service", "Ingress", "Deployment"))

    def _has_no_item(self, name: str) -> bool:
        return self.table.get(name) is None

    def _spec(self, kind: str, name: str) -> dict[str, Any]:
        found = self._find(kind, name)
        return found["spec"] if found else {}

    def _image(self, name: str) -> str:
        containers = self._spec("Deployment", name).get("template", {}).get("spec", {}).get("containers", [{}])
        return str(containers[0].get("image", ""))

    def _canary_is_routed(self) -> bool:
        ingress = self._find("Ingress", "inference-chat") or {"metadata": {}}
        annotations = ingress["metadata"].get("annotations") or {}
        return '"chat-canary"' in annotations.get("alb.ingress.kubernetes.io/actions.weighted-routing", "")

    def _reports(self, name: str, state: str, ready: int | None = None) -> Callable[[], bool]:
        def condition() -> bool:
            status = wire.decode(self._item_of(name)).get("region_status", {}).get(self.region, {})
            return status.get("state") == state and ready in {None, status.get("replicas_ready")}

        return condition

    def _is_promoted(self, name: str) -> Callable[[], bool]:
        return lambda: wire.decode(self._item_of(name))["desired_state"] == "running"
