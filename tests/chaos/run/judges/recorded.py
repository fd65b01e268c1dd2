"""Builders of records for tests of the judges: the versions, calls and events of one endpoint."""

from collections.abc import Mapping
from typing import Any

from gco_stream.model import wire
from tests.chaos.run.records.evidence import Action, Call, Change, Event, Evidence, Plain
from tests.support.items import REGION, item

NAMESPACE = "gco-inference"
ONE, TWO, THREE = (f"registry.example/serve:{number}.0" for number in (1, 2, 3))
SERVICE, DEPLOYMENT = ("Service", NAMESPACE, "chat"), ("Deployment", NAMESPACE, "chat")
INGRESS, CANARY = ("Ingress", NAMESPACE, "inference-chat"), ("Deployment", NAMESPACE, "chat-canary")
HPA = ("HorizontalPodAutoscaler", NAMESPACE, "chat")
END = 1000.0

Ref = tuple[str, str, str]


def item_version(image: str = ONE, state: str = "running", **attributes: Any) -> dict[str, Any]:
    spec = {"image": image, "replicas": 1, **attributes.pop("spec", {})}
    return item(spec=spec, desired_state=state, **attributes)


def region_report(plain: Mapping[str, Any], state: str, intent: str | None = None, **entry: Any) -> dict[str, Any]:
    """Returns the item with this region's report."""
    report = {"state": state, "epoch": 1, "intent": intent or wire.intent_of(wire.encode(plain)), **entry}
    return {**plain, "region_status": {REGION: report}}


def history(*versions: tuple[float, Plain]) -> tuple[Change, ...]:
    found, old = [], dict[str, Any]()
    for at, new in versions:
        found.append(Change(at, "chat", old, new))
        old = dict(new)
    return tuple(found)


def recorded(*versions: tuple[float, Plain], **more: Any) -> Evidence:
    return Evidence(region=REGION, began=0.0, quiet=900.0, ended=END, changes=history(*versions), **more)


def call(verb: str, ref: Ref, at: float, status: int = 200, replica: str = "r0") -> Call:
    return Call(at, at + 0.01, replica, verb, *ref, status)


def event(ref: Ref, at: float, type_: str = "MODIFIED", uid: str = "u1", **obj: Any) -> Event:
    known = {"version": "1", "labels": {}, "annotations": {"gco.io/endpoint": "chat"}, "going": False}
    if ref[0] == "Deployment":
        known |= {"replicas": 1, "image": ONE, "template": ONE, "ready": 1}
    return Event(at, type_, *ref, uid, {**known, **obj})


def template(image: str, at: float, type_: str = "MODIFIED", ref: Ref = DEPLOYMENT) -> Event:
    return event(ref, at, type_, uid=f"of {ref[2]}", image=image, template=image)


def user(mark: str) -> Action:
    return Action(0.0, 0.1, "user", "new image", "chat", mark=mark)
