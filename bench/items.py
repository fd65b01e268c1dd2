"""Realistic endpoints: items of about 2 KiB, each with a Deployment, a Service and an Ingress."""

from typing import Any

from gco_stream.local.servers.dynamodb import REGION
from gco_stream.model import wire
from gco_stream.model.wire import WireItem

_TIME = "2026-01-01T00:00:00.000000+00:00"


def name_of(number: int) -> str:
    return f"model-{number:05d}"


def item(number: int, namespace: str) -> dict[str, Any]:
    """The item of endpoint `number` in plain values, right after its creation."""
    name = name_of(number)
    return {
        "endpoint_name": name,
        "desired_state": "deploying",
        "target_regions": [REGION, "eu-west-1"],
        "namespace": namespace,
        "spec": {
            "image": f"registry.example/team-{number % 37}/serve:1.{number % 11}",
            "port": 8000,
            "replicas": 1,
            "gpu_count": 1 + number % 4,
            "health_check_path": "/health",
            "model_path": f"/models/{name}",
            "model_source": f"s3://models-of-team-{number % 37}/{name}/v{number % 5}",
            "capacity_type": ("on-demand", "spot")[number % 2],
            "env": {
                "MODEL_NAME": name,
                "MAX_MODEL_LEN": str(4096 * (1 + number % 8)),
                "TENSOR_PARALLEL_SIZE": str(1 + number % 4),
                "GPU_MEMORY_UTILIZATION": "0.92",
                "LOG_LEVEL": "info",
                "HF_HOME": f"/models/{name}/cache",
                "OTEL_SERVICE_NAME": name,
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.observability:4317",
            },
            "args": [
                *("--model", f"/models/{name}", "--served-model-name", name, "--dtype", "bfloat16"),
                *("--max-num-seqs", str(32 + number % 64), "--enable-prefix-caching", "--disable-log-requests"),
            ],
            "resources": {"requests": {"cpu": "4", "memory": "32Gi"}, "limits": {"cpu": "8", "memory": "64Gi"}},
        },
        "ingress_path": f"/inference/{name}",
        "created_at": _TIME,
        "updated_at": _TIME,
        "created_by": f"somebody@team-{number % 37}.example",
        "labels": {"team": f"team-{number % 37}", "cost-center": str(1000 + number % 37)},
        "region_status": {"eu-west-1": _running("")},
    }


def served_item(number: int, namespace: str) -> WireItem:
    """The item of endpoint `number` after every region has reported it as running."""
    plain = {**item(number, namespace), "desired_state": "running"}
    intent = wire.intent_of(wire.encode(plain))
    return wire.encode({**plain, "region_status": {region: _running(intent) for region in plain["target_regions"]}})


def _running(intent: str) -> dict[str, Any]:
    entry = {"state": "running", "replicas_ready": 1, "replicas_desired": 1, "last_sync": _TIME}
    return {**entry, "epoch": 1, "intent": intent} if intent else entry
