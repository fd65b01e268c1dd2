"""Generates values.schema.json, with which helm rejects a wrong name, type or range before it contacts a cluster.

Settings come from gco_stream/settings.py, with the same limits. Other values have the type of their default, unless
`_NARROWER` has a stricter schema.
"""

from collections.abc import Iterable
from typing import Any, Final

from gco_stream.settings import Settings
from tools.chart.values import Value

Schema = dict[str, Any]

# Each replica gets its own host name.
_NOT_OURS: Final = frozenset({"hostname"})
_NAMESPACE: Final = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
_REGION: Final = r"^[a-z0-9-]{0,40}$"
# Helm passes a --set value with a decimal point as a string. The limits apply to numbers, the pattern to strings.
_DECIMAL: Final = {"type": ["number", "string"], "pattern": r"^[0-9]*\.[0-9]+$"}
_DURATION: Final = {"type": "string", "pattern": r"^([0-9]+(ms|s|m|h))+$"}
_PORT: Final = {"type": "integer", "minimum": 1, "maximum": 65535}
_TEXTS: Final = {"type": "object", "additionalProperties": {"type": "string"}}
_OBJECT: Final = {"type": "object"}
_OBJECTS: Final = {"type": "array", "items": {"type": "object"}}
_NAME: Final = {"type": "string", "maxLength": 63, "pattern": r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$"}
_COUNT_OR_SHARE: Final = {
    "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^([0-9]{1,2}%|100%)?$"}]
}
_QUANTITIES: Final = {
    "type": "object",
    "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "number", "minimum": 0}]},
}
_PROBE: Final = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        name: {"type": "integer", "minimum": least}
        for name, least in {
            "initialDelaySeconds": 0,
            "periodSeconds": 1,
            "timeoutSeconds": 1,
            "failureThreshold": 1,
            "successThreshold": 1,
        }.items()
    },
}
_MONITOR: Final = {
    "interval": _DURATION,
    "scrapeTimeout": _DURATION,
    "labels": _TEXTS,
    "relabelings": _OBJECTS,
    "metricRelabelings": _OBJECTS,
}

_NARROWER: Final[dict[str, Schema]] = {
    "replicaCount": {"type": "integer", "minimum": 1, "maximum": 10},
    "image.registry": {"type": "string", "pattern": r"^([^/\s]+(/[^/\s]+)*)?$"},
    "image.repository": {"type": "string", "pattern": r"^[a-z0-9._/-]+$"},
    "image.tag": {"type": "string", "pattern": r"^([\w][\w.-]{0,127})?$"},
    "image.digest": {"type": "string", "pattern": r"^(sha256:[a-f0-9]{64})?$"},
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "imagePullSecrets": {
        "type": "array",
        "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
    },
    "nameOverride": _NAME,
    "fullnameOverride": _NAME,
    "commonLabels": _TEXTS,
    "serviceAccount.name": {"type": "string", "pattern": r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$"},
    "endpoints.serviceAccount.annotations": _TEXTS,
    "serviceAccount.annotations": _TEXTS,
    "serviceAccount.labels": _TEXTS,
    "extraEnv": {"type": "array", "items": {"type": "object", "required": ["name"]}},
    "extraEnvFrom": _OBJECTS,
    "extraVolumes": {"type": "array", "items": {"type": "object", "required": ["name"]}},
    "extraVolumeMounts": {"type": "array", "items": {"type": "object", "required": ["name", "mountPath"]}},
    "resources": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"requests": _QUANTITIES, "limits": _QUANTITIES, "claims": _OBJECTS},
    },
    "podLabels": _TEXTS,
    "podAnnotations": _TEXTS,
    "deploymentAnnotations": _TEXTS,
    "nodeSelector": _TEXTS,
    "tolerations": _OBJECTS,
    "affinity": _OBJECT,
    "topologySpreadConstraints": {
        "type": "array",
        "items": {"type": "object", "required": ["maxSkew", "topologyKey", "whenUnsatisfiable"]},
    },
    "dnsPolicy": {"enum": ["", "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]},
    "dnsConfig": _OBJECT,
    # The controller takes up to 20 s to shut down.
    "terminationGracePeriodSeconds": {"type": "integer", "minimum": 22},
    "revisionHistoryLimit": {"type": "integer", "minimum": 0},
    "podSecurityContext": _OBJECT,
    "securityContext": _OBJECT,
    "livenessProbe": _PROBE,
    "readinessProbe": _PROBE,
    "podDisruptionBudget.minAvailable": _COUNT_OR_SHARE,
    "podDisruptionBudget.maxUnavailable": _COUNT_OR_SHARE,
    "networkPolicy.from": _OBJECTS,
    "networkPolicy.apiServerPorts": {"type": "array", "items": _PORT},
    "networkPolicy.extraEgress": _OBJECTS,
    "service.port": _PORT,
    "service.annotations": _TEXTS,
    **{f"metrics.serviceMonitor.{name}": schema for name, schema in _MONITOR.items()},
    **{f"metrics.podMonitor.{name}": schema for name, schema in _MONITOR.items()},
    "metrics.prometheusRule.labels": _TEXTS,
    "metrics.dashboards.labels": _TEXTS,
    "metrics.dashboards.annotations": _TEXTS,
}

_TYPES: Final = {bool: "boolean", str: "string", int: "integer", float: "number", dict: "object", list: "array"}


def schema_of(values: Iterable[Value]) -> Schema:
    """The schema of values.yaml."""
    root = _closed({"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart gco-stream"})
    for value in values:
        if value.path[0] != "settings":
            _place(root, value.path, _of(value))
    root["properties"]["settings"] = settings_schema()
    # Helm passes the globals of a parent chart to its subcharts.
    root["properties"]["global"] = dict(_OBJECT)
    return root


def settings_schema() -> Schema:
    """Schema of every setting, by the name of its environment variable."""
    schema = _closed({"description": "Settings of the controller, by the name of their environment variable."})
    for name, field in Settings.model_json_schema()["properties"].items():
        if name in _NOT_OURS:
            continue
        schema["properties"][name.upper()] = {key: value for key, value in field.items() if key != "title"} | (
            _DECIMAL if field.get("type") == "number" else {}
        )
    special = schema["properties"]
    special["INFERENCE_NAMESPACE"]["pattern"] = _NAMESPACE
    special["ALLOWED_NAMESPACES"]["items"]["pattern"] = _NAMESPACE
    special["ALLOWED_NAMESPACES"]["description"] = "additional namespaces that items may name"
    # For a missing region the template has a better message than "does not match pattern".
    special["REGION"]["pattern"] = _REGION
    # The program takes level names in either case.
    special["LOG_LEVEL"]["enum"] += [level.lower() for level in special["LOG_LEVEL"]["enum"]]
    # 0 means any free port, which a pod cannot use.
    special["HTTP_PORT"] |= {"minimum": 1, "description": "port for health checks, metrics and the status page"}
    return schema


def _of(value: Value) -> Schema:
    schema = _NARROWER.get(".".join(value.path)) or {"type": _TYPES[type(value.default)]}
    return {"description": value.about, "default": value.default, **schema}


def _place(root: Schema, path: tuple[str, ...], schema: Schema) -> None:
    here = root
    for name in path[:-1]:
        here = here["properties"].setdefault(name, _closed({}))
    here["properties"][path[-1]] = schema


def _closed(schema: Schema) -> Schema:
    return {**schema, "type": "object", "additionalProperties": False, "properties": {}}
