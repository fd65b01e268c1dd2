"""State machine test: whatever users, other controllers, pods, time and faults do in any order, no step breaks an
invariant, and the region finally matches a fresh cluster.

A rule-based state machine drives `plan` against a simulated region (tests/planning/machine/machine.py).
GCO_STREAM_EXAMPLES=N runs N sequences of up to GCO_STREAM_STEPS rules, for a longer search than in a unit test:

    GCO_STREAM_EXAMPLES=20000 pytest tests/planning/machine/test_lifecycle_machine.py -p no:cacheprovider

A failure prints the minimized sequence of rules and a blob that replays it. The bugs found so far have regression
tests in tests/planning/machine/test_found_by_machine.py.
"""

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from gco_stream.model.objects import Kind, ObjectRef
from tests.planning.machine.actions import USER_CHANGES, edit, foreign
from tests.planning.machine.convergence import converge, put_in_order, settle
from tests.planning.machine.machine import OTHER_REGION, ControllerCrashed, Fault, Region
from tests.support.items import item
from tests.support.simulated_cluster import NAMESPACE
from tests.support.value_api_server import Stored

NAMES = st.sampled_from(("a", "a", "a", "a-canary", "b"))
RARE = (
    "restart",
    "scans lack items",
    "the budget changes",
    "a foreign object",
    "an item goes",
)
CHANGES = st.sampled_from(sorted(USER_CHANGES))
SOME = st.integers(0, 30)
STATES = st.sampled_from(("running", "stopped", "deleted", "creating", "error"))
FAULTS = st.none() | st.builds(Fault, st.integers(0, 6), st.sampled_from(("crash", "lost", "refused")))
PLACES = st.sampled_from(
    (
        (Kind.DEPLOYMENT, "a"),
        (Kind.DEPLOYMENT, "a-canary"),
        (Kind.SERVICE, "a"),
        (Kind.SERVICE, "a-canary"),
        (Kind.INGRESS, "inference-a"),
        (Kind.HPA, "a"),
    )
)


class Lifecycle(RuleBasedStateMachine):
    """One region with at most three endpoints. Rare events share one rule, so that all others are frequent."""

    def __init__(self) -> None:
        super().__init__()
        self.world = Region()
        self.created = 0

    @initialize(changes=st.lists(CHANGES, max_size=2), settled=st.booleans())
    def one_endpoint(self, changes: list[str], settled: bool) -> None:
        self.put("a")
        self.user_changes("a", changes)
        if settled:
            settle(self.world)

    @rule(name=NAMES)
    def put(self, name: str) -> None:
        if name not in self.world.items:
            self.created += 1
            self.world.write(name, item(name, created_at=f"2026-11-21T09:00:{self.created % 60:02}+00:00"))

    @rule(name=NAMES, changes=st.lists(CHANGES, min_size=1, max_size=2))
    def user_changes(self, name: str, changes: list[str]) -> None:
        for change in changes:
            if (plain := self.world.items.get(name)) is not None:
                USER_CHANGES[change](plain)
                self.world.write(name, {**plain, "updated_at": self.world.now.isoformat()})

    @rule(changes=st.lists(CHANGES, min_size=1, max_size=3))
    def user_changes_what_runs(self, changes: list[str]) -> None:
        for change in changes:
            settle(self.world)
            self.user_changes("a", [change])

    @precondition(lambda self: self.world.api.stored)
    @rule(which=SOME, number=SOME)
    def somebody_edits(self, which: int, number: int) -> None:
        stored = self._stored(which)
        if self.world.promises.makers[stored.uid] is not None:
            edit(self.world, stored, number)

    @precondition(lambda self: self.world.api.stored)
    @rule(which=SOME)
    def somebody_deletes(self, which: int) -> None:
        ref = self._stored(which).ref
        self.world.api.delete(ref)
        if ref.kind is Kind.INGRESS:
            # Without an Ingress there is no drain.
            self.world.promises.unrouted.clear()

    @precondition(lambda self: self.world.deployments())
    @rule(which=SOME, ready=st.sampled_from((None, None, 0, 1)))
    def pods_move(self, which: int, ready: int | None) -> None:
        self.world.roll_out(self._deployment(which), ready)

    @precondition(lambda self: self.world.deployments())
    @rule(which=SOME, count=st.integers(1, 6))
    def the_hpa_scales(self, which: int, count: int) -> None:
        self.world.autoscale(self._deployment(which), count)

    @rule(slow=st.booleans())
    def terminating_objects_go(self, slow: bool) -> None:
        self.world.collect()
        self.world.api.slow_ingresses = slow

    @rule(seconds=st.sampled_from((0, 1, 16, 31, 301, 7200, -1, -5)))
    def clock_steps(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule(name=NAMES, fault=FAULTS, meanwhile=st.none() | CHANGES)
    def reconcile(self, name: str, fault: Fault | None, meanwhile: str | None) -> None:
        try:
            self.world.reconcile(name, fault, None if meanwhile is None else USER_CHANGES[meanwhile])
        except ControllerCrashed:
            self.world.restart()

    @rule()
    def everything_due_is_done(self) -> None:
        self.world.work()

    @rule(data=st.data(), what=st.sampled_from(RARE))
    def something_rare(self, data: st.DataObject, what: str) -> None:
        match what:
            case "restart":
                self.world.restart()
            case "scans lack items":
                self.world.drop_event()
            case "the budget changes":
                self.world.deletions_left = data.draw(st.sampled_from((0, 5)))
            case "a foreign object":
                kind, name = data.draw(PLACES)
                foreign(self.world, ObjectRef(kind, NAMESPACE, name), data.draw(SOME))
            case "an item goes":
                self.item_goes(data.draw(NAMES), again=data.draw(st.booleans()))

    def item_goes(self, name: str, *, again: bool) -> None:
        if name in self.world.items:
            self.world.write(name, None)
            if again:
                self.put(name)

    @rule(name=NAMES, state=STATES, current=st.booleans())
    def other_region_reports(self, name: str, state: str, current: bool) -> None:
        asked = self.world.item(name)
        if asked is not None:
            intent = asked.intent if current else "1:of-another"
            self.world.report(name, OTHER_REGION, {"state": state, "intent": intent, "epoch": 1})

    def teardown(self) -> None:
        put_in_order(self.world)
        converge(self.world)

    def _deployment(self, which: int) -> Stored:
        deployments = self.world.deployments()
        return deployments[which % len(deployments)]

    def _stored(self, which: int) -> Stored:
        refs = sorted(self.world.api.stored)
        return self.world.api.stored[refs[which % len(refs)]]


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(
    max_examples=int(os.environ.get("GCO_STREAM_EXAMPLES", "60")),
    stateful_step_count=int(os.environ.get("GCO_STREAM_STEPS", "30")),
    deadline=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
