"""Invariants of every step, checked against the item and the live objects, independent of the planning code."""

import json
from collections.abc import Set
from typing import Any

from gco_stream.model import names
from gco_stream.model.item.endpoint import DesiredState, Endpoint, InvalidItem, RegionState
from gco_stream.model.item.spec import EndpointSpec
from gco_stream.model.objects import JsonObject, Kind, ObjectRef
from gco_stream.planning.resources import pod_template as template
from gco_stream.planning.resources.manifests import deployment
from gco_stream.planning.types.plan import Plan, TableChange
from gco_stream.planning.types.policy import Policy
from gco_stream.planning.types.steps import Apply, Create, Delete, Scale, Step, TransferReplicas
from tests.support.items import REGION
from tests.support.value_api_server import KUBECTL, ApiServer, Stored, body_of, leaves

CLOCK = ("f:metadata", "f:annotations", f"f:{names.UNREADY_SINCE_ANNOTATION}")
DRAIN_CLOCK = ("f:metadata", "f:annotations", f"f:{names.DRAINING_SINCE_ANNOTATION}")
RUN = (DesiredState.DEPLOYING, DesiredState.RUNNING)


def desired_template(item: Endpoint, app: str) -> JsonObject | None:
    """The desired pod template of the item's main or canary; None if there is none."""
    spec = item.spec
    if spec is None:
        return None
    inputs = template.main_inputs(
        item.name, spec, image=spec.image_in(REGION), ingress_path=item.ingress_path, honor_gpu_type=False
    )
    if app != item.name:
        if (image := spec.canary_image_in(REGION)) is None:
            return None
        inputs = template.canary_inputs(inputs, image)
    manifest = deployment("", app, template.RENDERINGS.render(inputs, template.RENDERINGS.current), None, {})
    asked: JsonObject = body_of(manifest)["spec"]["template"]
    return asked


