"""Convergence checks: once writes and faults stop, the region matches a fresh cluster and no more writes follow."""

import copy
from typing import Any

from gco_stream.model import names
from gco_stream.model.item.endpoint import DesiredState, Endpoint, RegionState
from gco_stream.model.objects import Kind, ObjectRef
from gco_stream.planning.types.ownership import is_owned_by
from tests.planning.machine.actions import USER_CHANGES
from tests.planning.machine.machine import Region
from tests.planning.machine.promises import backends
from tests.support.items import REGION
from tests.support.simulated_cluster import NAMESPACE, TABLE
from tests.support.value_api_server import leaves

_STEP = 20.0
_DAY = 86400.0
_QUIET = 20
"""Number of steps without a change after which no requeue is pending."""

_MOST_STEPS = 400
_OTHERS = {"team", names.REVISION_ANNOTATION, names.WEIGHTED_ROUTING_ANNOTATION}
"""Labels and annotations of others that we keep, and annotations that depend on the time of the write."""


def put_in_order(world: Region) -> None:
    """Fixes the items, as users would, so that each desired state can be reached."""
    if {"a", "a-canary"} <= world.items.keys():
        # The owner of the name depends on the order of creation, which a fresh cluster does not know.
        world.items["a"]["spec"].pop("canary", None)
    for name, plain in world.items.items():
        occupied = {
            ref.namespace for ref, stored in world.api.stored.items() if world.promises.makers[stored.uid] == name
        }
        if len(occupied) > 1:
            plain["desired_state"] = "deleted"
        USER_CHANGES["fixed"](plain)
        plain["namespace"] = min(occupied, default=NAMESPACE)
        world.dirty.add(name)


def converge(world: Region) -> None:
    """Runs until the region is stable and checks the result. Faults have stopped and all items are valid."""
    world.deletions_left = 5
    world.api.slow_ingresses = False
    world.drop_event()
    world.work()
    _clear(world)
    settle(world)
    for name, plain in world.items.items():
        _is_reported(world, name, plain)
    _silent(world)
    world.wait(_DAY)
    world.dirty.clear()
    _silent(world)
    fresh = Region(world.policy)
    for name, plain in world.items.items():
        fresh.write(name, {**plain, "region_status": {}, "desired_state": "deploying"})
    settle(fresh)
    for name, plain in world.items.items():
        fresh.write(name, {**plain, "region_status": copy.deepcopy(fresh.items[name]["region_status"])})
    settle(fresh)
    _same(world, fresh)


def settle(world: Region) -> None:
    """Starts pods, removes terminating objects and lets other regions report until nothing changes anymore."""
    quiet, before = 0, ""
    for _ in range(_MOST_STEPS):
        world.work()
        for stored in world.deployments():
            if not stored.deleting_since:
                world.autoscale(stored, stored.body["spec"]["replicas"])
                world.roll_out(stored)
        world.collect()
        _follow(world)
        world.wait(_STEP)
        after = _fingerprint(world)
        quiet, before = (quiet + 1 if after == before and not world.dirty else 0), after
        if quiet == _QUIET:
            return
    raise AssertionError(f"the region never becomes stable: {[plan.lines() for plan in world.plans.values()]}")


def _clear(world: Region) -> None:
    """Removes objects of other owners and unrecognizable ones, and resumes paused Deployments, as people would."""
    for ref in list(world.api.stored):
        stored = world.api.stored[ref]
        maker = world.promises.makers.get(stored.uid)
        seen = world.api.seen(ref)
        app = ref.name.removeprefix(names.INGRESS_PREFIX)
        nobodys = seen is not None and seen.endpoint is None and ref.name.endswith("-canary")
        if (
            maker not in world.items
            or nobodys
            or seen is None
            or not is_owned_by(seen, endpoint=maker, app=app, table_arn=TABLE)
        ):
            world.api.remove(ref)
        elif ref.kind is Kind.DEPLOYMENT:
            world.api.edit(ref, ("kubectl-edit", "Update"), ("f:spec", "f:paused"), None)


