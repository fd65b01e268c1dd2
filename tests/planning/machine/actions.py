"""Changes that people and programs make to items and objects, by name, for the state machine."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from gco_stream.model import names
from gco_stream.model.objects import Kind, ObjectRef
from tests.planning.machine.machine import OTHER_NAMESPACE, OTHER_REGION, Region
from tests.support.items import REGION
from tests.support.simulated_cluster import NAMESPACE, TABLE
from tests.support.value_api_server import KUBECTL, Path, Stored

Item = dict[str, Any]
Change = Callable[[Item], None]
IMAGES = ("registry.example/serve:1.0", "registry.example/serve:2.0", "registry.example/vllm:3.0")
_SCALING = {"enabled": True, "min_replicas": 2, "max_replicas": 5}


def _spec(**values: Any) -> Change:
    """GCO's spec update, which also sets desired_state to deploying. None removes a field."""

    def change(item: Item) -> None:
        if isinstance(item["spec"], dict):
            item["spec"].update(values)
            item["spec"] = {key: value for key, value in item["spec"].items() if value is not None}
            item["desired_state"] = "deploying"

    return change


def _canary(**values: Any) -> Change:
    def change(item: Item) -> None:
        canary = item["spec"].get("canary") or {"image": IMAGES[1], "weight": 20, "replicas": 1}
        _spec(canary={**canary, **values})(item)

    return change


def _promoted(item: Item) -> None:
    canary = item["spec"].get("canary")
    if canary and canary["image"] in IMAGES:
        _spec(image=canary["image"], canary=None)(item)


def _set(**values: Any) -> Change:
    def change(item: Item) -> None:
        item.update(values)

    return change


def _scaled(count: int) -> Change:
    """GCO's scale command, which changes only spec.replicas."""

    def change(item: Item) -> None:
        item["spec"]["replicas"] = count

    return change


def _fixed(item: Item) -> None:
    if item["spec"].get("port") == "a port":
        item["spec"].pop("port")
    if (item["spec"].get("canary") or {}).get("image") == "not an image":
        _canary(image=IMAGES[1])(item)
    item.pop("hold", None)
    item["target_regions"] = item["target_regions"] or [REGION]


USER_CHANGES: Mapping[str, Change] = MappingProxyType(
    {
        "running": _set(desired_state="running"),
        "deploying": _set(desired_state="deploying"),
        "stopped": _set(desired_state="stopped"),
        "deleted": _set(desired_state="deleted"),
        "image 1": _spec(image=IMAGES[0]),
        "image 2": _spec(image=IMAGES[1]),
        "image 3": _spec(image=IMAGES[2]),
        "env": _spec(env={"MODE": "fast", "LEVEL": "1"}),
        "other env": _spec(env={"MODE": "slow"}),
        "no env": _spec(env=None),
        "port": _spec(port=9000),
        "no replicas": _scaled(0),
        "one replica": _scaled(1),
        "three replicas": _scaled(3),
        "autoscaling": _spec(autoscaling=_SCALING),
        "other bounds": _spec(autoscaling={**_SCALING, "min_replicas": 1, "max_replicas": 3}),
        "no autoscaling": _spec(autoscaling=None),
        "canary": _canary(),
        "canary with another image": _canary(image=IMAGES[2]),
        "canary at 50%": _canary(weight=50),
        "canary at 0%": _canary(weight=0),
        "two canaries": _canary(replicas=2),
        "canary without replicas": _canary(replicas=0),
        "invalid canary": _canary(image="not an image"),
        "no canary": _spec(canary=None),
        "promoted canary": _promoted,
        "invalid spec": _spec(port="a port"),
        "invalid item": _set(target_regions=[]),
        "held": _set(hold="under investigation"),
        "fixed": _fixed,
        "this region": _set(target_regions=[REGION]),
        "both regions": _set(target_regions=[REGION, OTHER_REGION]),
        "the other region": _set(target_regions=[OTHER_REGION]),
        "other namespace": _set(namespace=OTHER_NAMESPACE),
        "forbidden namespace": _set(namespace="kube-system"),
        "first namespace": _set(namespace=NAMESPACE),
    }
)

