"""Transfer of replicas between the item and the HPA, without any count that neither of them requests.

The effect of an apply on spec.replicas depends on its owners: a field that its last owner drops falls back to 1. The
simulated cluster therefore tracks the owners of this field by the rules of server-side apply.
"""

from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gco_stream.model.item.endpoint import Endpoint, RegionState
from gco_stream.model.objects import Kind, ObjectRef, ObservedObject, Ownership
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.steps import Apply, Create, Delete, Scale, Step, TransferReplicas, UpgradeManagedFields
from tests.support.items import endpoint
from tests.support.simulated_cluster import NAMESPACE, SimulatedCluster

pytestmark = pytest.mark.slow

DEPLOYMENT = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
HPA = ObjectRef(Kind.HPA, NAMESPACE, "chat")
OURS, SECOND, GCO, SCALER = "gco-stream", "gco-stream-replicas", "OpenAPI-Generator", "kube-controller-manager"
REPLICAS = "f:replicas"
DEFAULT = 1
ROUNDS = 5


@dataclass(frozen=True)
class DesiredScale:
    """The desired state of an item. `bounds` None: no autoscaling."""

    replicas: int
    bounds: tuple[int, int] | None = None
    image: str = "registry.example/serve:1.0"
    stopped: bool = False

    def endpoint(self) -> Endpoint:
        spec: dict[str, Any] = {"replicas": self.replicas, "image": self.image}
        if self.bounds is not None:
            low, high = self.bounds
            spec["autoscaling"] = {"enabled": True, "min_replicas": low, "max_replicas": high}
        return endpoint(spec=spec, desired_state="stopped" if self.stopped else "deploying")

    def clamped(self, count: int) -> int:
        assert self.bounds is not None
        return max(self.bounds[0], min(self.bounds[1], count))


