"""The consumer, with the real client, in random schedules of writes, faults and changes of shards.

GCO_STREAM_EXAMPLES=N runs N schedules. A failure prints the shrunk schedule and a blob that reproduces it.

    GCO_STREAM_EXAMPLES=5000 pytest tests/stream/test_random_schedules.py -p no:cacheprovider
"""

import asyncio
import os

import looptime
import pytest
from hypothesis import HealthCheck, given, settings

from tests.stream.support.lives import live
from tests.stream.support.schedules import schedules

pytestmark = pytest.mark.slow


@settings(
    max_examples=int(os.environ.get("GCO_STREAM_EXAMPLES", "12")),
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
@given(schedules)
def test_no_change_is_lost_in_any_schedule(schedule):
    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(noop_cycles=2)) as runner:
        runner.run(live(schedule))
