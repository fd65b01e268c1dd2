"""The demo's story: what a user writes, which objects follow, and how many milliseconds later."""

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
"""What the demo's controller is given, so that nobody waits for minutes: 30 and 300 s are usual of the first two."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One thing that followed a write, and how long after the write was answered, in milliseconds."""

    step: str
    followed: str
    milliseconds: float
    waits_for: str


@dataclass(slots=True)
class DemoScenario:
    """Tells the story on `console` against a table and a cluster in which the controller runs."""

    console: Console
    table: SyncEndpointTable
    kube: KubeApi
    namespace: str
    region: str
    measured: list[Measurement] = field(default_factory=list)
    _step: str = ""
    _since: float = 0.0

    def run(self) -> None:
        """All of it. Raises Failure where something does not follow within a minute."""
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
        with self._section("Create two endpoints", "put items chat (2 replicas, GPU) and embed (CPU)"):
            self.table.create(self._item("chat", image="registry.example/serve:1.0", replicas=2, gpu_count=1))
            self.table.create(self._item("embed", image="registry.example/embed:3.1", replicas=1, gpu_count=0))
        for name in names:
            self._expect(f"Service and Deployment {name}", partial(self._exist, name, "Service", "Deployment"))
        for name in names:
            exists = partial(self._exist, name, "Ingress")
            self._expect(f"Ingress inference-{name}, now that a pod is ready", exists, waits_for="pods")
        for name in names:
            self._expect(f"{name} is running, in the item too", self._is_promoted(name), waits_for="pods")

    def _scale(self) -> None:
        with self._section("Scale", "chat: spec.replicas = 4"):
            self.table.scale(self._item_of("chat"), 4)
        self._expect("Deployment chat has 4 replicas", lambda: self._spec("Deployment", "chat").get("replicas") == 4)
        self._expect("chat is running with 4", self._reports("chat", "running", ready=4), waits_for="pods")

    def _change_image(self) -> None:
        with self._section("Change the image", "chat: spec.image = registry.example/serve:2.0"):
            self._update_spec("chat", image="registry.example/serve:2.0")
        self._expect("Deployment chat rolls out serve:2.0", lambda: self._image("chat") == "registry.example/serve:2.0")
        self._expect("chat is running again, promoted", self._is_promoted("chat"), waits_for="pods")

    def _canary(self) -> None:
        with self._section("Add a canary", "chat: spec.canary = serve:3.0 at 20 %"):
            self._update_spec("chat", canary={"image": "registry.example/serve:3.0", "weight": 20, "replicas": 1})
        self._expect("Deployment and Service chat-canary", lambda: self._find("Deployment", "chat-canary"))
        self._expect("the Ingress gives it 20 %, now that it is ready", self._canary_is_routed, waits_for="pods")
        with self._section("The canary fails", "its pod is no longer ready", "cluster"):
            self._make_pods("chat-canary", ready=False)
        self._expect("all traffic goes to the main", lambda: not self._canary_is_routed(), waits_for="pods")
        with self._section("It recovers", "its pod is ready again", "cluster"):
            self._make_pods("chat-canary", ready=True)
        self._expect("the Ingress gives it 20 % again", self._canary_is_routed, waits_for="pods")

    def _promote_canary(self) -> None:
        with self._section("Promote the canary", "chat: spec.image = serve:3.0, no spec.canary"):
            self._update_spec("chat", image="registry.example/serve:3.0", canary=None)
        self._expect("Deployment chat rolls out serve:3.0", lambda: self._image("chat") == "registry.example/serve:3.0")
        self._expect(
            "the canary leaves the route, once the main has rolled out",
            lambda: not self._canary_is_routed(),
            waits_for="pods",
        )
        self._expect(
            f"its objects are gone, {_DRAIN} s of draining later",
            lambda: not self._find("Deployment", "chat-canary") and not self._find("Service", "chat-canary"),
            waits_for="drain",
        )

    def _pods_fail(self) -> None:
        with self._section("An endpoint's pods fail", "embed: no pod is ready", "cluster"):
            self._make_pods("embed", ready=False)
        self._expect(
            f"its Ingress is withdrawn after {_UNHEALTHY} s, before it harms the shared load balancer",
            lambda: not self._find("Ingress", "inference-embed"),
            waits_for="watchdog",
        )
        self._expect("embed says error, and why", self._reports("embed", "error"), waits_for="watchdog")
        with self._section("They recover", "embed: a pod is ready", "cluster"):
            self._make_pods("embed", ready=True)
        self._expect("its Ingress is back", lambda: self._find("Ingress", "inference-embed"), waits_for="pods")
        self._expect("embed is running", self._reports("embed", "running"), waits_for="pods")

    def _edit_by_hand(self) -> None:
        with self._section("Edit the Deployment by hand", "kubectl scale deployment chat --replicas 9", "cluster"):
            self.kube.patch(path_of("Deployment", self.namespace, "chat"), {"spec": {"replicas": 9}})
        self._expect("it is put back to 4", lambda: self._spec("Deployment", "chat").get("replicas") == 4)

    def _stop_and_start(self) -> None:
        self._expect("all is quiet again", self._reports("chat", "running", ready=4), waits_for="pods", silent=True)
        with self._section("Stop", "chat: desired_state = stopped"):
            self.table.set_state(self._item_of("chat"), "stopped")
        self._expect(
            "no route, no replicas",
            lambda: (
                not self._find("Ingress", "inference-chat") and self._spec("Deployment", "chat").get("replicas") == 0
            ),
        )
        self._expect("chat is stopped", self._reports("chat", "stopped"), waits_for="pods")
        with self._section("Start", "chat: desired_state = deploying"):
            self.table.set_state(self._item_of("chat"), "deploying")
        self._expect("4 replicas", lambda: self._spec("Deployment", "chat").get("replicas") == 4)
        self._expect(
            "the route, once a pod is ready", lambda: self._find("Ingress", "inference-chat"), waits_for="pods"
        )
        self._expect("chat is running", self._is_promoted("chat"), waits_for="pods")

    def _delete(self) -> None:
        with self._section("Delete both", "chat, embed: desired_state = deleted"):
            for name in ("chat", "embed"):
                self.table.set_state(self._item_of(name), "deleted")
        for name in ("chat", "embed"):
            self._expect(
                f"every object of {name} is gone",
                partial(self._is_gone, name),
                waits_for="pods",
            )
            self._expect(f"the item {name} is gone", partial(self._has_no_item, name), waits_for="pods")

    @contextmanager
    def _section(self, title: str, wrote: str, where: str = "table") -> Iterator[None]:
        self._step = title
        self.console.print(f"\n[bold]{title}[/bold]")
        self.console.print(f"  [cyan]{where:>7}[/cyan]  {wrote}", highlight=False)
        yield
        self._since = time.monotonic()

    def _expect(self, what: str, look: Callable[[], object], *, waits_for: str = "", silent: bool = False) -> None:
        deadline = time.monotonic() + _TIMEOUT
        while not look():
            if time.monotonic() > deadline:
                raise CommandError(f"{self._step}: after {_TIMEOUT:.0f} s it is still not so that {what}")
            time.sleep(_POLL_SECONDS)
        if silent:
            return
        took = (time.monotonic() - self._since) * 1000
        self.measured.append(Measurement(self._step, what, took, waits_for))
        self.console.print(f"  [green]{'cluster':>7}[/green]  {what}  [bold]+{took:,.0f} ms[/bold]", highlight=False)

    def _summary(self) -> None:
        grid = Grid(title="From the write's answer to what followed", title_justify="left")
        grid.add_column("step")
        grid.add_column("followed")
        grid.add_column("ms", justify="right")
        grid.add_column("waits for")
        for one in self.measured:
            grid.add_row(one.step, one.followed, f"{one.milliseconds:,.0f}", one.waits_for or "-")
        self.console.print()
        self.console.print(grid)
        ours = sorted(one.milliseconds for one in self.measured if not one.waits_for)
        self.console.print(
            f"Of what waits for nothing but the controller ({len(ours)} changes): "
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
            raise CommandError(f"the item {name} is gone from the table")
        return item

    def _update_spec(self, name: str, **changes: Any) -> None:
        seen = self._item_of(name)
        spec = {**wire.decode(seen)["spec"], **changes}
        self.table.replace_spec(seen, {key: value for key, value in spec.items() if value is not None})

    def _find(self, kind: str, name: str) -> dict[str, Any] | None:
        return self.kube.find(path_of(kind, self.namespace, name))

    def _make_pods(self, app: str, *, ready: bool) -> None:
        """What no user does: the pods of the demo are ready or not as they are told."""
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
        def look() -> bool:
            status = wire.decode(self._item_of(name)).get("region_status", {}).get(self.region, {})
            return status.get("state") == state and ready in {None, status.get("replicas_ready")}

        return look

    def _is_promoted(self, name: str) -> Callable[[], bool]:
        return lambda: wire.decode(self._item_of(name))["desired_state"] == "running"
