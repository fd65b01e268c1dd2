"""Closed grammar of manifests: every allowed field and its allowed values.

It is independent of the code that renders manifests, so that a field smuggled in by an item is a violation.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.simulated_cluster import NAMESPACE, TABLE

Rule = Any
"""A pattern for the whole text, a range, a set, a function, Items, Entries, Fields, or the value itself."""

_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_DOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_KEY = re.compile(rf"({_DOMAIN}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?")
_URL_PATH = re.compile(r"/([A-Za-z0-9._~!$&'()+,;=:@/?-]|%[0-9A-Fa-f]{2}){0,1023}")
_QUANTITY = re.compile(r"\+?[0-9.]+([eE][-+]?[0-9]{1,3}|[munkMGTPE]|[KMGTPE]i)?")
_IMAGE = re.compile(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9])[A-Za-z0-9._:/@+-]{0,1023}")
_TIME = re.compile(r"[ -~]{0,64}")


@dataclass(frozen=True)
class Items:
    """A list whose items follow a rule, with a minimum and maximum length."""

    rule: Rule
    least: int = 0
    most: int = 1000


@dataclass(frozen=True)
class Entries:
    """A map with arbitrary keys."""

    names: Rule
    values: Rule


@dataclass(frozen=True)
class Fields:
    """A map with required and optional fields and no others."""

    needed: Mapping[str, Rule]
    optional: Mapping[str, Rule]


def violations(value: Any, rule: Rule, path: str = "") -> Iterator[str]:
    """The violations of the grammar in a value."""
    match rule:
        case Fields():
            yield from _of_fields(value, rule, path)
        case Items() if isinstance(value, list) and rule.least <= len(value) <= rule.most:
            for number, inner in enumerate(value):
                yield from violations(inner, rule.rule, f"{path}[{number}]")
        case Entries() if isinstance(value, dict):
            for name, inner in value.items():
                yield from violations(name, rule.names, f"{path}: the key {name!r}")
                yield from violations(inner, rule.values, f"{path}.{name}")
        case _ if not _is_allowed(value, rule):
            yield f"{path}: {value!r:.80} does not match {rule}"


def _of_fields(value: Any, rule: Fields, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: not a map"
        return
    known = {**rule.needed, **rule.optional}
    yield from (f"{path}.{name}: missing" for name in rule.needed.keys() - value.keys())
    yield from (f"{path}.{name}: not in the grammar" for name in value.keys() - known.keys())
    for name in value.keys() & known.keys():
        yield from violations(value[name], known[name], f"{path}.{name}")


def _is_allowed(value: Any, rule: Rule) -> bool:
    match rule:
        case re.Pattern():
            return isinstance(value, str) and rule.fullmatch(value) is not None
        case range() | frozenset():
            return type(value) in {int, str} and value in rule
        case Items() | Entries():
            return False
        case _ if callable(rule):
            return bool(rule(value))
        case _:
            return bool(value == rule)


def exactly(**fields: Rule) -> Fields:
    """A map with exactly these fields."""
    return Fields(fields, {})


def _text(value: Any) -> bool:
    return isinstance(value, str) and not re.search("[\x00\ud800-\udfff]", value)


def _resources(quantities: Any) -> bool:
    """Valid resource names of a container: cpu, memory, huge pages, ephemeral storage and devices."""
    own = re.compile(
        rf"cpu|memory|ephemeral-storage|hugepages-[0-9]+[KMG]i|(?!requests\.){_DOMAIN}/[A-Za-z0-9._-]{{1,63}}"
    )
    return isinstance(quantities, dict) and all(
        own.fullmatch(name) and "kubernetes.io/" not in name and _QUANTITY.fullmatch(quantity)
        for name, quantity in quantities.items()
    )


def _routing(endpoint: str) -> Callable[[Any], bool]:
    def is_own(text: Any) -> bool:
        action = json.loads(text)
        groups = action["forwardConfig"]["targetGroups"]
        return (
            action.keys() == {"type", "forwardConfig"}
            and action["type"] == "forward"
            and action["forwardConfig"].keys() == {"targetGroups"}
            and [group["serviceName"] for group in groups] == [endpoint, f"{endpoint}-canary"]
            and all(group.keys() == {"serviceName", "servicePort", "weight"} for group in groups)
            and {group["servicePort"] for group in groups} == {80}
            and sum(group["weight"] for group in groups) == 100
        )

    return is_own


_PORT = range(1, 65536)
_MOUNTS = [{"name": "model-storage", "mountPath": "/models"}]
_HALVES = exactly(requests=_resources, limits=_resources)
_TOLERATION = Fields(
    {},
    {
        "key": _KEY,
        "operator": frozenset({"Equal", "Exists"}),
        "value": _VALUE,
        "effect": frozenset({"NoSchedule", "PreferNoSchedule", "NoExecute"}),
        "tolerationSeconds": range(2**31),
    },
)


def _probe(**times: int) -> Fields:
    return exactly(httpGet=exactly(path=_URL_PATH, port=_PORT), **times)


_CONTAINER = Fields(
    {
        "name": "inference",
        "image": _IMAGE,
        "ports": Items(exactly(containerPort=_PORT, protocol="TCP"), 1, 1),
        "resources": _HALVES,
        "livenessProbe": _probe(initialDelaySeconds=120, periodSeconds=15, failureThreshold=5),
        "readinessProbe": _probe(initialDelaySeconds=30, periodSeconds=10),
    },
    {
        "env": Items(exactly(name=re.compile(r"[ -<>-~]+"), value=_text), 1),
        "command": Items(_text, 1),
        "args": Items(_text, 1, 1002),
        "volumeMounts": _MOUNTS,
    },
)


def _model_sync(endpoint: str) -> Fields:
    def is_sync(args: Any) -> bool:
        source = args[2]
        return (
            args == ["s3", "sync", source, f"/models/{endpoint}", "--quiet"]
            and re.fullmatch(r"s3://[^/\x00-\x1f][^\x00-\x1f]*", source) is not None
        )

    return exactly(
        name="model-sync",
        image="amazon/aws-cli:latest",
        args=is_sync,
        volumeMounts=_MOUNTS,
        resources={"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "4", "memory": "8Gi"}},
    )


def _labels(app: str) -> dict[str, str]:
    return {"app": app, "project": "gco", "gco.io/type": "inference"}


def _deployment(endpoint: str, app: str) -> Fields:
    pod = Fields(
        {
            "serviceAccountName": "gco-service-account",
            "containers": Items(_CONTAINER, 1, 1),
            "tolerations": Items(_TOLERATION, 1, 1001),
            "enableServiceLinks": False,
        },
        {
            "nodeSelector": Entries(_KEY, _VALUE),
            "volumes": [{"name": "model-storage", "persistentVolumeClaim": {"claimName": "efs-claim"}}],
            "initContainers": Items(_model_sync(endpoint), 1, 1),
        },
    )
    template = exactly(metadata={"labels": _labels(app)}, spec=pod)
    return Fields({"selector": {"matchLabels": {"app": app}}, "template": template}, {"replicas": range(10_001)})


def _service(app: str) -> Fields:
    ports = Items(exactly(port=80, targetPort=_PORT, protocol="TCP"), 1, 1)
    return exactly(type="ClusterIP", selector={"app": app}, ports=ports)


def _is_own_path(endpoint: str) -> Callable[[Any], bool]:
    def check(path: Any) -> bool:
        segments = path.rstrip("/").split("/")[1:]
        return (
            re.fullmatch(r"(/[A-Za-z0-9_.$~'@:+&-]+)+/?", path) is not None
            and not {".", ".."} & set(segments)
            and len(path) <= 126
            and (segments[0] != "inference" or segments[1:2] == [endpoint])
        )

    return check


def _ingress(endpoint: str) -> Fields:
    backends = (
        {"name": endpoint, "port": {"number": 80}},
        {"name": "weighted-routing", "port": {"name": "use-annotation"}},
    )
    path = exactly(
        path=_is_own_path(endpoint), pathType="Prefix", backend=exactly(service=lambda service: service in backends)
    )
    rule = exactly(http=exactly(paths=Items(path, 1, 1)))
    return exactly(ingressClassName="alb", rules=Items(rule, 1, 1))


def _autoscaler(endpoint: str) -> Fields:
    target = exactly(type="Utilization", averageUtilization=range(1, 10_001))
    metric = exactly(type="Resource", resource=exactly(name=frozenset({"cpu", "memory"}), target=target))
    return exactly(
        scaleTargetRef={"apiVersion": "apps/v1", "kind": "Deployment", "name": endpoint},
        minReplicas=range(1, 10_001),
        maxReplicas=range(1, 10_001),
        metrics=Items(metric, 1),
    )


def grammar(endpoint: str, kind: str, name: str) -> Fields:
    """The rule for one object of an endpoint. Raises AssertionError if the name is not one of the endpoint's."""
    app = endpoint if name in {endpoint, f"inference-{endpoint}"} else f"{endpoint}-canary"
    names = {
        "Deployment": (endpoint, f"{endpoint}-canary"),
        "Service": (endpoint, f"{endpoint}-canary"),
        "Ingress": (f"inference-{endpoint}",),
        "HorizontalPodAutoscaler": (endpoint,),
    }
    assert name in names[kind], f"{kind} {name} does not belong to {endpoint}"
    versions = {"Deployment": "apps/v1", "Service": "v1", "Ingress": "networking.k8s.io/v1"}
    needed = {"gco.io/endpoint": endpoint, "gco.io/table": TABLE, "gco.io/revision": _TIME}
    optional: dict[str, Rule] = {}
    labels: Rule = _labels(app)
    match kind:
        case "Deployment":
            spec, needed = (
                _deployment(endpoint, name),
                needed
                | {
                    "gco.io/template-hash": re.compile(r"[0-9a-f]{32}"),
                    "gco.io/template-version": re.compile("[0-9]+"),
                },
            )
        case "Service":
            spec = _service(name)
        case "Ingress":
            spec, needed = (
                _ingress(endpoint),
                needed
                | {
                    "alb.ingress.kubernetes.io/healthcheck-path": _URL_PATH,
                    "alb.ingress.kubernetes.io/healthcheck-interval-seconds": "15",
                },
            )
            optional = {
                "gco.io/draining-since": _TIME,
                "gco.io/unready-since": _TIME,
                "alb.ingress.kubernetes.io/actions.weighted-routing": _routing(endpoint),
            }
            labels = Fields(labels, {"gco.io/canary": "true"})
        case _:
            spec = _autoscaler(endpoint)
    metadata = exactly(name=name, namespace=NAMESPACE, labels=labels, annotations=Fields(needed, optional))
    return exactly(apiVersion=versions.get(kind, "autoscaling/v2"), kind=kind, metadata=metadata, spec=spec)


def checked(manifests: Sequence[Mapping[str, Any]], endpoint: str) -> None:
    """Raises AssertionError with all violations of the grammar in a manifest."""
    for manifest in manifests:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        found = list(violations(manifest, grammar(endpoint, kind, name), kind))
        assert not found, "\n".join(found)
