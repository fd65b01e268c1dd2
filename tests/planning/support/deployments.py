"""A Deployment with every known list, and the manifest that it was applied from."""

from gco_stream.model import names
from tests.support.items import parity_objects
from tests.support.observed_objects import at, without_defaults

POD = ("spec", "template", "spec")
CONTAINER = (*POD, "containers", 0)
INFERENCE = "spec.template.spec.containers[inference]"


def rich_deployment():
    """A Deployment as returned by the API server, with an item in every known list."""
    deployment = parity_objects("vllm-llama")["Deployment/vllm-llama"]
    deployment["metadata"]["annotations"] = {
        names.ENDPOINT_ANNOTATION: "vllm-llama",
        names.REVISION_ANNOTATION: "2026-11-21T09:00:00+00:00",
        "deployment.kubernetes.io/revision": "3",
    }
    container = at(deployment, CONTAINER)
    container["env"] = [{"name": name, "value": name.lower()} for name in ("A", "B", "C", "D")]
    container["ports"].append({"containerPort": 9090, "protocol": "TCP", "name": "metrics"})
    container["volumeMounts"].append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108
    container["command"] = ["vllm", "serve"]
    at(deployment, POD)["volumes"].append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}})
    return deployment


def paths(found):
    return [difference.path for difference in found]


def wanted_deployment():
    manifest = without_defaults(rich_deployment())
    del manifest["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
    return manifest
