"""A user's stop, delete or redeploy wins the race against a promotion, a purge or a report."""

import random
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gco_stream.aws.errors import ItemNotFound
from gco_stream.local.control_plane import ControlPlane
from gco_stream.model import wire
from tests.integration.support.held_writes import HeldWrite, HeldWrites, held_writes, promotion, purge, report
from tests.integration.support.regions import AP, EU, FIRST, REGIONS, SECOND, US, Regions, endpoint_item, three_regions

pytestmark = pytest.mark.integration
ANEW = "2026-11-21T10:00:00+00:00"
KEPT = ("target_regions", "spec", "created_at")
WRITING_SECONDS = 20.0
WRITES_A_SECOND = 8.0
Write = Callable[[Regions, str], None]


@pytest.fixture(scope="module")
def proxy(control_plane: ControlPlane) -> Iterator[HeldWrites]:
    with held_writes(control_plane.dynamodb_url) as one:
        yield one


@pytest.fixture(scope="module")
def regions(
    control_plane: ControlPlane,
    dynamodb_clients: tuple[Any, Any],
    tmp_path_factory: pytest.TempPathFactory,
    proxy: HeldWrites,
) -> Iterator[Regions]:
    # A held call must not time out: its answer is part of the test.
    patient = {"DYNAMODB_TIMEOUT_SECONDS": "600"}
    folder = tmp_path_factory.mktemp("regions")
    with three_regions(control_plane, dynamodb_clients, folder, proxy.url, **patient) as made:
        yield made


@pytest.fixture
def name(proxy: HeldWrites) -> Iterator[str]:
    """The name of an endpoint that only this test uses; held writes are released when it ends."""
    yield f"e{uuid.uuid4().hex[:10]}"
    proxy.release_all()


def stop(regions: Regions, name: str) -> None:
    regions.write(name, desired_state="stopped")


def delete(regions: Regions, name: str) -> None:
    regions.write(name, desired_state="deleted")


def redeploy(regions: Regions, name: str) -> None:
    spec = regions.item(name)["spec"] | {"image": SECOND}
    regions.write(name, spec=spec, desired_state="deploying")


def create_anew(regions: Regions, name: str) -> None:
    regions.remove(name)
    regions.put(endpoint_item(name, created_at=ANEW))


def create_another(regions: Regions, name: str) -> None:
    regions.remove(name)
    regions.put(endpoint_item(name, created_at=ANEW, spec={"image": SECOND}))


def runs(image: str) -> Callable[[Regions, str], bool]:
    def look(regions: Regions, name: str) -> bool:
        images = {region.image(name) for region in regions}
        return images == {image} and regions.until_all_report(name, "running") and regions.desired(name) == "running"

    return look


def is_stopped(regions: Regions, name: str) -> bool:
    return regions.until_all_report(name, "stopped") and {region.replicas(name) for region in regions} <= {0, None}


def is_gone(regions: Regions, name: str) -> bool:
    return not regions.item(name) and not any(region.objects(name) for region in regions)


# Writes by hand: without a condition and, except for a new item, without a change of updated_at; and the check that
# each one has been carried out.
WISHES: dict[str, tuple[Write, Callable[[Regions, str], bool]]] = {
    "stops it": (stop, is_stopped),
    "deletes it": (delete, is_gone),
    "redeploys it": (redeploy, runs(SECOND)),
    "creates it anew": (create_anew, runs(FIRST)),
    "creates another of its name": (create_another, runs(SECOND)),
}


def wish_of(regions: Regions, name: str) -> dict[str, Any]:
    """Returns the user's part of the item."""
    return {key: value for key, value in regions.item(name).items() if key != "region_status"}


