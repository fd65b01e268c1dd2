"""Nothing blocks the event loop of the real program, from startup through changes and resyncs to shutdown."""

from collections.abc import Callable

import pytest

from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.support.items import item

pytestmark = pytest.mark.integration
NAMES = ("steady", "changing", "broken", "leaving")


def resyncs(one: Program) -> int:
    lines = one.http("/metrics")[1].splitlines()
    return int(float(next(line.split()[1] for line in lines if line.startswith("gco_stream_resync_seconds_count"))))


def blocked(one: Program) -> list[str]:
    return [line for line in one.log.read_text().splitlines() if "BlockingError" in line or "Blocking call" in line]


def test_no_call_blocks_the_loop_from_start_to_stop(world: World, program: Callable[..., Program]) -> None:
    for name in NAMES:
        world.put(item(name, spec={"gpu_count": 0, "replicas": 1}))
    one = program(("tests.chaos.unblocked",), RESYNC_INTERVAL_SECONDS="1", LOG_LEVEL="DEBUG").wait_working()
    one.until(lambda: all(world.state(name) == "running" for name in NAMES), "all endpoints are running")

    world.update_spec("changing", replicas=2, canary={"image": "registry.example/serve:2.0", "weight": 10})
    world.update_spec("broken", image="registry.example/serve:2.0-never-ready")
    world.set_desired_state("leaving", "deleted")
    one.until(
        lambda: world.state("changing") == "running" and world.replicas("changing") == 2, "the endpoint is updated"
    )
    one.until(lambda: world.item("leaving") is None, "the endpoint is purged")
    seen = resyncs(one)
    one.until(lambda: resyncs(one) > seen, "another resync has finished")
    assert one.http("/healthz")[0] == one.http("/readyz")[0] == 200

    assert one.stop() == 0, one.tail()
    assert blocked(one) == []
