"""Steps the wall clock by an hour while the program runs: leases, the watchdog and canary drains are unaffected."""

import sysconfig
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gco_stream.cluster.leaderelection import record as lease
from gco_stream.model.names import DRAINING_SINCE_ANNOTATION as DRAINING
from gco_stream.model.names import UNREADY_SINCE_ANNOTATION as UNREADY
from tests.chaos.leadership.audited_writes import terms
from tests.chaos.leadership.replicas import Replica, Replicas
from tests.integration.support.harness.states import weights
from tests.integration.support.harness.world import World
from tests.integration.support.pods import tell_pods
from tests.support.items import item

LIBRARY = Path(sysconfig.get_path("purelib")) / "libfaketime/vendor/libfaketime/src/libfaketime.so.1"

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)
RENEWALS = 12


class Clock:
    """The wall clock of one process, stepped by the test; its monotonic clock is the machine's."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.step(timedelta())
        self.environment = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_CACHE_DURATION": "1",
        }

    def step(self, by: timedelta) -> None:
        """Sets the clock's offset from the machine's clock."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{by.total_seconds():+.0f}\n")
        new.replace(self._file)
        self.ahead = by

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock(tmp_path: Path) -> Callable[[], Clock]:
    made: list[Clock] = []

    def make() -> Clock:
        made.append(Clock(tmp_path / f"clock-{len(made)}"))
        return made[-1]

    return make


def serves(world: World, image: str) -> bool:
    images = [pod["spec"]["containers"][0]["image"] for pod in world.pods("chat").values()]
    return world.state("chat") == "running" and images == [image]


@pytest.mark.parametrize("leader_by", [HOUR, -HOUR], ids=["leader-ahead", "leader-behind"])
def test_a_clock_step_neither_ends_nor_starts_a_term(
    leader_by: timedelta, replicas: Replicas, world: World, clock: Callable[[], Clock]
) -> None:
    clocks = clock(), clock()
    replicas.hold_for_long()
    one = replicas.leader(**clocks[0].environment)
    other = replicas.standby(**clocks[1].environment)
    world.put(item(spec={"gpu_count": 0, "image": "registry.example/serve:1.0"}))
    one.until(lambda _: serves(world, "registry.example/serve:1.0"), "the endpoint is running")
    clocks[0].step(leader_by)
    clocks[1].step(-leader_by)
    stepped = len(terms(replicas.leader_writes())[-1])
    # Renewals carry the new time, and continue.
    one.until(lambda _: abs(renewed(replicas) - clocks[0].now) < timedelta(minutes=1), "renews with its new time")
    one.until(
        lambda _: len(terms(replicas.leader_writes())[-1]) > stepped + RENEWALS, "keeps renewing with its new time"
    )
    assert replicas.holder == one.host
    assert len(terms(replicas.leader_writes())) == 1
    # Reconciling continues, and reports carry this machine's time.
    world.update_spec("chat", image="registry.example/serve:2.0")
    one.until(lambda _: serves(world, "registry.example/serve:2.0"), "the second image is running")
    one.until(lambda _: abs(reported(world) - clocks[0].now) < timedelta(minutes=1), "reports with its new time")
    epoch = lease.parse(replicas.lease()).acquired or 0
    # The next leader's clock is two hours behind, or ahead; its epoch is higher nevertheless.
    assert one.program.stop() == 0
    other.until(Replica.is_working, "leads")
    assert (lease.parse(replicas.lease()).acquired or 0) > epoch
    world.update_spec("chat", image="registry.example/serve:3.0")
    other.until(lambda _: serves(world, "registry.example/serve:3.0"), "the third image is running")
    assert len(terms(replicas.assert_one_leader_at_a_time())) == 2


def reported(world: World) -> datetime:
    return datetime.fromisoformat(world.report("chat")["last_sync"])


def renewed(replicas: Replicas) -> datetime:
    found = lease.parse(replicas.lease()).renewed
    assert found is not None
    return lease.moment(found)


def test_a_clock_stepped_back_does_not_prolong_a_drain_or_the_watchdog(
    replicas: Replicas, world: World, clock: Callable[[], Clock]
) -> None:
    its_clock = clock()
    its_clock.step(HOUR)
    replicas.hold_for_long()
    threshold = {"INFERENCE_UNHEALTHY_THRESHOLD_SECONDS": "8", "CANARY_DRAIN_SECONDS": "3"}
    one = replicas.leader(**its_clock.environment, **threshold)
    canary = {"image": "registry.example/serve:2.0", "weight": 20, "replicas": 1}
    world.put(item(spec={"gpu_count": 0, "canary": canary}))
    world.put(item("dead", spec={"gpu_count": 0}))
    one.until(lambda _: weights(world).get("chat-canary"), "the canary gets traffic")
    one.until(lambda _: world.state("dead") == "running", "the other endpoint is running")
    world.update_spec("chat", canary=None)
    one.until(lambda _: DRAINING in annotations(world, "chat"), "drains")
    tell_pods(world, "false", "dead")
    one.until(lambda _: UNREADY in annotations(world, "dead"), "the watchdog has started")
    # Both annotations are now an hour in the future.
    its_clock.step(timedelta())
    one.until(lambda _: world.get("Deployment", "chat-canary") is None, "the canary has drained")
    one.until(lambda _: world.get("Ingress", "inference-dead") is None, "the Ingress is withdrawn")
    assert world.get("Ingress", "inference-chat") is not None


def annotations(world: World, name: str) -> dict[str, str]:
    ingress = world.get("Ingress", f"inference-{name}") or {"metadata": {}}
    return dict(ingress["metadata"].get("annotations") or {})
