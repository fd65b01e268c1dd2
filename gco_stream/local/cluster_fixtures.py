"""Objects that GCO expects in a cluster: nodes that match its node selectors, an IngressClass, and a volume claim."""

from typing import Any

from gco_stream.local.errors import KubeError
from gco_stream.local.kube_api import KubeApi, path_of

_CLAIM = "efs-claim"
_CAPACITY = {"cpu": "10000", "memory": "40Ti", "ephemeral-storage": "40Ti", "pods": "100000"}

_NVIDIA = ({"eks.amazonaws.com/instance-gpu-manufacturer": "nvidia"}, {"nvidia.com/gpu": "100000"})
_NEURON = ({"accelerator": "neuron"}, {"aws.amazon.com/neuron": "100000", "aws.amazon.com/neuroncore": "100000"})
_NODES = {
    "cpu": ({"karpenter.sh/capacity-type": "on-demand"}, {}),
    "gpu-on-demand": (_NVIDIA[0] | {"karpenter.sh/capacity-type": "on-demand"}, _NVIDIA[1]),
    "gpu-spot": (_NVIDIA[0] | {"karpenter.sh/capacity-type": "spot"}, _NVIDIA[1]),
    "neuron-on-demand": (_NEURON[0] | {"karpenter.sh/capacity-type": "on-demand"}, _NEURON[1]),
    "neuron-spot": (_NEURON[0] | {"karpenter.sh/capacity-type": "spot"}, _NEURON[1]),
}


def nodes() -> list[dict[str, Any]]:
    """Returns one Ready node of each kind, large enough for any test."""
    return [_node(name, labels, devices) for name, (labels, devices) in _NODES.items()]


def create_nodes(kube: KubeApi) -> None:
    """Creates the nodes that do not exist yet."""
    for node in nodes():
        kube.create(path_of("Node"), node, exist_ok=True)


def create_ingress_class(kube: KubeApi) -> None:
    """Creates the IngressClass that GCO's Ingresses use. No controller implements it here."""
    kube.create(
        path_of("IngressClass"),
        {"metadata": {"name": "alb"}, "spec": {"controller": "ingress.k8s.aws/alb"}},
        exist_ok=True,
    )


def create_namespace(kube: KubeApi, name: str) -> None:
    """Creates the namespace `name` with the PersistentVolumeClaim `efs-claim`, which pods mount to load a model.

    The scheduler requires a bound claim, but no controller binds claims here. The claim and its volume are therefore
    created as already bound.
    """
    kube.create(path_of("Namespace"), {"metadata": {"name": name}}, exist_ok=True)
    volume = f"{name}-{_CLAIM}"
    size = {"storage": "1Ti"}
    kube.create(
        path_of("PersistentVolume"),
        {
            "metadata": {"name": volume},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "capacity": size,
                "hostPath": {"path": f"/efs/{name}"},
                "claimRef": {"namespace": name, "name": _CLAIM},
            },
        },
        exist_ok=True,
    )
    kube.create(
        path_of("PersistentVolumeClaim", name),
        {
            "metadata": {"name": _CLAIM, "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": size},
                "storageClassName": "",
                "volumeName": volume,
            },
        },
        exist_ok=True,
    )
    status = {"status": {"phase": "Bound"}}
    kube.patch(f"{path_of('PersistentVolume', name=volume)}/status", status)
    claimed = {"status": {"phase": "Bound", "accessModes": ["ReadWriteMany"], "capacity": size}}
    kube.patch(f"{path_of('PersistentVolumeClaim', name, _CLAIM)}/status", claimed)


def delete_namespace(kube: KubeApi, name: str) -> None:
    """Deletes the namespace and its volume without waiting. Ignores missing objects and those already being deleted."""
    for path in (path_of("Namespace", name=name), path_of("PersistentVolume", name=f"{name}-{_CLAIM}")):
        try:
            kube.delete(path)
        except KubeError as error:
            if error.status not in (404, 409):
                raise


def _node(name: str, labels: dict[str, str], devices: dict[str, str]) -> dict[str, Any]:
    room = _CAPACITY | devices
    return {
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                **labels,
            },
        },
        "status": {
            "allocatable": room,
            "capacity": room,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "phase": "Running",
        },
    }