def image_in(stored: Stored) -> str:
    """The image of a Deployment's first container."""
    image: str = stored.body["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


def routed(api: ApiServer, endpoint: str, namespace: str) -> dict[str, int]:
    """The Services to which the endpoint's Ingress routes, with their weights; {} without an Ingress."""
    stored = api.stored.get(ObjectRef(Kind.INGRESS, namespace, names.ingress_name(endpoint)))
    return {} if stored is None or stored.deleting_since else backends(stored.body)


def backends(body: JsonObject) -> dict[str, int]:
    """The backend Services of an Ingress, with their weights."""
    service = body["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    if service["name"] != "weighted-routing":
        return {service["name"]: 100}
    try:
        action = json.loads(body["metadata"]["annotations"].get(names.WEIGHTED_ROUTING_ANNOTATION, "{}"))
    except ValueError:
        return {}
    groups = action.get("forwardConfig", {}).get("targetGroups", [])
    return {group["serviceName"]: group["weight"] for group in groups if group["weight"]}


def allowed_counts(item: Endpoint, app: str, present: int | None) -> set[int]:
    """The replica counts that the item allows."""
    spec = item.spec
    if item.desired_state is DesiredState.STOPPED:
        return {0}
    if spec is None:
        return set()
    if app != item.name:
        return {spec.canary.replicas} if spec.canary else set()
    if not spec.autoscaling.enabled:
        return {spec.replicas}
    low, high = spec.autoscaling.min_replicas, spec.autoscaling.max_replicas
    return {max(low, min(high, present or spec.replicas))}


class StepInvariants:
    """Checks each step before and after its execution.

    `makers`: the endpoint that created each uid, None for another owner. `elapsed`: seconds of real time. By namespace
    and name: `unrouted` is when an apply removed a canary's route, and `served` when a replica was last ready or the
    Ingress was created.
    """

    def __init__(self, api: ApiServer, policy: Policy) -> None:
        self.api = api
        self.policy = policy
        self.makers: dict[str, str | None] = {}
        self.made_of: dict[str, tuple[str, bytes]] = {}
        self.elapsed = 0.0
        self.served: dict[tuple[str, str], float] = {}
        self.unrouted: dict[tuple[str, str], float] = {}

    def before(self, item: Endpoint | InvalidItem, plan: Plan, position: int, deletions_left: int) -> None:
        step = plan.steps[position]
        assert isinstance(item, Endpoint), f"I7: step for an invalid item: {step}"
        assert item.hold is None, f"step despite a hold: {step}"
        self._own(step, item.name)
        stored = self.api.stored.get(step.ref)
        if stored is not None and DRAIN_CLOCK in stored.owners.get(KUBECTL, ()):
            # If somebody else sets the clock, it may expire at any time.
            self.unrouted.pop((step.ref.namespace, names.canary_name(item.name)), None)
        runs = REGION in item.target_regions and item.desired_state in RUN
        if runs:
            assert item.spec is not None, f"I7: step for an invalid spec: {step}"
            is_canarys = step.ref.name == names.canary_name(item.name)
            assert not (is_canarys and item.canary_problems), f"I7: step for an invalid canary: {step}"
        if isinstance(step, Delete):
            self._deletion(item, item.spec if runs else None, step)
            stays = runs or item.desired_state is DesiredState.STOPPED or item.desired_state is DesiredState.DELETED
            assert stays or (step.spends_budget and deletions_left), f"not allowed: {step}"
        taken = isinstance(step, Apply) or (isinstance(step, Create) and stored is None)
        if taken and step.ref.kind is Kind.INGRESS:
            body = body_of(step.manifest)
            self._route(item, plan, position, body)
            for service in routed(self.api, item.name, step.ref.namespace).keys() - backends(body).keys():
                left = self.api.stored.get(ObjectRef(Kind.DEPLOYMENT, step.ref.namespace, service))
                if left is not None and left.status.get("readyReplicas"):
                    self.unrouted[step.ref.namespace, service] = self.elapsed
                    self._left_by(item, left)
        if stored is not None and isinstance(step, Apply):
            assert not stored.deleting_since, f"terminating: {step}"
        if stored is not None and step.ref.name == names.canary_name(item.name) and runs:
            self._canary(item, step, stored)

    def before_orphans(self, plan: Plan, position: int, deletions_left: int) -> None:
        """Checks a step for an endpoint without an item."""
        step = plan.steps[position]
        assert isinstance(step, Delete), f"not allowed: {step}"
        assert step.spends_budget, f"not allowed: {step}"
        assert deletions_left, f"not allowed: {step}"
        self._own(step, plan.endpoint)
        assert self.api.observed_in(step.ref, names.ENDPOINT_ANNOTATION) == plan.endpoint, f"I5: {step}"

    def _own(self, step: Step, name: str) -> None:
        assert step.ref.namespace in self.policy.namespaces, f"I5: {step}"
        stored = self.api.stored.get(step.ref)
        if stored is not None and not isinstance(step, Create):
            maker = self.makers.get(stored.uid)
            assert maker == name, f"I5: created by {maker or 'another owner'}: {step}"

    def after(self, item: Endpoint, step: Step, before: tuple[bytes, int] | None) -> None:
        """Checks the effect of a step. `before`: template and replicas of its Deployment before the step."""
        if isinstance(step, Create) and step.ref.kind is Kind.INGRESS:
            self.served[step.ref.namespace, item.name] = self.elapsed
        if isinstance(step, Delete) and step.ref.kind is Kind.INGRESS:
            # Without an Ingress there is no drain.
            self.unrouted.pop((step.ref.namespace, names.canary_name(item.name)), None)
        stored = self.api.stored.get(step.ref)
        if stored is None or step.ref.kind is not Kind.DEPLOYMENT or isinstance(step, Delete):
            return
        count = stored.body["spec"]["replicas"]
        if before is None or before[1] != count:
            allowed = allowed_counts(item, step.ref.name, before[1] if before else None)
            assert count in allowed, f"{count} replicas, allowed {allowed}: {step}"
        if before is not None and before[0] == stored.template:
            return
        made_of, template_then = self.made_of.get(stored.uid, ("", b""))
        self._remember(item, stored)
        if before is None:
            return
        drifted = before[0] != template_then
        assert drifted or made_of != self.made_of[stored.uid][0], f"unrequested restart: {step}"
        wanted = desired_template(item, step.ref.name)
        assert wanted is not None, f"unrequested restart: {step}"
        there = json.loads(before[0])
        assert dict(leaves(there)) != dict(leaves(wanted)), f"second rollout for one change: {step}"

    def _remember(self, item: Endpoint, stored: Stored) -> None:
        assert item.spec is not None
        policies = {"replicas", "autoscaling", "canary"}
        image = item.spec.image_in(REGION) if stored.ref.name == item.name else item.spec.canary_image_in(REGION)
        spec = item.spec.model_dump(mode="json", exclude={*policies, "image", "region_image_uris"})
        # Both are behind one path, so the main's server also determines the canary's health check path.
        server = "vllm" in item.spec.image_in(REGION)
        made_of = json.dumps([spec, image, server, item.ingress_path], sort_keys=True)
        self.made_of[stored.uid] = made_of, stored.template

    def pass_time(self, seconds: float, looked_after: Set[str]) -> None:
        """Advances real time. `looked_after`: the endpoints that are reconciled."""
        self.elapsed += seconds
        for ref, stored in self.api.stored.items():
            if ref.name in looked_after and stored.status.get("readyReplicas") and not stored.deleting_since:
                self.served[ref.namespace, ref.name] = self.elapsed

    def report(self, item: Endpoint, state: RegionState) -> None:
        """Checks that a reported state is true."""
        name, namespace = item.name, item.namespace or self.policy.namespace
        main = self.api.stored.get(ObjectRef(Kind.DEPLOYMENT, namespace, name))
        if main is not None and self.makers[main.uid] != name:
            main = None
        if state is RegionState.RUNNING:
            assert main is not None
            assert self._rolled_out(main), f"reported running: {main.status}"
        elif state is RegionState.STOPPED:
            assert main is None or not main.status.get("replicas"), f"reported stopped: {main}"
        elif state is RegionState.DELETED:
            assert not self._left(name), f"reported deleted: {self._left(name)}"

    def table_change(self, item: Endpoint, change: TableChange) -> None:
        """Checks a table change against the item at the time of the write (I6)."""
        entries = [item.region_status.get(region) for region in item.target_regions]
        states = [
            entry.state if entry is not None and entry.intent in {None, item.intent} else None for entry in entries
        ]
        if change is TableChange.PROMOTE:
            assert item.desired_state is DesiredState.DEPLOYING
            assert all(state is RegionState.RUNNING for state in states), f"promoted at {states}"
            return
        assert item.desired_state is DesiredState.DELETED
        everywhere = [entry.state for entry in item.region_status.values()]
        assert all(state is RegionState.DELETED for state in states + everywhere), f"purged at {states}, {everywhere}"
        left = self._left(item.name)
        assert not left, f"purged while {left} are left"

    def _left(self, name: str) -> list[ObjectRef]:
        return [
            ref
            for ref, stored in self.api.stored.items()
            if self.makers[stored.uid] == name and self.api.observed_in(ref, names.ENDPOINT_ANNOTATION) == name
        ]

    def _rolled_out(self, stored: Stored) -> bool:
        count, status = stored.body["spec"]["replicas"], stored.status
        ready = status.get("readyReplicas", 0)
        return (not count or stored.running == stored.template) and count == ready == status.get("replicas", 0)

    def _deletion(self, item: Endpoint, runs: EndpointSpec | None, step: Delete) -> None:
        if runs is None:
            return
        if step.ref.kind is Kind.INGRESS:
            main = self.api.stored.get(ObjectRef(Kind.DEPLOYMENT, step.ref.namespace, item.name))
            ready = main.status.get("readyReplicas", 0) if main is not None and not main.deleting_since else 0
            stopping = not runs.autoscaling.enabled and runs.replicas == 0
            if stopping:
                return
            if self._has_no_pods(item, step.ref.namespace):
                return
            assert step.withdraws, step
            assert not ready, f"withdrawn with {ready} ready replicas"
            unready = self.elapsed - self.served.get((step.ref.namespace, item.name), 0.0)
            said = item.region_status.get(REGION)
            never_served = said is not None and said.state is RegionState.CREATING and not said.replicas_ready
            edited = CLOCK in self.api.stored[step.ref].owners.get(KUBECTL, ())
            patient = never_served or edited or unready >= self.policy.unhealthy_threshold
            assert patient, f"withdrawn after {unready} s"
        elif step.ref.kind is Kind.HPA:
            assert not runs.autoscaling.enabled, step
        else:
            assert step.ref.name == names.canary_name(item.name), f"I7: {step}"
            assert not item.has_canary, f"I7: {step}"

    def _has_no_pods(self, item: Endpoint, namespace: str) -> bool:
        """Whether another owner has a name that the endpoint needs and no Deployment with its names exists."""
        deployments = [ObjectRef(Kind.DEPLOYMENT, namespace, app) for app in (item.name, names.canary_name(item.name))]
        needed = [ObjectRef(kind, namespace, item.name) for kind in (Kind.SERVICE, Kind.HPA)]
        taken = [self.api.stored[ref].uid for ref in needed if ref in self.api.stored]
        return not any(ref in self.api.stored for ref in deployments) and any(
            self.makers[uid] != item.name for uid in taken
        )

    def _route(self, item: Endpoint, plan: Plan, position: int, body: JsonObject) -> None:
        namespace = plan.steps[position].ref.namespace
        for service, weight in backends(body).items():
            deployed = self.api.stored.get(ObjectRef(Kind.DEPLOYMENT, namespace, service))
            count = deployed.body["spec"]["replicas"] if deployed is not None else 0
            if service == item.name:
                raised = any(
                    isinstance(step, Create | Apply | TransferReplicas | Scale)
                    and (step.ref.kind, step.ref.name) == (Kind.DEPLOYMENT, service)
                    for step in plan.steps[position:]
                )
                going = deployed is not None and deployed.deleting_since
                assert count or raised or going, f"route to {service}, which stays at 0 replicas"
            else:
                assert deployed is not None, f"{weight}% to {service}, which does not exist"
                assert count, f"{weight}% to {service}, which has 0 replicas"
                assert not deployed.deleting_since, f"{weight}% to {service}, which is terminating"
                assert deployed.status.get("readyReplicas"), f"{weight}% to {service}, which is not ready"

    def _left_by(self, item: Endpoint, canary: Stored) -> None:
        """Checks that a promoted canary serves until the main has rolled out."""
        if item.spec is None or item.has_canary or canary.deleting_since:
            return
        main = self.api.stored.get(ObjectRef(Kind.DEPLOYMENT, canary.ref.namespace, item.name))
        image = item.spec.image_in(REGION)
        if main is not None and image_in(canary) == image and canary.ref.name != item.name:
            rolled_out = self._rolled_out(main) and image_in(main) == image
            assert rolled_out, f"promoted {canary.ref} lost its route before the main was rolled out"

    def _canary(self, item: Endpoint, step: Step, stored: Stored) -> None:
        goes = isinstance(step, Delete)
        if isinstance(step, Apply | Scale) and step.ref.kind is Kind.DEPLOYMENT:
            count: Any = step.replicas if isinstance(step, Scale) else step.manifest["spec"].get("replicas")
            goes = count == 0 and stored.body["spec"]["replicas"] > 0
        ref = ObjectRef(Kind.INGRESS, step.ref.namespace, names.ingress_name(item.name))
        if ref in self.api.stored and self.api.observed_in(ref, names.ENDPOINT_ANNOTATION) is None:
            # An Ingress without the endpoint annotation may belong to any endpoint.
            return
        if goes and not stored.deleting_since:
            route = routed(self.api, item.name, step.ref.namespace)
            assert step.ref.name not in route, f"still receives {route[step.ref.name]}% of the traffic: {step}"
            left = self.unrouted.get((step.ref.namespace, step.ref.name))
            serves = stored.status.get("readyReplicas")
            drained = left is None or self.elapsed - left >= self.policy.canary_drain
            assert drained or not serves, f"connections have not drained: {step}"
