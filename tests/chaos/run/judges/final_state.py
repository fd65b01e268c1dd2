"""Judges the final state (I1): after quiet, the cluster matches the table.

Derived independently from the meaning of an item; it shares no code with the controller's planner.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gco_stream.model import names
from tests.chaos.run.records.evidence import KINDS, Plain, owner_of, spec_of

Object = Mapping[str, Any]
Ref = tuple[str, str, str]

_NEVER = ("-never-ready", "-crash-loop", "-image-pull-error")


def out_of_sync(
    items: Mapping[str, Plain],
    objects: Mapping[Ref, Object],
    region: str,
    namespaces: Sequence[str],
    known: Sequence[str],
    foreign: frozenset[Ref] = frozenset(),
) -> list[str]:
    """Describes differences between `items` (by name) and `objects` (by kind, namespace and name).

    `known`: every name that ever had an item.
    """
    found: list[str] = []
    for name in known:
        one = _Endpoint(name, items.get(name, {}), objects, region, namespaces, foreign)
        found += [f"{name}: {complaint}" for complaint in one.problems()]
    return found


class _Endpoint:
    def __init__(
        self,
        name: str,
        item: Plain,
        objects: Mapping[Ref, Object],
        region: str,
        namespaces: Sequence[str],
        foreign: frozenset[Ref],
    ) -> None:
        self.name = name
        self.item = item
        self.region = region
        self.spec = spec_of(item)
        self.namespace = str(item.get("namespace") or namespaces[0])
        self._objects = objects
        self._foreign = foreign
        self._namespaces = namespaces

    def problems(self) -> list[str]:
        if not self.item:
            return self._no_objects("there is no item")
        state = self.item["desired_state"]
        if "hold" in self.item:
            return self._held()
        if state == "deleted":
            # If the item also targets other regions, it waits for their reports, and no controller runs there.
            here = set(self.item["target_regions"]) <= {self.region}
            return ["deleted, but still in the table"] * here + self._no_objects("the endpoint is deleted")
        if self.region not in self.item["target_regions"]:
            said = self._report().get("state", "deleted")
            return self._no_objects(f"the endpoint has left {self.region}") + (
                [f"has left the region, which reports {said}"] if said != "deleted" else []
            )
        squatted = [ref for ref in self._foreign if ref[1:] == (self.namespace, self.name)]
        if squatted:
            return self._expect_error("ObjectNotOwned")
        if state == "stopped":
            return self._stopped()
        if self.spec.get("port") == 99999:
            return self._expect_error("InvalidSpec")
        return [*self._main(), *self._canary(), *self._route(), *self._expect_report()]

    def _report(self) -> Mapping[str, Any]:
        statuses = self.item.get("region_status")
        found = statuses.get(self.region) if isinstance(statuses, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    def _get(self, kind: str, name: str) -> Object | None:
        return self._objects.get((kind, self.namespace, name))

    def _no_objects(self, why: str) -> list[str]:
        wanted = {
            ("Deployment", self.name),
            ("Service", self.name),
            ("Ingress", names.ingress_name(self.name)),
            ("HorizontalPodAutoscaler", self.name),
            ("Deployment", names.canary_name(self.name)),
            ("Service", names.canary_name(self.name)),
        }
        return [
            f"{kind} {namespace}/{name} exists although {why}"
            for kind, name in sorted(wanted)
            for namespace in self._namespaces
            if (kind, namespace, name) in self._objects and (kind, namespace, name) not in self._foreign
        ]

    def _held(self) -> list[str]:
        # A region that the endpoint has left reports nothing.
        if self.region not in self.item["target_regions"] and self._report().get("state", "deleted") == "deleted":
            return []
        return (
            [] if self._report().get("reason") == "Held" else [f"held, but the region reports {dict(self._report())}"]
        )

    def _expect_error(self, reason: str) -> list[str]:
        report = self._report()
        if (report.get("state"), report.get("reason")) == ("error", reason):
            return []
        return [f"the region should report error ({reason}), but reports {dict(report)}"]

    def _stopped(self) -> list[str]:
        found = []
        for name in (self.name, names.canary_name(self.name)):
            deployment = self._get("Deployment", name)
            if deployment is not None and deployment["spec"]["replicas"] != 0:
                found.append(f"stopped, but {name} has {deployment['spec']['replicas']} replicas")
        if self._get("Ingress", names.ingress_name(self.name)) is not None:
            found.append("stopped, but has an Ingress")
        if self._get("HorizontalPodAutoscaler", self.name) is not None:
            found.append("stopped, but has an HPA")
        if self._report().get("state") != "stopped":
            found.append(f"stopped, but the region reports {dict(self._report())}")
        return found

    def _main(self) -> list[str]:
        deployment = self._get("Deployment", self.name)
        if deployment is None:
            return ["has no Deployment"]
        image = (self.spec.get("region_image_uris") or {}).get(self.region) or self.spec["image"]
        found = self._runs(deployment, image)
        replicas, scaling = deployment["spec"]["replicas"], self.spec.get("autoscaling") or {}
        scaler = self._get("HorizontalPodAutoscaler", self.name)
        if scaling.get("enabled"):
            if not scaling["min_replicas"] <= replicas <= scaling["max_replicas"]:
                found.append(f"has {replicas} replicas, outside the bounds of its autoscaling")
            if scaler is None or scaler["spec"]["maxReplicas"] != scaling["max_replicas"]:
                found.append(f"its HPA is {scaler and scaler['spec']}")
        else:
            if replicas != self.spec.get("replicas", 1):
                found.append(f"has {replicas} replicas, not {self.spec.get('replicas', 1)}")
            if scaler is not None:
                found.append("has an HPA, but no autoscaling")
        return found + self._served(self.name)

    def _canary(self) -> list[str]:
        name, canary = names.canary_name(self.name), self.spec.get("canary")
        deployment = self._get("Deployment", name)
        if not canary:
            left = [kind for kind in ("Deployment", "Service") if self._get(kind, name) is not None]
            return [f"the canary's {' and '.join(left)} still exist"] if left else []
        if deployment is None:
            return ["its canary has no Deployment"]
        found = self._runs(deployment, canary["image"])
        if deployment["spec"]["replicas"] != canary.get("replicas", 1):
            found.append(f"its canary has {deployment['spec']['replicas']} replicas, not {canary.get('replicas', 1)}")
        return found + self._served(name)

    def _runs(self, deployment: Object, image: str) -> list[str]:
        name = deployment["metadata"]["name"]
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        found = [] if container["image"] == image else [f"{name} runs {container['image']}, not {image}"]
        environment = {entry["name"]: entry.get("value") for entry in container.get("env", ())}
        for key, value in (self.spec.get("env") or {}).items():
            if environment.get(key) != value:
                found.append(f"{name} has {key}={environment.get(key)}, not {value}")
        status = deployment.get("status", {})
        count = deployment["spec"]["replicas"]
        counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas")]
        if not image.endswith(_NEVER) and counts != [count] * 3:
            found.append(f"{name} has not rolled out: {counts} of {count}")
        return found

    def _served(self, app: str) -> list[str]:
        service = self._get("Service", app)
        if service is None:
            return [f"{app} has no Service"]
        port = service["spec"]["ports"][0]
        wanted = ({"app": app}, 80, self.spec.get("port", 8000))
        seen = (service["spec"].get("selector"), port["port"], port["targetPort"])
        return [] if seen == wanted else [f"Service {app} is {seen}, not {wanted}"]

    def _route(self) -> list[str]:
        ingress = self._get("Ingress", names.ingress_name(self.name))
        scaled = (self.spec.get("autoscaling") or {}).get("enabled")
        if not scaled and self.spec.get("replicas") == 0:
            return ["has an Ingress but no replicas"] if ingress is not None else []
        if str(self.spec["image"]).endswith(_NEVER):
            return []
        if ingress is None:
            return ["has no Ingress"]
        path = ingress["spec"]["rules"][0]["http"]["paths"][0]
        found = [] if path["path"] == self.item["ingress_path"] else [f"its path is {path['path']}"]
        annotations = ingress["metadata"].get("annotations", {})
        found += [f"{clock} is still set" for clock in _CLOCKS if clock in annotations]
        weights, wanted = _weights(path["backend"]["service"], annotations), self._shares()
        return found if weights == wanted else [*found, f"its Ingress routes {weights}, not {wanted}"]

    def _shares(self) -> dict[str, int]:
        canary = self.spec.get("canary") or {}
        weight = canary.get("weight", 10) if canary and canary.get("replicas", 1) else 0
        if not weight or str(canary["image"]).endswith(_NEVER):
            return {self.name: 100}
        shares = {self.name: 100 - weight, names.canary_name(self.name): weight}
        return {service: share for service, share in shares.items() if share}

    def _expect_report(self) -> list[str]:
        report = self._report()
        if str(self.spec["image"]).endswith(_NEVER):
            return []
        deployment = self._get("Deployment", self.name)
        count = deployment["spec"]["replicas"] if deployment is not None else 0
        ready = deployment.get("status", {}).get("readyReplicas", 0) if deployment is not None else 0
        seen = (report.get("state"), report.get("replicas_ready"), report.get("replicas_desired"), report.get("error"))
        found = []
        if seen != ("running", ready, count, None):
            found.append(f"the region reports {seen}; {ready} of {count} are ready")
        if self.item["desired_state"] != "running":
            found.append("is not promoted")
        return found


_CLOCKS = (names.UNREADY_SINCE_ANNOTATION, names.DRAINING_SINCE_ANNOTATION)


def _weights(service: Mapping[str, Any], annotations: Mapping[str, str]) -> dict[str, int]:
    if service["name"] != "weighted-routing":
        return {service["name"]: 100}
    action = json.loads(annotations.get(names.WEIGHTED_ROUTING_ANNOTATION, "{}"))
    groups = action.get("forwardConfig", {}).get("targetGroups", ())
    return {group["serviceName"]: group["weight"] for group in groups if group["weight"]}


def lacks_pods(objects: Mapping[Ref, Object]) -> bool:
    """Whether a Deployment lacks pods that the controller manager should create."""
    return any(
        obj.get("status", {}).get("replicas", 0) < obj["spec"]["replicas"]
        for (kind, _, _), obj in objects.items()
        if kind == "Deployment"
    )


def without_labels(objects: Mapping[Ref, Object]) -> frozenset[str]:
    """Returns the endpoints with an object that lacks the labels by which the controller's lists select."""
    return frozenset(
        owner_of(kind, name)[0]
        for (kind, _, name), obj in objects.items()
        if obj["metadata"].get("labels", {}).get(names.PROJECT_LABEL) != "gco"
    )


def leftovers(objects: Mapping[Ref, Object], known: Sequence[str], foreign: frozenset[Ref]) -> list[str]:
    """Describes objects with the labels of an endpoint that never existed."""
    return [
        f"{kind} {namespace}/{name} belongs to an endpoint that never existed"
        for (kind, namespace, name), obj in objects.items()
        if kind in KINDS
        and (kind, namespace, name) not in foreign
        and obj["metadata"].get("annotations", {}).get(names.ENDPOINT_ANNOTATION, known[0]) not in known
    ]
