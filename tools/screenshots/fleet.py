"""A realistic fleet: about fifty endpoints in three regions, a few of them with problems."""

from collections.abc import Iterator
from typing import Any, Final

from gco_stream.model import wire
from gco_stream.table.sync_table import SyncEndpointTable

_TEAMS: Final = ("assist", "catalog", "claims", "docs", "fraud", "media", "risk", "support")
_JOBS: Final = ("chat", "embed", "rerank", "summarize", "translate", "vision")
_OTHERS: Final = ("eu-west-1", "ap-northeast-1")


def items(region: str, namespace: str) -> Iterator[dict[str, Any]]:
    """The items of the fleet, as plain values."""
    for number, (team, job) in enumerate((team, job) for team in _TEAMS for job in _JOBS):
        name = f"{team}-{job}"
        spec: dict[str, Any] = {
            "image": f"registry.example/{job}:{1 + number % 4}.{number % 7}",
            "replicas": 1 + number % 3,
            "gpu_count": number % 2,
            "env": {"MODEL": f"{job}-large", "API_TOKEN": "a value that is never shown"},
        }
        if number % 11 == 4:
            spec["autoscaling"] = {"enabled": True, "min_replicas": 1, "max_replicas": 6}
        if name == "fraud-vision":
            spec["replicas"] = -2
        if name == "docs-rerank":
            spec["health_check_path"] = "health"
        item: dict[str, Any] = {
            "endpoint_name": name,
            "target_regions": [region, *_OTHERS[: number % 3]],
            "namespace": namespace,
            "ingress_path": f"/inference/{name}",
            "spec": spec,
        }
        if number % 13 == 7:
            item["desired_state"] = "stopped"
        if name == "risk-summarize":
            item["hold"] = "the model is being audited until Monday"
        yield item


def others_report(table: SyncEndpointTable, region: str, client: Any, name: str) -> None:
    """Writes the status reports of the other regions, because only one region has a controller here."""
    for item in table.scan():
        plain = wire.decode(item)
        status = dict(plain.get("region_status") or {})
        for number, other in enumerate(sorted(set(plain["target_regions"]) - {region})):
            state = "stopped" if plain.get("desired_state") == "stopped" else "running"
            if (len(plain["endpoint_name"]) + number) % 9 == 0:
                state = "updating"
            status[other] = {"state": state, "replicas_ready": 1, "replicas_desired": 1, "intent": wire.intent_of(item)}
            client.update_item(
                TableName=name,
                Key={"endpoint_name": item["endpoint_name"]},
                UpdateExpression="SET region_status.#r = :s",
                ExpressionAttributeNames={"#r": other},
                ExpressionAttributeValues={":s": wire.encode_value(status[other])},
            )
