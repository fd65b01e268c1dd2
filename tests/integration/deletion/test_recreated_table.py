"""A table that is deleted, created under the same name and only partly refilled, with the real program."""

from collections.abc import Callable

import pytest

from gco_stream.table.bootstrap import create
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.removals import OFTEN, after_scans, put, sample, stands, uids, until_running
from tests.integration.support.harness.world import World

pytestmark = pytest.mark.integration
NAMES = ("a", "b", "c")


def recreate(world: World, *names: str) -> None:
    """Deletes the table, creates it under the same name, and refills it with these items as they were."""
    items = [world.item_of(name) for name in names]
    client, table = world.table.client, world.table.name
    client.delete_table(TableName=table)
    client.get_waiter("table_not_exists").wait(TableName=table, WaiterConfig={"Delay": 1})
    create(client, table)
    for item in items:
        client.put_item(TableName=table, Item=item)


@pytest.mark.parametrize("is_running", [True, False])
def test_a_recreated_table_removes_nothing_until_it_is_approved(
    is_running: bool, world: World, program: Callable[..., Program]
) -> None:
    one = program(**OFTEN).wait_working()
    put(world, *NAMES)
    until_running(world, one, *NAMES)
    before = uids(world)
    if not is_running:
        assert one.stop() == 0
    recreate(world, "a")
    if not is_running:
        one.start().wait_working()
    one.until(lambda: sample(one, "gco_stream_deletions_held") == 2, "two removals are held")
    after_scans(one, 4)
    assert uids(world) == before
    # Once every item is back, the table counts as the remembered one, and a removal is within the budget again.
    put(world, "b", "c")
    until_running(world, one, *NAMES)
    one.until(lambda: sample(one, "gco_stream_deletions_held") == 0, "nothing is held")
    after_scans(one, 2)
    world.table.client.delete_item(TableName=world.table.name, Key={"endpoint_name": {"S": "b"}})
    one.until(lambda: stands(world) == {"a", "c"}, "the endpoint without an item is removed")
