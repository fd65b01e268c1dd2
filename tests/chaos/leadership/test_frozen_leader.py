"""A leader that is frozen beyond its lease writes nothing after it resumes, wherever it was frozen."""

import os
import random
import time
from functools import partial

import pytest

from tests.chaos.leadership.audited_writes import terms
from tests.chaos.leadership.replicas import BURNT, PATIENCE, Replica, Replicas, changing
from tests.integration.support.harness.world import World
from tests.support.items import item

pytestmark = pytest.mark.integration

NAMES = [f"e{number:02}" for number in range(12)]
FREEZES = int(os.environ.get("FREEZES") or 3)


def has_ended_or_stands_by(replica: Replica) -> bool:
    return replica.has_ended() or replica.is_standing_by()


def test_a_leader_frozen_while_writing_writes_nothing_after_it_is_succeeded(
    replicas: Replicas, world: World, rng: random.Random
) -> None:
    for name in NAMES:
        world.put(item(name, spec={"gpu_count": 0}))
    replicas.leader()
    replicas.standby()
    burnt = 0
    with changing(world, NAMES, rng):
        for _ in range(FREEZES):
            one = replicas.next_to_write()
            time.sleep(rng.uniform(0, 0.3))
            one.freeze()
            replicas.next_to_write(but=one)
            one.thaw()
            one.program.until(partial(has_ended_or_stands_by, one), "exits or stands by", PATIENCE)
            if one.has_ended():
                assert one.program.stop() == BURNT
                burnt += 1
                one.program.start()
                one.until(Replica.is_standing_by, "stands by")
    all_acts = replicas.assert_one_leader_at_a_time()
    assert len(terms(all_acts)) > FREEZES
    assert burnt