_HASH, _VERSION = names.TEMPLATE_HASH_ANNOTATION, names.TEMPLATE_VERSION_ANNOTATION
_UNREADY, _DRAINING = names.UNREADY_SINCE_ANNOTATION, names.DRAINING_SINCE_ANNOTATION
_TIMES = ("2020-01-01T00:00:00+00:00", "2026-11-21T09:00:00", "nonsense", "", "2036-01-01T00:00:00+00:00")


def _annotation(name: str, value: str | None) -> tuple[Path, Any]:
    return ("f:metadata", "f:annotations", f"f:{name}"), value


def _label(name: str, value: str | None) -> tuple[Path, Any]:
    return ("f:metadata", "f:labels", f"f:{name}"), value


_ANY = (
    *[_label(label, None) for label in ("project", "gco.io/type", "app")],
    _label("team", "other"),
    *[_annotation(name, None) for name in (names.ENDPOINT_ANNOTATION, names.TABLE_ANNOTATION)],
    _annotation(names.REVISION_ANNOTATION, "invalid"),
)
_CONTAINER = ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"inference"}')
EDITS: Mapping[Kind, tuple[tuple[Path, Any], ...]] = MappingProxyType(
    {
        Kind.DEPLOYMENT: (
            *_ANY,
            *[(("f:spec", "f:replicas"), count) for count in (0, 1, 4, 9)],
            ((*_CONTAINER, "f:image"), "registry.example/other:9"),
            ((*_CONTAINER, "f:resources", "f:limits", "f:cpu"), "64"),
            (("f:spec", "f:paused"), True),
            (("f:spec", "f:paused"), None),
            _annotation(_HASH, "invalid"),
            _annotation(_HASH, None),
            _annotation(_VERSION, "invalid"),
            _annotation(_VERSION, None),
        ),
        Kind.SERVICE: (
            *_ANY,
            (("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:targetPort"), 1234),
            (("f:spec", "f:ports"), [{"port": 81, "protocol": "TCP", "targetPort": 8000}]),
        ),
        Kind.INGRESS: (
            *_ANY,
            *[_annotation(clock, time) for clock in (_UNREADY, _DRAINING) for time in (*_TIMES, None)],
            _annotation(names.WEIGHTED_ROUTING_ANNOTATION, None),
            _annotation(names.WEIGHTED_ROUTING_ANNOTATION, "{"),
            _label(names.CANARY_LABEL, None),
            (("f:spec", "f:ingressClassName"), "nginx"),
        ),
        Kind.HPA: (*_ANY, (("f:spec", "f:maxReplicas"), 9), (("f:spec", "f:minReplicas"), None)),
    }
)


def edit(world: Region, stored: Stored, number: int) -> None:
    """One of the edits of an object of this kind."""
    edits = EDITS[stored.ref.kind]
    path, value = edits[number % len(edits)]
    world.api.edit(stored.ref, KUBECTL, path, value)


def foreign(world: Region, ref: ObjectRef, number: int) -> None:
    """Creates an object of another owner with one of our names."""
    if ref in world.api.stored:
        return
    labels = ({}, {"app": ref.name}, names.labels(ref.name), names.labels(ref.name))[number % 4]
    annotations = ({}, {}, {names.TABLE_ANNOTATION: TABLE + "-of-others"}, {names.ENDPOINT_ANNOTATION: "c"})[number % 4]
    spec: dict[str, Any] = {"selector": {"matchLabels": {"app": "theirs"}}, "replicas": 1, "template": {}}
    if ref.kind is not Kind.DEPLOYMENT:
        spec = {"rules": [{"http": {"paths": [{"backend": {"service": {"name": "theirs"}}}]}}]}
    metadata = {"name": ref.name, "namespace": ref.namespace, "labels": labels, "annotations": annotations}
    made = world.api.create(KUBECTL, {"kind": str(ref.kind), "metadata": metadata, "spec": spec})
    world.promises.makers[made.uid] = None