@dataclass
class ScaledEndpoint:
    """A cluster that tracks the owners of spec.replicas. `seen`: count and existence of an HPA after each step."""

    cluster: SimulatedCluster = field(default_factory=SimulatedCluster)
    owners: frozenset[str] = frozenset()
    seen: list[tuple[int, bool]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    @property
    def deployment(self) -> ObservedObject:
        return self.cluster.objects[DEPLOYMENT]

    @property
    def count(self) -> int:
        return int(self.deployment.spec["replicas"])

    @property
    def scaler(self) -> ObservedObject | None:
        return self.cluster.find(Kind.HPA, "chat")

    def counts(self) -> list[int]:
        return [count for count, _ in groupby(count for count, _ in self.seen)]

    def reconcile(self, asked: DesiredScale) -> Plan:
        """Plans and executes until nothing is left to do. `seen` and `steps` are reset first."""
        self.seen = [(self.count, self.scaler is not None)] if DEPLOYMENT in self.cluster.objects else []
        self.steps = []
        wanted = asked.endpoint()
        for _ in range(ROUNDS):
            plan = self.cluster.plan(wanted)
            if not plan.steps:
                return plan
            for step in plan.steps:
                self.take(step)
        raise AssertionError(f"never in sync: {plan.lines()}")

    def take(self, step: Step) -> None:
        before = self.count if DEPLOYMENT in self.cluster.objects else None
        self.cluster.execute(step)
        self.steps.append(step)
        if step.ref == DEPLOYMENT:
            self._count(step, before)
        if DEPLOYMENT in self.cluster.objects:
            self.seen.append((self.count, self.scaler is not None))

    def choose(self, count: int) -> None:
        """Sets the count through the scale subresource, as the HPA or a user does."""
        if count != self.count:
            self._set(count, frozenset({SCALER}))

    def adopted(self, asked: DesiredScale) -> "ScaledEndpoint":
        """Turns the objects into those of GCO, without our annotations and ownership."""
        self.reconcile(asked)
        for ref, obj in list(self.cluster.objects.items()):
            plain = {key: value for key, value in obj.annotations.items() if not key.startswith("gco.io/")}
            self.cluster.change(ref, annotations=plain, ownership=Ownership(legacy=True))
        self.owners = frozenset({GCO})
        return self

    def _count(self, step: Step, before: int | None) -> None:
        match step:
            case Create() | Apply():
                asked = step.manifest["spec"].get("replicas")
                if asked is not None:
                    self._hold(OURS, asked, before)
                else:
                    left = self.owners - {OURS}
                    self._set(before if left and before is not None else DEFAULT, left)
            case TransferReplicas():
                self._hold(SECOND, step.replicas, before)
            case Scale():
                if step.replicas != before:
                    self._set(step.replicas, frozenset({"gco-stream by scale"}))
            case UpgradeManagedFields():
                taken = {OURS if owner == GCO else owner for owner in self.owners}
                self._set(self.count, frozenset(taken))

    def _hold(self, manager: str, count: int, before: int | None) -> None:
        """A forced apply: owners of a different value lose the field, owners of the same value share it."""
        self._set(count, frozenset({manager}) | (self.owners if count == before else frozenset()))

    def _set(self, count: int, owners: frozenset[str]) -> None:
        self.owners = owners
        observed = self.deployment
        ours = {name: below for name, below in observed.ownership.fields.get("f:spec", {}).items() if name != REPLICAS}
        if OURS in owners and observed.ownership.applied:
            ours[REPLICAS] = {}
        ownership = replace(
            observed.ownership,
            replicas=SECOND in owners,
            fields={**observed.ownership.fields, "f:spec": ours} if observed.ownership.applied else {},
        )
        self.cluster.change(DEPLOYMENT, spec={**observed.spec, "replicas": count}, ownership=ownership)


def made(asked: DesiredScale, *, by_gco: bool) -> ScaledEndpoint:
    """A running endpoint, created by us or adopted from GCO."""
    owned = ScaledEndpoint()
    if by_gco:
        owned.adopted(asked)
    owned.reconcile(asked)
    return owned


FROM_BOTH = pytest.mark.parametrize("by_gco", [False, True], ids=["ours", "adopted"])


@FROM_BOTH
def test_enabling_and_disabling_autoscaling_keeps_the_live_count(by_gco: bool) -> None:
    owned = made(DesiredScale(4), by_gco=by_gco)
    owned.reconcile(DesiredScale(2, bounds=(2, 8)))
    assert owned.counts() == [4]
    assert owned.scaler is not None
    assert OURS not in owned.owners
    owned.choose(6)
    owned.reconcile(DesiredScale(6))
    assert owned.counts() == [6]
    assert owned.scaler is None


@FROM_BOTH
def test_without_the_hpa_the_count_changes_to_the_items_in_one_step(by_gco: bool) -> None:
    owned = made(DesiredScale(2, bounds=(2, 8)), by_gco=by_gco)
    owned.choose(7)
    owned.reconcile(DesiredScale(3))
    assert [seen for seen, _ in groupby(owned.seen)] == [(7, True), (7, False), (3, False)]


@pytest.mark.parametrize(("present", "within"), [(1, 3), (3, 3), (4, 4), (9, 5)])
def test_our_count_is_brought_within_bounds_when_it_is_transferred(present: int, within: int) -> None:
    owned = made(DesiredScale(present), by_gco=False)
    owned.reconcile(DesiredScale(present, bounds=(3, 5)))
    assert owned.counts() == ([present, within] if present != within else [present])


@pytest.mark.parametrize("present", [1, 9])
def test_an_adopted_count_out_of_bounds_is_left_to_the_hpa(present: int) -> None:
    owned = made(DesiredScale(present), by_gco=True)
    owned.reconcile(DesiredScale(present, bounds=(3, 5)))
    assert owned.counts() == [present]
    assert [step.ref for step in owned.steps] == [HPA]


@FROM_BOTH
def test_a_template_change_during_the_transfer_keeps_the_count(by_gco: bool) -> None:
    owned = made(DesiredScale(4), by_gco=by_gco)
    owned.reconcile(DesiredScale(1, bounds=(1, 8), image="registry.example/serve:2.0"))
    assert owned.counts() == [4]
    assert OURS not in owned.owners
    owned.choose(5)
    owned.reconcile(DesiredScale(1, bounds=(1, 8), image="registry.example/serve:3.0"))
    assert owned.counts() == [5]


def test_the_second_manager_owns_the_count_before_gcos_fields_are_taken_over() -> None:
    owned = made(DesiredScale(4, bounds=(1, 8)), by_gco=True)
    owned.reconcile(DesiredScale(4, bounds=(1, 8), image="registry.example/serve:2.0"))
    kinds = [type(step) for step in owned.steps if step.ref == DEPLOYMENT]
    assert kinds == [TransferReplicas, UpgradeManagedFields, Apply]


def test_a_new_deployment_is_created_with_its_count_and_then_transferred() -> None:
    owned = ScaledEndpoint()
    owned.reconcile(DesiredScale(5, bounds=(1, 4)))
    assert owned.counts() == [4]
    assert [type(step) for step in owned.steps if step.ref == DEPLOYMENT] == [Create, TransferReplicas, Apply]
    assert owned.owners == {SECOND}


@FROM_BOTH
@pytest.mark.parametrize(("asked", "started"), [(0, 2), (3, 3), (9, 4)])
def test_zero_replicas_start_within_bounds_and_a_stop_deletes_the_hpa_first(
    by_gco: bool, asked: int, started: int
) -> None:
    owned = made(DesiredScale(4, bounds=(2, 4)), by_gco=by_gco)
    owned.choose(0)
    owned.reconcile(DesiredScale(asked, bounds=(2, 4)))
    assert owned.counts() == [0, started]
    owned.reconcile(DesiredScale(asked, bounds=(2, 4), stopped=True))
    assert owned.counts() == [started, 0]
    assert (0, True) not in owned.seen
    owned.reconcile(DesiredScale(asked, bounds=(2, 4)))
    assert owned.counts() == [0, started]
    assert owned.scaler is not None


@FROM_BOTH
def test_a_lower_maximum_changes_only_the_hpa(by_gco: bool) -> None:
    owned = made(DesiredScale(2, bounds=(2, 8)), by_gco=by_gco)
    owned.choose(6)
    owned.reconcile(DesiredScale(2, bounds=(1, 3)))
    assert [step.ref for step in owned.steps] == [HPA]
    assert owned.counts() == [6]


def test_bounds_in_the_wrong_order_name_both_values_and_change_nothing() -> None:
    owned = made(DesiredScale(2, bounds=(2, 8)), by_gco=False)
    plan = owned.reconcile(DesiredScale(2, bounds=(9, 4), image="registry.example/serve:2.0"))
    assert owned.steps == []
    assert plan.report is not None
    assert plan.report.state is RegionState.ERROR
    assert "min_replicas (9) must not be greater than max_replicas (4)" in plan.report.error


def test_an_hpa_of_another_owner_is_an_error_only_with_autoscaling() -> None:
    owned = made(DesiredScale(2), by_gco=False)
    theirs = ObservedObject(HPA, "uid-theirs", "1", labels={"app": "theirs"})
    owned.cluster.put(theirs)
    assert "error" not in str(owned.reconcile(DesiredScale(2)).report)
    plan = owned.reconcile(DesiredScale(2, bounds=(1, 4)))
    assert owned.steps == []
    assert plan.report is not None
    assert (
        "HorizontalPodAutoscaler gco-inference/chat exists and was not created by this controller" in plan.report.error
    )
    owned.reconcile(DesiredScale(2, bounds=(1, 4), stopped=True))
    assert (owned.count, owned.scaler) == (0, theirs)


IMAGES = st.sampled_from([f"registry.example/serve:{number}.0" for number in (1, 2)])
BOUNDS = st.tuples(st.integers(1, 4), st.integers(0, 4)).map(lambda pair: (pair[0], pair[0] + pair[1]))
ASKED = st.builds(
    DesiredScale,
    replicas=st.integers(0, 9),
    bounds=st.none() | BOUNDS,
    image=IMAGES,
    stopped=st.sampled_from([False, False, True]),
)
CHOSEN = st.integers(0, 9)


@FROM_BOTH
@given(first=ASKED, then=st.lists(ASKED | CHOSEN, max_size=8))
def test_no_sequence_of_changes_exposes_an_unexpected_count(
    by_gco: bool, first: DesiredScale, then: list[DesiredScale | int]
) -> None:
    owned = made(replace(first, stopped=False), by_gco=by_gco)
    for one in then:
        if isinstance(one, int):
            owned.choose(one)
            continue
        before = owned.count
        owned.reconcile(one)
        assert owned.counts() in allowed(one, before), [str(step) for step in owned.steps]
        assert (owned.scaler is not None) == (one.bounds is not None and not one.stopped)
        if one.bounds is not None and not one.stopped:
            assert not (owned.deployment.ownership.applied and OURS in owned.owners)
        else:
            # The count changes while no HPA exists that could revert it.
            assert not any(now != was and stood for (was, _), (now, stood) in pairwise(owned.seen))


def allowed(asked: DesiredScale, before: int) -> list[list[int]]:
    """The allowed sequence of counts."""
    if asked.stopped:
        return [[before, 0]] if before else [[0]]
    if asked.bounds is None:
        return [[before, asked.replicas]] if before != asked.replicas else [[before]]
    if before == 0:
        return [[0, asked.clamped(asked.replicas)]]
    # Transferred within the bounds, or already owned by the HPA.
    return [[before], [before, asked.clamped(before)]]


def test_the_hpas_deletion_comes_before_the_items_count() -> None:
    owned = made(DesiredScale(2, bounds=(2, 8)), by_gco=False)
    owned.choose(5)
    owned.reconcile(DesiredScale(3))
    assert [(type(step), step.ref) for step in owned.steps] == [(Delete, HPA), (Apply, DEPLOYMENT)]
