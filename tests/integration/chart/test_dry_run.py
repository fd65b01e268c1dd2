"""Server-side dry runs of every object in the chart: no unknown fields, and no rejected pods."""

from collections.abc import Mapping
from typing import Any

import pytest

from gco_stream.local.kube_api import APPLY_PATCH, KubeApi, path_of
from tests.chart.helm import Helm, Object

PATHS = {
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets/{}",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies/{}",
}
EVERYTHING: Mapping[str, Any] = {
    "endpoints": {"serviceAccount": {"create": True}},
    "networkPolicy": {"enabled": True, "from": [{"podSelector": {}}]},
    "metrics": {"dashboards": {"enabled": True}},
    "podDisruptionBudget": {"maxUnavailable": "50%"},
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/x"}},
    "image": {"digest": f"sha256:{'a' * 64}", "registry": "registry.example"},
    "imagePullSecrets": [{"name": "pull"}],
    "extraEnv": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
    "extraEnvFrom": [{"configMapRef": {"name": "c"}}],
    "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "tolerations": [{"operator": "Exists"}],
    "dnsPolicy": "None",
    "dnsConfig": {"nameservers": ["10.0.0.2"]},
    "deploymentAnnotations": {"a": "b"},
    "podAnnotations": {"a": "b"},
    "commonLabels": {"team": "serving"},
}


def taken(kube: KubeApi, obj: Object, namespace: str) -> Object:
    """Returns the object as the server would store it. Raises KubeError if the server rejects it."""
    name = obj["metadata"]["name"]
    of = obj["metadata"].get("namespace", namespace)
    path = PATHS[obj["kind"]].format(of, name) if obj["kind"] in PATHS else path_of(obj["kind"], of, name)
    query = {"dryRun": "All", "fieldManager": "test", "fieldValidation": "Strict"}
    return kube.patch(path, obj, content_type=APPLY_PATCH, **query)


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_the_api_server_knows_every_field_of_every_object(
    values: Mapping[str, Any], helm: Helm, kube: KubeApi, namespace: str
) -> None:
    settings = {"INFERENCE_NAMESPACE": namespace}
    objects = helm.render({**values, "settings": settings}, namespace=namespace)
    assert len(objects) > 6
    for obj in objects.values():
        stored = taken(kube, obj, namespace)
        assert stored["kind"] == obj["kind"]


def test_the_pods_are_admitted_to_a_restricted_namespace(helm: Helm, kube: KubeApi, namespace: str) -> None:
    enforce = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    kube.patch(path_of("Namespace", name=namespace), enforce)
    objects = helm.render({**EVERYTHING, "settings": {"INFERENCE_NAMESPACE": namespace}}, namespace=namespace)
    template = objects["Deployment/gco-stream"]["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "controller"}, "spec": template["spec"]}
    for one in (pod, objects["Pod/gco-stream-doctor"]):
        taken(kube, one, namespace)
    with pytest.raises(Exception, match="violates PodSecurity"):
        taken(kube, {**pod, "spec": {**pod["spec"], "securityContext": {}}}, namespace)