def race(regions: Regions, name: str, held: HeldWrite, wish: str, *, accepted: bool) -> None:
    """Writes as the user while a write is held, releases it, and waits until the user's desired state is reached."""
    held.wait()
    write, is_reached = WISHES[wish]
    write(regions, name)
    asked_for = wish_of(regions, name)
    assert held.release() is accepted
    regions.until(lambda: is_reached(regions, name), f"{wish}: the desired state is reached")
    regions.until_settled()
    assert is_reached(regions, name)
    if wish != "deletes it":
        promoted = {"desired_state", "updated_at"} if asked_for["desired_state"] == "deploying" else set()
        kept = {key: value for key, value in wish_of(regions, name).items() if key not in promoted}
        assert kept == {key: value for key, value in asked_for.items() if key not in promoted}
    assert all(record.all_targets("running") for record in regions.promotions(name))


@pytest.mark.parametrize("wish", WISHES)
def test_the_user_wins_against_a_promotion(regions: Regions, proxy: HeldWrites, name: str, wish: str) -> None:
    held = proxy.hold(promotion(name))
    regions.put(endpoint_item(name))
    race(regions, name, held, wish, accepted=False)
    regions.expect_promotions(name, 0 if wish in {"stops it", "deletes it"} else 1)


@pytest.mark.parametrize("wish", [wish for wish in WISHES if wish != "deletes it"])
def test_the_user_wins_against_a_purge(regions: Regions, proxy: HeldWrites, name: str, wish: str) -> None:
    regions.put(endpoint_item(name))
    regions.until_promoted(name)
    held = proxy.hold(purge(name))
    regions.ask(name, "deleted")
    race(regions, name, held, wish, accepted=False)


@pytest.mark.parametrize("wish", WISHES)
def test_the_user_wins_against_a_report(regions: Regions, proxy: HeldWrites, name: str, wish: str) -> None:
    held = proxy.hold(report(name, EU, "running"))
    regions.put(endpoint_item(name))
    race(regions, name, held, wish, accepted=True)
    regions.expect_promotions(name, 0 if wish in {"stops it", "deletes it"} else 1)


@pytest.mark.parametrize(
    ("state", "matching"),
    [("deploying", promotion), ("deleted", purge), ("deploying", lambda name: report(name, AP, "running"))],
    ids=["promotion", "purge", "report"],
)
def test_no_late_write_restores_a_deleted_item(
    regions: Regions, proxy: HeldWrites, name: str, state: str, matching: Callable[[str], Any]
) -> None:
    held = proxy.hold(matching(name))
    regions.put(endpoint_item(name, desired_state=state))
    held.wait()
    regions.remove(name)
    assert held.release() is False
    regions.until_settled()
    assert not regions.item(name)
    assert regions.history(name)[-1].removes


def test_a_promotion_fails_after_a_region_is_added(regions: Regions, proxy: HeldWrites, name: str) -> None:
    held = proxy.hold(promotion(name))
    slow = {"region_image_uris": {AP: "registry.example/serve:1.0-never-ready"}}
    regions.put(endpoint_item(name, target_regions=[US, EU], spec=slow))
    held.wait()
    regions.write(name, target_regions=list(REGIONS))
    assert held.release() is False
    regions.until(lambda: regions.states(name) == {US: "running", EU: "running", AP: "creating"}, "all regions report")
    regions.until_settled()
    assert regions.desired(name) == "deploying"
    regions.until(lambda: regions[AP].pods(name), "a pod exists")
    regions[AP].make_ready(name)
    regions.until_promoted(name)
    regions.expect_promotions(name, 1)


def test_a_promotion_fails_after_a_region_stops_running(regions: Regions, proxy: HeldWrites, name: str) -> None:
    # The last region to report promotes the endpoint, and it must not be the one that stops running.
    regions.put(endpoint_item(name, spec={"region_image_uris": {AP: "registry.example/serve:1.0-never-ready"}}))
    regions.until(
        lambda: regions.until_all_report(name, "running", US, EU) and regions[AP].pods(name), "two regions run it"
    )
    held = proxy.hold(promotion(name))
    regions[AP].make_ready(name)
    held.wait()
    regions[EU].make_ready(name, ready=False)
    regions.until(lambda: regions.states(name).get(EU) == "updating", "one region no longer runs it")
    assert held.release() is False
    regions.until_settled()
    assert regions.desired(name) == "deploying"
    regions[EU].make_ready(name)
    regions.until_promoted(name)
    regions.expect_promotions(name, 1)


