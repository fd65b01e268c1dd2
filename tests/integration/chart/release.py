"""The chart on the session's API server, and the processes that run in place of its pods: kwok runs no containers."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import yaml

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import path_of
from tests.chart.helm import Helm, environment, laid_over
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.integration.support.rights import charts_rules, may

NAME = "gco-stream"
_TOKEN_SECONDS = 3600


class Release:
    """One release of the chart in the namespace `system`, for the world of one test."""

    def __init__(
        self,
        plane: ControlPlane,
        helm: Helm,
        world: World,
        system: str,
        surroundings: Mapping[str, str],
        folder: Path,
    ) -> None:
        self.plane = plane
        self.helm = helm
        self.world = world
        self.system = system
        self._folder = folder
        self._pods: list[Program] = []
        settings = {
            name: surroundings[name]
            for name in ("REGION", "CLUSTER_NAME", "INFERENCE_NAMESPACE", "INFERENCE_ENDPOINTS_TABLE_NAME")
        }
        self.values: dict[str, Any] = {
            "settings": settings | {"LOG_FORMAT": "json", "STATUS_INTERVAL_SECONDS": 1, "CANARY_DRAIN_SECONDS": 1},
            "extraEnv": [
                {"name": name, "value": value} for name, value in surroundings.items() if name.startswith("AWS_")
            ],
        }

    def file(self, **values: Any) -> str:
        """Writes a values file for this world, overridden by `values`, and returns its path."""
        path = self._folder / "values.yaml"
        path.write_text(yaml.safe_dump(laid_over(self.values, values)))
        return str(path)

    def install(self, *options: str, **values: Any) -> str:
        said = self("install", NAME, str(self.helm.chart), "--values", self.file(**values), *options)
        kube, namespace, rules = self.plane.kube, self.world.namespace, charts_rules()[0]
        kube.wait_for(lambda: may(kube, self.user, namespace, rules), what="the API server enforces the Role")
        return said

    def __call__(self, *arguments: str) -> str:
        return self.helm(*arguments, "--namespace", self.system)

    def path(self, kind: str = "Deployment") -> str:
        return path_of(kind, self.system, NAME)

    def deployment(self) -> dict[str, Any]:
        return self.plane.kube.get(self.path())

    def ready(self) -> int:
        """Returns the number of ready replicas, of any pod template."""
        return int(self.deployment().get("status", {}).get("readyReplicas", 0))

    def rolled_out(self) -> bool:
        found = self.deployment()
        status, replicas = found.get("status", {}), found["spec"]["replicas"]
        counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")}
        return status.get("observedGeneration") == found["metadata"]["generation"] and counts == {replicas}

    @property
    def user(self) -> str:
        """The user name of the service account."""
        return f"system:serviceaccount:{self.system}:{NAME}"

    def token(self, account: str = NAME) -> str:
        """Returns a token like the one that the kubelet mounts."""
        wanted: dict[str, Any] = {"spec": {"expirationSeconds": _TOKEN_SECONDS}}
        path = f"{path_of('ServiceAccount', self.system, account)}/token"
        return str(self.plane.kube.request("POST", path, wanted)["status"]["token"])

    def kubeconfig(self) -> Path:
        """Writes a kubeconfig of the service account and returns its path."""
        config = orjson.loads(self.plane.kubeconfig.read_bytes())
        config["users"] = [{"name": config["users"][0]["name"], "user": {"token": self.token()}}]
        path = self._folder / "kubeconfig-of-the-service-account"
        path.write_bytes(orjson.dumps(config))
        return path

    def start(self, pod: Mapping[str, Any] | None = None, hostname: str = "") -> Program:
        """Starts the process of the container of `pod`, which defaults to the Deployment's pod template."""
        spec = (pod or self.deployment()["spec"]["template"])["spec"]
        (container,) = spec["containers"]
        number = len(self._pods)
        mounted = self._folder / f"service-account-{number}"
        mounted.mkdir()
        config = orjson.loads(self.plane.kubeconfig.read_bytes())["clusters"][0]["cluster"]
        (mounted / "ca.crt").write_bytes(base64.b64decode(config["certificate-authority-data"]))
        (mounted / "token").write_text(self.token(spec["serviceAccountName"]))
        server = urlsplit(self.plane.server_url)
        from_kubelet = {
            "HOSTNAME": hostname or f"{NAME}-{number}",
            "KUBERNETES_SERVICE_HOST": str(server.hostname),
            "KUBERNETES_SERVICE_PORT": str(server.port),
            # On one machine the processes would share the port.
            "HTTP_PORT": "0",
        }
        assert container["command"] == ["gco-stream"]
        one = Program(
            environment(container) | from_kubelet,
            self._folder / f"pod-{number}.log",
            ("tests.integration.chart.pod", str(mounted), *container["args"]),
        )
        self._pods.append(one)
        return one.start()

    def close(self) -> None:
        for one in self._pods:
            one.kill()