def _follow(world: Region) -> None:
    """Lets the other regions report the desired state."""
    for name, plain in list(world.items.items()):
        item = world.item(name)
        if not isinstance(item, Endpoint):
            continue
        if item.is_deleted and REGION not in item.target_regions | item.reported_regions:
            world.write(name, None)
            continue
        for region in (item.target_regions | item.reported_regions) - {REGION}:
            states = {DesiredState.STOPPED: RegionState.STOPPED, DesiredState.DELETED: RegionState.DELETED}
            state = states.get(item.desired_state, RegionState.RUNNING)
            if region not in item.target_regions:
                state = RegionState.DELETED
            entry = {"state": str(state), "intent": item.intent, "epoch": 1}
            if plain["region_status"].get(region) != entry:
                world.report(name, region, entry)


def _fingerprint(world: Region) -> str:
    versions = sorted((str(ref), stored.version) for ref, stored in world.api.stored.items())
    return repr((versions, sorted(world.items.items())))


def _is_reported(world: Region, name: str, plain: dict[str, Any]) -> None:
    item = world.item(name)
    assert isinstance(item, Endpoint), plain
    assert item.desired_state is not DesiredState.DELETED, f"{name} was never purged"
    entry = item.region_status.get(REGION)
    if REGION not in item.target_regions:
        assert entry is None or entry.state is RegionState.DELETED, entry
        return
    assert entry is not None, f"{name}: no report"
    main = world.api.stored.get(ObjectRef(Kind.DEPLOYMENT, item.namespace or "", name))
    said = (entry.state, entry.replicas_ready, entry.replicas_desired, entry.error, entry.intent)
    wanted, count = RegionState.STOPPED, 0
    if item.desired_state is not DesiredState.STOPPED:
        assert item.desired_state is DesiredState.RUNNING, f"{name} was never promoted: {plain['region_status']}"
        wanted, count = RegionState.RUNNING, main.body["spec"]["replicas"] if main else -1
    assert said == (wanted, count, count, "", item.intent)


def _silent(world: Region) -> None:
    for name in world.items:
        item = world.item(name)
        assert item is not None
        plan = world.plan(name, item)
        assert plan.in_sync, f"not stable: {plan.lines()}"
        assert plan.requeue_after is None, f"not stable: {plan.requeue_after}"


def _same(world: Region, fresh: Region) -> None:
    there = {ref for ref, stored in world.api.stored.items() if world.promises.makers[stored.uid] in world.items}
    assert there - _may_exist(world) == set(fresh.api.stored) - _may_exist(world)
    for ref in there & set(fresh.api.stored):
        if ref in _may_exist(world) and ref.name not in world.items:
            # Only the replica count of a stopped endpoint is reconciled.
            assert ref.kind is not Kind.DEPLOYMENT or world.api.stored[ref].body["spec"]["replicas"] == 0
            continue
        _equal(world, fresh, ref)


def _may_exist(world: Region) -> set[ObjectRef]:
    """The objects that a stopped endpoint keeps if it ever ran."""
    stopped = {name for name, plain in world.items.items() if plain["desired_state"] == "stopped"}
    return {
        ObjectRef(kind, world.items[name]["namespace"], object_name)
        for name in stopped
        for kind in (Kind.SERVICE, Kind.DEPLOYMENT)
        for object_name in (name, names.canary_name(name))
        if object_name == name or object_name not in world.items
    }


def _equal(world: Region, fresh: Region, ref: ObjectRef) -> None:
    mine, theirs = copy.deepcopy(world.api.stored[ref].body), copy.deepcopy(fresh.api.stored[ref].body)
    if ref.kind is Kind.DEPLOYMENT and (hpa := world.api.stored.get(ObjectRef(Kind.HPA, ref.namespace, ref.name))):
        low, high = hpa.body["spec"]["minReplicas"], hpa.body["spec"]["maxReplicas"]
        assert low <= mine["spec"]["replicas"] <= high
        mine["spec"]["replicas"] = theirs["spec"]["replicas"]
    # The order of lists that merge by key is not compared: the live order is kept, so that no pods restart.
    assert dict(leaves(mine["spec"])) == dict(leaves(theirs["spec"])), ref
    for part in ("labels", "annotations"):
        there = {name: value for name, value in mine["metadata"][part].items() if name not in _OTHERS}
        wanted = {name: value for name, value in theirs["metadata"][part].items() if name not in _OTHERS}
        assert there == wanted, f"{ref}: {part}"
    if names.CANARY_LABEL in theirs["metadata"]["labels"]:
        assert backends(mine) == backends(theirs)
