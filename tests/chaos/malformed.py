"""Malformed items of many kinds, as users, tools and other versions write them."""

import random
from collections.abc import Callable
from typing import Any

from gco_stream.model import wire
from gco_stream.model.wire import WireItem
from tests.support.items import item

Defect = Callable[[dict[str, Any]], None]


def _set(**attributes: Any) -> Defect:
    return lambda plain: plain.update(attributes)


def _drop(*attributes: str) -> Defect:
    def drop(plain: dict[str, Any]) -> None:
        for attribute in attributes:
            plain.pop(attribute, None)

    return drop


def _spec(**fields: Any) -> Defect:
    return lambda plain: plain["spec"].update(fields)


def _deep(plain: dict[str, Any]) -> None:
    value: dict[str, Any] = {}
    # DynamoDB allows 32 levels of nesting.
    for _ in range(25):
        value = {"level": value}
    plain["spec"]["env"] = value


DEFECTS: tuple[Defect, ...] = (
    _drop("spec"),
    _drop("target_regions"),
    _set(spec=[]),
    _set(spec="image: serve:1.0"),
    _set(spec=None),
    _set(desired_state="runnign"),
    _set(desired_state=7),
    _set(desired_state=["running"]),
    _set(target_regions=[]),
    _set(target_regions={"us-east-1": True}),
    _set(target_regions=[1, None]),
    _set(namespace="kube-system"),
    _set(namespace="Not A Namespace"),
    _set(namespace=3),
    _set(region_status="running", spec={}),
    _set(region_status={"us-east-1": "running"}, spec={"image": ""}),
    _spec(image=None),
    _spec(image=["a", "b"]),
    _spec(image="x" * 20_000),
    _spec(port="http"),
    _spec(port=70_000),
    _spec(replicas=-1),
    _spec(replicas="many"),
    _spec(replicas=10**30),
    _spec(gpu_count=-4),
    _spec(gpu_count=1.5),
    _spec(env=["A=1"]),
    _spec(env={"not a name": {"deep": [1, {"er": True}]}}),
    _spec(env={f"E{number}": {"x": number} for number in range(300)}),
    _deep,
    _spec(resources={"requests": {"cpu": "four"}}),
    _spec(resources=8),
    _spec(command={"0": "python"}),
    _spec(args="--model x"),
    _spec(tolerations=["all"]),
    _spec(node_selector=["gpu"]),
    _spec(autoscaling={"enabled": True, "min_replicas": 9, "max_replicas": 2}),
    _spec(autoscaling="on"),
    _spec(health_check_path=12),
    _set(ingress_path={"path": "/"}),
)


def malformed_items(count: int, namespace: str, rng: random.Random) -> list[WireItem]:
    """Returns `count` items named malformed-NNNN, each with one or two defects; together they cover all of DEFECTS."""
    found = []
    for number in range(count):
        plain = item(f"malformed-{number:04}", namespace=namespace)
        spoils = [DEFECTS[number % len(DEFECTS)]]
        if number >= len(DEFECTS) and isinstance(plain["spec"], dict):
            spoils.insert(0, _spec(**{rng.choice(("port", "replicas", "env")): rng.choice(("", [], True, "??"))}))
        for spoil in spoils:
            spoil(plain)
        found.append(wire.encode(plain))
    return found