def test_a_purge_fails_after_a_start_and_a_second_delete(regions: Regions, proxy: HeldWrites, name: str) -> None:
    regions.put(endpoint_item(name))
    regions.until_promoted(name)
    # The last region to report purges the item, and it does nothing else while that write is held.
    regions[AP].keep_pods(name)
    held = proxy.hold(purge(name))
    regions.ask(name, "deleted")
    regions.until(lambda: regions.until_all_report(name, "deleted", US, EU), "two regions report deleted")
    regions[AP].keep_pods(name, keep=False)
    held.wait()
    regions.write(name, desired_state="deploying")
    regions.until(lambda: regions.until_all_report(name, "running", US, EU), "two regions run it again")
    regions[US].keep_pods(name)
    try:
        regions.write(name, desired_state="deleted")
        regions.until(lambda: regions.states(name).get(US) == "deleting", "it is deleted again")
        assert held.release() is False
        regions.until_settled()
        assert regions.desired(name) == "deleted"
    finally:
        regions[US].keep_pods(name, keep=False)
    regions.until_gone(name)


def test_a_promotion_that_arrives_after_its_program_died_changes_nothing(
    regions: Regions, proxy: HeldWrites, name: str
) -> None:
    # Another region that finds the promotion due makes it as well.
    held = [proxy.hold(promotion(name)) for _ in regions]
    regions.put(endpoint_item(name))
    held[0].wait()
    regions.kill_all()
    regions.ask(name, "stopped")
    assert [one.release() for one in held if one.came.is_set()].count(True) == 0
    proxy.release_all()
    assert regions.desired(name) == "stopped"
    for region in regions:
        region.program.start()
    regions.until(lambda: is_stopped(regions, name), "the endpoint is stopped")
    regions.expect_promotions(name, 0)


def test_a_region_reports_creating_before_it_recreates_objects(regions: Regions, proxy: HeldWrites, name: str) -> None:
    regions.put(endpoint_item(name))
    regions.until_promoted(name)
    regions[AP].keep_pods(name)
    regions.ask(name, "deleted")
    regions.until(
        lambda: regions.states(name) == {US: "deleted", EU: "deleted", AP: "deleting"}, "one region is still deleting"
    )
    held = proxy.hold(report(name, EU, "creating"))
    regions.ask(name, "deploying")
    held.wait()
    regions.ask(name, "deleted")
    regions[AP].keep_pods(name, keep=False)
    regions.until(
        lambda: regions.until_all_report(name, "deleted", US, AP) or not regions.item(name),
        "two regions report deleted",
    )
    held.release()
    regions.until(lambda: is_gone(regions, name), "the endpoint is gone everywhere")


