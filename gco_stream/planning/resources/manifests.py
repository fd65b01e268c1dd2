"""Manifests of an endpoint's objects, with exactly the fields that this controller manages."""

import json
from collections.abc import Mapping

from gco_stream.model import names
from gco_stream.model.item.spec import Autoscaling
from gco_stream.model.item.warnings import KNOWN_METRICS
from gco_stream.model.kinds import RESOURCES
from gco_stream.model.objects import JsonObject, Kind

_DEFAULT_METRIC = ("cpu", 70)

WEIGHTED_ROUTING = "weighted-routing"
"""Backend of an Ingress that splits traffic with a canary; it refers to the annotation for this action."""


def _object(kind: Kind, namespace: str, name: str, app: str, annotations: Mapping[str, str]) -> JsonObject:
    return {
        "apiVersion": RESOURCES[kind].api_version,
        "kind": str(kind),
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": names.labels(app),
            "annotations": dict(annotations),
        },
    }


def deployment(
    namespace: str, app: str, template: JsonObject, replicas: int | None, annotations: Mapping[str, str]
) -> JsonObject:
    """Returns the Deployment. `replicas`: None leaves the count to the HPA."""
    manifest = _object(Kind.DEPLOYMENT, namespace, app, app, annotations)
    manifest["spec"] = {"selector": {"matchLabels": {names.APP_LABEL: app}}, "template": template}
    if replicas is not None:
        manifest["spec"]["replicas"] = replicas
    return manifest


def service(namespace: str, app: str, port: int, annotations: Mapping[str, str]) -> JsonObject:
    """Returns the Service of one Deployment, which forwards port 80 to `port` of the container."""
    manifest = _object(Kind.SERVICE, namespace, app, app, annotations)
    manifest["spec"] = {
        "type": "ClusterIP",
        "selector": {names.APP_LABEL: app},
        "ports": [{"port": 80, "targetPort": port, "protocol": "TCP"}],
    }
    return manifest


def ingress(
    namespace: str,
    endpoint: str,
    *,
    path: str,
    health_path: str,
    canary_weight: int,
    annotations: Mapping[str, str],
) -> JsonObject:
    """Returns the Ingress. `canary_weight`: the canary's share of the traffic in percent; 0 for no canary route."""
    manifest = _object(Kind.INGRESS, namespace, names.ingress_name(endpoint), endpoint, annotations)
    metadata = manifest["metadata"]
    metadata["annotations"] |= {
        "alb.ingress.kubernetes.io/healthcheck-path": health_path,
        "alb.ingress.kubernetes.io/healthcheck-interval-seconds": "15",
    }
    backend: JsonObject = {"name": endpoint, "port": {"number": 80}}
    if canary_weight:
        metadata["labels"][names.CANARY_LABEL] = "true"
        metadata["annotations"][names.WEIGHTED_ROUTING_ANNOTATION] = weighted_routing(endpoint, canary_weight)
        backend = {"name": WEIGHTED_ROUTING, "port": {"name": "use-annotation"}}
    manifest["spec"] = {
        "ingressClassName": "alb",
        "rules": [
            {"http": {"paths": [{"path": path, "pathType": "Prefix", "backend": {"service": backend}}]}},
        ],
    }
    return manifest


def weighted_routing(endpoint: str, canary_weight: int) -> str:
    """Returns the annotation value for a forward action of the AWS Load Balancer Controller, formatted as by GCO."""
    groups = ((endpoint, 100 - canary_weight), (names.canary_name(endpoint), canary_weight))
    action = {
        "type": "forward",
        "forwardConfig": {
            "targetGroups": [{"serviceName": name, "servicePort": 80, "weight": weight} for name, weight in groups]
        },
    }
    return json.dumps(action)


def autoscaler(namespace: str, endpoint: str, autoscaling: Autoscaling, annotations: Mapping[str, str]) -> JsonObject:
    """Returns the HPA.

    Metrics other than cpu and memory are ignored. If no metric remains, the HPA scales on cpu at 70%, as in GCO.
    """
    known = [(metric.type, metric.target) for metric in autoscaling.metrics if metric.type in KNOWN_METRICS]
    manifest = _object(Kind.HPA, namespace, endpoint, endpoint, annotations)
    manifest["spec"] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": endpoint},
        "minReplicas": autoscaling.min_replicas,
        "maxReplicas": autoscaling.max_replicas,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": name, "target": {"type": "Utilization", "averageUtilization": target}},
            }
            for name, target in known or [_DEFAULT_METRIC]
        ],
    }
    return manifest
