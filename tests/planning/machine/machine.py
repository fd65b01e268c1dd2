"""Simulated region: a table, an API server, a controller that loses its memory, and a clock.

The controller works like the reconciler: it plans, executes the steps, plans again with the live objects, reports, and
changes the table conditionally. It processes a key after an event or when its requeue is due.
"""

import copy
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from gco_stream.cluster.api.objects import is_applied_by_us, is_selected
from gco_stream.model import names
from gco_stream.model.item.endpoint import Endpoint, InvalidItem, RegionState
from gco_stream.model.kinds import endpoints_of_object
from gco_stream.model.objects import Kind, ObjectRef, Observed, ObservedObject, PodHealth
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.lifecycle.orphaned import plan_orphan
from gco_stream.planning.planner import plan_after_failures, plan_endpoint
from gco_stream.planning.types.decision import MissingInput
from gco_stream.planning.types.plan import Plan, TableChange
from gco_stream.planning.types.plan_inputs import PlanInputs
from gco_stream.planning.types.policy import Census, FleetState, Policy
from gco_stream.planning.types.steps import Apply, Part, Step
from tests.planning.machine.promises import StepInvariants
from tests.support.items import REGION, read
from tests.support.simulated_cluster import NAMESPACE, START, TABLE
from tests.support.value_api_server import HPA, ApiServer, RequestRefused, Stored

