"""Other clients of the cluster: people who edit, scale and delete the controller's objects, and pods that fail."""

import random
import time
from collections.abc import Callable
from typing import Any

from gco_stream.local.errors import KubeError
from gco_stream.local.kube_api import JSON_PATCH, KubeApi, path_of
from gco_stream.model import names
from tests.chaos.run.actors.roster import Place, Roster
from tests.chaos.run.records.evidence import Action
from tests.chaos.run.records.journal import ActionLog

# A template that others edit repeatedly becomes contested and is then rightly left alone.
_TEMPLATE_EDITS = 1
_OTHER_TABLE = "arn:aws:dynamodb:us-east-1:000000000000:table/another-installation"
_READINESS_ANNOTATION = "gco.local/ready"

Ref = tuple[str, str, str]


class ClusterActors:
    """Performs cluster edits; each step has its own seed, like the users' steps."""

    def __init__(self, kube: KubeApi, roster: Roster, history: ActionLog, seed: int) -> None:
        self._kube = kube
        self._roster = roster
        self._journal = history
        self._seed = seed
        self._edited: dict[str, int] = {}
        self.foreign: dict[Ref, str] = {}
        self.done = 0

    def create_foreign_objects(self) -> None:
        """Creates foreign objects, some under the name of an endpoint's Service, and records their resourceVersions."""
        for place in self._roster.places:
            if place.squatted:
                self._foreign("Service", place.namespace, place.name, {"app": "mine"}, {})
        labels, table = names.labels("of-another-table"), {names.TABLE_ANNOTATION: _OTHER_TABLE}
        for namespace in self._roster.namespaces:
            self._foreign("Service", namespace, "somebodys", {"team": "x"}, {})
            self._foreign(
                "Service",
                namespace,
                "of-another-table",
                labels,
                table | {names.ENDPOINT_ANNOTATION: "of-another-table"},
            )

    def _foreign(self, kind: str, namespace: str, name: str, labels: Any, annotations: Any) -> None:
        made = self._kube.create(
            path_of(kind, namespace),
            {
                "metadata": {"name": name, "labels": labels, "annotations": annotations},
                "spec": {"ports": [{"port": 80}]},
            },
        )
        self.foreign[kind, namespace, name] = made["metadata"]["resourceVersion"]

    def changed_foreign_objects(self) -> list[str]:
        """Describes foreign objects that have changed since their creation."""
        found = []
        for (kind, namespace, name), version in self.foreign.items():
            now = self._kube.find(path_of(kind, namespace, name))
            if now is None or now["metadata"]["resourceVersion"] != version:
                found.append(f"foreign {kind} {namespace}/{name} was {'changed' if now else 'deleted'}")
        return found

    def act(self, number: int) -> None:
        """Performs the step with this number on the current cluster."""
        rng = random.Random(f"{self._seed}:hands:{number}")
        place = rng.choice(self._roster.touched)
        deed = rng.choice((self._edit, self._edit, self._delete, self._scale, self._pods, self._pods, self._template))
        began, failed = time.time(), ""
        what, about, act = deed(rng, place)
        try:
            act()
        except (KubeError, ConnectionError, TimeoutError) as error:
            failed = str(error)[:200]
        else:
            self.done += 1
        self._journal.record_action(Action(began, time.time(), "hands", what, place.name, about=about, failed=failed))

    def heal_pods(self) -> None:
        """Makes all pods ready again that were set to not ready."""
        for namespace in self._roster.namespaces:
            for pod in self._kube.list(path_of("Pod", namespace)):
                if (pod["metadata"].get("annotations") or {}).get(_READINESS_ANNOTATION) == "false":
                    self._tell(pod, "true")

    def _edit(self, rng: random.Random, place: Place) -> tuple[str, Ref, Callable[[], Any]]:
        kind, name, patch = rng.choice(
            (
                ("Service", place.name, {"spec": {"selector": {"app": "nobody"}}}),
                ("Service", place.name, {"metadata": {"labels": {"project": None}}}),
                ("Ingress", names.ingress_name(place.name), {"metadata": {"labels": {"app": "other"}}}),
                (
                    "Ingress",
                    names.ingress_name(place.name),
                    {"metadata": {"annotations": {names.DRAINING_SINCE_ANNOTATION: "nonsense"}}},
                ),
                (
                    "Ingress",
                    names.ingress_name(place.name),
                    {"metadata": {"annotations": {names.UNREADY_SINCE_ANNOTATION: "2020-01-01T00:00:00+00:00"}}},
                ),
                ("Deployment", place.name, {"metadata": {"labels": {"project": None}}}),
                (
                    "Deployment",
                    place.name,
                    {"metadata": {"annotations": {names.TEMPLATE_VERSION_ANNOTATION: "rubbish"}}},
                ),
                ("Deployment", place.name, {"metadata": {"annotations": {"team/notes": "unowned, stays"}}}),
                ("HorizontalPodAutoscaler", place.name, {"spec": {"maxReplicas": 7}}),
                ("Deployment", names.canary_name(place.name), {"spec": {"replicas": 3}}),
            )
        )
        about = (kind, place.namespace, name)
        return f"edit {kind}", about, lambda: self._kube.patch(path_of(*_of(about)), patch)

    def _delete(self, rng: random.Random, place: Place) -> tuple[str, Ref, Callable[[], Any]]:
        kind, name = rng.choice(
            (
                ("Service", place.name),
                ("Ingress", names.ingress_name(place.name)),
                ("Ingress", names.ingress_name(place.name)),
                ("Deployment", place.name),
                ("HorizontalPodAutoscaler", place.name),
                ("Deployment", names.canary_name(place.name)),
                ("Service", names.canary_name(place.name)),
            )
        )
        about = (kind, place.namespace, name)
        return f"delete {kind}", about, lambda: self._kube.delete(path_of(*_of(about)))

    def _scale(self, rng: random.Random, place: Place) -> tuple[str, Ref, Callable[[], Any]]:
        about = ("Deployment", place.namespace, place.name)
        patch = {"spec": {"replicas": rng.randrange(4)}}
        return "scale", about, lambda: self._kube.patch(path_of(*_of(about)), patch)

    def _template(self, rng: random.Random, place: Place) -> tuple[str, Ref, Callable[[], Any]]:
        if self._edited.get(place.name, 0) >= _TEMPLATE_EDITS:
            return self._scale(rng, place)
        self._edited[place.name] = self._edited.get(place.name, 0) + 1
        about = ("Deployment", place.namespace, place.name)
        field = "/spec/template/spec/containers/0/image"
        patch = [{"op": "replace", "path": field, "value": f"registry.example/by-hand:{rng.randrange(1000)}"}]
        return "edit template", about, lambda: self._kube.patch(path_of(*_of(about)), patch, content_type=JSON_PATCH)

    def _pods(self, rng: random.Random, place: Place) -> tuple[str, Ref, Callable[[], Any]]:
        # One step affects all pods of an endpoint: they fail, recover or are evicted.
        fate = rng.choice(("false", "true", "true", "evict"))

        def act() -> None:
            for pod in self._kube.list(path_of("Pod", place.namespace), labels=f"app={place.name}"):
                if fate == "evict":
                    self._kube.delete(path_of("Pod", place.namespace, pod["metadata"]["name"]))
                else:
                    self._tell(pod, fate)

        words = {"false": "pods fail", "true": "pods recover", "evict": "pods are evicted"}
        return words[fate], ("Pod", place.namespace, place.name), act

    def _tell(self, pod: dict[str, Any], ready: str) -> None:
        path = path_of("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"])
        try:
            self._kube.patch(path, {"metadata": {"annotations": {_READINESS_ANNOTATION: ready}}})
        except KubeError as error:
            if error.status != 404:
                raise


def _of(ref: Ref) -> tuple[str, str, str]:
    kind, namespace, name = ref
    return kind, namespace, name
