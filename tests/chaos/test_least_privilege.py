"""The rights listed in docs/security.md are sufficient, and the controller uses no others."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import KubeApi, path_of
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.integration.support.pods import tell_pods
from tests.support.items import item

pytestmark = pytest.mark.integration
PAGE = Path(__file__).parents[2] / "docs" / "security.md"
LEASE = "inference-monitor-leader"
CANARY = {"image": "registry.example/serve:2.0", "weight": 20, "replicas": 1}
SCALING = {"enabled": True, "min_replicas": 1, "max_replicas": 3}
# Requests that this test does not trigger: a GET follows a conflict, Deployments of the former system are scaled before
# they are applied, and a repeated Event is patched. An apply that creates an object is a patch in the audit log, but it
# needs both verbs.
UNSEEN = {("deployments/scale", "patch"), ("events", "patch")}
EVERYWHERE_UNSEEN = {"get", "create"}


def documented() -> dict[tuple[str, str], frozenset[str]]:
    """Parses the page's table into verbs by group and resource."""
    table = PAGE.read_text().partition("## What the controller needs in Kubernetes")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?:`([a-z0-9.]+)`|\(core\)) \| `([a-z/]+)` \| ([a-z ]+) \|$", table, re.MULTILINE)
    return {(group, resource): frozenset(verbs.split()) for group, resource, verbs in rows}


def grant(kube: KubeApi, namespace: str, user: str) -> None:
    """Grants the user the documented rights in the namespace, those for the Lease by name."""
    rules: list[dict[str, Any]] = []
    for (group, resource), verbs in documented().items():
        if resource == "leases":
            rules.append({"apiGroups": [group], "resources": [resource], "verbs": ["create"]})
            named = {"resourceNames": [LEASE], "verbs": sorted(verbs - {"create"})}
            rules.append({"apiGroups": [group], "resources": [resource], **named})
        else:
            rules.append({"apiGroups": [group], "resources": [resource], "verbs": sorted(verbs)})
    api = "rbac.authorization.k8s.io"
    role = {"apiGroup": api, "kind": "Role", "name": "least"}
    kube.create(path_of("Role", namespace), {"metadata": {"name": "least"}, "rules": rules})
    subject = {"apiGroup": api, "kind": "User", "name": user}
    binding = {"metadata": {"name": "least"}, "roleRef": role, "subjects": [subject]}
    kube.create(path_of("RoleBinding", namespace), binding)


def test_the_documented_rights_are_sufficient_and_no_others_are_used(
    control_plane: ControlPlane, world: World, program: Callable[..., Program]
) -> None:
    kube, user = world.kube, f"least:{world.namespace}"
    grant(kube, world.namespace, user)
    mark = control_plane.audit.mark()
    one = program(
        KUBECONFIG=str(control_plane.kubeconfig_for(user, groups=())),
        CANARY_DRAIN_SECONDS="1",
        INFERENCE_UNHEALTHY_THRESHOLD_SECONDS="1",
    ).wait_working()
    lives(world, one)
    assert one.stop() == 0
    calls = [call for call in control_plane.audit.calls(mark, user=user) if call.namespace == world.namespace]
    refused = {(call.verb, call.resource, call.name) for call in calls if call.status == 403}
    assert refused == set()
    rights = {resource: verbs for (_, resource), verbs in documented().items()}
    made: dict[str, set[str]] = {resource: set() for resource in rights}
    for entry in control_plane.audit.entries(mark):
        if entry.user == user and entry.namespace == world.namespace:
            resource = f"{entry.resource}/{entry.subresource}" if entry.subresource else entry.resource
            made[resource].add(entry.verb)
    idle = {(name, verb) for name, verbs in rights.items() for verb in verbs - made[name] - EVERYWHERE_UNSEEN}
    assert idle - UNSEEN == set()
    assert {name: verbs - rights[name] for name, verbs in made.items() if verbs - rights[name]} == {}


def lives(world: World, one: Program) -> None:
    """Covers an endpoint's lifecycle: create, update, scale, canary, stop, withdrawal of the Ingress, delete."""
    world.put(item("whole", spec={"gpu_count": 0, "autoscaling": SCALING, "canary": CANARY}))
    world.put(item("ill", spec={"gpu_count": 0}))
    one.until(lambda: world.state("whole") == world.state("ill") == "running", "both endpoints are running")
    tell_pods(world, "false", "ill")
    one.until(lambda: world.get("Ingress", "inference-ill") is None, "the Ingress of the unready endpoint is withdrawn")
    one.until(lambda: world.report("ill").get("reason") == "IngressWithdrawn", "the withdrawal is reported")
    assert "Events cannot be listed" not in one.http("/endpoints/ill")[1]
    world.update_spec("whole", canary=None, autoscaling=None, replicas=2)
    one.until(lambda: "Deployment/whole-canary" not in world.objects(), "the canary is deleted")
    one.until(lambda: world.replicas("whole") == 2, "the Deployment is scaled")
    service = path_of("Service", world.namespace, "whole")
    world.kube.patch(service, {"spec": {"selector": {"app": "other"}}})
    one.until(lambda: world.kube.get(service)["spec"]["selector"] == {"app": "whole"}, "drift is repaired")
    world.set_desired_state("whole", "stopped")
    one.until(lambda: world.state("whole") == "stopped", "the endpoint is stopped")
    for name in ("whole", "ill"):
        world.set_desired_state(name, "deleted")
        one.until(partial(_is_gone, world, name), f"{name} is purged")


def _is_gone(world: World, name: str) -> bool:
    return world.item(name) is None