class Users:
    """Users who change the desired state at random, as the command line does; keeps the last one of each endpoint."""

    def __init__(self, regions: Regions, rng: random.Random) -> None:
        self._regions = regions
        self._rng = rng
        self.last: dict[str, dict[str, Any]] = {}
        self.written: set[str] = set()
        self.taken_out: set[str] = set()

    def write(self, name: str) -> None:
        """Makes one write. Endpoints whose names end in a digit move between regions; others are recreated."""
        seen = self._regions.user.get(name)
        if seen is None:
            assert name not in self.last or self.last[name]["desired_state"] == "deleted", f"item {name} is lost"
            self._create(name)
            return
        moves = name[-1].isdigit()
        rarely = self._move if moves else self._replace
        writes = [self._ask, self._ask, self._ask, self._redeploy, self._redeploy, rarely]
        try:
            self._rng.choice(writes)(name, seen, "stopped" if moves else "deleted")
        except ItemNotFound:
            assert seen["desired_state"] == {"S": "deleted"}, f"item {name} was lost"

    def _wrote(self, name: str, image: dict[str, Any]) -> None:
        self.last[name] = wire.decode(image)
        self.written.add(self.last[name]["updated_at"])

    def _create(self, name: str) -> None:
        plain = endpoint_item(name, spec={"image": self._rng.choice((FIRST, SECOND))}, desired_state="deploying")
        self._wrote(name, self._regions.user.create(plain))

    def _ask(self, name: str, seen: dict[str, Any], end: str) -> None:
        self._wrote(name, self._regions.user.set_state(seen, self._rng.choice(("stopped", "deploying", end))))

    def _redeploy(self, name: str, seen: dict[str, Any], _: str) -> None:
        spec = wire.decode(seen)["spec"] | {"image": self._rng.choice((FIRST, SECOND))}
        self._wrote(name, self._regions.user.replace_spec(seen, spec))

    def _move(self, name: str, seen: dict[str, Any], _: str) -> None:
        targets = self._rng.sample(REGIONS, self._rng.randint(1, 3))
        image = self._regions.user.replace_spec(seen, wire.decode(seen)["spec"], target_regions=targets)
        self._wrote(name, image)

    def _replace(self, name: str, seen: dict[str, Any], _: str) -> None:
        self.taken_out.add(seen["created_at"]["S"])
        self._regions.remove(name)
        self._create(name)


def is_as_wished(regions: Regions, name: str, wish: dict[str, Any]) -> bool:
    if wish["desired_state"] == "deleted":
        return is_gone(regions, name)
    state = "stopped" if wish["desired_state"] == "stopped" else "running"
    targets = wish["target_regions"]
    if regions.desired(name) != state or not regions.until_all_report(name, state, *targets):
        return False
    if any(region.objects(name) for region in regions if region.name not in targets):
        return False
    # An endpoint that was stopped before it was created is not created.
    wanted = {(wish["spec"]["image"], 1)} if state == "running" else {(wish["spec"]["image"], 0), ("", None)}
    return {(regions[target].image(name), regions[target].replicas(name)) for target in targets} <= wanted


def test_the_last_of_many_random_user_writes_is_carried_out(
    regions: Regions, proxy: HeldWrites, rng: random.Random
) -> None:
    users = Users(regions, rng)
    names = [f"many-{end}" for end in "a0b1c2d3efgh"]
    delays = random.Random(rng.random())
    proxy.slowness = lambda: delays.choice((0.0, 0.0, 0.02, 0.1))
    began = len(regions.history())
    end = time.monotonic() + WRITING_SECONDS
    while time.monotonic() < end:
        # The first endpoints change almost constantly; the last have time to start and stop.
        users.write(names[min(rng.randrange(len(names)), rng.randrange(len(names)))])
        # Faster than the regions can follow, but slow enough that they see more than the last write.
        time.sleep(rng.expovariate(WRITES_A_SECOND))
    proxy.slowness = float

    def unmet() -> list[str]:
        return [name for name, wish in users.last.items() if not is_as_wished(regions, name, wish)]

    regions.until(lambda: not unmet(), "every last desired state is reached")
    regions.until_settled()
    assert unmet() == []
    for name, wish in users.last.items():
        if wish["desired_state"] != "deleted":
            item = regions.item(name)
            assert [item[key] for key in KEPT] == [wish[key] for key in KEPT]

    for record in regions.history()[began:]:
        if record.promotes:
            assert record.all_targets("running"), record
            assert [record.new[key] for key in KEPT] == [record.old[key] for key in KEPT]
        elif record.removes:
            purged = record.old["desired_state"] == "deleted" and record.all_targets("deleted")
            purged = purged and set(record.states().values()) == {"deleted"}
            assert purged or record.old["created_at"] in users.taken_out, record
        elif record.changes_desired_part():
            assert record.new["updated_at"] in users.written, record