OTHER_NAMESPACE = "team-inference"
OTHER_REGION = "eu-west-1"
POLICY = Policy(region=REGION, namespaces=(NAMESPACE, OTHER_NAMESPACE), table_arn=TABLE)
_DECIDED_FROM = ("desired_state", "target_regions", "intent", "created_at")
_ROUNDS = 12
_RETRY = 5.0


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault at one step of a reconcile.

    `kind`: "crash" (before the step), "lost" (step done, response lost) or "refused" (step not done, a 500).
    """

    position: int
    kind: str


class ControllerCrashed(Exception):
    """The process crashed in the middle of a reconcile."""


class Region:
    """One region. `dirty`: keys with a pending event. `due`: the requeue time of each key.

    `gone`: names that have no item according to scans or the stream.
    """

    def __init__(self, policy: Policy = POLICY) -> None:
        self.policy = policy
        self.now = START
        self.items: dict[str, dict[str, Any]] = {}
        self.api = ApiServer(self._on_write)
        self.promises = StepInvariants(self.api, policy)
        self.deletions_left = 5
        self.gone: set[str] = set()
        self.dirty: set[str] = set()
        self.due: dict[str, Any] = {}
        self.plans: dict[str, Plan] = {}
        self._read: dict[str, tuple[str, Endpoint | InvalidItem]] = {}
        self._acting: str | None = None
        self._met: set[str] = set()

    # The table.

    def item(self, name: str) -> Endpoint | InvalidItem | None:
        """The parsed item; None if it does not exist."""
        plain = self.items.get(name)
        if plain is None:
            return None
        text = json.dumps(plain, sort_keys=True)
        known = self._read.get(name)
        if known is None or known[0] != text:
            known = self._read[name] = (text, read(plain))
        return known[1]

    def write(self, name: str, plain: Mapping[str, Any] | None) -> None:
        """Writes an item as a user does, or deletes it."""
        if plain is None:
            self.items.pop(name, None)
        else:
            self.items[name] = copy.deepcopy(dict(plain))
            self.gone.discard(name)
        self.dirty.add(name)

    def drop_event(self) -> None:
        """Simulates two scans in a row that lack the items of live objects."""
        makers = {self.promises.makers[stored.uid] for stored in self.api.stored.values()}
        self.gone |= {maker for maker in makers if maker is not None} - self.items.keys()
        self.dirty |= self.gone

    def report(self, name: str, region: str, entry: Mapping[str, Any]) -> None:
        """Writes the status of a region."""
        self.items[name].setdefault("region_status", {})[region] = dict(entry)
        self.dirty.add(name)

    # Time and memory.

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.api.now = self.now
        left_alone = (RegionState.ERROR, RegionState.PENDING)
        reports = ((name, plan.report) for name, plan in self.plans.items() if name in self.items)
        looked_after = {name for name, report in reports if report is not None and report.state not in left_alone}
        looked_after -= self.dirty
        self.promises.pass_time(max(0.0, seconds), looked_after)
        ripe = [name for name, time in self.due.items() if time <= self.now]
        for name in ripe:
            del self.due[name]
            self.dirty.add(name)

    def restart(self) -> None:
        """Starts a new process or leader, which knows only the items and the cluster."""
        self.due.clear()
        self.plans.clear()
        self._met.clear()
        self.gone.clear()
        self.dirty = set(self.items)

    # The controller.

    def plan(self, name: str, item: Endpoint | InvalidItem) -> Plan:
        """The plan, with all inputs that it needs."""
        plan = self._planned(name, item, None, None)
        if plan.missing_inputs:
            pods = (
                self.pods(name, item)
                if MissingInput.PODS in plan.missing_inputs and isinstance(item, Endpoint)
                else None
            )
            plan = self._planned(name, item, pods, Census(4, 0) if MissingInput.CENSUS in plan.missing_inputs else None)
            if plan.missing_inputs:
                plan = self._planned(name, item, self.pods(name, item), Census(4, 0))
        assert not plan.missing_inputs, f"still needs {plan.missing_inputs}"
        return plan

    def pods(self, name: str, item: Endpoint | InvalidItem) -> tuple[PodHealth, ...]:
        namespace = (item.namespace if isinstance(item, Endpoint) else None) or self.policy.namespace
        stored = self.api.stored.get(ObjectRef(Kind.DEPLOYMENT, namespace, name))
        if stored is None:
            return ()
        ready, count = stored.status.get("readyReplicas", 0), stored.status.get("replicas", 0)
        return tuple(
            PodHealth(f"{name}-{number}", number < ready, number < ready, "" if number < ready else "starting")
            for number in range(count)
        )

    def reconcile(
        self, name: str, fault: Fault | None = None, meanwhile: Callable[[dict[str, Any]], None] | None = None
    ) -> Plan | None:
        """Reconciles one key and returns the last plan, or None if there is no item.

        `meanwhile`: a user's change between the plan and its table change. Raises Crashed.
        """
        self.dirty.discard(name)
        applies: Counter[ObjectRef] = Counter()
        taken = 0
        for _ in range(_ROUNDS):
            item = self.item(name)
            if item is None and name not in self.gone:
                self.due.pop(name, None)
                return None
            plan = self._orphan(name) if item is None else self.plan(name, item)
            self.plans[name] = plan
            if plan.steps and not plan.report_first:
                failures: dict[Part, Cause | None] = {}
                for position, step in enumerate(plan.steps):
                    if step.part in failures:
                        continue
                    kind = fault.kind if fault is not None and fault.position == taken else ""
                    taken += 1
                    if kind == "crash":
                        raise ControllerCrashed
                    if kind == "refused":
                        failures[step.part] = Cause(Reason.REJECTED, "refused")
                    elif not self._execute(item, plan, position):
                        # The inputs of the plan are outdated, so it is computed again at once.
                        failures[step.part] = None
                        break
                    elif kind == "lost":
                        failures[step.part] = Cause(Reason.API_ERROR, "the answer was lost")
                    applies[step.ref] += isinstance(step, Apply)
                    assert applies[step.ref] < 3, f"applied repeatedly: {step}"
                told = {part: why for part, why in failures.items() if why}
                if told and item is None:
                    self.due[name] = self.now + timedelta(seconds=_RETRY)
                    return plan
                if told and item is not None:
                    return self._failed(name, item, plan, told)
            elif item is not None and plan.write_report:
                self._report(name, item, plan)
            elif item is not None and plan.table_change is not None:
                if meanwhile is not None:
                    meanwhile(self.items[name])
                self.change_table(name, item, plan.table_change)
            else:
                self.dirty.discard(name)
                self._remember(name, plan)
                return plan
        raise AssertionError(f"never in sync: {self.plans[name].lines()}")

    def change_table(self, name: str, seen: Endpoint | InvalidItem, change: TableChange) -> None:
        """Promotes or purges, on condition that the item is unchanged."""
        item = self.item(name)
        if not isinstance(item, Endpoint) or not isinstance(seen, Endpoint):
            return
        if not all(getattr(item, field) == getattr(seen, field) for field in _DECIDED_FROM):
            self.dirty.add(name)
            return
        self.promises.table_change(item, change)
        if change is TableChange.PURGE:
            self.items.pop(name)
        else:
            self.items[name]["desired_state"] = "running"
        self.dirty.add(name)

    def work(self, limit: int = 50) -> int:
        """Reconciles all pending keys until none is left. Returns the number of reconciles."""
        for done in range(limit):
            if not self.dirty:
                return done
            self.reconcile(min(self.dirty))
        raise AssertionError(
            f"reconciles without end: {[(n, self.plans[n].lines()) for n in self.dirty if n in self.plans]}"
        )

    def _planned(
        self,
        name: str,
        item: Endpoint | InvalidItem,
        pods: tuple[PodHealth, ...] | None,
        census: Census | None,
    ) -> Plan:
        fleet = FleetState(
            deletions_left=self.deletions_left, names_claimed_by_others=self._claimed(name), census=census
        )
        return plan_endpoint(
            PlanInputs(name, item, Observed(self._concerned(name), pods), fleet, self.now, self.policy)
        )

    def _claimed(self, name: str) -> frozenset[str]:
        """Names of this endpoint's objects that another item needs too."""
        canary, base = names.canary_name(name), name.removesuffix(names.CANARY_SUFFIX)
        other = self.item(base) if base != name else None
        claimed = {canary} if canary in self.items else set()
        if isinstance(other, Endpoint) and other.spec is not None and other.has_canary:
            claimed.add(name)
        return frozenset(claimed)

    def _concerned(self, name: str) -> dict[ObjectRef, ObservedObject]:
        """The objects that watches show: selected by label, ours without the label, or found by a refused step."""
        found = {}
        for namespace in self.policy.namespaces:
            canary = names.canary_name(name)
            for kind, object_name in (
                (Kind.SERVICE, name),
                (Kind.SERVICE, canary),
                (Kind.DEPLOYMENT, name),
                (Kind.DEPLOYMENT, canary),
                (Kind.INGRESS, names.ingress_name(name)),
                (Kind.HPA, name),
            ):
                seen = self.api.seen(ObjectRef(kind, namespace, object_name))
                if seen is not None and (is_selected(seen) or is_applied_by_us(seen) or seen.uid in self._met):
                    found[seen.ref] = seen
        return found

    def _orphan(self, name: str) -> Plan:
        fleet = FleetState(deletions_left=self.deletions_left, names_claimed_by_others=self._claimed(name))
        return plan_orphan(name, Observed(self._concerned(name)), fleet, self.policy)

    def _execute(self, item: Endpoint | InvalidItem | None, plan: Plan, position: int) -> bool:
        step: Step = plan.steps[position]
        self._inherit(step, plan.endpoint)
        if item is None:
            self.promises.before_orphans(plan, position, self.deletions_left)
        else:
            self.promises.before(item, plan, position, self.deletions_left)
        stored = self.api.stored.get(step.ref)
        before = None
        if stored is not None and step.ref.kind is Kind.DEPLOYMENT:
            before = stored.template, stored.body["spec"]["replicas"]
        self._acting = plan.endpoint
        try:
            self.api.execute(step)
        except RequestRefused:
            if (met := self.api.stored.get(step.ref)) is not None:
                self._met.add(met.uid)
            return False
        finally:
            self._acting = None
        if isinstance(item, Endpoint):
            self.promises.after(item, step, before)
        return True

    def _inherit(self, step: Step, name: str) -> None:
        """Assigns an object without annotation to the endpoint that claims its name, if two endpoints may own it."""
        stored = self.api.stored.get(step.ref)
        if stored is None or self.promises.makers[stored.uid] is None or step.ref.name in self._claimed(name):
            return
        if names.ENDPOINT_ANNOTATION not in stored.body["metadata"]["annotations"]:
            self.promises.makers[stored.uid] = name

    def _failed(self, name: str, item: Endpoint | InvalidItem, plan: Plan, told: Mapping[Part, Cause]) -> Plan:
        said = plan_after_failures(
            plan, PlanInputs(item.name, item, Observed({}), FleetState(), self.now, self.policy), told
        )
        if said.write_report:
            self._report(name, item, said)
        self.due[name] = self.now + timedelta(seconds=_RETRY)
        return said

    def _report(self, name: str, item: Endpoint | InvalidItem, plan: Plan) -> None:
        assert plan.report is not None
        if isinstance(item, Endpoint) and item.hold is None:
            self.promises.report(item, plan.report.state)
        entry = {
            "state": str(plan.report.state),
            "replicas_ready": plan.report.ready,
            "replicas_desired": plan.report.desired,
            "last_sync": self.now.isoformat(),
            "epoch": 1,
            "intent": item.intent,
        }
        if plan.report.error:
            entry |= {"error": plan.report.error, "reason": str(plan.report.reason)}
        self.items[name].setdefault("region_status", {})[self.policy.region] = entry

    def _remember(self, name: str, plan: Plan) -> None:
        self.due.pop(name, None)
        if plan.requeue_after is not None:
            # A requeue after 0 s would repeat forever.
            assert plan.requeue_after.after > 0, f"immediate requeue: {plan.requeue_after}"
            self.due[name] = self.now + timedelta(seconds=plan.requeue_after.after)

    def _on_write(self, stored: Stored) -> None:
        if self._acting is not None:
            self.promises.makers.setdefault(stored.uid, self._acting)
        annotated = stored.body["metadata"].get("annotations", {}).get(names.ENDPOINT_ANNOTATION)
        self.dirty.update(endpoints_of_object(stored.ref, annotated) & (self.items.keys() | self.gone))

    # Controllers of the cluster.

    def deployments(self) -> list[Stored]:
        return [stored for ref, stored in self.api.stored.items() if ref.kind is Kind.DEPLOYMENT]

    def roll_out(self, stored: Stored, ready: int | None = None, *, observed: bool = True) -> None:
        """Acts as the Deployment controller: all desired pods are ready, or only `ready` of them."""
        spec = stored.body["spec"]
        count = spec["replicas"]
        there = count if ready is None else min(ready, count)
        status: dict[str, int] = {"observedGeneration": stored.generation}
        if not spec.get("paused"):
            stored.running = stored.template
        if count:
            status["replicas"] = count
            if stored.running == stored.template:
                status["updatedReplicas"] = count
        if there:
            status |= {"readyReplicas": there, "availableReplicas": there}
        self.api.set_status(stored.ref, status)

    def autoscale(self, stored: Stored, wanted: int) -> None:
        """Acts as the HPA, if there is one: sets a count that is not 0 to `plan_canary`, within its bounds."""
        hpa = self.api.stored.get(ObjectRef(Kind.HPA, stored.ref.namespace, stored.ref.name))
        present = stored.body["spec"]["replicas"]
        if hpa is None or not present or stored.deleting_since:
            return
        bounds = hpa.body["spec"]
        count = max(bounds.get("minReplicas", 1), min(bounds.get("maxReplicas", wanted), wanted))
        if count != present:
            self.api.edit(stored.ref, HPA, ("f:spec", "f:replicas"), count)

    def collect(self) -> None:
        """Removes all terminating objects."""
        for ref in [ref for ref, stored in self.api.stored.items() if stored.deleting_since]:
            self.api.remove(ref)
